# SPDX-License-Identifier: MIT
"""A walk through heed_attention, cell by cell: it runs as a script, and editors that know `# %%`
show it as a notebook. What each cell prints stands behind it in comments that begin with "# >",
and the tests hold it against what it prints.

    python/examples/attention.py [models/]
"""

# %% An attention from its formula
import os
import pathlib
import sys

import numpy as np

import heed_attention as heed

MODELS = pathlib.Path(
    sys.argv[1]
    if len(sys.argv) > 1
    else os.environ.get("HEED_MODELS", pathlib.Path(__file__).resolve().parents[2] / "models")
)
rng = np.random.default_rng(1)
q, k, v = (rng.standard_normal((1, 12, 4, 16), dtype=np.float32) for _ in "qkv")  # B T H D
out = heed.run("attention/softmax(causal=true)", q=q, k=k, v=v)
s = np.einsum("bthd,bshd->bhts", q.astype(np.float64), k) / 4 + np.where(np.tri(12), 0, -np.inf)
exact = np.einsum("bhts,bshd->bthd", np.exp(s) / np.exp(s).sum(-1, keepdims=True), v)
print(out.shape, "off the formula by less than 1e-6:", bool(abs(out - exact).max() < 1e-6))
# > (1, 12, 4, 16) off the formula by less than 1e-6: True

# %% Another attention is another word
for spec in (
    "attention/softmax(causal=true, window=3)",
    "attention/softmax(causal=true, position=alibi)",
    "attention/linear",
):
    other = heed.run(spec, q=q, k=k, v=v)
    first = "as before" if np.allclose(other[:, 0], out[:, 0], atol=1e-6) else "differs"
    print(f"{spec}: token 0 {first}, token 11 differs: {not np.allclose(other[:, 11], out[:, 11])}")
# > attention/softmax(causal=true, window=3): token 0 as before, token 11 differs: True
# > attention/softmax(causal=true, position=alibi): token 0 as before, token 11 differs: True
# > attention/linear: token 0 differs, token 11 differs: True

# %% Token by token, with a cache, to the same bits
op = heed.Op("attention/softmax(causal=true)")
cache = op.sequence(G=4, D=16)
parts = [
    op(q=q[:, t : t + 1], k=k[:, t : t + 1], v=v[:, t : t + 1], sequences=[cache])
    for t in range(12)
]
print(len(cache), "tokens remembered; same bits:", bool((np.concatenate(parts, 1) == out).all()))
# > 12 tokens remembered; same bits: True

# %% What an op has, and what it costs
print(heed.describe("norm/rms").summary)
cost = op.estimate(q=q, k=k, v=v)
print(f"{cost['flops']:.0f} multiplications and additions")
# > root mean square normalisation, without centring
# > 19968 multiplications and additions

# %% A mistake is a sentence
try:
    heed.Op("attention/softmax(casual=true)")
except heed.HeedError as e:
    print(str(e).split(";")[1].strip())
# > nearest is "causal"

# %% A network that writes, and how well it reads
net = heed.Stack(MODELS / "plays.safetensors")
print(net.generate("ROMEO:", 40, temperature=0))
text = (MODELS / "sample.txt").read_bytes()[:2000]
print(f"{net.score(text):.3f} bits a byte of {len(text)}")
# > b'\nI will not speak to the sea of the sea '
# > 2.154 bits a byte of 2000

# %% A checkpoint of Hugging Face, by its folder: its own tokens, its own end
folder = MODELS / "checkpoints" / "llama"
tiny = heed.Stack(folder)
ids = tiny.tokenizer.encode("The king")
print(ids.tolist(), "is", repr(tiny.tokenizer.decode(ids)))
print(repr(tiny.generate("The king", 5, temperature=0)))
# > [1, 35, 34, 19, 18, 22, 16] is 'the king'
# > 'v;vyi'

# %% Vectors of texts
encoder = heed.Encoder(MODELS / "checkpoints" / "bert", l2=True)
vectors = encoder.embed(["the king", "the king", "a ship in the night"])
print(vectors.shape, f"cosines {vectors[0] @ vectors[1]:.2f}, {vectors[0] @ vectors[2]:.2f}")
# > (3, 16) cosines 1.00, 0.91
