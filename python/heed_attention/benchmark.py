# SPDX-License-Identifier: MIT
"""heed_attention.benchmark: attentions of heed beside PyTorch's scaled_dot_product_attention, in
your own process: with its threads, and whatever else it does.

    from heed_attention import benchmark
    told = benchmark.compare("attention/softmax(causal=true, window=128)", T=2048)
    print(told); told.plot("here.png")

    python -m heed_attention.benchmark 'attention/softmax(causal=true)' --shape T=2048

`heed_attention.bench` measures against the peaks of the machine, in a process of its own; this does
not. Both sides get what they like: heed B T H D, PyTorch heads first, and is_causal or a boolean
mask where the attention has one. What heed masks is found by trying it: which values come out of
which keys. An attention that is no mean of values (a linear one, say) is set beside plain softmax,
or a causal one, which it stands in for.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

try:
    import torch
    import torch.nn.functional as F
except ImportError as e:  # the sentence is for who has only NumPy
    raise ImportError(
        f"heed_attention.benchmark sets heed beside PyTorch, which can not be imported here ({e}): "
        "pip install torch"
    ) from None

from . import _op, _picture
from ._library import HeedError
from .nn import Attention
from .torch import DTYPES, ports

SIZES = {"B": 1, "T": 2048, "H": 8, "D": 64}  # S is T, and G is H, if not given
EACH = 0.05  # seconds that one measurement takes at least


class Row(NamedTuple):
    """One case. Times are seconds, medians over the rounds of a round's mean; `ratio` is the median
    of PyTorch's time over heed's; `spread` is (slowest round - fastest) / median of heed.
    `difference` is the largest between the outputs, of the largest: where both compute the same
    formula it is rounding.
    """

    spec: str
    shape: str
    beside: str
    seconds: float
    sdpa_seconds: float
    ratio: float
    spread: float
    difference: float


class Comparison(NamedTuple):
    """What `compare` found: print() shows a table, `plot` draws it."""

    rows: tuple[Row, ...]
    threads: int
    torch: str

    def __str__(self) -> str:
        head = ["spec", "shape", "beside", "heed ms", "sdpa ms", "times", "spread", "difference"]
        rows = [
            [
                r.spec,
                r.shape,
                r.beside,
                f"{r.seconds * 1e3:.3f}",
                f"{r.sdpa_seconds * 1e3:.3f}",
                f"{r.ratio:.2f}",
                f"{r.spread:.0%}",
                f"{r.difference:.1e}",
            ]
            for r in self.rows
        ]
        last = f"PyTorch {self.torch}, {self.threads} thread{'s'[self.threads == 1 :]}"
        return f"{_picture.table(head, rows)}\n{last}"

    def json(self) -> str:
        """The same as a text, schema heed.beside/1."""
        told = {"schema": "heed.beside/1", "torch": self.torch, "threads": self.threads}
        return json.dumps(told | {"cases": [r._asdict() for r in self.rows]}, indent=1)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """matplotlib's figure, also as a file if `path` is given. Raises ImportError without it."""
        series = {
            "heed": [r.seconds * 1e3 for r in self.rows],
            f"scaled_dot_product_attention of PyTorch {self.torch}": [
                r.sdpa_seconds * 1e3 for r in self.rows
            ],
        }
        labels = [f"{r.spec}\n{r.shape}" for r in self.rows]
        title = f"milliseconds a call, {self.threads} thread{'s'[self.threads == 1 :]}"
        return _picture.bars(title, labels, series, "ms (shorter is faster)", path)


def compare(
    *specs: str,
    rounds: int = 7,
    dtype: torch.dtype = torch.float32,
    seed: int = 1,
    **sizes: int,
) -> Comparison:
    """Times each spec, and PyTorch beside it, in turn.

    sizes  B, T, S, H, G, D by their letters, and those that weights need, such as R=16
    dtype  of q, k and v: torch.float32, float16 or bfloat16

    As many threads as PyTorch has (torch.set_num_threads) on both sides. Raises HeedError for a
    spec with a mistake, or sizes that do not fit.
    """
    if not specs:
        raise ValueError('a spec is needed, such as "attention/softmax(causal=true)"')
    size = SIZES | sizes
    size = {"S": size["T"], "G": size["H"]} | size
    if size["G"] < 1 or size["H"] % size["G"]:
        raise ValueError(f"G is {size['G']}, and must divide H, which is {size['H']}")
    if dtype not in DTYPES:
        raise TypeError(f"heed has no dtype {dtype}")
    with torch.no_grad():
        rows = tuple(_case(spec, size, sizes, dtype, seed, rounds) for spec in specs)
    return Comparison(rows, torch.get_num_threads(), torch.__version__)


def _case(
    spec: str,
    size: dict[str, int],
    given: dict[str, int],
    dtype: torch.dtype,
    seed: int,
    rounds: int,
) -> Row:
    chance = torch.Generator().manual_seed(seed)
    ours, (q, k, v) = _heed(spec, size, dtype, chance)
    beside, mask = _mask(spec, size)
    heads = [t.transpose(1, 2).contiguous() for t in (q, k, v)]
    more: dict[str, Any] = {"enable_gqa": True} if size["G"] != size["H"] else {}
    if beside == "mask":
        more["attn_mask"] = mask

    if beside == "causal":
        more["is_causal"] = True

    def theirs() -> torch.Tensor:
        return F.scaled_dot_product_attention(heads[0], heads[1], heads[2], **more)

    out, right = ours().float(), theirs().transpose(1, 2).float()
    difference = float((out - right).abs().max() / right.abs().max().clamp(min=1e-30))
    mine, his = _alternate(ours, theirs, rounds)
    middle = statistics.median(mine)
    letters = [x for x in size if x in "BTHD" or x in given]
    return Row(
        spec,
        ",".join(f"{x}={size[x]}" for x in letters),
        beside,
        middle,
        statistics.median(his),
        statistics.median(b / a for a, b in zip(mine, his)),
        (max(mine) - min(mine)) / middle,
        difference,
    )


def _heed(
    spec: str, size: dict[str, int], dtype: torch.dtype, chance: torch.Generator
) -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """A call of heed, and its queries, keys and values. Strengths are in 0 to 1, log decays at most
    0.
    """
    known = ports(spec)
    rows = {"q": ("T", "H"), "k": ("S", "G"), "v": ("S", "G")}
    qkv = [
        torch.randn(size["B"], size[t], size[h], size["D"], generator=chance).to(dtype)
        for t, h in rows.values()
    ]
    module = _attention(spec, {"M": size["H"] * size["D"]} | size)
    scale = {"beta": 1.0, "gate": -1.0}
    more = {
        port: torch.rand(size["B"], size["T"], size["H"], generator=chance) * by
        for port, by in scale.items()
        if port in known and known[port].role == _op.INPUT
    }
    return lambda: module(*qkv, **more), qkv


def _attention(spec: str, size: dict[str, int]) -> Attention:
    axes: Any = {a: n for a, n in size.items() if a not in "BTS"}
    return Attention(spec, **axes).eval()


def _mask(spec: str, size: dict[str, int]) -> tuple[str, torch.Tensor | None]:
    """ "" (none), "causal", or "mask" and one of [T, S], by what comes out of values that are 1 for
    one key each: a mean of values shows which of them it has.
    """
    T, S = size["T"], size["S"]
    small = {**size, "B": 1, "H": 1, "G": 1, "M": size["D"]}
    try:
        module = _attention(spec, small)
        q, k = torch.zeros(1, T, 1, size["D"]), torch.zeros(1, S, 1, size["D"])
        seen = module(q, k, torch.eye(S).view(1, S, 1, S))[0, :, 0]
    except HeedError:
        seen = torch.empty(0)
    is_mean = seen.numel() and bool((seen >= 0).all() and ((seen.sum(1) - 1).abs() < 1e-3).all())
    causal = torch.ones(T, S, dtype=torch.bool).tril()
    if not is_mean:
        return ("causal", None) if "causal=true" in spec and T == S else ("", None)
    see = seen > 0
    if bool(see.all()):
        return "", None
    return ("causal", None) if T == S and torch.equal(see, causal) else ("mask", see)


def _alternate(
    a: Callable[[], object], b: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of a call of each, in each round: so that both have the same noise."""

    def once(call: Callable[[], object], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times

    times = [max(1, int(EACH / max(once(call, 1), 1e-7))) for call in (a, b)]
    both = [(once(a, times[0]), once(b, times[1])) for _ in range(max(rounds, 1))]
    return [x for x, _ in both], [y for _, y in both]


def _sizes(text: str) -> dict[str, int]:
    sizes = {}
    for part in text.split(","):
        letter, _, number = part.partition("=")
        if len(letter) != 1 or not letter.isupper() or not number.isdigit() or int(number) < 1:
            raise SystemExit(
                f'heed_attention.benchmark: --shape has "{part}"; letters and sizes are right, '
                "such as T=2048,H=8,D=64"
            )
        sizes[letter] = int(number)
    return sizes


def main(words: Sequence[str] | None = None) -> None:
    """The command `python -m heed_attention.benchmark`."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m heed_attention.benchmark",
        description="attentions of heed beside PyTorch's scaled_dot_product_attention",
    )
    parser.add_argument("spec", nargs="+", help="such as 'attention/softmax(causal=true)'")
    parser.add_argument("--shape", action="append", help="T=2048,H=8,D=64; may be given again")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--threads", type=int, help="as many as PyTorch takes if not given")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="a record in place of a table")
    parser.add_argument("--plot", metavar="FILE", help="a picture, by matplotlib: .png, .svg")
    options = parser.parse_args(words)
    if options.threads is not None:
        if options.threads < 1:
            parser.error(f"--threads is {options.threads}; 1 or more is right")
        torch.set_num_threads(options.threads)
    try:
        parts = [
            compare(
                *options.spec,
                rounds=options.rounds,
                dtype=getattr(torch, options.dtype),
                **_sizes(shape),
            )
            for shape in options.shape or ["T=2048"]
        ]
        told = Comparison(tuple(r for p in parts for r in p.rows), parts[0].threads, parts[0].torch)
        if options.plot:
            told.plot(options.plot)
    except (HeedError, ImportError, ValueError) as e:
        raise SystemExit(f"heed_attention.benchmark: {e}") from None
    print(told.json() if options.json else told)


if __name__ == "__main__":
    main(sys.argv[1:])
