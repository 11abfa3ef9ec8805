#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_headers.sh: every header of abi/, the kit, the engine, bench/ and the tests compiles alone, so that an editor that opens one sees all its names
# defined, and a header includes what it needs and not by luck what stands before it. A header about the instructions of
# another architecture has its turn there.
#
#     BUILD=BUILD-FOLDER SRC=TOP [CC=cc] tests/rules/check_headers.sh

: "${BUILD:=.}" "${SRC:=$(dirname "$0")/../..}" "${CC:=cc}"
bad=0
arch=$($CC -dumpmachine 2>/dev/null)
for header in $(cd "$SRC" && find abi plugins/kit engine bench tests -name '*.h' ! -path '*/.venv/*' | LC_ALL=C sort); do
    case $header:$arch in
        *_neon.h:aarch64* | *_avx*.h:x86_64*) ;;
        *_neon.h:* | *_avx*.h:*) echo "SKIPPED $header: not for $arch"; continue ;;
        *golden_*) continue ;; # rows of a table, read where it stands
        tests/oracle/oracle.h:* | tests/oracle/oracle_next.h:* | tests/oracle/shipped.h:*) ;;
        tests/oracle/*) continue ;; # formulas, read twice, in float64 and float32
    esac
    said=$($CC -std=gnu11 -Wall -Wextra -Wno-unused-function -Wno-psabi -Werror -D_GNU_SOURCE -I"$BUILD/include" \
        -I"$SRC/engine" -I"$SRC" -I"$SRC/tests" \
        -fsyntax-only -x c "$SRC/$header" 2>&1)
    if [ -z "$said" ]; then echo "ok - $header compiles alone"; else
        echo "not ok - $header compiles alone"
        printf '%s\n' "$said" | sed 's/^/# /' | head -10
        bad=1
    fi
done
exit $bad
