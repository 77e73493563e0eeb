#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may include whom in src/: the table below is the one of CONTRIBUTING.md.
# shellcheck source=tap.bash
. "$(dirname "$0")/tap.bash"

declare -A may=(
  [base]=""
  [sandbox]="base"
  [lock]="base"
  [holder]="base lock"
  [file]="base lock"
  [disk]="base file"
  [format]="base file disk"
  [engine]="base sandbox lock holder file disk"
  [cli]="base sandbox disk engine"
)

rooms_are_known() {
  local path room
  while IFS= read -r -d '' path; do
    room=${path#src/}
    room=${room%%/*}
    if [ "src/$room" = "$path" ]; then
      echo "$path: a source file belongs in a room, src/ROOM/"
    elif [ -z "${may[$room]+known}" ]; then
      echo "$path: '$room' is not a room in the table of $0"
    fi
  done < <(c_files src)
}

# Prints "FILE:LINE TARGET" for every #include "TARGET" of the files below src/.
quoted_includes() {
  c_files src | xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' |
    sed -E 's/^([^:]*:[0-9]+):[^"]*"([^"]*)".*/\1 \2/'
}

includes_go_down() {
  local where target room wanted
  while read -r where target; do
    room=${where#src/}
    room=${room%%/*}
    wanted=${target%%/*}
    case " $room ${may[$room]-} " in
      *" $wanted "*) ;;
      *) echo "$where: src/$room may not include \"$target\" (only: $room ${may[$room]-})" ;;
    esac
  done < <(quoted_includes | grep -v ' config\.h$')
}

includes_exist() {
  local where target
  while read -r where target; do
    case $target in
      config.h) ;;
      */*) [ -f "src/$target" ] || echo "$where: \"$target\" is not a file below src/" ;;
      *) echo "$where: \"$target\" must be written as \"room/file.h\"" ;;
    esac
  done < <(quoted_includes)
}

angle_includes_are_foreign() {
  local room
  for room in "${!may[@]}"; do
    c_files src | xargs -0 -r grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$room/"
  done
}

files_are_there() {
  need_files c_files src
}

plan 5
check "there is something to check" files_are_there
check "every file is in a room" rooms_are_known
check "rooms include only rooms below them" includes_go_down
check "quoted includes name files from src/" includes_exist
check "our own headers are included with quotes" angle_includes_are_foreign
finish
