#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_ranks.sh: the command under mpirun: what several ranks give, byte by byte, is what one gives, and whatever goes
# wrong ends all of them with one sentence.
#
#     HEED=PATH HEED_PLUGINS=FOLDER tests/command/test_ranks.sh

heed=${HEED-build/engine/heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
SRC=${SRC-$(cd "$(dirname "$0")/../.." && pwd)}
command -v mpirun >/dev/null || { echo '1..0 # SKIP there is no mpirun; on Debian: apt-get install openmpi-bin libopenmpi-dev'; exit 77; }
[ -e "${HEED_PLUGINS%%:*}/transport_mpi.so" ] || { echo '1..0 # SKIP heed was built without MPI'; exit 77; }
mpirun --version | grep -q 'Open MPI' || { echo '1..0 # SKIP mpirun is not that of Open MPI, whose options are used here'; exit 77; }
[ -z "${SANITIZERS-}" ] || { echo '1..0 # SKIP MPI keeps memory to the end'; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-ranks.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
unset HEED_ISA
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none \
    OMPI_MCA_btl=self,vader,tcp OMPI_MCA_orte_tmpdir_base="$work"
bad=0
report() {
    if [ $? = 0 ]; then echo "ok - $1"; return; fi
    echo "not ok - $1"
    head -n 20 err | sed 's/^/# /'
    bad=1
}
# ranks N WORD ...: heed on so many; what it says is in out and err.
ranks() {
    n=$1
    shift
    timeout 120 mpirun --oversubscribe --bind-to none -n "$n" "$heed" "$@" --threads 1 >out 2>err </dev/null
}
# Of the sentences there is one, with this text in it.
says() { [ "$(grep -c '^heed: ' err)" = 1 ] && grep '^heed: ' err | grep -qF -e "$1"; }

# ---- the bits of one ----

# 3,500 tokens, as float16 numbers out of letters
cat "$SRC"/docs/*.md | tr -dc 'a-z \n' | head -c 90000 >letters
npy() { # FILE OFFSET TOKENS
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f2', 'fortran_order': False, 'shape': (1, $3, 2, 2), }" >"$1"
    tail -c +"$2" letters | head -c $((8 * $3)) >>"$1"
}
npy q.npy 1 3500 && npy k.npy 20001 3500 && npy v.npy 50001 3500
qkv='-i q=q.npy -i k=k.npy -i v=v.npy'
"$heed" run 'attention/softmax(causal=true, scale=1e-8)' $qkv -o out=one.npy -o lse=lse.npy
for n in 2 3; do
    rm -f out.npy lse$n.npy
    ranks $n run 'attention/softmax(causal=true, scale=1e-8)' $qkv -o out=out.npy -o lse=lse$n.npy &&
        cmp one.npy out.npy && cmp lse.npy lse$n.npy && [ ! -s out ] && [ ! -s err ]
    report "heed run on $n ranks"
done

spec='vocab=256; bos=10; width=32; layers=2; heads=4; kv_heads=2; attention=softmax(causal=true); position=rope; norm=rms; feedforward=swiglu(hidden=64)'
head -c 4800 letters >prompt
text() { # what is generated is the same, and told once
    "$heed" generate --random-weights --spec "$1" --prompt-file prompt --tokens 8 --threads 1 >text 2>/dev/null
    for n in $2; do
        ranks "$n" generate --random-weights --spec "$1" --prompt-file prompt --tokens 8 && cmp out text &&
            [ "$(grep -c '^prompt: ' err)" = 1 ]
        report "heed generate on $n ranks, $3"
    done
}
text "$spec" '2 3 4' 'a text of several spans'
text "$(echo "$spec" | sed 's/causal=true/causal=true, cache=int8, window=2000, sinks=4/')" 2 'of a window and a codec'
"$heed" score "$SRC/models/plays.safetensors" "$SRC/models/sample.txt" --threads 1 | cut -d'(' -f1 >one
ranks 2 score "$SRC/models/plays.safetensors" "$SRC/models/sample.txt" && cut -d'(' -f1 out | cmp - one
report 'heed score on 2 ranks'

# a state that goes from rank to rank: a call, a text, and its score
chain="$(echo "$spec" | sed 's/position=rope; //')"
"$heed" run 'attention/retention(causal=true)' $qkv -o out=one.npy
for n in 2 4; do
    rm -f out.npy
    ranks $n run 'attention/retention(causal=true)' $qkv -o out=out.npy && cmp one.npy out.npy && [ ! -s err ]
    report "heed run of a chain on $n ranks"
done
text "$(echo "$chain" | sed 's/softmax(/gated_delta(gate=softplus, /')" '2 3' 'gated_delta'
text "$(echo "$chain" | sed 's/softmax/linear/')" 2 'linear'
"$heed" train "$(echo "$chain" | sed 's/softmax/linear/; s/layers=2/layers=1; context=64/')" letters \
    -o chain.safetensors --steps 2 --batch 2 --threads 1 >out 2>err
"$heed" score chain.safetensors prompt --threads 1 2>/dev/null | cut -d'(' -f1 >one
ranks 3 score chain.safetensors prompt && cut -d'(' -f1 out | cmp - one && [ -s one ]
report 'heed score of a chain on 3 ranks'

ranks 2 bench 'attention/softmax(causal=true)' --shape T=3200,H=2,D=16 --rounds 1 && grep -q ' equal$' out
report 'heed bench on 2 ranks'

# ---- a network that learns ----

learner="$(echo "$spec" | sed 's/layers=2/layers=1; context=48/')"
# learns N OUT WORD ...: on N ranks, 0: without mpirun; what is said but for the times is in said
learns() {
    n=$1 to=$2
    shift 2
    if [ "$n" = 0 ]; then
        "$heed" train "$learner" letters -o "$to" --batch 7 --json --threads 1 "$@" >out 2>err
    else ranks "$n" train "$learner" letters -o "$to" --batch 7 --json "$@"; fi
    status=$?
    sed -E 's/"(seconds|tokens_per_second|left|seconds_left)": ?[^,}]*//g; s/one[0-9]?\.safetensors|many\.safetensors//' out >said
    return $status
}
learns 0 one.safetensors --steps 4 --every 2 && mv said told
for n in 2 3; do
    rm -f many.safetensors
    learns $n many.safetensors --steps 4 --every 2 && cmp one.safetensors many.safetensors && cmp told said &&
        [ ! -e many.safetensors.training ]
    report "heed train on $n ranks"
done
ranks 2 train "$learner" letters -o many.safetensors --minutes 0.002 --batch 2 && grep -q 'minutes are [0-9]* steps here' out
report 'heed train on 2 ranks: the clock of one of them counts the steps'
learns 0 one.safetensors --steps 150 --every 10
timeout 120 mpirun --oversubscribe --bind-to none -n 2 "$heed" train "$learner" letters -o many.safetensors --batch 7 \
    --json --steps 150 --every 10 --threads 1 >out 2>err </dev/null &
job=$!
until [ -e many.safetensors.training ] || ! kill -0 $job 2>/dev/null; do sleep 0.2; done
kill -INT "$(pgrep -P "$(pgrep -P $job)" | tail -n 1)"
wait $job
[ $? != 0 ] && [ -e many.safetensors.training ] && learns 3 many.safetensors --steps 150 --every 10 --resume &&
    cmp one.safetensors many.safetensors
report 'one of 2 ranks is interrupted, and 3 go on to the same bits'
ranks 3 train "$learner" letters -o many.safetensors --batch 2 --steps 2
[ $? = 1 ] && says '--batch is 2, but of 3 ranks each needs a text'; report 'fewer texts than ranks are refused'
ranks 2 train "$learner" letters -o many.safetensors --segments 48 --steps 2
[ $? = 1 ] && says '(--segments) are learned on one rank, not on 2'; report 'and so are segments'
ranks 2 train "$learner" absent -o many.safetensors --steps 2
[ $? = 1 ] && says 'absent'; report 'and so is a text that is not there'

# ---- what can not be shared, and what is wrong ----

ranks 2 run norm/rms -i x=q.npy -o out=out.npy
[ $? = 1 ] && says 'norm/rms has no heed.partial/1'; report 'an op that is not shared is refused by its name'
ranks 2 generate --random-weights --spec "$(echo "$chain" | sed 's/softmax(/sparse(stride=8, /')" --prompt-file prompt
[ $? = 1 ] && says 'attention/sparse has no heed.partial/1'; report 'and so is a network with one'
ranks 2 run attention/linear $qkv -o out=out.npy
[ $? = 1 ] && says 'every query sees every key'; report 'and a chain without an order'
ranks 3 score "$SRC/models/plays.safetensors" absent.txt
[ $? = 1 ] && says 'absent.txt: No such file'; report 'a file that is not there is told once'
ranks 2 score "$SRC/models/plays.safetensors" -
[ $? = 1 ] && says 'standard input reaches rank 0 alone'; report 'and so is a text that one of them alone can read'
ranks 2 run attention/softmax $qkv
[ $? = 2 ] && [ "$(grep -c 'run needs an output' err)" = 1 ]; report 'and so is wrong usage'
ranks 2 run attention/softmax $qkv -o out=absent/out.npy
[ $? = 1 ] && says 'absent/out.npy: cannot be written'; report 'and an output that can not be written'
HEED_RANK_SECONDS=soon ranks 2 run attention/softmax $qkv -o out=out.npy
[ $? = 1 ] && grep -q 'HEED_RANK_SECONDS is "soon"' err; report 'HEED_RANK_SECONDS is a number'

# ---- a rank that hangs, and one that dies ----

# fault SIGNAL: one of three ranks gets it in the middle of a text; how long the others took to end, in seconds
fault() {
    : >out
    HEED_RANK_SECONDS=2 timeout 60 mpirun --oversubscribe --bind-to none -n 3 "$heed" generate --random-weights \
        --spec "$spec" --prompt-file prompt --tokens 1000000 --threads 1 >out 2>err </dev/null &
    job=$!
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do # until it writes
        sleep 1
        [ "$(wc -c <out)" -gt 4900 ] && break
    done
    main=$(pgrep -P $job)
    begin=$(date +%s)
    kill -"$1" "$(pgrep -P "$main" | tail -n 1)"
    wait $job
    status=$?
    took=$(($(date +%s) - begin))
}
command -v pgrep >/dev/null || { echo 'SKIPPED faults: there is no pgrep'; exit $bad; }
fault STOP && [ $status != 0 ] && [ $took -lt 30 ] &&
    grep -q 'rank [0-2] on .* has not answered for [0-9.]* seconds' err
report 'one that hangs is named, and all end'
fault KILL && [ $status != 0 ] && [ $took -lt 30 ]
report 'with one that dies all end'
exit $bad
