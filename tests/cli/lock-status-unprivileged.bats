#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status for somebody who may not look into every process: locked is told from free, and
# what could not be seen is said.

load lib

# nobody_status STATUS [arguments]: like json_status, asked by nobody
nobody_status() {
  imgtool_for_nobody
  run "-$1" --separate-stderr as_nobody timeout 60 bin/imgtool lock-status --output=json "${@:2}"
}

# own_image: a file that nobody owns, so that nobody may take a lease on it
own_image() {
  make_raw disk.raw
  chown 65534:65534 disk.raw
}

@test "nobody sees that root holds a lock, not who" {
  require root
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio

  nobody_status 1 disk.raw
  expect 'image.status == "in-use"' 'image.openers_complete == false' \
    'image.uninspected_processes >= 1' 'holders | length >= 1' \
    'all(holders[]; .identified == false)' 'image.notes | length >= 1'
  expect '[image.permissions[] | select(.used).name] == ["consistent read", "write"]' \
    '[image.permissions[] | select(.forbidden).name] == ["write"]'
  expect 'verdict("info") == "possible"' 'verdict("vm") == "blocked"' 'image.uses.vm.pids == []'

  run -1 --separate-stderr as_nobody bin/imgtool lock-status disk.raw
  [[ ${lines[0]} == \
    "disk.raw: in use: locked by a process that is not visible to you (try as root)" ]]
  expect_text "note: "
}

@test "a POSIX lock names its process even to nobody" {
  require root
  make_raw disk.raw
  hold_locks holder --posix disk.raw 100 2
  nobody_status 1 disk.raw
  expect 'any(holders[].processes[]; .pid == $pids.holder and .command == "locker")'
}

@test "an opener of root's is not visible: the answer is free, but says what is missing" {
  require root
  make_raw disk.raw
  hold_open writer read-write disk.raw

  nobody_status 0 disk.raw
  expect 'image.openers_complete == false' 'image.no_writers_proven == false' \
    'image.uninspected_processes >= 1' 'image.notes | length >= 1'
  run -0 as_nobody bin/imgtool lock-status disk.raw
  expect_text "disk.raw: free, as far as can be seen" "note: "
  nobody_status 2 --strict disk.raw
}

@test "--strict on a free file of another user: nobody cannot prove anything" {
  require root
  make_raw disk.raw
  nobody_status 0 disk.raw
  nobody_status 2 --strict disk.raw
  nobody_status 2 --strict --for=write disk.raw
}

@test "--strict on one's own file: a lease proves that nobody writes" {
  require root
  own_image
  nobody_status 0 --strict disk.raw
  expect 'image.no_writers_proven == true' 'image.status == "free"'
}

@test "without leases one's own file is as unproven as any" {
  require root
  own_image
  imgtool_for_nobody
  cp "$TOOLS/without-locks" bin/
  run -2 as_nobody bin/without-locks lease bin/imgtool lock-status --strict disk.raw
}

@test "a lease tells nobody that root writes to nobody's file" {
  require root
  own_image
  hold_open writer read-write disk.raw
  nobody_status 1 disk.raw
  expect 'image.status == "in-use"' 'image.no_writers_proven == false' \
    'any(holders[]; .kind == "opener" and .identified == false)'
}

@test "what is in use stays in use under --strict" {
  require root
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  nobody_status 1 --strict disk.raw
}

@test "--strict with --for: a reader that is seen does not vouch for the writers that are not" {
  require root
  make_raw disk.raw
  hold_locks reader --read-only disk.raw 100 1
  hold_open writer read-write disk.raw
  nobody_status 0 --for=convert-from disk.raw
  nobody_status 2 --for=convert-from --strict disk.raw
}

@test "nobody's own processes are named to nobody" {
  require root
  own_image
  chmod 777 "$HOLD"
  mkdir bin
  cp "$TOOLS/locker" bin/
  start holder setpriv --reuid=65534 --regid=65534 --clear-groups -- bin/locker disk.raw 100 2
  says holder '^ready '
  nobody_status 1 disk.raw
  expect_holder holder '{kind: "lock", identified: true}'
  expect 'of("holder")[0].processes[0] | .command == "locker" and .uid == 65534'
}

@test "--strict as root and on one's own file" {
  make_raw disk.raw
  json_status 0 --strict disk.raw
  expect 'image.openers_complete or image.no_writers_proven'
}

@test "--strict does not forgive --locks-only, unless a lease proves what was not looked for" {
  make_raw disk.raw
  json_status 0 --locks-only --strict disk.raw
  expect 'image.openers_scanned == false' 'image.no_writers_proven == true'
  run -0 without lease "$IMGTOOL" lock-status --locks-only disk.raw
  run -2 without lease "$IMGTOOL" lock-status --locks-only --strict disk.raw
  hold_locks holder disk.raw 100 1
  run -1 without lease "$IMGTOOL" lock-status --locks-only --strict disk.raw
}

@test "an unreadable file cannot be determined" {
  make_raw disk.raw
  chmod 000 disk.raw
  as=()
  if ((EUID == 0)); then
    imgtool_for_nobody
    as=(as_nobody bin/imgtool)
  fi
  run -2 "${as[@]:-imgtool}" lock-status disk.raw
  expect_text "disk.raw: unknown: " "permission"
  run -2 "${as[@]:-imgtool}" lock-status --output=json disk.raw
  expect 'image.status == "unknown"' 'image.error | test("permission"; "i")' \
    'all(image.uses[]; .verdict == "unknown")'
}

@test "an unreadable file that is locked: the kernel's table tells even nobody" {
  require root
  make_raw disk.raw
  chmod 000 disk.raw
  hold_locks holder disk.raw 100 2
  nobody_status 1 disk.raw
  expect 'image.status == "in-use"' 'any(holders[]; .uses == ["consistent read", "write"])'
}
