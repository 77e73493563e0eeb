#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# The examples of imgtool-scripting(7), each taken from the page and run. Commands that would need
# a host of their own (virsh, systemd-run, nbdkit) are stubs; virtual machines are real.

load lib

PAGE=$BATS_TEST_DIRNAME/../../man/imgtool-scripting.7

# example NAME: its text, as a reader of the page sees it
example() {
  awk -v wanted="$1" '
    $2 == "example:" { inside = $3 == wanted; next }
    /^\.Ed/ { inside = 0 }
    inside && !/^\.Bd/' "$PAGE" | sed -e "s/\\\\(aq/'/g" -e 's/\\e/\\/g'
}

# prepare NAME [SED-SCRIPT]: the example as a file to run, in an environment where imgtool is the
# program under test and what stub made comes first
prepare() {
  mkdir -p bin
  [[ -e bin/imgtool ]] || ln -s "$IMGTOOL" bin/imgtool
  example "$1" | sed "${2:-}" >"$1.sh"
  [[ -s $1.sh ]]
}

# stub NAME: its text comes on standard input
stub() {
  mkdir -p bin
  { echo '#!/bin/bash' && cat; } >"bin/$1"
  chmod 755 "bin/$1"
}

# try NAME [ARGUMENT]...: run a prepared example
try() {
  PATH=$DIR/bin:$PATH timeout --foreground 60 bash "$1.sh" "${@:2}"
}

# begin NAME [ARGUMENT]...: the same, in the background. When it is stopped, timeout stops all that
# it has started.
begin() {
  start "$1" timeout 100 env "PATH=$DIR/bin:$PATH" bash "$1.sh" "${@:2}"
}

# ended NAME: wait for it; sets status
ended() {
  status=0
  wait_for 30 refute kill -0 "${PID[$1]}" 2>/dev/null
  wait "${PID[$1]}" || status=$?
  unset "PID[$1]"
}

# slow_cp: a cp that makes a pause after the first half, which it announces, until told to go on
slow_cp() {
  stub cp <<'END'
source=${*: -2:1} target=${*: -1}
dd if="$source" of="$target" bs=1M count=2 status=none
touch half
until [ -e go ] || [ ! -e half ]; do sleep 0.02; done
dd if="$source" of="$target" bs=1M skip=2 seek=2 conv=notrunc status=none
END
}

# make_disk FILE PATTERN
make_disk() {
  head -c 4M /dev/zero | tr '\0' "$2" >"$1"
}

hold_vm() {
  hold_qemu vm -name web01 -drive "file=$1,format=raw,if=none,id=vda" \
    -device virtio-blk-pci,drive=vda
}

vm_is_refused() {
  run -1 timeout 30 "$QEMU" -S -machine "$QEMU_MACHINE" -nodefaults -display none \
    -drive "file=$1,format=raw,if=none,id=d" -device virtio-blk-pci,drive=d
  expect_text 'Failed to get "write" lock'
}

@test "every example of the page has a name and is run here" {
  # A literal block that has no name would be an example that nobody runs.
  awk '/^\.Bd -literal/ { if (last !~ /^\.\\" example: /) print "no name: line " NR } { last = $0 }' \
    "$PAGE" >unnamed
  [[ ! -s unnamed ]] || { cat unnamed && false; }
  awk '$2 == "example:" { print $3 }' "$PAGE" | sort >named
  [[ $(wc -l <named) -gt 15 ]]
  sed -nE 's/^ +prepare ([a-z-]+).*/\1/p' "$BATS_TEST_FILENAME" | sort -u >run
  diff named run
}

@test "checking first: a writer comes during the copy, and nothing reports it" {
  make_disk disk.raw a
  slow_cp
  prepare check-then-copy
  begin check-then-copy
  wait_for 20 test -e half
  run -0 qemu-io -f raw -c 'write -P 98 0 4M' disk.raw
  hold_vm disk.raw
  touch go
  ended check-then-copy
  # It thinks all is well; the copy has half of each.
  ((status == 0))
  [[ $(head -c 1 copy.raw)$(tail -c 1 copy.raw) == ab ]]
}

@test "guarded: for all of the copy nobody can write, and no machine starts" {
  make_disk disk.raw a
  slow_cp
  prepare guarded-copy
  begin guarded-copy
  wait_for 20 test -e half
  run -1 qemu-io -f raw -c 'write -P 98 0 4M' disk.raw
  vm_is_refused disk.raw
  json_status 1 disk.raw
  expect 'holders | length == 1' 'holders[0].processes[0].command == "imgtool"'
  touch go
  ended guarded-copy
  ((status == 0))
  cmp disk.raw copy.raw
  # Afterwards one can.
  hold_vm disk.raw
  run try guarded-copy
  ((status == 124))
}

@test "a copy made by imgtool itself waits, and leaves the old one until it is there" {
  make_disk disk.raw a
  echo old >copy.raw
  hold_vm disk.raw
  prepare convert
  begin convert
  sleep 0.5
  [[ $(cat copy.raw) == old ]]
  stop vm
  ended convert
  ((status == 0))
  cmp disk.raw copy.raw

  make_disk disk.raw b
  hold_vm disk.raw
  prepare convert s/600/0.3/
  run -1 try convert
  expect_text "pid ${PID[vm]}"
  [[ $(head -c 1 copy.raw) == a ]]
}

@test "a backup by imgtool itself, with its digest" {
  make_disk disk.raw a
  prepare convert-backup s/600/0.3/
  run -0 try convert-backup disk.raw copy.raw
  [[ -z $output ]]
  cmp disk.raw copy.raw
  sha256sum --check --quiet copy.raw.sha256

  make_disk disk.raw b
  hold_vm disk.raw
  run -1 try convert-backup disk.raw copy.raw
  # The copy and its digest are those of the last time.
  [[ $(head -c 1 copy.raw) == a ]]
  sha256sum --check --quiet copy.raw.sha256
}

@test "a backup keeps the last good copy" {
  make_disk disk.raw a
  prepare backup
  run -0 try backup disk.raw copy.raw
  cmp disk.raw copy.raw
  [[ ! -e copy.raw.part ]]

  hold_vm disk.raw
  run -124 try backup disk.raw copy.raw
  expect_text 'is in use'
  stop vm
  run -1 try backup disk.raw nowhere/copy.raw
  expect_text 'was not copied'

  rm bin/imgtool
  stub imgtool <<<'echo half >copy.raw.part; exit 123'
  run -123 try backup disk.raw copy.raw
  expect_text 'the lock was lost'
  cmp disk.raw copy.raw
  [[ ! -e copy.raw.part ]]
}

@test "waiting for a machine to stop" {
  make_disk disk.raw a
  hold_vm disk.raw
  prepare wait
  begin wait
  sleep 0.5
  [[ ! -e copy.raw ]]
  stop vm
  ended wait
  ((status == 0))
  cmp disk.raw copy.raw

  hold_vm disk.raw
  prepare wait s/600/0.3/
  run -75 try wait
}

@test "shutting a machine down, and waiting for that" {
  make_disk disk.raw a
  hold_vm disk.raw
  stub virsh <<END
[ "\$*" = "shutdown web01" ] || exit 1
{ sleep 0.5; kill ${PID[vm]}; } >/dev/null 2>&1 &
END
  prepare shutdown
  run -0 try shutdown
  cmp disk.raw copy.raw
}

@test "beside a running machine: possible, if one bears everything" {
  make_disk disk.raw a
  hold_vm disk.raw
  run -124 imgtool lock disk.raw -- true
  slow_cp
  prepare beside
  begin beside
  wait_for 20 test -e half
  # The machine keeps its disk, and a second one is refused by it as ever.
  vm_is_refused disk.raw
  touch go
  ended beside
  ((status == 0))
}

@test "a snapshot frees the image below it for a guard" {
  make_disk disk.raw a
  hold_vm disk.raw
  stub virsh <<END
tell() { echo "\$1" >'$HOLD/vm.in'; }
says() { for ((i = 0; i < 500; i++)); do grep -q "\$1" '$HOLD/vm.out' && return; sleep 0.02; done; exit 1; }
case "\$1 \$2" in
'snapshot-create-as web01')
  tell '{"execute":"blockdev-snapshot-sync","id":"snapshot","arguments":{"device":"vda",
    "snapshot-file":"top.qcow2","format":"qcow2"}}'
  says '"return".*snapshot\\|"id": "snapshot"' ;;
'blockcommit web01')
  tell '{"execute":"block-commit","arguments":{"device":"vda","job-id":"commit"}}'
  says BLOCK_JOB_READY
  tell '{"execute":"block-job-complete","arguments":{"device":"commit"}}'
  says BLOCK_JOB_COMPLETED ;;
*) exit 1 ;;
esac
END
  prepare snapshot
  run -124 imgtool lock disk.raw -- true
  run -0 try snapshot
  cmp disk.raw copy.raw
  [[ -e top.qcow2 ]]
  # The machine writes to its first disk again.
  json_status 1 disk.raw
  expect_holder vm '{kind: "lock", mode: "read-write"}'
  expect_uses vm blocked=read,write
}

@test "several disks: all of them or none" {
  make_disk root.raw a
  make_disk data.raw b
  prepare several
  run -0 try several
  tar --extract --to-stdout --file=web01.tar root.raw | cmp - root.raw
  tar --extract --to-stdout --file=web01.tar data.raw | cmp - data.raw
  rm web01.tar
  hold_vm data.raw
  prepare several s/=60/=0.2/
  run -124 try several
  [[ ! -e web01.tar ]]
}

@test "a program that writes and does not lock" {
  make_disk disk.raw a
  make_disk new.raw b
  hold_vm disk.raw
  prepare write
  run -124 try write
  [[ $(head -c 1 disk.raw) == a ]]
  stop vm
  run -0 try write
  cmp new.raw disk.raw
}

@test "qemu-img inside a read guard" {
  make_disk disk.raw a
  prepare qemu-img-read
  run -0 try qemu-img-read
  expect_text 'Images are identical'
}

@test "qemu-img inside a write guard: reading with -U" {
  make_disk disk.raw a
  prepare qemu-img-share
  run -0 try qemu-img-share
  qemu-img compare -f raw -F qcow2 disk.raw copy.qcow2
  # It does need it.
  prepare qemu-img-share 's/ -U//'
  run -1 try qemu-img-share
  expect_text 'Failed to get shared "write" lock'
}

@test "qemu-img inside a write guard: writing without locks of its own" {
  make_disk disk.raw a
  make_disk new.raw b
  prepare qemu-img-write
  run -0 try qemu-img-write
  [[ $(stat -c %s disk.raw) -eq $((16 << 20)) ]]
  cmp --bytes=4M new.raw disk.raw
  [[ $(head -c 1 old.raw) == a ]]
  prepare qemu-img-write 's/,file.locking=off//'
  run -1 try qemu-img-write
  expect_text 'Failed to get "write" lock'
}

@test "the same for a qcow2 image, as the page spells it" {
  make_qcow2 disk.qcow2
  make_disk new.raw b
  options=$(sed -nE "s/^\.Ql (driver=qcow2,[^ ]*) \./\1/p" "$PAGE")
  [[ $options == *file.locking=off ]]
  run -0 imgtool lock --write disk.qcow2 -- \
    qemu-img convert -n -f raw --target-image-opts new.raw "$options"
  run -0 qemu-img compare -f raw -F qcow2 new.raw disk.qcow2
}

@test "imgtool inside a write guard" {
  make_disk disk.raw a
  make_disk new.raw b
  prepare imgtool-inside
  run -0 try imgtool-inside
  cmp new.raw copy.raw
}

@test "a descriptor of the script's own" {
  make_disk disk.raw a
  make_disk new.raw b
  stub cp <<'END'
qemu-io -f raw -c 'write 0 512' disk.raw 2>&1
exec /bin/cp "$@"
END
  prepare descriptor
  run -0 try descriptor disk.raw new.raw
  expect_text 'Failed to get "write" lock'
  cmp new.raw disk.raw
  [[ $(head -c 1 disk.raw.old) == a ]]
  run -0 qemu-io -f raw -c 'write -P 99 0 512' disk.raw
  # When it goes wrong, the old content comes back.
  stub cmp <<<'exit 1'
  run -1 try descriptor disk.raw new.raw
  expect_text 'disk.raw is as it was'
  [[ $(head -c 1 disk.raw) == c ]]
  # In use: nothing happens at all.
  rm bin/cmp disk.raw.old
  hold_vm disk.raw
  prepare descriptor s/=60/=0.2/
  run -124 try descriptor disk.raw new.raw
  [[ ! -e disk.raw.old ]]
}

@test "the libvirt hook" {
  mkdir images backup
  make_disk images/web01.raw a
  stub systemd-run <<'END'
while [[ $1 == --* ]]; do shift; done
exec "$@"
END
  prepare libvirt-hook "s,/var/lib/libvirt/images,$DIR/images,; s,/srv/backup,$DIR/backup,; s/=30/=0.2/"
  for operation in prepare start started stopped reconnect migrate; do
    run -0 try libvirt-hook web01 "$operation" begin -
    [[ ! -e backup/web01.raw ]]
  done
  run -0 try libvirt-hook web01 release end -
  cmp images/web01.raw backup/web01.raw
  run -0 try libvirt-hook other release end -

  hold_vm images/web01.raw
  run -1 try libvirt-hook web01 prepare begin -
  expect_text "pid ${PID[vm]}" 'VM web01'
  rm backup/web01.raw
  run -124 try libvirt-hook web01 release end -
  [[ ! -e backup/web01.raw ]]
}

# exec_start: the command of the unit whose text is in the prepared file $1, as systemd reads it
exec_start() {
  sed -e ':a' -e '/\\$/N; s/\\\n *//; ta' "$1.sh" | sed -n 's/^ExecStart=//p' >command.sh
  mv command.sh "$1.sh"
  [[ $(wc -l <"$1.sh") -eq 1 ]]
}

@test "the systemd unit for a copy" {
  mkdir images backup
  make_disk images/web01.raw a
  where="s,/usr/bin/,,; s,/var/lib/libvirt/images,$DIR/images,g; s,/srv/backup,$DIR/backup,; s/%i/web01/g"
  prepare systemd-unit "$where"
  exec_start systemd-unit
  run -0 try systemd-unit
  cmp images/web01.raw backup/web01.raw
  # A disk that is in use gives the status that the unit takes for success.
  hold_vm images/web01.raw
  prepare systemd-unit "$where; s/=600/=0.2/"
  wanted=$(sed -n 's/^SuccessExitStatus=//p' systemd-unit.sh)
  exec_start systemd-unit
  run "-$wanted" try systemd-unit
}

@test "the systemd unit for a service: held until it is stopped" {
  make_disk disk.raw a
  stub nbdkit <<'END'
[[ $* == "--foreground file "*disk.raw ]] || exit 1
touch serving
exec sleep 60
END
  prepare systemd-service "s,/usr/bin/,,; s,/srv/export,$DIR,g"
  exec_start systemd-service
  sed -i 's/^/exec /' systemd-service.sh
  begin systemd-service
  wait_for 20 test -e serving
  vm_is_refused disk.raw
  kill "${PID[systemd-service]}"
  ended systemd-service
  ((status == 143))
  hold_vm disk.raw
}
