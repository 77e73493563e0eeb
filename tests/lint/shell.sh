#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No warning from shellcheck about our shell scripts, wherever they are.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"
command -v shellcheck >/dev/null || skip_all "shellcheck is not installed"

scripts() {
  local path first
  while IFS= read -r -d '' path; do
    case $path in
      *.sh | *.bash | *.bats) printf '%s\0' "$path" ;;
      *.*[!/]) ;;
      *)
        first=
        IFS= read -r first <"$path" || :
        case $first in '#!'*sh | '#!'*bats) printf '%s\0' "$path" ;; esac
        ;;
    esac
  done < <(text_files)
}

scripts_are_there() {
  local wanted found
  found=$(scripts | tr '\0' '\n')
  for wanted in bootstrap tests/run-bats tests/count-results tests/lint/shell.sh; do
    grep -qxF "$wanted" <<<"$found" || echo "$wanted is not among the scripts that were found"
  done
}

# SC2317: functions are called by name here (check, trap).
quiet=SC2317

scripts_are_clean() {
  scripts | grep -zv '[.]bats$\|^tests/cli/\|^tests/lab/\|^tests/safety/' |
    xargs -0 -r shellcheck --external-sources --source-path=SCRIPTDIR --exclude="$quiet" --format=gcc
}

# A test file and what it loads share variables, also with bats; notes on style are too many here.
bats_files_are_clean() {
  scripts | grep -z '[.]bats$\|^tests/cli/\|^tests/lab/\|^tests/safety/' |
    xargs -0 -r shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning \
      --exclude="$quiet,SC2034,SC2120,SC2154" --format=gcc
}

plan 3
check "there is something to check" scripts_are_there
check "shellcheck has nothing to say about scripts" scripts_are_clean
check "shellcheck has nothing to say about bats files" bats_files_are_clean
finish
