#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status in the four locking modes, on whole kernels and on some that lack a kind of lock.

load lib

# status_without WHAT STATUS [arguments]
status_without() {
  run "-$2" --separate-stderr without "$1" "$IMGTOOL" lock-status --output=json "${@:3}"
}

@test "what each mode asks" {
  make_raw disk.raw
  for mode in auto on; do
    json_status 0 --locking=$mode disk.raw
    expect 'image.probes == ["F_GETLK", "F_OFD_GETLK"]' "image.locking == \"$mode\""
  done
  json_status 0 --locking=posix disk.raw
  expect 'image.probes == ["F_GETLK"]' 'image.locking == "posix"'
  json_status 0 --locking=off disk.raw
  expect 'image.probes == []' 'image.locking == "off"'
}

@test "each mode sees an OFD lock and a POSIX lock" {
  make_raw disk.raw
  for kind in ofd posix; do
    hold_locks holder "--$kind" disk.raw 100 2 201 1
    for mode in auto on posix off; do
      json_status 1 --locking=$mode disk.raw
      expect_holder holder '{kind: "lock", uses: ["consistent read", "write"], forbids: ["write"]}'
      expect_uses holder blocked=vm
    done
    stop holder
  done
}

@test "each mode sees a writer without a lock" {
  make_raw disk.raw
  hold_open writer read-write disk.raw
  for mode in auto on posix off; do
    json_status 1 --locking=$mode disk.raw
    expect_holder writer '{kind: "opener", mode: "read-write"}'
  done
}

@test "on a kernel without OFD locks every mode still sees both kinds" {
  make_raw disk.raw
  for mode in auto on posix off; do
    status_without ofd 0 --locking=$mode disk.raw
    expect 'image.status == "free"' 'image.probes | index("F_OFD_GETLK") == null'
  done
  for kind in ofd posix; do
    hold_locks holder "--$kind" disk.raw 100 2
    for mode in auto on posix off; do
      status_without ofd 1 --locking=$mode disk.raw
      expect_holder holder '{kind: "lock", uses: ["consistent read", "write"]}'
    done
    stop holder
  done
}

@test "where nothing can be asked the locks of this host are found all the same" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  for mode in auto on posix off; do
    status_without all 1 --locking=$mode disk.raw
    expect_holder holder '{kind: "lock", uses: ["consistent read", "write"]}'
  done
}

@test "where nothing can be asked a free file is called so only with --locking=off" {
  make_raw disk.raw
  for mode in auto on posix; do
    run --separate-stderr without all "$IMGTOOL" lock-status --output=json --locking=$mode disk.raw
    # Local files: /proc shows every lock, so "free" is true; but that it could not ask is said.
    if ((status == 0)); then
      expect 'image.notes | any(test("lock"))'
    else
      ((status == 2))
      expect 'image.error | test("No locks available|lock")'
    fi
  done
  status_without all 0 --locking=off disk.raw
}

@test "a filesystem that refuses locks but can be asked about them" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  status_without setlk 1 disk.raw
  expect_holder holder '{kind: "lock"}'
  stop holder
  status_without setlk 0 disk.raw
}

@test "a kernel that cannot be asked: the answer says so or is undetermined, never a crash" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  status_without getlk 1 disk.raw
  expect_holder holder '{kind: "lock"}'
}

@test "without leases the scan alone decides" {
  make_raw disk.raw
  status_without lease 0 disk.raw
  expect 'image.openers_scanned == true'
  hold_open writer read-write disk.raw
  status_without lease 1 disk.raw
  expect_holder writer '{kind: "opener"}'
}

@test "looking leaves no lock and no lease behind" {
  make_qcow2 disk.qcow2
  hold_locks reader --none --read-only disk.qcow2
  for mode in auto on posix off; do
    imgtool lock-status -q --locking=$mode disk.qcow2
  done
  hold_io io disk.qcow2 # takes all that there is
}

@test "who opens the file for writing at the very moment of a look does not hurt it, nor it them" {
  make_raw disk.raw
  start opener bash -c 'while :; do : >>disk.raw || exit 1; done'
  for _ in {1..100}; do
    status=0
    imgtool lock-status -q disk.raw || status=$?
    ((status <= 1))
  done
  kill -0 "${PID[opener]}"
}

@test "looking again and again never disturbs a program that takes its locks" {
  make_qcow2 disk.qcow2
  start looker bash -c 'while :; do "$0" lock-status -q disk.qcow2; done' "$IMGTOOL"
  for _ in {1..15}; do
    qemu-io -c 'write 0 512' disk.qcow2
  done
}
