#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154
#
# A virtual machine boots from images that imgtool wrote: the firmware reads the first sector, and the
# program in it all others up to the 16 MiB of the disk, of which it says the sum over the serial port.

load ../cli/lib

# boot_sector FILE: built with the compiler's own assembler. It reads 64 sectors at a time (INT 13h,
# AH 42h) to 1000:0, adds their 32-bit words up, and sends the sum in hexadecimal and a newline.
boot_sector() {
  require as ld objcopy
  as --32 -o boot.o - <<'END'
    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    cld
    movb %dl, drive
    xorl %ebp, %ebp
next:
    movw $packet, %si
    movb $0x42, %ah
    movb drive, %dl
    int $0x13
    jc failed
    movw $0x1000, %ax
    movw %ax, %es
    xorw %di, %di
    movw $8192, %cx
add:
    addl %es:(%di), %ebp
    addw $4, %di
    loop add
    addl $64, block
    cmpl $32768, block
    jb next
    movw $8, %cx
digit:
    roll $4, %ebp
    movw %bp, %ax
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe send
    addb $39, %al
send:
    call put
    loop digit
    movb $'\n', %al
    call put
    jmp stop
failed:
    movb $'!', %al
    call put
stop:
    movw $0x604, %dx
    movw $0x2000, %ax
    outw %ax, %dx
    hlt
    jmp stop
put:
    pushw %ax
    movw $0x3fd, %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    popw %ax
    movw $0x3f8, %dx
    outb %al, %dx
    ret
drive: .byte 0
    .balign 4
packet:
    .byte 16, 0
    .word 64
    .word 0, 0x1000
block:
    .long 0, 0
    .org 510
    .word 0xaa55
END
  ld -m elf_i386 --oformat binary -Ttext 0x7c00 -o "$1" boot.o
  [[ $(stat -c %s "$1") == 512 ]]
}

# boots IMAGE [drive option]: prints what the guest says. With what has gone wrong it takes no
# longer than a minute.
boots() {
  timeout 60 qemu-system-x86_64 -machine q35,accel=tcg -nodefaults -display none -no-reboot \
    -serial stdio -drive "file=$1,format=qcow2,if=none,id=disk${2-}" \
    -device virtio-blk-pci,drive=disk,bootindex=0 </dev/null
}

# sum FILE: of its 32-bit words
sum() {
  perl -e 'open(my $in, "<:raw", $ARGV[0]) or die; my $sum = 0;
    while (read($in, my $buffer, 65536)) { $sum += unpack("%32V*", $buffer) }
    printf("%08x\n", $sum & 0xffffffff)' "$1"
}

@test "a virtual machine boots from images of each kind, and reads all of them" {
  require qemu-system-x86_64 perl
  boot_sector disk.raw
  truncate -s 16M disk.raw
  yes "all work and no play" | head -c 3000000 | dd of=disk.raw bs=1M seek=1 conv=notrunc status=none
  head -c 3M /dev/urandom | dd of=disk.raw bs=1M seek=7 conv=notrunc status=none
  wanted=$(sum disk.raw)
  for options in "" -c "-c -o compression_type=zstd,cluster_size=4k" "-o extended_l2=on" \
    "-o data_file=new.data"; do
    echo "# $options"
    # shellcheck disable=SC2086 # several words
    imgtool convert -f raw -O qcow2 $options disk.raw new.qcow2
    run -0 boots new.qcow2
    [[ $output == "$wanted" ]]
    qemu-img check -q -f qcow2 new.qcow2
  done
  # The guest sees what is there, not what it was told: another byte is another sum.
  qemu-io -f qcow2 -c "write -P 1 9M 512" new.qcow2 >/dev/null
  run -0 boots new.qcow2
  [[ $output != "$wanted" && $output =~ ^[0-9a-f]{8}$ ]]
}

@test "a virtual machine boots from an overlay that stores only what differs" {
  require qemu-system-x86_64 perl
  boot_sector disk.raw
  truncate -s 16M disk.raw
  cp disk.raw base.raw
  yes changed | head -c 1000000 | dd of=disk.raw bs=1M seek=3 conv=notrunc status=none
  imgtool convert -f raw -c -O qcow2 base.raw base.qcow2
  imgtool convert -f raw -c -O qcow2 -B base.qcow2 -F qcow2 disk.raw new.qcow2
  run -0 boots new.qcow2
  [[ $output == "$(sum disk.raw)" ]]
}
