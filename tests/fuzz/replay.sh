#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every fuzz target on the inputs that it begins with and on those that once were findings.
# shellcheck disable=SC2154 # $srcdir comes from make
set -u
replay=${IMGTOOL_TOOLS:?}/../fuzz/replay
export G_SLICE=always-malloc
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/imgtool-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT

mapfile -t targets < <("$replay")
((${#targets[@]} > 0)) || { echo "Bail out! there are no targets"; exit 1; }
echo "1..$((${#targets[@]} + 1))"
n=1
if "$srcdir/tests/fuzz/make-seeds" "$folder/seeds" "$replay" >"$folder/output" 2>&1; then
  echo "ok 1 seeds are made"
else
  echo "not ok 1 seeds are made"
  sed 's/^/# /' "$folder/output"
fi

for target in "${targets[@]}"; do
  inputs=()
  for inputs_of in "$folder/seeds/$target" "$srcdir/tests/fuzz/regressions/$target"; do
    [ ! -d "$inputs_of" ] || inputs+=("$inputs_of")
  done
  count=$(timeout 100 "$replay" "$target" ${inputs[@]+"${inputs[@]}"} 2>"$folder/output")
  status=$?
  if ((status == 0 && count > 0)); then
    echo "ok $((++n)) $target: $count inputs"
  elif ((status == 0)); then
    echo "ok $((++n)) $target # SKIP needs: qemu-img"
  else
    echo "not ok $((++n)) $target: exit status $status"
    tail -n 30 "$folder/output" | sed 's/^/# /'
  fi
done
