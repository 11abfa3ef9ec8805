# SPDX-License-Identifier: MIT
"""What a call from Python costs beside the op itself: microseconds of the smallest call, the best
of many rounds.

    PYTHONPATH=python HEED_LIBRARY=build/engine/.libs/libheed.so.0 python3 python/tests/overhead.py
    [--json]

On one thread, on an idle machine. `heed bench --overhead` tells what the engine's part is. With
PyTorch installed it is timed too, beside F.scaled_dot_product_attention, and how alternating calls
of both cost beside each alone.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time

import numpy as np

import heed_attention as heed

SPEC = "attention/softmax(causal=true)"
ROUNDS, CALLS = 50, 500


def best(call, calls=CALLS):
    """Microseconds of one call."""
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        least = min(least, (time.perf_counter() - start) / calls)
    return least * 1e6


def with_numpy():
    q, k, v = (np.ones((1, 1, 1, 16), np.float32) for _ in "qkv")
    out = np.empty_like(q)
    op = heed.Op(SPEC)
    bound = op.bind(q=q, k=k, v=v, out=out)
    s = op.sequence(G=1, D=16)
    return {
        "bound": best(bound),
        "Op": best(lambda: op(q=q, k=k, v=v)),
        "Op, out given": best(lambda: op(q=q, k=k, v=v, out=out)),
        "Op, a sequence": best(lambda: (op(q=q, k=k, v=v, sequences=[s]), s.truncate(0))),
        "run": best(lambda: heed.run(SPEC, q=q, k=k, v=v)),
    }


def with_torch():
    import torch

    from heed_attention import torch as heed_torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    q, k, v = (torch.ones(1, 1, 1, 16) for _ in "qkv")
    big = [torch.randn(1, 512, 8, 64) for _ in "qkv"]
    a, b = torch.randn(512, 512), torch.randn(512, 512)

    def ours():
        heed_torch.run(SPEC, q=big[0], k=big[1], v=big[2])

    def theirs():
        torch.mm(a, b)

    alone = best(ours, 2) + best(theirs, 2)
    return {
        "torch.ops.heed.run": best(lambda: heed_torch.run(SPEC, q=q, k=k, v=v)),
        "sdpa": best(lambda: sdpa(q, k, v, is_causal=True)),
        "alternating with torch.mm, times each alone": best(lambda: (ours(), theirs()), 2) / alone,
    }


def importing():
    """Milliseconds that importing adds to NumPy's, in processes of their own."""
    code = (
        "import numpy, time; t = time.perf_counter()\n"
        "import heed_attention; print(time.perf_counter() - t)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(10)]
    return {"import, ms": min(times) * 1e3}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="a record in place of a table")
    options = parser.parse_args()
    heed.use(heed.Engine(1))
    told = with_numpy() | importing()
    if importlib.util.find_spec("torch"):
        told |= with_torch()
    if options.json:
        print(json.dumps({"schema": "heed.python/1", "microseconds": told}))
        return
    for name, value in told.items():
        print(f"{name:45}{value:10.2f}")


if __name__ == "__main__":
    main()
