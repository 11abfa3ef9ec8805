# SPDX-License-Identifier: MIT
"""A byte language model in plain PyTorch, the yardstick for the engine.

    python3 models/reference.py MODEL.safetensors FILE            bits per byte of FILE
    python3 models/reference.py MODEL.safetensors --logits PROMPT logits after PROMPT
    python3 models/reference.py MODEL.safetensors FILE --record OUT.json --text TEXT
        all recorded figures; TEXT is the training text, whose last 10 % is the test

The numbers of the network come from the metadata entry "heed.spec" of the model.
Weights are stored as f16 and widened to f32; all arithmetic is f32, but that of "prefixes" f64.
"""
import argparse
import json
import math
import os
import re

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

PROMPTS = ("ROMEO:", "To be, or not to be", "First Citizen:\n")
PREFIXES = (1, 100, 257, 385)  # bytes of FILE, which are scored in float64


def parse_spec(text):
    """The spec as a dictionary, short names for long ones; refuses what this file does not implement."""
    s = dict(part.strip().split("=", 1) for part in text.split(";") if part.strip())
    s = {key: value.removeprefix(f"{key}/") for key, value in s.items()}
    for key, value in {"residual": "pre", "attention": "softmax(causal=true)", "tied": "true"}.items():
        if s.get(key, "pre") != value:
            raise ValueError(f"spec: {key} must be {value}, not {s.get(key)}")
    inner = {"norm": r"rms\(eps=([^,)]+)\)", "position": r"rope\((?:base=([^,)]+), *)?pairs=half\)",
             "feedforward": r"swiglu\(hidden=(\d+)\)"}
    found = {key: re.fullmatch(pattern, s.get(key, "")) for key, pattern in inner.items()}
    for key, match in found.items():
        if not match:
            raise ValueError(f"spec: unsupported {key}: {s.get(key)}")
    numbers = {key: int(s[key]) for key in ("vocab", "width", "layers", "heads", "kv_heads", "context", "bos")}
    return dict(numbers, eps=float(found["norm"][1]), base=float(found["position"][1] or 10000),
                hidden=int(found["feedforward"][1]))


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.gain


class Embed(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.table = nn.Parameter(torch.empty(vocab, width))


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate = nn.Parameter(torch.empty(hidden, width))
        self.up = nn.Parameter(torch.empty(hidden, width))
        self.down = nn.Parameter(torch.empty(width, hidden))

    def forward(self, x):
        return F.linear(F.silu(F.linear(x, self.gate)) * F.linear(x, self.up), self.down)


def rotate(x, cos, sin):
    """Rotary position on [batch, heads, time, D]: pairs (k, k + D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Layer(nn.Module):
    def __init__(self, s, dropout):
        super().__init__()
        width, d = s["width"], s["width"] // s["heads"]
        self.heads, self.groups = s["heads"], s["kv_heads"]
        self.attention_norm = Norm(width, s["eps"])
        self.q = nn.Linear(width, self.heads * d, bias=False)
        self.k = nn.Linear(width, self.groups * d, bias=False)
        self.v = nn.Linear(width, self.groups * d, bias=False)
        self.o = nn.Linear(self.heads * d, width, bias=False)
        self.feedforward_norm = Norm(width, s["eps"])
        self.feedforward = FeedForward(width, s["hidden"])
        self.dropout = nn.Dropout(dropout)

    def attend(self, x, cos, sin):
        def split(y, heads):
            return y.unflatten(-1, (heads, -1)).transpose(1, 2)
        q = rotate(split(self.q(x), self.heads), cos, sin)
        k = rotate(split(self.k(x), self.groups), cos, sin)
        v = split(self.v(x), self.groups)
        k, v = (t.repeat_interleave(self.heads // self.groups, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # scale 1/sqrt(D)
        return self.o(y.transpose(1, 2).flatten(2))

    def forward(self, x, cos, sin):
        x = x + self.dropout(self.attend(self.attention_norm(x), cos, sin))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


class Model(nn.Module):
    """Parameter names are the tensor names of the file."""

    def __init__(self, s, dropout=0.0):
        super().__init__()
        self.spec = s
        self.embed = Embed(s["vocab"], s["width"])
        self.layers = nn.ModuleList(Layer(s, dropout) for _ in range(s["layers"]))
        self.final_norm = Norm(s["width"], s["eps"])
        self.dropout = nn.Dropout(dropout)
        d = s["width"] // s["heads"]
        theta = s["base"] ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        angle = torch.arange(s["context"], dtype=torch.float64)[:, None] * theta
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, tokens):
        n = tokens.shape[1]
        x = self.dropout(F.embedding(tokens, self.embed.table))
        cos, sin = self.cos[:n].to(x), self.sin[:n].to(x)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.final_norm(x), self.embed.table)


def load(path):
    with safe_open(path, "pt") as f:
        model = Model(parse_spec(f.metadata()["heed.spec"]))
        model.load_state_dict({name: f.get_tensor(name).float() for name in f.keys()})
    return model.eval()


@torch.no_grad()
def bits_per_byte(model, data, batch=32):
    """Mean of -log2 p over data: windows of C tokens, stride C/2, each byte counted once."""
    c, n = model.spec["context"], len(data)
    x = torch.tensor(list(data))
    y = torch.cat((torch.tensor([model.spec["bos"]]), x))
    starts = range(0, max(n - c, 0) + c // 2, c // 2) if n > c else [0]
    full, tail = [s for s in starts if s + c <= n], [s for s in starts if s + c > n]
    groups = [full[i:i + batch] for i in range(0, len(full), batch)] + [[s] for s in tail]
    total = counted = 0
    for group in groups:
        width = min(c, n - group[0])
        logits = model(torch.stack([y[s:s + width] for s in group]))
        want = torch.stack([x[s:s + width] for s in group])
        loss = F.cross_entropy(logits.transpose(1, 2), want, reduction="none").double()
        for s, row in zip(group, loss):
            new = row[max(counted - s, 0):]
            total, counted = total + new.sum().item(), counted + len(new)
    assert counted == n
    return total / n / math.log(2)


@torch.no_grad()
def last_logits(model, prompt):
    """Logits after bos + prompt, recomputed from scratch; the prompt must fit the context."""
    tokens = [model.spec["bos"], *prompt]
    if len(tokens) > model.spec["context"]:
        raise ValueError("prompt longer than the context")
    return model(torch.tensor([tokens]))[0, -1]


def greedy(model, prompt, count=48):
    """The most likely continuation, and the smallest gap between the two best logits on the way."""
    out, gap = bytearray(prompt), math.inf
    for _ in range(count):
        best = last_logits(model, out).topk(2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        out.append(best.indices[0].item())
    return bytes(out[len(prompt):]), gap


def record(model, a):
    """The figures that other implementations are compared with, as a dictionary."""
    prompts = []
    for prompt in PROMPTS:
        logits = last_logits(model, prompt.encode())
        text, gap = greedy(model, prompt.encode())
        top = logits.topk(5)
        prompts.append({"prompt": prompt, "first_8": [round(v, 6) for v in logits[:8].tolist()],
                        "top_5_tokens": top.indices.tolist(),
                        "top_5": [round(v, 6) for v in top.values.tolist()],
                        "argmax": logits.argmax().item(), "greedy": text.decode("ascii"),
                        "greedy_smallest_gap": round(gap, 6)})
    with open(a.file, "rb") as f:
        sample = f.read()
    with open(a.text, "rb") as f:
        text = f.read()
    exact = load(a.model).double()
    return {"model": a.model, "file": a.file, "bits_per_byte": round(bits_per_byte(model, sample), 8),
            "prefixes": [[n, round(bits_per_byte(exact, sample[:n]), 8)] for n in PREFIXES],
            "held_out": {"what": f"last 10 % of {os.path.basename(a.text)}",
                         "bits_per_byte": round(bits_per_byte(model, text[len(text) * 9 // 10:]), 8)},
            "torch": torch.__version__,
            "command": f"python3 models/reference.py {a.model} {a.file} --record {a.record} "
                       f"--text {os.path.basename(a.text)}",
            "logits": prompts}


def main():
    args = argparse.ArgumentParser(description="Score a file with a byte model, or print logits.")
    args.add_argument("model")
    args.add_argument("file", nargs="?")
    args.add_argument("--logits", metavar="PROMPT")
    args.add_argument("--record", metavar="OUT.json")
    args.add_argument("--text", metavar="TEXT")
    a = args.parse_args()
    if a.file is None and a.logits is None:
        args.error("give FILE or --logits PROMPT")
    if a.record and not (a.file and a.text):
        args.error("--record needs FILE and --text")
    model = load(a.model)
    if a.record:
        with open(a.record, "w") as f:
            f.write(json.dumps(record(model, a), indent=2) + "\n")
        return
    if a.logits is not None:
        for token, value in enumerate(last_logits(model, a.logits.encode()).tolist()):
            print(f"{token} {value:.6f}")
    if a.file is not None:
        with open(a.file, "rb") as f:
            print(f"{bits_per_byte(model, f.read()):.8f}")


if __name__ == "__main__":
    main()
