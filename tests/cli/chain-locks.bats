#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status and lock with --backing-chain: every file of a chain, beside QEMU, which has it open.

load lib

# overlay NAME BASE FORMAT [create's options]: with the name as it is, base or not
overlay() {
  qemu-img create -q -f qcow2 -u -b "$2" -F "$3" "${@:4}" "$1" 4M
}

# make_chain: top.qcow2 over middle.qcow2, whose content is in middle.data, over base.raw
make_chain() {
  make_raw base.raw
  overlay middle.qcow2 base.raw raw
  overlay top.qcow2 middle.qcow2 qcow2
}

# ranges OPTIONS...: which bytes of which file are locked, as lock-status tells
ranges() {
  imgtool lock-status -b -n -o IMAGE,RANGES "$@" 2>/dev/null || (($? == 1))
}

@test "the chain of a virtual machine: an answer for each file, and the worst is the exit status" {
  make_chain
  json_status 0 -b top.qcow2
  expect '[.images[] | [.filename, .role, .named_by, .status]] == [
    ["top.qcow2", "image", null, "free"],
    ["middle.qcow2", "backing file", "top.qcow2", "free"],
    ["base.raw", "backing file", "middle.qcow2", "free"]]'
  hold_qemu vm -name web01 -drive file=top.qcow2,if=virtio
  json_status 1 -b top.qcow2
  expect '[.images[].status] == ["in-use", "in-use", "in-use"]' \
    '[.images[].holders[].processes[].pid] == [$pids.vm, $pids.vm, $pids.vm]' \
    '[.images[].uses.read.verdict] == ["blocked", "possible", "possible"]'
  # Without the option only the image itself, and no members about a chain.
  json_status 1 top.qcow2
  expect '.images | length == 1 and (.[0] | has("role") | not)'
  run -1 imgtool lock-status -b top.qcow2
  expect_text $'middle.qcow2: in use: qemu-system-x86' $'\n  it is the backing file of top.qcow2\n' \
    $'\n  it is the backing file of middle.qcow2\n'
  run -1 imgtool lock-status -qb top.qcow2
  [[ -z $output ]]
}

@test "only the file at the end is in use" {
  make_chain
  hold_qemu vm -drive file=base.raw,format=raw,if=virtio
  run -0 imgtool lock-status -q top.qcow2
  run -1 imgtool lock-status -qb top.qcow2
  json_status 1 -b top.qcow2
  expect '[.images[].status] == ["free", "free", "in-use"]'
}

@test "--for asks of what is behind the image only what QEMU does with it" {
  make_chain
  hold_qemu other -drive file=top.qcow2,if=virtio
  overlay second.qcow2 middle.qcow2 qcow2
  # Two machines share what is behind their disks.
  run -0 imgtool lock-status -b --for=vm second.qcow2
  expect_text "second.qcow2: possible: start a VM" "middle.qcow2: possible: read"
  run -1 imgtool lock-status -b --for=vm middle.qcow2
  expect_text "middle.qcow2: blocked: start a VM"
  hold_qemu mine -drive file=second.qcow2,if=virtio
  stop mine
  stop other
  hold_qemu writer -drive file=base.raw,format=raw,if=virtio
  run -1 imgtool lock-status -b --for=vm second.qcow2
  expect_text "second.qcow2: possible: start a VM" "base.raw: blocked: read"
}

@test "what is locked is what a virtual machine locks, data files too" {
  make_raw base.raw
  overlay middle.qcow2 base.raw raw -o data_file=middle.data
  overlay top.qcow2 middle.qcow2 qcow2 -o data_file=top.data
  hold_qemu vm -drive file=top.qcow2,if=virtio
  want=$(ranges top.qcow2)
  stop vm
  [[ $(grep -c 100 <<<"$want") == 5 ]]
  got=$(imgtool lock --write -b top.qcow2 -- "$IMGTOOL" lock-status -b -n -o IMAGE,RANGES top.qcow2) || :
  diff <(echo "$want") <(echo "$got")

  hold_qemu vm -drive file=top.qcow2,if=virtio,read-only=on
  want=$(ranges top.qcow2)
  stop vm
  got=$(imgtool lock -b top.qcow2 -- "$IMGTOOL" lock-status -b -n -o IMAGE,RANGES top.qcow2) || :
  diff <(echo "$want") <(echo "$got")
}

@test "a guard of a chain keeps QEMU from every file of it, and only as far as needed" {
  make_chain
  overlay second.qcow2 middle.qcow2 qcow2
  run -0 imgtool lock --write -b top.qcow2 -- sh -c '
    for file in top.qcow2 middle.qcow2 base.raw; do
      qemu-io -f "${file#*.}" -c "write 0 512" "$file" 2>&1 && exit 1
    done
    qemu-io -f qcow2 -c "write 0 512" second.qcow2'
  [[ $(grep -c 'Failed to get' <<<"$output") == 3 ]]
  # Without the option the base can be written to.
  run -0 imgtool lock --write top.qcow2 -- qemu-io -f raw -c "write 0 512" base.raw
}

@test "a chain that is in use is not locked, and nothing is run" {
  make_chain
  hold_qemu vm -name web01 -drive file=base.raw,format=raw,if=virtio
  run -124 --separate-stderr imgtool lock -b top.qcow2 -- touch ran
  expect_message "cannot open 'base.raw'" "(pid ${PID[vm]}, VM web01)"
  [[ ! -e ran ]]
  run -0 imgtool lock top.qcow2 -- true
  # It can be waited for.
  (sleep 1; exec kill "${PID[vm]}") 3>&- &
  run -0 imgtool lock --wait=20 -b top.qcow2 -- touch ran
  [[ -e ran ]]
}

@test "chains that share files, in any order, do not lock each other up" {
  make_chain
  overlay second.qcow2 middle.qcow2 qcow2
  local -a pids=()
  for i in 1 2 3 4 5 6 7 8; do
    images=(top.qcow2 second.qcow2 base.raw)
    ((i % 2)) && images=(base.raw second.qcow2 top.qcow2)
    timeout 50 "$IMGTOOL" lock --wait=40 --read -b "${images[@]}" -- sleep 0.05 3>&- &
    pids+=($!)
    timeout 50 "$IMGTOOL" lock --wait=40 --write base.raw -- sleep 0.01 3>&- &
    pids+=($!)
    timeout 50 "$IMGTOOL" lock --wait=40 --write -b top.qcow2 -- sleep 0.01 3>&- &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    wait "$pid"
  done
}

@test "one file cannot be written to and be behind another image" {
  make_chain
  run -125 --separate-stderr imgtool lock --write -b top.qcow2 middle.qcow2 -- true
  expect_message "'middle.qcow2' cannot be locked both for itself and as what is behind another image"
  run -0 imgtool lock -b top.qcow2 middle.qcow2 base.raw top.qcow2 -- true
}

@test "imgtool inside a guard of the chain works with its locks" {
  make_chain
  run -0 imgtool lock --write -b top.qcow2 -- "$IMGTOOL" convert top.qcow2 copy.raw
  [[ -s copy.raw ]]
}

@test "a chain that was changed while it was waited for is looked for again" {
  make_chain
  make_raw other.raw
  hold_qemu vm -drive file=middle.qcow2,if=virtio
  start guard "$IMGTOOL" lock --wait=30 -b top.qcow2 -- sh -c "echo ready; exec sleep 30"
  # What it waits for is the image in use. Which of the others it has opened and locked before that
  # is a matter of the order of inode numbers.
  wait_for 30 has_open "${PID[guard]}" middle.qcow2
  sleep 0.3
  overlay new.qcow2 other.raw raw
  mv new.qcow2 top.qcow2
  stop vm
  says guard '^ready'
  run -1 imgtool lock-status -q other.raw
  run -0 imgtool lock-status -q base.raw
}

@test "what may not be followed is unknown, and locks nothing" {
  make_raw base.raw
  local -a refusals=(nbd:unix:/x 'which is not followed' /proc/self/mem 'something of this process'
    gone.raw 'No such file or directory' ./top.qcow2 'leads back to a file of the same chain')
  for ((n = 0; n < ${#refusals[@]}; n += 2)); do
    rm -f top.qcow2
    overlay top.qcow2 "${refusals[n]}" raw
    run -2 --separate-stderr imgtool lock-status -b top.qcow2
    expect_message "${refusals[n + 1]}"
    expect_text "top.qcow2: free"
    json_status 2 -b top.qcow2
    expect '[.images[].status] == ["free", "unknown"]' \
      ".images[1] | .filename == \"${refusals[n]}\" and (.error | contains(\"${refusals[n + 1]}\"))"
    run -125 --separate-stderr imgtool lock -b top.qcow2 -- touch ran
    expect_message "${refusals[n + 1]}"
    [[ ! -e ran ]]
  done
  mkfifo fifo
  rm top.qcow2
  overlay top.qcow2 fifo raw
  run -2 --separate-stderr timeout 5 "$IMGTOOL" lock-status -b top.qcow2
  expect_message "it is a FIFO"
  run -125 --separate-stderr timeout 5 "$IMGTOOL" lock -b top.qcow2 -- true
}

@test "a format that was only found by looking is not followed" {
  make_chain
  mv top.qcow2 disk.img
  run -2 --separate-stderr imgtool lock-status -b disk.img
  expect_message "'disk.img' looks like qcow2 and names the backing file 'middle.qcow2'" "-f qcow2"
  run -125 --separate-stderr imgtool lock -b disk.img -- true
  expect_message "-f qcow2"
  json_status 0 -b -f qcow2 disk.img
  expect '.images | length == 3'
  run -0 imgtool lock -b -f qcow2 disk.img -- true
  json_status 0 -b -f raw disk.img
  expect '.images | length == 1'
}

@test "--image-opts: the format and the locking are those of the image's name" {
  make_chain
  mv top.qcow2 disk.img
  json_status 0 -b --image-opts driver=qcow2,file.filename=disk.img,file.locking=off
  expect '[.images[] | [.filename, .locking]] == [["disk.img", "off"], ["middle.qcow2", "off"], ["base.raw", "off"]]'
  run -1 imgtool lock -b --image-opts driver=qcow2,file.filename=disk.img -- "$IMGTOOL" lock-status -n -o IMAGE,STATUS -b -f qcow2 disk.img
  expect_text "base.raw"
}

@test "files that are no images of a chain, and files that cannot be looked into" {
  run -2 --separate-stderr imgtool lock-status -b gone.qcow2
  [[ $stderr == "imgtool: cannot open 'gone.qcow2': No such file or directory" ]]
  qemu-img create -q -f vmdk disk.vmdk 1M
  run -2 --separate-stderr imgtool lock-status -b disk.vmdk
  expect_text "disk.vmdk: free"
  expect_message "'disk.vmdk' looks like vmdk, which is not supported yet"
  run -2 --separate-stderr imgtool lock-status --all -b
  expect_message "--all takes no image, and neither --backing-chain"
  exec 9<>disk.vmdk
  run -125 --separate-stderr imgtool lock --fd=9 -b
  expect_message "--fd takes one image at most, no --backing-chain, and no command"
}

@test "block devices behind an image in a file" {
  require root loop
  make_raw base.raw
  make_loop base.raw
  overlay top.qcow2 "$LOOP" raw
  run -2 --separate-stderr imgtool lock-status -b top.qcow2
  expect_message "it is a block device; --allow-devices permits that"
  run -1 --separate-stderr imgtool info -b top.qcow2
  expect_message "it is a block device; --allow-devices permits that"
  run -0 imgtool info --allow-devices -b top.qcow2
  json_status 0 -b --allow-devices top.qcow2
  expect ".images[1].filename == \"$LOOP\""
  run -0 imgtool lock -b --allow-devices top.qcow2 -- true
}

@test "a data file outside the image's folder" {
  mkdir images
  overlay images/top.qcow2 "$DIR/base.raw" raw -o data_file="$DIR/data.raw"
  make_raw base.raw
  [[ -e data.raw ]] || make_raw data.raw
  run -2 --separate-stderr imgtool lock-status -b images/top.qcow2
  expect_message "it is not in the folder of the image; --allow-data-file permits that"
  json_status 0 -b --allow-data-file images/top.qcow2
  expect '[.images[].role] == ["image", "data file", "backing file"]'
  run -0 imgtool lock -b --allow-data-file images/top.qcow2 -- true
}
