# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# A guest: User-Mode-Linux on this host's files, which it cannot change, with network namespaces,
# file servers and mounts of its own. For tests that have loaded lib-lab.

# guest SECONDS FILE.bats [NAME=VALUE...]: boots, runs that file of folder guest there and powers
# off, within SECONDS and the time for LAB_ROUNDS; its TAP is in $output. False unless each test
# there passed.
guest() {
  local seconds=$(($1 + ${LAB_ROUNDS:-0} * 4)) file=$2 word skipped
  shift 2
  require root uml ip modprobe
  mkdir -p guest uml
  {
    for word in PROGRAM="${IMGTOOL%/*}" TOOLS="$TOOLS" TESTS="$(realpath "$BATS_TEST_DIRNAME/..")" \
      FILE="$file" ROUNDS="${LAB_ROUNDS:-5}" MUST_RUN="${IMGTOOL_TESTS_MUST_RUN:-0}" "$@"; do
      printf 'export GUEST_%s=%q\n' "${word%%=*}" "${word#*=}"
    done
  } >guest/settings
  start guest timeout --kill-after=5 "$seconds" linux.uml rootfstype=hostfs rootflags=/ ro \
    mem=768M con=null con0=null,fd:2 con1=null quiet loglevel=1 umid=guest uml_dir="$DIR/uml/" \
    init="$(realpath "$BATS_TEST_DIRNAME/guest/init")" folder="$DIR/guest"
  wait "${PID[guest]}" || :
  unset 'PID[guest]'
  output=$(cat guest/tap guest/log 2>/dev/null)
  grep -q '^1\.\.[1-9]' guest/tap && grep -q '^ok' guest/tap && ! grep -q '^not ok' guest/tap &&
    [[ $(sed -n 's/^1\.\.//p' guest/tap) == "$(grep -c '^ok' guest/tap)" ]] && {
    skipped=$(sed -n 's/^ok.* # skip *//p' guest/tap)
    [[ -z $skipped ]] || skip "in the guest: $skipped"
    return 0
  }
  echo "the guest says:"
  echo "$output"
  tail -n 20 "$HOLD/guest.err"
  return 1
}
