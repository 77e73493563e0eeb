# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# In the guest: an NFS server and two client hosts, h1 and h2. For tests that have loaded network.
# GUEST_NFS is the version: 3, whose locks are the business of services of their own on each host,
# or 4.0 and later.

LEASE=10 # seconds; the least that the server takes

start_server() {
  local module
  for module in nfsd nfsv3 nfsv4 veth loop; do
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
  if [[ $GUEST_NFS == 3 ]]; then
    rpc.statd
    echo 1 >/proc/sys/fs/nfs/nlm_grace_period
    rpc.nfsd -H 0.0.0.0 4
  else
    rpc.nfsd -H 0.0.0.0 -N 3 4
  fi
  echo Y >/proc/fs/nfsd/v4_end_grace
}

# start_services HOST: what locks need there with version 3. It has its own /run, where they meet,
# and shares what it mounts in /mnt.
start_services() {
  mountpoint -q /mnt && mount --make-shared /mnt
  nsenter --net="/run/netns/$1" unshare --uts --mount --propagation=unchanged bash -c '
    hostname "$0"
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib/nfs
    mkdir -p /run/rpc_pipefs /var/lib/nfs/sm /var/lib/nfs/sm.bak
    touch /var/lib/nfs/state
    rpcbind -w
    until rpcinfo -p >/dev/null; do sleep 0.1; done
    rpc.statd --no-notify
    until rpcinfo -p | grep -qw status; do sleep 0.1; done
    echo ready
    exec sleep 10000' "$1" >"/tmp/services-$1" 2>&1 &
  services[${1#h}]=$!
  until grep -q '^ready' "/tmp/services-$1"; do
    sleep 0.1
  done
}

# on_host HOST COMMAND...: with its network and its name
on_host() {
  local number=${1#h}
  if [[ ${services[number]:-} ]]; then
    nsenter --net="/run/netns/$1" --uts="/proc/${services[number]}/ns/uts" \
      --mount="/proc/${services[number]}/ns/mnt" "${@:2}"
  else
    nsenter --net="/run/netns/$1" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$@"
  fi
}

# mount_on HOST NUMBER: the export at /mnt/HOST
mount_on() {
  if [[ $GUEST_NFS == 3 ]]; then
    start_services "$1"
    mount_nfs3 "$1" "/mnt/$1"
  else
    on_host "$1" mount -t nfs4 -o "vers=$GUEST_NFS" "10.77.$2.1:/" "/mnt/$1"
  fi
}

# mount_nfs3 HOST FOLDER [OPTIONS]
mount_nfs3() {
  on_host "$1" mount -t nfs -o "vers=3,proto=tcp${3:+,$3}" "10.77.${1#h}.1:/mnt/export" "$2"
}

# two_hosts: a server and its mounts on both. With version 3 the first lock of each host waits for
# the server's grace period, and is over then.
two_hosts() {
  {
    start_server
    mount_on h1 1
    mount_on h2 2
    if [[ $GUEST_NFS == 3 ]]; then
      make_raw /mnt/h1/first.raw
      "$IMGTOOL" lock -q --write /mnt/h1/first.raw -- true
      wait_for 10 test -e /mnt/h2/first.raw
      "$IMGTOOL" lock -q --write /mnt/h2/first.raw -- true
    fi
    # bats would wait for the servers, which go on, to close these
  } >&2 3>&- 4>&-
}

# serve_disk: a/disk.raw on the one host is b/disk.raw on the other, and back/disk.raw on the server
serve_disk() {
  # a folder for each test, since a client may remember names that are gone
  mkdir "/mnt/h1/$BATS_TEST_NUMBER"
  ln -s "/mnt/h1/$BATS_TEST_NUMBER" a
  ln -s "/mnt/h2/$BATS_TEST_NUMBER" b
  ln -s "/mnt/export/$BATS_TEST_NUMBER" back
  make_raw a/disk.raw
  wait_for 10 test -e b/disk.raw
}
