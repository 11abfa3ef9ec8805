# SPDX-License-Identifier: MIT
"""Gradients and steps of small networks in PyTorch, float64: the yardstick of tests/train/test_train.c.

    python3 models/training.py >models/training.json

Two texts are learned. Of each weight's gradient two figures are recorded: its norm, and its product
with the numbers that follow from "d." and the weight's name (networks.numbers); then the losses
before each of some steps of AdamW, behind clipping, and after the last.
"""
import json
import re

import torch
import torch.nn.functional as F

import networks
import reference
from networks import LAYERS, NORM, SELF, SIZES, ff

TEXTS = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [2, 7, 1, 8, 2, 8, 1, 8, 12]]
STEPS, RATE, BETAS, EPSILON, DECAY, CLIP = 3, 0.01, (0.9, 0.98), 1e-8, 0.1, 1.0

made = networks.numbers
leaves = {}  # name: weight
shared = False


def numbers(name, *shape):
    """The weight of that name, made once; of layers that share them, that of the first."""
    if shared:
        name = re.sub(r"^layers\.\d+\.", "layers.0.", name)
    if name not in leaves:
        leaves[name] = made(name, *shape).requires_grad_()
    return leaves[name]


def written_out(*args, **more):
    def logits(tokens):
        networks.TOKENS = tokens
        return networks.own(*args, **more)
    return logits


def rotary(spec):
    """The network of the embedded model, models/reference.py."""
    model = reference.Model(reference.parse_spec(spec)).double()
    model.cos, model.sin = model.cos.double(), model.sin.double()
    for name, p in model.named_parameters():
        leaves[name] = p
        p.data = made(name, *p.shape)
    return lambda tokens: model(torch.tensor([tokens]))[0]


ROTARY = ("vocab=13; width=16; layers=2; heads=4; kv_heads=2; context=16; residual=pre; norm=rms(eps=1e-5); "
          "attention=softmax(causal=true); position=rope(base=100, pairs=half); feedforward=swiglu(hidden=24); "
          "tied=true; bos=10")


def cases():
    yield ROTARY, lambda: rotary(ROTARY)
    for wire, kind, alpha in (("pre", "gelu", 1), ("post", "relu", 1), ("dual", "relu", 1), ("parallel", "gelu", 1),
                              ("deepnorm", "gelu", (2 * LAYERS) ** 0.25)):
        yield (SIZES + f"residual={wire}; " + NORM + SELF + ff(kind),
               lambda wire=wire, kind=kind, alpha=alpha: written_out(wire, kind, (alpha, 1)))
    yield (SIZES + "residual=sandwich; embed_scale=4; qk_norm=rms; norm=rms; " + SELF +
           ff("geglu", ", approximate=tanh"),
           lambda: written_out("sandwich", "geglu_tanh", qk_norm="rms", kind="rms", scale=4.0))
    yield (SIZES + "embed_norm=rms; norm=rms; shared=true; " + SELF + ff("relu", ", squared=true"),
           lambda: written_out("pre", "squared", kind="rms", embed_norm=True))


def loss_of(logits):
    losses = [F.cross_entropy(logits(text[:-1]), torch.tensor(text[1:]), reduction="sum") for text in TEXTS]
    return sum(losses) / sum(len(text) - 1 for text in TEXTS)


def figures(name, gradient):
    direction = made("d." + name, *gradient.shape)
    return [float(f"{x:.9g}") for x in (gradient.norm(), (gradient * direction).sum())]


def record(spec, build):
    global shared
    leaves.clear()
    shared = "shared=true" in spec
    logits = build()
    loss = loss_of(logits)
    loss.backward()
    gradients = {name: figures(name, p.grad) for name, p in sorted(leaves.items())}
    matrices = [p for p in leaves.values() if p.dim() > 1]
    others = [p for p in leaves.values() if p.dim() < 2]
    adamw = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
                              lr=RATE, betas=BETAS, eps=EPSILON)
    losses = []
    for _ in range(STEPS):
        adamw.zero_grad()
        loss = loss_of(logits)
        losses.append(float(f"{loss.item():.9g}"))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves.values(), CLIP)
        adamw.step()
    losses.append(float(f"{loss_of(logits).item():.9g}"))
    return {"spec": spec.strip("; "), "losses": losses, "gradients": gradients}


def main():
    networks.numbers = numbers
    head = {"torch": torch.__version__, "texts": TEXTS, "rate": RATE, "betas": BETAS, "epsilon": EPSILON,
            "decay": DECAY, "clip": CLIP}
    rows = ",\n  ".join(json.dumps(record(spec, build)) for spec, build in cases())
    print(json.dumps(head)[:-1] + ', "networks": [\n  ' + rows + "]}")


if __name__ == "__main__":
    main()
