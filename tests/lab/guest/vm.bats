# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: virtual machines and imgtool on NFS between two hosts.
# shellcheck disable=SC2030,SC2031

load ../../cli/lib
load ../lib-lab
load ../hosts
load network
load nfs

setup_file() {
  two_hosts
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
