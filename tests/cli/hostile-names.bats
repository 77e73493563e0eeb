# SPDX-License-Identifier: LGPL-2.1-or-later
# Every command meets names that were made to harm: of files, in images, of other processes. What it
# prints for people is printable UTF-8, and its JSON is JSON.
# shellcheck disable=SC2030,SC2031

load lib
load ../damage/qcow2

# Colours, a bell, a new line, DEL, C1, right-to-left, a line separator, characters without width,
# what UTF-8 does not allow, and quotes. EVIL shows that it was printed at all.
EVIL=$'EVIL\e[31m\a\r\nx free\b\t\x7f\xc2\x9b1m\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xe2\x80\x8b\xef\xbb\xbf'
EVIL+=$'\xff\xc3\xed\xa0\x80\xf4\x90\x80\x80\\"\'$(x)'

# is_for_people FILE: valid UTF-8, without what acts on a terminal or hides
is_for_people() {
  perl -e 'use Encode; local $/; open my $file, "<:raw", $ARGV[0] or die; my $bytes = <$file>;
    my $text = eval { decode ("UTF-8", $bytes // "", Encode::FB_CROAK) } // die "not UTF-8\n";
    die sprintf "U+%04X is in it\n", ord $1 if $text =~ /([^\P{C}\n]|\p{Zl}|\p{Zp})/' "$1" && return 0
  cat -v "$1" >&2
  return 1
}

# says_cleanly good|bad [imgtool's arguments]: it works, or fails as it should; what it prints has EVIL
# in it, and nothing that harms
says_cleanly() {
  run_to_files "$@"
  is_for_people said
  is_for_people complained
  grep -qa EVIL said complained
}

run_to_files() {
  local status=0
  imgtool "${@:2}" >said 2>complained || status=$?
  if [[ $1 == good ]]; then ((status == 0)); else ((status >= 1 && status <= 3)); fi && return 0
  printf 'exit status %d\n' "$status" >&2
  cat -v said complained >&2
  return 1
}

# is_json good|bad [imgtool's arguments]: one value, with EVIL in it; messages are for people
is_json() {
  run_to_files "$@"
  is_for_people complained
  perl -e 'use Encode; local $/; open my $file, "<:raw", "said" or die;
    my $text = decode ("UTF-8", <$file>, Encode::FB_CROAK); die "control characters" if $text =~ /[\x00-\x09\x0b-\x1f]/'
  jq -e --slurp 'length == 1 and (tostring | contains ("EVIL"))' said >/dev/null
}

# evil_image: $EVIL.qcow2, in which everything that has a name has this one
evil_image() {
  qemu-img create -q -f qcow2 "$@" "$EVIL.qcow2" 1M
  qemu-img snapshot -c "$EVIL" "$EVIL.qcow2"
  qemu-img bitmap --add "$EVIL.qcow2" "$EVIL"
}

@test "the check of this file's own checks" {
  for bad in $'\e[0m' $'\xff' $'\xc2\x9b' $'\xe2\x80\xae' $'\xe2\x80\xa8' $'\xef\xbb\xbf' $'\r' $'\t'; do
    printf 'a%sb\n' "$bad" >bad
    run -1 is_for_people bad
  done
  printf 'дѝск "x" \\x1b 日本\n\n' >good
  is_for_people good
}

@test "info" {
  require jq perl
  qemu-img create -q -f raw "$EVIL.base" 1M
  evil_image -b "$EVIL.base" -F raw
  says_cleanly good info "$EVIL.qcow2"
  is_json good info --output=json "$EVIL.qcow2"
  for option in --backing-chain --untrusted; do
    says_cleanly bad info "$option" "$EVIL.qcow2"
  done
  is_json bad info --output=json --untrusted "$EVIL.qcow2"
  says_cleanly bad info "missing $EVIL"
  says_cleanly bad info -f "$EVIL" "$EVIL.qcow2"
  says_cleanly bad info --image-opts "driver=qcow2,$EVIL=on"
}

@test "info: features that nobody knows, a data file, a format of the backing file" {
  require jq perl
  qemu-img create -q -f qcow2 disk.qcow2 1M
  # The first name of the table of features becomes that of a bit that is set.
  name_at=$(grep -abo 'dirty bit' disk.qcow2 | cut -d: -f1)
  printf '\0\x0a%-46.46s' "$EVIL" | dd of=disk.qcow2 bs=1 seek=$((name_at - 2)) conv=notrunc status=none
  set_field disk.qcow2 incompatible 1024
  says_cleanly bad info disk.qcow2
  says_cleanly bad check disk.qcow2
  says_cleanly bad convert disk.qcow2 copy.raw
  qemu-img create -q -f qcow2 -o "data_file=$EVIL" with-data.qcow2 1M
  says_cleanly good info with-data.qcow2
  is_json good info --output=json with-data.qcow2
  says_cleanly bad check --data with-data.qcow2
  qemu-img create -q -f qcow2 -u -b base -F qcow2 on-what.qcow2 1M
  printf 'EVIL\e' | dd of=on-what.qcow2 bs=1 seek=$(($(field on-what.qcow2 header_length) + 8)) conv=notrunc status=none
  says_cleanly good info on-what.qcow2
  is_json good info --output=json on-what.qcow2
  says_cleanly bad info --backing-chain on-what.qcow2
}

@test "check: a file, a snapshot, a file to undo with" {
  require jq perl
  evil_image
  qemu-io -f qcow2 -c "write -q -P 2 0 512k" "$EVIL.qcow2"
  qemu-img snapshot -c "$EVIL" "$EVIL.qcow2"
  qemu-io -f qcow2 -c "write -q -P 3 0 512k" "$EVIL.qcow2"
  second=$(($(field "$EVIL.qcow2" snapshots_offset) + $(snapshot_bytes)))
  l2=$(($(get "$EVIL.qcow2" "$(get "$EVIL.qcow2" "$second" 8)" 8) & 0xfffffffffffe00))
  put "$EVIL.qcow2" "$((l2 + 8))" 8 0x0100000000000000
  says_cleanly bad check "$EVIL.qcow2"
  grep -qa 'in snapshot' complained
  is_json bad check --output=json "$EVIL.qcow2"
  says_cleanly bad check --dry-run -r all "$EVIL.qcow2"
  says_cleanly bad check --undo "$EVIL.qcow2" "$EVIL.qcow2"
  says_cleanly bad check -r all --undo-file "no $EVIL/undo" "$EVIL.qcow2"
  says_cleanly bad check "missing $EVIL"
}

# snapshot_bytes: how long the entry of the first snapshot is
snapshot_bytes() {
  local at length
  at=$(field "$EVIL.qcow2" snapshots_offset)
  length=$((40 + $(get "$EVIL.qcow2" $((at + 36)) 4) + $(get "$EVIL.qcow2" $((at + 12)) 2) +
    $(get "$EVIL.qcow2" $((at + 14)) 2)))
  echo $(((length + 7) / 8 * 8))
}

@test "convert and create" {
  require jq perl
  evil_image
  run_to_files convert -v "$EVIL.qcow2" "$EVIL.raw"
  is_for_people complained
  says_cleanly bad convert -l "no $EVIL" "$EVIL.qcow2" copy.raw
  says_cleanly bad convert -O qcow2 -o "$EVIL=1" "$EVIL.qcow2" copy.qcow2
  says_cleanly bad convert -O qcow2 -o "cluster_size=$EVIL" "$EVIL.qcow2" copy.qcow2
  says_cleanly bad convert "$EVIL.qcow2" "no $EVIL/copy.raw"
  says_cleanly bad convert -O qcow2 -B "no $EVIL" -F raw "$EVIL.qcow2" copy.qcow2
  says_cleanly good create -f qcow2 "new $EVIL.qcow2" 1M
  says_cleanly bad create -f qcow2 -b "no $EVIL.base" -F raw "new $EVIL.qcow2"
  says_cleanly bad create -f "$EVIL" disk.raw 1M
  says_cleanly bad create disk.raw "$EVIL"
  says_cleanly bad create "no $EVIL/disk.raw" 1M
  put "$EVIL.qcow2" "$(l1_at "$EVIL.qcow2" 0)" 8 0x80ffffffffff0000
  says_cleanly bad convert "$EVIL.qcow2" copy.raw
}

@test "lock-status and lock: processes, virtual machines, programs" {
  require jq perl
  evil_image
  hold_qemu vm -name "guest=$EVIL" -drive "file=${EVIL//,/,,}.qcow2,format=qcow2,if=virtio"
  cp "$TOOLS/locker" "EVIL"$'\e[31m\xff\n'
  start holder bash -c 'exec -a "$1" "$2" "$3" 300 1' bash "$EVIL" "./EVIL"$'\e[31m\xff\n' "$EVIL.qcow2"
  says holder '^ready '
  says_cleanly bad lock-status "$EVIL.qcow2"
  says_cleanly bad lock-status -v "$EVIL.qcow2"
  is_json bad lock-status --output=json "$EVIL.qcow2"
  says_cleanly bad lock-status --all
  is_json bad lock-status --all --output=json
  says_cleanly bad lock-status -n -o IMAGE,COMMAND,VM,CMDLINE "$EVIL.qcow2"
  says_cleanly bad info "$EVIL.qcow2"
  says_cleanly bad check "$EVIL.qcow2"
  says_cleanly bad check -r all "$EVIL.qcow2"
  says_cleanly bad convert "$EVIL.qcow2" copy.raw
  run imgtool lock --write "$EVIL.qcow2" -- true
  printf '%s\n' "$output" >said
  grep -qa EVIL said
  is_for_people said
  run imgtool lock "missing $EVIL" -- true
  printf '%s\n' "$output" >said
  grep -qa EVIL said
  is_for_people said
}

@test "lock-status: what is mounted" {
  require root perl
  mkdir mnt
  mount -t tmpfs "$EVIL" mnt
  later umount --lazy "$DIR/mnt"
  make_raw "mnt/$EVIL"
  hold_locks holder "mnt/$EVIL" 201 1
  says_cleanly bad lock-status -v "mnt/$EVIL"
  is_json bad lock-status --output=json "mnt/$EVIL"
}

@test "the command line itself, and the name of the program" {
  require perl
  says_cleanly bad "$EVIL"
  says_cleanly bad help "$EVIL"
  for command in info check convert create 'lock-status'; do
    for word in "--$EVIL" "--locking=$EVIL" "--$EVIL=1" $'-\e'; do
      run_to_files bad "$command" "$word" disk.raw
      is_for_people said
      is_for_people complained
      [[ $(cat complained) == *[Ll]'ocking'* || $(cat complained) == *option* ]]
    done
  done
  ln -s "$IMGTOOL" "$EVIL"
  run "./$EVIL" info "missing $EVIL"
  printf '%s\n' "$output" >said
  is_for_people said
}
