# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# What sweep.bash needs to know of commands that copy nothing: those that read, lock, and repair.
#
# Each KIND has its words below, the exit status it has undisturbed (WANT_CODE), and its output then
# (want.out). A command that succeeds has said just that; one that does not has one message, and
# leaves no lock. Nothing that is only read may change. A repair may leave any state that repair.bash
# calls no worse.

declare -gA LOOKED=() # checksums of images that were found no worse

# command_sources: what there is to be read
command_sources() {
  sweep_sources
  qcow2_source
  cp src.qcow2 disk.qcow2
  qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 middle.qcow2
  qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2
  cp disk.qcow2 corrupt.qcow2
  put corrupt.qcow2 "$(refcount_at corrupt.qcow2 "$(data_cluster corrupt.qcow2 0)")" 2 0
  # The locks on disk.qcow2 while the command of a guard runs. One look at /proc/locks may miss some,
  # if others come and go meanwhile.
  printf '%s\n' '#!/bin/sh' 'for look in 1 2 3 4; do' \
    "sed -n 's/^[0-9]*: \\(.*:$(stat -c %i disk.qcow2) .*\\)/\\1/p' /proc/locks" 'done | sort -u' |
    tee show-locks >/dev/null
  chmod +x show-locks
  sync ./*.qcow2 # or their size on the disk changes while it is told
  sha256sum ./*.qcow2 >sources.sums
  INODE=$(stat -c %i disk.qcow2)
}

# repair_sources KIND: disk.qcow2 is damaged like that, its right repair is want.qcow2
repair_sources() {
  sweep_sources # for sweep_verdict
  damaged "$1"
  note_content
  imgtool check -q -r all --undo-file=want.undo disk.qcow2
  cp -p disk.qcow2 want.qcow2
  cp before.qcow2 disk.qcow2
  INODE=$(stat -c %i disk.qcow2)
}

copy_words() {
  local alone=()
  ((${#ALONE[@]} == 0)) || alone=(--no-sandbox)
  case $1 in
    info-raw) WORDS=(info "${alone[@]}" -f raw src.raw) ;;
    info-qcow2) WORDS=(info "${alone[@]}" disk.qcow2) ;;
    info-chain) WORDS=(info "${alone[@]}" --output=json --backing-chain top.qcow2) ;;
    check) WORDS=(check "${alone[@]}" --output=json disk.qcow2) ;;
    check-data) WORDS=(check "${alone[@]}" --data disk.qcow2) ;;
    check-corrupt) WORDS=(check "${alone[@]}" corrupt.qcow2) ;;
    lock-status) WORDS=(lock-status --locks-only disk.qcow2) ;;
    lock-status-held) WORDS=(lock-status -q disk.qcow2) ;;
    lock) WORDS=(lock disk.qcow2 -- ./show-locks) ;;
    repair) WORDS=(check "${alone[@]}" -q -r all disk.qcow2) ;;
    repair-undo) WORDS=(check "${alone[@]}" -q -r all --undo-file=undo disk.qcow2) ;;
    undo) WORDS=(check "${alone[@]}" -q --undo undo disk.qcow2) ;;
  esac
  WORDS=("$IMGTOOL" "${WORDS[@]}")
  case $1 in
    check-corrupt) WANT_CODE=2 ;;
    lock-status-held) WANT_CODE=1 ;;
    *) WANT_CODE=0 ;;
  esac
  # Of a guard, not of the command that it runs.
  [[ $1 == lock ]] && TRACE=() || TRACE=(-f)
}

reset_target() {
  case $1 in
    repair*) no_leftovers undo && cp before.qcow2 disk.qcow2 ;;
    undo) cp want.undo undo && cp -p want.qcow2 disk.qcow2 ;;
  esac
}

# undisturbed KIND: sets what is right
undisturbed() {
  copy_words "$1"
  reset_target "$1"
  code=0
  timeout --foreground 60 "${WORDS[@]}" >want.out 2>want.err </dev/null || code=$?
  [[ $code == "$WANT_CODE" ]] || { cat want.err >&2; return 1; }
}

# What matters most for a command: "make check" has time for no more.
MOST='p?read.*|p?write.*|openat|fsync|fcntl|ftruncate'

# each_fails KIND: each call of it, with the errors that it can have
each_fails() {
  undisturbed "$1"
  record "$1"
  # The kernel closes whatever it answers. With strace it does not, and a guard that reads from its own
  # pipe then waits for ever.
  [[ $1 != lock ]] || unset 'CALLS[close]'
  if [[ ${SWEEP-} == long ]]; then
    sweep "$1" '.*' error=EIO error=EINTR error=EAGAIN
    sweep "$1" "$MOST" error=ENOSPC error=EACCES error=ENOMEM
    sweep "$1" 'p?read.*|p?write.*' retval=0
  else
    sweep "$1" "$MOST" error=EIO
    sweep "$1" 'pread.*|pwrite.*' retval=0
  fi
}

# is_unlocked: nobody has a lock on disk.qcow2, which is always the same file
is_unlocked() {
  slurp /proc/locks
  [[ $REPLY != *":$INODE "* ]]
}

# judge KIND POINT CALL: after a fault in CALL
judge() {
  ! leaks_were_sought || return 0
  if ((code >= 128)) && ! out_of_memory; then # a guard has 125 to 127 of its own
    finding "$2" "a signal or a hang"
  elif ((code != WANT_CODE)); then
    FAILED=$((FAILED + 1))
    said_why || says_unreadable "$1" || says_unknown "$1" || finding "$2" "$(wc -l <copy.err) lines of messages"
  fi
  ((code != 0 || WANT_CODE == 0)) || finding "$2" "all is well"
  [[ $1 == lock-status-held ]] || is_unlocked || finding "$2" "a lock is left"
  case $1 in
    repair | repair-undo) judge_repair "$@" ;;
    undo) judge_undo "$@" ;;
    lock) judge_lock "$@" ;;
    lock-status-held) ;;
    lock-status) ((code != 0)) || same_answer || says_less || finding "$2" "another answer" ;;
    *) ((code != WANT_CODE)) || same_answer || finding "$2" "another answer" ;;
  esac
}

# same_answer: as undisturbed, or it says what is not known
same_answer() {
  cmp -s copy.out want.out ||
    cmp -s <(grep -v '^in use: unknown: ' copy.out) <(grep -v '^in use: ' want.out)
}

# says_unreadable KIND: to check --data, data that cannot be read is what it looks for
says_unreadable() {
  [[ $1 == check-data && $code == 2 && $(wc -l <copy.err) == 1 ]] && grep -q '^ERROR: cannot read' copy.err
}

# says_unknown KIND: nobody could be asked, which is an answer
says_unknown() {
  slurp copy.out
  [[ $1 == lock-status && $code == 2 && $REPLY == "disk.qcow2: unknown: "* ]]
}

# says_less: that it is free is right, and what it could not find out is said. strace keeps leases from
# being given back; then there is one.
says_less() {
  local first rest
  { read -r first && rest=$(grep -vE '^(note: .*|lease: imgtool \(pid .*|)$'); } <copy.out
  [[ $first == "disk.qcow2: free: nobody holds a lock on it "* && ! $rest ]]
}

# judge_lock: the command ran with the locks, or not at all
judge_lock() {
  cmp -s copy.out want.out || [[ $code != 0 && ! -s copy.out ]] || finding "$2" "the command ran without its locks"
}

# judge_repair: what was repaired is right; what was not is no worse, and can be put back
judge_repair() {
  if ((code == 0)); then
    cmp -s disk.qcow2 want.qcow2 || finding "$2" "another repair"
    return
  fi
  if [[ $1 == repair-undo && -e undo ]] && ! cmp -s disk.qcow2 before.qcow2; then
    cp -p disk.qcow2 now.qcow2
    { imgtool check -q --undo undo disk.qcow2 && cmp disk.qcow2 before.qcow2; } >undo.out 2>&1 ||
      finding "$2" "cannot be put back: $(tr '\n' ' ' <undo.out)"
    cp now.qcow2 disk.qcow2
  fi
  is_no_worse || finding "$2" "the image is worse"
}

# judge_undo: what was put back is what was there before; otherwise the next try does it
judge_undo() {
  ((code == 0)) || imgtool check -q --undo undo disk.qcow2 >undo.out 2>&1 || :
  cmp -s disk.qcow2 before.qcow2 || finding "$2" "not put back"
}

is_no_worse() {
  local sum
  sum=$(sha256sum <disk.qcow2)
  [[ ! ${LOOKED[$sum]-} ]] || return 0
  no_worse before.qcow2 >worse.out 2>&1 || { cat worse.out >&2; return 1; }
  LOOKED[$sum]=1
}

# after_kill KIND POINT: like a failure, without a word
after_kill() {
  [[ $1 == lock-status-held ]] || is_unlocked || finding "$2" "a lock is left"
  case $1 in
    repair*) judge_repair "$@" ;;
    undo) judge_undo "$@" ;;
  esac
}

# sources_unchanged: of what was only read
sources_unchanged() {
  sha256sum --quiet -c sources.sums
}
