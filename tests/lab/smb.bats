# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on SMB between two hosts, in a guest: see guest/smb.bats for what is tested.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "SMB between two hosts" {
  require smbd mount.cifs
  guest 900 smb.bats
}
