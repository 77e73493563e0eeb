# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What tests of file systems with two mounts, a and b, have in common. For tests that have loaded
# lib-lab.

# anew COMMAND NAME...: start, guard or hold_* under a name that was used before, whose last words
# must not be taken for the new one's
anew() {
  : >"$HOLD/$2.out"
  "$@"
}

# as_qemu MOUNT LOCKING: the image there, as QEMU wants it with a mode of its own
as_qemu() {
  echo "driver=raw,file.driver=file,file.filename=$1/disk.raw,file.locking=$2"
}

# lets_in_qemu_io MOUNT [LOCKING]: whether qemu-io may write there
lets_in_qemu_io() {
  timeout 20 qemu-io -c 'write 0 512' --image-opts "$(as_qemu "$1" "${2:-on}")" >/dev/null
}

# lets_in_qemu_img MOUNT [LOCKING]: whether qemu-img may write there (nothing is changed)
lets_in_qemu_img() {
  timeout 20 qemu-img resize -q --image-opts "$(as_qemu "$1" "${2:-on}")" 4M
}

# lets_in_vm MOUNT [LOCKING]: whether a virtual machine starts that writes there
lets_in_vm() {
  timeout 30 "$QEMU" -S -machine "$QEMU_MACHINE" -nodefaults -display none -monitor stdio \
    -blockdev "driver=file,node-name=file,filename=$1/disk.raw,locking=${2:-on}" \
    -blockdev driver=raw,node-name=raw,file=file -device virtio-blk-pci,drive=raw <<<quit >/dev/null
}

# hold_vm NAME MOUNT: a virtual machine that writes there
hold_vm() {
  hold_qemu "$1" -drive "file=$2/disk.raw,format=raw,if=virtio"
}

# keeps_out_all MOUNT: imgtool in each mode that locks, qemu-img and qemu-io
keeps_out_all() {
  local mode
  for mode in auto on posix; do
    run -124 lets_in "$1" --locking=$mode
  done
  run -1 --separate-stderr lets_in_qemu_img "$1"
  expect_message 'Failed to get'
  run -1 --separate-stderr lets_in_qemu_io "$1"
  expect_message 'Failed to get'
}

# lets_in_all MOUNT
lets_in_all() {
  local mode
  for mode in auto on posix; do
    run -0 lets_in "$1" --write --locking=$mode
  done
  run -0 lets_in_qemu_img "$1"
  run -0 lets_in_qemu_io "$1"
}

# contend [lock's arguments on b]: two imgtools and a qemu-io, each ROUNDS times; what must not be is
# written to file "overlaps". Two that are in at once are found by a folder that each makes, a writer
# that was let in by the bytes on the server, which must not change meanwhile.
contend() {
  local name
  export ROUNDS=${LAB_ROUNDS:-10}
  start one bash -c "for ((i = 0; i < ROUNDS; i++)); do
    '$IMGTOOL' lock --write --wait=60 a/disk.raw -- '$TOOLS/inside' back/disk.raw || echo failed >>overlaps
    done; echo done"
  start two bash -c "for ((i = 0; i < ROUNDS; i++)); do
    '$IMGTOOL' lock --write --wait=60 $* b/disk.raw -- '$TOOLS/inside' back/disk.raw || echo failed >>overlaps
    done; echo done"
  # One that opens the image again and again: to start as often would take most of the time.
  start three bash -c 'for ((i = 0; i < ROUNDS; i++)); do
    printf "%s\n" "open -o driver=raw b/disk.raw" "write -P $((RANDOM % 255)) 0 512" "sleep 5" \
      "write -P $((RANDOM % 255)) 0 512" close "sleep 10"; done | qemu-io; echo; echo done'
  for name in one two three; do
    wait_for $((100 + ROUNDS * 4)) said_or_died $name '^done'
    grep -q '^done' "$HOLD/$name.out"
  done
  echo "# $((2 * ROUNDS)) guards, $(grep -c 'wrote 512' "$HOLD/three.out") writes by qemu-io" >&3
}
