# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: virtual machines and imgtool on NFS between two hosts.
# shellcheck disable=SC2030,SC2031

load ../../cli/lib
load ../lib-lab
load ../hosts
load network
load nfs

setup_file() {
  # bats would wait for the servers, which go on, to close these
  {
    start_server
    mount_on h1 1
    mount_on h2 2
  } >&2 3>&- 4>&-
}

serve_disk() {
  # a folder for each test, since a client may remember names that are gone
  mkdir "/mnt/h1/$BATS_TEST_NUMBER"
  ln -s "/mnt/h1/$BATS_TEST_NUMBER" a
  ln -s "/mnt/h2/$BATS_TEST_NUMBER" b
  ln -s "/mnt/export/$BATS_TEST_NUMBER" back
  make_raw a/disk.raw
  wait_for 10 test -e b/disk.raw
}

@test "a virtual machine on one host and imgtool on the other keep each other out" {
  serve_disk
  hold_vm holder a
  run -124 lets_in b --write
  stop holder
  guard holder a/disk.raw --write
  run -1 --separate-stderr lets_in_vm b
  expect_message 'Failed to get'
}
