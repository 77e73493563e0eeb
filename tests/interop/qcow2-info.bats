#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool info of qcow2 against qemu-img: the same lines, the same members in the same order.

load ../cli/lib

# same_info FILE...: for people and for programs, apart from what imgtool adds
same_info() {
  local file ours='del(.["file-length", "content", "references"])'
  for file; do
    run -0 --separate-stderr imgtool info "$file"
    expect_no_message
    diff <(qemu-img info -f qcow2 "$file") \
      <(grep -vE '^(in use|outside reference): ' <<<"$output") || return 1
    run -0 --separate-stderr imgtool info --output=json "$file"
    diff <(qemu-img info --output=json -f qcow2 "$file" | jq .) <(jq "$ours" <<<"$output") ||
      return 1
  done
}

setup_file() {
  qemu-img info --output=json -f raw /dev/null | grep -q children || skip "needs: qemu-img 8 or newer"
}

@test "cluster sizes, versions, widths of refcounts, compression, extended entries" {
  n=0
  for options in compat=0.10 cluster_size=512 cluster_size=2M refcount_bits=1 refcount_bits=64 \
    compression_type=zstd extended_l2=on,cluster_size=16k lazy_refcounts=on \
    preallocation=metadata; do
    qemu-img create -q -f qcow2 -o "$options" "image$((++n)).qcow2" 64M
    same_info "image$n.qcow2"
  done
}

@test "odd sizes" {
  for size in 0 512 1536 100M 3T; do
    qemu-img create -q -f qcow2 disk.qcow2 $size
    same_info disk.qcow2
  done
}

@test "backing files, by every kind of name" {
  make_raw base.raw 1M
  mkdir folder
  for file in top.qcow2 folder/top.qcow2; do
    qemu-img create -q -f qcow2 -b "$DIR/base.raw" -F raw $file 2M
    same_info $file "$DIR/$file"
    for name in base.raw ../base.raw nbd:unix:/x file:base.raw \
      'json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}'; do
      qemu-img rebase -u -b "$name" -F raw $file
      same_info $file
    done
    qemu-img rebase -u -b '' $file
    same_info $file
  done
}

@test "an external data file, which is not even opened" {
  qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=on one.qcow2 1M
  qemu-img create -q -f qcow2 -o data_file=data2.raw two.qcow2 1M
  rm data.raw
  mkfifo data.raw
  same_info one.qcow2 two.qcow2
}

@test "snapshots and bitmaps" {
  make_qcow2 disk.qcow2
  qemu-img snapshot -c first disk.qcow2
  qemu-img snapshot -c "a longer name than the column has" disk.qcow2
  same_info disk.qcow2 # the file ends with the last name, whatever its length
  qemu-img bitmap --add disk.qcow2 dirty0
  qemu-img bitmap --add --disable -g 4096 disk.qcow2 dirty1
  same_info disk.qcow2
}

@test "a snapshot with the state of a machine" {
  make_qcow2 disk.qcow2
  hold_qemu vm -m 16 -drive file=disk.qcow2,if=virtio
  tell vm '{"execute":"human-monitor-command","arguments":{"command-line":"savevm one"}}'
  tell vm '{"execute":"quit"}'
  wait_for 20 refute kill -0 "${PID[vm]}"
  same_info disk.qcow2
  run -0 imgtool info --output=json disk.qcow2
  expect '.snapshots[0]["vm-state-size"] > 0' '.snapshots[0].name == "one"'
}

@test "encrypted: LUKS and the old AES" {
  for format in luks aes; do
    qemu-img create -q -f qcow2 --object secret,id=s,data=secret \
      -o encrypt.format=$format,encrypt.key-secret=s,encrypt.iter-time=10 $format.qcow2 1M ||
      qemu-img create -q -f qcow2 --object secret,id=s,data=secret \
        -o encrypt.format=$format,encrypt.key-secret=s $format.qcow2 1M
    same_info $format.qcow2
  done
}

# set_byte FILE OFFSET VALUE
set_byte() {
  printf '%b' "\\x$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "dirty and corrupt" {
  make_qcow2 disk.qcow2
  set_byte disk.qcow2 79 01
  same_info disk.qcow2
  set_byte disk.qcow2 79 02
  same_info disk.qcow2
}

@test "an unknown feature is refused by its name, made harmless" {
  make_qcow2 disk.qcow2
  set_byte disk.qcow2 78 01 # bit 8
  run -1 --separate-stderr imgtool info disk.qcow2
  [[ -z $output ]]
  expect_message "'disk.qcow2' uses features of qcow2 that are not known here: bit 8"
  # The first entry of the table becomes the one for bit 8.
  table=$(LC_ALL=C grep -obUaP '\x68\x03\xf8\x57' disk.qcow2 | head -n 1 | cut -d : -f 1)
  set_byte disk.qcow2 $((table + 9)) 08
  printf 'time\e[31mtravel\0' | dd of=disk.qcow2 bs=1 seek=$((table + 10)) conv=notrunc status=none
  run -1 --separate-stderr imgtool info disk.qcow2
  expect_message 'bit 8 (time\x1b[31mtravel)'
}

@test "in use: the holder is named, and with -U all is printed" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name web01 -drive file=disk.qcow2,if=virtio
  run -1 --separate-stderr imgtool info disk.qcow2
  expect_message 'Failed to get shared "write" lock' "(pid ${PID[vm]}, VM web01)"
  run -0 --separate-stderr imgtool info -U disk.qcow2
  expect_text "file format: qcow2" "in use: "
  grep -qE "^in use: .*\(pid ${PID[vm]}, VM web01\)" <<<"$output"
  diff <(qemu-img info -U disk.qcow2) <(grep -v '^in use' <<<"$output")
}

# same_chain FILE [options]: with --backing-chain
same_chain() {
  local ours='del(.[]["file-length", "content", "references"])'
  run -0 --separate-stderr imgtool info --backing-chain "$@"
  expect_no_message
  diff <(qemu-img info --backing-chain -f qcow2 "$1") \
    <(grep -vE '^(in use|outside reference|content): ' <<<"$output") || return 1
  run -0 --separate-stderr imgtool info --backing-chain --output=json "$@"
  diff <(qemu-img info --output=json --backing-chain -f qcow2 "$1" | jq .) <(jq "$ours" <<<"$output")
}

@test "--backing-chain: each image like by itself" {
  make_raw base.raw 1M
  mkdir folder
  qemu-img create -q -f qcow2 -b "$DIR/base.raw" -F raw folder/middle.qcow2 2M
  qemu-img create -q -f qcow2 -b folder/middle.qcow2 -F qcow2 top.qcow2 3M
  same_chain top.qcow2
  same_chain folder/middle.qcow2
  cp top.qcow2 top.img
  same_chain top.img -f qcow2
}

@test "--backing-chain: what is not followed, and loops at once" {
  make_qcow2 disk.qcow2
  for name in nbd:unix:/x fifo /proc/self/fd/0 ./disk.qcow2; do
    mkfifo fifo 2>/dev/null || :
    qemu-img rebase -u -b "$name" -F qcow2 disk.qcow2
    run -0 imgtool info disk.qcow2
    expect_text "outside reference: backing file "
    run -1 --separate-stderr timeout 5 "$IMGTOOL" info --backing-chain disk.qcow2
    [[ -z $output && $stderr == "imgtool: "* ]]
  done
  [[ $stderr == *"leads back to './disk.qcow2'" ]]
  make_raw base.raw
  qemu-img rebase -u -b base.raw -F raw disk.qcow2
  mv disk.qcow2 disk.img
  run -1 --separate-stderr imgtool info --backing-chain disk.img
  expect_message "only if -f says what it is"
  run -0 imgtool info disk.img
}

@test "--backing-chain: a loop under other names, and chains of 64 images and of 65" {
  qemu-img create -q -f qcow2 -u -b hard.qcow2 -F qcow2 disk.qcow2 1M
  ln disk.qcow2 hard.qcow2
  run -1 --separate-stderr timeout 5 "$IMGTOOL" info --backing-chain disk.qcow2
  expect_message "the chain of backing files leads back to 'hard.qcow2'"
  rm hard.qcow2
  mkdir folder
  ln -s ../disk.qcow2 folder/link.qcow2
  qemu-img create -q -f qcow2 -u -b folder/link.qcow2 -F qcow2 other.qcow2 1M
  qemu-img rebase -u -b other.qcow2 -F qcow2 disk.qcow2
  mv other.qcow2 folder && qemu-img rebase -u -b ./link.qcow2 -F qcow2 folder/other.qcow2
  qemu-img rebase -u -b folder/other.qcow2 -F qcow2 disk.qcow2
  run -1 --separate-stderr timeout 5 "$IMGTOOL" info --backing-chain disk.qcow2
  expect_message "the chain of backing files leads back to 'folder/./link.qcow2'"

  make_qcow2 1.qcow2 1M
  for ((i = 2; i <= 65; i++)); do
    qemu-img create -q -f qcow2 -u -b $((i - 1)).qcow2 -F qcow2 $i.qcow2 1M
  done
  run -0 --separate-stderr imgtool info --backing-chain --output=json 64.qcow2
  expect 'length == 64'
  run -1 --separate-stderr imgtool info --backing-chain 65.qcow2
  expect_message "the chain of backing files is longer than 64 images"
  for command in lock-status lock; do
    run --separate-stderr imgtool $command -b 65.qcow2 -- true
    expect_message "the chain of backing files is longer than 64 images"
  done
}

@test "all outside references in one place" {
  make_raw disk.raw
  run -0 imgtool info --output=json disk.raw
  expect '.references == []'
  qemu-img create -q -f qcow2 -o data_file=data.raw disk.qcow2 1M
  qemu-img rebase -u -b nbd:unix:/x -F raw disk.qcow2
  run -0 imgtool info --output=json disk.qcow2
  expect '.references | length == 2' \
    '.references[0] | .kind == "backing file" and .name == "nbd:unix:/x" and .path == null' \
    '.references[0].refusal | contains("no file name")' \
    '.references[1] == {kind: "data file", name: "data.raw", format: null, path: "data.raw", refusal: null}'
  run -0 imgtool info disk.qcow2
  expect_text "outside reference: backing file 'nbd:unix:/x', which is not followed" \
    "outside reference: data file 'data.raw'"
}
