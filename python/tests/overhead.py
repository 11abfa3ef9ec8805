# SPDX-License-Identifier: MIT
"""What Python costs beside the op itself, and what PyTorch takes for the same: every bar with its
figure, in one table.

    PYTHONPATH=python HEED_LIBRARY=build/engine/.libs/libheed.so.0 \\
        python3 python/tests/overhead.py [--json] [--only WORD ...]

On an idle machine. Calls are the smallest there are, on one thread: microseconds, the best of many
rounds. `heed bench --overhead` tells what the engine's part is. With PyTorch installed its op is
timed beside F.scaled_dot_product_attention, and alternating calls of both beside each alone, on as
many threads as PyTorch takes; with transformers the attention of a prefill of 2,048 tokens beside
its sdpa, each with the mask that the model would hand to it. The exit status is 1 if a bar is
missed.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import heed_attention as heed

SPEC = "attention/softmax(causal=true)"
ROUNDS, CALLS = 500, 50


def best(call, calls=CALLS, rounds=ROUNDS):
    """Microseconds of one call."""
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        least = min(least, (time.perf_counter() - start) / calls)
    return least * 1e6


def in_turn(calls, rounds=9, each=3):
    """Seconds of each call in each of some rounds, so that all have the same noise."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, told in zip(calls, times):
            start = time.perf_counter()
            for _ in range(each):
                call()
            told.append((time.perf_counter() - start) / each)
    return times


def ratio(theirs, ours):
    return statistics.median(b / a for a, b in zip(ours, theirs))


# ---- each part gives rows: a name, a figure, its unit, and the bar, "<= 5", or "" ----


def with_numpy():
    heed.use(heed.Engine(1))
    q, k, v = (np.ones((1, 1, 1, 16), np.float32) for _ in "qkv")
    out = np.empty_like(q)
    op = heed.Op(SPEC)
    bound = op.bind(q=q, k=k, v=v, out=out)
    s = op.sequence(G=1, D=16)
    yield "call, arrays bound beforehand", best(bound), "us", "<= 5"
    yield "call, an Op with new arrays", best(lambda: op(q=q, k=k, v=v)), "us", "<= 12"
    yield "call, an Op, out given", best(lambda: op(q=q, k=k, v=v, out=out)), "us", ""
    growing = best(lambda: (op(q=q, k=k, v=v, sequences=[s]), s.truncate(0)))
    yield "call, an Op with a sequence, and a cut", growing, "us", ""
    yield "call, run", best(lambda: heed.run(SPEC, q=q, k=k, v=v)), "us", "<= 20"
    yield "import, beyond NumPy's", importing(), "ms", "< 60"


def importing():
    """Milliseconds that importing adds to NumPy's, in processes of their own; compiled, as what is
    installed is.
    """
    code = (
        "import numpy, time; t = time.perf_counter()\n"
        "import heed_attention; print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        words = [sys.executable, "-c", code]
        times = [float(subprocess.check_output(words, env=env)) for _ in range(11)]
    return min(times) * 1e3


def with_torch():
    import torch

    from heed_attention import torch as heed_torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    heed.use(heed.Engine(1))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    q, k, v = (torch.ones(1, 1, 1, 16) for _ in "qkv")
    with torch.no_grad():
        ours = best(lambda: heed_torch.run(SPEC, q=q, k=k, v=v))
        theirs = best(lambda: sdpa(q, k, v, is_causal=True))
    yield "heed_attention.torch.run", ours, "us", ""
    yield "F.scaled_dot_product_attention", theirs, "us", ""
    yield "heed_attention.torch.run, over sdpa's own", ours - theirs, "us", "<= 25"
    torch.set_num_threads(threads)
    heed.use(heed.Engine(threads))
    big = [torch.randn(1, 512, 8, 64) for _ in "qkv"]
    a, b = torch.randn(768, 768), torch.randn(768, 768)
    with torch.no_grad():

        def mine():
            heed_torch.run(SPEC, q=big[0], k=big[1], v=big[2])

        def other():
            torch.mm(a, b)

        alone = in_turn([lambda: [mine() for _ in range(8)], lambda: [other() for _ in range(8)]])
        both = in_turn([lambda: [(mine(), other()) for _ in range(8)]])[0]
    least = min(alone[0]) + min(alone[1])
    name = f"alternating with torch.mm, {threads} threads, times each alone"
    yield name, min(both) / least, "x", "<= 1.05"


def with_transformers():
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import (
        and_masks,
        causal_mask_function,
        packed_sequence_mask_function,
        sdpa_mask,
        sliding_window_overlay,
    )

    import heed_attention.transformers as bridge

    heed.use(heed.Engine(torch.get_num_threads()))
    T, H, D = 2048, 8, 64
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = True, 1
    module.eval()
    q, k, v = (torch.randn(1, H, T, D) for _ in "qkv")
    valid = torch.ones(1, T, dtype=torch.int64)
    valid[:, -T // 4 :] = 0
    packed = torch.arange(T)[None] // (T // 4)
    window = sliding_window_overlay(T // 8)
    documents = packed_sequence_mask_function(packed)
    for name, function, padding, bar in (
        ("causal", causal_mask_function, None, ">= 1.25"),
        ("padding of a quarter", causal_mask_function, valid, ">= 1.5"),
        ("window of 256", and_masks(causal_mask_function, window), None, ">= 1.5"),
        ("4 packed texts", and_masks(causal_mask_function, documents), None, ">= 1.5"),
    ):
        given = dict(
            batch_size=1,
            q_length=T,
            kv_length=T,
            mask_function=function,
            attention_mask=None if padding is None else padding.bool(),
            device=q.device,
        )
        skips = function is causal_mask_function
        theirs_mask = sdpa_mask(**given, allow_is_causal_skip=skips)
        our_mask = bridge.mask(**given)

        def ours(mask=our_mask):
            return bridge.attention(module, q, k, v, mask)[0]

        def theirs(mask=theirs_mask):
            return sdpa_attention_forward(module, q, k, v, mask)[0]

        with torch.no_grad():
            live = slice(0, T if padding is None else T - T // 4)
            torch.testing.assert_close(ours()[:, live], theirs()[:, live], atol=1e-4, rtol=1e-4)
            mine, others = in_turn([ours, theirs])
        threads = torch.get_num_threads()
        what = f"prefill of {T}, {name}, {threads} threads, times sdpa's"
        yield what, ratio(others, mine), "x", bar


PARTS = {"numpy": with_numpy, "torch": with_torch, "transformers": with_transformers}


def met(value, bar):
    words = bar.split()
    if not words:
        return None
    limit = float(words[1])
    return {"<=": value <= limit, "<": value < limit, ">=": value >= limit}[words[0]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="a record in place of a table")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts")
    options = parser.parse_args()
    rows = []
    for part, measure in PARTS.items():
        if options.only and part not in options.only:
            continue
        if importlib.util.find_spec(part) is None:
            print(f"{part} is not installed: its bars are left out", file=sys.stderr)
            continue
        for name, value, unit, bar in measure():
            rows.append(dict(name=name, value=value, unit=unit, bar=bar, met=met(value, bar)))
            if not options.json:
                said = {None: "", True: "met", False: "MISSED"}[rows[-1]["met"]]
                print(f"{name:62}{value:9.2f} {unit:3} {bar:8} {said}".rstrip(), flush=True)
    if options.json:
        print(json.dumps({"schema": "heed.python/2", "rows": rows}))
    sys.exit(any(row["met"] is False for row in rows))


if __name__ == "__main__":
    main()
