# SPDX-License-Identifier: MIT
"""PyTorch: the op under torch.compile, modules with weights, and what is refused."""

import functools
import importlib.util
import unittest

if importlib.util.find_spec("torch") is None:
    raise unittest.SkipTest("torch cannot be imported here")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import heed_attention as heed  # noqa: E402
from heed_attention import nn as heed_nn  # noqa: E402
from heed_attention import torch as heed_torch  # noqa: E402

B, T, H, D = 2, 9, 4, 16
SPEC = "attention/softmax(causal=true)"
VARIANTS = {  # spec -> the sizes that its weights need
    "attention/softmax(causal=true)": {},
    "attention/softmax(causal=true, window=4, sinks=1)": {},
    "attention/softmax(causal=true, position=alibi)": {},
    "attention/softmax(causal=true, position=t5)": dict(H=H),
    "attention/window(left=3)": {},
    "attention/transformer_xl(causal=true, memory=64)": dict(H=H, D=D),
    "attention/shaw(causal=true)": dict(D=D, R=7),
    "attention/synthesizer_dense(causal=true)": dict(D=D, W=H, C=32),
    "attention/adaptive_span(limit=8)": dict(H=H),
    "attention/linear": {},
    "attention/gated_delta": {},
}


def heads(seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(B, T, H, D, generator=g).to(dtype) for _ in "qkv"]


class Layer(torch.nn.Module):
    def __init__(self, spec, axes):
        super().__init__()
        self.inputs = torch.nn.Linear(H * D, 3 * H * D)
        self.gates = torch.nn.Linear(H * D, 2 * H)
        self.attention = heed_nn.Attention(spec, **axes)
        known = heed_torch.ports(spec)
        self.beta = "beta" in known
        self.gate = "gate" in known
        self.output = torch.nn.Linear(H * D, H * D)

    def forward(self, x):
        q, k, v = self.inputs(x).unflatten(-1, (3, H, D)).unbind(2)
        beta, gate = self.gates(x).sigmoid().unflatten(-1, (2, H)).unbind(2)
        more = ({"beta": beta} if self.beta else {}) | ({"gate": -gate} if self.gate else {})
        return x + self.output(self.attention(q, k, v, **more).flatten(2))


class Torch(unittest.TestCase):
    def test_numbers(self):
        q, k, v = heads()
        expected = F.scaled_dot_product_attention(
            *(t.transpose(1, 2) for t in (q, k, v)), is_causal=True
        )
        out = heed_torch.run(SPEC, q=q, k=k, v=v)
        torch.testing.assert_close(out, expected.transpose(1, 2), atol=2e-6, rtol=0)
        seen = heed.run(SPEC, q=q, k=k, v=v)
        self.assertIsInstance(seen, torch.Tensor)
        self.assertTrue(torch.equal(out, seen))
        arrays = heed.run(SPEC, q=q.numpy(), k=k.numpy(), v=v.numpy())
        np.testing.assert_array_equal(out.numpy(), arrays)
        turned = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
        self.assertTrue(torch.equal(heed_torch.run(SPEC, **dict(zip("qkv", turned))), out))

    def test_dtypes(self):
        for dtype in (torch.float16, torch.bfloat16):
            q, k, v = heads(dtype=dtype)
            out, lse = heed_torch.run(SPEC, q=q, k=k, v=v, want=["out", "lse"])
            self.assertEqual((out.dtype, lse.dtype), (dtype, torch.float32))
            exact = heed_torch.run(SPEC, q=q.float(), k=k.float(), v=v.float())
            self.assertTrue(torch.equal(out, exact.to(dtype)))

    def test_opcheck(self):
        q, k, v = heads()
        gain = torch.ones(D)
        for arguments in (
            (SPEC, "q,k,v", [q, k, v], "out,lse"),
            ("attention/softmax", "q,k,v", [t.bfloat16() for t in (q, k, v)], "out"),
            ("attention/softmax", "q,k,v,key_lengths", [q, k, v, torch.tensor([3, 9])], "out"),
            ("norm/rms", "x,gain", [q, gain], "out"),
            ("linear/projection", "x,weight", [q, torch.randn(24, D)], "out"),
        ):
            with self.subTest(arguments[0]):
                told = torch.library.opcheck(torch.ops.heed.run.default, arguments)
                self.assertEqual(set(told.values()), {"SUCCESS"})

    @torch.no_grad()
    def test_compile(self):
        x = torch.randn(B, T, H * D, generator=torch.Generator().manual_seed(3))
        for spec, axes in VARIANTS.items():
            with self.subTest(spec):
                torch._dynamo.reset()
                torch.manual_seed(1)
                model = torch.nn.Sequential(Layer(spec, axes), Layer(spec, axes))
                compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
                torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=1e-5)
                torch.testing.assert_close(
                    compiled(x[:, :5]), model(x[:, :5]), atol=1e-5, rtol=1e-5
                )
                self.assertTrue(torch.isfinite(model(x)).all())

    @torch.no_grad()
    def test_weights_that_change(self):
        model = heed_nn.Operator("norm/rms", optional=["gain"], M=D)
        self.assertEqual(list(model.state_dict()), ["gain"])
        x = torch.randn(3, D)
        before = model(x=x)
        model.gain.mul_(2)
        torch.testing.assert_close(model(x=x), 2 * before)
        model.load_state_dict({"gain": torch.full((D,), 3.0)})
        torch.testing.assert_close(model(x=x), 3 * before)
        inner = heed_nn.Attention("attention/softmax(position=t5)", H=H)
        self.assertEqual(list(inner.state_dict()), ["position.table"])
        sinks = heed_nn.Attention("attention/softmax", optional=["sink_logits"], H=H)
        self.assertEqual(tuple(sinks.sink_logits.shape), (H,))
        with torch.inference_mode():
            made = heed_nn.Operator("norm/rms", optional=["gain"], M=D)
            made.gain.mul_(2)
            torch.testing.assert_close(made(x=x), 2 * before)

    def same_gradients(self, tensors, ours, right):
        """Gradients of a weighted sum, ours and those of eager PyTorch in float64."""
        mine = {p: t.clone().requires_grad_() for p, t in tensors.items()}
        theirs = {p: t.double().requires_grad_() for p, t in tensors.items()}
        out, exact = ours(**mine), right(**theirs)
        d = torch.randn(out.shape)
        out.backward(d)
        exact.backward(d.double())
        for p in tensors:
            norm = theirs[p].grad.norm()
            self.assertLess((mine[p].grad.double() - theirs[p].grad).norm(), 1e-5 * norm, p)

    def test_gradients(self):
        def sdpa(q, k, v, causal=True):
            heads_first = (t.transpose(1, 2) for t in (q, k, v))
            return F.scaled_dot_product_attention(*heads_first, is_causal=causal).transpose(1, 2)

        def swiglu(x, gate, up, down):
            return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)

        def gelu(x, up, up_bias, down):
            return F.linear(F.gelu(F.linear(x, up, up_bias)), down)

        def linear(x, weight, bias):
            return F.linear(x, weight, bias)

        def phi(x):
            return F.elu(x) + 1

        def kernel(q, k, v):  # arXiv 2006.16236, equation 7
            weights = torch.einsum("bthd,bshd->bhts", phi(q), phi(k)).tril()
            rows = weights / (weights.sum(-1, keepdim=True) + 1e-6)
            return torch.einsum("bhts,bshd->bthd", rows, v)

        def biased(q, k, v, bias):
            heads_first = (t.transpose(1, 2) for t in (q, k, v))
            return F.scaled_dot_product_attention(*heads_first, attn_mask=bias).transpose(1, 2)

        def loss(logits):
            return F.cross_entropy(logits, targets, reduction="none")

        def nll(logits):
            return run("loss/cross_entropy", want="nll", logits=logits, targets=targets)

        q, k, v = heads()
        x, w, u = torch.randn(5, 12), torch.randn(7, 12), torch.randn(12, 7)
        b, gain = torch.randn(7), torch.randn(12)
        targets = torch.tensor([1, 0, -100, 5, 6])
        run = heed_torch.run
        norms = {
            "norm/layer": lambda x, gain, bias: F.layer_norm(x, (12,), gain, bias),
            "norm/rms": lambda x, gain: x / (x.square().mean(-1, True) + 1e-6).sqrt() * gain,
        }
        for spec, tensors, right in [
            (SPEC, dict(q=q, k=k, v=v), sdpa),
            ("attention/softmax", dict(q=q, k=k, v=v), lambda **t: sdpa(causal=False, **t)),
            ("attention/softmax", dict(q=q, k=k, v=v, bias=torch.randn(1, 1, T, T)), biased),
            ("attention/linear(causal=true)", dict(q=q, k=k, v=v), kernel),
            ("linear/projection", dict(x=x, weight=w, bias=b), linear),
            ("norm/layer", dict(x=x, gain=gain, bias=gain), norms["norm/layer"]),
            ("norm/rms", dict(x=x, gain=gain), norms["norm/rms"]),
            ("feedforward/swiglu", dict(x=x, gate=w, up=w + 1, down=u), swiglu),
            ("feedforward/gelu", dict(x=x, up=w, up_bias=b, down=u), gelu),
        ]:
            with self.subTest(spec):
                self.same_gradients(tensors, functools.partial(run, spec), right)
        with self.subTest("loss/cross_entropy"):
            self.same_gradients(dict(logits=torch.randn(5, 7)), nll, loss)

    def test_relative_gradients(self):
        """Tables by distance, Transformer-XL's weights and T5's table, which an op inside has."""
        at = torch.arange(T)
        behind = at[:, None] - at[None, :]

        def attend(q, k, v, more, values=0):
            scores = torch.einsum("bthd,bshd->bhts", q, k) * D**-0.5 + more
            rows = scores.masked_fill(behind < 0, -torch.inf).softmax(-1)
            return torch.einsum("bhts,bshd->bthd", rows, v) + values

        def shaw(q, k, v, relative_keys):  # arXiv 1803.02155, equation 4
            table = relative_keys[(-behind).clamp(-2, 2) + 2]
            return attend(q, k, v, torch.einsum("bthd,tsd->bhts", q, table) * D**-0.5)

        def xl(q, k, v, relative_weight, content_bias, position_bias):  # arXiv 1901.02860, 3.3
            n = relative_weight.shape[-1]
            angle = at[:, None] * 10000 ** (-torch.arange(0, n, 2) / n).double()
            encoded = torch.cat([angle.sin(), angle.cos()], -1)
            r = torch.einsum("hdm,pm->phd", relative_weight, encoded)[behind.clamp(0)]
            more = torch.einsum("bthd,tshd->bhts", q + position_bias, r) * D**-0.5
            return attend(q + content_bias, k, v, more)

        def t5(q, k, v, table):  # nearer than 8 each distance has its bucket
            return attend(q, k, v, table[behind.clamp(0)].permute(2, 0, 1))

        q, k, v = (t[:, :8] for t in heads())
        at, behind = at[:8], behind[:8, :8]
        qkv = dict(q=q, k=k, v=v)
        causal = "(causal=true)"
        for spec, weights, right in [
            ("attention/shaw" + causal, dict(relative_keys=torch.randn(5, D)), shaw),
            (
                "attention/transformer_xl(causal=true, memory=8)",
                dict(
                    relative_weight=torch.randn(H, D, 6),
                    content_bias=torch.randn(H, D),
                    position_bias=torch.randn(H, D),
                ),
                xl,
            ),
        ]:
            with self.subTest(spec):
                run = functools.partial(heed_torch.run, spec)
                self.same_gradients({**qkv, **weights}, run, right)
        table = torch.randn(32, H)

        def inside(table, **heads):
            return heed_torch.run(
                "attention/softmax(causal=true, position=t5)",
                **{"position.table": table},
                **heads,
            )

        with self.subTest("position.table"):
            self.same_gradients(dict(table=table, **qkv), inside, t5)

    def test_opcheck_of_gradients(self):
        q, k, v = (t.requires_grad_() for t in heads())
        torch.library.opcheck(torch.ops.heed.run, (SPEC, "q,k,v", [q, k, v], "out,lse"))
        gain = torch.ones(D, requires_grad=True)
        torch.library.opcheck(torch.ops.heed.run, ("norm/rms", "x,gain", [q, gain], "out"))

    def test_a_step(self):
        model = heed_nn.Operator("norm/rms", optional=["gain"], M=D)
        x = torch.randn(3, D)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        compiled(x=x).square().sum().backward()
        expected = 2 * (x / (x.square().mean(-1, True) + 1e-6).sqrt()).square().sum(0)
        torch.testing.assert_close(model.gain.grad, expected)
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        torch.testing.assert_close(model.gain.detach(), 1 - 0.1 * expected)

    def test_refused(self):
        q, k, v = heads()
        with self.assertRaisesRegex(heed.HeedError, "has no backward; these have: "):
            q_learned = q.clone().requires_grad_()
            heed_torch.run("compare/rows", x=q_learned, y=k).sum().backward()
        with self.assertRaisesRegex(TypeError, "q: the tensor is on meta"):
            heed.run(SPEC, q=q.to("meta"), k=k, v=v)
        with self.assertRaisesRegex(TypeError, "q: a tensor of layout torch.sparse_coo"):
            heed.run(SPEC, q=q.to_sparse(), k=k, v=v)
        with self.assertRaisesRegex(TypeError, "heed has no dtype torch.complex64"):
            heed.run(SPEC, q=q.to(torch.complex64), k=k, v=v)
        with self.assertRaisesRegex(heed.HeedError, 'nearest is "causal"'):
            heed_torch.run("attention/softmax(causl=true)", q=q, k=k, v=v)
        with self.assertRaisesRegex(heed.HeedError, "the size of R .* must be given"):
            heed_nn.Attention("attention/shaw", D=D)
        with self.assertRaisesRegex(heed.HeedError, 'no weight named "sink"'):
            heed_nn.Attention(SPEC, optional=["sink"])
        with self.assertRaisesRegex(heed.HeedError, "attention/softmaks"):
            heed_nn.Attention("attention/softmaks")


if __name__ == "__main__":
    unittest.main()
