# SPDX-License-Identifier: MIT
"""_describe.py: what ops there are, and what one has: read from their tables, and nothing is
run.
"""

from __future__ import annotations

import builtins
import os
from typing import Any, NamedTuple

from . import _abi
from ._library import Engine, HeedError, error, lib, raise_error
from ._library import engine as default_engine
from ._op import Op, find, table

ROLES = ["input", "weight", "output"]
TYPES = ["integer", "number", "true|false", "", "an op of kind "]
MASKS = {
    _abi.HEED_MASK_CAUSAL: "causal",
    _abi.HEED_MASK_KEY_LENGTHS: "key_lengths",
    _abi.HEED_MASK_WINDOW: "window",
    _abi.HEED_MASK_PREFIX: "prefix",
    _abi.HEED_MASK_SINKS: "sinks",
    _abi.HEED_MASK_DOCUMENTS: "documents",
    _abi.HEED_MASK_BLOCKS: "blocks",
}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


class Port(NamedTuple):
    """A tensor of an op. `axes` are letters, "B T H D"; `dtypes` names, "f32"."""

    name: str
    role: str
    axes: str
    dtypes: tuple[str, ...]
    optional: bool
    doc: str


class Param(NamedTuple):
    """A setting of an op. `type` has the range or the choices; `default` is None where the op
    decides or one must be given.
    """

    key: str
    type: str
    default: float | str | bool | None
    required: bool
    doc: str


class Description(NamedTuple):
    """An op as its tables tell it. print() shows it as text."""

    id: str
    version: str
    summary: str
    formula: str
    reference: str
    paths: tuple[str, ...]
    masks: tuple[str, ...]
    remembers: bool
    ports: tuple[Port, ...]
    params: tuple[Param, ...]

    def __str__(self) -> str:
        lines = [f"{self.id} {self.version}: {self.summary}", "", f"  formula    {self.formula}"]
        lines += [f"  reference  {self.reference}", f"  paths      {' '.join(self.paths)}"]
        lines += [f"  masks      {', '.join(self.masks) or 'none'}"]
        for role in ROLES:
            ports = [p for p in self.ports if p.role == role]
            width = max((len(p.name) for p in ports), default=0)
            lines += [""] * bool(ports) + [f"{role}s"] * bool(ports)
            lines += [
                f"  {p.name:{width}}  {p.axes:10}  {' '.join(p.dtypes)}  "
                f"{'optional; ' if p.optional else ''}{p.doc}"
                for p in ports
            ]
        if self.params:
            width = max(len(p.key) for p in self.params)
            lines += ["", "params"]
            for q in self.params:
                default = (
                    "must be given"
                    if q.required
                    else "automatic"
                    if q.default is None
                    else f"default {q.default}"
                )
                lines.append(f"  {q.key:{width}}  {q.type}, {default}: {q.doc}")
        return "\n".join(lines)


def _port(p: Any) -> Port:
    dtypes = tuple(
        _text(lib.heed_dtype_name(i)) for i in range(_abi.HEED_DTYPES) if p.dtypes >> i & 1
    )
    optional = bool(p.flags & _abi.HEED_PORT_OPTIONAL)
    return Port(_text(p.name), ROLES[p.role], _text(p.axes), dtypes, optional, _text(p.doc))


def _param(p: Any) -> Param:
    kind, choices = TYPES[p.type], _text(p.choices)
    required = bool(p.flags & _abi.HEED_PARAM_REQUIRED)
    default: float | str | bool | None = p.standard
    if p.type in (_abi.HEED_PARAM_INT, _abi.HEED_PARAM_FLOAT):
        kind += f" from {p.min:.9g} to {p.max:.9g}"
        default = int(p.standard) if p.type == _abi.HEED_PARAM_INT else p.standard
    elif p.type == _abi.HEED_PARAM_BOOL:
        default = bool(p.standard)
    elif p.type == _abi.HEED_PARAM_CHOICE:
        kind, default = choices, choices.split("|")[int(p.standard)]
    else:
        kind, default = kind + choices, None
    if required or p.flags & _abi.HEED_PARAM_AUTO:
        default = None
    return Param(_text(p.key), kind, default, required, _text(p.doc))


def _describe(op: Any) -> Description:
    return Description(
        _text(op.id),
        _text(op.version),
        _text(op.summary),
        _text(op.formula),
        _text(op.reference),
        tuple(_text(p.name) for p in table(_abi.heed_path, op.paths)),
        tuple(name for bit, name in MASKS.items() if op.masks & bit),
        bool(op.measure_state),
        tuple(_port(p) for p in table(_abi.heed_port, op.ports)),
        tuple(_param(p) for p in table(_abi.heed_param, op.params)),
    )


def describe(op: str | Op, *, engine: Engine | None = None) -> Description:
    """The tables of an op, by its id or a spec of it. Raises HeedError if there is none."""
    if isinstance(op, Op):
        return _describe(op._op)
    owner = engine or default_engine()
    found = find(op, owner)
    if found is None:  # why not is told by who opens it
        handle = lib.heed_instance_open(owner.handle, op.encode(), None, error())
        if not handle:
            raise_error()
        description = _describe(lib.heed_instance_op(handle).contents)
        lib.heed_instance_close(handle)
        return description
    return _describe(found)


class OpInfo(NamedTuple):
    """An op that is there: its plugin's file, its paths, and the one that runs here ("" if none
    can).
    """

    id: str
    version: str
    summary: str
    plugin: str
    paths: tuple[str, ...]
    path: str


def list(*, engine: Engine | None = None) -> builtins.list[OpInfo]:
    """All ops, by their ids. Plugins that were refused are in `Engine.refusals`. Raises HeedError
    if there are none at all.
    """
    owner = engine or default_engine()
    told = []
    for i in range(lib.heed_op_count(owner.handle)):
        op = lib.heed_op_at(owner.handle, i).contents
        path = lib.heed_op_path(owner.handle, i)
        paths = tuple(_text(p.name) for p in table(_abi.heed_path, op.paths))
        plugin = os.fsdecode(lib.heed_op_plugin(owner.handle, i))
        here = _text(path.contents.name) if path else ""
        told.append(OpInfo(_text(op.id), _text(op.version), _text(op.summary), plugin, paths, here))
    refused = owner.refusals
    if not told:
        first = next((f", the first, {path}, because {why}" for path, why in refused.items()), "")
        raise HeedError(
            f"no op is there: {len(refused)} plugins were refused{first}", _abi.HEED_E_DATA
        )
    return told
