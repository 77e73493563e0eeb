#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016,SC2034,SC2154
#
# imgtool check and -r all on images with random numbers in their tables. The seed is printed;
# CHECK_SEED=N CHECK_ROUNDS=1 repeats one, and more rounds find more.

load ../cli/lib
load qcow2
load check

# damage SEED: up to four words of the tables of disk.qcow2 become something else
damage() {
  perl - "$1" disk.qcow2 <<'EOF_PERL'
    use strict;
    srand $ARGV[0];
    open my $f, '+<', $ARGV[1] or die;
    my $size = -s $f;
    sub get { seek $f, $_[0], 0; read $f, my $b, 8; return length $b == 8 ? unpack 'Q>', $b : 0 }
    sub put { seek $f, $_[0], 0; print $f pack 'Q>', $_[1] }
    my $cluster = 1 << (get (16) & 0xffffffff);
    my ($l1, $table) = (get (40), get (48));
    my @l2 = grep { $_ && $_ + $cluster <= $size } map { get ($l1 + 8 * $_) & 0xfffffffffffe00 } 0 .. 7;
    my @blocks = grep { $_ && $_ + $cluster <= $size } map { get ($table + 8 * $_) } 0 .. 7;
    for (0 .. int rand 4)
      {
        my $which = rand;
        my $at = $which < .2 ? $l1 + 8 * int rand 4
          : $which < .6 && @l2 ? $l2[rand @l2] + 8 * int rand 60
          : $which < .7 ? $table + 8 * int rand 3
          : @blocks ? $blocks[rand @blocks] + 8 * int rand 30 : 0;
        next if $at == 0 || $at + 8 > $size;
        my $old = get ($at);
        my $how = int rand 4;
        put ($at, $how == 0 ? $old ^ 1 << int rand 64 : $how == 1 ? 0
          : $how == 2 ? $cluster * int (rand ($size / $cluster + 2)) | (rand () < .5 ? 1 << 63 : 0)
          : $old ^ int (1 + rand 255) << 8 * int rand 8);
      }
    truncate $f, $size / 2 + int rand $size / 2 if rand () < .1;
EOF_PERL
}

@test "a check ends, a repair ends, changes nothing the second time, and can be undone" {
  local first=${CHECK_SEED:-$RANDOM} round seed options size status
  for ((round = 0; round < ${CHECK_ROUNDS:-24}; round++)); do
    seed=$((first + round))
    case $((seed % 6)) in
      0) options=cluster_size=64k ;;
      1) options=cluster_size=4k ;;
      2) options=cluster_size=512 ;;
      3) options=extended_l2=on,cluster_size=16k ;;
      4) options=refcount_bits=2,cluster_size=4k ;;
      5) options=compat=0.10 ;;
    esac
    echo "# seed $seed"
    make_image -o $options
    ((seed % 2)) || qemu-img snapshot -c one disk.qcow2
    qemu-io -f qcow2 -c "write -q -P 2 512k 1M" disk.qcow2
    damage $seed
    cp disk.qcow2 before.qcow2
    size=$(stat -c %s disk.qcow2)
    status=0
    imgtool check -q disk.qcow2 || status=$?
    ((status <= 3))
    cmp disk.qcow2 before.qcow2
    rm -f undo
    status=0
    imgtool check -q -r all --undo-file=undo disk.qcow2 2>err || status=$?
    ((status <= 3))
    # It grows by new refcounts at most.
    (($(stat -c %s disk.qcow2) <= size + (size > 1048576 ? size : 1048576)))
    if ((status == 0)); then
      run -0 imgtool check -q disk.qcow2
      run -0 qemu-img check -q disk.qcow2
    elif ((status == 1)); then
      [[ -s err ]]
    fi
    cp -p disk.qcow2 once.qcow2
    imgtool check -q -r all once.qcow2 2>/dev/null || true
    cmp disk.qcow2 once.qcow2
    if [[ -e undo ]]; then
      imgtool check -q --undo=undo disk.qcow2
      cmp disk.qcow2 before.qcow2
    fi
  done
}
