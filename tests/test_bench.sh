#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_bench.sh: heed bench from outside: the table, the record heed.bench/1, failures. Not the numbers, which are the
# machine's, except for those that must be the same everywhere.
#
#     HEED=PATH tests/test_bench.sh      HEED is the command, ./heed if not said

heed=${HEED-./heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
bad=0 n=0

# try STATUS WORD ...: runs heed bench, and fails if it ends with another status. What it says is in files out and err.
try() {
    want=$1
    shift
    "$heed" bench "$@" >out 2>err
    got=$?
    [ $got = "$want" ] && return 0
    echo "# heed bench $*: status $got, not $want"
    return 1
}
refuses_shapes() {
    for sizes; do try 2 norm/rms --shape "$sizes" && says 'sizes from 1' || return 1; done
}
# report NAME: what has just been tested, by $?.
report() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        sed 's/^/# out: /' out
        sed 's/^/# err: /' err
        bad=$((bad + 1))
    fi
    n=$((n + 1))
}
# One sentence on standard error with this text in it, nothing on standard output.
says() {
    [ ! -s out ] && grep -q '^heed: ' err && grep -qF -e "$1" err && return 0
    echo "# not said: $1"
    return 1
}
# values FILE KEY: all values of a key, one a line. The record is indented: one key a line.
values() { sed -n "s/^ *\"$2\": \(.*[^,]\),*\$/\1/p" "$1" | sed 's/^"\(.*\)"$/\1/'; }
# are FILE KEY REGEX: there is at least one, and all are so.
are() {
    values "$1" "$2" >found
    [ -s found ] && ! grep -qvE "^($3)\$" found && return 0
    echo "# $2 is $(tr '\n' ' ' <found), not $3"
    return 1
}
numbers() {
    file=$1
    shift
    for key; do are "$file" "$key" "$number" || return 1; done
}
number='[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?'

try 0 -h && grep -q '^usage: heed bench' out && [ ! -s err ]
report "-h shows the usage"

causal='attention/softmax(causal=true)'
try 0 "$causal" --shape B=1,H=2,T=40,D=16 --rounds 2 --threads 1 --json a.json
report "a case is measured"

grep -q 'GFLOP/s; reading .* copying ' out && grep -q "^$causal  B=1,T=40,H=2,D=16 .* 1 .* % of " out
report "the table has the peaks, and the case in a line"

are a.json schema 'heed\.bench/1' && are a.json heed_version '.+' && are a.json compiler '(gcc|clang) .+' &&
    are a.json cpu '.+' && are a.json cores '[0-9]+' && are a.json os '.+' && are a.json date '[0-9-]{10}T[0-9:]{8}Z'
report "the record tells the machine"

are a.json scalar "$number" && are a.json read_gbps "$number" && are a.json copy_gbps "$number" &&
    are a.json buffer_bytes '[0-9]+'
report "the record has the peaks"

are a.json spec 'attention/softmax\(causal=true\)' && are a.json path '[a-z0-9_]+' && are a.json threads '[0-9]+' &&
    are a.json shape 'B=1,T=40,H=2,D=16' && are a.json dtype f32 && are a.json limit 'fma|read|copy' &&
    are a.json max_error '0\.0' && are a.json bound '0\.0' && are a.json hash '[0-9a-f]{16}' &&
    numbers a.json median_s spread gflops gbps peak fraction
report "the record has all fields of a case"

try 0 norm/rms linear/projection --shape T=7,M=48 --shape x=3x5,M=16 --isa all --rounds 1 --json b.json &&
    are b.json max_error '0\.0' && are b.json shape '(T=7,M=48|x=3x5,M=16)(,N=(16|48))?' &&
    [ "$(values b.json hash | sort -u | wc -l)" = 4 ] &&
    [ "$(values b.json path | sort -u | wc -l)" = $(($(values b.json path | wc -l) / 4)) ]
report "every spec, shape and path, and one hash for all paths"

try 0 norm/rms --shape T=7,M=48 --threads 2 --pin none --isa scalar --rounds 1 --json c.json &&
    [ "$(values c.json hash)" = "$(values b.json hash | head -1)" ] && are c.json gflops null && are c.json limit copy
report "the same hash with two threads; an op without a cost is held against memory"

try 0 attention/softmax norm/rms --shape B=2,H=4,G=2,D=16 --decode 700 --rounds 1 --json d.json &&
    are d.json limit 'read|copy' && [ "$(values d.json limit | head -1)" = read ] &&
    [ "$(values d.json shape | head -1)" = B=2,H=4,G=2,D=16,decode=700 ] &&
    [ "$(values d.json shape | tail -1)" = T=1,M=64 ]
report "decoding: one query of a filled sequence, one row of other ops"

shape=$(values d.json shape | head -1)
try 0 attention/softmax --shape "$shape" --rounds 1 --json e.json && [ "$(values e.json shape)" = "$shape" ] &&
    [ "$(values e.json hash)" = "$(values d.json hash | head -1)" ]
report "a shape reads back as it was printed"

try 0 attention/softmax --shape T=20,H=2,D=8,L=13 --dtype bf16 --rounds 1 --json - && cp out f.json &&
    are f.json dtype bf16 && are f.json shape 'B=1,T=20,H=2,D=8,L=13' && are f.json max_error '0\.0'
report "another dtype, key lengths, and the record on standard output"

try 0 --overhead --json g.json && are g.json engine_ns "$number" && are g.json kernel_ns "$number" &&
    are g.json difference_ns "-?$number" && are g.json peaks null && grep -q '^overhead of a call: ' out
report "the engine's overhead"

try 0 --peaks-only --rounds 1 && grep -q '^peaks, ' out
report "the peaks alone"

try 2 && says 'needs the spec' && try 2 norm/rms --rounds 0 && says '--rounds' && try 2 norm/rms --dtype f31 &&
    says '--dtype' && try 2 norm/rms --shap M=4 && says '--shape' && try 2 norm/rms --shape M=4,M=5 && says twice &&
    try 2 norm/rms --shape x=3x && says 'x=3x5' &&
    refuses_shapes M=0 M=-1 m=4 M=4, M= M x=3xx5 =4 M=99999999999 ''
report "wrong usage ends with 2"

echo before >kept.json
try 1 norm/rmss --json kept.json && says norm/rms && try 1 position/alibi && says 'does nothing by itself' &&
    try 1 attention/softmax --shape H=8,G=3 --json kept.json && says multiple &&
    try 1 norm/rms --isa none && says none && try 1 norm/rms --json no/such/folder && says no/such/folder &&
    try 1 norm/rms --json . && says directory &&
    [ "$(cat kept.json)" = before ]
report "failures end with 1, and leave the file as it was"

"$heed" bench norm/rms --shape T=4,M=16 --rounds 1000 --json kept.json >out 2>err &
pid=$!
sleep 2
kill -TERM $pid
wait $pid
[ $? = 1 ] && says interrupted && [ "$(cat kept.json)" = before ]
report "an interruption ends with 1, and nothing is written"

try 0 norm/rms --shape T=4,M=16 --rounds 1 --json kept.json && are kept.json schema 'heed\.bench/1' &&
    [ -z "$(ls -A | grep tmp)" ]
report "a record replaces an older one"

echo "1..$n"
[ $bad = 0 ]
