#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status --for: the exit status answers for one use. And --wait: until that use is possible.

load lib

# answers STATUS USE...: the exit status for each of these uses of $image
answers() {
  local status=$1 use
  shift
  for use; do
    run "-$status" --separate-stderr imgtool lock-status -q "--for=$use" "$image"
    expect_no_message
  done
}

ALL=(read write info check repair convert-from convert-to vm vm-read-only)

@test "a free image: every use is possible" {
  image=disk.raw
  make_raw disk.raw
  answers 0 "${ALL[@]}"
  image=disk.qcow2
  make_qcow2 disk.qcow2
  answers 0 "${ALL[@]}"
}

@test "a raw disk that a VM writes to" {
  image=disk.raw
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio
  answers 0 info check
  answers 1 read write repair convert-from convert-to vm vm-read-only
}

@test "a raw disk that a VM reads" {
  image=disk.raw
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio,readonly=on
  answers 0 info check read convert-from vm-read-only
  answers 1 write repair convert-to vm
}

@test "a qcow2 disk that a VM writes to" {
  image=disk.qcow2
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio
  answers 1 "${ALL[@]}"
}

@test "a qcow2 disk that a VM reads" {
  image=disk.qcow2
  make_qcow2 disk.qcow2
  hold_qemu vm -drive file=disk.qcow2,format=qcow2,if=virtio,readonly=on
  answers 0 info check read convert-from vm-read-only
  answers 1 write repair convert-to vm
}

@test "a writer without a lock: what needs peace is unsafe" {
  image=disk.raw
  make_raw disk.raw
  hold_open writer read-write disk.raw
  answers 1 read write repair convert-from convert-to vm vm-read-only
}

@test "a lock that means nothing to QEMU keeps no use from being possible" {
  image=disk.raw
  make_raw disk.raw
  hold_locks daemon --posix --read-only disk.raw 0 1
  answers 0 "${ALL[@]}"
}

@test "the answers agree with what QEMU's programs then meet" {
  image=disk.qcow2
  make_qcow2 disk.qcow2
  hold_io io -r disk.qcow2
  answers 0 check vm-read-only
  answers 1 write vm
  run -0 qemu-img check disk.qcow2
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  expect_text 'Failed to get "write" lock'
  hold_qemu reader -drive file=disk.qcow2,format=qcow2,if=virtio,readonly=on
}

# same_when_quiet: -q takes short cuts, and must come to the same answers
same_when_quiet() {
  local use aloud quiet
  for use in '' "${ALL[@]}"; do
    aloud=0 quiet=0
    imgtool lock-status ${use:+--for=$use} disk.raw >/dev/null || aloud=$?
    imgtool lock-status -q ${use:+--for=$use} disk.raw || quiet=$?
    ((aloud == quiet)) && continue
    echo "$1, --for=$use: $aloud, with -q: $quiet" >&2
    return 1
  done
}

@test "-q answers the same, whoever holds the image" {
  make_raw disk.raw
  same_when_quiet "nobody"
  hold_open reader read-only disk.raw
  same_when_quiet "an opener for reading"
  hold_locks flocked --read-only --flock disk.raw
  same_when_quiet "flock"
  stop flocked
  hold_locks locked --read-only disk.raw 100 1
  same_when_quiet "a reader with a lock"
  hold_open writer read-write disk.raw
  same_when_quiet "a reader with a lock, and a writer without one"
  stop locked
  same_when_quiet "a writer without a lock"
  hold_locks libvirt --posix --write-lock disk.raw 0 1
  same_when_quiet "libvirt and a writer without a lock"
  stop writer
  same_when_quiet "libvirt"
}

@test "several images: one that is blocked decides" {
  make_raw one.raw
  make_raw two.raw
  hold_locks holder two.raw 201 1
  run -1 imgtool lock-status -q --for=write one.raw two.raw
  run -0 imgtool lock-status -q --for=write one.raw
}

@test "a use that there is not" {
  make_raw disk.raw
  run -2 --separate-stderr imgtool lock-status --for=lunch disk.raw
  expect_message lunch --for vm-read-only "Try 'imgtool lock-status --help'"
}

# release_after SECONDS NAME: while the test goes on
release_after() {
  (sleep "$1" && kill "${PID[$2]}") 3>&- 4>&- &
}

# seconds_since MICROSECONDS, in tenths
tenths_since() {
  echo $((($(now_us) - $1) / 100000))
}

@test "--wait returns when the holder goes" {
  make_raw disk.raw
  for kind in --ofd --posix --none; do
    hold_locks holder "$kind" disk.raw 100 2
    begin=$(now_us)
    release_after 1 holder
    run -0 --separate-stderr imgtool lock-status --wait=30 disk.raw
    tenths=$(tenths_since "$begin")
    ((tenths >= 8 && tenths < 100))
    stop holder
  done
}

@test "--wait without a number waits as long as it takes; --lock-wait is the same" {
  make_raw disk.raw
  for option in --wait --lock-wait; do
    hold_locks holder disk.raw 100 2
    start waiter "$IMGTOOL" lock-status -q "$option" disk.raw
    sleep 1
    kill -0 "${PID[waiter]}"
    stop holder
    wait "${PID[waiter]}"
    unset "PID[waiter]"
  done
}

@test "--wait gives up in time with status 1 and says who is in the way" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  for seconds in 0.5 0 .25; do
    begin=$(now_us)
    run -1 --separate-stderr imgtool lock-status "--wait=$seconds" disk.raw
    tenths=$(tenths_since "$begin")
    ((tenths < 40))
    expect_text "disk.raw: in use" "pid ${PID[holder]}"
  done
  begin=$(now_us)
  run -1 imgtool lock-status -q --wait=1 disk.raw
  tenths=$(tenths_since "$begin")
  ((tenths >= 10 && tenths < 50))
}

@test "--wait with --for waits for that use alone" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio
  begin=$(now_us)
  run -0 imgtool lock-status --wait=20 --for=check disk.raw
  tenths=$(tenths_since "$begin")
  ((tenths < 30))
  run -1 imgtool lock-status --wait=0.3 --for=write disk.raw
}

@test "--wait ends when one of two holders remains that does not matter" {
  make_raw disk.raw
  hold_locks reader --read-only disk.raw 100 1
  hold_locks writer disk.raw 100 2
  run -1 imgtool lock-status --for=convert-from disk.raw
  release_after 1 writer
  run -0 imgtool lock-status --wait=30 --for=convert-from disk.raw
  run -1 imgtool lock-status disk.raw # for the reader is still there
}

@test "--wait with several images waits for all of them" {
  make_raw one.raw
  make_raw two.raw
  hold_locks first one.raw 100 2
  hold_locks second two.raw 100 2
  run -1 imgtool lock-status one.raw two.raw
  release_after 0.3 first
  release_after 1.2 second
  begin=$(now_us)
  run -0 imgtool lock-status --wait=30 one.raw two.raw
  tenths=$(tenths_since "$begin")
  ((tenths >= 8))
}

@test "--wait does not wait for what will not change" {
  run -2 timeout 10 "$IMGTOOL" lock-status --wait missing.raw
  make_raw disk.raw
  run -0 timeout 10 "$IMGTOOL" lock-status --wait disk.raw
}

@test "--wait in JSON is one object, and no word on the messages' side" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  release_after 0.5 holder
  json_status 0 --wait=30 disk.raw
  expect 'image.status == "free"'
  expect_no_message
}

@test "--wait takes no lock itself: others get theirs meanwhile" {
  make_qcow2 disk.qcow2
  hold_io reader -r disk.qcow2
  start waiter "$IMGTOOL" lock-status -q --wait=30 --for=write disk.qcow2
  sleep 0.3
  for _ in {1..10}; do
    qemu-img check -q disk.qcow2
  done
  kill -0 "${PID[waiter]}"
  stop reader
  wait "${PID[waiter]}"
  unset "PID[waiter]"
  qemu-io -c 'write 0 512' disk.qcow2
}

@test "--wait names on a terminal whom it waits for" {
  require script
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  release_after 2 holder
  run -0 script --quiet --return --command "'$IMGTOOL' lock-status --wait=30 disk.raw" /dev/null
  expect_text "locker (pid ${PID[holder]}"
}

@test "--wait: bad numbers" {
  make_raw disk.raw
  for value in -1 x 1x nan inf ''; do
    run -2 --separate-stderr imgtool lock-status "--wait=$value" disk.raw
    expect_message "--wait" "Try 'imgtool lock-status --help'"
  done
}
