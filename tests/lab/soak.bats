# SPDX-License-Identifier: LGPL-2.1-or-later
# Many rounds of those who contend for an image on NFS, in a guest; "make check-lab-soak" plays 500,
# which take up to half an hour each.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "NFSv4.2 between two hosts: never two writers" {
  guest 900 nfs.bats NFS=4.2 'FILTER=never two writers'
}

@test "NFSv4.0 between two hosts: never two writers" {
  guest 900 nfs.bats NFS=4.0 'FILTER=never two writers'
}
