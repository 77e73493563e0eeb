#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# The corpus of hostile images, first part: good ones, as controls, and headers.
# What the columns are is in hostile.bash.

load ../cli/lib
load qcow2
load check
load hostile-make
load hostile

@test "hostile images: controls, which are good" {
  hostile_setup
  hostile plain plain ok ok ok base
  hostile version-2 v2 ok ok ok base
  hostile small-clusters small ok ok ok base
  hostile large-clusters large ok ok ok base
  hostile extended-l2 extended ok ok ok base
  hostile refcounts-of-1-bit narrow ok ok ok base
  hostile refcounts-of-64-bits wide ok ok ok base
  hostile extended-l2-mixed extended ok ok ok qemu second 3 "0xffff0000 << 32 | 0x00ff"
  hostile lazy-and-dirty lazy ok ok ok base header incompatible 1
  hostile preallocated allocated ok ok ok base
  hostile zlib zlib ok ok ok base
  hostile zstd zstd ok ok ok base
  hostile data-file data ok unsafe ok base
  hostile data-file-raw data_raw ok unsafe ok base
  hostile snapshots snapshots ok ok ok base
  hostile snapshot-of-it snapshots ok ok ok qemu copy_with -l first
  hostile bitmaps bitmaps ok ok ok base
  hostile luks luks ok unsafe ok err
  hostile overlay-on-raw overlay ok unsafe ok base
  hostile overlay-on-qcow2 overlay ok unsafe ok base backing base.qcow2 qcow2
  hostile chain-of-64 empty ok unsafe corrupt,,ok A:65536 chain_of 64
  hostile empty-disk plain ok ok ok 0 header size 0
  hostile raw raw ok ok none base with -f raw
  hostile raw-probed raw ok ok none base
  hostile raw-odd raw ok ok none file length "(4 << 20) + 1"
  hostile raw-empty raw ok ok none 0 length 0
  hostile raw-15-TiB raw ok unsafe none ok length "15 << 40"
  hostile sparse-8-TiB plain ok ok ok base length "8 << 40"
  hostile_verdict 28
}

@test "hostile images: files that end early" {
  hostile_setup
  hostile ends-0 plain err unsafe err err with -f qcow2 and length 0
  hostile ends-3 plain err unsafe err err with -f qcow2 and length 3
  hostile ends-4 plain err unsafe err err with -f qcow2 and length 4
  hostile ends-71 plain err unsafe err err with -f qcow2 and length 71
  hostile ends-72 plain err unsafe err err with -f qcow2 and length 72
  hostile ends-103 plain err unsafe err err with -f qcow2 and length 103
  hostile ends-104 plain ok unsafe corrupt,,err err with -f qcow2 and length 104
  hostile ends-112 plain ok unsafe corrupt,,err err with -f qcow2 and length 112
  hostile ends-71-version-2 v2 err unsafe err err with -f qcow2 and length 71
  hostile ends-4-probed plain err unsafe err err length 4
  hostile ends-in-cluster-0 plain ok unsafe corrupt,,err err length 512
  hostile ends-before-l1 plain ok unsafe corrupt err length "3 << 16"
  hostile ends-in-l1 plain ok unsafe corrupt err length "(3 << 16) + 4"
  hostile ends-in-l2 plain ok unsafe corrupt err length "(4 << 16) + 100"
  hostile ends-in-data plain ok ok corrupt err cut_off 1
  hostile ends-before-data plain ok ok corrupt err length "5 << 16"
  hostile_verdict 16
}

@test "hostile images: numbers in the header" {
  hostile_setup
  hostile magic plain err unsafe err err with -f qcow2 and header magic 0x514649fc
  hostile version-0 plain err unsafe err err header version 0
  hostile version-1 plain err unsafe err err header version 1
  hostile version-4 plain err unsafe err err header version 4
  hostile version-max plain err unsafe err err header version 0xffffffff
  hostile cluster-bits-0 plain err unsafe err err header cluster_bits 0
  hostile cluster-bits-8 plain err unsafe err err header cluster_bits 8
  hostile cluster-bits-9 plain err unsafe err err header cluster_bits 9
  hostile cluster-bits-21 plain err unsafe err err header cluster_bits 21
  hostile cluster-bits-22 plain err unsafe err err header cluster_bits 22
  hostile cluster-bits-31 plain err unsafe err err header cluster_bits 31
  hostile cluster-bits-64 plain err unsafe err err header cluster_bits 64
  hostile cluster-bits-max plain err unsafe err err header cluster_bits 0xffffffff
  hostile size-more-than-l1 plain err unsafe err err header size "513 << 20"
  hostile size-2-63 plain err unsafe err err header size "1 << 63"
  hostile size-2-63-less-1 plain err unsafe err err header size "(1 << 63) - 1"
  hostile size-max plain err unsafe err err header size -1
  hostile size-odd plain ok ok ok base:1048577 header size "(1 << 20) + 1"
  hostile crypt-aes plain ok unsafe ok err header crypt 1
  hostile crypt-luks plain err unsafe err err header crypt 2
  hostile crypt-3 plain err unsafe err err header crypt 3
  hostile crypt-max plain err unsafe err err header crypt 0xffffffff
  hostile refcount-order-0 plain ok ok corrupt,,ok base header refcount_order 0
  hostile refcount-order-7 plain err unsafe err err header refcount_order 7
  hostile refcount-order-max plain err unsafe err err header refcount_order 0xffffffff
  hostile header-length-0 plain err unsafe err err header header_length 0
  hostile header-length-103 plain err unsafe err err header header_length 103
  hostile header-length-104-zstd zstd err unsafe err err header header_length 104
  hostile header-length-105 plain ok ok ok base header header_length 105
  hostile header-length-cluster plain err unsafe err err header header_length 65537
  hostile header-length-max plain err unsafe err err header header_length 0xffffffff
  hostile several-at-once plain err unsafe err err header l1_size 0xffffffff and header crypt 3 and header refcount_order 99
  hostile_verdict 32
}

@test "hostile images: features" {
  hostile_setup
  hostile bit-corrupt plain ok unsafe ok base header incompatible 2
  hostile bit-data-file plain ok unsafe err err header incompatible 4
  hostile bit-compression plain err unsafe err err header incompatible 8
  hostile bit-extended-l2 plain ok ok leaks,,ok qemu header incompatible 16
  hostile bit-5 plain err unsafe err err header incompatible 32
  hostile bit-63 plain err unsafe err err header incompatible "1 << 63"
  hostile bits-all plain err unsafe err err header incompatible -1
  hostile bit-of-that-name plain err unsafe err err header incompatible 32 and extensions 0x6803f857 '\x00\x05nice\x1b[2J\nfile format: raw'
  hostile bit-names-cut-off plain err unsafe err err header incompatible 32 and extensions 0x6803f857 '\x00\x05nice' 1 "$(many 46 ' ')"
  hostile compatible-bits plain ok unsafe ok base number_at 80 8 0xff00
  hostile autoclear-raw-data plain ok unsafe corrupt,,ok base header autoclear 2
  hostile autoclear-bits plain ok unsafe ok base header autoclear 0xff00
  hostile compression-1 plain err unsafe err err header compression 1
  hostile compression-2 zstd err unsafe err err header compression 2
  hostile compression-255 zstd err unsafe err err header compression 255
  hostile extended-l2-small-clusters small err unsafe err err header incompatible 16
  hostile features-in-version-2 v2 err unsafe err err number_at 72 8 -1
  hostile_verdict 17
}

@test "hostile images: header extensions" {
  hostile_setup
  hostile extension-2-31 plain err unsafe err err number_at 116 4 0x7fffffff
  hostile extension-2-32 plain err unsafe err err number_at 116 4 0xffffffff
  hostile extension-past-cluster plain ok ok ok base number_at 116 4 65416
  hostile extension-to-the-end plain ok ok ok base number_at 116 4 65415
  hostile extension-unknown plain ok unsafe ok base extensions 0x12345678 whatever
  hostile extension-end-with-length plain ok ok ok base number_at 112 8 0x4000
  hostile extensions-8000 plain ok unsafe ok base noisy_extensions 8000
  hostile extensions-8179 plain ok unsafe ok base noisy_extensions 8178
  hostile extensions-260000 empty ok unsafe corrupt,,ok 4194304 made bits=21 extensions=260000 size=4194304
  hostile extension-same-twice plain ok ok ok base extensions 0xe2792aca raw 0xe2792aca qcow2
  hostile extension-data-file-twice data ok unsafe ok,err err extensions 0x44415441 data.raw 0x44415441 /etc/passwd
  hostile extension-bitmaps-twice bitmaps err unsafe err base bitmaps_twice
  hostile backing-format-long plain err unsafe err err extensions 0xe2792aca "$(many 2000 'q')"
  hostile backing-format-without-file plain ok ok ok base extensions 0xe2792aca raw
  hostile data-file-without-bit plain ok unsafe ok base extensions 0x44415441 data.raw
  hostile luks-extension-without plain err unsafe err err extensions 0x0537be77 '\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x02\x50'
  hostile luks-extension-short luks err unsafe err err extensions 0x0537be77 '\x00\x00\x00\x00'
  hostile bitmaps-extension-short bitmaps err unsafe err err extensions 0x23852875 '\x00\x00\x00\x01'
  hostile_verdict 18
}

# bitmaps_twice: the second one has a directory far behind the end
bitmaps_twice() {
  extensions 0x23852875 '\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x10\x00\x00' \
    0x23852875 '\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x01\x00\x00\x00\x00\x00'
}
