#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# How far a copy has come: -p, JSON, the line on a terminal, SIGUSR1.

load lib

# make_data FILE [SIZE]: not zeros
make_data() {
  head -c "${2:-4M}" /dev/urandom >"$1"
}

# slowly SECONDS ARGUMENT...: convert disk.raw, which takes about so long
slowly() {
  imgtool convert -m 1 --reflink=never -f raw -r $(($(stat -c %s disk.raw) / $1)) "${@:2}"
}

# percents FILE: the figures of what -p printed
percents() {
  tr '\r' '\n' <"$1" | sed -nE 's,^ {4}\(([0-9]+\.[0-9]{2})/100%\)$,\1,p'
}

@test "-p prints qemu-img's bytes: the same beginning and end, and nothing else" {
  make_data disk.raw
  qemu-img convert -p -f raw disk.raw copy.raw >theirs
  rm copy.raw
  imgtool convert -p -f raw disk.raw copy.raw >ours 2>messages
  [[ ! -s messages ]]
  for file in theirs ours; do
    # Every byte belongs to a figure, but for the line break at the end.
    [[ $(percents $file | while read -r figure; do printf '    (%s/100%%)\r' "$figure"; done &&
      echo .) == "$(head -c -1 $file && echo .)" ]]
    [[ $(tail -c 1 $file | od -An -c | tr -d ' ') == '\n' ]]
    [[ $(percents $file | head -n 1) == 0.00 ]]
    [[ $(percents $file | tail -n 1) == 100.00 ]]
    percents $file | sort -n -c
  done
  # Other programs look for it so.
  grep -qP '\s*\(([\d.]+)/100%\)\s*' ours
  tr '\r' '\n' <ours | grep -qE '\((\d?[0-9]\.[0-9][0-9])/100%\)'
}

@test "an empty image is 0 and 100 percent" {
  : >disk.raw
  qemu-img convert -p -f raw disk.raw copy.raw >theirs
  imgtool convert -p -f raw disk.raw copy.raw >ours
  cmp theirs ours
}

@test "-p of a source without any data: 100 percent once, of written zeros twice" {
  truncate -s 3G disk.raw
  qemu-img convert -p -f raw disk.raw copy.raw >theirs
  imgtool convert -p -f raw disk.raw copy.raw >ours
  cmp theirs ours
  head -c 1M /dev/zero >disk.raw
  qemu-img convert -p -f raw disk.raw copy.raw >theirs
  imgtool convert -p -f raw disk.raw copy.raw >ours
  cmp theirs ours
}

@test "-p goes up step by step while it works" {
  make_data disk.raw
  slowly 2 -p disk.raw copy.raw >ours
  percents ours >figures
  (($(wc -l <figures) >= 4))
  percents ours | sort -n -c
  # No two that are less than a percent apart, but for the end, which is said twice.
  awk 'NR > 1 && $1 - last < 1 && $1 != 100 { exit 1 } { last = $1 }' figures
}

@test "-p of a copy that fails prints what qemu-img prints" {
  qemu-img convert -p -f raw missing.raw copy.raw >theirs 2>/dev/null || :
  run -1 bash -c '"$@" >ours 2>messages' bash "$IMGTOOL" convert -p -f raw missing.raw copy.raw
  cmp theirs ours
  grep -q 'missing.raw' messages
}

@test "-q silences -p" {
  make_data disk.raw
  run -0 --separate-stderr imgtool convert -q -p -f raw disk.raw copy.raw
  [[ -z $output ]]
  expect_no_message
}

@test "a mistake in the command line prints no percentage" {
  run -1 --separate-stderr imgtool convert -p -S 1 disk.raw copy.raw
  [[ -z $output ]]
  run -1 --separate-stderr imgtool convert -p disk.raw
  [[ -z $output ]]
}

@test "-p to what cannot be written: the copy is made, and the command fails" {
  make_data disk.raw
  run -1 --separate-stderr bash -c '"$@" >/dev/full' bash "$IMGTOOL" convert -p -f raw disk.raw copy.raw
  [[ $stderr == "imgtool: cannot write the output: No space left on device" ]]
  cmp disk.raw copy.raw
  rm copy.raw
  run -1 --separate-stderr bash -c '"$@" >&-' bash "$IMGTOOL" convert -p -f raw disk.raw copy.raw
  expect_message "imgtool: cannot write the output: Bad file descriptor"
  cmp disk.raw copy.raw
  # Nor does a reader that goes away stop it.
  rm copy.raw
  slowly 1 -p disk.raw copy.raw 2>messages | head -c 1 >/dev/null || :
  cmp disk.raw copy.raw
  grep -qx 'imgtool: cannot write the output: Broken pipe' messages
}

@test "--progress=json:FD" {
  require jq
  make_data disk.raw
  truncate -s 8M disk.raw
  slowly 8 --progress=json:3 disk.raw copy.raw 3>lines >out 2>messages
  [[ ! -s out && ! -s messages ]]
  (($(wc -l <lines) >= 3))
  # Each line is an object of its own, with these members.
  while IFS= read -r line; do
    jq -e 'keys == ["cloned", "copied", "done", "phase", "same", "total", "zero"]
      and ([.cloned, .copied, .done, .zero] | all(type == "number" and . >= 0))
      and (.total == null or .total >= .done)' <<<"$line"
  done <lines
  jq -se '.[-1].phase == "done" and .[-1].copied + .[-1].zero == 8388608
    and ([.[].phase] | map(select(. == "done")) | length == 1)' lines
  jq -se '[.[] | select(.phase == "copy")] | length >= 2
    and all(.total == 8388608) and ([.[].done] | . == sort)' lines
  jq -se '([.[].phase] | index("copy")) < ([.[].phase] | index("done"))' lines
}

@test "--progress=json:FD of standard input, whose length is not known" {
  require jq
  make_data disk.raw
  imgtool convert --progress=json:3 -f raw - copy.raw <disk.raw 3>lines
  jq -se 'any(.phase == "copy") and all(.[] | select(.phase == "copy"); .total == null)' lines
  jq -se '.[-1].phase == "done" and .[-1].copied == 4194304' lines
}

@test "--progress=json:FD: no line says done when it failed" {
  require jq
  run -1 bash -c '"$@" 3>lines' bash "$IMGTOOL" convert --progress=json:3 -f raw missing.raw copy.raw
  ! grep -q '"phase":"done"' lines || false
  echo old >copy.raw
  make_data disk.raw
  truncate -s 1M small.raw
  run -1 bash -c '"$@" 3>lines' bash "$IMGTOOL" convert --progress=json:3 -n -f raw disk.raw small.raw
  ! grep -q '"phase":"done"' lines || false
}

@test "--progress=json:FD may be stdout or stderr, and -q does not silence it" {
  require jq
  make_data disk.raw
  imgtool convert -q --progress=json:1 -f raw disk.raw copy.raw >lines
  jq -se '.[-1].phase == "done"' lines
  imgtool convert -q --progress=json:2 -f raw disk.raw copy.raw 2>lines
  jq -se '.[-1].phase == "done"' lines
  imgtool convert --progress=json:2 -f raw disk.raw - 2>lines | cmp - disk.raw
  jq -se '.[-1].phase == "done"' lines
}

@test "--progress: a descriptor that is none" {
  make_data disk.raw
  for value in json json: json:x json:-1 json:3x xml:3 '' percent 3 json:99999999999; do
    run -1 --separate-stderr imgtool convert --progress="$value" -f raw disk.raw copy.raw
    expect_message "bad value '$value' for --progress: it must be json:FD"
  done
  run -1 --separate-stderr imgtool convert --progress=json:77 -f raw disk.raw copy.raw
  expect_message "bad value 'json:77' for --progress: descriptor 77 is not open for writing"
  run -1 --separate-stderr imgtool convert --progress=json:9 -f raw disk.raw copy.raw 9<disk.raw
  expect_message "descriptor 9 is not open for writing"
  [[ ! -e copy.raw ]]
}

@test "--progress=json:FD that cannot be written does not disturb the copy" {
  make_data disk.raw
  run -0 --separate-stderr imgtool convert --progress=json:9 -f raw disk.raw copy.raw 9>/dev/full
  expect_no_message
  cmp disk.raw copy.raw
}

# answered FILE: it has a line of an answer to the signal
answered() {
  grep -qE '^ {4}\([0-9]+\.[0-9]{2}/100%\)$' "$1"
}

@test "SIGUSR1: qemu-img's line on stderr" {
  make_data disk.raw
  start slow "$IMGTOOL" convert -m 1 --reflink=never -r 1M -f raw disk.raw copy.raw
  sleep 1
  kill -USR1 "${PID[slow]}"
  wait_for 10 answered "$HOLD/slow.err"
  kill -USR1 "${PID[slow]}"
  wait_for 10 refute kill -0 "${PID[slow]}" 2>/dev/null
  wait "${PID[slow]}"
  [[ ! -s $HOLD/slow.out ]]
  [[ $(grep -cvE '^ {4}\([0-9]+\.[0-9]{2}/100%\)$' "$HOLD/slow.err") == 0 ]]
  percent=$(sed -nE '1s/^ *\(([0-9]+).*/\1/p' "$HOLD/slow.err")
  ((percent > 0 && percent < 100))
  cmp disk.raw copy.raw
}

@test "SIGUSR1 from standard input tells the bytes" {
  make_data disk.raw
  mkfifo pipe
  start slow bash -c 'exec "$1" convert -f raw - copy.raw <pipe' bash "$IMGTOOL"
  exec 8>pipe
  head -c 2M disk.raw >&8
  sleep 0.5
  kill -USR1 "${PID[slow]}"
  tail -c +$((2 * 1024 * 1024 + 1)) disk.raw >&8
  exec 8>&-
  wait_for 10 refute kill -0 "${PID[slow]}" 2>/dev/null
  wait "${PID[slow]}"
  grep -qxE ' {4}\([0-9]+ bytes\)| {4}\(100\.00/100%\)' "$HOLD/slow.err"
  cmp disk.raw copy.raw
}

# on_terminal COMMAND: what a terminal of 80 columns gets, or of $COLUMNS_WANTED; script's status
on_terminal() {
  script -qec "stty cols ${COLUMNS_WANTED:-80}; $1" /dev/null
}

@test "the line on a terminal: phase, bytes, rate, time left, and gone in the end" {
  require script
  make_data disk.raw
  on_terminal "'$IMGTOOL' convert -m 1 --reflink=never -r 1M -f raw disk.raw copy.raw" >screen
  cmp disk.raw copy.raw
  tr '\r' '\n' <screen >lines
  grep -qE '^copy: [0-9.]+ [KM]iB of 4 MiB \([0-9]+%\), [0-9.]+ [KM]iB/s, 0:0[0-9] left *$' lines
  # The last thing written is the blank line and the way back to its beginning.
  tail -c 200 screen | grep -qP '\r +\r$'
  (($(wc -l <screen) == 0))
}

@test "the line is never wider than the terminal" {
  require script
  make_data disk.raw
  COLUMNS_WANTED=20 on_terminal \
    "'$IMGTOOL' convert -m 1 --reflink=never -r 2M -f raw disk.raw copy.raw" >screen
  grep -q 'copy: ' screen
  ! tr '\r' '\n' <screen | grep -qE '.{20}' || false
}

@test "no line for what is done soon, with -q, -p or JSON, nor where there is no terminal" {
  require script
  make_data disk.raw
  slow="convert -m 1 --reflink=never -r 2M -f raw disk.raw copy.raw"
  run -0 on_terminal "'$IMGTOOL' convert -f raw --no-fsync disk.raw copy.raw"
  [[ -z $output ]]
  run -0 on_terminal "'$IMGTOOL' $slow -q"
  [[ -z $output ]]
  run -0 on_terminal "'$IMGTOOL' $slow -p >out"
  [[ -z $output ]]
  run -0 on_terminal "'$IMGTOOL' $slow --progress=json:3 3>lines"
  [[ -z $output ]]
  run -0 --separate-stderr slowly 1 disk.raw copy.raw
  [[ -z $output ]]
  expect_no_message
}

@test "an error comes on a line of its own" {
  require script
  make_data disk.raw
  # The source is cut short while it is shown how far it is.
  (sleep 1.5 && truncate -s 1M disk.raw) &
  cutter=$!
  run on_terminal "'$IMGTOOL' convert -m 1 --reflink=never -r 1M -f raw disk.raw copy.raw"
  wait "$cutter"
  [[ $status -eq 1 ]]
  tr '\r' '\n' <<<"$output" | grep -q '^imgtool: '
  [[ ! -e copy.raw ]]
}

@test "a job in the background leaves the terminal alone" {
  require script
  make_data disk.raw
  # With job control a job of its own process group is in the background.
  on_terminal "bash -mc '\"$IMGTOOL\" convert -m 1 --reflink=never -r 2M -f raw disk.raw copy.raw \
    2>&1 & wait'" >screen
  cmp disk.raw copy.raw
  ! grep -q 'copy: ' screen || false
}
