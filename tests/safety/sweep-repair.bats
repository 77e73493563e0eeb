#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034,SC2154
#
# As sweep.bats, of repairs, and of taking them back: whatever fails, the image is no worse than
# before, and what was done can be undone. "make check" takes some of the points, "make check-sweep"
# all.

load ../cli/lib
load ../damage/qcow2
load ../damage/check
load lib-safety
load repair
load sweep
load sweep-commands
load sweep-shim

@test "sweep: each call fails, check -r and check --undo" {
  require strace qemu-img jq
  repair_sources mixed
  step 97
  for kind in ${SWEEP:+repair} repair-undo undo; do
    each_fails $kind
  done
  sweep_verdict 10
}

@test "sweep: killed before each call, check -r and check --undo" {
  require strace qemu-img jq
  repair_sources mixed
  step 71
  for kind in ${SWEEP:+repair} repair-undo undo; do
    record $kind
    kill_sweep $kind
  done
  sweep_verdict 10
}

@test "sweep: each allocation fails: check -r and check --undo" {
  require qemu-img jq
  repair_sources mixed
  step 601
  ALONE=()
  unset IMGTOOL_SANDBOX
  for kind in ${SWEEP:+repair} repair-undo undo; do
    malloc_sweep $kind
  done
  sweep_verdict 10
}

@test "sweep: each call fails in the sandbox: check -r and check --undo" {
  require qemu-img jq
  repair_sources mixed
  step 41
  ALONE=()
  shim
  for form in refuse kill; do
    export IMGTOOL_SANDBOX=$form
    for kind in repair-undo undo; do
      shim_faults $kind
    done
  done
  sweep_verdict 8
}

# large_allocations WORD...: that command, with each allocation failing that is as large as a cluster.
# Those have a message, GLib's own functions would abort. (GVariant's do, in the sandbox.)
large_allocations() {
  local n
  WORDS=("$IMGTOOL" "$@")
  for ((n = 1; n < 1000; n++)); do
    cp before.qcow2 disk.qcow2
    rm -f t.raw undo
    FAULT_RANGE=1048576-1099511627776 shimmed "malloc:ENOMEM:$n"
    fault_fired || break
    POINTS=$((POINTS + 1)) FAILED=$((FAILED + 1))
    [[ $code == 1 ]] || finding "$*, large allocation #$n" "no failure"
    if grep -q 'imgtool: .*memory' copy.err; then
      said_why || finding "$*, large allocation #$n" "$(wc -l <copy.err) lines of messages"
    elif [[ $1 != check ]] || ! grep -q 'GLib-ERROR\|ended by signal 9' copy.err; then
      finding "$*, large allocation #$n" "no message"
    fi
    # A repair may have come to its second round.
    cmp -s disk.qcow2 before.qcow2 || is_no_worse || finding "$*, large allocation #$n" "the image is worse"
  done
  ((n > 1)) || finding "$*" "no large allocation"
}

@test "no memory for what an image has the size of: a message" {
  require qemu-img
  ! is_sanitized || skip "needs: a program without a malloc of its own"
  shim -DFAULT_MALLOC
  unset IMGTOOL_SANDBOX
  sweep_sources
  for compressed in -c ${SWEEP:+''}; do
    qemu-img convert -f raw -O qcow2 $compressed -o cluster_size=2M src.raw disk.qcow2
    note_content
    large_allocations info disk.qcow2
    large_allocations check --data disk.qcow2
    large_allocations convert -f qcow2 -O raw disk.qcow2 t.raw
    no_part_file
    put disk.qcow2 "$(($(first_block disk.qcow2) + 4))" 2 0
    note_content
    large_allocations check -q -r all disk.qcow2
    put disk.qcow2 "$(field disk.qcow2 reftable_offset)" 8 0
    note_content
    large_allocations check -q -r all --undo-file=undo disk.qcow2
  done
  sweep_verdict 10
}
