#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# The corpus of hostile images, second part: tables, compressed data, refcounts.
# What the columns are is in hostile.bash.

load ../cli/lib
load qcow2
load check
load hostile-make
load hostile

COPIED=0x8000000000000000

@test "hostile images: where the L1 table is" {
  hostile_setup
  hostile l1-size-0 plain err unsafe err err header l1_size 0
  hostile l1-size-more plain ok ok ok base header l1_size 4097
  hostile l1-size-most plain ok unsafe corrupt base header l1_size 4194304
  hostile l1-size-too-much plain err unsafe err err header l1_size 4194305
  hostile l1-size-wraps plain err unsafe err err header l1_size 0x20000001
  hostile l1-size-max plain err unsafe err err header l1_size 0xffffffff
  hostile l1-at-0 plain ok unsafe corrupt err header l1_offset 0
  hostile l1-at-1 plain err unsafe err err header l1_offset 1
  hostile l1-at-512 plain err unsafe err err header l1_offset 512
  hostile l1-at-the-refcounts plain ok ok corrupt,,err err header l1_offset "1 << 16"
  hostile l1-past-end plain ok unsafe corrupt err header l1_offset "1 << 40"
  hostile l1-at-the-end plain ok unsafe corrupt err header l1_offset "$((21 << 16))"
  hostile l1-at-2-62 plain ok unsafe corrupt err header l1_offset "1 << 62"
  hostile l1-negative plain err unsafe err err header l1_offset "1 << 63"
  hostile l1-wraps plain err unsafe err err header l1_offset "-65536"
  hostile_verdict 15
}

@test "hostile images: entries of the L1 table" {
  hostile_setup
  hostile l1-unaligned plain ok ok corrupt err l1 0 "COPIED | 0x40200"
  hostile l1-reserved-low plain ok ok corrupt,,ok base l1 0 "COPIED | 0x40001"
  hostile l1-reserved-high plain ok ok corrupt,,ok base l1 0 "COPIED | 0x7f00000000040000"
  hostile l1-not-copied plain ok ok corrupt,,ok base l1 0 0x40000
  hostile l1-entry-past-end plain ok unsafe corrupt err l1 0 "COPIED | 1 << 40"
  hostile l1-entry-at-the-end plain ok unsafe corrupt err l1 0 "COPIED | 21 << 16"
  hostile l1-entry-all-ones plain ok unsafe corrupt err l1 0 -1
  hostile l1-to-itself plain ok ok corrupt qemu l1 0 "COPIED | 3 << 16"
  hostile l1-without-offset plain ok ok corrupt 4194304 l1 0 "COPIED | 1"
  hostile l1-to-refcounts plain ok ok corrupt,,err err l1 0 "COPIED | 2 << 16"
  hostile l1-to-data plain ok ok corrupt err l1 0 "COPIED | 5 << 16"
  hostile l1-two-to-one plain ok ok corrupt,,ok ok header size "1 << 30" and all_l1 2 "COPIED | 4 << 16"
  hostile l1-behind-the-disk plain ok unsafe corrupt base header l1_size 2 and l1 1 "COPIED | 1 << 40"
  hostile_verdict 13
}

@test "hostile images: entries of L2 tables" {
  hostile_setup
  hostile l2-past-end plain ok ok corrupt err l2 3 "COPIED | 1 << 40"
  hostile l2-at-the-end plain ok ok corrupt err l2 3 "COPIED | 21 << 16"
  hostile l2-last-possible plain ok ok corrupt err l2 3 "COPIED | 0xffffffffff0000"
  hostile l2-unaligned plain ok ok corrupt err l2 3 "COPIED | 0x50200"
  hostile l2-unaligned-zero plain ok ok corrupt,,ok err l2 3 "COPIED | 0x50201"
  hostile l2-reserved-low plain ok ok corrupt,,ok base l2 3 "COPIED | 0x8001e"
  hostile l2-reserved-high plain ok ok corrupt,,ok base l2 3 "COPIED | 0x3f00000000080000"
  hostile l2-all-ones plain ok ok corrupt err l2 3 -1
  hostile l2-copied-nothing plain ok ok leaks,,ok qemu l2 3 COPIED
  hostile l2-not-copied plain ok ok corrupt,,ok base l2 3 0x80000
  hostile l2-zero-with-data plain ok ok ok qemu l2 3 "COPIED | 0x80001"
  hostile l2-zero-in-version-2 v2 ok ok corrupt err l2 3 1
  hostile l2-to-the-l1 plain ok ok corrupt qemu l2 3 "COPIED | 3 << 16"
  hostile l2-to-itself plain ok ok corrupt qemu l2 3 "COPIED | 4 << 16"
  hostile l2-to-refcounts plain ok ok corrupt,,ok qemu l2 3 "COPIED | 2 << 16"
  hostile l2-to-the-reftable plain ok ok corrupt qemu l2 3 "COPIED | 1 << 16"
  hostile l2-shared plain ok ok corrupt,,ok qemu l2 3 "COPIED | 5 << 16"
  hostile l2-behind-the-disk plain ok ok corrupt base l2 100 "COPIED | 1 << 40"
  hostile l2-all-noise plain ok ok corrupt err noise "4 << 16" 65536
  hostile l2-all-past-end plain ok ok corrupt err fill "4 << 16" 65536 276
  hostile extended-both extended ok ok corrupt err second 3 -1
  hostile extended-without-data extended ok ok corrupt err l2 6 0 and second 3 1
  hostile extended-all-zero extended ok ok ok qemu second 3 "0xffffffff << 32"
  hostile extended-partly extended ok ok ok qemu second 3 0x0f0f0f0f
  hostile extended-compressed extended ok ok corrupt err l2 6 "1 << 62 | 5 << 16" and second 3 1
  hostile extended-reserved extended ok ok corrupt,,ok base l2 6 "COPIED | 0x80001"
  hostile small-noise small ok unsafe corrupt err noise 0x800 2048
  hostile_verdict 27
}

@test "hostile images: compressed clusters" {
  hostile_setup
  hostile zlib-noise zlib ok ok ok,corrupt err noise "$((5 << 16))" 20000
  hostile zlib-no-more-sectors zlib ok ok ok,corrupt err l2 0 "1 << 62 | 5 << 16"
  hostile zlib-all-sectors zlib ok ok corrupt err l2 0 "1 << 62 | 0xff << 54 | 5 << 16"
  hostile zlib-cut-off zlib ok ok corrupt err length "(5 << 16) + 5000"
  hostile zlib-at-the-end zlib ok ok corrupt err length "5 << 16"
  hostile zlib-past-end zlib ok ok corrupt err l2 0 "1 << 62 | 1 << 45"
  hostile zlib-last-possible zlib ok ok corrupt err l2 0 "1 << 62 | (1 << 62) - 1"
  hostile zlib-the-header zlib ok ok corrupt err l2 0 "1 << 62"
  hostile zlib-its-own-table zlib ok ok corrupt err l2 0 "1 << 62 | 4 << 16"
  hostile zlib-copied zlib ok ok corrupt,,ok base l2_with 0 COPIED
  hostile zlib-empty zlib ok ok leaks,corrupt,ok err stream printf '\x03\x00'
  hostile zlib-stored-zeros zlib ok ok leaks,corrupt,ok err stream head -c 512 /dev/zero
  hostile zlib-wrapped zlib ok ok leaks,corrupt,ok err stream deflated 65536 15
  hostile zlib-short zlib ok ok leaks,corrupt,ok err stream deflated 65535
  hostile zlib-long zlib ok ok leaks,,ok qemu stream deflated 65537
  hostile zlib-bomb zlib ok ok leaks,,ok qemu stream deflated 60000000
  hostile zlib-window-15 zlib ok ok leaks,,ok qemu stream deflated 65536 -15
  hostile zstd-noise zstd ok ok ok,corrupt err noise "$((5 << 16))" 20000
  hostile zstd-no-more-sectors zstd ok ok ok,corrupt err l2 0 "1 << 62 | 5 << 16"
  hostile zstd-cut-off zstd ok ok corrupt err length "(5 << 16) + 5000"
  hostile zstd-at-the-end zstd ok ok corrupt err length "5 << 16"
  hostile zstd-zeros zstd ok ok leaks,corrupt,ok err stream head -c 512 /dev/zero
  hostile zstd-empty-frame zstd ok ok leaks,corrupt,ok err stream zipped 0
  hostile zstd-skipped zstd ok ok leaks,corrupt,ok err stream printf '\x50\x2a\x4d\x18\xff\xff\xff\xff'
  hostile zstd-short zstd ok ok leaks,corrupt,ok err stream zipped 65535
  hostile zstd-long zstd ok ok leaks,corrupt,ok err stream zipped 65537
  hostile zstd-bomb zstd ok ok leaks,corrupt,ok err stream zipped 1000000000
  hostile zstd-two-frames zstd ok ok leaks,,ok qemu stream two_frames
  hostile zstd-checksum zstd ok ok leaks,,ok qemu stream zipped 65536 --check
  hostile zstd-window-27 zstd ok ok leaks,,ok qemu stream printf '\x28\xb5\x2f\xfd\x00\x88\x03\x00\x08A'
  hostile zstd-window-31 zstd ok ok leaks,,ok A:65536 stream printf '\x28\xb5\x2f\xfd\x00\xa8\x03\x00\x08A'
  hostile zstd-window-41 zstd ok ok leaks,corrupt,ok err stream printf '\x28\xb5\x2f\xfd\x00\xff\x03\x00\x08A'
  hostile zstd-dictionary zstd ok ok leaks,corrupt,ok err stream printf '\x28\xb5\x2f\xfd\x03\x30\x01\x02\x03\x04\x03\x00\x08A'
  hostile zstd-as-zlib zlib ok ok leaks,corrupt,ok err stream zipped 65536
  hostile_verdict 34
}

@test "hostile images: refcounts" {
  hostile_setup
  hostile reftable-at-0 plain ok ok corrupt,,ok base header reftable_offset 0
  hostile reftable-at-512 plain err unsafe err err header reftable_offset 512
  hostile reftable-past-end plain ok unsafe corrupt,,err base header reftable_offset "1 << 40"
  hostile reftable-negative plain err unsafe err err header reftable_offset "1 << 63"
  hostile reftable-at-l1 plain ok ok corrupt,,ok base header reftable_offset "3 << 16"
  hostile reftable-0-clusters plain ok ok corrupt,,ok base header reftable_clusters 0
  hostile reftable-8-mib plain ok unsafe corrupt base header reftable_clusters 128
  hostile reftable-8-mib-there plain ok ok corrupt,,ok base header reftable_clusters 128 and header reftable_offset "32 << 16" and length "160 << 16"
  hostile reftable-too-much plain err unsafe err err header reftable_clusters 129
  hostile reftable-max plain err unsafe err err header reftable_clusters 0xffffffff
  hostile reftable-noise plain ok ok err,,ok base noise "1 << 16" 65536
  hostile reftable-past-end-entries plain ok ok err,,ok base fill "1 << 16" 65536 100
  hostile block-none plain ok ok corrupt,,ok base number_at "1 << 16" 8 0
  hostile block-unaligned plain ok ok err,,ok base number_at "1 << 16" 8 0x20200
  hostile block-reserved plain ok ok corrupt,,ok base number_at "1 << 16" 8 0x20001
  hostile block-past-end plain ok ok corrupt,,ok base number_at "1 << 16" 8 "1 << 40"
  hostile block-the-table plain ok ok corrupt,,ok base number_at "1 << 16" 8 "1 << 16"
  hostile block-the-header plain ok ok corrupt,,ok base number_at "(1 << 16) + 8" 8 "3 << 16"
  hostile block-twice plain ok ok corrupt,,ok base number_at "(1 << 16) + 8" 8 "2 << 16"
  hostile block-zeros plain ok ok corrupt,,ok base fill "2 << 16" 65536 0
  hostile block-noise plain ok ok corrupt,,ok base noise "2 << 16" 65536
  hostile refcount-0 plain ok ok corrupt,,ok base refcount 7 0
  hostile refcount-2 plain ok ok corrupt,,ok base refcount 7 2
  hostile refcount-65535 plain ok ok corrupt,,ok base refcount 7 65535
  hostile refcount-of-the-header plain ok ok corrupt,,ok base refcount 0 0
  hostile refcount-leak plain ok ok leaks,,ok base refcount 20 1 and length "30 << 16" and refcount 25 1
  hostile refcount-past-end plain ok ok leaks,,ok base refcount 1000 1
  hostile refcounts-narrow-noise narrow ok ok corrupt,,ok base noise "2 << 16" 65536
  hostile refcounts-wide-noise wide ok ok corrupt,,ok base noise "2 << 16" 65536
  hostile_verdict 29
}
