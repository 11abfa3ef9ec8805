# SPDX-License-Identifier: MIT
"""cases.py: what is timed. A case is a spec and a shape of heed, and the same work in words that a peer understands."""
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Case:
    family: str
    spec: str
    sizes: dict  # of axes, in the letters of --shape
    dtype: str = "f32"
    causal: bool = False
    window: int = 0  # keys that a query sees, itself among them; 0 = all
    documents: int = 0  # of one length, or where that does not come out, of two lengths
    layout: str = ""  # more words of --shape
    rule: str = ""  # of an attention with a recurrent state: "linear", "gated", "delta", "gated_delta"
    decode: int = 0  # tokens that its state has read when one more comes

    @property
    def kind(self):
        return self.spec.split("(")[0]

    @property
    def shape(self):
        return ",".join(f"{k}={v}" for k, v in self.sizes.items()) + self.layout

    @property
    def name(self):
        return f"{self.family}: {self.spec} {self.shape} {self.dtype}"

    def size(self, letter):
        follows = {"S": "T", "G": "H", "E": "D", "N": "M", "B": None}
        if letter in self.sizes:
            return self.sizes[letter]
        return self.size(follows[letter]) if follows[letter] else 1

    def allowed(self):
        """[T, S]: which keys a query sees; None = all."""
        t, s = np.arange(self.size("T"))[:, None], np.arange(self.size("S"))[None, :]
        see = np.ones((self.size("T"), self.size("S")), bool)
        if self.decode:  # the last one, which sees all
            return None
        if self.causal:
            see &= s <= t
        if self.window:
            see &= s > t - self.window
        if self.documents:
            see &= document_of(t, self) == document_of(s, self)
        return None if see.all() else see

    @cached_property
    def live_flops(self):
        """Of attention: two products for each query and key that it sees. Of a recurrent state of F x E numbers: one
        product to write to it and one to read from it, and for the delta rule one more to read what it replaces."""
        if self.rule:
            products = 3 if "delta" in self.rule else 2
            return 2 * products * self.size("B") * self.size("T") * self.size("H") * self.size("D") * self.size("E")
        see = self.allowed()
        pairs = self.size("T") * self.size("S") if see is None else int(see.sum())
        return 4 * pairs * self.size("B") * self.size("H") * self.size("D")

    @cached_property
    def data(self):
        """The tensors by port, of the case's dtype; bf16 as its bits."""
        B, T, H = self.size("B"), self.size("T"), self.sizes.get("H")
        if self.rule:
            return {name: aligned(a) for name, a in self.recurrent_data().items()}
        if self.kind == "attention/softmax":
            S, G, D = self.size("S"), self.size("G"), self.size("D")
            shapes = {"q": (B, T, H, D), "k": (B, S, G, D), "v": (B, S, G, D)}
        elif self.kind == "position/rope":
            shapes = {"x": (B, T, H, self.size("D"))}
        elif self.kind == "linear/projection":
            shapes = {"x": (T, self.size("M")), "weight": (self.size("N"), self.size("M"))}
        else:
            M = self.size("M")
            shapes = {"x": (T, M), "gain": (M,), **({"bias": (M,)} if self.kind == "norm/layer" else {})}
        draw = np.random.default_rng(1)
        made = {name: encode(draw.standard_normal(shape, np.float32), self.dtype) for name, shape in shapes.items()}
        if self.documents:
            made["documents"] = np.broadcast_to(document_of(np.arange(T), self), (B, T)).astype(np.int64)
        return {name: aligned(a) for name, a in made.items()}


    def recurrent_data(self):
        """Keys of length 1, as the delta rule needs them to stay bounded; beta in (0, 1); gate, a log decay, below 0."""
        B, H, G, D, E = (self.size(a) for a in "BHGDE")
        T = self.decode + self.size("T")
        draw = np.random.default_rng(1)
        made = {"q": (B, T, H, D), "k": (B, T, G, D), "v": (B, T, G, E)}
        made = {name: draw.standard_normal(shape, np.float32) for name, shape in made.items()}
        made["k"] /= np.linalg.norm(made["k"], axis=-1, keepdims=True)
        if "delta" in self.rule:
            made["beta"] = (1 / (1 + np.exp(-draw.standard_normal((B, T, G))))).astype(np.float32)
        if "gated" in self.rule:
            made["gate"] = (-0.1 * np.abs(draw.standard_normal((B, T, G)))).astype(np.float32)
        return made


def document_of(token, case):
    return token * case.documents // case.size("S")


def bounds(case):
    """Where each document begins and ends."""
    starts = np.flatnonzero(np.diff(document_of(np.arange(case.size("S")), case), prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], case.size("S")]))


# ---- numbers ----


def aligned(array):
    """A copy at a multiple of 64 bytes, where PyTorch and ONNX Runtime put their own; NumPy keeps to 16."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def encode(x, dtype):
    """From float32, rounded to nearest even."""
    if dtype == "bf16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.ascontiguousarray(x, np.float16 if dtype == "f16" else np.float32)


def decode(x):
    """To float32; 16-bit integers are bf16."""
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x.astype(np.float32)


# Most that an output may be off heed's, in units of its largest number or 1.
TOLERANCE = {"f32": 1e-4, "f16": 1e-2, "bf16": 4e-2}
ROTATION = 1e-3  # an angle that is formed in float32 is off by 1e-3 at position 4096

# ---- the list ----


def attention(family, settings="", dtype="f32", causal=False, window=0, documents=0, layout="", decode=0,
              **sizes):
    masks = [m for m in ("causal=true" if causal else "", f"window={window - 1}" if window else "", settings) if m]
    spec = f"attention/softmax({', '.join(masks)})" if masks else "attention/softmax"
    if decode:  # keys that one query sees, its own the last
        return Case(family, spec, {"B": 1, "T": 1, "S": decode, **sizes}, dtype, causal, layout=f",decode={decode}",
                    decode=decode - 1)
    layout += f",documents={documents}" if documents else ""
    return Case(family, spec, {"B": 1, **sizes}, dtype, causal, window, documents, layout)


RULES = {"linear": "attention/linear(causal=true, features=identity, normalise=false)",
         "gated": "attention/retention(causal=true, scale=1)",
         "delta": "attention/fast_weight(causal=true, features=identity, beta=given)",
         "gated_delta": "attention/gated_delta(causal=true, normalise_qk=false, beta=given, scale=1)"}


def recurrent(rule, decode=0, **sizes):
    ports = [p for p, of in (("beta", "delta"), ("gate", "gated")) if of in rule]
    layout = (f",decode={decode}" if decode else "") + (f",with={'+'.join(ports)}" if ports else "")
    return Case("recurrent decode" if decode else "recurrent", RULES[rule], {"B": 1, **sizes}, causal=True,
                layout=layout, rule=rule, decode=decode)


def cases():
    for causal in (False, True):
        for T in (512, 2048, 4096):
            yield attention("prefill", causal=causal, T=T, H=8, D=64)
        yield attention("prefill", causal=causal, T=2048, H=8, D=128)
    yield attention("groups", causal=True, T=2048, H=8, G=2, D=64)
    for T, window in ((2048, 256), (4096, 256), (4096, 1024)):
        yield attention("window", causal=True, window=window, T=T, H=8, D=64)
    for T, documents in ((2048, 8), (4096, 4), (4096, 32), (2048, 13), (4096, 61)):  # the last two are no batch
        yield attention("documents", causal=True, documents=documents, T=T, H=8, D=64)
    for D in (40, 72, 80, 96, 112):
        yield attention("widths", T=1024, H=8, D=D)
    for T in (16, 17, 32, 48, 63):
        yield attention("few queries", T=T, S=4096, H=8, D=64)
    for keys in (512, 4096, 16384, 65536):
        for H, G in ((8, 8), (32, 32), (32, 8), (64, 8)):
            for D in (64, 128):
                yield attention("decode", causal=True, decode=keys, H=H, G=G, D=D)
    yield attention("decode", "cache=f16", "f16", causal=True, decode=16384, H=32, G=8, D=128)
    for dtype in ("f16", "bf16"):
        for causal in (False, True):
            yield attention("half", dtype=dtype, causal=causal, T=2048, H=8, D=64)
        yield attention("half", dtype=dtype, T=2048, H=8, D=128)
    for op in ("norm/rms", "norm/layer"):
        for T in (64, 16384):  # in and out 512 KiB, and 128 MiB
            yield Case("norms", op, {"T": T, "M": 1024})
        yield Case("norms", op, {"T": 2048, "M": 4096}, "bf16")
    for T in (64, 4096):
        yield Case("rope", "position/rope(pairs=half)", {"B": 1, "T": T, "H": 8, "D": 64})
    for T, M, N in ((512, 512, 512), (2048, 2048, 2048), (1, 512, 512)):
        yield Case("gemm", "linear/projection", {"T": T, "M": M, "N": N})
    for N, M in ((128, 128), (64, 128), (368, 128), (128, 368), (256, 128)):  # models/plays.safetensors, a full context
        yield Case("model", "linear/projection", {"T": 256, "M": M, "N": N})
    for rule in RULES:
        for D in (64, 128):
            yield recurrent(rule, T=2048, H=16, D=D)
        yield recurrent(rule, T=1, H=16, D=128, decode=1000)
