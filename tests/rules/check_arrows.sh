#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_arrows.sh: who may know whom: which room may include which, that no two files call each other, and that a
# function fits on a screen.
#
#     BUILD=BUILD-FOLDER SRC=TOP [NM=nm] [CC=cc] tests/rules/check_arrows.sh
#
# First it judges a small tree that has every fault once, so that an "ok" means something. Calls are read off the object
# files of the build.

: "${BUILD:=.}" "${SRC:=$(dirname "$0")/../..}" "${NM:=nm}" "${CC:=cc}"
bad=0

# rule NAME WHAT-IS-WRONG: nothing wrong is ok.
rule() {
    if [ -z "$2" ]; then echo "ok - $1"; else
        echo "not ok - $1"
        printf '%s\n' "$2" | sed 's/^/# /' | head -20
        bad=1
    fi
}

# A room, and what its files may include besides their own room: rooms or single files. A file belongs to the longest
# name that it begins with. The library's floors: model, op, io and run, base. Above them the commands; what they share
# (options, shape, ...) serves bench and heed check too. main.c knows bench and check by command.h alone.
rooms='
abi
engine/heed.h       abi
engine/base         engine/heed.h
engine/run          engine/heed.h engine/base
engine/io           engine/heed.h engine/base
engine/text         engine/heed.h engine/base engine/io/gguf.h
engine/op           abi/partial.h abi/relay.h engine/heed.h engine/base engine/run
engine/model        abi/field.h abi/network.h engine/heed.h engine/base engine/run engine/io engine/op
engine/train        engine/heed.h engine/base engine/run engine/io engine/op engine/model plugins/kit/core/half.h
engine/inspect      engine/heed.h engine/base engine/run engine/op engine/model
engine/command      abi engine/heed.h engine/base engine/run engine/io engine/text engine/op engine/model engine/train engine/inspect plugins/kit/core/half.h
bench               engine/heed.h engine/base engine/inspect engine/command
plugins/kit         abi
plugins             abi plugins/kit
plugins/kit/templates  abi plugins/kit tests/oracle
tests/oracle        abi
tests/lib           engine/heed.h engine/base engine/inspect tests/oracle plugins/kit/core/half.h
tests/check         abi/kv.h engine/heed.h engine/base engine/inspect engine/command tests/lib tests/oracle
'

# What is included where, "FILE:NAME", from the folder $1; names that are made by the build or are the system's are left
# out below, since no file has them.
included() {
    (cd "$1" && grep -rE '^[[:space:]]*#[[:space:]]*include[[:space:]]+["<]' --include='*.[ch]' \
        abi engine bench plugins tests/oracle tests/lib tests/check 2>/dev/null) |
        sed -n 's/^\([^:]*\):[^"<]*["<]\([^">]*\)[">].*/\1:\2/p'
}

arrows() {
    { (cd "$1" && find abi engine bench plugins tests -name '*.[ch]' ! -path '*/.venv/*' 2>/dev/null) | sed 's/^/file:/'
      printf '%s\n' "$rooms" | sed -n 's/^\([a-z].*\)/room:\1/p'
      included "$1" | sed 's/^/include:/'; } | awk '
    function room(file,    r, best) {
        for (r in may) if (index(file, r) == 1 && length(r) > length(best)) best = r
        return best
    }
    function found(from, name,    folder, n, i, tries) {
        folder = from; sub(/[^\/]*$/, "", folder)
        sub(/^heed\/abi\//, "abi/", name); sub(/^heed\/kit/, "plugins/kit/kit", name)
        sub(/^plugins\/kit\/kit\//, "plugins/kit/", name); sub(/^heed\/heed\.h$/, "engine/heed.h", name)
        sub(/^heed\/oracle/, "tests/oracle/oracle", name)
        n = split(folder name "|" name "|engine/" name "|tests/" name, tries, "|")
        for (i = 1; i <= n; i++) if (tries[i] in file) return tries[i]
        return ""
    }
    { kind = $0; sub(/:.*/, "", kind); rest = substr($0, length(kind) + 2) }
    kind == "file" { file[rest] = 1 }
    kind == "room" { n = split(rest, w, / +/); may[w[1]] = " " w[1]; for (i = 2; i <= n; i++) may[w[1]] = may[w[1]] " " w[i] }
    kind == "include" {
        from = rest; sub(/:.*/, "", from); name = substr(rest, length(from) + 2)
        to = found(from, name)
        if (to == "") next
        home = room(from); n = split(may[home], w, / +/); good = 0
        for (i = 1; i <= n; i++) if (w[i] != "" && (w[i] == to || w[i] == room(to))) good = 1
        if (!good) print from " includes " to ", which " (home == "" ? "has no room" : home " must not know")
    }'
}

# The files of a tree that lie on a circle of calls. An object is named FILE.o, or PROGRAM-FILE.o by automake.
circles() {
    for source in $(cd "$1" && find engine bench tests/lib tests/check -name '*.c' ! -path '*/.venv/*' ! -path 'bench/machines/*' ! -path 'bench/peers/*' 2>/dev/null); do
        folder=${source%/*} name=$(basename "$source" .c)
        for object in "$2/$folder/$name.o" "$2/$folder/"*-"$name.o" "$2/$folder/.libs/"*-"$name.o" "$2/$folder/.libs/$name.o"; do
            [ -e "$object" ] || continue
            $NM "$object" | sed "s|^|$source |"
            break
        done
    done | awk '
    NF == 4 && $3 ~ /^[TDBRVWC]$/ { owner[$4] = $1; files[$1] = 1; next }
    NF == 3 && $2 == "U" { needs[$1 SUBSEP $3] = 1; files[$1] = 1 }
    END {
        for (key in needs) {
            split(key, k, SUBSEP)
            if (k[2] in owner && owner[k[2]] != k[1]) calls[k[1] SUBSEP owner[k[2]]] = k[2]
        }
        for (more = 1; more;) { # what calls nobody, or is called by nobody, is on no circle
            more = 0
            for (f in files) {
                out = back = 0
                for (key in calls) { split(key, k, SUBSEP); out += k[1] == f; back += k[2] == f }
                if (out && back) continue
                for (key in calls) { split(key, k, SUBSEP); if (k[1] == f || k[2] == f) delete calls[key] }
                delete files[f]; more = 1
            }
        }
        for (key in calls) { split(key, k, SUBSEP); print k[1] " calls " calls[key] " of " k[2] ", from which calls come back" }
    }'
}

objects_seen() { [ -n "$(find "$1/engine" "$1/bench" -name '*.o' 2>/dev/null | head -1)" ]; }

# Functions of more than 60 lines, from the brace that opens them to the one that ends them.
long() {
    (cd "$1" && find engine bench plugins tests/lib tests/check -name '*.c' ! -path '*/.venv/*' 2>/dev/null) | while read -r file; do
        awk -v file="$file" '/^\{/ { from = NR } /^\}/ && from { if (NR - from > 60) print file ":" from ": a function of " NR - from " lines"; from = 0 }' "$1/$file"
    done
}

# ---- the faults, once each ----

faulty=$(mktemp -d "${TMPDIR:-/tmp}/heed-arrows.XXXXXX") || exit 1
trap 'rm -rf "$faulty"' EXIT
mkdir -p "$faulty/engine/base" "$faulty/engine/op" "$faulty/bench"
echo '#include "op/entry.h"' >"$faulty/engine/base/low.h"
echo '#include "base/low.h"' >"$faulty/engine/op/entry.h"
echo '#include "op/entry.h"' >"$faulty/bench/one.c"
echo 'int two(void); int one(void); int one(void) { return two(); }' >>"$faulty/bench/one.c"
{ echo 'int one(void); int two(void);'; echo 'int two(void)'; echo '{'; yes '    one();' | head -60; echo '    return 0;'; echo '}'; } >"$faulty/bench/two.c"
expect() { # expect NAME LINES-FOUND HOW-MANY
    rule "$1" "$([ "$(printf '%s' "$2" | grep -c .)" = "$3" ] || { echo "found:"; echo "$2"; })"
}
expect "a room that includes what it must not know is seen" "$(arrows "$faulty")" 2
expect "a function that does not fit on a screen is seen" "$(long "$faulty")" 1
if (cd "$faulty/bench" && sed -i.kept 1d one.c && $CC -c one.c two.c) 2>/dev/null; then
    expect "files that call each other are seen" "$(circles "$faulty" "$faulty")" 2
else
    echo "SKIPPED files that call each other are seen: $CC does not compile"
fi

# ---- the tree ----

rule "no room includes what it must not know" "$(arrows "$SRC")"
rule "no function is longer than 60 lines" "$(long "$SRC")"
if objects_seen "$BUILD"; then
    rule "no two files call each other, on whatever way" "$(circles "$SRC" "$BUILD")"
else
    echo "SKIPPED no two files call each other: there are no object files in $BUILD"
fi
exit $bad
