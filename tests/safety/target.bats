#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# What becomes of a target, and of who else wants it, in the moments that are easily forgotten.

load ../cli/lib
load lib-safety

freeze() {
  fsfreeze --freeze mounted
  later fsfreeze --unfreeze mounted
}

@test "a signal: the target stays locked until nothing is written any more" {
  require root loop mkfs.ext4 fsfreeze
  numbered src.raw 32 1
  make_filesystem ext4 disk.img mounted 96M
  for mode in posix on; do
    cp src.raw mounted/t.raw
    start copy "$IMGTOOL" convert --locking=$mode -n -m 2 -r 4M -f raw src.raw mounted/t.raw
    wait_for 20 has_locks "${PID[copy]}" 201
    freeze
    sleep 0.5
    kill -TERM "${PID[copy]}"
    sleep 0.3
    # Its writes are in the kernel and come when the file system goes on.
    run -124 --separate-stderr imgtool lock --locking=$mode --write mounted/t.raw -- true
    fsfreeze --unfreeze mounted
    wait "${PID[copy]}" || true
    unset "PID[copy]"
    run -0 imgtool lock --locking=$mode --wait=20 --write mounted/t.raw -- true
  done
}

@test "a new image on a device: that the old one is gone is said, whenever it fails" {
  require root loop strace qemu-img
  numbered src.raw 1 1
  truncate -s 8M disk.img
  make_loop disk.img
  run -0 imgtool convert -f raw -O qcow2 src.raw "$LOOP"
  run -1 --separate-stderr strace -f -qq -o trace.log -e inject=fsync:error=EIO:when=1 \
    "$IMGTOOL" convert --no-sandbox -m 1 -f raw -O qcow2 src.raw "$LOOP"
  expect_message "was being written in place and is not whole now"
  run -1 --separate-stderr strace -f -qq -o trace.log -e inject=fsync:error=EIO:when=1 \
    "$IMGTOOL" create --no-sandbox -q -f qcow2 "$LOOP" 1M
  expect_message "is not whole now"
}

@test "what a source may be is not asked of the target of -n" {
  require qemu-img
  numbered src.raw 1 1
  qemu-img create -q -f qcow2 t.qcow2 64M
  run -0 imgtool convert -n --max-size=8M -f raw -O qcow2 src.raw t.qcow2
  make_raw base.raw 1M
  qemu-img create -q -f qcow2 -b base.raw -F raw t.qcow2
  run -0 imgtool convert -n --untrusted -f raw -O qcow2 src.raw t.qcow2
  qemu-img compare -q -f qcow2 -F raw t.qcow2 src.raw
}

@test "a disk that others may not read is copied into a file that they may not read" {
  require root loop
  numbered disk.img 1 1
  make_loop disk.img
  chmod 600 "$LOOP"
  umask 022
  run -0 imgtool convert -f raw -O raw "$LOOP" t.raw
  [[ $(stat -c %a t.raw) == 600 ]]
  chmod 660 "$LOOP"
}

@test "who has the old data file of a new image open is not overlooked" {
  require qemu-img
  numbered src.raw 1 1
  run -0 imgtool convert -f raw -O qcow2 -o data_file=t.data src.raw t.qcow2
  cp t.data before
  hold_open writer read-write t.data
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 -o data_file=t.data src.raw t.qcow2
  expect_message "cannot write to 't.data'" "--ignore-openers"
  cmp t.data before
}

@test "new data and an old image: that they do not fit is said" {
  require strace
  numbered src.raw 1 1
  run -0 imgtool convert -f raw -O qcow2 -o data_file=t.data src.raw t.qcow2
  run -1 --separate-stderr strace -f -qq -o trace.log -e inject=rename,renameat,renameat2:error=EIO:when=2 \
    "$IMGTOOL" convert --no-sandbox -m 1 -f raw -O qcow2 -o data_file=t.data src.raw t.qcow2
  expect_message "Its new data file is in place already" "must be written again"
  no_part_file
}

@test "a source given twice is complained of once" {
  numbered src.raw 4 1
  start touching sh -c 'while :; do touch src.raw; sleep 0.01; done'
  run -0 --separate-stderr imgtool convert -r 20M -f raw -O raw src.raw src.raw t.raw
  [[ $(grep -c 'was changed while it was read' <<<"$stderr") == 1 ]]
}

@test "one device by two names, as two sources and in two chains" {
  require root loop qemu-img
  numbered disk.img 1 1
  make_loop disk.img
  for name in one two; do
    mknod $name b "0x$(stat -c %t "$LOOP")" "0x$(stat -c %T "$LOOP")"
    qemu-img create -q -f qcow2 -b "$DIR/$name" -F raw $name.qcow2
  done
  run -0 imgtool convert -f raw -O raw one two t.raw
  cat disk.img disk.img | cmp - t.raw
  run -0 imgtool lock -b --allow-devices one.qcow2 two.qcow2 -- true
  run -0 imgtool lock one two -- true
  run -0 imgtool convert -U -f raw -O raw disk.img disk.img one t.raw
}

@test "a file system that is mounted may change while it is copied, which is said" {
  require root loop mkfs.ext4
  make_filesystem ext4 disk.img mounted 16M
  device=$(findmnt -n -o SOURCE mounted)
  run -0 --separate-stderr imgtool convert -f raw -O raw "$device" t.raw
  expect_message "'$device' may change while it is read" "mounted"
  umount mounted
  make_loop disk.img
  run -0 --separate-stderr imgtool convert -f raw -O raw "$LOOP" t.raw
  [[ -z $stderr ]]
}

@test "check --data follows no name that other commands do not follow" {
  require qemu-img
  qemu-img create -q -f qcow2 -o data_file=t.data top.qcow2 1M
  cp top.qcow2 guest.raw
  run -1 --separate-stderr imgtool check --data guest.raw
  expect_message "A guest can write that into a raw disk"
  run -0 imgtool check --data top.qcow2
  hold_qemu vm -blockdev driver=file,filename=t.data,node-name=x
  run -1 --separate-stderr imgtool check --untrusted --data top.qcow2
  expect_message "'top.qcow2' is not safe to read"
}

@test "what the kernel makes up as it is read is no image" {
  for file in /proc/cpuinfo /proc/self/mem /sys/kernel/uevent_seqnum; do
    [[ -e $file ]] || continue
    run -1 --separate-stderr imgtool convert -f raw -O raw $file t.raw
    [[ ! -e t.raw ]]
  done
  # By way of /proc real files are found.
  numbered src.raw 1 1
  imgtool convert -f raw -O raw /proc/self/fd/9 t.raw 9<src.raw
  cmp src.raw t.raw
}
