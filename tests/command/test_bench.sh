#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_bench.sh: heed bench and heed compare from outside: the table, the record heed.bench/1, failures. Not the
# numbers, which are the machine's, except for those that must be the same everywhere.
#
#     HEED=PATH tests/command/test_bench.sh      HEED is the command, ./heed if not said

heed=${HEED-./heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)} BUILD=${BUILD-$SRC/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
bad=0 n=0

# runs STATUS WORD ...: runs heed, and fails if it ends with another status. What it says is in files out and err.
runs() {
    want=$1
    shift
    "$heed" "$@" >out 2>err
    got=$?
    [ $got = "$want" ] && return 0
    echo "# heed $*: status $got, not $want"
    return 1
}
try() { want=$1; shift; runs "$want" bench "$@"; }
compare() { want=$1; shift; runs "$want" compare "$@"; }
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

try 0 "$causal" --shape T=40,H=2,D=16 --backward --rounds 1 --threads 1 &&
    grep -qF "$causal backward  B=1,T=40,H=2,D=16,with=lse " out &&
    try 0 norm/rms --shape T=40,M=32 --backward --rounds 1 --threads 1 --isa all --json back.json &&
    are back.json spec 'norm/rms backward' && are back.json max_error '0\.0' &&
    try 1 compare/rows --backward && says 'compare/rows has no backward' &&
    try 2 norm/rms --backward --explain && says '--backward is for ops that are run as a whole' &&
    try 0 "$causal" 'attention/lightweight_conv(causal=true)' --shape T=40,H=2,D=16,E=16 --training-step --rounds 1 \
        --threads 1 --json step.json && grep -q 'training step .* x softmax' out &&
    are step.json over_softmax '[0-9.]+' && try 2 norm/rms --training-step --backward && says 'leave --backward out'
report "the backward of ops is timed, and a training step"

net='vocab=64; width=16; layers=2; heads=2; norm=rms; attention=softmax(causal=true); feedforward=swiglu(hidden=24)'
try 0 "$net" norm/rms --shape T=20 --rounds 1 --threads 1 --isa all --json net.json &&
    grep -qE '^vocab=64; .* +T=20 +scalar ' out &&
    [ "$(grep -c '^by op, T=20, ' out)" -ge 1 ] &&
    grep -qE '^q +linear/projection +2 +[0-9.]+ [mun]?s +[0-9.]+ % ' out &&
    grep -q '^norm/rms  *T=20' out && are net.json part '[a-z_]+' && are net.json max_error '0\.0'
report "a network is measured from its spec, op by op"
try 0 "$net" --shape decode=9 --shape decode=17 --rounds 1 --json net.json && are net.json shape 'decode=(9|17)' &&
    grep -q ' grows as decode^' out
report "the next token of a network"
"$heed" describe --spec "$net" --save net.safetensors >out 2>err &&
    try 0 net.safetensors --rounds 1 --shape T=20 --json file.json &&
    [ "$(values file.json hash)" = "$(try 0 "$net" --rounds 1 --shape T=20 --json again.json; values again.json hash)" ]
report "a network is measured from its file, and is the same"
try 1 "$net" --shape T=20,H=4 && says 'a network has its sizes from its spec' &&
    try 2 "$net" --dtype bf16 && says 'is for ops' &&
    try 1 none.safetensors && says 'none.safetensors'
report "what does not go with a network is refused"

"$heed" bench norm/rms --shape T=64,M=64 --rounds 1000 --json stopped.json >out 2>err &
child=$!
sleep 6
kill -INT $child
wait $child
[ $? = 130 ] && grep -q '^heed: interrupted: that is [1-9][0-9]* of 1000 rounds$' err && grep -q '^norm/rms ' out &&
    [ "$(values stopped.json rounds)" -ge 1 ]
report "Ctrl-C keeps the rounds that are whole"
try 0 "$net" norm/rms --shape T=9 --rounds 1 &&
    COLUMNS=80 "$heed" bench "$net" norm/rms --shape T=9 --rounds 1 >out 2>err &&
    ! awk 'length > 80' out | grep .
report "the tables fit 80 columns"

# A neighbour that stays on the same processor: its time slices are in every run that is longer than one.
if command -v taskset >/dev/null; then
    cpu=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
    taskset -c "$cpu" sh -c 'while :; do :; done' &
    neighbour=$!
    taskset -c "$cpu" "$heed" bench attention/softmax --shape T=2048,H=8,D=64 --threads 1 --rounds 1 \
        --json crowded.json >out 2>err
    kill $neighbour
    wait $neighbour 2>/dev/null
    are crowded.json crowded true && grep -q ' crowded$' out
    report "a case that another process ran beside all the time is marked as crowded"
fi

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

shape=B=1,T=30,H=2,D=8
try 0 attention/softmax --shape $shape --shape $shape,pitch=96,shift=4 --dtype f32 --rounds 1 --json h.json &&
    try 0 attention/softmax --shape $shape,pitch=96,shift=4 --isa scalar --rounds 1 --json i.json &&
    [ "$( (values h.json hash; values i.json hash) | sort -u | wc -l)" = 1 ] && are h.json max_error '0\.0' &&
    [ "$(values h.json shape | sort -u | tail -1)" = $shape,pitch=96,shift=4 ]
report "rows far apart and addresses off 64 bytes change no bit"

hash_of() {
    try 0 "$causal" --shape "$shape$1" --rounds 1 --json k.json && are k.json max_error '0\.0' && values k.json hash
}
plain=$(hash_of '') && [ "$(hash_of ,documents=1)" = "$plain" ] && [ "$(hash_of ,L=30)" = "$plain" ] &&
    [ "$(hash_of ,documents=3)" = "$(hash_of ,documents=3,with=query_documents)" ] &&
    [ "$(for more in '' ,documents=3 ,L=7 ,with=bias ,with=sink_logits ,with=bias+sink_logits; do hash_of $more; done |
         sort -u | wc -l)" = 6 ]
report "documents, key lengths, a bias and sinks reach the op, on all paths alike"

try 0 attention/softmax --shape $shape,with=lse --rounds 1 --json i.json && are i.json shape "$shape,with=lse" &&
    [ "$(values i.json hash)" != "$(values h.json hash | head -1)" ] &&
    try 1 norm/rms --shape with=lse && says 'no optional port "lse"' && says 'with=' &&
    try 1 norm/rms --shape L=3 && says 'no optional port "key_lengths"' &&
    try 1 norm/rms --shape documents=3 && says 'no optional port "documents"' &&
    try 1 norm/rms --shape M=16,pitch=60 && says 'holds a row of x, 16 of 4 bytes' &&
    try 1 norm/rms --shape M=16,pitch=66 && says 'pitch=66' && try 1 norm/rms --shape shift=3 && says 'shift=3'
report "optional ports are there when asked for, and refused where the op has none"

spans='attention/adaptive_span(limit=64, ramp=4)'
spans() {
    try 0 "$spans" --shape "T=30,H=2,D=8,values=span:$1" --rounds 1 --json k.json && are k.json max_error '0\.0' &&
        [ "$(values k.json shape)" = "B=1,T=30,H=2,D=8,values=span:$1" ] && values k.json hash
}
half=$(spans 0.5) && [ "$(spans .5+5e-1)" = "$half" ] && [ "$(spans 0.5+0.25)" != "$half" ] &&
    try 0 "$causal" "$spans" --shape T=30,H=2,D=8,values=span:0.5 --rounds 1 --json k.json &&
    [ "$(values k.json shape | head -1)" = B=1,T=30,H=2,D=8 ] && [ "$(values k.json hash | tail -1)" = "$half" ] &&
    try 1 "$spans" --shape H=2,values=span:0.1+0.2+0.3 && says 'values= has 3 numbers, and span has 2' &&
    try 1 "$spans" --shape H=2,values=span:2 && says 'span[0] is 2' &&
    try 1 "$causal" norm/rms --shape H=2,values=span:0.5 && says 'no op here has a weight "span"' &&
    for wrong in span span: :1 span:x span:1+ span:inf span:1e999 span:+1; do
        try 2 "$spans" --shape "H=2,values=$wrong" && says 'values= takes a weight and its numbers' || break
    done && try 2 "$spans" --shape values=span:1,values=span:1 && says twice && [ "$wrong" = span:+1 ]
report "values= gives a weight its numbers, in turn"

try 0 "$causal" norm/rms --shape T=2048 --shape T=64,decode=500000 --explain --rounds 1 --json j.json &&
    numbers j.json predicted_s bytes && are j.json median_s null && are j.json hash null && are j.json max_error null &&
    grep -q '^spec .* predicted  *algorithm' out && [ "$(grep -c "^$causal  *B=1" out)" = 2 ] &&
    are a.json predicted_s "$number" && are a.json bytes "$number" && are a.json algorithm '.+|null'
report "--explain predicts, and runs nothing"

try 2 --explain && says '--explain takes' && try 2 norm/rms --explain --overhead && says '--explain takes' &&
    try 1 norm/rmss --explain && says norm/rms
report "--explain refuses what it can not tell"

try 2 && says 'needs the spec' && try 2 norm/rms --rounds 0 && says '--rounds' && try 2 norm/rms --dtype f31 &&
    says '--dtype' && try 2 norm/rms --shap M=4 && says '--shape' && try 2 norm/rms --shape M=4,M=5 && says twice &&
    try 2 norm/rms --shape x=3x && says 'x=3x5' &&
    try 2 norm/rms --shape heads=4 && says 'not "heads=4": it has no "heads"; it has axes, capital letters, and L' &&
    try 2 norm/rms --shape M=4,decod=4 && says 'it has no "decod", the nearest is decode; it has axes' &&
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

# ---- heed bench --plot ----

# exponent FILE SPEC: of time against T, by least squares of the logarithms, from the record.
exponent() {
    awk -v want="$2" '/"spec":/ { here = index($0, "\"" want "\"") } /"shape":/ { match($0, /T=[0-9]+/)
            x = log(substr($0, RSTART + 2, RLENGTH - 2)) }
        here && /"median_s":/ { gsub(/[^0-9.e-]/, "", $2); y = log($2); n++; sx += x; sy += y; xx += x * x; xy += x * y }
        END { printf "%.2f", (n * xy - sx * sy) / (n * xx - sx * sx) }' "$1"
}
three='--shape T=16,H=2,D=8 --shape T=64,H=2,D=8 --shape T=256,H=2,D=8'
try 0 attention/softmax "$causal" $three --rounds 1 --json grow.json &&
    [ "$(sed -n 's/^attention\/softmax .*grows as T^//p' out)" = "$(exponent grow.json attention/softmax)" ] &&
    [ "$(sed -n 's/^attention\/softmax(causal=true) .*grows as T^//p' out)" = "$(exponent grow.json "$causal")" ] &&
    [ "$(grep -c ' grows as ' out)" = 2 ] && try 0 "$causal" --shape T=16,D=8 --shape T=32,D=16 --rounds 1 &&
    ! grep -q grows out
report "the table tells how time grows with the one size that differs"

echo before >kept.svg
try 1 "$causal" --shape T=16 --plot kept.svg && says 'needs two sizes or more' &&
    try 1 "$causal" --shape T=16 --shape T=16 --plot kept.svg && says 'needs two sizes or more' &&
    try 1 "$causal" --shape T=16,D=8 --shape T=32,D=16 --plot kept.svg && says 'both D and T differ' &&
    try 1 "$causal" --shape T=16 --shape D=8 --plot kept.svg && says 'D must be said in every --shape' &&
    try 1 "$causal" --shape T=16 --shape T=32,with=lse --plot kept.svg && says 'must be the same' &&
    try 1 "$causal" $three --plot no/such/folder/x.svg && says 'no/such/folder/x.svg: cannot be written' &&
    try 1 "$causal" $three --plot . && says directory && try 2 "$causal" $three --explain --plot kept.svg &&
    says '--plot shows the times' && try 2 --peaks-only --plot kept.svg && says '--plot shows the times' &&
    try 2 --suite --plot kept.svg && says 'not go with --plot' && try 2 "$causal" $three --json - --plot - &&
    says 'only one of them' && [ "$(cat kept.svg)" = before ]
report "--plot refuses what makes no picture, before anything is measured"

# A program that stands for gnuplot: it keeps what it is told, and does what the test wants.
mkdir empty fake
fake() { printf '#!/bin/sh\n[ "$1" = -V ] && exit 0\n%s\n' "$1" >fake/gnuplot && chmod +x fake/gnuplot; }
with() { path=$1; shift; PATH=$path "$heed" bench "$causal" $three --rounds 1 --plot kept.svg >out 2>err; [ $? = 1 ]; }
with "$work/empty" && says 'needs the program gnuplot' && says gnuplot-nox && [ "$(cat kept.svg)" = before ] &&
    fake 'echo half; echo "line 7: no such terminal" >&2; exit 1' && with "$work/fake:$PATH" &&
    says 'gnuplot has made no picture: line 7: no such terminal' && [ "$(cat kept.svg)" = before ] &&
    fake 'echo "<svg>"; exit 0' && with "$work/fake:$PATH" && says 'gnuplot has made no picture' &&
    [ "$(cat kept.svg)" = before ] && fake 'cat >told; exit 1' && with "$work/fake:$PATH" &&
    grep -q "title 'T^[-0-9.]*  attention/softmax(causal=true), [a-z0-9]*'\$" told &&
    grep -q "^set title 'H=2,D=8, f32, \|^set title 'H=2, D=8, f32, " told && ! grep -q 'set output\|system\|`' told
report "without gnuplot, and where it fails, one sentence, and the file as it was"

if ! command -v gnuplot >/dev/null; then
    echo "SKIPPED --plot makes an SVG: there is no gnuplot"
else
    table='attention/synthesizer_random(longest=256, fixed=1)'
    try 0 "$causal" 'attention/softmax(window=7, causal=true)' "$table" --isa all $three --rounds 1 --plot grow.svg &&
        [ "$(grep -c ' grows as T^' out)" = "$(grep -c '<title>T^' grow.svg)" ] && grep -qF "$table, scalar" grow.svg &&
        head -1 grow.svg | grep -q '^<?xml' && grep -q '</svg>' grow.svg &&
        try 0 "$causal" --decode 20 --shape H=2 --shape H=4 --rounds 1 --plot - && tail -2 out | grep -q '</svg>' &&
        ! grep -q ' grows as ' out && grep -q 'H^' out && [ -z "$(ls -A | grep tmp)" ] &&
        { ! command -v python3 >/dev/null || python3 -c 'import xml.dom.minidom as m; m.parse("grow.svg")'; }
    report "--plot makes an SVG with a line for every spec and path"
fi

# ---- heed bench --suite ----

model=$SRC/models/plays.safetensors
try 0 --suite --tiny norm/rms position/alibi --json tiny.json && [ "$(values tiny.json suite)" = tiny ] &&
    are tiny.json median_s null && are tiny.json noisy null && are tiny.json limit null && are tiny.json peaks null &&
    are tiny.json unit seconds && are tiny.json refused '\[\]' && are tiny.json hash '[0-9a-f]{16}' &&
    grep -q ' 3 of 3 specs and shapes gave the same bits' out &&
    grep -q '"spec": "attention/softmax(position=position/alibi, causal=true)"' tiny.json
report "--suite --tiny runs each op once, also one that is a setting of another, and takes no time"

try 0 --suite norm/rms --rounds 2 --json quick.json && [ "$(values quick.json suite)" = quick ] &&
    [ "$(values quick.json median_s | grep -c null)" = "$(values quick.json median_s | grep -vc null)" ] &&
    are quick.json threads 1 && are quick.json noisy 'null|true|false' &&
    are quick.json crowded 'null|true|false' &&
    are quick.json version '[0-9.]+' && are quick.json packages '[0-9]+' &&
    are quick.json hwloc '.+' && are quick.json libc '.+' && grep -q '^norm/rms  x=64,M=1024 ' out &&
    [ "$(grep -c '^norm/rms ' out)" = "$(values quick.json median_s | grep -vc null)" ]
report "--suite times each op on all paths; the small shapes are in the record alone"

try 0 --suite --tiny norm/rms --model "$model" --isa scalar --json net.json &&
    grep -q '"spec": "vocab=256; .*feedforward=feedforward/swiglu' net.json && are net.json path scalar &&
    are net.json shape 'x=37,M=100|T=9|tokens=4,T=1' && try 1 --suite --tiny norm/rms --model none.safetensors &&
    says 'none.safetensors: cannot be opened: No such file'
report "a network is a case of the suite"

try 2 --quick norm/rms && says 'go with --suite' && try 2 --model x norm/rms && says '--model goes with --suite' &&
    try 2 --count x norm/rms --rounds 2 && says 'takes no time' &&
    try 2 --count x norm/rms --plot y && says 'takes no time' && try 2 --count x && says '--count runs specs' && try 2 --suite --quick --full && says 'only one' &&
    try 2 --suite --shape T=4 && says 'not go with --shape' && try 2 --suite --explain && says 'with --explain' &&
    try 2 --suite --dtype f16 && says 'with --dtype' && try 2 --suite --decode 4 && says 'with --decode' &&
    try 2 --suite --overhead && says 'with --overhead' && try 2 --suite --peaks-only && says 'with --peaks-only' &&
    try 2 --suite --tiny --rounds 3 && says 'no --rounds' && try 2 --suite --quick --count x && says 'with --tiny' &&
    try 2 --suite --count x --threads 2 && says '--count counts one thread' && try 1 --suite norm/rmss && says norm/rms &&
    try 1 --suite 'norm/rms(eps=1)' && says 'takes ids of ops'
report "options of --suite that do not go together are refused"

counter() { { printf 'heed.count/1\000\000\000\000%s' "$1"; head -c 64 /dev/zero; } | head -c 64 >counter; }
try 1 --suite --count none && says 'none: No such file' && echo short >counter && try 1 --suite --count counter &&
    says 'no counter' && counter vax && try 1 --suite --count counter && says 'the counter is of qemu-vax' &&
    counter "$(uname -m)" && try 1 --suite --count counter && says 'nothing counts here' &&
    try 1 --suite --count . && says 'no counter' && try 1 norm/rms --count counter && says 'nothing counts here' &&
    try 2 norm/rms --count counter --threads 2 && says '--count counts one thread'
report "--count refuses what does not count this process"

# ---- heed compare ----

# edit FILE SCRIPT: a copy of the record a.json, changed by sed.
edit() { sed "$2" a.json >"$1"; }
# refuses TEXT: compare refuses bad.json, names it, and says so.
refuses() { compare 1 a.json bad.json && says "$1" && grep -q '^heed: bad.json: ' err && [ "$(wc -l <err)" = 1 ]; }

slower=$(values a.json median_s | awk '{ print 2 * $1 }')
edit slow.json "s/\"median_s\": [^,]*/\"median_s\": $slower/; s/\"spread\": [^,]*/\"spread\": 0.1/"
edit same.json "s/\"spread\": [^,]*/\"spread\": 0.1/"
compare 0 a.json slow.json same.json && [ ! -s err ] && grep -q "^$causal  B=1,T=40,H=2,D=16  f32$" out &&
    grep -qE '^  A  .* 1 +[0-9.]+ [mun]?s +[0-9]+ % of (fma|read|copy)' out &&
    [ "$(grep -c '^[ABC]  [a-z]*\.json  *.* cores; heed ' out)" = 3 ] && [ "$(grep -c 'peaks scalar' out)" = 3 ] &&
    grep -qE '^  B  .* 2\.00  ' out && grep -qE '^  C  .* 1\.00 equal  ' out
report "compare shows the machines, the times and their ratio; a difference below the spread is none"

# One line of the head for each file: which paths have times of a real machine, and which only counts.
edit counted.json 's/"emulator": null/"emulator": "qemu-none"/; s/"instructions": null/"instructions": 5.0/
                   s/"median_s": [^,]*/"median_s": null/'
compare 0 a.json counted.json && [ "$(grep -c '^   .* timed on hardware' out)" = 1 ] &&
    [ "$(grep -c '^   .* counted under qemu-none' out)" = 1 ] && ! grep 'qemu-none' out | grep -q 'timed on hardware'
report "compare says which paths were timed on hardware and which were counted under qemu"

path=$(values a.json path)
edit other.json 's/"hash": "./"hash": "z/; s/"path": "[a-z0-9]*"/"path": "elsewhere"/'
compare 1 a.json other.json && grep -qE "^  B  .* of $path.*  other bits than A $path$" out &&
    grep -q '^heed: 1 row is marked' err &&
    sed 's/"bound": 0.0/"bound": null/' other.json >inexact.json && compare 0 a.json inexact.json &&
    ! grep -q 'other bits' out
report "compare marks other bits, unless the path is inexact"

# Counts stand beside counts, and times beside times.
counted() {
    sed "s/\"instructions\": null/\"instructions\": $2.0/; s/\"median_s\": [^,]*/\"median_s\": null/
         s/\"spread\": [^,]*/\"spread\": 0.1/" a.json >"$1"
}
counted few.json 2000000 && counted many.json 3000000 && compare 0 few.json many.json &&
    grep -qE '^  B  .* 3 M instr +1\.50  ' out && compare 0 a.json many.json && grep -qE '^  B  .* 3 M instr   +[0-9]' out &&
    grep -q '^1 case gave the same bits on every path and in every file$' out &&
    sed 's/"noisy": false/"noisy": true/' a.json >noisy.json && compare 0 noisy.json && grep -q '%  noisy$' out &&
    compare 0 tiny.json b.json && ! grep -q alibi out && grep -q '^B lacks [0-9]* cases that others have$' out &&
    sed 's/"hash": "./"hash": "z/' tiny.json >other.json && compare 1 tiny.json other.json && grep -q '^  B .* other bits' out
report "compare keeps counts from times, marks noise, and shows what was only run where it differs"

compare 0 b.json d.json && compare 0 j.json a.json && grep -qE '^  A  .* -  ' out && compare 0 g.json && [ -s out ]
report "compare takes records without times, and without cases"

peer='{"name": "other", "median_s": 1e3, "spread": 0}'
sed "s/heed.bench/heed.peers/; s/\"hash\": .*/\"hash\": null, \"peers\": [$peer],/" a.json >peers.json
compare 0 peers.json && grep -qE "^  A     other .* 1000 s +[0-9.]+ of $path" out
report "compare puts a peer beside heed"

compare 1 none.json && says 'none.json: No such file' && compare 1 . && says 'Is a directory' &&
    : >bad.json && refuses 'is empty' && echo '{"schema": ' >bad.json && refuses 'line 2, column 0: no JSON' &&
    head -c 300 a.json >bad.json && refuses 'no JSON' && printf 'no\033[2Jjson' >bad.json && refuses 'no JSON' &&
    printf '\000\377\376' >bad.json && refuses 'no JSON' && printf '{"a": 1, "a": 2}' >bad.json && refuses 'no JSON' &&
    awk 'BEGIN { while (n++ < 5000) printf "[" }' >bad.json && refuses 'no JSON' &&
    awk 'BEGIN { while (n++ < 17 * 1024) printf "%1024s", "" }' >bad.json && refuses 'larger than 16 MiB' &&
    echo '[]' >bad.json && refuses 'is a list' && echo '{}' >bad.json && refuses 'has no schema' &&
    edit bad.json 's,heed.bench/1,heed.bench/2,' && refuses 'not heed.bench/1' &&
    edit bad.json 's/"cases": \[/"cases": 3, "x": [/' && refuses 'cases is a number, not a list' &&
    edit bad.json 's/"cases": \[/"cases": [7,/' && refuses 'cases[0] is a number, not an object' &&
    edit bad.json 's/"median_s": [^,]*/"median_s": "soon"/' && refuses 'cases[0].median_s is a text' &&
    edit bad.json 's/"median_s": [^,]*/"median_s": -1/' && refuses 'cases[0].median_s is -1' &&
    edit bad.json 's/"median_s": [^,]*/"median_s": 1e999/' && refuses 'no JSON' &&
    edit bad.json 's/"median_s": [^,]*/"median_s": 0/' && refuses 'cases[0].median_s is 0' &&
    edit bad.json 's/"threads": 1,/"threads": 1.5,/' && refuses 'cases[0].threads is 1.5' &&
    edit bad.json 's/"spec": "[^"]*",//' && refuses 'cases[0] has no spec' &&
    edit bad.json 's/"dtype": "f32"/"dtype": "\\u001b[2J"/' && refuses 'cases[0].dtype has a control character' &&
    edit bad.json 's/"machine": {/"machine": null, "x": {/' && refuses 'machine is null, not an object' &&
    edit bad.json 's/"scalar": [^,]*/"scalar": []/' && refuses 'peaks.fma_gflops.scalar is a list' &&
    edit bad.json 's/"instructions": null/"instructions": 5/' && refuses 'either timed or counted' &&
    counted bad.json 0 && refuses 'instructions is 0' && edit bad.json 's/"noisy": [a-z]*/"noisy": 1/' &&
    refuses 'cases[0].noisy is a number, not true or false' && edit bad.json 's/"suite": null/"suite": {}/' &&
    refuses 'suite is an object' && edit bad.json 's/"emulator": null/"emulator": "\\u0007"/' && refuses 'control character' &&
    sed 's/"name": "other"/"name": 4/' peers.json >bad.json && refuses 'cases[0].peers[0].name is a number'
report "compare refuses what is no record, and says where"

compare 2 && says 'needs a record' && compare 2 --json a.json && says 'unknown option' && compare 0 -h &&
    grep -q '^usage: heed compare' out && compare 2 $(yes a.json | head -27) && says 'at most 26'
report "compare's wrong usage ends with 2"

# ---- bench/peers, as far as it goes without the peers ----

peers=$SRC/bench/peers
if ! command -v python3 >/dev/null; then
    echo "SKIPPED bench/peers: there is no python3"
else
    sh -n "$peers/run" && python3 -B -c 'import ast, sys
for name in sys.argv[1:]: ast.parse(open(name).read(), name)' "$peers"/*.py >out 2>err
    report "the scripts of bench/peers can be read"

    if ! python3 -c 'import numpy' 2>/dev/null; then
        echo "SKIPPED bench/peers calls libheed: python3 has no numpy"
    elif [ -n "${SANITIZERS-}" ]; then
        echo "SKIPPED bench/peers calls libheed: it is built with a sanitizer, and python3 is not"
    else
        PYTHONPATH=$peers python3 -B - "$BUILD" >out 2>err <<'END'
import sys
import numpy as np
from cases import attention, cases
from heed import Heed, Refused

heed = Heed(sys.argv[1], 1)
case = attention("small", causal=True, T=9, H=2, D=8)
path, run, result = heed.contender(case)
q, k, v = (case.data[p][0].astype(float) for p in "qkv")
score = np.where(case.allowed(), np.einsum("thd,shd->hts", q, k) / np.sqrt(8), -np.inf)
weight = np.exp(score - score.max(-1, keepdims=True))
expected = np.einsum("hts,shd->thd", weight / weight.sum(-1, keepdims=True), v)
assert np.abs(result()[0] - expected).max() < 1e-5
assert heed.explain(case)["cases"][0]["path"] == path
try:
    heed.contender(attention("wrong", T=9, H=2, D=8, settings="scale=x"))
    assert False
except Refused as e:
    assert "scale" in str(e)
assert len({c.name for c in cases()}) == len(list(cases())) > 40
END
        report "bench/peers calls libheed, and gets what NumPy computes"
    fi
fi

# ---- bench/claims ----

rows() { [ "$(head -1 out)" = '| claim | paper | here |' ] && [ "$(grep -cE "^\\| .* \\| .* \\| .*$2.* \\|\$" out)" = "$1" ]; }
if ! command -v python3 >/dev/null; then
    echo "SKIPPED bench/claims: there is no python3"
else
    HEED=$heed "$SRC/bench/claims" --tiny synthesizer span memory sparse >out 2>err && [ ! -s err ] && rows 9 '[0-9] x'
    report "bench/claims measures what the papers claim"

    HEED=$heed "$SRC/bench/claims" --tiny linear convolution >out 2>err && [ ! -s err ] && rows 7 '[0-9] x'
    report "bench/claims compares linear time and convolutions with softmax and synthesizers"

    if python3 -c 'import numpy' 2>/dev/null; then
        HEED=$heed "$SRC/bench/claims" --tiny performer capacity >out 2>err && [ ! -s err ] && rows 13 '[0-9]'
        report "bench/claims measures errors"
    else
        echo "SKIPPED bench/claims measures errors: there is no NumPy"
    fi

    HEED=$heed THREADS=1 "$SRC/bench/twins" --tiny --text "$SRC/models/sample.txt" --records twins >out 2>err &&
        [ "$(grep -c ', hidden ' out)" = 3 ] && grep -q '^| heed plan --train | ' out && cp out first &&
        HEED=$heed "$SRC/bench/twins" --tiny --records twins --report >out 2>err && [ ! -s err ] && cmp first out
    report "bench/twins holds what twins have said against what networks do"
    "$SRC/bench/predictions" "$SRC/bench/machines/amd-epyc-2cpu.json" >out 2>err && [ ! -s err ] &&
        grep -qE '^128 of 209 cases .* within 20 % are 118, 92.2 %' out
    report "bench/predictions: cases of a record from its others"
    HEED=$heed "$SRC/bench/claims" --tiny bananas >out 2>err
    [ $? = 1 ] && [ ! -s out ] && grep -q 'there is no claim "bananas"; there are linear, convolution, performer, capacity, synthesizer, ' err
    report "bench/claims refuses another word"

    # a claim that training decides: its record is made once, and made again to the bit; another text is told apart
    claim() { HEED=$heed CLAIM_RECORDS=$work/claims "$SRC/bench/claims" --tiny --text "$SRC/models/sample.txt" "$@" >out 2>err; }
    claim rms_for_layer_norm && grep -c ': run ' err | grep -qx 12 && tail -1 out >first &&
        grep -qE '^\| `rms_for_layer_norm`: .*[0-9.]+ \| [+-][0-9.]+ ± [0-9.]+ \| within 0.02 \| \*\*(holds|does not|undecided)\*\*' out &&
        claim rms_for_layer_norm && [ ! -s err ] && tail -1 out | cmp -s - first
    report "bench/claims trains what a claim's record lacks"
    claim --again rms_for_layer_norm && [ "$(grep -c 'the same file$' out)" = 12 ]
    report "bench/claims --again: the same files"
    sed -i 's/"steps": 3/"steps": 4/' claims/rms_for_layer_norm.json
    claim rms_for_layer_norm; [ $? = 1 ] && grep -q 'is of another protocol than rms_for_layer_norm has now' err
    report "bench/claims refuses the record of another protocol"

    if ! command -v qemu-x86_64 >/dev/null || [ -n "${SANITIZERS-}" ]; then
        echo "SKIPPED bench/claims counts instructions: there is no qemu-x86_64, or a sanitizer, which it can not run"
    else
        HEED=$heed "$SRC/bench/claims" --tiny count >out 2>err && [ ! -s err ] && rows 1 '(instructions|M for).*[0-9] x'
        report "bench/claims counts instructions"
    fi
fi

echo "1..$n"
[ $bad = 0 ]
