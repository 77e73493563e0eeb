#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# convert's command line: options in every spelling, and mistakes, which are found before any file
# is touched.

load lib

# make_data FILE [SIZE]: not zeros
make_data() {
  head -c "${2:-1M}" /dev/urandom >"$1"
}

# copies ARGUMENT...: disk.raw becomes copy.raw, and nothing is said
copies() {
  rm -f copy.raw
  run -0 --separate-stderr imgtool convert "$@"
  [[ -z $output ]]
  expect_no_message
  cmp disk.raw copy.raw
}

# refuses TEXT ARGUMENT...: fails with that message. The images that are named do not exist, and
# would be complained about if anything had looked for them.
refuses() {
  run -1 --separate-stderr imgtool convert "${@:2}"
  [[ -z $output ]]
  expect_message "imgtool: " "$1"
  [[ $stderr != *"No such file"* ]]
  [[ $(compgen -G '*.raw' | grep -vx disk.raw) == "" && ! -e ./- ]]
}

@test "every option of qemu-img, in its short form and its long one" {
  make_data disk.raw
  copies -f raw -O raw -S 4k -t writeback -T writeback -m 4 -W -r 1G -U disk.raw copy.raw
  copies --source-format raw --target-format raw --sparse-size 4k --target-cache writeback \
    --source-cache writeback --parallel 4 --oob-writes --rate 1G --force-share disk.raw copy.raw
  copies --format=raw -C disk.raw copy.raw
  copies -f raw --copy-range-offloading disk.raw copy.raw
  copies -f raw -q disk.raw copy.raw
  copies -f raw --quiet --salvage disk.raw copy.raw
  copies -f raw -o preallocation=off disk.raw copy.raw
  copies --image-opts driver=raw,file.filename=disk.raw copy.raw
  copies --source-image-opts driver=raw,file.filename=disk.raw copy.raw
  for cache in none writeback writethrough directsync unsafe; do
    copies -f raw -t $cache -T $cache disk.raw copy.raw
  done
}

@test "imgtool's own options" {
  make_data disk.raw
  for locking in on off auto posix; do
    copies -f raw --locking=$locking disk.raw copy.raw
  done
  copies -f raw --no-fsync --reflink=never --lock-wait=1 --strict --verify --ignore-openers \
    disk.raw copy.raw
  copies -f raw --in-place --reflink=auto --lock-wait disk.raw copy.raw
}

@test "options after the operands, and as unambiguous beginnings" {
  make_data disk.raw
  copies disk.raw copy.raw -f raw -t writeback -T none -t none
  copies -f raw disk.raw -O raw copy.raw
  copies --source-f=raw disk.raw copy.raw --target-f raw
  copies -f raw -- disk.raw copy.raw
}

@test "of a repeated option the last one counts, but -o adds up" {
  make_data disk.raw
  copies -f raw -O raw -m 3 -m 1 -S 0 -S 4k -t unsafe -t writeback disk.raw copy.raw
  copies -f raw -o preallocation=full -o preallocation=off disk.raw copy.raw
  copies -f raw -o preallocation=full,preallocation=falloc -o preallocation=off disk.raw copy.raw
  copies -f raw -o preallocation=off -o preallocation=falloc disk.raw copy.raw
  # A key that is wrong is wrong wherever it stands.
  rm copy.raw
  refuses "unknown key 'nonsense' in -o" -o nonsense=1 -o preallocation=off disk.raw copy.raw
  # A doubled comma is one in the value.
  refuses "bad value 'off,x' for preallocation: it must be off, falloc or full" \
    -o preallocation=off,,x disk.raw copy.raw
}

@test "-o preallocation is done" {
  truncate -s 1M disk.raw
  copies -f raw -o preallocation=off disk.raw copy.raw
  (($(stat -c %b copy.raw) == 0))
  for mode in falloc full; do
    copies -f raw -o preallocation=$mode disk.raw copy.raw
    (($(stat -c %b copy.raw) >= 2048))
  done
}

@test "-o help" {
  for words in "-o help" "-o ?" "-o preallocation=off,help" "-o preallocation=off -o help" \
    "-o help missing.raw new.raw" "-O raw -o help"; do
    # shellcheck disable=SC2086
    run -0 --separate-stderr imgtool convert $words
    [[ ${lines[0]} == "Supported raw options:" ]]
    expect_text "preallocation=<str>    - Preallocation mode (allowed values: off, falloc, full)"
    expect_no_message
  done
  run -0 --separate-stderr imgtool convert -O qcow2 -o help
  [[ ${lines[0]} == "Supported qcow2 options:" ]]
  expect_text "cluster_size=<size>    - Size of a cluster, 512 to 2M"
  [[ $output != *size=\<size\>*-*Virtual* ]]
  run -0 imgtool convert -o help
  [[ $output != *size=* ]] # which the sources have
}

@test "too few operands" {
  refuses "convert: which image?"
  refuses "convert: which target?" disk.raw
  refuses "Try 'imgtool convert --help' for more information." disk.raw
}

@test "lists that are none" {
  for list in '' ',' ',preallocation=off' 'preallocation=off,' preallocation =off a,,b; do
    refuses "KEY=VALUE" -o "$list" disk.raw copy.raw
  done
}

@test "values that are none" {
  for size in 100 1 513 16777728 32M x -1 '' 4kk; do
    refuses "bad value '$size' for --sparse-size" -S "$size" disk.raw copy.raw
  done
  refuses "it must be a multiple of 512 up to 16M, or 0 to write everything" -S 1 disk.raw copy.raw
  for workers in 0 33 x -1 '' 1.5 99999999999999999999; do
    refuses "bad value '$workers' for --parallel: it must be a number from 1 to 32" \
      -m "$workers" disk.raw copy.raw
  done
  for rate in x -1 '' 1x; do
    refuses "bad value '$rate' for --rate: it must be a size" -r "$rate" disk.raw copy.raw
  done
  caches="it must be none, writeback, writethrough, directsync or unsafe"
  refuses "bad value 'x' for --target-cache: $caches" -t x disk.raw copy.raw
  refuses "bad value 'x' for --source-cache: $caches" -T x disk.raw copy.raw
  refuses "bad value 'x' for --reflink: it must be auto, always or never" \
    --reflink=x disk.raw copy.raw
  refuses "bad value 'x' for --locking" --locking=x disk.raw copy.raw
  refuses "bad value 'x' for --lock-wait" --lock-wait=x disk.raw copy.raw
  refuses "bad value 'x' for preallocation" -o preallocation=x disk.raw copy.raw
  for names in x sha256,x '' 'sha256,' ',sha256'; do
    refuses "for --digest: it must be" --digest="$names" disk.raw copy.raw
  done
  refuses "\\x1b" --digest=$'\e' disk.raw copy.raw
  [[ $stderr != *$'\e'* ]]
}

@test "the least and the most" {
  make_data disk.raw
  copies -f raw -S 0 disk.raw copy.raw
  copies -f raw -S 512 disk.raw copy.raw
  copies -f raw -S 16M disk.raw copy.raw
  copies -f raw -S 1536 disk.raw copy.raw
  copies -f raw -S 12k disk.raw copy.raw
  copies -f raw -m 1 disk.raw copy.raw
  copies -f raw -m 32 disk.raw copy.raw
  copies -f raw -r 0 disk.raw copy.raw
}

@test "formats that are not supported, and those that nobody knows" {
  for words in "-f vmdk" "-O vmdk -o subformat=streamOptimized" "-f vdi -O qcow2"; do
    # shellcheck disable=SC2086
    refuses "is not supported yet" $words disk.raw copy.raw
    expect_message "the format "
    [[ $stderr != *Try* ]]
  done
  for option in -f -O --format --source-format --target-format "-O qcow2 -B base.raw -F"; do
    # shellcheck disable=SC2086
    refuses "no such format" $option nonsense disk.raw copy.raw
  done
  refuses "the format vdi is not supported yet" \
    --image-opts driver=vdi,file.filename=disk.raw copy.raw
  refuses "the format vdi is not supported yet" -n --target-image-opts disk.raw \
    driver=vdi,file.filename=copy.raw
}

@test "what raw has no use for" {
  refuses "a raw image cannot be compressed: -c needs -O qcow2" -c disk.raw copy.raw
  refuses "a raw image cannot have a backing file: that needs -O qcow2" \
    -B base.raw -F raw disk.raw copy.raw
  refuses "format driver 'raw' does not support bitmaps" --bitmaps disk.raw copy.raw
  refuses "--object is not supported yet" --object secret,id=x,data=y disk.raw copy.raw
}

@test "what does not go together" {
  refuses "-o has no effect when skipping image creation (-n)" \
    -n -o preallocation=off disk.raw copy.raw
  refuses "--target-is-zero requires use of -n flag" --target-is-zero disk.raw copy.raw
  refuses "--target-image-opts requires use of -n flag" \
    --target-image-opts disk.raw driver=raw,file.filename=copy.raw
  refuses "-n and --in-place exclude each other" -n --in-place disk.raw copy.raw
  refuses "cannot enable copy offloading (-C) when -S is used" -C -S 4k disk.raw copy.raw
  refuses "cannot use copy offloading (-C) with --salvage" -C --salvage disk.raw copy.raw
  refuses "--format and --image-opts exclude each other" \
    -f raw --image-opts driver=raw,file.filename=disk.raw copy.raw
  refuses "--target-format and --target-image-opts exclude each other" -n -O raw --target-image-opts disk.raw \
    driver=raw,file.filename=copy.raw
  refuses "--target-image-opts needs driver=FORMAT" -n --target-image-opts disk.raw \
    file.filename=copy.raw
  refuses "--image-opts needs file.filename=PATH" --image-opts driver=raw copy.raw
}

@test "streams: standard input once, and nothing that standard output cannot do" {
  refuses "standard input can be read only once" - - copy.raw
  refuses "standard input can be read only once" - disk.raw - -
  for words in -p -n --in-place "-o preallocation=full" --verify --reflink=always \
    --progress=json:1; do
    # shellcheck disable=SC2086
    refuses "cannot be used when writing to standard output" $words disk.raw -
  done
}

@test "standard output that is a terminal is no target" {
  require script
  make_data disk.raw
  # The terminal is left with its messages, and the status is what script ends with.
  run -1 script -qec "'$IMGTOOL' convert -f raw disk.raw -" /dev/null
  [[ $output == "imgtool: standard output is a terminal"* ]]
}

@test "from standard input, to standard output, and both" {
  make_data disk.raw
  imgtool convert -f raw - copy.raw <disk.raw
  cmp disk.raw copy.raw
  # shellcheck disable=SC2002
  cat disk.raw | imgtool convert -f raw - - | cmp - disk.raw
}

@test "standard input between files, of every length" {
  make_data disk.raw
  for size in 0 1 70001 1M 2M; do
    make_data stream.raw $size
    cat disk.raw stream.raw disk.raw >wanted.raw
    imgtool convert -f raw disk.raw - disk.raw copy.raw <stream.raw
    cmp wanted.raw copy.raw
    imgtool convert -m 1 -f raw disk.raw - disk.raw - <stream.raw >copy.raw
    cmp wanted.raw copy.raw
  done
}

@test "streams that are closed" {
  make_data disk.raw
  run -1 --separate-stderr bash -c '"$@" >&-' bash "$IMGTOOL" convert -f raw disk.raw -
  expect_message "imgtool: " "standard output"
  run -1 --separate-stderr bash -c '"$@" <&-' bash "$IMGTOOL" convert -f raw - copy.raw
  expect_message "imgtool: " "standard input"
  [[ ! -e copy.raw ]]
  # What is opened does not take their place.
  run -0 bash -c '"$@" <&- >&- 2>&-' bash "$IMGTOOL" convert -f raw disk.raw copy.raw
  cmp disk.raw copy.raw
}

@test "an image from standard input is not taken for a raw disk, unless that is said" {
  require qemu-img
  make_data disk.raw
  qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
  run -1 --separate-stderr bash -c 'cat disk.qcow2 | "$1" convert - copy.raw' bash "$IMGTOOL"
  expect_message "what comes from standard input looks like qcow2" "-f raw copies its bytes"
  [[ ! -e copy.raw ]]
  imgtool convert -f raw - copy.raw <disk.qcow2
  cmp disk.qcow2 copy.raw
  for size in 0 1 511 512 513 70000; do
    head -c $size disk.raw >part.raw
    cat part.raw | imgtool convert - copy.raw
    cmp part.raw copy.raw
  done
}

@test "a file called - is written ./-, or named with --image-opts" {
  make_data disk.raw
  imgtool convert -f raw disk.raw ./-
  cmp disk.raw ./-
  imgtool convert --image-opts driver=raw,file.filename=- copy.raw </dev/null
  cmp disk.raw copy.raw
  : >./-
  truncate -s 1M ./-
  run -0 imgtool convert -n -f raw --target-image-opts disk.raw driver=raw,file.filename=-
  [[ -z $output ]]
  cmp disk.raw ./-
}

@test "several sources are one disk" {
  make_data disk.raw 300K
  make_data two.raw 70001
  run -0 --separate-stderr imgtool convert -f raw disk.raw two.raw disk.raw copy.raw
  expect_no_message
  cat disk.raw two.raw disk.raw | cmp - copy.raw
}

@test "--digest: lines that cksum can check" {
  make_data disk.raw
  truncate -s 3M disk.raw
  run -0 --separate-stderr imgtool convert --digest=sha256,sha512 -f raw disk.raw copy.raw
  [[ $output == "$(sha256sum --tag copy.raw; sha512sum --tag copy.raw)" ]]
  expect_no_message
  # The last one counts.
  run -0 imgtool convert --digest=sha512 --digest=sha256 -f raw disk.raw copy.raw
  [[ $output == "$(sha256sum --tag copy.raw)" ]]
  for name in 'two words.raw' $'line\nbreak.raw' 'back\slash.raw' 'ünï.raw'; do
    run -0 imgtool convert --digest=sha256 -f raw disk.raw "$name"
    [[ $output == "$(sha256sum --tag "$name")" ]]
  done
  # Everything else stays as it is, but on a terminal.
  for name in $'es\ecape.raw' $'tab\t.raw' $'cr\r.raw' $'no\xffutf8.raw'; do
    imgtool convert --digest=sha256 -f raw disk.raw "$name" >sums
    run -0 cksum --check sums
  done
  run -0 script -qec "'$IMGTOOL' convert --digest=sha256 -f raw disk.raw '"$'es\ecape.raw'"'" /dev/null
  [[ $output == *'\SHA256 (es\x1bcape.raw) = '* ]]
}

@test "--digest goes to standard error if the disk goes to standard output" {
  make_data disk.raw
  imgtool convert --digest=sha256 -f raw disk.raw - >copy.raw 2>digest
  cmp disk.raw copy.raw
  [[ $(cat digest) == "SHA256 (-) = $(sha256sum <disk.raw | cut -d ' ' -f 1)" ]]
}

@test "a digest is not printed for a copy that failed" {
  make_data disk.raw
  run -1 --separate-stderr imgtool convert --digest=sha256 -f raw disk.raw missing/copy.raw
  [[ -z $output ]]
  expect_message "imgtool: "
}

@test "-v says how much became what, and how fast" {
  make_data disk.raw
  truncate -s 3M disk.raw
  run -0 --separate-stderr imgtool convert -v --reflink=never -f raw disk.raw copy.raw
  [[ -z $output ]]
  grep -qxE 'imgtool: copied 1 MiB, zero 2 MiB, cloned 0 B in [0-9]+\.[0-9] s \(.*B/s\)' <<<"$stderr"
  run -1 --separate-stderr imgtool convert -v -f raw disk.raw missing/copy.raw
  [[ $stderr != *copied* ]]
}

@test "--salvage lists a hundred ranges, and counts the rest" {
  require strace
  export ASAN_OPTIONS=detect_leaks=0 # which a traced program cannot do
  make_data disk.raw 4M
  # Every other read fails, also of those that try again.
  calls=pread64,preadv,preadv2
  broken=(timeout 60 strace -o /dev/null -P "$PWD/disk.raw" -e "trace=$calls"
    -e "inject=$calls:error=EIO:when=1+2")
  run -4 --separate-stderr "${broken[@]}" "$IMGTOOL" convert -m 1 --no-sandbox --reflink=never --salvage -f raw \
    disk.raw copy.raw
  [[ -z $output && ${#stderr_lines[@]} -eq 101 ]]
  line='imgtool: warning: unreadable, replaced by zeros:'
  [[ $(grep -cxE "$line offset [0-9]+, length [0-9]+" <<<"$stderr") == 100 ]]
  [[ ${stderr_lines[100]} =~ ^"$line "([0-9]+)" more ranges; altogether "([0-9]+)" bytes"$ ]]
  # As many bytes differ as it says, or fewer: some were zeros before.
  differing=$(cmp -l disk.raw copy.raw | wc -l)
  ((differing <= BASH_REMATCH[2] && differing > BASH_REMATCH[2] * 9 / 10))
  run -4 --separate-stderr "${broken[@]}" "$IMGTOOL" convert -q -m 1 --no-sandbox --reflink=never --salvage \
    -f raw disk.raw copy.raw
  expect_no_message
}
