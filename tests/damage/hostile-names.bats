#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# The corpus of hostile images, fourth part: names of backing and data files, what else an image can
# be than a file, two formats at once, file names.
# What the columns are is in hostile.bash.

load ../cli/lib
load qcow2
load check
load hostile-make
load hostile

# link_to WHERE: base.raw is a symbolic link
link_to() {
  rm base.raw
  ln -s "$1" base.raw
}

# there_is KIND: base.raw is that, or data.raw in an image that has one
there_is() {
  local name=base.raw
  [[ ! -e data.raw ]] || name=data.raw
  rm -f "$name"
  case $1 in
    fifo) mkfifo "$name" ;;
    folder) mkdir "$name" ;;
    socket) perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new (Local => $ARGV[0], Listen => 1) or die' "$name" ;;
    nothing) ;;
  esac
}

@test "hostile images: names of backing files that are no files" {
  hostile_setup
  hostile backing-nbd overlay ok,err unsafe ok err backing nbd://127.0.0.1:1/x
  hostile backing-nbd-unix overlay ok,err unsafe ok err backing nbd:unix:/nowhere
  hostile backing-http overlay ok,err unsafe ok err backing http://127.0.0.1:1/x
  hostile backing-ssh overlay ok,err unsafe ok err backing ssh://root@127.0.0.1/x
  hostile backing-fat overlay ok,err unsafe ok err backing fat:rw:/etc
  hostile backing-blkdebug overlay ok,err unsafe ok err backing blkdebug::base.raw
  hostile backing-unknown overlay ok,err unsafe ok err backing foo:bar
  hostile backing-file overlay ok unsafe ok base backing file:base.raw
  hostile backing-json overlay ok unsafe ok base backing 'json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}'
  hostile backing-json-nbd overlay ok,err unsafe ok err backing 'json:{"driver":"nbd","path":"/x"}'
  hostile backing-json-exec overlay ok,err unsafe ok err backing 'json:{"file.driver":"ssh","driver":"raw"}'
  hostile backing-json-deep overlay ok,err unsafe ok err backing "json:$(many 900 '[')"
  hostile backing-json-broken overlay ok,err unsafe ok err backing 'json:{"driver":'
  hostile backing-stdin overlay ok,err unsafe ok err backing /dev/stdin
  hostile backing-fd overlay ok,err unsafe ok err backing /dev/fd/0
  hostile backing-proc-fd overlay ok,err unsafe ok err backing /proc/self/fd/0
  hostile backing-proc-mem overlay ok,err unsafe ok err backing /proc/self/mem
  hostile backing-fdset overlay ok,err unsafe ok err backing /dev/fdset/0
  hostile backing-sys overlay ok,err unsafe ok err backing /sys/kernel/uevent_seqnum
  hostile backing-zero overlay ok,err unsafe ok err backing /dev/zero
  hostile backing-urandom overlay ok,err unsafe ok err backing /dev/urandom
  hostile backing-tty overlay ok,err unsafe ok err backing /dev/tty
  # valgrind does not know openat2(2): as before Linux 5.6, the link is followed.
  [[ ${HOSTILE-} == valgrind ]] || hostile backing-link-to-proc overlay ok,err unsafe ok err link_to /proc/self/fd/0
  hostile backing-link-to-zero overlay ok,err unsafe ok err link_to /dev/zero
  hostile backing-fifo overlay ok,err unsafe ok err there_is fifo
  hostile backing-folder overlay ok,err unsafe ok err there_is folder
  hostile backing-socket overlay ok,err unsafe ok err there_is socket
  hostile_verdict 26
}

@test "hostile images: names of backing files" {
  hostile_setup
  hostile backing-missing overlay ok,err unsafe ok err there_is nothing
  hostile backing-shadow overlay ok,err unsafe ok err backing /etc/passwd and called disk.img
  hostile backing-length-1023 overlay ok,err unsafe ok err backing "$(many 1018 '/')b.raw"
  hostile backing-length-1024 overlay err unsafe err err backing "$(many 1024 'x')"
  hostile backing-length-max overlay err unsafe err err header backing_size 0xffffffff
  hostile backing-length-0 overlay ok ok ok qemu header backing_size 0
  hostile backing-outside-cluster overlay err unsafe err err header backing_offset 65537
  hostile backing-across-cluster overlay err unsafe err err header backing_offset 65530
  hostile backing-at-max overlay err unsafe err err header backing_offset -1
  hostile backing-in-header overlay err unsafe err err header backing_offset 8
  hostile backing-nul overlay err unsafe err err backing 'base.raw\x00.qcow2'
  hostile backing-forges overlay ok,err unsafe ok err backing 'x\nfile format: raw\nvirtual size: 1'
  hostile backing-escapes overlay ok,err unsafe ok err backing '\x1b]0;x\x07\x1b[2J'
  hostile backing-bytes overlay ok,err unsafe ok err backing '\xff\xfe\xc0\x80'
  hostile backing-bidi overlay ok,err unsafe ok err backing '\xe2\x80\xaewar.esab'
  hostile backing-itself overlay ok,err unsafe ok err backing disk.qcow2 qcow2
  hostile backing-itself-by-link overlay ok,err unsafe ok err backing link qcow2 and ln -s disk.qcow2 link
  hostile backing-itself-by-hard-link overlay ok,err unsafe ok err backing link qcow2 and ln disk.qcow2 link
  hostile backing-cycle overlay ok,err unsafe ok err backing b.qcow2 qcow2 and cp disk.qcow2 b.qcow2 and text_in b.qcow2 b.qcow2 disk.qcow2
  hostile backing-link-loop overlay ok,err unsafe ok err link_to base.raw
  hostile backing-format-wrong overlay ok,err unsafe ok err backing base.raw qcow2
  hostile backing-format-raw-of-qcow2 overlay ok unsafe ok qemu backing base.qcow2 raw
  hostile backing-format-unknown overlay ok,err unsafe ok err backing base.raw vmdk
  hostile backing-format-escapes overlay ok,err unsafe ok err backing base.raw '\x1b[2J\n'
  hostile backing-format-not-said overlay ok unsafe ok base extensions
  hostile backing-probed-with-names overlay ok,err unsafe ok err extensions and base_is_overlay
  hostile backing-relative overlay ok unsafe ok base elsewhere
  hostile backing-shorter overlay ok unsafe ok base truncate -s 1M base.raw
  hostile backing-odd overlay ok unsafe ok qemu truncate -s 1000001 base.raw
  hostile backing-damaged overlay ok unsafe ok err backing base.qcow2 qcow2 and truncate -s 300k base.qcow2
  hostile chain-of-65 empty ok,err unsafe corrupt,,ok err chain_of 65
  hostile chain-of-200 empty ok,err unsafe corrupt,,ok err chain_of 200
  hostile_verdict 32
}

# text_in FILE OLD NEW: likewise long, or longer at the end of the header
text_in() {
  IMAGE=$1 backing "$3" qcow2
}

# base_is_overlay: base.raw is an image that names another
base_is_overlay() {
  mv base.raw b.raw
  qemu-img create -q -f qcow2 -b b.raw -F raw base.raw
}

@test "hostile images: data files" {
  hostile_setup
  hostile data-relative data ok unsafe ok base elsewhere
  hostile data-missing data ok unsafe ok,err err there_is nothing
  hostile data-fifo data ok unsafe ok,err err there_is fifo
  hostile data-folder data ok unsafe ok,err err there_is folder
  hostile data-socket data ok unsafe ok,err err there_is socket
  hostile data-shorter data ok unsafe ok,corrupt err truncate -s 100k data.raw
  hostile data-itself data ok unsafe ok,corrupt err data_file disk.qcow2
  hostile data-outside data ok unsafe ok,err err data_file ../stdin
  hostile data-etc data ok unsafe ok,err err data_file /etc/passwd
  hostile data-zero data ok unsafe ok,err err data_file /dev/zero
  hostile data-stdin data ok unsafe ok,err err data_file /dev/stdin
  hostile data-proc data ok unsafe ok,err err data_file /proc/self/fd/0
  hostile data-json data ok unsafe ok,err err data_file 'json:{"driver":"null-co"}'
  hostile data-nbd data ok unsafe ok,err err data_file nbd://127.0.0.1:1/x
  hostile data-empty-name data ok unsafe ok,err err data_file ''
  hostile data-no-name data ok unsafe err err extensions
  hostile data-nul data err unsafe err err data_file 'data.raw\x00x'
  hostile data-forges data ok unsafe ok,err err data_file 'x\nsafe: yes\x1b[2J'
  hostile data-bytes data ok unsafe ok,err err data_file '\xff\xfe'
  hostile data-name-5000 data err unsafe err err data_file "$(many 5000 'x')"
  hostile data-link-outside data ok unsafe ok,err err ln -sf /etc/passwd data.raw
  hostile data-past-end data ok unsafe corrupt err l2 3 "0x8000000000000000 | 1 << 40"
  hostile data-compressed data ok unsafe corrupt err l2 3 "1 << 62"
  hostile data-raw-elsewhere data_raw ok unsafe corrupt err l2 3 "0x8000000000000000 | 7 << 16"
  hostile data-elsewhere data ok unsafe corrupt err l2 3 "0x8000000000000000 | 7 << 16"
  hostile data-raw-and-backing data_raw ok unsafe ok base raw_and_backing
  hostile data-is-the-backing data ok unsafe ok err data_and_backing
  hostile_verdict 27
}

# raw_and_backing: a backing file, which the disk does not need
raw_and_backing() {
  truncate -s 4M base.raw
  text_at 4096 base.raw
  header backing_offset 4096
  header backing_size 8
}

# data_and_backing: the data file is the backing file too
data_and_backing() {
  rm disk.qcow2
  cp data.raw keep
  qemu-img create -q -f qcow2 -o data_file=data.raw disk.qcow2 4M
  mv keep data.raw
  text_at 4096 data.raw
  header backing_offset 4096
  header backing_size 8
}

@test "hostile images: what is no file" {
  hostile_setup
  hostile image-fifo empty err err err err mkfifo disk.qcow2
  hostile image-folder empty err err err err mkdir disk.qcow2
  hostile image-link-loop empty err err err err ln -s disk.qcow2 disk.qcow2
  hostile image-missing empty err err err err true
  hostile image-zero empty err err err err is /dev/zero
  hostile image-null empty err err err err is /dev/null
  hostile image-urandom-as-qcow2 empty err err err err is /dev/urandom and with -f qcow2
  hostile image-stdin empty ok ok none ok is /dev/stdin
  hostile image-proc empty err err err err is /proc/self/mem
  hostile image-link plain ok ok ok base ln -s disk.qcow2 link.qcow2 and is link.qcow2
  hostile_verdict 10
}

@test "hostile images: two formats at once, and others" {
  hostile_setup
  hostile qcow2-and-mbr plain ok unsafe ok base text_at 510 '\x55\xaa'
  hostile qcow2-and-gpt plain ok unsafe ok base text_at 512 'EFI PART'
  hostile qcow2-and-iso plain ok unsafe ok base text_at 32769 CD001
  hostile qcow2-and-vpc plain ok unsafe ok base length "22 << 16" and text_at "(22 << 16) - 512" conectix
  hostile qcow2-and-dmg plain ok unsafe ok base length "22 << 16" and text_at "(22 << 16) - 512" koly
  hostile raw-and-vpc raw ok unsafe none qemu text_at "(4 << 20) - 512" conectix
  hostile raw-and-gpt raw ok ok none qemu text_at 512 'EFI PART' and text_at 510 '\x55\xaa'
  hostile raw-gpt-noise raw ok ok none qemu text_at 512 'EFI PART' and noise 520 8192
  hostile raw-mbr-noise raw ok ok none qemu noise 0 512 and text_at 510 '\x55\xaa'
  hostile qed-and-vdi raw err unsafe err err text_at 0 'QED\x00' and text_at 64 '\x7f\x10\xda\xbe'
  hostile vmdk-descriptor raw err unsafe err err text_at 0 '# Disk DescriptorFile\nversion=1\nRW 8 FLAT "/etc/passwd" 0\n'
  hostile vhdx raw err unsafe err err text_at 0 vhdxfile
  hostile qcow2-in-raw overlay ok,err unsafe ok err called disk.raw
  hostile qcow2-in-raw-said overlay ok unsafe none qemu called disk.raw and with -f raw
  hostile raw-as-qcow2 raw err unsafe err err with -f qcow2
  hostile raw-noise raw ok ok none qemu noise 0 65536
  hostile gzip raw ok ok none qemu text_at 0 '\x1f\x8b\x08\x00'
  hostile_verdict 17
}

@test "hostile images: file names" {
  hostile_setup
  hostile name-option plain ok ok ok base called -f.qcow2
  hostile name-protocol plain ok ok ok base called nbd:x
  hostile name-json plain ok ok ok base called 'json:{"driver":"null-co"}'
  hostile name-bytes plain ok ok ok base called $'\xff\xfe.qcow2'
  hostile name-escapes plain ok ok ok base called $'\e[2J\n\a.qcow2'
  hostile name-bidi plain ok ok ok base called $'\u202e.qcow2'
  hostile name-255 plain ok ok ok base called "$(many 249 'x').qcow2"
  hostile name-comma plain ok ok ok base called 'a,file.filename=b.qcow2'
  hostile name-damaged plain ok ok corrupt err called $'\e[2J\n\xff.qcow2' and l2 3 "0x8000000000000000 | 1 << 40"
  hostile name-missing empty err err err err is $'\e[2J\n\xff.qcow2'
  hostile_verdict 10
}
