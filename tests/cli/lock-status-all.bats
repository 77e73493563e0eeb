# SPDX-License-Identifier: LGPL-2.1-or-later
# lock-status --all, and tables with chosen columns.
# shellcheck disable=SC2030,SC2031

load lib

# rows PATTERN: the lines of the last output about this test's own images
rows() {
  grep -F -- "$DIR/" <<<"$output"
}

@test "--all finds a VM's image without being told its name" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name guest=web01 -drive file=disk.qcow2,format=qcow2,if=none
  run -1 --separate-stderr imgtool lock-status --all
  [[ $output =~ ^[[:blank:]]*PID\ +COMMAND\ +VM\ +USES\ +FORBIDS\ +IMAGE ]]
  [[ $(rows) =~ ^\ *${PID[vm]}\ +qemu-system-[a-z0-9]+\ +web01\ +read,write,resize\ +write,resize\ +$DIR/disk.qcow2$ ]]
}

@test "--all: each holder of an image, and each image" {
  make_raw one.raw
  make_raw two.raw
  hold_locks a one.raw 100 1
  hold_locks b one.raw 100 1 201 1
  hold_locks c --posix two.raw 201 1
  run -1 --separate-stderr imgtool lock-status --all --noheadings -o PID,LOCK,RANGES,IMAGE
  [[ $(rows | wc -l) == 3 ]]
  [[ $(rows | tr -s ' ' | sed 's/^ //' | sort -k 4,4 -k 3,3) == "${PID[a]} OFD 100 $DIR/one.raw
${PID[b]} OFD 100,201 $DIR/one.raw
${PID[c]} POSIX 201 $DIR/two.raw" ]]
}

@test "--all does not list what is no image lock, nor mere openers" {
  make_raw disk.raw
  make_raw other.raw
  hold_locks whole --posix --write-lock --read-write disk.raw 0 0
  hold_locks first --posix --write-lock --read-write other.raw 0 1
  hold_locks flocked --flock disk.raw
  hold_open opener read-write disk.raw
  run --separate-stderr imgtool lock-status --all
  [[ -z $(rows) ]]
}

@test "--all in JSON has the same holders as lock-status of the image" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2 201 1
  json_status 1 disk.raw
  jq '.images[0].holders' <<<"$output" >one.json
  run -1 --separate-stderr imgtool lock-status --all --output=json
  jq --arg name "$DIR/disk.raw" '.images[] | select(.filename == $name).holders' <<<"$output" >all.json
  diff one.json all.json
  grep -q '"kind": "lock"' all.json
}

@test "--all as nobody: the lock is there, its holder and name are not" {
  require root
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  imgtool_for_nobody
  inode=$(stat -c %i disk.raw)
  run -1 --separate-stderr as_nobody bin/imgtool lock-status --all
  [[ $output == *", inode $inode"* ]]
  expect_message 'could not be looked into'
}

@test "--all: a holder that cannot be seen counts beside one that can, on a file of the same number" {
  require root mount
  for folder in one two; do
    mkdir $folder
    mount -t tmpfs none $folder
    later umount --lazy "$DIR/$folder"
    chmod 755 $folder
  done
  make_raw one/f
  make_raw two/f
  [[ $(stat -c %i one/f) == $(stat -c %i two/f) ]]
  imgtool_for_nobody
  cp -- "$TOOLS/locker" bin/
  chmod 755 bin/locker
  chmod 666 one/f
  start seen setpriv --reuid=65534 --regid=65534 --clear-groups -- bin/locker one/f 100 1
  says seen '^ready '
  hold_locks unseen two/f 101 1
  run -1 --separate-stderr as_nobody bin/imgtool lock-status --all --noheadings -o RANGES,IMAGE
  [[ $(rows | tr -s ' ' | sed 's/^ //') == "100 $DIR/one/f" ]]
  [[ $(tr -s ' ' <<<"$output") == *"101 device "*", inode $(stat -c %i two/f)"* ]]
}

@test "--all on btrfs: two files with one inode number are two images" {
  require root loop btrfs mkfs.btrfs
  make_filesystem btrfs fs.img mnt 128M --mixed
  btrfs -q subvolume create mnt/one
  btrfs -q subvolume create mnt/two
  make_raw mnt/one/f
  make_raw mnt/two/f
  [[ $(stat -c %i mnt/one/f) == $(stat -c %i mnt/two/f) ]]
  hold_locks a mnt/one/f 100 1
  hold_locks b mnt/two/f 101 1
  run -1 --separate-stderr imgtool lock-status --all -n -o PID,RANGES,IMAGE
  [[ $(rows | tr -s ' ' | sed 's/^ //') == "${PID[a]} 100 $DIR/mnt/one/f
${PID[b]} 101 $DIR/mnt/two/f" ]]
}

@test "--all and -q: the exit status alone" {
  make_raw disk.raw
  hold_locks holder disk.raw 100 2
  run -1 --separate-stderr imgtool lock-status --all -q
  [[ -z $output$stderr ]]
}

@test "--all takes no image, and without it one is wanted" {
  run -2 --separate-stderr imgtool lock-status --all disk.raw
  expect_message '--all takes no image'
  for option in -b --wait --wait=1 --for=vm --locks-only '-f raw'; do
    # shellcheck disable=SC2086
    run -2 --separate-stderr imgtool lock-status --all $option
    expect_message '--all takes no image, and neither'
  done
  run -2 --separate-stderr imgtool lock-status --all -o ''
  expect_message "bad value '' for --columns"
  run -2 --separate-stderr imgtool lock-status
  expect_message 'which image?'
}

@test "columns of named images: one row for a free one, upper or lower case" {
  make_raw disk.raw
  make_raw free.raw
  hold_locks holder --read-only disk.raw 100 1
  run -1 imgtool lock-status -n -o image,Status,PID,MODE,STYLE disk.raw free.raw
  [[ $(tr -s ' ' <<<"$output") == "disk.raw in-use ${PID[holder]} r qemu
free.raw free - - -" ]]
}

@test "every column has a value for a VM" {
  make_qcow2 disk.qcow2
  hold_qemu vm -name 'my vm' -drive file=disk.qcow2,format=qcow2,if=none
  all=IMAGE,STATUS,PID,COMMAND,VM,USER,MODE,LOCK,STYLE,USES,FORBIDS,RANGES,STARTED,CMDLINE
  for column in ${all//,/ }; do
    run -1 imgtool lock-status -n -o "$column" disk.qcow2
    [[ $output =~ [^-] ]]
  done
  run -1 imgtool lock-status -n -o VM disk.qcow2
  [[ $output == 'my vm' ]]
}

@test "a column that there is not" {
  run -2 --separate-stderr imgtool lock-status -o PID,NONSENSE disk.raw
  expect_message "bad value 'NONSENSE' for --columns" 'IMAGE,STATUS,PID'
}

@test "escape sequences in a path do not reach the table" {
  name=$'esc\e[31m\n.raw'
  make_raw "$name"
  hold_locks holder "$name" 100 1
  run -1 --separate-stderr imgtool lock-status --all -n -o IMAGE
  [[ $output != *$'\e'* ]]
  [[ $output == *'esc\x1b[31m\n.raw'* ]]
}
