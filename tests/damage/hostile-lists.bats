#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# The corpus of hostile images, third part: snapshots, bitmaps, LUKS headers, and small files that mean large work.
# What the columns are is in hostile.bash.

load ../cli/lib
load qcow2
load check
load hostile-make
load hostile

# in_snapshots OFFSET BYTES VALUE: in the table, which begins with the first of them
in_snapshots() {
  number_at "$(field "$IMAGE" snapshots_offset) + $1" "$2" "$3"
}

# in_bitmaps OFFSET BYTES VALUE: in the directory
in_bitmaps() {
  number_at "$(bitmap_directory "$IMAGE") + $1" "$2" "$3"
}

# in_extension ID OFFSET BYTES VALUE: behind its name and length
in_extension() {
  local at
  at=$(LC_ALL=C grep -obUaP "$1" "$IMAGE" | head -n 1)
  number_at "${at%%:*} + 8 + $2" "$3" "$4"
}

in_bitmaps_extension() {
  in_extension '\x23\x85\x28\x75\0\0\0\x18' "$@"
}

in_luks_extension() {
  in_extension '\x05\x37\xbe\x77\0\0\0\x10' "$@"
}

# luks_at: where its header is
luks_at() {
  local at
  at=$(LC_ALL=C grep -obUaP '\x05\x37\xbe\x77\0\0\0\x10' "$IMAGE" | head -n 1)
  get "$IMAGE" $((${at%%:*} + 8)) 8
}

in_luks() {
  number_at "$(luks_at) + $1" "$2" "$3"
}

luks_text() {
  text_at "$(luks_at) + $1" "$2"
}

@test "hostile images: snapshots" {
  hostile_setup
  hostile snapshots-too-many snapshots err unsafe err err header n_snapshots 65537
  hostile snapshots-max snapshots err unsafe err err header n_snapshots 0xffffffff
  hostile snapshots-one-more snapshots err unsafe err base header n_snapshots 3
  hostile snapshots-past-end snapshots err unsafe err base header snapshots_offset "1 << 40"
  hostile snapshots-unaligned snapshots err unsafe err err header snapshots_offset 512
  hostile snapshots-negative snapshots err unsafe err err header snapshots_offset "1 << 63"
  hostile snapshots-at-l1 snapshots ok ok corrupt base header snapshots_offset "3 << 16"
  hostile snapshot-l1-unaligned snapshots ok ok corrupt base in_snapshots 0 8 513
  hostile snapshot-l1-past-end snapshots ok ok corrupt base in_snapshots 0 8 "1 << 40"
  hostile snapshot-l1-negative snapshots ok ok corrupt base in_snapshots 0 8 -65536
  hostile snapshot-l1-the-active snapshots ok ok corrupt,,ok base in_snapshots 0 8 "3 << 16"
  hostile snapshot-l1-size-0 snapshots ok ok corrupt base in_snapshots 8 4 0
  hostile snapshot-l1-size-more snapshots ok ok ok base in_snapshots 8 4 4097
  hostile snapshot-l1-size-max snapshots ok ok corrupt base in_snapshots 8 4 0xffffffff
  hostile snapshot-id-long snapshots err unsafe err base in_snapshots 12 2 0xffff
  hostile snapshot-name-long snapshots err unsafe err base in_snapshots 14 2 0xffff
  hostile snapshot-no-names snapshots err unsafe err base in_snapshots 12 4 0
  hostile snapshot-times snapshots ok ok ok base in_snapshots 16 8 -1 and in_snapshots 24 8 -1
  hostile snapshot-state-2-63 snapshots ok ok ok base in_snapshots 40 8 "1 << 63"
  hostile snapshot-extra-1025 snapshots err unsafe err base in_snapshots 36 4 1025
  hostile snapshot-extra-max snapshots err unsafe err base in_snapshots 36 4 0xffffffff
  hostile snapshot-extra-0 snapshots err unsafe err base in_snapshots 36 4 0
  hostile snapshot-size-2-63 snapshots ok ok corrupt base in_snapshots 48 8 "1 << 63"
  hostile snapshot-size-more snapshots ok ok corrupt err in_snapshots 48 8 "1 << 30" and copy_with -l 1
  hostile snapshot-name-forges snapshots ok ok ok base snapshot_name 'a\n\x1b[J'
  hostile snapshot-name-bytes snapshots ok ok ok base snapshot_name '\xff\xfe\x80\xe2\x80'
  hostile snapshot-name-bidi snapshots ok ok ok base snapshot_name '\xe2\x80\xaeab'
  hostile snapshot-noise snapshots err unsafe err base snapshot_noise
  hostile_verdict 28
}

# snapshot_name TEXT: of 5 bytes, in the place of "first"
snapshot_name() {
  text_at "$(field "$IMAGE" snapshots_offset) + 65" "$1"
}

snapshot_noise() {
  noise "$(field "$IMAGE" snapshots_offset)" 4096
}

@test "hostile images: bitmaps" {
  hostile_setup
  hostile bitmaps-0 bitmaps err unsafe err err in_bitmaps_extension 0 4 0
  hostile bitmaps-max bitmaps err unsafe err err in_bitmaps_extension 0 4 0xffffffff
  hostile bitmaps-one-more bitmaps err unsafe err base in_bitmaps_extension 0 4 3
  hostile bitmaps-reserved bitmaps err unsafe err err in_bitmaps_extension 4 4 1
  hostile bitmaps-directory-huge bitmaps err unsafe err err in_bitmaps_extension 8 8 "(1 << 63) - 1"
  hostile bitmaps-directory-short bitmaps err unsafe err base in_bitmaps_extension 8 8 26
  hostile bitmaps-directory-unaligned bitmaps err unsafe err err in_bitmaps_extension 16 8 512
  hostile bitmaps-directory-past-end bitmaps err unsafe err base in_bitmaps_extension 16 8 "1 << 40"
  hostile bitmaps-directory-negative bitmaps err unsafe err err in_bitmaps_extension 16 8 -65536
  hostile bitmaps-not-loaded bitmaps ok ok leaks,,ok base header autoclear 0
  hostile bitmap-table-past-end bitmaps ok ok corrupt base in_bitmaps 0 8 "1 << 40"
  hostile bitmap-table-unaligned bitmaps ok ok err base in_bitmaps 0 8 513
  hostile bitmap-table-huge bitmaps ok ok err base in_bitmaps 8 4 0xffffffff
  hostile bitmap-in-use bitmaps ok ok ok base in_bitmaps 12 4 1
  hostile bitmap-flags bitmaps ok ok corrupt base in_bitmaps 12 4 -1
  hostile bitmap-flag-3 bitmaps ok ok corrupt base in_bitmaps 12 4 10
  hostile bitmap-table-more bitmaps ok ok corrupt base in_bitmaps 8 4 2
  hostile bitmap-same-name bitmaps ok ok corrupt base same_name
  hostile bitmap-type bitmaps err unsafe err base in_bitmaps 16 1 2
  hostile bitmap-granularity-0 bitmaps err unsafe err base in_bitmaps 17 1 0
  hostile bitmap-granularity-255 bitmaps err unsafe err base in_bitmaps 17 1 255
  hostile bitmap-name-empty bitmaps err unsafe err base in_bitmaps 18 2 0
  hostile bitmap-name-long bitmaps err unsafe err base in_bitmaps 18 2 0xffff
  hostile bitmap-extra-max bitmaps err unsafe err base in_bitmaps 20 4 0xffffffff
  hostile bitmap-name-forges bitmaps ok ok ok base in_bitmaps 24 4 0x0a1b5b4d
  hostile bitmap-table-noise bitmaps ok ok corrupt base bitmap_noise
  hostile bitmap-copied bitmaps ok ok corrupt err in_bitmaps 0 8 "1 << 40" and copy_with -O qcow2 --bitmaps
  hostile_verdict 27
}

# same_name: both are called "one"
same_name() {
  text_at "$(bitmap_directory "$IMAGE") + 56" one
}

bitmap_noise() {
  noise "$(get "$IMAGE" "$(bitmap_directory "$IMAGE")" 8)" 64
}

@test "hostile images: LUKS headers" {
  hostile_setup
  hostile luks-unaligned luks err unsafe err err in_luks_extension 0 8 513
  hostile luks-past-end luks err unsafe corrupt err in_luks_extension 0 8 "1 << 40"
  hostile luks-negative luks err unsafe err err in_luks_extension 0 8 -65536
  hostile luks-length-0 luks err unsafe err err in_luks_extension 8 8 0
  hostile luks-length-max luks err unsafe err err in_luks_extension 8 8 -1
  hostile luks-no-magic luks err unsafe corrupt err in_luks 0 4 0
  hostile luks-version-2 luks err unsafe corrupt err in_luks 6 2 2
  hostile luks-names-without-end luks ok unsafe ok err luks_text 8 "$(many 96 'x')"
  hostile luks-names-escapes luks ok unsafe ok err luks_text 8 'a\x1b[2J\nb\xff'
  hostile luks-key-bytes-max luks ok unsafe ok err in_luks 108 4 0xffffffff
  hostile luks-stripes-max luks ok unsafe ok err in_luks 252 4 0xffffffff and in_luks 248 4 0xffffffff
  hostile luks-iterations-max luks ok unsafe ok err in_luks 164 4 0xffffffff
  hostile luks-uuid-noise luks ok unsafe ok err luks_text 168 "$(many 40 '\377')"
  hostile luks-is-aes luks err unsafe err err header crypt 1
  hostile luks-without-method luks err unsafe err err header crypt 0
  hostile_verdict 15
}

# one_table N [BITS]: an L1 table with N entries for one L2 table, in an image that is as large
one_table() {
  header size "$1 << 29"
  all_l1 "$1" "0x8000000000040000"
}

@test "hostile images: small files that mean much work" {
  hostile_setup
  # Under the sanitizers each takes minutes; the one that does not is tried.
  [[ ${HOSTILE_EVERY-} ]] || ! is_sanitized || { EVERY=14 && SEEN=3; }
  hostile l1-amplifies plain ok unsafe corrupt err one_table 262144 and copy_with --max-size=1T
  hostile l2-amplifies-data plain ok ok corrupt,,ok qemu header size "64 << 20" and fill_l2 0x8000000000050000
  hostile snapshots-65536 empty ok unsafe corrupt 4194304 made snapshots=65536 size=4194304
  hostile snapshots-long-names empty ok ok corrupt,,ok 4194304 made snapshots=1020 name=32767 byte=27 size=4194304 and check_may_take 65536
  hostile snapshots-amplify empty ok unsafe corrupt,,ok err made l1=262144 snapshots=4096 and copy_with --max-size=1T
  hostile snapshots-amplify-data empty ok unsafe corrupt A:4194304 made clusters=zlib snapshots=65536 size=4194304
  hostile bitmaps-65535 empty ok unsafe corrupt 4194304 made bitmaps=65535 name=1023 byte=255 size=4194304
  hostile bomb-512-mib empty ok ok corrupt,,ok err made clusters=zlib and files_to 67108864 and because 'File too large'
  hostile bomb-64-gib empty ok ok corrupt err made clusters=zlib bits=16 l1=128 and all_same_l1 and files_to 67108864 and because 'File too large'
  hostile bomb-zstd empty ok ok err err made bits=21 clusters=zstd and check_with --max-size=1G and files_to 67108864 and because 'File too large'
  hostile bomb-sized empty ok ok corrupt,,ok err made clusters=zlib and copy_with --max-size=64M and because --max-size
  hostile refcounts-of-2-TiB small ok ok err base length "1 << 41"
  hostile refcounts-of-8-TiB plain ok ok leaks,,ok base length "8 << 40" and refcount 31000 1
  hostile reftable-of-one-block plain ok ok corrupt base fill_reftable
  hostile_verdict 14
}

# fill_l2 VALUE: each entry of the L2 table of 64 KiB
fill_l2() {
  perl -e 'print pack ("Q>", $ARGV[0]) x 8192' "$(printf %u "$1")" |
    dd of="$IMAGE" bs=64k seek=4 conv=notrunc status=none
}

# fill_reftable: 8 MiB of it, each entry for the same block
fill_reftable() {
  perl -e 'print pack ("Q>", 0x20000) x 1048576' >>"$IMAGE"
  header reftable_offset "21 << 16"
  header reftable_clusters 128
}

# all_same_l1: each entry as the first
all_same_l1() {
  local first
  first=$(get "$IMAGE" "$(l1_at "$IMAGE" 0)" 8)
  all_l1 "$(field "$IMAGE" l1_size)" "$first"
}
