#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# Reads C as far as the lints need it.  c-scan.pl MODE FILE... prints rows of FILE:LINE and more:
#   code        every line that is not blank, without comments and with the insides of strings
#               and characters taken out
#   functions   NAME and number of lines of every function, from its opening to its closing brace
#               (both in the first column, as the GNU style has them), separated by tabs
#   calls=REGEX the called function's name, its first string literal (pieces joined, macros such
#               as PRIu64 between them shown as <PRIu64>), and how many arguments stand before it,
#               for every call of a function whose whole name matches REGEX, separated by tabs
use strict;
use warnings;

my $mode = shift @ARGV;
die "usage: c-scan.pl MODE FILE...\n" unless defined $mode && @ARGV;

# Blanks comments, keeping newlines; with $strings also what is in string and character literals.
sub blank {
  my ($text, $strings) = @_;
  $text =~ s{(/\*.*?\*/|//[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')}{
    if (defined $1) { my $c = $1; $c =~ s/[^\n]/ /g; $c }
    elsif ($strings) { my $s = $2; my $q = substr ($s, 0, 1); my $l = length ($s) - 2;
                       my $n = ($s =~ tr/\n//); $q . ('_' x ($l - $n)) . ("\n" x $n) . $q }
    else { $2 }
  }gse;
  return $text;
}

sub line_of {
  my ($text, $position) = @_;
  return 1 + (substr ($text, 0, $position) =~ tr/\n//);
}

for my $file (@ARGV) {
  open (my $in, '<', $file) or die "$file: $!\n";
  my $raw = do { local $/; <$in> } // '';
  close $in;
  if ($mode eq 'code') {
    my $number = 0;
    for my $line (split /\n/, blank ($raw, 1)) {
      $number++;
      print "$file:$number: $line\n" if $line =~ /\S/;
    }
  } elsif ($mode eq 'functions') {
    my ($number, $start, $name, $head) = (0, 0, '', '');
    for my $line (split /\n/, blank ($raw, 1)) {
      $number++;
      if ($line =~ /^\{/ && $head =~ /\b([A-Za-z_]\w*)\s*\([^{};=]*\)\s*$/s) {
        my ($first) = $head =~ /([A-Za-z_]\w*)\s*\(/;
        ($start, $name) = ($number, $first);
      } elsif ($line =~ /^\}/ && $start) {
        print "$file:$start\t$name\t", $number - $start + 1, "\n";
        $start = 0;
      }
      if ($line =~ /^[{}#]/ || $line =~ /;\s*$/) { $head = '' }
      else { $head .= "$line\n" }
    }
  } elsif ($mode =~ /^calls=(.*)$/) {
    my $names = qr/$1/;
    my $text = blank ($raw, 0);
    my $code = blank ($raw, 1);
    while ($code =~ /\b([A-Za-z_]\w*)\s*\(/g) {
      my ($name, $open) = ($1, pos ($code));
      next unless $name =~ /^(?:$names)$/;
      my ($depth, $commas, $at, $literal) = (1, 0, $open, undef);
      while ($depth > 0 && $at < length $code) {
        my $c = substr ($code, $at, 1);
        if ($c eq '(' || $c eq '[' || $c eq '{') { $depth++ }
        elsif ($c eq ')' || $c eq ']' || $c eq '}') { $depth-- }
        elsif ($c eq ',' && $depth == 1) { last if defined $literal; $commas++ }
        elsif ($c eq '"') {
          my $end = index ($code, '"', $at + 1);
          # A string inside the call of another function is not this one's.
          $literal = ($literal // '') . substr ($text, $at + 1, $end - $at - 1) if $depth == 1;
          $at = $end;
        } elsif ($depth == 1 && defined $literal && substr ($code, $at) =~ /^([A-Z]\w+)/) {
          $literal .= "<$1>";
          $at += length ($1) - 1;
        }
        $at++;
      }
      next unless defined $literal;
      print "$file:", line_of ($code, $open), "\t$name\t$literal\t$commas\n";
    }
  } else {
    die "c-scan.pl: unknown mode '$mode'\n";
  }
}
