# SPDX-License-Identifier: MIT
"""_command.py: the command `heed`, and what only it does: benchmarks, and the check of a plugin."""

from __future__ import annotations

import os
from collections.abc import Sequence as SequenceOf
from typing import Any

from . import _abi, _picture
from ._library import HERE, HeedError, library_path


def command() -> str:
    """The file of the command `heed`: the one of this package, else beside the library in use, else
    in PATH.
    """
    near = os.path.dirname(os.path.dirname(os.path.realpath(library_path)))
    for place in ((HERE, "bin", "heed"), (near, "bin", "heed"), (near, "heed")):
        file = os.path.join(*place)
        if os.access(file, os.X_OK) and os.path.isfile(file):
            return file
    import shutil  # here, as below: most programs do without, and importing takes a while

    found = shutil.which("heed")
    if found is None:
        raise FileNotFoundError("the command heed is not beside this package, nor in PATH")
    return found


def _told(words: list[str]) -> tuple[int, str]:
    import subprocess

    done = subprocess.run(
        [command(), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode and not done.stdout:
        raise HeedError(done.stderr.removeprefix("heed: ").strip())
    return done.returncode, done.stdout


class Record(dict[str, Any]):
    """A record of `heed bench --json`: print() shows its cases as a table, `plot` draws them."""

    def __str__(self) -> str:
        head = ["spec", "shape", "path", "threads", "ms", "GFLOP/s", "GB/s", "of peak", "spread"]
        return _picture.table(head, [_row(case) for case in self["cases"]])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """matplotlib's figure of the times, also as a file if `path` is given: its name says in
        which format. Raises ImportError without matplotlib.
        """
        cases = [c for c in self["cases"] if c.get("median_s")]
        labels = [f"{c['spec']}\n{c['shape']}, {c['path']}" for c in cases]
        times = {"heed": [c["median_s"] * 1e3 for c in cases]}
        machine = self.get("machine", {}).get("cpu", "")
        return _picture.bars(f"milliseconds a call, {machine}", labels, times, "ms", path)


def _row(case: dict[str, Any]) -> list[str]:
    def number(key: str, format_: str, by: float = 1) -> str:
        value = case.get(key)
        return "-" if value is None else format(value * by, format_)

    return [
        str(case["spec"]),
        str(case["shape"]),
        str(case["path"]),
        str(case["threads"]),
        number("median_s", ".4f", 1e3),
        number("gflops", ".1f"),
        number("gbps", ".1f"),
        number("fraction", ".0%"),
        number("spread", ".0%"),
    ]


def bench(
    *specs: str,
    shape: str | SequenceOf[str] | None = None,
    isa: str | None = None,
    threads: int | None = None,
    rounds: int = 7,
) -> Record:
    """Measures ops beside the peaks of this machine, in a process of its own: the record that `heed
    bench --json` writes, a dict, which print() shows as a table and whose `plot` draws it.

    shape is as of the command, "B=1,H=8,T=2048,D=64", or a list of such. docs/benchmark.md tells
    how it is measured; `heed_attention.benchmark` sets ops beside PyTorch's. Raises HeedError.
    """
    words = ["bench", *specs, "--rounds", str(rounds), "--json", "-"]
    shapes = [shape] if isinstance(shape, str) else shape or []
    given = [("--shape", s) for s in shapes] + [("--isa", isa), ("--threads", threads)]
    for name, value in given:
        if value is not None:
            words += [name, str(value)]
    import json

    return Record(json.loads(_told(words)[1]))


def check(
    plugin: str | os.PathLike[str],
    *,
    oracle: str | os.PathLike[str] | None = None,
    cases: int | None = None,
) -> Any:
    """Whether a plugin keeps its contract: the report of `heed check PLUGIN --json`, whose findings
    are commands that repeat them.

    A plugin that crashes does so in a process of its own. Raises HeedError if it cannot be checked
    at all.
    """
    words = ["check", os.fspath(plugin), "--json"]
    if oracle is not None:
        words += ["--oracle", os.fspath(oracle)]
    if cases is not None:
        words += ["--cases", str(cases)]
    import json

    code, report = _told(words)
    try:
        return json.loads(report)
    except ValueError:
        raise HeedError(f"heed check ended with {code} and no report", _abi.HEED_E_SYSTEM) from None
