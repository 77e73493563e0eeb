#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool lock while it stands: signals and death, locks that are lost, imgtool inside a guard, and
# copies beside writers that come at any time. ROUNDS (20) copies are made beside writers.

load lib

: "${ROUNDS:=20}"

# expect_status STATUS COMMAND...
expect_status() {
  run "-$1" --separate-stderr "${@:2}"
}

# hold_guard NAME [lock's arguments]: its command runs until the test ends. The test runner may
# ignore some signals, and what is ignored stays so: begin with all as usual.
hold_guard() {
  start "$1" env --default-signal "$IMGTOOL" lock "${@:2}" -- sh -c 'echo ready; exec cat' &&
    says "$1" '^ready'
}

# ended NAME: wait for it; sets status
ended() {
  status=0
  wait_for 30 refute kill -0 "${PID[$1]}" 2>/dev/null
  wait "${PID[$1]}" || status=$?
  unset "PID[$1]"
}

is_free() {
  "$IMGTOOL" lock-status -q "$1"
}

# ---- signals --------------------------------------------------------------------------------

@test "a signal sent to imgtool ends the command, and the locks are gone" {
  make_raw disk.raw
  for signal in HUP INT QUIT TERM USR1 USR2 ALRM; do
    hold_guard guard --write disk.raw
    refute is_free disk.raw
    kill -s $signal "${PID[guard]}"
    ended guard
    ((status == 128 + $(kill -l $signal)))
    is_free disk.raw
  done
}

@test "the images are held until the command has really ended, however it takes a signal" {
  make_raw disk.raw
  start guard "$IMGTOOL" lock --write disk.raw -- bash -c '
    trap "echo asked" TERM; trap "exit 9" USR1
    echo ready; while :; do sleep 0.05; done'
  says guard ready
  kill "${PID[guard]}"
  says guard asked
  expect_status 124 imgtool lock disk.raw -- true
  kill -s USR1 "${PID[guard]}"
  ended guard
  ((status == 9))
  is_free disk.raw
}

@test "signals that the caller ignores are ignored in the command, as with nohup" {
  make_raw disk.raw
  start guard env --ignore-signal=HUP "$IMGTOOL" lock disk.raw -- sh -c 'echo ready; exec cat'
  says guard ready
  kill -s HUP "${PID[guard]}"
  sleep 0.3
  kill -0 "${PID[guard]}"
  refute is_free disk.raw
}

@test "the command starts with the signals as they were" {
  make_raw disk.raw
  signals='grep -E "^Sig(Blk|Ign)" /proc/self/status'
  for how in --default-signal --ignore-signal=USR2; do
    run -0 env $how sh -c "$signals"
    wanted=$output
    run -0 env $how "$IMGTOOL" lock disk.raw -- sh -c "$signals"
    [[ $output == "$wanted" ]] || { echo "$wanted - $output" && false; }
  done
}

@test "a caller that ignores SIGCHLD" {
  make_raw disk.raw
  run -7 timeout --foreground -k 1 10 env --ignore-signal=CHLD "$IMGTOOL" lock disk.raw -- sh -c 'exit 7'
}

@test "ended by a signal while it waits: the command does not run, nothing is held" {
  make_raw one.raw
  make_qcow2 two.qcow2
  hold_io io two.qcow2
  start guard env --default-signal "$IMGTOOL" lock --write --wait one.raw two.qcow2 -- touch ran
  wait_for 20 has_open "${PID[guard]}" two.qcow2
  kill "${PID[guard]}"
  ended guard
  ((status == 143))
  is_free one.raw
  [[ ! -e ran ]]
}

@test "killed: the locks go, the command goes on" {
  make_qcow2 disk.qcow2
  start guard "$IMGTOOL" lock --write disk.qcow2 -- sh -c 'echo $$; exec sleep 60'
  says guard '[0-9]'
  command=$(cat "$HOLD/guard.out")
  later kill "$command"
  run -1 qemu-io -c 'write 0 512' disk.qcow2
  kill -s KILL "${PID[guard]}"
  ended guard
  ((status == 137))
  run -0 qemu-io -c 'write 0 512' disk.qcow2
  kill -0 "$command"
}

@test "what a terminal sends reaches the command once" {
  require script
  make_raw disk.raw
  cat >program <<'END'
#!/bin/bash
trap 'echo interrupted >>log' INT
touch ready
for ((i = 0; i < 20; i++)); do sleep 0.1; done
exit 6
END
  chmod 755 program
  start terminal env --default-signal script --quiet --return --command "exec '$IMGTOOL' lock disk.raw -- ./program" typescript
  wait_for 20 test -e ready
  sleep 0.2
  printf '\003' >"$HOLD/terminal.in"
  ended terminal
  ((status == 6))
  [[ $(wc -l <log) -eq 1 ]]
}

# ---- locks that are lost --------------------------------------------------------------------

# closing MODE [lock's arguments]: an imgtool that opens and closes disk.raw behind its own back
closing() {
  CLOSE_IMAGE=disk.raw LD_PRELOAD=$DIR/close-image.so \
    ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS} \
    timeout --foreground 60 "$IMGTOOL" lock --locking="$1" disk.raw "${@:2}"
}

@test "123: POSIX locks that imgtool's own process has lost" {
  require "${CC:-cc}"
  "${CC:-cc}" -shared -fPIC -o close-image.so "$BATS_TEST_DIRNAME/../tools/close-image.c" -ldl
  make_raw disk.raw
  expect_status 123 closing posix -- true
  expect_message "the lock on 'disk.raw' was lost"
  expect_status 123 closing posix --write -- sh -c 'exit 5'
  # They are gone indeed, and nothing tells the command.
  expect_status 123 closing posix --write -- env -u LD_PRELOAD qemu-io -f raw -c 'write 0 512' disk.raw
  # OFD locks do not mind, and without locks there is nothing to lose.
  for mode in auto on off; do
    expect_status 0 closing $mode --write -- true
    expect_no_message
  done
  # Without that library POSIX locks last.
  expect_status 0 imgtool lock --locking=posix --write disk.raw -- true
}

@test "123: the command takes the lock off the guard's descriptor" {
  # It takes the same rights as a debugger's to do so.
  require python3 root
  make_raw disk.raw
  cat >steal.py <<'END'
import ctypes, fcntl, os, struct
pid, fd = os.getppid(), int(os.environ["IMGTOOL_GUARD"].split(":")[2])
mine = ctypes.CDLL(None).syscall(438, os.pidfd_open(pid), fd, 0)
fcntl.fcntl(mine, 37, struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0))
END
  expect_status 123 imgtool lock disk.raw -- python3 steal.py
  expect_message "the lock on 'disk.raw' was lost"
}

# ---- inside a guard -------------------------------------------------------------------------

@test "imgtool inside a guard works with the guard's lock" {
  make_raw disk.raw
  hold="$TOOLS/hold-image"
  expect_status 0 imgtool lock --write disk.raw -- "$hold" --write disk.raw 1
  expect_text held
  expect_status 0 imgtool lock --write disk.raw -- "$hold" --read disk.raw 1
  expect_status 0 imgtool lock --read disk.raw -- "$hold" --read disk.raw 1
  # To write takes a write guard.
  expect_status 1 imgtool lock --read disk.raw -- "$hold" --write disk.raw 1
  expect_message 'Failed to get "write" lock'
  # Afterwards the guard's lock is what it was.
  expect_status 0 imgtool lock --write disk.raw -- sh -c "
    '$hold' --write disk.raw 1; '$hold' --read disk.raw 1
    ! qemu-io -f raw -c 'write 0 512' disk.raw"
}

@test "from outside the guard stands in the way as ever" {
  make_raw disk.raw
  hold_guard guard --write disk.raw
  expect_status 1 "$TOOLS/hold-image" --write disk.raw 1
  expect_status 1 "$TOOLS/hold-image" --read disk.raw 1
}

@test "guards inside guards" {
  make_raw disk.raw
  make_raw two.raw
  expect_status 0 imgtool lock --write disk.raw -- \
    "$IMGTOOL" lock --write disk.raw -- "$IMGTOOL" lock disk.raw -- true
  # The inner one has let go; the outer one has not.
  expect_status 0 imgtool lock --write disk.raw -- sh -c \
    "'$IMGTOOL' lock --write disk.raw -- true; ! qemu-io -f raw -c 'write 0 512' disk.raw"
}

@test "inside two guards of different images" {
  make_raw disk.raw
  make_raw two.raw
  expect_status 0 imgtool lock --write disk.raw -- \
    "$IMGTOOL" lock --write two.raw -- "$TOOLS/hold-image" --write disk.raw 1
}

@test "the lock is not widened by what works inside" {
  make_raw disk.raw
  guard_lines='cat /proc/${IMGTOOL_GUARD%%:*}/fdinfo/* | grep ^lock:'
  expect_status 0 imgtool lock --uses=consistent-read,write --shares=all disk.raw -- sh -c "
    $guard_lines >before; '$TOOLS/hold-image' --write disk.raw 1; $guard_lines >after"
  diff before after
}

@test "only where there are OFD locks" {
  make_raw disk.raw
  for mode in posix off; do
    expect_status 0 imgtool lock --locking=$mode disk.raw -- sh -c 'echo "[$IMGTOOL_GUARD]"'
    [[ $output == "[]" ]]
  done
  expect_status 1 imgtool lock --locking=posix --write disk.raw -- "$TOOLS/hold-image" --write disk.raw 1
  expect_message 'Failed to get "write" lock'
  expect_status 1 imgtool lock --write disk.raw -- "$TOOLS/hold-image" --locking=posix --write disk.raw 1
}

@test "a guard that is not one is ignored" {
  make_raw disk.raw
  make_raw two.raw
  hold_guard guard --write disk.raw
  pid=${PID[guard]}
  ticks=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20)
  # The guard's own, to see that the values below are nearly right.
  IMGTOOL_GUARD=$pid:$ticks:3,4,5 expect_status 0 "$TOOLS/hold-image" --write disk.raw 1
  for value in '' x : :: "$pid" "$pid:$ticks" "$pid:$ticks:" "$pid:$ticks:x" "$pid:$ticks:0" \
    "$pid:$ticks:-4" "$pid:$ticks:999999999999" "$pid:$((ticks + 1)):3,4,5" "1:$ticks:3,4,5" \
    "$$:$ticks:3,4,5" "0:$ticks:3,4,5" "-$pid:$ticks:3,4,5"; do
    IMGTOOL_GUARD=$value expect_status 1 "$TOOLS/hold-image" --write disk.raw 1
    # On an image that is free, it works as if there were none.
    IMGTOOL_GUARD=$value expect_status 0 "$TOOLS/hold-image" --write two.raw 1
  done
  # Another file of the guard's is no help.
  IMGTOOL_GUARD=$pid:$ticks:3,4,5 expect_status 0 "$TOOLS/hold-image" --write two.raw 1
  stop guard
  hold_image holder --write disk.raw
  IMGTOOL_GUARD=$pid:$ticks:3,4,5 expect_status 1 "$TOOLS/hold-image" --write disk.raw 1
}

@test "a descriptor that is not locked is not taken for a guard's" {
  make_raw disk.raw
  hold_open opener read-write disk.raw
  hold_image holder --write disk.raw
  ticks=$(sed 's/.*) //' "/proc/${PID[opener]}/stat" | cut -d ' ' -f 20)
  IMGTOOL_GUARD=${PID[opener]}:$ticks:3,4,5,6 expect_status 1 "$TOOLS/hold-image" --write disk.raw 1
}

@test "guards work without privileges, also inside each other" {
  require root setpriv
  imgtool_for_nobody
  make_raw disk.raw
  chown 65534 disk.raw
  expect_status 0 as_nobody bin/imgtool lock --write disk.raw -- \
    bin/imgtool lock --write disk.raw -- true
  chown 0 disk.raw
  expect_status 0 as_nobody bin/imgtool lock --read disk.raw -- true
  expect_status 125 as_nobody bin/imgtool lock --write disk.raw -- true
  expect_message "cannot open 'disk.raw' for writing: Permission denied"
}

# ---- copies beside writers ------------------------------------------------------------------

# write_states: write one pattern after the other at both ends of the image, until told to stop.
# A qemu-io holds the image from its first write to its last.
write_states() {
  local i
  for ((i = 1; ; i = i % 200 + 1)); do
    [[ ! -e finished ]] || return 0
    if qemu-io -f raw -c "write -P $i 0 64k" -c 'sleep 5' -c "write -P $i 3M 64k" disk.raw; then
      echo "wrote $i" >>wrote
    fi >/dev/null 2>&1
    sleep "0.0$((RANDOM % 5))"
  done
}

@test "a guarded copy is one state of the image, beside writers that come at any time" {
  make_raw disk.raw
  write_states 3>&- 4>&- &
  PID[writers]=$!
  later stop writers
  for ((round = 0; round < ROUNDS; round++)); do
    timeout 60 "$IMGTOOL" lock --wait=20 disk.raw -- sh -c 'dd if=disk.raw of=copy.raw bs=1M count=2 status=none
      dd if=disk.raw of=copy.raw bs=1M skip=2 seek=2 conv=notrunc status=none'
    first=$(head -c 64K copy.raw | sha256sum)
    last=$(tail -c +$((3 * 1024 * 1024 + 1)) copy.raw | head -c 64K | sha256sum)
    [[ $first == "$last" ]] || { echo "round $round: half a state" && false; }
    cmp -n 65535 copy.raw <(tail -c +2 copy.raw)
  done
  touch finished
  wait "${PID[writers]}"
  unset 'PID[writers]'
  # There were writers.
  (($(wc -l <wrote) > 0))
}
