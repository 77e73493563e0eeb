# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the lints share.  A check is a function that prints what is wrong, one offence a line, and
# nothing when all is well: whatever it prints, also on stderr (a tool that broke), is a failure.
# A script sources this, calls "plan N" and then "check TITLE FUNCTION [ARG...]" N times.

set -u
export LC_ALL=C.UTF-8

# Automake sets srcdir; by hand the scripts find the tree from where they stand.
if [ -n "${srcdir:-}" ] && [ -d "$srcdir/src" ]; then
  top=$(cd "$srcdir" && pwd)
else
  top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fi
cd "$top" || exit 99

tap_number=0
tap_failed=0

plan() {
  echo "1..$1"
}

skip_all() {
  echo "1..0 # SKIP $*"
  exit 0
}

check() {
  local title=$1 found
  shift
  tap_number=$((tap_number + 1))
  found=$("$@" 2>&1)
  if [ -z "$found" ]; then
    echo "ok $tap_number - $title"
  else
    echo "not ok $tap_number - $title"
    printf '%s\n' "$found" | sed 's/^/# /'
    tap_failed=1
  fi
}

finish() {
  exit "$tap_failed"
}

# Our own C files, NUL-terminated; with arguments, those below these folders.
c_files() {
  local -a folders=() # only the ones that are there
  local folder
  [ $# -gt 0 ] || set -- src tests bench
  for folder; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  find "${folders[@]}" -name '*.[ch]' -type f -print0 | sort -z
}

# Our own text files, NUL-terminated: what is written by hand, not what autoreconf or make add, nor
# inputs of fuzz targets.
text_files() {
  local -a roots=()
  local root
  for root in bootstrap configure.ac Makefile.am README.md CONTRIBUTING.md NEWS.md SECURITY.md \
    .ci .clang-format .editorconfig .gitignore src man completions tests bench m4; do
    [ ! -e "$root" ] || roots+=("$root")
  done
  find "${roots[@]}" \( -name .deps -o -name .libs -o -name __pycache__ \) -prune -o -type f \
    ! -name '*.[oa]' ! -name '*.l[oa]' ! -name '*.log' ! -name '*.trs' ! -name .dirstamp \
    ! -name 'libtool.m4' ! -name 'lt*.m4' ! -name '*~' ! -name '*.orig' ! -name '*.rej' \
    ! -path 'tests/fuzz/regressions/*' \
    -print0 | sort -z | xargs -0 -r grep -lIZ ''
}

# Every file goes through this before a check, so that a lint that finds no files cannot pass.
need_files() {
  local count
  count=$("$@" | tr -dc '\0' | wc -c)
  [ "$count" -gt 0 ] || echo "no files were found to check in $top"
}
