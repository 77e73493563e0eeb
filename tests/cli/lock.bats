#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool lock: which locks are there while the command runs, the exit statuses, several images,
# waiting, the locking modes. A descriptor of the caller's: lock-fd.bats. What happens to a guard
# while it stands: lock-signals.bats.

load lib

# hold_guard NAME [lock's arguments]: a guard whose command runs until the test ends
hold_guard() {
  start "$1" "$IMGTOOL" lock "${@:2}" -- sh -c 'echo ready; exec cat' && says "$1" '^ready'
}

# locks_of PID: its lock lines, as "TYPE START-END"
locks_of() {
  sed -n 's/^lock:\t[0-9]*: //p' "/proc/$1/fdinfo/"* | awk '{ printf "%s %s-%s ", $1, $6, $7 }'
}

# expect_status STATUS COMMAND...: no message is asked for
expect_status() {
  run "-$1" --separate-stderr "${@:2}"
}

# ---- while the command runs -----------------------------------------------------------------

@test "a read guard: QEMU's programs may read and not write" {
  make_qcow2 disk.qcow2
  hold_guard guard disk.qcow2
  [[ $(locks_of "${PID[guard]}") == "OFDLCK 100-100 OFDLCK 201-201 OFDLCK 203-203 " ]]
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  expect_text 'Failed to get "write" lock'
  run -1 qemu-img resize disk.qcow2 +1M
  run -0 qemu-img check disk.qcow2
  run -0 qemu-img convert -O raw disk.qcow2 copy.raw
  expect_status 0 imgtool lock --read disk.qcow2 -- true
  expect_status 124 imgtool lock --write disk.qcow2 -- true
  stop guard
  run -0 qemu-io -c 'write 0 512' disk.qcow2
}

@test "a write guard: QEMU's programs are kept out" {
  make_qcow2 disk.qcow2
  hold_guard guard --write disk.qcow2
  [[ $(locks_of "${PID[guard]}") == "OFDLCK 100-101 OFDLCK 103-103 OFDLCK 201-201 OFDLCK 203-203 " ]]
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  run -1 qemu-img info disk.qcow2
  run -1 qemu-img convert -O raw disk.qcow2 copy.raw
  run -0 qemu-img info -U disk.qcow2
  run -1 timeout 30 "$QEMU" -S -machine none -nodefaults -display none -monitor none \
    -drive file=disk.qcow2,format=qcow2,if=none,id=d
  expect_text 'Failed to get "write" lock'
  expect_status 124 imgtool lock disk.qcow2 -- true
}

@test "lock-status names the guard" {
  make_raw disk.raw
  hold_guard guard --write disk.raw
  json_status 1 disk.raw
  expect_holder guard '{kind: "lock", lock: "OFD", style: "qemu", mode: "read-write",
    uses: ["consistent read", "write", "resize"], forbids: ["write", "resize"]}'
  expect 'of("guard")[0].processes[0].command == "imgtool"'
  # And so does whoever is refused.
  expect_status 124 imgtool lock disk.raw -- true
  expect_message "cannot open 'disk.raw': Failed to get shared \"write\" lock" \
    "It is held by imgtool (pid ${PID[guard]})"
}

@test "while QEMU has the image the command does not run" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name web01 -drive file=disk.qcow2,format=qcow2,if=virtio
  expect_status 124 imgtool lock disk.qcow2 -- touch ran
  expect_message 'Failed to get shared "write" lock' 'VM web01'
  expect_status 124 imgtool lock --write disk.qcow2 -- touch ran
  expect_message 'Failed to get "write" lock'
  [[ ! -e ran ]]
}

@test "--uses and --shares" {
  make_raw disk.raw
  for row in 'none all:' \
    'consistent-read all:OFDLCK 100-100 ' \
    'write,resize all:OFDLCK 101-101 OFDLCK 103-103 ' \
    'none consistent-read,write,write-unchanged:OFDLCK 203-203 ' \
    'none none:OFDLCK 200-203 ' \
    'all all:OFDLCK 100-103 '; do
    read -r uses shares <<<"${row%%:*}"
    expect_status 0 imgtool lock --uses="$uses" --shares="$shares" disk.raw -- sh -c \
      'sed -n "s/^lock:[^:]*: //p" /proc/$PPID/fdinfo/* | while read -r kind _ _ _ _ from to; do printf "%s %s-%s " $kind $from $to; done'
    [[ $output == "${row#*:}" ]] || { echo "$row: $output" && false; }
  done
  # Only the other half is replaced.
  hold_guard guard --write --shares=all disk.raw
  [[ $(locks_of "${PID[guard]}") == "OFDLCK 100-101 OFDLCK 103-103 " ]]
  expect_status 0 imgtool lock --uses=write --shares=all disk.raw -- true
}

@test "the command inherits no descriptor" {
  make_raw disk.raw
  make_raw two.raw
  # What was open before is still open, and nothing else.
  ls -1 /proc/self/fd >without
  "$IMGTOOL" lock disk.raw two.raw -- ls -1 /proc/self/fd >with
  diff without with
  # What it leaves in the background holds nothing.
  start guard "$IMGTOOL" lock --write disk.raw -- sh -c 'sleep 30 & echo $!'
  says guard '[0-9]'
  later kill "$(cat "$HOLD/guard.out")"
  wait_for 10 refute kill -0 "${PID[guard]}" 2>/dev/null
  expect_status 0 imgtool lock --write disk.raw -- true
}

@test "the command has the input, output, environment and directory of the caller" {
  make_raw disk.raw
  run -0 imgtool lock disk.raw -- sh -c 'cat; pwd; echo $WORD >&2' <<<"a line"
  WORD=word run -0 imgtool lock disk.raw -- sh -c 'cat; pwd; echo $WORD' <<<"a line"
  [[ $output == "a line
$(pwd)
word" ]]
  # Options behind the "--" are the command's.
  run -0 imgtool lock disk.raw -- echo --write -- -q
  [[ $output == "--write -- -q" ]]
}

# ---- exit status ----------------------------------------------------------------------------

@test "the command's own exit status, and 128 + N for a signal" {
  make_raw disk.raw
  for status in 0 1 7 123 124 125 126 127 255; do
    expect_status $status imgtool lock disk.raw -- sh -c "exit $status"
    expect_no_message
  done
  expect_status 143 imgtool lock disk.raw -- sh -c 'kill -TERM $$'
  expect_status 137 imgtool lock disk.raw -- sh -c 'kill -KILL $$'
}

@test "124, or what -E says, only for a lock in the way" {
  make_raw disk.raw
  hold_io io -f raw disk.raw
  expect_status 124 imgtool lock disk.raw -- true
  expect_status 75 imgtool lock -E 75 disk.raw -- true
  expect_status 0 imgtool lock --conflict-exit-code=0 disk.raw -- true
  expect_status 3 imgtool lock -q -E3 disk.raw -- true
  expect_no_message
  stop io
  expect_status 125 imgtool lock -E 75 missing.raw -- true
  expect_status 5 imgtool lock -E 75 disk.raw -- sh -c 'exit 5'
}

@test "125: imgtool itself failed" {
  make_raw disk.raw
  mkfifo pipe
  for image in missing.raw . pipe /dev/null; do
    expect_status 125 imgtool lock "$image" -- touch ran
    [[ -n $stderr ]]
    expect_status 125 imgtool lock disk.raw "$image" -- touch ran
  done
  expect_status 125 imgtool lock missing.raw -- true
  expect_message "cannot open 'missing.raw': No such file or directory"
  [[ ! -e ran ]]
}

@test "125: the command line is wrong" {
  make_raw disk.raw
  while read -ra words; do
    expect_status 125 imgtool lock "${words[@]}"
    expect_message "Try 'imgtool lock --help'"
  done <<'END'
disk.raw
disk.raw --
-- touch ran
disk.raw touch ran
--bad disk.raw -- touch ran
--uses= disk.raw -- touch ran
--uses=read disk.raw -- touch ran
--uses=all,write,x disk.raw -- touch ran
--shares=consistent-read,,write disk.raw -- touch ran
--wait=x disk.raw -- touch ran
--lock-wait=-1 disk.raw -- touch ran
-E 256 disk.raw -- touch ran
-E -1 disk.raw -- touch ran
-E x disk.raw -- touch ran
--locking=maybe disk.raw -- touch ran
--unlock disk.raw -- touch ran
--fd=x disk.raw
--fd=-1 disk.raw
--fd=1 disk.raw -- touch ran
--fd=1 disk.raw disk.raw
--fd=1 --locking=posix disk.raw
END
  run -125 --separate-stderr imgtool lock disk.raw sh -c true
  expect_message "invalid option -- 'c' (there is no -- before a command to run)"
  run -125 --separate-stderr imgtool lock -c disk.raw -- true
  [[ ${stderr_lines[0]} == "imgtool: invalid option -- 'c'" ]]
  expect_status 125 imgtool lock
  [[ ! -e ran ]]
}

@test "every permission named, and a wrong one behind them" {
  make_raw disk.raw
  expect_status 125 imgtool lock --uses=consistent-read,write,write-unchanged,resize,x disk.raw -- true
}

@test "126 and 127: the command cannot be run, or is not there" {
  make_raw disk.raw
  touch file
  expect_status 126 imgtool lock disk.raw -- ./file
  expect_message "cannot run './file': Permission denied"
  expect_status 126 imgtool lock disk.raw -- .
  expect_status 127 imgtool lock disk.raw -- ./missing
  expect_message "cannot run './missing': No such file or directory"
  # (a folder of PATH that may not be searched would make it 126, as with env)
  expect_status 127 env PATH=/usr/bin:/bin "$IMGTOOL" lock disk.raw -- no-such-program-anywhere
}

# ---- several images, waiting ----------------------------------------------------------------

@test "several images: all or none" {
  make_raw one.raw
  make_raw two.raw
  make_qcow2 three.qcow2
  hold_io io three.qcow2
  expect_status 124 imgtool lock --write one.raw two.raw three.qcow2 -- touch ran
  expect_message "cannot open 'three.qcow2'"
  [[ ! -e ran ]]
  json_status 1 one.raw two.raw three.qcow2
  expect '[.images[].status] == ["free", "free", "in-use"]'
  stop io
  expect_status 1 imgtool lock --write one.raw two.raw three.qcow2 -- \
    "$IMGTOOL" lock-status --output=json one.raw two.raw three.qcow2
  expect '[.images[] | select(.uses.write.verdict == "blocked")] | length == 3'
}

@test "an image that is given twice, or under two names, counts once" {
  make_raw disk.raw
  ln disk.raw hard.raw
  ln -s disk.raw soft.raw
  hold_guard guard --write disk.raw ./disk.raw hard.raw soft.raw disk.raw
  [[ $(locks_of "${PID[guard]}") == "OFDLCK 100-101 OFDLCK 103-103 OFDLCK 201-201 OFDLCK 203-203 " ]]
  stop guard
  expect_status 0 imgtool lock --locking=posix --write disk.raw hard.raw -- true
}

# low_and_high: two images, $low of the lower inode number
low_and_high() {
  make_raw a.raw
  make_raw b.raw
  low=a.raw high=b.raw
  (($(stat -c %i a.raw) < $(stat -c %i b.raw))) || low=b.raw high=a.raw
}

@test "images are locked in one order, whatever the order on the command line" {
  low_and_high
  hold_io io -f raw "$high"
  start guard "$IMGTOOL" lock --write --wait=30 "$high" "$low" -- true
  wait_for 20 has_locks "${PID[guard]}" 201
  # Only the higher one is in the way, so the lower one must be locked already.
  expect_status 124 imgtool lock --write "$low" -- true
  stop io
  wait_for 20 refute kill -0 "${PID[guard]}" 2>/dev/null
  hold_io io -f raw "$low"
  start guard "$IMGTOOL" lock --write --wait=30 "$high" "$low" -- true
  sleep 0.5
  expect_status 0 imgtool lock --write "$high" -- true
}

@test "two guards of the same images in opposite order do not wait for each other" {
  low_and_high
  : >log
  for name in first second; do
    images=("$low" "$high")
    [[ $name == first ]] || images=("$high" "$low")
    start "$name" bash -c 'for ((i = 0; i < 25; i++)); do
      "$0" lock --write --wait=30 "$@" -- sh -c "mkdir both && rmdir both && echo done >>log" || exit
    done; echo finished' "$IMGTOOL" "${images[@]}"
  done
  says first finished
  says second finished
  # And never both at a time.
  [[ $(wc -l <log) -eq 50 ]]
}

@test "--wait: granted when the holder goes, given up in time, --nonblock takes it back" {
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  begin=$(now_us)
  expect_status 124 imgtool lock --wait=0.5 disk.qcow2 -- true
  (($(now_us) - begin >= 500000 && $(now_us) - begin < 5000000))
  expect_status 7 imgtool lock --lock-wait=0.2 -E7 disk.qcow2 -- true
  begin=$(now_us)
  expect_status 124 imgtool lock --wait=30 --nonblock disk.qcow2 -- true
  (($(now_us) - begin < 5000000))
  start guard "$IMGTOOL" lock --wait disk.qcow2 -- sh -c 'echo ready; exec cat'
  sleep 0.5
  refute grep -q ready "$HOLD/guard.out"
  stop io
  says guard ready
}

@test "the time to wait is for all images together" {
  low_and_high
  hold_io one -f raw "$low"
  hold_io two -f raw "$high"
  start guard "$IMGTOOL" lock --wait=2 "$low" "$high" -- true
  begin=$(now_us)
  sleep 1.2
  stop one
  wait_for 10 refute kill -0 "${PID[guard]}" 2>/dev/null
  (($(now_us) - begin < 2900000))
}

# ---- locking modes --------------------------------------------------------------------------

@test "auto, on, posix and off" {
  make_raw disk.raw
  for mode in auto on; do
    hold_guard guard --locking=$mode disk.raw
    [[ $(locks_of "${PID[guard]}") == "OFDLCK 100-100 OFDLCK 201-201 OFDLCK 203-203 " ]]
    stop guard
  done
  hold_guard guard --locking=posix --write disk.raw
  [[ $(locks_of "${PID[guard]}") == "POSIX 100-101 POSIX 103-103 POSIX 201-201 POSIX 203-203 " ]]
  run -1 qemu-io -f raw -c 'write 0 512' disk.raw
  expect_status 0 imgtool lock --locking=off --write disk.raw -- true
  expect_no_message
  stop guard
  hold_guard guard --locking=off --write disk.raw
  [[ -z $(locks_of "${PID[guard]}") ]]
}

@test "a kernel without OFD locks: auto does not run the command, and says what would" {
  make_raw disk.raw
  for access in --read --write; do
    expect_status 125 without ofd "$IMGTOOL" lock $access disk.raw -- touch ran
    expect_message "'disk.raw'" "--locking=posix" "--locking=off"
    [[ $stderr != *"nother process"* ]]
  done
  [[ ! -e ran ]]
  expect_status 0 without ofd "$IMGTOOL" lock --locking=on disk.raw -- grep -hc POSIX /proc/locks
  expect_message "locks can be lost"
  expect_status 0 without ofd "$IMGTOOL" lock -q --locking=on disk.raw -- true
  expect_no_message
  for mode in posix off; do
    expect_status 0 without ofd "$IMGTOOL" lock --locking=$mode --write disk.raw -- true
    expect_no_message
  done
  # Nothing is asked for, so nothing is missing.
  expect_status 0 without ofd "$IMGTOOL" lock --uses=none --shares=all disk.raw -- true
}

@test "a filesystem without locks: only off runs the command" {
  make_raw disk.raw
  for mode in auto on posix; do
    for access in --read --write; do
      expect_status 125 without all "$IMGTOOL" lock --locking=$mode $access disk.raw -- touch ran
      expect_message "--locking=off"
      [[ $stderr != *"nother process"* ]]
    done
  done
  [[ ! -e ran ]]
  expect_status 0 without all "$IMGTOOL" lock --locking=off --write disk.raw -- true
}
