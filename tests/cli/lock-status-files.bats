#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status and what may stand in an image's place; several images; file names of all kinds.

load lib

# undetermined NAME TEXT...: exit 2, the reason as a message and in JSON
undetermined() {
  run -2 --separate-stderr timeout 10 "$IMGTOOL" lock-status "$1"
  expect_message "imgtool: " "${@:2}"
  run -2 --separate-stderr timeout 10 "$IMGTOOL" lock-status --output=json "$1"
  expect '.schema == 1' 'image.status == "unknown"' 'image.error | length > 0' \
    'image.summary | length > 0'
}

@test "a missing file" {
  undetermined missing.raw "missing.raw" "No such file or directory"
}

@test "a directory" {
  mkdir folder
  undetermined folder "folder" "directory"
}

@test "a FIFO is not waited for" {
  mkfifo pipe
  undetermined pipe "pipe"
}

@test "a character device" {
  undetermined /dev/zero "/dev/zero"
}

@test "a name with a slash behind a file, and a dangling link" {
  make_raw disk.raw
  undetermined disk.raw/ "disk.raw/" "Not a directory"
  ln -s nowhere dangling
  undetermined dangling "dangling" "No such file or directory"
}

@test "an empty file is as good as any" {
  : >empty.raw
  json_status 0 empty.raw
  expect 'image.status == "free"' 'image.format == "raw"'
  hold_locks holder empty.raw 100 2
  json_status 1 empty.raw
  expect_holder holder '{uses: ["consistent read", "write"]}'
}

@test "a file of one byte" {
  printf x >tiny.raw
  json_status 0 tiny.raw
  hold_locks holder tiny.raw 201 1
  json_status 1 tiny.raw
  expect_holder holder '{forbids: ["write"]}'
}

@test "a read-only file" {
  make_raw disk.raw
  chmod 444 disk.raw
  json_status 0 disk.raw
  hold_locks holder --read-only disk.raw 100 1
  json_status 1 disk.raw
  expect_holder holder '{mode: "read-only"}'
}

@test "several images: all are answered, the highest status is returned" {
  make_raw one.raw
  make_raw two.raw
  hold_locks holder two.raw 100 2

  json_status 0 one.raw
  json_status 1 two.raw one.raw
  expect '[.images[].filename] == ["two.raw", "one.raw"]' \
    '[.images[].status] == ["in-use", "free"]'
  json_status 2 one.raw missing.raw two.raw
  expect '[.images[].status] == ["free", "unknown", "in-use"]'
  run -2 --separate-stderr imgtool lock-status one.raw missing.raw two.raw
  expect_text "one.raw: free" "two.raw: in use"
  expect_message "missing.raw"
}

@test "the same image twice is answered twice" {
  make_raw disk.raw
  json_status 0 disk.raw ./disk.raw
  expect '.images | length == 2'
}

@test "a name that begins with a dash, and one with a colon" {
  make_raw ./-disk.raw
  json_status 0 -- -disk.raw
  expect 'image.filename == "-disk.raw"'
  make_raw nbd:disk.raw
  json_status 0 ./nbd:disk.raw
}

@test "a name that is not UTF-8: escaped for people, bytes in JSON" {
  name=$'d\xff\xfesk.raw'
  make_raw "$name"
  json_status 0 "$name"
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
  expect 'image.filename == "d\ufffd\ufffdsk.raw"' \
    "image.filename_bytes == \"$(printf %s "$name" | base64)\""

  run -0 imgtool lock-status "$name"
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
  [[ $output == *sk.raw:\ free:* ]]
}

@test "a UTF-8 name is left as it is" {
  make_raw "дѝск.raw"
  json_status 0 "дѝск.raw"
  expect 'image.filename == "дѝск.raw"' 'image | has("filename_bytes") | not'
  run -0 imgtool lock-status "дѝск.raw"
  expect_text "дѝск.raw: free"
}

@test "escape sequences and newlines in a name never reach the terminal" {
  name=$'e\e[31mvil\r\n.raw'
  make_raw "$name"
  for colour in auto never; do
    run -0 imgtool lock-status "--color=$colour" "$name"
    [[ $output != *$'\e'* && $output != *$'\r'* ]]
    [[ $(grep -cv '^note: ' <<<"$output") -eq 1 ]]
    expect_text 'vil' ': free'
  done
  json_status 0 "$name"
  expect 'image.filename == "e\u001b[31mvil\r\n.raw"'

  rm -- "$name"
  run -2 --separate-stderr imgtool lock-status "$name"
  [[ $stderr != *$'\e'* && $stderr != *$'\r'* ]]
}

@test "nor do those in a holder's name and command line" {
  make_raw disk.raw
  cp "$TOOLS/locker" $'lo\e[31mck'
  start holder $'./lo\e[31mck' disk.raw 100 2
  says holder '^ready '
  start second bash -c 'exec -a "$1" "$0" disk.raw 100 1' "$TOOLS/locker" $'a\e]0;title\a\xff\nb'
  says second '^ready '

  run -1 imgtool lock-status disk.raw
  [[ $output != *$'\e'* && $output != *$'\a'* ]]
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
  json_status 1 disk.raw
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
  expect 'of("holder")[0].processes[0].command == "lo\u001b[31mck"' \
    'of("second")[0].processes[0].cmdline[0] == "a\u001b]0;title\u0007\ufffd\nb"'
}

@test "a process name with brackets and blanks, which mislead a reader of /proc/PID/stat" {
  make_raw disk.raw
  cp "$TOOLS/locker" 'a) R 1 (b'
  start holder './a) R 1 (b' disk.raw 100 1
  says holder '^ready '
  json_status 1 disk.raw
  expect 'of("holder")[0].processes[0].command == "a) R 1 (b"' \
    'of("holder")[0].processes[0].start_time | fromdateiso8601 | (now - .) < 120'
}

@test "the format is told from the content, or by -f" {
  make_qcow2 disk.qcow2
  json_status 0 disk.qcow2
  expect 'image.format == "qcow2"'
  json_status 0 -f raw disk.qcow2
  expect 'image.format == "raw"'
  run -2 --separate-stderr imgtool lock-status -f nonsense disk.qcow2
  expect_message "nonsense"
}
