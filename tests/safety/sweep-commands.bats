#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034,SC2154
#
# As sweep.bats, of commands that read an image, or lock it: exit status 0 only with the answer that
# is right, otherwise one message; no lock is left. "make check" takes some of the points, "make
# check-sweep" all.

load ../cli/lib
load ../damage/qcow2
load ../damage/check
load lib-safety
load sweep
load sweep-commands
load sweep-shim

@test "sweep: each call fails, info" {
  require strace qemu-img
  command_sources
  step 37
  for kind in info-raw info-qcow2 info-chain; do
    each_fails $kind
  done
  sources_unchanged
  sweep_verdict 10
}

@test "sweep: each call fails, check" {
  require strace qemu-img
  command_sources
  step 37
  for kind in check check-data check-corrupt; do
    each_fails $kind
  done
  sources_unchanged
  sweep_verdict 10
}

@test "sweep: each call fails, lock and lock-status" {
  require strace qemu-img
  command_sources
  step 47
  each_fails lock
  each_fails lock-status
  hold_locks other --write-lock disk.qcow2 101 1 201 1
  step 500
  each_fails lock-status-held
  sources_unchanged
  sweep_verdict 10
}

@test "sweep: each allocation fails: info, check, lock and lock-status" {
  require qemu-img
  command_sources
  step 499
  ALONE=()
  unset IMGTOOL_SANDBOX
  for kind in info-raw info-chain check-data check-corrupt lock-status lock; do
    undisturbed $kind
    malloc_sweep $kind
  done
  sources_unchanged
  sweep_verdict 15
}

@test "sweep: each call fails in the sandbox: info and check" {
  require qemu-img
  command_sources
  step 37
  ALONE=()
  shim
  for form in refuse kill; do
    export IMGTOOL_SANDBOX=$form
    for kind in info-chain check-data check-corrupt; do
      undisturbed $kind
      shim_faults $kind
    done
  done
  sources_unchanged
  sweep_verdict 15
}
