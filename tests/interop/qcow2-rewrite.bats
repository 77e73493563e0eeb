#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# convert -n into qcow2 images that are there, made by qemu-img: what is written is the source, what
# lies behind it and all snapshots stay, and QEMU finds nothing wrong.

load ../cli/lib

# source FILE BYTES: data and zeros of several kinds
source_disk() {
  truncate -s "$2" "$1"
  (
    yes new | head -c 300000 | dd of="$1" conv=notrunc
    dd if=/dev/zero of="$1" bs=64k seek=20 count=2 conv=notrunc
    head -c 200000 /dev/urandom | dd of="$1" bs=1M seek=2 conv=notrunc
    yes end | head -c 3001 | dd of="$1" bs=1 oflag=seek_bytes seek=$(($2 - 3001)) conv=notrunc
  ) 2>/dev/null
}

# used FILE [create's arguments]: an image of 6 MiB that somebody has used
used() {
  qemu-img create -q -f qcow2 "${@:2}" "$1" 6M
  qemu-io -f qcow2 -c "write -P 1 0 1M" -c "write -P 2 1500k 100k" -c "write -P 3 3000k 700k" \
    -c "write -z 4M 64k" -c "write -P 4 5M 1000k" "$1" >/dev/null
}

# rewrites SOURCE TARGET [convert's options]: with what was behind the source's end still there
rewrites() {
  local size
  size=$(stat -c %s "$1")
  qemu-img convert -f qcow2 -O raw "$2" want.raw
  dd if="$1" of=want.raw bs=1M conv=notrunc 2>/dev/null
  run -0 --separate-stderr imgtool convert -f raw -n -O qcow2 "${@:3}" "$1" "$2"
  expect_no_message
  run -0 qemu-img check -f qcow2 "$2"
  [[ ${lines[0]} == "No errors were found on the image." ]]
  qemu-img compare -f qcow2 -F raw "$2" want.raw >/dev/null
}

# goes_on FILE
goes_on() {
  qemu-io -f qcow2 -c "write -P 7 100k 300k" -c "discard 1M 128k" -c "write -z 2M 128k" "$1" >/dev/null
  qemu-img check -q -f qcow2 "$1"
}

@test "images of every kind" {
  for size in 6291456 3000001; do
    rm -f source.raw
    source_disk source.raw $size
    for options in compat=1.1 compat=0.10 cluster_size=512 cluster_size=2M extended_l2=on \
      refcount_bits=1 refcount_bits=64,cluster_size=4k lazy_refcounts=on preallocation=metadata; do
      echo "# $size $options"
      used disk.qcow2 -o $options
      rewrites source.raw disk.qcow2
      goes_on disk.qcow2
    done
  done
}

@test "sizes, and ways to work" {
  for size in 6291456 65536 3001; do
    rm -f source.raw
    source_disk source.raw $size
    for how in -c -m1 -tnone -S0; do
      echo "# $size $how"
      used disk.qcow2 -o cluster_size=4k
      rewrites source.raw disk.qcow2 $how
    done
  done
}

@test "compressed images" {
  source_disk source.raw 5000000
  used disk.qcow2
  for type in zlib zstd; do
    qemu-img convert -c -O qcow2 -o compression_type=$type disk.qcow2 packed.qcow2
    rewrites source.raw packed.qcow2
    qemu-img convert -c -O qcow2 -o compression_type=$type disk.qcow2 packed.qcow2
    rewrites source.raw packed.qcow2 -c
    goes_on packed.qcow2
  done
}

@test "an empty image, and twice" {
  source_disk source.raw 6291456
  for options in compat=1.1 preallocation=metadata preallocation=full extended_l2=on; do
    qemu-img create -q -f qcow2 -o $options disk.qcow2 6M
    rewrites source.raw disk.qcow2 --target-is-zero
    rewrites source.raw disk.qcow2
    goes_on disk.qcow2
  done
  # Clusters that have their place are overwritten: the file does not grow much.
  qemu-img create -q -f qcow2 -o preallocation=full disk.qcow2 6M
  before=$(stat -c %s disk.qcow2)
  rewrites source.raw disk.qcow2 -S0
  (($(stat -c %s disk.qcow2) <= before + 8 * 65536))
}

@test "snapshots stay as they are" {
  source_disk source.raw 6291456
  for options in compat=1.1 compat=0.10 extended_l2=on cluster_size=4k; do
    used disk.qcow2 -o $options
    qemu-img snapshot -c one disk.qcow2
    qemu-io -f qcow2 -c "write -P 9 2M 300k" disk.qcow2 >/dev/null
    qemu-img snapshot -c two disk.qcow2
    qemu-io -f qcow2 -c "write -P 10 0 64k" disk.qcow2 >/dev/null
    for tag in one two; do
      qemu-img convert -l $tag -O raw disk.qcow2 $tag.raw
    done
    rewrites source.raw disk.qcow2
    for tag in one two; do
      qemu-img convert -l $tag -O raw disk.qcow2 got.raw
      cmp $tag.raw got.raw
    done
    qemu-img snapshot -a one disk.qcow2
    qemu-img compare -f qcow2 -F raw disk.qcow2 one.raw >/dev/null
    qemu-img snapshot -d one disk.qcow2
    qemu-img snapshot -d two disk.qcow2
    qemu-img check -q -f qcow2 disk.qcow2
  done
}

@test "an image with a backing file" {
  source_disk source.raw 5000001
  truncate -s 5M base.raw
  yes base | head -c 5M | dd of=base.raw conv=notrunc 2>/dev/null
  for options in compat=1.1 compat=0.10 extended_l2=on; do
    qemu-img create -q -f qcow2 -o $options -b base.raw -F raw disk.qcow2 6M
    qemu-io -f qcow2 -c "write -P 1 0 100k" -c "write -P 2 5200k 64k" disk.qcow2 >/dev/null
    rewrites source.raw disk.qcow2 -q --verify
    goes_on disk.qcow2
  done
  # What is believed to be zeros is read from the disk behind as well.
  truncate -s 1M zero.raw
  truncate -s 1M base.raw
  dd if=/dev/zero of=base.raw bs=1M count=1 conv=notrunc 2>/dev/null
  qemu-img create -q -f qcow2 -b base.raw -F raw disk.qcow2
  rewrites zero.raw disk.qcow2 -q --target-is-zero --verify
  yes base | head -c 1M >base.raw
  run -1 --separate-stderr imgtool convert -q -n --target-is-zero --verify -f raw -O qcow2 zero.raw disk.qcow2
  expect_message "differs"
}

@test "a block device" {
  require root losetup
  source_disk source.raw 6291456
  truncate -s 32M device.img
  make_loop device.img
  qemu-img create -q -f qcow2 "$LOOP" 6M
  rewrites source.raw "$LOOP"
  rewrites source.raw "$LOOP" -c
  goes_on "$LOOP"
}

@test "--digest and --verify" {
  source_disk source.raw 6291456
  used disk.qcow2
  rewrites source.raw disk.qcow2 -q --verify
  run -0 imgtool convert -f raw -n -O qcow2 --digest=sha256 source.raw disk.qcow2
  [[ $output == "SHA256 (disk.qcow2) = $(sha256sum <source.raw | cut -d' ' -f1)" ]]
}

# refuses TEXT [convert's arguments]: an error, and the target is as it was
refuses() {
  sha256sum disk.qcow2 >sum
  run -1 --separate-stderr imgtool convert -f raw -n -O qcow2 "${@:2}" source.raw disk.qcow2
  expect_message "$1"
  [[ $stderr != *"is not whole now"* ]]
  sha256sum --quiet -c sum
}

@test "images that cannot be written into" {
  source_disk source.raw 6291456
  qemu-img create -q -f qcow2 disk.qcow2 5M
  refuses "output file is smaller than input file"
  used disk.qcow2
  qemu-img bitmap --add disk.qcow2 b
  refuses "persistent bitmaps"
  qemu-img create -q -f qcow2 -o data_file=d.data disk.qcow2 6M
  refuses "its content is in a data file"
  used disk.qcow2
  # The first L2 entry points into the refcount table.
  l2=$(qemu-img map --output=json disk.qcow2 | jq '.[0].offset')
  printf '\x80\0\0\0\0\1\0\0' | dd of=disk.qcow2 bs=1 oflag=seek_bytes seek=$((l2 - 65536)) conv=notrunc 2>/dev/null
  refuses "it has errors"
  used disk.qcow2
  printf '\2' | dd of=disk.qcow2 bs=1 seek=79 conv=notrunc 2>/dev/null
  refuses "dirty or corrupt"
  echo "no image" >disk.qcow2
  refuses "is not a qcow2 image"
  used disk.qcow2
  hold_io holder -f qcow2 disk.qcow2
  refuses "Failed to get"
}

@test "a stream" {
  source_disk source.raw 5000001
  used disk.qcow2
  qemu-img convert -f qcow2 -O raw disk.qcow2 want.raw
  dd if=source.raw of=want.raw bs=1M conv=notrunc 2>/dev/null
  imgtool convert -n -O qcow2 - disk.qcow2 <source.raw
  qemu-img check -q -f qcow2 disk.qcow2
  qemu-img compare -f qcow2 -F raw disk.qcow2 want.raw >/dev/null
  # That it is too long is known only when it is read; the tables are the old ones.
  for size in 1 3145728; do
    for bytes in /dev/zero /dev/urandom; do
      qemu-img create -q -f qcow2 disk.qcow2 1M
      head -c $((1048576 + size)) $bytes >long.raw
      run -1 --separate-stderr imgtool convert -n -O qcow2 - disk.qcow2 <long.raw
      expect_message "output file is smaller than input file: its disk has 1048576 bytes"
      qemu-img check -q -f qcow2 disk.qcow2
      truncate -s 1M disk.raw
      run -1 --separate-stderr imgtool convert -n -O raw - disk.raw <long.raw
      expect_message "output file is smaller than input file: its disk has 1048576 bytes"
      [[ $(stat -c %s disk.raw) == 1048576 ]]
    done
  done
}

@test "a limited rate does not keep a failure waiting" {
  qemu-img create -q -f qcow2 disk.qcow2 4M
  head -c 24M /dev/urandom >long.raw
  run -1 timeout 10 "$IMGTOOL" convert -r 50k -m8 -n -O qcow2 - disk.qcow2 <long.raw
  [[ $output == *"output file is smaller"* ]]
}

@test "marks of unknown features are cleared" {
  source_disk source.raw 6291456
  used disk.qcow2
  printf '\x80' | dd of=disk.qcow2 bs=1 seek=88 conv=notrunc 2>/dev/null
  rewrites source.raw disk.qcow2
  [[ $(od -An -tx1 -j 88 -N 8 disk.qcow2) == " 00 00 00 00 00 00 00 00" ]]
}

@test "killed before the header is written, the old tables are valid" {
  require strace
  export ASAN_OPTIONS=detect_leaks=0 # which a traced program cannot do
  source_disk source.raw 6291456
  qemu-img create -q -f qcow2 disk.qcow2 6M
  truncate -s 6M zero.raw
  # The last write is the header's.
  strace -f -o trace -e trace=pwrite64,pwritev,pwritev2 "$IMGTOOL" convert --no-sandbox -f raw -m1 -n -O qcow2 source.raw disk.qcow2
  n=$(grep -c 'pwrite' trace)
  tail -n 2 trace | grep -q ', 36'
  for ((i = 1; i <= n; i++)); do
    qemu-img create -q -f qcow2 disk.qcow2 6M
    call=$(sed -n "${i}s/.*\(pwrite[v264]*\).*/\1/p" trace)
    nth=$(head -n $i trace | grep -c "$call(")
    strace -f -o /dev/null -e inject="$call:signal=KILL:when=$nth" \
      "$IMGTOOL" convert --no-sandbox -f raw -m1 -n -O qcow2 source.raw disk.qcow2 || :
    qemu-img check -q -f qcow2 disk.qcow2 || [[ $? == 3 ]]
    qemu-img compare -f qcow2 -F raw disk.qcow2 zero.raw >/dev/null
  done
}

@test "snapshots that cannot be read any more in the end are not given up" {
  require strace
  export ASAN_OPTIONS=detect_leaks=0 # which a traced program cannot do
  local at nth
  source_disk source.raw 6291456
  imgtool convert -f raw -O qcow2 source.raw disk.qcow2
  qemu-img snapshot -c kept disk.qcow2
  cp disk.qcow2 there.qcow2
  head -c 6M /dev/urandom >new.raw
  words=("$IMGTOOL" convert --no-sandbox -m1 -f raw -n -O qcow2 new.raw there.qcow2)
  strace -f -o trace -P there.qcow2 -e trace=preadv2 "${words[@]}"
  at=$(od -An -tu1 -j 64 -N 8 disk.qcow2 | awk '{ for (i = 1; i <= 8; i++) n = n * 256 + $i; print n }')
  # The last time, when all references are counted.
  nth=$(sed -n "/ $at, 0) = /=" trace | tail -n 1)
  ((nth > 1))
  cp disk.qcow2 there.qcow2
  run -1 --separate-stderr strace -f -o trace -P there.qcow2 -e inject=preadv2:error=EIO:when="$nth" "${words[@]}"
  expect_message "failed to read the snapshot table"
  qemu-img check -q -f qcow2 there.qcow2 || [[ $? == 3 ]]
  imgtool convert -l kept there.qcow2 kept.raw
  cmp kept.raw source.raw
}

@test "what was there before gives its space back" {
  source_disk source.raw 16777216
  imgtool convert -f raw -O qcow2 source.raw disk.qcow2
  qemu-img snapshot -c kept disk.qcow2
  before=$(du -k disk.qcow2 | cut -f 1)
  imgtool convert -l kept disk.qcow2 kept.raw
  for round in 1 2 3; do
    head -c 16M /dev/urandom >new.raw
    imgtool convert -f raw -n -O qcow2 new.raw disk.qcow2
    run -0 qemu-img check -q -f qcow2 disk.qcow2
    qemu-img compare -f qcow2 -F raw disk.qcow2 new.raw >/dev/null
    imgtool convert -l kept disk.qcow2 again.raw
    cmp kept.raw again.raw
  done
  # The snapshot's clusters, and one set of new ones.
  after=$(du -k disk.qcow2 | cut -f 1)
  ((after < before + 16384 + 2048))
}
