# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: locks on SMB between two hosts.
# shellcheck disable=SC2030,SC2031

load ../../cli/lib
load ../lib-lab
load ../hosts
load network
load smb

setup_file() {
  # bats would wait for the server, which goes on, to close these
  start_server >&2 3>&- 4>&-
}

# serve_disk OPTIONS
serve_disk() {
  local number
  for number in 1 2; do
    mount_smb "h$number" "$1"
    later umount "/mnt/h$number"
  done
  mkdir "/mnt/export/$BATS_TEST_NUMBER"
  ln -s "/mnt/h1/$BATS_TEST_NUMBER" a
  ln -s "/mnt/h2/$BATS_TEST_NUMBER" b
  make_raw "/mnt/export/$BATS_TEST_NUMBER/disk.raw"
  wait_for 10 test -e a/disk.raw
  wait_for 10 test -e b/disk.raw
}

@test "SMB3: imgtool is kept out on the other host, nothing remains, and a writer is warned" {
  serve_disk vers=3.1.1
  # POSIX locks are left out: once the server keeps them, asking runs into one's own
  guard holder a/disk.raw --write
  grep -q 'warning: .*locks on SMB are mandatory' "$HOLD/holder.err"
  for other in on auto posix; do
    run -124 lets_in b --locking=$other
    run -124 lets_in b --write --locking=$other
  done
  json_status 1 b/disk.raw
  expect 'of("holder") == []' 'all(holders[]; .processes == [])' 'verdict("vm") == "blocked"' \
    'image.filesystem.lock_reach == "mandatory"' 'any(image.notes[]; test("use NFS"))'
  stop holder
  run -0 imgtool lock -q --write --wait=2 b/disk.raw -- true
  anew guard holder a/disk.raw --write
  kill_hard holder
  run -0 imgtool lock -q --write --wait=2 b/disk.raw -- true
}

@test "SMB3 with --locking=posix: a writer meets his own lock and is refused; nothing remains" {
  serve_disk vers=3.1.1
  run -0 lets_in a --locking=posix
  run -124 lets_in a --write --locking=posix
  run -0 imgtool lock -q --write --wait=2 b/disk.raw -- true
}

@test "SMB3: the lock is in the way of the writer itself" {
  serve_disk vers=3.1.1
  run -1 imgtool lock -q --write a/disk.raw -- \
    dd if=/dev/zero of=a/disk.raw bs=512 count=1 conv=notrunc,fsync status=none
  run ! qemu-img create -q -f qcow2 a/disk.qcow2 4M
}

@test "SMB3 with nobrl: locks stay on one host, and a writer is warned" {
  serve_disk vers=3.1.1,nobrl
  guard holder a/disk.raw --write
  grep -q 'warning: .*(nobrl) do not reach other hosts' "$HOLD/holder.err"
  run -0 lets_in b --write
  run -124 lets_in a
  json_status 1 a/disk.raw
  expect_holder holder '{kind: "lock", identified: true}'
  json_status 0 b/disk.raw
  expect 'image.filesystem.lock_reach == "this-host"'
}

@test "SMB1: a writer is warned" {
  serve_disk vers=1.0
  run -0 --separate-stderr imgtool lock --write a/disk.raw -- true
  expect_message 'warning: ' '(vers=1.0) do not reach other hosts'
}
