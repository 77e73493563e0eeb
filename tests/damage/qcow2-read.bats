#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# qcow2 images that are damaged or hostile: an error that says where, in time, with little memory,
# and never wrong bytes with exit status 0.

load ../cli/lib
load qcow2

# limited COMMAND...: in at most 10 seconds and 256 MiB of address space
limited() {
  if is_sanitized; then
    timeout 60 "$@" # which needs terabytes
  else
    (ulimit -v 262144 && exec timeout 10 "$@")
  fi
}

# fresh: disk.qcow2 with 4 MiB, the first of them data
fresh() {
  if [[ ! -e .fresh ]]; then
    qemu-img create -q -f qcow2 .fresh 4M
    qemu-io -f qcow2 -c "write -P 1 0 1M" .fresh >/dev/null
  fi
  cp .fresh disk.qcow2
}

# no_convert TEXT...: it fails with this message, and leaves nothing
no_convert() {
  run -1 --separate-stderr limited "$IMGTOOL" convert -m2 -f qcow2 disk.qcow2 got.raw
  expect_message "imgtool: " "$@"
  [[ ! -e got.raw && ${#stderr} -lt 2000 ]]
}

# no_info TEXT...: neither works
no_info() {
  run -1 --separate-stderr limited "$IMGTOOL" info -f qcow2 disk.qcow2
  expect_message "imgtool: " "$@"
  [[ -z $output ]]
  no_convert "$@"
}

# still_info: that works, and only the content cannot be had
still_info() {
  limited "$IMGTOOL" info disk.qcow2 >/dev/null
  run -0 --separate-stderr limited "$IMGTOOL" info --output=json disk.qcow2
  jq -e .format <<<"$output" >/dev/null
}

@test "the header: each field out of its range" {
  while read -r name value text; do
    fresh
    set_field disk.qcow2 "$name" "$((value))"
    echo "# $name=$value"
    no_info "$text"
  done <<'EOF'
magic 0x514649fc is not a qcow2 image
version 0 of version 0
version 4 of version 4
cluster_bits 0 clusters of 2^0 bytes
cluster_bits 8 clusters of 2^8 bytes
cluster_bits 22 clusters of 2^22 bytes
cluster_bits 0xffffffff clusters of 2^4294967295 bytes
size 0x8000000000000000 is not possible
size 0x7fffffffffffffff too small
size 0x100000000000 too small
crypt 3 unknown method of encryption 3
crypt 2 has no LUKS header
l1_size 0 too small
l1_size 0xffffffff more than a qcow2 image may have
l1_offset 1 L1 table cannot begin at offset 1
l1_offset 0x8000000000000000 L1 table cannot begin
reftable_offset 512 refcount table cannot begin
reftable_clusters 0x7fffffff more than a qcow2 image may have
n_snapshots 65537 more than a qcow2 image may have
n_snapshots 0xffffffff more than a qcow2 image may have
incompatible 0x20 not known here: bit 5
incompatible 0x8000000000000000 not known here: bit 63
incompatible 8 contradicts its feature bits
compression 1 contradicts its feature bits
refcount_order 7 refcounts of 2^7 bits
header_length 103 a header of 103 bytes
header_length 0xffffffff a header of 4294967295 bytes
backing_offset 65537 cannot be at offset 65537
backing_offset 0xffffffffffffffff cannot be at offset
EOF
}

@test "the file is shorter than its header" {
  for size in 0 4 71 72 103; do
    fresh
    truncate -s $size disk.qcow2
    no_info "disk.qcow2"
  done
}

@test "tables and clusters behind the end of the file: truncated, never zeros" {
  fresh
  set_field disk.qcow2 l1_offset $((1 << 40))
  still_info
  expect_message "'disk.qcow2': its tables reach to byte " "the image is truncated"
  expect '.truncated == true'
  no_convert "'disk.qcow2' is truncated: an L1 table is at offset 1099511627776"
  fresh
  put disk.qcow2 "$(l1_at disk.qcow2 0)" 8 $(((1 << 63) | (1 << 40)))
  still_info
  expect '.truncated == true'
  no_convert "'disk.qcow2' is truncated: an L2 table is at offset 1099511627776"
  fresh
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $(((1 << 63) | (1 << 40)))
  still_info
  no_convert "'disk.qcow2' is truncated: guest offset " "needs its bytes 1099511627776 to "
}

@test "an image cut off anywhere is read whole or not at all" {
  fresh
  imgtool convert disk.qcow2 want.raw
  whole=$(stat -c %s disk.qcow2)
  for ((size = 65536; size < whole; size += 65536 * 2 + 512)); do
    cp disk.qcow2 cut.qcow2
    truncate -s $size cut.qcow2
    rm -f got.raw
    run --separate-stderr limited "$IMGTOOL" convert cut.qcow2 got.raw
    ((status == 0)) || { [[ ! -e got.raw ]] && expect_message "truncated" && continue; }
    cmp want.raw got.raw
  done
}

@test "L1 and L2 entries that make no sense" {
  fresh
  put disk.qcow2 "$(l1_at disk.qcow2 0)" 8 $(((1 << 63) | 0x30200))
  no_convert "damaged: entry 0 of its L1 table"
  fresh
  put disk.qcow2 "$(l2_at disk.qcow2 2)" 8 $(((1 << 63) | 0x50200))
  no_convert "damaged: the L2 entry 0x8000000000050200 of guest offset 131072"
  fresh
  put disk.qcow2 "$(l2_at disk.qcow2 2)" 8 $(((1 << 62) | 0x50000))
  no_convert "damaged: the compressed data of guest offset 131072 at its offset 327680"
  rm disk.qcow2
  qemu-img create -q -f qcow2 -o compat=0.10 disk.qcow2 4M
  qemu-io -f qcow2 -c "write -P 1 0 64k" disk.qcow2 >/dev/null
  put disk.qcow2 "$(l2_at disk.qcow2 2)" 8 1
  no_convert "has a zero flag, which version 2 has not"
  rm disk.qcow2
  qemu-img create -q -f qcow2 -o extended_l2=on disk.qcow2 4M
  qemu-io -f qcow2 -c "write -P 1 0 64k" disk.qcow2 >/dev/null
  put disk.qcow2 "$(($(l2_at disk.qcow2 0) + 8))" 8 -1
  no_convert "contradicts its bitmap of subclusters"
}

# compressed TYPE: disk.qcow2 with a compressed cluster; sets DATA to where its data begins, and
# SECTORS to how many more there are
compressed() {
  seq 1 100000 | head -c 65536 >from.raw
  rm -f disk.qcow2
  qemu-img convert -c -f raw -O qcow2 -o compression_type="$1" from.raw disk.qcow2
  ENTRY=$(l2_at disk.qcow2 0)
  DATA=$(($(get disk.qcow2 "$ENTRY" 8) & ((1 << 54) - 1)))
}

@test "compressed data: garbage, cut off, empty, a stream that ends early" {
  for type in zlib zstd; do
    compressed $type
    head -c 20000 /dev/urandom | dd of=disk.qcow2 bs=1 seek="$DATA" conv=notrunc status=none
    put disk.qcow2 "$DATA" 1 255
    no_convert "damaged: the compressed data of guest offset 0 at its offset $DATA"

    compressed $type
    truncate -s $((DATA + 5000)) disk.qcow2
    no_convert "truncated: guest offset 0 needs its bytes $DATA to "

    compressed $type
    truncate -s $((DATA)) disk.qcow2
    no_convert "truncated: guest offset 0 needs its bytes $DATA to "

    compressed $type
    put disk.qcow2 "$ENTRY" 8 $(((1 << 62) | DATA)) # one sector only
    no_convert "damaged: the compressed data of guest offset 0"
  done
  compressed zlib
  printf '\x03\0' | dd of=disk.qcow2 bs=1 seek="$DATA" conv=notrunc status=none
  no_convert "damaged: the compressed data of guest offset 0"
}

@test "--salvage goes on, says what is lost, and exits 4" {
  fresh
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $(((1 << 63) | (1 << 40)))
  run -4 --separate-stderr limited "$IMGTOOL" convert --salvage disk.qcow2 got.raw
  expect_message 196608
  cmp <(head -c 1M /dev/zero | tr '\0' '\1' | { head -c 196608; head -c 65536 /dev/zero; } ) <(head -c 262144 got.raw)
  cmp <(head -c 786432 /dev/zero | tr '\0' '\1') <(tail -c +262145 got.raw | head -c 786432)
  rm got.raw
  fresh
  put disk.qcow2 "$(l1_at disk.qcow2 0)" 8 $(((1 << 63) | (1 << 40)))
  run -4 --separate-stderr limited "$IMGTOOL" convert --salvage disk.qcow2 got.raw
  [[ $(stat -c %s got.raw) == 4194304 ]]
}

@test "extensions: too long, cut off, thousands of them, names with a NUL" {
  fresh
  put disk.qcow2 116 4 $((0x7fffffff))
  no_info "length of an extension"
  put disk.qcow2 116 4 $((0xffffffff))
  no_info "length of an extension"
  fresh
  perl -e 'print pack ("NN", 0x12345678, 0) x 8000' | dd of=disk.qcow2 bs=1 seek=112 conv=notrunc status=none
  still_info
  qemu-img create -q -f qcow2 -u -b some.raw -F raw disk.qcow2 1M
  put disk.qcow2 "$(($(field disk.qcow2 backing_offset) + 3))" 1 0
  no_info "the name of its backing file contains a NUL"
  set_field disk.qcow2 backing_size 1024
  no_info "name of its backing file is too long"
}

@test "names with escape sequences stay out of the output" {
  qemu-img create -q -f qcow2 -u -b some.raw -F raw disk.qcow2 1M
  printf '\n\e[3' | dd of=disk.qcow2 bs=1 seek="$(field disk.qcow2 backing_offset)" conv=notrunc status=none
  run -0 --separate-stderr imgtool info disk.qcow2
  [[ $output != *$'\e'* ]]
  expect_text 'backing file: \n\x1b[3.raw'
  no_convert "control characters"
}

@test "snapshots: a table that is cut off, and many of nothing" {
  fresh
  set_field disk.qcow2 n_snapshots 100
  set_field disk.qcow2 snapshots_offset $((1 << 30))
  run -1 --separate-stderr limited "$IMGTOOL" info disk.qcow2
  expect_message "snapshot table goes on behind offset"
  fresh
  set_field disk.qcow2 n_snapshots 65536
  set_field disk.qcow2 snapshots_offset $((4 << 20))
  truncate -s $((8 << 20)) disk.qcow2
  run -0 --separate-stderr limited "$IMGTOOL" info disk.qcow2
  run -0 imgtool convert disk.qcow2 got.raw
}

@test "a table that is used for everything costs time once" {
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 disk.qcow2 1T
  qemu-io -f qcow2 -c "write -P 1 0 64k" disk.qcow2 >/dev/null
  at=$(l1_at disk.qcow2 0)
  l2=$(dd if=disk.qcow2 bs=1 skip="$at" count=8 status=none | od -An -v -tx1 | tr -d ' \n')
  perl -e 'print pack ("H*", $ARGV[0]) x 2048' "$l2" | dd of=disk.qcow2 bs=1 seek="$at" conv=notrunc status=none
  run -0 --separate-stderr limited "$IMGTOOL" convert -v disk.qcow2 got.raw
  [[ $(stat -c %s got.raw) == $((1 << 40)) ]]
}

@test "bitmaps: a directory that is cut off, and entries that make no sense" {
  local at n
  fresh
  qemu-img bitmap --add -g 64k disk.qcow2 one
  qemu-img bitmap --add -g 64k disk.qcow2 two
  # the extension: how many, how many bytes, where
  at=$(LC_ALL=C grep -obUaP '\x23\x85\x28\x75\0\0\0\x18' disk.qcow2 | head -n 1 | cut -d: -f1)
  n=$(get disk.qcow2 $((at + 24)) 8)
  cp disk.qcow2 good.qcow2
  put disk.qcow2 $((n + 12)) 4 3
  run -0 --separate-stderr imgtool info --output=json disk.qcow2
  expect '.["format-specific"].data.bitmaps[0].flags == ["in-use", "auto"]'
  while read -r offset bytes value text; do
    cp good.qcow2 disk.qcow2
    put disk.qcow2 $((offset)) "$bytes" $((value))
    echo "# $offset=$value"
    run -1 --separate-stderr limited "$IMGTOOL" info disk.qcow2
    expect_message "imgtool: 'disk.qcow2'" "$text"
  done <<END
$((at + 8)) 4 0 number of bitmaps
$((at + 8)) 4 65536 number of bitmaps
$((at + 8)) 4 3 bitmap directory goes on behind
$((at + 12)) 4 1 number of bitmaps
$((at + 4)) 4 16 bitmaps extension
$((at + 16)) 8 0x7fffffffffffffff bitmap directory has
$((at + 24)) 8 512 bitmap directory cannot begin at offset 512
$((at + 24)) 8 1<<40 bitmap directory goes on behind
$((at + 16)) 8 16 bitmap directory goes on behind
$((at + 16)) 8 26 bitmap directory goes on behind
$((at + 16)) 8 28 bitmap directory goes on behind
$((n + 16)) 1 2 makes no sense
$((n + 17)) 1 8 makes no sense
$((n + 17)) 1 32 makes no sense
$((n + 18)) 2 0 makes no sense
$((n + 18)) 2 1024 makes no sense
$((n + 20)) 4 0xffffffff makes no sense
$((n + 20)) 4 40 bitmap directory goes on behind
END
  cp good.qcow2 disk.qcow2
  set_field disk.qcow2 autoclear 0 # whoever wrote last knows nothing of them
  put disk.qcow2 $((n + 16)) 1 2
  run -0 --separate-stderr imgtool info --output=json disk.qcow2
  expect '.["format-specific"].data | has("bitmaps") | not'
}

# encrypted OPTIONS...: disk.qcow2 with LUKS; sets HEADER to where its header begins
encrypted() {
  local at
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 --object secret,id=s,data=1234 \
    -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"$*" disk.qcow2 1M
  at=$(LC_ALL=C grep -obUaP '\x05\x37\xbe\x77\0\0\0\x10' disk.qcow2 | head -n 1 | cut -d: -f1)
  EXTENSION=$((at + 8)) HEADER=$(get disk.qcow2 $((at + 8)) 8)
}

@test "LUKS: a header that is none, or not there" {
  encrypted ,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256
  run -0 --separate-stderr imgtool info --output=json disk.qcow2
  diff <(jq -S '."format-specific".data.encrypt' <<<"$output") \
    <(qemu-img info --output=json disk.qcow2 | jq -S '."format-specific".data.encrypt')
  put disk.qcow2 "$HEADER" 4 0
  run -1 --separate-stderr limited "$IMGTOOL" info disk.qcow2
  expect_message "what its header points to is not a LUKS header"
  encrypted
  put disk.qcow2 "$EXTENSION" 8 $((1 << 40))
  run -1 --separate-stderr limited "$IMGTOOL" info disk.qcow2
  expect_message "cannot read 592 bytes at offset 1099511627776"
  put disk.qcow2 "$EXTENSION" 8 513
  no_info "LUKS header cannot begin at offset 513"
  # All texts of the header without an end, and no "-" in the mode.
  encrypted
  head -c 192 /dev/zero | tr '\0' 'x' | dd of=disk.qcow2 bs=1 seek=$((HEADER + 8)) conv=notrunc status=none
  head -c 40 /dev/zero | tr '\0' '\377' | dd of=disk.qcow2 bs=1 seek=$((HEADER + 168)) conv=notrunc status=none
  still_info
  set_field disk.qcow2 crypt 1
  no_info "place of the LUKS header"
}

@test "the state in a snapshot: a table that is cut off, or not large enough" {
  local at size=$((4 << 20))
  fresh
  qemu-img snapshot -c first disk.qcow2
  qemu-img snapshot -c second disk.qcow2
  at=$(field disk.qcow2 snapshots_offset)
  cp disk.qcow2 good.qcow2
  run -0 imgtool convert -l second disk.qcow2 got.raw
  rm got.raw
  while read -r offset bytes value text; do
    cp good.qcow2 disk.qcow2
    put disk.qcow2 $((at + offset)) "$bytes" $((value))
    echo "# $offset=$value"
    run -1 --separate-stderr limited "$IMGTOOL" convert -l 1 disk.qcow2 got.raw
    expect_message "imgtool: 'disk.qcow2'" "$text"
    [[ ! -e got.raw ]]
  done <<END
0 8 512 L1 table of the snapshot cannot begin at offset 512
0 8 1<<40 is truncated: an L1 table is at offset 1099511627776
8 4 0 too small for $size bytes
8 4 0xffffffff more than a qcow2 image may have
36 4 1025 1025 bytes of extra data
48 8 1<<63 too small for 9223372036854775808 bytes
48 8 1<<30 too small for 1073741824 bytes
12 2 0 has no snapshot '1'
END
  cp good.qcow2 disk.qcow2
  set_field disk.qcow2 snapshots_offset $(($(stat -c %s disk.qcow2) / 65536 * 65536 + 65536))
  run -1 --separate-stderr limited "$IMGTOOL" convert -l 1 disk.qcow2 got.raw
  expect_message "snapshot table goes on behind offset"
}
