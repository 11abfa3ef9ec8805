#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fuzz.sh: gives the readers of tokenizer.json, of a checkpoint's index and config.json, and of the heads
# of safetensors and GGUF files that have faults by chance, with ASan and UBSan: each is read, or refused with a
# sentence. From the top folder, after ./bootstrap:
#
#     tests/fuzz.sh [RUNS [SEED]]       of each reader; a million, and seed 1, if not given: some 20 minutes
#
# It builds what it needs, without optimisation and without plugins, in build-fuzz.
set -e
top=$(cd "$(dirname "$0")/.." && pwd)
runs=${1:-1000000} seed=${2:-1}
export UBSAN_OPTIONS="halt_on_error=1 print_stacktrace=1" HEED_FUZZ_SEED="$seed" SRC="$top"
mkdir -p "$top/build-fuzz"
cd "$top/build-fuzz"
[ config.status -nt "$top/configure" ] ||
    "$top/configure" --quiet --enable-sanitizers=address,undefined CFLAGS='-g -O1'
make -s -j"$(nproc 2>/dev/null || echo 2)" tests/engine/test_tokenizers tests/stack/test_checkpoints \
    tests/stack/test_gguf
# run PROGRAM TEST RUNS: one of the tests of a program, so many times
run() {
    began=$(date +%s)
    HEED_FUZZ=$3 HEED_TEST_ONLY=$2 "$1" >fuzz.log 2>&1 || { cat fuzz.log; exit 1; }
    grep -q "OK \] $2" fuzz.log || { cat fuzz.log; exit 1; }
    echo "ok - $1, $2: $3 files of each kind, seed $seed, $(($(date +%s) - began)) s"
}
run tests/engine/test_tokenizers test_mutated $(((runs + 3) / 4))
run tests/stack/test_checkpoints test_fuzz "$runs"
run tests/stack/test_gguf test_fuzz "$runs"
