#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# --untrusted: images from strangers. Good ones are taken, each kind of bad one is refused by info,
# which gives a verdict, and by convert, which writes nothing.

load ../cli/lib
load qcow2

# safe FILE FORMAT [options]: it is taken, and copied
safe() {
  run -0 --separate-stderr imgtool info --untrusted --output=json "${@:3}" "$1"
  expect_no_message
  expect ".safe == true and .reasons == [] and .references == [] and .format == \"$2\""
  run -0 --separate-stderr imgtool info --untrusted "${@:3}" "$1"
  expect_text "safe: yes"
  rm -f got.raw
  run -0 --separate-stderr imgtool convert --untrusted "${@:3}" "$1" got.raw
  expect_no_message
}

# unsafe FILE FORMAT REASON [options]: the reason, as a filter of jq, is true for one of the reasons
unsafe() {
  run -2 --separate-stderr imgtool info --untrusted --output=json "${@:4}" "$1"
  expect_no_message
  expect ".safe == false and .format == \"$2\"" "any(.reasons[]; contains(\"$3\"))"
  run -2 --separate-stderr imgtool info --untrusted "${@:4}" "$1"
  expect_text "safe: no" "reason: "
  rm -f got.raw
  run -1 --separate-stderr imgtool convert --untrusted "${@:4}" "$1" got.raw
  [[ ! -e got.raw ]]
}

# not_read FILE REASON: convert's message, too, has that reason
not_read() {
  run -1 --separate-stderr imgtool convert --untrusted "$1" got.raw
  expect_message "'$1' is not safe to read: " "$2"
  [[ ! -e got.raw ]]
}

# at FILE OFFSET BYTES: put them there; BYTES as for printf
at() {
  printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "what services take every day is safe: plain, compressed, extended L2, snapshots, bitmaps" {
  make_raw disk.raw
  safe disk.raw raw
  : >empty.raw
  safe empty.raw raw
  for options in compat=0.10 compat=1.1 cluster_size=512 cluster_size=2M compression_type=zstd \
    lazy_refcounts=on extended_l2=on preallocation=metadata; do
    qemu-img create -q -f qcow2 -o $options disk.qcow2 4M
    qemu-io -f qcow2 -c "write -P 1 1M 100k" disk.qcow2 >/dev/null
    safe disk.qcow2 qcow2
  done
  qemu-img convert -c -O qcow2 -o compression_type=zstd disk.qcow2 small.qcow2
  safe small.qcow2 qcow2
  qemu-img snapshot -c one disk.qcow2
  qemu-img bitmap --add disk.qcow2 b0
  safe disk.qcow2 qcow2
  run -0 imgtool info --untrusted --output=json disk.qcow2
  expect '.features == ["bitmaps", "snapshots"]' '.candidates == ["qcow2"]' '."virtual-size" == 4194304'
  # A name that says otherwise changes nothing.
  mv disk.qcow2 disk.img
  safe disk.img qcow2
  safe disk.img qcow2 -f qcow2
}

@test "partitions and ISO file systems are what raw disks have in them" {
  make_raw disk.raw
  at disk.raw 510 '\x55\xaa'
  at disk.raw 512 'EFI PART'
  at disk.raw 32769 CD001
  safe disk.raw raw
  run -0 imgtool info --untrusted --output=json disk.raw
  expect '.candidates == ["iso", "gpt", "mbr"]'
}

@test "references: a backing file, a data file, whatever their names" {
  for name in base.raw /etc/passwd nbd:unix:/x 'json:{"driver":"raw"}'; do
    rm -f top.qcow2
    qemu-img create -q -f qcow2 -u -b "$name" -F raw top.qcow2 1M
    unsafe top.qcow2 qcow2 "it names a backing file: "
    not_read top.qcow2 "it names a backing file: '$name'"
  done
  run -2 imgtool info --untrusted --output=json top.qcow2
  expect '.references == [{"kind": "backing file", "name": "json:{\"driver\":\"raw\"}", "format": "raw"}]'
  qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 1M
  unsafe data.qcow2 qcow2 "it names a data file: 'data.raw'"
  run -2 imgtool info --untrusted --output=json data.qcow2
  expect '.features == ["data-file"]'
  # The bit without a name, and the name without the bit.
  perl -0777 -pi -e 's/DATA/XATA/' data.qcow2
  unsafe data.qcow2 qcow2 "it uses what is not allowed: data-file"
  qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 1M
  set_field data.qcow2 incompatible 0
  unsafe data.qcow2 qcow2 "unknown header extension 0x44415441"
  # --allow-... does not weaken it.
  unsafe data.qcow2 qcow2 extension --allow-data-file --allow-devices --chain-under=/
}

@test "features: encryption, corrupt, unknown bits and extensions" {
  qemu-img create -q -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 1M
  unsafe luks.qcow2 qcow2 "it uses what is not allowed: encryption"
  for bits in "incompatible 2 corrupt" "autoclear 4 unknown autoclear bits 0x4" "incompatible $((1 << 40)) 40"; do
    read -r field value reason <<<"$bits"
    make_qcow2 disk.qcow2
    set_field disk.qcow2 "$field" "$value"
    unsafe disk.qcow2 qcow2 "$reason"
  done
  make_qcow2 disk.qcow2
  put disk.qcow2 80 8 16
  unsafe disk.qcow2 qcow2 "unknown compatible bits 0x10"
  qemu-img create -q -f qcow2 -u -b b -F raw disk.qcow2 1M
  perl -0777 -pi -e 's/\xe2\x79\x2a\xca/\x11\x22\x33\x44/' disk.qcow2
  set_field disk.qcow2 backing_offset 0
  unsafe disk.qcow2 qcow2 "unknown header extension 0x11223344"
}

@test "polyglots: a second signature wherever somebody would look for it" {
  local -a signatures=(510 '\x55\xaa' mbr 512 'EFI PART' gpt 32769 CD001 iso 34817 CD001 iso)
  for ((n = 0; n < ${#signatures[@]}; n += 3)); do
    make_qcow2 disk.qcow2
    at disk.qcow2 "${signatures[n]}" "${signatures[n + 1]}"
    unsafe disk.qcow2 qcow2 "looks like ${signatures[n + 2]} as well"
    not_read disk.qcow2 "it is taken for qcow2, but looks like ${signatures[n + 2]} as well"
  done
  for footer in conectix/vpc koly/dmg; do
    make_qcow2 disk.qcow2
    printf '%-512s' "${footer%/*}" >>disk.qcow2
    unsafe disk.qcow2 qcow2 "looks like ${footer#*/} as well"
    make_raw disk.raw
    printf '%-512s' "${footer%/*}" >>disk.raw
    unsafe disk.raw raw "looks like ${footer#*/}"
  done
  # VDI's signature is where a QED image may have anything.
  make_raw disk.raw
  at disk.raw 0 'QED\x00'
  at disk.raw 64 '\x7f\x10\xda\xbe'
  unsafe disk.raw qed "looks like vdi as well"
  run -2 imgtool info --untrusted --output=json disk.raw
  expect '.candidates == ["qed", "vdi"]'
}

@test "raw only because somebody says so" {
  make_qcow2 disk.qcow2
  unsafe disk.qcow2 raw "it is taken for raw, but looks like qcow2" -f raw
  qemu-img create -q -f vmdk disk.vmdk 1M
  unsafe disk.vmdk raw "looks like vmdk" -f raw
  printf '# comment\n\n #\nversion=1\nCID=1\nRW 8 FLAT "/etc/hostname" 0\n' >text.raw
  truncate -s 1M text.raw
  sed -i 's/^ #$/#/' text.raw
  unsafe text.raw raw "looks like vmdk"
}

@test "formats that cannot be read have a verdict too" {
  for format in vmdk vdi vpc vhdx qed parallels; do
    qemu-img create -q -f $format disk.$format 4M
    unsafe disk.$format $format "the format $format is not supported yet"
    run -2 imgtool info --untrusted --output=json disk.$format
    expect '."virtual-size" == null'
  done
}

@test "damaged headers and truncated files are reasons, not errors" {
  make_qcow2 disk.qcow2
  set_field disk.qcow2 cluster_bits 40
  unsafe disk.qcow2 qcow2 "clusters"
  make_qcow2 disk.qcow2
  truncate -s 100 disk.qcow2
  unsafe disk.qcow2 qcow2 "disk.qcow2"
  make_qcow2 disk.qcow2
  qemu-io -f qcow2 -c "write 0 1M" disk.qcow2 >/dev/null
  truncate -s 200k disk.qcow2
  unsafe disk.qcow2 qcow2 "it is truncated"
}

@test "--max-size: 1 TiB if nothing is said, and what is said" {
  make_qcow2 disk.qcow2 1T
  run -0 imgtool info --untrusted disk.qcow2
  make_qcow2 disk.qcow2 1025G
  unsafe disk.qcow2 qcow2 "more than the 1099511627776 of --max-size"
  run -0 imgtool info --untrusted --max-size=2T disk.qcow2
  make_qcow2 disk.qcow2 8M
  unsafe disk.qcow2 qcow2 "the disk has 8388608 bytes, more than the 8388607 of --max-size" --max-size=8388607
  safe disk.qcow2 qcow2 --max-size=8M
  make_raw disk.raw 8M
  unsafe disk.raw raw "--max-size" --max-size=8388607
  # Without --untrusted convert minds the size alone.
  run -1 --separate-stderr imgtool convert --max-size=4M disk.qcow2 got.raw
  expect_message "'disk.qcow2': the disk has 8388608 bytes, more than the 4194304 of --max-size"
  [[ ! -e got.raw ]]
  run -0 imgtool convert --max-size=8M disk.qcow2 got.raw
  # A snapshot may be of a larger disk than the image.
  rm got.raw
  qemu-img snapshot -c large disk.qcow2
  qemu-img resize -q --shrink disk.qcow2 1M
  for option in --untrusted ''; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr imgtool convert $option --max-size=4M -l large disk.qcow2 got.raw
    expect_message "'disk.qcow2': the disk has 8388608 bytes, more than the 4194304 of --max-size"
    [[ ! -e got.raw ]]
    # shellcheck disable=SC2086
    run -0 imgtool convert $option --max-size=4M disk.qcow2 got.raw
    rm got.raw
  done
}

@test "what is behind the target is the caller's" {
  make_qcow2 disk.qcow2
  make_raw base.raw
  qemu-img create -q -f qcow2 -b base.raw -F raw overlay.qcow2
  run -0 --separate-stderr imgtool convert --untrusted -O qcow2 -B overlay.qcow2 -F qcow2 disk.qcow2 target.qcow2
  expect_no_message
}

@test "what cannot be looked at is an error, not a verdict" {
  run -1 --separate-stderr imgtool info --untrusted gone.qcow2
  expect_message "cannot open 'gone.qcow2'"
  mkfifo fifo
  run -1 --separate-stderr timeout 5 "$IMGTOOL" info --untrusted fifo
  expect_message "it is a FIFO"
  make_qcow2 disk.qcow2
  hold_io io disk.qcow2
  run -1 --separate-stderr imgtool info --untrusted --output=json disk.qcow2
  expect_message "Failed to get shared \"write\" lock" "(pid ${PID[io]})"
  run -0 imgtool info --untrusted -U disk.qcow2
  stop io
  # Of several images the highest status.
  make_qcow2 large.qcow2 2T
  run -2 --separate-stderr imgtool info --untrusted --output=json gone.qcow2 large.qcow2 disk.qcow2
  expect '[.[].safe] == [false, true]'
}

@test "what does not go together" {
  make_qcow2 disk.qcow2
  run -1 --separate-stderr imgtool info --untrusted -b disk.qcow2
  expect_message "--untrusted and --backing-chain exclude each other"
  run -1 --separate-stderr imgtool info --max-size=1M disk.qcow2
  expect_message "--max-size needs --untrusted"
  for option in --untrusted --max-size=1M; do
    run -1 --separate-stderr imgtool convert $option - got.raw </dev/null
    expect_message "--untrusted and --max-size cannot be used with standard input"
  done
}

@test "names in an image cannot forge a verdict" {
  qemu-img create -q -f qcow2 -u -b $'x\nsafe: yes\n\x1b[2J' -F raw top.qcow2 1M
  run -2 imgtool info --untrusted top.qcow2
  [[ $(grep -c '^safe:' <<<"$output") == 1 && $output != *$'\x1b'* ]]
}
