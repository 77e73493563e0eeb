#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check -r on qcow2 images that somebody broke: afterwards qemu-img finds nothing, and the
# content is what it is after qemu-img's own repair.

load ../cli/lib
load qcow2
load check

COPIED=0x8000000000000000

@test "refcounts that are too low or too high" {
  make_image
  cluster=$(data_cluster disk.qcow2 3)
  for value in 0 2 9; do
    put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 $value
    repaired
  done
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 40)" 2 7
  truncate -s 3M disk.qcow2
  repaired leaks
  expect_lines our.out "The following inconsistencies were found and repaired:" "    1 leaked clusters" \
    "    0 corruptions" "Double checking the fixed image now..." "No errors were found on the image."
  grep -Fx "Repairing cluster 40 refcount=7 reference=0" our.err
  [[ $(wc -l <our.err) == 1 ]]
  grep -Fx "Repairing cluster 40 refcount=7 reference=0" their.err
}

# expect_lines FILE LINE...: it has them
expect_lines() {
  local file=$1 line
  shift
  for line; do
    grep -Fxq -- "$line" "$file" || {
      echo "no line '$line' in:"
      cat "$file"
      return 1
    }
  done
}

@test "refcounts of every width" {
  for bits in 1 2 4 8 32 64; do
    make_image -o refcount_bits=$bits
    at=$(($(first_block disk.qcow2) + bits + (bits > 8 ? bits / 8 - 1 : 0)))
    put disk.qcow2 $at 1 0
    repaired
    put disk.qcow2 $at 1 255
    repaired
  done
}

@test "flags and bits that must be 0" {
  local bits
  for bits in $COPIED 0x0100000000000000 0x8; do
    make_image
    flip disk.qcow2 "$(l2_at disk.qcow2 2)" "$bits"
    both_repair
    [[ $our_status == 0 ]]
    qemu-img check -q ours.qcow2
    same_content
    [[ $bits != "$COPIED" ]] || [[ $their_status == 0 ]]
  done
  for bits in $COPIED 0x0100000000000000 0x1; do
    make_image
    flip disk.qcow2 "$(l1_at disk.qcow2 0)" "$bits"
    both_repair
    [[ $our_status == 0 ]]
    qemu-img check -q ours.qcow2
    same_content
  done
  make_image
  qemu-img snapshot -c one disk.qcow2
  flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED
  repaired
  seq 100000 >text.raw
  qemu-img convert -c -f raw -O qcow2 text.raw disk.qcow2
  flip disk.qcow2 "$(l2_at disk.qcow2 1)" $COPIED
  both_repair
  [[ $our_status == 0 ]]
  qemu-img check -q ours.qcow2
  qemu-img compare -q text.raw ours.qcow2
  make_image -o data_file=data.raw
  flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED
  imgtool check -q -r all disk.qcow2
  qemu-img check -q disk.qcow2
}

@test "a zero that points to no place" {
  make_image
  flip disk.qcow2 "$(l2_at disk.qcow2 5)" 0x201
  repaired
  make_image -o extended_l2=on
  put disk.qcow2 $(($(l2_at disk.qcow2 0) + 5 * 16 + 8)) 8 $((0xffffffff << 32))
  flip disk.qcow2 $(($(l2_at disk.qcow2 0) + 5 * 16)) 0x200
  repaired
}

@test "a snapshot that lost its L1 table keeps its clusters, a data file without a name all" {
  make_image
  qemu-img snapshot -c one disk.qcow2
  qemu-io -f qcow2 -c "write -q -P 2 0 1M" disk.qcow2
  cp disk.qcow2 good.qcow2
  at=$(($(field disk.qcow2 snapshots_offset) + 8))
  put disk.qcow2 $at 4 0
  for what in leaks all; do
    cp disk.qcow2 ours.qcow2
    run -2 --separate-stderr imgtool check -r $what ours.qcow2
    [[ $stderr == *"Leaked cluster "* && $stderr == *"no cluster it may need is freed"* ]]
    cmp disk.qcow2 ours.qcow2
  done
  # The refcounts anew: what only the snapshot has is kept as well.
  put disk.qcow2 $(($(field disk.qcow2 reftable_offset) + 8)) 8 "$(first_block disk.qcow2)"
  cp disk.qcow2 ours.qcow2
  run -2 imgtool check -r all ours.qcow2
  put ours.qcow2 $at 4 1
  run -3 qemu-img check -q ours.qcow2 # where the refcounts were
  qemu-img compare -q ours.qcow2 good.qcow2
  qemu-img convert -l one -O raw good.qcow2 good.raw
  qemu-img convert -l one -O raw ours.qcow2 ours.raw
  cmp good.raw ours.raw

  make_image
  set_field disk.qcow2 incompatible 4
  for what in leaks all; do
    cp disk.qcow2 ours.qcow2
    run -1 imgtool check -r $what ours.qcow2
    cmp disk.qcow2 ours.qcow2
  done
}

@test "two entries for one cluster, data onto metadata" {
  make_image
  put disk.qcow2 "$(l2_at disk.qcow2 5)" 8 "$(get disk.qcow2 "$(l2_at disk.qcow2 6)" 8)"
  repaired
  for cluster in 1 3 4; do
    make_image
    put disk.qcow2 "$(l2_at disk.qcow2 5)" 8 $((1 << 63 | cluster << 16))
    both_repair
    # Only imgtool says that it is still both; QEMU counts two users and is content.
    [[ $our_status == 2 && $their_status == 0 ]]
    grep "is data of the guest and metadata of the image" our.err
    qemu-img convert -f qcow2 -O raw disk.qcow2 before.raw
    qemu-img compare -q -F qcow2 -f raw before.raw ours.qcow2
    # The L2 table's own flag stays: the guest would see that it was cleared.
    ((cluster == 4)) || qemu-img check -q ours.qcow2
  done
}

@test "refcounts that have to be built anew" {
  for damage in gone reserved outside twice l1 nothing header; do
    make_image
    qemu-img snapshot -c one disk.qcow2
    qemu-io -f qcow2 -c "write -q -P 2 512k 1M" disk.qcow2
    table=$(field disk.qcow2 reftable_offset)
    echo "# $damage"
    case $damage in
      gone) put disk.qcow2 "$table" 8 0 ;;
      reserved) flip disk.qcow2 "$table" 0x1 ;;
      outside) put disk.qcow2 "$table" 8 $((1 << 44)) ;;
      twice) put disk.qcow2 $((table + 8)) 8 "$(first_block disk.qcow2)" ;;
      l1) put disk.qcow2 "$table" 8 "$(field disk.qcow2 l1_offset)" ;;
      nothing) set_field disk.qcow2 reftable_clusters 0 ;;
      header) set_field disk.qcow2 reftable_offset 0 ;;
    esac
    size=$(stat -c %s disk.qcow2)
    both_repair
    [[ $our_status == 0 ]] || cat our.err our.out
    [[ $our_status == 0 ]]
    qemu-img check -q ours.qcow2
    (($(stat -c %s ours.qcow2) <= size + 4 * 65536))
    # qemu-img grows the file to 16 TiB, and does not end, or gives up.
    [[ $damage == outside || $their_status != 0 ]] || same_content
  done
}

@test "refcounts built anew: every width, small clusters, snapshots" {
  for options in refcount_bits=1 refcount_bits=64 cluster_size=512 cluster_size=2M; do
    make_image -o $options
    qemu-io -f qcow2 -c "write -q -P 2 512k 1M" disk.qcow2
    [[ $options == refcount_bits=1 ]] || qemu-img snapshot -c one disk.qcow2
    qemu-io -f qcow2 -c "write -q -P 3 1M 1M" disk.qcow2
    qemu-img convert -f qcow2 -O raw disk.qcow2 before.raw
    put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0
    imgtool check -q -r all disk.qcow2
    qemu-img check -q disk.qcow2
    qemu-img compare -q before.raw disk.qcow2
  done
}

@test "a refcount block that is not aligned" {
  make_image
  qemu-img convert -f qcow2 -O raw disk.qcow2 before.raw
  flip disk.qcow2 "$(field disk.qcow2 reftable_offset)" 0x200
  imgtool check -q -r all disk.qcow2
  qemu-img check -q disk.qcow2
  qemu-img compare -q before.raw disk.qcow2
}

@test "what is lost stays as it is, and so does what may belong to it" {
  # The L2 table cannot be found: its clusters look like leaks.
  make_image
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" 0x100000000000
  cp disk.qcow2 before.qcow2
  run -2 --separate-stderr imgtool check -r all disk.qcow2
  grep -Eq "[1-9][0-9]* leaked clusters were found" <<<"$output"
  # Put right, nothing is missing.
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" 0x100000000000
  qemu-img check -q disk.qcow2
  qemu-io -f qcow2 -c "read -q -P 1 0 1M" disk.qcow2
}

@test "clusters that a wrong bitmap may have are no leaks, and no table is at offset 0" {
  make_image
  qemu-img bitmap --add disk.qcow2 changes
  qemu-io -f qcow2 -c "write -q -P 2 1M 1M" disk.qcow2
  local entry
  entry=$(bitmap_directory disk.qcow2)
  local table
  table=$(get disk.qcow2 "$entry" 8)
  put disk.qcow2 "$entry" 8 0
  run -2 --separate-stderr imgtool check --output=json disk.qcow2
  jq -e '.["finding-counts"] | .bitmap == 1 and (.overlap // 0) == 0' <<<"$output"
  run -2 --separate-stderr imgtool check -r all disk.qcow2
  grep -Eq "[1-9][0-9]* leaked clusters were found" <<<"$output"
  # Put right, nothing is missing.
  put disk.qcow2 "$entry" 8 "$table"
  run -0 imgtool check disk.qcow2
  qemu-img check -q disk.qcow2
}

@test "a bitmap of a disk that is no multiple of a sector" {
  # One cluster has all the bits of 2 MiB; the tables are for some more.
  qemu-img create -q -f qcow2 -o cluster_size=512 disk.qcow2 $(((2 << 20) + 512))
  set_field disk.qcow2 size $((2 << 20))
  qemu-img bitmap --add -g 512 disk.qcow2 changes
  set_field disk.qcow2 size $(((2 << 20) + 100))
  qemu-img check -q disk.qcow2
  run -0 imgtool check disk.qcow2
  set_field disk.qcow2 size $(((2 << 20) + 512))
  run -2 imgtool check disk.qcow2
}

@test "refcounts past the end of the file" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 1000)" 2 1
  run -3 imgtool check disk.qcow2
  for what in leaks all; do
    both_repair $what
    [[ $our_status == 0 && $their_status == 0 ]]
    qemu-img check -q ours.qcow2
    run -0 imgtool check ours.qcow2
    run -3 imgtool check theirs.qcow2 # which QEMU does not look at
  done
}

@test "dirty and corrupt are taken back when all is well" {
  make_image -o lazy_refcounts=on
  set_field disk.qcow2 incompatible 3
  run -0 imgtool check -r all disk.qcow2
  [[ $(field disk.qcow2 incompatible) == 0 ]]
  set_field disk.qcow2 incompatible 3
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" 0x100000000000
  run -2 imgtool check -r all disk.qcow2
  [[ $(field disk.qcow2 incompatible) == 3 ]]
}

@test "-r leaks does no more than that" {
  make_image
  cluster=$(data_cluster disk.qcow2 3)
  put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 0
  put disk.qcow2 "$(refcount_at disk.qcow2 10)" 2 3
  run -2 imgtool check -r leaks disk.qcow2
  [[ $(get disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2) == 0 ]]
  [[ $(get disk.qcow2 "$(refcount_at disk.qcow2 10)" 2) == 1 ]]
  make_image
  put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0
  cp disk.qcow2 before.qcow2
  run -1 --separate-stderr imgtool check -r leaks disk.qcow2
  expect_message "its refcounts have to be rebuilt, which -r all does"
  cmp disk.qcow2 before.qcow2
}

@test "--dry-run says what would be written, and writes nothing" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 "$(data_cluster disk.qcow2 3)")" 2 0
  cp disk.qcow2 before.qcow2
  run -2 --separate-stderr imgtool check -r all --dry-run disk.qcow2
  cmp disk.qcow2 before.qcow2
  expect_text "A repair would write to 1 places of the image; nothing was written." "    raise: 1 places, 1 bytes"
  run -2 --separate-stderr imgtool check -r all --dry-run --output=json disk.qcow2
  jq -e '.plan.raise.places == 1' <<<"$output"
  make_image
  run -0 --separate-stderr imgtool check -r all --dry-run disk.qcow2
  expect_text "A repair would write to 0 places"
}

@test "--undo-file and --undo: the image is byte for byte what it was" {
  for damage in low copied gone zero; do
    make_image
    case $damage in
      low) put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0 ;;
      copied) flip disk.qcow2 "$(l2_at disk.qcow2 2)" $COPIED ;;
      gone) put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0 ;;
      zero) flip disk.qcow2 "$(l2_at disk.qcow2 5)" 0x201 ;;
    esac
    rm -f undo
    cp disk.qcow2 before.qcow2
    imgtool check -q -r all --undo-file=undo disk.qcow2
    ! cmp -s disk.qcow2 before.qcow2
    [[ $(stat -c %a undo) == 600 ]]
    run -0 imgtool check --undo undo disk.qcow2
    cmp disk.qcow2 before.qcow2
    run -1 --separate-stderr imgtool check --undo undo disk.qcow2
    expect_message "what is in 'undo' has been put back already"
    cmp disk.qcow2 before.qcow2
  done
}

@test "--undo refuses where somebody has written since, and what is no undo file" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0
  imgtool check -q -r all --undo-file=undo disk.qcow2
  qemu-io -f qcow2 -c "write -q -P 7 3M 64k" disk.qcow2
  cp disk.qcow2 before.qcow2
  run -1 --separate-stderr imgtool check --undo undo disk.qcow2
  expect_message "'disk.qcow2' is not as the repair left it, whose undo file is 'undo': nothing was put back"
  cmp disk.qcow2 before.qcow2
  run -1 --separate-stderr imgtool check --undo disk.qcow2 disk.qcow2
  expect_message "'disk.qcow2' is not an undo file"
  run -1 --separate-stderr imgtool check --undo missing disk.qcow2
  expect_message "cannot read the undo file 'missing'"
  # An undo file is never overwritten.
  put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0
  run -1 --separate-stderr imgtool check -r all --undo-file=undo disk.qcow2
  expect_message "cannot make the undo file 'undo': File exists"
}

@test "who has the image open or locked is in the way, and named" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0
  cp disk.qcow2 before.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio,read-only=on
  run -1 --separate-stderr imgtool check -r all disk.qcow2
  expect_message "pid ${PID[vm]}"
  stop vm
  hold_open writer read-write disk.qcow2
  run -1 --separate-stderr imgtool check -r all disk.qcow2
  expect_message "cannot write to 'disk.qcow2': " "pid ${PID[writer]}"
  run -1 --separate-stderr imgtool check --undo before.qcow2 disk.qcow2
  expect_message "cannot write to 'disk.qcow2': "
  cmp disk.qcow2 before.qcow2
  # A look at it is no harm.
  run -2 imgtool check disk.qcow2
  run -2 imgtool check -r all --dry-run disk.qcow2
}

@test "usage" {
  make_image
  run -1 --separate-stderr imgtool check --dry-run disk.qcow2
  expect_message "--dry-run is for --repair"
  run -1 --separate-stderr imgtool check --undo-file=u disk.qcow2
  expect_message "--undo-file is for --repair"
  run -1 --separate-stderr imgtool check --undo u -r all disk.qcow2
  expect_message "--undo and --repair exclude each other"
  run -1 --separate-stderr imgtool check --undo u -U disk.qcow2
  expect_message "--undo and --force-share exclude each other"
  run -1 --separate-stderr imgtool check -r all --undo-file=u disk.qcow2 disk.qcow2
  expect_message "--undo-file is for one image"
  run -1 --separate-stderr imgtool check --undo u disk.qcow2 disk.qcow2
  expect_message "--undo is for one image"
}

@test "snapshots without what version 3 wants of them are completed, also when the table grows" {
  for many in 1 40; do
    make_image -o cluster_size=4k
    qemu-img snapshot -c one disk.qcow2
    for ((i = 1; i < many; i++)); do qemu-img snapshot -c "$(printf '%0200d' $i)" disk.qcow2; done
    at=$(field disk.qcow2 snapshots_offset)
    # The extra data of all of them becomes part of the name, which is longer for it.
    for ((i = 0; i < many; i++)); do
      id=$(get disk.qcow2 $((at + 12)) 2) name=$(get disk.qcow2 $((at + 14)) 2)
      extra=$(get disk.qcow2 $((at + 36)) 4)
      put disk.qcow2 $((at + 36)) 4 0
      put disk.qcow2 $((at + 14)) 2 $((name + extra))
      at=$(((at + 40 + extra + id + name + 7) & ~7))
    done
    same_verdict snapshot
    imgtool convert -l "$(imgtool info --output=json disk.qcow2 | jq -r '.snapshots[0].id')" disk.qcow2 before.raw
    both_repair
    [[ $our_status == 0 && $their_status == 0 ]]
    run -0 qemu-img check -q ours.qcow2
    imgtool info --output=json disk.qcow2 | jq '.snapshots' >before.json
    imgtool info --output=json ours.qcow2 | jq '.snapshots' >after.json
    diff before.json after.json
    qemu-img snapshot -l theirs.qcow2 | cmp - <(qemu-img snapshot -l ours.qcow2)
    imgtool convert -l "$(jq -r '.[0].id' after.json)" ours.qcow2 after.raw
    cmp before.raw after.raw
    rm before.raw after.raw
  done
}
