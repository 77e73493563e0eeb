#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The completions, asked by the shells themselves. bash and zsh have a terminal: keys are typed, and
# what counts is the command line that comes of it.

load lib

COMPLETIONS=$(realpath -m -- "$BATS_TEST_DIRNAME/../../completions")
EVERY=$'\017' # the key Ctrl-O, which inserts all that is offered
TAB=$'\t'

# use SHELL: the one that is asked
use() {
  SH=$1
  require "$SH" script
  export HOME=$HOLD XDG_CONFIG_HOME=$HOLD XDG_DATA_HOME=$HOLD TERM=dumb
  mkdir "$HOLD/bin"
  ln -s "$IMGTOOL" "$HOLD/bin/imgtool"
  case $SH in
    bash)
      cat >"$HOLD/.bashrc" <<EOF
unset HISTFILE
source '$COMPLETIONS/imgtool.bash'
bind '"$EVERY": insert-completions'
EOF
      ;;
    zsh)
      cat >"$HOLD/.zshrc" <<EOF
fpath=('$COMPLETIONS' \$fpath)
autoload -Uz compinit && compinit -u -D
every() { _main_complete; compstate[insert]=all; }
zle -C every complete-word every
bindkey '$EVERY' every
EOF
      ;;
  esac
  cat >>"$HOLD/.${SH}rc" <<EOF
PATH='$HOLD/bin':\$PATH
imgtool() {
  [ "\$1" != __complete ] || { command imgtool "\$@"; return; }
  printf '%s\n' "\$@" >'$HOLD/words'
  exit
}
EOF
}

# typed KEYS: the words that imgtool is run with when these and Enter are typed, one a line
typed() {
  local shell=(bash --noprofile --rcfile "$HOLD/.bashrc" -i)
  [[ $SH == bash ]] || shell=(env ZDOTDIR="$HOLD" zsh -d -i)
  rm -f "$HOLD/words"
  printf '%s\r' "$1" | timeout 60 script -qec "${shell[*]@Q}" /dev/null >"$HOLD/screen" 2>&1 3>&-
  cat "$HOLD/words" || cat "$HOLD/screen" >&2
}

# offered LINE: what there is for its last word, one a line
offered() {
  local -a words
  case $SH in
    fish)
      PATH=$HOLD/bin:$PATH fish -c 'set -p fish_complete_path $argv[1]; complete -C $argv[2]' \
        "$COMPLETIONS" "$1" | cut -f 1 ;;
    *)
      # The words before it are not among the offers.
      read -ra words <<<"${1#imgtool }x"
      typed "$1$EVERY" | tail -n "+${#words[@]}" ;;
  esac | sort
}

# offers LINE @ CANDIDATE...: these, and no others
offers() {
  offered "$1" >got
  printf '%s\n' "${@:3}" | sort | diff - got || {
    echo "$SH: what was wanted (<) and offered (>) for: $1" >&2
    return 1
  }
  rm got
}

# offers_nothing LINE: in bash and zsh the line stays as it is
offers_nothing() {
  [[ $SH == fish ]] || set -- "$1" "${1##* }"
  [[ $(offered "$1") == "${2-}" ]]
}

commands_and_options() {
  local name
  offered "imgtool " >offered
  { imgtool __complete --commands && echo help; } | sort | diff - offered
  offers "imgtool lock-s" @ lock-status
  offers "imgtool help lock-" @ lock-status
  for name in $(imgtool __complete --commands); do
    imgtool __complete -- "$name" -- | sort >wanted
    [ -s wanted ]
    offered "imgtool $name --" | diff wanted -
  done
  offers "imgtool lock-status --lo" @ --lock-wait --locking= --locks-only
  offers "imgtool lock-status disk.raw --stri" @ --strict
  offers_nothing "imgtool nonsense --x"
  offers_nothing "imgtool info --nonsense"
}

values() {
  offers "imgtool lock --locking " @ auto off on posix
  offers "imgtool lock --locking p" @ posix
  # bash completes what is behind the "=" only.
  case $SH in
    bash) offers "imgtool lock-status --locking=" @ --locking=auto off on posix ;;
    *) offers "imgtool lock-status --locking=" @ --locking={auto,off,on,posix} ;;
  esac
  offers "imgtool info disk.raw --output=j" @ --output=json
  offers "imgtool lock-status --for=convert-f" @ --for=convert-from
  offers_nothing "imgtool info --output=x"
}

file_names() {
  make_raw disk.raw
  make_raw 'disk two.raw'
  mkdir directory
  make_raw directory/disk.raw
  offers "imgtool info disk" @ 'disk two.raw' disk.raw
  offers "imgtool info directory/" @ directory/disk.raw
  offers "imgtool check -- disk." @ disk.raw
  offers "imgtool lock-status --strict disk.raw disk" @ 'disk two.raw' disk.raw
  offers "imgtool lock --wait disk." @ disk.raw
}

guarded_command() {
  make_raw disk.raw
  offers "imgtool lock disk.raw -- imgtoo" @ imgtool
  offers "imgtool lock disk.raw -- truncate disk" @ disk.raw
  offers "imgtool lock --wait=5 disk.raw -- imgtool info disk" @ disk.raw
  offers "imgtool lock disk.raw -- imgtool info --out" @ --output=
  offers "imgtool lock disk.raw -- cp -- disk.raw disk" @ disk.raw
}

keys() {
  make_raw 'disk two.raw'
  diff <(typed "imgtool lock-st${TAB}X") <(printf '%s\n' lock-status X)
  diff <(typed "imgtool lock-status --stri${TAB}X") <(printf '%s\n' lock-status --strict X)
  diff <(typed "imgtool info --out${TAB}js${TAB}di${TAB}X") \
    <(printf '%s\n' info --output=json 'disk two.raw' X)
  diff <(typed "imgtool info --output js${TAB}X") <(printf '%s\n' info --output json X)
}

@test "bash offers commands and options" { use bash; commands_and_options; }
@test "bash offers the values of options" { use bash; values; }
@test "bash offers file names" { use bash; file_names; }
@test "bash inserts what Tab is to insert" { use bash; keys; }

@test "bash offers file names for the command behind 'lock IMAGE --'" {
  use bash
  make_raw disk.raw
  install -m 755 /dev/null run-it
  offers "imgtool lock disk.raw -- ./ru" @ ./run-it
  offers "imgtool lock disk.raw -- truncate disk" @ disk.raw
}

@test "zsh offers commands and options" { use zsh; commands_and_options; }
@test "zsh offers the values of options" { use zsh; values; }
@test "zsh offers file names" { use zsh; file_names; }
@test "zsh inserts what Tab is to insert" { use zsh; keys; }
@test "zsh completes the command behind 'lock IMAGE --'" { use zsh; guarded_command; }

@test "fish offers commands and options" { use fish; commands_and_options; }
@test "fish offers the values of options" { use fish; values; }
@test "fish offers file names" { use fish; file_names; }
@test "fish completes the command behind 'lock IMAGE --'" { use fish; guarded_command; }
