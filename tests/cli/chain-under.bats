#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# --chain-under=DIR: no name that is found in an image leads out of DIR, whatever it is made of.

load lib

# overlay NAME BASE [create's options]: with the name as it is, base or not
overlay() {
  rm -f "$1"
  qemu-img create -q -f qcow2 -u -b "$2" -F raw "${@:3}" "$1" 1M
}

# make_pool: pool/ with images, secret.raw outside
make_pool() {
  mkdir -p pool/vm pool/base
  for file in pool/base/base.raw secret.raw; do
    make_raw $file 1M
    qemu-io -f raw -c "write -P 7 0 4k" $file >/dev/null
  done
}

# each_command IMAGE [options]: the commands that follow references, with --chain-under=pool unless
# the options say otherwise; sets STATUSES and MESSAGES
each_command() {
  STATUSES='' MESSAGES=''
  for words in 'info -b' 'lock-status -b' 'lock -b' convert; do
    rm -f got.raw
    local -a behind=()
    [[ $words == lock\ * ]] && behind=(-- true)
    [[ $words == convert ]] && behind=(got.raw)
    # shellcheck disable=SC2086
    run --separate-stderr timeout 10 "$IMGTOOL" $words --chain-under=pool "${@:2}" "$1" "${behind[@]}"
    STATUSES+=" $status"
    MESSAGES+=$stderr$'\n'
  done
}

allowed() {
  each_command "$@"
  [[ $STATUSES == " 0 0 0 0" && $MESSAGES == $'\n\n\n\n' ]] && cmp pool/base/base.raw got.raw && return 0
  echo "$STATUSES: $MESSAGES"
  return 1
}

# confined TEXT IMAGE: all four refuse, and say TEXT
confined() {
  each_command "${@:2}"
  [[ $STATUSES == " 1 2 125 1" && $(grep -cF -- "$1" <<<"$MESSAGES") == 4 && ! -e got.raw ]] && return 0
  echo "$STATUSES: $MESSAGES"
  return 1
}

OUT="leads out of 'pool', which --chain-under forbids"

@test "names beneath the folder are followed, however they are written" {
  make_pool
  for name in ../base/base.raw "$DIR/pool/base/base.raw" ../../pool/../pool/base/base.raw ./../base//base.raw; do
    overlay pool/vm/top.qcow2 "$name"
    case $name in
      ../../*) confined "$OUT" pool/vm/top.qcow2 ;; # out and in again is out
      *) allowed pool/vm/top.qcow2 ;;
    esac
  done
  overlay pool/vm/top.qcow2 ../base/base.raw
  allowed "$DIR/pool/vm/top.qcow2"
  allowed pool/vm/../../pool/vm/top.qcow2
  allowed pool/vm/top.qcow2 --chain-under=pool/
  allowed pool/vm/top.qcow2 --chain-under="$DIR/pool//"
  allowed pool/vm/top.qcow2 --chain-under=/
  allowed pool/vm/top.qcow2 --chain-under=.
  cd pool/vm
  mkdir pool && cp -r ../base .
  run -0 imgtool info -b --chain-under=.. top.qcow2
  run -1 imgtool info -b --chain-under=. top.qcow2
}

@test "the image itself may be elsewhere, and get at the folder only by its whole name" {
  make_pool
  overlay top.qcow2 "$DIR/pool/base/base.raw"
  allowed top.qcow2
  overlay top.qcow2 pool/base/base.raw
  allowed top.qcow2
  overlay top.qcow2 secret.raw
  confined "$OUT" top.qcow2
  ln -s "$DIR/pool" alias
  overlay alias/vm/top.qcow2 ../base/base.raw
  allowed alias/vm/top.qcow2
  allowed alias/vm/top.qcow2 --chain-under=alias
  overlay alias/vm/top.qcow2 "$DIR/alias/base/base.raw"
  allowed pool/vm/top.qcow2 --chain-under=alias
  # By a name that is neither the one given nor the real one it cannot be told.
  confined "$OUT" pool/vm/top.qcow2
}

@test "every way out is closed: .., absolute names, links in and at the end, magic links" {
  make_pool
  for name in ../../secret.raw "$DIR/secret.raw" /etc/hostname "$DIR/pool/../secret.raw" \
    "$DIR/poolside/x" "file:$DIR/secret.raw" \
    "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$DIR/secret.raw\"}}"; do
    overlay pool/vm/top.qcow2 "$name"
    confined "$OUT" pool/vm/top.qcow2
  done
  # Symbolic links: relative ones that stay are good; absolute ones begin outside.
  ln -s ../base/base.raw pool/vm/good.raw
  overlay pool/vm/top.qcow2 good.raw
  allowed pool/vm/top.qcow2
  ln -s ../../secret.raw pool/vm/bad.raw
  ln -s "$DIR/pool/base/base.raw" pool/vm/absolute.raw
  ln -s ../.. pool/vm/folder
  ln -s "$DIR" pool/vm/absolute
  for name in bad.raw absolute.raw folder/secret.raw absolute/secret.raw folder/pool/base/base.raw; do
    overlay pool/vm/top.qcow2 "$name"
    confined "$OUT" pool/vm/top.qcow2
  done
  ln -s /proc/self/root pool/vm/magic
  overlay pool/vm/top.qcow2 magic"$DIR/secret.raw"
  confined "$OUT" pool/vm/top.qcow2
  ln -s loop pool/vm/loop
  overlay pool/vm/top.qcow2 loop
  confined "Too many levels of symbolic links" pool/vm/top.qcow2
}

@test "a data file, and what is behind the second image, are confined too" {
  make_pool
  overlay pool/vm/middle.qcow2 ../../secret.raw
  qemu-img create -q -f qcow2 -u -b middle.qcow2 -F qcow2 pool/vm/top.qcow2 1M
  confined "$OUT" pool/vm/top.qcow2
  overlay pool/vm/middle.qcow2 ../base/base.raw
  allowed pool/vm/top.qcow2

  (cd pool/vm && qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 1M)
  run -0 imgtool convert --chain-under=pool pool/vm/data.qcow2 got.raw
  rm pool/vm/data.raw
  ln -s "$DIR/secret.raw" pool/vm/data.raw
  run -1 --separate-stderr imgtool convert --chain-under=pool --allow-data-file pool/vm/data.qcow2 new.raw
  expect_message "the data file of 'pool/vm/data.qcow2': cannot open 'pool/vm/data.raw'" "$OUT"
  # It only takes away: the data file must still be in the folder of its image.
  ln -sf ../base/base.raw pool/vm/data.raw
  run -1 --separate-stderr imgtool convert --chain-under=pool pool/vm/data.qcow2 new.raw
  expect_message "--allow-data-file permits that"
  run -0 imgtool convert --chain-under=pool --allow-data-file pool/vm/data.qcow2 new.raw
}

@test "FIFOs, devices and names that are not UTF-8" {
  make_pool
  mkfifo pool/vm/fifo
  overlay pool/vm/top.qcow2 fifo
  confined "it is a FIFO" pool/vm/top.qcow2
  overlay pool/vm/top.qcow2 ../base/gone.raw
  confined "No such file or directory" pool/vm/top.qcow2
  overlay pool/vm/top.qcow2 ../base
  confined "it is a directory" pool/vm/top.qcow2
  mkdir pool/vm/$'b\xffd'
  ln -s ../../base/base.raw pool/vm/$'b\xffd/x\xfe.raw'
  overlay pool/vm/top.qcow2 $'b\xffd/x\xfe.raw'
  allowed pool/vm/top.qcow2
  ln -sf ../../../secret.raw pool/vm/$'b\xffd/x\xfe.raw'
  confined "$OUT" pool/vm/top.qcow2
}

@test "a file that is swapped for a link all the time never leads out" {
  make_pool
  overlay pool/vm/top.qcow2 swap.raw
  qemu-io -f raw -c "write -P 9 0 1M" secret.raw >/dev/null
  cp pool/base/base.raw pool/vm/swap.raw
  start swapper bash -c 'cd pool/vm; while :; do
    ln -s ../../secret.raw l && mv -T l swap.raw; cp ../base/base.raw f && mv -T f swap.raw; done'
  ends=$(($(now_us) + 3000000))
  good=0
  while (($(now_us) < ends)); do
    rm -f got.raw
    if "$IMGTOOL" convert -q --chain-under=pool pool/vm/top.qcow2 got.raw 2>/dev/null; then
      cmp got.raw pool/base/base.raw
      ((good += 1))
    fi
  done
  stop swapper
}

@test "where the kernel cannot confine names, nothing is followed" {
  make_pool
  overlay pool/vm/top.qcow2 ../base/base.raw
  for words in 'info -b' convert; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr without openat2 "$IMGTOOL" $words --chain-under=pool pool/vm/top.qcow2 ${words/info*/pool/vm/top.qcow2}
    expect_message "names cannot be confined to 'pool' here: the kernel, or a sandbox, has no openat2()"
    rm -f convert
  done
  run -2 --separate-stderr without openat2 "$IMGTOOL" lock-status -b --chain-under=pool pool/vm/top.qcow2
  run -125 --separate-stderr without openat2 "$IMGTOOL" lock -b --chain-under=pool pool/vm/top.qcow2 -- true
  # Without the option it goes on as before.
  run -0 without openat2 "$IMGTOOL" convert pool/vm/top.qcow2 got.raw
}

@test "a folder that is none" {
  make_pool
  overlay pool/vm/top.qcow2 ../base/base.raw
  run -1 --separate-stderr imgtool info -b --chain-under=gone pool/vm/top.qcow2
  expect_message "cannot open the folder 'gone': No such file or directory"
  run -1 --separate-stderr imgtool convert --chain-under=secret.raw pool/vm/top.qcow2 got.raw
  expect_message "cannot open the folder 'secret.raw': Not a directory"
}
