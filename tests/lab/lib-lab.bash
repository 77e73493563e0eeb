# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the lab's tests share, on top of tests/cli/lib.bash.

# serve BEHAVIOUR: a FUSE server with that behaviour on folder back, mounted at a and b, which stand
# for two hosts
serve() {
  require root fuse-server
  mkdir -p back a b
  start server "$LAB/lockfs" "$1" back a b
  says server '^ready'
  later umount --lazy "$DIR/a"
  later umount --lazy "$DIR/b"
}

# guard NAME IMAGE [lock's arguments]: imgtool's own, which can be ended by any signal (bash starts
# what is in the background with SIGINT ignored)
guard() {
  start "$1" env --default-signal "$IMGTOOL" lock "${@:3}" "$2" -- sh -c 'echo ready; exec cat >/dev/null'
  says "$1" '^ready'
}

# kill_hard NAME: no chance to clean up
kill_hard() {
  stop "$1" KILL
}

# lets_in MOUNT [lock's arguments]: whether imgtool gets its lock there
lets_in() {
  timeout --foreground 20 "$IMGTOOL" lock -q "${@:2}" "$1/disk.raw" -- true
}

# expect_no_overlaps: of those who contended for an image, no two were in at once
expect_no_overlaps() {
  [[ ! -s overlaps ]] || {
    sort overlaps | uniq -c
    return 1
  }
}
