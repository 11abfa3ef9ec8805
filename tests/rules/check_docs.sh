#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_docs.sh: every command that a document prints in a ```sh block runs, as written, in a folder with the model and
# some tensors. Blocks marked ```sh setup install or build, and are left out. docs/write-a-plugin.md is a way that is gone from
# its first block to the last: its commands in one shell after another, its ```diff blocks applied, with heed in the PATH.
set -u
HEED=${HEED:-$PWD/heed} SRC=${SRC:-$PWD}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
ln -s "$SRC/models" "$folder/models"
ln -s "$HEED" "$folder/heed"
ln -s "${BUILD:-$PWD/build}" "$folder/build"

# npy FILE SHAPE COUNT: a ramp of float32 in [1, 2), made of the bytes of their representation.
npy() {
    {
        awk -v shape="$2" 'BEGIN { h = "{\047descr\047: \047<f4\047, \047fortran_order\047: False, \047shape\047: " shape ", }"
                                   while (length(h) < 117) h = h " "; printf "%s", h }' >"$folder/header"
        printf '\223NUMPY\001\000v\000'
        cat "$folder/header"; printf '\n'
        LC_ALL=C awk -v n="$3" 'BEGIN { for (i = 0; i < n; i++) printf "\\000\\000\\%03o\\077", 128 + i % 64 }' >"$folder/octal"
        printf "$(cat "$folder/octal")"
    } >"$folder/$1"
}
npy q.npy '(1, 6, 4, 8)' 192
npy k.npy '(1, 6, 2, 8)' 96
npy v.npy '(1, 6, 2, 8)' 96

bad=0
# The commands of a page, one a line: a ```sh block, or in the manual what stands behind "$ " (\e continues a line).
commands() {
    case $1 in
        *.1) sed -n -e ':more' -e '/\\e$/{N;s/\\e\n */ /;b more' -e '}' -e 's/^\$ heed /$ .\/heed /' -e 's/^\$ //p' "$1" ;;
        *) awk '/^```/ { run = !run && $0 == "```sh"; next } run && NF && !/^#/' "$1" ;;
    esac
}

for page in README.md docs/benchmark.md docs/variants.md docs/check.md docs/heed.1 models/README.md abi/ABI.md; do
    commands "$SRC/$page" >"$folder/commands"
    [ -s "$folder/commands" ] || [ "${page%README.md}" = models/ ] || [ "$page" = abi/ABI.md ] || { bad=1; echo "not ok - $page has commands"; }
    while IFS= read -r line; do
        case $line in *--plot*) command -v gnuplot >/dev/null || { echo "# skipped: $page: $line: no gnuplot"; continue; } ;; esac
        if (cd "$folder" && sh -c "$line") >"$folder/output" 2>&1 </dev/null; then
            echo "ok - $page: $line"
        else
            bad=1
            echo "not ok - $page: $line"
            sed 's/^/    /' "$folder/output"
        fi
    done <"$folder/commands"
done

# One file a block, in order: 01.sh, 02.diff ...
blocks() {
    awk -v to="$2" '/^```/ { kind = kind ? "" : substr($0, 4); if (kind) name = sprintf("%s/%02d.%s", to, ++n, kind); next }
                    kind { print >name }' "$1"
}
walk() {
    page=$1 way=$(mktemp -d "$folder/way.XXXXXX")
    mkdir "$way/blocks" "$way/bin" "$way/here" && ln -s "${BUILD:-$SRC}/heed" "$way/bin/heed"
    blocks "$SRC/$page" "$way/blocks"
    for block in "$way"/blocks/*; do
        case $block in *.diff) set -- patch -p0 -i "$block" ;; *.sh) set -- sh -e "$block" ;; *) continue ;; esac
        if (cd "$way/here" && unset HEED HEED_PLUGINS HEED_ISA MAKEFLAGS MFLAGS MAKELEVEL && PATH=$way/bin:$PATH "$@") >"$folder/output" 2>&1 </dev/null
        then echo "ok - $page: $(basename "$block"): $(grep -m 1 -v '^---' "$block")"
        else
            bad=1
            echo "not ok - $page: $(basename "$block")"
            sed 's/^/    /' "$folder/output"
        fi
    done
}
if [ -n "${SANITIZERS-}" ]; then echo "SKIPPED docs/write-a-plugin.md: a sanitizer sees nothing more in it than in test_new.sh"
elif command -v patch >/dev/null && command -v pkg-config >/dev/null; then walk docs/write-a-plugin.md
else echo "# skipped: docs/write-a-plugin.md needs patch and pkg-config"; fi
# abi/ABI.md has the letters of axes as abi/axes.h has them.
rows() { sed -n "s/^ *ROW('\(.\)', \"\([^\"]*\)\".*/\1 \2/p" "$SRC/abi/axes.h"; }
told() { sed -n 's/^| `\([A-Z]\)` | \([^|]*\) | .* |$/\1 \2/p' "$SRC/abi/ABI.md"; }
if [ -n "$(rows)" ] && [ "$(rows)" = "$(told)" ]; then echo "ok - abi/ABI.md has the axes of abi/axes.h"; else
    bad=1
    echo "not ok - abi/ABI.md has the axes of abi/axes.h"
fi
exit $bad
