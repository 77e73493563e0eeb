#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# qcow2 images that imgtool writes, in the hands of qemu-img and qemu-io: the same bytes, nothing to
# find fault with, and good to go on with.

load ../cli/lib

# fill FILE [BYTES]: a raw disk of 8 MiB, or of BYTES, with data that can be compressed, data that
# cannot, zeros that were written, and holes; its end is data
fill() {
  local bytes=${2:-8388608}
  truncate -s "$bytes" "$1"
  (
    yes "all work and no play" | head -c 300000 | dd of="$1" bs=1M conv=notrunc
    head -c 400000 /dev/urandom | dd of="$1" bs=1M seek=1 conv=notrunc
    dd if=/dev/zero of="$1" bs=64k seek=40 count=4 conv=notrunc
    yes 0123456789 | head -c 70000 | dd of="$1" bs=4k seek=801 conv=notrunc
    yes end | head -c 5001 | dd of="$1" bs=1 oflag=seek_bytes seek=$((bytes - 5001)) conv=notrunc
  ) 2>/dev/null
}

# is_good FILE RAW: nothing is wrong with the image FILE, which has the content of RAW
is_good() {
  run -0 qemu-img check -f qcow2 "$1"
  [[ ${lines[0]} == "No errors were found on the image." ]]
  qemu-img compare -f qcow2 -F raw "$1" "$2" >/dev/null
}

# goes_on FILE: QEMU can write to it, make snapshots, discard, and finds nothing wrong after that
goes_on() {
  qemu-io -f qcow2 -c "write -P 7 100k 300k" -c "write -P 8 3M 64k" -c "discard 1M 128k" \
    -c "write -z 2M 128k" "$1" >/dev/null
  qemu-img snapshot -c one "$1"
  qemu-io -f qcow2 -c "write -P 9 64k 1M" -c "read -P 8 3M 64k" "$1" | grep -q "read 65536"
  qemu-img check -q -f qcow2 "$1"
}

# writes RAW [convert's options]: in every way to work, to the same image
writes() {
  local raw=$1 how
  shift
  for how in -q -m1 --verify -tnone --in-place; do
    rm -f new.qcow2
    run -0 --separate-stderr imgtool convert -f raw -O qcow2 $how "$@" "$raw" new.qcow2
    expect_no_message
    [[ $how == -q ]] || cmp new.qcow2 first.qcow2
    [[ $how != -q ]] || cp new.qcow2 first.qcow2
  done
  is_good new.qcow2 "$raw" || return 1
}

@test "create options" {
  fill disk.raw
  for options in compat=1.1 compat=0.10 compat=0.10,cluster_size=512 cluster_size=512 \
    cluster_size=4k cluster_size=2M refcount_bits=1 refcount_bits=2,cluster_size=4k \
    refcount_bits=8 refcount_bits=32 refcount_bits=64 extended_l2=on \
    extended_l2=on,cluster_size=16k extended_l2=on,cluster_size=2M lazy_refcounts=on \
    compression_type=zstd preallocation=metadata preallocation=falloc \
    extended_l2=on,preallocation=metadata; do
    echo "# $options"
    writes disk.raw -o "$options"
    [[ $options == *refcount_bits=1 ]] || goes_on new.qcow2
  done
}

@test "compressed" {
  fill disk.raw
  for options in compat=1.1 compat=0.10 cluster_size=512 cluster_size=4k,refcount_bits=2 \
    cluster_size=2M refcount_bits=1 extended_l2=on compression_type=zstd \
    compression_type=zstd,cluster_size=4k compression_level=1 compression_level=12 \
    compression_type=zstd,compression_level=19,cluster_size=1M; do
    echo "# $options"
    writes disk.raw -c -o "$options"
    (($(qemu-img check --output=json new.qcow2 | jq '."compressed-clusters"') > 0))
    # Where a refcount is as high as it can be there can be no snapshot, with anybody's images.
    [[ $options == *refcount_bits=[12] ]] || goes_on new.qcow2
  done
}

@test "compressed images are no larger than qemu-img's" {
  # Text, programs, short records, and what cannot be compressed.
  { find /usr/share/doc -type f -name copyright -print0 | sort -z | xargs -0 cat | head -c 4M
    cat "$(type -P qemu-img)" | head -c 4M
    seq -f '%09.0f,user,2024-01-01,0.5' 100000 | head -c 4M
    head -c 1M /dev/urandom; } >disk.raw
  truncate -s %1M disk.raw
  for type in zlib zstd; do
    qemu-img convert -f raw -c -O qcow2 -o compression_type=$type disk.raw theirs.qcow2
    imgtool convert -f raw -c -O qcow2 -o compression_type=$type disk.raw ours.qcow2
    is_good ours.qcow2 disk.raw
    # A cluster is lost or won at the end.
    (($(stat -c %s ours.qcow2) <= $(stat -c %s theirs.qcow2) + 65536))
  done
}

@test "preallocation" {
  fill disk.raw
  for mode in falloc full; do
    imgtool convert -f raw -O qcow2 -o preallocation=$mode disk.raw new.qcow2
    is_good new.qcow2 disk.raw
    (($(stat -c '%b * 512' new.qcow2) >= 8388608))
    goes_on new.qcow2
  done
  imgtool convert -f raw -O qcow2 -o preallocation=metadata disk.raw new.qcow2
  (($(stat -c '%b * 512' new.qcow2) < 4194304))
  # Every cluster has its place.
  qemu-img map --output=json new.qcow2 | jq -e 'all (has ("offset"))'
  run -1 imgtool convert -f raw -c -O qcow2 -o preallocation=metadata disk.raw new2.qcow2
  [[ $output == *"compression and preallocation not supported at the same time"* ]]
}

@test "-S" {
  fill disk.raw
  imgtool convert -f raw -O qcow2 -S 0 disk.raw new.qcow2
  is_good new.qcow2 disk.raw
  qemu-img map --output=json new.qcow2 | jq -e 'all (.data)'
  for size in 512 4k 1M 16M; do
    writes disk.raw -S $size
  done
}

@test "odd sizes" {
  for size in 0 1 511 512 513 65535 65537 1048577 8388609; do
    rm -f disk.raw
    truncate -s $size disk.raw
    ((size <= 8388608)) || fill disk.raw $size
    ((size == 0)) || printf x | dd of=disk.raw bs=1 seek=$((size - 1)) conv=notrunc 2>/dev/null
    writes disk.raw
    writes disk.raw -c
    [[ $(imgtool info --output=json new.qcow2 | jq '."virtual-size"') == $(((size + 511) / 512 * 512)) ]]
  done
}

@test "several sources, and standard input" {
  fill one.raw 3000001
  truncate -s 100 two.raw
  fill three.raw 5000000
  cat one.raw two.raw three.raw >all.raw
  for options in "" -c; do
    imgtool convert -f raw $options -O qcow2 one.raw two.raw three.raw new.qcow2
    is_good new.qcow2 all.raw
    imgtool convert -f raw $options -O qcow2 - new2.qcow2 <all.raw
    is_good new2.qcow2 all.raw
    imgtool convert -f raw $options -O qcow2 one.raw two.raw - new3.qcow2 <three.raw
    is_good new3.qcow2 all.raw
  done
  # Order does not matter to what comes out, only to how it is read.
  cmp new2.qcow2 new3.qcow2
}

@test "from qcow2, and chains, to qcow2" {
  fill disk.raw
  qemu-img convert -f raw -O qcow2 -o cluster_size=4k disk.raw base.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 9M
  qemu-io -f qcow2 -c "write -P 3 1000k 10k" -c "write -z 0 128k" -c "write -P 4 8900k 1k" top.qcow2 >/dev/null
  qemu-img convert -f qcow2 -O raw top.qcow2 want.raw
  for options in "" -c "-o extended_l2=on" "-c -o compression_type=zstd"; do
    imgtool convert $options -O qcow2 top.qcow2 new.qcow2
    is_good new.qcow2 want.raw
    goes_on new.qcow2
  done
  imgtool convert -c -O qcow2 new.qcow2 again.qcow2
  qemu-img compare new.qcow2 again.qcow2 >/dev/null
}

# word FILE OFFSET: 8 bytes as a number
word() {
  echo $((16#$(od -An -tx1 -j "$2" -N 8 "$1" | tr -d ' ')))
}

# stream FILE OFFSET: 64 bytes of the compressed cluster at that guest offset
stream() {
  local table at
  table=$(word "$1" "$(word "$1" 40)")
  at=$(word "$1" $(((table & 0xfffffffffffe00) + $2 / 65536 * 8)))
  at=$((at & (1 << 54) - 1))
  dd if="$1" bs=1 iflag=skip_bytes skip="$at" count=64 2>/dev/null | sha256sum
}

@test "what is compressed already is taken as it is" {
  seq 200000 | head -c 1M >disk.raw
  for type in zlib zstd; do
    qemu-img convert -f raw -c -O qcow2 -o compression_type=$type disk.raw theirs.qcow2
    imgtool convert -c -O qcow2 -o compression_type=$type theirs.qcow2 new.qcow2
    is_good new.qcow2 disk.raw
    imgtool convert -f raw -c -O qcow2 -o compression_type=$type,compression_level=1 disk.raw fresh.qcow2
    [[ $(stream theirs.qcow2 196608) == "$(stream new.qcow2 196608)" ]]
    [[ $(stream theirs.qcow2 196608) != "$(stream fresh.qcow2 196608)" ]]
    # Not if a level was asked for, nor into clusters of another size.
    imgtool convert -c -O qcow2 -o compression_type=$type,compression_level=1 theirs.qcow2 new.qcow2
    [[ $(stream new.qcow2 196608) == "$(stream fresh.qcow2 196608)" ]]
    imgtool convert -c -O qcow2 -o compression_type=$type,cluster_size=16k theirs.qcow2 new.qcow2
    is_good new.qcow2 disk.raw
  done
}

@test "an external data file" {
  fill disk.raw
  for raw in on off; do
    imgtool convert -f raw -O qcow2 -o data_file=new.data,data_file_raw=$raw disk.raw new.qcow2
    is_good new.qcow2 disk.raw
    cmp new.data disk.raw
    run -0 imgtool info --output=json new.qcow2
    [[ $(jq -r '."format-specific".data | ."data-file", ."data-file-raw"' <<<"$output") == $'new.data\n'* ]]
    qemu-io -f qcow2 -c "write -P 7 100k 300k" -c "write -z 1M 128k" new.qcow2 >/dev/null
    qemu-img check -q -f qcow2 new.qcow2
    [[ $raw == off ]] || qemu-img compare -f qcow2 -F raw new.qcow2 new.data
  done
  refuses "compression is not possible with an external data file" -c -o data_file=new.data
  refuses "data-file-raw requires data-file" -o data_file_raw=on
  ln -f disk.raw link.raw
  refuses "are the same file" -o data_file=link.raw
  refuses "the data file is the image itself" -o data_file=no.qcow2
}

# refuses TEXT [convert's options]: an error, and no target
refuses() {
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 "${@:2}" disk.raw no.qcow2
  expect_message "$1"
  [[ ! -e no.qcow2 && -z $(find . -name '.*imgtool-part') ]]
}

@test "what an image cannot be" {
  fill disk.raw
  refuses "cluster size must be a power of two" -o cluster_size=3
  refuses "cluster size must be a power of two" -o cluster_size=4M
  refuses "refcount width must be a power of two" -o refcount_bits=7
  refuses "refcount widths than 16 bits require" -o refcount_bits=8,compat=0.10
  refuses "only supported with cluster sizes of at least 16384 bytes" -o extended_l2=on,cluster_size=4k
  for option in lazy_refcounts=on extended_l2=on compression_type=zstd data_file=d; do
    refuses "only supported with compatibility level 1.1" -o compat=0.10,$option
  done
  refuses "bad value '13' for compression_level" -c -o compression_level=13
  refuses "bad value '0' for compression_level" -c -o compression_level=0
  refuses "bad value 'lzma' for compression_type: it must be zlib or zstd" -o compression_type=lzma
  refuses "backing file specified without backing format" -B disk.raw
  refuses "backing format cannot be used without backing file" -F raw
  refuses "too long" -o "cluster_size=512,backing_file=$(printf 'x%.0s' {1..500}),backing_fmt=raw"
  truncate -s 1T huge.raw
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 -o cluster_size=512 huge.raw no.qcow2
  expect_message "too large for clusters of 512 bytes"
  # And what is there stays.
  echo old >no.qcow2
  run -1 imgtool convert -f raw -O qcow2 -o cluster_size=3 disk.raw no.qcow2
  [[ $(<no.qcow2) == old ]]
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 disk.raw -
  expect_message "only a raw disk can go to standard output"
}

@test "-B stores only what differs" {
  fill base.raw
  cp base.raw disk.raw
  yes changed | head -c 100000 | dd of=disk.raw bs=1 oflag=seek_bytes seek=700000 conv=notrunc 2>/dev/null
  dd if=/dev/zero of=disk.raw bs=64k seek=17 count=2 conv=notrunc 2>/dev/null
  imgtool convert -f raw -O qcow2 base.raw base.qcow2
  for options in compat=1.1 compat=0.10 extended_l2=on cluster_size=4k; do
    for compress in "" -c; do
      imgtool convert -f raw $compress -O qcow2 -o $options -B base.qcow2 -F qcow2 disk.raw new.qcow2
      is_good new.qcow2 disk.raw
      (($(stat -c '%b * 512' new.qcow2) < 700000))
      goes_on new.qcow2
    done
  done
  # A backing file that is shorter, or longer, with data where the disk has none.
  head -c 3000000 base.raw >short.raw
  truncate -s 12M base.raw
  yes | head -c 3M | dd of=base.raw bs=1M seek=8 conv=notrunc 2>/dev/null
  for base in short.raw base.raw; do
    imgtool convert -f raw -O qcow2 -B $base -F raw disk.raw new.qcow2
    is_good new.qcow2 disk.raw
  done
}

@test "-B of an overlay whose own backing file it is reads none of it" {
  fill base.raw
  qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2
  qemu-io -f qcow2 -c "write -P 3 1M 64k" -c "write -z 64k 64k" top.qcow2 >/dev/null
  qemu-img convert -f qcow2 -O raw top.qcow2 want.raw
  run -0 --separate-stderr imgtool convert -v -O qcow2 -B base.raw -F raw top.qcow2 new.qcow2
  [[ $stderr == *"copied 64 KiB"*"as in the backing file"* ]]
  is_good new.qcow2 want.raw
  # With the target's name elsewhere the backing file is found from there.
  mkdir sub
  run -1 --separate-stderr imgtool convert -O qcow2 -B base.raw -F raw top.qcow2 sub/new.qcow2
  expect_message "sub/base.raw"
  imgtool convert -O qcow2 -B ../base.raw -F raw top.qcow2 sub/new.qcow2
  is_good sub/new.qcow2 want.raw
  run -1 --separate-stderr imgtool convert -O qcow2 -B base.raw -F raw top.qcow2 base.raw
  expect_message "are the same file"
}

@test "create" {
  for options in compat=1.1 compat=0.10 cluster_size=2M extended_l2=on preallocation=metadata \
    preallocation=full refcount_bits=1 data_file=d.data,data_file_raw=on; do
    run -0 --separate-stderr imgtool create -f qcow2 -o $options new.qcow2 8M
    expect_no_message
    [[ $output == "$(qemu-img create -f qcow2 -o $options theirs.qcow2 8M | sed s/theirs/new/)" ]]
    rm theirs.qcow2
    truncate -s 8M zero.raw
    is_good new.qcow2 zero.raw
    [[ $options == refcount_bits=1 || $options == data_file* ]] || goes_on new.qcow2
    imgtool create -q -f qcow2 -o $options new.qcow2 8M # d.data is made anew as well
  done
  imgtool create -q -f qcow2 new.qcow2 1T
  (($(stat -c %s new.qcow2) < 1048576))
}

@test "create with a backing file" {
  fill base.raw
  run -0 --separate-stderr imgtool create -f qcow2 -b base.raw -F raw new.qcow2
  [[ $output == "$(qemu-img create -f qcow2 -b base.raw -F raw theirs.qcow2 | sed s/theirs/new/)" ]]
  is_good new.qcow2 base.raw
  goes_on new.qcow2
  for preallocation in metadata falloc full; do
    for how in "" -u; do
      # shellcheck disable=SC2086
      imgtool create -q $how -f qcow2 -b base.raw -F raw \
        -o extended_l2=on,preallocation=$preallocation new.qcow2 "$(stat -c %s base.raw)"
      is_good new.qcow2 base.raw
    done
  done
  goes_on new.qcow2
  run -1 --separate-stderr imgtool create -f qcow2 -b missing.raw -F raw new2.qcow2 1M
  expect_message "missing.raw"
  run -1 --separate-stderr imgtool create -u -f qcow2 -b missing.raw -F raw new2.qcow2
  expect_message "create: which size? -u does not look at the backing file"
  # Nobody looks at it with -u, but it is not lost.
  sha256sum base.raw >sum
  ln -s base.raw link.raw
  for base in base.raw link.raw ./base.raw; do
    run -1 --separate-stderr imgtool create -u -f qcow2 -b $base -F raw base.raw 1M
    expect_message "are the same file"
    run -1 --separate-stderr imgtool create -u -f qcow2 -b $base -F raw -o data_file=base.raw new2.qcow2 1M
    expect_message "are the same file"
  done
  sha256sum --quiet -c sum
  run -1 --separate-stderr imgtool create -f qcow2 -b base.raw new2.qcow2 1M
  expect_message "backing file specified without backing format"
  [[ ! -e new2.qcow2 ]]
  imgtool create -q -u -f qcow2 -b missing.raw -F raw new2.qcow2 1M
  [[ $(imgtool info --output=json new2.qcow2 | jq -r '."backing-filename"') == missing.raw ]]
}

@test "a virtual machine writes to it" {
  fill disk.raw
  imgtool convert -f raw -c -O qcow2 disk.raw new.qcow2
  hold_qemu vm -drive file=new.qcow2,format=qcow2
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 disk.raw new.qcow2
  expect_message "Failed to get" "pid ${PID[vm]}"
  stop vm
  is_good new.qcow2 disk.raw
}

@test "a block device" {
  require root losetup
  fill disk.raw
  yes old | head -c 16M >device.img
  make_loop device.img
  run -0 --separate-stderr imgtool convert -f raw -O qcow2 disk.raw "$LOOP"
  qemu-img check -q -f qcow2 "$LOOP"
  qemu-img compare -f qcow2 -F raw "$LOOP" disk.raw >/dev/null
  # Too small: an error, and nothing that looks like an image.
  run -1 --separate-stderr imgtool convert -f raw -O qcow2 -S 0 -o cluster_size=512 \
    disk.raw disk.raw disk.raw "$LOOP"
  expect_message "$LOOP"
  [[ $(head -c 4 "$LOOP" | od -An -tx1) != *"51 46 49 fb"* ]]
}
