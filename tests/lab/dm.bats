# SPDX-License-Identifier: LGPL-2.1-or-later
# The device mapper, in a guest: see guest/dm.bats for what is tested.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load uml

@test "the device mapper" {
  require dmsetup
  guest 900 dm.bats
}
