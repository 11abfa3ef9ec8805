# SPDX-License-Identifier: MIT
"""The generated bindings are what the headers say, and lie in memory as tests/abi/golden_layout.h
has it.
"""

import ctypes as c
import pathlib
import re
import subprocess
import sys
import unittest

from heed_attention import _abi, _library

TOP = pathlib.Path(__file__).resolve().parents[2]


@unittest.skipUnless((TOP / "abi").exists(), "the headers are not here: this is an sdist")
class Abi(unittest.TestCase):
    def test_module_is_what_the_script_makes(self):
        script = TOP / "python" / "generate.py"
        made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
        self.assertEqual(
            made.stdout,
            pathlib.Path(_abi.__file__).read_text(),
            "run python/generate.py --write",
        )

    def test_layout(self):
        golden = (TOP / "tests/abi/golden_layout.h").read_text()
        fields, structs = 0, 0
        for struct, field, at, size in re.findall(
            r"^FIELD\((\w+), (\w+), (\d+), (\d+)\)", golden, re.M
        ):
            place = getattr(_abi.STRUCTS[struct], field)
            self.assertEqual((place.offset, place.size), (int(at), int(size)), f"{struct}.{field}")
            fields += 1
        for struct, size in re.findall(r"^STRUCT\((\w+), (\d+)\)", golden, re.M):
            self.assertEqual(c.sizeof(_abi.STRUCTS[struct]), int(size), struct)
            structs += 1
        self.assertGreater(fields, 100)
        self.assertGreater(structs, 20)

    def test_values(self):
        golden = (TOP / "tests/abi/golden_layout.h").read_text()
        for name, value in re.findall(r"^VALUE\((\w+), (-?\d+)\)", golden, re.M):
            self.assertEqual(getattr(_abi, name), int(value), name)
        for name, text in re.findall(r'^TEXT\((\w+), "(.*)"\)', golden, re.M):
            self.assertEqual(getattr(_abi, name), text)

    def test_what_is_not_known_is_refused(self):
        sys.path.insert(0, str(TOP / "python"))
        try:
            import generate
        finally:
            sys.path.pop(0)
        for text in (
            "typedef struct a { long x; } a;",
            "#pragma pack(1)\n",
            "typedef union a { int32_t x; } a;",
            "HEED_API size_t heed_x(void);",
            "#define X (1 + Y)\n",
            "typedef struct a { uint32_t x : 3; } a;",
        ):
            with self.assertRaises(generate.Unknown, msg=text):
                generate.Reader().read(text)

    def test_error_struct_of_heed_h(self):
        self.assertEqual(c.sizeof(_abi.heed_error), 1024)
        self.assertEqual(_abi.heed_options.user.offset + 8, c.sizeof(_abi.heed_options))
        for name in _abi.FUNCTIONS:
            self.assertTrue(getattr(_library.lib, name))


if __name__ == "__main__":
    unittest.main()
