# SPDX-License-Identifier: MIT
"""Gradients and steps of small networks in PyTorch, float64: the yardstick of tests/train/test_train.c.

    python3 models/training.py >models/training.json

Two texts are learned. Of each weight's gradient two figures are recorded: its norm, and its product
with the numbers that follow from "d." and the weight's name (networks.numbers); then the losses
before each of some steps of AdamW, behind clipping, and after the last. Of the first
network the losses of steps of SGD with momentum too. Then the same of other tasks, whose texts have
different lengths: classes, pairs, and tokens that halt.
"""
import json
import re

import torch
import torch.nn.functional as F

import networks
import reference
from networks import BOTH, ENCODERS, HEADS, LAYERS, NORM, SELF, SIZES, VOCAB, WIDTH, Stack, ff

TEXTS = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [2, 7, 1, 8, 2, 8, 1, 8, 12]]
SAID, READ, LABELS, PONDER = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2]], [[2, 7, 1, 8, 2, 8], [3, 1, 4]], [2, 0], 0.1
STEPS, RATE, BETAS, EPSILON, DECAY, CLIP = 3, 0.01, (0.9, 0.98), 1e-8, 0.1, 1.0
SGD_RATE, MOMENTUM = 0.1, 0.99

made = networks.numbers
leaves = {}  # name: weight
shared = False


def numbers(name, *shape):
    """The weight of that name, made once; of layers that share them, that of the first."""
    if shared:
        name = re.sub(r"^layers\.\d+\.(?!position)", "layers.0.", name)
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


def of_classes(score):
    """The mean loss of the labels; `score` makes scores of a text."""
    return lambda: sum(F.cross_entropy(score(text)[None], torch.tensor([label]), reduction="sum")
                       for text, label in zip(SAID, LABELS)) / len(SAID)


def of_pairs(logits):
    """The mean loss of the next tokens; `logits` makes those of a text, which may attend to another, and what
    its tokens have spent."""
    def loss():
        total, count = 0, 0
        for text, source in zip(SAID, READ):
            y, spent = logits(text[:-1], source)
            total = total + F.cross_entropy(y, torch.tensor(text[1:]), reduction="sum") + PONDER * spent
            count += len(text) - 1
        return total / count
    return loss


def score_of(wire, kind, causal, pool, embed_norm=False, pooler=False):
    def score(text):
        x = networks.embed(text)
        x = networks.norm(x, "embed_norm") if embed_norm else x
        y = pool(Stack("", LAYERS, wire, kind, causal).run(x))
        y = torch.tanh(networks.linear(y, "pooler", WIDTH)) if pooler else y
        return networks.linear(y, "output", 3)
    return score


def answer_of(wire, kind, alphas=(1, 1)):
    def logits(text, source):
        memory = Stack("encoder.", ENCODERS, wire, kind, False, None, alphas[1]).run(networks.embed(source))
        x = Stack("", LAYERS, wire, kind, True, None, alphas[0]).run(networks.embed(text), memory)
        return networks.logits(x), 0
    return logits


LIMIT, RAMP, SPAN = 6, 3.0, 0.05


class Reaching(Stack):
    """Of attention/dynamic_span (arXiv 1905.07799, section 2): each token's heads look back as far as it asks for."""

    def sublayers(self, layer, memory):
        p, (_, rest) = f"layers.{layer}.", super().sublayers(layer, None)
        yield p + "attention", lambda h: self.reach(h, p)
        yield rest

    def reach(self, x, p):
        T, D = len(x), WIDTH // HEADS
        q, k, v = (networks.linear(x, p + w, WIDTH).unflatten(-1, (HEADS, D)).transpose(0, 1) for w in "qkv")
        z = LIMIT * torch.sigmoid(F.linear(x, numbers(p + "attention.span_weight", HEADS, WIDTH),
                                           numbers(p + "attention.span_bias", HEADS)))
        self.asked = self.asked + z.mean(1).sum()
        back = torch.arange(T)[:, None] - torch.arange(T)
        table = numbers("stack.distance_table", LIMIT, D)[(back - 1).clamp(0, LIMIT - 1)]
        score = (q @ k.transpose(1, 2) + torch.einsum("htd,tsd->hts", q, table)) / D ** 0.5
        soft = ((RAMP + z.T[:, :, None] - back) / RAMP).clamp(0, 1) * ((back > 0) & (back <= LIMIT))
        w = score.exp() * soft
        whole = w.sum(-1, keepdim=True)
        y = (w / torch.where(whole > 0, whole, 1)) @ v  # of no key: 0
        return networks.linear(y.transpose(0, 1).flatten(1), p + "o", WIDTH)


def reaching_of(wire, kind):
    def logits(text, _):
        stack = Reaching("", LAYERS, wire, kind, True)
        stack.asked = 0
        x = stack.run(networks.embed(text))
        return networks.logits(x), SPAN / PONDER * stack.asked
    return logits


def halting_of(layers, encodes=0, **more):
    def logits(text, source):
        memory, spent = None, 0
        if encodes:
            memory, steps, rest = networks.halt(encodes, tokens=source, side="encoder.", causal=False)
            spent = steps.sum() + rest.sum()
        x, steps, rest = networks.halt(layers, tokens=text, memory=memory, **more)
        return networks.logits(x), spent + steps.sum() + rest.sum()
    return logits


def tasks():
    def concat(x):
        return torch.cat([x[-1], x.max(0).values, x.mean(0)])

    def unit(x):
        y = x.max(0).values
        return y / y.norm()
    both = SELF.replace("(causal=true)", "")
    post = SIZES + "embed_norm=layer; residual=post; " + NORM + both + ff("gelu")
    yield (SIZES + NORM + SELF + ff("gelu") + "output=concat; classes=3",
           lambda: of_classes(score_of("pre", "gelu", True, concat)))
    yield (post + "output=concat; pooler=true; classes=3",
           lambda: of_classes(score_of("post", "gelu", False, concat, True, True)))
    yield (post + "output=tokens(by=first); pooler=true; classes=3",
           lambda: of_classes(score_of("post", "gelu", False, lambda x: x[0], True, True)))
    yield (SIZES + NORM + both + ff("relu") + "output=tokens(by=mean); classes=3",
           lambda: of_classes(score_of("pre", "relu", False, lambda x: x.mean(0))))
    yield (SIZES + NORM + both + ff("relu") + "output=tokens(by=max, l2=true); classes=3",
           lambda: of_classes(score_of("pre", "relu", False, unit)))
    root = (ENCODERS ** 4 * LAYERS) ** (1 / 16)
    yield SIZES + NORM + BOTH + ff("relu"), lambda: of_pairs(answer_of("pre", "relu"))
    yield SIZES + "residual=dual; " + NORM + BOTH + ff("gelu"), lambda: of_pairs(answer_of("dual", "gelu"))
    yield (SIZES + "residual=deepnorm; " + NORM + BOTH + ff("relu"),
           lambda: of_pairs(answer_of("deepnorm", "relu", ((3 * LAYERS) ** 0.25, 0.81 * root))))
    act = f"vocab={VOCAB}; width={WIDTH}; heads={HEADS}; " + NORM + SELF + "halting=act; "
    once = act + "shared=true; layers=6; "
    yield once + ff("relu"), lambda: of_pairs(halting_of(6))
    yield (once + ff("relu") + "position=[learned]; context=16; ", lambda: of_pairs(halting_of(6, learned=True)))
    yield act + "layers=4; " + ff("relu"), lambda: of_pairs(halting_of(4, shared=False))
    reaching = f"dynamic_span(limit={LIMIT}, ramp={RAMP:g}"
    yield (SIZES + NORM + SELF.replace("softmax(causal=true", reaching) + ff("gelu"),
           lambda: of_pairs(reaching_of("pre", "gelu")))
    yield (once + ff("relu") + "cross_attention=softmax; encoder_layers=5; encoder_attention=softmax; ",
           lambda: of_pairs(halting_of(6, 5)))


def figures(name, gradient):
    direction = made("d." + name, *gradient.shape)
    return [float(f"{x:.9g}") for x in (gradient.norm(), (gradient * direction).sum())]


def record(spec, build):
    global shared
    leaves.clear()
    shared = "shared=true" in spec
    loss_now = build()
    loss = loss_now()
    loss.backward()
    gradients = {name: figures(name, p.grad) for name, p in sorted(leaves.items())}
    matrices = [p for p in leaves.values() if p.dim() > 1]
    others = [p for p in leaves.values() if p.dim() < 2]
    adamw = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
                              lr=RATE, betas=BETAS, eps=EPSILON)
    return {"spec": spec.strip("; "), "losses": learn(adamw, loss_now), "gradients": gradients}


class Decayed(torch.optim.SGD):
    """SGD with momentum; matrices decay beside it, as AdamW has it."""

    def step(self):
        with torch.no_grad():
            for p in leaves.values():
                p.mul_(1 - SGD_RATE * DECAY if p.dim() > 1 else 1)
        super().step()


def learn(optimiser, loss_now):
    """The loss before each step, and behind the last."""
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = loss_now()
        losses.append(float(f"{loss.item():.9g}"))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves.values(), CLIP)
        optimiser.step()
    return losses + [float(f"{loss_now().item():.9g}")]


def momentum():
    leaves.clear()
    loss_now = next(iter(language_models()))[1]()
    loss_now()  # makes the weights
    return learn(Decayed(leaves.values(), lr=SGD_RATE, momentum=MOMENTUM), loss_now)


def rows(cases):
    return "[\n  " + ",\n  ".join(json.dumps(record(spec, build)) for spec, build in cases) + "]"


def language_models():
    for spec, build in cases():
        def loss(build=build):
            logits = build()
            return lambda: loss_of(logits)
        yield spec, loss


def main():
    networks.numbers = numbers
    head = {"torch": torch.__version__, "texts": TEXTS, "rate": RATE, "betas": BETAS, "epsilon": EPSILON,
            "decay": DECAY, "clip": CLIP, "momentum": MOMENTUM, "sgd_rate": SGD_RATE, "sgd_losses": momentum(),
            "said": SAID, "read": READ, "labels": LABELS, "ponder": PONDER,
            "span": SPAN}
    print(json.dumps(head)[:-1] + f', "networks": {rows(language_models())}, "tasks": {rows(tasks())}}}')


if __name__ == "__main__":
    main()
