#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_sweep.sh: heed check on every plugin of HEED_PLUGINS. There is no list: an op is swept because it is there, and
# takes a third of its cases at least: a sweep of refusals would verify nothing.
# HEED_TEST_QUICK makes it short, for an emulator; a sanitizer's build is 30 times as slow.
#
#     HEED_PLUGINS=FOLDER HEED=COMMAND tests/rules/check_sweep.sh
: "${HEED:?}" "${HEED_PLUGINS:?}"
cases=90 bad=0 found=
[ -z "${HEED_TEST_QUICK-}" ] || cases=20
[ -z "${SANITIZERS-}" ] || cases=6 # each of them meets every check
report=$(mktemp "${TMPDIR:-/tmp}/heed-sweep.XXXXXX") || exit 1
trap 'rm -f "$report"' EXIT
trap 'exit 1' HUP INT TERM
for so in "$HEED_PLUGINS"/*.so; do
    [ -e "$so" ] || continue
    case ${so##*/} in transport_*) continue ;; esac # no ops
    found=1
    "$HEED" check "$so" --cases $cases >"$report" || { bad=1; echo "not ok - $so"; }
    cat "$report"
    awk -v of=$cases '/^# .*: it refused [0-9]+ of / && of >= 20 {
        sub(/.*: it refused /, ""); if ($1 > of * 2 / 3) { print "not ok - it refused " $0; exit 1 } }' "$report" || bad=1
done
[ -n "$found" ] || { echo "not ok - there are plugins in $HEED_PLUGINS"; bad=1; }
exit $bad
