#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check -r, killed before each of its writes, and each of them failing: the image is no worse
# than before, and the next repair makes it good.

load ../cli/lib
load ../damage/qcow2
load ../damage/check
load repair

setup_file() {
  gcc -O1 -shared -fPIC -o "$BATS_FILE_TMPDIR/shim.so" "$BATS_TEST_DIRNAME/../tools/fault-shim.c" -ldl
}

# faulty FAULT ARG...: imgtool with one call to disk.qcow2 going wrong
faulty() {
  local fault=$1
  shift
  FAULT=$fault FAULT_LOG=$DIR/log LD_PRELOAD=$BATS_FILE_TMPDIR/shim.so "$IMGTOOL" "$@"
}

@test "killed before each write, each resize and each flush" {
  for kind in low order mixed gone leaks; do
    damaged $kind
    note_content
    for call in write resize sync; do
      for ((n = 1; ; n++)); do
        cp before.qcow2 disk.qcow2
        status=0
        faulty "$call:kill:$n:disk.qcow2" check -q -r all disk.qcow2 2>/dev/null || status=$?
        ((status == 137)) || break
        echo "# $kind: killed before $call $n"
        no_worse before.qcow2
      done
      [[ $status == 0 ]]
    done
    # It did write, so that there was something to kill it at.
    [[ $n -gt 1 || $call == resize ]]
  done
}

@test "each write, resize and flush fails" {
  for kind in mixed gone; do
    damaged $kind
    note_content
    for call in write resize sync; do
      for ((n = 1; ; n++)); do
        cp before.qcow2 disk.qcow2
        status=0
        faulty "$call:EIO:$n:disk.qcow2" check -q -r all disk.qcow2 2>err || status=$?
        ((status != 0)) || break
        echo "# $kind: $call $n fails"
        [[ $status == 1 ]]
        grep -q "^imgtool: cannot .*disk.qcow2" err
        no_worse before.qcow2
      done
    done
  done
}

@test "an undo file brings back what a killed repair left, also after an undo that was killed" {
  damaged mixed
  cp disk.qcow2 before.qcow2
  for ((n = 1; ; n++)); do
    cp before.qcow2 disk.qcow2
    rm -f undo
    status=0
    faulty "write:kill:$n:disk.qcow2" check -q -r all --undo-file=undo disk.qcow2 2>/dev/null || status=$?
    ((status == 137)) || break
    imgtool check -q --undo undo disk.qcow2
    cmp disk.qcow2 before.qcow2
  done
  ((n > 2))
  cp disk.qcow2 repaired.qcow2
  cp undo undo.whole
  for ((n = 1; ; n++)); do
    cp -p repaired.qcow2 disk.qcow2
    touch -r repaired.qcow2 disk.qcow2
    cp undo.whole undo
    status=0
    faulty "write:kill:$n:disk.qcow2" check -q --undo undo disk.qcow2 2>/dev/null || status=$?
    ((status == 137)) || break
    imgtool check -q --undo undo disk.qcow2
    cmp disk.qcow2 before.qcow2
  done
}

@test "an undo file that cannot be written: nothing is repaired" {
  damaged low
  cp disk.qcow2 before.qcow2
  for call in write sync; do
    for ((n = 1; ; n++)); do
      rm -f undo
      status=0
      faulty "$call:ENOSPC:$n:undo" check -q -r all --undo-file=undo disk.qcow2 2>err || status=$?
      ((status != 0)) || break
      grep -q "undo file 'undo'" err
      # The last records say only how the repair ended.
      cmp -s disk.qcow2 before.qcow2 || qemu-img check -q disk.qcow2
      cp before.qcow2 disk.qcow2
    done
    cp before.qcow2 disk.qcow2
  done
}

@test "the name of the undo file is on the disk before the image changes" {
  require strace
  damaged low
  cp disk.qcow2 before.qcow2
  mkdir folder
  status=0
  faulty "sync:EIO:1:folder" check -q -r all --undo-file=folder/undo disk.qcow2 2>err || status=$?
  [[ $status == 1 ]]
  grep -qx "imgtool: cannot bring the name of the undo file 'folder/undo' to the disk: Input/output error" err
  cmp disk.qcow2 before.qcow2
  rm folder/undo
  strace -f -y -qq -o trace -e trace=fsync,pwrite64,pwritev2 "$IMGTOOL" check --no-sandbox -q -r all \
    --undo-file=folder/undo disk.qcow2
  sed -n 's/^[0-9]* *\([a-z0-9]*\)([0-9]*<[^>]*\/\([^/>]*\)>.*= [0-9]*$/\1 \2/p' trace | uniq >calls
  [[ $(head -n 2 calls) == "fsync folder"$'\n'"fsync undo" ]]
  grep -q "^pwrite.* disk.qcow2" calls
  # Also where the folder can be written to, but not be read; root could read it.
  require root
  imgtool_for_nobody
  cp before.qcow2 disk.qcow2
  rm folder/undo
  chown 65534 . folder disk.qcow2
  chmod 300 folder
  run -0 as_nobody bin/imgtool check -q -r all --undo-file=folder/undo disk.qcow2
  [[ -s folder/undo ]]
}

@test "two repairs are undone one after the other, and a copy is, once that is said" {
  damaged mixed
  cp disk.qcow2 before.qcow2
  imgtool check -q -r leaks --undo-file=first disk.qcow2 || true
  cp disk.qcow2 between.qcow2
  imgtool check -q -r all --undo-file=second disk.qcow2
  cp disk.qcow2 copy.qcow2
  run -0 imgtool check -q --undo=second disk.qcow2
  cmp disk.qcow2 between.qcow2
  run -1 --separate-stderr imgtool check -q --undo=first disk.qcow2
  # shellcheck disable=SC2154
  [[ $stderr =~ "last modified at another time".*(touch -d @[0-9.]+ .*)$ ]]
  eval "${BASH_REMATCH[1]}"
  run -0 imgtool check -q --undo=first disk.qcow2
  cmp disk.qcow2 before.qcow2
}
