#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check on qcow2 images that somebody broke: the same verdict, the same counters and the same
# exit status as from qemu-img, or the difference, with the reason.

load ../cli/lib
load qcow2
load check

COPIED=0x8000000000000000

@test "nothing is wrong: images of every kind" {
  local options
  for options in "" compat=0.10 cluster_size=512 cluster_size=2M extended_l2=on refcount_bits=1 \
    refcount_bits=2 refcount_bits=4 refcount_bits=8 refcount_bits=32 refcount_bits=64 \
    preallocation=metadata preallocation=falloc lazy_refcounts=on \
    data_file=data.raw data_file=data.raw,data_file_raw=on \
    "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"; do
    echo "# $options"
    rm -f disk.qcow2 data.raw
    qemu-img create -q --object secret,id=key,data=geheim -f qcow2 ${options:+-o "$options"} disk.qcow2 4M
    [[ $options == encrypt* ]] || qemu-io -f qcow2 -c "write -q -P 1 0 1M" disk.qcow2
    if [[ $options == encrypt* ]]; then
      run -0 imgtool check --output=json disk.qcow2
    else
      same_verdict
      [[ ! -s our.err ]]
    fi
  done
}

@test "nothing is wrong: snapshots, compressed data, zeros, bitmaps" {
  make_image
  qemu-img snapshot -c one disk.qcow2
  qemu-io -f qcow2 -c "write -q -P 2 512k 1M" -c "write -q -z 2M 1M" -c "discard -q 0 64k" disk.qcow2
  qemu-img snapshot -c two disk.qcow2
  same_verdict
  qemu-img bitmap --add disk.qcow2 map
  qemu-io -f qcow2 -c "write -q -P 3 0 1M" disk.qcow2
  same_verdict
  for type in zlib zstd; do
    make_image
    seq 100000 >text.raw
    qemu-img convert -c -f raw -O qcow2 -o compression_type=$type text.raw disk.qcow2
    same_verdict
  done
  [[ $our_status == 0 && $ours == *'"compressed-clusters":9'* ]]
}

@test "a refcount is too low, or too high" {
  make_image
  cluster=$(data_cluster disk.qcow2 3)
  put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 0
  same_verdict refcount-low copied-flag
  [[ $our_status == 2 ]]
  grep -Fx "ERROR cluster $cluster refcount=0 reference=1 (guest bytes 196608 to 262143)" our.err
  grep -Fx "ERROR cluster $cluster refcount=0 reference=1" their.err
  jq -e '.findings[] | select(.kind == "refcount-low" and .["guest-offset"] == 196608)' <<<"$our_json"
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 2
  same_verdict leak copied-flag
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 40)" 2 7
  truncate -s 3M disk.qcow2
  same_verdict leak
  [[ $our_status == 3 ]]
  grep -Fx "Leaked cluster 40 refcount=7 reference=0" our.err
}

@test "refcounts of every width" {
  for bits in 1 2 4 8 32 64; do
    make_image -o refcount_bits=$bits
    block=$(first_block disk.qcow2)
    at=$((block + bits + (bits > 8 ? bits / 8 - 1 : 0))) # cluster 8, and perhaps some more
    put disk.qcow2 $at 1 0
    same_verdict
    [[ $our_status == 2 ]]
    put disk.qcow2 $at 1 255
    same_verdict
  done
}

@test "the copied flag" {
  make_image
  flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED
  same_verdict copied-flag
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" $COPIED
  same_verdict copied-flag
  [[ $ours == *'"corruptions":2'* ]]
  make_image
  qemu-img snapshot -c one disk.qcow2
  flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED
  same_verdict copied-flag
  make_image -o data_file=data.raw
  flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED
  same_verdict copied-flag
}

@test "L1 entries: reserved bits, not aligned, past the end, into other tables, twice the same" {
  while read -r bits kinds; do
    make_image
    echo "# $bits"
    flip disk.qcow2 "$(l1_at disk.qcow2 0)" "$bits"
    # shellcheck disable=SC2086
    same_verdict $kinds
  done <<'EOT'
0x0100000000000000 bad-entry
0x0000000000000001 bad-entry
0x0000000000000200 bad-entry
0x0000100000000000 past-end
0x0000000000070000
0x0000000000050000
0x0000000000040000
EOT
  make_image
  put disk.qcow2 "$(l1_at disk.qcow2 0)" 8 $((1 << 63))
  same_verdict
}

@test "L2 entries: reserved bits, not aligned, past the end, onto metadata, twice the same" {
  while read -r bits kinds; do
    make_image
    echo "# $bits"
    flip disk.qcow2 "$(l2_at disk.qcow2 5)" "$bits"
    # shellcheck disable=SC2086
    same_verdict $kinds
  done <<'EOT'
0x0100000000000000 bad-entry
0x0000000000000008 bad-entry
0x0000000000000200 bad-entry
0x0000000000000201 bad-entry
0x0000000000008000 bad-entry
0x0000100000000000 past-end
0x0000000000010000
0x0000000000000001
EOT
  for cluster in 0 1 2 3 4 6; do
    make_image
    echo "# onto $cluster"
    put disk.qcow2 "$(l2_at disk.qcow2 5)" 8 $((1 << 63 | cluster << 16))
    same_verdict
  done
}

@test "compressed entries" {
  seq 100000 >text.raw
  for bits in 0x8000000000000000 0x0000000000080000 0x0000004000000000 0x0800000000000000 0x3f00000000000000; do
    qemu-img convert -c -f raw -O qcow2 text.raw disk.qcow2
    echo "# $bits"
    flip disk.qcow2 "$(l2_at disk.qcow2 1)" "$bits"
    same_verdict
  done
}

@test "extended L2 entries" {
  while read -r where bits kinds; do
    make_image -o extended_l2=on
    echo "# $where $bits"
    flip disk.qcow2 $(($(l2_at disk.qcow2 0) + where)) "$bits"
    # shellcheck disable=SC2086
    same_verdict $kinds
  done <<'EOT'
40 0x0000000100000000 bad-entry
40 0x00000000ffffffff
328 0x0000000000000001 bad-entry
328 0x0000000100000000
32 0x0000000000000200 bad-entry
32 0x4000000000000000 bad-entry
32 0x8000000000000000 copied-flag
EOT
}

@test "the refcount table: reserved bits, not aligned, past the end, twice the same block" {
  while read -r bits kinds; do
    make_image
    echo "# $bits"
    flip disk.qcow2 "$(field disk.qcow2 reftable_offset)" "$bits"
    # shellcheck disable=SC2086
    same_verdict $kinds
  done <<'EOT'
0x0000000000000001 refcount-block
0x0000100000000000 refcount-block refcount-low
EOT
  make_image
  put disk.qcow2 $(($(field disk.qcow2 reftable_offset) + 8)) 8 "$(first_block disk.qcow2)"
  same_verdict refcount-block
  make_image
  put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0
  same_verdict refcount-low
  make_image
  put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 $((5 << 16))
  same_verdict refcount-block
}

@test "a refcount block that is not aligned: no refcounts can be known" {
  make_image
  flip disk.qcow2 "$(field disk.qcow2 reftable_offset)" 0x200
  both_check
  [[ $our_status == 1 && $their_status == 1 ]]
  jq -e '.["finding-counts"]["refcount-block"] == 1 and .["check-errors"] > 0' <<<"$our_json"
}

@test "no refcount table at all" {
  make_image
  set_field disk.qcow2 reftable_clusters 0
  same_verdict refcount-low
}

@test "snapshots: tables, flags, incomplete entries" {
  for damage in offset size reserved past align extra; do
    make_image
    qemu-img snapshot -c one disk.qcow2
    qemu-img snapshot -c two disk.qcow2
    at=$(field disk.qcow2 snapshots_offset)
    echo "# $damage"
    case $damage in
      offset) put disk.qcow2 "$at" 8 $(($(get disk.qcow2 "$at" 8) + 512)) ;;
      size) put disk.qcow2 $((at + 8)) 4 0x7fffffff ;;
      reserved) flip disk.qcow2 "$(get disk.qcow2 "$at" 8)" 0x1 ;;
      past) put disk.qcow2 "$at" 8 $((1 << 40)) ;;
      align) flip disk.qcow2 "$(get disk.qcow2 "$at" 8)" 0x200 ;;
      extra) put disk.qcow2 $((at + 36)) 4 8 ;; # and what follows makes no sense
    esac
    if [[ $damage == extra ]]; then
      # qemu-img gives up; imgtool says so, and what it found all the same.
      both_check
      [[ $our_status == 1 && $their_status == 1 ]]
      grep "ERROR failed to read the snapshot table: " our.err
    else
      same_verdict
    fi
  done
}

@test "snapshots with an external data file" {
  make_image -o data_file=data.raw
  set_field disk.qcow2 n_snapshots 1
  set_field disk.qcow2 snapshots_offset $((7 << 16))
  truncate -s 1M disk.qcow2
  put disk.qcow2 $((7 << 16)) 8 $((8 << 16)) # with an L1 table of one entry
  put disk.qcow2 $(((7 << 16) + 8)) 4 1
  same_verdict snapshot
}

@test "a snapshot whose L1 table is too short for its disk: only imgtool says so" {
  local where bytes value
  while read -r where bytes value; do
    make_image
    qemu-img snapshot -c one disk.qcow2
    qemu-io -f qcow2 -c "write -q -P 2 0 1M" disk.qcow2
    put disk.qcow2 $(($(field disk.qcow2 snapshots_offset) + where)) "$bytes" $((value))
    echo "# $where $value"
    both_check
    [[ $our_status == 2 && $their_status != 2 ]]
    jq -e '.corruptions == 1 and .["finding-counts"].snapshot == 1' <<<"$our_json"
    grep "^ERROR snapshot 1 (one) l1_size=.*: L1 table is too small for .*, and no cluster it may need is freed" our.err
    run -1 --separate-stderr imgtool convert -l one -O raw disk.qcow2 one.raw
    expect_message "the L1 table of the snapshot is too small"
  done <<'EOT'
8 4 0
48 8 1<<30
48 8 1<<63
EOT
}

@test "a data file that is not named: nothing can be said of the clusters" {
  local options
  make_image
  set_field disk.qcow2 incompatible 4
  both_check
  [[ $our_status == 1 && $their_status == 1 ]]
  for options in "" --data "-r all" "-r leaks"; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr imgtool check $options disk.qcow2
    expect_message "'disk.qcow2': its content is in another file, and it does not say in which"
  done
  set_field disk.qcow2 incompatible 0
  same_verdict
  [[ $our_status == 0 ]]
}

@test "bitmaps: entries of a table" {
  local entry
  for entry in 0x0100000000000000 0x0000000000000002 0x0000000000010200; do
    make_image
    qemu-img bitmap --add disk.qcow2 map
    qemu-img bitmap --disable disk.qcow2 map
    directory=$(bitmap_directory disk.qcow2)
    table=$(get disk.qcow2 "$directory" 8)
    # In use, so that qemu-img does not load it when it opens the image.
    put disk.qcow2 $((directory + 12)) 4 1
    put disk.qcow2 "$table" 8 "$entry"
    echo "# $entry"
    # qemu-img gives up the whole check: "Check failed: Invalid argument".
    both_check
    [[ $their_status == 1 && $our_status == 2 ]]
    jq -e '.corruptions == 1 and .["finding-counts"].bitmap == 1' <<<"$our_json"
  done
}

@test "bitmaps as a whole: flags, place, size, two of one name" {
  local where bytes value words
  while read -r where bytes value words; do
    make_image
    qemu-img bitmap --add disk.qcow2 one
    qemu-img bitmap --add disk.qcow2 two
    put disk.qcow2 $(($(bitmap_directory disk.qcow2) + where)) "$bytes" $((value))
    echo "# $words"
    # qemu-img does not open such an image, or gives up.
    both_check
    [[ $their_status == 1 && $our_status == 2 ]]
    jq -e '.["finding-counts"].bitmap == 1' <<<"$our_json"
    grep -F "ERROR $words" our.err
    run -1 imgtool convert -O qcow2 --bitmaps disk.qcow2 copy.qcow2
  done <<'EOT'
12 4 8 the flags of bitmap 'one' cannot be right
8 4 2 the size of bitmap 'one' cannot be right
56 4 0x6f6e6500 there is another bitmap called
EOT
}

@test "a LUKS header that is not there: what may be its keys is not freed" {
  qemu-img create -q --object secret,id=key,data=geheim -f qcow2 \
    -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 disk.qcow2 1M
  at=$(LC_ALL=C grep -obUaP '\x05\x37\xbe\x77\0\0\0\x10' disk.qcow2 | LC_ALL=C sed 's|:.*||;q')
  size=$(stat -c %s disk.qcow2)
  truncate -s +65536 disk.qcow2
  cp disk.qcow2 whole.qcow2
  for length in 4096 100; do
    cp whole.qcow2 disk.qcow2
    put disk.qcow2 $((at + 8)) 8 "$size"
    put disk.qcow2 $((at + 16)) 8 $length
    for what in leaks all; do
      run -2 --separate-stderr imgtool check -r $what --output=json disk.qcow2
      jq -e '.["finding-counts"].header == 1 and (has("leaks-fixed") | not)' <<<"$output"
    done
    put disk.qcow2 $((at + 8)) 8 "$(get whole.qcow2 $((at + 8)) 8)"
    put disk.qcow2 $((at + 16)) 8 "$(get whole.qcow2 $((at + 16)) 8)"
    run -0 imgtool check -r all disk.qcow2
  done
}

@test "the mark of a raw data file where there is none: qemu-img does not open that" {
  make_image
  set_field disk.qcow2 autoclear 2
  both_check
  [[ $their_status == 1 && $our_status == 2 ]]
  jq -e '.["finding-counts"].header == 1' <<<"$our_json"
  run -2 imgtool check -r leaks disk.qcow2
  run -0 imgtool check -r all disk.qcow2
  [[ $(get disk.qcow2 88 8) == 0 ]]
  same_verdict
}

@test "what reading refuses is found: zero flags in version 2, other places in a data file" {
  make_image -o compat=0.10
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 1
  both_check
  [[ $our_status == 2 ]]
  grep -F ': zero flag in an image of version 2' our.err
  run -1 imgtool convert -O raw disk.qcow2 copy.raw
  run -2 imgtool check -r all disk.qcow2
  make_image -o data_file=data.raw
  put disk.qcow2 "$(l2_at disk.qcow2 3)" 8 $((COPIED | 7 << 16))
  both_check
  [[ $our_status == 2 ]]
  grep -F 'offset=70000: in a data file it has to be as on the disk, at 30000' our.err
  run -1 imgtool convert -O raw disk.qcow2 copy.raw
}

@test "the file was cut: what qemu-img says too" {
  make_image
  size=$(stat -c %s disk.qcow2)
  truncate -s $((size - 65536)) disk.qcow2
  same_verdict past-end
  truncate -s $((6 * 65536)) disk.qcow2
  same_verdict past-end refcount-past-end
}

@test "the file was cut inside a table, or behind all that is used: only imgtool says so" {
  # The L2 table is the last thing in the file, and what it lost reads as zeros: QEMU sees nothing.
  make_image -o preallocation=off
  table=$(($(get disk.qcow2 "$(l1_at disk.qcow2 0)" 8) & 0xfffffffffffe00))
  for ((i = 0; i < 16; i++)); do
    put disk.qcow2 "$(l2_at disk.qcow2 $i)" 8 0
    put disk.qcow2 "$(refcount_at disk.qcow2 $((table / 65536 + 1 + i)))" 2 0
  done
  truncate -s $((table + 65536)) disk.qcow2
  same_verdict
  [[ $our_status == 0 ]]
  truncate -s $((table + 4096)) disk.qcow2
  both_check
  [[ $their_status == 0 && $our_status == 2 ]]
  grep "the L2 table at offset $table ends at .* the image is truncated" our.err

  # Refcounts of what is not there: a leak to QEMU if it were in the file, and here nothing at all.
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 1000)" 2 1
  both_check
  [[ $their_status == 0 && $our_status == 3 && $theirs == "$ours" ]]
  grep "^WARNING 1 refcounts from offset $((1000 << 16)) on are of clusters past the end" our.err
  run -3 --separate-stderr imgtool check disk.qcow2
  [[ $output == *"1 refcounts of clusters past the end of the file were found on the image."* ]]
  [[ $output != *"No errors"* ]]
}

# cut BYTES: what check, check --data and convert say of disk.qcow2 without its last BYTES, which qemu-img
# finds good; sets said
cut() {
  said=()
  cp disk.qcow2 cut.qcow2
  truncate -s "-$1" cut.qcow2
  qemu-img check -q -f qcow2 cut.qcow2
  for words in check 'check --data' 'convert -f qcow2 -O raw'; do
    status=0
    # shellcheck disable=SC2046,SC2086
    imgtool $words cut.qcow2 $([[ $words == check* ]] || echo cut.raw) >cut.out 2>&1 || status=$?
    said+=("$status")
  done
}

@test "the file was cut inside of data: only imgtool says so, as it would when reading" {
  seq 200000 | head -c 1000448 >text.raw
  qemu-img convert -f raw -O qcow2 text.raw disk.qcow2
  # What is cut is behind the end of the disk, or a sector of it.
  size=$(stat -c %s disk.qcow2)
  last=$(data_cluster disk.qcow2 15)
  end=$(((last << 16) + 1000448 - 15 * 65536))
  cut $((size - end))
  [[ ${said[*]} == "0 0 0" ]]
  cut $((size - end + 1))
  [[ ${said[*]} == "2 2 1" ]]
  run -2 --separate-stderr imgtool check cut.qcow2
  expect_message "content from offset $((last << 16)) to $end of the file, which ends at $((end - 1))"
  # Nothing may be repaired that lets the file grow: there would be zeros.
  put cut.qcow2 "$(field cut.qcow2 reftable_offset)" 8 0
  cp cut.qcow2 before.qcow2
  run -1 --separate-stderr imgtool check -r all cut.qcow2
  cmp cut.qcow2 before.qcow2
  # Of compressed data, whose last sector writers leave incomplete.
  for type in zlib zstd; do
    qemu-img convert -f raw -O qcow2 -c -o compression_type=$type text.raw disk.qcow2
    truncate -s "%512" disk.qcow2
    cut 1
    [[ ${said[0]} == 0 ]]
    cut 512
    [[ ${said[*]} == "2 2 1" ]]
  done
}

@test "data in the place of metadata, with the refcounts to match: only imgtool says so" {
  # QEMU reads the L1 table as data of the guest, and counts two users.
  make_image
  cluster=$(($(field disk.qcow2 l1_offset) / 65536))
  old=$(data_cluster disk.qcow2 5)
  put disk.qcow2 "$(l2_at disk.qcow2 5)" 8 $((cluster << 16))
  put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 2
  put disk.qcow2 "$(refcount_at disk.qcow2 "$old")" 2 0
  both_check
  [[ $their_status == 0 && $our_status == 2 ]]
  grep -Fx "ERROR cluster $cluster is data of the guest and metadata of the image at the same time \
(guest bytes 327680 to 393215)" our.err
}

@test "one table that everything refers to is walked once" {
  make_image
  # 4 MiB of L1 entries with the same table, and a guest as large as they say.
  entry=$(get disk.qcow2 "$(l1_at disk.qcow2 0)" 8)
  perl -e 'print pack("Q>", $ARGV[0]) x 262144' "$(printf %u "$entry")" >>disk.qcow2
  truncate -s 8M disk.qcow2
  begin=$(stat -c %s disk.qcow2)
  perl -e 'print pack("Q>", $ARGV[0]) x 262144' "$(printf %u "$entry")" >>disk.qcow2
  set_field disk.qcow2 l1_offset "$begin"
  set_field disk.qcow2 l1_size 262144
  begin=$(now_us)
  run -2 --separate-stderr imgtool check disk.qcow2
  (($(now_us) - begin < 10000000))
  [[ ${#stderr_lines[@]} -eq 101 && ${stderr_lines[100]} == "100 of "*" findings are shown" ]]
}

@test "what cannot be opened is status 1, as with qemu-img" {
  local name value
  while read -r name value; do
    make_image
    set_field disk.qcow2 "$name" "$value"
    echo "# $name"
    both_check
    [[ $our_status == 1 && $their_status == 1 ]]
  done <<'EOT'
magic 1
cluster_bits 8
l1_offset 513
l1_size 0
reftable_offset 513
header_length 8
refcount_order 9
EOT
}
