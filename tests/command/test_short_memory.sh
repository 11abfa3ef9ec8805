#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_short_memory.sh: commands in which one allocation fails, the first, the second, and so on to the end: each of them ends
# by itself, and one that fails says why. short_memory.c does it. What the library does then is tests/engine/test_memory.c's.
#
#     HEED=PATH BUILD=FOLDER HEED_PLUGINS=FOLDER tests/command/test_short_memory.sh

[ -z "${SANITIZERS-}${TESTEXEC-}" ] || { echo '1..0 # SKIP a sanitizer or an emulator has a malloc of its own'; exit 77; }
heed=${HEED-build/engine/heed}
preload=${BUILD-build}/tests/command/short_memory.so
[ -f "$preload" ] || { echo "not ok - $preload was not built"; exit 1; }
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-memory.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
bad=0
unset HEED_ISA
# hwloc's own plugins, which a package may have brought, load libraries whose linker ends the process where memory is short
HWLOC_PLUGINS_PATH=/nowhere && export HWLOC_PLUGINS_PATH

# sweep NAME WORD ...
sweep() {
    name=$1
    shift
    LD_PRELOAD=$preload HEED_SHORT=$name "$heed" "$@" || bad=1
}
printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 96, 2, 8), }" >"$work/q.npy"
head -c 6144 /dev/zero >>"$work/q.npy"
head -c 40 "$SRC/models/sample.txt" >"$work/text"
qkv="-i q=$work/q.npy -i k=$work/q.npy -i v=$work/q.npy"

# Two plugins are enough for those that load all.
for folder in $(echo "$HEED_PLUGINS" | tr : ' '); do cp "$folder/norm_rms.so" "$folder/position_alibi.so" "$work"; done
all=$HEED_PLUGINS
HEED_PLUGINS=$work
sweep list list
sweep 'list --json' list --json
sweep describe describe rms
HEED_PLUGINS=$all
sweep topo topo
sweep run run 'attention/softmax(causal=true, position=alibi)' $qkv -o out="$work/out.npy" -o lse="$work/lse.npy" --threads 2
sweep generate generate "$SRC/models/plays.safetensors" --prompt R --tokens 2 --threads 2
sweep score score "$SRC/models/plays.safetensors" "$work/text" --threads 2
sweep train train 'vocab=256; width=8; layers=1; heads=2; context=8; norm=rms; attention=softmax(causal=true);
position=rope; feedforward=swiglu(hidden=8); tied=true' "$work/text" -o "$work/model" --steps 2 --batch 2 --every 1 \
    --valid 0.25 --threads 2
rm -f "$work/model" "$work/model.training"
HEED_SHORT_HWLOC=1 && export HEED_SHORT_HWLOC
sweep 'topo, in hwloc' topo
sweep 'run, in hwloc' run attention/softmax $qkv -o out="$work/out.npy"
left=$(ls -A "$work" | grep -v '^[a-z_]*\.\(npy\|so\)$' | grep -v '^text$')
[ -z "$left" ] || { echo "not ok - files are left over: $left"; bad=1; }
exit $bad
