#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status and locks of other shapes than QEMU's: whose dialect it is, what it means for an
# image, and who of several processes has it.

load lib

setup_image() {
  make_raw disk.raw
}

@test "libvirt's lock on byte 0, by virtlockd" {
  setup_image
  hold_locks daemon --posix --write-lock disk.raw 0 1

  json_status 1 disk.raw
  expect_holder daemon '{kind: "lock", lock: "POSIX", style: "libvirt", uses: [], forbids: [],
    ranges: [{type: "write", start: 0, end: 0}]}'
  # QEMU's bytes are free, so no program that goes by them is kept out; but who has the lease may
  # well write.
  expect_uses daemon possible=info,check \
    unsafe=repair,convert-from,convert-to,vm,vm-read-only,read,write
}

@test "libvirt's shared lock on byte 0 is one of readers" {
  setup_image
  hold_locks daemon --posix --read-only disk.raw 0 1

  json_status 1 disk.raw
  expect_holder daemon '{lock: "POSIX", style: "libvirt", ranges: [{type: "read", start: 0, end: 0}]}'
  expect_uses daemon "possible=$ALL_USES"
}

@test "libvirt's lock on byte 1, while it changes metadata" {
  setup_image
  hold_locks daemon --posix --write-lock disk.raw 1 1

  json_status 1 disk.raw
  expect_holder daemon '{lock: "POSIX", style: "libvirt", ranges: [{type: "write", start: 1, end: 1}]}'
}

@test "a lock over the whole file, as Cloud Hypervisor took it first" {
  setup_image
  hold_locks vmm --write-lock disk.raw 0 0

  json_status 1 disk.raw
  expect_holder vmm '{kind: "lock", lock: "OFD", style: "whole-file",
    ranges: [{type: "write", start: 0, end: null}]}'
  expect_uses vmm possible=info blocked=check,repair,convert-from,convert-to,vm,vm-read-only,read
}

@test "a lock from 0 to the file's size, as Cloud Hypervisor took it next" {
  setup_image
  hold_locks vmm --write-lock disk.raw 0 size

  json_status 1 disk.raw
  expect_holder vmm '{kind: "lock", lock: "OFD", style: "file-size",
    ranges: [{type: "write", start: 0, end: 4194303}]}'
  expect_uses vmm possible=info blocked=check,repair,convert-from,convert-to,vm,vm-read-only
}

@test "QEMU's bytes, as Cloud Hypervisor takes them now" {
  setup_image
  cp "$TOOLS/locker" cloud-hypervisor
  start vmm ./cloud-hypervisor disk.raw 100 2 201 1
  says vmm '^ready '
  json_status 1 disk.raw
  expect_holder vmm '{kind: "lock", style: "cloud-hypervisor", uses: ["consistent read", "write"],
    forbids: ["write"]}'
  expect_uses vmm possible=info,check blocked=vm,convert-from
}

@test "a shared lock over the whole file: every permission is used and forbidden" {
  setup_image
  hold_locks vmm --read-only disk.raw 0 0

  json_status 1 disk.raw
  expect_holder vmm '{style: "whole-file", ranges: [{type: "read", start: 0, end: null}]}'
  expect 'all(image.permissions[]; .used and .forbidden)'
  expect_uses vmm possible=info blocked=check,convert-from,vm
}

@test "a shape of nobody that is known" {
  setup_image
  hold_locks stranger --read-only disk.raw 4096 4096 1000000 10

  json_status 1 disk.raw
  expect_holder stranger '{kind: "lock", style: "unknown", uses: [], forbids: [], ranges:
    [{type: "read", start: 4096, end: 8191}, {type: "read", start: 1000000, end: 1000009}]}'
  expect_uses stranger "possible=$ALL_USES"
  stop stranger

  hold_locks stranger --read-write disk.raw 4096 4096
  json_status 1 disk.raw
  expect_uses stranger possible=info,check unsafe=convert-from,convert-to,vm
}

@test "a lock far behind the end of the file is found too" {
  setup_image
  hold_locks stranger disk.raw 9223372036854775806 1
  json_status 1 disk.raw
  expect_holder stranger '{ranges: [{type: "read", start: 9223372036854775806,
    end: 9223372036854775806}]}'
}

@test "a write lock of a stranger on one of QEMU's bytes blocks whoever needs that byte" {
  setup_image
  hold_locks stranger --write-lock disk.raw 201 1

  # Also those who only read: they lock the same byte to keep writers away, and cannot.
  json_status 1 disk.raw
  expect_uses stranger possible=info,check \
    blocked=repair,convert-to,vm,write,convert-from,read,vm-read-only
  run -1 qemu-img convert -f raw -O raw disk.raw out.raw
  expect_text "Failed to lock byte 201"
}

@test "QEMU's bytes, held by a POSIX lock" {
  setup_image
  hold_locks other --posix disk.raw 100 2 201 1

  json_status 1 disk.raw
  expect_holder other '{kind: "lock", lock: "POSIX", style: "qemu",
    uses: ["consistent read", "write"], forbids: ["write"]}'
}

@test "every permission has its name, and the two bytes of graph mod count" {
  setup_image
  hold_locks all disk.raw 100 5 200 5
  json_status 1 disk.raw
  names='["consistent read", "write", "write unchanged", "resize", "graph mod"]'
  expect "[image.permissions[].name] == $names" 'all(image.permissions[]; .used and .forbidden)'
  expect_holder all "{uses: $names, forbids: $names, style: \"qemu\"}"
  stop all

  hold_locks none disk.raw 105 95 205 1
  json_status 1 disk.raw
  expect 'all(image.permissions[]; (.used or .forbidden) | not)'
  expect_holder none '{uses: [], forbids: [], style: "unknown"}'
}

@test "flock, shared and exclusive, from flock(1) itself" {
  setup_image
  start user flock --no-fork --shared disk.raw sleep 600
  wait_for 10 grep -qs 'lock:.*FLOCK' "/proc/${PID[user]}/fdinfo/3"

  json_status 1 disk.raw
  expect 'holders | length == 1' \
    'holders[0] | .kind == "lock" and .lock == "flock" and .uses == [] and .forbids == []' \
    'any(holders[0].processes[]; .pid == $pids.user)'
  expect_uses user "possible=$ALL_USES"
  stop user

  hold_locks user --flock --write-lock disk.raw
  json_status 1 disk.raw
  expect_holder user '{kind: "lock", lock: "flock", mode: "read-write"}'
  expect 'of("user")[0].ranges[0].type == "write"'
  expect_uses user possible=info,check unsafe=convert-from,vm
}

@test "a writer without a lock: read-write and write-only" {
  setup_image
  hold_open writer read-write disk.raw
  json_status 1 disk.raw
  expect_holder writer '{kind: "opener", lock: null, mode: "read-write", ranges: []}'
  stop writer

  hold_open writer write-only disk.raw
  json_status 1 disk.raw
  expect_holder writer '{kind: "opener", lock: null, mode: "write-only"}'
  expect_uses writer unsafe=convert-from,read,write,vm
}

@test "a reader without a lock is listed, but the image is free" {
  setup_image
  hold_open reader read-only disk.raw
  json_status 0 disk.raw
  expect_holder reader '{kind: "opener", lock: null, mode: "read-only"}'
  expect 'image.status == "free"'
}

@test "a stopped process holds on to its lock, and is named" {
  setup_image
  hold_locks holder disk.raw 100 2
  kill -STOP "${PID[holder]}"
  wait_for 5 is_stopped "${PID[holder]}"
  json_status 1 disk.raw
  expect_holder holder '{kind: "lock", uses: ["consistent read", "write"]}'
}

@test "two holders of one byte: both are listed" {
  setup_image
  hold_locks one disk.raw 100 1 201 1
  hold_locks two --read-only disk.raw 100 1
  hold_locks three --posix disk.raw 201 1

  json_status 1 disk.raw
  expect 'holders | length == 3'
  expect_holder one '{uses: ["consistent read"], forbids: ["write"], lock: "OFD"}'
  expect_holder two '{uses: ["consistent read"], forbids: [], mode: "read-only"}'
  expect_holder three '{uses: [], forbids: ["write"], lock: "POSIX"}'
  expect_uses one blocked=write
  expect_uses three blocked=write
}

@test "a description shared by fork is one holder with two processes" {
  setup_image
  hold_locks parent --fork disk.raw 100 2
  child=$(awk '{ print $3 }' "$HOLD/parent.out")

  json_status 1 disk.raw
  expect 'holders | length == 1'
  expect_holder parent '{kind: "lock", uses: ["consistent read", "write"]}'
  expect "[of(\"parent\")[0].processes[].pid] | sort == ([\$pids.parent, $child] | sort)"
}

@test "a description without a lock, shared by fork, is one opener with two processes" {
  setup_image
  hold_locks parent --none --fork disk.raw
  json_status 1 disk.raw
  expect 'holders | length == 1' 'holders[0].kind == "opener"' 'holders[0].processes | length == 2'
}

@test "two descriptions in one process both show" {
  setup_image
  hold_locks twice --again disk.raw 100 1
  json_status 1 disk.raw
  expect 'of("twice") | [.[].processes[] | select(.pid == $pids.twice).fds[]] | unique | length == 2'
}

@test "who holds a lock is not listed again for another descriptor" {
  setup_image
  start holder bash -c 'exec "$0" disk.raw 100 1 9<>disk.raw' "$TOOLS/locker"
  says holder '^ready '
  json_status 1 disk.raw
  expect_holder holder '{kind: "lock"}'
}

@test "locks come first, then writers, then readers" {
  setup_image
  hold_open reader read-only disk.raw
  hold_open writer read-write disk.raw
  hold_locks holder --read-only disk.raw 100 1

  json_status 1 disk.raw
  expect '[holders[] | [.kind, .mode]] == [["lock", "read-only"], ["opener", "read-write"],
    ["opener", "read-only"]]'
}

@test "locks of other files that come and go while the kernel's table is read make up no holders" {
  require taskset
  setup_image
  make_raw other.raw
  # The table lists the locks by the processor that took them, the newest first: what is last in
  # it is what is read twice when another lock comes in before it.
  start holder taskset -c "$(($(nproc) - 1))" "$TOOLS/locker" disk.raw 100 2 201 1
  says holder '^ready '
  for i in 1 2 3; do
    hold_locks "churn$i" --churn other.raw "$i" 1 1000 1
  done
  for _ in {1..150}; do
    status=0
    imgtool lock-status --output=json disk.raw >>looks || status=$?
    ((status == 1))
  done
  jq -e --slurp 'length == 150 and all(.[].images[0];
    (.holders | length) == 1 and .holders[0].identified and .changed == false)' looks
}

@test "--locks-only does not look for openers" {
  setup_image
  hold_open writer read-write disk.raw
  json_status 0 --locks-only disk.raw
  expect 'holders == []' 'image.openers_scanned == false' 'image.openers_complete == false'
  run -0 imgtool lock-status --locks-only disk.raw
  expect_text "disk.raw: free: nobody holds a lock on it (openers without a lock were not looked for)"

  hold_locks holder --posix disk.raw 100 2
  json_status 1 --locks-only disk.raw
  expect_holder holder '{kind: "lock", lock: "POSIX"}'
  expect 'of("writer") == []'
  stop holder

  # The kernel does not say who has an OFD lock, and nobody was looked for.
  hold_locks holder disk.raw 100 2
  json_status 1 --locks-only disk.raw
  expect 'holders | length == 1' 'holders[0].lock == "OFD"' 'verdict("vm") == "blocked"' \
    'image.summary | test("not visible") | not'
}

@test "a POSIX lock in another pid namespace, seen from outside" {
  require pid-namespace
  setup_image
  start ns unshare --pid --fork --mount-proc --kill-child "$TOOLS/locker" --posix disk.raw 100 2
  later stop ns KILL # unshare ignores TERM
  says ns '^ready 1'
  PID[inside]=$(pgrep -P "${PID[ns]}")

  json_status 1 disk.raw
  expect_holder inside '{kind: "lock", lock: "POSIX", uses: ["consistent read", "write"]}'
  unset "PID[inside]" # ends with its parent
}

@test "in a pid namespace with the /proc of an outer one it does not find itself" {
  require pid-namespace
  make_raw disk.raw
  run unshare --pid --fork "$IMGTOOL" lock-status disk.raw
  refute grep -q 'imgtool (pid' <<<"$output"
}

@test "seen from inside a pid namespace, a holder outside is there but not identified" {
  require pid-namespace
  setup_image
  for kind in posix ofd; do
    hold_locks outside "--$kind" disk.raw 100 2
    run -1 --separate-stderr unshare --pid --fork --mount-proc \
      "$IMGTOOL" lock-status --output=json disk.raw
    expect 'image.status == "in-use"' 'holders | length >= 1' \
      'all(holders[]; .identified == false and .processes == [])' \
      'permission("write").used' 'verdict("vm") == "blocked"' 'image.openers_complete == false'
    stop outside
  done
}
