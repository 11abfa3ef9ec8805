#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sanitize.sh: builds everything with ASan and UBSan, then with TSan, each in a folder of its own, and runs the tests there,
# with fewer and smaller shapes. From the top folder, after ./bootstrap:
#
#     tests/sanitize.sh [MAKE-WORD...]        for instance TESTS='tests/test_pool tests/test_call'
set -e
top=$(cd "$(dirname "$0")/.." && pwd)
jobs=$(nproc 2>/dev/null || echo 2)
export HEED_TEST_QUICK=1 UBSAN_OPTIONS="halt_on_error=1 print_stacktrace=1" TSAN_OPTIONS="halt_on_error=1"
status=0
for what in address,undefined thread; do
    echo "== $what"
    mkdir -p "$top/build-$what"
    cd "$top/build-$what"
    [ -f config.status ] || "$top/configure" --quiet --enable-sanitizers=$what
    make -s -j"$jobs"
    make -s -j"$jobs" check VERBOSE=1 "$@" || status=1
done
exit $status
