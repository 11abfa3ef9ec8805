#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_check.sh: heed check as a command: what it finds in plugins with one sin each (hostile/; test_hostile.sh has all of
# them), the line that it prints repeats. What is no plugin or no oracle is refused
# with one sentence.
: "${HEED:?}" "${HEED_PLUGINS:?}" "${HEED_HOSTILE:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-check.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
bad=0
report() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/# /' "$work/out" | head -20; bad=1; fi; }

# sinner FILE, CHECK that finds it, a word of its sentence
[ -z "${SANITIZERS-}" ] || echo "SKIPPED sinners: a sanitizer ends the process before heed check can say what it found"
while [ -z "${SANITIZERS-}" ] && read -r name check word; do
    "$HEED" check "$HEED_HOSTILE/$name.so" --cases 40 >"$work/out" 2>&1
    code=$?
    line=$(grep "^not ok - norm/hostile $check: .*$word" "$work/out" | head -1)
    [ $code = 1 ] && [ -n "$line" ]
    report $? "$name is found by $check"
    [ -n "$line" ] || continue
    printf '%s\n' "$line" | sed "s|.*: heed check |\"\$HEED\" check |" >"$work/again"
    sh "$work/again" >"$work/out" 2>&1
    [ $? = 1 ] && grep -q "^not ok - norm/hostile $check: .*$word" "$work/out"
    report $? "$name: the line that is printed repeats it"
done <<'LIST'
scratch_short exact scratch
lane_shows tiles other.bits
stack_deep stack bytes.of.the.stack
behind_output call beside
hole call unwritten
recursion tiles inside.a.tile
crash call segmentation.fault
neighbour_shows nan does.not.see
neighbour_shows alone other.bits.alone
input_changes exact may.only.read
LIST

# A finding of bound, of paths and of forms tells the element, what it is and what it should be.
# names NAME.so [--oracle FILE] SENTENCE
names() {
    sentence=$1 name=$2
    shift 2
    "$HEED" check "$HEED_HOSTILE/$name.so" --cases 40 "$@" >"$work/out" 2>&1
    grep -Eq "^not ok - norm/hostile $sentence: heed check " "$work/out"
    report $? "$name: the finding tells the element, got and expected"
}
number='-?([0-9.]+(e[-+][0-9]+)?|nan|inf)' element='out\[[0-9]+(, [0-9]+)*\]'
if [ -z "${SANITIZERS-}" ]; then
    names "bound: the error is [0-9.e+]+ of its bound: $element is $number, but must be within $number of $number" \
        wrong --oracle "$HEED_HOSTILE/wrong_oracle.so"
    differs="$element is $number, not $number"
    names "paths: out has other bits on [a-z0-9]+ than scalar with one thread: $differs" path_shows
    names "alone: [a-z0-9]+: out of row [0-9]+ of [0-9]+ has other bits alone: $differs" neighbour_shows
fi

# The line that repeats a finding is right for a path with a blank and a quote in it.
mine="$work/my plugin's/hole.so"
mkdir "${mine%/*}" && cp "$HEED_HOSTILE/hole.so" "$mine" && chmod go-w "$mine"
if [ -z "${SANITIZERS-}" ]; then
    "$HEED" check "$mine" --cases 40 >"$work/out" 2>&1
    sed -n 's|^not ok.*: heed check |"$HEED" check |p' "$work/out" | head -1 >"$work/again"
    HEED=$HEED sh "$work/again" >"$work/out" 2>&1
    [ $? = 1 ] && grep -q '^not ok - norm/hostile call: ' "$work/out"
    report $? "the line that is printed repeats it, in a folder with blanks"
fi

export HEED
"$HEED" check "$HEED_HOSTILE/none.so" --cases 60 >"$work/out" 2>&1
report $? "none has no findings"
"$HEED" check "$HEED_HOSTILE/lane_shows.so" --cases 20 --json >"$work/out" 2>&1
[ $? = 1 ] && grep -q '"check": "tiles"' "$work/out" && grep -q '"repeat": "heed check ' "$work/out"
report $? "--json has the finding and its line"

# Ctrl-C: what was found so far, and status 130.
"$HEED" check "$HEED_PLUGINS/norm_rms.so" --cases 1000000 >"$work/out" 2>&1 &
child=$!
sleep 3
kill -INT $child
wait $child
[ $? = 130 ] && grep -q '^ok - norm/rms ' "$work/out" &&
    grep -q '^# norm/rms: interrupted: this is of [0-9]* cases alone' "$work/out" &&
    grep -q '^heed: interrupted' "$work/out" && ! grep -q 'no findings\|^not ok' "$work/out"
report $? "Ctrl-C tells what was found so far"

# refused WORD ARGUMENTS: status 1, one line, no finding
refused() {
    word=$1 want=$2
    shift 2
    "$HEED" check "$@" >"$work/out" 2>&1
    [ $? = "$want" ] && [ "$(wc -l <"$work/out")" -le 2 ] && grep -q "$word" "$work/out"
    report $? "refused: $word"
}
echo text >"$work/text.so"
chmod go-w "$work/text.so"
refused "no ELF file" 1 "$work/text.so"
refused "no such plugin" 1 "$work/absent.so"
refused "has no symbol heed_plugin_v0" 1 "$HEED_HOSTILE/no_entry.so"
refused "has no symbol heed_oracle_v0" 1 "$HEED_PLUGINS/norm_rms.so" --oracle "$HEED_PLUGINS/norm_rms.so"
refused "needs a plugin" 2
refused "takes one plugin" 2 a.so b.so
refused "takes a line" 2 "$HEED_PLUGINS/norm_rms.so" --only nonsense
exit $bad
