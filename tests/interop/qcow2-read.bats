#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool convert from qcow2 images that qemu-img and qemu-io made: the same bytes as qemu-img
# reads.

load ../cli/lib

# scribble FILE [BYTES]: data of every kind, in an image of at least 4 MiB: whole clusters and parts,
# zeros that are written as such, holes, what was discarded, up to its end
scribble() {
  local end=$((${2:-4194304} / 512 * 512))
  qemu-io -f qcow2 -c "write -P 1 0 64k" -c "write -P 2 100k 33k" -c "write -z 256k 256k" \
    -c "write -P 3 300k 4k" -c "write -P 4 1M 700k" -c "discard 1200k 128k" -c "write -P 5 2047k 2k" \
    -c "write -z 3M 1k" -c "write -P 6 $((end - 1024)) 1k" "$1" >/dev/null
}

# same_extents FILE: the library knows of each byte what qemu-img map knows. Where tables were made
# in advance, qemu-img looks for holes in the file as well; that is another question here.
same_extents() {
  local theirs
  theirs=$(qemu-img map -f qcow2 --output=json "$1")
  [[ $theirs != *'"zero": true, "data": true'* ]] || return 0
  diff <(jq -c '.[] | select (.length > 0)' <<<"$theirs") \
    <("$TOOLS/extents" -f qcow2 "$1" | jq -c '.[]')
}

# same_content FILE [convert's options]: as qemu-img reads it, with and without threads, and without
# any help of the file system
same_content() {
  rm -f want.raw
  same_extents "$1" || return 1
  qemu-img convert -f qcow2 -O raw "$1" want.raw
  local how
  for how in -q -m1 --reflink=never -S0; do
    rm -f got.raw
    run -0 --separate-stderr imgtool convert $how "${@:2}" "$1" got.raw
    expect_no_message
    cmp want.raw got.raw || return 1
  done
}

@test "cluster sizes, versions, extended entries" {
  for options in compat=0.10 compat=0.10,cluster_size=512 cluster_size=512 cluster_size=4k \
    cluster_size=2M refcount_bits=1 refcount_bits=64 extended_l2=on,cluster_size=16k \
    extended_l2=on,cluster_size=64k extended_l2=on,cluster_size=2M preallocation=metadata \
    preallocation=falloc; do
    echo "# $options"
    qemu-img create -q -f qcow2 -o "$options" disk.qcow2 4M
    scribble disk.qcow2
    same_content disk.qcow2
  done
}

@test "odd sizes" {
  for size in 0 512 1536 4195328 5243392; do
    qemu-img create -q -f qcow2 disk.qcow2 $size
    ((size < 4194304)) || scribble disk.qcow2 $size
    ((size >= 4194304 || size == 0)) || qemu-io -f qcow2 -c "write -P 7 0 $size" disk.qcow2 >/dev/null
    same_content disk.qcow2
  done
}

# make_compressible FILE: 6 MiB and a bit; text, zeros, and what cannot be compressed
make_compressible() {
  seq 1 400000 | head -c 2500000 >"$1"
  head -c 1000000 /dev/urandom >>"$1"
  truncate -s 4M "$1"
  seq 7 7 300000 | head -c 1500000 >>"$1"
  truncate -s 6292992 "$1"
}

@test "compressed: zlib and zstd, all cluster sizes" {
  make_compressible from.raw
  for type in zlib zstd; do
    for size in 4k 64k 2M; do
      rm -f disk.qcow2
      qemu-img convert -c -f raw -O qcow2 -o compression_type=$type,cluster_size=$size from.raw disk.qcow2
      same_content disk.qcow2
      cmp from.raw got.raw
    done
  done
}

@test "compressed: small clusters, version 2, extended entries, written over" {
  make_compressible from.raw
  for options in cluster_size=512 compat=0.10 extended_l2=on,compression_type=zstd; do
    rm -f disk.qcow2
    qemu-img convert -c -f raw -O qcow2 -o $options from.raw disk.qcow2
    scribble disk.qcow2
    same_content disk.qcow2
  done
}

@test "to standard output, and as one of several sources" {
  qemu-img create -q -f qcow2 disk.qcow2 4M
  scribble disk.qcow2
  qemu-img convert -O raw disk.qcow2 want.raw
  imgtool convert disk.qcow2 - >got.raw
  cmp want.raw got.raw
  imgtool convert -q disk.qcow2 want.raw got2.raw
  cmp <(cat want.raw want.raw) got2.raw
  run -0 imgtool convert --digest=sha256 disk.qcow2 got3.raw
  [[ ${lines[0]} == "SHA256 (got3.raw) = $(sha256sum <want.raw | cut -d ' ' -f 1)" ]]
}

@test "standard input is never taken for an image" {
  qemu-img create -q -f qcow2 disk.qcow2 4M
  for options in "-f qcow2" "-l 1"; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr imgtool convert $options - got.raw <disk.qcow2
    expect_message "imgtool: standard input can only be a raw disk"
    [[ ! -e got.raw ]]
  done
}

@test "past the page cache, and with as many workers as there may be" {
  make_compressible from.raw
  qemu-img convert -c -f raw -O qcow2 -o cluster_size=2M from.raw disk.qcow2
  for options in "-T none -t none" -m32; do
    # shellcheck disable=SC2086
    run -0 --separate-stderr imgtool convert $options disk.qcow2 got.raw
    expect_no_message
    cmp from.raw got.raw
  done
}

@test "a large sparse image is quick" {
  qemu-img create -q -f qcow2 disk.qcow2 8T
  qemu-io -f qcow2 -c "write -P 9 7T 1M" disk.qcow2 >/dev/null
  run -0 --separate-stderr timeout 20 "$IMGTOOL" convert -v disk.qcow2 got.raw
  [[ $(stat -c %s got.raw) == $((8 << 40)) ]]
  (($(stat -c %b got.raw) <= 8192))
  cmp -n 1M -i $((7 << 40)):0 got.raw <(head -c 1M /dev/zero | tr '\0' '\11')
}
