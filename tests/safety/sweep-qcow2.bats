#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034,SC2154
#
# As sweep.bats, of what writes qcow2 images: plain, compressed, over a backing file, with a data
# file, created empty; to new and old targets, in place, and to a block device. Exit status 0 only
# with the right image; whatever else happens, nothing that opens as an image and is not whole. "make
# check" takes some of the points, "make check-sweep" all.

load ../cli/lib
load lib-safety
load sweep
load sweep-qcow2

CHANGES='p?write.*|ftruncate|fallocate|fsync|rename.*|link.*'
SIZE=() LOOP=
step 37

# errors KIND: each call fails, with the errors that it can have
errors() {
  require strace
  record "$1"
  case ${SWEEP-}:$1 in
    long:device) # who else has it is looked for in all processes: those calls are not of interest
      sweep "$1" "$CHANGES|pread.*|ioctl|lseek|fadvise64" error=EIO error=EINTR error=ENOSPC
      sweep "$1" 'pread.*|pwrite.*' retval=0
      ;;
    long:*)
      sweep "$1" '.*' error=EIO error=EINTR
      sweep "$1" "$CHANGES|openat|copy_file_range" error=ENOSPC error=EACCES error=ENOMEM error=EDQUOT
      sweep "$1" 'pread.*|pwrite.*' retval=0
      ;;
    *:device) # each try takes its time
      sweep "$1" 'pwrite.*|fsync' error=EIO
      ;;
    *)
      sweep "$1" "$CHANGES|openat|pread.*|close" error=EIO
      sweep "$1" 'p?write.*|fallocate' error=ENOSPC error=EINTR
      sweep "$1" 'pwrite.*' retval=0
      ;;
  esac
  ((FAILED > 0))
}

# kills KIND
kills() {
  require strace
  record "$1"
  if [[ ${SWEEP-}:$1 == long:device ]]; then
    kill_sweep "$1" "$CHANGES|fcntl|ioctl|pread.*"
  elif [[ ${SWEEP-} == long ]]; then
    kill_sweep "$1"
  else
    kill_sweep "$1" "$CHANGES|fcntl"
  fi
}

@test "sweep: each call fails, to a new qcow2 image" {
  require qemu-img
  qcow2_sources
  errors new
  sweep_verdict 7
}

@test "sweep: each call fails, to a compressed image over an old one" {
  require qemu-img
  qcow2_sources -c -o cluster_size=4k
  errors old
  sweep_verdict 8
}

@test "sweep: each call fails, writing a qcow2 image in place" {
  require qemu-img
  qcow2_sources
  errors in-place
  sweep_verdict 6
}

@test "sweep: each call fails, writing a qcow2 image to a block device" {
  require qemu-img root loop
  qcow2_sources -c
  sweep_device
  errors device
  sweep_verdict 2
}

@test "sweep: each call fails, to an image with a backing file" {
  require qemu-img
  numbered base.raw 1 3
  qcow2_sources -B ../base.raw -F raw
  errors new
  sweep_verdict 7
}

@test "sweep: each call fails, to an image with a data file" {
  require qemu-img
  qcow2_sources -o "data_file=$PWD/work/t.data" # QEMU looks from where it runs
  for kind in new in-place; do
    errors $kind
  done
  sweep_verdict 15
}

@test "sweep: each call fails, from a qcow2 image to a compressed one and to an overlay" {
  require qemu-img
  numbered base.raw 1 3
  sweep_sources
  qcow2_source
  qcow2_sources -c
  errors old
  qcow2_sources -B ../base.raw -F raw
  errors new
  sweep_verdict 15
}

@test "sweep: killed before each call, from a qcow2 image to a compressed one and to an overlay" {
  require qemu-img
  numbered base.raw 1 3
  sweep_sources
  qcow2_source
  qcow2_sources -c
  kills old
  qcow2_sources -B ../base.raw -F raw
  kills new
  sweep_verdict 9
}

# source_with_bitmaps: a qcow2 image
source_with_bitmaps() {
  sweep_sources
  qcow2_source
  for name in b0 b1; do
    qemu-img bitmap --add -g 32k src.qcow2 $name
    qemu-io -f qcow2 -c "write -q -s piece 0 64k" src.qcow2
  done
  cp src.qcow2 src.qcow2.copy
}

@test "sweep: each call fails, into an image that is there, with bitmaps and without" {
  require qemu-img jq
  sweep_sources
  qcow2_into
  errors into
  rm -r work
  source_with_bitmaps
  qcow2_into --bitmaps
  errors into
  sweep_verdict 18
}

@test "sweep: killed before each call, into an image that is there, with bitmaps and without" {
  require qemu-img jq
  sweep_sources
  qcow2_into
  kills into
  rm -r work
  source_with_bitmaps
  qcow2_into --bitmaps
  kills into
  sweep_verdict 9
}

# creating FORMAT: an empty image
creating() {
  [[ -e zero.raw ]] || {
    sweep_sources
    truncate -s 1M zero.raw
    cp old.raw old.qcow2
  }
  SIZE=(1M)
  HOW=(create -q -f "$1")
  "right_${1/qcow2/image}"
}

# right_raw: like right_image
right_raw() {
  TARGET=work/t.raw DATA=''
  cp zero.raw work.want
}

@test "sweep: each call fails, creating an empty image" {
  require qemu-img
  for format in qcow2 raw; do
    creating $format
    errors new
    errors old
  done
  sweep_verdict 30
}

@test "sweep: killed before each call, creating an empty image" {
  require qemu-img
  for format in qcow2 raw; do
    creating $format
    kills new
    kills old
  done
  sweep_verdict 15
}

@test "sweep: killed before each call, qcow2, to a new target and in place" {
  require qemu-img
  qcow2_sources -c -o cluster_size=4k
  kills new
  kills in-place
  sweep_verdict 7
}

@test "sweep: killed before each call, qcow2, to a block device and with a data file" {
  require qemu-img root loop
  qcow2_sources -o "data_file=$PWD/work/t.data" # QEMU looks from where it runs
  kills new
  kills in-place
  HOW=(convert -m 1 --no-sandbox -f raw -O qcow2 src.raw)
  right_image
  sweep_device
  [[ ${SWEEP-} != long ]] || kills device
  sweep_verdict 10
}

@test "a copy in place that fails at its very end leaves no image" {
  require qemu-img
  make_sources
  shim
  TOOL=$IMGTOOL
  qemu-img create -q -f qcow2 t.qcow2 8M
  start_faulty write:stop:1:t.qcow2 convert --strict --in-place -f raw -O qcow2 src.raw t.qcow2
  wait_stopped
  printf changed | dd of=src.raw conv=notrunc bs=1 seek=6000000 status=none
  go_on
  [[ $first == 1 ]]
  grep -q "was changed while it was read" first.err
  run -1 qemu-img info -f qcow2 t.qcow2
}

@test "a copy in place that shares blocks does not begin with what its source begins with" {
  require root loop mkfs.xfs qemu-img
  make_filesystem xfs disk.img mnt 320M
  make_sources
  shim
  TOOL=$IMGTOOL
  # The source, taken as it is, is an image itself.
  qemu-img convert -f raw -O qcow2 src.raw mnt/src.qcow2
  for ((n = 1; n < 20; n++)); do
    echo old >mnt/t.qcow2
    start_faulty "clone:stop:$n:t.qcow2" convert -m 1 --in-place -f raw -O qcow2 mnt/src.qcow2 mnt/t.qcow2
    wait_stopped || { go_on && break; }
    [[ $(head -c 3 mnt/t.qcow2) != QFI ]]
    kill -KILL "$tool_pid"
    go_on
  done
  ((first == 0 && n > 2))
  qemu-img compare -f qcow2 -F raw mnt/t.qcow2 mnt/src.qcow2
}
