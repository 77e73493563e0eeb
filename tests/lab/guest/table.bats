# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: NFS's row of the lab's table (see ../table), written to file "row".

load ../../cli/lib
load ../lib-lab
load ../hosts
load ../battery
load network
load nfs

@test "row" {
  {
    start_server
    mount_on h1 1
    mount_on h2 2
  } >&2 3>&- 4>&-
  # with NFSv3 the first lock of each host waits for the server's grace period
  make_raw /mnt/h1/first.raw
  "$IMGTOOL" lock -q --write /mnt/h1/first.raw -- true
  wait_for 10 test -e /mnt/h2/first.raw
  "$IMGTOOL" lock -q --write /mnt/h2/first.raw -- true
  ln -s /mnt/h1 a
  ln -s /mnt/h2 b
  battery >/mnt/out/row
}
