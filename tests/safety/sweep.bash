# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# Every call of the system that a copy makes goes wrong once, and what is left is looked at.
#
# A copy is described by its KIND: new (no target yet), old (over an old target), in-place (convert
# -n), stdout. Other formats have more, and functions of their own (sweep-qcow2.bash). strace counts
# the calls of each name, so the copy must be one process with one thread (--no-sandbox, -m 1) and
# have the same calls each time. POINTS counts what was tried, FINDINGS has what was wrong.
#
# sweep-commands.bash puts other commands in the place of the copy: reset_target, copy_words and judge
# are what is theirs. Every STEPth occurrence of a call is taken, the first one always.

POINTS=0 FAILED=0
STEP=1 WANT_CODE=0 ALL_GONE='' TRACE=(-f)
SOURCE=(-f raw src.raw)     # of a copy
ALONE=(-m 1 --no-sandbox)   # one process with one thread
declare -a FINDINGS=()

# The calls that concern files. Those of the dynamic linker come before and are left out.
FILE_CALLS=openat,open,pread64,preadv,preadv2,pwrite64,pwritev,pwritev2,read,write,readv,writev
FILE_CALLS+=,fsync,fdatasync,sync_file_range,ftruncate,fallocate,close,rename,renameat,renameat2
FILE_CALLS+=,link,linkat,unlink,unlinkat,fstat,newfstatat,statx,fstatfs,statfs,lseek,fcntl,flock
FILE_CALLS+=,fchmod,fchown,fchownat,fchmodat,ioctl,fadvise64,copy_file_range,getdents64,readlink
FILE_CALLS+=,readlinkat,fgetxattr,fsetxattr,flistxattr,getxattr,listxattr,llistxattr,lgetxattr
FILE_CALLS+=,setxattr,lsetxattr,mincore,dup,dup2,dup3,utimensat

# sweep_sources: small, with each kind of piece: data, a hole, written zeros
sweep_sources() {
  numbered part 1 1
  head -c 192K part >src.raw
  truncate -s 1M src.raw
  head -c 128K /dev/zero >>src.raw
  tail -c 70144 part >>src.raw
  numbered old.raw 1 7
  cp src.raw src.copy
  rm part
  mkdir work
}

# qcow2_source: SOURCE is a qcow2 image from now on that reads as src.raw, compressed or not
qcow2_source() {
  qemu-img convert -f raw -O qcow2 -c src.raw src.qcow2
  head -c 64K src.raw >piece
  qemu-io -f qcow2 -c "write -q -s piece 0 64k" src.qcow2
  cp src.qcow2 src.qcow2.copy
  SOURCE=(-f qcow2 src.qcow2)
}

# step SHORT: every so many points, unless all are wanted
step() {
  STEP=$1
  [[ ${SWEEP-} != long ]] || STEP=1
}

# no_leftovers FILE...: removes them, if there are any: there are thousands of points
no_leftovers() {
  local name
  for name; do
    [[ ! -e $name && ! -L $name ]] || { rm -f "$@" && return; }
  done
}

# reset_target KIND: as it is before the copy
reset_target() {
  no_leftovers work/t.raw work/.t.raw.imgtool-*
  case $1 in
    old) cp old.raw work/t.raw ;;
    in-place) truncate -s "$(stat -c %s src.raw)" work/t.raw ;;
  esac
}

# copy_words KIND: sets WORDS, the command
copy_words() {
  WORDS=("$IMGTOOL" convert "${ALONE[@]}" -O raw "${SOURCE[@]}")
  case $1 in
    in-place) WORDS+=(-n work/t.raw) ;;
    stdout) WORDS+=(-) ;;
    *) WORDS+=(work/t.raw) ;;
  esac
}

# traced STRACE-OPTION... -- COMMAND...: sets code; the calls are in trace.log
traced() {
  local options=()
  while [[ $1 != -- ]]; do options+=("$1") && shift; done
  shift
  code=0
  ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 timeout --foreground -s KILL 20 \
    strace "${TRACE[@]}" -qq -o trace.log "${options[@]}" "$@" >copy.out 2>copy.err </dev/null || code=$?
}

# record KIND: sets CALLS[name], "FIRST LAST": the numbers of the calls after the program was loaded
record() {
  local name first last
  declare -gA CALLS=()
  copy_words "$1"
  reset_target "$1"
  traced -e "trace=$FILE_CALLS" -- "${WORDS[@]}"
  [[ $code == "$WANT_CODE" ]] || { cat copy.err >&2; return 1; }
  while read -r name first last; do
    CALLS[$name]="$first $last"
  done < <(awk -F'(' '
    { sub(/^[0-9]+ +/, ""); n[$1]++; line[NR] = $1; number[NR] = n[$1] }
    /^openat\(.*\.so/ { is_loading = 1 }
    is_loading && $1 == "close" { loaded = NR; is_loading = 0 }
    END {
      for (i = loaded + 1; i <= NR; i++) {
        if (!(line[i] in first)) first[line[i]] = number[i]
        last[line[i]] = number[i]
      }
      for (name in first) print name, first[name], last[name]
    }' trace.log)
}

# slurp FILE: its content in REPLY, without a process more: there are thousands of points
slurp() {
  IFS= read -r -d '' REPLY <"$1" || :
}

# leaks_were_sought: a sanitizer's own calls fail too; without its options it looks for leaks, which
# strace prevents
leaks_were_sought() {
  slurp copy.err
  [[ $REPLY == *LeakSanitizer* ]]
}

finding() {
  FINDINGS+=("$1: exit $code, $2; $(head -n 1 copy.err)")
}

# target_fate KIND: what has become of the target, in words
target_fate() {
  local result=work/t.raw
  [[ $1 != stdout ]] || result=copy.out
  fate "$result" src.copy "$([[ $1 != old ]] || echo old.raw)"
}

# judge KIND POINT CALL: after a fault in CALL
judge() {
  local kind=$1 point=$2 call=$3 fate
  ! leaks_were_sought || return 0
  fate=$(target_fate "$kind")
  if ((code >= 124)) && ! out_of_memory; then
    finding "$point" "a signal or a hang"
  elif ((code == 0)); then
    [[ $fate == "target complete" ]] || finding "$point" "$fate"
  else
    FAILED=$((FAILED + 1))
    case $kind:$fate in
      *:"plausible wreck"*) finding "$point" "$fate" ;;
      new:"no target" | old:"old target intact" | in-place:* | into:* | device:* | stdout:*) ;;
      # It has its name already, and says that this may not last, or came to an end like a kill.
      *:"target complete") out_of_memory || grep -q 'power' copy.err || finding "$point" "$fate" ;;
      *) finding "$point" "$fate" ;;
    esac
    said_why || finding "$point" "$(wc -l <copy.err) lines of messages"
  fi
  [[ $call == unlink* ]] || out_of_memory || ! compgen -G 'work/.*imgtool-*' >/dev/null ||
    finding "$point" "a part file is left"
}

# out_of_memory: GLib had none and aborted, which is like a kill. With no memory at all (ALL_GONE) it
# has none for the message either, and comes to the end of its stack instead.
out_of_memory() {
  case $code in
    133 | 134) slurp copy.err && [[ $ALL_GONE || $REPLY =~ $GLIB_IS_OUT_OF_MEMORY ]] ;;
    139) [[ $ALL_GONE ]] ;;
    *) return 1 ;;
  esac
}
GLIB_IS_OUT_OF_MEMORY='GLib(-ERROR[^'$'\n'']*failed to allocate| [^'$'\n'']*Cannot allocate memory)'

# said_why: one message, with a hint below it perhaps, unless it is the message that could not be
# written
said_why() {
  local line lines=0 messages=0
  slurp copy.err
  while IFS= read -r line; do
    lines=$((lines + 1))
    [[ $line != 'imgtool: '* || $line == *'imgtool: warning: '* ]] || messages=$((messages + 1))
  done <<<"${REPLY%$'\n'}"
  ((messages != 1 || lines > 3)) || return 0
  out_of_memory ||
    grep -qs '^[0-9 ]*write(2, .*INJECTED' trace.log ||
    grep -qsE '^write .*(tool|copy)\.err .* FAULT$' fault.log
}

# sweep KIND CALL-PATTERN FAULT...: each call whose name matches, each time it comes, with each fault
# in strace's words (error=EIO, retval=0)
sweep() {
  local kind=$1 pattern=$2 name n first last fault
  shift 2
  copy_words "$kind"
  for name in "${!CALLS[@]}"; do
    [[ $name =~ ^($pattern)$ ]] || continue
    read -r first last <<<"${CALLS[$name]}"
    for fault; do
      # A fault can lead to more calls than there were: as long as it still meets one, and somewhat
      # beyond what was counted, because another path may be taken.
      for ((n = first; n < first + 400 * STEP; n += STEP)); do
        reset_target "$kind"
        traced -e "trace=$name" ${TRACE[@]:+--seccomp-bpf} -e "inject=$name:$fault:when=$n" -- "${WORDS[@]}"
        slurp trace.log
        [[ $REPLY == *INJECTED* ]] || { ((n > last)) && break || continue; }
        POINTS=$((POINTS + 1))
        judge "$kind" "$kind, $name #$n $fault" "$name"
      done
    done
  done
}

# kill_sweep KIND [CALL-PATTERN]: SIGKILL before each call. Then the next copy must do well.
kill_sweep() {
  local kind=$1 pattern=${2:-.*} name n first last fate
  copy_words "$kind"
  for name in "${!CALLS[@]}"; do
    [[ $name =~ ^($pattern)$ ]] || continue
    read -r first last <<<"${CALLS[$name]}"
    for ((n = first; n <= last; n += STEP)); do
      reset_target "$kind"
      { traced -e "trace=$name" -e "inject=$name:signal=KILL:when=$n" -- "${WORDS[@]}"; } 2>/dev/null
      ((code == 137)) || continue
      POINTS=$((POINTS + 1))
      after_kill "$kind" "$kind, killed before $name #$n"
    done
  done
}

# after_kill KIND POINT: nothing under the final name but what was there, or the whole copy; the
# next copy takes over what was left
after_kill() {
  local fate
  fate=$(target_fate "$1")
  case $1:$fate in
    in-place:*target* | into:*target* | device:*target* | *:"target complete" | new:"no target" | old:"old target intact") ;;
    *) finding "$2" "$fate" ;;
  esac
  # What is complete may be no target for another copy: it has bitmaps.
  [[ $1:$fate != "into:target complete" ]] || return 0
  code=0
  "${WORDS[@]}" >copy.out 2>copy.err </dev/null || code=$?
  [[ $code == 0 && $(target_fate "$1") == "target complete" ]] ||
    finding "$2" "the next copy: exit $code, $(target_fate "$1")"
  ! compgen -G 'work/.*imgtool-*' >/dev/null || finding "$2" "the next copy leaves a part file"
}

# random_kills KIND TIMES: at random moments, from before the first to after the last call
random_kills() {
  local kind=$1 i begin whole at
  copy_words "$kind"
  reset_target "$kind"
  begin=$(now_us)
  "${WORDS[@]}"
  whole=$(($(now_us) - begin + 2000))
  KILLED=0
  for ((i = 0; i < $2; i++)); do
    reset_target "$kind"
    at=$((SRANDOM % whole + 1))
    code=0
    # In the foreground timeout(1) waits for the end of what it has killed.
    timeout --foreground -s KILL "$(printf '%d.%06d' $((at / 1000000)) $((at % 1000000)))" "${WORDS[@]}" \
      >copy.out 2>copy.err </dev/null || code=$?
    POINTS=$((POINTS + 1))
    ((code != 137)) || KILLED=$((KILLED + 1))
    after_kill "$kind" "$kind, killed after $at us"
  done
}

# sweep_verdict LEAST: no findings, at that many points at least, and some of them had an effect
sweep_verdict() {
  echo "# $BATS_TEST_DESCRIPTION: $POINTS points, $FAILED failed as they should" >&3
  ((${#FINDINGS[@]} == 0)) || printf '%s\n' "${#FINDINGS[@]} findings:" "${FINDINGS[@]:0:40}" >&2
  same src.raw src.copy
  [[ ! -e src.qcow2 ]] || same src.qcow2 src.qcow2.copy
  ((${#FINDINGS[@]} == 0 && POINTS >= $1))
}
