#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check, which has nothing to check in a raw image yet: its statuses, messages and locks.

load lib

# check STATUS [arguments]
check() {
  run "-$1" --separate-stderr imgtool check "${@:2}"
}

NO_CHECKS="imgtool: 'disk.raw': This image format does not support checks"

@test "raw: status 63, a message, an empty output" {
  make_raw disk.raw
  for output_format in human json; do
    check 63 --output=$output_format disk.raw
    [[ -z $output ]]
    [[ $stderr == "$NO_CHECKS" ]]
  done
  check 63 -f raw disk.raw
  [[ $(qemu-img check -f raw disk.raw 2>&1 >/dev/null) == *"${NO_CHECKS##*: }"* ]]
}

@test "an empty file, a block device" {
  : >disk.raw
  check 63 disk.raw
  if has root && has loop; then
    truncate -s 1M disk.raw
    make_loop disk.raw
    check 63 "$LOOP"
  fi
}

@test "several images: the highest status, every one is tried" {
  make_raw disk.raw
  check 1 disk.raw missing.raw
  expect_message "$NO_CHECKS" "imgtool: cannot open 'missing.raw': No such file or directory"
  check 1 missing.raw absent.raw
  expect_message missing.raw absent.raw
}

@test "what is no image" {
  mkdir folder
  mkfifo pipe
  for name in folder pipe /dev/zero missing.raw; do
    run -1 --separate-stderr timeout 10 "$IMGTOOL" check "$name"
    expect_message "imgtool: " "'$name'"
    [[ -z $output ]]
  done
}

@test "a partition table past the end of the file is said, in JSON too" {
  require sfdisk
  make_raw disk.raw 8M
  echo '2048,' | sfdisk -q -X gpt disk.raw
  check 63 disk.raw
  [[ $stderr == "$NO_CHECKS" ]]
  truncate -s 5M disk.raw

  check 63 disk.raw
  expect_message "$NO_CHECKS" "imgtool: 'disk.raw': its gpt partition table ends at byte" \
    "but the file ends at byte 5242880: the image is truncated"
  check 63 --output=json disk.raw
  expect_message "the image is truncated"
  expect '.filename == "disk.raw"' '.format == "raw"' '.["check-errors"] == 0' \
    '.content.truncated == true' '.content["partition-table"] == "gpt"'
}

@test "a format that is not supported yet" {
  qemu-img create -q -f vmdk disk.vmdk 1M
  check 1 disk.vmdk
  [[ $stderr == "imgtool: 'disk.vmdk' looks like vmdk, which is not supported yet; use -f raw to \
treat its bytes as a raw disk" ]]
  check 63 -f raw disk.vmdk
}

@test "check reads: who forbids reading is in its way, and named" {
  make_raw disk.raw
  hold_locks other disk.raw 200 1
  check 1 disk.raw
  expect_message "imgtool: cannot open 'disk.raw': Failed to get \"consistent read\" lock
Is another process using the image [disk.raw]?
It is held by locker (pid ${PID[other]})"
  [[ ${#stderr_lines[@]} -eq 3 ]]
  [[ -z $output ]]
  check 1 --locking=posix disk.raw
  check 1 --locking=on disk.raw
  check 63 --locking=off disk.raw
}

@test "every holder that is in the way is named, and only those" {
  make_raw disk.raw
  hold_locks one disk.raw 200 1
  hold_locks two --posix disk.raw 200 1
  hold_locks three disk.raw 201 1
  check 1 disk.raw
  expect_message "locker (pid ${PID[one]})" "locker (pid ${PID[two]})"
  [[ $stderr != *"pid ${PID[three]}"* ]]
}

@test "check does not mind a VM that writes to a raw disk" {
  make_raw disk.raw
  hold_qemu vm -drive file=disk.raw,format=raw,if=virtio
  check 63 disk.raw
  [[ $stderr == "$NO_CHECKS" ]]
}

@test "a write lock over everything" {
  make_raw disk.raw
  hold_locks vmm --write-lock disk.raw 0 0
  check 1 disk.raw
  expect_message "imgtool: cannot open 'disk.raw': Failed to " "pid ${PID[vmm]}"
}

@test "the name in the question is the one that was given" {
  make_raw disk.raw
  hold_locks other disk.raw 200 1
  check 1 "$DIR/./disk.raw"
  expect_message "[$DIR/./disk.raw]"
}

@test "--lock-wait: until the holder goes" {
  make_raw disk.raw
  for option in --lock-wait --lock-wait=30; do
    hold_locks other disk.raw 200 1
    (sleep 1 && kill "${PID[other]}") 3>&- 4>&- &
    begin=$(now_us)
    check 63 "$option" disk.raw
    tenths=$((($(now_us) - begin) / 100000))
    ((tenths >= 8))
    stop other
  done
}

@test "--lock-wait: given up in time" {
  make_raw disk.raw
  hold_locks other disk.raw 200 1
  begin=$(now_us)
  check 1 --lock-wait=0.7 disk.raw
  tenths=$((($(now_us) - begin) / 100000))
  ((tenths >= 7 && tenths < 50))
  expect_message 'Failed to get "consistent read" lock' "pid ${PID[other]}"
}

@test "-U still says that it reads, and is refused by who forbids that" {
  make_raw disk.raw
  hold_locks other disk.raw 200 1
  check 1 -U disk.raw
  check 1 --force-share disk.raw
  stop other
  check 63 -U disk.raw
}

@test "-q keeps to errors" {
  make_raw disk.raw
  check 63 -q disk.raw
  [[ -z $output ]]
  check 1 -q missing.raw
  expect_message missing.raw
}

@test "check leaves no lock behind and changes nothing" {
  make_raw disk.raw
  before=$(stat -c '%y %z %s' disk.raw)
  for mode in auto on posix off; do
    check 63 --locking=$mode disk.raw
  done
  [[ $(stat -c '%y %z %s' disk.raw) == "$before" ]]
  json_status 0 disk.raw
}

@test "escape sequences in the name of a holder do not reach the terminal" {
  make_raw disk.raw
  cp "$TOOLS/locker" $'lo\e[31mck'
  start other $'./lo\e[31mck' disk.raw 200 1
  says other '^ready '
  check 1 disk.raw
  expect_message "pid ${PID[other]}"
  [[ $stderr != *$'\e'* ]]
}

@test "qemu-img's other options: nothing to repair, no cache to choose" {
  make_raw disk.raw
  for words in "-r leaks" "-r all" --repair=all "-T none" --cache=writeback "-r all -T unsafe"; do
    # shellcheck disable=SC2086
    run -63 --separate-stderr imgtool check $words -f raw disk.raw
    [[ -z $output && $stderr == *"This image format does not support checks" ]]
  done
  run -1 --separate-stderr imgtool check -r some -f raw disk.raw
  expect_message "bad value 'some' for --repair: it must be leaks or all"
  run -1 --separate-stderr imgtool check -T some -f raw disk.raw
  expect_message "bad value 'some' for --cache: it must be none, writeback"
  run -1 --separate-stderr imgtool check -U -r all -f raw disk.raw
  expect_message "--repair and --force-share exclude each other"
  run -1 --separate-stderr imgtool check --object secret,id=x,data=y -f raw disk.raw
  [[ -z $output && $stderr == "imgtool: --object is not supported yet" ]]
}
