# SPDX-License-Identifier: MIT
"""The programs of docs/python.md run as they stand, those that what is installed here allows."""

import importlib.util
import pathlib
import re
import subprocess
import sys
import unittest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "python.md"


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


if __name__ == "__main__":
    unittest.main()
