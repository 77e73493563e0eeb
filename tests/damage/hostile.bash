# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154,SC2164
#
# The corpus of hostile images. One line makes a case, and says what becomes of it:
#
#   hostile NAME BASE INFO[,CHAIN] STRANGER CHECK[,DATA[,REPAIRED]] CONVERT STEP... [and STEP...]...
#
#   BASE      the folder that the case begins with, see hostile-make.bash
#   INFO      of info, CHAIN of info -b, STRANGER of info --untrusted; CHECK, DATA of check --data,
#             REPAIRED of check -r all: ok, err, unsafe, leaks, corrupt, none (the format has no
#             check). CHAIN is as INFO, and DATA and REPAIRED are as CHECK, if nothing is said.
#   CONVERT   err, or what the copy is: base (what is on the disk of the base; base:N, the first N bytes
#             of that), qemu (what qemu-img makes of the case), file (the image's own bytes), A:N (so
#             many of them), a number (so many zeros), or ok (too large to be read)
#   STEP      what is done to the image, see hostile-make.bash
#
# All commands run on every case, and whatever they say: no signal, no hang, the limits of time and
# memory, messages below 1 MiB, output that is safe to look at, JSON that is JSON, nothing changed but
# the target, and no target where there was an error. CASES and RUNS count; hostile_verdict tells.
#
# With HOSTILE=valgrind one run of each kind is made, under valgrind. There, and in a build with
# sanitizers, time and memory are not measured.

declare -gA STATUS=([ok]=0 [err]=1 [corrupt]=2 [unsafe]=2 [leaks]=3 [none]=63)
# Of the cases "make check" takes every fifth, and fewer where each takes long; "make check-hostile"
# takes all.
EVERY=${HOSTILE_EVERY:-5}
[[ ${HOSTILE_EVERY-} ]] || ! is_sanitized || EVERY=12
SEEN=0 CASES=0 RUNS=0
declare -a COMPLAINTS=()
LARGEST=$((256 << 20)) # what is larger is not read whole

hostile_setup() {
  require jq perl qemu-img
  LOGS=$DIR/logs BASES=$BATS_FILE_TMPDIR/bases
  mkdir -p "$LOGS" "$BASES" out
  echo 'nobody is to read this' >stdin
  LIMITED=1 SLOWER=1 MEMORY=$((256 << 20)) WRAPPER=() MORE_OPTIONS=()
  if [[ ${HOSTILE-} == valgrind ]]; then
    require valgrind
    # In a file it does not meet with the program's own messages: of calls, for one, that are newer than it.
    WRAPPER=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
      --log-file="$DIR/valgrind.%p")
    MORE_OPTIONS=(--no-sandbox)
  fi
  if ((${#WRAPPER[@]})) || is_sanitized; then
    LIMITED=0 SLOWER=10 MEMORY=0
  fi
}

# is_tried FORM: under valgrind, one of each kind
is_tried() {
  [[ ${HOSTILE-} != valgrind || $1 =~ ^(info.json|stranger.json|data|repair|convert)$ ]]
}

complain() {
  COMPLAINTS+=("$CASE: $*")
}

# tried FORM MILLISECONDS KIB WORDS...: runs imgtool, and sets code to its status. Its output is in
# $LOGS/CASE.FORM.out and .err. The time is that of the processor, which does not depend on who else
# is busy; the clock on the wall only ends what hangs. There are thousands of runs: what they say is
# looked at without more processes.
tried() {
  local form=$1 most_ms=$2 most_kib=$3 log=$LOGS/$CASE.$1 peak ms line said='' stray=''
  shift 3
  code=0
  "$TOOLS/within" $((40 * SLOWER)) "$MEMORY" "${FILE_LIMIT:-0}" "$DIR/cost" \
    "${WRAPPER[@]}" "$IMGTOOL" "$1" "${MORE_OPTIONS[@]}" "${@:2}" <"$DIR/stdin" >"$log.out" 2>"$log.err" || code=$?
  RUNS=$((RUNS + 1))
  if ((code > 63)); then
    complain "$form: status $code: a signal, a hang or a report"
    ((code != 99)) || cat "$DIR"/valgrind.* >&2
    return 0
  fi
  while IFS= read -r line || [[ $line ]]; do
    case $line in
      'imgtool: '*) said=1 ;;
      '  '*) ;;
      *) stray=${stray:-${line:-an empty line}} ;;
    esac
  done <"$log.err"
  ((code != 1)) || [[ $said ]] || complain "$form: failed without a message"
  [[ $1 == check || ! $stray ]] || complain "$form: ${stray:0:300}"
  # A format without a check has no JSON of it either.
  [[ $form != *.json || $code == 1 || $code == 63 || -s $log.out ]] || complain "$form: no JSON"
  ((LIMITED)) || return 0
  read -r peak ms <"$DIR/cost"
  ((ms <= most_ms)) || complain "$form: $ms ms"
  ((peak <= most_kib)) || complain "$form: a peak of $peak KiB"
}

# becomes WORD FORM LIMITS... WORDS...: as tried, with the status that the word stands for
becomes() {
  local wanted=$1 form=$2
  is_tried "$form" || return 0
  shift
  tried "$@"
  ((code > 63 || code == STATUS[$wanted])) ||
    complain "$form: status $code is not $wanted; $(head -c 300 "$LOGS/$CASE.$form.err")"
}

# try_info INFO CHAIN STRANGER
try_info() {
  local -a limits=(1000 $((24 << 10)))
  becomes "$1" info "${limits[@]}" info "${OPTIONS[@]}" -- "$IMAGE"
  becomes "$1" info.json "${limits[@]}" info --output=json "${OPTIONS[@]}" -- "$IMAGE"
  becomes "$2" chain.json "${limits[@]}" info -b --output=json "${OPTIONS[@]}" -- "$IMAGE"
  becomes "$3" stranger "${limits[@]}" info --untrusted "${OPTIONS[@]}" -- "$IMAGE"
  becomes "$3" stranger.json "${limits[@]}" info --untrusted --output=json "${OPTIONS[@]}" -- "$IMAGE"
}

# try_lock_status: nobody has it locked, if it is a file at all
try_lock_status() {
  is_tried lock-status || return 0
  tried lock-status 10000 "$CHECK_KIB" lock-status "${OPTIONS[@]}" -- "$IMAGE"
  # Standard input is a file in these tests, and what is in /proc none.
  if [[ -f $IMAGE && $IMAGE != /proc/* || $IMAGE == /dev/stdin ]]; then
    ((code == 0)) || complain "lock-status: status $code"
  else
    ((code == 2)) || complain "lock-status: status $code"
  fi
  tried lock-status.json 10000 "$CHECK_KIB" lock-status -b --output=json "${OPTIONS[@]}" -- "$IMAGE"
  ((code == 0 || code == 2)) || complain "lock-status -b: status $code"
}

# try_check CHECK DATA
try_check() {
  becomes "$1" check 10000 "$CHECK_KIB" check "${OPTIONS[@]}" "${CHECK_OPTIONS[@]}" -- "$IMAGE"
  becomes "$1" check.json 10000 "$CHECK_KIB" check --output=json "${OPTIONS[@]}" "${CHECK_OPTIONS[@]}" -- "$IMAGE"
  becomes "$2" data 10000 $((CHECK_KIB + DATA_KIB)) check --data "${OPTIONS[@]}" "${CHECK_OPTIONS[@]}" -- "$IMAGE"
}

# copied WANT FORM WORDS...: converted to raw; what was wanted, or nothing at all
copied() {
  local wanted=$1 form=$2
  is_tried "$form" || return 0
  shift 2
  rm -rf "$DIR/out"
  mkdir "$DIR/out"
  if [[ $wanted == err ]]; then
    becomes err "$form" 10000 $((96 << 10)) convert "${OPTIONS[@]}" "${CONVERT_OPTIONS[@]}" "$@" "$DIR/out/got"
    [[ $form == convert-stranger ]] || grep -qF -- "$BECAUSE" "$LOGS/$CASE.$form.err" ||
      complain "$form: it does not say '$BECAUSE'"
    [[ -z $(ls -A "$DIR/out") ]] || complain "$form: it failed, and left something"
    return 0
  fi
  becomes ok "$form" 10000 $((96 << 10)) convert "${OPTIONS[@]}" "${CONVERT_OPTIONS[@]}" "$@" "$DIR/out/got"
  [[ $(ls -A "$DIR/out") == got ]] || complain "$form: there is $(ls -A "$DIR/out")"
}

# try_convert CONVERT STRANGER
try_convert() {
  local stranger=$1
  [[ $2 == ok ]] || stranger=err
  [[ $1 != err ]] || stranger=err
  copied "$stranger" convert-stranger --untrusted -- "$IMAGE"
  [[ $stranger == err ]] || ! is_tried convert-stranger || right "$stranger" convert-stranger
  copied "$1" convert -- "$IMAGE"
  [[ $1 != err && -f $DIR/out/got ]] || { copied err convert-qcow2 -O qcow2 -- "$IMAGE"; return 0; }
  right "$1" convert
  is_tried convert-qcow2 || return 0
  mv "$DIR/out/got" "$DIR/raw"
  copied "$1" convert-qcow2 -O qcow2 -- "$IMAGE"
  [[ $1 == ok ]] || qemu-img compare -q -f raw -F qcow2 "$DIR/raw" "$DIR/out/got" ||
    complain "convert-qcow2: not what convert to raw makes"
  rm "$DIR/raw"
}

# right WANT FORM: what was copied has the right bytes
right() {
  local got
  [[ $1 != ok ]] || return 0
  got=$(sha256sum <"$DIR/out/got")
  [[ $got == "$(digest_of "$1")" ]] || complain "$2: the copy is not right"
}

# digest_of WANT
digest_of() {
  case $1 in
    base) sha256sum <"$BASES/$BASE.raw" ;;
    base:*) head -c "${1#*:}" "$BASES/$BASE.raw" | sha256sum ;;
    qemu) sha256sum <"$DIR/theirs" ;;
    file) sha256sum <"$IMAGE" ;;
    A:*) head -c "${1#*:}" /dev/zero | tr '\0' A | sha256sum ;;
    *) head -c "$1" /dev/zero | sha256sum ;;
  esac
}

# try_repair REPAIRED CONVERT: of a copy; what could be read before it can be read afterwards
try_repair() {
  cp -a --sparse=always "$DIR/case" "$DIR/fixed"
  cd "$DIR/fixed"
  becomes "$1" repair 10000 "$CHECK_KIB" check -r all "${OPTIONS[@]}" "${CHECK_OPTIONS[@]}" -- "$IMAGE"
  if [[ -f $IMAGE && ! -L $IMAGE && $IMAGE -nt $DIR/case/$IMAGE ]]; then
    becomes "$1" again 10000 "$CHECK_KIB" check "${OPTIONS[@]}" "${CHECK_OPTIONS[@]}" -- "$IMAGE"
    if [[ $2 != err ]] && is_tried repaired; then
      copied "$2" repaired -- "$IMAGE"
      right "$2" repaired
    fi
  fi
  cd "$DIR/case"
  rm -rf "$DIR/fixed"
}

# state: of all files that are not to change: names, kinds, sizes, times, content
state() {
  find . -printf '%P %y %s %m %T@ %C@ %l\n'
  find . -type f -size "-$((LARGEST / 1024))k" -exec sha256sum {} +
}

# steps WORD... [and WORD...]...: the image is made
steps() {
  local -a words=()
  while (($#)); do
    if [[ $1 == and ]]; then
      "${words[@]}"
      words=()
    else
      words+=("$1")
    fi
    shift
  done
  ((${#words[@]} == 0)) || "${words[@]}"
}

# make_case STEP...: the folder case, which becomes the working directory
make_case() {
  IMAGE=disk.qcow2 OPTIONS=() CONVERT_OPTIONS=() CHECK_OPTIONS=() FILE_LIMIT='' BECAUSE='' CHECK_KIB=$((32 << 10)) DATA_KIB=0
  cd "$DIR"
  rm -rf case
  have_base
  cp -a --sparse=always "$BASES/$BASE" case
  cd case
  steps "$@"
}

# have_base: make it, unless it is there, and note what is on its disk
have_base() {
  [[ ! -d $BASES/$BASE ]] || return 0
  mkdir "$BASES/$BASE"
  cd "$BASES/$BASE"
  "base_$BASE"
  [[ ! -e disk.qcow2 ]] || qemu-img convert -O raw disk.qcow2 "../$BASE.raw" 2>/dev/null || :
  cd "$DIR"
}

hostile() {
  CASE=$1 BASE=$2
  SEEN=$((SEEN + 1))
  ((SEEN % EVERY == 1 % EVERY)) || return 0
  local info chain stranger=$4 check data repaired convert=$6 before
  IFS=, read -r info chain <<<"$3"
  IFS=, read -r check data repaired <<<"$5"
  make_case "${@:7}"
  [[ $convert != qemu ]] || qemu-img convert -O raw "${OPTIONS[@]}" "${CONVERT_OPTIONS[@]}" "$IMAGE" "$DIR/theirs"
  before=$(state)
  try_info "$info" "${chain:-$info}" "$stranger"
  try_lock_status
  try_check "$check" "${data:-$check}"
  try_convert "$convert" "$stranger"
  try_repair "${repaired:-$check}" "$convert"
  [[ $(state) == "$before" ]] || complain "what was only to be read has changed"
  cd "$DIR"
  CASES=$((CASES + 1))
}

# look_at_output: what was printed is harmless, and JSON is JSON
look_at_output() {
  local file
  local -a files
  perl "$BATS_TEST_DIRNAME/look-at-output.pl" "$LOGS"/*
  mapfile -t files < <(find "$LOGS" -name '*.json.out' -size +0)
  jq -r -n 'reduce inputs as $_ ({}; .[input_filename] += 1) | to_entries[] | select(.value != 1).key' \
    "${files[@]}" 2>&1 | sed 's/$/: not one value of JSON/' || :
}

# hostile_verdict LEAST: there are at least so many cases, and nothing to complain of in those that were
# tried
hostile_verdict() {
  local complaint
  echo "# $BATS_TEST_DESCRIPTION: $CASES of $SEEN cases, $RUNS runs" >&3
  mapfile -t -O ${#COMPLAINTS[@]} COMPLAINTS < <(look_at_output)
  ((${#COMPLAINTS[@]} == 0)) || printf '%s\n' "${#COMPLAINTS[@]} complaints:" "${COMPLAINTS[@]:0:60}" >&2
  ((${#COMPLAINTS[@]} == 0 && SEEN >= $1 && CASES > 0))
}
