#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_sweep.sh: heed check on every plugin of HEED_PLUGINS. There is no list: an op is swept because it is there.
# HEED_TEST_QUICK makes it short, for an emulator; a sanitizer's build is 30 times as slow.
#
#     HEED_PLUGINS=FOLDER HEED=COMMAND tests/check_sweep.sh
: "${HEED:?}" "${HEED_PLUGINS:?}"
cases=90 bad=0 found=
[ -z "${HEED_TEST_QUICK-}" ] || cases=20
[ -z "${SANITIZERS-}" ] || cases=6 # each of them meets every check
for so in "$HEED_PLUGINS"/*.so; do
    [ -e "$so" ] || continue
    found=1
    "$HEED" check "$so" --cases $cases || { bad=1; echo "not ok - $so"; }
done
[ -n "$found" ] || { echo "not ok - there are plugins in $HEED_PLUGINS"; bad=1; }
exit $bad
