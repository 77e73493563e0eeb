# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: locks on NFSv3 between two hosts, whose server does not tell of read locks.
# shellcheck disable=SC2030,SC2031

load ../../cli/lib
load ../lib-lab
load ../hosts
load network
load nfs

setup_file() {
  two_hosts
  # services remember nothing in a test's own shell
  declare -p services >/tmp/services
}

@test "a writer keeps imgtool's writers out on the other host; nothing remains" {
  serve_disk
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    for other in on auto posix; do
      run -124 lets_in b --write --locking=$other
    done
    stop holder
    run -0 lets_in b --write
    anew guard holder a/disk.raw --write --locking=$locking
    kill_hard holder
    run -0 lets_in b --write
  done
}

@test "qemu-io on one host keeps imgtool's writers out on the other; readers cannot tell" {
  serve_disk
  hold_io holder -f raw a/disk.raw
  for locking in on auto posix; do
    run -124 lets_in b --write --locking=$locking
    run -125 --separate-stderr lets_in b --locking=$locking
  done
  run -63 --separate-stderr imgtool check -f raw b/disk.raw
  expect_message 'does not show the locks of others'
}

@test "lock-status: unknown rather than free, and why" {
  serve_disk
  anew guard holder a/disk.raw --write
  json_status 1 a/disk.raw
  expect_holder holder '{kind: "lock", identified: true}'
  json_status 2 b/disk.raw
  expect 'image.status == "unknown"' 'image.answers == "server-untrusted"' \
    'image.filesystem.lock_reach == "server"' 'image.error | test("NFSv3")' \
    'verdict("vm") == "unknown"'
  run -2 imgtool lock-status -q --for=read --wait=1 b/disk.raw
}

@test "on the server: the holder is an NFS client" {
  serve_disk
  guard holder a/disk.raw --write
  json_status 1 back/disk.raw
  expect 'holders | length == 1' 'holders[0].processes == []' 'holders[0].kind == "lock"' \
    'holders[0].nfs_clients == []' 'holders[0].identified == false' \
    'holders[0].uses == ["consistent read", "write", "resize"]' 'verdict("vm") == "blocked"'
  run -1 imgtool lock-status back/disk.raw
  expect_text 'in use: locked by an NFS client (of version 3, which is not told)'
  run -1 imgtool lock-status --all -o IMAGE,STATUS,PID,USES
  expect_text ", inode $(stat -c %i back/disk.raw)"
}

@test "mount options that keep locks on one host: named, with advice, and a writer is warned" {
  serve_disk
  . /tmp/services
  for option in nolock local_lock=all local_lock=posix; do
    mkdir -p /mnt/local
    mount_nfs3 h1 /mnt/local "nosharecache,$option"
    local_disk=/mnt/local/$BATS_TEST_NUMBER/disk.raw
    run -0 --separate-stderr imgtool lock --write "$local_disk" -- true
    expect_message 'warning: ' 'do not reach other hosts'
    run -0 --separate-stderr imgtool lock -q --write "$local_disk" -- true
    expect_no_message
    run -0 --separate-stderr imgtool lock "$local_disk" -- true
    expect_no_message
    guard holder "$local_disk" --write
    json_status 1 "$local_disk"
    expect_holder holder '{kind: "lock", identified: true}'
    expect 'image.filesystem.lock_reach == "this-host"' \
      'any(image.notes[]; test("\\((nolock|local_lock=(all|posix))\\) do not reach other hosts; mount"))'
    run -0 lets_in b --write
    stop holder
    json_status 0 "$local_disk"
    on_host h1 umount /mnt/local
  done
}
