#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check on qcow2: options, output, locks, chains and content. What it finds in images that
# are damaged is in tests/damage/check.bats.

load lib
load ../damage/qcow2
load ../damage/check

# leaky FILE: an image with one leaked cluster
leaky() {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 40)" 2 1
  truncate -s 3M disk.qcow2
  [[ $1 == disk.qcow2 ]] || mv disk.qcow2 "$1"
}

@test "words, numbers and statuses are those of qemu-img" {
  local damage
  for damage in none leak low; do
    make_image
    case $damage in
      leak) put disk.qcow2 "$(refcount_at disk.qcow2 40)" 2 1 && truncate -s 3M disk.qcow2 ;;
      low) put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0 ;;
    esac
    their_status=0 our_status=0
    qemu-img check disk.qcow2 >theirs 2>their.err || their_status=$?
    imgtool check disk.qcow2 >ours 2>our.err || our_status=$?
    diff theirs ours
    diff <(sort their.err) <(sed 's/ (guest bytes .*)$//' our.err | sort)
    [[ $their_status == "$our_status" ]]
    qemu-img check --output=json disk.qcow2 >theirs 2>/dev/null || true
    imgtool check --output=json disk.qcow2 >ours 2>/dev/null || true
    diff theirs <(jq --indent 4 'del(.findings, .["finding-counts"])' ours)
  done
}

@test "-q says nothing, the status does" {
  leaky disk.qcow2
  run -3 --separate-stderr imgtool check -q disk.qcow2
  [[ -z $output && -z $stderr ]]
  run -3 --separate-stderr imgtool check -q --output=json disk.qcow2
  [[ -z $output && -z $stderr ]]
}

@test "several images: each by its name, and the highest status" {
  leaky leaky.qcow2
  make_image
  run -3 --separate-stderr imgtool check disk.qcow2 leaky.qcow2
  [[ ${lines[0]} == "image: disk.qcow2" && $output == *$'\n\nimage: leaky.qcow2\n'* ]]
  [[ $stderr == "imgtool: leaky.qcow2"$'\n'"Leaked cluster 40 refcount=1 reference=0" ]]
  run -3 --separate-stderr imgtool check --output=json disk.qcow2 leaky.qcow2
  expect 'map(.filename) == ["disk.qcow2", "leaky.qcow2"]' '.[1].leaks == 1' '.[0].leaks == null' \
    '.[1].findings[0].kind == "leak"' '.[1].findings[0]["host-offset"] == 2621440'
}

@test "a finding in a snapshot names it, with escapes" {
  make_image
  qemu-img snapshot -c $'so\e[31mso' disk.qcow2
  qemu-io -f qcow2 -c "write -q -P 2 0 1M" disk.qcow2
  table=$(get disk.qcow2 "$(get disk.qcow2 "$(field disk.qcow2 snapshots_offset)" 8)" 8)
  flip disk.qcow2 $(((table & 0xfffffffffffe00) + 8)) 0x0100000000000000
  run -2 --separate-stderr imgtool check disk.qcow2
  [[ $stderr == "ERROR found l2 entry with reserved bits set: "*" (guest bytes 65536 to 131071 in snapshot 'so\\x1b[31mso')" ]]
}

@test "who writes is in the way, who reads is not" {
  make_image
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio
  run -1 --separate-stderr imgtool check disk.qcow2
  expect_message "cannot open 'disk.qcow2': " "pid ${PID[vm]}"
  run -0 imgtool check -U disk.qcow2
  stop vm
  hold_qemu reader -drive file=disk.qcow2,format=qcow2,if=virtio,read-only=on
  run -0 imgtool check disk.qcow2
}

@test "the backing file is neither opened nor locked, unless --backing-chain asks" {
  mkfifo pipe
  qemu-img create -q -f qcow2 -u -b pipe -F raw over.qcow2 4M
  run -0 timeout 10 "$IMGTOOL" check over.qcow2
  run -1 --separate-stderr timeout 10 "$IMGTOOL" check --backing-chain over.qcow2
  expect_message "pipe"
  leaky base.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
  run -0 imgtool check over.qcow2
  run -3 --separate-stderr imgtool check --backing-chain over.qcow2
  [[ $output == "image: over.qcow2"*"image: "*"base.qcow2"* ]]
  run -3 --separate-stderr imgtool check -b --output=json over.qcow2
  expect 'length == 2' '.[1].leaks == 1' '.[0].leaks == null'
  make_raw raw.raw 4M
  qemu-img create -q -f qcow2 -b raw.raw -F raw over.qcow2
  run -0 --separate-stderr imgtool check -b over.qcow2
  [[ -z $stderr ]]
  run -1 --separate-stderr imgtool check -b -r all over.qcow2
  expect_message "--backing-chain and --repair exclude each other"
  run -1 --separate-stderr imgtool check -b --undo=x over.qcow2
  expect_message "--backing-chain and --undo exclude each other"
}

@test "--data: what cannot be decompressed or read" {
  seq 200000 >text.raw
  for type in zlib zstd; do
    qemu-img convert -c -f raw -O qcow2 -o compression_type=$type text.raw disk.qcow2
    run -0 imgtool check --data disk.qcow2
    entry=$(get disk.qcow2 "$(l2_at disk.qcow2 3)" 8)
    put disk.qcow2 $(((entry & 0x3fffffffffff) + 20)) 8 0x0123456789abcdef
    put disk.qcow2 $(((entry & 0x3fffffffffff) + 200)) 8 0x0123456789abcdef
    run -0 imgtool check disk.qcow2
    run -2 --separate-stderr imgtool check --data disk.qcow2
    [[ $stderr == *"cannot be decompressed"*"(guest bytes 196608 to 262143)"* ]]
  done
  make_image
  run -0 imgtool check --data disk.qcow2
}

@test "--data: content in a data file, which may be cut or forbidden" {
  for raw in off on; do
    make_image -o data_file=data.raw,data_file_raw=$raw
    run -0 imgtool check --data disk.qcow2
    truncate -s 832K data.raw # cluster 13 begins where it ends
    run -0 imgtool check disk.qcow2
    run -2 --separate-stderr imgtool check --data disk.qcow2
    [[ $stderr == *": content at offset 851968 of the data file, which ends at 851968 (guest bytes 851968 to 917503)"* ]]
    run -2 --separate-stderr imgtool check --data --output=json disk.qcow2
    # With a raw data file, all of the disk is said to be there.
    jq -e --arg raw $raw '.["finding-counts"].data == (if $raw == "on" then 51 else 3 end)' <<<"$output"
  done
  mkdir images
  make_image -o data_file=data.raw
  mv disk.qcow2 images
  qemu-img amend -f qcow2 -o data_file="$DIR/data.raw" images/disk.qcow2 2>/dev/null ||
    skip "no qemu-img that renames data files"
  run -1 --separate-stderr imgtool check --data images/disk.qcow2
  expect_message "--allow-data-file permits that"
  run -0 imgtool check --data --allow-data-file images/disk.qcow2
  run -1 --separate-stderr imgtool check --data --allow-data-file --chain-under=images images/disk.qcow2
  hold_io writer -f raw data.raw
  run -1 --separate-stderr imgtool check --data --allow-data-file images/disk.qcow2
  [[ $stderr == *"It is held by qemu-io"* ]]
}

@test "--untrusted: nothing is checked of an image that is not safe" {
  make_image
  run -0 imgtool check --untrusted disk.qcow2
  run -1 --separate-stderr imgtool check --untrusted --max-size=2M disk.qcow2
  expect_message "more than the 2097152 of --max-size"
  run -1 --separate-stderr imgtool check --max-size=2M disk.qcow2
  expect_message "more than the 2097152 of --max-size"
  qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 top.qcow2
  run -1 --separate-stderr imgtool check --untrusted top.qcow2
  expect_message "'top.qcow2' is not safe to read: it names a backing file: 'disk.qcow2'"
  run -1 --separate-stderr imgtool check --untrusted --backing-chain top.qcow2
  expect_message "--untrusted and --backing-chain exclude each other"
}

@test "--chain-under: what is outside is not checked" {
  mkdir pool
  make_image
  qemu-img create -q -f qcow2 -b ../disk.qcow2 -F qcow2 pool/top.qcow2
  run -0 imgtool check -b pool/top.qcow2
  run -1 --separate-stderr imgtool check -b --chain-under=pool pool/top.qcow2
  [[ $stderr == *"disk.qcow2"*"pool"* ]]
}

@test "--data: a disk that cannot read, by its clusters" {
  make_image
  gcc -O1 -shared -fPIC -o shim.so "$BATS_TEST_DIRNAME/../tools/fault-shim.c" -ldl
  offset=$(($(data_cluster disk.qcow2 4) << 16))
  export ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
  FAULT=read:EIO:1+:disk.qcow2 FAULT_RANGE=$offset-$((offset + 65536)) LD_PRELOAD=$PWD/shim.so \
    run -2 --separate-stderr "$IMGTOOL" check --data disk.qcow2
  [[ ${#stderr_lines[@]} == 1 && $stderr == "ERROR: cannot read 65536 bytes at offset $offset of \
'disk.qcow2': Input/output error (guest bytes 262144 to 327679)" ]]
}

@test "on a terminal, how far a long check has come" {
  require script
  qemu-img create -q -f qcow2 -o preallocation=metadata disk.qcow2 400G
  gcc -O1 -shared -fPIC -o shim.so "$BATS_TEST_DIRNAME/../tools/fault-shim.c" -ldl
  export ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
  slow="env FAULT=read:slow:20:disk.qcow2 LD_PRELOAD=$PWD/shim.so '$IMGTOOL' check disk.qcow2"
  script -qec "stty cols 80; $slow" /dev/null >screen
  tr '\r' '\n' <screen | grep -qE '^check: [0-9.]+ MiB of [0-9.]+ MiB \([0-9]+%\), .* left$'
  # What is left on the screen is the answer alone.
  grep -q 'No errors were found on the image.' screen
  script -qec "stty cols 80; $slow -q" /dev/null >screen
  [[ ! -s screen ]]
  run -0 --separate-stderr bash -c "$slow"
  expect_no_message
}

@test "memory and time do not follow what a header says" {
  make_image -o cluster_size=512
  truncate -s 4T disk.qcow2 # of 512 bytes each: more clusters than are counted
  run -1 --separate-stderr timeout 10 "$IMGTOOL" check disk.qcow2
  expect_message "has too many clusters of 512 bytes to be checked"
  make_image
  truncate -s 8T disk.qcow2
  # The sanitizers themselves need more than that.
  grep -q __asan_init "$IMGTOOL" ||
    run -0 timeout 10 bash -c 'ulimit -v 262144; exec "$0" check disk.qcow2' "$IMGTOOL"
}
