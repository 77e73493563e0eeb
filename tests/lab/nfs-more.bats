# SPDX-License-Identifier: LGPL-2.1-or-later
# More of locks on NFS between two hosts, in a guest: an older version, see guest/nfs.bats, and
# virtual machines, see guest/vm.bats.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "NFSv4.0 between two hosts" {
  guest 900 nfs.bats NFS=4.0 'FILTER=each mode|named|cut off'
}

@test "NFSv4.2 between two hosts, with virtual machines" {
  guest 900 vm.bats NFS=4.2
}
