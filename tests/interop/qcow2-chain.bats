#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool convert from images that name others: backing files, data files, snapshots inside; what of
# it is followed, what is refused, and what is locked.

load ../cli/lib

# same_content FILE [convert's options]: as qemu-img reads it
same_content() {
  rm -f want.raw
  diff <(qemu-img map -f qcow2 --output=json "$1" | jq -c '.[]') \
    <("$TOOLS/extents" -f qcow2 "$1" | jq -c '.[]') || return 1
  qemu-img convert -f qcow2 -O raw "$1" want.raw
  local how
  for how in -q -m1; do
    rm -f got.raw
    run -0 --separate-stderr imgtool convert $how "${@:2}" "$1" got.raw
    expect_no_message
    cmp want.raw got.raw || return 1
  done
}

# overlay NAME BASE FORMAT SIZE [create's options]: with the name as it is, base or not
overlay() {
  qemu-img create -q -f qcow2 -u -b "$2" -F "$3" "${@:5}" "$1" "$4"
}

# refused FILE TEXT... -- [options]: it is not followed, with this message, at once, and nothing is
# left
refused() {
  local file=$1
  local -a texts=() options=()
  shift
  while (($# > 0)) && [[ $1 != -- ]]; do
    texts+=("$1")
    shift
  done
  options=("${@:2}")
  run -1 --separate-stderr timeout 5 "$IMGTOOL" convert "${options[@]}" "$file" got.raw
  expect_message "${texts[@]}"
  [[ ! -e got.raw ]]
}

@test "chains of several images: other sizes, other clusters, zeros over data" {
  qemu-img create -q -f raw base.raw 3M
  qemu-io -f raw -c "write -P 1 0 2M" -c "write -P 2 3071k 1k" base.raw >/dev/null
  overlay one.qcow2 base.raw raw 4M
  qemu-io -f qcow2 -c "write -P 3 300k 200k" -c "write -z 1M 512k" -c "write -P 4 3M 64k" one.qcow2 >/dev/null
  overlay two.qcow2 one.qcow2 qcow2 2M -o cluster_size=4k
  qemu-io -f qcow2 -c "write -P 5 1100k 3k" two.qcow2 >/dev/null
  overlay three.qcow2 "$DIR/two.qcow2" qcow2 6M -o cluster_size=64k,extended_l2=on
  qemu-io -f qcow2 -c "write -P 6 310k 5k" -c "write -z 100k 8k" -c "write -P 7 5M 1k" three.qcow2 >/dev/null
  same_content one.qcow2
  same_content two.qcow2
  same_content three.qcow2
}

@test "a base whose length is no multiple of a cluster or sector" {
  seq 1 100000 | head -c 100001 >base.raw
  overlay top.qcow2 base.raw raw 1M
  run -0 imgtool convert top.qcow2 got.raw
  cmp -n 100001 base.raw got.raw
  [[ $(stat -c %s got.raw) == 1048576 ]]
  cmp <(tail -c +100002 got.raw) <(head -c $((1048576 - 100001)) /dev/zero)
}

@test "names are relative to the image that has them" {
  mkdir -p below/base
  qemu-img create -q -f raw below/base/base.raw 1M
  qemu-io -f raw -c "write -P 1 0 64k" below/base/base.raw >/dev/null
  for name in base/base.raw "$DIR/below/base/base.raw" file:base/base.raw ./base/../base/base.raw \
    'json:{"driver":"raw","file":{"driver":"file","filename":"base/base.raw"}}' \
    'json:{"driver":"raw","file.filename":"base/base.raw"}'; do
    rm -f below/top.qcow2
    overlay below/top.qcow2 "$name" raw 1M
    rm -f got.raw
    run -0 --separate-stderr imgtool convert below/top.qcow2 got.raw
    expect_no_message
    cmp below/base/base.raw got.raw
  done
}

@test "external data files, raw ones too, from any folder" {
  mkdir images
  for raw in on off; do
    (cd images && qemu-img create -q -f qcow2 -o data_file=data.$raw,data_file_raw=$raw top.$raw 3M &&
      qemu-io -f qcow2 -c "write -P 1 0 100k" -c "write -z 64k 64k" -c "write -P 2 2M 1M" top.$raw >/dev/null &&
      qemu-img convert -f qcow2 -O raw top.$raw "../want.$raw")
    run -0 --separate-stderr imgtool convert -f qcow2 images/top.$raw got.raw
    expect_no_message
    cmp want.$raw got.raw
    rm got.raw
    truncate -s 2M images/data.$raw
    run -1 --separate-stderr imgtool convert -f qcow2 images/top.$raw got.raw
    expect_message "'images/data.$raw' is truncated: guest offset "
    [[ ! -e got.raw ]]
  done
}

@test "internal snapshots: by ID, by name, by both" {
  qemu-img create -q -f qcow2 disk.qcow2 2M
  for n in 1 2 3; do
    qemu-io -f qcow2 -c "write -P $n 0 300k" -c "write -P $n ${n}00k 5k" disk.qcow2 >/dev/null
    qemu-img snapshot -c "state $n" disk.qcow2
    qemu-img convert -f qcow2 -O raw disk.qcow2 want$n.raw
  done
  qemu-io -f qcow2 -c "discard 0 2M" disk.qcow2 >/dev/null
  for n in 1 2 3; do
    for key in $n "state $n" snapshot.id=$n "snapshot.name=state $n" "snapshot.id=$n,snapshot.name=state $n"; do
      run -0 --separate-stderr imgtool convert -l "$key" disk.qcow2 got.raw
      expect_no_message
      cmp want$n.raw got.raw
    done
  done
  rm got.raw
  for key in 4 "snapshot.id=1,snapshot.name=state 2" ''; do
    refused disk.qcow2 "'disk.qcow2' has no snapshot '$key'" -- -l "$key"
  done
  refused disk.qcow2 "unknown key 'snapshot.x' in -l" -- -l snapshot.x=y
  make_raw disk.raw
  refused disk.raw "'disk.raw' is raw, which cannot hold snapshots" -- -l 1
}

@test "what is no file name is refused" {
  make_raw secret.raw
  n=0
  for name in nbd:unix:/x nbd://localhost/x fd:0 http://localhost/x blkdebug::secret.raw fat:/tmp \
    'json:{"driver":"raw","file":{"driver":"nbd","host":"x"}}' 'json:{"driver":"vmdk","file.filename":"secret.raw"}' \
    'json:{"driver":"raw","offset":"512","file.filename":"secret.raw"}' 'json:{' json:7 file:; do
    overlay top.qcow2 "$name" raw 1M
    refused top.qcow2 "'top.qcow2' names '" "' as its backing file, which is not followed: "
    rm top.qcow2
  done
  for name in /proc/self/fd/0 /proc/ /dev/fd /dev/fd/0 /dev/stdin /dev/fdset/1 ./../../../../../proc/self/environ; do
    overlay top.qcow2 "$name" raw 1M
    refused top.qcow2 "which is not followed: that is no file, but something of this process" --  <secret.raw
    rm top.qcow2
  done
  ln -s /dev/stdin link
  overlay top.qcow2 link raw 1M
  refused top.qcow2 "cannot open 'link': Too many levels of symbolic links" -- <secret.raw
}

@test "what is no regular file is refused at once" {
  mkfifo fifo
  mkdir folder
  for name in fifo folder /dev/zero; do
    rm -f top.qcow2
    overlay top.qcow2 "$name" raw 1M
    refused top.qcow2 "the backing file of 'top.qcow2': cannot open '$name': it is a"
    rm -f data.qcow2 x
    qemu-img create -q -f qcow2 -o data_file=x data.qcow2 1M
    rm x
    ln -s "$name" x
    refused data.qcow2 "the data file of 'data.qcow2': cannot open 'x': it is a" -- --allow-data-file
  done
}

@test "chains that lead back, and chains without end" {
  overlay self.qcow2 ./self.qcow2 qcow2 1M
  refused self.qcow2 "the backing file of 'self.qcow2' leads back to a file of the same chain"
  overlay a.qcow2 b.qcow2 qcow2 1M
  overlay b.qcow2 ./a.qcow2 qcow2 1M
  refused a.qcow2 "the backing file of 'b.qcow2' leads back to a file of the same chain: './a.qcow2'"
  overlay h.qcow2 hard.qcow2 qcow2 1M
  ln h.qcow2 hard.qcow2
  refused h.qcow2 "leads back"

  qemu-img create -q -f qcow2 1.qcow2 1M
  qemu-io -f qcow2 -c "write -P 1 0 64k" 1.qcow2 >/dev/null
  for ((i = 2; i <= 65; i++)); do
    overlay $i.qcow2 $((i - 1)).qcow2 qcow2 1M
  done
  run -0 imgtool convert 64.qcow2 got.raw
  cmp <(qemu-img convert -O raw 1.qcow2 want.raw; cat want.raw) got.raw
  rm got.raw
  refused 65.qcow2 "the chain of backing files is longer than 64 images"
}

@test "a data file outside the image's folder, and devices" {
  mkdir images elsewhere
  (cd images && qemu-img create -q -f qcow2 -o data_file=../elsewhere/data.raw top.qcow2 1M)
  mv images/elsewhere elsewhere 2>/dev/null || :
  [[ -e elsewhere/data.raw ]] || truncate -s 1M elsewhere/data.raw
  refused images/top.qcow2 "it is not in the folder of the image; --allow-data-file permits that"
  run -0 imgtool convert --allow-data-file images/top.qcow2 got.raw
  rm got.raw
  ln -s ../elsewhere/data.raw images/link.raw
  (cd images && qemu-img create -q -f qcow2 -o data_file=link.raw link.qcow2 1M)
  refused images/link.qcow2 "it is not in the folder of the image"

  require root loop
  make_raw base.raw 1M
  make_loop base.raw
  overlay top.qcow2 "$LOOP" raw 1M
  refused top.qcow2 "it is a block device; --allow-devices permits that"
  run -0 imgtool convert --allow-devices top.qcow2 got.raw
  cmp base.raw got.raw
}

@test "a format that was only found by looking is not followed anywhere" {
  make_raw base.raw 1M
  qemu-io -f raw -c "write -P 1 0 64k" base.raw >/dev/null
  overlay disk.img base.raw raw 1M
  refused disk.img "'disk.img' looks like qcow2 and names the backing file 'base.raw'" "-f qcow2" "-f raw"
  run -0 --separate-stderr imgtool convert -f qcow2 disk.img got.raw
  cmp base.raw got.raw
  run -0 imgtool convert -f raw disk.img got.raw
  cmp disk.img got.raw
  rm got.raw
  # Without references there is nothing to follow.
  qemu-img create -q -f qcow2 alone.img 1M
  run -0 imgtool convert alone.img got.raw
  rm got.raw

  # The same one level down.
  mv disk.img middle.img
  qemu-img create -q -f qcow2 -u -b middle.img top.qcow2 1M 2>/dev/null ||
    { overlay top.qcow2 middle.img qcow2 1M && forget_format top.qcow2; }
  refused top.qcow2 "'top.qcow2' does not say what format its backing file 'middle.img' has"
}

# forget_format FILE: turn the extension with the format of the backing file into an unknown one
forget_format() {
  perl -0777 -pi -e 's/\xe2\x79\x2a\xca/\x11\x22\x33\x44/' "$1"
}

@test "a base without a recorded format is looked at" {
  make_raw base.raw 1M
  qemu-io -f raw -c "write -P 1 0 64k" base.raw >/dev/null
  overlay top.qcow2 base.raw raw 1M
  forget_format top.qcow2
  run -0 imgtool convert top.qcow2 got.raw
  cmp base.raw got.raw
}

@test "every file of the chain is locked as QEMU would, and nobody may be writing" {
  make_raw base.raw 1M
  overlay middle.qcow2 base.raw raw 1M
  overlay top.qcow2 middle.qcow2 qcow2 1M
  for file in base.raw middle.qcow2; do
    hold_qemu vm -name web01 -drive "file=$file,format=${file#*.},if=virtio"
    refused top.qcow2 "the backing file of '" "cannot open '$file': Failed to get shared \"" \
      "(pid ${PID[vm]}, VM web01)"
    run -0 imgtool convert -U top.qcow2 got.raw
    rm got.raw
    stop vm
  done
  # Two readers of one chain do not mind each other.
  hold_io reader -r top.qcow2
  run -0 imgtool convert top.qcow2 got.raw
}

@test "the target is none of the files behind the source" {
  make_raw base.raw 1M
  overlay top.qcow2 base.raw raw 1M
  run -1 --separate-stderr imgtool convert top.qcow2 base.raw
  expect_message "the source 'base.raw' and the target 'base.raw' are the same file"
  run -1 --separate-stderr imgtool convert -n top.qcow2 base.raw
  expect_message "same file"
}
