# SPDX-License-Identifier: MIT
"""What ops there are, and networks: as the command tells and computes them."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np

import heed_attention as heed

TOP = pathlib.Path(__file__).resolve().parents[2]
MODELS = pathlib.Path(os.environ.get("HEED_MODELS", TOP / "models"))


def command(*words):
    return subprocess.run([heed.command(), *words], capture_output=True, check=True).stdout


class Tables(unittest.TestCase):
    def test_list(self):
        theirs = json.loads(command("list", "--json"))
        ours = heed.list()
        self.assertEqual([o.id for o in ours], [o["id"] for o in theirs])
        for o, t in zip(ours, theirs):
            self.assertEqual(
                (o.path, [*o.paths], o.summary), (t["chosen"], t["paths"], t["summary"])
            )

    def test_describe(self):
        for op in heed.list():
            told, theirs = heed.describe(op.id), json.loads(command("describe", op.id, "--json"))
            self.assertEqual([p.key for p in told.params], [p["key"] for p in theirs["params"]])
            self.assertIn(op.summary, str(told))
        softmax = heed.describe("attention/softmax(causal=true)")
        self.assertEqual(softmax, heed.describe(heed.Op("attention/softmax")))
        self.assertEqual([p.name for p in softmax.ports][:3], ["q", "k", "v"])
        self.assertEqual(softmax.ports[0].axes, "B T H D")
        self.assertTrue(softmax.remembers)
        self.assertIn("causal", softmax.masks)
        with self.assertRaisesRegex(heed.HeedError, "attention/softmacks"):
            heed.describe("attention/softmacks")

    def test_commands(self):
        record = heed.bench("norm/rms", shape="x=4,M=64", rounds=1, threads=1)
        self.assertEqual(record["cases"][0]["spec"], "norm/rms")
        with self.assertRaisesRegex(heed.HeedError, "norm/rmz"):
            heed.bench("norm/rmz", shape="x=4,M=64", rounds=1)
        plugin = next(o.plugin for o in heed.list() if o.id == "residual/add")
        report = heed.check(plugin, cases=2)
        self.assertIn("residual/add", json.dumps(report))
        with self.assertRaises(heed.HeedError):
            heed.check("/nowhere/x.so")
        done = subprocess.run(
            [sys.executable, "-m", "heed_attention", "--version"], capture_output=True, text=True
        )
        self.assertEqual(done.stdout.encode(), command("--version"))


@unittest.skipUnless((MODELS / "plays.safetensors").exists(), "the model is not here")
class Networks(unittest.TestCase):
    def setUp(self):
        self.model = MODELS / "plays.safetensors"
        self.net = heed.Stack(self.model)

    def test_generate_as_the_command(self):
        words = ["generate", str(self.model), "--prompt", "ROMEO:", "--tokens", "40", "--seed", "3"]
        theirs = command(*words)
        seen = []
        ours = self.net.generate("ROMEO:", 40, seed=3, on_token=seen.append)
        self.assertEqual(b"ROMEO:" + ours, theirs)
        self.assertEqual(bytes(seen), ours)
        context = self.net.number("context")
        long = command("generate", str(self.model), "--prompt", "A", "--tokens", str(context + 20))
        self.assertEqual(b"A" + self.net.generate(b"A", context + 20), long)

    def test_score_as_the_command(self):
        text = MODELS / "sample.txt"
        theirs = json.loads(command("score", str(self.model), str(text), "--json"))["bits_per_byte"]
        parts = []
        ours = self.net.score(text, progress=lambda done, of: parts.append((done, of)))
        self.assertAlmostEqual(ours, theirs, 12)
        self.assertEqual(parts[-1], (text.stat().st_size,) * 2)
        self.assertEqual(self.net.score(text.read_bytes()), ours)

    def test_session(self):
        session = self.net.session()
        text = list(b"To be, or not")
        bos = self.net.number("bos")
        whole = session.feed([bos, *text], rows=3)
        other = self.net.session()
        other.feed([bos, *text[:5]], rows=0)
        saved = other.save()
        last = other.feed(text[5:])
        np.testing.assert_array_equal(last[0], whole[2])
        third = self.net.session()
        third.load(saved)
        np.testing.assert_array_equal(third.feed(text[5:])[0], whole[2])
        self.assertEqual(session.sample(whole[2]), int(whole[2].argmax()))
        session.reset()
        np.testing.assert_array_equal(session.feed([bos, *text], rows=3), whole)

    def test_random_network(self):
        spec = (
            "width=16; layers=1; heads=2; attention=softmax(causal=true); norm=rms; vocab=256; "
            "feedforward=swiglu(hidden=32)"
        )
        weights = heed.Weights.random(spec, 7)
        net = heed.Stack(weights, spec)
        self.assertEqual(len(net.generate(b"a", 5)), 5)
        self.assertEqual(net.number("width"), 16)
        spec += "; output=hidden"
        hidden = heed.Stack(heed.Weights.random(spec, 7), spec)
        self.assertEqual(hidden.session().feed([1, 2, 3], rows=2).shape, (2, 16))
        with self.assertRaisesRegex(heed.HeedError, "no language model: it gives 16 numbers"):
            hidden.generate(b"a", 5)
        with self.assertRaises(heed.HeedError):
            net.session().encode([1, 2])

    def test_refused(self):
        with self.assertRaisesRegex(heed.HeedError, "nowhere"):
            heed.Stack("/nowhere.safetensors")
        with self.assertRaises(heed.HeedError) as caught:
            heed.Stack(self.model, "width=x")
        self.assertIn("^", str(caught.exception))
        session = self.net.session()
        with self.assertRaisesRegex(heed.HeedError, "context"):
            session.feed([1] * (self.net.number("context") + 1))
        for bad, kind in (
            ([-1], heed.HeedError),
            ([1.5], TypeError),
            ([[1]], TypeError),
            ([10**6], heed.HeedError),
        ):
            with self.assertRaises(kind):
                session.feed(bad)
        with self.assertRaises(heed.HeedError):
            session.load(b"x")
        with self.assertRaises(heed.HeedError):
            session.sample(np.zeros(3, np.float32))
        with self.assertRaises(ZeroDivisionError):
            self.net.generate("a", 3, on_token=lambda token: 1 / 0)


if __name__ == "__main__":
    unittest.main()
