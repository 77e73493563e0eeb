# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# What sweep.bash needs to know of copies to qcow2: how they are asked for (HOW), and what is right.
#
# Images are the same from run to run, so a right one is made and checked once (work.want, and
# data.want of the data file). What differs from it is looked at by qemu-img: what that opens as an
# image is whole, or a wreck that somebody could take for one. KINDs are new, old, in-place, device,
# which has an old image on it, and into: an image that stays, and has the old content or the new,
# since a snapshot has all its clusters, so that none is overwritten where it is.

# qcow2_sources [convert's option]...: also sets HOW
qcow2_sources() {
  [[ -e src.raw ]] || sweep_sources
  HOW=(convert "${ALONE[@]}" -O qcow2 "$@" "${SOURCE[@]}")
  "$IMGTOOL" convert -f raw -O qcow2 old.raw old.qcow2
  right_image
}

# right_image: what HOW must make
right_image() {
  TARGET=work/t.raw DATA='' IN_PLACE=
  copy_words new
  "${WORDS[@]}"
  [[ "${HOW[*]}" != *data_file=* ]] || { DATA=work/t.data && cp "$DATA" data.want; }
  qemu-img check -q -f qcow2 work/t.raw
  [[ ${HOW[0]} == create ]] || qemu-img compare -q -f qcow2 -F raw work/t.raw src.raw
  mv work/t.raw work.want
  WANT_SIZE=$(stat -c %s work.want)
}

# sweep_device: TARGET is a block device from now on, in memory where that is possible: it is flushed
# often
sweep_device() {
  local backing
  backing=$(mktemp -p /dev/shm imgtool-test.XXXXXX 2>/dev/null || mktemp -p .)
  later rm -f "$backing"
  truncate -s 4M "$backing"
  make_loop "$backing"
  TARGET=$LOOP
}

# qcow2_into [convert's option]...: copies into an image that is there, with a snapshot, which must stay
qcow2_into() {
  HOW=(convert "${ALONE[@]}" -n -O qcow2 "$@" "${SOURCE[@]}")
  numbered into.raw 1 9
  truncate -s "$(stat -c %s src.raw)" into.raw
  qemu-img convert -f raw -O qcow2 into.raw into.qcow2
  qemu-img snapshot -c kept into.qcow2
  TARGET=work/t.raw DATA='' IN_PLACE=
  copy_words into
  reset_target into
  "${WORDS[@]}"
  qemu-img check -q -f qcow2 work/t.raw
  qemu-img compare -q -f qcow2 -F raw work/t.raw src.raw
  mv work/t.raw work.want
  bitmaps_of work.want >bitmaps.want
  [[ "${HOW[*]}" != *--bitmaps* ]] || grep -q '"b0"' bitmaps.want
}

# bitmaps_of IMAGE: those that QEMU finds in it, "null" for none
bitmaps_of() {
  qemu-img info -f qcow2 --output=json "$1" | jq -c '."format-specific".data.bitmaps'
}

# fate_into: like target_fate. What was not used any more may have been left allocated.
fate_into() {
  local bitmaps code=0
  qemu-img check -q -f qcow2 "$TARGET" >/dev/null 2>&1 || code=$?
  bitmaps=$(bitmaps_of "$TARGET")
  if [[ $code != 0 && $code != 3 ]] ||
    ! qemu-img convert -q -f qcow2 -O raw -l kept "$TARGET" kept.raw || ! cmp -s kept.raw into.raw; then
    echo "plausible wreck"
  elif qemu-img compare -q -f qcow2 -F raw "$TARGET" into.raw && [[ $bitmaps == null ]]; then
    echo "old target intact"
  elif ! qemu-img compare -q -f qcow2 -F raw "$TARGET" src.copy; then
    echo "plausible wreck"
  elif [[ $bitmaps == "$(<bitmaps.want)" ]]; then
    echo "target complete"
  elif [[ $bitmaps == null ]]; then
    echo "target has no bitmaps"
  else
    echo "plausible wreck"
  fi
}

reset_target() {
  no_leftovers work/.t.*.imgtool-* work/t.data
  case $1 in
    into) cp into.qcow2 work/t.raw ;;
    old) cp old.qcow2 work/t.raw ;;
    in-place)
      cp old.qcow2 work/t.raw
      [[ ! $DATA ]] || cp old.raw "$DATA" # which must not be taken for the new image's
      ;;
    device) dd if=old.qcow2 of="$TARGET" bs=1M status=none ;;
    *) no_leftovers work/t.raw ;;
  esac
}

copy_words() {
  WORDS=("$IMGTOOL" "${HOW[@]}")
  [[ $1 != in-place ]] || WORDS+=(--in-place)
  WORDS+=("$TARGET" "${SIZE[@]}")
}

# is_whole FILE
is_whole() {
  qemu-img check -q -f qcow2 "$1" >/dev/null 2>&1 &&
    qemu-img compare -q -f qcow2 -F raw "$1" "$([[ ${HOW[0]} == create ]] && echo zero.raw || echo src.copy)"
}

# target_fate KIND: in the words of fate(), and "plausible wreck" for what opens and is wrong
target_fate() {
  [[ -e $TARGET ]] || { echo "no target" && return; }
  if cmp -s ${LOOP:+-n "$WANT_SIZE"} work.want "$TARGET" && { [[ ! $DATA ]] || cmp -s "$DATA" data.want; }; then
    echo "target complete"
  elif [[ $1 == into ]]; then
    fate_into
  elif cmp -s ${LOOP:+-n "$(stat -c %s old.qcow2)"} old.qcow2 "$TARGET"; then
    echo "old target intact"
  elif ! qemu-img info -f qcow2 "$TARGET" >/dev/null 2>&1; then
    echo "target wrong, no image"
  elif is_whole "$TARGET"; then
    echo "target complete"
  else
    echo "plausible wreck"
  fi
}
