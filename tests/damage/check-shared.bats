#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check -r all where one cluster of a qcow2 image is two things at once: whatever is done,
# the guest reads the same as before, and it is said what was not done.

load ../cli/lib
load qcow2
load check

COPIED=0x8000000000000000

# small_image BITS: disk.qcow2 with clusters of 512 bytes, so that it has many tables
small_image() {
  make_image -o cluster_size=512,refcount_bits="$1"
}

# table_at INDEX: where that L2 table is
table_at() {
  echo $(($(get disk.qcow2 "$(l1_at disk.qcow2 "$1")" 8) & 0xfffffffffffe00))
}

# content FILE: what can be read of disk.qcow2, as imgtool and, if it can, qemu-img read it
content() {
  rm -f "$1" "$1.theirs"
  imgtool convert -q --salvage -f qcow2 -O raw disk.qcow2 "$1" 2>/dev/null || true
  [[ -s $1 ]]
  timeout 60 qemu-img convert -f qcow2 -O raw disk.qcow2 "$1.theirs" 2>/dev/null || rm -f "$1.theirs"
}

# repair STATUS: -r all ends with it, and the guest reads what it read; once more changes nothing
repair() {
  content before.raw
  cp disk.qcow2 before.qcow2
  run -"$1" --separate-stderr imgtool check -r all disk.qcow2
  content after.raw
  cmp before.raw after.raw
  if [[ -e before.raw.theirs ]]; then
    cmp before.raw.theirs after.raw.theirs
  fi
  cp disk.qcow2 once.qcow2
  imgtool check -q -r all once.qcow2 2>/dev/null || (($? == $1))
  cmp disk.qcow2 once.qcow2
}

# said: why something was left as it is
said() {
  [[ $stderr == *"'disk.qcow2': clusters that have two uses, or may have, were not repaired"* ]]
  [[ $stderr == *"imgtool convert --salvage copies what can be read"* ]]
}

@test "more users than a refcount can count: nothing is written" {
  # An L2 table of two places of the disk.
  small_image 1
  put disk.qcow2 "$(l1_at disk.qcow2 40)" 8 "$(get disk.qcow2 "$(l1_at disk.qcow2 0)" 8)"
  repair 2
  said
  cmp disk.qcow2 before.qcow2
  # An L2 table that is the refcount block, and a refcount that is wrong.
  small_image 1
  put disk.qcow2 "$(l1_at disk.qcow2 40)" 8 $((COPIED | $(first_block disk.qcow2)))
  put disk.qcow2 "$(first_block disk.qcow2)" 1 0
  repair 2
  said
  cmp disk.qcow2 before.qcow2
  # Data in the refcount block: the guest reads refcounts.
  small_image 1
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((COPIED | $(first_block disk.qcow2)))
  put disk.qcow2 "$(($(first_block disk.qcow2) + 20))" 1 0
  repair 2
  said
  cmp disk.qcow2 before.qcow2
}

@test "an L2 table of two places of the disk is one table, and mended" {
  small_image 16
  put disk.qcow2 "$(l1_at disk.qcow2 40)" 8 "$(get disk.qcow2 "$(l1_at disk.qcow2 0)" 8)"
  repair 0
  [[ $stderr != *"two uses"* ]]
  qemu-img check -q disk.qcow2
}

@test "an L2 table that is a refcount block too" {
  small_image 16
  put disk.qcow2 "$(l1_at disk.qcow2 40)" 8 "$(first_block disk.qcow2)"
  content before.raw
  run --separate-stderr imgtool check -r all disk.qcow2
  content after.raw
  cmp before.raw after.raw
  # Data there: the refcounts move, and the guest reads the old ones for ever.
  small_image 16
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((COPIED | $(first_block disk.qcow2)))
  repair 0
  qemu-img check -q disk.qcow2
}

@test "the guest's data is an L2 table, which has flags that are wrong" {
  small_image 16
  at=$(table_at 5)
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((COPIED | at))
  flip disk.qcow2 $((at + 16)) $COPIED
  repair 2
  said
  [[ $stderr == *"is data of the guest and metadata of the image at the same time"* ]]
  # Other tables were mended all the same.
  [[ $(get disk.qcow2 "$(l2_at disk.qcow2 3)" 8) == "$at" ]]
}

@test "the L1 table is an L2 table" {
  small_image 16
  l1=$(field disk.qcow2 l1_offset)
  put disk.qcow2 "$(l1_at disk.qcow2 70)" 8 $((COPIED | l1))
  flip disk.qcow2 "$(l1_at disk.qcow2 5)" $COPIED
  repair 2
  said
  [[ $stderr == *"is a table and something else at the same time"* ]]
}

@test "a compressed cluster lies in the header, or in a table" {
  small_image 16
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((1 << 62 | 72))
  put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0
  repair 2
  said
  cmp disk.qcow2 before.qcow2
  small_image 16
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((1 << 62 | $(table_at 5)))
  flip disk.qcow2 $(($(table_at 5) + 16)) $COPIED
  repair 2
  said
}

@test "an L1 table that ends behind the file, in the place of another table" {
  small_image 16
  set_field disk.qcow2 l1_offset "$(table_at 31)"
  set_field disk.qcow2 l1_size 65536
  content before.raw || return 0
  repair 2
  cmp disk.qcow2 before.qcow2
}

@test "all that can be done is known before anything is written" {
  # Refcounts to be built anew, which cannot be, and entries that could be mended.
  make_image
  flip disk.qcow2 "$(l2_at disk.qcow2 5)" 0x201
  put disk.qcow2 "$(l2_at disk.qcow2 6)" 8 $((1 << 40))
  put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0
  cp disk.qcow2 before.qcow2
  run -1 --separate-stderr imgtool check -r all disk.qcow2
  expect_message "its refcounts have to be rebuilt behind the end of the file"
  cmp disk.qcow2 before.qcow2
}
