#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Licence lines, header guards, white space, and nothing that belongs to one machine.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"

files_are_there() {
  need_files text_files
  need_files c_files src
}

licence_lines() {
  local path
  while IFS= read -r -d '' path; do
    head -n 3 "$path" | grep -q 'SPDX-License-Identifier: LGPL-2\.1-or-later' ||
      echo "$path: its first lines lack SPDX-License-Identifier: LGPL-2.1-or-later"
  done < <(c_files)
}

header_guards() {
  local path
  while IFS= read -r -d '' path; do
    case $path in
      *.h) grep -qx '#pragma once' "$path" || echo "$path: no #pragma once" ;;
    esac
  done < <(c_files)
}

trailing_blanks() {
  text_files | xargs -0 -r grep -nHE '[[:blank:]]+$'
}

last_newline() {
  local path
  while IFS= read -r -d '' path; do
    [ -z "$(tail -c 1 "$path")" ] || echo "$path: no newline at its end"
  done < <(text_files)
}

tabs() {
  text_files | grep -zvE '(^|/)(Makefile\.am|Makemodule\.am)$' | xargs -0 -r grep -nHF $'\t'
}

long_lines() {
  # shellcheck disable=SC2016 # the dollars are perl's
  c_files | xargs -0 -r perl -CSD -ne 'chomp; print "$ARGV:$.: ", length, " columns\n" if length > 100; close ARGV if eof'
}

# A name in brackets, such as [w]ork, is there so that this file does not find itself.
machine_names() {
  text_files | xargs -0 -r grep -nHE '(^|[^[:alnum:]_.])/([w]ork|[f]arm|tmp/[s]pec)(/|$|[^[:alnum:]_-])'
  text_files | xargs -0 -r grep -nHEi '\b([d]eb|[r]egistry|[s]napshot|[m]irrors?|[f]tp)\.[a-z0-9-]+\.(org|com|net)\b'
  text_files | xargs -0 -r grep -nHE '(^|[^[:alnum:]_.])/(home|Users)/[a-z]'
}

run_bits() {
  local path first
  while IFS= read -r -d '' path; do
    first=
    IFS= read -r first <"$path" || :
    case $path:$first in
      *.bats:*) ;;
      *:'#!'*) [ -x "$path" ] || echo "$path: begins with #! but is not executable" ;;
    esac
  done < <(text_files)
}

plan 9
check "there is something to check" files_are_there
check "every C file names its licence" licence_lines
check "every header has #pragma once" header_guards
check "no blanks at the end of a line" trailing_blanks
check "files end with a newline" last_newline
check "tabs only in makefiles" tabs
check "C lines are at most 100 columns" long_lines
check "no paths or hosts of one machine" machine_names
check "scripts can be run" run_bits
finish
