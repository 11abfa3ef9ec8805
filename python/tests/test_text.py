# SPDX-License-Identifier: MIT
"""Checkpoints by their folders: texts, numbers of tokens and vectors, as the command has them."""

import functools
import json
import pathlib
import tempfile
import unittest

import numpy as np

import heed_attention as heed
from heed_attention._text import Stops

from .test_docs import MODELS, has_text
from .test_tables import command

CHECKPOINTS, PLAYS = MODELS / "checkpoints", MODELS / "plays.safetensors"


def _note(seen, done, of):
    seen.append((done, of))


class Ends(unittest.TestCase):
    def test_what_may_be_the_beginning_of_a_stop_waits(self):
        for text, words in (
            ("the king and the end", ["the e"]),
            ("aaab", ["aab"]),
            ("xyz", ["y", "yz"]),
        ):
            for n in (1, 2, 3, 50):
                stops, said = Stops(words), b""
                for at in range(0, len(text), n):
                    if not stops.ended:
                        said += stops.put(text[at : at + n].encode())
                if not stops.ended:
                    said += stops.put(b"", all_=True)
                first = min(text.find(w) for w in words if w in text)
                self.assertEqual(said, text[:first].encode(), (text, words, n))
        stops = Stops(["never"])
        self.assertEqual(stops.put(b"ne") + stops.put(b"ver", all_=True), b"")
        self.assertTrue(stops.ended)


@unittest.skipUnless(CHECKPOINTS.exists(), "the checkpoints are not here")
class Numbers(unittest.TestCase):
    def test_generate_and_score_as_the_command(self):
        ids = np.load(CHECKPOINTS / "ids.npy")
        for name in ("gpt2", "qwen3", "gemma2", "t5"):
            with self.subTest(name):
                folder = CHECKPOINTS / name
                net, given = heed.Stack(folder), ["--ids", CHECKPOINTS / "ids.npy"]
                settings = ["--tokens", "9", "--top-k", "9", "--repetition-penalty", "1.3"]
                theirs = command("generate", folder, *given, *settings).split()
                seen = []
                made = net.generate(ids, 9, top_k=9, repetition_penalty=1.3, on_token=seen.append)
                before = [0] if name == "t5" else ids  # it begins with a token of its own
                self.assertEqual([*before, *made], [int(i) for i in theirs])
                self.assertEqual(seen, made)
                if name == "t5":
                    continue
                told = json.loads(command("score", folder, *given, "--json"))
                self.assertAlmostEqual(net.score(ids), told["bits_per_token"], 12)

    def test_refused(self):
        net = heed.Stack(CHECKPOINTS / "gpt2")
        with self.assertRaisesRegex(heed.HeedError, "no tokenizer.json: numbers of tokens"):
            net.generate("a text")
        with self.assertRaisesRegex(heed.HeedError, "1 tokens: the first is given"):
            net.score([3])
        with self.assertRaisesRegex(ValueError, "the prompt is numbers"):
            net.generate([3], stop="a")
        with self.assertRaisesRegex(heed.HeedError, "so a prompt is needed"):
            net.generate([])
        with self.assertRaisesRegex(heed.HeedError, "gpt2 is no encoder"):
            net.embed("a text")
        with self.assertRaisesRegex(heed.HeedError, "no language model: it gives 16 numbers"):
            heed.Stack(CHECKPOINTS / "bert").generate([3])
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "config.json").write_text('{"model_type": "mamba"}')
            with self.assertRaisesRegex(heed.HeedError, 'model_type is "mamba", which is not read'):
                heed.Stack(folder)


@unittest.skipUnless(CHECKPOINTS.exists() and has_text(), "no checkpoints, or built without PCRE2")
class Texts(unittest.TestCase):
    def setUp(self):
        self.folder = CHECKPOINTS / "llama"
        self.net = heed.Stack(self.folder)

    def test_tokenizer(self):
        t = self.net.tokenizer
        text = "the king and all the rest"
        ids = t.encode(text)
        self.assertEqual(ids.dtype, np.int32)
        self.assertEqual(t.decode(ids), text)
        np.testing.assert_array_equal(t.encode(text.encode()), ids)
        pieces = [t.put(ids[i : i + 1], begins=i == 0) for i in range(len(ids))]
        self.assertEqual("".join(pieces) + t.put([], ends=True), text)
        self.assertEqual(t.encode("", special=False).size, 0)
        self.assertEqual(t.decode([]), "")
        self.assertEqual(t.encode(text, most=4).size, 4)
        with self.assertRaisesRegex(heed.HeedError, "byte 1 is 0xFF, which is no UTF-8"):
            t.encode(b"a\xff")
        with self.assertRaisesRegex(heed.HeedError, "tokenizer.json"):
            heed.Tokenizer("/nowhere")

    def test_generate_as_the_command(self):
        for words, more in (
            ([], {}),
            (["--temperature", "0"], dict(temperature=0)),
            (["--top-p", "0.7", "--min-p", "0.05"], dict(top_p=0.7, min_p=0.05)),
            (["--ignore-eos", "--seed", "7"], dict(ignore_eos=True, seed=7)),
        ):
            with self.subTest(words):
                given = ["--prompt", "The king", "--tokens", "50", *words]
                theirs = command("generate", self.folder, *given).decode()
                pieces, tokens = [], []
                made = self.net.generate(
                    "The king", 50, on_text=pieces.append, on_token=tokens.append, **more
                )
                self.assertEqual("The king" + made, theirs)
                self.assertEqual("".join(pieces), made)
                self.assertLessEqual(len(tokens), 50)
                word = made[4:7]
                stopped = self.net.generate("The king", 50, stop=word, **more)
                self.assertEqual(stopped, made[: made.index(word)])

    def test_chat_as_the_command(self):
        form = json.loads((MODELS / "tokenizers" / "chat.json").read_text())[0]
        with tempfile.TemporaryDirectory() as folder:
            for file in self.folder.iterdir():
                pathlib.Path(folder, file.name).symlink_to(file.resolve())
            config = pathlib.Path(folder, "tokenizer_config.json")
            config.write_text(json.dumps({"chat_template": form["template"]}))
            net = heed.Stack(folder)
            self.assertEqual(net.tokenizer.chat(" Who\nis it? "), form["text"])
            given = ["--prompt", "Who is it?", "--system", "Be brief.", "--temperature", "0"]
            theirs = command("generate", folder, "--chat", *given, "--tokens", "20").decode()
            ours = net.generate("Who is it?", 20, chat=True, system="Be brief.", temperature=0)
            self.assertEqual(ours, theirs)
            self.assertTrue(ours)
            config.write_text(json.dumps({"chat_template": "{{ messages }}"}))
            with self.assertRaisesRegex(heed.HeedError, "none of the known forms: chatml, qwen2"):
                net.generate("Who is it?", chat=True)
        with self.assertRaisesRegex(heed.HeedError, "there is no chat_template"):
            self.net.generate("Who is it?", chat=True)
        with self.assertRaisesRegex(heed.HeedError, "tokens of this network are bytes"):
            heed.Stack(PLAYS).generate("Who is it?", chat=True)
        with self.assertRaisesRegex(ValueError, "system needs chat"):
            self.net.generate("Who is it?", system="x")

    def test_choices(self):
        lines = [
            dict(prompt="The king", choices=[" and the moon", "", " of all"][::2], answer=1),
            dict(prompt="", choices=["moon", "the king"], answer=0),
        ]
        for net, model in ((self.net, self.folder), (heed.Stack(PLAYS), PLAYS)):
            begin = net.number("bos") if net.bytes else net._numbers("heed.begin")[0]

            def ids(text, net=net, begin=begin):
                tokens = list(text.encode()) if net.bytes else net._encode(text, special=False)
                return np.array([begin, *tokens])

            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "choices.jsonl")
                path.write_text("\n".join(map(json.dumps, lines)))
                told = json.loads(command("score", model, "--choices", path, "--json"))
            right = 0
            for line, found in zip(lines, told["lines"]):
                sums = []
                for text in line["choices"]:
                    all_, n = ids(line["prompt"] + text), len(ids(line["prompt"]))
                    rows = net.session().feed(all_[:-1], rows=len(all_) - n).astype(np.float64)
                    most = rows.max(1, keepdims=True)
                    p = rows - most - np.log(np.exp(rows - most).sum(1, keepdims=True))
                    sums.append(p[np.arange(len(p)), all_[n:]].sum())
                np.testing.assert_allclose(found["log_likelihoods"], sums, rtol=1e-5)
                self.assertEqual(found["best"], int(np.argmax(sums)))
                right += found["best"] == line["answer"]
            self.assertEqual((told["answered"], told["accuracy"]), (2, right / 2))

    def test_score_as_the_command(self):
        text = MODELS / "sample.txt"
        told = json.loads(command("score", self.folder, text, "--json"))
        parts = []
        bits = self.net.score(text, progress=lambda done, of: parts.append((done, of)))
        self.assertAlmostEqual(bits, told["bits_per_byte"], 12)
        self.assertEqual(parts[-1], (told["tokens"],) * 2)

    def test_embed_as_the_command(self):
        folder = CHECKPOINTS / "bert"
        lines = (MODELS / "sample.txt").read_text().split("\n")[:40]
        with tempfile.TemporaryDirectory() as out:
            pathlib.Path(out, "lines").write_text("\n".join(lines) + "\n")
            for words, more in (
                ([], {}),
                (["--pooling", "first"], dict(pooling="first", l2=False)),
            ):
                words += ["--l2", "false"] if words else []
                command("embed", folder, f"{out}/lines", "-o", f"{out}/v.npy", *words)
                theirs, seen = np.load(f"{out}/v.npy"), []
                for threads in (1, 3):
                    encoder = heed.Encoder(folder, threads=threads, **more)
                    rows = encoder.embed(lines, progress=functools.partial(_note, seen))
                    np.testing.assert_array_equal(rows, theirs)
                    self.assertEqual(max(seen), (len(lines), len(lines)))
        one = heed.Stack(folder).embed(lines[1])
        np.testing.assert_array_equal(one, heed.Encoder(folder).embed(lines[1:2])[0])
        with self.assertRaisesRegex(heed.HeedError, "median"):
            heed.Encoder(folder, pooling="median")
        with self.assertRaises(ZeroDivisionError):
            encoder.embed(lines, progress=lambda *_: 1 / 0)
        np.testing.assert_array_equal(encoder.embed(lines), theirs)


class Told(unittest.TestCase):
    def test_a_record_is_a_table(self):
        record = heed.bench("norm/rms", shape=["x=4,M=64", "x=8,M=64"], rounds=1, threads=1)
        lines = str(record).split("\n")
        self.assertEqual(len(lines), 1 + len(record["cases"]))
        self.assertRegex(lines[0], r"^spec +shape +path +threads +ms")
        self.assertRegex(lines[1], r"^norm/rms +x=4,M=64 ")


if __name__ == "__main__":
    unittest.main()
