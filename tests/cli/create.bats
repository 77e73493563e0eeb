#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# create: the message is qemu-img's, byte for byte, and mistakes change nothing.

load lib

# like_qemu_img ARGUMENT...: imgtool and qemu-img say and make the same
like_qemu_img() {
  local wanted size
  rm -f new.raw
  wanted=$(qemu-img create "$@")
  size=$(stat -c %s new.raw)
  rm new.raw
  run -0 --separate-stderr imgtool create "$@"
  expect_no_message
  [[ $output == "$wanted" && $(stat -c %s new.raw) == "$size" ]]
  cmp -n "$size" new.raw /dev/zero
}

# refuses TEXT ARGUMENT...: fails with that message, and makes nothing
refuses() {
  run -1 --separate-stderr imgtool create "${@:2}"
  [[ -z $output ]]
  expect_message "imgtool: " "$1"
  [[ ! -e new.raw ]]
}

@test "the message, the size and the content are qemu-img's" {
  like_qemu_img new.raw 1M
  like_qemu_img -f raw new.raw 1536k
  like_qemu_img new.raw 1.5M
  like_qemu_img new.raw 0
  like_qemu_img new.raw 512
  like_qemu_img -f raw -o preallocation=off new.raw 64K
  like_qemu_img -f raw -o preallocation=falloc new.raw 1M
  like_qemu_img -o preallocation=off -o preallocation=full new.raw 1M
  like_qemu_img -o size=1M new.raw
  like_qemu_img -u new.raw 1M
  like_qemu_img -q new.raw 1M
}

@test "long options, and options behind the operands" {
  like_qemu_img --format raw new.raw 1M --options preallocation=falloc
  like_qemu_img new.raw 1M --quiet
  like_qemu_img --format=raw --options=preallocation=off --backing-unsafe new.raw 1M
}

@test "the size is exact" {
  run -0 imgtool create new.raw 1000001
  [[ $output == "Formatting 'new.raw', fmt=raw size=1000001" ]]
  [[ $(stat -c %s new.raw) == 1000001 ]]
}

@test "preallocation takes the space" {
  imgtool create -q -o preallocation=off new.raw 1M
  (($(stat -c %b new.raw) == 0))
  for mode in falloc full; do
    imgtool create -q -o preallocation=$mode new.raw 1M
    (($(stat -c %b new.raw) >= 2048))
  done
}

@test "a name is printed so that it does nothing" {
  run -0 imgtool create $'new\e.raw' 1M
  [[ $output == "Formatting 'new\\x1b.raw', fmt=raw size=1048576" ]]
  [[ -e $'new\e.raw' ]]
}

@test "-o help" {
  for words in "-o help" "-o ? new.raw 1M" "-f raw -o help new.raw"; do
    # shellcheck disable=SC2086
    run -0 --separate-stderr imgtool create $words
    [[ ${lines[0]} == "Supported raw options:" ]]
    expect_text preallocation=
    expect_text size=
    [[ ! -e new.raw ]]
  done
}

@test "mistakes" {
  refuses "create: which image?"
  refuses "create: which size?" new.raw
  refuses "create: what is 'more'? It takes a file and a size" new.raw 1M more
  refuses "create: the size was given twice" -o size=1M new.raw 1M
  for size in 1x x '' 1MM ' ' 8E 9223372036854775808 1e30 nan inf; do
    refuses "bad size '$size'" new.raw "$size"
  done
  refuses "bad size '-1'" -- new.raw -1
  refuses "bad value 'x' for size" -o size=x new.raw
  refuses "bad value 'x' for preallocation" -o preallocation=x new.raw 1M
  refuses "unknown key 'nonsense' in -o: it can be preallocation or size" \
    -o nonsense=1 new.raw 1M
  refuses "bad value 'preallocation=off,' for --options" -o preallocation=off, new.raw 1M
  refuses "the format vdi is not supported yet" -f vdi new.raw 1M
  refuses "no such format" -f nonsense new.raw 1M
  refuses "a raw image cannot have a backing file" -b base.raw -F raw new.raw 1M
  refuses "--object is not supported yet" --object secret,id=x new.raw 1M
}

@test "an image that exists is replaced, and keeps its mode" {
  echo old >new.raw
  chmod 640 new.raw
  run -0 --separate-stderr imgtool create new.raw 1M
  expect_no_message
  [[ $(stat -c '%s %a' new.raw) == "1048576 640" ]]
  cmp -n 1M new.raw /dev/zero
}

@test "a failure leaves what was there" {
  echo old >new.raw
  run -1 --separate-stderr imgtool create new.raw 7E
  [[ -z $output && $(cat new.raw) == old ]]
  run -1 --separate-stderr imgtool create missing/new.raw 1M
  [[ -z $output ]]
  expect_message "missing"
}

@test "an image in use is left alone" {
  truncate -s 1M new.raw
  hold_io holder -f raw new.raw
  run -1 --separate-stderr imgtool create new.raw 2M
  expect_message "Failed to get" "pid ${PID[holder]}"
  [[ $(stat -c %s new.raw) == 1048576 ]]
}
