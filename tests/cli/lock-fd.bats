#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool lock --fd: locks on a descriptor that the caller has open, here the test itself.

load lib

# expect_status STATUS COMMAND...
expect_status() {
  run "-$1" --separate-stderr "${@:2}"
}

hold_guard() {
  start "$1" "$IMGTOOL" lock "${@:2}" -- sh -c 'echo ready; exec cat' && says "$1" '^ready'
}

@test "--fd: a descriptor of the caller's, locked until it is unlocked or closed" {
  make_raw disk.raw
  exec 9<>disk.raw
  expect_status 0 imgtool lock --fd=9 --write disk.raw
  expect_no_message
  [[ -z $output ]]
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  json_status 1 disk.raw
  expect 'holders[0].lock == "OFD"' 'holders[0].style == "qemu"'
  # Another descriptor of the same file comes and goes; the lock stays.
  cat disk.raw >copy.raw
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  expect_status 0 imgtool lock --fd=9 --unlock
  [[ -z $(sed -n /^lock:/p /proc/$$/fdinfo/9) ]]
  run -0 qemu-io -f raw -c 'write 0 512' disk.raw
  expect_status 0 imgtool lock --fd=9
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  exec 9>&-
  run -0 qemu-io -f raw -c 'write 0 512' disk.raw
}

@test "--fd: somebody else's lock, and waiting for it" {
  make_raw disk.raw
  hold_io io -f raw disk.raw
  exec 9<>disk.raw
  expect_status 124 imgtool lock --fd=9 --write disk.raw
  expect_message 'Failed to get shared "write" lock'
  expect_status 9 imgtool lock -E9 --fd=9 --write --wait=0.2 disk.raw
  stop io
  expect_status 0 imgtool lock --fd=9 --write --wait=20 disk.raw
  exec 9>&-
}

@test "--fd: a refused request leaves what the descriptor has" {
  make_raw disk.raw
  exec 9<>disk.raw
  expect_status 0 imgtool lock --fd=9 --read disk.raw
  hold_guard other --read disk.raw
  expect_status 124 imgtool lock --fd=9 --write disk.raw
  stop other
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  exec 9>&-
}

@test "--fd: the wrong file, and what cannot be locked" {
  make_raw disk.raw
  make_raw two.raw
  exec 9<>disk.raw
  expect_status 125 imgtool lock --fd=9 two.raw
  expect_message "descriptor 9 is not 'two.raw'"
  expect_status 125 imgtool lock --fd=9 missing.raw
  # The name has got another file.
  mv two.raw disk.raw
  expect_status 125 imgtool lock --fd=9 disk.raw
  expect_status 0 imgtool lock --fd=9
  expect_status 125 imgtool lock --fd=9 --locking=posix
  expect_message "OFD locks"
  exec 9>&-
  expect_status 125 imgtool lock --fd=9
  expect_message "descriptor 9"
  mkfifo pipe
  exec 9<>pipe
  expect_status 125 imgtool lock --fd=9
  exec 9>&-
}

@test "--fd: with --unlock the image must be the right one, too" {
  make_raw disk.raw
  make_raw two.raw
  exec 9<>disk.raw
  expect_status 0 imgtool lock --fd=9 disk.raw
  expect_status 125 imgtool lock --fd=9 --unlock two.raw
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  exec 9>&-
}

@test "--fd: to write takes a descriptor for reading and writing" {
  make_raw disk.raw
  exec 9<disk.raw
  expect_status 0 imgtool lock --fd=9 --read disk.raw
  exec 9>&-
  exec 9>>disk.raw
  for access in --read --write; do
    expect_status 125 imgtool lock --fd=9 $access disk.raw
    # It is the descriptor's fault, not the file system's.
    expect_message "descriptor 9"
    [[ $stderr != *"file system"* ]]
  done
  exec 9>&-
}

@test "--fd: no OFD locks, and --locking=off" {
  make_raw disk.raw
  exec 9<>disk.raw
  for mode in auto on; do
    expect_status 125 without ofd "$IMGTOOL" lock --fd=9 --locking=$mode disk.raw
    expect_message "OFD locks"
    expect_status 125 without all "$IMGTOOL" lock --fd=9 --locking=$mode disk.raw
  done
  expect_status 0 imgtool lock --fd=9 --locking=off disk.raw
  run -0 qemu-io -f raw -c 'write 0 512' disk.raw
  exec 9>&-
}
