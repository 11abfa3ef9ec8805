# SPDX-License-Identifier: MIT
"""heed.py: libheed by the package of python/, and the command for what only it knows: peaks, costs, the machine."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from cases import aligned, decode


class Refused(Exception):
    """heed's sentence."""


WEIGHTS = ("gain", "bias", "weight")


def typed(array):
    """As heed has it: the bits of bf16 lie in uint16 here."""
    return array.view("V2") if array.dtype == np.uint16 else array


class Heed:
    def __init__(self, build, threads):
        build = pathlib.Path(build).resolve()
        self.threads, self.command = threads, str(build / "heed")
        self.plugins = os.environ.get("HEED_PLUGINS", str(build / "plugins/.libs"))
        os.environ["HEED_LIBRARY"] = str(build / "engine/.libs/libheed.so")
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
        try:
            import heed_attention
        except ImportError as e:
            raise Refused(f"{build}: no built heed is here: {e}") from e
        self.package = heed_attention
        try:  # without pinning: the peers pin nothing either
            self.engine = heed_attention.Engine(threads, plugins=self.plugins)
        except heed_attention.HeedError as e:
            raise Refused(str(e)) from e

    def contender(self, case):
        """(path, run, result) for a case."""
        weights = {n: typed(a) for n, a in case.data.items() if n in WEIGHTS}
        given = {n: typed(a) for n, a in case.data.items() if n not in WEIGHTS}
        inputs = {n: a[:, -case.size("T"):] for n, a in given.items()} if case.decode else given
        first = case.data["v"] if case.rule else next(a for n, a in case.data.items() if n in given)
        shape = first.shape[:-1] + (case.size("N"),) if "weight" in weights else first.shape
        if case.rule:
            shape = (case.size("B"), case.size("T"), case.size("H"), case.size("E"))
        output = aligned(np.zeros(shape, first.dtype))
        try:
            op = self.package.Op(case.spec, weights=weights, engine=self.engine)
            sequence = self.fed(op, case, given) if case.decode else None
            call = op.bind(out=typed(output), sequences=[sequence] if sequence is not None else None, **inputs)

            def run():
                call()
                if sequence is not None:
                    sequence.truncate(case.decode)

            run()
        except self.package.HeedError as e:
            raise Refused(str(e).split("\n")[0]) from e
        return op.path, run, lambda: decode(output)

    def fed(self, op, case, given):
        """A sequence that has read all tokens but those that are timed."""
        sequence = op.sequence(**{axis: case.size(axis) for axis in "HGDE"})
        before = {n: np.ascontiguousarray(a[:, :case.decode]) for n, a in given.items()}
        shape = (case.size("B"), before["q"].shape[1], case.size("H"), case.size("E"))
        op(out=np.zeros(shape, np.float32), sequences=[sequence], **before)
        return sequence

    def explain(self, case):
        """What this machine can do at this moment, and what the case costs: the record of heed bench --explain."""
        words = [self.command, "bench", case.spec, "--shape", case.shape, "--dtype", case.dtype, "--explain",
                 "--rounds", "1", "--threads", str(self.threads), "--pin", "none", "--json", "-"]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HEED_PLUGINS": self.plugins})
        if done.returncode:
            raise Refused(done.stderr.removeprefix("heed: ").split("\n")[0])
        return json.loads(done.stdout)
