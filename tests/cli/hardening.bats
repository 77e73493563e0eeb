# SPDX-License-Identifier: LGPL-2.1-or-later
# What the compiler and the linker were asked for is in the program that came out.
# shellcheck disable=SC2030,SC2031

load lib

# calls PATTERN: whether it calls a function of the C library with such a name
calls() {
  readelf --dyn-syms --wide "$IMGTOOL" | grep -qE " UND ($1)(@| |\$)"
}

is_for_a_sanitizer() {
  grep -qE '__(asan|tsan)_init' "$IMGTOOL"
}

@test "it lies where nobody knows" {
  require readelf
  readelf --file-header --wide "$IMGTOOL" | grep -qE 'Type: +DYN '
  readelf --dynamic --wide "$IMGTOOL" | grep -qE '\(FLAGS_1\).* PIE( |$)'
}

@test "what the linker filled in is read-only before it runs" {
  require readelf
  readelf --program-headers --wide "$IMGTOOL" | grep -qE '^ +GNU_RELRO '
  readelf --dynamic --wide "$IMGTOOL" | grep -qE '\(FLAGS(_1)?\).* (BIND_)?NOW( |$)'
}

@test "neither the stack nor anything that can be written to can be run" {
  require readelf
  segments=$(readelf --program-headers --wide "$IMGTOOL")
  grep -qE '^ +GNU_STACK .* RW +0x' <<<"$segments"
  refute grep -qE '^ +(LOAD|GNU_STACK|GNU_RELRO) .* (RWE|WE) +0x' <<<"$segments"
}

@test "an array on the stack that overflows ends the program" {
  require readelf
  calls '__stack_chk_fail|__stack_chk_guard'
}

@test "lengths given to the C library are checked where they are known" {
  require readelf
  # What optimises nothing knows no lengths, and sanitizers look at each byte.
  ! is_for_a_sanitizer || return 0
  grep -qsE '^CFLAGS =.* -O[1-9sz]' "${IMGTOOL%/*}/Makefile" || skip "needs: an optimised build"
  calls '__(mem[a-z]+|v?[fs]n?printf|p?read)_chk'
}
