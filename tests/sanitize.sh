#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sanitize.sh: builds everything with ASan and UBSan, then with TSan, each in a folder of its own, and runs the tests
# there, with fewer and smaller shapes. On two cores they take 8 minutes with ASan and 13 with TSan, and the builds some
# more. From the top folder, after ./bootstrap:
#
#     tests/sanitize.sh [MAKE-WORD...]        for instance TESTS='tests/engine/test_pool tests/engine/test_call'
set -e
top=$(cd "$(dirname "$0")/.." && pwd)
jobs=$(nproc 2>/dev/null || echo 2)
export HEED_TEST_QUICK=1 UBSAN_OPTIONS="halt_on_error=1 print_stacktrace=1" TSAN_OPTIONS="halt_on_error=1"
status=0 summary=
for what in address,undefined thread; do
    echo "== $what"
    mkdir -p "$top/build-$what"
    cd "$top/build-$what"
    [ config.status -nt "$top/configure" ] || "$top/configure" --quiet --enable-sanitizers=$what
    make -s -j"$jobs"
    began=$(date +%s)
    rm -f test-suite.log tests/*/*.log
    make -s -j"$jobs" check VERBOSE=1 "$@" || status=1
    grep -hE '^1\.\.0 # SKIP|^SKIPPED' tests/*/*.log | sort -u || true
    counted=$(awk '/^# PASS:/ { p = $3 } /^# SKIP:/ { s = $3 } /^# (X?FAIL|XPASS|ERROR):/ { f += $3 }
        END { printf "%d programs passed, %d failed, %d skipped", p, f, s }' test-suite.log)
    summary="$summary$what: $counted in $(($(date +%s) - began)) s
"
done
printf '\n%s' "$summary"
exit $status
