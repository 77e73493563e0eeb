# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks on GlusterFS: one brick, two mounts.
# shellcheck disable=SC2030,SC2031

load ../cli/lib
load lib-lab
load hosts
load gluster

LAB=${IMGTOOL_LAB:-${IMGTOOL%/*}/tests/lab}

serve_disk() {
  serve_gluster
  make_raw a/disk.raw
  wait_for 5 test -e b/disk.raw
}

@test "GlusterFS: on, auto and posix keep imgtool, qemu-img and qemu-io out of the other mount" {
  require qemu-img qemu-io
  serve_disk
  for locking in on auto posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    keeps_out_all b
    stop holder
    lets_in_all b
  done
}

@test "GlusterFS: off protects nothing" {
  require qemu-img qemu-io
  serve_disk
  anew guard holder a/disk.raw --write --locking=off
  lets_in_all b
  # nor does it heed anybody
  guard other b/disk.raw --write
  run -0 imgtool lock --write --locking=off a/disk.raw -- true
}

@test "GlusterFS: qemu-io on one mount keeps imgtool out of the other" {
  require qemu-io
  serve_disk
  hold_io holder -f raw a/disk.raw
  for locking in on auto posix; do
    run -124 lets_in b --locking=$locking
    run -124 lets_in b --write --locking=$locking
  done
  stop holder
  wait_for 2 lets_in b --write
}

@test "GlusterFS: a virtual machine and imgtool keep each other out" {
  serve_disk
  hold_vm holder a
  for locking in on auto posix; do
    run -124 lets_in b --locking=$locking
    run -124 lets_in b --write --locking=$locking
  done
  json_status 1 b/disk.raw
  expect 'holders[0].identified == false' 'verdict("vm") == "blocked"'
  stop holder
  wait_for 2 lets_in b --write
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    run -1 --separate-stderr lets_in_vm b
    expect_message 'Failed to get'
    stop holder
  done
  run -0 lets_in_vm b
}

@test "GlusterFS: nothing remains after an exit, soon nothing after a close or kill -9" {
  serve_disk
  for locking in on posix; do
    # imgtool unlocks before it closes, so that no time passes
    for round in 1 2 3 4 5; do
      run -0 lets_in a --write --locking=$locking
      run -0 lets_in b --write --locking=$locking
    done
    anew guard holder a/disk.raw --write --locking=$locking
    kill_hard holder
    run -0 imgtool lock --write --wait=2 b/disk.raw -- true
  done
  for kind in '' --posix; do
    # shellcheck disable=SC2086
    anew hold_locks holder --read-write $kind a/disk.raw 100 2 201 1
    kill_hard holder
    run -0 imgtool lock --write --wait=2 b/disk.raw -- true
  done
}

@test "GlusterFS: the holder is named on its own mount, and unidentified on the other" {
  serve_disk
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    json_status 1 a/disk.raw
    expect_holder holder '{kind: "lock", uses: ["consistent read", "write", "resize"],
      forbids: ["write", "resize"], identified: true}'
    json_status 1 b/disk.raw
    expect 'image.filesystem.type == "fuse.glusterfs"' 'of("holder") == []' \
      'holders | length == 1' 'holders[0].identified == false' 'holders[0].processes == []' \
      'holders[0].uses == ["consistent read", "write", "resize"]' 'verdict("vm") == "blocked"' \
      'any(image.notes[]; test("another host"))'
    stop holder
  done
  # without a holder it is free, as far as locks can tell
  json_status 0 b/disk.raw
  expect 'holders == []' 'verdict("vm") == "possible"' 'image.openers_complete == false'
}

@test "GlusterFS: two imgtools and a qemu-io on two mounts: never two writers" {
  require qemu-io
  serve_disk
  contend --locking=posix
  expect_no_overlaps
}

# guard_through_restart LOCKING [WAIT]: a guard sees the server go and come back. Its command ends at
# once, while the mount still looks for the new server, or when a writer on the other mount has been
# let in. Sets status and stderr.
guard_through_restart() {
  anew start holder "$IMGTOOL" lock -v --write "--locking=$1" a/disk.raw -- \
    sh -c 'echo ready; read -r line'
  says holder '^ready'
  restart_brick
  if [[ ${2:-} == wait ]]; then
    wait_for 30 reaches_server a
    wait_for 30 reaches_server b
    run -0 lets_in b --write
  fi
  tell holder go
  status=0
  wait "${PID[holder]}" || status=$?
  unset 'PID[holder]'
  stderr=$(<"$HOLD/holder.err")
}

@test "GlusterFS: locks that went with a restarted server are noticed" {
  serve_disk
  for locking in on posix; do
    guard_through_restart $locking wait
    ((status == 123))
    expect_message 'was lost'
  done
}

@test "GlusterFS: a guard that ends while the server is away waits for it, and then knows" {
  serve_disk
  for locking in on posix; do
    guard_through_restart $locking
    ((status == 123))
    expect_message 'was lost'
    wait_for 30 reaches_server a
    wait_for 30 reaches_server b
  done
}

@test "GlusterFS: a guard whose server does not come back does not claim to have held" {
  serve_disk
  run -123 --separate-stderr imgtool lock --write a/disk.raw -- kill -s KILL "${PID[server]}"
  expect_message 'may have been lost: its file server does not answer any more'
}

@test "GlusterFS: two readers that share their bytes are no alarm" {
  serve_disk
  guard other b/disk.raw
  run -0 --separate-stderr imgtool lock a/disk.raw -- true
  expect_no_message
  run -0 --separate-stderr imgtool lock a/disk.raw -- \
    sh -c "kill ${PID[other]}; while kill -0 ${PID[other]} 2>/dev/null; do sleep 0.02; done; sleep 0.5"
  expect_no_message
}

@test "GlusterFS: a copy is published, new and over an old one, and both mounts see it whole" {
  serve_gluster
  yes data | head -c 3M >src.raw
  truncate -s 8M src.raw
  for from in a b; do
    run -0 --separate-stderr imgtool convert -f raw src.raw $from/new-$from.raw
    [[ -z $stderr ]]
    cmp src.raw a/new-$from.raw
    cmp src.raw b/new-$from.raw
    chmod 640 $from/new-$from.raw
    tr d D <src.raw >other.raw
    run -0 imgtool convert -f raw other.raw $from/new-$from.raw
    cmp other.raw a/new-$from.raw
    cmp other.raw b/new-$from.raw
    [[ $(stat -c %a $from/new-$from.raw) == 640 ]]
  done
  [[ -z $(find a b -name '.*imgtool*') ]]
}

@test "GlusterFS: of two hosts that copy to one target, the status of each tells the truth" {
  local round status_a status_b pid_a pid_b
  serve_gluster
  yes 1 | head -c 4M >1.raw
  yes 2 | head -c 4M >2.raw
  for ((round = 0; round < ${LAB_ROUNDS:-10}; round++)); do
    rm -f a/t.raw
    # both are started before either can finish
    timeout 20 "$IMGTOOL" convert -r 3M -f raw 1.raw a/t.raw 2>1.err 3>&- &
    pid_a=$!
    timeout 20 "$IMGTOOL" convert -r 3M -f raw 2.raw b/t.raw 2>2.err 3>&- &
    pid_b=$!
    status_a=0 status_b=0
    wait "$pid_a" || status_a=$?
    wait "$pid_b" || status_b=$?
    ((status_a + status_b == 1)) || { echo "both: $status_a $status_b"; cat 1.err 2.err; return 1; }
    wait_for 5 cmp -s a/t.raw $((status_a == 0 ? 1 : 2)).raw
    wait_for 5 cmp -s b/t.raw $((status_a == 0 ? 1 : 2)).raw
  done
  [[ -z $(find a b -name '.*imgtool*') ]]
}
