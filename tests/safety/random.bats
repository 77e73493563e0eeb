#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2154
#
# Sources of random layouts, copied with random options to targets of each kind: exit status 0, and
# every byte the same. RANDOM_SEED repeats a run, RANDOM_COPIES is how many there are.

load ../cli/lib
load lib-safety

LAB=${IMGTOOL_LAB:-${IMGTOOL%/*}/tests/lab}

# layout FILE: up to 6 MiB of data, written zeros, holes, reserved space, at odd places
layout() {
  local file=$1 size=$((RANDOM * 192 + RANDOM % 512)) i at length
  rm -f "$file"
  truncate -s $size "$file"
  for ((i = 0; i < RANDOM % 12; i++)); do
    at=$(((RANDOM << 15 | RANDOM) % (size + 1)))
    length=$(((RANDOM << 5 | RANDOM) % (size - at + 1)))
    ((RANDOM % 2)) || at=$((at & ~4095)) length=$((length & ~4095))
    ((length > 0)) || continue
    case $((RANDOM % 5)) in
      0) head -c $length /dev/zero | dd of="$file" bs=1M oflag=seek_bytes seek=$at conv=notrunc status=none ;;
      1) fallocate -o $at -l $length "$file" ;;
      2) fallocate --punch-hole -o $at -l $length "$file" ;;
      *) tail -c +$((RANDOM + 1)) data | head -c $length |
        dd of="$file" bs=1M oflag=seek_bytes seek=$at conv=notrunc status=none ;;
    esac
  done
  truncate -s $size "$file"
  ((RANDOM % 3)) || sync "$file"
}

# pick WORD...: sets PICKED, one of them
pick() {
  shift $((RANDOM % $#))
  PICKED=$1
}

# copy_at_random FOLDER NUMBER
copy_at_random() {
  local folder=$1 options=() sources=() sparse=() i
  local target=$folder/t.raw
  for ((i = 0; i <= RANDOM % 5 / 3; i++)); do
    layout "$folder/s$i.raw"
    sources+=("$folder/s$i.raw")
  done
  cat "${sources[@]}" >expected.raw
  pick 1 2 3 8 32 && options+=(-m "$PICKED")
  pick 0 512 1536 4k 12k 64k 1M && sparse=(-S "$PICKED")
  ((RANDOM % 4)) || sparse=(--salvage "${sparse[@]}")
  ((RANDOM % 3)) || sparse=(-C) # it excludes the others
  options+=("${sparse[@]}")
  pick none writeback writethrough directsync unsafe && options+=(-t "$PICKED")
  pick none writeback && options+=(-T "$PICKED")
  pick auto never auto && options+=("--reflink=$PICKED")
  ((RANDOM % 3)) || options+=(--digest=sha256)
  ((RANDOM % 3)) || options+=(--verify)
  case $((RANDOM % 6)) in
    0) rm -f "$target" ;;
    1) cp data "$target" ;;
    2) head -c "$(stat -c %s expected.raw)" data >"$target" && truncate -s "$(stat -c %s expected.raw)" "$target" &&
      options+=(-n) ;;
    3) cp data "$target" && options+=(--in-place) ;;
    4) rm -f "$target" && pick falloc full && options+=(-o "preallocation=$PICKED") ;;
    5) rm -f "$target" && truncate -s "$(stat -c %s expected.raw)" "$target" && options+=(-n --target-is-zero) ;;
  esac
  imgtool convert -f raw -O raw "${options[@]}" "${sources[@]}" "$target" >copy.out 2>copy.err || {
    echo "copy $2: exit $?, ${options[*]}: $(cat copy.err)" >&2
    return 1
  }
  cmp expected.raw "$target" || {
    echo "copy $2: ${options[*]}" >&2
    return 1
  }
  [[ " ${options[*]} " != *digest* ]] ||
    grep -q "$(sha256sum <expected.raw | cut -d ' ' -f 1)" copy.out
  no_part_file "$folder"
}

begin_at_random() {
  local seed=${RANDOM_SEED:-$((SRANDOM % 32768))}
  RANDOM=$seed
  echo "RANDOM_SEED=$seed" # shown if the test fails
  seq 10000000 11000000 | head -c 7M >data
}

# over_old_data TARGET: it has other data in it, and the copy is written in place
over_old_data() {
  local i size options
  for ((i = 0; i < ${RANDOM_COPIES:-16} / 2; i++)); do
    layout src.raw
    size=$(stat -c %s src.raw)
    dd if=data of="$1" bs=1M conv=notrunc status=none
    options=()
    pick 1 2 8 && options+=(-m "$PICKED")
    pick 0 4k 1M && options+=(-S "$PICKED")
    pick none writeback unsafe && options+=(-t "$PICKED")
    ((RANDOM % 3)) || options+=(--verify)
    imgtool convert -n -f raw -O raw "${options[@]}" src.raw "$1" || { echo "copy $i: ${options[*]}" && false; }
    cmp -n "$size" src.raw "$1" || { echo "copy $i: ${options[*]}" && false; }
  done
}

# copies FOLDER
copies() {
  local i
  begin_at_random
  for ((i = 0; i < ${RANDOM_COPIES:-16}; i++)); do
    copy_at_random "$1" $i
  done
}

@test "random layouts and options, on this file system" {
  copies .
}

@test "random layouts and options, on XFS" {
  require root loop mkfs.xfs
  make_filesystem xfs disk.img mnt 400M
  copies mnt
}

@test "random layouts and options, on btrfs" {
  require root loop btrfs mkfs.btrfs
  make_filesystem btrfs disk.img mnt 400M
  copies mnt
}

@test "random layouts and options, on tmpfs" {
  require root mount-namespace
  mkdir mnt
  mount -t tmpfs -o size=100M tmpfs mnt
  later umount --lazy "$DIR/mnt"
  copies mnt
}

@test "random layouts and options, to a block device with old data" {
  require root loop
  begin_at_random
  truncate -s 7M disk.img
  make_loop disk.img
  over_old_data "$LOOP"
}

@test "random layouts and options, where the file system only says that it has zeroed" {
  require root fuse-server
  begin_at_random
  mkdir back a
  start server "$LAB/lockfs" zerolie back a
  says server '^ready'
  later umount --lazy "$DIR/a"
  truncate -s 7M a/t.raw
  over_old_data a/t.raw
}
