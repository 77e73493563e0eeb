# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Situations in which a copy of an image can be lost, each played with a real program: rows.bats
# demands that imgtool comes out of all of them well, bench/safety shows it beside qemu-img. So
# they use only what both understand.
#
#   scenario ID         in an empty working directory. 0: nothing was lost; 1: something was, or a
#                       wreck stays under the final name; 77: cannot be played here
#   OUTCOME             what happened, in words made from what was found
#   TITLE[ID]           what the situation is
#   TOOL, SHIM          the program, and the built fault-shim (tests/tools/fault-shim.c)
#   ROWS                all IDs, those of the reliability notes: L losses, S situations of one copy

declare -gA TITLE=()
declare -ga ROWS=()
declare -g OUTCOME=
declare -g tool_pid=

row() {
  ROWS+=("$1")
  TITLE[$1]=$2
}

scenario() {
  OUTCOME=
  does_convert || { OUTCOME="cannot convert at all"; return 1; }
  "scenario_$1"
}

# does_convert: without this a program that always fails would look safe
does_convert() {
  numbered control.raw 1 5
  tool convert -f raw -O raw control.raw control.copy
  [[ $code == 0 ]] && cmp -s control.raw control.copy || return 1
  tool info -f raw control.raw
  rm control.raw control.copy
  [[ $code == 0 ]]
}

# ---- what the situations are made of --------------------------------------------------------

# numbered FILE MIB START: so many MiB, no two alike and none of it zero
numbered() {
  seq "$(($3 * 100000000))" $(($3 * 100000000 + 99999999)) | head -c "$(($2 * 1048576))" >"$1"
}

# make_sources: src.raw (8 MiB, of which 2 and 3, and the last, are holes), old.raw (4 MiB)
make_sources() {
  numbered part 5 1
  truncate -s 8M src.raw
  dd if=part of=src.raw bs=1M count=2 conv=notrunc status=none
  dd if=part of=src.raw bs=1M skip=2 seek=4 count=3 conv=notrunc status=none
  numbered old.raw 4 7
  rm part
  cp src.raw src.copy
}

# tool ARG...: to its end; its exit status is in $code. A program that hangs is ended.
tool() {
  code=0
  timeout --foreground -s KILL 60 "$TOOL" "$@" >tool.out 2>tool.err </dev/null || code=$?
}

# one_process FAULT COMMAND...: sets one_process to the words with which imgtool is one process, if the
# fault is to end or to stop all of it
one_process() {
  one_process=("${@:2}")
  [[ $1 != *:kill:* && $1 != *:stop:* ]] || ! "$TOOL" "$2" --help 2>/dev/null | grep -q no-sandbox ||
    one_process=("$2" --no-sandbox "${@:3}")
}

# faulty FAULT ARG...: the same with one of its calls going wrong (see fault-shim.c); what it says is
# in tool.out and tool.err, or $said.out and $said.err
faulty() {
  local fault=$1
  shift
  one_process "$fault" "$@"
  set -- "${one_process[@]}"
  code=0
  : >fault.log
  timeout --foreground -s KILL 60 env "FAULT=$fault" "FAULT_LOG=$PWD/fault.log" "LD_PRELOAD=$SHIM" \
    "ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" \
    "$TOOL" "$@" >"${said:-tool}.out" 2>"${said:-tool}.err" </dev/null || code=$?
}

# fault_fired: the last call of faulty had its fault. Without a process more: there are thousands.
fault_fired() {
  local log=
  [[ ! -e fault.log ]] || IFS= read -r -d '' log <fault.log || :
  [[ $log == *" FAULT"$'\n'* ]]
}

# start_faulty FAULT ARG...: in the background, tool_pid; a fault "stop" lets others have their turn
start_faulty() {
  local fault=$1
  shift
  one_process "$fault" "$@"
  set -- "${one_process[@]}"
  rm -f fault.log
  env --default-signal=INT,TERM,HUP "FAULT=$fault" "FAULT_LOG=$PWD/fault.log" "LD_PRELOAD=$SHIM" \
    "ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" \
    "$TOOL" "$@" >first.out 2>first.err </dev/null 3>&- 4>&- &
  tool_pid=$!
}

# wait_stopped: until the program in the background has stopped itself; false if it ended instead
wait_stopped() {
  local i
  for ((i = 0; i < 1000; i++)); do
    grep -qs '^State:.*T' "/proc/$tool_pid/status" && return 0
    kill -0 "$tool_pid" 2>/dev/null || return 1
    sleep 0.01
  done
  return 1
}

# go_on: let it run to its end; its exit status is in $first
go_on() {
  first=0
  kill -CONT "$tool_pid" 2>/dev/null || :
  { wait "$tool_pid" || first=$?; } 2>/dev/null # the shell would tell of a signal
}

# fate FILE NEW [OLD]: what has become of a target, in words
fate() {
  if [[ ! -e $1 ]]; then
    echo "no target"
  elif cmp -s "$1" "$2"; then
    echo "target complete"
  elif [[ ${3-} ]] && cmp -s "$1" "$3"; then
    echo "old target intact"
  elif [[ ! -s $1 ]]; then
    echo "target empty"
  else
    echo "target wrong, $(stat -c %s "$1") bytes"
  fi
}

# left_over: whether a temporary file lies about
left_over() {
  compgen -G '.*.imgtool-*' >/dev/null
}

# refused_or_right STATUS FATE [OLD]: the one question of all rows. Exit status 0 demands a complete
# target; any other none at all or, with OLD, the old one.
refused_or_right() {
  case $1:$2:${3-} in
    0:"target complete":*) return 0 ;;
    0:*) return 1 ;;
    *:"no target":) return 0 ;;
    *:"old target intact":old) return 0 ;;
  esac
  return 1
}

# mount_new TYPE SIZE [mkfs option]...: a file system of its own at mnt; LOOP is its device
mount_new() {
  local type=$1 size=$2
  shift 2
  [[ $EUID == 0 ]] && command -v "mkfs.$type" >/dev/null && losetup --find >/dev/null 2>&1 || return 77
  rm -f disk.img
  truncate -s "$size" disk.img
  "mkfs.$type" -q "$@" disk.img >/dev/null 2>&1 || return 77
  mkdir -p mnt
  LOOP=$(losetup --find --show disk.img) || return 77
  mount "$LOOP" mnt || { losetup --detach "$LOOP" && return 77; }
}

unmount_all() {
  while mountpoint -q mnt 2>/dev/null; do umount mnt 2>/dev/null || umount --lazy mnt; done
  [[ ! ${LOOP-} ]] || losetup --detach "$LOOP" 2>/dev/null || :
  LOOP=
}

# cut_power FOLDER: what its file system has not yet sent to the disk is gone (ioctl GOINGDOWN of
# ext4 and XFS, without flushing the journal)
cut_power() {
  perl -MFcntl -e 'sysopen(my $folder, $ARGV[0], O_RDONLY) or die "$ARGV[0]: $!";
    my $how = pack("L", 2); defined ioctl($folder, 0x8004587d, $how) or die "$ARGV[0]: $!"' "$1"
}

# power_returns: mount it again, which recovers the journal
power_returns() {
  # What was killed a moment ago may not have closed yet: a child dies after its parent.
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    ! umount mnt 2>/dev/null || break
    sleep 0.05
  done
  mount "$LOOP" mnt
}

# ---- losses ---------------------------------------------------------------------------------

row L2 "two converts to one new target at once"
scenario_L2() {
  local second fate
  make_sources
  numbered b.raw 4 3
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped || { OUTCOME="the first did not start: $(head -n 1 first.err)"; return 1; }
  tool convert -f raw -O raw b.raw t.raw
  second=$code
  go_on
  fate=$(fate t.raw src.raw b.raw)
  fate=${fate/old target intact/target is the second}
  OUTCOME="exit $first and $second, $fate"
  case $first:$second:$fate in
    0:0:*) return 1 ;;
    0:*:"target complete" | *:0:"target is the second") return 0 ;;
  esac
  return 1
}

row L3 "a second convert refused while one runs"
scenario_L3() {
  local second fate
  make_sources
  numbered b.raw 4 3
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped || { OUTCOME="the first did not start: $(head -n 1 first.err)"; return 1; }
  tool convert -f raw -O qcow2 b.raw t.raw
  second=$code
  go_on
  fate=$(fate t.raw src.raw)
  OUTCOME="exit $first and $second, $fate"
  [[ $second != 0 ]] && refused_or_right "$first" "$fate"
}

row L5 "the source shrinks during the copy"
scenario_L5() {
  numbered src.raw 40 1 # more than any program reads ahead
  cp src.raw src.copy
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped || { OUTCOME="it did not start: $(head -n 1 first.err)"; return 1; }
  truncate -s 20M src.raw
  go_on
  OUTCOME="exit $first, $(fate t.raw src.copy)"
  refused_or_right "$first" "$(fate t.raw src.copy)"
}

row L6 "convert -U of a file onto itself"
scenario_L6() {
  local name lost=0
  make_sources
  ln src.raw hard.raw
  ln -s src.raw soft.raw
  for name in src.raw ./src.raw hard.raw soft.raw; do
    tool convert -U -f raw -O raw src.raw "$name"
    cmp -s src.raw src.copy || lost=$((lost + 1))
    [[ $code != 0 ]] || lost=$((lost + 1))
    cp src.copy src.raw.new && cat src.raw.new >src.raw
  done
  OUTCOME="exit $code, $([[ $lost == 0 ]] && echo "source intact" || echo "overwritten")"
  [[ $lost == 0 && -h soft.raw && hard.raw -ef src.raw ]]
}

row L7 "power cut right after exit 0 (ext4, XFS)"
scenario_L7() {
  local type fate words=() lost=0
  make_sources
  for type in ext4 xfs; do
    mount_new "$type" 320M || return
    tool convert -f raw -O raw src.raw mnt/t.raw
    cut_power mnt || { unmount_all; return 77; }
    power_returns
    fate=$(fate mnt/t.raw src.raw)
    words+=("exit $code, $fate")
    refused_or_right "$code" "$fate" || lost=1
    unmount_all
  done
  OUTCOME=${words[0]}
  [[ ${words[0]} == "${words[1]}" ]] || OUTCOME="${words[0]}; ${words[1]}"
  return $lost
}

row L8 "fsync of the target fails (-t writeback)"
scenario_L8() {
  make_sources
  faulty sync:EIO:1:t.raw convert -t writeback -f raw -O raw src.raw t.raw
  fault_fired || { OUTCOME="no fsync at all, exit $code"; return 1; }
  OUTCOME="exit $code, $(fate t.raw src.raw)"
  [[ $code != 0 ]] || { OUTCOME="exit 0, error ignored"; return 1; }
  refused_or_right "$code" "$(fate t.raw src.raw)"
}

row L9 "close() fails, nothing flushed before it"
scenario_L9() {
  local i closes fate
  make_sources
  faulty close:EIO:999:t.raw convert -f raw -O raw src.raw t.raw
  closes=$(grep -c '^close ' fault.log)
  for ((i = 1; i <= closes; i++)); do
    rm -f t.raw
    faulty close:EIO:$i:t.raw convert -f raw -O raw src.raw t.raw
    fault_fired || continue
    fate=$(fate t.raw src.raw)
    OUTCOME="exit $code, $fate"
    if [[ $code == 0 ]] && ! sed '/ FAULT$/q' fault.log | grep -q '^sync '; then
      OUTCOME="exit 0, error ignored"
      return 1
    fi
  done
  refused_or_right "$code" "$fate" && [[ $closes -gt 0 ]]
}

row L10 "old target, unreadable source"
scenario_L10() {
  make_sources
  cp old.raw t.raw
  faulty read:EIO:2+:src.raw convert -f raw -O raw src.raw t.raw
  fault_fired || { OUTCOME="nothing was read"; return 1; }
  OUTCOME="exit $code, $(fate t.raw src.raw old.raw)"
  refused_or_right "$code" "$(fate t.raw src.raw old.raw)" old
}

row L10b "old target, no room for the new one"
scenario_L10b() {
  make_sources
  cp old.raw t.raw
  code=0
  prlimit --fsize=6291456 "$TOOL" convert -f raw -O raw src.raw t.raw >tool.out 2>tool.err || code=$?
  OUTCOME="exit $code, $(fate t.raw src.raw old.raw)"
  refused_or_right "$code" "$(fate t.raw src.raw old.raw)" old
}

row L11 "killed, or SIGINT, SIGTERM, SIGHUP"
scenario_L11() {
  local signal fate lost=0
  make_sources
  for signal in KILL INT TERM HUP; do
    rm -f t.raw
    start_faulty write:stop:3:t.raw convert -f raw -O raw src.raw t.raw
    wait_stopped || { OUTCOME="it did not start: $(head -n 1 first.err)"; return 1; }
    kill -s "$signal" "$tool_pid"
    go_on
    fate=$(fate t.raw src.raw)
    OUTCOME="exit $first, $fate"
    refused_or_right "$first" "$fate" || lost=1
    [[ $signal == KILL ]] || ! left_over || { OUTCOME+=", part file left"; lost=1; }
    [[ $lost == 0 ]] || return 1
    rm -f .*.imgtool-part
  done
}

row L12 "info, standard output is full"
scenario_L12() {
  make_sources
  code=0
  "$TOOL" info -f raw src.raw >/dev/full 2>tool.err || code=$?
  OUTCOME="exit $code"
  [[ $code != 0 ]]
}

row L13 "convert -n onto a mounted device"
scenario_L13() {
  make_sources
  mount_new ext4 16M || return
  cp src.copy mnt/file
  sync -f mnt
  tool convert -n -f raw -O raw old.raw "$LOOP"
  sync -f mnt
  umount mnt
  blockdev --flushbufs "$LOOP"
  OUTCOME="exit $code, file system gone"
  if mount "$LOOP" mnt 2>/dev/null && cmp -s mnt/file src.copy; then
    OUTCOME="exit $code, file system intact"
  fi
  unmount_all
  [[ $code != 0 && $OUTCOME == *intact ]]
}

# ---- situations -----------------------------------------------------------------------------

row S1 "the disk fills up (ext4)"
scenario_S1() {
  make_sources
  mount_new ext4 16M || return
  head -c $(($(df -B1 --output=avail mnt | tail -n 1) - 3 * 1048576)) /dev/zero >mnt/filler
  tool convert -f raw -O raw src.raw mnt/t.raw
  OUTCOME="exit $code, $(fate mnt/t.raw src.raw)"
  refused_or_right "$code" "$(fate mnt/t.raw src.raw)"
  local status=$?
  ! (cd mnt && left_over) || { OUTCOME+=", part file left" && status=1; }
  unmount_all
  [[ $code != 0 && $status == 0 ]]
}

# each_point FAULT-WITH-@ ARG...: once for each call, until there is none left to go wrong; the new
# target is t.raw. Counts points, and lost ones.
each_point() {
  local fault=$1 fate
  shift
  for ((point = 1; point < 500; point++)); do
    rm -f t.raw .t.raw.imgtool-*
    faulty "${fault/@/$point}" "$@"
    fault_fired || return 0
    points=$((points + 1))
    fate=$(fate t.raw src.copy)
    refused_or_right "$code" "$fate" || lost=$((lost + 1))
    [[ $code == 0 ]] || failed=$((failed + 1))
    ! left_over || lost=$((lost + 1))
  done
}

row S4 "each read fails in turn (EIO)"
scenario_S4() {
  local points=0 lost=0 failed=0
  make_sources
  each_point read:EIO:@:src.raw convert -f raw -O raw src.raw t.raw
  OUTCOME="$lost of $points left a wreck"
  [[ $points -gt 2 && $failed -gt 0 && $lost == 0 ]]
}

row S5 "each write fails in turn (EIO, ENOSPC)"
scenario_S5() {
  local points=0 lost=0 failed=0 error
  make_sources
  for error in EIO ENOSPC; do
    each_point write:$error:@:t.raw convert -f raw -O raw src.raw t.raw
  done
  OUTCOME="$lost of $points left a wreck"
  [[ $points -gt 4 && $failed -gt 0 && $lost == 0 ]]
}

row S9b "the target is open in qemu-io"
scenario_S9b() {
  local holder
  command -v qemu-io >/dev/null || return 77
  make_sources
  cp old.raw t.raw
  mkfifo commands
  qemu-io -f raw t.raw <>commands >io.out 2>&1 3>&- 4>&- &
  holder=$!
  echo length >commands
  for ((i = 0; i < 500; i++)); do
    grep -q MiB io.out && break
    sleep 0.02
  done
  tool convert -f raw -O raw src.raw t.raw
  kill "$holder"
  wait "$holder" 2>/dev/null || :
  OUTCOME="exit $code, $(fate t.raw src.raw old.raw)"
  [[ $code != 0 ]] || { OUTCOME="exit 0, overwritten"; return 1; }
  refused_or_right "$code" "$(fate t.raw src.raw old.raw)" old
}

row S17 "short transfers and EINTR, each call"
scenario_S17() {
  local points=0 lost=0 failed=0 what
  make_sources
  for what in short EINTR; do
    each_point read:$what:@:src.raw convert -f raw -O raw src.raw t.raw
    each_point write:$what:@:t.raw convert -f raw -O raw src.raw t.raw
  done
  OUTCOME="$((failed + lost)) of $points failed"
  [[ $points -gt 8 && $failed == 0 && $lost == 0 ]]
}

row S18b "the source is written to meanwhile"
scenario_S18b() {
  make_sources
  start_faulty write:stop:2:t.raw convert -f raw -O raw src.raw t.raw
  wait_stopped || { OUTCOME="it did not start: $(head -n 1 first.err)"; return 1; }
  printf changed | dd of=src.raw conv=notrunc bs=1 seek=6000000 status=none
  go_on
  OUTCOME="exit $first, $([[ -s first.err ]] && echo "a warning" || echo "no word of it")"
  [[ $first != 0 || -s first.err ]]
}

row S23 "mode of the copy of a 0600 source"
scenario_S23() {
  make_sources
  chmod 600 src.raw
  (umask 022 && tool convert -f raw -O raw src.raw t.raw && exit "$code")
  OUTCOME="mode 0$(stat -c %a t.raw)"
  [[ $(stat -c %a t.raw) == 600 ]]
}
