#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes heed_attention/_abi.py: the structs, constants and functions of abi/*.h and engine/heed.h,
for ctypes.

    python/generate.py            prints the module
    python/generate.py --write    puts it in its place

A small strict reader of these headers, not of C: they hold what the law of growth allows
(abi/base.h), and what this reader does not know ends in a sentence that shows it, so that nothing
is left out unseen. tests/test_abi.py holds the module against what this prints, and its layouts
against tests/abi/golden_layout.h.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
HERE = pathlib.Path(__file__).resolve().parent
SCALARS = {  # the types of the law of growth: ctypes' name, and what Python sees
    "uint8_t": ("c.c_uint8", "int"),
    "uint32_t": ("c.c_uint32", "int"),
    "int32_t": ("c.c_int32", "int"),
    "uint64_t": ("c.c_uint64", "int"),
    "int64_t": ("c.c_int64", "int"),
    "float": ("c.c_float", "float"),
    "double": ("c.c_double", "float"),
}


def headers() -> list[str]:
    """All of the ABI, each behind those that it includes, and heed.h at the end."""
    found: list[str] = []

    def visit(path: pathlib.Path) -> None:
        for name in re.findall(r'^#include "(\w+\.h)"', path.read_text(), re.M):
            visit(path.parent / name)
        name = str(path.relative_to(TOP))
        if name not in found:
            found.append(name)

    for path in sorted((TOP / "abi").glob("*.h")):
        visit(path)
    return [*found, "engine/heed.h"]


class Unknown(Exception):
    """Something in a header that this reader does not know."""


def expression(text: str, known: dict[str, int]) -> int:
    """The value of a constant, such as `((uint32_t)HEED_ABI_MAJOR << 16 | HEED_ABI_MINOR)`."""
    plain = re.sub(r"\((?:u?int(?:32|64)_t)\)", "", text)
    plain = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", plain)

    def value(node: ast.AST) -> int:
        if isinstance(node, ast.Expression):
            return value(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name) and node.id in known:
            return known[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.LShift, ast.BitOr)):
            left, right = value(node.left), value(node.right)
            return left << right if isinstance(node.op, ast.LShift) else left | right
        raise Unknown(f"the constant {text!r}")

    try:
        return value(ast.parse(plain.strip(), mode="eval"))
    except SyntaxError:
        raise Unknown(f"the constant {text!r}") from None


class Reader:
    """What all headers say, in their order."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.structs: dict[str, list[tuple[str, str, str]]] = {}  # fields: name, ctypes, Python
        self.functions: dict[str, tuple[str, list[str]]] = {}
        self.aliases: set[str] = set()  # pointers to functions
        self.opaque: set[str] = set()

    # ---- the preprocessor's lines ----

    def define(self, line: str) -> None:
        macro = re.fullmatch(r"#define (\w+)(\(.*?\))?(?:\s+(.*))?", line)
        if not macro:
            raise Unknown(f"the line {line!r}")
        name, arguments, body = macro.groups()
        if arguments or not body or body.startswith("__attribute__"):
            return  # a macro with arguments, an include guard, HEED_API: nothing that ctypes has
        if body.startswith('"'):
            self.texts[name] = body.strip('"')
        else:
            self.numbers[name] = expression(body, self.numbers)

    def preprocess(self, text: str) -> str:
        """The text without comments and without the preprocessor's lines, which are read here."""
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        text = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", text, flags=re.S).replace("\\\n", " ")
        kept = []
        for line in text.split("\n"):
            if not line.startswith("#"):
                kept.append(line)
            elif line.startswith("#define"):
                self.define(re.sub(r"\s+", " ", line).strip())
            elif not re.match(r"#(include|ifndef|endif)\b", line):
                raise Unknown(f"the line {line!r}")
        return "\n".join(kept)

    # ---- types ----

    def scalar(self, words: str, stars: int) -> tuple[str, str]:
        """ctypes' type and Python's of a declaration's words, such as `const heed_op` with one
        star.
        """
        base = re.sub(r"\b(const|struct)\b", "", words).strip()
        if stars:
            return (
                ("c.c_char_p", "Bytes | None")
                if (base, stars) == ("char", 1) and "const" in words
                else ("c.c_void_p", "int | None")
            )
        if base in SCALARS:
            return SCALARS[base]
        if base in self.structs:
            return base, base
        if base in self.aliases:
            return "c.c_void_p", "int | None"
        raise Unknown(f"the type {words!r}")

    def field(self, words: str, name: str) -> tuple[str, str, str]:
        """One declarator of a struct: `*const *page`, `dim[HEED_MAX_RANK]`."""
        parts = re.fullmatch(r"([*\s]|\bconst\b)*(\w+)\s*(?:\[(\w+)\])?", name.strip())
        if not parts:
            raise Unknown(f"the field {words} {name}")
        ctype, python = (
            ("c.c_char", "Bytes")
            if words == "char" and parts[3]
            else self.scalar(words, name.count("*"))
        )
        if parts[3]:
            size = expression(parts[3], self.numbers)
            ctype, python = (
                f"{ctype} * {size}",
                "Bytes" if ctype == "c.c_char" else f"c.Array[{ctype}]",
            )
        return parts[2], ctype, python

    def struct(self, name: str, body: str) -> None:
        fields = []
        for declaration in filter(None, (d.strip() for d in body.split(";"))):
            function = re.fullmatch(r"[\w\s*]+\(\*(\w+)\)\s*\(.*\)", declaration, re.S)
            if function:
                fields.append((function[1], "c.c_void_p", "int | None"))
                continue
            split = re.fullmatch(r"((?:const\s+|struct\s+)*\w+)\s*(.*)", declaration, re.S)
            if not split:
                raise Unknown(f"{declaration!r} in {name}")
            fields += [self.field(split[1], declarator) for declarator in split[2].split(",")]
        self.structs[name] = fields

    # ---- declarations ----

    def function(self, result: str, name: str, parameters: str) -> None:
        kinds = []
        flat = re.sub(r"\w+\s*\(\*\w+\)\s*\([^()]*\)", "void *function", parameters)
        for parameter in (p.strip() for p in flat.split(",")):
            if parameter == "void":
                continue
            parts = re.fullmatch(
                r"((?:const\s+|struct\s+)*\w+)\s*((?:[*\s]|\bconst\b)*)\w+", parameter
            )
            if not parts:
                raise Unknown(f"the parameter {parameter!r} of {name}")
            kinds.append(self.scalar(parts[1], parts[2].count("*"))[0])
        words, stars = result.replace("*", " ").strip(), result.count("*")
        base = re.sub(r"\b(const|struct)\b", "", words).strip()
        if stars == 1 and base in self.structs:
            kind = f"c.POINTER({base})"
        else:
            kind = "None" if (base, stars) == ("void", 0) else self.scalar(words, stars)[0]
        self.functions[name] = (kind, kinds)

    def read(self, text: str) -> None:
        left = self.preprocess(text)
        patterns = [
            (r"typedef struct (\w+) \{(.*?)\n?\} (\w+);", lambda m: self.struct(m[1], m[2])),
            (r"typedef struct (\w+) (\w+);", lambda m: self.opaque.add(m[1])),
            (r"typedef [\w\s]+\(\*(\w+)\)\([^()]*\);", lambda m: self.aliases.add(m[1])),
            (
                r"typedef [\w\s]+?(\w+)\([^()]*\);",
                lambda m: None,
            ),  # the type of an entry: the plugin's side
            (
                r"HEED_API ([\w\s]+?[\s*]+)(heed_\w+)\(((?:[^()]|\([^()]*\))*)\);",
                lambda m: self.function(m[1], m[2], m[3]),
            ),
        ]
        while left := left.strip():
            for pattern, act in patterns:
                if match := re.match(pattern, left, re.S):
                    act(match)
                    left = left[match.end() :]
                    break
            else:
                raise Unknown(f"the declaration {left.split(chr(10))[0]!r}")


def axes_rows() -> list[tuple[str, ...]]:
    """The rows of HEED_AXES_TABLE."""
    text = (TOP / "abi/axes.h").read_text()
    rows = re.findall(r"""ROW\('(\w)', "([^"]*)", (\d+), "([^"]*)", (?:0|'(\w)')\)""", text)
    if len(rows) != text.count("    ROW("):
        raise SystemExit("generate.py: abi/axes.h: a row of HEED_AXES_TABLE is not known here")
    return rows


HEAD = '''# SPDX-License-Identifier: MIT
# Made by python/generate.py from abi/*.h and engine/heed.h: change those, and run
# `python/generate.py --write`.
"""_abi.py: libheed's structs, constants and functions as ctypes has them. Pointers are addresses,
but for text that is read.
"""

from __future__ import annotations

import ctypes as c
from typing import Any

Bytes = bytes  # some structs have a field of that name
'''


def module() -> str:
    """The text of _abi.py."""
    reader = Reader()
    for header in headers():
        try:
            reader.read((TOP / header).read_text())
        except Unknown as e:
            raise SystemExit(f"generate.py: {header}: {e} is not known here") from None
    lines = [HEAD]
    lines += [f"{name} = {value}" for name, value in reader.numbers.items()]
    lines += [f'{name} = "{value}"' for name, value in reader.texts.items()]
    for name, fields in reader.structs.items():
        lines += ["", "", f"class {name}(c.Structure):"]
        lines += [f"    {field}: {python}" for field, _, python in fields]
        lines += ["    _fields_ = ["]
        lines += [f'        ("{field}", {ctype}),' for field, ctype, _ in fields]
        lines += ["    ]"]
    lines += [
        "",
        "",
        "# axis -> what it is, and how long where nobody says: factor * the axes / the part "
        "(abi/axes.h)",
    ]
    lines += ["AXES: dict[str, tuple[str, int, str, str]] = {"]
    lines += [
        f'    "{a}": ("{what}", {factor}, "{axes}", "{part}"),'
        for a, what, factor, axes, part in axes_rows()
    ]
    lines += ["}"]
    lines += ["", "", "STRUCTS: dict[str, type[c.Structure]] = {"]
    lines += [f'    "{name}": {name},' for name in reader.structs]
    lines += ["}", "", "FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {  # result, parameters"]
    for name, (result, parameters) in reader.functions.items():
        row = f'    "{name}": ({result}, [{", ".join(parameters)}]),'
        if len(row) > 130:
            row = f'    "{name}": (\n        {result},\n        [{", ".join(parameters)}],\n    ),'
        lines.append(row)
    lines += ["}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        (HERE / "heed_attention" / "_abi.py").write_text(module())
    elif sys.argv[1:]:
        raise SystemExit("usage: generate.py [--write]")
    else:
        print(module(), end="")
