# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What can be said of a file system with two mounts, a and b, as one row of a table. For scripts
# that have loaded lib-lab and hosts.

battery_head() {
  printf '| %s ' 'file system' on off auto posix 'a VM' close exit 'kill -9' 'status here' \
    'status there'
  echo '|'
  printf '|%s' --- --- --- --- --- --- --- --- --- --- ---
  echo '|'
}

# in_or_out COMMAND...: an imgtool, a qemu-img, a VM
in_or_out() {
  if "$@" >/dev/null 2>&1; then echo IN; else echo out; fi
}

lets_in_in_some_mode() {
  lets_in "$1" --write --locking=on || lets_in "$1" --write --locking=auto ||
    lets_in "$1" --write --locking=posix
}

# what_remains: how long until each mount lets a writer in
what_remains() {
  local begin tenths mount
  begin=$(now_us)
  for mount in b a; do
    timeout 20 "$IMGTOOL" lock -q --write --locking=posix --wait=3 $mount/disk.raw -- true 2>/dev/null && continue
    if [[ $mount == b ]]; then echo "stays"; else echo "stays on its mount"; fi
    return
  done
  tenths=$((($(now_us) - begin) / 100000))
  if ((tenths < 10)); then echo nothing; else echo "for $((tenths / 10)) s"; fi
}

# new_disk: an image that was never locked, behind a name that no client has seen; the working
# directory then shows it as a/disk.raw and b/disk.raw
new_disk() {
  local name mount
  disks=$((${disks:-0} + 1))
  name=disk-$disks.raw
  cd "$DIR" || return
  # not every server makes files
  make_raw "a/$name" 2>/dev/null || make_raw "back/$name"
  wait_for 10 test -e "b/$name"
  for mount in a b; do
    mkdir -p "view-$disks/$mount"
    ln -s "$DIR/$mount/$name" "view-$disks/$mount/disk.raw"
  done
  cd "view-$disks" || return
}

status_words() {
  "$IMGTOOL" lock-status --output=json "$1/disk.raw" 2>/dev/null | jq -r --argjson pid "$2" '.images[0] |
    if .status != "in-use" then .status
    elif any(.holders[].processes[]; .pid == $pid) then "holder named"
    else "in use, holder unidentified" end'
}

# battery: the row, without its first cell
battery() {
  local mode other here there
  local -A remains=() kinds=([on]=--ofd [posix]=--posix)
  for mode in on off auto posix; do
    new_disk
    anew guard holder a/disk.raw --write --locking=$mode
    other=$mode
    [[ $mode != off ]] || other=auto
    printf '| imgtool %s, qemu-img %s, VM %s ' \
      "$(in_or_out lets_in b --write --locking=$other)" "$(in_or_out lets_in_qemu_img b)" \
      "$(in_or_out lets_in_vm b)"
    stop holder
  done
  new_disk
  hold_vm holder a
  printf '| imgtool %s, qemu-img %s ' "$(in_or_out lets_in_in_some_mode b)" \
    "$(in_or_out lets_in_qemu_img b)"
  stop holder
  for mode in on posix; do
    new_disk
    # ends, and does not unlock before
    sleep 0.2 | "$TOOLS/locker" --read-write "${kinds[$mode]}" a/disk.raw 100 2 201 1 >/dev/null
    remains[close-$mode]=$(what_remains)
    new_disk
    "$IMGTOOL" lock -q --write --locking=$mode a/disk.raw -- true
    remains[exit-$mode]=$(what_remains)
    new_disk
    anew guard holder a/disk.raw --write --locking=$mode
    kill_hard holder 2>/dev/null
    remains[kill-$mode]=$(what_remains)
  done
  for mode in close exit kill; do
    if [[ ${remains[$mode-on]} == "${remains[$mode-posix]}" ]]; then
      printf '| %s ' "${remains[$mode-on]}"
    else
      printf '| OFD: %s; POSIX: %s ' "${remains[$mode-on]}" "${remains[$mode-posix]}"
    fi
  done
  new_disk
  anew guard holder a/disk.raw --write
  there=$(status_words b "${PID[holder]}")
  here=$(status_words a "${PID[holder]}")
  printf '| %s | %s |\n' "$here" "$there"
  stop holder
}
