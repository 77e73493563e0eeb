#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034,SC2154
#
# As sweep.bats and sweep-qcow2.bats, of copies as users make them: with threads, in the sandbox. Its
# filter fails what it does not know, as it does for users; one pass is with the form that ends the
# process. And each allocation fails. "make check" takes some of the points, "make check-sweep" all.

load ../cli/lib
load lib-safety
load sweep
load sweep-qcow2
load sweep-shim

SIZE=() LOOP='' ALONE=()

# copies FUNCTION: to be done with a copy in each direction; HOW is the copy
copies() {
  step "$2"
  numbered base.raw 1 3
  sweep_sources
  cp old.raw old.qcow2
  HOW=(convert -f raw -O raw src.raw)
  right_copy
  "$1" old
  qcow2_sources
  "$1" new
  qcow2_source
  qcow2_sources -c -o cluster_size=4k
  "$1" old
  qcow2_sources -B ../base.raw -F raw
  "$1" new
}

# right_copy: like right_image, of a copy to raw
right_copy() {
  TARGET=work/t.raw DATA=''
  cp src.raw work.want
}

@test "sweep: each call fails, copies with threads in the sandbox" {
  require qemu-img
  unset IMGTOOL_SANDBOX
  shim
  copies shim_faults 37
  sweep_verdict 15
}

@test "sweep: each call fails, copies in the sandbox that ends what it does not know" {
  require qemu-img
  shim
  copies shim_faults 71
  sweep_verdict 10
}

@test "sweep: each allocation fails: copies" {
  require qemu-img
  unset IMGTOOL_SANDBOX
  copies malloc_sweep 1601
  sweep_verdict 10
}

@test "sweep: each allocation fails: create" {
  require qemu-img
  unset IMGTOOL_SANDBOX
  step 251
  sweep_sources
  truncate -s 1M zero.raw
  cp old.raw old.qcow2
  SIZE=(1M)
  HOW=(create -q -f qcow2)
  right_image
  malloc_sweep old
  HOW=(create -q -f raw)
  right_copy
  cp zero.raw work.want
  malloc_sweep new
  sweep_verdict 10
}
