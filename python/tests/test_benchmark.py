# SPDX-License-Identifier: MIT
"""heed beside PyTorch: that both are given the same masks, and what is told; not how fast it is."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

if importlib.util.find_spec("torch") is None:
    raise unittest.SkipTest("torch cannot be imported here")

import torch  # noqa: E402

import heed_attention as heed  # noqa: E402
from heed_attention import benchmark  # noqa: E402

SMALL = dict(T=40, H=2, D=16)


class Beside(unittest.TestCase):
    def test_masks(self):
        for spec, beside in (
            ("attention/softmax", ""),
            ("attention/softmax(causal=true)", "causal"),
            ("attention/softmax(causal=true, window=7, sinks=2)", "mask"),
            ("attention/softmax(window=3)", "mask"),
            ("attention/window(left=5)", "mask"),
        ):
            with self.subTest(spec):
                (row,) = benchmark.compare(spec, rounds=1, G=1, **SMALL).rows
                self.assertEqual(row.beside, beside)
                self.assertLess(row.difference, 1e-5)
                self.assertGreater(min(row.seconds, row.sdpa_seconds, row.ratio), 0)

    def test_others_are_beside_softmax(self):
        specs = ["attention/linear", "attention/gated_delta", "attention/shaw(causal=true)"]
        told = benchmark.compare(*specs, rounds=1, R=7, **SMALL)
        self.assertEqual([r.beside for r in told.rows][-1], "causal")
        lines = str(told).split("\n")
        self.assertEqual(len(lines), 5)
        self.assertIn(f"PyTorch {torch.__version__}", lines[-1])

    def test_the_program(self):
        words = [sys.executable, "-m", "heed_attention.benchmark", "attention/softmax"]
        words += ["--rounds", "1", "--threads", "1", "--dtype", "bfloat16"]
        done = subprocess.run(
            [*words, "--shape", "T=16,H=2", "--shape", "T=32,H=2", "--json"],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        record = json.loads(done.stdout)
        self.assertEqual(record["schema"], "heed.beside/1")
        self.assertEqual(
            [c["shape"] for c in record["cases"]], ["B=1,T=16,H=2,D=64", "B=1,T=32,H=2,D=64"]
        )
        done = subprocess.run([*words, "--shape", "T=x"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn('--shape has "T=x"', done.stderr)

    def test_picture(self):
        told = benchmark.compare("attention/softmax", rounds=1, **SMALL)
        record = heed.bench("norm/rms", shape="x=4,M=64", rounds=1, threads=1)
        if importlib.util.find_spec("matplotlib") is None:
            for one in (told, record):
                with self.assertRaisesRegex(ImportError, "pip install matplotlib"):
                    one.plot()
            return
        with tempfile.TemporaryDirectory() as folder:
            for one in (told, record):
                path = pathlib.Path(folder, "picture.svg")
                one.plot(path)
                self.assertIn("<svg", path.read_text())

    def test_refused(self):
        with self.assertRaisesRegex(heed.HeedError, 'nearest is "causal"'):
            benchmark.compare("attention/softmax(causl=true)", **SMALL)
        with self.assertRaisesRegex(ValueError, "G is 3, and must divide H, which is 2"):
            benchmark.compare("attention/softmax", G=3, **SMALL)
        with self.assertRaisesRegex(ValueError, "a spec is needed"):
            benchmark.compare()
        with self.assertRaisesRegex(TypeError, "no dtype torch.complex64"):
            benchmark.compare("attention/softmax", dtype=torch.complex64, **SMALL)


if __name__ == "__main__":
    unittest.main()
