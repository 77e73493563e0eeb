# SPDX-License-Identifier: LGPL-2.1-or-later
# To be run in a guest: block devices of the device mapper, which not every kernel has.
# shellcheck disable=SC2030,SC2031,SC2154

load ../../cli/lib
load ../lib-lab

setup_file() {
  local module
  for module in loop dm-mod dm-flakey; do
    modprobe -d /mnt/modules "$module"
  done
}

# map NAME TABLE: makes /dev/mapper/NAME
map() {
  DM_DISABLE_UDEV=1 dmsetup create "$1" --noudevsync --table "$2"
  later unmap "$1"
}

unmap() {
  ! dmsetup status "$1" >/dev/null 2>&1 || DM_DISABLE_UDEV=1 dmsetup remove --noudevsync "$1"
}

# kernel_name NAME: dm-N
kernel_name() {
  echo "dm-$(dmsetup info --columns --noheadings --options minor "$1")"
}

# serve_device: sets LOOP, a device of 16 MiB (32768 sectors), and makes data.raw of that size
serve_device() {
  make_raw disk.img 16M
  make_loop disk.img
  seq 10000000 12000000 | head -c 16M >data.raw
}

@test "what lies under a mapped device is in use by that, whoever is on top" {
  serve_device
  json_status 0 "$LOOP"
  map linear "0 32768 linear $LOOP 0"
  json_status 1 "$LOOP"
  expect 'image.status == "in-use"' 'holders | length == 1' \
    "holders[0] | .kind == \"device\" and .device == \"$(kernel_name linear)\" and .processes == []" \
    'verdict("info") == "possible"' 'verdict("vm") == "unsafe"' 'verdict("convert-to") == "unsafe"'
  run -1 imgtool lock-status "$LOOP"
  expect_text "$LOOP: in use" "stacked device $(kernel_name linear)"
  run -1 --separate-stderr imgtool convert -n -f raw -O raw data.raw "$LOOP"
  expect_message "$LOOP"
  # It is the upper one that can be had.
  json_status 0 /dev/mapper/linear
  imgtool convert -n -f raw -O raw data.raw /dev/mapper/linear
  cmp data.raw /dev/mapper/linear
  unmap linear
  json_status 0 "$LOOP"
  cmp data.raw "$LOOP"
}

@test "a mapped device and what it lies on are not copied onto each other, but two of them are" {
  serve_device
  map low "0 8192 linear $LOOP 0"
  map high "0 8192 linear $LOOP 8192"
  map upper "0 4096 linear /dev/mapper/low 0"
  for pair in "$LOOP /dev/mapper/low" "disk.img /dev/mapper/upper" "/dev/mapper/low /dev/mapper/upper"; do
    # shellcheck disable=SC2086
    run -1 --separate-stderr imgtool convert -U -n --ignore-openers -f raw -O raw $pair
    expect_message "one is a part of the other"
  done
  run -0 imgtool convert -U -n -f raw -O raw /dev/mapper/upper /dev/mapper/high
}

@test "two mapped devices on one: both are named" {
  serve_device
  map low "0 16384 linear $LOOP 0"
  map high "0 16384 linear $LOOP 16384"
  json_status 1 "$LOOP"
  expect "[holders[].device] | sort == ([\"$(kernel_name low)\", \"$(kernel_name high)\"] | sort)"
}

@test "locks on a mapped device keep imgtool and qemu-io apart" {
  serve_device
  map linear "0 32768 linear $LOOP 0"
  hold_io holder -f raw /dev/mapper/linear
  json_status 1 /dev/mapper/linear
  expect_holder holder '{kind: "lock", style: "qemu"}'
  run -124 imgtool lock -q --write /dev/mapper/linear -- true
  stop holder
  guard holder /dev/mapper/linear --write
  run -1 qemu-io -f raw -c length /dev/mapper/linear
  expect_text 'Failed to get'
}

@test "sectors that cannot be read: the place is named, --salvage reads the rest" {
  serve_device
  cp data.raw disk.img
  map bad "0 2048 linear $LOOP 0
2048 8 error
2056 30712 linear $LOOP 2056"
  run -1 --separate-stderr imgtool convert -f raw -O raw /dev/mapper/bad copy.raw
  expect_message "/dev/mapper/bad" "1048576" "Input/output error"
  [[ ! -e copy.raw ]]
  run -4 --separate-stderr imgtool convert --salvage -f raw -O raw /dev/mapper/bad copy.raw
  expect_message 1048576
  dd if=/dev/zero of=data.raw bs=512 seek=2048 count=8 conv=notrunc status=none
  cmp data.raw copy.raw
}

@test "a target that fails while it is written is no success" {
  serve_device
  map flaky "0 32768 flakey $LOOP 0 0 60 1 error_writes"
  run -1 --separate-stderr imgtool convert -n -f raw -O raw data.raw /dev/mapper/flaky
  expect_message "/dev/mapper/flaky" "Input/output error"
}
