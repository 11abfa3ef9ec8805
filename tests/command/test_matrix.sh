#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_matrix.sh: heed matrix: what composes is what docs/matrix.md has recorded, in text, as a page and
# as JSON; an op that crashes is told and ends nothing. Under an emulator, where a network takes a third
# of a second, those of one position op among the networks that have every pair once.
: "${HEED:?}" "${HEED_PLUGINS:?}" "${HEED_HOSTILE:?}" "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-matrix.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
bad=0
report() {
    [ "$1" = 0 ] && { echo "ok - $2"; return; }
    echo "not ok - $2"
    sed 's/^/# /' "$work/out" | head -30
    bad=1
}

only=${HEED_TEST_QUICK:+rope} # which has every attention, every norm and every wiring
"$HEED" matrix --pairs $only --json >"$work/pairs" 2>"$work/out" &&
    ! grep -q '"result": "\(FAILS\|near\)"' "$work/pairs" &&
    grep -q '"result": "yes"' "$work/pairs"
report $? "matrix --pairs: no network fails, and all that run have the same bits whole and in parts"
[ -z "${HEED_TEST_QUICK-}" ] || exit $bad

"$HEED" matrix --markdown >"$work/page" 2>"$work/out" && diff "$SRC/docs/matrix.md" "$work/page" >"$work/out"
report $? "docs/matrix.md is what heed matrix --markdown finds"

# every attention with every position and norm; and every pair of the rest
count() { "$HEED" list "$1" --json | grep -c '"id"'; }
"$HEED" matrix --json >"$work/json" 2>"$work/out"
triples=$(tr -d '\n' <"$work/json" | sed 's/} *,/}\n/g' | grep '"residual": "pre"' |
    grep '"feedforward": "feedforward/gelu"' |
    grep '"place": "decoder"' | sed 's/"residual.*//' | sort -u | wc -l)
[ "$triples" = $(($(count attention) * ($(count position) + 1) * $(count norm))) ]
report $? "matrix --json has each attention with each position and norm: $triples"

COLUMNS=80 "$HEED" matrix alibi >"$work/out" 2>&1 && grep -q '^attention x position$' "$work/out" &&
    grep -q 'position/alibi acts on scores, and attention/linear has no setting' "$work/out" &&
    [ "$(awk 'length > 80' "$work/out" | wc -l)" = 0 ]
report $? "matrix OP: its networks alone, in 80 columns, with the reason of what is refused"

HEED_PLUGINS="$HEED_HOSTILE/crash.so:$HEED_PLUGINS" "$HEED" matrix hostile >"$work/out" 2>&1
[ $? = 1 ] && grep -q 'FAILS *it crashes, hangs' "$work/out" &&
    grep -q 'norm=norm/hostile; .*: a segmentation fault$' "$work/out"
[ $? = 0 ] || [ -n "${SANITIZERS-}" ]
report $? "an op that crashes fails in its networks, with the spec that repeats it"

"$HEED" matrix softmix >"$work/out" 2>&1
[ $? = 1 ] && grep -q 'is called "softmix"; nearest is softmax$' "$work/out"
report $? "an unknown op is one sentence"
"$HEED" matrix --json --markdown >"$work/out" 2>&1
[ $? = 2 ]
report $? "two forms at once are wrong usage"
exit $bad
