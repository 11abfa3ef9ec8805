#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_commands.sh: the command heed from outside: output, exit status, sentences. Not the truth of numbers, which the
# tests of ops judge; those here are small enough to know by heart.
#
#     HEED=PATH tests/command/test_commands.sh      HEED is the command, ./heed if not said

heed=${HEED-./heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-commands.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
"$heed" list 2>err | grep -q attention/softmax || { echo "Bail out! $heed list does not list the ops: $(cat err)"; exit 99; }
bad=0 n=0

# try STATUS WORD ...: runs heed, and fails if it ends with another status. What it says is in the files out and err.
try() {
    want=$1
    shift
    "$heed" "$@" >out 2>err
    got=$?
    [ $got = "$want" ] && return 0
    echo "# heed $*: status $got, not $want"
    return 1
}
prints() { grep -qF -e "$1" out || { echo "# not in the output: $1"; return 1; } }
quiet() { [ ! -s err ]; }
no_output() { [ ! -s out ]; }
# One sentence on standard error, "heed: " or "heed topo: ", with this text in it; nothing on standard output.
says() {
    no_output && [ "$(wc -l <err)" = 1 ] && grep -Eq '^heed( [a-z]+)?: ' err && grep -qF -e "$1" err && return 0
    echo "# not the only thing said: $1"
    return 1
}
# The same about a spec: the sentence, the line of the spec, and a caret under the place.
points() {
    no_output && [ "$(wc -l <err)" = 3 ] && head -n 1 err | grep -F -e "$1" | grep -q '^heed: spec, line ' &&
        tail -n 1 err | grep -q '^ *^$' && return 0
    echo "# not said, with a caret: $1"
    return 1
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

# npy FILE DTYPE SHAPE DATA: DATA in printf's octal.
npy() {
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }" >"$1"
    printf "$4" >>"$1"
}
# holds FILE NUMBER ...: the float32 behind the header, to 6 digits.
holds() {
    file=$1
    shift
    od -An -v -t f4 -j 128 "$file" 2>>err | tr -s ' \n' '\n' | awk -v want="$*" '
        BEGIN { count = split(want, w, " ") }
        NF { d = $1 - w[++i]; if (d < 0) d = -d; if (!(d < 1e-6)) wrong = 1 }
        END { exit wrong || i != count }' && return 0
    echo "# $file does not hold $*"
    return 1
}
untouched() { cmp -s "$1" old || { echo "# $1 has changed"; return 1; } }

# Numbers of float32 in octal, `hidden` is -infinity; and of int64.
zero='\000\000\000\000' hidden='\000\000\200\377' one='\000\000\200\077' two='\000\000\000\100' three='\000\000\100\100' four='\000\000\200\100'
seven='\007\000\000\000\000\000\000\000' minus='\377\377\377\377\377\377\377\377'
npy q.npy '<f4' '(1, 4, 2, 1)' $zero$zero$zero$zero$zero$zero$zero$zero
npy k.npy '<f4' '(1, 4, 1, 1)' $one$two$three$four
npy v.npy '<f4' '(1, 4, 1, 1)' $one$two$three$four
npy q4.npy '<f4' '(1, 4)' $one$one$one$one
npy bias2.npy '<f4' '(1, 1, 1, 2)' $one$one
npy x.npy '<f4' '(1, 2)' $three$four
npy gain.npy '<f4' '(2,)' $two$one
npy wide.npy '<f4' '(4,)' $one$one$one$one
npy double.npy '<f8' '(1, 1)' $zero$zero
npy lengths.npy '<i4' '(1,)' '\003\000\000\000'
echo "no tensor" >old
qkv='-i q=q.npy -i k=k.npy -i v=v.npy' # never quoted: six words

# ---- heed ----

"$heed" >out 2>err; [ $? = 2 ] && no_output && grep -q '^usage: heed COMMAND' err; report 'alone: the usage, status 2'
for word in -h --help help; do
    try 0 $word && quiet && prints 'usage: heed COMMAND'; report "$word: the usage"
done
for command in list describe run generate score bench new topo; do
    grep -q "^  $command " out; report "the usage has $command"
    try 0 help $command && quiet && grep -qi "^usage: heed $command" out && cp out page &&
        try 0 $command -h && cmp out page; report "help $command"
    try 2 $command --bananas && says '--bananas'; report "$command: an unknown option"
    try 0 -h
done
try 0 --version && quiet && grep -Eqx 'heed [0-9]+\.[0-9]+\.[0-9]+, plugin ABI [0-9]+\.[0-9]+' out; report '--version'
try 2 lsit && says 'there is no command "lsit", the nearest is list'; report 'an unknown command'
try 2 help lsit && says 'the nearest is list'; report 'help for an unknown command'
try 2 --lsit && says 'unknown option "--lsit"'; report 'an unknown option'

# ---- standard output ----

for words in -h --version 'list' 'list --json' 'describe softmax' 'describe softmax --json'; do
    if [ -c /dev/full ]; then
        "$heed" $words >/dev/full 2>err; [ $? = 1 ] && : >out && says 'standard output: No space left'
        report "$words: a full disk"
    fi
    "$heed" $words 2>err >&-; [ $? = 1 ] && : >out && says 'standard output'
    report "$words: standard output is closed"
    "$heed" $words 2>err | head -n 1 >out && quiet && [ -s out ]
    report "$words: only one line is read"
done

# ---- list ----

small='vocab=256; width=16; layers=2; heads=2; norm=rms; feedforward=swiglu(hidden=24)'
try 0 list && quiet && prints attention/softmax && prints attention_softmax.so && grep -q '\[[a-z0-9]*\]' out
report 'list'
try 0 list --json && quiet && prints '"id": "attention/softmax"' && prints '"chosen": "'; report 'list --json'
if command -v jq >/dev/null; then
    jq -e 'length > 0 and all(.[]; keys == ["chosen", "id", "inexact", "paths", "plugin", "reference", "summary", "version"])
           and all(.[]; . as $op | .paths | index($op.chosen))' out >page 2>>err
    report 'list --json: these keys, no others'
fi
try 0 list --isa scalar && quiet && prints '[scalar]' && ! grep -q '\[[^s]' out; report 'list --isa'
(HEED_ISA=scalar && export HEED_ISA && try 0 list) && prints '[scalar]'; report 'HEED_ISA'
(HEED_ISA=mmx && export HEED_ISA && try 1 list) && says '"mmx"'; report 'HEED_ISA: an unknown path'
(HEED_PLUGINS=/nowhere && export HEED_PLUGINS && try 1 list) && says '/nowhere'; report 'HEED_PLUGINS: no such folder'

rms=$("$heed" describe norm/rms | sed -n 's/^  plugin *//p')
mkdir plugins && echo junk >plugins/broken.so && cp "$rms" plugins/norm_rms.so
(HEED_PLUGINS=$work/plugins && export HEED_PLUGINS && try 0 list) && quiet && prints norm/rms && prints refused: &&
    prints "$work/plugins/broken.so: "; report 'list: a refused plugin'
(HEED_PLUGINS=$work/plugins && export HEED_PLUGINS && try 0 list --json) && [ "$(wc -l <err)" = 1 ] &&
    grep -q '^heed: warning: .*broken.so' err && ! grep -q broken out; report 'list --json: a refused plugin'
# The plugins that were refused are why an op is not there: the one that is named after it, or the first.
broken="one of them: $work/plugins/broken.so: it is no ELF file"
cp "$rms" plugins/norm_layer.so && chmod o+w plugins/norm_layer.so
rms_only() { (HEED_PLUGINS=$work/plugins && export HEED_PLUGINS && try "$@"); }
rms_only 1 run attention/softmax -i q=q.npy -o out=o.npy &&
    points "no op is of kind \"attention\"; 2 plugins were refused, $broken"; report 'refused plugins: no op of a kind'
rms_only 1 run norm/layer -i x=x.npy -o out=o.npy &&
    points 'no norm op is called "layer"; 2 plugins were refused, one of them: ' &&
    points '/plugins/norm_layer.so has mode 0'
report 'refused plugins: the one of the op'
rms_only 1 bench softmax && points "write kind/name; 2 plugins were refused, $broken"
report 'refused plugins: a name alone'
rms_only 1 describe layer && says '; heed list names them; 2 plugins were refused, one of them: ' &&
    says '/norm_layer.so has mode 0'
report 'refused plugins: describe'
rms_only 1 list attention && says "no op is of kind \"attention\"; there are norm; 2 plugins were refused, $broken"
report 'refused plugins: list KIND'
rms_only 1 generate --random-weights --spec "$small; attention=softmax" &&
    points "no op is of kind \"attention\"; 2 plugins were refused, $broken"; report 'refused plugins: a network'
rm -f plugins/norm_layer.so
try 0 list norm && quiet && prints norm/rms && prints norm/layer && [ "$(grep -c / out)" = "$(grep -c '^norm/' out)" ]
report 'list KIND'
try 0 list norm --json && quiet && prints '"id": "norm/rms"' && ! grep -q '"id": "[^n]' out; report 'list KIND --json'
try 1 list nrm && says 'no op is of kind "nrm", the nearest is norm; there are ' &&
    try 1 list '' && says 'no op is of kind "";'; report 'list: an unknown kind'
try 2 list norm position && says 'one kind, not also "position"'; report 'list: two kinds'
try 2 list --bananas && says 'unknown option "--bananas"; there are --json, --isa' &&
    try 2 list --jason && says 'unknown option "--jason", the nearest is --json'
report 'an unknown option: those that there are'
mkdir none
(HEED_PLUGINS=$work/none && export HEED_PLUGINS && try 0 list --json) && grep -q '^heed: warning: ' err &&
    [ "$(cat out)" = '[]' ]; report 'list --json: no plugin'

# ---- a checkpoint: a folder of transformers ----

tiny=$SRC/models/checkpoints
try 0 generate "$tiny/gpt2" --ids "$tiny/ids.npy" --tokens 3 --temperature 0 && prints '5 12 7 31 9 30 11 3 ' &&
    [ "$(wc -w <out)" = 11 ]; report 'generate --ids: numbers in and out'
try 1 generate "$tiny/gpt2" --prompt a && says "--ids FILE.npy takes their numbers"
report 'generate: no text for a checkpoint'
try 2 generate "$tiny/gpt2" --ids "$tiny/ids.npy" --chat && says '--ids and --chat exclude each other'
report 'generate: --ids or --chat'
try 2 generate "$tiny/gpt2" --system x && says '--system needs --chat'; report 'generate: --system without --chat'
try 1 generate "$SRC/models/plays.safetensors" --chat && says '--chat needs a checkpoint'
report 'generate --chat: bytes'
try 1 score "$tiny/gpt2" "$SRC/README.md" && says "--ids FILE.npy takes their numbers"
report 'score: no text for a checkpoint'
try 2 generate "$tiny/gpt2" --ids a --prompt b && says 'exclude each other'; report 'generate: --ids or a prompt'
try 2 score "$tiny/gpt2" --ids a b && says 'exclude each other'; report 'score: --ids or a file'
try 1 generate "$SRC/models/plays.safetensors" --ids "$SRC/models/checkpoints/none.npy" && says none.npy
report 'generate --ids: a file that is not there'
try 0 score "$tiny/gpt2" --ids "$tiny/ids.npy" && prints 'bits per token  (7 tokens'; report 'score --ids'
try 0 describe "$tiny/gpt2" && prints 'model_type gpt2; keys of config.json' &&
    prints 'transformer.h.0.attn.c_attn.weight, transposed, rows 16 to 31'
report 'describe: a checkpoint'
try 0 describe "$tiny/gpt2" --json && prints '"model_type": "gpt2"'; report 'describe --json: a checkpoint'

# ---- and its tokenizer ----

if "$heed" score "$tiny/llama" "$SRC/models/sample.txt" 2>&1 | grep -q 'built without PCRE2'; then
    echo '# skipped: texts of a checkpoint need PCRE2 and utf8proc'
else
    try 0 generate "$tiny/llama" --prompt 'The king' --tokens 20 --temperature 0 && grep -q '^The king' out &&
        [ "$(wc -c <out)" -ge 10 ] && grep -q '^prompt: ' err; report 'generate: a text of a checkpoint'
    try 0 score "$tiny/llama" "$SRC/models/sample.txt" && prints ' bits per byte  (2123 bytes, '
    report 'score: a text of a checkpoint'
    try 0 score "$tiny/llama" "$SRC/models/sample.txt" --json && prints '"bytes": 2123' && prints '"tokens": '
    report 'score --json: a text of a checkpoint'
    cp -r "$tiny/llama" more &&
        sed 's/"added_tokens":\[/&{"id":37,"content":"zz"},/' "$tiny/llama/tokenizer.json" >more/tokenizer.json
    try 1 generate more --prompt 'a zz' && says 'makes token 37 of it' && try 0 generate more --prompt a --tokens 1
    report 'generate: a token that the network has not'
    printf 'the hare\n\nin the rain' >lines.txt
    try 0 embed "$tiny/bert" lines.txt -o vectors.npy && grep -q '^3 lines, [0-9]* tokens, .*pooling mean, l2 true' err &&
        [ "$(wc -c <vectors.npy)" = 320 ]; report 'embed: a row of 16 numbers for each line'
    printf 'in the rain' >last.txt
    try 0 embed "$tiny/bert" last.txt -o w.npy && tail -c 64 vectors.npy >a && tail -c 64 w.npy >b && cmp -s a b
    report 'embed: a line is by itself'
    try 0 embed "$tiny/bert" lines.txt -o u.npy --pooling first --l2 false && ! cmp -s u.npy vectors.npy &&
        grep -q 'pooling first, l2 false' err; report 'embed --pooling --l2'
    try 1 embed "$tiny/llama" lines.txt -o u.npy && says 'is no encoder'; report 'embed: no encoder'
    try 2 embed "$tiny/bert" lines.txt && says '-o OUT.npy is needed'; report 'embed: where to'
    cp -r "$tiny/bert" dense && printf '[{"path": "2_Dense", "type": "a.Dense"}]' >dense/modules.json
    try 1 embed dense lines.txt -o u.npy && says 'dense/modules.json: there is a module "Dense"'
    printf '[{"path": "../x", "type": "a.Pooling"}]' >dense/modules.json
    try 1 embed dense lines.txt -o u.npy && says '"../x"'; report 'embed: modules that are not read'
    printf 'a\377' >bad.txt
    try 1 score "$tiny/llama" bad.txt && says 'bad.txt: byte 1 is 0xFF'; report 'score: a text that is no UTF-8'
fi

# ---- generate: which tokens ----

plays=$SRC/models/plays.safetensors
"$heed" generate "$plays" --prompt ROMEO: --tokens 30 --temperature 0 >likely 2>err
try 0 generate "$plays" --prompt ROMEO: --tokens 30 --top-k 1 --temperature 5 && cmp -s out likely
report 'generate --top-k 1: the most likely ones'
try 0 generate "$plays" --prompt ROMEO: --tokens 30 --top-p 0 && cmp -s out likely && try 0 generate "$plays" \
    --prompt ROMEO: --tokens 30 --min-p 1 && cmp -s out likely; report 'generate --top-p 0, --min-p 1: the same'
"$heed" generate "$plays" --prompt ROMEO: --tokens 400 >long 2>err
try 0 generate "$plays" --prompt ROMEO: --tokens 400 --stop 'zzz' --stop ' the ' && ! grep -q ' the ' out &&
    [ "$(wc -c <out)" -lt "$(wc -c <long)" ] && cmp -s -n "$(wc -c <out)" out long && grep -q ' the ' long
report 'generate --stop: nothing from there on'
try 0 generate "$plays" --prompt ROMEO: --tokens 60 --temperature 0 --repetition-penalty 1e3 && ! cmp -s out likely
report 'generate --repetition-penalty'
try 2 generate "$plays" --top-p 2 && says 'from 0 to 1'; report 'generate: --top-p has a range'
try 2 generate "$tiny/gpt2" --ids a --stop b && says 'exclude each other'; report 'generate: --ids or --stop'

# ---- generate: a network that has learned nothing ----

for attention in 'window(left=9, sinks=2)' 'sparse(stride=6)' 'adaptive_span(limit=20)' 'dynamic_span(limit=20)' \
    'softmax(causal=true); position=t5(bidirectional=false)'; do
    set -- generate --random-weights --spec "$small; attention=$attention" --prompt abc --tokens 30
    try 0 "$@" --seed 3 && cp out text && try 0 "$@" --seed 3 && cmp -s out text && try 0 "$@" --seed 4 && ! cmp -s out text
    report "generate --random-weights: $attention"
done
for attention in softmax 'softmax(window=4:4)' '[softmax(causal=true), softmax]'; do
    try 1 generate --random-weights --spec "$small; attention=$attention" --prompt abc &&
        says 'no language model: tokens of attention/softmax'
    report "generate: not causal: $attention"
done
# The same number of a file and of a pipe, whatever its length is to context and stride: at an end, on both sides of it.
for bytes in 1 9 10 11 19 20 21 50; do
    head -c $bytes "$SRC/models/sample.txt" >part
    try 0 score "$SRC/models/plays.safetensors" part --context 20 --stride 10 && quiet && cp out whole &&
        grep -q "($bytes bytes" out && try 0 score "$SRC/models/plays.safetensors" /dev/stdin --context 20 --stride 10 <part &&
        [ "$(cut -d' ' -f1 out)" = "$(cut -d' ' -f1 whole)" ]
    report "score: $bytes bytes, 20 at a time"
done
head -c 100 "$SRC/models/sample.txt" >part
try 0 score "$SRC/models/plays.safetensors" part && quiet && prints '(100 bytes'; report 'score: less than the context'
plays=$SRC/models/plays.safetensors
echo '{"prompt": "The sky is", "choices": [" blue", " qzx"], "answer": 0}' >lines
try 0 score "$plays" --choices lines && quiet && prints 'line 1: 0 right  (ln p: -' &&
    prints 'accuracy 1.0000, by byte 1.0000  (1 line'
report 'score --choices'
try 2 score "$plays" lines --choices lines && says 'exclude each other'; report 'score --choices or a file'
choices() { # choices LINE SENTENCE
    printf '\n%s\n' "$1" >lines
    try 1 score "$plays" --choices lines && says "$2"
    report "score --choices: $2"
}
choices '{"prompt": ' 'lines, line 2: unexpected'
choices '{"choices": ["a", "b"]}' 'lines, line 2: "prompt", a text, is missing'
choices '{"prompt": "a", "choices": ["b"]}' 'line 2: "choices" is no list of 2 to 64 texts'
choices '{"prompt": "a", "choices": ["b", ""]}' 'line 2: each of "choices" is a text that is not empty'
choices '{"prompt": "a", "choices": ["b", "c"], "answer": 2}' 'line 2: "answer" is none of the choices'
choices "{\"prompt\": \"$(printf '%300s')\", \"choices\": [\"b\", \"c\"]}" 'has 301 tokens with its prompt, but'
LC_ALL=C sed 's/causal=true/softcap=0.0/' "$SRC/models/plays.safetensors" >other.safetensors
# several texts at once are those that their seeds make alone, also where the context begins anew, and with a stop
several() { # ARGUMENT ...
    for seed in 4 5 6; do
        [ $seed = 4 ] || echo
        echo "==> seed $seed <=="
        "$heed" generate "$@" --seed $seed 2>/dev/null || return 1
    done >alone
    try 0 generate "$@" --seed 4 --parallel 3 && cmp -s out alone
}
several "$SRC/models/plays.safetensors" --prompt ROMEO: --tokens 270 --stop the && several "$tiny/gpt2" --ids "$tiny/ids.npy" --tokens 5
report 'generate --parallel: the texts of the seeds'
for attention in 'fast_weight(causal=true)' 'synthesizer_dense(causal=true, longest=64)'; do
    "$heed" describe --spec "$small; attention=$attention" --save story.safetensors >/dev/null &&
        several story.safetensors --prompt abc --tokens 20
    report "generate --parallel: $attention"
done
try 2 generate "$tiny/gpt2" --parallel 0 && says '--parallel'; report 'generate --parallel 0'

# keys and values through a codec, beside the model's own
try 0 score "$SRC/models/plays.safetensors" part --cache int8 && quiet && [ "$(wc -l <out)" = 2 ] &&
    grep -qE "^[+-]0\.0[0-9]* beside the model's own \([0-9.]+\); divergence [0-9.e-]+ nats a token$" out
report 'score --cache'
try 0 score "$SRC/models/plays.safetensors" part --cache f16 --value-cache int8 --json && prints '"divergence_nats": ' &&
    prints '"plain_bits_per_byte": '
report 'score --cache --json'
for how in int8 int4; do
    try 0 score "$SRC/models/plays.safetensors" part --weights $how && quiet && grep -q "beside the model's own" out &&
        try 0 generate "$SRC/models/plays.safetensors" --prompt ROMEO: --tokens 5 --weights $how --cache bf16
    report "score and generate --weights $how"
done
try 1 generate "$tiny/gpt2" --ids "$tiny/ids.npy" --weights int3 && points 'weights takes given, int8 or int4, not "int3"'
report 'generate --weights: no such way'
try 1 score "$SRC/models/plays.safetensors" part --cache int18 && points 'nearest is "int8"'
report 'score --cache: no such codec'
try 1 score other.safetensors "$SRC/models/sample.txt" && says 'no language model: tokens of attention/softmax'
report 'score: not causal'
rm other.safetensors
try 2 generate --random-weights && says 'needs the network, --spec'; report 'generate --random-weights: of what'
try 2 generate model --random-weights --spec "$small; attention=softmax" && says 'exclude each other'
report 'generate: a model or random weights'
net='vocab=256; width=16; layers=1; heads=2; norm=rms; feedforward=none; attention=softmax(causal=true)'
try 1 generate --random-weights --prompt a --spec "$net; output=hidden" &&
    says "this network gives no logits, which a command takes (output=hidden)"; report 'generate: of logits'
more="encoder_layers=1; encoder_attention=softmax; cross_attention=softmax"
try 1 generate --random-weights --prompt a --spec "$net; $more" &&
    says 'no token that what is made begins with' && try 0 generate --random-weights --prompt a --spec "$net; $more; bos=3" &&
    try 0 generate --random-weights --prompt a --spec "$net; $more; bos=3" --parallel 2
report 'generate: an encoder reads the prompt'
try 0 describe --spec "$net; $more; encoder_vocab=90" --json &&
    sed -n 's/^ *"parameters": \([0-9]*\),.*/\1/p' out |
    awk 'NR == 1 { all = $1; next } { sum += $1 } END { exit sum != all }' &&
    try 0 describe --spec "$net; $more; encoder_vocab=90" && grep -q '^ *encoder.embed .* 1440 ' out &&
    grep -q '^0 *encoder.attention  .* 1024 ' out && grep -q '^0 *cross  .* 1024 ' out
report 'describe: rows for each side, which add up'
try 1 generate --random-weights --prompt a --spec 'vocab=256; width=16; layers=1; heads=2; norm=rms; feedforward=gelu; attention=softmax' &&
    points 'the size of F is not known'; report 'generate --random-weights: a size that nothing says'
shaw='attention/shaw: the size of R is not known, which its weight relative_keys (R D) has; distances=N gives R'
gelu='feedforward/gelu: the size of F is not known, which its weight up (F M) has; hidden=N gives F'
try 1 generate --random-weights --prompt a --spec "${small%feedforward*}feedforward=gelu; attention=shaw" &&
    points "$shaw; $gelu"
report 'generate --random-weights: two sizes that nothing says, and what would'
try 1 generate --random-weights --prompt a --spec 'vocab=256; width=16; attention=softmax; dropout=0.1' &&
    points 'unknown key "dropout" of a stack; it takes vocab, width, layers, heads,'
report 'generate: an unknown key, and those that there are'
try 1 generate --random-weights --prompt a --spec 'vocab=256; width=16; attention=softmax' &&
    points 'the key layers is missing: how many there are; so are heads, norm, feedforward'
report 'generate: all keys that are missing'
printf 'ROMEO:' >start
try 0 generate "$SRC/models/plays.safetensors" --prompt-file start --tokens 9 && cp out text &&
    try 0 generate "$SRC/models/plays.safetensors" --prompt-file - --tokens 9 <start && cmp -s out text &&
    printf 'ROMEO:' | "$heed" generate "$SRC/models/plays.safetensors" --prompt-file=- --tokens 9 >out 2>err &&
    cmp -s out text
report 'generate --prompt-file: from a file, from standard input, from a pipe'
"$heed" generate "$SRC/models/plays.safetensors" --prompt-file - --tokens 9 >out 2>err <&-
[ $? = 1 ] && says 'standard input: Bad file descriptor'; report 'generate --prompt-file -: nothing there'
"$heed" generate "$SRC/models/plays.safetensors" --prompt-file - --tokens 9 >out 2>err </
[ $? = 1 ] && says 'standard input: Is a directory'; report 'generate --prompt-file -: a folder'

# ---- describe ----

try 0 describe attention/softmax && quiet && prints 'B T H D' && prints 'causal=true|bottom_right|offset:N' &&
    prints 'automatic' && prints formula; report 'describe'
cp out page; try 0 describe softmax && cmp out page; report 'describe: a bare name'
try 0 describe alibi && prints 'on the scores'; report 'describe: where a position op acts'
try 0 describe softmax --json && quiet && prints '"ports": [' && prints '"params": [' && prints '"masks": ['
report 'describe --json'
try 1 describe sofmax && says 'the nearest is attention/softmax'; report 'describe: an unknown op'
try 1 describe 'softmax(causal=true)' && says 'without its settings, not "softmax(causal=true)"'
report 'describe: a spec'
try 2 describe && says 'needs an op'; report 'describe: nothing'
try 2 describe softmax rms && says 'one op'; report 'describe: two ops'

# The sizes of an op by hand: keys and values of 2 heads of 16 and 8 floats; 4 tables of 64 x 16, and so on.
try 0 describe 'attention/softmax(causal=true)' --shape T=32,H=4,G=2,D=16,E=8 && quiet &&
    prints 'state       192 bytes a token' && prints 'parameters  0' && prints 'reach       32 keys' && prints 'formula' &&
    try 0 describe 'attention/window(left=5)' --shape T=32,H=2,D=16 &&
    prints 'state       256 bytes a token, of the last 4 at most' && prints 'reach       5 keys' &&
    try 0 describe 'attention/synthesizer_factorized_random(rank=16)' --shape H=2,T=64,D=8,with=rows+columns &&
    prints 'parameters  4096' && try 0 describe norm/rms --shape M=48 && prints 'parameters  48' && ! prints '  state  ' >note &&
    try 0 describe 'attention/adaptive_span(limit=64, ramp=4)' --shape H=2,T=64,D=8,values=span:0.25+0.5 &&
    prints 'reach       35 keys'
report 'describe --shape: the sizes of an op'
try 0 describe 'attention/softmax(causal=true)' --shape T=32,H=2,D=16 --json && prints '"state_bytes_per_token": 256' &&
    prints '"receptive_field": 32' && prints '"parameters": 0' && prints '"ports": ['; report 'describe --shape --json'
try 1 describe 'softmax(causal=true)' --shape T=4 && grep -q 'nearest is "attention/softmax"' err
report 'describe --shape: an op without its kind'
try 2 describe attention/softmax --shape T=0 && says 'sizes from 1'; report 'describe --shape: a wrong size'
try 1 describe norm/rms --shape values=grain:1 && says 'no op here has a weight "grain"'
report 'describe --shape: numbers of a weight that is not there'

# A network by hand: width 8, 2 heads of 4; 16 x 8 embeddings and outputs, 4 x 64 projections, 2 x 8 x 12 of gelu.
net='vocab=16; width=8; layers=2; heads=2; norm=rms; feedforward=gelu(hidden=12); attention='
two='[softmax(causal=true), window(left=5)]'
try 0 describe --spec "$net$two" && quiet &&
    grep -qE '^0 +attention +attention/softmax\(causal=true\) +256  64$' out &&
    grep -qE '^1 +attention +attention/window\(left=5\) +256  64, of 4 tokens$' out &&
    grep -qE '^ +embed +embed/table +128  -$' out &&
    prints 'a sequence takes 64 bytes a token, and 256 bytes at most of what stops growing'
report 'describe --spec: a network, layer by layer'
try 0 describe --spec "$net$two" --json && prints '"state_bytes_per_token": 64' && cp out net.json &&
    awk '/"parameters":/ { if (/^  "/) total = $2 + 0; else sum += $2 }
         END { exit !(sum > 0 && sum == total) }' net.json
report 'describe --spec --json: the parts add up to all parameters'
try 0 describe --spec "${net}transformer_xl(memory=16, causal=true)" && grep -qE '^0-1 +attention +' out &&
    prints 'stack  ' && prints 'a sequence takes 2048 bytes at most'
report 'describe --spec: layers that are alike, and tensors that they share'
try 0 describe --spec "${net}gau" && prints 'attention/gau'; report 'describe --spec: an attention that sees all'
# A projection of 8 channels to 8: 128 flops a token; q, k, v and o of 2 layers, for 4 tokens.
try 0 describe --spec "$net$two" --shape T=4 && quiet && grep -qE '^q +linear/projection +2 +1.02 k ' out &&
    grep -qE '^residual +residual/add +4 ' out && grep -q '^in all ' out
report 'describe --shape: what the ops of a network cost'
try 0 describe "$net$two" --shape decode=9 && prints 'costs of token 9' && cp out page &&
    try 0 describe --spec "$net$two" --shape decode=9 && cmp -s out page
report 'describe --shape: the next token, and the spec of a network as the word'
try 0 describe --spec "$net$two" --shape T=4 --json && prints '"costs": [' && prints '"flops": 1024.0'
report 'describe --shape --json: a network'
try 1 describe --spec "$net$two" --shape H=4 && says 'a network has its sizes from its spec'
report 'describe --shape: a size that a network has itself'

# ---- plan ----

try 0 plan 'layers=15; heads=3' 'layers=30; heads=5' --tokens 2048 --data-tokens 1e9 --suggest && quiet &&
    grep -qE '^  without tables +6.64 M +36.9 M$' out && grep -qE '^last token sees, tokens +2048 +2048$' out &&
    grep -qE '^Chinchilla +too few parameters +too few parameters$' out &&
        grep -qE '^data-constrained +[0-9.]+ +[0-9.]+$' out &&
    grep -qE '^ +128 +B +640 ' out && grep -qE '^B +12 +8 +512 +37.8 M$' out &&
        prints 'the receptive field does not decide'
report 'plan: the shapes alone, with widths of heads taken'
mistral='vocab=32000; width=4096; layers=32; heads=32; kv_heads=8; norm=rms; attention=window(left=4096)'
mistral="$mistral; position=rope; feedforward=swiglu(hidden=14336)"
try 0 plan "$mistral" preset=transformer_xl_base --tokens 8192 &&
    grep -qE '^  of any text, exact +131041 +2550$' out &&
    grep -qE '^  by the loose rule +131072 +2400$' out && grep -qE '^parameters +7.24 G +151 M$' out
report 'plan: fields that have an end, and 7 billion parameters of no weights'
# As an opened network tells them: flops to 0.1 %, states and parameters exactly.
flops() { sed -n 's/.*"flops": \([0-9.e+]*\).*/\1/p' "$1" | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
number() { sed -n "s/.*\"$2\": \([0-9.e+]*\),*\$/\1/p" "$1" | head -n 1; }
for attention in 'softmax(causal=true)' 'window(left=5)' 'sparse(stride=4, factor=heads)' \
    'transformer_xl(memory=24, causal=true)' 'gau(causal=true)' 'linear(causal=true)' \
    'gated_delta(gate=softplus, causal=true)' 'dynamic_conv(kernel=3, causal=true)' \
    'shaw(causal=true, distances=5)' 'synthesizer_dense(causal=true)' 'flash_linear(chunk=8, causal=true)'; do
    small="vocab=32; width=32; layers=3; heads=4; context=24; norm=rms"
    small="$small; feedforward=swiglu(hidden=40); attention=$attention"
    try 0 describe "$small" --shape T=24 --json && cp out opened.json &&
        try 0 describe "$small" --shape decode=24 --json &&
        cp out decoded.json && try 0 plan "$small" --tokens 24 --json && quiet &&
        awk -v a="$(flops opened.json)" -v b="$(number out prefill_flops)" \
            -v c="$(flops decoded.json)" -v d="$(number out token_flops)" \
            'BEGIN { exit !(a > 0 && a / b > 0.999 && a / b < 1.001 && c > 0 && c / d > 0.999 && c / d < 1.001) }' &&
        [ "$(number out state_bytes_per_token)" = "$(number opened.json state_bytes_per_token)" ] &&
        [ "$(number out state_bytes_bounded)" = "$(number opened.json state_bytes_bounded)" ]
    report "plan: what $attention costs, without its weights"
done
try 0 plan preset=llama3_8b 'layers=2; heads=2; attention=linear(causal=true)' --tokens 64 &&
    grep -qE '^state bytes a token +262 k +-$' out && grep -qE '^  with cache/f16 +131 k +-$' out &&
    grep -qE '^  with cache/int8 +67.9 k +-$' out; report 'plan: what is remembered with each codec'
try 1 plan 'layers=2; width=32; heads=[2, 4]' --tokens 64 && grep -q 'heads: networks with this key' err
report 'plan: heads by layer are refused'
try 0 plan preset=gpt2 --tokens 1024 --json &&
    [ "$(number out parameters)" = 124439808 ]; report 'plan --json: a preset'
try 0 plan preset=bert_base preset=vaswani2017_base --tokens 512 && grep -qE '^  decode the last +- +-$' out &&
    prints 'B: costs are not told: it has an encoder'
report 'plan: networks that do not decode, or have two texts'
try 0 plan 'layers=2; heads=2' --tokens 64 --data-tokens 1e8 --epochs 8 --svg p.svg && quiet &&
    grep -q '^</svg>' p.svg &&
    ! grep -qE 'href|nan|inf' p.svg
report 'plan --svg: a picture that needs no other file'
mkdir -p texts/more && head -c 4000 /dev/zero >texts/a && head -c 8000 /dev/zero >texts/more/b
try 0 plan 'layers=2; heads=2' --tokens 64 --data texts --json && [ "$(number out data_tokens)" = 3000.0 ]
report 'plan --data: all files in a folder'
COLUMNS=80 "$heed" plan 'layers=15; heads=3' 'layers=30; heads=5' preset=gpt2 preset=llama3_8b --tokens 2048 \
    --data-tokens 1e10 >out &&
    [ "$(awk '{ if (length > most) most = length } END { print most }' out)" -le 80 ]
report 'plan: on a terminal of 80 columns'
# 2 flops a parameter and token at 100 GFLOP/s; the weights, 4 bytes each, at 10 GB/s for each decoded token.
peaks='"peaks": {"fma_gflops": {"scalar": 9, "avx2": 100, "avx512_bf16": 900}, "read_gbps": 10}'
echo '{"machine": {"cpu": "some CPU", "caches": [{"level": 3, "bytes": 1e6, "count": 2}]}, '"$peaks}" >record.json
try 0 plan 'vocab=1000; layers=12; width=512; heads=8' --tokens 8 --machine record.json --json && cp out plan.json &&
    try 0 plan 'vocab=1000; layers=12; width=512; heads=8' --tokens 8 --machine record.json && prints 'on some CPU' &&
    awk -v flops="$(number plan.json prefill_flops)" -v bytes="$(number plan.json token_bytes)" \
        -v read="$(number plan.json read)" -v token="$(number plan.json token)" 'BEGIN {
        t = flops / 100e9; m = 4 * (12 * (4 * 512 * 512 + 2 * 2048 * 512) + 1000 * 512) / 10e9; if (m > t) t = m
        d = bytes / 10e9
        exit !(read / t > 0.999 && read / t < 1.001 && token / d > 0.999 && token / d < 1.001) }'
report 'plan --machine: no faster than its peaks'
# Two ranks: one gets a block of 2 tokens, 4096 bytes each, in both steps of a layer, and they agree
# twice and tell each other which spans they see, a byte here. At a byte a second that is
# 2 * 8192 + 2 * 256 + 1 seconds a layer, with a second a message 5, and of a network that takes no time
# half of one's.
simulated() { # NETWORK SECONDS|half
    try 0 plan 'vocab=1000; layers=12; width=512; heads=8' --tokens 8 --machine record.json \
        --ranks 2 --network "$1" --json &&
        sed -n 's/.*"seconds": \([0-9.e+-]*\),*$/\1/p' out | tr '\n' ' ' | awk -v wanted="$2" '{
            if (wanted == "half") wanted = $1 / 2
            exit !(NF == 2 && $2 / wanted > 0.999 && $2 / wanted < 1.001) }'
}
simulated 1e-9,0 202764 && simulated 1e6,1e6 60 && simulated 1e6,0 half
report 'plan --ranks: a simulation, as it is by hand'
try 0 plan 'vocab=1000; layers=12; width=512; heads=8' --tokens 8 --machine record.json --ranks 24 \
    --network 1.25,30 && prints 'on ranks: a simulation' && grep -qE '^ +24 ' out &&
    prints 'ranks twice as many are less than 1.5 times as fast'
report 'plan --ranks: where it stops paying'
try 2 plan 'layers=2; heads=2' --tokens 8 --ranks 2 && says '--ranks needs --machine FILE and --network GBPS,US'
report 'plan --ranks: needs a machine and a network'
try 2 plan 'layers=2; heads=2' --tokens 8 --network 10GbE && says '--network takes gigabytes a second and microseconds'
report 'plan --network: two numbers'
# Every op takes twice as long as it must: then the network does, but for sums without a case.
for op in linear/projection feedforward/gelu 'attention/softmax(causal=true)' norm/rms residual/add; do
    for shape in T=64 T=1; do
        printf ', {"spec": "%s", "path": "avx2", "shape": "%s", "threads": 1, "predicted_s": 1e-5, "median_s": 2e-5}' \
            "$op" "$shape"
    done
done | sed 's/^, //' >cases
{ sed '$s/}$//' record.json; printf ', "cases": ['; cat cases; echo ']}'; } >suite.json
try 0 plan 'vocab=1000; layers=12; width=512; heads=8' --tokens 64 --machine suite.json --json && quiet &&
    sed -n 's/.*"\(read\|token\)": \([0-9.e+-]*\),*$/\2/p' out | tr '\n' ' ' |
    awk '{ exit !(NF == 4 && $1 > 1.99 * $3 && $1 < 2.5 * $3 && $2 > 1.99 * $4 && $2 < 2.5 * $4) }'
report 'plan --machine: times that are predicted from the cases of a suite'
try 0 plan 'layers=2; heads=2; attention=linear(causal=true)' --tokens 64 --machine suite.json &&
    grep -qE '^predicted: read it +-$' out
report 'plan --machine: an op without a case'
echo '{}' >record.json
try 1 plan 'layers=2; heads=2' --tokens 9 --machine record.json && says 'record.json: it is no record of heed bench'
report 'plan --machine: another JSON'
try 1 plan 'layers=2; heads=2' --tokens 9 --machine nothing.json && says 'nothing.json: '
report 'plan --machine: no such file'
try 1 plan 'layers=2; heads=2' --tokens 9000 --data texts && says 'which is less than one document of --tokens 9000'
report 'plan --data: less than a document'
try 1 plan 'layers=2; heads=2' --tokens 9 --data nothing &&
    says 'nothing: No such file'; report 'plan --data: no such file'
try 1 plan 'layers=2' --tokens 9 && points 'the key heads is missing'; report 'plan: heads must be known'
try 1 plan 'layers=2; heads=2; attention=window' --tokens 9 && points 'left'; report 'plan: a setting that is missing'
try 2 plan 'layers=2; heads=2' && says '--tokens N'; report 'plan: without --tokens'
try 2 plan --tokens 9 && says 'plan needs a spec'; report 'plan: without a spec'
try 2 plan some.safetensors --tokens 9 && says 'plan takes specs, not files'; report 'plan: a file'
try 2 plan 'layers=2; heads=2' --tokens 9 --epochs 3 &&
    says '--epochs needs to know of what'; report 'plan --epochs: of nothing'
try 2 plan 'layers=2; heads=2' --tokens 9 --json --html - && says 'only one can write to standard output'
report 'plan --json --html -'
try 1 plan 'layers=2; heads=2' --tokens 9 --svg no/p.svg &&
    says 'cannot be written'; report 'plan --svg: where nothing can be'

byte='vocab=256; width=16; layers=2; heads=2; bos=0; norm=rms; attention=softmax(causal=true)'
byte="$byte; feedforward=gelu(hidden=24)"
try 0 describe --spec "$byte" --save made.safetensors --seed 7 && quiet && sed 1d out >page &&
    try 0 describe made.safetensors && sed 1d out | cmp -s - page
report 'describe --save: the file is that network'
try 0 generate made.safetensors --prompt abc --tokens 20 --seed 7 && cp out page &&
    try 0 generate --random-weights --spec "$byte" --prompt abc --tokens 20 --seed 7 && cmp -s out page
report 'describe --save: and goes on with a text as the weights of chance do'
cp made.safetensors old
try 2 describe made.safetensors --save made.safetensors && says '--save writes weights of chance' &&
    untouched made.safetensors
report 'describe --save: of a file'
try 1 describe --spec "$byte" --save nowhere/made.safetensors && says 'nowhere/made.safetensors: cannot be written'
report 'describe --save: no such folder'

# ---- plan --train ----

deeper='layers=4; heads=2; width=16; feedforward=gelu(hidden=32)'
wider='layers=2; heads=2; width=24; feedforward=gelu(hidden=48)'
head -c 4000 "$SRC/models/sample.txt" >learned
study() { "$heed" plan "$deeper" "$wider" --tokens 16 --train learned --steps 12 --share 0.5 --context 8 "$@" >out 2>err; }
study --record study.json --threads 1 --json && quiet && [ "$(grep -c '"search": true' study.json)" = 18 ] &&
    [ "$(grep -c '"search": false' study.json)" = 20 ] && prints '"better": [' && prints '"unit": "byte"' &&
    [ "$(number out held_out)" -gt 100 ]
report 'plan --train: twins are trained, and tell of the networks'
cp study.json whole.json
study --record study.json --html page.html && cmp study.json whole.json && prints 'probability that it is below' &&
    grep -qE '^A +[0-9.]+ \([0-9.]+ to [0-9.]+\) ' out && prints 'gets lowest on learned'
report 'plan --train: a record that is whole is read'
grep -q '^<!DOCTYPE html>' page.html && grep -q '^</html>' page.html && ! grep -qE 'href|src=|nan|inf' page.html &&
    [ "$(grep -c '<table>' page.html)" = "$(grep -c '</table>' page.html)" ] && grep -q '^</svg>' page.html &&
    grep -q '<th class="r">least bits</th>' page.html && grep -q 'networks as predicted dashed' page.html
report 'plan --html: one page that needs no other file'
"$heed" plan 'layers=2; heads=2 # <b>&' --tokens 9 --html - >out 2>err && grep -q '&lt;b>&amp;' out &&
    ! grep -q '<b>&' out
report 'plan --html: words of a spec are no marks'
study --record other.json --isa scalar --threads 2 && cmp other.json whole.json
report 'plan --train: the same runs on another path and at another number of threads'
head -n 27 whole.json | sed '$s/,$/]}/' >study.json
study --record study.json && cmp study.json whole.json
report 'plan --train: goes on with a part of a record'
try 1 plan "$deeper" "$wider" --tokens 16 --train learned --steps 13 --share 0.5 --context 8 --record whole.json &&
    says 'whole.json: its runs are of other steps'
report 'plan --train: a record of other runs'
try 0 plan "$deeper" --tokens 16 --train learned --steps 12 --share 0.02 --context 8 &&
    prints 'A: it has ' && prints 'times the parameters of its largest twin, and nothing is told beyond 10'
report 'plan --train: nothing is told beyond ten times the parameters'
try 0 plan "$deeper" --tokens 16 --train learned --steps 2 --share 0.5 --context 8 --epochs 9 &&
    prints 'times the tokens that its twins have read'
report 'plan --train: nothing is told beyond ten times the tokens'
try 1 plan "$deeper" --tokens 16 --train learned --minutes 0.001 && says '--minutes 0.001 are too few'
report 'plan --train: too few minutes'
try 1 plan "$deeper" --tokens 900 --train learned --steps 4 && says 'a sixteenth of it, which twins learn among others, is'
report 'plan --train: a text that is too short'
try 1 plan 'layers=4; heads=2; attention=softmax' --tokens 16 --train learned --steps 4 --context 8 && says 'A: '
report 'plan --train: a network that is no language model'
try 2 plan "$deeper" --tokens 16 --train learned && says '--train needs --minutes M, or --steps N'
report 'plan --train: how long'
try 2 plan "$deeper" --tokens 16 --minutes 3 && says 'are of --train'; report 'plan --minutes: of nothing'
rm -f study.json whole.json other.json

# ---- field ----

head -c 400 "$SRC/models/sample.txt" >text
# Of rows of a CSV: the numbers that a condition of awk picks, of the column named.
rows() {
    awk -F, -v column="$1" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        '"($2)"' { print $at[column] }' field.csv
}
# save NAME SPEC: a network with weights of chance in NAME.safetensors
save() {
    "$heed" describe --spec "vocab=256; width=16; layers=2; heads=2; norm=rms; $2" --save "$1.safetensors" >out 2>err
}
save windows 'attention=window(left=4); feedforward=gelu(hidden=24)'
try 0 field windows.safetensors text --context 40 --places 4 --csv field.csv && quiet &&
    prints 'perturbation: another token so far back' && prints 'tokens are enough' &&
    grep -qE '^ +2 +7 ' out &&
    [ "$(rows high '$2 == "loss_change" && $5 > 6' | sort -u)" = 0 ] &&
    [ "$(rows high '$2 == "layer_change" && $3 == 1 && $5 > 3' | sort -u)" = 0 ] &&
    ! rows low '$2 == "loss_change" && $5 <= 6' | grep -qx 0 &&
    [ "$(rows median '$2 == "layer_change" && $3 == 0 && $5 > 0' | sort -u)" = 0 ]
report 'field: what is beyond the field of a network changes not a bit, and what is at its edge does'
[ "$(rows mean '$2 == "loss_excess" && $5 == 40')" = 0 ] &&
    rows high '$2 == "loss_excess" && $5 >= 7' | awk '{ if ($1 > 1e-5 || $1 < -1e-5) exit 1 }' &&
    rows mean '$2 == "loss_excess" && $5 == 2' | awk '{ if ($1 < 1e-5 && $1 > -1e-5) exit 1 }'
report 'field: more tokens than the field has change no loss'
# All keys alike: token i looks i / 2 back, on average over 32 to 63 23.75; 2 of 4 keys 1.5.
save alike 'attention=[softmax(causal=true, scale=1e-9), window(left=4, scale=1e-9)]; feedforward=none'
try 0 field alike.safetensors text --context 64 --places 2 --measure attention --csv field.csv &&
    rows median '$2 == "attention_distance"' | tr '\n' ' ' |
    awk '{ exit !($1 > 23.749 && $1 < 23.751 && $2 == $1 && $3 > 1.4999 && $3 < 1.5001 && $4 == $3) }'
report 'field: how far back weights are that are all alike'
for attention in 'linear(causal=true)' 'gated_delta(gate=softplus, causal=true)' \
    'transformer_xl(memory=16, causal=true)' 'linformer(slots=4, longest=24)' 'softmax(causal=true, prefix=5)' \
    'gau(causal=true)' 'synthesizer_random(causal=true)'; do
    save other "context=24; attention=$attention; feedforward=none" &&
        try 0 field other.safetensors text --places 2 --json && quiet && prints '"loss_change"' && ! grep -q NaN out
    report "field: $attention"
done
ids=$SRC/models/checkpoints/ids.npy
try 0 field "$SRC/models/checkpoints/mistral" --ids "$ids" --context 7 --measure perturbation --csv field.csv &&
    [ "$(rows high '$2 == "layer_change" && $3 == 1 && $5 > 4' | sort -u)" = 0 ] &&
    rows high '$2 == "loss_change" && $5 == 6' | awk '{ exit !($1 > 0) }'
report 'field: a checkpoint with windows, by numbers of tokens'
save hidden 'attention=softmax; feedforward=none; output=hidden'
try 0 field hidden.safetensors text --context 40 --places 2 && prints 'no truncation: it predicts no next token' &&
    prints 'no attention: tokens of' && prints 'Of the change of the last layer, half comes from'
report 'field: an encoder has layers and no loss'
try 1 field hidden.safetensors text --context 40 --measure truncation && says 'it predicts no next token'
report 'field: a measure that a network can not have'
try 0 field windows.safetensors made.safetensors text --context 32 --step 4 --places 6 --measure truncation \
    --svg f.svg && prints 'relative effective context length' && grep -qE '^windows.safetensors +[0-9.]+ ' out &&
    grep -q '^</svg>' f.svg &&
    ! grep -qE 'href|nan|inf' f.svg
report 'field: a group of networks, and a picture that needs no other file'
try 0 field made.safetensors text --context 32 --places 3 --svg - && grep -q '^</svg>' out && quiet
report 'field --svg -'
try 0 field made.safetensors - --context 32 --places 1 --measure similarity <text && prints 'standard input'
report 'field: a text from standard input'
try 1 field made.safetensors text && says 'text: it has 400 tokens, but a context of 1024 and the token behind it'
report 'field: a text shorter than a context'
try 1 field other.safetensors text --context 25 && says '--context is 25, but other.safetensors was made for 24'
report 'field: a longer context than the network has'
try 0 field windows.safetensors text --context 40 --places 3 --measure gradient --csv field.csv && quiet &&
    prints 'Of the sum of all gradients, half comes from' &&
    [ "$(rows high '$2 == "gradient" && $5 > 6' | sort -u)" = 0 ] &&
    ! rows low '$2 == "gradient" && $5 <= 6' | grep -qx 0
report 'field --measure gradient: exactly 0 beyond the field, and not at its edge'
try 1 field hidden.safetensors text --context 8 --measure gradient && says 'it predicts no next token'
report 'field --measure gradient: a network without a loss'
save long 'attention=transformer_xl(memory=16, causal=true); feedforward=none'
try 1 field long.safetensors text --context 24 --measure gradient && says 'it reads a text in calls of 16 tokens'
report 'field --measure gradient: a text in calls'
# The loss at each position is that of heed score, which begins with bos.
save begins 'bos=10; attention=window(left=4); feedforward=gelu(hidden=24)'
{ echo; head -c 150 text; } >behind && head -c 96 text >first
bits=$("$heed" score begins.safetensors first --json 2>/dev/null | sed -n 's/.*"bits_per_byte": \([0-9.]*\).*/\1/p')
try 0 field begins.safetensors behind --context 24 --places 1 --measure position --csv field.csv && quiet &&
    prints 'up to position' && [ "$(rows tokens '$2 == "loss_up_to_position"' | tail -1)" = 96 ] &&
    rows mean '$2 == "loss_up_to_position"' |
    awk -v bits="$bits" '{ s += $1 } END { d = s / NR / log(2) - bits; exit !(NR == 16 && d < 1e-5 && d > -1e-5) }'
report 'field --measure position: the loss behind the end of a context'
alone='vocab=256; width=16; layers=2; heads=2; norm=rms; bos=10; feedforward=gelu(hidden=24)'
try 0 field begins.safetensors behind --context 24 --places 2 --measure position --svg f.svg \
    --spec "$alone; attention=window(left=4)" --spec "$alone; attention=window(left=4); position=rope" &&
    prints 'network 2: begins.safetensors, the same spec' && prints 'network 3: begins.safetensors, position=position/rope' &&
    awk '/^ +[0-9]+  +[0-9.]+  +[0-9.]+  +[0-9.]+$/ { n++; same += $2 == $3; other += $2 != $4 }
        END { exit !(n == 16 && same == 16 && other) }' out && grep -q '^</svg>' f.svg && ! grep -qE 'nan|inf' f.svg
report 'field --spec: the same weights by other specs'
save ends 'context=24; attention=softmax(causal=true); position=learned; feedforward=none'
try 1 field ends.safetensors behind --measure position && says 'has no row: the table has 24' &&
    try 0 field ends.safetensors behind --places 2 && prints 'no position: '
report 'field --measure position: positions that have an end'
try 1 field begins.safetensors behind --context 48 --measure position &&
    says 'the text has 151 tokens, and 4 contexts and the token behind them are 193'
report 'field --measure position: a text that is too short'
try 2 field made.safetensors text --measure reach && says '--measure is perturbation'
report 'field: an unknown measure'
try 2 field text && says 'field needs a model and a text'; report 'field: a word too few'
try 1 field made.safetensors nothing --context 8 && says 'nothing: No such file'; report 'field: no such text'
try 1 field made.safetensors text --context 8 --csv no/f.csv && says 'cannot be written'
report 'field --csv: where nothing can be'

# ---- describe --probe ----

deep='vocab=64; width=32; layers=12; heads=4; embed_scale=5; norm=rms; attention=softmax(causal=true)'
deep="$deep; feedforward=relu(hidden=64)"
# A sum of unlike parts grows with its layers, and turns the less; what a norm ends has the norm's size.
try 0 describe --probe "$deep" "$deep; residual=post" --shape T=32 --svg p.svg && quiet && grep -q '^</svg>' p.svg &&
    ! grep -qE 'href|nan|inf' p.svg &&
    awk '$1 == 1 { a = $2; b = $3 } $1 == 12 { exit !($2 > a && $2 > 0.9 && $3 > b && $5 > 0.999 && $5 < 1.001) }' out
report 'describe --probe: pre-norm and post-norm before anything is learned'
try 0 describe --probe made.safetensors --json && prints '"cosine": [' && prints '"tokens": 256'
report 'describe --probe --json: of a file'
try 2 describe --probe norm/rms && says '--probe runs networks, and "norm/rms" is none'
report 'describe --probe: an op'
try 2 describe "$deep" --svg p.svg && says '--svg is the picture of --probe'; report 'describe --svg: without --probe'

# ---- --trace ----

# A file of JSON, with as many events as asked for whose lines have a text in them.
traced() {
    if command -v python3 >/dev/null &&
        ! python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" 2>>err; then
        echo "# $1 is no JSON"
        return 1
    fi
    [ "$(tail -c 3 "$1")" = ']}' ] && [ "$(grep -c -e "$2" "$1")" = "$3" ] && return 0
    echo "# $1 has $(grep -c -e "$2" "$1") events with $2, not $3"
    return 1
}
try 0 run norm/rms -i x=x.npy -o out=o.npy --trace run.json && quiet && no_output && traced run.json '"cat":"op"' 1 &&
    grep -q '"name":"norm/rms".*"dur":[0-9.]*,"args":{"op":"norm/rms","bytes":16' run.json &&
    traced run.json '"cat":"tile"' 1
report 'run --trace: one call, one tile'
# 18 steps: embedding, 2 layers of 9 (norm, q, k, v, attention, o, sum, norm, feed-forward, sum) and 2; and a draw.
try 0 generate made.safetensors --prompt abc --tokens 2 --trace generate.json --threads 2 && cp out text &&
    try 0 generate made.safetensors --prompt abc --tokens 2 --threads 2 && cmp -s out text &&
    traced generate.json '"cat":"op"' 48 && traced generate.json '"name":"layers.1.q","cat":"op".*"layer":1' 2 &&
    traced generate.json '"name":"residual","cat":"op".*"layer":0' 4 && grep -q '"name":"lane 1"' generate.json
report 'generate --trace: each step of each token, with its layer'
head -c 40 "$SRC/models/sample.txt" >part
try 0 score made.safetensors part --trace score.json && quiet && traced score.json '"op":"loss/cross_entropy"' 1
report 'score --trace'
rm -f o2.npy
try 1 run norm/rms -i x=x.npy -o out=o2.npy --trace nowhere/t.json && says 'nowhere/t.json: cannot be written' &&
    [ ! -e o2.npy ]
report 'run --trace: no such folder, told before the work'

# Ctrl-C: status 130, and what was seen until then. A shell has its background processes ignore it, heed does not.
interrupts() { # interrupts SECONDS WORD ...: the status is in `got`
    wait_for=$1
    shift
    "$heed" "$@" >out 2>err &
    child=$!
    sleep "$wait_for"
    kill -INT $child
    wait $child
    got=$?
    [ $got = 130 ] && return 0
    echo "# heed $*: status $got, not 130"
    return 1
}
interrupts 2 generate made.safetensors --prompt abc --tokens 100000000 --trace stopped.json &&
    grep -q '^heed: interrupted; stopped.json has what ran until then$' err &&
    traced stopped.json '"name":"calls"' 1 &&
    [ "$(grep -c '"cat":"op"' stopped.json)" -gt 24 ]
report 'generate --trace: Ctrl-C leaves a whole file'
interrupts 2 score made.safetensors /dev/zero --context 64 && grep -qE '^[0-9.]+ bits per byte  \([0-9]+ bytes' out &&
    grep -q '^heed: interrupted: that is of the first [0-9]* bytes alone$' err
report 'score: Ctrl-C tells the result so far'
interrupts 2 score made.safetensors /dev/zero --context 64 --json && prints '"interrupted": true'
report 'score --json: Ctrl-C'

# ---- on screen ----

"$heed" generate made.safetensors --prompt abc --tokens 3 >both 2>&1 && [ "$(grep -ac '^prompt: ' both)" = 1 ]
report 'generate: what it took stands in a line of its own'
fits() { # fits COLUMNS WORD ...; a path of a file is no text that may be broken
    COLUMNS=$1 "$heed" "$@" >/dev/null 2>&1
    width=$1
    shift
    COLUMNS=$width "$heed" "$@" >out 2>err && quiet &&
        [ "$(awk -v w="$width" 'length > w && !/^  plugin /' out | wc -l)" = 0 ] && return 0
    echo "# heed $* does not fit $width columns"
    return 1
}
for width in 80 60; do
    fits $width list && fits $width describe softmax && fits $width describe --spec "$byte" --shape T=9 &&
        fits $width bench norm/rms --explain --shape T=4,M=16 --rounds 1
    report "tables fit $width columns"
done
for command in list describe run generate score bench compare new check matrix topo completion; do
    fits 80 $command -h || break
done
report 'the usage of every command fits 80 columns'
COLUMNS=80 "$heed" list >out 2>err && grep -q '^attention/softmax .*\[[a-z0-9]*\].*\.\.\.$' out &&
    ! grep -q '\.so' out &&
    try 0 list && prints attention_softmax.so && ! grep -q '\.\.\.$' out
report 'list: the plugin is left out and the summary cut, and nothing of it in a pipe'
# at a terminal, which here is one of 80 columns
if ! script -qec true /dev/null >/dev/null 2>&1; then echo "SKIPPED at a terminal: there is no script"
else
    screen() { script -qec "stty cols 80 2>/dev/null; $*" /dev/null </dev/null 2>&1; }
    screen "'$heed' list" | tr -d '\r' >out && : >err && grep -q '^attention/softmax ' out &&
        ! awk 'length > 80' out | grep -q .
    report 'list: a terminal is not overrun'
    head -c 30000 /dev/zero >zeros
    screen "'$heed' score made.safetensors zeros --context 64; echo" >out && grep -qE '[0-9]+ %' out &&
        grep -qE "$(printf '\033')\[K[0-9.]+ bits per byte" out
    report 'score: progress at a terminal, gone afterwards'
    screen "'$heed' generate made.safetensors --prompt abc --tokens 3" | tr -d '\r' >out &&
        [ "$(grep -ac '^prompt: ' out)" = 1 ]
    report 'generate: the text ends its line at a terminal'
fi
try 1 describe --spec "${net}sofmax" && grep -q 'nearest is "softmax"' err
report 'describe --spec: an op that is not there'
try 1 describe none.safetensors && says 'none.safetensors'; report 'describe: a model that is not there'
try 0 describe "$SRC/models/plays.safetensors" && quiet && prints 'attention/softmax(causal=true)' &&
    prints '986496 parameters; a sequence takes 2560 bytes a token'; report 'describe: a model'
spec=$("$heed" describe "$SRC/models/plays.safetensors" | head -1)
try 0 describe --spec "$spec" && quiet && prints '986496 parameters'
report 'describe --spec counts the parameters of a network as its file does'

# ---- run: what comes out ----

for isa in scalar all; do
    try 0 run 'attention/softmax(causal=true)' $qkv -o out=o.npy -o lse=l.npy --isa $isa && quiet && no_output &&
        holds o.npy 1 1 1.5 1.5 2 2 2.5 2.5 &&
        holds l.npy 0 0 0.6931472 0.6931472 1.0986123 1.0986123 1.3862944 1.3862944
    report "run --isa $isa: attention/softmax"
done
for threads in 1 2 3; do
    try 0 run attention/softmax $qkv -o out=t.npy --threads $threads --pin none &&
        holds t.npy 2.5 2.5 2.5 2.5 2.5 2.5 2.5 2.5
    report "run --threads $threads"
done
try 0 run attention/softmax $qkv -i key_lengths=lengths.npy -o out=o.npy && holds o.npy 2 2 2 2 2 2 2 2
report 'run: an optional input'
# Queries and keys 0 and 3 are of document 7, the others of -1; scores are 0, so an output is a mean of values 1 2 3 4.
npy documents.npy '<i8' '(1, 4)' "$seven$minus$minus$seven"
npy asked.npy '<i4' '(1, 4)' '\007\000\000\000\377\377\377\377\007\000\000\000\007\000\000\000'
try 0 run attention/softmax $qkv -i documents=documents.npy -o out=o.npy && quiet &&
    holds o.npy 2.5 2.5 2.5 2.5 2.5 2.5 2.5 2.5
report 'run: documents, of int64'
try 0 run 'attention/softmax(causal=true)' $qkv -i documents=documents.npy -i query_documents=asked.npy -o out=o.npy &&
    quiet && holds o.npy 1 1 2 2 1 1 2.5 2.5
report 'run: documents of the queries, of int32'
npy bias.npy '<f4' '(1, 1, 1, 4)' "$zero$hidden$zero$hidden"
try 0 run attention/softmax $qkv -i bias=bias.npy -o out=o.npy && quiet && holds o.npy 2 2 2 2 2 2 2 2
report 'run: a bias that repeats'
npy sinks.npy '<f4' '(2,)' "$zero$hidden"
for option in -i -w; do
    try 0 run attention/softmax $qkv $option sink_logits=sinks.npy -o out=o.npy && quiet &&
        holds o.npy 2 2.5 2 2.5 2 2.5 2 2.5
    report "run $option: learned sinks"
done
try 0 run 'attention/softmax(causal=true, window=1, sinks=1)' $qkv -o out=o.npy && quiet &&
    holds o.npy 1 1 1.5 1.5 2 2 2.6666667 2.6666667
report 'run: a window with sinks'
try 0 run 'attention/softmax(causal=true, prefix=3, accuracy=fast)' $qkv -o out=o.npy -o lse=l.npy && quiet &&
    holds o.npy 2 2 2 2 2 2 2.5 2.5
report 'run: a prefix; accuracy=fast'
try 0 run 'attention/softmax(position=position/alibi)' $qkv -o lse=l.npy && quiet
report 'run: the heads are known to position/alibi'
try 0 run 'norm/rms(eps=0)' -i x=x.npy -o out=y.npy && holds y.npy 0.8485281 1.1313708
report 'run: norm/rms'
for option in -i -w; do
    try 0 run 'norm/rms(eps=0)' -i x=x.npy $option gain=gain.npy -o out=y.npy && holds y.npy 1.6970563 1.1313708
    report "run $option: a weight"
done
# Weights of the op inside: a bias for each of 2 heads at distance 0 and further back. The scores are 0 but for it.
npy table.npy '<f4' '(2, 2)' "$one$zero$zero$zero"
npy table3.npy '<f4' '(2, 3)' "$one$zero$zero$zero$zero$zero"
t5='attention/softmax(causal=true, position=t5(buckets=2, bidirectional=false))'
for option in -i -w; do
    try 0 run "$t5" $qkv $option position.table=table.npy -o out=o.npy && quiet &&
        holds o.npy 1 1 1.7310586 1.5 2.3641753 2 2.9507338 2.5
    report "run $option: a weight of an op inside"
done
try 0 run 'attention/synthesizer_random(fixed=3, longest=4)' -i v=v.npy -o out=o.npy --axis H=2 && quiet &&
    [ "$(wc -c <o.npy)" = 160 ] && cp o.npy two.npy &&
    try 0 run 'attention/synthesizer_random(fixed=3)' -i v=v.npy -o out=o.npy --axis H=2,C=4 && cmp o.npy two.npy &&
    try 0 run 'attention/synthesizer_random(fixed=3)' -i v=v.npy -o out=o.npy --axis C=4 --axis=H=2 &&
        cmp o.npy two.npy
report 'run --axis: sizes that only the caller knows'
# 3 and 4 of float16; as outputs 0.8486 and 1.131 (0x3aca, 0x3c87), and the first halves of the float32 as bfloat16.
npy half.npy '<f2' '(1, 2)' '\000\102\000\104'
try 0 run 'norm/rms(eps=0)' -i x=half.npy -o out=y.npy && quiet && grep -q "'<f2'" y.npy &&
    [ "$(od -An -v -t x1 -j 128 y.npy | tr -d ' ')" = ca3a873c ] &&
    try 0 run 'norm/rms(eps=0)' -i x=half.npy -o out=y.npy --dtype f32 && holds y.npy 0.8485281 1.1313708 &&
    try 0 run 'norm/rms(eps=0)' -i x=x.npy -o out=y.npy --dtype bf16 && grep -q "'<V2'" y.npy &&
    [ "$(od -An -v -t x1 -j 128 y.npy | tr -d ' ')" = 593f913f ]
report 'run: the type of the output is that of the input, or --dtype'
npy half4.npy '<f2' '(1, 4, 1, 1)' '\000\074\000\100\000\102\000\104'
try 0 run attention/softmax -i q=half4.npy -i k=half4.npy -i v=half4.npy -o out=o.npy -o lse=l.npy && quiet &&
    grep -q "'<f2'" o.npy && grep -q "'<f4'" l.npy; report 'run: an output that has one type keeps it'
cp x.npy same.npy
try 0 run 'norm/rms(eps=0)' -i x=same.npy -o out=same.npy && holds same.npy 0.8485281 1.1313708
report 'run: over its own input'
"$heed" run 'norm/rms(eps=0)' -i x=/dev/stdin -o out=/dev/stdout <x.npy 2>err | cat >p.npy
quiet && holds p.npy 0.8485281 1.1313708; report 'run: in a pipe'

# ---- run: what does not; nothing is written then ----

# refuses STATUS TEXT WORD ...: new.npy does not appear, kept.npy stays.
refuses() {
    status=$1 text=$2
    shift 2
    cp old kept.npy
    try "$status" run "$@" && says "$text" && untouched kept.npy && [ ! -e new.npy ]
    report "run $*: $text"
    rm -f new.npy
}
o='-o out=kept.npy -o lse=new.npy'
refuses 2 'needs the spec' $qkv $o
refuses 2 'needs an output' attention/softmax $qkv
refuses 2 'one spec' attention/softmax norm/rms $qkv $o
refuses 2 'PORT=FILE.npy' attention/softmax $qkv -o kept.npy
refuses 2 'PORT=FILE.npy' attention/softmax -i q= $o
refuses 2 '-o needs a value' attention/softmax $qkv -o
refuses 2 '--threads takes' attention/softmax $qkv $o --threads many
refuses 2 '--pin takes' attention/softmax $qkv $o --pin down
refuses 1 'path' attention/softmax $qkv $o --isa mmx
refuses 1 'no input or weight named "query"' attention/softmax -i query=q.npy $o
refuses 1 'no weight named "q"' attention/softmax -w q=q.npy $o
refuses 1 'no output named "oud"; it has out, lse, and the nearest is out' attention/softmax $qkv $o -o oud=o.npy
refuses 1 'is asked for twice' attention/softmax $qkv -o out=kept.npy -o out=new.npy
refuses 1 'the same file' attention/softmax $qkv -o out=new.npy -o lse=new.npy
refuses 1 'bound twice' attention/softmax $qkv -i q=q.npy $o
refuses 1 'the input k' attention/softmax -i q=q.npy -i v=v.npy $o
refuses 1 'nothing.npy' attention/softmax $qkv -i key_lengths=nothing.npy $o
refuses 1 "a.astype('float32')" norm/rms -i x=double.npy -o out=kept.npy
refuses 1 'not a .npy file' norm/rms -i x=old -o out=kept.npy
refuses 1 'port v: axis G is 2, but in port k 1' attention/softmax -i q=q.npy -i k=k.npy -i v=q.npy $o
refuses 1 'port gain: axis M is 4, but in port x 2' norm/rms -i x=x.npy -w gain=wide.npy -o out=kept.npy
refuses 1 'port documents: dtype f32 is not taken here; it takes i32, i64' attention/softmax $qkv -i documents=q4.npy $o
refuses 1 'query_documents needs the input documents' attention/softmax $qkv -i query_documents=asked.npy $o
refuses 1 'port bias: axis S is 2, but in port k 4; 1 fits any size' attention/softmax $qkv -i bias=bias2.npy $o
refuses 1 'position: position/t5: the weight table (K H' "$t5" $qkv $o
refuses 1 'position/t5: port table: axis H is 3, but it is known to be 2' "$t5" $qkv -w position.table=table3.npy $o
refuses 1 'position/t5: port table: is bound twice' "$t5" $qkv -w position.table=table.npy \
    -i position.table=table.npy $o
refuses 1 'named "position.tabel"; it has sink_logits, position.table, and the nearest is position.table' \
    "$t5" $qkv -w position.tabel=table.npy $o
refuses 1 'no weight named "position.table"' attention/softmax $qkv -w position.table=table.npy $o
refuses 1 'no output named "position.table"' "$t5" $qkv -w position.table=table.npy $o -o position.table=o.npy
refuses 1 'fixed= draws table for a number of heads (axis H), of positions (longest=) ' \
    'attention/synthesizer_random(fixed=3, longest=4)' -i v=v.npy $o
refuses 1 '--axis Z=3: attention/softmax has no axis Z; it has B D E G H I S T Y' attention/softmax $qkv $o --axis Z=3
refuses 1 'port q: axis H is 2, but it is known to be 3' attention/softmax $qkv $o --axis H=3
refuses 1 '--axis F=9: the spec says 8' 'feedforward/gelu(hidden=8)' -i x=x.npy -o out=kept.npy --axis F=9
refuses 2 '--axis takes a letter and a size' attention/softmax $qkv $o --axis heads=2
refuses 2 '--axis H= takes a whole number from 1' attention/softmax $qkv $o --axis H=0
refuses 2 '--axis has H twice' attention/softmax $qkv $o --axis H=2,H=2
refuses 2 '--dtype takes f32, f16 or bf16, not "float"' attention/softmax $qkv $o --dtype float
refuses 1 '--dtype f16: no output of attention/softmax that is asked for' \
    attention/softmax $qkv -o lse=kept.npy --dtype f16
refuses 1 'does nothing by itself' position/alibi -o out=kept.npy
refuses 1 'No such file or directory' attention/softmax $qkv -o out=kept.npy -o lse=nowhere/new.npy
refuses 1 'Is a directory' attention/softmax $qkv -o out=kept.npy -o lse=plugins
try 1 run 'attention/softmax(causl=true)' $qkv $o && no_output && head -n 1 err | grep -q '^heed: .*"causl".*"causal"'
report 'run: a wrong key of the spec'
try 1 run 'norm/rms(' -i x=x.npy -o out=new.npy && no_output && head -n 1 err | grep -q '^heed: '
report 'run: half a spec'

if [ -c /dev/full ]; then
    cp old kept.npy
    try 1 run attention/softmax $qkv -o lse=kept.npy -o out=/dev/full &&
        says '/dev/full: cannot be written: No space left' && untouched kept.npy
    report 'run: the first output is put back when the second can not be written'
    try 1 run attention/softmax $qkv -o lse=new.npy -o out=/dev/full && [ ! -e new.npy ]
    report 'run: the first output is taken back'
fi
ln -s made.npy dangling.npy
try 0 run norm/rms -i x=x.npy -o out=dangling.npy && quiet && [ -L dangling.npy ] &&
    holds made.npy 0.8485281 1.1313708
report 'run: onto a link that leads nowhere yet'
cp old kept.npy && ln kept.npy twin.npy
try 0 run norm/rms -i x=x.npy -o out=kept.npy && quiet && cmp -s kept.npy twin.npy &&
    holds twin.npy 0.8485281 1.1313708
report 'run: onto one of two names of a file'
rm -f dangling.npy made.npy twin.npy
npy large.npy '<f4' '(65536, 2)' ''
head -c 524288 /dev/zero >>large.npy
cp old kept.npy
(ulimit -f 16 && try 1 run norm/rms -i x=large.npy -o out=kept.npy) &&
    says 'kept.npy: cannot be written: File too large' &&
    untouched kept.npy
report 'run: a file beyond the limit is a sentence'
! ls | grep -E 'heed.*(old|tmp)' >out; report 'run: nothing is left over'

# ---- time ----

# Of the processor, so that other work on the machine does not count: thousandths of a second for one of twenty runs.
spent() { times >spent.now; awk 'NR == 2 { split($1 "m" $2, t, /[ms]+/); printf "%d", 1000 * (60 * (t[1] + t[3]) + t[2] + t[4]) }' spent.now; }
spent >before
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$heed" list >out 2>err; done
spent >after
took=$((($(cat after) - $(cat before)) / 20))
if [ -n "${SANITIZERS-}${TESTEXEC-}" ]; then echo "SKIPPED list: $took ms, under a sanitizer or an emulator"
else [ $took -lt 50 ]; report "list: $took ms, less than 50"; fi

echo "# $((n - bad)) of $n passed"
[ $bad = 0 ]
