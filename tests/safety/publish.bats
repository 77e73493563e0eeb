#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2154
#
# Putting the finished copy in place: as an ordinary user, and where the file system cannot rename
# without replacing.

load ../cli/lib
load lib-safety

LAB=${IMGTOOL_LAB:-${IMGTOOL%/*}/tests/lab}

publish_sources() {
  numbered src.raw 1 1
  numbered old.raw 1 7
}

# everything_in FOLDER COMMAND...: a new target, over an old one, through a symlink, and one that
# appears meanwhile
everything_in() {
  local folder=$1
  shift
  "$@" convert -f raw -O raw src.raw "$folder/new.raw"
  same "$folder/new.raw" src.raw
  "$@" convert -f raw -O raw old.raw "$folder/new.raw"
  same "$folder/new.raw" old.raw
  no_part_file "$folder"
}

# appears_in FOLDER: the name is taken while the copy runs
appears_in() {
  local into status=0
  mkfifo pipe
  exec {into}<>pipe
  "$IMGTOOL" convert -f raw -O raw - "$1/late.raw" <pipe 2>late.err 3>&- 4>&- {into}>&- &
  copy=$!
  wait_for 10 compgen -G "$1/.late.raw.imgtool-*" >/dev/null
  head -c 1M src.raw >&"$into" # more than a pipe holds: after this the copy is under way
  cp old.raw "$1/late.raw"
  tail -c +1048577 src.raw >&"$into"
  exec {into}>&-
  wait $copy || status=$?
  [[ $status == 1 && -s late.err ]]
  same "$1/late.raw" old.raw
  no_part_file "$1"
}

@test "publish: on this file system" {
  publish_sources
  mkdir here
  everything_in here imgtool
  appears_in here
}

# answered: somebody who asked with SIGUSR1 was told
answered() {
  grep -qx '    (100.00/100%)' first.err
}

@test "publish: SIGUSR1 is answered while the data go to the disk" {
  numbered src.raw 20 1
  shim
  TOOL=$IMGTOOL
  start_faulty sync:slow:1:.t.raw.imgtool-part convert --reflink=never -f raw -O raw src.raw t.raw
  wait_for 20 fault_fired
  kill -USR1 "$tool_pid"
  wait_for 10 answered
  [[ ! -e t.raw ]] # they are still on their way
  go_on
  [[ $first == 0 ]]
  same t.raw src.raw
}

@test "publish: a flush of much data that fails fails the copy" {
  numbered src.raw 20 1
  numbered t.raw 1 7
  cp t.raw old.raw
  shim
  TOOL=$IMGTOOL
  faulty sync:EIO:1:.t.raw.imgtool-part convert --reflink=never -f raw -O raw src.raw t.raw
  fault_fired
  [[ $code == 1 ]]
  grep -q "cannot bring what was written to .* to the disk: Input/output error" tool.err
  same t.raw old.raw
  no_part_file
}

@test "publish: by a user without privileges, in a folder of his own" {
  require root
  publish_sources
  imgtool_for_nobody
  mkdir his
  chown 65534:65534 his
  everything_in his as_nobody bin/imgtool
  [[ $(stat -c %u his/new.raw) == 65534 ]]
}

@test "publish: over a file of somebody else only in place, which the message says" {
  require root
  publish_sources
  imgtool_for_nobody
  mkdir his
  chown 65534:65534 his
  cp old.raw his/t.raw
  chmod 666 his/t.raw
  chmod 644 src.raw
  expect_failure as_nobody bin/imgtool convert -f raw -O raw src.raw his/t.raw
  expect_message --in-place
  same his/t.raw old.raw
  [[ $(stat -c %u his/t.raw) == 0 ]]
  as_nobody bin/imgtool convert --in-place -f raw -O raw src.raw his/t.raw
  same his/t.raw src.raw
  [[ $(stat -c %u his/t.raw) == 0 ]]
}

@test "publish: an old target keeps mode, owner, attributes and flags" {
  require root setfattr getfattr setfacl getfacl chattr
  publish_sources
  cp old.raw t.raw
  chmod 2640 t.raw
  chown 65534:12 t.raw
  setfattr -n user.note -v kept t.raw
  setfacl -m u:1:r t.raw
  chattr +d t.raw
  before=$(getfacl -p t.raw; lsattr t.raw | cut -c 1-22; getfattr -d t.raw)
  imgtool convert -f raw -O raw src.raw t.raw
  same t.raw src.raw
  after=$(getfacl -p t.raw; lsattr t.raw | cut -c 1-22; getfattr -d t.raw)
  [[ $before == "$after" ]] || { diff <(echo "$before") <(echo "$after"); false; }
  [[ $(stat -c %a:%u:%g t.raw) == 2640:65534:12 ]]
}

@test "publish: through a symbolic link the real file is replaced, the link stays" {
  publish_sources
  mkdir there
  cp old.raw there/real.raw
  ln -s there/real.raw link.raw
  ln -s link.raw link2.raw
  imgtool convert -f raw -O raw src.raw link2.raw
  [[ -h link2.raw && -h link.raw && ! -h there/real.raw ]]
  same there/real.raw src.raw
  no_part_file
  # to nowhere: the new file is where the link points
  ln -s there/new.raw dangling.raw
  run imgtool convert -f raw -O raw src.raw dangling.raw
  [[ $status != 0 || -h dangling.raw ]]
  [[ $status != 0 ]] || same there/new.raw src.raw
}

@test "publish: on bindfs, which cannot rename without replacing" {
  require root fuse bindfs
  publish_sources
  mkdir back mnt
  start bindfs bindfs -f back mnt
  later umount --lazy "$DIR/mnt"
  wait_for 10 mountpoint -q mnt
  everything_in mnt imgtool
  appears_in mnt
  same back/new.raw old.raw
  no_part_file back
}

@test "publish: on a FUSE file system of our own" {
  require root fuse-server
  publish_sources
  mkdir back a
  start server "$LAB/lockfs" right back a
  says server '^ready'
  later umount --lazy "$DIR/a"
  everything_in a imgtool
  appears_in a
  same back/new.raw old.raw
  no_part_file back
}

@test "publish: a part file that is a trap is not followed and not written" {
  publish_sources
  cp old.raw victim.raw
  ln -s victim.raw .t.raw.imgtool-part
  run imgtool convert -f raw -O raw src.raw t.raw
  same victim.raw old.raw
  [[ $status != 0 ]] || same t.raw src.raw
  rm -f .t.raw.imgtool-part t.raw
  ln victim.raw .t.raw.imgtool-part
  run imgtool convert -f raw -O raw src.raw t.raw
  same victim.raw old.raw
  rm -rf .t.raw.imgtool-part t.raw
  mkfifo .t.raw.imgtool-part
  expect_failure imgtool convert -f raw -O raw src.raw t.raw
  rm .t.raw.imgtool-part
  mkdir .t.raw.imgtool-part
  expect_failure imgtool convert -f raw -O raw src.raw t.raw
  [[ ! -e t.raw ]]
}
