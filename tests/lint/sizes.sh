#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sizes that keep the source readable: no file over 700 lines, no function over 60.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"
command -v perl >/dev/null || skip_all "perl is not installed"

longest_file=700
longest_function=60

functions() {
  c_files src | xargs -0 -r perl tests/lint/c-scan.pl functions
}

there_are_functions() {
  need_files c_files src
  [ -n "$(functions)" ] || echo "no function was found in src/: does this lint know how they look?"
}

files_are_short() {
  local path lines
  while IFS= read -r -d '' path; do
    lines=$(wc -l <"$path")
    [ "$lines" -le "$longest_file" ] || echo "$path: $lines lines (at most $longest_file)"
  done < <(c_files src)
}

functions_are_short() {
  functions | awk -F '\t' -v most="$longest_function" '
    $3 > most { print $1 ": " $2 " has " $3 " lines (at most " most ")" }'
}

plan 3
check "there is something to check" there_are_functions
check "no file over $longest_file lines" files_are_short
check "no function over $longest_function lines" functions_are_short
finish
