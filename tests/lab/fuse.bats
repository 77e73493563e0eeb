# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on a FUSE server with two mounts, which does right or wrong as asked (lockfs.c).
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load hosts

LAB=${IMGTOOL_LAB:-${IMGTOOL%/*}/tests/lab}

serve_disk() {
  serve "$1"
  make_raw back/disk.raw
}

@test "a server that does right: each mode keeps the other mount out, and cleans up" {
  serve_disk right
  for locking in auto on posix; do
    guard holder a/disk.raw --write --locking=$locking
    for other in auto posix; do
      run -124 lets_in b --locking=$other
      run -124 lets_in a --locking=$other
    done
    run -1 --separate-stderr qemu-io -c 'write 0 512' \
      --image-opts driver=raw,file.driver=file,file.filename=b/disk.raw,file.locking=on
    expect_message 'Failed to get'
    kill_hard holder
    run -0 lets_in b --write --locking=posix
  done
}

@test "a server that loses sight of OFD locks: posix cleans up after kill -9, OFD does not" {
  serve_disk leak
  guard holder a/disk.raw --write --locking=posix
  run -124 lets_in b --locking=posix
  kill_hard holder
  run -0 lets_in b --write --locking=posix

  guard holder a/disk.raw --write --locking=on
  kill_hard holder
  run -124 lets_in b --write --locking=posix
  json_status 1 b/disk.raw
  expect 'holders | length == 1' 'holders[0].identified == false' 'holders[0].processes == []' \
    'any(image.notes[]; test("left behind"))'
}

@test "imgtool's own OFD locks leak there on no exit that can be caught" {
  serve_disk leak
  run -0 lets_in a --write
  run -0 lets_in b --write
  for signal in TERM INT HUP; do
    guard holder a/disk.raw --write
    stop holder "$signal"
    run -0 lets_in b --write
  done
  run -63 imgtool check a/disk.raw
  run -0 lets_in b --write
}

@test "a server without lock operations: locks hold on one mount only" {
  serve_disk none
  guard holder a/disk.raw --write
  run -124 lets_in a
  run -0 lets_in b
  json_status 0 b/disk.raw
  expect 'image.openers_complete == false'
  run -2 imgtool lock-status --strict b/disk.raw
  # the lock of the holder, or one on trial, is in this kernel's table: the server was not told
  for mount in a b; do
    imgtool lock-status --output=json $mount/disk.raw >status.json || :
    output=$(<status.json)
    expect 'image.filesystem.lock_reach == "this-mount"' 'image.answers == "kernel"' \
      'any(image.notes[]; test("not told of locks.*let all use the image through this mount"))'
  done
}

# warns COMMAND...: it succeeds, and says once that locks do not reach other hosts
warns() {
  run -0 --separate-stderr "$@"
  [[ $(grep -c 'warning: .*do not reach other hosts' <<<"$stderr") == 1 ]]
}

@test "a writer is told once where its locks do not reach other hosts, a reader is not" {
  serve_disk none
  for locking in auto posix; do
    warns imgtool lock --write --locking=$locking a/disk.raw -- true
    # what works inside the guard says nothing more
    warns imgtool lock --write --locking=$locking a/disk.raw -- "$IMGTOOL" info a/disk.raw
    run -0 --separate-stderr imgtool lock -q --write --locking=$locking a/disk.raw -- true
    expect_no_message
    run -0 --separate-stderr imgtool lock --locking=$locking a/disk.raw -- true
    expect_no_message
  done
  warns bash -c 'exec 9<>a/disk.raw; "$0" lock --write --fd=9' "$IMGTOOL"
  umount a b
  stop server
  serve_disk right
  for locking in auto posix; do
    run -0 --separate-stderr imgtool lock --write --locking=$locking a/disk.raw -- true
    expect_no_message
  done
  guard holder a/disk.raw --write
  for mount in a b; do
    json_status 1 $mount/disk.raw
    expect 'image.filesystem.lock_reach == "server"'
  done
}

@test "a server that refuses locks: auto fails, on falls back in vain, off runs" {
  for error in ENOLCK ENOSYS EOPNOTSUPP; do
    rm -rf back a b
    serve_disk "setlk=$error"
    run -125 --separate-stderr imgtool lock a/disk.raw -- touch ran
    expect_message '--locking=posix' '--locking=off'
    run -125 --separate-stderr imgtool lock --locking=on a/disk.raw -- touch ran
    run -125 --separate-stderr imgtool lock --locking=posix a/disk.raw -- touch ran
    refute test -e ran
    refute grep -q 'nother process' <<<"$stderr"
    run -0 imgtool lock --locking=off a/disk.raw -- true
    # a reader goes on, with one warning
    run -63 --separate-stderr imgtool check a/disk.raw
    [[ $(grep -c 'warning: ' <<<"$stderr") == 1 ]]
    umount a b
    stop server
  done
}

@test "a server that cannot be asked: the answer is not 'free'" {
  serve_disk getlk=ENOSYS
  json_status 2 a/disk.raw
  expect 'image.status == "unknown"' 'verdict("vm") == "unknown"'
  run -125 --separate-stderr imgtool lock a/disk.raw -- touch ran
  refute test -e ran
}

@test "a conflict by EACCES is a conflict" {
  serve_disk eacces
  hold_locks holder --read-write --write-lock a/disk.raw 100 1
  run -124 --separate-stderr imgtool lock b/disk.raw -- true
  expect_message 'Failed to lock byte 100' 'Is another process using the image'
}

@test "the process that a server names is not believed unless it has the file open" {
  serve_disk pid=1
  guard holder a/disk.raw --write
  for mount in a b; do
    json_status 1 $mount/disk.raw
    expect 'all(holders[].processes[]; .pid != 1)' 'any(holders[]; .identified == false)' \
      'any(image.notes[]; test("names process 1"))'
  done
}

@test "a server that names nobody: in use, by nobody known" {
  serve_disk nopid
  guard holder a/disk.raw --write
  json_status 1 b/disk.raw
  expect 'any(holders[]; .identified == false and .kind == "lock")' 'verdict("vm") == "blocked"'
}

@test "a server that names the holder rightly: named on its own mount" {
  serve_disk right
  guard holder a/disk.raw --write
  json_status 1 a/disk.raw
  expect_holder holder '{kind: "lock", uses: ["consistent read", "write", "resize"]}'
  json_status 1 b/disk.raw
  expect 'of("holder") == []' 'holders[0].identified == false'
}

@test "a server that hears late of a close: the next one still gets its lock" {
  serve_disk async=150
  for round in 1 2 3 4 5; do
    hold_locks holder --read-write a/disk.raw 100 2 201 1
    stop holder
    run -0 lets_in b --write
  done
}

@test "a slow server is waited for, a hanging one can be interrupted" {
  serve_disk slow=50
  run -0 lets_in a --write
  umount a b
  stop server
  rm -rf back a b
  serve_disk hang
  start stuck "$IMGTOOL" lock a/disk.raw -- touch ran
  sleep 0.3
  stop stuck TERM
  refute test -e ran
}

@test "a server that forgets its locks: the guard notices, in every mode" {
  for locking in on posix; do
    rm -rf back a b
    serve_disk right
    run -123 --separate-stderr imgtool lock --write --locking=$locking a/disk.raw -- \
      sh -c 'kill -s USR1 "$0"; until grep -q forgot "$1"; do sleep 0.01; done' "${PID[server]}" "$HOLD/server.out"
    expect_message 'was lost'
    run -0 --separate-stderr imgtool lock --write --locking=$locking a/disk.raw -- true
    expect_no_message
    umount a b
    stop server
  done
}

@test "a server that never shows a lock: unverified is no alarm" {
  serve_disk getfree
  run -0 --separate-stderr imgtool lock --write -v a/disk.raw -- true
  expect_message 'cannot be told'
}

@test "a server that calls bytes free that others have read-locked: a writer makes sure all the same" {
  for wrong in getread getfree; do
    rm -rf back a b
    serve_disk $wrong
    hold_locks holder --read-only a/disk.raw 100 1 201 1
    run -124 lets_in b --write
    stop holder
    run -0 lets_in b --write
    hold_locks holder --read-write a/disk.raw 100 2
    run -124 lets_in b --write --locking=posix
    # for reading it cannot be made sure of: never without the lock that was asked for
    run -125 --separate-stderr imgtool lock b/disk.raw -- touch ran
    expect_message 'does not show the locks of others'
    refute test -e ran
    run -125 --separate-stderr bash -c 'exec 9<b/disk.raw; "$0" lock --fd=9' "$IMGTOOL"
    expect_message 'does not show the locks of others'
    run -63 --separate-stderr imgtool check -f raw b/disk.raw
    stop holder
    # what was tried for an instant is not left behind
    run -0 lets_in a --write
    umount a b
    stop server
  done
}

@test "a server that calls read-locked bytes free: lock-status says that nobody can tell" {
  for wrong in getread getfree; do
    rm -rf back a b
    serve_disk $wrong
    hold_locks holder --read-only a/disk.raw 100 1 201 1
    for locking in auto posix; do
      json_status 2 --locking=$locking b/disk.raw
      expect 'image.status == "unknown"' 'image.answers == "server-untrusted"' \
        'image.error | test("does not show read locks")' 'verdict("vm") == "unknown"' \
        'verdict("info") == "unknown"'
      run -2 --separate-stderr imgtool lock-status --locking=$locking -v b/disk.raw
      expect_text 'unknown: the file server does not show read locks' \
        'answers about locks: from the file server, not to be trusted'
      run -2 imgtool lock-status -q --for=read --wait=0.5 b/disk.raw
    done
    stop holder
    umount a b
    stop server
  done
}

@test "a server that can be trusted is asked after a lock was tried, of which nothing remains" {
  serve_disk right
  for locking in auto posix; do
    json_status 0 --locking=$locking b/disk.raw
    expect 'image.answers == "server-tried"' 'image.filesystem.lock_reach == "server"' 'holders == []'
    run -0 imgtool lock-status --locking=$locking -v b/disk.raw
    expect_text 'from the file server, which shows read locks (a lock was tried)'
  done
  # a lock over the whole file meets none
  hold_locks whole --read-write --write-lock a/disk.raw 0 0
  json_status 1 b/disk.raw
  expect 'holders[0].style == "whole-file"'
  stop whole
  # whoever waits tries once, not with every look
  umount a b
  stop server
  rm -rf back a b
  serve_disk leak
  hold_locks holder --read-write a/disk.raw 100 2
  run -1 imgtool lock-status -q --for=read --wait=1 b/disk.raw
  json_status 1 b/disk.raw
  expect 'holders | length == 1' 'holders[0].ranges == [{type: "read", start: 100, end: 101}]'
}

@test "--locking=off proves nothing on a FUSE server" {
  serve_disk right
  run -2 imgtool lock-status --locking=off a/disk.raw
}

@test "two imgtools and a qemu-io on two mounts: never two writers where one is imgtool" {
  serve_disk right
  contend --locking=posix
  expect_no_overlaps
}

@test "a loop device on a server that has stopped does not hold up a look at another file" {
  require loop
  serve_disk right
  LOOP=$(losetup --find --show a/disk.raw) || skip "needs: a loop device on FUSE"
  later losetup --detach "$LOOP"
  make_raw other.raw
  kill -STOP "${PID[server]}"
  run -0 timeout 10 "$IMGTOOL" lock-status other.raw
  kill -CONT "${PID[server]}"
}

@test "nor does an unrelated process that has a file of the stopped server open" {
  serve_disk right
  hold_open unrelated read-write a/disk.raw
  make_raw other.raw
  kill -STOP "${PID[server]}"
  run -0 timeout 10 "$IMGTOOL" lock-status other.raw
  kill -CONT "${PID[server]}"
}

@test "a stopped server: SIGTERM still ends a look at its file" {
  serve_disk right
  kill -STOP "${PID[server]}"
  start stuck "$IMGTOOL" lock-status a/disk.raw
  start stuck_too "$IMGTOOL" check a/disk.raw
  sleep 0.5
  pids=("${PID[stuck]}" "${PID[stuck_too]}")
  kill -TERM "${pids[@]}"
  sleep 0.5
  for pid in "${pids[@]}"; do
    # gone, or a zombie that nobody has waited for
    refute grep -qs '^State:.[^Z]' "/proc/$pid/status"
  done
  kill -CONT "${PID[server]}"
}
