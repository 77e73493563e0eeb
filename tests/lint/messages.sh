#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Error messages read alike, only cli/ prints, and some calls are made in one place or not at all.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"
command -v perl >/dev/null || skip_all "perl is not installed"

throwers='img_throw\w*|g_set_error(_literal)?|g_error_new(_literal)?|g_prefix_error|g_propagate_prefixed_error'

scan() {
  c_files "${@:2}" | xargs -0 -r perl tests/lint/c-scan.pl "$1"
}

messages() {
  scan "calls=$throwers" src
}

there_are_messages() {
  need_files c_files src
  [ -n "$(messages)" ] || echo "no error message was found in src/: does this lint know how they are made?"
}

# Two exceptions: QEMU's own lines, which scripts and libvirt look for, and messages that begin
# with an abbreviation or the name of a constant (OFD, F_GETLK, I/O).
lower_case_first() {
  messages | awk -F '\t' '
    $3 ~ /^[A-Z]/ && $3 !~ /^(Failed to |Command not found|Is another process|This image format )/ &&
    $3 !~ /^[A-Z][A-Z0-9_\/]+([^A-Za-z0-9_]|$)/ { print $1 ": \"" $3 "\" begins with a capital" }'
}

no_full_stop() {
  messages | awk -F '\t' '$3 ~ /[.]$/ { print $1 ": \"" $3 "\" ends with a full stop" }'
}

no_newline() {
  messages | awk -F '\t' 'index($3, "\\n") || index($3, "\\r") { print $1 ": \"" $3 "\" has a line break" }'
}

not_blank_at_the_ends() {
  messages | awk -F '\t' '$2 !~ /prefix/ && $3 ~ /(^ | $|:$)/ { print $1 ": \"" $3 "\" begins or ends with a blank or a colon" }'
}

# Prints the lines of code of src/ that match the perl pattern $1, but for those in files whose
# name matches the pattern $2.
code_lines() {
  scan code src | grep -vE "^(${2:-no such file}):" | perl -ne 'BEGIN { $pattern = shift } print if /$pattern/' "$1"
}

# A pattern for calls of these functions, but not of members of a struct with such a name.
calls_of() {
  printf '(?<![\w.>])(%s)\s*\(' "$1"
}

only_cli_prints() {
  local printing='v?f?printf|v?dprintf|f?put(s|c|char)|putc|perror|fwrite|errx?|warnx?|error'
  printing+='|g_print(err)?|g_(message|warning|critical|info|debug|log)\w*'
  code_lines "$(calls_of "$printing")|\b(stdout|stderr|STDOUT_FILENO|STDERR_FILENO)\b" 'src/cli/[^:]*'
}

# A child process may end itself: _exit is another matter.
only_cli_exits() {
  code_lines "$(calls_of 'exit|abort|g_error')" 'src/cli/[^:]*'
}

no_truncation_at_open() {
  code_lines '\bO_TRUNC\b|'"$(calls_of 'creat(64)?')"
  scan 'calls=f(d|re)?open' src | awk -F '\t' '$3 ~ /^w/ { print $1 ": " $2 " with \"" $3 "\" truncates" }'
}

one_place_for_io() {
  code_lines "$(calls_of 'p?(read|write)(v|v2|64)?')" 'src/base/fd\.c'
}

no_goto() {
  code_lines '\bgoto\b'
}

no_dangerous_calls() {
  code_lines "$(calls_of 'v?sprintf|gets|str(n?cpy|n?cat|tok)|alloca|system|popen')"
}

plan 11
check "there is something to check" there_are_messages
check "messages begin in lower case" lower_case_first
check "messages do not end with a full stop" no_full_stop
check "messages are one line" no_newline
check "messages do not begin or end with a blank or a colon" not_blank_at_the_ends
check "only cli/ prints" only_cli_prints
check "only cli/ ends the program" only_cli_exits
check "no file is truncated by opening it" no_truncation_at_open
check "reading and writing goes through base/fd.c" one_place_for_io
check "no goto" no_goto
check "no calls that write without a bound, nor of a shell" no_dangerous_calls
finish
