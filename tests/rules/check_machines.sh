#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_machines.sh: this machine, real or emulated, gives the bits that bench/machines records of others: every op, on
# every path, on the small shapes of heed bench --suite --tiny. On x86-64 also under qemu, without AVX and with AVX2.
#
#     HEED=COMMAND tests/rules/check_machines.sh      TESTEXEC is the emulator that it goes through, if any

heed=${HEED-./heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)} BUILD=${BUILD-$SRC/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-machines.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
bad=0

run() { "$heed" "$@"; }
# report NAME: what has just been tested, by $?; what was said is in out and err.
report() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        sed 's/^/# /' out err | tail -40
        bad=1
    fi
}

: >out
run bench --suite --tiny --model "$SRC/models/plays.safetensors" --json here.json >out 2>err &&
    ! grep -q 'other bits' out
report "the small suite gives one hash on all paths"
grep '^not run' out | sed 's/^/# /'

every_op() {
    run list --json >list 2>err || return 1
    for id in $(sed -n 's/^ *"id": "\(.*\)",*$/\1/p' list); do
        grep '"spec": ' here.json | grep -q "$id[\"(,; )]" && continue
        echo "$id is in no case" >>err
        return 1
    done
}
every_op
report "every op that heed list shows is in it"

for record in "$SRC"/bench/machines/*.json; do
    run compare "$record" here.json >out 2>err && grep -q ' gave the same bits on every path and in every file$' out
    report "the bits of ${record##*/}; meant to change them? bench/machines/run makes the records anew"
    sed -n 's/^A lacks/# note: it lacks/p' out
done

# Emulated processors that have not this one's instructions.
if [ -n "${TESTEXEC-}" ] || [ "$(uname -m)" != x86_64 ]; then :
elif ! command -v qemu-x86_64 >/dev/null; then echo "SKIPPED processors without AVX: there is no qemu-x86_64"
elif [ -n "${SANITIZERS-}" ]; then echo "SKIPPED processors without AVX: a sanitizer does not run under qemu"
else
    for machine in qemu-haswell qemu-nehalem; do
        BUILD=$BUILD "$SRC/bench/machines/run" hashes $machine >out 2>err
        report "$machine gives the bits of this machine"
    done
fi
exit $bad
