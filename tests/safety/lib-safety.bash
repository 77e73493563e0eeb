# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the safety tests share, on top of tests/cli/lib.bash.
#
# IMGTOOL may be qemu-img's path: tests of what qemu-img does wrong must fail then.

load scenarios

# shim [COMPILER OPTION]...: builds the fault shim once for a test file; sets SHIM
shim() {
  SHIM=$BATS_FILE_TMPDIR/fault-shim$*.so
  [[ -e $SHIM ]] || "${CC:-cc}" -shared -fPIC -O1 -o "$SHIM" "$@" \
    "$BATS_TEST_DIRNAME/../tools/fault-shim.c" -ldl
}

# safe ID: play that scenario; nothing may be lost
safe() {
  local status=0
  require perl
  TOOL=$IMGTOOL
  shim
  later unmount_all
  scenario "$1" || status=$?
  [[ $status != 77 ]] || require root loop mkfs.ext4 mkfs.xfs
  echo "$1: $OUTCOME"
  return "$status"
}

# What power-cut.bats and full-disk.bats copy, and what must become of it. Images are the same each
# time, so a right one is made and checked once.
COPY=(convert -f raw -O raw) WANT=src.raw

# as_qcow2 [convert's option]...: src.raw becomes a qcow2 image
as_qcow2() {
  require qemu-img
  COPY=(convert -f raw -O qcow2 "$@") WANT=src.qcow2
  "$IMGTOOL" "${COPY[@]}" src.raw src.qcow2
  qemu-img check -q -f qcow2 src.qcow2
  qemu-img compare -q -f qcow2 -F raw src.qcow2 src.raw
}

# no_part_file [FOLDER]: nothing is left of a copy that did not come to its end
no_part_file() {
  local found
  found=$(find "${1:-.}" -name '.*.imgtool-*')
  [[ -z $found ]] || {
    echo "left over: $found" >&2
    return 1
  }
}

# same FILE FILE
same() {
  cmp -- "$1" "$2"
}

# fails [STATUS] COMMAND...: not with 0 (or exactly STATUS), by its own will, with one message at least
expect_failure() {
  run --separate-stderr "$@"
  [[ $status != 0 && $status -lt 124 ]] || {
    echo "exit status $status; $output $stderr" >&2
    return 1
  }
  [[ -n $stderr ]]
}
