#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_docs.sh: every command that a document prints in a ```sh block runs, as written, in a folder
# with the model and some tensors. Blocks marked ```sh setup install or build, and are left out.
# docs/write-a-plugin.md and docs/queries-and-keys.md are ways that are gone from the first block to the
# last: commands in one shell after another, ```diff blocks applied, with heed in the PATH. What
# documents name is there: paths in the tables of README.md, links between pages, keys of a network.
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

# report NAME: what has just been found, in the file output; nothing is right.
report() {
    if [ ! -s "$folder/output" ]; then echo "ok - $1"; else
        bad=1
        echo "not ok - $1"
        sed 's/^/# /' "$folder/output"
    fi
}
# Of a table's row: `a/b.c` and `a/b/` are there; `c.c` is, in the folder that the row named last.
grep '^|' "$SRC/README.md" | tr '`' '\n' | while IFS= read -r word; do
    case $word in
        *[!a-z0-9_./A-Z-]* | '') continue ;;
        */) [ -d "$SRC/$word" ] || echo "$word"; last=$word ;;
        */*) [ -e "$SRC/$word" ] || echo "$word" ;;
        *.[ch] | *.md) [ -e "$SRC/$last$word" ] || echo "$last$word" ;;
    esac
done >"$folder/output"
report 'README.md: paths in tables are there'
for page in $(cd "$SRC" && ls ./*.md abi/*.md bench/machines/*.md docs/*.md models/*.md); do
    sed -n 's/](/\n](/gp' "$SRC/$page" | sed -n 's/^](\([^)#:]*\)[#)].*/\1/p' |
        while IFS= read -r link; do
            [ -z "$link" ] || [ -e "$SRC/$(dirname "$page")/$link" ] || echo "$page: $link"
        done
done >"$folder/output"
report 'links between pages lead somewhere'
# The keys of a network: name, range or choices, and whether it must be given, as the engine has them.
# Those of an encoder stand in the first cell of a row, without more.
wirings=$(sed -n '/^static const stack_wires wirings/,/^};/p' "$SRC/engine/model/stack_wirings.c" |
    sed -n 's/^    {"\([a-z]*\)",.*/`\1`/p' | paste -s -d, - | sed 's/,/, /g; s/, \([^,]*\)$/ or \1/')
sed -n '/^static const struct key/,/^};/p' "$SRC/engine/model/stack_plan.c" |
    awk '/^    [A-Z]*_KEY\(/ { row = ""; run = 1 } run { sub(/^ */, " "); row = row $0 }
        /\),$/ && run { print row; run = 0 }' |
    sed -n 's/^ \([A-Z]*\)_KEY("\([a-z_]*\)", *\(.*\)),$/\1|\2|\3/p' |
    sed 's/MUST | LAYERED/MUST LAYERED/; s/INT32_MAX/2147483647/; s/1 << 24/16777216/; s/1 << 20/1048576/; s/(int64_t)1 << 40/1099511627776/' |
    awk -F'|' -v wirings="$wirings" '{ split($3, field, ", *") }
        { must = field[$1 == "OP" ? 3 : 2] ~ /MUST/ ? " must be given" : "" }
        { list = field[2] ~ /LAYERED/ ? ", or list" : "" }
        $1 == "NUMBER" { print "| `" $2 "` | number, " field[3] " to " field[4] list " |" must }
        $1 == "REAL" { print "| `" $2 "` | number, 1e-6 to 1e6 |" }
        $1 == "CHOICE" { takes = wirings " | `pre`"
            if (field[2] == "truth") takes = "`false` or `true` | `false`"
            if (field[2] == "stored_name") takes = "`given`, `int8` or `int4` | `given`"
            print "| `" $2 "` | " takes }
        $1 == "OP" && field[1] == "OPS" { print "| `" $2 "` | op or list |" must }
        $1 == "OP" && field[1] == "OP" { print "| `" $2 "` | " }
        $1 == "ENCODER" { print "`encoder_" $2 "`" }' >"$folder/keys"
sed -n '/^| key | value/,/^$/p' "$SRC/docs/networks.md" | grep '^| `' >"$folder/rows"
{
    [ "$(wc -l <"$folder/keys")" -ge 14 ] || echo 'the table of keys in stack_plan.c is not found'
    [ "$(wc -l <"$folder/keys")" = "$(sed 's/^| \([^|]*\)|.*/\1/' "$folder/rows" | grep -o '`[a-z_]*`' | wc -l)" ] ||
        echo 'there are other keys'
    while IFS= read -r row; do grep -qF -e "$row" "$folder/rows" || echo "$row"; done <"$folder/keys"
} >"$folder/output"
report 'docs/networks.md: every key of a network, its type and its default'

# The picture of bench/peers, from a record that is made up.
if command -v python3 >/dev/null; then
    cat >"$folder/peers.json" <<'END'
{"schema": "heed.peers/1", "peers": {"other": "1.0"},
 "machine": {"cpu": "a <CPU>", "emulator": null, "date": "2026-01-01T00:00:00Z"},
 "cases": [{"spec": "norm/rms", "shape": "x=4,M=8", "threads": 1,
            "peers": [{"name": "other", "ratio": 1.5}]}]}
END
    {
        python3 "$SRC/bench/peers/plot.py" "$folder/peers.json" >"$folder/peers.svg"
        python3 - "$folder/peers.svg" <<'END'
import sys, xml.dom.minidom
assert len(xml.dom.minidom.parse(sys.argv[1]).getElementsByTagName("rect")) == 3
END
        python3 "$SRC/bench/peers/plot.py" "$SRC/models/reference.json" >"$folder/said" 2>&1
        grep 'is no record of bench/peers/run' "$folder/said" >"$folder/found" || cat "$folder/said"
    } >"$folder/output" 2>&1
    report 'bench/peers/plot.py draws a record, and refuses what is none'
else echo '# skipped: bench/peers/plot.py needs python3'; fi

for page in README.md docs/benchmark.md docs/variants.md docs/networks.md docs/porting.md docs/check.md docs/heed.1 \
    docs/checkpoints.md docs/cache.md docs/plan.md docs/field.md docs/train.md \
    docs/recipes.md models/README.md abi/ABI.md; do
    commands "$SRC/$page" >"$folder/commands"
    [ -s "$folder/commands" ] || [ "${page%README.md}" = models/ ] || [ "$page" = abi/ABI.md ] || { bad=1; echo "not ok - $page has commands"; }
    while IFS= read -r line; do
        case $line in
            *--plot*) command -v gnuplot >/dev/null || { echo "# skipped: $page: $line: no gnuplot"; continue; } ;;
            *checkpoints/llama\ *prompt*|*generate\ llama\ *|*checkpoints/llama\ *.txt|*\ embed\ *)
                [ -e "$BUILD/engine/text/.libs/libtext_la-tokenizer.o" ] ||
                { echo "# skipped: $page: $line: built without PCRE2 and utf8proc"; continue; } ;;
        esac
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
# docs/hacking.md: a kernel in gdb.
if [ -z "${SANITIZERS-}" ] && command -v gdb >/dev/null; then
    npy x.npy '(4, 20)' 80
    ln -s "$SRC/plugins" "$folder/plugins"
    awk '/^```/ { run = $0 == "```sh gdb"; next } run' "$SRC/docs/hacking.md" >"$folder/commands"
    (cd "$folder" && sh -e commands) >"$folder/said" 2>&1 </dev/null
    : >"$folder/output"
    if grep -qi 'ptrace' "$folder/said"; then echo '# skipped: gdb may not trace here'
    else grep -q '^#1 .*kit_rowwise' "$folder/said" || cp "$folder/said" "$folder/output"; fi
    report 'docs/hacking.md: gdb stops in a kernel'
else echo '# skipped: docs/hacking.md: no gdb here, or a build with a sanitizer'; fi

if [ -n "${SANITIZERS-}" ]; then echo "SKIPPED docs/write-a-plugin.md: a sanitizer sees nothing more in it than in test_new.sh"
elif command -v patch >/dev/null && command -v pkg-config >/dev/null; then walk docs/write-a-plugin.md; walk docs/queries-and-keys.md
else echo "# skipped: docs/write-a-plugin.md needs patch and pkg-config"; fi
# abi/ABI.md has the letters of axes as abi/axes.h has them.
rows() { sed -n "s/^ *ROW('\(.\)', \"\([^\"]*\)\".*/\1 \2/p" "$SRC/abi/axes.h"; }
told() { sed -n 's/^| `\([A-Z]\)` | \([^|]*\) | .* |$/\1 \2/p' "$SRC/abi/ABI.md"; }
if [ -n "$(rows)" ] && [ "$(rows)" = "$(told)" ]; then echo "ok - abi/ABI.md has the axes of abi/axes.h"; else
    bad=1
    echo "not ok - abi/ABI.md has the axes of abi/axes.h"
fi
exit $bad
