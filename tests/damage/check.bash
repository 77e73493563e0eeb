# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# Images for imgtool check, and its answers beside those of qemu-img.

# The members that both have.
SHARED='{"image-end-offset", "compressed-clusters", "total-clusters", corruptions,
  "corruptions-fixed", "check-errors", leaks, "leaks-fixed", "allocated-clusters", "fragmented-clusters"}'

# make_image [OPTIONS...]: disk.qcow2 with 4 MiB, the first of them data, by qemu-img create -o
make_image() {
  rm -f disk.qcow2 data.raw
  qemu-img create -q -f qcow2 "$@" disk.qcow2 4M
  qemu-io -f qcow2 -c "write -q -P 1 0 1M" disk.qcow2
}

# both_check: runs both; sets theirs and ours to the shared members, their_status and our_status
both_check() {
  local text
  their_status=0 our_status=0
  text=$(timeout 60 qemu-img check --output=json -f qcow2 disk.qcow2 2>their.err) || their_status=$?
  theirs=$(jq -cS "$SHARED" <<<"${text:-"{}"}")
  text=$(timeout 60 "$IMGTOOL" check --output=json -f qcow2 disk.qcow2 2>our.err) || our_status=$?
  our_json=${text:-"{}"}
  ours=$(jq -cS "$SHARED" <<<"$our_json")
}

# same_verdict [KIND...]: both find the same, and imgtool something of each kind
same_verdict() {
  local kind
  both_check
  if [[ $theirs != "$ours" || $their_status != "$our_status" ]]; then
    printf 'qemu-img: %s %s\n' "$their_status" "$theirs" "imgtool: " "$our_status $ours"
    head -n 20 their.err
    head -n 20 our.err
    return 1
  fi
  for kind; do
    jq -e --arg kind "$kind" '.["finding-counts"][$kind] > 0' <<<"$our_json" >/dev/null || {
      printf 'no finding %s in %s\n' "$kind" "$our_json"
      return 1
    }
  done
}

# first_block FILE: where the first refcount block is
first_block() {
  get "$1" "$(field "$1" reftable_offset)" 8
}

# refcount_at FILE CLUSTER: where that refcount is, of 16 bits, in the first block
refcount_at() {
  echo $(($(first_block "$1") + $2 * 2))
}

# data_cluster FILE INDEX: the number of the cluster that an entry of the first L2 table points to
data_cluster() {
  echo $((($(get "$1" "$(l2_at "$1" "$2")" 8) & 0xfffffffffffe00) / 65536))
}

# flip FILE OFFSET BITS: change the bits of that word of 8 bytes
flip() {
  put "$1" "$2" 8 $(($(get "$1" "$2" 8) ^ $3))
}

# bitmap_directory FILE: where it is, as the extension of the header says
bitmap_directory() {
  local hex
  hex=$(head -c 4096 "$1" | od -An -v -tx1 | tr -d ' \n' | grep -o '2385287500000018.\{48\}')
  echo $((16#${hex: -16}))
}

# both_repair [leaks]: repairs a copy of disk.qcow2 with each; theirs.qcow2 and ours.qcow2, and the
# exit status in their_status and our_status
both_repair() {
  local what=${1:-all}
  cp disk.qcow2 theirs.qcow2
  cp disk.qcow2 ours.qcow2
  their_status=0 our_status=0
  timeout 60 qemu-img check -r "$what" -f qcow2 theirs.qcow2 >their.out 2>their.err || their_status=$?
  timeout 60 "$IMGTOOL" check -r "$what" -f qcow2 ours.qcow2 >our.out 2>our.err || our_status=$?
}

# same_content: what the guest sees, and each snapshot, is the same after both repairs
same_content() {
  qemu-img compare -q -f qcow2 -F qcow2 theirs.qcow2 ours.qcow2
}

# repaired [leaks]: both say that all is well after it, each of both images
repaired() {
  both_repair "$@"
  [[ $our_status == 0 ]] || {
    echo "status $our_status, that of qemu-img $their_status"
    head -n 20 our.err our.out
    return 1
  }
  qemu-img check -q -f qcow2 ours.qcow2
  imgtool check -q -f qcow2 ours.qcow2
  # What qemu-img leaves is accepted as it accepts it itself.
  if qemu-img check -q -f qcow2 theirs.qcow2 2>/dev/null; then
    imgtool check -q -f qcow2 theirs.qcow2
  fi
  same_content
}
