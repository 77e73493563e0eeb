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
}
EOF
  start_shell
}

# start_shell: one for all that is asked of it in a test. What is written to descriptor $KEYS is
# typed, or for fish a line to complete; each answer comes out of the fifo $HOLD/words.
start_shell() {
  local shell=(script -qec)
  mkfifo "$HOLD/keys" "$HOLD/words"
  case $SH in
    bash) shell+=("bash --noprofile --rcfile '$HOLD/.bashrc' -i" /dev/null) ;;
    zsh) shell+=("env ZDOTDIR='$HOLD' zsh -d -i" /dev/null) ;;
    fish)
      shell=(env PATH="$HOLD/bin:$PATH" fish -c 'set -p fish_complete_path $argv[1]
        while read -l line; complete -C $line >$argv[2]; end' "$COMPLETIONS" "$HOLD/words")
      ;;
  esac
  timeout 600 "${shell[@]}" <"$HOLD/keys" >"$HOLD/screen" 2>&1 3>&- &
  later kill "$!"
  exec {KEYS}>"$HOLD/keys"
}

# answer KEYS: what the shell makes of them
answer() {
  printf '%s' "$1" >&"$KEYS"
  timeout 60 cat "$HOLD/words" || cat "$HOLD/screen" >&2
}

# typed KEYS: the words that imgtool is run with when these and Enter are typed, one a line
typed() {
  answer "$1"$'\r'
}

# offered LINE: what there is for its last word, one a line
offered() {
  local -a words
  case $SH in
    fish) answer "$1"$'\n' | cut -f 1 ;;
    *)
      # The words before it are not among the offers.
      read -ra words <<<"${1#imgtool }x"
      typed "$1$EVERY" | tail -n "+${#words[@]}"
      ;;
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

# word_offers LINE WORD @ CANDIDATE...: the same of LINE and WORD, of which bash inserts the first
# candidate whole, and of the others what is behind the "="
word_offers() {
  local word=$2 first=$4
  local -a others=("${@:5}")
  [[ $SH != bash || $word != *=* ]] || others=("${others[@]#"${word%"${word##*=}"}"}")
  offers "$1$word" @ "$first" "${others[@]}"
}

values() {
  offers "imgtool lock --locking " @ auto off on posix
  offers "imgtool lock --locking p" @ posix
  word_offers "imgtool lock-status " --locking= @ --locking={auto,off,on,posix}
  offers "imgtool info disk.raw --output=j" @ --output=json
  offers "imgtool info disk.raw --outp=j" @ --outp=json
  offers "imgtool lock-status --for=convert-f" @ --for=convert-from
  offers_nothing "imgtool info --output=x"
}

short_options() {
  offers "imgtool convert -O " @ qcow2 raw
  offers "imgtool convert -O q" @ qcow2
  offers "imgtool convert -pO " @ qcow2 raw
  offers "imgtool convert -Oq" @ -Oqcow2
  offers "imgtool convert -pOr" @ -pOraw
  offers "imgtool create -b disk.raw -F " @ qcow2 raw
  # Values do not count as options.
  offers "imgtool convert --source-snapshot -O --lock-w" @ --lock-wait
}

lists() {
  offers "imgtool lock-status -o ST" @ STARTED STATUS STYLE
  offers "imgtool lock-status -o STATUS,PID,ST" @ STATUS,PID,STARTED STATUS,PID,STYLE
  offers "imgtool convert --digest sha512,sha25" @ sha512,sha256
  word_offers "imgtool lock " --uses=c @ --uses=consistent-read
  word_offers "imgtool lock " --shares= @ --shares={all,consistent-read,none,resize,write,write-unchanged}
  offers "imgtool lock --shares write,w" @ write,write-unchanged
  offers_nothing "imgtool lock --shares write,n"
  offers "imgtool convert -O qcow2 -o comp" @ compat= compression_level= compression_type=
  offers "imgtool create -o preallocation=full,si" @ preallocation=full,size=
  offers "imgtool create -f raw -o p" @ preallocation=
  offers_nothing "imgtool create -f raw -o comp"
  offers "imgtool convert -O vmdk -o compat" @ compat=
  offers_nothing "imgtool convert -O qcow2 -o siz"
  word_offers "imgtool convert -O qcow2 -o " compression_type= @ compression_type={zlib,zstd}
  word_offers "imgtool convert -O qcow2 -o " compat=1.1,preallocation=f \
    @ compat=1.1,preallocation={falloc,full}
  word_offers "imgtool create -f qcow2 " --options=backing_fmt= @ --options=backing_fmt={qcow2,raw}
}

file_names() {
  make_raw disk.raw
  make_raw 'disk two.raw'
  make_raw ./-dash.raw
  mkdir directory
  make_raw directory/disk.raw
  offers "imgtool info disk" @ 'disk two.raw' disk.raw
  offers "imgtool info directory/" @ directory/disk.raw
  offers "imgtool check -- disk." @ disk.raw
  offers "imgtool info -- -da" @ -dash.raw
  offers "imgtool lock-status --strict disk.raw disk" @ 'disk two.raw' disk.raw
  offers "imgtool lock --wait disk." @ disk.raw
}

files_as_values() {
  # What inserts all that is offered adds no "/", which fish offers.
  local slash=
  [[ $SH != fish ]] || slash=/
  make_raw disk.raw
  make_raw 'disk two.raw'
  make_raw folder.raw
  mkdir folder
  make_raw folder/disk.raw
  offers "imgtool convert -B disk" @ 'disk two.raw' disk.raw
  offers "imgtool convert -pB disk." @ disk.raw
  offers "imgtool create -b folder/" @ folder/disk.raw
  offers "imgtool create -bdisk." @ -bdisk.raw
  offers "imgtool create -bfolder/" @ -bfolder/disk.raw
  word_offers "imgtool convert " --backing=d @ --backing={'disk two.raw',disk.raw}
  offers "imgtool check --undo=disk." @ --undo=disk.raw
  offers "imgtool check --undo-file disk." @ disk.raw
  offers "imgtool info --chain-under=fo" @ --chain-under=folder$slash
  offers "imgtool info --chain-under fo" @ folder$slash
  offers "imgtool create -f qcow2 -o backing_file=disk." @ backing_file=disk.raw
  offers "imgtool create -f qcow2 -o compat=1.1,data_file=disk." @ compat=1.1,data_file=disk.raw
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
  mkdir folder
  diff <(typed "imgtool info --chain-under=fo${TAB}X") <(printf '%s\n' info --chain-under=folder/X)
  diff <(typed "imgtool create -bfo${TAB}di") <(printf '%s\n' create -bfolder/di)
  diff <(typed "imgtool check --undo=di${TAB}X") <(printf '%s\n' check '--undo=disk two.raw' X)
  diff <(typed "imgtool convert -o comp${TAB}at${TAB}X") <(printf '%s\n' convert -o compat=X)
  diff <(typed "imgtool info --output js${TAB}X") <(printf '%s\n' info --output json X)
}

@test "bash offers commands and options" { use bash; commands_and_options; }
@test "bash offers the values of options" { use bash; values; }
@test "bash offers what is behind short options" { use bash; short_options; }
@test "bash offers what a list lacks" { use bash; lists; }
@test "bash offers file names" { use bash; file_names; }
@test "bash offers file names as values" { use bash; files_as_values; }
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
@test "zsh offers what is behind short options" { use zsh; short_options; }
@test "zsh offers what a list lacks" { use zsh; lists; }
@test "zsh offers file names" { use zsh; file_names; }
@test "zsh offers file names as values" { use zsh; files_as_values; }
@test "zsh inserts what Tab is to insert" { use zsh; keys; }
@test "zsh completes the command behind 'lock IMAGE --'" { use zsh; guarded_command; }

@test "fish offers commands and options" { use fish; commands_and_options; }
@test "fish offers the values of options" { use fish; values; }
@test "fish offers what is behind short options" { use fish; short_options; }
@test "fish offers what a list lacks" { use fish; lists; }
@test "fish offers file names" { use fish; file_names; }
@test "fish offers file names as values" { use fish; files_as_values; }
@test "fish completes the command behind 'lock IMAGE --'" { use fish; guarded_command; }
