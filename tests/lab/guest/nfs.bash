# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# In the guest: an NFS server and two client hosts, h1 and h2, each a network namespace with a name
# and a cable of its own. GUEST_NFS is the version, 4.0 or
# later: version 3 has its locks in services of its own, which are not started.

LEASE=10 # seconds; the least that the server takes

start_server() {
  local module
  for module in nfsd nfsv4 veth loop; do
    modprobe -d /mnt/modules "$module"
  done
  mount -t nfsd nfsd /proc/fs/nfsd
  mkdir -p /run/rpc_pipefs /run/netns /mnt/export /mnt/h1 /mnt/h2 \
    /var/lib/nfs/{v4recovery,nfsdcltrack,sm,sm.bak}
  touch /var/lib/nfs/{etab,rmtab,state}
  mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
  truncate -s 64M /tmp/export.img
  mkfs.ext4 -q -F /tmp/export.img
  mount -o loop /tmp/export.img /mnt/export
  add_host h1 1
  add_host h2 2
  rpcbind -w
  rpc.mountd
  exportfs -i -o rw,no_root_squash,insecure,fsid=0,no_subtree_check '*:/mnt/export'
  echo $LEASE >/proc/fs/nfsd/nfsv4leasetime
  echo $LEASE >/proc/fs/nfsd/nfsv4gracetime
  rpc.nfsd -H 0.0.0.0 -N 3 4
  echo Y >/proc/fs/nfsd/v4_end_grace
}

add_host() {
  ip netns add "$1"
  ip link add "to-$1" type veth peer name cable netns "$1"
  ip addr add "10.77.$2.1/24" dev "to-$1"
  ip link set "to-$1" up
  ip -n "$1" addr add "10.77.$2.2/24" dev cable
  ip -n "$1" link set cable up
  ip -n "$1" link set lo up
}

# on_host HOST COMMAND...: with its network and its name
on_host() {
  nsenter --net="/run/netns/$1" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$@"
}

# mount_on HOST NUMBER: the export at /mnt/HOST
mount_on() {
  on_host "$1" mount -t nfs4 -o "vers=$GUEST_NFS" "10.77.$2.1:/" "/mnt/$1"
}

cut_off() {
  ip -n "$1" link set cable down
}

reconnect() {
  ip -n "$1" link set cable up
}
