#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What SECURITY.md says was tried is what was.
# shellcheck disable=SC2016 # the dollars and backquotes are those of patterns
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"

there_are_figures() {
  [ "$(tests/soak/report | grep -c '^| .* | [0-9,]* | .* | `make .*` |$')" -gt 5 ] ||
    echo "tests/soak/report does not print a table"
}

security_agrees() {
  diff <(sed -n '/^<!-- soak-report -->$/,/^<!-- end -->$/p' SECURITY.md | sed '1d;$d') \
    <(tests/soak/report) || echo "'make soak-report' puts it right"
}

commands_are_there() {
  local target
  tests/soak/report | sed -n 's/.*| `make \([a-z-]*\)[^|]*` |$/\1/p' | sort -u |
    while IFS= read -r target; do
      grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" Makefile.am tests/Makemodule.am bench/Makemodule.am ||
        echo "there is no 'make $target'"
    done
}

plan 3
check "there are figures" there_are_figures
check "SECURITY.md has the same" security_agrees
check "what repeats them is there" commands_are_there
finish
