# SPDX-License-Identifier: MIT
"""_command.py: the command `heed`, and what only it does: benchmarks, and the check of a plugin."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from . import _abi
from ._library import HERE, HeedError, library_path


def command() -> str:
    """The file of the command `heed`: the one of this package, else beside the library in use, else
    in PATH.
    """
    near = pathlib.Path(library_path).resolve().parent
    for file in (HERE / "bin" / "heed", near.parent / "bin" / "heed", near.parent / "heed"):
        if os.access(file, os.X_OK) and file.is_file():
            return str(file)
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


def bench(
    *specs: str,
    shape: str | None = None,
    isa: str | None = None,
    threads: int | None = None,
    rounds: int = 7,
) -> Any:
    """Measures ops beside the peaks of this machine, in a process of its own; the record as `heed
    bench --json` writes it.

    shape is as of the command, "B=1,H=8,T=2048,D=64". docs/benchmark.md tells how it is measured.
    Raises HeedError.
    """
    words = ["bench", *specs, "--rounds", str(rounds), "--json", "-"]
    for name, value in (("--shape", shape), ("--isa", isa), ("--threads", threads)):
        if value is not None:
            words += [name, str(value)]
    import json

    return json.loads(_told(words)[1])


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
