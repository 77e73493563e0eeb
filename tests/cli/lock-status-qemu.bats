#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status and QEMU's own programs: each way to hold an image, named and put into words.

load lib

CR='"consistent read"'

@test "a VM that writes to a raw disk" {
  make_raw disk.raw
  hold_qemu vm -name web01 -drive file=disk.raw,format=raw,if=virtio

  json_status 1 disk.raw
  expect_no_message
  expect '.schema == 1' 'image.status == "in-use"' 'image.format == "raw"' \
    'image.probes == ["F_GETLK", "F_OFD_GETLK"]' 'holders | length == 1'
  expect_holder vm "{kind: \"lock\", lock: \"OFD\", style: \"qemu\", uses: [$CR, \"write\"],
    forbids: [\"write\"], mode: \"read-write\", identified: true,
    ranges: [{type: \"read\", start: 100, end: 101}, {type: \"read\", start: 201, end: 201}]}"
  expect 'permission("write") | .used and .forbidden' \
    'permission("resize") | (.used or .forbidden) | not'
  expect_uses vm possible=info,check blocked=repair,convert-from,convert-to,vm,vm-read-only \
    blocked=read,write
}

@test "its process is described: pid, command, command line, user, start, name, descriptor" {
  make_raw disk.raw
  hold_qemu vm -name web01 -drive file=disk.raw,format=raw,if=virtio

  json_status 1 disk.raw
  expect 'of("vm")[0].processes | length == 1'
  process='of("vm")[0].processes[0]'
  expect "$process.command == \"$(cat "/proc/${PID[vm]}/comm")\"" \
    "$process.cmdline[0] | endswith(\"$QEMU\")" "$process.cmdline | index(\"web01\")" \
    "$process.user == $(my_name | jq -R . | grep . || echo null)" "$process.uid == $(id -u)" "$process.vm_name == \"web01\"" \
    "$process.start_time | fromdateiso8601 | (now - .) >= -2 and (now - .) < 120"
  fd=$(jq '.images[0].holders[0].processes[0].fds[0]' <<<"$output")
  [[ "/proc/${PID[vm]}/fd/$fd" -ef disk.raw ]]
}

@test "the name of a VM: -name guest=, with more behind it, and none" {
  make_raw disk.raw
  hold_qemu vm -name guest=db02,debug-threads=on -drive file=disk.raw,format=raw,if=virtio
  json_status 1 disk.raw
  expect 'of("vm")[0].processes[0].vm_name == "db02"'
  stop vm

  hold_qemu vm -name "db03,process=proc-name" -drive file=disk.raw,format=raw,if=virtio
  json_status 1 disk.raw
  expect 'of("vm")[0].processes[0].vm_name == "db03"'
  stop vm

  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio
  json_status 1 disk.raw
  expect 'of("vm")[0].processes[0] | has("vm_name") and .vm_name == null'
}

@test "a VM that only reads a raw disk" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio,readonly=on

  json_status 1 disk.raw
  expect_holder vm "{kind: \"lock\", lock: \"OFD\", style: \"qemu\", uses: [$CR],
    forbids: [\"write\"], mode: \"read-only\"}"
  expect_uses vm possible=info,check,convert-from,read,vm-read-only \
    blocked=repair,convert-to,write,vm
}

@test "a shared raw disk, share-rw=on" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=none,id=d \
    -device virtio-blk-pci,drive=d,share-rw=on

  json_status 1 disk.raw
  expect_holder vm "{kind: \"lock\", uses: [$CR, \"write\"], forbids: [], mode: \"read-write\"}"
  expect_uses vm possible=info,check blocked=repair,convert-from,convert-to,vm,vm-read-only \
    blocked=read,write
}

@test "a read-only disk with share-rw=on leaves all but a lone writer's place free" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=none,id=d,readonly=on \
    -device virtio-blk-pci,drive=d,share-rw=on

  json_status 1 disk.raw
  expect_holder vm "{kind: \"lock\", uses: [$CR], forbids: [], mode: \"read-only\"}"
  expect_uses vm "possible=$ALL_USES"
}

@test "snapshot=on: the image itself is only read" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio,snapshot=on

  json_status 1 disk.raw
  expect_holder vm "{kind: \"lock\", uses: [$CR], forbids: [\"write\", \"resize\"],
    mode: \"read-only\"}"
  expect_uses vm possible=info,check,convert-from,read,vm-read-only \
    blocked=repair,convert-to,write,vm
}

@test "locking=off: a writer without any lock is found, and nothing is safe that needs peace" {
  make_raw disk.raw
  hold_qemu vm -name ghost -drive file=disk.raw,format=raw,if=virtio,file.locking=off

  json_status 1 disk.raw
  expect 'image.status == "in-use"' 'image.no_writers_proven == false'
  expect_holder vm '{kind: "opener", lock: null, style: null, uses: [], forbids: [], ranges: [],
    mode: "read-write"}'
  expect 'of("vm")[0].processes[0].vm_name == "ghost"'
  expect 'all(image.permissions[]; (.used or .forbidden) | not)'
  expect_uses vm unsafe=repair,convert-from,convert-to,vm,vm-read-only,read,write
}

@test "without OFD locks and with locking=on, QEMU loses its locks: a writer without any" {
  make_raw disk.raw
  QEMU_WRAPPER=("$TOOLS/without-locks" ofd)
  hold_qemu vm -name posix -drive file=disk.raw,format=raw,if=virtio,file.locking=on
  grep -q "falling back to POSIX" "$HOLD/vm.err"
  refute grep -qs ^lock: "/proc/${PID[vm]}/fdinfo/"*

  json_status 1 disk.raw
  expect_holder vm '{kind: "opener", lock: null, mode: "read-write"}'
  expect_uses vm unsafe=convert-from,convert-to,vm
}

@test "a VM with an image read-only and no lock does not make it in use" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio,readonly=on,file.locking=off

  json_status 0 disk.raw
  expect 'image.status == "free"'
  expect_holder vm '{kind: "opener", lock: null, mode: "read-only"}'
  expect_uses vm "possible=$ALL_USES"
}

@test "a VM that writes to a qcow2 disk" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name web01 -drive file=disk.qcow2,format=qcow2,if=virtio

  json_status 1 disk.qcow2
  expect 'image.format == "qcow2"'
  expect_holder vm "{kind: \"lock\", lock: \"OFD\", style: \"qemu\",
    uses: [$CR, \"write\", \"resize\"], forbids: [\"write\", \"resize\"], mode: \"read-write\"}"
  expect_uses vm "blocked=$ALL_USES"
}

@test "a VM that only reads a qcow2 disk" {
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio,readonly=on

  json_status 1 disk.qcow2
  expect_holder vm "{kind: \"lock\", uses: [$CR], forbids: [\"write\", \"resize\"],
    mode: \"read-only\"}"
  expect_uses vm possible=info,check,convert-from,read,vm-read-only \
    blocked=repair,convert-to,write,vm
}

@test "share-rw does not help a qcow2 disk" {
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=none,id=d \
    -device virtio-blk-pci,drive=d,share-rw=on

  json_status 1 disk.qcow2
  expect_uses vm "blocked=$ALL_USES"
}

@test "-f raw judges a qcow2 file as the raw bytes that it also is" {
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio

  json_status 1 -f raw disk.qcow2
  expect 'image.format == "raw"'
  expect_uses vm possible=info,check blocked=repair,vm
}

@test "overlay and backing file: the one is written to, the other one read" {
  make_qcow2 base.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
  hold_qemu vm -drive file=top.qcow2,format=qcow2,if=virtio

  json_status 1 base.qcow2 top.qcow2
  expect '.images | length == 2' '.images[0].filename == "base.qcow2"' \
    '.images[0].holders[0] | .forbids == ["write", "resize"] and .mode == "read-only"' \
    '.images[1].holders[0] | .uses == ["consistent read", "write", "resize"]' \
    '.images[0].holders[0].processes[0].pid == .images[1].holders[0].processes[0].pid'
}

@test "the storage daemon: qcow2, and raw with a writable export" {
  make_qcow2 disk.qcow2
  make_raw disk.raw
  hold_daemon daemon --blockdev driver=file,filename=disk.qcow2,node-name=f \
    --blockdev driver=qcow2,file=f,node-name=d \
    --blockdev driver=file,filename=disk.raw,node-name=r \
    --nbd-server "addr.type=unix,addr.path=$HOLD/export.sock" \
    --export type=nbd,id=e,node-name=r,writable=on

  json_status 1 disk.qcow2
  expect_holder daemon "{lock: \"OFD\", style: \"qemu\", uses: [$CR, \"write\", \"resize\"],
    forbids: [\"write\", \"resize\"]}"
  expect 'of("daemon")[0].processes[0].vm_name == null'
  json_status 1 disk.raw
  expect_holder daemon "{kind: \"lock\", uses: [$CR, \"write\"], forbids: [\"resize\"]}"
  expect_uses daemon possible=info,check blocked=repair,convert-from,convert-to,vm-read-only
}

@test "qemu-io, reading and writing" {
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  json_status 1 disk.qcow2
  expect_holder io "{lock: \"OFD\", style: \"qemu\", uses: [$CR, \"write\", \"resize\"]}"
  expect_uses io "blocked=$ALL_USES"
  stop io

  hold_io io -r disk.qcow2
  json_status 1 disk.qcow2
  expect_holder io "{uses: [$CR], forbids: [\"write\", \"resize\"], mode: \"read-only\"}"
  stop io

  hold_io io -r -U disk.qcow2
  json_status 1 disk.qcow2
  expect_holder io "{uses: [$CR], forbids: []}"
  expect_uses io "possible=$ALL_USES"
}

@test "qemu-nbd, writing and reading" {
  make_raw disk.raw
  hold_nbd nbd -f raw disk.raw
  json_status 1 disk.raw
  expect_holder nbd "{kind: \"lock\", uses: [$CR, \"write\"], forbids: [\"resize\"]}"
  stop nbd

  hold_nbd nbd -r -f raw disk.raw
  json_status 1 disk.raw
  expect_holder nbd "{kind: \"lock\", uses: [$CR], forbids: [\"resize\"], mode: \"read-only\"}"
  # It minds nobody who only writes; imgtool's own writers also resize.
  expect_uses nbd possible=info,check,convert-from,vm,vm-read-only blocked=repair,convert-to
}

@test "two readers: both are listed for the bytes that they share" {
  make_qcow2 disk.qcow2
  hold_io first -r disk.qcow2
  hold_qemu second -name reader2 -drive file=disk.qcow2,format=qcow2,if=virtio,readonly=on

  json_status 1 disk.qcow2
  expect 'holders | length == 2'
  expect_holder first "{uses: [$CR], forbids: [\"write\", \"resize\"]}"
  expect_holder second "{uses: [$CR], forbids: [\"write\", \"resize\"]}"
  expect 'image.uses.write.pids | sort == ([$pids.first, $pids.second] | sort)'
}

@test "when the VM is gone the image is free" {
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio
  json_status 1 disk.qcow2
  stop vm

  json_status 0 disk.qcow2
  expect 'image.status == "free"' 'holders == []'
  expect_uses vm "possible=$ALL_USES"
}

@test "a live snapshot turns the old image read-only, which shows" {
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio,id=d0
  tell vm '{"execute":"blockdev-snapshot-sync","id":"snap","arguments":{"device":"d0",
"snapshot-file":"new.qcow2","format":"qcow2"}}'
  says vm '"id": "snap"'

  json_status 1 disk.qcow2
  expect_holder vm "{uses: [$CR], forbids: [\"write\", \"resize\"]}"
  json_status 1 new.qcow2
  expect_holder vm "{uses: [$CR, \"write\", \"resize\"]}"
}
