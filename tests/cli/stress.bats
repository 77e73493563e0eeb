#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# Several processes take write access to one image again and again, imgtool's and qemu-io mixed.
# Each that has it puts up a mark of its own and then looks for the others': if two had it at the
# same time, at least one of them meets the other's mark. (Two qemu-io on a raw image may share it;
# that is QEMU's own rule.) And every imgtool, which waits for its turn, gets it in time.
#
# "make check-locks" takes 10,000 holds, with eight processes at a time; HOLDS=... more.
#
# STRESS_WRITERS imgtool processes and STRESS_QEMU qemu-io processes do STRESS_ROUNDS rounds each;
# an imgtool waits up to STRESS_WAIT seconds for its turn.

load lib

: "${STRESS_WRITERS:=4}" "${STRESS_QEMU:=2}" "${STRESS_ROUNDS:=20}" "${STRESS_WAIT:=30}"

# have_it NAME KIND: called by who has write access; prints what is wrong
have_it() {
  mkdir "marks/$2.$1"
  local others=(marks/*)
  local other
  for other in "${others[@]}"; do
    case $2:${other#marks/} in
      "$2:$2.$1") ;;
      qemu:qemu.*) [[ $image == *.raw ]] || echo "OVERLAP: $2.$1 with ${other#marks/}" ;;
      *) echo "OVERLAP: $2.$1 with ${other#marks/}" ;;
    esac
  done
  sleep 0.00$((RANDOM % 10))
  rmdir "marks/$2.$1"
}

# take_turn NAME COMMAND...: start it between two pipes, of which we have the ends $to and $from
take_turn() {
  [[ -p $1.in ]] || mkfifo "$1.in" "$1.out"
  "${@:2}" <"$1.in" >"$1.out" 2>"$1.err" &
  pid=$!
  exec {to}>"$1.in" {from}<"$1.out"
}

# end_turn: end its input; $last is what it still says. Returns its status.
end_turn() {
  exec {to}>&-
  last=$(timeout 10 cat <&"$from")
  exec {from}<&-
  wait "$pid"
}

# imgtool_rounds NAME MODE
imgtool_rounds() {
  local round line to from pid last
  for ((round = 1; round <= STRESS_ROUNDS; round++)); do
    take_turn "$1" "$TOOLS/hold-image" "--locking=$2" --write "--wait=$STRESS_WAIT" "$image"
    if read -r -t $((STRESS_WAIT + 10)) line <&"$from" && [[ $line == ready* ]]; then
      have_it "$1" imgtool
      echo "won $1"
    else
      echo "LOST: $1 ($2) in round $round: $(cat "$1.err")"
    fi
    # It looks once more whether it still has the lock, and says so.
    end_turn || echo "FAILED: $1 ($2) in round $round with status $?: $last $(cat "$1.err")"
    [[ $last == held || $2 == off ]] || echo "FAILED: $1 ($2) in round $round: its lock is '$last'"
  done
}

# qemu_rounds NAME KIND: qemu-io does not wait, so it tries until it has had its rounds, or until
# the others are done
qemu_rounds() {
  local line to from pid last rounds=0 wrapper=() locking=auto
  [[ $2 == posix ]] && wrapper=("$TOOLS/without-locks" ofd) locking=on
  local options=driver=${image##*.},file.driver=file,file.filename=$image,file.locking=$locking
  trap '' PIPE
  while ((rounds < STRESS_ROUNDS)) && [[ ! -e finished ]]; do
    take_turn "$1" "${wrapper[@]}" qemu-io --image-opts "$options"
    # "length" is answered once the image is open; without the image there is no answer.
    { echo length >&"$to"; } 2>/dev/null || :
    if read -r -t 30 line <&"$from" && [[ $line == *iB* ]]; then
      have_it "$1" qemu
      echo "won $1"
      rounds=$((rounds + 1))
    fi
    end_turn || :
    sleep 0.0$((RANDOM % 9 + 1))
  done
}

# run_stress IMAGE IMGTOOL_MODES QEMU_KINDS: the processes take turns with the modes and kinds
run_stress() {
  local -a modes kinds workers=() imgtools=()
  local i worker
  image=$1
  read -ra modes <<<"$2"
  read -ra kinds <<<"$3"
  mkdir marks
  for ((i = 0; i < STRESS_WRITERS; i++)); do
    imgtool_rounds "w$i" "${modes[i % ${#modes[@]}]}" >"w$i.log" 2>&1 3>&- 4>&- &
    imgtools+=($!)
  done
  for ((i = 0; i < STRESS_QEMU; i++)); do
    qemu_rounds "q$i" "${kinds[i % ${#kinds[@]}]}" >"q$i.log" 2>&1 3>&- 4>&- &
    workers+=($!)
  done
  wait "${imgtools[@]}"
  : >finished
  wait "${workers[@]}"

  if grep -E 'OVERLAP|LOST|FAILED' ./*.log; then
    return 1
  fi
  if (($(cat w*.log | grep -c '^won ') != STRESS_WRITERS * STRESS_ROUNDS)); then
    tail -n 3 w*.log >&2
    return 1
  fi
  # QEMU had turns too, or nothing was mixed.
  (($(cat q*.log | grep -c '^won ') > 0))
  # Nobody is there any more, and nobody is refused.
  for mode in "${modes[@]}"; do
    run -0 "$TOOLS/hold-image" "--locking=$mode" --write "$image" 0
    [[ $output == *held* || $mode == off ]]
  done
  [[ $image == *.raw ]] || qemu-img check -q "$image"
  echo "# $BATS_TEST_DESCRIPTION: $((STRESS_WRITERS * STRESS_ROUNDS)) exclusive holds of imgtool's," \
    "$(cat q*.log | grep -c '^won ') of qemu-io's" >&3
}

@test "OFD locks, qcow2" {
  make_qcow2 disk.qcow2
  run_stress disk.qcow2 auto ofd
}

@test "OFD locks, raw" {
  make_raw disk.raw
  run_stress disk.raw auto ofd
}

@test "POSIX locks on both sides, qcow2" {
  make_qcow2 disk.qcow2
  run_stress disk.qcow2 posix posix
}

@test "POSIX locks on both sides, raw" {
  make_raw disk.raw
  run_stress disk.raw posix posix
}

@test "OFD and POSIX locks mixed, qcow2" {
  make_qcow2 disk.qcow2
  run_stress disk.qcow2 "auto posix on" "ofd posix"
}

@test "OFD and POSIX locks mixed, raw" {
  make_raw disk.raw
  run_stress disk.raw "auto posix on" "ofd posix"
}

@test "the marks do find an overlap: without locks there is one" {
  # The same with locking off: were nothing found here, nothing could be found above.
  make_raw disk.raw
  STRESS_ROUNDS=20
  run run_stress disk.raw off ofd
  ((status == 1))
  expect_text OVERLAP
}
