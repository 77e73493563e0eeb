# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# Sweeps like those of sweep.bash, with faults by fault-shim.c instead of strace: with as many threads
# and processes as the program likes to have, and for calls that are none of the system, malloc. The
# order in which threads come is theirs, so each try is another one.

# shimmed FAULT: WORDS with that fault; sets code
shimmed() {
  local said=copy
  TOOL=$IMGTOOL
  : >trace.log # said_why looks at both
  { faulty "$1" "${WORDS[@]:1}"; } 2>/dev/null # the shell would tell of a signal
}

# shim_sweep KIND GROUP FAULT...: each call of that group of the shim's, until there is none left
shim_sweep() {
  local kind=$1 group=$2 fault n
  shift 2
  copy_words "$kind"
  for fault; do
    for ((n = 1; n < 100000; n += STEP)); do
      reset_target "$kind"
      shimmed "$group:$fault:$n"
      fault_fired || break
      POINTS=$((POINTS + 1))
      judge "$kind" "$kind, $group #$n $fault" "$group"
    done
  done
}

# shim_faults KIND: all that can go wrong with what is open, in all processes and threads
shim_faults() {
  local group
  for group in read write sync resize allocate clone; do
    shim_sweep "$1" $group EIO
  done
  shim_sweep "$1" write ENOSPC
  shim_sweep "$1" allocate ENOSPC EOPNOTSUPP
  shim_sweep "$1" read short
  shim_sweep "$1" write short
  [[ ${SWEEP-} != long ]] || for group in read write sync resize; do
    shim_sweep "$1" $group EINTR EAGAIN ENOMEM
  done
}

# malloc_sweep KIND: each allocation fails; and with it all that come later, which is tried at fewer of
# them. GLib aborts then, which may leave no more than a kill does.
malloc_sweep() {
  local n kind=$1 later stride=$STEP
  ! is_sanitized || skip "needs: a program without a malloc of its own"
  shim -DFAULT_MALLOC
  copy_words "$kind"
  for later in '' +; do
    ALL_GONE=$later
    for ((n = 1; n < 1000000; n += stride)); do
      reset_target "$kind"
      shimmed "malloc:ENOMEM:$n$later"
      fault_fired || break
      POINTS=$((POINTS + 1))
      judge "$kind" "$kind, allocation #$n$later" malloc
    done
    ((STEP > 1)) || stride=16
  done
  ALL_GONE=''
}
