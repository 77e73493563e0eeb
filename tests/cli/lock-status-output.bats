#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# lock-status: what people see, and the shape of what programs read.

load lib

# on_terminal COMMAND...: with a terminal of 80 columns; what it shows is in $output
on_terminal() {
  run script --quiet --return --command "stty cols 80 rows 24; $(printf '%q ' "$@")" /dev/null
  output=${output//$'\r'/}
}

@test "free, in one sentence" {
  make_raw disk.raw
  run -0 --separate-stderr imgtool lock-status disk.raw
  expect_no_message
  [[ ${lines[0]} == \
    "disk.raw: free: nobody holds a lock on it or has it open for writing" ]]
}

@test "-v tells of a free image too what would be granted" {
  make_raw disk.raw
  run -0 imgtool lock-status disk.raw
  [[ $output != *"convert from"* ]]
  run -0 imgtool lock-status -v disk.raw
  grep -qE '^ +convert from +possible$' <<<"$output"
  grep -qE '^ +start a VM +possible$' <<<"$output"
}

@test "in use: the verdict, who it is, and what would be granted" {
  make_raw disk.raw
  hold_qemu vm -name web01 -drive file=disk.raw,format=raw,if=virtio
  pid=${PID[vm]}
  comm=$(cat "/proc/$pid/comm")

  run -1 --separate-stderr imgtool lock-status disk.raw
  expect_no_message
  [[ ${lines[0]} == "disk.raw: in use: $comm (pid $pid, VM web01) writes to it" ]]
  grep -qE "^$comm \(pid $pid.*VM web01" <<<"${output#*$'\n'}"
  grep -qE '^ +uses +consistent read, write$' <<<"$output"
  grep -qE '^ +forbids +write$' <<<"$output"
  grep -qE '^ +lock +OFD, QEMU style, bytes 100-101, 201$' <<<"$output"
  grep -qE '^ +open +read-write \(fd [0-9]+\)$' <<<"$output"
  grep -qE "^ +user +$(my_name | grep . || echo "uid $EUID")\$" <<<"$output"
  grep -qE '^ +started +20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-9:]{8}$' <<<"$output"
  grep -qE "^ +command +.*$QEMU -S " <<<"$output"
  grep -qE '^ +info +possible$' <<<"$output"
  grep -qE "^ +check -r +blocked .*$comm \(pid $pid.*forbids write\$" <<<"$output"
  grep -qE "^ +convert from +blocked .*$comm \(pid $pid.*uses write\$" <<<"$output"
  grep -qE "^ +start a VM +blocked .*$comm \(pid $pid" <<<"$output"
}

@test "a reader, a writer without a lock: the sentence says so" {
  make_qcow2 disk.qcow2
  hold_io io -r disk.qcow2
  run -1 imgtool lock-status disk.qcow2
  [[ ${lines[0]} == "disk.qcow2: in use: qemu-io (pid ${PID[io]}) "* ]]
  [[ ${lines[0]} != *writes* ]]
  stop io

  make_raw disk.raw
  hold_open writer read-write disk.raw
  run -1 imgtool lock-status disk.raw
  [[ ${lines[0]} == "disk.raw: in use: locker (pid ${PID[writer]})"* ]]
  [[ ${lines[0]} == *"without"*"lock"* ]]
}

@test "--for: the first line answers for that use" {
  make_raw disk.raw
  run -0 imgtool lock-status --for=write disk.raw
  [[ ${lines[0]} == "disk.raw: possible: "* ]]

  hold_open writer read-write disk.raw
  run -1 imgtool lock-status --for=convert-from disk.raw
  [[ ${lines[0]} == "disk.raw: unsafe: "*"pid ${PID[writer]}"* ]]

  hold_locks holder disk.raw 100 2 201 1
  run -1 imgtool lock-status --for=vm disk.raw
  [[ ${lines[0]} == "disk.raw: blocked: "*"pid ${PID[holder]}"* ]]
}

@test "-q says nothing and returns the same" {
  make_raw disk.raw
  for option in -q --quiet; do
    run -0 imgtool lock-status "$option" disk.raw
    [[ -z $output ]]
  done
  hold_locks holder disk.raw 100 2
  run -1 imgtool lock-status -q disk.raw
  [[ -z $output ]]
  run -2 --separate-stderr imgtool lock-status -q missing.raw
  [[ -z $output ]]
  expect_message "missing.raw"
}

@test "colour: always, never, and not into a pipe" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  run -1 imgtool lock-status --color=always disk.raw
  [[ $output == *$'\e['* ]]
  for option in --color=never --color=auto --verbose; do
    run -1 imgtool lock-status "$option" disk.raw
    [[ $output != *$'\e'* ]]
  done
  run -1 imgtool lock-status --output=json --color=always disk.raw
  [[ $output != *$'\e'* ]]
}

@test "colour on a terminal, unless NO_COLOR is set" {
  require script
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  TERM=xterm on_terminal "$IMGTOOL" lock-status disk.raw
  [[ $output == *$'\e['* ]]
  TERM=xterm NO_COLOR=1 on_terminal "$IMGTOOL" lock-status disk.raw
  [[ $output != *$'\e['* ]]
  TERM=xterm on_terminal "$IMGTOOL" lock-status --color=never disk.raw
  [[ $output != *$'\e['* ]]
  TERM=dumb on_terminal "$IMGTOOL" lock-status disk.raw
  [[ $output != *$'\e['* ]]
}

@test "on a terminal of 80 columns no line is longer" {
  require script
  name=a-rather-long-name-for-the-image-of-a-machine.raw
  make_raw $name
  hold_qemu vm -name "a-long-name-of-a-virtual-machine-too" -drive "file=$name,format=raw,if=virtio"
  on_terminal "$IMGTOOL" lock-status --color=never $name
  expect_text "a-long-name-of-a-virtual-machine-too" "blocked"
  # The first line is the verdict, one sentence that a terminal may wrap.
  refute grep -E '^.{81}' <(tail -n +2 <<<"$output")
}

@test "two holders have two blocks" {
  make_raw disk.raw
  hold_locks one disk.raw 100 1
  hold_locks two disk.raw 201 1
  run -1 imgtool lock-status disk.raw
  grep -qE "^locker \(pid ${PID[one]}\)" <<<"$output"
  grep -qE "^locker \(pid ${PID[two]}\)" <<<"$output"
}

@test "JSON: every key, in its order" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2 201 1
  json_status 1 disk.raw
  expect 'keys_unsorted == ["schema", "images"]'
  expect 'image | keys_unsorted == ["filename", "status", "summary", "locking", "format",
    "filesystem", "probes", "answers", "permissions", "holders", "waiting", "leases", "uses",
    "openers_scanned", "openers_complete", "uninspected_processes", "no_writers_proven", "changed", "notes"]'
  expect 'image.filesystem | keys_unsorted == ["type", "kind", "mount_options", "lock_reach"]'
  expect 'image.permissions[0] | keys_unsorted == ["name", "used", "forbidden"]'
  expect 'holders[0] | keys_unsorted == ["kind", "lock", "style", "uses", "forbids", "ranges",
    "mode", "processes", "device", "nfs_clients", "identified"]'
  expect 'holders[0].ranges[0] | keys_unsorted == ["type", "start", "end"]'
  expect 'holders[0].processes[0] | keys_unsorted == ["pid", "command", "cmdline", "user", "uid",
    "start_time", "vm_name", "fds"]'
  expect 'image.uses | keys_unsorted == ["info", "check", "repair", "convert-from", "convert-to",
    "vm", "vm-read-only", "read", "write"]'
  expect 'image.uses.vm | keys_unsorted == ["verdict", "reason", "pids"]'
  expect 'image.summary | startswith("in use: ")' 'image.locking == "auto"'
  expect 'image.changed == false' 'image.uses.vm.reason | test("locker")' \
    'image.uses.info.reason == null'
}

@test "JSON of a file that could not be looked at has the same keys and its error" {
  json_status 2 missing.raw
  expect 'image.status == "unknown"' 'image.error | test("No such file")' \
    'image | has("holders") and has("uses") and has("notes")' \
    'all(image.uses[]; .verdict == "unknown")'
}

@test "JSON is indented by four blanks and ends with a newline" {
  make_raw disk.raw
  json_status 0 disk.raw
  [[ ${lines[1]} == '    "schema": 1,' ]]
  [[ $(imgtool lock-status --output=json disk.raw | tail -c 1 | od -An -tx1) == " 0a" ]]
}

@test "a full disk under the output is an error: exit 2" {
  make_raw disk.raw
  for format in human json; do
    run -2 --separate-stderr bash -c '"$0" lock-status --output="$1" disk.raw >/dev/full' \
      "$IMGTOOL" $format
    expect_message "imgtool: " "No space left on device"
  done
  run -0 bash -c '"$0" lock-status -q disk.raw >/dev/full' "$IMGTOOL"
}

@test "a closed output is an error: exit 2" {
  make_raw disk.raw
  run -2 --separate-stderr bash -c '"$0" lock-status disk.raw >&-' "$IMGTOOL"
  expect_message "imgtool: "
}

@test "a zombie holds nothing any more, and does no harm" {
  make_raw disk.raw
  start parent bash -c '"$0" disk.raw 100 1 </dev/null & exec sleep 600' "$TOOLS/locker"
  says parent '^ready '
  json_status 0 disk.raw
}
