# SPDX-License-Identifier: MIT
"""heed_attention.torch: `torch.ops.heed.run`, an op of PyTorch's own, for torch.compile and export.

    torch.ops.heed.run(spec, "q,k,v", [q, k, v], "out") -> [out]

`run` below is it with names. Its shapes follow from the tables of the op of heed alone (a fake
kernel), so that a compiled graph holds it without a break. Autograd goes through
`torch.ops.heed.backward` where the op of heed has a backward (`heed describe OP` says of which
tensors); where it has none, `backward()` raises HeedError with the names of those that have one.
"""

from __future__ import annotations

import ctypes as c
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from . import _abi, _library, _op
from ._library import Engine, HeedError, lib
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


@functools.lru_cache(256)
def _weights(epoch: int, spec: str, names: tuple[str, ...]) -> frozenset[str]:
    """Those of the names that are weights."""
    known = ports(spec)
    return frozenset(p for p in names if is_weight(known, p))


def _call(spec: str, given: dict[str, torch.Tensor]) -> tuple[Op, dict[str, torch.Tensor]]:
    """The Op over the weights among these tensors, and the inputs."""
    known = ports(spec)
    names = _weights(_library.epoch(), spec, tuple(given))
    if not names:
        return opened(spec, given), given
    inputs = {p: t for p, t in given.items() if p not in names}
    weights = {p: t for p, t in given.items() if p in names}
    return _with_weights(spec, weights, model_axes(known, inputs)), inputs


def _run(spec: str, names: str, tensors: Sequence[torch.Tensor], want: str) -> list[torch.Tensor]:
    op, given = _call(spec, dict(zip(names.split(","), tensors)))
    inputs: dict[str, Any] = dict(given)
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


def _backward(
    spec: str,
    names: str,
    tensors: Sequence[torch.Tensor],
    read: str,
    outs: Sequence[torch.Tensor],
    came: str,
    gradients: Sequence[torch.Tensor],
    want: str,
) -> list[torch.Tensor]:
    given = dict(zip(names.split(","), tensors))
    op, inputs = _call(spec, given)
    made = op.backward(
        want.split(","),
        dict(zip(came.split(","), (g.float() for g in gradients))),
        dict(zip(read.split(","), outs)) if read else None,
        **inputs,
    )
    return [made[p].to(given[p].dtype) for p in want.split(",")]


def _backward_fake(
    spec: str,
    names: str,
    tensors: Sequence[torch.Tensor],
    read: str,
    outs: Sequence[torch.Tensor],
    came: str,
    gradients: Sequence[torch.Tensor],
    want: str,
) -> list[torch.Tensor]:
    given = dict(zip(names.split(","), tensors))
    return [torch.empty(given[p].shape, dtype=given[p].dtype) for p in want.split(",")]


torch.library.custom_op(
    "heed::backward",
    _backward,
    mutates_args=(),
    device_types="cpu",
    schema="(str spec, str names, Tensor[] tensors, str read, Tensor[] outs, str came, "
    "Tensor[] gradients, str want) -> Tensor[]",
)
torch.library.register_fake("heed::backward", _backward_fake)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _reads(spec: str) -> tuple[str, ...]:
    """Outputs that the backward of a spec's op reads."""
    return _sets(_library.epoch(), spec)[0]


@functools.lru_cache(256)
def _sets(epoch: int, spec: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """They, and the outputs through which gradients come; none if the op has no backward."""
    op = find(spec)
    path = table(_abi.heed_path, op.paths)[0] if op is not None else None
    told = lib.heed_op_grad(c.byref(op), c.byref(path)) if path is not None else None
    if not told:
        return (), ()
    names = [p.name.decode() for p in table(_abi.heed_port, op.ports)]
    reads, takes = told[0].reads, told[0].takes
    return (
        tuple(n for i, n in enumerate(names) if reads >> i & 1),
        tuple(n for i, n in enumerate(names) if takes >> i & 1),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    ctx.spec, ctx.names, tensors, ctx.want = inputs
    ctx.count = len(tensors)
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, gradients: Sequence[torch.Tensor | None]) -> Any:
    tensors, outs = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    names, want = ctx.names.split(","), ctx.want.split(",")
    reads, takes = _sets(_library.epoch(), ctx.spec)
    came = [(p, g) for p, g in zip(want, gradients) if g is not None and (p in takes or not takes)]
    wanted = [p for p, t in zip(names, tensors) if t.requires_grad]
    if not came or not wanted:
        return None, None, [None] * len(names), None
    read = [(p, t) for p, t in zip(want, outs) if p in reads]
    made = torch.ops.heed.backward(
        ctx.spec,
        ctx.names,
        list(tensors),
        ",".join(p for p, _ in read),
        [t for _, t in read],
        ",".join(p for p, _ in came),
        [g for _, g in came],
        ",".join(wanted),
    )
    given = dict(zip(wanted, made))
    return None, None, [given.get(p) for p in names], None


torch.library.register_autograd("heed::run", _differentiate, setup_context=_setup)


PLAIN = (torch.Tensor, torch.nn.Parameter)


def _watched() -> bool:
    """Whether somebody looks on at PyTorch's dispatcher: a graph that is traced or compiled, a
    mode, vmap and its like, the profiler.
    """
    c_ = torch._C
    return (
        c_._get_tracing_state() is not None
        or c_._len_torch_dispatch_stack() > 0
        or c_._len_torch_function_stack() > 0
        or c_._functorch.peek_interpreter_stack() is not None
        or c_._autograd._profiler_enabled()
    )


def _is_direct(tensors: Iterable[torch.Tensor], grad: bool) -> bool:
    """Whether the dispatcher, which takes twice as long as a small op, has nothing to do."""
    if grad or torch.compiler.is_compiling():
        return False
    try:
        return not _watched() and all(type(t) in PLAIN for t in tensors)
    except AttributeError:  # a PyTorch that has not all of these, which are its own
        return False


def run(spec: str, *, want: str | Sequence[str] = "out", **tensors: torch.Tensor | None) -> Any:
    """One call of an op on tensors, weights among them.

        run("attention/softmax(causal=true)", q=q, k=k, v=v)

    Returns the output, or with several names in `want` a list. Shapes as of `heed describe OP`; an
    output has the dtype of the first tensor if its port takes that. Raises what
    `heed_attention.run` does.
    """
    given = {p: t for p, t in tensors.items() if t is not None}
    names = [want] if isinstance(want, str) else list(want)
    wanted = len(names)
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in given.values())
    if _is_direct(given.values(), grad):
        op, inputs = _call(spec, given)
        called: dict[str, Any] = dict(inputs)
        made = op(want=names, **called)
        return made[0] if isinstance(want, str) else list(made)
    if grad:
        names += [p for p in _reads(spec) if p not in names]
    outs = torch.ops.heed.run(spec, ",".join(given), list(given.values()), ",".join(names))
    return outs[0] if isinstance(want, str) else outs[:wanted]
