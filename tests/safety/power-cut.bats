#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2034,SC2154
#
# The power fails: what the file system had not yet sent to its disk is gone. After exit status 0 the
# target is complete; at any other moment there is none, the old one, or the complete one. The cut
# is the shutdown that ext4 and XFS offer for such tests, without flushing their journal.

load ../cli/lib
load lib-safety
load power-cut

# begin_with new|old: the target of the next copy, safely on the disk
begin_with() {
  rm -f mnt/t.raw mnt/.t.raw.imgtool-*
  [[ $1 == new ]] || cp old.raw mnt/t.raw
  sync -f mnt
}

# look new|old POINT: after the cut; code is the copy's exit status, or empty if it had none
look() {
  local fate
  power_returns
  cuts=$((cuts + 1))
  fate=$(fate mnt/t.raw "$WANT" "$([[ $1 == new ]] || echo old.raw)")
  case $1:$code:$fate in
    *:"target complete" | new:[!0]*:"no target" | new::"no target") return ;;
    old:[!0]*:"old target intact" | old::"old target intact") return ;;
  esac
  wrong=$((wrong + 1))
  echo "$1, $2: exit '$code', $fate"
}

# after_success TYPE [as_qcow2's option...]: cut right after exit status 0
after_success() {
  disk "$1"
  (($# == 1)) || as_qcow2 "${@:2}"
  for ((i = 0; i < ${CUTS:-3}; i++)); do
    for kind in new old; do
      begin_with $kind
      code=0
      "$IMGTOOL" "${COPY[@]}" src.raw mnt/t.raw || code=$?
      cut_power mnt
      [[ $code == 0 ]]
      look $kind "after the end"
    done
  done
  verdict $((${CUTS:-3} * 2))
}

@test "power cut: right after exit 0, ext4" {
  after_success ext4
}

@test "power cut: right after exit 0, XFS" {
  after_success xfs
}

@test "power cut: right after create, which also says exit 0" {
  disk ext4
  cp old.raw src.raw
  truncate -s 0 src.raw
  truncate -s 3M src.raw
  for kind in new old; do
    begin_with $kind
    code=0
    imgtool create -q -f raw mnt/t.raw 3M || code=$?
    cut_power mnt
    [[ $code == 0 ]]
    look $kind "after create"
  done
  verdict 2
}

# at_calls TYPE [as_qcow2's option...]: cut before each write, flush, rename and so on
at_calls() {
  local group n kind
  disk "$1"
  (($# == 1)) || as_qcow2 "${@:2}"
  for kind in new old; do
    for group in write resize sync rename link unlink; do
      for ((n = 1; n < 20; n++)); do
        begin_with $kind
        start_faulty "$group:stop:$n:mnt" "${COPY[@]}" -m 1 src.raw mnt/t.raw
        wait_stopped || { go_on && break; }
        cut_now
        [[ ! $code ]]
        look $kind "before $group #$n"
      done
    done
  done
  verdict 10
}

@test "power cut: before each call that changes something, ext4" {
  at_calls ext4
}

@test "power cut: before each call that changes something, XFS" {
  at_calls xfs
}

@test "power cut: right after exit 0, qcow2 on ext4" {
  CUTS=${CUTS:-2}
  after_success ext4 -o compat=1.1
}

@test "power cut: right after exit 0, qcow2 on XFS" {
  CUTS=${CUTS:-2}
  after_success xfs -c
}

@test "power cut: before each call that changes something, qcow2 on ext4" {
  at_calls ext4 -o compat=1.1
}

@test "power cut: before each call that changes something, qcow2 on XFS" {
  at_calls xfs -c
}

# image_now: what is at mnt/t.raw is the new image, or no image at all
image_now() {
  cmp -s mnt/t.raw "$WANT" || ! qemu-img info -f qcow2 mnt/t.raw >/dev/null 2>&1
}

@test "power cut: before each call, qcow2 in place: no image, or the whole one" {
  disk ext4
  as_qcow2
  COPY+=(--in-place)
  qemu-img create -q -f qcow2 empty.qcow2 8M
  for group in write resize sync; do
    for ((n = 1; n < 20; n++)); do
      cp empty.qcow2 mnt/t.raw
      sync -f mnt
      start_faulty "$group:stop:$n:mnt" "${COPY[@]}" -m 1 src.raw mnt/t.raw
      wait_stopped || { go_on && break; }
      cut_now
      power_returns
      cuts=$((cuts + 1))
      image_now || cmp -s mnt/t.raw empty.qcow2 || { wrong=$((wrong + 1)) && echo "before $group #$n"; }
    done
  done
  verdict 5
}

# bitmaps_of IMAGE: those that QEMU finds in it, "null" for none
bitmaps_of() {
  qemu-img info -f qcow2 --output=json "$1" | jq -c '."format-specific".data.bitmaps'
}

# written_into: mnt/t.raw has all of the old content or all of the new, with all bitmaps or none; its
# snapshot is there
written_into() {
  qemu-img check -q -f qcow2 mnt/t.raw >/dev/null 2>&1 || [[ $? == 3 ]] || return 1
  qemu-img convert -f qcow2 -O raw -l kept mnt/t.raw kept.raw && cmp kept.raw into.raw || return 1
  [[ $(bitmaps_of mnt/t.raw) == "$(bitmaps_of src.qcow2)" ]] && finished=$((finished + 1)) ||
    [[ $(bitmaps_of mnt/t.raw) == null ]] || return 1
  qemu-img compare -q -f qcow2 -F raw mnt/t.raw src.raw ||
    { [[ $(bitmaps_of mnt/t.raw) == null ]] && qemu-img compare -q -f qcow2 -F raw mnt/t.raw into.raw; }
}

@test "power cut: before each call, into an image that is there: the old content or the new" {
  local finished=0 step=$((${CUTS:-0} > 20 ? 1 : 3))
  require jq
  disk ext4
  as_qcow2
  for name in b0 b1; do
    qemu-img bitmap --add -g 32k src.qcow2 $name
    qemu-io -f qcow2 -c "read -q 0 64k" -c "write -q -P 7 6M 64k" src.qcow2
  done
  qemu-img convert -f qcow2 -O raw src.qcow2 src.raw
  cp old.raw into.raw
  truncate -s 8M into.raw
  qemu-img convert -f raw -O qcow2 into.raw into.qcow2
  qemu-img snapshot -c kept into.qcow2
  COPY=(convert -n --bitmaps -f qcow2 -O qcow2)
  for group in write resize sync; do
    for ((n = 1; n < 60; n += step)); do
      cp into.qcow2 mnt/t.raw
      sync -f mnt
      start_faulty "$group:stop:$n:mnt" "${COPY[@]}" -m 1 src.qcow2 mnt/t.raw
      wait_stopped || { go_on && break; }
      cut_now
      power_returns
      cuts=$((cuts + 1))
      written_into || { wrong=$((wrong + 1)) && echo "before $group #$n"; }
    done
  done
  echo "# $finished with all bitmaps"
  verdict 6
}

# at_random TYPE
at_random() {
  local begin whole
  disk "$1"
  begin_with new
  begin=$(now_us)
  "$IMGTOOL" "${COPY[@]}" src.raw mnt/t.raw
  whole=$(($(now_us) - begin))
  for ((i = 0; i < ${CUTS:-3} * 2; i++)); do
    for kind in new old; do
      begin_with $kind
      "$IMGTOOL" "${COPY[@]}" src.raw mnt/t.raw >/dev/null 2>&1 &
      tool_pid=$!
      sleep "$(printf '0.%06d' $((SRANDOM % whole)))"
      cut_now
      look $kind "at some time"
    done
  done
  verdict $((${CUTS:-3} * 4))
}

@test "power cut: at random times, ext4" {
  at_random ext4
}

@test "power cut: at random times, XFS" {
  at_random xfs
}
