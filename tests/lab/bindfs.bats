# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on bindfs, twice mounted: a file system that passes through to a folder. As it comes it
# leaves the locks of each mount to the kernel; with lock forwarding all locks of a mount belong to
# its one server process, which loses them whenever anybody closes the file there.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load hosts

LAB=${IMGTOOL_LAB:-${IMGTOOL%/*}/tests/lab}

# serve_disk [bindfs's options]
serve_disk() {
  local mount
  require root fuse qemu-img qemu-io
  mkdir -p back a b
  make_raw back/disk.raw
  for mount in a b; do
    start "mount-$mount" bindfs -f "$@" back "$mount"
    later umount --lazy "$DIR/$mount"
    wait_for 10 mountpoint -q "$mount"
  done
}

# server_has_locks: whether the folder below is locked by anybody
server_has_locks() {
  grep -q ":$(stat -c %i back/disk.raw) " /proc/locks
}

@test "bindfs: locks hold on one mount, in each mode, and do not reach the other" {
  serve_disk
  for locking in on auto posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    keeps_out_all a
    lets_in_all b
    json_status 1 a/disk.raw
    expect_holder holder '{kind: "lock", identified: true}'
    json_status 0 b/disk.raw
    expect 'holders == []' 'image.openers_complete == false'
    run -2 imgtool lock-status --strict b/disk.raw
    kill_hard holder
    lets_in_all a
  done
}

@test "bindfs: a guard there has not lost its locks when others used the file" {
  serve_disk
  for locking in on posix; do
    run -0 --separate-stderr imgtool lock --write --locking=$locking a/disk.raw -- \
      sh -c 'cat a/disk.raw b/disk.raw >read; qemu-img info -U a/disk.raw >info'
    [[ $(wc -l <<<"$stderr") == 1 ]]
    expect_message 'warning: ' 'do not reach other hosts'
  done
}

@test "bindfs with lock forwarding: a lock reaches the other mount until anybody closes the file" {
  serve_disk --multithreaded --enable-lock-forwarding
  for kind in --ofd --posix; do
    for user in 'cat a/disk.raw' 'qemu-img info -U a/disk.raw' "$IMGTOOL lock-status a/disk.raw"; do
      anew hold_locks holder --read-write $kind a/disk.raw 100 2 201 1
      run -124 lets_in b --locking=posix
      run -124 lets_in b --locking=on
      json_status 1 b/disk.raw
      expect 'of("holder") == []' 'holders[0].identified == false' 'verdict("vm") == "blocked"'
      server_has_locks
      run $user
      refute server_has_locks
      run -0 lets_in b --write --locking=posix
      stop holder
    done
  done
}

@test "bindfs with lock forwarding: imgtool and QEMU are kept apart on one mount only" {
  serve_disk --multithreaded --enable-lock-forwarding
  for locking in on auto posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    keeps_out_all a
    # the guard's own command, which closes what it does not inherit, was enough
    refute server_has_locks
    lets_in_all b
    kill_hard holder
    # OFD locks of a process that had no chance to unlock stay on the mount
    if [[ $locking == posix ]]; then
      run -0 lets_in a --locking=posix
    else
      run -124 lets_in a --locking=posix
    fi
    umount --lazy a
    stop mount-a
    start mount-a bindfs -f --multithreaded --enable-lock-forwarding back a
    wait_for 10 mountpoint -q a
  done
}
