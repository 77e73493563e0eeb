#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# look-at-output.pl FILE...
#
# What commands printed is safe to look at: valid UTF-8 without control characters, but for line
# breaks and tabs, and without what makes text run the other way, unless that is in JSON (.json.out);
# at most 1 MiB of messages (.err).
use strict;
use warnings;

for my $file (@ARGV) {
  open my $in, '<:raw', $file or die "$file: $!\n";
  my $text = do { local $/; <$in> } // '';
  (my $name = $file) =~ s|.*/||;
  print "$name: ", length ($text), " bytes of messages\n" if $name =~ /\.err$/ && length ($text) > 1 << 20;
  if (!utf8::decode ($text)) {
    print "$name: not UTF-8\n" if $text =~ /[\x80-\xff]/;
  }
  my $bad = $name =~ /[.]json[.]out$/ ? qr/([^\P{Cc}\n])/ : qr/([^\P{C}\n\t]|\p{Zl}|\p{Zp})/;
  if ($text =~ $bad) {
    printf "%s: has the character U+%04X\n", $name, ord $1;
  }
}
