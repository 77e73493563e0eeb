#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All C files look as .clang-format says.  Versions differ in what they make of it: 14 decides.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"

formatter=
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
    formatter=$candidate
    break
  fi
done
[ -n "$formatter" ] || skip_all "clang-format 14 is not installed"
[ -f .clang-format ] || skip_all "this tree has no .clang-format"

files_are_there() {
  need_files c_files
}

files_are_formatted() {
  c_files | xargs -0 -r "$formatter" --style=file --dry-run -Werror
}

plan 2
check "there is something to check" files_are_there
check "C files are formatted ('make format' does it)" files_are_formatted
finish
