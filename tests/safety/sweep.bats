#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# Each call of the system fails once, or the process is killed before it: exit status 0 only with a
# complete target, otherwise nothing that was not there before. "make check" takes the errors that
# matter for each call, at every so many of its places; "make check-sweep" (SWEEP=long) all errors that
# it can have at all places, and more kills.

load ../cli/lib
load lib-safety
load sweep

# What changes the target, or can run out of something.
CHANGES='p?write.*|ftruncate|fallocate|fsync|rename.*|link.*|openat|copy_file_range'

# errors KIND: each call fails, with the errors that it can have
errors() {
  require strace
  [[ -e src.raw ]] || sweep_sources
  record "$1"
  sweep "$1" '.*' error=EIO
  case $1:${SWEEP-} in
    *:long)
      sweep "$1" '.*' error=EINTR error=EAGAIN
      sweep "$1" "$CHANGES" error=ENOSPC error=EACCES error=ENOMEM error=EDQUOT
      ;;
    new:)
      sweep "$1" "$CHANGES" error=ENOSPC
      sweep "$1" "$CHANGES|p?read.*|fcntl|close" error=EINTR
      ;;
    *)
      sweep "$1" "$CHANGES" error=ENOSPC
      ;;
  esac
  # The end of the source comes too early; a write that does nothing, again and again.
  sweep "$1" 'pread.*|pwrite.*' retval=0
  ((FAILED > 0))
}

@test "sweep: each call fails, to a new target" {
  step 7
  errors new
  sweep_verdict 40
}

@test "sweep: each call fails, over an old target" {
  step 13
  errors old
  sweep_verdict 30
}

@test "sweep: each call fails, writing in place" {
  step 13
  errors in-place
  sweep_verdict 20
}

@test "sweep: each call fails, to standard output" {
  step 11
  errors stdout
  sweep_verdict 12
}

@test "sweep: each call fails, from a qcow2 image" {
  require qemu-img
  sweep_sources
  qcow2_source
  step 59
  errors new
  errors old
  sweep_verdict 20
}

@test "sweep: killed before each call, new and old target" {
  require strace
  sweep_sources
  step 7
  record new
  kill_sweep new
  step 13
  record old
  kill_sweep old
  sweep_verdict 30
}

@test "sweep: killed before each call, from a qcow2 image" {
  require strace qemu-img
  sweep_sources
  qcow2_source
  step 59
  for kind in new old; do
    record $kind
    kill_sweep $kind
  done
  sweep_verdict 12
}

@test "sweep: killed at random" {
  sweep_sources
  numbered src.raw 6 1
  truncate -s 8M src.raw
  cp src.raw src.copy
  for kind in new old; do
    random_kills $kind $((${KILLS:-30} / 2))
    ((KILLED > ${KILLS:-30} / 20))
  done
  sweep_verdict "${KILLS:-30}"
}
