# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on NFSv3 between two hosts, in a guest: see guest/nfs3.bats for what is tested.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "NFSv3 between two hosts" {
  guest 900 nfs3.bats NFS=3
}
