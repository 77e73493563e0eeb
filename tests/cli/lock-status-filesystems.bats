#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status where one file has several names or several files look like one: links, bind mounts,
# btrfs, overlayfs, loop devices, block devices, FUSE.

load lib

@test "the filesystem is named" {
  make_raw disk.raw
  json_status 0 disk.raw
  expect 'image.filesystem.kind | IN("local", "overlay")'
  # In a chroot whose root is no mount point there is nothing to compare with.
  type=$(findmnt -n -o FSTYPE -T "$DIR") || return 0
  expect "image.filesystem.type == \"$type\"" \
    'image.filesystem.mount_options | type == "string" and length > 0'
}

@test "hard link and symbolic link: the same image" {
  make_raw disk.raw
  ln disk.raw hard.raw
  ln -s disk.raw soft.raw
  hold_locks holder hard.raw 100 2

  for name in disk.raw hard.raw soft.raw; do
    json_status 1 "$name"
    expect "image.filename == \"$name\""
    expect_holder holder '{kind: "lock"}'
  done
}

@test "a file that was replaced under its holder is another file" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  make_raw new.raw
  mv new.raw disk.raw
  json_status 0 disk.raw
  expect 'holders == []'
}

@test "bind mount: seen by the one name and by the other one" {
  require root
  mkdir real bound
  make_raw real/disk.raw
  mount --bind real bound
  later umount --lazy "$DIR/bound"

  hold_locks holder bound/disk.raw 100 2
  json_status 1 real/disk.raw
  expect_holder holder '{kind: "lock"}'
  stop holder
  hold_open writer read-write real/disk.raw
  json_status 1 bound/disk.raw
  expect_holder writer '{kind: "opener"}'
}

@test "a holder in another mount namespace, whose mount is not in our list" {
  require root mount-namespace
  mkdir real private
  make_raw real/disk.raw
  start ns unshare --mount sh -c 'mount --bind real private && exec "$0" private/disk.raw 100 2' \
    "$TOOLS/locker"
  says ns '^ready '
  json_status 1 real/disk.raw
  expect_holder ns '{kind: "lock", lock: "OFD", identified: true}'
}

@test "btrfs: equal inode numbers in two subvolumes are two files" {
  require root loop btrfs mkfs.btrfs
  make_filesystem btrfs fs.img mnt 128M --mixed
  for volume in a b; do
    btrfs -q subvolume create "mnt/$volume"
    make_raw "mnt/$volume/f"
  done
  [[ $(stat -c %i mnt/a/f) == "$(stat -c %i mnt/b/f)" ]]

  hold_locks one mnt/a/f 100 2 201 1
  json_status 1 mnt/a/f
  expect 'image.filesystem.type == "btrfs"'
  expect_holder one '{kind: "lock", uses: ["consistent read", "write"]}'
  json_status 0 mnt/b/f
  expect 'holders == []'

  hold_locks two --read-only mnt/b/f 100 1
  json_status 1 mnt/a/f
  expect 'of("one") | length == 1' 'of("two") == []'
  json_status 1 mnt/b/f
  expect 'of("one") == []'
  expect_holder two '{uses: ["consistent read"], forbids: []}'
}

@test "btrfs: locks on the one file and a descriptor of the other one are not mixed up" {
  require root loop btrfs mkfs.btrfs
  make_filesystem btrfs fs.img mnt 128M --mixed
  for volume in a b; do
    btrfs -q subvolume create "mnt/$volume"
    make_raw "mnt/$volume/f"
  done

  start holder bash -c 'exec "$0" mnt/a/f 100 2 9<mnt/b/f' "$TOOLS/locker"
  says holder '^ready '
  json_status 0 mnt/b/f
  expect_holder holder '{kind: "opener", mode: "read-only", lock: null}'
  json_status 1 mnt/a/f
  expect_holder holder '{kind: "lock", mode: "read-write"}'
}

@test "btrfs: flock, which no question about locks shows, is found with and without -q" {
  require root loop btrfs mkfs.btrfs
  make_filesystem btrfs fs.img mnt 128M --mixed
  make_raw mnt/f
  hold_locks holder --read-only --flock mnt/f
  json_status 1 mnt/f
  expect_holder holder '{lock: "flock"}'
  run -1 imgtool lock-status -q mnt/f
}

@test "overlayfs with its layers on two filesystems" {
  require root overlay
  mkdir lower top merged
  make_raw lower/disk.raw
  mount -t tmpfs none top
  later umount --lazy "$DIR/top"
  mkdir top/upper top/work
  mount -t overlay -o lowerdir=lower,upperdir=top/upper,workdir=top/work none merged
  later umount --lazy "$DIR/merged"

  hold_locks reader --read-only merged/disk.raw 100 1
  json_status 1 merged/disk.raw
  expect 'image.filesystem.kind == "overlay"'
  expect_holder reader '{kind: "lock", mode: "read-only"}'
  stop reader

  hold_locks writer merged/disk.raw 100 2 # which copies the file up
  json_status 1 merged/disk.raw
  expect_holder writer '{kind: "lock", uses: ["consistent read", "write"]}'
  stop writer

  # Who uses the layer below is out of sight, and that is said; a writer there is not warned.
  json_status 0 merged/disk.raw
  expect 'image.notes | any(test("overlay"))' 'image.filesystem.lock_reach == "this-mount"'
  run -0 --separate-stderr imgtool lock --write merged/disk.raw -- true
  expect_no_message
}

@test "a loop device that is backed by the image" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw

  json_status 1 disk.raw
  expect 'holders | length == 1' "holders[0] | .kind == \"loop\" and .device == \"$LOOP\"" \
    'holders[0] | .lock == null and .mode == "read-write"'
  expect 'verdict("vm") == "unsafe"' 'verdict("convert-from") == "unsafe"'
  run -1 imgtool lock-status disk.raw
  expect_text "$LOOP"
}

@test "a read-only loop device only reads" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw --read-only
  json_status 0 disk.raw
  expect "holders[0] | .kind == \"loop\" and .device == \"$LOOP\" and .mode == \"read-only\""
}

@test "a block device as the image: free, held by a VM, written to without a lock" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw
  json_status 0 "$LOOP"
  expect 'image.filesystem.kind == "device"' 'image.status == "free"' \
    'image.filesystem.lock_reach == "this-node"' 'any(image.notes[]; test("another node"))'
  run -0 --separate-stderr imgtool lock --write "$LOOP" -- true
  expect_no_message

  hold_qemu vm -drive "file=$LOOP,format=raw,if=virtio"
  json_status 1 "$LOOP"
  expect_holder vm '{kind: "lock", style: "qemu", uses: ["consistent read", "write"]}'
  stop vm

  hold_open writer read-write "$LOOP"
  json_status 1 "$LOOP"
  expect_holder writer '{kind: "opener", mode: "read-write"}'
}

@test "a block device through another node: its locks do not meet ours, but it is open" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw
  mknod node b "$(stat -c 0x%t "$LOOP")" "$(stat -c 0x%T "$LOOP")"
  (: <node) || skip "needs: device nodes under /var/tmp"
  hold_locks other node 100 2

  json_status 1 "$LOOP"
  expect 'of("other") | length == 1' 'of("other")[0].mode == "read-write"' \
    'verdict("convert-to") | . != "possible"'
}

@test "a mounted block device is in use" {
  require root loop mkfs.ext4
  truncate -s 16M fs.img
  mkfs.ext4 -q fs.img
  make_loop fs.img
  mkdir mnt
  mount "$LOOP" mnt
  later umount --lazy "$DIR/mnt"

  json_status 1 "$LOOP"
  expect "holders | any(.kind == \"mount\" and .device == \"$DIR/mnt\")"
  expect 'verdict("convert-to") | . != "possible"'
}

@test "a block device with a mounted btrfs, whose device number is another one" {
  require root loop btrfs mkfs.btrfs
  truncate -s 128M fs.img
  mkfs.btrfs -q --mixed fs.img >/dev/null
  make_loop fs.img
  mkdir mnt
  mount "$LOOP" mnt
  later umount --lazy "$DIR/mnt"

  json_status 1 "$LOOP"
  expect 'verdict("convert-to") | . != "possible"'
}

# start_bindfs: the directory real, seen through FUSE as mnt
start_bindfs() {
  mkdir real mnt
  start server bindfs -f real mnt
  later sh -c "umount --lazy '$DIR/mnt' 2>/dev/null || fusermount3 -uz '$DIR/mnt' 2>/dev/null || :"
  wait_for 10 mountpoint -q mnt
}

@test "a stopped FUSE server under an unrelated process does not delay the answer" {
  require fuse
  start_bindfs
  make_raw real/other.raw
  make_raw disk.raw
  hold_open victim read-write mnt/other.raw
  hold_locks holder disk.raw 100 2
  kill -STOP "${PID[server]}"
  later kill -CONT "${PID[server]}"
  wait_for 5 is_stopped "${PID[server]}"

  run -1 --separate-stderr timeout 5 "$IMGTOOL" lock-status --output=json disk.raw
  expect_holder holder '{kind: "lock"}'
  stop holder
  run -0 --separate-stderr timeout 5 "$IMGTOOL" lock-status --output=json disk.raw
  expect 'holders == []'
}

@test "an image on FUSE: holders are found, and --locking=off proves nothing" {
  require fuse
  start_bindfs
  make_raw real/disk.raw
  json_status 0 mnt/disk.raw
  expect 'image.filesystem.kind == "fuse"'
  json_status 2 --locking=off mnt/disk.raw
  expect 'image.status == "unknown"'

  hold_locks holder mnt/disk.raw 100 2
  json_status 1 mnt/disk.raw
  expect_holder holder '{uses: ["consistent read", "write"]}'
}
