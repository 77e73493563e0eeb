# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
#
# Damaging qcow2 images: numbers in them, by where the format has them.

# number BYTES VALUE: prints it, big endian
number() {
  local hex bytes='' i
  printf -v hex "%0$(($1 * 2))x" "$2"
  for ((i = ${#hex} - $1 * 2; i < ${#hex}; i += 2)); do
    bytes+="\\x${hex:i:2}"
  done
  printf '%b' "$bytes"
}

# put FILE OFFSET BYTES VALUE: a number of 1, 2, 4 or 8 bytes, big endian
put() {
  number "$3" "$4" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# get FILE OFFSET BYTES: prints it in decimal
get() {
  echo $((16#$(dd if="$1" bs=1 skip="$2" count="$3" status=none | od -An -v -tx1 | tr -d ' \n')))
}

# Fields of the header: offset and length.
declare -gA FIELD=([backing_offset]="8 8" [backing_size]="16 4" [cluster_bits]="20 4" [size]="24 8"
  [crypt]="32 4" [l1_size]="36 4" [l1_offset]="40 8" [reftable_offset]="48 8" [reftable_clusters]="56 4"
  [n_snapshots]="60 4" [snapshots_offset]="64 8" [incompatible]="72 8" [autoclear]="88 8"
  [refcount_order]="96 4" [header_length]="100 4" [compression]="104 1" [version]="4 4" [magic]="0 4")

# set_field FILE NAME VALUE
set_field() {
  local -a field
  read -ra field <<<"${FIELD[$2]}"
  put "$1" "${field[0]}" "${field[1]}" "$3"
}

field() {
  local -a field
  read -ra field <<<"${FIELD[$2]}"
  get "$1" "${field[0]}" "${field[1]}"
}

# l1_at FILE INDEX: where that entry is; l2_at FILE INDEX: that of the first L2 table
l1_at() {
  echo $(($(field "$1" l1_offset) + $2 * 8))
}

l2_at() {
  echo $((($(get "$1" "$(l1_at "$1" 0)" 8) & 0xfffffffffffe00) + $2 * 8))
}
