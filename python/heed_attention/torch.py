# SPDX-License-Identifier: MIT
"""heed_attention.torch: `torch.ops.heed.run`, an op of PyTorch's own, for torch.compile and export.

    torch.ops.heed.run(spec, "q,k,v", [q, k, v], "out") -> [out]

`run` below is it with names. Its shapes follow from the tables of the op of heed alone (a fake
kernel), so that a compiled graph holds it without a break. It has no backward pass: autograd says
so when one is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from . import _abi, _library, _op
from ._library import Engine, HeedError
from ._op import (
    OUTPUT,
    Op,
    find,
    is_weight,
    kept,
    model_axes,
    opened,
    output_dtype,
    sizes,
    table,
)
from ._tensor import NAMES

DTYPES: list[torch.dtype] = [getattr(torch, name) for name in NAMES]
UNSET = _abi.HEED_PARAM_AUTO | _abi.HEED_PARAM_REQUIRED  # params without a default


def ports(spec: str) -> dict[str, Any]:
    """The ports of a spec's op, by their names. Raises HeedError if there is no such op."""
    if not _library.has_default():  # nobody has chosen: as many threads as PyTorch has
        _library.use(Engine(torch.get_num_threads()))
    known = _op.ports(spec)
    if not known and find(spec) is None:
        Op(spec)  # it says why
        raise HeedError(f"{spec}: the name of the op needs its kind, as attention/softmax has")
    return known


def _with_weights(spec: str, weights: dict[str, torch.Tensor], axes: dict[str, int]) -> Op:
    """An Op over these weights, kept until one of them changes.

    A kept Op keeps its tensors, so no other tensor gets their addresses meanwhile.
    """
    own = {p: t.detach() for p, t in weights.items()}
    if any(t.is_inference() for t in weights.values()):  # nothing tells when one of them changes
        return Op(spec, weights=own, axes=axes)
    state = (
        (p, t.data_ptr(), t._version, t.dtype, t.shape, t.stride()) for p, t in weights.items()
    )
    key = (_library.epoch(), spec, *axes.items(), *state)
    return kept(key, lambda: Op(spec, weights=own, axes=axes))


def _run(spec: str, names: str, tensors: Sequence[torch.Tensor], want: str) -> list[torch.Tensor]:
    known = ports(spec)
    given = dict(zip(names.split(","), tensors))
    weights = {p: t for p, t in given.items() if is_weight(known, p)}
    inputs: dict[str, Any] = {p: t for p, t in given.items() if p not in weights}
    if weights:
        op = _with_weights(spec, weights, model_axes(known, inputs))
    else:
        op = opened(spec, inputs)
    return list(op(want=want.split(","), **inputs))


def _fixed(spec: str, letter: str) -> int:
    """The size of an axis that a param fixes, from the spec or its default."""
    op = find(spec)
    for p in table(_abi.heed_param, op.params) if op is not None else []:
        if p.axis == ord(letter):
            written = re.search(rf"\b{p.key.decode()}\s*=\s*(\d+)", spec)
            if written or not p.flags & UNSET:
                return int(written[1]) if written else int(p.standard)
    raise HeedError(
        f"{spec}: the size of the axis {letter} follows from none of the tensors",
        _abi.HEED_E_SHAPE,
    )


def _fake(spec: str, names: str, tensors: Sequence[torch.Tensor], want: str) -> list[torch.Tensor]:
    known = ports(spec)
    size = sizes(known, dict(zip(names.split(","), tensors)))
    outs = []
    for name in want.split(","):
        if name not in known or known[name].role != OUTPUT:
            raise HeedError(f'{spec} has no output named "{name}"')
        shape: list[Any] = []
        for letter in known[name].axes.decode().split():
            if letter == "...":
                shape += size["..."]
            else:
                shape.append(size[letter] if letter in size else _fixed(spec, letter))
        dtype = DTYPES[output_dtype(known[name], DTYPES.index(tensors[0].dtype))]
        outs.append(tensors[0].new_empty(shape, dtype=dtype))
    return outs


torch.library.custom_op(
    "heed::run",
    _run,
    mutates_args=(),
    device_types="cpu",
    schema="(str spec, str names, Tensor[] tensors, str want) -> Tensor[]",
)
torch.library.register_fake("heed::run", _fake)


def run(spec: str, *, want: str | Sequence[str] = "out", **tensors: torch.Tensor | None) -> Any:
    """One call of an op on tensors, weights among them.

        run("attention/softmax(causal=true)", q=q, k=k, v=v)

    Returns the output, or with several names in `want` a list. Shapes as of `heed describe OP`; an
    output has the dtype of the first tensor if its port takes that. Raises what
    `heed_attention.run` does.
    """
    given = {p: t for p, t in tensors.items() if t is not None}
    names = [want] if isinstance(want, str) else list(want)
    outs = torch.ops.heed.run(spec, ",".join(given), list(given.values()), ",".join(names))
    return outs[0] if isinstance(want, str) else outs
