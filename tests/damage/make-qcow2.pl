#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make-qcow2.pl FILE [KEY=VALUE]...
#
# A small qcow2 image that is large in one respect. Every key may be left out.
#
#   bits=16           log2 of the size of a cluster
#   size=BYTES        of the disk (default: one L2 table of clusters, or what l1 reaches)
#   l1=N              entries of the L1 table, all of them 0 but the first
#   clusters=zlib     the first COUNT clusters are one compressed cluster of 0x41, or zstd
#   count=N           as many (default: all of the first L2 table)
#   skip=N            only every Nth of them, beginning with number FIRST; the others are absent
#   first=N
#   snapshots=N       N of them, with names of name=BYTES bytes
#   bitmaps=N         likewise
#   extensions=N      N unknown header extensions without content
#   backing=NAME      and its format, raw or as format=FORMAT
#   datafile=BYTES    a data file with so long a name
#   byte=65           what names are made of
use strict;
use warnings;
use Compress::Raw::Zlib ();

my ($file, @words) = @ARGV;
my %of = (bits => 16, l1 => 1, snapshots => 0, bitmaps => 0, name => 0, extensions => 0,
  datafile => 0, skip => 1, first => 0, byte => 65, map { split /=/, $_, 2 } @words);
my $cluster = 1 << $of{bits};
my $per_l2 = $cluster / 8;
my $size = $of{size} // $of{l1} * $per_l2 * $cluster;

# name NUMBER: as long as all of them, but another for each number
sub name {
  my ($number) = @_;
  my $tail = substr sprintf ('%06d', $number), -$of{name};
  return $of{name} ? chr ($of{byte}) x ($of{name} - length $tail) . $tail : '';
}
my $incompatible = ($of{datafile} ? 4 : 0) | (($of{clusters} // '') eq 'zstd' ? 8 : 0);

open my $out, '>:raw', $file or die "$file: $!\n";
my $end = $cluster; # where the next thing goes

# put BYTES: at the end of the file, in clusters of its own; returns where
sub put {
  my ($bytes) = @_;
  my $at = $end;
  seek $out, $at, 0;
  print $out $bytes;
  $end += int ((length ($bytes) + $cluster - 1) / $cluster) * $cluster;
  return $at;
}

sub compressed {
  my $plain = chr (65) x $cluster;
  if ($of{clusters} eq 'zstd') {
    my $temporary = "$file.plain";
    open my $in, '>:raw', $temporary or die;
    print $in $plain;
    close $in;
    my $packed = `zstd -qc '$temporary'`;
    unlink $temporary;
    return $packed;
  }
  my ($deflate) = Compress::Raw::Zlib::Deflate->new (-WindowBits => -12, -AppendOutput => 1);
  my $packed = '';
  $deflate->deflate ($plain, $packed);
  $deflate->flush ($packed);
  return $packed;
}

# align BYTES: up to a multiple of 8
sub align {
  my ($bytes) = @_;
  return $bytes . "\0" x (-length ($bytes) % 8);
}

my $l2 = 0;
if ($of{clusters}) {
  my $data = compressed ();
  my $at = put ($data);
  my $sectors = int ((length ($data) + 511) / 512) - 1;
  my $entry = 1 << 62 | $sectors << (62 - ($of{bits} - 8)) | $at;
  my $count = $of{count} // $per_l2;
  my @entries = map { $_ % $of{skip} == $of{first} ? $entry : 0 } 0 .. $count - 1;
  $l2 = put (pack ('Q>*', @entries, (0) x ($per_l2 - @entries)));
}
my $l1 = put (pack ('Q>', $l2));
$end = $l1 + $of{l1} * 8;
$end += -$end % $cluster;
my $snapshots = put (join '', map { align (
  pack ('Q>L>S>S>L>L>Q>L>L>', $l1, $of{l1}, 1, $of{name}, 0, 0, 0, 0, 16)
  . pack ('Q>Q>', 0, $size) . '1' . name ($_)) } 1 .. $of{snapshots});
my $directory = join '', map { align (
  pack ('Q>L>L>CCS>L>', 0, 0, 0, 1, 16, $of{name}, 0) . name ($_)) } 1 .. $of{bitmaps};
my $bitmaps = put ($directory);
truncate $out, $end;

my $extensions = '';
$extensions .= pack ('L>L>', 0xe2792aca, length ($of{format} // 'raw')) . align ($of{format} // 'raw') if $of{backing};
$extensions .= pack ('L>L>', 0x44415441, $of{datafile}) . align (chr ($of{byte}) x $of{datafile}) if $of{datafile};
$extensions .= pack ('L>L>L>L>Q>Q>', 0x23852875, 24, $of{bitmaps}, 0, length ($directory), $bitmaps) if $of{bitmaps};
$extensions .= pack ('L>L>', 0x12345678, 0) x $of{extensions};
$extensions .= pack ('L>L>', 0, 0) if 112 + length ($extensions) + 8 <= $cluster;
my $backing = $of{backing} // '';
my $header = pack ('a4L>Q>L>L>Q>L>L>Q>Q>L>L>Q>', "QFI\xfb", 3,
  $backing ne '' ? 112 + length ($extensions) : 0, length ($backing), $of{bits}, $size, 0, $of{l1}, $l1,
  0, 0, $of{snapshots}, $of{snapshots} ? $snapshots : 0)
  . pack ('Q>Q>Q>L>L>', $incompatible, 0, $of{bitmaps} ? 1 : 0, 4, 112)
  . pack ('Cx7', ($of{clusters} // '') eq 'zstd' ? 1 : 0);
seek $out, 0, 0;
print $out $header, $extensions, $backing;
close $out or die "$file: $!\n";
