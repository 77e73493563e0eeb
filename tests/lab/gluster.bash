# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# GlusterFS without its management daemon: one brick process and two FUSE mounts, a and b, which
# stand for two hosts. Everything listens on loopback. For tests that have loaded lib-lab.

GLUSTER_PORTS=20 # how many are tried

# A volume file is a list of layers, each on top of the one before.
# layer NAME TYPE [OPTION=VALUE...]
layer() {
  local name=$1 option
  printf 'volume %s\n  type %s\n' "$name" "$2"
  for option in "${@:3}"; do
    printf '  option %s %s\n' "${option%%=*}" "${option#*=}"
  done
  [[ -z $below ]] || printf '  subvolumes %s\n' "$below"
  printf 'end-volume\n'
  below=$name
}

write_volfiles() {
  local below=
  {
    layer files storage/posix directory="$DIR/back" volume-id=6c61622d-696d-6774-6f6f-6c0000000001
    layer locks features/locks
    layer brick performance/io-threads
    layer server protocol/server transport-type=tcp transport.address-family=inet \
      transport.socket.bind-address=127.0.0.1 transport.socket.listen-port="$1" \
      auth.addr.brick.allow=127.0.0.1
  } >server.vol
  below=
  layer client protocol/client transport-type=tcp transport.address-family=inet \
    remote-host=127.0.0.1 remote-port="$1" remote-subvolume=brick >client.vol
}

# brick_listens: whether the brick process itself is the one behind the port
brick_listens() {
  local inode fd link
  inode=$(awk -v port="$(printf '0100007F:%04X' "$GLUSTER_PORT")" \
    '$2 == port && $4 == "0A" { print $10 }' /proc/net/tcp)
  [[ $inode ]] || return 1
  for fd in "/proc/${PID[server]}/fd/"*; do
    link=$(readlink "$fd") && [[ $link == "socket:[$inode]" ]] && return 0
  done
  return 1
}

start_brick() {
  start server glusterfsd --no-daemon -f server.vol -l "$HOLD/server.log"
}

brick_is_up_or_dead() {
  brick_listens || ! kill -0 "${PID[server]}" 2>/dev/null
}

# serve_gluster: an empty file system, at a and b
serve_gluster() {
  local attempt mount
  require root glusterfs
  mkdir -p back a b
  setfattr -n trusted.glusterfs.volume-id -v 0x6c61622d696d67746f6f6c0000000001 back
  for ((attempt = 0; attempt < GLUSTER_PORTS; attempt++)); do
    GLUSTER_PORT=$((24000 + RANDOM % 8000))
    write_volfiles "$GLUSTER_PORT"
    start_brick
    wait_for 10 brick_is_up_or_dead && brick_listens && break
    stop server KILL
  done
  for mount in a b; do
    start "mount-$mount" glusterfs --no-daemon -f client.vol -l "$HOLD/mount-$mount.log" "$mount"
    later umount --lazy "$DIR/$mount"
    wait_for 20 is_mounted "$mount"
  done
}

is_mounted() {
  mountpoint -q "$1" && timeout 5 stat "$1/." >/dev/null 2>&1
}

# reaches_server MOUNT: whether a descriptor that is opened now works
reaches_server() {
  timeout 5 dd if="$1/disk.raw" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null
}

# restart_brick: all locks are forgotten; the mounts take some seconds to find the new one
restart_brick() {
  stop server KILL
  start_brick
  wait_for 20 brick_listens
}
