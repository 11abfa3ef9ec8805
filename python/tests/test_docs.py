# SPDX-License-Identifier: MIT
"""The programs of docs/python.md run as they stand, those that what is installed here allows; the
example prints what it says; and docs/python-api.md is what the docstrings say.
"""

import importlib.util
import pathlib
import re
import subprocess
import sys
import unittest

import heed_attention as heed

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "python.md"
MODELS = TOP / "models"


def has_text():
    """Whether libheed was built with PCRE2 and utf8proc."""
    try:
        heed.Tokenizer(MODELS / "checkpoints" / "llama")
    except heed.HeedError as e:
        return e.kind != "unsupported"
    return True


@unittest.skipUnless(PAGE.exists(), "the page is not here: this is an sdist")
class Docs(unittest.TestCase):
    def test_programs(self):
        blocks = re.findall(r"^```python ?(\w*)\n(.*?)^```", PAGE.read_text(), re.M | re.S)
        self.assertEqual([needs for needs, _ in blocks], ["", "torch", "transformers"])
        for needs, program in blocks:
            if needs and any(not importlib.util.find_spec(m) for m in {"torch", needs}):
                continue
            with self.subTest(needs or "numpy"):
                done = subprocess.run(
                    [sys.executable, "-c", program], capture_output=True, text=True
                )
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_api_page(self):
        script = TOP / "python" / "api.py"
        made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
        page = (TOP / "docs" / "python-api.md").read_text()
        self.assertEqual(made.stdout, page, "run python/api.py --write")
        for name in heed.__all__:
            self.assertIn(f" {name}\n", page)

    @unittest.skipUnless(MODELS.exists() and has_text(), "no models, or built without PCRE2")
    def test_example(self):
        script = TOP / "python" / "examples" / "attention.py"
        said = re.findall(r"^# > (.*)$", script.read_text(), re.M)
        done = subprocess.run([sys.executable, script, MODELS], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines(), said)


if __name__ == "__main__":
    unittest.main()
