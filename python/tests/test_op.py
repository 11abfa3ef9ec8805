# SPDX-License-Identifier: MIT
"""One op from NumPy: numbers, no copies, sequences, threads, fork, and what is refused."""

import multiprocessing
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import numpy as np

import heed_attention as heed
from heed_attention._tensor import view

SPEC = "attention/softmax(causal=true)"


def arrays(B=2, T=7, H=4, G=4, D=16, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "q": rng.standard_normal((B, T, H, D), dtype=np.float32),
        "k": rng.standard_normal((B, T, G, D), dtype=np.float32),
        "v": rng.standard_normal((B, T, G, D), dtype=np.float32),
    }


def formula(q, k, v):
    """Causal softmax attention in float64, and its log-sum-exp."""
    T = q.shape[1]
    s = np.einsum("bthd,bshd->bhts", q.astype(np.float64), k) / np.sqrt(q.shape[-1])
    s += np.where(np.tri(T), 0, -np.inf)
    e = np.exp(s)
    return (
        np.einsum("bhts,bshd->bthd", e / e.sum(-1, keepdims=True), v),
        np.log(e.sum(-1)).transpose(0, 2, 1),
    )


class Calls(unittest.TestCase):
    def test_formula(self):
        given = arrays()
        out, lse = heed.run(SPEC, want=("out", "lse"), **given)
        expected_out, expected_lse = formula(**given)
        np.testing.assert_allclose(out, expected_out, atol=2e-6)
        np.testing.assert_allclose(lse, expected_lse, atol=2e-6)
        self.assertEqual(out.dtype, np.float32)
        np.testing.assert_array_equal(heed.run(SPEC, **given), out)

    def test_no_copy(self):
        a = np.zeros((3, 4, 5), np.float32)
        seen = view("x", a[::2, 1:, ::2])
        self.assertEqual(seen.data, a[::2, 1:, ::2].__array_interface__["data"][0])
        self.assertEqual(seen.stride[:3], [40, 5, 2])
        self.assertEqual(seen.bytes, 4 * (40 + 2 * 5 + 2 * 2 + 1))
        out = np.empty((2, 7, 4, 16), np.float32)
        self.assertIs(heed.run(SPEC, out=out, **arrays()), out)

    def test_any_strides_have_the_same_bits(self):
        given = arrays()
        plain = heed.run(SPEC, **given)
        turned = {p: np.asfortranarray(a) for p, a in given.items()}
        wide = {p: np.repeat(a, 2, 3)[..., ::2] for p, a in given.items()}
        for other in (turned, wide):
            np.testing.assert_array_equal(heed.run(SPEC, **other), plain)
        out = np.empty((7, 2, 16, 4), np.float32).transpose(1, 0, 3, 2)
        np.testing.assert_array_equal(heed.run(SPEC, out=out, **given), plain)
        repeated = np.broadcast_to(given["q"][:1], given["q"].shape)
        np.testing.assert_array_equal(
            heed.run(SPEC, **{**given, "q": repeated}),
            heed.run(SPEC, **{**given, "q": repeated.copy()}),
        )

    def test_read_only_and_maps(self):
        given = arrays()
        plain = heed.run(SPEC, **given)
        for a in given.values():
            a.flags.writeable = False
        np.testing.assert_array_equal(heed.run(SPEC, **given), plain)
        with tempfile.TemporaryDirectory() as folder:
            for p, a in given.items():
                np.save(f"{folder}/{p}.npy", a)
            mapped = {p: np.load(f"{folder}/{p}.npy", mmap_mode="r") for p in given}
            np.testing.assert_array_equal(heed.run(SPEC, **mapped), plain)

    def test_buffers_and_dlpack(self):
        class Foreign:  # what another library's tensor shows
            def __init__(self, array, device=1):
                self.array, self.device = array, device

            def __dlpack__(self, **_):
                return self.array.__dlpack__()

            def __dlpack_device__(self):
                return self.device, 0

        given = arrays()
        plain = heed.run(SPEC, **given)
        foreign = {p: Foreign(a) for p, a in given.items()}
        np.testing.assert_array_equal(heed.Op(SPEC)(**foreign), plain)
        buffers = {p: memoryview(a) for p, a in given.items()}
        np.testing.assert_array_equal(heed.Op(SPEC)(**buffers), plain)
        with self.assertRaisesRegex(TypeError, "k: the tensor is on DLPack's device type 2"):
            heed.run(SPEC, **{**given, "k": Foreign(given["k"], 2)})
        with self.assertRaisesRegex(TypeError, "negative"):
            heed.run(SPEC, **{**given, "k": Foreign(given["k"][::-1])})

    def test_half(self):
        given = arrays()
        halves = {p: a.astype(np.float16) for p, a in given.items()}
        out = heed.run(SPEC, **halves)
        self.assertEqual(out.dtype, np.float32)
        exact = heed.run(SPEC, **{p: a.astype(np.float32) for p, a in halves.items()})
        np.testing.assert_array_equal(out, exact)
        self.assertEqual(heed.run(SPEC, out=out.astype(np.float16), **halves).dtype, np.float16)

    def test_weights(self):
        x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
        gain = np.linspace(1, 2, 8, dtype=np.float32)
        out = heed.run("norm/rms(eps=0)", x=x, gain=gain)
        np.testing.assert_allclose(
            out, x / np.sqrt((x**2).mean(-1, keepdims=True)) * gain, rtol=1e-5
        )
        np.testing.assert_array_equal(heed.Op("norm/rms(eps=0)", weights={"gain": gain})(x=x), out)
        inner = np.ones((32, 4), np.float32)
        given = arrays()
        biased = heed.run(
            "attention/softmax(causal=true, position=t5)", **given, **{"position.table": inner}
        )
        np.testing.assert_allclose(biased, heed.run(SPEC, **given), atol=1e-6)
        heed.run("attention/softmax(causal=true, position=alibi)", **given)  # knows H from q

    def test_a_call_again_with_other_arrays(self):
        op = heed.Op(SPEC)
        for seed in range(4):
            given = arrays(seed=seed)
            out, lse = op(want=("out", "lse"), **given)
            np.testing.assert_allclose(out, formula(**given)[0], atol=2e-6)
            np.testing.assert_allclose(lse, formula(**given)[1], atol=2e-6)
            mine = np.empty_like(out)
            both = op(want=("out", "lse"), out=mine, **given)
            self.assertIs(both[0], mine)
            np.testing.assert_array_equal(mine, out)

    def test_bound(self):
        given = arrays()
        call = heed.Op(SPEC).bind(**given)
        first = call().copy()
        given["q"] *= 2
        self.assertIs(call(), call.result)
        np.testing.assert_array_equal(call.result, heed.run(SPEC, **given))
        self.assertFalse(np.array_equal(first, call.result))

    def test_infer_and_estimate(self):
        op = heed.Op("attention/softmax(window=2, causal=true)")
        self.assertEqual(op.infer(**arrays()), ((2, 7, 4, 16), "f32"))
        self.assertEqual(op.spec, "attention/softmax(causal=true, window=2)")
        self.assertIn(op.path, ("scalar", "avx2", "avx512", "neon"))
        self.assertGreater(op.estimate(**arrays())["flops"], 0)

    def test_same_bits_as_the_command(self):
        given = arrays(B=1, T=70)
        with tempfile.TemporaryDirectory() as folder:
            words = ["run", SPEC, "-o", f"out={folder}/out.npy"]
            for p, a in given.items():
                np.save(f"{folder}/{p}.npy", a)
                words += ["-i", f"{p}={folder}/{p}.npy"]
            subprocess.run([heed.command(), *words], check=True)
            theirs = np.load(f"{folder}/out.npy")
        for threads in (1, 2):
            op = heed.Op(SPEC, engine=heed.Engine(threads))
            np.testing.assert_array_equal(op(**given), theirs)
        np.testing.assert_array_equal(heed.Op(SPEC, isa="scalar")(**given), theirs)


class Sequences(unittest.TestCase):
    def setUp(self):
        self.op, self.given = heed.Op(SPEC), arrays(B=1, G=2)
        self.whole = self.op(**self.given)

    def part(self, s, a, b):
        return self.op(sequences=[s], **{p: x[:, a:b] for p, x in self.given.items()})

    def test_one_token_at_a_time(self):
        s = self.op.sequence(H=4, G=2, D=16)
        out = np.concatenate([self.part(s, i, i + 1) for i in range(7)], 1)
        np.testing.assert_array_equal(out, self.whole)
        self.assertEqual(len(s), 7)
        self.assertGreater(s.nbytes, 0)

    def test_fork_truncate_save(self):
        s = self.op.sequence(H=4, G=2, D=16)
        self.part(s, 0, 5)
        fork = s.fork()
        fork.truncate(3)
        self.assertEqual((len(s), len(fork)), (5, 3))
        np.testing.assert_array_equal(self.part(fork, 3, 7), self.whole[:, 3:])
        loaded = self.op.load(s.save(), H=4, G=2, D=16)
        np.testing.assert_array_equal(self.part(loaded, 5, 7), self.whole[:, 5:])
        for bad in (b"", b"x" * 100, s.save()[:-1]):
            with self.assertRaises(heed.HeedError):
                self.op.load(bad, H=4, G=2, D=16)

    def test_refused(self):
        s = self.op.sequence(H=4, G=2, D=16)
        with self.assertRaisesRegex(heed.HeedError, "in another call, or twice"):
            self.op(sequences=[s, s], **arrays(G=2))
        with self.assertRaisesRegex(heed.HeedError, "1 sequences for a batch of 2"):
            self.op(sequences=[s], **arrays(G=2))
        with self.assertRaisesRegex(heed.HeedError, "other sizes"):
            self.op(sequences=[s], **arrays(B=1, G=2, D=8))
        with self.assertRaisesRegex(heed.HeedError, "was made for attention/softmax"):
            heed.Op("attention/window(left=3)")(sequences=[s], **self.given)
        with self.assertRaisesRegex(ValueError, '"heads" is no axis'):
            self.op.sequence(heads=4)
        self.assertEqual(len(s), 0)
        s.free()
        for use in (
            len,
            heed.Sequence.save,
            heed.Sequence.fork,
            lambda s: self.part(s, 0, 1),
            heed.Sequence.free,
        ):
            with self.assertRaisesRegex(heed.HeedError, "the sequence was freed"):
                use(s)


class Refused(unittest.TestCase):
    def test_the_caret_survives(self):
        with self.assertRaises(heed.HeedError) as caught:
            heed.Op("attention/softmax(causl=true)")
        lines = str(caught.exception).split("\n")
        self.assertIn('nearest is "causal"', lines[0])
        self.assertEqual(lines[2].index("^"), lines[1].index("causl"))
        self.assertEqual(caught.exception.kind, "argument")
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((str(again), again.code), (str(caught.exception), caught.exception.code))

    def test_arrays(self):
        given = arrays()
        q = given["q"]
        read_only = np.empty_like(q)
        read_only.flags.writeable = False
        for port, bad, kind, said in (
            ("q", [1.0], TypeError, "q: list is no array"),
            ("q", q[::-1], TypeError, "q: a stride is -1792 bytes"),
            ("q", q.astype(">f4"), TypeError, "q: heed has no dtype >f4"),
            ("q", q.astype(np.complex64), TypeError, "q: heed has no dtype <c8"),
            ("q", q.astype(np.float64), heed.HeedError, "port q: dtype f64 is not taken here"),
            ("q", q[..., 0], heed.HeedError, "port q"),
            ("k", given["k"][..., :8], heed.HeedError, "axis D"),
            ("nothing", q, heed.HeedError, 'no input named "nothing"'),
            ("out", read_only, TypeError, "out: the array is read-only"),
            ("out", np.empty((2, 7, 4, 8), np.float32), heed.HeedError, "port out"),
            ("q", np.zeros((1,) * 9, np.float32), TypeError, "q: the array has 9 axes"),
        ):
            with self.subTest(port=port, said=said), self.assertRaisesRegex(kind, said):
                heed.run(SPEC, **{**given, port: bad})
        with self.assertRaisesRegex(heed.HeedError, 'no output named "sum"'):
            heed.run(SPEC, want=["sum"], **given)
        del given["v"]
        with self.assertRaisesRegex(heed.HeedError, "v"):
            heed.run(SPEC, **given)

    def test_engines(self):
        with self.assertRaisesRegex(ValueError, "pinning"):
            heed.Engine(pinning="tight")
        with self.assertRaisesRegex(ValueError, "threads is -1"):
            heed.Engine(-1)
        with self.assertRaisesRegex(heed.HeedError, "isa|path"):
            heed.Engine(isa="mmx")

    def test_refused_plugins_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            plugin = pathlib.Path(folder) / "attention_mine.so"
            plugin.write_bytes(b"no plugin")
            with self.assertRaisesRegex(
                heed.HeedError, "1 plugins were refused.*attention_mine.so.*no ELF"
            ):
                heed.list(engine=heed.Engine(plugins=folder))
            plugin.chmod(0o666)
            engine = heed.Engine(plugins=folder)
            self.assertRegex(engine.refusals[str(plugin)], "mode 0666")
            plugin.chmod(0o600)
            pathlib.Path(folder).chmod(0o777)
            with self.assertRaisesRegex(heed.HeedError, "no op is there.*mode 0777"):
                heed.list(engine=heed.Engine(plugins=folder))
            with self.assertRaisesRegex(heed.HeedError, "refused.*mode 0777"):
                heed.Op("attention/mine", engine=heed.Engine(plugins=folder))


def _in_a_process(given):
    return heed.run(SPEC, **given)


class Processes(unittest.TestCase):
    def test_threads(self):
        op, given = heed.Op(SPEC), arrays(B=1, T=200)
        expected, wrong = op(**given), []

        def work():
            for _ in range(30):
                if not np.array_equal(op(**given), expected):
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_fork_after_use(self):
        given = arrays(B=1, T=300)
        expected = heed.run(SPEC, **given)
        child = os.fork()
        if child == 0:
            same = np.array_equal(heed.run(SPEC, **given), expected)
            same &= np.array_equal(heed.Op(SPEC, engine=heed.Engine(2))(**given), expected)
            os._exit(0 if same else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_multiprocessing_after_use(self):
        given = arrays(B=1, T=300)
        op = heed.Op(SPEC, engine=heed.Engine(2))
        expected, s = op(**given), op.sequence(G=4, D=16)
        op(sequences=[s], **given)
        for way in ("fork", "spawn"):
            with self.subTest(way), multiprocessing.get_context(way).Pool(2) as pool:
                for out in pool.map(_in_a_process, [given] * 4):
                    np.testing.assert_array_equal(out, expected)
        self.assertEqual(len(s), 300)  # and the parent goes on
        np.testing.assert_array_equal(op(**given), expected)

    def test_two_engines(self):
        given = arrays()
        one, two = heed.Engine(1), heed.Engine(2, isa="scalar")
        np.testing.assert_array_equal(
            heed.Op(SPEC, engine=one)(**given), heed.Op(SPEC, engine=two)(**given)
        )
        self.assertEqual((one.threads, two.threads), (1, 2))
        heed.use(two)
        self.assertEqual(heed.Op(SPEC).path, "scalar")
        heed.use(None)

    def test_end_of_the_interpreter(self):
        code = (
            "import numpy as np, heed_attention as heed\n"
            "x = np.ones((1, 300, 4, 16), np.float32)\n"
            f"op = heed.Op({SPEC!r}); s = op.sequence(G=4, D=16)\n"
            "op(q=x, k=x, v=x, sequences=[s])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_missing_library(self):
        env = {**os.environ, "HEED_LIBRARY": "/nowhere/libheed.so.0"}
        code = "import heed_attention"
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        if (
            "lib/libheed" in heed._library.library_path
            and "site-packages" in heed._library.library_path
        ):
            self.skipTest("the package has its own library")
        self.assertIn("ImportError: heed_attention: libheed cannot be loaded", done.stderr)

    def test_an_older_c_library(self):
        said = OSError("/x/libheed.so.0: version `GLIBC_2.99' not found")
        refused = self.assertRaisesRegex(ImportError, "GLIBC_2.99.*the C library here is glibc 2")
        with mock.patch.object(heed._library.c, "CDLL", side_effect=said), refused:
            heed._library._open()


if __name__ == "__main__":
    unittest.main()
