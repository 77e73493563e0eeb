# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# A file system whose power fails while a program works on it; see cut_power of scenarios.bash.

# disk TYPE: made once for a test, mounted at mnt
disk() {
  require root loop perl "mkfs.$1"
  make_sources
  shim
  TOOL=$IMGTOOL
  later unmount_all
  mount_new "$1" 320M
  cuts=0 wrong=0
}

# cut_now: the process is stopped, the power goes, and it with it. code is its exit status if it had
# ended by then, else empty.
cut_now() {
  code=
  kill -STOP "$tool_pid" 2>/dev/null || :
  cut_power mnt
  kill -KILL "$tool_pid" 2>/dev/null || :
  go_on
  ((first == 137)) || code=$first
}

# verdict LEAST: nothing was wrong, and there were that many cuts at least
verdict() {
  echo "# $BATS_TEST_DESCRIPTION: $cuts cuts" >&3
  ((wrong == 0 && cuts >= $1))
}
