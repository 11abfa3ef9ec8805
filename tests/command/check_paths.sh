#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_paths.sh: that the CPU under test is the one meant: it can run these paths and no more, every op takes its last one,
# and a path that it lacks is refused. Else a suite "on a CPU without AVX" would pass on one that has it.
#
#     HEED_TEST_PATHS='scalar avx2' HEED_PLUGINS=FOLDER HEED=COMMAND tests/command/check_paths.sh

[ -n "$HEED_TEST_PATHS" ] || { echo "1..0 # SKIP no HEED_TEST_PATHS, so nothing is said of this CPU"; exit 77; }
unset HEED_ISA
bad=0

# rule NAME WHAT-IS-WRONG: nothing wrong is ok.
rule() {
    if [ -z "$2" ]; then echo "ok - $1"; else
        echo "not ok - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        bad=1
    fi
}

can=$("$HEED" topo 2>&1 | sed -n 's/^paths *//p' | tr -d ,)
rule "this CPU runs $HEED_TEST_PATHS, and no more" "$([ "$can" = "$HEED_TEST_PATHS" ] || echo "it runs: $can")"
last= # that gives the bits of all
for path in $HEED_TEST_PATHS; do case $path in *_bf16) ;; *) last=$path ;; esac; done
ops=$("$HEED" list 2>&1 | sed 1d)
rule "every op takes $last" "$([ -n "$ops" ] || echo 'no op'; printf '%s\n' "$ops" | grep -v "\[$last\]")"
for path in scalar avx2 avx512 avx512_bf16 neon neon_bf16; do
    said=$("$HEED" list --isa $path 2>&1 >/dev/null)
    case " $HEED_TEST_PATHS " in
        *" $path "*) rule "--isa $path is taken" "$said" ;;
        *) rule "--isa $path is refused" "$(printf '%s' "$said" | grep -q 'cannot run here' || echo "it said: $said")" ;;
    esac
done
exit $bad
