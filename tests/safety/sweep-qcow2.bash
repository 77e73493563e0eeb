# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# What sweep.bash needs to know of copies to qcow2: how they are asked for (HOW), and what is right.
#
# Images are the same from run to run, so a right one is made and checked once (work.want, and
# data.want of the data file). What differs from it is looked at by qemu-img: what that opens as an
# image is whole, or a wreck that somebody could take for one. KINDs are new, old, in-place and
# device, which has an old image on it.

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

reset_target() {
  rm -f work/.t.*.imgtool-* work/t.data
  case $1 in
    old) cp old.qcow2 work/t.raw ;;
    in-place)
      cp old.qcow2 work/t.raw
      [[ ! $DATA ]] || cp old.raw "$DATA" # which must not be taken for the new image's
      ;;
    device) dd if=old.qcow2 of="$TARGET" bs=1M status=none ;;
    *) rm -f work/t.raw ;;
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
  local size
  [[ -e $TARGET ]] || { echo "no target" && return; }
  size=$(stat -c %s work.want)
  if cmp -s ${LOOP:+-n "$size"} work.want "$TARGET" && { [[ ! $DATA ]] || cmp -s "$DATA" data.want; }; then
    echo "target complete"
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
