#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# What an image can cost, whatever is in it: info a second and 24 MiB, convert 96 MiB, and both work
# with 256 MiB of address space.

load ../cli/lib

setup_file() {
  export MAKE="perl $BATS_TEST_DIRNAME/make-qcow2.pl"
}

# cost STATUS COMMAND...: run with 256 MiB of address space; sets PEAK (KiB) and MS, the processor's
# time, which does not depend on who else is busy
cost() {
  local wanted=$1 limit=268435456
  shift
  ! is_sanitized || limit=0
  run "-$wanted" --separate-stderr "$TOOLS/within" 60 $limit 0 cost "$IMGTOOL" "$@"
  read -r PEAK MS <cost
  echo "$*: $PEAK KiB, $MS ms"
}

# info_costs_little FILE [status]: in both forms, with each option that looks inside
info_costs_little() {
  local form
  for form in --output=human --output=json --untrusted '--untrusted --output=json'; do
    local status=${2:-0}
    [[ $form == --untrusted* ]] && status=${3:-$status}
    # shellcheck disable=SC2086
    cost "$status" info -q $form "$1"
    is_sanitized || { ((PEAK <= 24 * 1024)) && ((MS <= 1000)); } || return 1
  done
}

# convert_costs_little STATUS ARGUMENTS...
convert_costs_little() {
  rm -f got.raw
  cost "$1" convert -q "${@:2}" got.raw
  is_sanitized || ((PEAK <= 96 * 1024))
}

@test "snapshots: 65536 of them, and a table of 64 MiB of names" {
  $MAKE disk.qcow2 snapshots=65536
  info_costs_little disk.qcow2 0 2
  run -0 imgtool info --output=json disk.qcow2
  jq -e '(.snapshots | length) == 4096 and ."snapshots-total" == 65536' <<<"$output"
  run -0 imgtool info disk.qcow2
  [[ $(tail -n 30 <<<"$output") == *"... and 61440 more, 65536 snapshots in all"* ]]
  convert_costs_little 0 -l 1 disk.qcow2
  convert_costs_little 1 -l nobody disk.qcow2
  for byte in 65 1 255; do
    $MAKE disk.qcow2 snapshots=1020 name=65535 byte=$byte
    info_costs_little disk.qcow2
    convert_costs_little 1 -l nobody disk.qcow2
  done
  # What is listed whole has no total.
  $MAKE disk.qcow2 snapshots=4096 name=40
  info_costs_little disk.qcow2 0 2
  run -0 imgtool info --output=json disk.qcow2
  jq -e '(.snapshots | length) == 4096 and (has ("snapshots-total") | not)' <<<"$output"
}

@test "bitmaps: 65535 of them, with short names and with long ones" {
  for name in 1 1023; do
    for byte in 65 1 255; do
      $MAKE disk.qcow2 bitmaps=65535 name=$name byte=$byte
      info_costs_little disk.qcow2 0 2
    done
  done
  run -0 imgtool info --output=json disk.qcow2
  jq -e '."format-specific".data | (.bitmaps | length) == 256 and ."bitmaps-total" == 65535' <<<"$output"
}

@test "headers: thousands of extensions, long names" {
  $MAKE disk.qcow2 bits=21 extensions=260000
  info_costs_little disk.qcow2 0 2
  for byte in 65 1 255; do
    $MAKE disk.qcow2 backing="$(printf "%1023s" '' | tr ' ' "\\$(printf %o $byte)")"
    info_costs_little disk.qcow2 0 2
    $MAKE disk.qcow2 bits=21 datafile=4095 byte=$byte
    info_costs_little disk.qcow2 0 2
    $MAKE disk.qcow2 bits=21 datafile=2000000 byte=$byte
    info_costs_little disk.qcow2 1 2
  done
}

@test "sizes: the largest L1 table, and a raw disk of 15 TiB" {
  $MAKE disk.qcow2 bits=9 l1=4194304
  info_costs_little disk.qcow2
  convert_costs_little 0 disk.qcow2
  $MAKE disk.qcow2 bits=21 l1=4194304 size=$((1 << 61))
  info_costs_little disk.qcow2 0 2
  truncate -s 15T disk.raw || skip "needs: files of 15 TiB"
  info_costs_little disk.raw 0 2
}

@test "compressed clusters of 2 MiB, with as many workers as there can be" {
  require zstd
  for kind in zlib zstd; do
    $MAKE disk.qcow2 bits=21 clusters=$kind count=64 size=$((128 << 20))
    info_costs_little disk.qcow2
    convert_costs_little 0 disk.qcow2
    head -c $((128 << 20)) /dev/zero | tr '\0' A | cmp - got.raw
    convert_costs_little 0 -m 1 disk.qcow2
    cmp <(head -c $((128 << 20)) /dev/zero | tr '\0' A) got.raw
    convert_costs_little 0 -m 32 disk.qcow2
  done
}

# make_chain BITS KIND DEPTH: image N.qcow2 is the only one that has cluster N, 2N ...; DEPTH.qcow2
# is the top
make_chain() {
  local n
  for ((n = 1; n <= $3; n++)); do
    local -a behind=()
    ((n == 1)) || behind=(backing=$((n - 1)).qcow2 format=qcow2)
    $MAKE $n.qcow2 bits="$1" clusters="$2" count=$((2 * $3)) skip="$3" first=$((n - 1)) \
      size=$((2 * $3 << $1)) "${behind[@]}"
  done
}

# chain_costs_little BITS KIND: one of 64 images, read by few workers and by many
chain_costs_little() {
  require zstd
  make_chain "$1" "$2" 64
  info_costs_little 64.qcow2 0 2
  cost 0 info -b --output=json 64.qcow2
  is_sanitized || ((PEAK <= 24 * 1024))
  convert_costs_little 0 64.qcow2
  [[ $(stat -c %s got.raw) == $((128 << $1)) && $(tr -d A <got.raw | wc -c) == 0 ]]
  convert_costs_little 0 -m 32 64.qcow2
}

@test "a chain of 64 images, each with zlib clusters of 2 MiB of its own" {
  chain_costs_little 21 zlib
}

@test "a chain of 64 images, each with zstd clusters of 2 MiB of its own" {
  chain_costs_little 21 zstd
}

@test "a chain of 64 images, each with clusters of 256 KiB, which just fit" {
  chain_costs_little 18 zlib
}

@test "a chain of three with large clusters is read by several workers" {
  make_chain 21 zlib 3
  convert_costs_little 0 3.qcow2
  [[ $(tr -d A <got.raw | wc -c) == 0 ]]
}
