#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2154
#
# A disk that is full at any point of the copy: exit status 0 only with a complete target; otherwise
# no target, or the old one, and no part file.

load ../cli/lib
load lib-safety

# every STEP: sets step, in which the room grows, in 4 KiB; SWEEP=long ("make check-sweep") takes each
every() {
  step=$1
  [[ ${SWEEP-} != long ]] || step=1
}

# fill_up MOUNT: to the last block; some MiB of it are files of 4 KiB, in mnt/pad
fill_up() {
  local size
  mkdir -p "$1/pad"
  [[ -e $1/pad/aaaa ]] || seq 1000000 | head -c 2500K | split -a 4 -b 4096 - "$1/pad/"
  sync -f "$1"
  for size in 1048576 65536 4096; do
    while head -c $size /dev/zero >>"$1/filler" 2>/dev/null; do :; done
    sync -f "$1"
  done
  refute cp old.raw "$1/more" 2>/dev/null
  rm -f "$1/more"
  sync -f "$1"
}

# levels STEP MOUNT [OLD]: from full, STEP times 4 KiB more room each time, until three copies in a row
# went well, or there is nothing left to give
levels() {
  local step=$1 mount=$2 old=${3-} fate good=0 pads
  full=0 wrong=0
  level=0
  pads=("$mount/pad/"*)
  while ((good < 3 && ${#pads[@]} >= step)); do
    level=$((level + 1))
    rm -f "${pads[@]:0:step}" "$mount/t.raw"
    pads=("${pads[@]:step}")
    sync -f "$mount"
    if [[ $old ]]; then
      cp old.raw "$mount/t.raw" 2>/dev/null && sync -f "$mount" || continue # no room for it yet
    fi
    code=0
    timeout 60 "$IMGTOOL" "${COPY[@]}" src.raw "$mount/t.raw" >copy.out 2>copy.err || code=$?
    fate=$(fate "$mount/t.raw" "$WANT" "${old:+old.raw}")
    refused_or_right "$code" "$fate" "${old:+old}" ||
      { wrong=$((wrong + 1)) && echo "level $level: exit $code, $fate: $(head -n 1 copy.err)"; }
    [[ -z $(find "$mount" -name '.*.imgtool-*') ]] || wrong=$((wrong + 1))
    if [[ $code == 0 ]]; then
      good=$((good + 1))
    else
      good=0 full=$((full + 1))
      grep -qi 'no space left' copy.err || { wrong=$((wrong + 1)) && cat copy.err; }
    fi
  done
  echo "# $BATS_TEST_DESCRIPTION: $level levels, $full of them full" >&3
  # btrfs wants much room for a rename that replaces
  rm -f "$mount/filler"
  sync -f "$mount"
  imgtool "${COPY[@]}" src.raw "$mount/t.raw"
  same "$WANT" "$mount/t.raw"
  ((wrong == 0))
}

# small_disk TYPE: at mnt, and sources of more than a MiB without a hole
small_disk() {
  require root loop "mkfs.$1"
  numbered src.raw 1 1
  seq 200000 300000 | head -c 256K >>src.raw
  seq 70000 | head -c 32768 >old.raw
  case $1 in
    ext4) make_filesystem ext4 disk.img mnt 16M -m 0 ;;
    btrfs)
      make_filesystem btrfs disk.img mnt 128M -M
      mount -o remount,max_inline=0 mnt
      ;;
  esac
  fill_up mnt
}

@test "full disk: ext4, through the last MiB, to a new target" {
  small_disk ext4
  every 7
  levels $step mnt
  ((full >= 256 / step))
}

@test "full disk: btrfs, through the last MiB, to a new target" {
  require btrfs
  small_disk btrfs
  every 24
  levels $step mnt
  ((full >= 256 / step))
}

@test "full disk: ext4, over an old target, which is kept" {
  small_disk ext4
  every 13
  levels $step mnt old
  ((full >= 256 / step))
}

@test "full disk: btrfs, over an old target, which is kept" {
  require btrfs
  small_disk btrfs
  every 24
  levels $step mnt old
  ((full >= 256 / step))
}

@test "full disk: ext4, qcow2" {
  small_disk ext4
  as_qcow2 -o cluster_size=4k
  every 16
  levels $step mnt
  ((full >= 256 / step))
}

@test "full disk: ext4, compressed qcow2, over an old target, which is kept" {
  small_disk ext4
  as_qcow2 -c -o cluster_size=4k
  every 8
  levels $step mnt old
  ((full >= 40 / step))
}

@test "full disk: btrfs, qcow2" {
  require btrfs
  small_disk btrfs
  as_qcow2
  every 28
  levels $step mnt
  ((full >= 256 / step))
}

@test "full disk: when the old target has the room, the message says how to use it" {
  small_disk ext4
  rm mnt/filler
  cp src.raw mnt/t.raw
  fill_up mnt
  expect_failure imgtool convert -f raw -O raw src.raw mnt/t.raw
  expect_message --in-place
  same mnt/t.raw src.raw
  no_part_file mnt
}

@test "full disk: preallocation fails before anything is copied" {
  small_disk ext4
  rm mnt/pad/aa[a-e]*
  for how in falloc full; do
    expect_failure imgtool convert -f raw -O raw -o preallocation=$how src.raw mnt/t.raw
    [[ ! -e mnt/t.raw ]]
    expect_failure imgtool create -f raw -o preallocation=$how mnt/t.raw 2M
    [[ ! -e mnt/t.raw ]]
    no_part_file mnt
  done
}
