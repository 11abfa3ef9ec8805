#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_python.sh: the package of python/ over the libheed of this build: its bindings are those of the
# headers, and its numbers those of the command. It needs python3 and numpy; what is about PyTorch and
# Hugging Face runs where `python3` can import them too.
#
#     BUILD=BUILD-FOLDER SRC=TOP [PYTHON=python3] tests/command/test_python.sh
: "${BUILD:=.}" "${SRC:=$(cd "$(dirname "$0")/../.." && pwd)}" "${PYTHON:=python3}"
skip() { echo "SKIPPED test_python: $*"; exit 77; }
[ -z "${SANITIZERS-}" ] || skip 'libheed is built with a sanitizer, and python3 is not'
command -v "$PYTHON" >/dev/null || skip 'there is no python3'
"$PYTHON" -c 'import numpy' 2>/dev/null || skip 'python3 has no numpy'
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip 'python3 is older than 3.9'
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-python.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
PYTHONPATH=$SRC/python${PYTHONPATH:+:$PYTHONPATH} HEED_LIBRARY=$BUILD/engine/.libs/libheed.so.0
export PYTHONPATH HEED_LIBRARY PYTHONDONTWRITEBYTECODE=1
unset HEED_ISA
"$PYTHON" -m unittest discover -v -t "$SRC/python" -s "$SRC/python/tests" >"$work/out" 2>&1 </dev/null
failed=$?
sed -n -e 's/^\(test_[a-z_]*\) (\(.*\))\( \.\.\.\)\{0,1\}.* ok$/ok - \1 (\2)/p' \
    -e "s/^\([a-z_.]*\) (.*).* skipped '\(.*\)'/SKIPPED \1: \2/p" "$work/out"
[ $failed = 0 ] && grep -q '^ok\|^OK' "$work/out" && exit 0
echo 'not ok - the tests of python/'
sed 's/^/# /' "$work/out"
exit 1
