#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# --locking=auto, on, posix and off when imgtool opens an image: on a whole kernel, on one without
# OFD locks, and where the filesystem refuses every lock.

load lib

# hold_without WHAT NAME [hold-image's arguments]
hold_without() {
  start "$2" "$TOOLS/without-locks" "$1" "$TOOLS/hold-image" "${@:3}" && says "$2" '^ready'
}

# try_without WHAT STATUS [hold-image's arguments]
try_without() {
  run "-$2" --separate-stderr without "$1" "$TOOLS/hold-image" "${@:3}" </dev/null
}

# check_without WHAT STATUS [check's arguments]
check_without() {
  run "-$2" --separate-stderr without "$1" "$IMGTOOL" check "${@:3}"
}

lock_kinds() {
  sed -n 's/^lock:\t[0-9]*: \([A-Z]*\).*/\1/p' "/proc/${PID[$1]}/fdinfo/"* | sort -u | tr '\n' ' '
}

messages_of() {
  cat "$HOLD/$1.err"
}

@test "auto and on take OFD locks, posix POSIX locks, off none; none of them warns" {
  make_raw disk.raw
  hold_image auto --locking=auto --read disk.raw
  hold_image on --locking=on --read disk.raw
  hold_image posix --locking=posix --read disk.raw
  hold_image off --locking=off --write disk.raw
  [[ $(lock_kinds auto) == "OFDLCK " ]]
  [[ $(lock_kinds on) == "OFDLCK " ]]
  [[ $(lock_kinds posix) == "POSIX " ]]
  [[ -z $(lock_kinds off) ]]
  for name in auto on posix off; do
    [[ -z $(messages_of $name) ]]
  done
}

@test "a kernel without OFD locks: auto takes none, on takes POSIX with a warning" {
  make_raw disk.raw
  hold_without ofd auto --locking=auto --read disk.raw
  hold_without ofd on --locking=on --read disk.raw
  hold_without ofd posix --locking=posix --read disk.raw
  hold_without ofd off --locking=off --read disk.raw
  [[ -z $(lock_kinds auto) ]]
  [[ -z $(messages_of auto) ]]
  [[ $(lock_kinds on) == "POSIX " ]]
  grep -qi "locks can be lost" "$HOLD/on.err"
  [[ $(lock_kinds posix) == "POSIX " ]]
  [[ -z $(messages_of posix) ]]
  [[ -z $(lock_kinds off) ]]
}

@test "a kernel without OFD locks: auto lets a writer go on too, as QEMU does" {
  make_raw disk.raw
  hold_without ofd writer --write disk.raw
  [[ -z $(lock_kinds writer) ]]
}

@test "a kernel without OFD locks: check says under -v that it goes without" {
  make_raw disk.raw
  check_without ofd 63 disk.raw
  quiet=$stderr
  check_without ofd 63 -v disk.raw
  [[ ${#stderr} -gt ${#quiet} ]]
  expect_message lock
  check_without ofd 63 --locking=on disk.raw
  expect_message "locks can be lost"
  check_without ofd 63 --locking=posix disk.raw
  [[ $stderr == "$quiet" ]]
}

@test "POSIX locks keep QEMU out, and QEMU's keep imgtool out" {
  make_qcow2 disk.qcow2
  hold_image writer --locking=posix --write disk.qcow2
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  run -1 qemu-img info disk.qcow2
  json_status 1 disk.qcow2
  expect_holder writer '{lock: "POSIX", uses: ["consistent read", "write", "resize"]}'
  stop writer

  hold_io io disk.qcow2
  run -1 --separate-stderr "$TOOLS/hold-image" --locking=posix --write disk.qcow2 </dev/null
  expect_message 'Failed to get "write" lock'
}

@test "POSIX locks on QEMU's side are respected" {
  make_qcow2 disk.qcow2
  QEMU_WRAPPER=("$TOOLS/without-locks" ofd)
  hold_io io --image-opts driver=qcow2,file.driver=file,file.filename=disk.qcow2,file.locking=on
  [[ $(lock_kinds io) == "POSIX " ]]
  for mode in auto on posix; do
    run -1 --separate-stderr "$TOOLS/hold-image" --locking=$mode --write disk.qcow2 </dev/null
    expect_message 'Failed to get "write" lock'
  done
  json_status 1 disk.qcow2
  expect_holder io '{lock: "POSIX", style: "qemu"}'
}

@test "off goes past every lock, and takes none" {
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  hold_image off --locking=off --write disk.qcow2
  [[ -z $(lock_kinds off) ]]
}

@test "no locks here: with auto a reader goes on with one warning" {
  make_raw disk.raw
  check_without all 63 disk.raw
  expect_message "disk.raw" "No locks available"
  [[ $stderr != *"nother process"* ]]
  [[ $(grep -ci "no locks available" <<<"$stderr") -eq 1 ]]
  hold_without all reader --read disk.raw
}

@test "no locks here: with auto a writer stops" {
  make_raw disk.raw
  try_without all 1 --write disk.raw
  expect_message "Failed to lock byte 100: No locks available"
  [[ $stderr != *"nother process"* ]]
}

@test "no locks here: on tries POSIX locks too, then fails" {
  make_raw disk.raw
  check_without all 1 --locking=on disk.raw
  expect_message "Failed to lock byte 100: No locks available" "--locking="
  [[ $stderr != *"nother process"* ]]
  try_without all 1 --locking=on --read disk.raw
  try_without all 1 --locking=on --write disk.raw
}

@test "no locks here: posix fails, off works" {
  make_raw disk.raw
  check_without all 1 --locking=posix disk.raw
  expect_message "Failed to lock byte 100: No locks available" "--locking="
  [[ $stderr != *"nother process"* ]]
  try_without all 1 --locking=posix --write disk.raw
  check_without all 63 --locking=off disk.raw
  try_without all 0 --locking=off --write disk.raw
}

@test "locking decides, not asking: a filesystem that answers F_GETLK but refuses F_SETLK" {
  make_raw disk.raw
  try_without setlk 1 --write disk.raw
  expect_message "Failed to lock byte 100: No locks available"
  check_without setlk 63 disk.raw
  expect_message "No locks available"
}

@test "the POSIX locks that on falls back to are as good: others meet them" {
  make_raw disk.raw
  hold_without ofd holder --locking=on --write disk.raw
  [[ $(lock_kinds holder) == "POSIX " ]]
  run -1 --separate-stderr "$TOOLS/hold-image" --write disk.raw </dev/null
  expect_message 'Failed to get "write" lock'
  json_status 1 disk.raw
  expect_holder holder '{lock: "POSIX", style: "qemu"}'
}

@test "POSIX mode does not lose its locks to imgtool's own looking" {
  make_raw disk.raw
  # check looks at the content behind the lock: afterwards, in the same process, it still counts.
  run -63 imgtool check --locking=posix disk.raw disk.raw
  ln disk.raw hard.raw
  run -63 imgtool check --locking=posix disk.raw hard.raw
  hold_image holder --locking=posix --write disk.raw
  [[ $(lock_kinds holder) == "POSIX " ]]
}
