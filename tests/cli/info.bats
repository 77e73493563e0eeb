#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool info: qemu-img's fields for raw images, what the content looks like, who is using it.

load lib

# json_info STATUS [arguments]
json_info() {
  run "-$1" --separate-stderr imgtool info --output=json "${@:2}"
}

# same_as_qemu_img FILE [-f FORMAT]: all that qemu-img says, imgtool says too
same_as_qemu_img() {
  local filter='del(.children[]?.info.children)'
  diff <(qemu-img info --output=json -f raw "$1" | jq -S "$filter") \
    <(jq -S "del(.[\"file-length\", \"content\", \"references\"]) | $filter" <<<"$output")
}

@test "human output" {
  make_raw disk.raw 1M
  printf x | dd of=disk.raw bs=1 conv=notrunc status=none
  run -0 --separate-stderr imgtool info disk.raw
  expect_no_message
  [[ ${lines[0]} == "image: disk.raw" ]]
  [[ ${lines[1]} == "file format: raw" ]]
  [[ ${lines[2]} == "virtual size: 1 MiB (1048576 bytes)" ]]
  [[ ${lines[3]} == "disk size: 4 KiB" ]]
  expect_text "in use: no"
}

@test "the lines that qemu-img prints are there, word for word" {
  make_raw disk.raw 3M
  while IFS= read -r line; do
    [[ $line ]] || continue
    run -0 imgtool info disk.raw
    expect_text "$line"
  done < <(qemu-img info -f raw disk.raw)
}

@test "JSON: qemu-img's members in its order, then ours" {
  make_raw disk.raw 1M
  json_info 0 disk.raw
  expect_no_message
  expect 'keys_unsorted == ["children", "virtual-size", "filename", "format", "actual-size",
    "dirty-flag", "file-length", "references"]'
  expect '.["virtual-size"] == 1048576' '.format == "raw"' '.filename == "disk.raw"' \
    '.["dirty-flag"] == false' '.["file-length"] == 1048576'
  expect '.children[0].name == "file"' '.children[0].info.format == "file"'
}

@test "JSON: what qemu-img says, byte for byte the same values" {
  qemu-img info --output=json -f raw /dev/null | grep -q children || skip "needs: qemu-img 8 or newer"
  for size in 0 512 1M 5G; do
    make_raw disk.raw $size
    json_info 0 disk.raw
    same_as_qemu_img disk.raw
  done
}

@test "the virtual size is rounded up to 512 bytes, the length is exact" {
  for size in 0 1 511 512 513 1000000; do
    truncate -s 0 disk.raw
    truncate -s $size disk.raw
    json_info 0 disk.raw
    expect ".[\"virtual-size\"] == $(((size + 511) / 512 * 512))" ".[\"file-length\"] == $size"
    [[ $(jq '.["virtual-size"]' <<<"$output") == \
      $(qemu-img info --output=json -f raw disk.raw | jq '.["virtual-size"]') ]]
  done
}

@test "a large sparse file" {
  make_raw disk.raw 5G
  run -0 imgtool info disk.raw
  expect_text "virtual size: 5 GiB (5368709120 bytes)" "disk size: 0 B"
}

@test "several files: a block each, a JSON array; the highest status" {
  make_raw one.raw
  make_raw two.raw
  run -0 imgtool info one.raw two.raw
  expect_text "image: one.raw" "image: two.raw"
  json_info 0 one.raw two.raw
  expect 'type == "array"' '[.[].filename] == ["one.raw", "two.raw"]'

  run -1 --separate-stderr imgtool info one.raw missing.raw two.raw
  expect_text "image: one.raw" "image: two.raw"
  expect_message "imgtool: cannot open 'missing.raw': No such file or directory"
}

@test "a directory, a FIFO, a character device, a file that may not be read" {
  mkdir folder
  mkfifo pipe
  for name in folder pipe /dev/zero missing.raw; do
    run -1 --separate-stderr timeout 10 "$IMGTOOL" info "$name"
    expect_message "imgtool: " "'$name'"
    [[ -z $output ]]
  done
  make_raw disk.raw
  chmod 000 disk.raw
  if ((EUID == 0)); then
    imgtool_for_nobody
    run -1 --separate-stderr as_nobody bin/imgtool info disk.raw
  else
    run -1 --separate-stderr imgtool info disk.raw
  fi
  expect_message "imgtool: cannot open 'disk.raw': Permission denied"
}

@test "a block device" {
  require root loop
  make_raw disk.raw 3M
  make_loop disk.raw
  json_info 0 "$LOOP"
  expect '.["virtual-size"] == 3145728' '.["file-length"] == 3145728' \
    '.children[0].info.format == "host_device"'
}

@test "the partition table is guessed: DOS and GPT" {
  require sfdisk
  make_raw disk.raw 8M
  echo '2048,' | sfdisk -q -X dos disk.raw
  run -0 --separate-stderr imgtool info disk.raw
  expect_no_message
  grep -qiE '^content: looks like a dos partition table.*guess' <<<"$output"
  json_info 0 disk.raw
  expect '.content.guess == true' '.content["partition-table"] == "dos"' \
    '.content.description | length > 0' '.content.truncated != true' \
    '.content["partition-table-end"] == 8388608'

  echo '2048,' | sfdisk -q -X gpt disk.raw
  json_info 0 disk.raw
  expect '.content["partition-table"] == "gpt"' '.content.truncated != true'
}

@test "a partition table that reaches past the end of the file" {
  require sfdisk
  for table in dos gpt; do
    rm -f disk.raw
    make_raw disk.raw 8M
    echo '2048,' | sfdisk -q -X $table disk.raw
    truncate -s 5M disk.raw
    json_info 0 disk.raw
    expect ".content[\"partition-table\"] == \"$table\"" '.content.truncated == true' \
      '.content["partition-table-end"] > 5242880'
    end=$(jq '.content["partition-table-end"]' <<<"$output")
    expect_message "imgtool: 'disk.raw': its $table partition table ends at byte $end, but the file \
ends at byte 5242880: the image is truncated"
  done
}

@test "a filesystem is guessed" {
  require mkfs.ext4
  truncate -s 4M disk.raw
  mkfs.ext4 -q disk.raw
  json_info 0 disk.raw
  expect '.content.guess' '.content.filesystem == "ext4"'
  run -0 imgtool info disk.raw
  grep -qE '^content: looks like .*ext4.*guess' <<<"$output"
}

@test "compressed data and ISO images stay raw, with a hint" {
  make_raw disk.raw 64K
  gzip -c disk.raw >disk.gz
  bzip2 -c disk.raw >disk.bz2
  xz -c disk.raw >disk.xz
  printf '\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x99\xe9\xd8\x51' >disk.zst
  { head -c 32768 /dev/zero; printf '\001CD001\001'; head -c 4096 /dev/zero; } >disk.iso
  for kind in gz:gzip bz2:bzip2 xz:xz zst:zstd iso:ISO; do
    json_info 0 "disk.${kind%%:*}"
    expect '.format == "raw"' ".content.description | test(\"${kind##*:}\"; \"i\")"
    run -0 imgtool info "disk.${kind%%:*}"
    expect_text "file format: raw" "content: "
  done
}

@test "an empty disk has no content to guess about" {
  make_raw disk.raw
  json_info 0 disk.raw
  expect 'has("content") | not'
  run -0 imgtool info disk.raw
  [[ $output != *"content:"* ]]
}

@test "a known format that is not supported yet is never taken for raw" {
  for format in qcow qed vmdk vdi vhdx vpc parallels luks; do
    if [[ $format == luks ]]; then # which takes qemu-img seconds
      printf 'LUKS\xba\xbe\x00\x01aes' >disk.img
      truncate -s 4M disk.img
    else
      qemu-img create -q -f $format disk.img 4M
    fi
    json_info 1 disk.img
    [[ -z $output ]]
    expect_message "imgtool: 'disk.img' looks like $format, which is not supported yet; use -f raw \
to treat its bytes as a raw disk"
    json_info 0 -f raw disk.img
    expect '.format == "raw"'
    rm disk.img
  done
}

@test "-f: an unsupported name and an unknown one" {
  make_raw disk.raw
  run -1 --separate-stderr imgtool info -f vmdk disk.raw
  expect_message "imgtool: " vmdk "not supported yet"
  run -1 --separate-stderr imgtool info -f qcow2 disk.raw
  expect_message "imgtool: 'disk.raw' is not a qcow2 image"
  run -1 --separate-stderr imgtool info --format=nonsense disk.raw
  expect_message "imgtool: " nonsense
  run -0 imgtool info --format=raw disk.raw
}

@test "by whom it is in use; info of raw takes no lock and is never refused" {
  make_raw disk.raw
  hold_qemu vm -name web01 -drive file=disk.raw,format=raw,if=virtio
  for option in --locking=auto --locking=posix -U --lock-wait=1; do
    run -0 --separate-stderr imgtool info "$option" disk.raw
    expect_no_message
    grep -qE "^in use: .*\(pid ${PID[vm]}, VM web01\)" <<<"$output"
  done
  json_info 0 disk.raw
}

@test "info of raw even when every byte is locked" {
  make_raw disk.raw
  hold_locks vmm --write-lock disk.raw 0 0
  run -0 imgtool info disk.raw
  grep -qE "^in use: .*pid ${PID[vmm]}" <<<"$output"
}

@test "info where the filesystem refuses locks" {
  make_raw disk.raw
  for what in all ofd; do
    run -0 --separate-stderr without $what "$IMGTOOL" info disk.raw
    [[ ${lines[0]} == "image: disk.raw" ]]
    [[ $stderr != *"nother process"* ]]
  done
}

@test "a name that is not UTF-8" {
  name=$'d\xffsk.raw'
  make_raw "$name"
  json_info 0 "$name"
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
  expect '.filename == "d\ufffdsk.raw"' ".[\"filename-bytes\"] == \"$(printf %s "$name" | base64)\""
  run -0 imgtool info "$name"
  iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
}

@test "escape sequences in a name and in a label stay out of the output" {
  require mkfs.ext4
  name=$'e\e[31mvil.raw'
  truncate -s 4M "$name"
  mkfs.ext4 -q -L $'la\e[31mbel' "$name"
  run -0 --separate-stderr imgtool info "$name"
  [[ $output != *$'\e'* ]]
  json_info 0 "$name"
  [[ $output != *$'\e'* ]]
  expect '.filename == "e\u001b[31mvil.raw"'
  rm -- "$name"
  run -1 --separate-stderr imgtool info "$name"
  [[ $stderr != *$'\e'* ]]
}

@test "-q says nothing, and still fails when it fails" {
  make_raw disk.raw
  run -0 --separate-stderr imgtool info -q disk.raw
  expect_no_message
  run -1 imgtool info -q missing.raw
}

@test "--backing-chain: a raw image has none, but its JSON is an array, as qemu-img's" {
  require jq
  make_raw disk.raw
  for option in -b --backing-chain; do
    run -0 --separate-stderr imgtool info $option -f raw --output=json disk.raw
    expect 'type == "array" and length == 1' '.[0].filename == "disk.raw"'
    expect_no_message
    run -0 imgtool info $option -f raw disk.raw
    [[ $output == "$(imgtool info -f raw disk.raw)" ]]
  done
  qemu-img info --backing-chain -f raw --output=json disk.raw | jq -e 'type == "array"'
  run -1 --separate-stderr imgtool info --object secret,id=x,data=y -f raw disk.raw
  [[ -z $output && $stderr == "imgtool: --object is not supported yet" ]]
}
