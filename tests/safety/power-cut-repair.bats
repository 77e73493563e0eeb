#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034,SC2154
#
# The power fails at each write of a repair: afterwards the image is no worse than before, and what was
# done can be undone. After exit status 0 it is good.

load ../cli/lib
load ../damage/qcow2
load ../damage/check
load lib-safety
load power-cut
load repair

# begin: the damaged image, safely on the disk
begin() {
  rm -f mnt/undo
  cp before.qcow2 mnt/disk.qcow2
  sync -f mnt
}

# put_back: what was done is undone, if there is something to undo it with
put_back() {
  cmp -s mnt/disk.qcow2 before.qcow2 && return
  cp mnt/disk.qcow2 cut.qcow2
  imgtool check -q --undo mnt/undo mnt/disk.qcow2 && cmp mnt/disk.qcow2 before.qcow2
  local status=$?
  cp cut.qcow2 mnt/disk.qcow2
  return $status
}

# is_no_worse: of the image on the disk; no_worse repairs it, so that is done to a copy
is_no_worse() {
  local sum
  cp mnt/disk.qcow2 disk.qcow2
  read -r sum _ < <(sha256sum disk.qcow2)
  [[ " ${looked[*]} " == *" $sum "* ]] && return
  no_worse before.qcow2 || return
  looked+=("$sum")
}

# cuts_of_repair KIND [check's option]...: a cut before each of its writes, flushes and resizes
cuts_of_repair() {
  local group n kind=$1
  shift
  damaged "$kind"
  note_content
  for group in write sync resize; do
    for ((n = 1; n < 60; n++)); do
      begin
      start_faulty "$group:stop:$n:mnt" check -q -r all "$@" mnt/disk.qcow2
      wait_stopped || { go_on && break; }
      cut_now
      power_returns
      cuts=$((cuts + 1))
      # Once something was written there is an undo file that says what was there.
      { (($# == 0)) || put_back; } && is_no_worse || {
        wrong=$((wrong + 1))
        echo "$kind, before $group #$n: the image is worse, or cannot be put back"
      }
    done
    [[ $first == 0 ]]
  done
  # Right after the end.
  cut_power mnt
  power_returns
  cuts=$((cuts + 1))
  qemu-img check -q mnt/disk.qcow2
  cp mnt/disk.qcow2 disk.qcow2
  reads_as guest.raw
}

@test "power cut: at each write of a repair" {
  require qemu-img jq
  looked=()
  disk ext4
  for kind in gone ${SWEEP:+low order mixed leaks}; do
    cuts_of_repair $kind
  done
  verdict 5
}

@test "power cut: at each write of a repair that can be undone" {
  require qemu-img jq
  looked=()
  for type in ext4 ${SWEEP:+xfs}; do
    disk $type
    for kind in mixed ${SWEEP:+low order gone leaks}; do
      cuts_of_repair $kind --undo-file=mnt/undo
    done
    unmount_all
  done
  verdict 10
}
