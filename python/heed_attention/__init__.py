# SPDX-License-Identifier: MIT
"""heed: transformer attention on CPUs, by operators that are plugins.

    import heed_attention as heed
    out = heed.run("attention/softmax(causal=true)", q=q, k=k, v=v)  # NumPy, PyTorch, DLPack

    run, Op, Sequence, Bound        one op
    Stack, Session, Weights         a network, or the folder of a checkpoint
    Encoder, Tokenizer              vectors of texts; texts as tokens
    list, describe                  what there is
    bench, check, command           the command `heed`
    Engine, use                     threads, paths, plugins
    HeedError                       what was refused, and why

heed_attention.torch and heed_attention.nn are for PyTorch, heed_attention.distributed for its
processes that share a text, heed_attention.transformers for Hugging Face;
heed_attention.benchmark sets heed beside PyTorch in your own process.
"""

from ._command import Record, bench, check, command
from ._describe import Description, OpInfo, Param, Port, describe, list
from ._library import Engine, HeedError, use
from ._op import Bound, Op, Sequence, Weights, run
from ._stack import Encoder, Session, Stack
from ._text import Tokenizer

__version__ = "0.1.0"
__all__ = [
    "Bound",
    "Description",
    "Encoder",
    "Engine",
    "HeedError",
    "Op",
    "OpInfo",
    "Param",
    "Port",
    "Record",
    "Sequence",
    "Session",
    "Stack",
    "Tokenizer",
    "Weights",
    "bench",
    "check",
    "command",
    "describe",
    "list",
    "run",
    "use",
]
