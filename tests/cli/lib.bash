# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What the command-line tests share. `load lib` gives a test file:
#
#   $DIR            an empty directory of its own, which is also the working directory
#   imgtool         the program under test, which may not take longer than a minute
#   start, hold_*   real processes that hold images, stopped again when the test ends
#   json_status     lock-status in JSON, looked at with expect, expect_holder and expect_uses
#   require         what a test cannot do without
#
# Environment: IMGTOOL is the program (default: ../../imgtool), IMGTOOL_TOOLS the folder of the
# test programs (default: tests/tools beside the program). IMGTOOL_TESTS_MUST_RUN=1 turns a skip
# into a failure; with IMGTOOL_TESTS_AS_USER=1 tests may skip still for what only root is sure to
# have.

bats_require_minimum_version 1.8.0

IMGTOOL=$(realpath -m -- "${IMGTOOL:-$BATS_TEST_DIRNAME/../../imgtool}")
TOOLS=$(realpath -m -- "${IMGTOOL_TOOLS:-${IMGTOOL%/*}/tests/tools}")

declare -gA PID=()      # of each process that was started, by name
declare -ga clean_ups=() # commands for the end of the test, run last to first

export LC_ALL=C.UTF-8 TZ=UTC
# What the sandbox does not allow is a defect here: it ends the program instead of failing.
export IMGTOOL_SANDBOX=kill
unset NO_COLOR IMGTOOL_COLOR

setup() {
  [[ -x $IMGTOOL ]] || {
    echo "no program to test: $IMGTOOL" >&2
    return 1
  }
  DIR=$(mktemp -d /var/tmp/imgtool-test.XXXXXX)
  HOLD=$DIR/.hold # the fifos and the output of the processes
  mkdir "$HOLD"
  chmod 755 "$DIR" "$HOLD"
  cd "$DIR" || return 1
}

teardown() {
  local i
  for ((i = ${#clean_ups[@]} - 1; i >= 0; i--)); do
    eval "${clean_ups[i]}" || echo "clean-up failed: ${clean_ups[i]}"
  done
  cd / || return 1
  rm -rf --one-file-system -- "$DIR"
}

# later COMMAND...: to be run when the test is over, whatever its outcome
later() {
  clean_ups+=("$(printf '%q ' "$@")")
}

imgtool() {
  timeout --foreground 60 "$IMGTOOL" "$@"
}

# without WHAT COMMAND...: on a kernel without that kind of lock (see without-locks.c)
without() {
  timeout --foreground 60 "$TOOLS/without-locks" "$@"
}

# as_nobody COMMAND...: with no privileges at all; needs root
as_nobody() {
  setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

# is_sanitized: it is built with ASan, which needs terabytes of address space, and does not get on with
# ptrace and other mallocs
is_sanitized() {
  grep -q __asan_init "$IMGTOOL"
}

# imgtool_for_nobody: a copy that nobody may run, wherever the original lies
imgtool_for_nobody() {
  mkdir -p bin
  cp -- "$IMGTOOL" bin/imgtool
  chmod 755 bin bin/imgtool
}

# ---- what a test cannot do without ----------------------------------------------------------

has() {
  case $1 in
    root) ((EUID == 0)) ;;
    fuse) [[ -w /dev/fuse ]] && command -v bindfs >/dev/null ;;
    fuse-server) [[ -w /dev/fuse && -x $LAB/lockfs ]] ;;
    glusterfs) [[ -w /dev/fuse ]] && command -v glusterfsd >/dev/null && command -v setfattr >/dev/null ;;
    uml) command -v linux.uml >/dev/null && [[ -d /usr/lib/uml/modules ]] ;;
    loop) losetup --find >/dev/null 2>&1 ;;
    mount-namespace) unshare --mount true 2>/dev/null ;;
    pid-namespace) unshare --pid --fork --mount-proc true 2>/dev/null ;;
    overlay | btrfs) grep -qw "$1" /proc/filesystems || modprobe "$1" 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# require WHAT...: skip the test, or fail it where nothing may be skipped, if one is missing
require() {
  local what
  for what; do
    has "$what" && continue
    if [[ ${IMGTOOL_TESTS_MUST_RUN:-0} == 1 ]] && ! may_lack "$what"; then
      echo "needs: $what" >&2
      return 1
    fi
    skip "needs: $what"
  done
}

may_lack() {
  [[ ${IMGTOOL_TESTS_AS_USER:-0} == 1 && $1 =~ ^(root|fuse|fuse-server|mount-namespace|pid-namespace)$ ]]
}

# my_name: of the user that runs the test; empty if the uid has none
my_name() {
  getent passwd "$EUID" | cut -d : -f 1
}

# ---- waiting ---------------------------------------------------------------------------------

now_us() {
  echo "${EPOCHREALTIME/[.,]/}"
}

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
  local end=$(($(now_us) + $1 * 1000000))
  shift
  until "$@"; do
    if (($(now_us) > end)); then
      echo "waited in vain for: $*" >&2
      return 1
    fi
    sleep 0.02
  done
}

# has_locks PID BYTE...: that process holds a lock that starts at each of these bytes
has_locks() {
  local pid=$1 byte
  shift
  for byte; do
    grep -qsE "^lock:.* $byte [0-9A-Z]+\$" "/proc/$pid/fdinfo/"* || return 1
  done
}

# has_open PID FILE
has_open() {
  local fd
  for fd in "/proc/$1/fd/"*; do
    [[ $fd -ef $2 ]] && return 0
  done
  return 1
}

is_stopped() {
  grep -q '^State:.*T' "/proc/$1/status"
}

# ---- processes that hold images --------------------------------------------------------------

# start NAME COMMAND...: in the background; its pid is ${PID[NAME]}, its output $HOLD/NAME.out
# and .err. Its input never ends, since it is a fifo that the process itself has open for writing.
start() {
  local name=$1
  shift
  rm -f "$HOLD/$name.in"
  : >"$HOLD/$name.out" # or says could find what an earlier one of that name said
  mkfifo "$HOLD/$name.in"
  "$@" <>"$HOLD/$name.in" >"$HOLD/$name.out" 2>"$HOLD/$name.err" 3>&- 4>&- &
  PID[$name]=$!
  later stop "$name"
}

# stop NAME [SIGNAL]: end it, and return when it is gone
stop() {
  local pid=${PID[$1]:-} i
  [[ $pid ]] || return 0
  unset "PID[$1]"
  kill -s "${2:-TERM}" "$pid" 2>/dev/null || :
  kill -s CONT "$pid" 2>/dev/null || :
  for ((i = 0; i < 150; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.02
  done
  kill -s KILL "$pid" 2>/dev/null || :
  wait "$pid" 2>/dev/null || :
}

# tell NAME LINE: write a line to its input
tell() {
  timeout 10 tee "$HOLD/$1.in" >/dev/null <<<"$2"
}

# says NAME PATTERN: wait until its output contains a line that matches
says() {
  wait_for 20 said_or_died "$1" "$2" && grep -qE -- "$2" "$HOLD/$1.out" && return 0
  echo "$1 did not say '$2'; its errors:" >&2
  cat "$HOLD/$1.err" >&2
  return 1
}

said_or_died() {
  grep -qE -- "$2" "$HOLD/$1.out" || ! kill -0 "${PID[$1]}" 2>/dev/null
}

# hold_locks NAME [locker's arguments]
hold_locks() {
  start "$1" "$TOOLS/locker" "${@:2}" && says "$1" '^ready '
}

# hold_image NAME [hold-image's arguments]: one of imgtool's own locks
hold_image() {
  start "$1" "$TOOLS/hold-image" "${@:2}" && says "$1" '^ready'
}

case $(uname -m) in
  aarch64) QEMU=qemu-system-aarch64 QEMU_MACHINE=virt,accel=tcg ;;
  *) QEMU=qemu-system-x86_64 QEMU_MACHINE=q35,accel=tcg ;;
esac

# hold_qemu NAME [qemu-system's arguments]: a virtual machine that never runs. It has its images
# open and locked once it answers. QEMU_WRAPPER (an array) may start it.
hold_qemu() {
  start "$1" "${QEMU_WRAPPER[@]}" "$QEMU" -S -machine "$QEMU_MACHINE" -nodefaults -display none \
    -qmp stdio "${@:2}"
  tell "$1" '{"execute":"qmp_capabilities"}'
  says "$1" '"return"'
}

# hold_io NAME [qemu-io's arguments]
hold_io() {
  start "$1" "${QEMU_WRAPPER[@]}" qemu-io "${@:2}"
  tell "$1" length
  says "$1" '[0-9] ([KMG]iB|bytes)'
}

# hold_daemon NAME [qemu-storage-daemon's arguments]
hold_daemon() {
  start "$1" qemu-storage-daemon --chardev stdio,id=control --monitor chardev=control "${@:2}"
  tell "$1" '{"execute":"qmp_capabilities"}'
  says "$1" '"return"'
}

# hold_nbd NAME [qemu-nbd's arguments]
hold_nbd() {
  start "$1" qemu-nbd --persistent --socket="$HOLD/$1.sock" --pid-file="$HOLD/$1.pid" "${@:2}"
  wait_for 20 test -s "$HOLD/$1.pid"
}

# hold_open NAME MODE FILE: no lock at all, like a program that knows nothing of locks
hold_open() {
  hold_locks "$1" --none "--$2" "$3"
}

# ---- images ----------------------------------------------------------------------------------

make_raw() {
  truncate -s "${2:-4M}" "$1"
}

make_qcow2() {
  qemu-img create -q -f qcow2 "$1" "${2:-4M}"
}

# make_filesystem TYPE FILE MOUNTPOINT SIZE [mkfs option]...: on a loop device, mounted
make_filesystem() {
  truncate -s "$4" "$2"
  "mkfs.$1" -q "${@:5}" "$2" >/dev/null
  mkdir -p "$3"
  mount -o loop "$2" "$3"
  later umount --lazy "$3"
}

# make_loop FILE: sets LOOP to a device backed by it
make_loop() {
  LOOP=$(losetup --find --show "${@:2}" "$1")
  later losetup --detach "$LOOP"
}

# ---- looking at JSON -------------------------------------------------------------------------

# Words that the filters of expect can use besides jq's own.
JQ_WORDS='
def image: .images[0];
def holders: image.holders;
def of($name): [holders[] | select(any(.processes[]; .pid == $pids[$name]))];
def verdict($use): image.uses[$use].verdict;
def permission($name): image.permissions[] | select(.name == $name);
'

# json_status STATUS [lock-status' arguments]: run it, demand that exit status
json_status() {
  run "-$1" --separate-stderr imgtool lock-status --output=json "${@:2}"
}

pids_as_json() {
  local name list=
  for name in "${!PID[@]}"; do
    list+=",\"$name\":${PID[$name]}"
  done
  echo "{${list#,}}"
}

# expect FILTER...: for the one JSON value in $output each of them is true, and not empty
expect() {
  local filter
  for filter; do
    jq -e --slurp --argjson pids "$(pids_as_json)" \
      "$JQ_WORDS length == 1 and (.[0] | [$filter] | length > 0 and all)" \
      <<<"$output" >/dev/null && continue
    echo "not so: $filter" >&2
    jq -c . <<<"$output" >&2
    return 1
  done
}

# expect_holder NAME OBJECT: the process NAME is one holder, and that has these members
expect_holder() {
  expect "of(\"$1\") | length == 1" \
    "of(\"$1\")[0] as \$h | $2 as \$want | [\$want | keys[] | select(\$h[.] != \$want[.])] == []"
}

# expect_uses NAME VERDICT=USE[,USE]...: and where something is blocked or unsafe, NAME is why
expect_uses() {
  local name=$1 word use
  shift
  for word; do
    for use in $(tr , ' ' <<<"${word#*=}"); do
      expect "verdict(\"$use\") == \"${word%%=*}\""
      [[ ${word%%=*} == possible ]] || expect "image.uses[\"$use\"].pids | index(\$pids[\"$name\"])"
    done
  done
}

ALL_USES=info,check,repair,convert-from,convert-to,vm,vm-read-only,read,write

# refute COMMAND...: it fails (a plain "! command" would be ignored in the middle of a test)
refute() {
  ! "$@"
}

# expect_message TEXT...: each is somewhere in the last command's messages
expect_message() {
  local text
  for text; do
    [[ $stderr == *"$text"* ]] && continue
    printf 'no message says "%s"; they are:\n%s\n' "$text" "$stderr" >&2
    return 1
  done
}

expect_no_message() {
  [[ -z $stderr ]] || {
    printf 'unexpected message: %s\n' "$stderr" >&2
    return 1
  }
}

# expect_text TEXT...: each is somewhere in the last command's output
expect_text() {
  local text
  for text; do
    [[ $output == *"$text"* ]] && continue
    printf 'the output does not contain "%s":\n%s\n' "$text" "$output" >&2
    return 1
  done
}
