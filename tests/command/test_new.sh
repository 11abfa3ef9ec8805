#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_new.sh: heed new: every template builds without a warning with every compiler that is here, passes heed check as it
# is, runs, gives the same bits on every path, and is as short as it should be; and what is asked for wrongly.
#
#     BUILD=BUILD-FOLDER tests/command/test_new.sh        CC and MAKE may say which

: "${BUILD:=.}" "${MAKE:=make}"
BUILD=$(cd "$BUILD" && pwd) || exit 2
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
heed=$BUILD/heed
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-new.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
command -v pkg-config >/dev/null || { echo "1..0 # SKIP no pkg-config"; exit 77; }
# As a user has it: the Makefiles find heed and its headers by themselves.
unset HEED HEED_ISA HEED_PLUGINS HEED_TEST_LIBS PKG_CONFIG CFLAGS MAKEFLAGS MFLAGS MAKELEVEL
cd "$work" || exit 1
bad=0

# report NAME: what has just been tested, by $?; what was said is in the file log.
report() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        sed 's/^/# /' log | tail -20
        bad=1
    fi
}
log() { "$@" >log 2>&1; }
# refuses STATUS TEXT WORD ...: heed new WORD ... says one sentence with this text, and makes nothing.
refuses() {
    want=$1 text=$2
    shift 2
    ls -lA . >before
    "$heed" new "$@" >out 2>log
    [ $? = "$want" ] && [ ! -s out ] && [ "$(wc -l <log)" = 1 ] && grep -q '^heed: ' log && grep -qF -e "$text" log &&
        rm before out && ls -lA . | grep -v ' log$' >after && rm after
}
# npy FILE SHAPE COUNT: a ramp of float32 in [1, 2).
npy() {
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': $2, }" >"$1"
    printf "$(LC_ALL=C awk -v n="$3" 'BEGIN { for (i = 0; i < n; i++) printf "\\000\\000\\%03o\\077", 128 + i * 7 % 64 }')" >>"$1"
}
npy q.npy '(1, 6, 2, 8)' 96
npy x.npy '(1, 6, 20)' 120
npy table.npy '(4, 20)' 80

paths=scalar
case $(uname -m) in
    x86_64)
        grep -qw avx2 /proc/cpuinfo && paths="$paths avx2"
        grep -qw avx512vl /proc/cpuinfo && paths="$paths avx512" ;;
    aarch64) paths="$paths neon" ;;
esac
others='gcc clang'
[ -z "${SANITIZERS-}" ] || others= # a sanitizer sees nothing of what these compile
compilers= tried=
for cc in "${CC:-cc}" $others; do
    command -v ${cc%% *} >/dev/null || { echo "# skipped: no $cc here"; continue; }
    version=$($cc --version | head -1 | cut -d ' ' -f 2- | tr ' ' _) # cc is mostly one of the others
    case " $tried " in *" $version "*) continue ;; esac
    tried="$tried $version" compilers="$compilers ${cc%% *}"
done

# template NAME KIND WORDS-OF-RUN [--on WHERE]
template() {
    name=$1 kind=$2 words=$3
    shift 3
    log "$heed" new "$kind" "$name" "$@" && [ "$(ls -A "$name" | sort | tr '\n' ' ')" = "Makefile README.md $name.c ${name}_oracle.c " ]
    report "new $kind $*: four files"
    [ -z "$(find . -name '.*.*')" ] && ! grep -rq '@[A-Z]' "$name"; report "new $kind $*: no draft is left, no word unreplaced"
    all=$(cat "$name"/* | wc -l) own=$(wc -l <"$name/$name.c")
    [ "$all" -le 135 ] && [ "$own" -ge 40 ] && [ "$own" -le 90 ]; report "new $kind $*: $all lines, $own of them the op"
    for cc in $compilers; do
        log "$MAKE" -C "$name" -B CC="$cc" CFLAGS='-O3 -Wall -Wextra -Werror'; report "new $kind $*: $cc builds it without a warning"
    done
    log "$MAKE" -C "$name" check; report "new $kind $*: make check"
    HEED_PLUGINS=$name/$name.so:
    export HEED_PLUGINS
    for path in $paths; do
        log "$heed" run "$kind/$name" $words -o "out=$name.$path.npy" --isa "$path" && log cmp "$name.$path.npy" "$name.scalar.npy"
        report "new $kind $*: $path runs, with the bits of scalar"
    done
    unset HEED_PLUGINS
}
template mine attention '-i q=q.npy -i k=q.npy -i v=q.npy'
template linear_one attention '-i q=q.npy -i k=q.npy -i v=q.npy' --on linear
template plain_one attention '-i q=q.npy -i k=q.npy -i v=q.npy' --on plain
template small norm '-i x=x.npy'
template rows position '-i x=x.npy -w table=table.npy'
log "$heed" new cache packed && [ "$(ls -A packed | sort | tr '\n' ' ')" = "Makefile README.md packed.c " ] &&
    ! grep -rq '@[A-Z]' packed && [ "$(wc -l <packed/packed.c)" -le 90 ]
report 'new cache: three files, for the contract is its oracle'
for cc in $compilers; do
    log "$MAKE" -C packed -B CC="$cc" CFLAGS='-O3 -Wall -Wextra -Werror'; report "new cache: $cc builds it without a warning"
done
log "$MAKE" -C packed check && grep -q '^ok - cache/packed codec' log; report 'new cache: make check'
log "$MAKE" -C small bench && grep -q 'norm/small' log && grep -q 'norm/rms' log; report 'make bench: beside the shipped one'
log "$MAKE" -C small clean && [ "$(ls small | wc -l)" = 4 ]; report 'make clean'

# In a folder whose name no shell leaves alone.
mkdir "two words, one's \$HOME" && cd "two words, one's \$HOME" && log "$heed" new norm spaced &&
    log "$MAKE" -C spaced all && own=$PWD/spaced/spaced &&
    log "$heed" check "$own.so" --oracle "${own}_oracle.so" --cases 20 && grep -q '^ok - norm/spaced bound' log
report 'a folder with blanks in its name'
cd "$work" || exit 1

# Into a copy of the tree: a folder and an oracle more, and two lines elsewhere.
log sh -c 'mkdir -p tree/tests/ops && cp -R "$0/plugins" tree/ && cp -R "$0/tests/oracle" tree/tests/ &&
    cp "$0/tests/ops/golden_hashes.h" tree/tests/ops/ && cp -R tree tree.before' "$SRC"
for op in attention/mine attention/plain_one norm/small position/rows; do
    log tree/plugins/adopt "${op#*/}" || { false; report "adopt $op"; }
    own=tree/plugins/$op/${op#*/}.c oracle=${op%%/*}_${op#*/}
    log cmp "$own" "${op#*/}/${op#*/}.c" &&
        log grep -q "la_SOURCES = plugins/$op/" "tree/plugins/$op/plugin.mk" &&
        log grep -q "OF($oracle)(" "tree/tests/oracle/$oracle.h"
    report "adopt $op: its folder and its oracle"
done
added() { diff tree.before/$1 tree/$1 >diff; ! grep -q '^<' diff && [ "$(grep -c '^>' diff)" = 4 ]; } # one an op
added plugins/plugins.mk && added tests/ops/golden_hashes.h; report 'adopt: a line each in two files'
[ "$(diff -rq tree.before tree | wc -l)" = 10 ]; report 'adopt: and nothing else is changed'
mkdir -p tree/include && log sh -c 'sh tree/tests/oracle/list.sh tree/tests/oracle >tree/include/oracles.h' &&
    log ${CC:-cc} -fsyntax-only -Wall -Wextra -Werror -D_GNU_SOURCE -Itree/include -Itree/tests \
        -I"$BUILD/include" tree/tests/oracle/oracle.c && grep -q '"norm/small", norm_small' tree/include/oracles.h
report 'adopt: the oracles compile beside the shipped ones'
tree/plugins/adopt small >out 2>log
[ $? = 1 ] && [ "$(cat log)" = 'adopt: plugins/norm/small is there already; nothing was changed' ]
report 'adopt: an op that is there'
tree/plugins/adopt empty_folder >out 2>log
[ $? = 1 ] && [ "$(wc -l <log)" = 1 ] && grep -q '^adopt: empty_folder has no empty_folder.c' log; report 'adopt: no plugin'

refuses 1 'mine is there already' attention mine; report 'a folder that is there'
mkdir empty && refuses 1 'empty is there already' norm empty && [ -d empty ]; report 'an empty folder that is there'
echo text >file && refuses 1 'file is there already' norm file && [ "$(cat file)" = text ]; report 'a file of that name'
ln -s nowhere link && refuses 1 'link is there already' norm link && [ -h link ]; report 'a link of that name'
for name in 9lives Mine my-norm a/b ../up . '' 'two words' ünder a.b; do
    refuses 1 'the name "' norm "$name"; report "the name \"$name\""
done
refuses 1 'up to 40 are taken' norm aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; report 'a long name'
refuses 1 'there is an op norm/rms already' norm rms; report 'an id that is taken'
refuses 1 '"atention", the nearest is attention' atention new_one; report 'a kind that is not known'
refuses 1 'there is no template of the kind "merge"' merge new_one; report 'a kind without a template'
refuses 1 'there is no template of norm on flash' norm new_one --on flash; report 'a norm on flash'
refuses 2 '--on takes flash, linear or plain' norm new_one --on fire; report '--on something else'
refuses 2 'takes a kind and a name' norm; report 'no name'
refuses 2 'one word too many' norm new_one more; report 'a word too many'
(cd /proc && "$heed" new norm nowhere) >out 2>log # where not even root can make a folder
[ $? = 1 ] && [ ! -s out ] && [ "$(wc -l <log)" = 1 ] && grep -q '^heed: the folder nowhere cannot be made here: ' log
report 'a place where no folder can be made'
(ulimit -f 0 && trap '' XFSZ && "$heed" new norm too_large; echo "status $?") 2>&1 | cat >log
[ "$(wc -l <log)" = 2 ] && grep -q '^heed: ' log && grep -q '^status 1$' log && [ ! -e too_large ] && [ -z "$(find . -name '.*.*')" ]
report 'no room for a file: nothing is left'
exit $bad
