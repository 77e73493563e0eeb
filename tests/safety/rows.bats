#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
#
# One test for each way in which a tool for images was seen to lose data: L are losses that really
# happened, S situations of one copy, D a second program at the target. Those that qemu-img can
# play too are in scenarios.bash; bench/safety makes a table of them. Their other halves:
# sweep.bats, full-disk.bats, power-cut.bats, races.bats.

load ../cli/lib
load lib-safety

# convert ARG...: of raw images, said so
convert() {
  imgtool convert -f raw -O raw "$@"
}

# ---- losses ---------------------------------------------------------------------------------

@test "L2: two converts to one new target: one is refused, the other is complete" {
  safe L2
  grep -q "pid $tool_pid" tool.err # the loser says who is at it
}

@test "L3: a convert that is refused deletes nothing of another's" {
  safe L3
}

@test "L5, S18: a source that shrinks is an error, and leaves no target" {
  safe L5
  no_part_file
  grep -q 'src.raw' first.err
}

@test "L6, S8: a file is not converted onto itself, whatever it is called, also with -U" {
  safe L6
}

@test "L6, S8: nor through a loop device or another node of the same device" {
  require root loop
  make_sources
  make_loop src.raw
  expect_failure convert -U -n src.raw "$LOOP"
  expect_failure convert -U -n "$LOOP" src.raw
  mknod other.node b "0x$(stat -c %t "$LOOP")" "0x$(stat -c %T "$LOOP")"
  expect_failure convert -U -n "$LOOP" "$DIR/other.node"
  sync -f .
  same src.raw src.copy
}

@test "L6, S8: nor onto the disk that it is a partition of, nor another loop device's range" {
  require root loop addpart
  make_sources
  truncate -s 8M disk.img
  make_loop disk.img
  disk=$LOOP
  addpart "$disk" 1 2048 4096 || skip "no partition can be made"
  later delpart "$disk" 1
  wait_for 20 test -b "${disk}p1"
  addpart "$disk" 2 8192 4096
  later delpart "$disk" 2
  cp disk.img disk.copy
  for pair in "$disk ${disk}p1" "${disk}p1 $disk" "${disk}p1 disk.img" "disk.img ${disk}p1"; do
    # shellcheck disable=SC2086
    expect_failure convert -U -n $pair
    expect_message "or device, or one is a part of the other"
  done
  # Two ranges of one file meet, or do not; so do two partitions.
  make_loop disk.img --offset 1M --sizelimit 2M
  first=$LOOP
  make_loop disk.img --offset 2M --sizelimit 2M
  second=$LOOP
  make_loop disk.img --offset 4M --sizelimit 2M
  expect_failure convert -U -n "$first" "$second"
  expect_failure convert -U -n "$first" "$disk"
  expect_failure convert -U -n "${disk}p1" "$first"
  # A loop device of a loop device, one whose file has no name any more, one whose file's name ends
  # in a blank.
  last=$LOOP
  make_loop "$first" --offset 512
  upper=$LOOP
  expect_failure convert -U -n "$second" "$upper"
  expect_failure convert -U -n "$upper" disk.img
  run -0 imgtool convert -U -n "$upper" "$last"
  ln disk.img linked.img
  make_loop linked.img --offset 512K
  rm linked.img
  expect_failure convert -U -n disk.img "$LOOP"
  truncate -s 1M 'blank '
  make_loop 'blank '
  expect_failure convert -U -n 'blank ' "$LOOP"
  sync -f .
  cmp -n 4M disk.img disk.copy
  run -0 imgtool convert -U -n "$first" "$last"
  run -0 imgtool convert -U -n "${disk}p1" "${disk}p2"
}

@test "L10, S7c: a source or backing file that cannot be read is known before a target in place changes" {
  require qemu-img
  make_sources
  truncate -s 4M there.raw
  echo "what was there" | dd of=there.raw conv=notrunc status=none
  cp there.raw there.copy
  qemu-img create -q -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 \
    secret.qcow2 4M
  targets=(there.raw)
  if ((EUID == 0)) && losetup --find >/dev/null 2>&1; then
    make_loop there.raw
    targets+=("$LOOP")
  fi
  for target in "${targets[@]}"; do
    for format in raw qcow2; do
      expect_failure convert --in-place -f qcow2 -O "$format" secret.qcow2 "$target"
      [[ $stderr == *"is encrypted"* && $stderr != *"not whole"* ]]
      sync -f .
      same there.raw there.copy
    done
    expect_failure convert --in-place -f raw -O qcow2 -B secret.qcow2 -F qcow2 src.raw "$target"
    sync -f .
    same there.raw there.copy
  done
}

@test "L7, S16: what exit 0 promised is there after a power cut" {
  safe L7
}

@test "L8: an fsync that fails fails the copy" {
  safe L8
  no_part_file
}

@test "L9, S3b: close() has nothing to report that fsync did not" {
  safe L9
}

@test "L10, S7b: an old target outlives a source that cannot be read" {
  safe L10
  no_part_file
}

@test "L10, S7b: an old target outlives content that does not fit" {
  safe L10b
  no_part_file
}

@test "L10, S7, S7c: an old target outlives bad options, and sources that are missing or wrong" {
  local wrong
  make_sources
  cp old.raw t.raw
  ln -s t.raw link.raw
  for wrong in '-o preallocation=nonsense src.raw' '-o cluster_size=3 src.raw' '-S 3 src.raw' \
    '-m 99 src.raw' '-t nonsense src.raw' 'missing.raw' 'src.raw missing.raw' "$DIR" \
    '--digest=nonsense src.raw' '-c src.raw' '-B src.raw -F raw src.raw'; do
    # shellcheck disable=SC2086 # several words
    expect_failure convert $wrong t.raw
    # shellcheck disable=SC2086
    expect_failure convert $wrong link.raw
    same t.raw old.raw
    [[ -h link.raw ]]
  done
  expect_failure imgtool convert -f qcow2 -O raw src.raw t.raw
  expect_failure imgtool convert -O nonsense src.raw t.raw
  same t.raw old.raw
  no_part_file
}

@test "L11, S6: a signal leaves nothing under the final name" {
  safe L11
}

@test "S6: a signal ends it by that signal, and nothing at all is left" {
  local signal number
  make_sources
  shim
  TOOL=$IMGTOOL
  cp old.raw t.raw
  for signal in INT TERM HUP; do
    start_faulty write:stop:3:t.raw convert -f raw -O raw src.raw t.raw
    wait_stopped
    kill -s $signal "$tool_pid"
    go_on
    number=$(kill -l $signal)
    [[ $first == $((128 + number)) ]]
    same t.raw old.raw
    no_part_file
  done
}

@test "L12, S22: a full standard output fails what prints" {
  safe L12
  expect_failure sh -c '"$1" convert -f raw -O raw src.raw - >/dev/full' sh "$IMGTOOL"
  expect_failure sh -c '"$1" convert --digest=sha256 -f raw -O raw src.raw t.raw >/dev/full' sh "$IMGTOOL"
  expect_failure sh -c '"$1" convert -p -f raw -O raw src.raw t2.raw >/dev/full' sh "$IMGTOOL"
  no_part_file
}

@test "L13, S12c: a mounted block device is no target" {
  safe L13
}

# ---- faults ---------------------------------------------------------------------------------

@test "S1: a full disk is an error, with nothing under the final name" {
  safe S1
  grep -qi 'no space' tool.err
}

@test "S1: so is a full quota, whenever the file system says so" {
  local fault
  make_sources
  shim
  TOOL=$IMGTOOL
  cp old.raw t.raw
  for fault in resize:EDQUOT:1 write:EDQUOT:1 write:EDQUOT:2 write:EDQUOT:1+ sync:EDQUOT:1; do
    faulty $fault:.t.raw.imgtool-part convert --reflink=never -f raw -O raw src.raw t.raw
    fault_fired
    [[ $code == 1 ]]
    grep -q 'Disk quota exceeded' tool.err
    grep -q "The old 't.raw' is untouched, and keeps its space.*--in-place" tool.err
    same t.raw old.raw
    no_part_file
  done
}

@test "a name that an NFS client remembers wrongly is looked up again, but not for ever" {
  make_sources
  shim
  TOOL=$IMGTOOL
  faulty open:ESTALE:1:/proc/self/fd/ convert -f raw -O raw src.raw t.raw
  fault_fired
  [[ $code == 0 ]]
  same t.raw src.raw
  faulty open:ESTALE:1+:/proc/self/fd/ convert -f raw -O raw src.raw t2.raw
  [[ $code == 1 && ! -e t2.raw ]]
  grep -q "cannot open 'src.raw'.*: Stale file handle" tool.err
  no_part_file
}

@test "S3: each fsync that fails fails the copy" {
  local i
  make_sources
  shim
  TOOL=$IMGTOOL
  for ((i = 1; i < 20; i++)); do
    rm -f t.raw
    faulty "sync:EIO:$i" convert -f raw -O raw src.raw t.raw
    fault_fired || break
    [[ $code == 1 ]]
    # Only the last one, of the folder, comes when the name is there already.
    [[ ! -e t.raw ]] || { same t.raw src.raw && grep -q 'power' tool.err; }
    no_part_file
  done
  ((i > 2))
}

@test "S4: each read that fails fails the copy" {
  safe S4
  # with as many workers as there may be, the first error wins
  for i in 1 2 3 4 5; do
    rm -f t.raw
    faulty "read:EIO:$i:src.raw" convert -m 32 -f raw -O raw src.raw t.raw
    fault_fired || break
    [[ $code == 1 && ! -e t.raw ]]
    grep -q 'src.raw' tool.err
  done
  ((i > 2))
}

# read_badly RANGE ARG...: convert while these bytes of src.raw cannot be read
read_badly() {
  local range=$1
  shift
  FAULT_RANGE=$range faulty read:EIO:1+:src.raw convert -f raw -O raw "$@"
}

@test "S4b: salvage replaces what cannot be read, to the sector, lists it, and exits 4" {
  local expected
  make_sources
  shim
  TOOL=$IMGTOOL
  export FAULT_RANGE
  read_badly 5243392-5244416 src.raw t.raw
  [[ $code == 1 && ! -e t.raw ]]
  grep -q '524' tool.err
  cp src.raw expected.raw
  dd if=/dev/zero of=expected.raw bs=512 seek=10241 count=2 conv=notrunc status=none
  for workers in 1 8; do
    rm -f t.raw
    read_badly 5243392-5244416 --salvage -m $workers src.raw t.raw
    [[ $code == 4 ]]
    same t.raw expected.raw
    grep -q 5243392 tool.err
    grep -q 1024 tool.err
    no_part_file
  done
  read_badly 5243392-5244416 --salvage -q src.raw t.raw
  [[ $code == 4 ]]
}

@test "S5: each write that fails fails the copy" {
  safe S5
}

@test "S17: short reads and writes and EINTR are no errors" {
  safe S17
}

@test "S18b: a source that changes meanwhile is told, and an error with --strict" {
  safe S18b
  [[ $first == 0 ]]
  grep -q src.raw first.err
  start_faulty write:stop:2:t2.raw convert --strict -f raw -O raw src.raw t2.raw
  wait_stopped
  printf changed | dd of=src.raw conv=notrunc bs=1 seek=6000000 status=none
  go_on
  [[ $first == 1 && ! -e t2.raw ]]
  no_part_file
}

@test "S19: RLIMIT_FSIZE is an error like others, not a signal" {
  make_sources
  for limit in 4096 65536 1048576 6291456; do
    run -1 --separate-stderr prlimit --fsize=$limit "$IMGTOOL" convert -f raw -O raw src.raw t.raw
    expect_message 'File too large'
    [[ ! -e t.raw ]]
    no_part_file
  done
  prlimit --fsize=8388608 "$IMGTOOL" convert -f raw -O raw src.raw t.raw
  same t.raw src.raw
}

@test "S24: each allocation that fails: no target, or a complete one" {
  local i wrong=0 failed=0 step=3 # of three, or in "make check-sweep" each
  [[ ${SWEEP-} != long ]] || step=1
  make_sources
  if is_sanitized; then # with an allocator of its own, which does not fail
    convert src.raw t.raw
    same t.raw src.raw
    return
  fi
  shim -DFAULT_MALLOC
  TOOL=$IMGTOOL
  for ((i = 1; i < 4000; i += step)); do
    rm -f t.raw
    faulty "malloc:ENOMEM:$i" convert -m 1 -f raw -O raw src.raw t.raw
    fault_fired || break
    [[ $code == 0 ]] || failed=$((failed + 1))
    [[ $code != 0 && ! -e t.raw ]] || same t.raw src.raw || wrong=$((wrong + 1))
    # GLib gives up with a signal: that is a kill like any other.
  done
  echo "$i allocations, $failed ended it"
  ((i > 20 && failed > 0 && wrong == 0))
  convert src.raw t.raw
  same t.raw src.raw
  no_part_file
}

# ---- who else uses it -----------------------------------------------------------------------

@test "S9: a target that a virtual machine has is refused, also with -U" {
  require "$QEMU"
  make_sources
  cp old.raw t.raw
  hold_qemu vm -drive file=t.raw,format=raw
  for option in -q -U -n --in-place; do
    expect_failure convert $option src.raw t.raw
    expect_message "pid ${PID[vm]}"
    same t.raw old.raw
  done
  expect_failure imgtool create -f raw t.raw 8M
  same t.raw old.raw
  no_part_file
}

@test "S9b: a target that a program has locked and shares is refused" {
  require qemu-io
  safe S9b
}

@test "S9b: a target that a program without locks can write to is refused, naming it" {
  make_sources
  cp old.raw t.raw
  hold_open writer read-write t.raw
  expect_failure convert src.raw t.raw
  expect_message "pid ${PID[writer]}"
  same t.raw old.raw
  run -0 convert --ignore-openers src.raw t.raw
  same t.raw src.raw
}

@test "S9b: a target that a loop device has is refused" {
  require root loop
  make_sources
  cp old.raw t.raw
  make_loop t.raw
  expect_failure convert src.raw t.raw
  expect_message "$LOOP"
  same t.raw old.raw
}

@test "S10: a source that is written to is refused; with -U it is read, with a warning" {
  require "$QEMU"
  make_sources
  hold_qemu vm -drive file=src.raw,format=raw
  expect_failure convert src.raw t.raw
  expect_message "pid ${PID[vm]}"
  [[ ! -e t.raw ]]
  run -0 --separate-stderr convert -U src.raw t.raw
  same t.raw src.raw
  [[ -n $stderr ]]
}

@test "S11: where a file system cannot lock nothing is written, unless that is asked for" {
  make_sources
  for locking in on auto posix; do
    run --separate-stderr without all "$IMGTOOL" convert --locking=$locking -f raw -O raw src.raw t.raw
    [[ $status == 1 && ! -e t.raw ]]
    expect_message --locking=off
  done
  run -0 --separate-stderr without all "$IMGTOOL" convert --locking=off -f raw -O raw src.raw t.raw
  expect_no_message
  same t.raw src.raw
  no_part_file
}

@test "S11: a kernel without OFD locks: POSIX locks and a warning with --locking=on" {
  make_sources
  run -0 --separate-stderr without ofd "$IMGTOOL" convert --locking=on -f raw -O raw src.raw t.raw
  expect_message lock
  same t.raw src.raw
  rm t.raw
  run -0 --separate-stderr without ofd "$IMGTOOL" convert --locking=posix -f raw -O raw src.raw t.raw
  expect_no_message
  same t.raw src.raw
  no_part_file
}

# second SECOND-COMMAND...: convert src.raw over old.raw, and another program comes meanwhile; the
# status of that one is in $code, of the convert in $first
second() {
  make_sources
  shim
  TOOL=$IMGTOOL
  cp old.raw t.raw
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped
  code=0
  timeout 30 "$@" >second.out 2>&1 </dev/null || code=$?
  during=$(fate t.raw src.raw old.raw)
  go_on
}

@test "D1: a convert of qemu-img to the same target meanwhile does not matter" {
  require qemu-img
  second qemu-img convert -f raw -O qcow2 old.raw t.raw
  [[ $code == 1 ]]
  refused_or_right "$first" "$(fate t.raw src.raw old.raw)" old
}

@test "D2: nor does a create of a raw image" {
  require qemu-img
  second qemu-img create -f raw t.raw 8M
  [[ $code == 1 && $first == 0 ]]
  same t.raw src.raw
}

@test "D3: nor does a create of a qcow2 image, which deletes the old target" {
  require qemu-img
  second qemu-img create -f qcow2 t.raw 8M
  [[ $code == 1 ]]
  refused_or_right "$first" "$(fate t.raw src.raw old.raw)" old
}

@test "D4: nor does a resize" {
  require qemu-img
  second qemu-img resize --shrink -f raw t.raw 1M
  [[ $code == 1 && $first == 0 && $during == "old target intact" ]]
  same t.raw src.raw
}

@test "D5: a virtual machine does not get the target meanwhile" {
  require "$QEMU"
  second "$QEMU" -S -machine "$QEMU_MACHINE" -nodefaults -display none -monitor none \
    -drive file=t.raw,format=raw
  [[ $code == 1 && $first == 0 && $during == "old target intact" ]]
  grep -q 'Failed to get' second.out
  same t.raw src.raw
}

@test "D6: a reader is refused, or sees the old target" {
  require qemu-img
  second qemu-img convert -f raw -O raw t.raw seen.raw
  [[ $code != 0 ]] || same seen.raw old.raw
  [[ $first == 0 ]]
  same t.raw src.raw
}

@test "D: what appears under a new target's name meanwhile stays, and is an error" {
  make_sources
  shim
  TOOL=$IMGTOOL
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped
  [[ ! -e t.raw ]]
  cp old.raw t.raw
  go_on
  [[ $first == 1 && -s first.err ]]
  same t.raw old.raw
  no_part_file
}

# ---- targets --------------------------------------------------------------------------------

@test "S12: a device that is too small is refused before a byte is written" {
  require root loop
  make_sources
  yes old | head -c 4M >disk.img
  cp disk.img disk.copy
  make_loop disk.img
  expect_failure convert -n src.raw "$LOOP"
  expect_failure convert src.raw "$LOOP"
  sync -f .
  same disk.img disk.copy
}

@test "S12b: on a device with old data holes are zeros; what lies behind keeps what it had" {
  require root loop
  make_sources
  yes old | head -c 10M >disk.img
  cp disk.img disk.copy
  make_loop disk.img
  run -0 --separate-stderr convert -n src.raw "$LOOP"
  sync -f .
  cmp -n 8388608 src.raw disk.img
  cmp -i 8388608 disk.img disk.copy
  expect_no_message
  run -0 --separate-stderr convert -v -n src.raw "$LOOP"
  expect_message 2097152 "$LOOP" # what is not written is told who wants to know
}

@test "S13: convert -n onto a file that is not zero" {
  make_sources
  tr '\0' '\377' </dev/zero | head -c 8M >t.raw
  run -0 convert -n src.raw t.raw
  same t.raw src.raw
  [[ $(stat -c %i t.raw) ]] # in place: no new file
}

@test "S14: convert -n onto a smaller file is refused, the file is intact" {
  make_sources
  cp old.raw t.raw
  expect_failure convert -n src.raw t.raw
  same t.raw old.raw
  expect_failure convert -n src.raw not-there.raw
  [[ ! -e not-there.raw ]]
}

@test "S15: what is no place for an image is refused" {
  local nodes=() target source
  make_sources
  mkfifo fifo
  mkdir folder
  if has root; then # not the real ones: a mistake could replace them
    mknod null c 1 3
    mknod zero c 1 5
    nodes=(null zero)
  fi
  for target in folder fifo "${nodes[@]}" no/such/folder/t.raw; do
    expect_failure convert src.raw "$target"
    expect_failure convert -n src.raw "$target"
  done
  [[ -d folder && -p fifo ]]
  for target in "${nodes[@]}"; do [[ -c $target ]]; done
  for source in folder fifo /dev/zero /dev/null; do
    expect_failure convert "$source" t.raw
    [[ ! -e t.raw ]]
  done
  no_part_file
}

@test "S15: a folder and a file that may not be written" {
  require root
  make_sources
  imgtool_for_nobody
  mkdir closed open
  chmod 777 open
  cp old.raw closed/t.raw
  cp old.raw open/t.raw
  chmod 444 open/t.raw
  chmod 644 src.raw
  expect_failure as_nobody bin/imgtool convert -f raw -O raw src.raw closed/new.raw
  expect_failure as_nobody bin/imgtool convert -f raw -O raw src.raw closed/t.raw
  expect_failure as_nobody bin/imgtool convert -f raw -O raw src.raw open/t.raw
  same closed/t.raw old.raw
  same open/t.raw old.raw
  no_part_file
}

@test "S15b: a hard-linked target is refused, naming --in-place, which changes both names" {
  make_sources
  cp old.raw t.raw
  ln t.raw other.raw
  expect_failure convert src.raw t.raw
  expect_message --in-place
  same t.raw old.raw
  run -0 convert --in-place src.raw t.raw
  same t.raw src.raw
  [[ t.raw -ef other.raw ]]
}

@test "S20: offsets around 2 GiB, 4 GiB and 2 TiB" {
  local offset
  require qemu-img
  truncate -s 3T src.raw || skip "needs: a file system with large files"
  for offset in $((2 ** 31)) $((2 ** 32)) $((2 ** 41)); do
    seq 100000 | head -c 65536 |
      dd of=src.raw bs=4096 seek=$(((offset - 32768) / 4096)) conv=notrunc status=none
  done
  for workers in 1 8; do
    rm -f t.raw
    convert -m $workers src.raw t.raw
    run -0 qemu-img compare -f raw -F raw src.raw t.raw
    (($(stat -c %b t.raw) < 4096))
  done
}

@test "S21: closed standard streams" {
  make_sources
  for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- >&- 2>&-'; do
    rm -f t.raw
    eval "timeout 60 '$IMGTOOL' convert -f raw -O raw src.raw t.raw $closed"
    same t.raw src.raw
  done
  # A message, if there is one, must not go into an image.
  status=0
  sh -c '"$1" convert -f raw -O raw missing.raw t.raw <&- >&- 2>&-' sh "$IMGTOOL" || status=$?
  [[ $status == 1 ]]
  same t.raw src.raw
  same src.raw src.copy
}

@test "S23: a new target is not opened wider than its source" {
  safe S23
  umask 027
  chmod 644 src.raw
  rm t.raw
  convert src.raw t.raw
  [[ $(stat -c %a t.raw) == 640 ]]
  chmod 604 t.raw
  convert src.raw t.raw
  [[ $(stat -c %a t.raw) == 604 ]] # an old target keeps its mode
}
