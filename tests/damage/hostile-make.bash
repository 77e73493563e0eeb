# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# How the cases of hostile.bash are made: the folders that they begin with, and what is done to the
# image in them, which is $IMAGE in the working directory.

# ---- bases: each makes disk.qcow2, and what belongs to it, in the working directory ---------------

# written FORMAT OFFSET BYTES FIRST: into disk.qcow2, each sector with a number of its own, the first
# with that one: a sector in the wrong place is seen
written() {
  perl -e 'printf "%-511d\n", $_ for $ARGV[0] .. $ARGV[0] + $ARGV[1] / 512 - 1' "$4" $(($3)) >numbers
  qemu-io -f "$1" -c "write -q -s numbers $2 $(($3))" disk.qcow2
  rm numbers
}

# new_image [OPTION...]: of 4 MiB, the first MiB of it data
new_image() {
  qemu-img create -q -f qcow2 "$@" disk.qcow2 4M
  written qcow2 0 "1 << 20" 10000
}

base_empty() { :; } # no image at all
base_plain() { new_image; }
base_v2() { new_image -o compat=0.10; }
base_small() { new_image -o cluster_size=512; }
base_large() { new_image -o cluster_size=2M; }
base_extended() { new_image -o extended_l2=on; }
base_narrow() { new_image -o refcount_bits=1; }
base_wide() { new_image -o refcount_bits=64; }
base_lazy() { new_image -o lazy_refcounts=on; }
base_allocated() { new_image -o preallocation=metadata; }
base_data() { new_image -o data_file=data.raw; }
base_data_raw() { new_image -o data_file=data.raw,data_file_raw=on; }

# One cluster that does not compress to nearly nothing, and a whole disk of such.
compressed_image() {
  seq 1 100000 | head -c 65536 >from.raw
  qemu-img convert -c -f raw -O qcow2 -o compression_type="$1" from.raw disk.qcow2
  rm from.raw
}
base_zlib() { compressed_image zlib; }
base_zstd() { compressed_image zstd; }

base_snapshots() {
  new_image
  qemu-img snapshot -c first disk.qcow2
  written qcow2 512k "1 << 20" 20000
  qemu-img snapshot -c second disk.qcow2
}

base_bitmaps() {
  new_image
  qemu-img bitmap --add -g 64k disk.qcow2 one
  qemu-img bitmap --add -g 64k --disable disk.qcow2 two
}

base_luks() {
  qemu-img create -q -f qcow2 --object secret,id=s,data=1234 \
    -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 disk.qcow2 1M
}

base_overlay() {
  new_image
  mv disk.qcow2 base.qcow2
  qemu-img convert -O raw base.qcow2 base.raw
  qemu-img create -q -f qcow2 -b base.raw -F raw disk.qcow2
  written qcow2 3M "64 << 10" 30000
}

base_raw() {
  qemu-img create -q -f raw disk.qcow2 4M
  written raw 1M "64 << 10" 70000
}

# many COUNT CHARACTER: a text of as many, the character as tr has it
many() {
  head -c "$1" /dev/zero | tr '\0' "$2"
}

# ---- steps -----------------------------------------------------------------------------------------

# with OPTION...: for all commands; copy_with OPTION...: for convert only; check_with OPTION...: for
# check only
with() {
  OPTIONS+=("$@")
}

copy_with() {
  CONVERT_OPTIONS+=("$@")
}

check_with() {
  CHECK_OPTIONS+=("$@")
}

# check_may_take KIB: more than 32 MiB, for refcounts
check_may_take() {
  CHECK_KIB=$1
}

# files_to BYTES: no file may become larger; that is what stops a bomb here
files_to() {
  FILE_LIMIT=$1
}

# because TEXT: if convert fails, its message has that
because() {
  BECAUSE=$1
}

# called NAME: the image has another name; is NAME: the image is something else, and stays as it is
called() {
  mv -- "$IMAGE" "$1"
  is "$1"
}

is() {
  IMAGE=$1
}

# elsewhere: all files are in another folder, and in the working directory there are others of the
# same names
elsewhere() {
  local name
  mkdir sub
  for name in *; do
    [[ $name != sub ]] || continue
    mv "$name" sub/
    [[ $name == "$IMAGE" ]] || many "$(stat -c %s "sub/$name")" '!' >"$name"
  done
  is "sub/$IMAGE"
}

# made KEY=VALUE...: by make-qcow2.pl
made() {
  perl "$BATS_TEST_DIRNAME/make-qcow2.pl" "$IMAGE" "$@"
}

# number_at OFFSET BYTES VALUE
number_at() {
  put "$IMAGE" $(($1)) "$2" $(($3))
}

# header NAME VALUE: a field of the header
header() {
  set_field "$IMAGE" "$1" $(($2))
}

# text_at OFFSET TEXT: as printf %b has it
text_at() {
  printf '%b' "$2" | dd of="$IMAGE" bs=64k seek=$(($1)) oflag=seek_bytes conv=notrunc status=none
}

# fill OFFSET COUNT BYTE: with so many, the byte in octal
fill() {
  head -c $(($2)) /dev/zero | tr '\0' "\\$3" |
    dd of="$IMAGE" bs=64k seek=$(($1)) oflag=seek_bytes conv=notrunc status=none
}

# noise OFFSET COUNT: with what does not look like anything, the same each time
noise() {
  perl -e 'srand 4; print pack "C*", map { int rand 256 } 1 .. $ARGV[0]' $(($2)) |
    dd of="$IMAGE" bs=64k seek=$(($1)) oflag=seek_bytes conv=notrunc status=none
}

# length BYTES: the file is cut, or becomes longer
length() {
  truncate -s $(($1)) -- "$IMAGE"
}

# cut_off BYTES: from the end of the file
cut_off() {
  truncate -s -$(($1)) -- "$IMAGE"
}

# l1 INDEX VALUE, l2 INDEX VALUE: an entry of a table
l1() {
  put "$IMAGE" "$(l1_at "$IMAGE" "$1")" 8 $(($2))
}

l2() {
  put "$IMAGE" "$(l2_at "$IMAGE" "$1")" 8 $(($2))
}

# l2_with INDEX BITS: an entry has those as well
l2_with() {
  l2 "$1" "$(get "$IMAGE" "$(l2_at "$IMAGE" "$1")" 8) | $2"
}

# refcount CLUSTER VALUE: of 16 bits
refcount() {
  put "$IMAGE" "$(refcount_at "$IMAGE" "$1")" 2 "$2"
}

# all_l1 COUNT VALUE: a table of so many entries that are all the same, at the end of the file
all_l1() {
  local at
  at=$((($(stat -c %s "$IMAGE") + 65535) / 65536 * 65536))
  truncate -s $at "$IMAGE"
  perl -e 'print pack ("Q>", $ARGV[1]) x $ARGV[0]' $(($1)) "$(printf %u $(($2)))" >>"$IMAGE"
  header l1_offset $at
  header l1_size "$1"
}

# extensions [ID TEXT]...: behind a header of 112 bytes there are these, and an end
extensions() {
  local size
  {
    while (($#)); do
      size=$(printf '%b' "$2" | wc -c)
      number 4 $(($1))
      number 4 "$size"
      printf '%b' "$2"
      head -c $((-size & 7)) /dev/zero
      shift 2
    done
    number 8 0
  } | dd of="$IMAGE" bs=64k seek=112 oflag=seek_bytes conv=notrunc status=none
}

# backing NAME [FORMAT]: in the place of an old name
backing() {
  text_at "$(field "$IMAGE" backing_offset)" "$1"
  header backing_size "$(printf '%b' "$1" | wc -c)"
  [[ -z ${2-} ]] || extensions 0xe2792aca "$2"
}

# data_file NAME
data_file() {
  extensions 0x44415441 "$1"
}

# data_at: where the first compressed cluster is
data_at() {
  echo $(($(get "$IMAGE" "$(l2_at "$IMAGE" 0)" 8) & ((1 << 54) - 1)))
}

# stream COMMAND...: what it prints is the first compressed cluster, at the end of the file
stream() {
  local at size
  at=$((($(stat -c %s "$IMAGE") + 65535) / 65536 * 65536))
  truncate -s $at "$IMAGE"
  "$@" >>"$IMAGE"
  size=$(($(stat -c %s "$IMAGE") - at))
  truncate -s %65536 "$IMAGE"
  l2 0 "1 << 62 | (($size + 511) / 512 - 1) << 54 | $at"
  refcount $((at / 65536)) 1
}

# deflated BYTES [WBITS]: so many of A; zipped BYTES [OPTION...]: likewise, with zstd
deflated() {
  perl -MCompress::Raw::Zlib -e 'my ($d) = Compress::Raw::Zlib::Deflate->new (-WindowBits => $ARGV[1],
    -AppendOutput => 1); my $p = ""; $d->deflate ("A" x $ARGV[0], $p); $d->flush ($p); print $p' \
    "$1" "${2:--12}"
}

zipped() {
  head -c "$1" /dev/zero | tr '\0' A | zstd -qc "${@:2}"
}

# chain_of N: disk.qcow2 and N - 1 images behind it, the last of which has the data
chain_of() {
  local n
  for ((n = 1; n < $1; n++)); do
    perl "$BATS_TEST_DIRNAME/make-qcow2.pl" $n.qcow2 size=65536 \
      "backing=$((n + 1)).qcow2" format=qcow2
  done
  perl "$BATS_TEST_DIRNAME/make-qcow2.pl" "$1.qcow2" size=65536 clusters=zlib count=1
  mv 1.qcow2 disk.qcow2
}

# second INDEX VALUE: the bitmap of an entry in an extended L2 table
second() {
  put "$IMAGE" $(($(l2_at "$IMAGE" 0) + $1 * 16 + 8)) 8 $(($2))
}

# two_frames: half a cluster each
two_frames() {
  zipped 32768
  zipped 32768
}

# noisy_extensions COUNT: unknown ones, without content
noisy_extensions() {
  perl -e 'print pack ("NN", 0x12345678, 0) x $ARGV[0]' "$1" |
    dd of="$IMAGE" bs=64k seek=112 oflag=seek_bytes conv=notrunc status=none
}
