#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The man pages, the option tables, --help and the completion say the same.

load lib

SOURCE=$(realpath -m -- "$BATS_TEST_DIRNAME/../..")
MAN=$SOURCE/man

# commands: all that are not hidden, one a line; "help" is one that has no table of options
commands() {
  imgtool __complete --commands && echo help
}

# names_commands: sets NAMES to the commands that have options and a page of their own ("help" is
# described in imgtool(1)); fails when there are none, so that no loop over them is empty
names_commands() {
  mapfile -t NAMES < <(imgtool __complete --commands)
  [ "${#NAMES[@]}" -gt 0 ]
}

# table COMMAND: its options as "SHORT<tab>LONG<tab>HELP", as the program knows them
table() {
  imgtool __complete --options "$1"
}

# page_table PAGE: the options that the man page lists, as "SHORT<tab>LONG"
page_table() {
  awk '
    / Ta / { next } # a table
    /^\.It .*Fl / {
      line = $0
      sub(/^\.It /, "", line)
      gsub(/ Ns Op = Ns (Ar|Cm) [^ ]+/, "&]", line)
      gsub(/ Ns Op = Ns (Ar|Cm) /, "[=", line)
      gsub(/ Ns = Ns (Ar|Cm) /, "=", line)
      n = split(line, spellings, / , /)
      short = long = ""
      for (i = 1; i <= n; i++)
        if (spellings[i] ~ /^Fl -/) long = "-" substr(spellings[i], 4)
        else short = "-" substr(spellings[i], 4, 1)
      print short "\t" long
    }' "$1"
}

# section PAGE NAME: the source of one section
section() {
  awk -v wanted=".Sh $2" '/^\.Sh / { inside = $0 == wanted } inside' "$1"
}

# squeeze: every run of blanks and line breaks as one blank
squeeze() {
  tr -s '[:space:]' ' '
}

# same WHAT FILE1 FILE2: prints the difference when there is one
same() {
  diff -u --label "$2" --label "$3" "$2" "$3" && return 0
  echo "these differ: $1"
  return 1
}

# ---- man pages ------------------------------------------------------------------------------

@test "mandoc finds nothing wrong in the man pages" {
  require mandoc
  run mandoc -T lint -W warning "$MAN"/*.[1-8]
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "every command has a man page and every man page a command" {
  local page
  names_commands
  printf '%s\n' "${NAMES[@]}" | sort >commands
  for page in "$MAN"/imgtool-*.1; do
    page=${page##*/imgtool-}
    echo "${page%.1}"
  done | sort >pages
  same "commands and man pages" commands pages
}

@test "imgtool(1) and --help name every command" {
  local name
  run -0 imgtool --help
  for name in $(commands); do
    grep -qE "^ +$name( |\$)" <<<"$output" || { echo "--help lacks $name" && return 1; }
    grep -qx ".It Cm $name" "$MAN/imgtool.1" || { echo "imgtool.1 lacks $name" && return 1; }
  done
  [[ $output != *__complete* ]]
}

@test "each command's page lists exactly its options, spelled alike" {
  local name
  names_commands
  for name in "${NAMES[@]}"; do
    table "$name" | cut -f 1,2 | sort >table
    page_table "$MAN/imgtool-$name.1" | sort >page
    [ -s table ]
    same "the options of $name and those of its man page" table page
  done
}

@test "no option is listed twice, and each has a help text" {
  local name
  names_commands
  for name in "${NAMES[@]}"; do
    table "$name" >table
    [ -z "$(cut -f 1 table | grep . | sort | uniq -d)" ]
    [ -z "$(cut -f 2 table | sed 's/[[=].*//' | grep . | sort | uniq -d)" ]
    run awk -F '\t' 'NF != 3 || $1 !~ /^(-.)?$/ || $2 !~ /^--[a-z]/ || $3 == ""' table
    [ -z "$output" ]
  done
}

@test "each command's --help shows every option with its text" {
  local name short long text page
  names_commands
  for name in "${NAMES[@]}"; do
    page=$(imgtool "$name" --help | squeeze)
    # awk, since read would drop the empty first column
    while IFS=$'\x1f' read -r short long text; do
      [[ $page == *"${short:+$short, }$long "* ]] || { echo "no '${short:+$short, }$long' in: $page" && return 1; }
      text=$(squeeze <<<"$text")
      [[ $page == *"${text% }"* ]] || { echo "no '$text' in: $page" && return 1; }
    done < <(table "$name" | tr '\t' '\037')
  done
}

@test "each command's --help shows no other options" {
  local name
  names_commands
  for name in "${NAMES[@]}"; do
    table "$name" | cut -f 2 | sort >table
    imgtool "$name" --help |
      sed -nE 's/^ +(-[A-Za-z], )?(--[^[:space:]]+).*/\2/p' | sort >help
    same "the options of $name and its --help" table help
  done
}

@test "'help COMMAND', --help and -h are the same" {
  local name
  names_commands
  for name in "${NAMES[@]}"; do
    imgtool "$name" --help >long
    imgtool "$name" -h >short
    imgtool help "$name" >word
    [ -s long ]
    cmp long short
    cmp long word
  done
  imgtool --help >long
  imgtool -h >short
  imgtool help >word
  cmp long short
  cmp long word
}

# synopsis PAGE: as it is rendered, without the options in brackets and without any blanks
synopsis() {
  mandoc -T ascii "$1" | sed 's/.\x08//g' | awk '/^[^ ]/ { inside = $0 == "SYNOPSIS" } inside' |
    tr -d '[:space:]' | sed -E 's/\[-([^][]|\[[^][]*\])*\]//g'
}

@test "every SYNOPSIS has the operands that --help shows, and no unknown options" {
  local name wanted option letters
  require mandoc
  names_commands
  for name in "${NAMES[@]}"; do
    wanted=$(imgtool "$name" --help | sed -nE 's/^Usage: imgtool [a-z-]+ (\[OPTIONS\] )?//p' | tr -d ' ')
    [ -n "$wanted" ]
    [[ $(synopsis "$MAN/imgtool-$name.1") == *"imgtool$name$wanted"* ]] ||
      { echo "$name: the SYNOPSIS lacks '$wanted': $(synopsis "$MAN/imgtool-$name.1")" && return 1; }
    for option in $(section "$MAN/imgtool-$name.1" SYNOPSIS | sed -nE 's/^\.(Op )?Fl -([a-z-]+).*/--\2/p'); do
      table "$name" | cut -f 2 | grep -qE -- "^$option([=[]|\$)" || { echo "$name has no $option" && return 1; }
    done
    letters=$(section "$MAN/imgtool-$name.1" SYNOPSIS | sed -nE 's/^\.(Op )?Fl ([A-Za-z]+).*/\2/p' | fold -w 1)
    for option in $letters; do
      table "$name" | cut -f 1 | grep -qx -- "-$option" || { echo "$name has no -$option" && return 1; }
    done
    # Required operands are required.
    [[ $wanted == \[* ]] || { run imgtool "$name" && [ "$status" -ne 0 ]; }
  done
}

@test "every page about a command has EXIT STATUS and EXAMPLES" {
  local page
  for page in "$MAN"/*.1; do
    [ -n "$(section "$page" 'EXIT STATUS' | sed 1d)" ] || { echo "$page: no EXIT STATUS" && return 1; }
    grep -q '^\$ imgtool ' <<<"$(section "$page" EXAMPLES)" || { echo "$page: no EXAMPLES" && return 1; }
  done
}

@test "pages refer only to pages that exist, with the right section" {
  local page name number
  for page in "$MAN"/*.[1-8]; do
    while read -r name number; do
      [ -f "$MAN/$name.$number" ] || { echo "$page refers to $name($number)" && return 1; }
    done < <(sed -nE 's/^\.Xr (imgtool[a-z-]*) ([0-9]).*/\1 \2/p' "$page")
  done
}

# examples PAGE: the commands of its EXAMPLES, one a line, as a reader sees them
examples() {
  mandoc -T ascii "$1" | sed 's/.\x08//g' | awk '
    /^[^ ]/ { inside = $0 == "EXAMPLES" }
    inside && (more || /^ +\$ /) {
      line = $0
      sub(/^ +(\$ )?/, "", line)
      more = sub(/\\$/, "", line)
      printf "%s%s", line, more ? "" : "\n"
    }'
}

@test "every command of the EXAMPLES works" {
  local page command code
  require mandoc jq
  mkdir bin
  ln -s "$IMGTOOL" bin/imgtool
  # The other host is this one, and the logical volume a file.
  printf '%s\n' '#!/bin/sh' 'shift' 'exec sh -c "$*"' >bin/ssh
  chmod 755 bin/ssh
  for page in "$MAN"/*.1; do
    examples "$page" | sed 's,/dev/vg0/web01,volume,g' >list
    [ -s list ]
    while IFS= read -r command; do
      rm -rf scratch
      mkdir scratch
      truncate -s 8M scratch/disk.raw scratch/volume
      code=0
      (cd scratch && PATH=$DIR/bin:$PATH timeout 60 bash -c "set -o pipefail; $command") \
        >out 2>&1 </dev/null || code=$?
      case $command:$code in
        *:0 | *'imgtool lock-status'*:1 | *'imgtool check'*:63) ;;
        *)
          echo "${page##*/}: $command: exit status $code:"
          cat out
          return 1
          ;;
      esac
    done <list
  done
}

# describes PAGE KEY...: the page has each of them as a variable or a literal
describes() {
  local page=$1 key
  shift
  for key; do
    grep -qE "(Va|Li|Cm|Dq)( .*)? \"?$key\\b" "$page" && continue
    echo "${page##*/} does not describe '$key'"
    return 1
  done
}

@test "every key of lock-status' JSON is described in its page" {
  require jq
  make_raw disk.raw
  hold_open opener read-write disk.raw
  hold_locks locker --write-lock disk.raw 0 10
  json_status 1 disk.raw
  jq -r '[paths | last | strings] | unique[]' <<<"$output" >keys
  mapfile -t keys <keys
  [ "${#keys[@]}" -gt 40 ]
  describes "$MAN/imgtool-lock-status.1" "${keys[@]}"
}

@test "every key of info's JSON is described in its page" {
  require jq sfdisk
  make_raw disk.raw
  echo ',,L' | sfdisk -q disk.raw
  run -0 --separate-stderr imgtool info -f raw --output=json disk.raw
  # What stands below "children" is qemu-img's.
  jq -r 'del(.children[]) | [paths | last | strings] | unique[]' <<<"$output" >keys
  mapfile -t keys <keys
  [ "${#keys[@]}" -gt 10 ]
  describes "$MAN/imgtool-info.1" "${keys[@]}"
}

# ---- completion -----------------------------------------------------------------------------

# complete_words WORD...: what bash offers with the cursor behind the last word, which may be
# empty. The words are cut as bash cuts them: "--output=js" is the three words --output, = and js.
complete_words() {
  IMGTOOL="$IMGTOOL" bash --norc --noprofile -c '
    mkdir -p completion-bin && ln -sf "$IMGTOOL" completion-bin/imgtool
    PATH=$PWD/completion-bin:$PATH
    source "$1"
    shift
    COMP_WORDBREAKS=$'"' \\t\\n\"\\'><=;|&(:'"'
    function=$(complete -p imgtool | sed -E "s/.*-F ([^ ]+).*/\1/")
    COMP_WORDS=(imgtool "$@")
    COMP_CWORD=$#
    COMP_LINE="imgtool $*"
    COMP_POINT=${#COMP_LINE}
    "$function" imgtool "${@: -1}" "${@: -2:1}"
    [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"
  ' bash "$SOURCE/completions/imgtool.bash" "$@"
}

# offers WORD... @ OFFER...: exactly these, in any order
offers() {
  local -a words=()
  while [ "$1" != "@" ]; do
    words+=("$1")
    shift
  done
  shift
  printf '%s\n' "$@" | sort >wanted
  complete_words "${words[@]}" | sort >offered
  same "what was wanted and offered for: ${words[*]}" wanted offered
}

@test "completion offers the commands, and not the hidden one" {
  commands | sort >wanted
  complete_words "" | sort >offered
  same "all commands" wanted offered
  offers lock-s @ lock-status
  offers inf @ info
  refute grep -q __ offered
}

@test "completion offers every option of a command" {
  local name
  names_commands
  for name in "${NAMES[@]}"; do
    # An option with a value ends with "=", one whose value may be left out is offered without it.
    table "$name" | cut -f 2 | sed -E 's/\[=.*//; s/=.*//' | sort >wanted
    complete_words "$name" -- | sed 's/=$//' | sort -u >offered
    same "the options of $name" wanted offered
  done
  offers info --out @ --output=
  offers lock-status --stri @ --strict
}

@test "completion offers the values of an option" {
  offers info --output = @ human json
  offers info --output = js @ json
  offers lock-status --locking = o @ on off
  offers lock-status --for = vm @ vm vm-read-only
  offers lock-status --color = @ auto always never
  offers lock-status --for = @ read write info check repair convert-from convert-to vm vm-read-only
}

@test "completion offers file names as operands" {
  make_raw disk.raw
  make_raw 'disk two.raw'
  mkdir directory
  offers info di @ disk.raw 'disk two.raw' directory
  offers lock-status --strict disk @ disk.raw 'disk two.raw'
}

@test "completion of 'help' offers commands" {
  offers help lock-s @ lock-status
}

@test "completion of nonsense offers nothing and says nothing" {
  run complete_words nonsense --x
  [ "$status" -eq 0 ] || [ "$status" -eq 1 ]
  [ -z "$output" ]
  run complete_words info --nonsense = ""
  [ -z "$output" ]
}
