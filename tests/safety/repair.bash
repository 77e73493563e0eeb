# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# What the tests of interrupted repairs share, on top of tests/damage/{qcow2,check}.bash: images to be
# repaired, and what must be true of them at any moment.

# errors FILE: how much is wrong that could do harm: all but leaks, and flags that are not set
errors() {
  { "$IMGTOOL" check --output=json "$1" 2>/dev/null || true; } >errors.json
  jq '[(.["finding-counts"] // {}) | to_entries[] | select(.key != "leak" and .key != "copied-flag" and
      .key != "refcount-past-end") | .value] +
    [.findings // [] | .[] | select(.kind == "copied-flag" and (.text | test("entry=8"))) | 1] | add // 0' errors.json
}

# damaged KIND: disk.qcow2 with that damage
damaged() {
  make_image
  qemu-img snapshot -c one disk.qcow2
  qemu-io -f qcow2 -c "write -q -P 2 512k 1M" disk.qcow2
  case $1 in
    low) for i in 2 3 9; do put disk.qcow2 "$(refcount_at disk.qcow2 "$(data_cluster disk.qcow2 $i)")" 2 0; done ;;
    mixed)
      put disk.qcow2 "$(refcount_at disk.qcow2 "$(data_cluster disk.qcow2 3)")" 2 0
      put disk.qcow2 "$(refcount_at disk.qcow2 60)" 2 4
      flip disk.qcow2 "$(l2_at disk.qcow2 1)" 0x8000000000000000
      flip disk.qcow2 "$(l2_at disk.qcow2 20)" 0x8000000000000201
      put disk.qcow2 "$(l2_at disk.qcow2 9)" 8 "$(get disk.qcow2 "$(l2_at disk.qcow2 10)" 8)"
      ;;
    order) # all the steps in one round
      put disk.qcow2 "$(refcount_at disk.qcow2 60)" 2 4
      put disk.qcow2 "$(l2_at disk.qcow2 9)" 8 "$(get disk.qcow2 "$(l2_at disk.qcow2 10)" 8)"
      put disk.qcow2 "$(refcount_at disk.qcow2 "$(data_cluster disk.qcow2 12)")" 2 0
      flip disk.qcow2 "$(l2_at disk.qcow2 12)" 0x8000000000000000
      ;;
    gone) put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0 ;;
    leaks) for i in 40 41 50; do put disk.qcow2 "$(refcount_at disk.qcow2 $i)" 2 3; done ;;
  esac
  truncate -s 5M disk.qcow2
}

# note_content: keeps in guest.raw what disk.qcow2 should read as, even if QEMU cannot read it yet
note_content() {
  is_readable=yes
  cp disk.qcow2 before.qcow2
  qemu-img convert -f qcow2 -O raw disk.qcow2 guest.raw 2>/dev/null || is_readable=no
  if [[ $is_readable == no ]]; then
    cp disk.qcow2 good.qcow2
    qemu-img check -q -r all good.qcow2
    qemu-img convert -f qcow2 -O raw good.qcow2 guest.raw
  fi
}

# reads_as FILE: disk.qcow2 has that content
reads_as() {
  qemu-img convert -f qcow2 -O raw disk.qcow2 now.raw && cmp "$1" now.raw
}

# no_worse BEFORE: disk.qcow2 reads as that did, has no more errors, and can be repaired
no_worse() {
  { [[ $is_readable == no ]] || reads_as guest.raw; } &&
    (($(errors disk.qcow2) <= $(errors "$1"))) &&
    imgtool check -q -r all disk.qcow2 &&
    qemu-img check -q disk.qcow2 &&
    reads_as guest.raw
}
