#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# A copy that is much larger than the memory it may use.

load ../cli/lib
load lib-safety

# large_source: 4 GiB, of which DATA MiB (256) are data, in pieces
large_source() {
  local i data=${LIMITS_DATA:-256}
  truncate -s 4G src.raw
  numbered piece 16 1
  for ((i = 0; i < data / 16; i++)); do
    dd if=piece of=src.raw bs=1M seek=$((i * (4096 / (data / 16)))) conv=notrunc status=none
  done
  rm piece
}

# same_data: like cmp, but where both have holes there is nothing to compare
same_data() {
  qemu-img compare -q -f raw -F raw src.raw t.raw
}

# make_cgroup BYTES: sets CGROUP to a folder whose processes have that much memory, with page cache
make_cgroup() {
  local root
  require root
  for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    CGROUP=$root/imgtool-test.$$.$BATS_TEST_NUMBER
    mkdir "$CGROUP" 2>/dev/null || continue
    later rmdir "$CGROUP"
    echo "$1" >"$CGROUP/memory.limit_in_bytes" 2>/dev/null && return
    echo "$1" >"$CGROUP/memory.max" 2>/dev/null && return
  done
  skip "needs: a memory cgroup"
}

# limited COMMAND...: in that cgroup
limited() {
  sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$CGROUP" "$@"
}

@test "limits: 4 GiB in a memory cgroup of 64 MiB" {
  require qemu-img
  large_source
  make_cgroup 64M
  for workers in 1 32; do
    rm -f t.raw
    limited "$IMGTOOL" convert -m $workers -f raw -O raw src.raw t.raw
    same_data
  done
  refute grep -q 'oom_kill [1-9]' "$CGROUP/memory.oom_control"
}

@test "limits: 32 workers in 256 MiB of address space" {
  require qemu-img
  large_source
  limit=268435456
  ! is_sanitized || limit=unlimited # ASan reserves terabytes of it
  prlimit --as=$limit "$IMGTOOL" convert -m 32 -f raw -O raw src.raw t.raw
  same_data
}

@test "limits: where no thread can be made, one does it all" {
  require root qemu-img
  make_sources
  imgtool_for_nobody
  chmod 777 .
  # The only process there may be of this user is the program itself; to look for leaks takes another.
  export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
  setpriv --reuid=65533 --regid=65533 --clear-groups -- prlimit --nproc=1 \
    bin/imgtool convert -m 32 -f raw -O raw src.raw t.raw
  same src.raw t.raw
}

@test "limits: resident memory with as many workers as there may be" {
  require qemu-img
  [[ -x /usr/bin/time ]] || skip "needs: time"
  large_source
  run -0 /usr/bin/time -f "peak %M" "$IMGTOOL" convert -m 32 -f raw -O raw src.raw t.raw
  peak=${output##*peak }
  echo "peak $peak KiB"
  ! is_sanitized || peak=0 # ASan needs more
  same_data
  ((peak <= 65536))
}
