#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_hostile.sh: heed check finds the sin of every plugin of tests/hostile/ that sins while it runs, by the check that is
# about it and in its own words, and lives on; it finds nothing in those without a sin. Sins of loading are test_load's, but
# for the one that kills who loads it.
#
#     HEED=COMMAND HEED_HOSTILE=FOLDER HEED_PLUGINS=FOLDER tests/command/test_hostile.sh

: "${HEED:=./heed}" "${HEED_HOSTILE:=build/tests/hostile}"
[ -z "${SANITIZERS-}" ] || { echo "1..0 # SKIP a sanitizer ends the process before heed check can say what it found"; exit 77; }
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
bad=0

# finds NAME CHECK WORDS: a line of the report has them. Or, with CHECK "nothing": it is clean.
finds() {
    oracle=
    [ "$1" = wrong ] && oracle="--oracle $HEED_HOSTILE/wrong_oracle.so"
    "$HEED" check "$HEED_HOSTILE/$1.so" $oracle --cases 30 >"$said" 2>&1
    status=$?
    case $2 in
        nothing) [ $status = 0 ] && grep -q '^ok - ' "$said" && ! grep -q '^not ok' "$said" ;;
        loading) [ $status = 1 ] && grep -q "^heed: .*$3" "$said" ;;
        *) [ $status = 1 ] && grep -q "^not ok - [a-z_/]* $2: .*$3" "$said" ;;
    esac && { echo "ok - $1: $2${3:+: $3}"; return; }
    echo "not ok - $1: $2: $3"
    echo "# status $status"
    grep -v '^ok' "$said" | cut -c1-200 | head -8 | sed 's/^/# /'
    bad=1
}

while IFS='|' read -r name check words; do
    [ -f "$HEED_HOSTILE/$name.so" ] || { echo "not ok - $name was not built"; bad=1; continue; }
    finds "$name" "$check" "$words"
done <<'SINS'
none|nothing|
mean|nothing|
past|nothing|
rounding|nothing|
codec|nothing|
changes|threads|its id is empty
memory_short|exact|touches byte 64 of its instance, which has 64
scratch_short|exact|of the scratch of a lane
stack_deep|stack|bytes of the stack on .*; a call has 16384
workspace_short|exact|byte 64 of the workspace, which has 64
measure_changes|exact|measure_call does not say the same twice
instance_changes|exact|writes to its instance, which it may only read
input_changes|exact|writes to the input x, which it may only read
remembers|call|other bits in a second run
behind_output|call|writes beside the elements of out
before_output|call|writes beside the elements of out
between_rows|layouts|writes beside the elements of out
hole|call|of the output out unwritten
lane_shows|threads|other bits on .* threads
lanes_show|tiles|other numbers of tiles with 7 lanes than with one
order_shows|tiles|other bits with 1 lanes, tiles
path_shows|paths|out has other bits on
address_shows|layouts|other bits on .* with misaligned tensors
stride_unread|layouts|of the output out unwritten
scratch_unclean|call|other bits in a second run
neighbour_shows|alone|has other bits alone
nan_spreads|nan|which does not see it
place_lost|in place|with out in the memory of x
recursion|tiles|calls parallel_for from inside a tile
tiles_negative|tiles|asks for -1 tiles
no_reason|call|refuses without a sentence
crash|call|a segmentation fault
aborts|call|an abort
exits|call|ends the process, with the status 0
endless|call|does not end within
cost_negative|cost|tells flops = -1
wrong|bound|of its bound
peeks|causal|changes out before it
lengths_unread|nan|which does not see it
mask_multiplies|nan|which does not see it
address_kept|saved|remembers other bytes in a second sequence .* an address
bytes_believed|saved|a segmentation fault
codec_beside|codec|writes beside the block
codec_counts|codec|rows that come in parts leave other bytes than all at once
codec_infinite|codec|and is decoded as
codec_rotates|codec|queries are rotated otherwise than keys
stopped_silent|failure|says that all went well, but its host skipped tiles
stopped_remembers|failure|a call that its host stops .* changed what was remembered
refused_remembers|failure|a call that is refused, with one more of the axis D, changed what was remembered
loading_crashes|loading|a segmentation fault
loading_hangs|loading|does not end within
unloading_crashes|loading|does not end well: a segmentation fault
SINS

# Beside a good one in a folder, those that kill or hold who loads them: they are listed as refused, and harm nobody who
# needs the good one.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$said" "$folder"' EXIT
rms=$(for place in $(echo "$HEED_PLUGINS" | tr : ' '); do ls "$place"/norm_rms.so 2>/dev/null; done)
cp "$HEED_HOSTILE/loading_crashes.so" "$HEED_HOSTILE/loading_hangs.so" $rms "$folder"
cp "$HEED_HOSTILE/loading_crashes.so" "$folder/norm_layer.so"
printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }" >"$folder/x.npy"
head -c 64 /dev/zero >>"$folder/x.npy"
# lives WORDS COMMAND ...: it ends with status 0, and has said each of these lines.
lives() {
    words=$1
    shift
    HEED_PLUGINS=$folder "$HEED" "$@" >"$said" 2>&1
    status=$?
    missing=$(echo "$words" | while IFS= read -r line; do [ -z "$line" ] || grep -q "$line" "$said" || echo "$line"; done)
    [ $status = 0 ] && [ -z "$missing" ] && { echo "ok - $1 beside plugins that kill who loads them"; return; }
    echo "not ok - $1 beside plugins that kill who loads them: status $status; not said: $missing"
    head -8 "$said" | sed 's/^/# /'
    bad=1
}
lives '' run norm/rms -i x="$folder/x.npy" -o out="$folder/y.npy"
lives '' bench norm/rms --shape x=8,M=64 --rounds 1 --threads 1
lives '^norm/rms
loading_crashes.so: loading it ends the process: Segm
loading_hangs.so: loading it does not end within
norm_layer.so: loading it ends the process: Segm' list
rm "$folder/loading_hangs.so"
lives '^norm/rms' describe norm/rms
lives 'no findings' check "$folder/norm_rms.so" --cases 5

# An op that takes the place of another one is told of by who uses it; the other op of its plugin is there too.
rm "$folder/loading_crashes.so" "$folder/norm_layer.so"
# took COMMAND ...: it says so.
took() {
    HEED_PLUGINS=$HEED_HOSTILE/taken.so:$folder "$HEED" "$@" 2>"$said" >&2
    grep -q '^heed: norm/rms is that of .*/taken.so, in place of .*/norm_rms.so$' "$said" &&
        { echo "ok - $1 says whose op it used"; return; }
    echo "not ok - $1 says whose op it used"
    head -8 "$said" | sed 's/^/# /'
    bad=1
}
took run norm/rms -i x="$folder/x.npy" -o out="$folder/y.npy"
took bench norm/rms --shape x=8,M=64 --rounds 1 --threads 1
took score "${SRC:-.}/models/plays.safetensors" "${SRC:-.}/models/sample.txt"
took generate "${SRC:-.}/models/plays.safetensors" --prompt a --tokens 2
HEED_PLUGINS=$folder:$HEED_HOSTILE/taken.so "$HEED" run norm/rms -i x="$folder/x.npy" -o out="$folder/y.npy" 2>"$said"
[ ! -s "$said" ] && HEED_PLUGINS=$folder:$HEED_HOSTILE/taken.so "$HEED" list 2>"$said" | grep -q '^norm/hostile ' &&
    [ ! -s "$said" ] && echo 'ok - one that comes too late is passed over, its other op is not' ||
    { echo 'not ok - one that comes too late'; head -8 "$said" | sed 's/^/# /'; bad=1; }

exit $bad
