# SPDX-License-Identifier: MIT
"""Two processes of torch.distributed share a text, and have the bits of one."""

import importlib.util
import os
import tempfile
import unittest

if importlib.util.find_spec("torch") is None:
    raise unittest.SkipTest("torch cannot be imported here")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

import heed_attention as heed  # noqa: E402

RANKS, B, T, H, G, D = 2, 1, 3333, 4, 2, 8
SPECS = ["attention/softmax(causal=true)", "attention/gated_delta(causal=true)"]
NET = (
    "vocab=256; width=16; layers=1; heads=2; attention=softmax(causal=true); position=rope; "
    "norm=rms; feedforward=swiglu(hidden=16)"
)


def tensors():
    g = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(B, T, h, D, generator=g) for h in (H, G, G))
    more = {"beta": torch.randn(B, T, G, generator=g), "gate": -torch.rand(B, T, G, generator=g)}
    return {"q": q, "k": k, "v": v}, more


def work(rank, where, ranks):
    """One rank: a call and a text of each op, and a network; what is wrong ends the process."""
    from heed_attention import distributed

    dist.init_process_group("gloo", init_method=f"file://{where}", rank=rank, world_size=ranks)
    heed.use(heed.Engine(1))
    group = distributed.Group(seconds=60)
    assert (group.rank, group.ranks) == (rank, ranks)
    shared, more = tensors()
    for spec in SPECS:
        op = heed.Op(spec)
        ports = shared | (more if "gate" in op.inputs else {})
        right = op(**ports)
        own = {p: group.take(a) if p in shared else a for p, a in ports.items()}
        out = group.run(op, queries=T, keys=T, **own)
        assert torch.equal(out, group.take(right)), spec
        text = group.sequence(op, H=H, G=G, D=D)
        for at in (slice(0, 40), slice(40, 41)):
            new = {p: a[:, at].contiguous() for p, a in ports.items()}
            assert torch.equal(group.attend(op, [text], **new), right[:, at]), spec
        text.free()
    net = heed.Stack(heed.Weights.random(NET), NET)
    alone = net.session().feed(list(range(200)), rows=3)
    group.spread(net)
    session = net.session()
    assert (session.feed(list(range(200)), rows=3) == alone).all()
    sent, received, waited = group.counted
    assert sent > 0 and received > 0 and waited >= 0
    try:  # the ranks do not agree
        group.run(op, queries=T, keys=T - rank, **own)
        raise AssertionError("other calls are not found")
    except heed.HeedError as e:
        assert rank == 1 or "rank 1" in str(e), str(e)  # who is wrong has its own sentence
    del session, net, text
    group.free()
    dist.destroy_process_group()


class Distributed(unittest.TestCase):
    @unittest.skipUnless(dist.is_available() and dist.is_gloo_available(), "PyTorch has no gloo")
    def test_two_processes(self):
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(work, args=(os.path.join(folder, "meet"), RANKS), nprocs=RANKS)

    @unittest.skipUnless(dist.is_available() and dist.is_gloo_available(), "PyTorch has no gloo")
    def test_one_process(self):
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(alone, args=(os.path.join(folder, "meet"),), nprocs=1)


def alone(rank, where):
    """A process that is its own group."""
    from heed_attention import distributed

    dist.init_process_group("gloo", init_method=f"file://{where}", rank=0, world_size=1)
    heed.use(heed.Engine(1))
    group = distributed.Group()
    op, (shared, _) = heed.Op(SPECS[0]), tensors()
    own = {p: group.take(a) for p, a in shared.items()}
    assert torch.equal(group.run(op, queries=T, keys=T, **own), op(**shared))
    dist.destroy_process_group()


if __name__ == "__main__":
    unittest.main()
