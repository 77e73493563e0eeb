# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: NFS's row of the lab's table (see ../table), written to file "row".

load ../../cli/lib
load ../lib-lab
load ../hosts
load ../battery
load network
load nfs

@test "row" {
  two_hosts
  ln -s /mnt/h1 a
  ln -s /mnt/h2 b
  battery >/mnt/out/row
}
