# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# In the guest: an SMB server and two client hosts, h1 and h2. For tests that have loaded network.

start_server() {
  local module folder
  # the kernel cannot load them by itself: they are not where it looks
  for module in cmac hmac ccm gcm ctr cbc ecb ghash-generic seqiv sha512_generic nls_utf8 cifs veth loop; do
    modprobe -d /mnt/modules "$module" || :
  done
  mkdir -p /run/netns /run/samba /mnt/export /tmp/smb/{private,state,cache,lock,run,log,nc}
  for folder in /var/lib/samba /var/cache/samba /var/log/samba; do
    [[ ! -d $folder ]] || mount -t tmpfs tmpfs "$folder"
  done
  mkdir -p /var/lib/samba/private
  truncate -s 64M /tmp/export.img
  mkfs.ext4 -q -F /tmp/export.img
  mount -o loop /tmp/export.img /mnt/export
  add_host h1 1
  add_host h2 2
  cat >/tmp/smb.conf <<'END'
[global]
  private dir = /tmp/smb/private
  state directory = /tmp/smb/state
  cache directory = /tmp/smb/cache
  lock directory = /tmp/smb/lock
  pid directory = /tmp/smb/run
  ncalrpc dir = /tmp/smb/nc
  log file = /tmp/smb/log/%m
  server min protocol = NT1
  unix extensions = no
  disable spoolss = yes
  load printers = no
  smb ports = 445
[share]
  path = /mnt/export
  read only = no
  force user = root
END
  printf 'secret\nsecret\n' | smbpasswd -c /tmp/smb.conf -s -a root
  smbd -D -s /tmp/smb.conf
  until [[ -s /tmp/smb/run/smbd.pid ]]; do
    sleep 0.1
  done
}

# mount_smb HOST OPTIONS: the share at /mnt/HOST
mount_smb() {
  mkdir -p "/mnt/$1"
  nsenter --net="/run/netns/$1" mount -t cifs -o "username=root,password=secret,nosharesock,$2" \
    "//10.77.${1#h}.1/share" "/mnt/$1"
}
