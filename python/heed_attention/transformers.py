# SPDX-License-Identifier: MIT
"""heed_attention.transformers: heed as an attention of Hugging Face's transformers.

    import heed_attention.transformers
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="heed")

What a model masks travels as a few numbers: causal, a window, lengths, the document of each key.
They are read off the mask function that transformers builds, by its own names. A mask function that
is not known here becomes a mask of T x T, as it is with other attentions; it is right, and as slow
as there. There is no backward pass and no dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, sdpa_mask

from .torch import run

NAME = "heed"
ABSENT = -1  # a window's end that is none
PADDING = -1  # the document of keys that are none

# ---- which keys a query sees, in a tensor ----
#
# transformers hands a mask on as a tensor with 4 axes. Ours has int64, which no mask of theirs has:
# [B, 1, 1, HEAD + n], where
# HEAD numbers say what is masked and n numbers a row go with them: none, its length, or the
# documents of its keys.

HEAD = 5
NOTHING, LENGTHS, DOCUMENTS = range(3)


class Pattern(NamedTuple):
    """What a mask function masks; None in place of a whole pattern: it is not known here."""

    causal: bool = False
    left: int = ABSENT  # keys before its own that a query sees
    right: int = ABSENT
    documents: torch.Tensor | None = None  # [B, S]


def _cells(function: Callable[..., Any]) -> dict[str, Any]:
    names = function.__code__.co_freevars
    return dict(zip(names, (cell.cell_contents for cell in function.__closure__ or ())))


def _both(a: Pattern, b: Pattern) -> Pattern | None:
    """What both let through."""

    def nearest(x: int, y: int) -> int:
        return max(x, y) if ABSENT in (x, y) else min(x, y)

    if a.documents is not None and b.documents is not None:
        return None
    documents = b.documents if a.documents is None else a.documents
    return Pattern(
        a.causal or b.causal, nearest(a.left, b.left), nearest(a.right, b.right), documents
    )


def pattern(function: Callable[..., Any]) -> Pattern | None:
    """Reads off a mask function of transformers what it masks, or None."""
    name = getattr(function, "__qualname__", "")
    if getattr(function, "__module__", "") != "transformers.masking_utils":
        return None
    if name == "causal_mask_function":
        return Pattern(causal=True)
    if name == "bidirectional_mask_function":
        return Pattern()
    outer, _, inner = name.partition(".<locals>.")
    cells = _cells(function) if inner else {}
    if outer == "sliding_window_overlay" and isinstance(cells.get("sliding_window"), int):
        return Pattern(left=cells["sliding_window"] - 1)
    if outer == "sliding_window_bidirectional_overlay":
        window = cells.get("sliding_window")
        return Pattern(left=window, right=window) if isinstance(window, int) else None
    if outer == "packed_sequence_mask_function":
        return Pattern(documents=cells.get("packed_sequence_mask"))
    if outer == "and_masks":
        found: Pattern | None = Pattern()
        for part in cells.get("mask_functions", ()):
            other = _packed(part, cells["mask_functions"]) or pattern(part)
            found = None if found is None or other is None else _both(found, other)
        return found
    return None


def _packed(part: Callable[..., Any], beside: Any) -> Pattern | None:
    """A mask by the positions within documents is the one by places, where only keys of the same
    document are seen.
    """
    if not part.__qualname__.startswith("remap_positions_for_packed_sequence."):
        return None
    if not any(f.__qualname__.startswith("packed_sequence_mask_function.") for f in beside):
        return None
    return pattern(_cells(part)["mask_function"])


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    **rest: Any,
) -> torch.Tensor | None:
    """The mask of one call, as AttentionMaskInterface asks for it: numbers, or T x T where it
    cannot be told in numbers.
    """
    found = pattern(mask_function)
    if found is None:
        rest.update(allow_is_causal_skip=False, allow_is_bidirectional_skip=False)
        dense = sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,
            kv_offset,
            mask_function,
            attention_mask,
            **rest,
        )
        return None if dense is None else torch.where(dense, 0.0, -torch.inf)
    offset = int(q_offset) - int(kv_offset)
    mode, numbers = NOTHING, torch.empty((batch_size, 0), dtype=torch.int64)
    if found.documents is not None:
        mode, numbers = DOCUMENTS, found.documents.expand(batch_size, -1).to(torch.int64)
    if attention_mask is not None:
        mode, numbers = _padding(attention_mask, kv_offset, kv_length, offset, mode, numbers)
    head = torch.tensor([found.causal, found.left, found.right, offset, mode], dtype=torch.int64)
    return torch.cat([head.expand(batch_size, HEAD), numbers], 1)[:, None, None]


def _padding(
    valid: torch.Tensor,
    kv_offset: int,
    kv_length: int,
    offset: int,
    mode: int,
    documents: torch.Tensor,
) -> tuple[int, torch.Tensor]:
    """Which keys are none: by a length a row if they are behind the others, else in a document of
    their own.
    """
    valid = valid[:, int(kv_offset) : int(kv_offset) + kv_length].to(torch.bool)
    if valid.shape[1] < kv_length:  # the rest of a cache that is not full yet
        valid = torch.nn.functional.pad(valid, (0, kv_length - valid.shape[1]))
    if bool(valid.all()):
        return mode, documents
    if mode == NOTHING and offset == 0 and bool((valid[:, 1:] <= valid[:, :-1]).all()):
        return LENGTHS, valid.sum(1, keepdim=True)
    if mode == NOTHING:
        documents = torch.zeros_like(valid, dtype=torch.int64)
    return DOCUMENTS, torch.where(valid, documents, PADDING)


# ---- the attention ----


def _number(value: float) -> str:
    return repr(float(value))


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """As AttentionInterface asks for it: query [B, H, T, D], key and value [B, G, S, D] -> ([B, T,
    H, D], None).

    Raises NotImplementedError for dropout, HeedError and TypeError as `heed_attention.run`.
    """
    if dropout:
        raise NotImplementedError(
            f"heed has no dropout, and attention_dropout is {dropout}; model.eval() turns it off"
        )
    settings: list[str] = []
    if scaling is not None:
        settings.append(f"scale={_number(scaling)}")
    if softcap is not None:
        settings.append(f"softcap={_number(softcap)}")
    inputs: dict[str, Any] = {"sink_logits": s_aux, "bias": position_bias}
    if attention_mask is None or attention_mask.dtype != torch.int64:
        if is_causal is None:
            is_causal = getattr(module, "is_causal", True)
        if attention_mask is not None:  # one that is T x T: it says all
            if attention_mask.dtype == torch.bool:
                attention_mask = torch.where(attention_mask, 0.0, -torch.inf)
            bias = attention_mask.to(torch.float32)
            inputs["bias"] = bias if position_bias is None else bias + position_bias
        elif is_causal and query.shape[2] > 1:
            settings.append("causal=true")
    else:
        key, value = _told(attention_mask, query.shape[2], key, value, settings, inputs)
    spec = f"attention/softmax({', '.join(settings)})" if settings else "attention/softmax"
    q, k, v = (t.transpose(1, 2) for t in (query, key, value))
    return run(spec, q=q, k=k, v=v, **inputs), None


def _told(
    told: torch.Tensor,
    T: int,
    key: torch.Tensor,
    value: torch.Tensor,
    settings: list[str],
    inputs: dict[str, Any],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Makes settings and inputs of what `mask` told, and leaves out keys at the ends that no query
    sees.
    """
    causal, left, right, offset, mode = told[0, 0, 0, :HEAD].tolist()
    numbers = told[:, 0, 0, HEAD:]
    S = key.shape[2]
    last = offset + T  # behind the last query
    end = min(S, last) if causal else S if right == ABSENT else min(S, last + right)
    begin = max(0, offset - left) if left != ABSENT and mode != LENGTHS else 0
    key, value = key[:, :, begin:end], value[:, :, begin:end]
    bias = inputs["bias"]
    if bias is not None and bias.shape[-1] > 1:
        inputs["bias"] = bias[..., begin:end]
    offset, S = offset - begin, end - begin
    all_seen = T == 1 and offset == S - 1 and (left == ABSENT or left >= S - 1)
    if not all_seen and (causal or left != ABSENT):
        if causal:
            settings.append("causal=true" if offset == 0 else f"causal={_shift(offset, T, S)}")
        if left != ABSENT:
            ahead = 0 if causal or right == ABSENT else right
            settings.append(f"window={left}:{ahead}" if ahead else f"window={left}")
    if mode == LENGTHS:
        inputs["key_lengths"] = numbers[:, 0].clamp(max=end)
    if mode == DOCUMENTS:
        inputs["query_documents"] = numbers[:, begin + offset : begin + offset + T].contiguous()
        inputs["documents"] = numbers[:, begin:end].contiguous()
    return key, value


def _shift(offset: int, T: int, S: int) -> str:
    return "bottom_right" if offset == S - T else f"offset:{offset}"


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, mask)
