# SPDX-License-Identifier: LGPL-2.1-or-later
# The process that reads an image: what it cannot do, what it does all the same, and how it ends.
# What it may not call ends it here, see lib.bash.
# shellcheck disable=SC2030,SC2031

load lib


# with_sandbox: whether the program was built with it; the sanitizers' is not
with_sandbox() {
  ! grep -q -e __asan_init -e __tsan_init "$IMGTOOL" || skip "a sanitizer's build has no sandbox"
}

# child_of NAME: the pid of the only child of that process
child_of() {
  cat "/proc/${PID[$1]}/task/${PID[$1]}/children" 2>/dev/null | tr -d ' '
}

# make_data FILE SIZE
make_data() {
  rm -f "$1"
  head -c "$2" /dev/urandom >"$1"
}

# slow_copy NAME [OPTION...]: a copy of disk.raw that takes some seconds
slow_copy() {
  make_data disk.raw 8M
  start "$1" "$IMGTOOL" convert -r 1M "${@:2}" -f raw disk.raw copy.raw
  wait_for 20 test -e .copy.raw.imgtool-part
  wait_for 20 has_child "$1"
}

has_child() {
  [[ -n $(child_of "$1") ]]
}

@test "what reads the image is locked in, and what puts it in place is not" {
  with_sandbox
  slow_copy copy
  child=$(child_of copy)
  wait_for 20 grep -q '^Seccomp:[[:blank:]]*2' "/proc/$child/status"
  grep -q '^NoNewPrivs:[[:blank:]]*1' "/proc/$child/status"
  grep -q '^Seccomp:[[:blank:]]*0' "/proc/${PID[copy]}/status"
  for task in "/proc/$child/task/"*; do grep -q '^Seccomp:[[:blank:]]*2' "$task/status"; done
  [[ $(awk '$1 $2 $3 == "Maxcorefile" { print $5 $6 }' "/proc/$child/limits") == 00 ]]
}

# read_by_first: the longest reads of an image, and where, by the process that was started: "512@0"
read_by_first() {
  awk '
    NR == 1 { first = $1 }
    $1 != first || !/\.(qcow2|raw|data)>/ { next }
    / mmap\(/ { print "mmap"; next }
    / preadv2?\(/ && match($0, /\], [0-9]+, [0-9]+/) {
      split(substr($0, RSTART), at, ", "); match($0, /= [0-9]+$/)
      print substr($0, RSTART + 2) "@" at[3] + 0; next }
    / p?readv?(2|64)?\(/ { print "other: " $0 }' trace | sort -u
}

@test "of an image the process that opens it looks at the first bytes only, for the format" {
  with_sandbox
  printf x >base.raw
  truncate -s 4M base.raw
  qemu-img create -q -f qcow2 -F raw -b base.raw base.qcow2
  qemu-io -f qcow2 -c 'write -q 1M 64k' base.qcow2
  qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 top.qcow2
  qemu-io -f qcow2 -c 'write -q 0 64k' -c 'write -q -c 2M 64k' top.qcow2
  qemu-img snapshot -c first top.qcow2
  qemu-img bitmap --add top.qcow2 changes
  qemu-img create -q -f qcow2 -o data_file=disk.data,data_file_raw=on outside.qcow2 4M
  qemu-img create -q -f qcow2 there.qcow2 4M
  local -a commands=(
    'info --backing-chain top.qcow2' 'check --backing-chain top.qcow2' 'check --data outside.qcow2'
    'lock-status --backing-chain top.qcow2' 'lock --backing-chain --read top.qcow2 -- true'
    'convert -q -O raw top.qcow2 a.copy' 'convert -q -O raw -l first top.qcow2 b.copy'
    'convert -q -O qcow2 -c --bitmaps top.qcow2 c.copy' 'convert -q -O raw outside.qcow2 d.copy'
    'convert -q -O qcow2 -B base.qcow2 -F qcow2 top.qcow2 e.copy'
    'convert -q -n -O qcow2 base.qcow2 there.qcow2' 'convert -q -O raw --verify top.qcow2 f.copy'
    'create -q -f qcow2 -b top.qcow2 -F qcow2 g.copy')
  for command in "${commands[@]}"; do
    # shellcheck disable=SC2086
    strace -f -y -s 0 -o trace -e trace=read,pread64,readv,preadv,preadv2,mmap "$IMGTOOL" $command \
      >out 2>&1 || { cat out && false; }
    run -0 read_by_first
    [[ -z $output || $output == 512@0 ]] || { echo "$command: $output" && false; }
    # and it is seen that the other does
    [[ $command != convert* ]] || grep -qE 'preadv2?\([0-9]+<[^>]*qcow2>.* = 65536$' trace
  done
}

@test "--no-sandbox: there is one process" {
  make_data disk.raw 8M
  start copy "$IMGTOOL" convert --no-sandbox -r 1M -f raw disk.raw copy.raw
  wait_for 20 test -e .copy.raw.imgtool-part
  sleep 0.2
  [[ -z $(child_of copy) ]]
}

@test "lock-status names both" {
  with_sandbox
  slow_copy copy
  json_status 1 disk.raw
  jq -e --argjson pid "${PID[copy]}" --argjson child "$(child_of copy)" \
    '[.images[0].holders[].processes[].pid] | index($pid) != null and index($child) != null' <<<"$output"
}

@test "killed, it takes the other with it, and the locks" {
  with_sandbox
  slow_copy copy
  child=$(child_of copy)
  kill -KILL "${PID[copy]}"
  wait_for 20 test ! -e "/proc/$child"
  [[ ! -e copy.raw ]]
  run -0 imgtool lock-status disk.raw
  run -0 imgtool convert -f raw disk.raw copy.raw
  [[ ! -e .copy.raw.imgtool-part ]]
}

@test "interrupted, it cleans up, and the other is gone" {
  with_sandbox
  for signal in INT TERM HUP; do
    make_data disk.raw 8M
    start copy env --default-signal=INT,TERM,HUP "$IMGTOOL" convert -r 1M -f raw disk.raw copy.raw
    wait_for 20 has_child copy
    child=$(child_of copy)
    kill -$signal "${PID[copy]}"
    wait_for 20 test ! -e "/proc/$child"
    wait_for 20 test ! -e .copy.raw.imgtool-part
    [[ ! -e copy.raw ]]
  done
}

@test "the other is killed: an error, and nothing is left" {
  with_sandbox
  slow_copy copy
  kill -KILL "$(child_of copy)"
  wait_for 20 test ! -e .copy.raw.imgtool-part
  grep -q "imgtool: 'copy.raw': the process that reads the image was ended by signal 9" "$HOLD/copy.err"
  [[ ! -e copy.raw ]]
}

# in_child CALL: how often it succeeded behind seccomp, in the trace of all processes
in_child() {
  awk -v call="$1" '
    / prctl\(PR_SET_SECCOMP/ { locked[$1] = 1 }
    / clone\(/ { if (locked[$1] && match($0, /= [0-9]+$/)) locked[substr($0, RSTART + 2)] = 1 }
    locked[$1] && index($0, call) && /= [0-9]/ && !/= -1/ { n++ }
    locked[$1] && index($0, call) && /unfinished/ { pending[$1] = 1 }
    locked[$1] && pending[$1] && /resumed/ && /= [0-9]+/ { n++; pending[$1] = 0 }
    END { print n + 0 }' trace
}

@test "reflinks, copies by the kernel and discards happen in it" {
  require root loop strace mkfs.xfs
  with_sandbox
  make_filesystem xfs fs.img mnt 320M
  make_data mnt/disk.raw 4M
  strace -f -o trace -e trace=prctl,clone,ioctl,copy_file_range,fallocate \
    "$IMGTOOL" convert -f raw mnt/disk.raw mnt/copy.raw
  (($(in_child FICLONE) > 0))
  cmp mnt/disk.raw mnt/copy.raw
  strace -f -o trace -e trace=prctl,clone,ioctl,copy_file_range,fallocate \
    "$IMGTOOL" convert -C --reflink=never -f raw mnt/disk.raw mnt/copy.raw
  (($(in_child copy_file_range) > 0))
  cmp mnt/disk.raw mnt/copy.raw
  make_raw target.raw 4M
  make_loop target.raw
  truncate -s 4M zeros.raw
  for options in "" "-S 0"; do
    make_data target.raw 4M
    # shellcheck disable=SC2086
    strace -f -o trace -e trace=prctl,clone,ioctl,copy_file_range,fallocate \
      "$IMGTOOL" convert -n $options -f raw zeros.raw "$LOOP"
    cmp -n 4M zeros.raw "$LOOP"
    [[ $options ]] || (($(in_child fallocate) + $(in_child BLKDISCARD) + $(in_child BLKZEROOUT) > 0))
  done
}

@test "a kernel that lacks a part of it: the rest is done, and -v says so" {
  with_sandbox
  make_qcow2 disk.qcow2
  run -0 --separate-stderr imgtool info -v disk.qcow2
  expect_no_message
  run -0 --separate-stderr without landlock "$IMGTOOL" info -v disk.qcow2
  expect_message "this system has no Landlock: what reads the image is confined by seccomp alone"
  run -0 --separate-stderr without landlock "$IMGTOOL" info disk.qcow2
  expect_no_message
  run -0 --separate-stderr without seccomp "$IMGTOOL" check -v disk.qcow2
  expect_message "this system has no seccomp filters: what reads the image is confined by Landlock alone"
  run -0 --separate-stderr without landlock "$TOOLS/without-locks" seccomp "$IMGTOOL" info -v disk.qcow2
  expect_message "this system has neither Landlock nor seccomp: the image was read without a sandbox"
  run -0 --separate-stderr imgtool info -v --no-sandbox disk.qcow2
  expect_no_message
}

@test "no process to be had: read without it, and -v says so" {
  require root
  with_sandbox
  make_qcow2 disk.qcow2
  imgtool_for_nobody
  chmod 644 disk.qcow2
  # Another user, of whom there is no other process.
  run -0 --separate-stderr setpriv --reuid=64321 --regid=64321 --clear-groups prlimit --nproc=1 \
    bin/imgtool info -v disk.qcow2
  expect_message "no process could be started for the sandbox: the image was read without it"
}
