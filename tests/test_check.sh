#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_check.sh: heed check finds what it is there for: plugins with one sin each (hostile/), each by the check and with
# the word that belong to it, and the line that it prints repeats the finding. What is no plugin or no oracle is refused
# with one sentence.
: "${HEED:?}" "${HEED_PLUGINS:?}" "${HEED_HOSTILE:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-check.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
bad=0
report() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/# /' "$work/out" | head -20; bad=1; fi; }

# sinner FILE, CHECK that finds it, a word of its sentence
while read -r name check word; do
    "$HEED" check "$HEED_HOSTILE/$name.so" --cases 40 >"$work/out" 2>&1
    code=$?
    line=$(grep "^not ok - norm/copier $check: .*$word" "$work/out" | head -1)
    [ $code = 1 ] && [ -n "$line" ]
    report $? "$name is found by $check"
    [ -n "$line" ] || continue
    printf '%s\n' "$line" | sed "s|.*: heed check |\"\$HEED\" check |" >"$work/again"
    sh "$work/again" >"$work/out" 2>&1
    [ $? = 1 ] && grep -q "^not ok - norm/copier $check: .*$word" "$work/out"
    report $? "$name: the line that is printed repeats it"
done <<'LIST'
copier_scratch exact scratch
copier_lane tiles other.bits
copier_beside layouts beside
copier_unwritten call unwritten
copier_recursion tiles inside.a.tile
copier_hangs call does.not.end
copier_crash call illegal.instruction
copier_neighbour nan does.not.see
copier_neighbour alone other.bits.alone
copier_input exact may.only.read
LIST

export HEED
"$HEED" check "$HEED_HOSTILE/copier_right.so" --cases 60 >"$work/out" 2>&1
report $? "copier_right has no findings"
"$HEED" check "$HEED_HOSTILE/copier_lane.so" --cases 20 --json >"$work/out" 2>&1
[ $? = 1 ] && grep -q '"check": "tiles"' "$work/out" && grep -q '"repeat": "heed check ' "$work/out"
report $? "--json has the finding and its line"

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
