#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_train.sh: heed train from outside: a network learns a text, and heed score says of what was held
# out what the command has said; files are the same to the byte at any number of threads, on the lowest
# path, and where the run was interrupted; and each kind of bad input is one sentence, and costs nothing.
# What gradients and steps are is for tests/train/test_train.c.
#
#     HEED=PATH SRC=TOP tests/command/test_train.sh

heed=${HEED-./heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-train.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
bad=0 n=0
report() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        sed 's/^/# out: /' out
        sed 's/^/# err: /' err
        bad=$((bad + 1))
    fi
    n=$((n + 1))
}
# train WORD ...: heed train with a network that is as small as can be; the exit status is in `status`.
network='vocab=256; width=16; layers=1; heads=2; context=16; norm=rms; attention=softmax(causal=true);
position=rope; feedforward=swiglu(hidden=24); tied=true; bos=10'
train() {
    "$heed" train "$network" "$@" >out 2>err
    status=$?
}
# says TEXT: the command has failed with one sentence that has this in it.
says() {
    [ "$status" = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -qF -e "$1" err && return 0
    echo "# status $status; not the only thing said: $1"
    return 1
}
cp "$SRC/models/sample.txt" text

train text -o one.safetensors --steps 12 --every 4 --batch 2 --threads 1 --svg curves.svg --profile
[ $status = 0 ] && [ "$(grep -c '^step ' out)" = 3 ] && grep -q '^optimiser ' out &&
    [ ! -e one.safetensors.training ] && grep -q 'polyline class="curve n1"' curves.svg
report 'a text is learned, with a report each 4 steps, a picture and a profile'
tail -c 212 text >held
found=$(sed -n 's/.*; \([0-9.]*\) bits per byte of all 212 .*/\1/p' out)
"$heed" score one.safetensors held >out 2>err && grep -q "^$found bits per byte" out
report 'heed score gives the bits per byte that the command has told of what was held out'
"$heed" generate one.safetensors --tokens 3 >out 2>err
report 'heed generate takes the model'

for how in '--threads 3' '--isa scalar --threads 2'; do
    # shellcheck disable=SC2086
    train text -o other.safetensors --steps 12 --every 4 --batch 2 $how
    [ $status = 0 ] && cmp one.safetensors other.safetensors >>out
    report "the same bytes with $how"
done
train text -o half.safetensors --steps 12 --every 4 --batch 1 --accumulate 2
[ $status = 0 ] && ! cmp -s one.safetensors half.safetensors
report 'two micro-batches make a step'

# Ctrl-C behind the first report; then the rest.
"$heed" train "$network" text -o parts.safetensors --steps 100000 --every 1 --batch 1 >out 2>err &
pid=$!
i=0
while [ ! -e parts.safetensors.training ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
kill -TERM $pid
wait $pid
status=$?
[ $status = 1 ] && grep -q 'interrupted behind step [0-9]* of 100000.*--resume goes on' err && [ -e parts.safetensors ]
report 'an interrupted run saves, and says how to go on'
"$heed" train "$network" text -o parts.safetensors --steps 99 --every 1 --batch 1 --resume >out 2>err
status=$?
says 'the run was begun with --steps 100000, and can not go on with 99'
report 'what is gone on with is the same run'

train text -o whole.safetensors --steps 6 --every 2 --batch 2
cp whole.safetensors right.safetensors
(ulimit -f 1; "$heed" train "$network" text -o whole.safetensors --steps 6 --every 2 --batch 2 >out 2>err)
status=$?
says whole.safetensors.training && cmp whole.safetensors right.safetensors && [ "$(find . -name '*.tmp' | wc -l)" = 0 ]
report 'a disk that fills up: the old file stays'
"$heed" train "$network" text -o cut.safetensors --steps 6 --every 2 --batch 2 >out 2>err &
pid=$!
i=0
while [ ! -e cut.safetensors.training ] && kill -0 $pid 2>/dev/null && [ $i -lt 6000 ]; do i=$((i + 1)); done
kill -TERM $pid 2>/dev/null
wait $pid
if [ -e cut.safetensors.training ]; then
    train text -o cut.safetensors --steps 6 --every 2 --batch 2 --resume
    [ $status = 0 ] && cmp cut.safetensors right.safetensors >>out
    report 'interrupted and gone on with: the same bytes'
else
    echo '# it had ended before it was interrupted'
    cmp cut.safetensors right.safetensors
    report 'interrupted too late: the same bytes'
fi

"$heed" train one.safetensors text -o more.safetensors --steps 6 --batch 2 --layer-decay 2.6 --unfreeze 0.5 \
    --schedule slanted --dtype f16 >out 2>err && "$heed" score more.safetensors held >>out
report 'a model goes on learning, layer after layer and at rates of their own'

# Folders for transformers: of each form that is written the file and the folder say the same of a text, and what
# goes on from the folder without learning leaves each byte of the tensors.
ids=$SRC/models/checkpoints/ids.npy
still='--steps 1 --rate 0 --batch 1 --context 3 --valid 0'
form() {
    name=$1 class=$2
    # shellcheck disable=SC2086
    of="vocab=256; width=16; layers=2; heads=2; context=16; bos=10; attention=softmax(causal=true); $3"
    "$heed" train "$of" text -o "$name/" --steps 3 --batch 2 >out 2>err &&
        grep -qF "\"$class\"" "$name/config.json" &&
        "$heed" train "$of" text -o "$name.safetensors" --steps 3 --batch 2 >out 2>err &&
        "$heed" score "$name.safetensors" held >out 2>err && bits=$(sed -n '1s/ bits.*//p' out) &&
        "$heed" score "$name" held >out 2>err && grep -q "^$bits bits per byte" out &&
        "$heed" train "$name" "$ids" -o again/ $still >out 2>err &&
        cmp "$name/model.safetensors" again/model.safetensors >>out
    report "a folder for transformers: $class"
}
form llama LlamaForCausalLM 'norm=rms; position=rope(pairs=half); feedforward=swiglu(hidden=24); tied=true'
form qwen3 Qwen3ForCausalLM 'norm=rms; qk_norm=rms; position=rope(pairs=half); feedforward=swiglu(hidden=24)'
form gpt2 GPT2LMHeadModel 'norm=layer; position=learned; feedforward=gelu(hidden=24, approximate=tanh); biases=true;
    tied=true'
form neox GPTNeoXForCausalLM 'residual=parallel; norm=layer; position=rope(pairs=half, width=4);
    feedforward=gelu(hidden=24)'
if [ -z "$HEED_TEST_QUICK" ]; then # and of folders, whose config stays
    for name in bloom gemma2_flags gpt2_unscaled llama_yarn mistral opt_post phi3 qwen2_window; do
        # shellcheck disable=SC2086
        "$heed" train "$SRC/models/checkpoints/$name" "$ids" -o again/ $still >out 2>err &&
            "$heed" score "$SRC/models/checkpoints/$name" --ids "$ids" >out 2>err &&
            bits=$(sed -n '1s/ bits.*//p' out) && "$heed" score again --ids "$ids" >out 2>err &&
            grep -q "^$bits bits" out
        report "a folder that goes on as a folder: $name"
    done
fi
train text -o none/ --steps 3
says 'none/: no model of transformers that is written (llama, mistral, qwen3, gpt2, gpt_neox, bloom, bert) computes'
report 'a network that transformers has not'

# Documents: the same from a folder and from JSONL, and none of them lies on both sides.
mkdir -p folder/inside
i=0
while [ $i -lt 20 ]; do
    tail -c +$((i * 50 + 1)) text | head -c 50 | tr -d '"\\\n' >folder/inside/$(printf '%02d' $i).txt
    printf '{"text": "%s"}\n' "$(cat folder/inside/$(printf '%02d' $i).txt)"
    i=$((i + 1))
done >lines.jsonl
train folder -o folder.safetensors --steps 3 --batch 2
held=$(sed -n 's/.* of all \([0-9]*\) that were.*/\1/p' out)
[ $status = 0 ] && [ "$held" = $(($(wc -c <folder/inside/18.txt) + 1 + $(wc -c <folder/inside/19.txt))) ] &&
    "$heed" train "$network" lines.jsonl -o lines.safetensors --steps 3 --batch 2 >>out 2>err &&
    cmp folder.safetensors lines.safetensors >>out
report 'a folder of texts and the same as JSONL'
printf '"one"\n\n{"no": 1}\n' >wrong.jsonl
train wrong.jsonl -o none.safetensors
says 'wrong.jsonl: line 3 has no text: {"text": "..."} or "..." is right'
report 'a line without a text'
mkdir empty
train empty -o none.safetensors
says 'empty: no file in it has text'
report 'a folder without a text'

# SGD with momentum: the same bytes by 3 threads, and what is of the other optimiser is not of this one.
train text -o sgd.safetensors --steps 4 --batch 2 --optimizer sgd --momentum 0.99 --threads 1 &&
    train text -o other.safetensors --steps 4 --batch 2 --optimizer sgd --momentum 0.99 --threads 3 --isa scalar &&
    [ $status = 0 ] && cmp sgd.safetensors other.safetensors >>out
report 'SGD with momentum'

# Spans that are learned: each report has the mean of each layer.
spans=$(echo "$network" | sed 's/softmax(causal=true)/adaptive_span(limit=16, ramp=4)/; s/position=rope/position=none/')
"$heed" train "$spans" text -o spans.safetensors --steps 4 --every 2 --batch 2 --span-penalty 0.001 >out 2>err &&
    [ "$(grep -c '^step .*  spans [0-9.]*  rate' out)" = 2 ] &&
    grep -q 'attention.span: 16 tokens at most; heads: ' out &&
    "$heed" train "$spans" text -o spans.safetensors --steps 2 --batch 2 --json >out 2>err &&
    grep -q '"mean_spans":\[[0-9.e-]*\]' out
report 'spans are told by layer'

# Segments: the same bytes by one thread and two.
endless=$(echo "$network" | sed 's/context=16/context=0/')
segments() {
    "$heed" train "$3" text -o "$1" --segments 24 --context 8 --batch 2 --steps 9 --every 3 \
        --threads "$2" >out 2>err
}
relative=$(echo "$endless" |
    sed 's/softmax(causal=true)/transformer_xl(causal=true, memory=24)/; s/position=rope/position=none/')
for network_of in "$endless" "$relative"; do
    segments segments.safetensors 1 "$network_of" && segments other.safetensors 2 "$network_of" &&
        cmp segments.safetensors other.safetensors >>out
    report "texts that follow one another: $(echo "$network_of" | grep -o 'attention=[a-z_]*')"
done
train text -o none.safetensors --segments 8 --batch 200
says 'are no 200 streams of a segment of 16'
report 'more streams than the text has'
halts=$(echo "$network" | sed 's/layers=1/layers=3; shared=true; halting=act/')
"$heed" train "$halts" text -o none.safetensors --segments 8 >out 2>err
status=$?
says 'this network has tokens that halt, and nothing is carried from segment to segment there'
report 'a network that carries nothing'

# Classes: of JSONL and of a folder with one a class; lines that have a word are told apart.
mkdir -p classes/left classes/right
i=0
while [ $i -lt 40 ]; do
    side=left word=aab
    [ $((i % 2)) = 1 ] && side=right word=zyz
    printf '%s %d' $word $((i * 7 % 10)) >classes/$side/$(printf '%02d' $i)
    printf '{"text": "%s %d", "label": "%s"}\n' $word $((i * 7 % 10)) $side
    i=$((i + 1))
done >classes.jsonl
train classes.jsonl -o told.safetensors --task classify --steps 30 --batch 8 --every 10 --dropout 0
[ $status = 0 ] && grep -q ' bits per text and accuracy 100.00 % of all 4 that were held out' out
report 'a network tells texts apart'
"$heed" classify told.safetensors classes.jsonl >out 2>err && [ "$(grep -c '^left	0[.]\|^left	1' out)" = 20 ] &&
    grep -q '40 of 40 labels found, accuracy 100.00 %' err
report 'heed classify finds the classes'
printf 'aab 3\nzyz 3\n' | "$heed" classify told.safetensors - --all --json >out 2>err &&
    [ "$(grep -c '"probabilities":{"left":[0-9.e-]*,"right":[0-9.e-]*}' out)" = 2 ]
report 'all probabilities as JSON'
"$heed" classify one.safetensors text >out 2>err
status=$?
says 'one.safetensors: is no network that tells texts apart'
report 'a network without classes'
train classes -o folder.safetensors --task classify --steps 6 --batch 4 --threads 1 &&
    train classes -o other.safetensors --task classify --steps 6 --batch 4 --threads 3 --isa scalar &&
    cmp folder.safetensors other.safetensors >>out
report 'a folder of classes; the same bytes with 3 threads on the lowest path'
"$heed" train one.safetensors classes -o tuned.safetensors --task classify --steps 6 --batch 4 --pooling mean \
    --schedule slanted --layer-decay 2 --unfreeze 0.5 >out 2>err &&
    "$heed" describe tuned.safetensors >out 2>err && grep -q 'output=pool/tokens; classes=2' out
report 'a language model becomes a classifier, layer after layer'
sed 's/right/up/' classes.jsonl >up.jsonl
"$heed" train 'vocab=256; width=16; layers=1; heads=2; context=32; norm=batch(statistics=batch); attention=softmax;
    position=rope; feedforward=gelu(hidden=32)' classes -o batch.safetensors --task classify --steps 4 --batch 2 >out 2>err &&
    "$heed" describe batch.safetensors --json >out 2>err && ! grep -q '_norm.mean' batch.safetensors
report 'batch norm, by the statistics of each batch, which are no weights'
"$heed" train told.safetensors up.jsonl -o none.safetensors --task classify >out 2>err
status=$?
says 'up.jsonl: the class "up" is none of those that the network has'
report 'a class that a model has not'
printf '{"text": "a", "label": 1}\n{"text": "b", "label": []}\n' >wrong.jsonl
train wrong.jsonl -o none.safetensors --task classify
says 'wrong.jsonl: line 2 has no "label", which is a word or a whole number'
report 'a line without a label'
train held -o none.safetensors --task classify
says 'held: line 1 is no object of JSON'
report 'a text where examples are needed'
train text -o none.safetensors --task pairs
says 'line 1 is no object of JSON'
report 'a text where pairs are needed'

# Tokens that are no bytes: of a checkpoint's folder, whose tokenizer goes into the result, or of --tokenizer.
tiny=$SRC/models/checkpoints
if "$heed" score "$tiny/llama" text 2>&1 | grep -q 'built without PCRE2'; then
    echo '# skipped: texts of a checkpoint need PCRE2 and utf8proc'
else
    "$heed" train "$tiny/llama" text -o tokens.safetensors --steps 2 --batch 2 --context 16 >out 2>err &&
        "$heed" train "$tiny/llama" text -o tokens/ --steps 2 --batch 2 --context 16 --threads 1 >out 2>err &&
        cmp "$tiny/llama/tokenizer.json" tokens/tokenizer.json >>out &&
        "$heed" score tokens.safetensors held >out 2>err && bits=$(sed -n '1s/ bits.*//p' out) &&
        "$heed" score tokens held >out 2>err && grep -q "^$bits bits per byte" out &&
        "$heed" generate tokens.safetensors --prompt 'The king' --tokens 2 >out 2>err && grep -q '^The king' out
    report 'a checkpoint goes on with its tokenizer, in a file and in a folder'
    own=$(echo "$network" | sed 's/vocab=256/vocab=37/; s/bos=10/bos=1/; s/position=rope/position=rope(pairs=half)/')
    "$heed" train "$own" lines.jsonl --tokenizer "$tiny/llama" -o own/ --steps 2 --batch 2 >out 2>err &&
        grep -q 'bits per token' out &&
        "$heed" score own held >out 2>err
    report 'a tokenizer for a network that has learned nothing'
    for name in bert llama; do
        "$heed" train "$tiny/$name" classes.jsonl -o "told-$name/" --task classify --steps 3 --batch 4 >out 2>err &&
            grep -q 'ForSequenceClassification' "told-$name/config.json" &&
            "$heed" classify "told-$name" classes.jsonl >out 2>err && [ "$(grep -c '^left	\|^right	' out)" = 40 ] &&
            "$heed" train "told-$name" classes.jsonl -o again/ --task classify --steps 1 --rate 0 >out 2>err &&
            cmp "told-$name/model.safetensors" again/model.safetensors >>out
        report "a checkpoint learns classes, as a folder for transformers: $name"
    done
    "$heed" train "$tiny/bert" classes.jsonl -o told-mean.safetensors --task classify --steps 3 --batch 4 \
        --pooling mean >out 2>err &&
        "$heed" classify told-mean.safetensors classes.jsonl >out 2>err
    report 'a checkpoint learns classes, as a file'
    cp -r "$tiny/t5" t5 && cp "$tiny/llama/tokenizer.json" t5
    printf 'the king\tTHE KING\nspeak\tSPEAK\n' >spoken.tsv
    "$heed" train t5 spoken.tsv -o t5.safetensors --task pairs --steps 2 --batch 2 --valid 0 >out 2>err &&
        "$heed" generate t5.safetensors --prompt 'the king' --tokens 2 >out 2>err
    report 'a checkpoint with an encoder learns pairs'
    "$heed" train "$tiny/gpt2" text -o none.safetensors >out 2>err
    status=$?
    says 'gpt2: tokens of this checkpoint are not bytes, and there is no tokenizer.json: --tokenizer DIR says where'
    report 'a checkpoint without a tokenizer'
    train text --tokenizer missing -o none.safetensors
    says 'missing/tokenizer.json: cannot be opened'
    report 'a tokenizer that is not there'
    "$heed" train "$(echo "$network" | sed 's/vocab=256/vocab=20/')" text --tokenizer "$tiny/llama" \
        -o none.safetensors >out 2>err
    status=$?
    says 'text: the tokenizer makes token'
    report 'a token that the network has not'
fi

# Pairs: a word and the same in capitals.
for word in ab cd ef gh ij kl mn op qr st; do
    printf '%s\t%s\n' $word "$(echo $word | tr a-z A-Z)"
done >pairs.tsv
train pairs.tsv -o none.safetensors --task pairs
says 'pairs are of a network with an encoder, and this one has none (encoder_layers)'
report 'pairs need an encoder'
both="$network; encoder_layers=1; encoder_attention=softmax; cross_attention=softmax"
"$heed" train "$both" pairs.tsv -o said.safetensors --task pairs --steps 8 --batch 3 --every 4 --threads 2 >out 2>err &&
    grep -q ' bits per token of all 1 that were held out' out &&
    "$heed" train "$both" pairs.tsv -o other.safetensors --task pairs --steps 8 --batch 3 --every 4 --threads 1 \
        --isa scalar >>out 2>err && cmp said.safetensors other.safetensors >>out
report 'pairs are learned, with the same bytes on the lowest path'
"$heed" generate said.safetensors --prompt ab --tokens 3 >out 2>err
report 'heed generate takes the model of pairs'
train text -o halting.safetensors --steps 2 --batch 2 --ponder 0.01
[ $status = 0 ]
report 'a penalty for layers has nothing to say where tokens do not halt'
"$heed" train "$halts" text -o halting.safetensors --steps 3 --batch 2 --every 3 --ponder 0.01 >out 2>err &&
    grep -q '[0-9] layers a token' out &&
    "$heed" score halting.safetensors held >>out 2>err && grep -q 'ponder cost' out
report 'tokens that halt'

# The split of text8 and enwik8: 90, 5 and 5 million bytes, and not one more.
if [ -z "$HEED_TEST_QUICK" ]; then
    truncate -s 100000000 zeros
    for part in '90000000 bytes are to be learned' '5000000 bytes are held out'; do
        "$heed" train "$endless" zeros -o none.safetensors --split 90/5/5 --context "${part%% *}" >out 2>err
        status=$?
        says "zeros: $part, but a context of ${part%% *} needs"
        report "of 100,000,000 bytes $part"
    done
    rm -f zeros
fi

head -c 16 text >short
train short -o none.safetensors --valid 0
says 'short: 16 bytes are to be learned, but a context of 16 needs 17'
report 'a text that is shorter than a context'
train held -o none.safetensors --valid 0.05
says 'held: 10 bytes are held out, but a context of 16 needs 17'
report 'too little is held out'
train text -o none.safetensors --context 17
says '--context is 17, but the network'
report 'a context that is too long'
train missing -o none.safetensors
says 'missing: No such file'
report 'a text that is not there'
train text -o missing/none.safetensors
says 'missing/none.safetensors: cannot be written: No such file'
report 'a folder that is not there'
train text -o none.safetensors --resume
says 'none.safetensors.training: there is no such file, so no run to go on with'
report 'nothing to go on with'
cp one.safetensors bogus.safetensors.training
train text -o bogus.safetensors --resume
says 'bogus.safetensors.training: is no checkpoint of a training'
report 'another file in the place of a checkpoint'
train text -o none.safetensors --rate 100 --schedule constant --warmup 0 --steps 300 --batch 1 --clip 0 --valid 0
says 'has a NaN or an infinity, so the weights stay as they were' &&
    grep -q 'step [0-9]*: the gradient of [a-z0-9._]* has' err
report 'a rate that is much too high ends with the step and the tensor'
network=$(echo "$network" | sed 's/vocab=256/vocab=100/; s/; bos=10//')
train text -o none.safetensors
says 'but the network has those from 0 to 99 (vocab)'
report 'a byte that the network has not'
network=$(echo "$network" | sed 's/(causal=true)//; s/vocab=100/vocab=256/')
train text -o none.safetensors
says 'this is no language model: tokens of attention/softmax'
report 'a network whose tokens see what is to be predicted'
for usage in '' '--task guess' '--pooling mean' '--segments 8 --accumulate 2' \
    '--steps 1 --minutes 1' '--schedule fast' '--optimizer adam' '--momentum 0.9' '--optimizer sgd --beta1 0.9'; do
    # shellcheck disable=SC2086
    train text ${usage:+-o none.safetensors} $usage
    [ $status = 2 ] && [ "$(wc -l <err)" = 1 ]
    report "wrong usage: $usage"
done
[ ! -e none.safetensors ] || { rm -f none.safetensors; false; }
echo "$n tests, $bad failed"
[ $bad = 0 ]
