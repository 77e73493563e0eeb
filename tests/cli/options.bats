#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# What all commands have in common: finding the command, options in every spelling, usage errors,
# output that cannot be written.

load lib

COMMANDS=(lock-status info check)

# done_well COMMAND: its exit status for a free raw image
done_well() {
  case $1 in
    check) echo 63 ;;
    *) echo 0 ;;
  esac
}

# usage_status COMMAND: its exit status for a usage error
usage_status() {
  case $1 in
    lock-status) echo 2 ;;
    *) echo 1 ;;
  esac
}

# usage_error COMMAND [arguments]: the message is in $stderr, nothing else happened
usage_error() {
  run "-$(usage_status "$1")" --separate-stderr imgtool "$@"
  [[ -z $output ]]
  expect_message "imgtool: " "Try 'imgtool $1 --help' for more information."
}

@test "--version" {
  for option in --version -V; do
    run -0 --separate-stderr imgtool $option
    [[ ${lines[0]} =~ ^imgtool\ version\ [0-9]+\.[0-9]+ ]]
    expect_no_message
  done
}

@test "--help lists every command" {
  for words in --help -h help; do
    run -0 --separate-stderr imgtool $words
    for command in "${COMMANDS[@]}" help; do
      grep -qE "^ +$command( |\$)" <<<"$output"
    done
    expect_no_message
  done
  [[ $output != *__complete* ]]
}

@test "each command has its help, asked for in three ways" {
  for command in "${COMMANDS[@]}"; do
    run -0 imgtool "$command" --help
    help=$output
    expect_text "imgtool $command" --locking --format --output --lock-wait --quiet --verbose --help
    run -0 imgtool "$command" -h
    [[ $output == "$help" ]]
    run -0 imgtool help "$command"
    [[ $output == "$help" ]]
    refute grep -E '^.{81}' <<<"$help"
  done
  run -0 imgtool lock-status --help
  expect_text --for --wait --locks-only --strict --color
}

@test "help on what there is not" {
  run -1 --separate-stderr imgtool help nonsense
  expect_message "imgtool: unknown command 'nonsense'; see 'imgtool --help'"
}

@test "no command, an unknown command, an unknown option before it" {
  run -1 --separate-stderr imgtool
  expect_message "imgtool: "
  [[ -z $output ]]
  run -1 --separate-stderr imgtool nonsense
  [[ $stderr == "imgtool: unknown command 'nonsense'; see 'imgtool --help'" ]]
  run -1 --separate-stderr imgtool $'non\e[31msense'
  [[ $stderr != *$'\e'* ]]
  run -1 --separate-stderr imgtool --nonsense
  expect_message "imgtool: "
}

@test "no image" {
  for command in "${COMMANDS[@]}"; do
    usage_error "$command"
  done
}

@test "an unknown option, long and short" {
  make_raw disk.raw
  for command in "${COMMANDS[@]}"; do
    usage_error "$command" --nonsense disk.raw
    expect_message nonsense
    usage_error "$command" -Z disk.raw
    expect_message "'Z'"
  done
}

@test "a missing argument, one too many" {
  make_raw disk.raw
  for command in "${COMMANDS[@]}"; do
    usage_error "$command" disk.raw --locking
    expect_message locking
    usage_error "$command" --quiet=yes disk.raw
    expect_message quiet
  done
}

@test "bad values are named with the good ones" {
  make_raw disk.raw
  for command in "${COMMANDS[@]}"; do
    usage_error "$command" --locking=foo disk.raw
    [[ ${stderr_lines[0]} == \
      "imgtool: bad value 'foo' for --locking: it must be on, off, auto or posix" ]]
    usage_error "$command" --locking= disk.raw
    usage_error "$command" --locking=ON disk.raw
    usage_error "$command" --output=xml disk.raw
    expect_message xml human json
    usage_error "$command" --lock-wait=soon disk.raw
    expect_message soon --lock-wait
    usage_error "$command" --lock-wait=-1 disk.raw
  done
  usage_error lock-status --color=purple disk.raw
  expect_message purple always never
  usage_error lock-status --for=lunch disk.raw
}

@test "options after the image, short prefixes, joined values" {
  make_raw disk.raw
  for command in "${COMMANDS[@]}"; do
    want=$(done_well "$command")
    run "-$want" imgtool "$command" disk.raw --locking=posix
    run "-$want" imgtool "$command" disk.raw --locki posix
    run "-$want" imgtool "$command" -fraw disk.raw
    run "-$want" imgtool "$command" -f raw disk.raw
    run "-$want" imgtool "$command" --form=raw disk.raw
    run "-$want" imgtool "$command" -qv disk.raw
  done
  usage_error lock-status --lo=off disk.raw # --locking, --lock-wait or --locks-only
}

@test "of an option that is given twice the last one counts" {
  make_raw disk.raw
  run -0 imgtool lock-status --locking=off --output=human --output=json --locking=posix disk.raw
  expect 'image.locking == "posix"'
  run -0 imgtool info --output=json --output=human disk.raw
  expect_text "image: disk.raw"
  for command in "${COMMANDS[@]}"; do
    usage_error "$command" --locking=posix --locking=foo disk.raw
  done
}

@test "what is behind -- is an image" {
  make_raw ./--help
  for command in "${COMMANDS[@]}"; do
    run "-$(done_well "$command")" --separate-stderr imgtool "$command" -- --help
    [[ "$output$stderr" == *"--help"* && $output != *"--locking"* ]]
  done
}

@test "an error on one image prints nothing of it on the output" {
  for command in "${COMMANDS[@]}"; do
    run --separate-stderr imgtool "$command" missing.raw
    ((status == $(usage_status "$command")))
    [[ $output != *"free"* ]]
    expect_message "imgtool: " missing.raw
  done
}

@test "output onto a full disk fails, for every command and for help" {
  make_raw disk.raw
  for words in "info disk.raw" "info --output=json disk.raw" --help --version "help info" \
    "info --help"; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr bash -c '"$0" "$@" >/dev/full' "$IMGTOOL" $words
    expect_message "imgtool: " "No space left on device"
  done
  for words in "lock-status disk.raw" "lock-status --output=json disk.raw" "lock-status --help"; do
    # shellcheck disable=SC2086
    run -2 --separate-stderr bash -c '"$0" "$@" >/dev/full' "$IMGTOOL" $words
    expect_message "imgtool: " "No space left on device"
  done
}

@test "a closed output fails, and no image is written to in its place" {
  make_raw disk.raw
  cp disk.raw before.raw
  run -1 --separate-stderr bash -c '"$0" info disk.raw >&-' "$IMGTOOL"
  expect_message "imgtool: "
  run -2 --separate-stderr bash -c '"$0" lock-status disk.raw >&-' "$IMGTOOL"
  run bash -c '"$0" check disk.raw >&- 2>&- <&-' "$IMGTOOL"
  run bash -c '"$0" lock-status disk.raw >&- 2>&- <&-' "$IMGTOOL"
  cmp disk.raw before.raw
}

@test "a reader that goes away early is no crash" {
  make_raw disk.raw
  run bash -c '"$0" info disk.raw | true; exit "${PIPESTATUS[0]}"' "$IMGTOOL"
  ((status <= 1 || status == 141))
}

@test "messages come from imgtool, whatever it was started as" {
  ln -s "$IMGTOOL" other-name
  run -1 --separate-stderr ./other-name nonsense
  expect_message "unknown command 'nonsense'"
}

@test "a locale of another language changes no answer" {
  make_raw disk.raw
  expected=$(imgtool info disk.raw)
  for locale in C POSIX de_DE.UTF-8 tr_TR.UTF-8; do
    [[ $(LC_ALL=$locale imgtool info disk.raw) == "$expected" ]]
  done
}
