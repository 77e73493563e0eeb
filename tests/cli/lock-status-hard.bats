# SPDX-License-Identifier: LGPL-2.1-or-later
# lock-status where it is hard to be right: what is hidden, what is many, what is elsewhere.
# shellcheck disable=SC2030,SC2031

load lib

# hold_lease NAME OPEN-MODE KIND: on disk.raw, never given up (1024 is F_SETLEASE)
hold_lease() {
  require perl
  start "$1" perl -MFcntl -e '$| = 1; $SIG{IO} = "IGNORE";
    open my $file, $ARGV[0], "disk.raw" or die; fcntl $file, 1024, eval $ARGV[1] or die "$!";
    print "ready\n"; <STDIN>' "$2" "$3"
  says "$1" '^ready'
}

@test "who holds a lock and can write through another descriptor is a writer without a lock" {
  make_raw disk.raw
  hold_locks reader --read-only --and-writer disk.raw 100 1 201 1
  json_status 1 disk.raw
  expect 'any(of("reader")[]; .kind == "lock" and .mode == "read-only")' \
    'any(of("reader")[]; .kind == "opener" and .mode == "read-write")'
  expect_uses reader unsafe=convert-from,vm-read-only blocked=convert-to,vm
  stop reader
  hold_locks flocked --flock --read-only --and-writer disk.raw
  run -1 imgtool lock-status --for=write disk.raw
  run -1 imgtool lock-status --strict --for=vm disk.raw
}

@test "a process whose first thread has ended still holds what it held" {
  make_raw disk.raw
  hold_locks holder --leave-main disk.raw 100 2
  wait_for 5 grep -q '^State:.*Z' "/proc/${PID[holder]}/status"
  json_status 1 disk.raw
  expect_holder holder '{kind: "lock", lock: "OFD", identified: true}'
}

@test "such a process without a lock is found too" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw
  hold_locks writer --none --read-write --leave-main "$LOOP"
  wait_for 5 grep -q '^State:.*Z' "/proc/${PID[writer]}/status"
  json_status 1 "$LOOP"
  expect_holder writer '{kind: "opener", mode: "read-write"}'
}

@test "root without the right to look into processes does not claim to have seen all" {
  require root
  make_raw disk.raw
  chmod 666 disk.raw
  hold_open writer read-write disk.raw
  setpriv --bounding-set=-sys_ptrace -- true || skip "needs: setpriv --bounding-set"
  run -1 --separate-stderr setpriv --bounding-set=-sys_ptrace -- "$IMGTOOL" lock-status \
    --output=json disk.raw
  expect 'image.openers_complete == false or (image.uninspected_processes == 0 and of("writer") != [])'
}

@test "hidepid: what is hidden is not taken for absent" {
  require root mount-namespace
  make_raw disk.raw
  imgtool_for_nobody
  run -0 --separate-stderr unshare --mount sh -c '
    mount -t proc -o hidepid=2 proc /proc || exit 99
    exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$1" lock-status --output=json "$2"' \
    sh bin/imgtool disk.raw
  expect 'image.openers_complete == false' 'any(image.notes[]; test("hidden by /proc"))'
}

@test "overlayfs: nobody claims to have seen the users below" {
  require root overlay
  mkdir lower upper work merged
  mount -t overlay -o "lowerdir=$DIR/lower,upperdir=$DIR/upper,workdir=$DIR/work" none merged
  later umount --lazy "$DIR/merged"
  make_raw merged/disk.raw
  hold_open below read-write upper/disk.raw
  json_status 0 merged/disk.raw
  expect 'image.openers_complete == false' 'any(image.notes[]; test("another overlay"))'
  run -2 imgtool lock-status --strict merged/disk.raw
}

@test "a block device in use by the kernel: swap, or mounted where nobody sees it" {
  require root loop mkfs.ext4
  make_raw swap.raw 16M
  chmod 600 swap.raw
  make_loop swap.raw
  mkswap "$LOOP" >/dev/null
  json_status 0 "$LOOP"
  if swapon "$LOOP" 2>/dev/null; then
    later swapoff "$LOOP"
    json_status 1 "$LOOP"
    expect 'any(holders[]; .kind == "device")' 'verdict("write") == "unsafe"'
  fi
  require mount-namespace
  make_raw fs.raw 16M
  mkfs.ext4 -q -F fs.raw
  mkdir mnt
  make_loop fs.raw
  start elsewhere unshare --mount sh -c 'mount "$1" "$2" && echo ready && exec cat' sh "$LOOP" "$DIR/mnt"
  says elsewhere '^ready'
  refute grep -q " $DIR/mnt " /proc/self/mounts
  run -1 imgtool lock-status "$LOOP"
  run -1 imgtool lock-status --for=write "$LOOP"
}

@test "a mount that only claims to be of the device is no user" {
  require root loop
  make_raw disk.raw
  make_loop disk.raw
  mkdir mnt
  mount -t tmpfs "$LOOP" mnt
  later umount --lazy "$DIR/mnt"
  run -0 imgtool lock-status "$LOOP"
}

@test "thousands of locks do not keep it busy, and still block what they block" {
  make_raw disk.raw
  ranges=()
  for ((i = 1000; i < 9000; i += 2)); do ranges+=("$i" 1); done
  hold_locks many --read-only disk.raw "${ranges[@]}" 201 1
  begin=$(now_us)
  json_status 1 disk.raw
  (($(now_us) - begin < 10000000))
  expect 'verdict("vm") == "blocked"' 'verdict("convert-from") == "possible"'
}

@test "a write lease in the way: in use, not an error" {
  make_raw disk.raw
  hold_lease leased '+<' F_WRLCK
  json_status 1 disk.raw
  expect 'any(holders[]; .kind == "opener" and .mode == "read-write")'
}

@test "a read lease does not hide who has it" {
  make_raw disk.raw
  hold_lease leased '<' F_RDLCK
  json_status 0 disk.raw
  expect_holder leased '{kind: "opener", mode: "read-only"}'
  expect 'image.leases | length == 1 and .[0].type == "read" and .[0].process.pid == $pids.leased'
  run -0 imgtool lock-status disk.raw
  [[ $output == *"lease: perl (pid ${PID[leased]}), for reading"* ]]
}

@test "who waits for a lock is told, and does not count as a holder" {
  make_raw disk.raw
  hold_locks holder --flock disk.raw
  start waiter flock disk.raw true
  wait_for 5 grep -q -- "-> FLOCK .* ${PID[waiter]} " /proc/locks
  json_status 1 disk.raw
  expect 'image.waiting | length == 1' \
    'image.waiting[0] | .lock == "flock" and .process.pid == $pids.waiter and .type == "write"' \
    'any(of("waiter")[]; .kind == "lock") | not'
  run -1 imgtool lock-status disk.raw
  [[ $output == *"waiting: flock (pid ${PID[waiter]}), for a lock by flock(), exclusive"* ]]
}

@test "escape sequences in a file system's type do not reach the terminal" {
  require root fuse
  mkdir real mnt
  make_raw real/disk.raw
  bindfs -o "subtype=x"$'\e'"[31mEVIL" real mnt || skip "needs: a bindfs that takes such a type"
  later umount --lazy "$DIR/mnt"
  run imgtool lock-status mnt/disk.raw
  [[ $output == *EVIL* ]]
  [[ $output != *$'\e'* ]]
}

@test "those who wait do not wake each other all the time" {
  make_raw disk.raw
  hold_locks holder disk.raw 201 1
  for i in 1 2 3 4 5 6; do
    start "waiter$i" "$IMGTOOL" lock-status -q --locks-only --wait=60 disk.raw
  done
  # Starting takes time of its own, so the first look may be too early.
  ticks=0
  for try in 1 2 3 4 5; do
    before=$ticks
    sleep 1.5
    ticks_of_waiters
    # a hundredth of a second each is a lot already
    ((ticks - before >= 60)) || break
  done
  ((ticks - before < 60))
}

# ticks_of_waiters: sets ticks, the hundredths of a second that they have used
ticks_of_waiters() {
  local i
  local -a stat
  ticks=0
  for i in 1 2 3 4 5 6; do
    read -r -a stat <"/proc/${PID[waiter$i]}/stat"
    ticks=$((ticks + stat[13] + stat[14]))
  done
}
