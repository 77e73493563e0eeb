#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2154
#
# Two copies to one target at the same time: one is refused and says by whom, the other is complete.
# RACES is how many there are in all; "make check-races" plays 500.

load ../cli/lib
load lib-safety

RACES=${RACES:-60}

race_sources() {
  numbered a.raw 1 1
  numbered b.raw 1 2
  truncate -s 2M b.raw
  numbered old.raw 1 7
  mkfifo a.fifo b.fifo
  declare -gA WINS=([a]=0 [b]=0)
}

# race FIRST SECOND: both read from pipes that give nothing yet, so neither can finish before the
# other has come as far as it gets. Then the one that is left gets its source.
race() {
  local name loser='' winner='' status=0 i into
  declare -A pid=()
  exec {into_a}<>a.fifo {into_b}<>b.fifo
  for name; do
    "$IMGTOOL" convert -f raw -O raw - t.raw <$name.fifo >$name.out 2>$name.err \
      3>&- 4>&- {into_a}>&- {into_b}>&- &
    pid[$name]=$!
  done
  for ((i = 0; i < 2000; i++)); do
    for name; do kill -0 "${pid[$name]}" 2>/dev/null || loser=$name; done
    [[ ! $loser ]] || break
    sleep 0.01
  done
  if [[ ! $loser ]]; then
    echo "neither was refused" >&2
    kill -KILL "${pid[@]}"
    return 1
  fi
  winner=$([[ $loser == a ]] && echo b || echo a)
  wait "${pid[$loser]}" || status=$?
  into=into_$winner
  cat $winner.raw >&"${!into}"
  exec {into_a}>&- {into_b}>&-
  wait "${pid[$winner]}" || { echo "the winner: $(cat $winner.err)" >&2 && return 1; }
  WINS[$winner]=$((WINS[$winner] + 1))
  [[ $status == 1 ]] || { echo "the loser's exit status: $status" >&2 && return 1; }
  grep -q "pid ${pid[$winner]}" $loser.err ||
    { echo "the winner is ${pid[$winner]}, the loser said: $(cat $loser.err)" >&2 && return 1; }
  cmp $winner.raw t.raw
  no_part_file
}

# races TIMES new|old|left
races() {
  local i
  for ((i = 0; i < $1; i++)); do
    rm -f t.raw
    [[ $2 != old ]] || cp old.raw t.raw
    [[ $2 != left ]] || cp old.raw .t.raw.imgtool-part
    if ((i % 2)); then race a b; else race b a; fi
  done
  echo "# $BATS_TEST_DESCRIPTION: $1 races, won by ${WINS[a]} and ${WINS[b]}" >&3
}

@test "races: two copies to one new target" {
  race_sources
  races $((RACES * 5 / 12)) new
}

@test "races: two copies to one existing target" {
  race_sources
  races $((RACES * 5 / 12)) old
}

@test "races: two copies, and the part file of one that was killed" {
  race_sources
  races $((RACES * 5 / 12)) left
}

@test "races: two copies of files, each slow, and no lock is waited for" {
  local i kind status_a status_b fate
  race_sources
  numbered a.raw 2 1 # at 4 MiB/s the first MiB costs nothing
  numbered b.raw 2 2
  for ((i = 0; i < RACES / 6; i++)); do
    kind=$( ((i % 2)) && echo old || echo new)
    rm -f t.raw
    [[ $kind == new ]] || cp old.raw t.raw
    status_a=0 status_b=0
    "$IMGTOOL" convert -r 4M -f raw -O raw a.raw t.raw 2>a.err 3>&- 4>&- &
    a=$!
    "$IMGTOOL" convert -r 4M -f raw -O raw b.raw t.raw 2>b.err 3>&- 4>&- &
    b=$!
    wait $a || status_a=$?
    wait $b || status_b=$?
    case $status_a:$status_b in
      0:1) cmp a.raw t.raw && grep -q "pid $a" b.err ;;
      1:0) cmp b.raw t.raw && grep -q "pid $b" a.err ;;
      *) echo "exit status $status_a and $status_b" >&2 && false ;;
    esac
    no_part_file
  done
}

# has_part_or_lock PID: that copy has begun
has_part_or_lock() {
  compgen -G '.t.raw.imgtool-*' >/dev/null && grep -qs '^lock:' "/proc/$1/fdinfo/"*
}

@test "races: with --lock-wait the second waits for the first, and wins" {
  local into
  race_sources
  for kind in new old; do
    rm -f t.raw
    [[ $kind == new ]] || cp old.raw t.raw
    exec {into}<>a.fifo
    "$IMGTOOL" convert -f raw -O raw - t.raw <a.fifo 2>a.err 3>&- 4>&- {into}>&- &
    a=$!
    wait_for 10 has_part_or_lock $a
    "$IMGTOOL" convert --lock-wait=20 -f raw -O raw b.raw t.raw 2>b.err 3>&- 4>&- {into}>&- &
    b=$!
    sleep 0.3
    kill -0 $b # it waits
    cat a.raw >&"$into"
    exec {into}>&-
    wait $a
    cmp -s t.raw a.raw || cmp -s t.raw b.raw
    wait $b
    same t.raw b.raw
    no_part_file
  done
}

@test "races: a copy that was killed is in nobody's way" {
  local into
  race_sources
  for kind in new old; do
    rm -f t.raw
    [[ $kind == new ]] || cp old.raw t.raw
    exec {into}<>a.fifo
    "$IMGTOOL" convert -f raw -O raw - t.raw <a.fifo 2>a.err 3>&- 4>&- {into}>&- &
    a=$!
    wait_for 10 has_part_or_lock $a
    expect_failure imgtool convert -f raw -O raw b.raw t.raw
    expect_message "pid $a"
    kill -KILL $a
    { wait $a || :; } 2>/dev/null
    exec {into}>&-
    compgen -G '.t.raw.imgtool-part' # what it left
    imgtool convert -f raw -O raw b.raw t.raw
    same t.raw b.raw
    no_part_file
  done
}

won() {
  cat [abcd].log | grep -c won
}

@test "S25: four writers and a reader: the reader never sees half a target" {
  local name sum end writers=()
  race_sources
  numbered c.raw 2 3
  numbered d.raw 2 4
  imgtool convert -f raw -O raw a.raw t.raw
  sha256sum {a,b,c,d}.raw | cut -d ' ' -f 1 >sums
  for name in a b c d; do
    writer() {
      while [[ ! -e stop ]]; do
        if "$IMGTOOL" convert -f raw -O raw $name.raw t.raw 2>$name.err; then
          echo won
        elif ! grep -q 'pid\|lock' $name.err; then
          cat $name.err
          echo wrong
        fi
      done >$name.log 2>&1
    }
    writer 3>&- 4>&- &
    writers+=($!)
  done
  # Four seconds, or on a slow machine as long as it takes to see something.
  end=$((SECONDS + 4))
  for ((seen = 0; SECONDS < end || (SECONDS < end + 60 && (seen <= 20 || $(won) <= 10)); seen++)); do
    sum=$(sha256sum <t.raw | cut -d ' ' -f 1)
    grep -qx "$sum" sums || { touch stop && false; }
  done
  touch stop
  wait "${writers[@]}"
  echo "# $BATS_TEST_DESCRIPTION: $(won) copies, $seen looks" >&3
  refute grep wrong [abcd].log
  (($(won) > 10 && seen > 20))
  sum=$(sha256sum <t.raw | cut -d ' ' -f 1)
  grep -qx "$sum" sums
  no_part_file
}
