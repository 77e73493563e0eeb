#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# Persistent bitmaps that convert --bitmaps copies: what QEMU reads in the copy is what it reads in
# the source, and its check finds nothing. What could be wrong with them is found before a target
# is begun.

load ../cli/lib
load ../damage/qcow2

# Fields of the bitmaps extension and of the first entry of the directory, from where they begin.
BITMAP_COUNT=8 DIRECTORY_LENGTH=16 DIRECTORY=24
TABLE=0 TABLE_ENTRIES=8 FLAGS=12 TYPE=16 GRANULARITY=17 NAME_LENGTH=18 EXTRA_LENGTH=20 NAME=24

# extension FILE: where the bitmaps extension is
extension() {
  local at
  at=$(field "$1" header_length)
  while [[ $(get "$1" "$at" 4) != $((0x23852875)) ]]; do
    [[ $(get "$1" "$at" 4) != 0 ]] || return 1
    at=$((at + 8 + ($(get "$1" $((at + 4)) 4) + 7) / 8 * 8))
  done
  echo "$at"
}

directory() {
  get "$1" $(($(extension "$1") + DIRECTORY)) 8
}

# table FILE: where the table of the first bitmap is
table() {
  get "$1" "$(directory "$1")" 8
}

# bits FILE NAME: the ranges that are dirty, as QEMU's NBD server tells them
bits() {
  hold_nbd nbd -r -f qcow2 -B "$2" "$1"
  nbdinfo --map="qemu:dirty-bitmap:$2" "nbd+unix:///?socket=$HOLD/nbd.sock"
  stop nbd
  rm -f "$HOLD/nbd.pid"
}

# shown FILE: the bitmaps as qemu-img info tells them
shown() {
  qemu-img info --output=json -f qcow2 "$1" | jq -c '."format-specific".data.bitmaps'
}

# is_copy FILE [FILE]: of disk.qcow2 or the other one; in every bitmap, too
is_copy() {
  local source=${2:-disk.qcow2} name want n=0
  run -0 qemu-img check -f qcow2 "$1"
  [[ ${lines[0]} == "No errors were found on the image." ]]
  run -0 imgtool check -f qcow2 "$1"
  qemu-img compare -f qcow2 -F qcow2 "$source" "$1" >/dev/null
  [[ $(shown "$1") == "$(shown "$source")" && $(shown "$1") != null ]] || return 1
  while read -r name; do
    # The same source is asked once.
    want=want.$(sha256sum <"$source" | cut -c 1-32).$((n += 1))
    [[ -e $want ]] || bits "$source" "$name" >"$want"
    bits "$1" "$name" >got
    diff "$want" got || return 1
  done < <(qemu-img info --output=json "$source" | jq -r '."format-specific".data.bitmaps[].name')
}

# make_bitmaps [SIZE [qemu-img's options]]: disk.qcow2 with a bitmap of writes here and there, one
# that is off, one of all that there is, and one of nothing, with four granularities
make_bitmaps() {
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 "${@:2}" disk.qcow2 "${1:-10M}"
  qemu-img bitmap --add -g 512 disk.qcow2 'every write'
  qemu-img bitmap --add -g 64k disk.qcow2 coarse
  qemu-io -f qcow2 -c 'write -P 1 0 1000k' -c 'write -P 2 5M 512' -c 'write -z 6M 64k' disk.qcow2 \
    >/dev/null
  qemu-img bitmap --add -g 4k disk.qcow2 all
  qemu-img bitmap --disable disk.qcow2 coarse
  qemu-img bitmap --disable disk.qcow2 'every write'
  qemu-io -f qcow2 -c "discard 0 ${1:-10M}" -c 'write -P 3 512k 1M' disk.qcow2 >/dev/null
  qemu-img bitmap --add -g 1M disk.qcow2 none
}

# no_copy TEXT... [-- convert's options]: it fails with this message, before anything is written
no_copy() {
  local -a texts=()
  while (($#)) && [[ $1 != -- ]]; do
    texts+=("$1")
    shift
  done
  run -1 --separate-stderr imgtool convert -f qcow2 -O qcow2 --bitmaps "${@:2}" disk.qcow2 new.qcow2
  expect_message "${texts[@]}"
  [[ ! -e new.qcow2 ]]
}

@test "bitmaps of every kind, to every size of clusters" {
  require nbdinfo
  make_bitmaps
  for options in compat=1.1 cluster_size=512 cluster_size=4k cluster_size=2M refcount_bits=1 \
    extended_l2=on lazy_refcounts=on,preallocation=metadata preallocation=falloc; do
    echo "# $options"
    imgtool convert --bitmaps -O qcow2 -o "$options" disk.qcow2 new.qcow2
    is_copy new.qcow2
    imgtool convert --bitmaps -O qcow2 new.qcow2 again.qcow2
    is_copy again.qcow2
  done
}

@test "from every size of clusters" {
  require nbdinfo
  for options in cluster_size=512 cluster_size=4k cluster_size=2M extended_l2=on; do
    make_bitmaps 10M -o "$options"
    for target in compat=1.1 cluster_size=512 cluster_size=2M; do
      imgtool convert --bitmaps -O qcow2 -o "$target" disk.qcow2 new.qcow2
      is_copy new.qcow2
    done
  done
}

@test "sizes that are no multiple of anything" {
  require nbdinfo
  for size in 5001k 65536 66048 513k 10486272; do
    echo "# $size"
    rm -f disk.qcow2
    qemu-img create -q -f qcow2 disk.qcow2 "$size"
    qemu-img bitmap --add -g 512 disk.qcow2 fine
    qemu-img bitmap --add -g 64k disk.qcow2 coarse
    qemu-io -f qcow2 -c "write -z 0 $size" disk.qcow2 >/dev/null
    qemu-img bitmap --add -g 512 disk.qcow2 empty
    for cluster in 512 64k; do
      imgtool convert --bitmaps -O qcow2 -o cluster_size=$cluster disk.qcow2 new.qcow2
      is_copy new.qcow2
      # What all of a bitmap is needs no cluster.
      [[ $(get new.qcow2 "$(table new.qcow2)" 8) == 1 ]]
    done
  done
}

@test "bitmaps of many clusters" {
  require nbdinfo
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 disk.qcow2 24G
  qemu-img bitmap --add -g 512 disk.qcow2 large
  # 6 MiB of bits: some here, some there, a stretch of ones, and another at the very end
  local -a commands=()
  for at in 0 100M 101M 2000M 4097M 9000M 20000M; do
    commands+=(-c "write -z -u $at 33k")
  done
  qemu-io -f qcow2 "${commands[@]}" -c 'write -z -u 5G 2047M' -c 'write -z -u 7167M 1G' \
    -c 'write -z -u 24575M 1M' disk.qcow2 >/dev/null
  for cluster in 512 64k 2M; do
    imgtool convert --bitmaps -O qcow2 -o cluster_size=$cluster disk.qcow2 new-$cluster.qcow2
    is_copy new-$cluster.qcow2
  done
  # From small to large clusters and back.
  imgtool convert --bitmaps -O qcow2 -o cluster_size=2M new-512.qcow2 new.qcow2
  is_copy new.qcow2
  imgtool convert --bitmaps -O qcow2 -o cluster_size=512 new-2M.qcow2 new.qcow2
  is_copy new.qcow2
}

@test "with everything else that a target can be" {
  require nbdinfo
  make_bitmaps
  imgtool convert --bitmaps -c -O qcow2 disk.qcow2 new.qcow2
  is_copy new.qcow2
  imgtool convert --bitmaps -c -O qcow2 -o compression_type=zstd,cluster_size=512 disk.qcow2 new.qcow2
  is_copy new.qcow2
  imgtool convert --bitmaps -O qcow2 --in-place --verify -t none disk.qcow2 new.qcow2
  is_copy new.qcow2
  imgtool convert --bitmaps -O qcow2 -S 0 disk.qcow2 new.qcow2
  is_copy new.qcow2
  imgtool convert --bitmaps -O qcow2 -o data_file=data.raw,data_file_raw=on disk.qcow2 new.qcow2
  is_copy new.qcow2
  qemu-img compare -F raw disk.qcow2 data.raw
  imgtool convert --bitmaps -O qcow2 new.qcow2 again.qcow2
  is_copy again.qcow2
  imgtool convert -O qcow2 disk.qcow2 base.qcow2
  imgtool convert --bitmaps -O qcow2 -B base.qcow2 -F qcow2 disk.qcow2 over.qcow2
  is_copy over.qcow2
  # Those of the top, and none of what is behind it.
  qemu-img bitmap --add base.qcow2 behind
  imgtool convert --bitmaps -O qcow2 over.qcow2 new.qcow2
  is_copy new.qcow2
}

# into TARGET [convert's options]: disk.qcow2 and its bitmaps are written into the image that is there
into() {
  run -0 --separate-stderr imgtool convert -f qcow2 -n -O qcow2 --bitmaps "${@:2}" disk.qcow2 "$1"
  expect_no_message
  is_copy "$1"
  run -0 qemu-io -f qcow2 -c 'write -P 9 1M 200k' -c 'discard 3M 64k' "$1"
  qemu-img check -q -f qcow2 "$1"
  [[ $(shown "$1") == "$(shown disk.qcow2)" ]]
}

@test "into an image that is there" {
  local options
  make_bitmaps
  for options in "" cluster_size=4k cluster_size=2M extended_l2=on refcount_bits=1 \
    compression_type=zstd; do
    echo "# $options"
    rm -f there.qcow2
    qemu-img create -q -f qcow2 ${options:+-o "$options"} there.qcow2 10M
    qemu-io -f qcow2 -c 'write -P 8 0 3M' there.qcow2 >/dev/null
    into there.qcow2
  done
  # Written by imgtool, as administrators of virtual machines do it: made first, then filled.
  imgtool create -f qcow2 made.qcow2 10M
  into made.qcow2 --target-is-zero -c -W -t none -T none
}

@test "into an image that is there: names, snapshots, and bitmaps that are out of date" {
  make_bitmaps
  # The name of the backing file stands where bitmaps go.
  qemu-img create -q -f qcow2 base.qcow2 10M
  qemu-io -f qcow2 -c 'write -P 8 0 3M' base.qcow2 >/dev/null
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 there.qcow2
  qemu-img snapshot -c one there.qcow2
  into there.qcow2
  [[ $(qemu-img info --output=json there.qcow2 | jq -r '."backing-filename", ."backing-filename-format"') == $'base.qcow2\nqcow2' ]]
  [[ $(qemu-img info --output=json there.qcow2 | jq -r '.snapshots[].name') == one ]]
  rm there.qcow2
  qemu-img create -q -f qcow2 there.qcow2 10M
  qemu-img bitmap --add there.qcow2 old
  set_field there.qcow2 autoclear 0
  into there.qcow2
}

@test "into an image that is there: what does not go, and changes nothing" {
  local options size text long
  make_bitmaps
  qemu-img create -q -f qcow2 base.qcow2 10M
  printf -v long './%.0s' {1..100}
  while IFS='|' read -r options size text; do
    rm -f there.qcow2
    # shellcheck disable=SC2086
    qemu-img create -q -f qcow2 ${options/LONG/$long} there.qcow2 "$size"
    [[ $text != *persistent* ]] || qemu-img bitmap --add there.qcow2 old
    cp there.qcow2 before
    run -1 --separate-stderr imgtool convert -f qcow2 -n -O qcow2 --bitmaps disk.qcow2 there.qcow2
    expect_message "'there.qcow2' cannot $text"
    cmp there.qcow2 before
  done <<'EOF'
-o compat=0.10|10M|get bitmaps: it is a qcow2 image of version 2
-o cluster_size=512 -b LONG/base.qcow2 -F qcow2|10M|get bitmaps: there is no room for them in its header
|11M|get the bitmaps of a disk of another size: it has 11534336 bytes, the source 10485760
|10M|be written into: it has persistent bitmaps
EOF
  # Where the name of the backing file follows without an end of the extensions it cannot be moved.
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 there.qcow2
  printf base.qcow2 | dd of=there.qcow2 bs=1 seek=128 conv=notrunc status=none
  set_field there.qcow2 backing_offset 128
  qemu-img check -q there.qcow2
  run -1 --separate-stderr imgtool convert -f qcow2 -n -O qcow2 --bitmaps disk.qcow2 there.qcow2
  expect_message "there is no room for them in its header"
  # Of two extensions that are out of date both would be read.
  qemu-img create -q -f qcow2 there.qcow2 10M
  for at in 112 144; do
    put there.qcow2 $at 8 $((0x2385287500000018))
    put there.qcow2 $((at + 8)) 8 0
    put there.qcow2 $((at + 16)) 8 0
    put there.qcow2 $((at + 24)) 8 0
  done
  put there.qcow2 176 8 0
  run -1 --separate-stderr imgtool convert -f qcow2 -n -O qcow2 --bitmaps disk.qcow2 there.qcow2
  expect_message "its header has more than one place for them"
  truncate -s 10M there.raw
  run -1 --separate-stderr imgtool convert -f qcow2 -n -O raw --bitmaps disk.qcow2 there.raw
  expect_message "format driver 'raw' does not support bitmaps"
  # Without any to be copied nothing is in the way.
  qemu-img create -q -f qcow2 plain.qcow2 10M
  rm there.qcow2
  qemu-img create -q -f qcow2 there.qcow2 11M
  run -0 imgtool convert -f qcow2 -n -O qcow2 --bitmaps plain.qcow2 there.qcow2
}

@test "killed while an image that is there gets bitmaps: it has all of them or none" {
  require strace
  export ASAN_OPTIONS=detect_leaks=0 # which a traced program cannot do
  local call n point nth all=0 none=0
  make_bitmaps
  qemu-img create -q -f qcow2 base.qcow2 10M
  there() {
    rm -f there.qcow2
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 there.qcow2
  }
  there
  words=("$IMGTOOL" convert --no-sandbox -f qcow2 -m1 -n -O qcow2 --bitmaps disk.qcow2 there.qcow2)
  strace -f -o trace -e trace=pwrite64,pwritev,pwritev2,fdatasync,fsync "${words[@]}"
  sed -nE 's/^([0-9]+ +)?([a-z0-9]+)\(.*/\2/p' trace >calls
  n=$(wc -l <calls)
  # From before the bits on to the end.
  for ((point = n - 20; point <= n; point++)); do
    there
    call=$(sed -n "${point}p" calls)
    nth=$(head -n $point calls | grep -cx "$call")
    strace -f -o /dev/null -e inject="$call:signal=KILL:when=$nth" "${words[@]}" || :
    qemu-img check -q -f qcow2 there.qcow2 || [[ $? == 3 ]]
    imgtool check -q -f qcow2 there.qcow2 || [[ $? == 3 ]]
    [[ $(qemu-img info --output=json there.qcow2 | jq -r '."backing-filename"') == base.qcow2 ]]
    if [[ $(shown there.qcow2) == null ]]; then
      none=$((none + 1))
    else
      is_copy there.qcow2
      all=$((all + 1))
    fi
  done
  echo "# $none without bitmaps, $all with all of them"
  ((none > 5 && all > 0))
}

@test "a device" {
  require root loop nbdinfo
  make_bitmaps
  head -c 20M /dev/urandom >device
  make_loop device
  imgtool convert --bitmaps -O qcow2 disk.qcow2 "$LOOP"
  is_copy "$LOOP"
  imgtool convert --bitmaps -f qcow2 -O qcow2 "$LOOP" new.qcow2
  is_copy new.qcow2
  qemu-img create -q -f qcow2 "$LOOP" 10M
  into "$LOOP"
}

@test "the image does not depend on the number of workers" {
  make_bitmaps
  imgtool convert --bitmaps -O qcow2 -m 1 disk.qcow2 new.qcow2
  for workers in 2 7 16; do
    imgtool convert --bitmaps -O qcow2 -m $workers disk.qcow2 again.qcow2
    cmp new.qcow2 again.qcow2
  done
}

@test "QEMU goes on with the copy" {
  require nbdinfo
  make_bitmaps
  imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  for image in disk.qcow2 new.qcow2; do
    qemu-io -f qcow2 -c 'write -P 9 2M 100k' $image >/dev/null
    qemu-img bitmap --merge coarse $image all
    qemu-img bitmap --remove $image coarse
    qemu-img bitmap --add $image more
  done
  is_copy new.qcow2
  bits new.qcow2 none | grep -q '2097152 .* dirty'
}

@test "names: long, and of any letters" {
  require nbdinfo
  rm -f disk.qcow2
  make_qcow2 disk.qcow2
  local long
  long=$(printf 'n%.0s' {1..1023})
  for name in "$long" 'ünï cödé' "a'b\"c" x; do
    qemu-img bitmap --add disk.qcow2 "$name"
  done
  imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  [[ $(shown new.qcow2) == "$(shown disk.qcow2)" ]]
  qemu-img check -q new.qcow2
}

@test "thousands of bitmaps" {
  rm -f disk.qcow2
  make_qcow2 disk.qcow2 1M
  qemu-img bitmap --add disk.qcow2 b0000
  # The others by hand: QEMU takes minutes.
  local table length end n=2000
  table=$(table disk.qcow2)
  end=$((($(stat -c %s disk.qcow2) + 65535) / 65536 * 65536))
  perl -e 'use strict; my ($table, $n) = @ARGV;
    printf "%s", join "", map { pack ("Q>NNCCnN", $table, 1, 2, 1, 16, 5, 0) . sprintf ("b%04d", $_) . "\0" x 3 }
      0 .. $n - 1' "$table" $n >entries
  # All with the same table, which is no way to do it.
  length=$(stat -c %s entries)
  dd if=entries of=disk.qcow2 bs=65536 oflag=seek_bytes seek=$end conv=notrunc status=none
  put disk.qcow2 $(($(extension disk.qcow2) + BITMAP_COUNT)) 4 $n
  put disk.qcow2 $(($(extension disk.qcow2) + DIRECTORY_LENGTH)) 8 "$length"
  put disk.qcow2 $(($(extension disk.qcow2) + DIRECTORY)) 8 $end
  imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  [[ $(shown new.qcow2) == "$(shown disk.qcow2)" ]]
  qemu-img check -q new.qcow2
}

# ---- what is not to be believed -----------------------------------------------------------------

# abandon FILE: somebody had it open for writing, and died
abandon() {
  hold_io writer -f qcow2 "$1"
  tell writer "write 0 64k"
  says writer "wrote 65536"
  stop writer KILL
}

@test "inconsistent bitmaps" {
  require nbdinfo
  make_bitmaps
  abandon disk.qcow2
  qemu-img bitmap --add disk.qcow2 good
  no_copy "cannot copy inconsistent bitmap 'every write'" "; --skip-broken-bitmaps leaves it out"
  run -0 --separate-stderr imgtool convert --bitmaps --skip-broken-bitmaps -O qcow2 disk.qcow2 new.qcow2
  for name in 'every write' coarse all none; do
    expect_message "warning: skipping inconsistent bitmap '$name'"
  done
  [[ $(shown new.qcow2 | jq -c 'map (.name)') == '["good"]' ]]
  qemu-img check -q new.qcow2
  run -0 --separate-stderr imgtool convert --bitmaps --skip-broken-bitmaps -q -O qcow2 disk.qcow2 new.qcow2
  expect_no_message
  qemu-img bitmap --remove disk.qcow2 good
  imgtool convert --bitmaps --skip-broken-bitmaps -q -O qcow2 disk.qcow2 new.qcow2
  [[ $(shown new.qcow2) == null ]]
  qemu-img check -q new.qcow2
}

@test "called as qemu-img it tells what it skips, as qemu-img does" {
  make_bitmaps
  abandon disk.qcow2
  ln -s "$IMGTOOL" qemu-img
  run -0 --separate-stderr ./qemu-img convert --bitmaps --skip-broken-bitmaps -O qcow2 disk.qcow2 new.qcow2
  expect_message "qemu-img: warning: skipping inconsistent bitmap 'all'"
  # The same words, but for a capital letter.
  local ours=$stderr
  run -0 --separate-stderr qemu-img convert --bitmaps --skip-broken-bitmaps -O qcow2 disk.qcow2 new.qcow2
  diff <(sort -f <<<"${ours,,}") <(sort -f <<<"${stderr,,}")
}

@test "bitmaps that are out of date are left out, and that is told" {
  make_bitmaps
  set_field disk.qcow2 autoclear 0
  run -0 --separate-stderr imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  expect_message "a program lacking bitmap support modified the source"
  [[ $(shown new.qcow2) == null ]]
  qemu-img check -q new.qcow2
}

@test "without bitmaps there is nothing to copy, and nothing wrong" {
  make_qcow2 disk.qcow2
  run -0 --separate-stderr imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  expect_no_message
  imgtool convert -O qcow2 disk.qcow2 without.qcow2
  cmp new.qcow2 without.qcow2
  # Nobody asked for them.
  make_bitmaps
  run -0 --separate-stderr imgtool convert -O qcow2 disk.qcow2 new.qcow2
  [[ $(shown new.qcow2) == null ]]
}

@test "a table that says of whole clusters that they are all ones" {
  require nbdinfo
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 -o cluster_size=512 disk.qcow2 8M
  qemu-img bitmap --add -g 512 disk.qcow2 mixed
  # Four clusters of bits, each about 2 MiB: ones, data, zeros, ones.
  qemu-io -f qcow2 -c 'write -z 3M 64k' disk.qcow2 >/dev/null
  for index in 0 3; do
    put disk.qcow2 $(($(table disk.qcow2) + index * 8)) 8 1
  done
  for cluster in 512 64k; do
    imgtool convert --bitmaps -O qcow2 -o cluster_size=$cluster disk.qcow2 new.qcow2
    is_copy new.qcow2
  done
  imgtool convert --bitmaps -O qcow2 -o cluster_size=512 disk.qcow2 new.qcow2
  [[ $(get new.qcow2 "$(table new.qcow2)" 8) == 1 ]]
  [[ $(get new.qcow2 $(($(table new.qcow2) + 16)) 8) == 0 ]]
  [[ $(get new.qcow2 $(($(table new.qcow2) + 24)) 8) == 1 ]]
}

@test "extra data: kept where it may be unknown, and else the bitmap is broken" {
  make_qcow2 disk.qcow2
  qemu-img bitmap --add disk.qcow2 b
  local at
  at=$(directory disk.qcow2)
  # Fixed part, four bytes of extra data, the name, three of padding.
  put disk.qcow2 $((at + EXTRA_LENGTH)) 4 4
  put disk.qcow2 $((at + NAME)) 8 $((0x7869787562000000))
  no_copy "cannot copy bitmap 'b', which cannot be used without knowing its extra data"
  run -0 --separate-stderr imgtool convert --bitmaps --skip-broken-bitmaps -O qcow2 disk.qcow2 new.qcow2
  expect_message "skipping bitmap 'b', which cannot be used"
  [[ $(shown new.qcow2) == null ]]
  put disk.qcow2 $((at + FLAGS)) 4 6
  imgtool convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  at=$(directory new.qcow2)
  [[ $(get new.qcow2 $((at + FLAGS)) 4) == 6 && $(get new.qcow2 $((at + EXTRA_LENGTH)) 4) == 4 ]]
  [[ $(get new.qcow2 $((at + NAME)) 8) == $((0x7869787562000000)) ]]
  imgtool info new.qcow2 | grep -q 'name: b$'
  imgtool check new.qcow2
}

# ---- what does not go ----------------------------------------------------------------------------

@test "options that do not go together, as qemu-img says it" {
  make_bitmaps
  make_raw disk.raw
  qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 1M
  qemu-img snapshot -c one disk.qcow2
  while IFS='|' read -r words text; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr imgtool convert $words new.qcow2
    expect_message "imgtool: $text"
    [[ ! -e new.qcow2 ]]
    [[ $words == *-[nl]* || $words == *compat* ]] || {
      # shellcheck disable=SC2086
      run -1 --separate-stderr qemu-img convert $words new.qcow2
      [[ ${stderr,,} == "qemu-img: ${text,,}"* ]]
      rm -f new.qcow2
    }
  done <<'EOF'
--skip-broken-bitmaps -O qcow2 disk.qcow2|use of --skip-broken-bitmaps requires --bitmaps
--bitmaps -O raw disk.qcow2|format driver 'raw' does not support bitmaps
--bitmaps -O qcow2 disk.qcow2 disk.qcow2|copying bitmaps only possible with single source
--bitmaps -f raw -O qcow2 disk.raw|source lacks bitmap support
--bitmaps -O qcow2 old.qcow2|source lacks bitmap support
--bitmaps -O qcow2 -o compat=0.10 disk.qcow2|bitmaps are only supported with compatibility level 1.1
--bitmaps -O qcow2 -l one disk.qcow2|--bitmaps and -l exclude each other
EOF
  run -1 --separate-stderr imgtool convert --bitmaps -O qcow2 - new.qcow2 <disk.raw
  expect_message "source lacks bitmap support"
}

@test "damaged directories" {
  local at
  make_bitmaps
  cp disk.qcow2 good.qcow2
  at=$(directory disk.qcow2)
  while read -r offset length value text; do
    echo "# $offset $length $value"
    cp good.qcow2 disk.qcow2
    put disk.qcow2 $((at + offset)) "$length" $((value))
    no_copy "$text"
    no_copy "$text" -- --skip-broken-bitmaps
    # qemu-img reads zeros where there is no file, and tells nobody.
    [[ $text == truncated ]] || refute qemu-img convert --bitmaps -O qcow2 disk.qcow2 theirs.qcow2
  done <<EOF
$TABLE 8 0 the place of its bitmap 'every write' makes no sense
$TABLE 8 $(($(table disk.qcow2) + 512)) its bitmap table cannot begin at offset
$TABLE 8 1<<62 truncated
$TABLE_ENTRIES 4 0 the place of its bitmap 'every write' makes no sense
$TABLE_ENTRIES 4 2 the size of its bitmap 'every write' makes no sense
$TABLE_ENTRIES 4 0xffffffff the size of its bitmap 'every write' makes no sense
$FLAGS 4 8 the flags of its bitmap 'every write' makes no sense
$FLAGS 4 0x80000002 the flags of its bitmap 'every write' makes no sense
$TYPE 1 0 an entry of its bitmap directory makes no sense
$TYPE 1 2 an entry of its bitmap directory makes no sense
$GRANULARITY 1 8 an entry of its bitmap directory makes no sense
$GRANULARITY 1 32 an entry of its bitmap directory makes no sense
$NAME_LENGTH 2 0 an entry of its bitmap directory makes no sense
$NAME_LENGTH 2 1024 an entry of its bitmap directory makes no sense
$NAME_LENGTH 2 1023 the bitmap directory goes on behind
$EXTRA_LENGTH 4 0xffffffff an entry of its bitmap directory makes no sense
EOF
  # A NUL in a name, and a name twice.
  cp good.qcow2 disk.qcow2
  put disk.qcow2 $((at + NAME + 3)) 1 0
  no_copy "the name of its bitmap 'eve' makes no sense"
  make_qcow2 disk.qcow2
  qemu-img bitmap --add disk.qcow2 a
  qemu-img bitmap --add disk.qcow2 b
  put disk.qcow2 $(($(directory disk.qcow2) + 32 + NAME)) 1 97
  no_copy "the name of its bitmap 'a' makes no sense"
  # More and fewer than are there.
  at=$(extension good.qcow2)
  cp good.qcow2 disk.qcow2
  put disk.qcow2 $((at + BITMAP_COUNT)) 4 3
  no_copy "its bitmap directory is longer than the 3 bitmaps in it"
  put disk.qcow2 $((at + BITMAP_COUNT)) 4 5
  no_copy "the bitmap directory goes on behind"
  put disk.qcow2 $((at + DIRECTORY_LENGTH)) 8 $((17 << 20))
  no_copy "its bitmap directory is too long to be copied"
}

@test "damaged tables" {
  make_bitmaps
  cp disk.qcow2 good.qcow2
  for entry in 3 2 0x100 0x8000000000000000 $((($(table disk.qcow2) & ~0xffff) + 512)); do
    cp good.qcow2 disk.qcow2
    put disk.qcow2 "$(table disk.qcow2)" 8 $((entry))
    no_copy "the table of its bitmap 'every write' makes no sense"
  done
  cp good.qcow2 disk.qcow2
  put disk.qcow2 "$(table disk.qcow2)" 8 $((1 << 40))
  no_copy "truncated: a cluster of a bitmap is at offset 1099511627776"
}

@test "bitmaps that would be larger than the file share clusters" {
  # 64 MiB of a bitmap, all of it the same cluster.
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 disk.qcow2 256G
  qemu-img bitmap --add -g 512 disk.qcow2 wide
  qemu-io -f qcow2 -c 'write -z -u 0 64k' disk.qcow2 >/dev/null
  local table
  table=$(table disk.qcow2)
  for ((i = 1; i < 1024; i++)); do
    dd if=disk.qcow2 bs=8 iflag=skip_bytes skip="$table" count=1 status=none
  done >entries
  dd if=entries of=disk.qcow2 bs=8k oflag=seek_bytes seek=$((table + 8)) conv=notrunc status=none
  no_copy "its bitmaps are larger than the file: some share clusters"
}

@test "bits that cannot be read" {
  require "${CC:-cc}"
  local cluster
  export ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
  "${CC:-cc}" -shared -fPIC -O1 -o shim.so "$BATS_TEST_DIRNAME/../tools/fault-shim.c" -ldl
  make_bitmaps
  cluster=$(get disk.qcow2 "$(table disk.qcow2)" 8)
  ((cluster > 65536))
  run -1 --separate-stderr env LD_PRELOAD="$PWD/shim.so" FAULT=read:EIO:1+:disk.qcow2 \
    FAULT_RANGE=$cluster-$((cluster + 65536)) "$IMGTOOL" convert --bitmaps -O qcow2 disk.qcow2 new.qcow2
  expect_message "bitmap 'every write': cannot read"
  [[ ! -e new.qcow2 ]]
  # Without bitmaps nobody reads there.
  env LD_PRELOAD="$PWD/shim.so" FAULT=read:EIO:1+:disk.qcow2 \
    FAULT_RANGE=$cluster-$((cluster + 65536)) "$IMGTOOL" convert -O qcow2 disk.qcow2 new.qcow2
}
