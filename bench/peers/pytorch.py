# SPDX-License-Identifier: MIT
"""pytorch.py: PyTorch as its user would write it: eager, and with --compile flex_attention for masks."""
import numpy as np
import torch
import torch.nn.functional as F

from cases import bounds

name, version = "pytorch", torch.__version__
compiled = None  # flex_attention; eager, it forms all scores


def start(options):
    global compiled
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    if options.compile:
        from torch.nn.attention.flex_attention import flex_attention  # takes seconds
        compiled = torch.compile(flex_attention)


def tensor(array):
    t = torch.from_numpy(array)
    return t.view(torch.bfloat16) if array.dtype == np.uint16 else t


def form(function, read):
    """run, and its last output as a NumPy array."""
    kept = []

    def run():
        kept[:] = [function()]

    return run, lambda: read(kept[0]).float().numpy()


def attention(case):
    q, k, v = (tensor(case.data[p]).transpose(1, 2) for p in "qkv")
    dense = tuple(t.contiguous() for t in (q, k, v))  # heads first: the layout that it is said to like
    groups, see = {"enable_gqa": True} if case.size("G") != case.size("H") else {}, case.allowed()
    back = lambda out: out.transpose(1, 2)
    if case.decode:
        yield "sdpa, a cache that is there", *form(lambda: step(dense, groups), back)
        return
    if not (case.window or case.documents):
        for label, (q, k, v) in (("", (q, k, v)), (", heads first", dense)):
            yield "sdpa" + label, *form(lambda q=q, k=k, v=v: F.scaled_dot_product_attention(
                q, k, v, is_causal=case.causal, **groups), back)
        return
    mask = torch.from_numpy(see)
    yield "sdpa, mask", *form(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **groups), back)
    if compiled:
        yield "flex_attention, compiled", *form(flex(case, dense), back)
    if case.documents:
        parts = [tuple(t[:, :, a:b] for t in (q, k, v)) for a, b in bounds(case)]
        yield "sdpa, each document", *form(lambda: torch.cat(
            [F.scaled_dot_product_attention(*p, is_causal=case.causal, **groups) for p in parts], 2), back)
    if case.documents and case.size("T") % case.documents == 0:
        n = case.size("T") // case.documents
        batch = tuple(t.transpose(1, 2).reshape(case.documents, n, *t.shape[1:2], t.shape[3]).transpose(1, 2)
                      for t in (q, k, v))
        yield "sdpa, documents as a batch", *form(
            lambda: F.scaled_dot_product_attention(*batch, is_causal=case.causal, **groups),
            lambda out: out.transpose(1, 2).reshape(1, case.size("T"), out.shape[1], out.shape[3]))


def step(dense, groups):
    """The last key and value are written to where they belong, and one query sees all."""
    q, k, v = dense
    k[:, :, -1], v[:, :, -1] = k[:, :, -1].clone(), v[:, :, -1].clone()
    return F.scaled_dot_product_attention(q, k, v, **groups)


def flex(case, dense):
    from torch.nn.attention.flex_attention import create_block_mask
    document = torch.from_numpy(case.data["documents"][0]) if case.documents else None

    def sees(batch, head, t, s):
        see = s <= t  # the cases with masks are all causal
        see = see & (s > t - case.window) if case.window else see
        return see & (document[t] == document[s]) if case.documents else see

    blocks = create_block_mask(sees, None, None, case.size("T"), case.size("S"), device="cpu")
    return lambda: compiled(*dense, block_mask=blocks, enable_gqa=case.size("G") != case.size("H"))


def rope(case):
    x, half = tensor(case.data["x"]), case.size("D") // 2
    angle = np.arange(case.size("T"))[:, None] * 10000.0 ** (-np.arange(half)[None, :] / half)
    cos, sin = (torch.from_numpy(np.tile(f(angle), 2).astype(np.float32))[None, :, None, :] for f in (np.cos, np.sin))

    def rotate():
        a, b = x[..., :half], x[..., half:]
        return x * cos + torch.cat((-b, a), -1) * sin

    yield "eager", *form(rotate, lambda out: out)


def recurrent(case, chunk=64):
    """The chunked form of the papers (arXiv 2406.06484, section 3; 2412.06464, section 3.3): one product a chunk in
    place of one step a token."""
    B, T, H, D, E = (case.size(a) for a in "BTHDE")
    if case.decode or T % chunk or case.size("G") != H:
        return
    parts = {n: tensor(a).transpose(1, 2).reshape(B, H, T // chunk, chunk, *a.shape[3:]).contiguous()
             for n, a in case.data.items()}
    q, k, v = (parts[n] for n in "qkv")
    sees = torch.ones(chunk, chunk, dtype=torch.bool).tril()

    def run():
        total = parts["gate"].cumsum(-1) if "gate" in parts else torch.zeros(B, H, T // chunk, chunk)
        decay = (total[..., :, None] - total[..., None, :]).masked_fill(~sees, -torch.inf).exp()
        inner, values, keys = q @ k.mT * decay, v, None
        if "beta" in parts:
            beta = parts["beta"][..., None]
            below = (beta * (k @ k.mT) * decay).tril(-1)
            both = torch.cat((beta * v, beta * k * total.exp()[..., None]), -1)
            values, keys = torch.linalg.solve_triangular(
                below + torch.eye(chunk), both, upper=False, unitriangular=True).split((E, D), -1)
        state, out = torch.zeros(B, H, D, E), []
        for c in range(T // chunk):
            written = values[:, :, c] - keys[:, :, c] @ state if keys is not None else values[:, :, c]
            out.append(inner[:, :, c] @ written + q[:, :, c] * total[:, :, c, :, None].exp() @ state)
            last = total[:, :, c, -1:, None]
            state = last.exp() * state + (k[:, :, c] * (last - total[:, :, c, :, None]).exp()).mT @ written
        return torch.cat(out, 2)

    yield "chunked, eager", *form(run, lambda out: out.transpose(1, 2))


def forms(case):
    data = {n: tensor(a) for n, a in case.data.items()}
    if case.rule:
        yield from recurrent(case)
    elif case.kind == "attention/softmax":
        yield from attention(case)
    elif case.kind == "position/rope":
        yield from rope(case)
    elif case.kind == "linear/projection":
        yield "linear", *form(lambda: F.linear(data["x"], data["weight"]), lambda out: out)
    elif case.kind == "norm/rms":
        yield "rms_norm", *form(lambda: F.rms_norm(data["x"], (case.size("M"),), data["gain"], 1e-6), lambda out: out)
    elif case.kind == "norm/layer":
        yield "layer_norm", *form(lambda: F.layer_norm(data["x"], (case.size("M"),), data["gain"], data["bias"], 1e-5),
                                  lambda out: out)
