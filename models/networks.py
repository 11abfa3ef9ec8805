# SPDX-License-Identifier: MIT
"""Small networks of every wiring in PyTorch, float64: the yardstick of tests/stack/test_networks.c.

    python3 models/networks.py >models/networks.json

A tensor's numbers follow from its name (`numbers`), so that no file of weights is needed: the test
makes the same ones. nn.Transformer and nn.TransformerEncoder are PyTorch's own; the wirings that it
does not have are written out below, from the formulas of their papers.
"""
import json
import math

import torch
import torch.nn.functional as F
from torch import nn

VOCAB, WIDTH, HEADS, HIDDEN, LAYERS, ENCODERS = 13, 16, 4, 24, 3, 2
SIZES = f"vocab={VOCAB}; width={WIDTH}; layers={LAYERS}; heads={HEADS}; "
TYPES = [0, 0, 0, 1, 1, 1, 0, 1]
TOKENS, SOURCE = [3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2]


def numbers(name, *shape):
    """FNV-1a of the name begins a linear congruential generator; 24 bits of each state are a number."""
    state = 0xcbf29ce484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001b3 % 2 ** 64
    out = []
    for _ in range(math.prod(shape)):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        out.append((state >> 40) / 2 ** 23 - 1)
    x = torch.tensor(out, dtype=torch.float64).reshape(shape)
    if len(shape) > 1:
        x = x * 2 / math.sqrt(shape[-1])
    elif name.endswith("gain"):
        x = 1 + x / 4
    return x.float().double()


def norm(x, name, kind="layer"):
    if kind == "rms":
        return F.rms_norm(x, x.shape[-1:], numbers(name + ".gain", x.shape[-1]), 1e-6)
    gain, bias = (numbers(f"{name}.{w}", x.shape[-1]) for w in ("gain", "bias"))
    return F.layer_norm(x, x.shape[-1:], gain, bias, 1e-5)


def linear(x, name, outputs):
    return F.linear(x, numbers(name + ".weight", outputs, x.shape[-1]), numbers(name + ".bias", outputs))


def attend(x, memory, name, causal, qk_norm=None):
    def heads(y):
        return y.unflatten(-1, (HEADS, -1)).transpose(0, 1)
    q, k, v = (heads(linear(y, f"{name}{w}", WIDTH)) for w, y in (("q", x), ("k", memory), ("v", memory)))
    if qk_norm:
        q, k = norm(q, name + "q_norm", qk_norm), norm(k, name + "k_norm", qk_norm)
    y = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]
    return linear(y.transpose(0, 1).flatten(1), name + "o", WIDTH)


def feedforward(x, name, kind):
    def map_of(y, port, outputs):
        return F.linear(y, numbers(f"{name}{port}", outputs, y.shape[-1]), numbers(f"{name}{port}_bias", outputs))
    up = map_of(x, "up", HIDDEN)
    act = {"relu": F.relu, "squared": lambda z: F.relu(z) ** 2, "gelu": F.gelu,
           "tanh": lambda z: F.gelu(z, approximate="tanh")}
    if kind in act:
        return map_of(act[kind](up), "down", WIDTH)
    gate = map_of(x, "gate", HIDDEN)
    gate = {"swiglu": F.silu, "geglu": act["gelu"], "geglu_tanh": act["tanh"]}[kind](gate)
    return map_of(gate * up, "down", WIDTH)


class Stack:
    """One side. `wire` is the wiring; sublayers are (name, function)."""

    def __init__(self, side, layers, wire, ff, causal, qk_norm=None, numbers_of=None, kind="layer"):
        self.side, self.layers, self.wire, self.ff, self.causal = side, layers, wire, ff, causal
        self.qk_norm, self.kind = qk_norm, kind
        self.alpha = numbers_of

    def sublayers(self, layer, memory):
        p = f"{self.side}layers.{layer}."
        yield p + "attention", lambda h: attend(h, h, p, self.causal, self.qk_norm)
        if memory is not None:
            yield p + "cross", lambda h: attend(h, memory, p + "cross.", False)
        yield p + "feedforward", lambda h: feedforward(h, p + "feedforward.", self.ff)

    def run(self, x, memory=None):
        wire, r = self.wire, x
        for layer in range(self.layers):
            start = x
            for name, f in self.sublayers(layer, memory):
                def n(y, suffix="_norm"):
                    return norm(y, name + suffix, self.kind)
                if wire == "pre":
                    x = x + f(n(x))
                elif wire == "post":
                    x = n(x + f(x))
                elif wire == "deepnorm":
                    x = n(self.alpha * x + f(x))
                elif wire == "sandwich":
                    x = x + n(f(n(x)), "_out_norm")
                elif wire == "parallel":
                    x = x + f(n(start))
                elif wire == "dual":
                    u = f(x)
                    r, x = r + u, n(x + u)
        final = f"{self.side}final_norm"
        if wire == "dual":
            return x + norm(r, final, self.kind)
        return x if wire in ("post", "deepnorm") else norm(x, final, self.kind)


def embed(tokens):
    return F.embedding(torch.tensor(tokens), numbers("embed.table", VOCAB, WIDTH))


def logits(x):
    return F.linear(x, numbers("output.weight", VOCAB, WIDTH))


def own(wire, ff, alphas=(1, 1), encoder=False, qk_norm=None, kind="layer", scale=1.0, embed_norm=False, cap=None):
    def prepare(tokens):
        x = embed(tokens) * scale
        return norm(x, "embed_norm", kind) if embed_norm else x
    memory = None
    if encoder:
        memory = Stack("encoder.", ENCODERS, wire, ff, False, qk_norm, alphas[1], kind).run(prepare_side(SOURCE, scale))
    x = Stack("", LAYERS, wire, ff, True, qk_norm, alphas[0], kind).run(prepare(TOKENS), memory)
    y = logits(x)
    return cap * torch.tanh(y / cap) if cap else y


def prepare_side(tokens, scale):
    return embed(tokens) * scale


def fill(layer, prefix, cross=False):
    """The numbers of one of PyTorch's layers."""
    def attention(module, name):
        module.in_proj_weight.copy_(torch.cat([numbers(f"{name}{w}.weight", WIDTH, WIDTH) for w in "qkv"]))
        module.in_proj_bias.copy_(torch.cat([numbers(f"{name}{w}.bias", WIDTH) for w in "qkv"]))
        module.out_proj.weight.copy_(numbers(name + "o.weight", WIDTH, WIDTH))
        module.out_proj.bias.copy_(numbers(name + "o.bias", WIDTH))
    attention(layer.self_attn, prefix)
    norms = {"attention": layer.norm1, "feedforward": layer.norm2}
    if cross:
        attention(layer.multihead_attn, prefix + "cross.")
        norms = {"attention": layer.norm1, "cross": layer.norm2, "feedforward": layer.norm3}
    for part, module in norms.items():
        fill_norm(module, f"{prefix}{part}_norm")
    for port, module in (("up", layer.linear1), ("down", layer.linear2)):
        module.weight.copy_(numbers(f"{prefix}feedforward.{port}", *module.weight.shape))
        module.bias.copy_(numbers(f"{prefix}feedforward.{port}_bias", *module.bias.shape))


def fill_norm(module, name):
    module.weight.copy_(numbers(name + ".gain", WIDTH))
    module.bias.copy_(numbers(name + ".bias", WIDTH))


def torchs_transformer(first, activation):
    t = nn.Transformer(WIDTH, HEADS, ENCODERS, LAYERS, HIDDEN, 0.0, activation, norm_first=first,
                       batch_first=True, dtype=torch.float64).eval()
    for i, layer in enumerate(t.encoder.layers):
        fill(layer, f"encoder.layers.{i}.")
    for i, layer in enumerate(t.decoder.layers):
        fill(layer, f"layers.{i}.", cross=True)
    fill_norm(t.encoder.norm, "encoder.final_norm")
    fill_norm(t.decoder.norm, "final_norm")
    mask = nn.Transformer.generate_square_subsequent_mask(len(TOKENS), dtype=torch.float64)
    return logits(t(embed(SOURCE)[None], embed(TOKENS)[None], tgt_mask=mask, tgt_is_causal=True)[0])


def torchs_encoder(typed=False):
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, dtype=torch.float64)
    t = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).eval()
    for i, one in enumerate(t.layers):
        fill(one, f"layers.{i}.")
    types = F.embedding(torch.tensor(TYPES), numbers("types.table", 2, WIDTH))
    return t(norm(embed(TOKENS) + types if typed else embed(TOKENS), "embed_norm")[None])[0]


def halt(layers, epsilon=0.01, ff="relu", wire="pre", shared=True, causal=True, learned=False, side="",
         tokens=TOKENS, memory=None, kind="layer"):
    """Adaptive computation time token by token, arXiv 1603.08983, over one layer that is run again and again,
    arXiv 1807.03819: a token that has halted keeps its state, and the others see that."""
    state = embed(tokens)
    total, spent = torch.zeros_like(state), torch.zeros(len(tokens), dtype=torch.float64)
    runs = torch.ones(len(tokens), dtype=torch.bool)
    steps, rest = torch.zeros(len(tokens)), torch.zeros(len(tokens), dtype=torch.float64)
    for n in range(layers):
        p = f"{side}layers.{0 if shared else n}."
        x = state
        if learned:
            x = x + numbers(f"{side}layers.{n}.position.table", 16, WIDTH)[:len(tokens)]
        chance = torch.sigmoid(linear(x, side + "halting", 1))[:, 0]
        halts = runs & (spent + chance >= 1 - epsilon) if n + 1 < layers else runs
        share = torch.where(halts, 1 - spent, chance)
        if wire == "pre":
            h = norm(x, p + "attention_norm", kind)
            h = x + attend(h, h, p, causal)
        else:
            h = norm(x + attend(x, x, p, causal), p + "attention_norm", kind)
        if memory is not None:
            h = h + attend(norm(h, p + "cross_norm", kind), memory, p + "cross.", False)
        after = h + feedforward(norm(h, p + "feedforward_norm", kind), p + "feedforward.", ff) if wire == "pre" \
            else norm(h + feedforward(h, p + "feedforward.", ff), p + "feedforward_norm", kind)
        total = total + torch.where(runs, share, 0.0)[:, None] * after
        state = torch.where(runs[:, None], after, state)
        steps, rest = steps + runs, rest + torch.where(halts, 1 - spent, 0.0)
        spent = spent + torch.where(runs, share, 0.0)
        runs = runs & ~halts
    assert (spent - 1).abs().max() < 1e-12
    return total if wire == "post" else norm(total, side + "final_norm", kind), steps, rest


def halting(layers, side="", **more):
    x, steps, rest = halt(layers, side=side, **more)
    assert side or len(set(steps.tolist())) > 1, steps
    return x, {"steps": steps.tolist(), "rest": [float(f"{r:.9g}") for r in rest]}


def experts(x, name, count, k, shared, over_all=False, ff="swiglu"):
    """arXiv 2401.04088, section 2.1."""
    scores = F.linear(x, numbers(name + "router.weight", count, WIDTH), numbers(name + "router.bias", count))
    top, chosen = scores.topk(k, -1)
    weights = torch.softmax(scores, -1).gather(-1, chosen) if over_all else torch.softmax(top, -1)
    y = sum((feedforward(x, f"{name}shared_experts.{e}.", ff) for e in range(shared)), torch.zeros_like(x))
    for t in range(len(x)):
        for w, e in zip(weights[t], chosen[t]):
            y[t] = y[t] + w * feedforward(x[t:t + 1], f"{name}experts.{e}.", ff)[0]
    return y


def mixture(count, k, shared=0, over_all=False, ff="swiglu"):
    x = embed(TOKENS)
    for layer in range(LAYERS):
        p = f"layers.{layer}."
        h = norm(x, p + "attention_norm")
        x = x + attend(h, h, p, True)
        h = norm(x, p + "feedforward_norm")
        x = x + (experts(h, p, count, k, shared, over_all, ff) if layer else feedforward(h, p + "feedforward.", ff))
    return logits(norm(x, "final_norm"))


NORM, SELF = "norm=layer(eps=1e-5); ", "attention=softmax(causal=true); biases=true; "
BOTH = SELF + f"cross_attention=softmax; encoder_layers={ENCODERS}; encoder_attention=softmax; "
LAYER = f"norm=layer(eps=1e-5); final_norm=layer(eps=1e-5); "


def ff(name, more=""):
    return f"feedforward={name}(hidden={HIDDEN}{more}); "


def halting_networks():
    act = f"vocab={VOCAB}; width={WIDTH}; heads={HEADS}; " + NORM + SELF + "halting=act; "
    once = act + "shared=true; layers=6; "
    x, ponder = halting(6)
    yield once + ff("relu"), logits(x), ponder
    x, ponder = halting(6, epsilon=0.1)
    yield once.replace("=act", "=act(epsilon=0.1)") + ff("relu"), logits(x), ponder
    x, ponder = halting(6, wire="post", ff="gelu", kind="rms")
    yield once.replace(NORM, "norm=rms; ") + ff("gelu") + "residual=post; ", logits(x), ponder
    x, ponder = halting(6, learned=True)
    yield once + ff("relu") + "position=[learned]; context=16; ", logits(x), ponder
    x, ponder = halting(4, shared=False)
    yield act + "layers=4; " + ff("relu"), logits(x), ponder
    x, ponder = halting(6, causal=False)
    yield once.replace("(causal=true)", "") + ff("relu") + "output=hidden; ", x, ponder
    memory, _ = halting(5, side="encoder.", tokens=SOURCE, causal=False)
    x, ponder = halting(6, memory=memory)
    yield once + ff("relu") + "cross_attention=softmax; encoder_layers=5; encoder_attention=softmax; ", \
        logits(x), ponder


def networks():
    root = (ENCODERS ** 4 * LAYERS) ** (1 / 16)
    yield SIZES + "residual=post; " + LAYER + BOTH + ff("relu"), torchs_transformer(False, "relu")
    yield SIZES + "residual=post; " + LAYER + BOTH + ff("gelu"), torchs_transformer(False, "gelu")
    yield SIZES + NORM + BOTH + ff("relu"), torchs_transformer(True, "relu")
    yield SIZES + NORM + BOTH + ff("gelu"), torchs_transformer(True, "gelu")
    bidirectional = SELF.replace("(causal=true)", "")
    yield SIZES + "embed_norm=layer; residual=post; " + NORM + bidirectional + ff("gelu") + "output=hidden", \
        torchs_encoder()
    mean = torchs_encoder().mean(0)
    yield SIZES + "embed_norm=layer; residual=post; " + NORM + bidirectional + ff("gelu") + \
        "output=tokens(by=mean, l2=true)", (mean / mean.norm())[None]
    pooled = torch.tanh(linear(torchs_encoder()[:1], "pooler", WIDTH))
    yield SIZES + "embed_norm=layer; residual=post; " + NORM + bidirectional + ff("gelu") + \
        "output=tokens(by=first); pooler=true; classes=3", linear(pooled, "output", 3)
    yield SIZES + "embed_norm=layer; residual=post; " + NORM + bidirectional + ff("gelu") + \
        "output=hidden; classes=5", linear(torchs_encoder(), "output", 5)
    yield SIZES + "types=2; embed_norm=layer; residual=post; " + NORM + bidirectional + ff("gelu") + "output=hidden", \
        torchs_encoder(typed=True)
    yield SIZES + NORM + SELF + ff("gelu", ", approximate=tanh"), own("pre", "tanh")
    yield SIZES + "residual=dual; " + NORM + SELF + ff("relu"), own("dual", "relu")
    yield SIZES + "residual=dual; " + NORM + BOTH + ff("relu"), own("dual", "relu", encoder=True)
    yield SIZES + "residual=parallel; " + NORM + SELF + ff("gelu"), own("parallel", "gelu")
    yield SIZES + "residual=sandwich; embed_scale=4; qk_norm=rms; softcap=3; norm=rms; " + SELF + \
        ff("geglu", ", approximate=tanh"), \
        own("sandwich", "geglu_tanh", qk_norm="rms", kind="rms", scale=4.0, cap=3.0)
    yield SIZES + "residual=deepnorm; " + NORM + SELF + ff("gelu"), own("deepnorm", "gelu", ((2 * LAYERS) ** 0.25, 1))
    yield SIZES + "residual=deepnorm; " + NORM + BOTH + ff("relu"), \
        own("deepnorm", "relu", ((3 * LAYERS) ** 0.25, 0.81 * root), encoder=True)
    yield SIZES + "norm=rms; " + SELF + ff("swiglu"), own("pre", "swiglu", kind="rms")
    yield SIZES + "embed_norm=rms; norm=rms; " + SELF + ff("relu", ", squared=true"), \
        own("pre", "squared", kind="rms", embed_norm=True)
    routed = SIZES + NORM + SELF + ff("swiglu")
    yield routed + "router=[none, top_k(experts=5) x2]", mixture(5, 2)
    yield routed + "router=[none, top_k(experts=5, k=3, over=all) x2]; shared_experts=2", mixture(5, 3, 2, True)
    yield SIZES + NORM + SELF + ff("relu") + "router=[none, top_k(experts=4, k=1, over=all) x2]", \
        mixture(4, 1, 0, True, "relu")


@torch.no_grad()
def main():
    lines = []
    for spec, y, *ponder in [*networks(), *halting_networks()]:
        more = "".join(f' "{k}": {json.dumps(v)},' for p in ponder for k, v in p.items())
        rows = ",\n   ".join(json.dumps([float(f"{v:.9g}") for v in row]) for row in y.tolist())
        lines.append(f'  {{"spec": {json.dumps(spec.strip("; "))},{more}\n   "results": [\n   {rows}]}}')
    head = f'"torch": "{torch.__version__}", "tokens": {TOKENS}, "source": {SOURCE}, "types": {TYPES}'
    print("{" + head + ', "networks": [\n' + ",\n".join(lines) + "]}")


if __name__ == "__main__":
    main()
