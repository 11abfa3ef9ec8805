#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/python-api.md: what the package heed_attention has, from signatures and docstrings.

    python/api.py            prints the page
    python/api.py --write    puts it in its place

The sources are read and not run, so that neither libheed nor PyTorch is needed. tests/test_docs.py
holds the page against what this prints.
"""

from __future__ import annotations

import ast
import pathlib
import sys
from collections.abc import Iterator
from typing import Union

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE / "heed_attention"
PAGE = HERE.parent / "docs" / "python-api.md"
MODULES = ["torch", "nn", "distributed", "transformers", "benchmark"]  # those that the package does not import
HEAD = """# The package heed_attention

Made by `python/api.py` from the signatures and docstrings: change those. [python.md](python.md) has
the way through it.
"""

Definition = Union[ast.FunctionDef, ast.ClassDef]
KINDS = (ast.FunctionDef, ast.ClassDef)


def source(name: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{name}.py").read_text())


def docstring(node: ast.Module | Definition) -> str:
    return ast.get_docstring(node) or ""


def block(text: str) -> Iterator[str]:
    if text:
        yield from ["", "```text", text, "```"]


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)


def signature(node: ast.FunctionDef, prefix: str = "") -> str:
    arguments, result = ast.unparse(node.args), ast.unparse(node.returns) if node.returns else ""
    if prefix:  # of a method: self is not given
        arguments = arguments.removeprefix("self, ").removeprefix("self").removeprefix("cls, ")
    end = f" -> {result}" if result not in ("", "None") else ""
    return f"{prefix}{node.name}{'' if is_property(node) else f'({arguments})'}{end}"


def is_told(node: ast.stmt) -> bool:
    """Whether it is public and says what it is."""
    return isinstance(node, KINDS) and not node.name.startswith("_") and bool(docstring(node))


SPECIAL = ("__call__", "__len__")


def of_class(node: ast.ClassDef) -> Iterator[str]:
    """A class, its own way to be made, and its methods that have a docstring."""
    methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
    made = next((m for m in methods if m.name == "__init__"), None)
    arguments = ast.unparse(made.args) if made is not None else ""
    arguments = arguments.removeprefix("self").removeprefix(", ")
    fields = [ast.unparse(f) for f in node.body if isinstance(f, ast.AnnAssign)]
    is_tuple = any(ast.unparse(base) == "NamedTuple" for base in node.bases)
    title = f"{node.name}({', '.join(fields)})" if is_tuple else f"{node.name}({arguments})"
    yield from ["", f"### class {node.name}", "", "```python", title, "```"]
    yield from block(docstring(node))
    for method in methods:
        if is_told(method) or (method.name in SPECIAL and docstring(method)):
            yield from ["", "```python", signature(method, f"{node.name}."), "```"]
            yield from block(docstring(method))


def of(node: Definition) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        yield from of_class(node)
    else:
        yield from ["", f"### {node.name}", "", "```python", signature(node), "```"]
        yield from block(docstring(node))


def exported() -> Iterator[tuple[str, str]]:
    """The names of the package and the files that they are from, in the order of their names."""
    origin = {
        alias.asname or alias.name: node.module or ""
        for node in source("__init__").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    yield from sorted(origin.items(), key=lambda row: row[0].lower())


def page() -> str:
    """The text of docs/python-api.md."""
    package = source("__init__")
    lines = [HEAD, "## heed_attention", *block(docstring(package))]
    for name, file in exported():
        lines += next(
            of(node) for node in source(file).body if isinstance(node, KINDS) and node.name == name
        )
    for module in MODULES:
        tree = source(module)
        lines += ["", f"## heed_attention.{module}", *block(docstring(tree))]
        for node in tree.body:
            if isinstance(node, KINDS) and is_told(node):
                lines += of(node)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    elif sys.argv[1:]:
        raise SystemExit("usage: api.py [--write]")
    else:
        print(page(), end="")
