#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool's locks and those of others: each respects the other, in both directions. A read lock
# is what `check` takes for a moment; hold-image holds imgtool's locks for as long as a test needs.

load lib

# try_hold STATUS [hold-image's arguments]: take the lock for an instant
try_hold() {
  run "-$1" --separate-stderr timeout --foreground 60 "$TOOLS/hold-image" "${@:2}" </dev/null
}

# locks_of NAME: its lock lines, as "TYPE MODE START END"
locks_of() {
  sed -n 's/^lock:\t[0-9]*: //p' "/proc/${PID[$1]}/fdinfo/"* | awk '{ print $1, $3, $6, $7 }'
}

@test "a writer holds QEMU's bytes, on raw and on qcow2" {
  make_raw disk.raw
  make_qcow2 disk.qcow2
  for image in disk.raw disk.qcow2; do
    hold_image writer --write "$image"
    [[ $(locks_of writer | sort -u) == "OFDLCK READ 100 101
OFDLCK READ 103 103
OFDLCK READ 201 201
OFDLCK READ 203 203" ]]
    stop writer
  done
}

@test "a reader forbids writing and resizing, and other readers do not mind" {
  make_qcow2 disk.qcow2
  hold_image reader --read disk.qcow2
  [[ $(locks_of reader | sort -u) == "OFDLCK READ 100 100
OFDLCK READ 201 201
OFDLCK READ 203 203" ]]
  try_hold 0 --read disk.qcow2
  run -0 qemu-img check disk.qcow2
  run -0 qemu-img info disk.qcow2
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  expect_text 'Failed to get "write" lock'
  run -1 qemu-img resize disk.qcow2 +1M
}

@test "while imgtool writes, QEMU's programs are kept out" {
  make_qcow2 disk.qcow2
  hold_image writer --write disk.qcow2
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  expect_text 'Failed to get "write" lock'
  run -1 qemu-img info disk.qcow2
  expect_text 'Failed to get shared "write" lock'
  run -1 qemu-img convert -O raw disk.qcow2 out.raw
  run -0 qemu-img info -U disk.qcow2

  make_raw disk.raw
  hold_image raw_writer --write disk.raw
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  run -1 qemu-img resize -f raw disk.raw +1M
  stop raw_writer
  run -0 qemu-io -f raw -c 'write 0 512' disk.raw
}

@test "a VM cannot start on what imgtool writes" {
  make_qcow2 disk.qcow2
  hold_image writer --write disk.qcow2
  run -1 timeout 30 "$QEMU" -S -machine none -nodefaults -display none -monitor none \
    -drive file=disk.qcow2,format=qcow2,if=none,id=d
  expect_text 'Failed to get "write" lock'
}

@test "lock-status names imgtool's own holder like any other" {
  make_qcow2 disk.qcow2
  hold_image writer --write disk.qcow2
  json_status 1 disk.qcow2
  expect_holder writer '{kind: "lock", lock: "OFD", style: "qemu",
    uses: ["consistent read", "write", "resize"], forbids: ["write", "resize"]}'
}

@test "while QEMU holds, imgtool is kept out" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name web01 -drive file=disk.qcow2,format=qcow2,if=virtio

  try_hold 1 --write disk.qcow2
  expect_message "cannot open 'disk.qcow2': Failed to get \"write\" lock"
  try_hold 1 --read disk.qcow2
  expect_message "cannot open 'disk.qcow2': Failed to get shared \"write\" lock"
  stop vm
  try_hold 0 --write disk.qcow2
}

@test "while QEMU only reads, imgtool may read and not write" {
  make_qcow2 disk.qcow2
  hold_io io -r disk.qcow2
  try_hold 0 --read disk.qcow2
  try_hold 1 --write disk.qcow2
  expect_message 'Failed to get "write" lock'
}

@test "on raw imgtool's writer is stricter than QEMU's: alone, whoever else writes" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=none,id=d \
    -device virtio-blk-pci,drive=d,share-rw=on
  try_hold 1 --write disk.raw
  expect_message 'Failed to get shared "write" lock'
}

@test "two of imgtool's writers: one at a time; two readers: both" {
  make_raw disk.raw
  hold_image first --write disk.raw
  try_hold 1 --write disk.raw
  expect_message 'Failed to get "write" lock'
  try_hold 1 --read disk.raw
  stop first
  hold_image first --read disk.raw
  try_hold 0 --read disk.raw
  try_hold 1 --write disk.raw
}

@test "two names of one file are one image" {
  make_raw disk.raw
  ln disk.raw hard.raw
  ln -s disk.raw soft.raw
  hold_image writer --write disk.raw
  try_hold 1 --write hard.raw
  try_hold 1 --write soft.raw
}

@test "a foreign write lock over QEMU's bytes" {
  make_raw disk.raw
  hold_locks vmm --write-lock disk.raw 0 0
  try_hold 1 --write disk.raw
  expect_message "Failed to lock byte 100"
  [[ $stderr != *": Resource temporarily unavailable"* ]]
}

@test "the lock goes with the process, however it ends" {
  make_qcow2 disk.qcow2
  for signal in TERM KILL INT; do
    hold_image writer --write disk.qcow2
    stop writer "$signal"
    run -0 qemu-io -c 'write 0 512' disk.qcow2
  done
}

@test "waiting for the lock: granted when the holder goes" {
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  start waiter "$TOOLS/hold-image" --write --wait=30 disk.qcow2
  sleep 0.7
  refute grep -q ready "$HOLD/waiter.out"
  stop io
  says waiter '^ready'
  run -1 qemu-io -c 'write 0 512' disk.qcow2
}

@test "waiting for the lock: given up in time" {
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  begin=$(now_us)
  try_hold 1 --write --wait=0.5 disk.qcow2
  tenths=$((($(now_us) - begin) / 100000))
  ((tenths >= 5 && tenths < 50))
  expect_message 'Failed to get "write" lock'
}

@test "a waiting writer keeps nobody out meanwhile" {
  make_qcow2 disk.qcow2
  hold_io reader -r disk.qcow2
  start waiter "$TOOLS/hold-image" --write --wait=30 disk.qcow2
  for _ in {1..8}; do
    # One that meets the very moment of an attempt may be refused once, as by any other opener.
    qemu-img check -q disk.qcow2 || qemu-img check -q disk.qcow2 || qemu-img check -q disk.qcow2
  done
  stop reader
  says waiter '^ready'
}

@test "the image is replaced while imgtool waits: it takes the new one" {
  make_raw disk.raw
  make_raw new.raw
  hold_locks old disk.raw 201 1
  start waiter "$TOOLS/hold-image" --write --wait=30 disk.raw
  sleep 0.4
  mv new.raw disk.raw
  stop old
  says waiter '^ready'
  # It is the file behind the name that is locked now.
  json_status 1 disk.raw
  expect_holder waiter '{uses: ["consistent read", "write", "resize"]}'
}
