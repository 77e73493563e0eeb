#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# Random images, made by qemu-img and qemu-io, that imgtool must read, describe, check and copy as
# qemu-img does. The seed is printed: SEED=N IMAGES=1 repeats one. "make differential N=50000" goes on
# for long.

load ../cli/lib
load ../damage/check

# below N: a random number from 0 to N - 1
below() {
  echo $(((RANDOM << 15 | RANDOM) % $1))
}

# one_of WORD...
one_of() {
  shift $((RANDOM % $#))
  echo "$1"
}

# random_options: for qemu-img create -o, in $options; sets cluster, the size of a cluster
random_options() {
  cluster=$(one_of 512 1024 4096 16384 65536 65536 65536 262144 2097152)
  options=cluster_size=$cluster
  version=3
  if ((RANDOM % 6 == 0)); then
    options+=,compat=0.10
    version=2
    return
  fi
  refcount_bits=$(one_of 16 16 16 1 2 8 64)
  options+=,refcount_bits=$refcount_bits,compression_type=$(one_of zlib zstd)
  ((RANDOM % 4)) || options+=,lazy_refcounts=on
  ((cluster < 16384 || RANDOM % 3)) || options+=,extended_l2=on
}

# random_writes FILE FORMAT SIZE TIMES: writes, compressed ones, zeros and discards
random_writes() {
  local commands=() compressed=() i offset length
  for ((i = 0; i < $4; i++)); do
    offset=$(($(below $(($3 / 512))) * 512))
    length=$((($(below 300) + 1) * 512))
    ((offset + length <= $3)) || length=$(($3 - offset))
    case $((RANDOM % 10)) in
      0 | 1 | 2 | 3 | 4) commands+=(-c "write -q -P $((RANDOM % 255 + 1)) $offset $length") ;;
      5) commands+=(-c "write -q -z $offset $length") ;;
      6) commands+=(-c "write -q -z -u $offset $length") ;;
      7) commands+=(-c "discard -q $offset $length") ;;
      *)
        offset=$((offset / cluster * cluster))
        # Compressed clusters share one of the file, and the count of it must not overflow.
        if [[ $2 == qcow2 && ! $data_file ]] && ((refcount_bits >= 8 && offset + cluster <= $3)); then
          compressed+=(-c "write -q -c -P $((RANDOM % 255 + 1)) $offset $cluster")
        fi
        ;;
    esac
  done
  # Where something is already, QEMU compresses nothing.
  ((${#compressed[@]} == 0)) || qemu-io -f "$2" "${compressed[@]}" "$1" >/dev/null 2>&1 || :
  ((${#commands[@]} == 0)) || qemu-io -f "$2" "${commands[@]}" "$1"
}

# random_image: disk.qcow2, with all that belongs to it; says how in $how
random_image() {
  local size=$((($(below 16384) + 1) * 512)) words=() base_format=''
  rm -f disk.qcow2 data.raw base.raw base.qcow2
  random_options
  data_file=''
  if ((RANDOM % 3 == 0)); then
    base_format=$(one_of raw qcow2)
    base_size=$((($(below 16384) + 1) * 512))
    qemu-img create -q -f "$base_format" "base.$base_format" $base_size
    random_writes "base.$base_format" "$base_format" $base_size 10
    words=(-b "base.$base_format" -F "$base_format")
  elif ((version == 3 && RANDOM % 4 == 0)); then
    data_file=data.raw
    options+=,data_file=data.raw,data_file_raw=$(one_of on off)
  elif ((RANDOM % 3 == 0)); then
    options+=,preallocation=$(one_of metadata falloc)
  fi
  how="-o $options ${words[*]} disk.qcow2 $size"
  qemu-img create -q -f qcow2 -o "$options" "${words[@]}" disk.qcow2 $size
  random_writes disk.qcow2 qcow2 $size $((RANDOM % 30))
  if [[ ! $data_file && ${refcount_bits:-16} != 1 ]] && ((RANDOM % 3 == 0)); then
    qemu-img snapshot -c "one" disk.qcow2
    random_writes disk.qcow2 qcow2 $size $((RANDOM % 10))
    ((refcount_bits == 2 || RANDOM % 2)) || qemu-img snapshot -c "two" disk.qcow2
  fi
  ((version == 2 || RANDOM % 4)) || qemu-img bitmap --add disk.qcow2 map
}

# same_content: read as it is, and through a copy with other options
same_content() {
  local words=(-O qcow2) target
  qemu-img convert -f qcow2 -O raw disk.qcow2 theirs.raw
  imgtool convert -f qcow2 -O raw disk.qcow2 ours.raw
  cmp theirs.raw ours.raw
  random_options
  ((RANDOM % 2)) || words+=(-c)
  ((RANDOM % 3)) || words+=(-m "$((RANDOM % 8 + 1))")
  rm -f copy.qcow2
  echo "to -o $options ${words[*]}"
  imgtool convert -f qcow2 "${words[@]}" -o "$options" disk.qcow2 copy.qcow2
  qemu-img check -q -f qcow2 copy.qcow2
  qemu-img compare -q -f raw -F qcow2 theirs.raw copy.qcow2
  imgtool check -q -f qcow2 copy.qcow2
}

same_info() {
  local ours
  qemu-img info --output=json -f qcow2 disk.qcow2 | jq . >their.json
  imgtool info --output=json -f qcow2 disk.qcow2 >our.json
  jq 'del(.["file-length", "content", "references"])' our.json | diff their.json -
}

@test "random images: content, description and check as with qemu-img, copies that are right" {
  local first=${SEED:-$((RANDOM * 32768 + RANDOM))} number seed n=0 with_info=1
  qemu-img info --output=json -f raw /dev/null | grep -q children || with_info=0 # QEMU 8
  for ((number = 0; number < ${IMAGES:-20}; number++)); do
    seed=$((first + number))
    RANDOM=$seed
    refcount_bits=16
    random_image
    echo "seed $seed: $how" # shown if one of these fails
    same_verdict
    same_content
    [[ $with_info == 0 ]] || same_info
    n=$((n + 1))
  done
  echo "# random images: $n, seeds $first to $((first + n - 1))" >&3
  ((n == ${IMAGES:-20}))
}
