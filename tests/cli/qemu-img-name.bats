#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# Called as qemu-img. Each "departure" is a row of the table in imgtool(1), and the first test
# demands that there is one test for each row.

load lib
load ../damage/qcow2
load ../damage/check

PAGE=$BATS_TEST_DIRNAME/../../man/imgtool.1

# as_qemu_img [ARGUMENT]...: the program by its other name
as_qemu_img() {
  mkdir -p bin
  [[ -e bin/qemu-img ]] || ln -s "$IMGTOOL" bin/qemu-img
  timeout --foreground 60 bin/qemu-img "$@"
}

# both_fail ARGUMENT...: under either name with status 1; leaves the messages of the second
both_fail() {
  run -1 --separate-stderr imgtool "$@"
  run -1 --separate-stderr as_qemu_img "$@"
}

# make_data FILE [SIZE]: not zeros
make_data() {
  head -c "${2:-1M}" /dev/urandom >"$1"
}

@test "there is a test for each row of the table, and a row for each test" {
  sed -n '/^.\\" departures:/,/^\.El/s/^\.It \(.*\)/\1/p' "$PAGE" | sed -e 1d -e 's/ Ta .*//' |
    sort >rows
  sed -nE 's/^@test "departure: (.*)" \{$/\1/p' "$BATS_TEST_FILENAME" | sort >tests
  [[ $(wc -l <rows) -gt 15 ]]
  diff rows tests
}

@test "departure: beginning of messages" {
  run -1 --separate-stderr imgtool info missing.raw
  [[ ${stderr_lines[0]} == "imgtool: cannot open 'missing.raw': "* ]]
  run -1 --separate-stderr as_qemu_img info missing.raw
  [[ ${stderr_lines[0]} == "qemu-img: cannot open 'missing.raw': "* ]]
  run -1 --separate-stderr as_qemu_img convert -Z a b
  [[ ${stderr_lines[0]} == "qemu-img: "*"'Z'"* ]]
  [[ $stderr != *imgtool* ]]
}

@test "departure: usage errors and --help" {
  both_fail convert -S 100 a.raw b.raw
  expect_message "qemu-img: bad value '100' for --sparse-size" "Try 'qemu-img convert --help'"
  run -0 as_qemu_img convert --help
  [[ ${lines[0]} == "Usage: qemu-img convert [OPTIONS] SOURCE... TARGET" ]]
  run -0 as_qemu_img --help
  expect_text "Usage: qemu-img COMMAND"
}

@test "departure: --version" {
  run -0 --separate-stderr imgtool --version
  [[ ${lines[0]} =~ ^imgtool\ version\ [0-9]+\.[0-9]+ ]]
  for option in -V --version; do
    run -0 --separate-stderr as_qemu_img "$option"
    # As OpenStack looks for it.
    [[ ${lines[0]} =~ ^qemu-img\ version\ ([0-9.]*)\ \(imgtool\ [0-9] ]]
    [[ ${BASH_REMATCH[1]} == 10.0.2 ]]
    expect_no_message
  done
}

@test "departure: commands of imgtool alone" {
  make_raw disk.raw
  run -0 imgtool lock-status disk.raw
  run -0 imgtool lock disk.raw -- true
  run -1 --separate-stderr as_qemu_img lock-status disk.raw
  [[ $stderr == "qemu-img: Command not found: lock-status" ]]
  run -1 --separate-stderr as_qemu_img lock disk.raw -- true
  run -0 as_qemu_img --help
  [[ $output == *convert* && $output != *lock* ]]
}

@test "departure: other commands of qemu-img" {
  make_raw disk.raw
  run -1 --separate-stderr imgtool map disk.raw
  [[ $stderr == "imgtool: unknown command 'map'"* ]]
  for command in amend bench bitmap commit compare dd map measure rebase resize snapshot; do
    run -1 --separate-stderr as_qemu_img $command disk.raw
    [[ $stderr == "qemu-img: the command '$command' is not supported yet: set IMGTOOL_QEMU_IMG"* ]]
  done
  export IMGTOOL_QEMU_IMG
  IMGTOOL_QEMU_IMG=$(command -v qemu-img)
  run -0 --separate-stderr as_qemu_img map -f raw --output=json disk.raw
  [[ $output == "$(qemu-img map -f raw --output=json disk.raw)" ]]
  run -0 --separate-stderr as_qemu_img resize -f raw disk.raw 8M
  [[ $output == "Image resized." ]]
  run -1 --separate-stderr imgtool map disk.raw
}

@test "the other qemu-img gets all arguments, its own name and the signals as they were" {
  export IMGTOOL_QEMU_IMG=$DIR/other
  printf '%s\n' '#!/bin/bash' 'printf "<%s>" "$0" "$@"' 'grep SigIgn /proc/$$/status' \
    'echo "${IMGTOOL_QEMU_IMG-none}"' 'exit 3' >other
  chmod 755 other
  run -3 --separate-stderr as_qemu_img map -U 'a b' '' --output=json
  [[ ${lines[0]} == "<$DIR/other><map><-U><a b><><--output=json>"* ]]
  # SIGPIPE is 13, SIGXFSZ 25
  ignored=${lines[0]##*[[:space:]]}
  ((!(0x$ignored & 1 << 12) && !(0x$ignored & 1 << 24)))
  [[ ${lines[1]} == none ]]
  # What is here is done here.
  make_raw disk.raw
  run -0 as_qemu_img info -f raw disk.raw
  [[ ${lines[0]} == "image: disk.raw" ]]
}

@test "the other qemu-img must be another, with an absolute path, and exist" {
  as_qemu_img --version >version
  mkdir -p elsewhere
  ln -s "$DIR/bin/qemu-img" elsewhere/qemu-img
  for other in "$IMGTOOL" "$DIR/bin/qemu-img" "$DIR/elsewhere/qemu-img"; do
    IMGTOOL_QEMU_IMG=$other run -1 --separate-stderr as_qemu_img map x
    expect_message "cannot run '$other' (of IMGTOOL_QEMU_IMG): it is this program itself"
  done
  IMGTOOL_QEMU_IMG=bin/qemu-img run -1 --separate-stderr as_qemu_img map x
  expect_message "it must be an absolute path"
  IMGTOOL_QEMU_IMG=/nonexistent/$'\e'x run -1 --separate-stderr as_qemu_img map x
  expect_message "cannot run '/nonexistent/\\x1bx' (of IMGTOOL_QEMU_IMG): No such file or directory"
  # A copy of ours under the name ends there, too.
  mkdir -p ours
  cp "$IMGTOOL" ours/qemu-img
  IMGTOOL_QEMU_IMG=$DIR/ours/qemu-img run -1 --separate-stderr as_qemu_img map x
  expect_message "the command 'map' is not supported yet"
  IMGTOOL_QEMU_IMG='' run -1 --separate-stderr as_qemu_img map x
  expect_message "the command 'map' is not supported yet"
}

@test "no command, and one that nobody has" {
  run -1 --separate-stderr as_qemu_img
  [[ ${stderr_lines[0]} == "$(qemu-img 2>&1 | head -n 1)" ]]
  run -1 --separate-stderr as_qemu_img nonsense
  [[ ${stderr_lines[0]} == "$(qemu-img nonsense 2>&1 | head -n 1)" ]]
  run -1 --separate-stderr as_qemu_img $'non\e[31msense'
  [[ $stderr != *$'\e'* ]]
}

@test "departure: -T before the command" {
  make_raw disk.raw
  run -1 --separate-stderr imgtool -T 'bdrv*' info -f raw disk.raw
  for words in "-T bdrv*" "--trace bdrv*" --trace=enable=x "-T a -T b"; do
    # shellcheck disable=SC2086
    run -0 --separate-stderr as_qemu_img $words info -f raw disk.raw
    [[ ${lines[0]} == "image: disk.raw" ]]
    expect_no_message
  done
  run -1 --separate-stderr as_qemu_img -T 'bdrv*'
  expect_message "Not enough arguments"
}

@test "departure: targets other than raw and qcow2" {
  make_raw disk.raw
  both_fail convert -O vmdk disk.raw new.vmdk
  [[ $stderr == "qemu-img: "*"the format vmdk is not supported yet" ]]
  both_fail create -f vdi new.vdi 1M
  [[ ! -e new.vmdk && ! -e new.vdi ]]
}

@test "departure: a truncated qcow2 source" {
  make_qcow2 disk.qcow2
  qemu-io -c "write -P 7 0 4M" disk.qcow2 >/dev/null
  truncate -s -1M disk.qcow2
  both_fail convert -f qcow2 disk.qcow2 new.raw
  [[ ! -e new.raw ]]
}

@test "departure: a name that is no file's" {
  make_qcow2 disk.qcow2
  qemu-img rebase -q -u -b nbd://127.0.0.1:1/x -F raw disk.qcow2
  both_fail convert -f qcow2 disk.qcow2 new.raw
  [[ ! -e new.raw ]]
}

@test "departure: warnings" {
  require sfdisk
  make_raw disk.raw 8M
  echo ',,L' | sfdisk -q disk.raw
  truncate -s 4M disk.raw
  run -0 --separate-stderr imgtool info -f raw disk.raw
  expect_message "the image is truncated"
  run -0 --separate-stderr as_qemu_img info -f raw disk.raw
  expect_no_message
  run -0 --separate-stderr as_qemu_img info -v -f raw disk.raw
  expect_message "the image is truncated"
  # Nor does a copy of what somebody writes to say anything.
  make_data disk.raw
  hold_io writer -f raw disk.raw
  run -0 --separate-stderr imgtool convert -U -f raw disk.raw copy.raw
  expect_message "imgtool: warning: "
  run -0 --separate-stderr as_qemu_img convert -U -f raw disk.raw copy.raw
  expect_no_message
  run -0 --separate-stderr as_qemu_img convert -v -U -f raw disk.raw copy.raw
  expect_message "qemu-img: warning: "
}

@test "departure: added lines in info" {
  make_raw disk.raw 1000000
  run -0 imgtool info -f raw disk.raw
  expect_text "exact file length: 1000000 bytes" "in use: no"
  run -0 --separate-stderr as_qemu_img info -f raw disk.raw
  [[ $output == "$(qemu-img info -f raw disk.raw)" ]]
}

@test "departure: added members in JSON" {
  require jq
  make_raw disk.raw
  imgtool info --output=json -f raw disk.raw | jq -e '.["file-length"] == 4194304'
  as_qemu_img info --output=json -f raw disk.raw | jq -e '.["file-length"] == 4194304'
  # What qemu-img has is there with its value.
  qemu-img info --output=json -f raw disk.raw >wanted
  as_qemu_img info --output=json -f raw disk.raw >got
  jq -e --slurpfile wanted wanted '. as $got | $wanted[0] | to_entries | all($got[.key] == .value)' got
}

@test "departure: --bitmaps with -l" {
  make_qcow2 disk.qcow2
  qemu-img snapshot -c one disk.qcow2
  qemu-img bitmap --add disk.qcow2 b
  # The bitmap is about what came after the snapshot.
  qemu-img convert --bitmaps -l one -O qcow2 disk.qcow2 copy.qcow2
  rm copy.qcow2
  for program in imgtool as_qemu_img; do
    run -1 --separate-stderr $program convert --bitmaps -l one -O qcow2 disk.qcow2 copy.qcow2
    expect_message "--bitmaps and -l exclude each other"
    [[ ! -e copy.qcow2 ]]
  done
}

@test "departure: line on a terminal" {
  require script
  make_data disk.raw 4M
  script -qec "'$IMGTOOL' convert -m 1 -r 2M -f raw disk.raw copy.raw" /dev/null >screen
  grep -q 'copy: ' screen
  as_qemu_img --version >/dev/null
  rm copy.raw
  script -qec "bin/qemu-img convert -m 1 -r 2M -f raw disk.raw copy.raw" /dev/null >screen
  [[ ! -s screen ]]
  cmp disk.raw copy.raw
}

@test "departure: - as an image" {
  make_data disk.raw
  imgtool convert -f raw disk.raw - >copy.raw
  cmp disk.raw copy.raw
  [[ ! -e ./- ]]
  run -0 --separate-stderr as_qemu_img convert -f raw disk.raw -
  [[ -z $output ]]
  cmp disk.raw ./-
  run -0 --separate-stderr as_qemu_img convert -f raw - new.raw </dev/null
  cmp disk.raw new.raw
  # A file of that name can be had under the other name as well.
  imgtool convert -f raw ./- - >copy2.raw
  cmp disk.raw copy2.raw
}

@test "departure: most workers (-m)" {
  make_data disk.raw
  run -0 imgtool convert -m 32 -f raw disk.raw copy.raw
  run -1 --separate-stderr imgtool convert -m 33 -f raw disk.raw copy.raw
  expect_message "it must be a number from 1 to 32"
  run -0 as_qemu_img convert -m 16 -f raw disk.raw copy.raw
  run -1 --separate-stderr as_qemu_img convert -m 17 -f raw disk.raw copy.raw
  expect_message "it must be a number from 1 to 16"
}

@test "departure: something was salvaged" {
  require strace
  make_data disk.raw
  as_qemu_img --version >/dev/null
  export ASAN_OPTIONS=detect_leaks=0 # which a traced program cannot do
  calls=pread64,preadv,preadv2,copy_file_range
  broken=(strace -o /dev/null -P "$PWD/disk.raw" -e "trace=$calls" -e "inject=$calls:error=EIO")
  salvage=(convert -m 1 --no-sandbox --reflink=never --salvage -f raw disk.raw copy.raw)
  run -1 "${broken[@]}" bin/qemu-img convert -m 1 --no-sandbox --reflink=never -f raw disk.raw copy.raw
  run -4 --separate-stderr timeout 60 "${broken[@]}" "$IMGTOOL" "${salvage[@]}"
  expect_message "imgtool: warning: unreadable, replaced by zeros: offset 0, length 1048576"
  cmp -n 1M copy.raw /dev/zero
  run -0 --separate-stderr timeout 60 "${broken[@]}" bin/qemu-img "${salvage[@]}"
  expect_message "qemu-img: warning: unreadable, replaced by zeros: offset 0, length 1048576"
  run -0 --separate-stderr timeout 60 "${broken[@]}" bin/qemu-img "${salvage[@]}" -q
  expect_no_message
}

# flushes COMMAND...: the number of calls of fsync
flushes() {
  strace -f -o trace -e trace=fsync,fdatasync,sync_file_range "$@" || return
  grep -c 'fsync(' trace || :
}

@test "departure: copies are flushed" {
  require strace
  make_data disk.raw
  as_qemu_img --version >/dev/null
  export ASAN_OPTIONS=detect_leaks=0
  for program in "$IMGTOOL" bin/qemu-img; do
    # The file, and the directory.
    [[ $(flushes "$program" convert -f raw disk.raw copy.raw) -ge 2 ]]
    [[ $(flushes "$program" convert -t writeback -f raw disk.raw copy.raw) -ge 2 ]]
    [[ $(flushes "$program" create -q copy.raw 1M) -ge 2 ]]
    [[ $(flushes "$program" convert -t unsafe -f raw disk.raw copy.raw) == 0 ]]
    [[ $(flushes "$program" convert --no-fsync -f raw disk.raw copy.raw) == 0 ]]
    [[ $(flushes "$program" create -q --no-fsync copy.raw 1M) == 0 ]]
  done
}

@test "departure: targets are replaced whole" {
  make_data disk.raw 4M
  as_qemu_img --version >/dev/null
  for program in "$IMGTOOL" bin/qemu-img; do
    echo old >copy.raw
    start slow "$program" convert -m 1 -r 1M -f raw disk.raw copy.raw
    wait_for 20 test -e .copy.raw.imgtool-part
    [[ $(cat copy.raw) == old ]]
    stop slow
    [[ $(cat copy.raw) == old && ! -e .copy.raw.imgtool-part ]]
    run -0 "$program" convert -f raw disk.raw copy.raw
    cmp disk.raw copy.raw
  done
}

@test "departure: source is also the target" {
  make_data disk.raw
  cp disk.raw before.raw
  ln disk.raw hard.raw
  ln -s disk.raw soft.raw
  for target in disk.raw hard.raw soft.raw "$DIR/disk.raw"; do
    both_fail convert -U -f raw disk.raw "$target"
    both_fail convert -U --locking=off -n -f raw disk.raw "$target"
    cmp before.raw disk.raw
  done
}

@test "departure: target open without a lock" {
  make_data disk.raw
  echo old >copy.raw
  hold_open writer read-write copy.raw
  both_fail convert -f raw disk.raw copy.raw
  expect_message "pid ${PID[writer]}"
  [[ $(cat copy.raw) == old ]]
  run -0 as_qemu_img convert --ignore-openers -f raw disk.raw copy.raw
}

@test "departure: size of a raw image" {
  head -c 1000 /dev/urandom >disk.raw
  as_qemu_img --version >/dev/null
  for program in "$IMGTOOL" bin/qemu-img; do
    "$program" convert -f raw disk.raw copy.raw
    cmp disk.raw copy.raw
    run -0 "$program" create new.raw 1000
    [[ $output == "Formatting 'new.raw', fmt=raw size=1000" ]]
    [[ $(stat -c %s new.raw) == 1000 ]]
    rm copy.raw new.raw
  done
  # qemu-img rounds it up.
  qemu-img create -q new.raw 1000
  [[ $(stat -c %s new.raw) == 1024 ]]
}

@test "departure: stdout cannot be written" {
  make_data disk.raw
  as_qemu_img --version >/dev/null
  for program in "$IMGTOOL" bin/qemu-img; do
    for words in "info -f raw disk.raw" --version "create new.raw 1M" \
      "convert -p -f raw disk.raw copy.raw" "convert --digest=sha256 -f raw disk.raw copy.raw"; do
      # shellcheck disable=SC2086
      run -1 --separate-stderr bash -c '"$@" >/dev/full' bash "$program" $words
      expect_message "cannot write the output: No space left on device"
    done
  done
  # The copy itself is done.
  cmp disk.raw copy.raw
}

# both_status STATUS ARGUMENT...: imgtool check ends with that, under either name
both_status() {
  run "-$1" --separate-stderr imgtool check "${@:2}"
  run "-$1" --separate-stderr as_qemu_img check "${@:2}"
}

@test "departure: the backing file in a check" {
  mkfifo pipe
  qemu-img create -q -f qcow2 -u -b pipe -F raw disk.qcow2 1M
  both_status 0 disk.qcow2
  # qemu-img waits for somebody who writes to the pipe.
  run -124 timeout 2 qemu-img check disk.qcow2
}

@test "departure: findings of a check" {
  make_image
  qemu-io -f qcow2 -c "write -q -P 1 0 4M" disk.qcow2
  put disk.qcow2 "$(field disk.qcow2 l1_offset)" 8 0
  put disk.qcow2 "$(l1_at disk.qcow2 0)" 8 0
  head -c 1024 /dev/zero | tr '\0' '\1' | dd of=disk.qcow2 bs=1 conv=notrunc status=none \
    seek=$(($(first_block disk.qcow2) + 1024))
  truncate -s 128M disk.qcow2
  both_status 3 disk.qcow2
  [[ ${#stderr_lines[@]} == 101 && ${stderr_lines[100]} == "100 of "*" findings are shown" ]]
  both_status 3 -q disk.qcow2
  [[ -z $stderr ]]
  qemu-img check -q disk.qcow2 2>theirs || true
  (($(wc -l <theirs) > 500))
}

@test "departure: a table cut by the end of its file" {
  make_image
  table=$(($(get disk.qcow2 "$(l1_at disk.qcow2 0)" 8) & 0xfffffffffffe00))
  for ((i = 0; i < 16; i++)); do
    put disk.qcow2 "$(l2_at disk.qcow2 $i)" 8 0
    put disk.qcow2 "$(refcount_at disk.qcow2 $((table / 65536 + 1 + i)))" 2 0
  done
  truncate -s $((table + 4096)) disk.qcow2
  both_status 2 disk.qcow2
  qemu-img check -q disk.qcow2
}

@test "departure: refcounts past the end of the file" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 1000)" 2 1
  both_status 3 disk.qcow2
  qemu-img check -q disk.qcow2
}

@test "departure: data in the place of metadata" {
  make_image
  cluster=$(($(field disk.qcow2 l1_offset) / 65536))
  old=$(data_cluster disk.qcow2 5)
  put disk.qcow2 "$(l2_at disk.qcow2 5)" 8 $((cluster << 16))
  put disk.qcow2 "$(refcount_at disk.qcow2 "$cluster")" 2 2
  put disk.qcow2 "$(refcount_at disk.qcow2 "$old")" 2 0
  both_status 2 disk.qcow2
  qemu-img check -q disk.qcow2
}

@test "departure: what may be lost in a repair" {
  make_image
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" 0x100000000000
  cp disk.qcow2 theirs.qcow2
  both_status 2 -r all disk.qcow2
  qemu-img check -q -r all theirs.qcow2 2>/dev/null || true
  # The entry is put right again: qemu-img has given its clusters away.
  flip disk.qcow2 "$(l1_at disk.qcow2 0)" 0x100000000000
  flip theirs.qcow2 "$(l1_at theirs.qcow2 0)" 0x100000000000
  qemu-img check -q disk.qcow2
  ! qemu-img check -q theirs.qcow2 2>/dev/null
}

@test "departure: who has the image open in a repair" {
  make_image
  put disk.qcow2 "$(refcount_at disk.qcow2 9)" 2 0
  hold_open writer read-write disk.qcow2
  both_status 1 -r all disk.qcow2
  expect_message "pid ${PID[writer]}"
  cp --reflink=never disk.qcow2 before.qcow2
  qemu-img check -q -r all disk.qcow2 2>/dev/null
  ! cmp -s disk.qcow2 before.qcow2
}

# silent_copy ARGUMENT...: copy.raw becomes disk.raw without a word on stderr
silent_copy() {
  run -0 --separate-stderr as_qemu_img convert "$@"
  expect_no_message
  cmp disk.raw copy.raw
}

@test "command lines of programs that call qemu-img" {
  require jq
  make_data disk.raw 3M
  truncate -s 5M disk.raw
  # vdsm
  truncate -s 5M copy.raw
  silent_copy -p -t none -T none -f raw disk.raw -O raw copy.raw -W -n --target-is-zero
  [[ $output == *'(100.00/100%)'* ]]
  # LXD: options behind the files, and one of them twice
  rm copy.raw && truncate -s 5M copy.raw
  silent_copy -p -f raw -O raw -T none -t none -W -n --target-is-zero disk.raw copy.raw
  rm copy.raw
  silent_copy -f raw -O raw disk.raw copy.raw -t writeback -T none -t none
  # KubeVirt's importer
  run -0 --separate-stderr as_qemu_img create -f raw copy.raw 5M -o preallocation=falloc
  expect_no_message
  silent_copy -t none -p -O raw disk.raw copy.raw
  silent_copy -t writeback -p -O raw disk.raw copy.raw -o preallocation=full
  # OpenStack: Nova, Ironic, Cinder
  silent_copy -t none -O raw -f raw disk.raw copy.raw
  silent_copy -O raw -t none -S 0 -f raw -W disk.raw copy.raw
  run -0 --separate-stderr env LC_ALL=C LANG=C bin/qemu-img info copy.raw --force-share --output=json
  expect_no_message
  expect '.["virtual-size"] == 5242880' '.format == "raw"' 'has("backing-filename") | not'
  # Proxmox VE
  silent_copy -p -n -t none -T none -r 1000000k --image-opts --target-image-opts \
    driver=raw,file.filename=disk.raw driver=raw,file.filename=copy.raw
  # CoreOS
  silent_copy -f raw disk.raw -O raw copy.raw
}
