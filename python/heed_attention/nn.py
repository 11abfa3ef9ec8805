# SPDX-License-Identifier: MIT
"""heed_attention.nn: ops of heed as modules of PyTorch. Their weights are Parameters under heed's
port names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from . import _abi
from ._library import HeedError
from ._op import WEIGHT, find, table
from .torch import UNSET, ports, run

OPTIONAL = _abi.HEED_PORT_OPTIONAL


def _sizes(spec: str, axes: Mapping[str, int]) -> dict[str, int]:
    """Axes given, those that params fix, and what follows from them as abi/axes.h says."""
    size = dict(axes)
    op = find(spec)
    for p in table(_abi.heed_param, op.params) if op is not None else []:
        written = re.search(rf"\b{p.key.decode()}\s*=\s*(\d+)", spec)
        if p.axis and chr(p.axis) not in size and (written or not p.flags & UNSET):
            size[chr(p.axis)] = int(written[1]) if written else int(p.standard)
    for letter, (_, factor, others, part) in _abi.AXES.items():
        if letter in size or not factor or not others or part or any(o not in size for o in others):
            continue
        size[letter] = factor * math.prod(size[o] for o in others)
    return size


def _inner(spec: str) -> list[tuple[str, str]]:
    """Ops that are params of the spec's op, with what is written for them: ("position",
    "position/t5(buckets=32)").
    """
    found = []
    op = find(spec)
    for p in table(_abi.heed_param, op.params) if op is not None else []:
        key = p.key.decode()
        written = re.search(rf"\b{key}\s*=\s*([a-z0-9_/]+\s*(?:\([^()]*\))?)", spec)
        if p.type == _abi.HEED_PARAM_OP and written:
            name = (
                written[1]
                if "/" in written[1].split("(")[0]
                else f"{p.choices.decode()}/{written[1]}"
            )
            found.append((key, name))
    return found


def _empty(name: str, port: Any, size: Mapping[str, int], spec: str) -> torch.nn.Parameter:
    letters = port.axes.decode().split()
    missing = [a for a in letters if a not in size]
    if missing:
        known = ", ".join(
            f"{a} ({_abi.AXES[a][0] if a in _abi.AXES else 'its own'})" for a in missing
        )
        raise HeedError(
            f"{spec}: the weight {name} is {' '.join(letters)}: the size of {known} must be given",
            _abi.HEED_E_SHAPE,
        )
    shape = [size[a] for a in letters]
    data = torch.empty(shape)
    if port.init == _abi.HEED_INIT_NORMAL:
        torch.nn.init.normal_(data, std=shape[-1] ** -0.5 if shape else 1.0)
    else:
        torch.nn.init.constant_(data, float(port.init == _abi.HEED_INIT_ONES))
    return torch.nn.Parameter(data)


class Operator(torch.nn.Module):
    """Any op: `Operator("norm/rms", M=512)(x=x)`.

    axes      sizes that the weights need and nothing else tells, by their letters: H=8, D=64
    optional  names of optional weights to have as well, such as ["sink_logits"]

    A weight of an op inside, position=t5, is the Parameter position.table. Weights begin as the
    ports say: zeros, ones, or normal with variance 1 / last axis. They are found changed by
    PyTorch's own count of changes: write to a weight, as an optimizer does, and not to its `.data`.
    Raises HeedError for a mistake in the spec or a size that is missing.
    """

    def __init__(self, spec: str, *, optional: Sequence[str] = (), **axes: int) -> None:
        super().__init__()
        self.spec = spec
        known = ports(spec)
        # a synthesizer needs no keys
        self._main = tuple(n for n in ("q", "k", "v") if n in known)
        size = _sizes(spec, axes)
        weights = {n: p for n, p in known.items() if p.role == WEIGHT}
        unknown = [n for n in optional if n not in weights]
        if unknown:
            raise HeedError(
                f'{spec} has no weight named "{unknown[0]}"; it has {", ".join(weights) or "none"}'
            )
        for name, port in weights.items():
            if not port.flags & OPTIONAL or name in optional:
                self.register_parameter(name, _empty(name, port, size, spec))
        for key, inner in _inner(spec):
            child = torch.nn.Module()
            inner_size = _sizes(inner, size)
            for name, port in ports(inner).items():
                if port.role == WEIGHT and not port.flags & OPTIONAL:
                    child.register_parameter(name, _empty(f"{key}.{name}", port, inner_size, spec))
            if list(child.parameters()):
                self.add_module(key, child)

    def extra_repr(self) -> str:
        """What print() shows."""
        return repr(self.spec)

    def forward(self, *, want: str | Sequence[str] = "out", **tensors: torch.Tensor | None) -> Any:
        """As `heed_attention.torch.run`, with the weights."""
        return run(self.spec, want=want, **tensors, **dict(self.named_parameters()))


class Attention(Operator):
    """An attention: `Attention("attention/softmax(causal=true)")(q, k, v)`. Weights, sizes and
    errors as of `Operator`.
    """

    def forward(  # type: ignore[override]
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        want: str | Sequence[str] = "out",
        **tensors: torch.Tensor | None,
    ) -> Any:
        """q [B, T, H, D], k [B, S, G, D], v [B, S, G, E] -> out [B, T, H, E]; optional inputs by
        name, key_lengths=n [B].
        """
        main = {n: t for n, t in (("q", q), ("k", k), ("v", v)) if n in self._main}
        return super().forward(want=want, **main, **tensors)
