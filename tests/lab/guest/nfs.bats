# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: locks on NFS between two hosts.
# shellcheck disable=SC2030,SC2031

load ../../cli/lib
load ../lib-lab
load ../hosts
load network
load nfs

setup_file() {
  two_hosts
}

@test "each mode keeps imgtool, qemu-img and qemu-io out on the other host; nothing remains" {
  serve_disk
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    keeps_out_all b
    stop holder
    run -0 lets_in b --write
    anew guard holder a/disk.raw --write --locking=$locking
    kill_hard holder
    lets_in_all b
  done
}

@test "off protects nothing" {
  serve_disk
  guard holder a/disk.raw --write --locking=off
  lets_in_all b
}

@test "qemu-io on one host keeps imgtool out on the other" {
  serve_disk
  hold_io holder -f raw a/disk.raw
  for locking in on auto posix; do
    run -124 lets_in b --locking=$locking
  done
  stop holder
  run -0 lets_in b --write
}

@test "the holder is named on its own host, and unidentified on the other" {
  serve_disk
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    json_status 1 a/disk.raw
    expect_holder holder '{kind: "lock", identified: true}'
    json_status 1 b/disk.raw
    expect 'of("holder") == []' 'any(holders[]; .identified == false)' 'verdict("vm") == "blocked"'
    stop holder
  done
}

@test "on the server: the holder is named by its address" {
  serve_disk
  for locking in on posix; do
    anew guard holder a/disk.raw --write --locking=$locking
    json_status 1 back/disk.raw
    expect 'holders | length == 1' 'holders[0] | .kind == "lock" and .processes == [] and .identified' \
      'holders[0].nfs_clients | length == 1 and .[0].address == "10.77.1.2" and (.[0].name | test(" h1(/|$)"))' \
      'holders[0].uses == ["consistent read", "write", "resize"]' 'verdict("vm") == "blocked"' \
      'image.uses.vm.reason | test("^NFS client 10.77.1.2 ")'
    run -1 imgtool lock-status back/disk.raw
    expect_text 'in use: locked by NFS client 10.77.1.2'
    run -124 --separate-stderr imgtool lock back/disk.raw -- true
    expect_message 'It is held by NFS client 10.77.1.2'
    stop holder
  done
  # A reader may have a delegation, and keep its locks to itself until somebody opens it to write.
  guard one a/disk.raw
  guard two b/disk.raw
  run --separate-stderr imgtool lock-status --strict --for=vm --output=json back/disk.raw
  ((status != 0))
  [[ $status != 2 ]] || expect 'any(image.notes[]; test("NFS client 10.77..*has a delegation"))'
  run -124 --separate-stderr imgtool lock --write back/disk.raw -- true
  json_status 1 back/disk.raw
  expect 'holders | length == 1' '[holders[0].nfs_clients[].address] | sort == ["10.77.1.2", "10.77.2.2"]'
  stop one
  stop two
  # open without a lock, for reading by the one and for writing by the other
  hold_open writer read-write a/disk.raw
  hold_open reader read-only b/disk.raw
  json_status 1 back/disk.raw
  expect '[holders[] | select(.kind == "opener") | [.nfs_clients[0].address, .mode]] | sort ==
    [["10.77.1.2", "read-write"], ["10.77.2.2", "read-only"]]' 'verdict("vm") == "unsafe"'
}

@test "two imgtools and a qemu-io on two hosts: never two writers" {
  serve_disk
  contend --locking=posix
  expect_no_overlaps
}

@test "a host cut off for longer than its lease has lost its lock, and its guard says so" {
  serve_disk
  for locking in on posix; do
    # a new name, of which the other host knows nothing
    make_raw "a/$locking.raw"
    anew start "$locking" "$IMGTOOL" lock -v --write --locking=$locking "a/$locking.raw" -- \
      sh -c 'echo ready; read -r line'
    says $locking '^ready'
  done
  later reconnect h1 # or the guards could not end
  cut_off h1
  sleep $((LEASE + 1))
  run -0 imgtool lock --write --wait=$((LEASE + 5)) b/on.raw -- true
  run -0 imgtool lock --write --wait=$((LEASE + 5)) b/posix.raw -- true
  reconnect h1
  for locking in on posix; do
    tell $locking go
    status=0
    wait "${PID[$locking]}" || status=$?
    stderr=$(<"$HOLD/$locking.err")
    echo "$status $stderr"
    ((status == 123))
    expect_message 'was lost'
  done
}
