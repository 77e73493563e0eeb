# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on older versions of NFS between two hosts, in a guest: see guest/nfs.bats.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "NFSv4.0 between two hosts" {
  guest 200 nfs.bats NFS=4.0 'FILTER=each mode|named'
}
