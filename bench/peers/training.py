# SPDX-License-Identifier: MIT
"""Training steps of the embedded model's network a second: `heed train` beside PyTorch, in turns, on the same machine.

    bench/peers/.venv/bin/python bench/peers/training.py TEXT [--threads N] [--rounds N] [--json FILE]

PyTorch runs models/reference.py's network in float32 with scaled_dot_product_attention, eager and compiled, with AdamW
(fused), clipping and dropout as heed has them; heed's figure contains a report, which measures 128 windows. HEED names the
command. docs/benchmark.md tells how peers are measured.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "models"))
from reference import Model, parse_spec  # noqa: E402

SPEC = ("vocab=256; width=128; layers=5; heads=4; kv_heads=2; context=256; residual=pre; norm=rms(eps=1e-5); "
        "attention=softmax(causal=true); position=rope(base=10000, pairs=half); feedforward=swiglu(hidden=368); "
        "tied=true; bos=10")
BATCH, CONTEXT, DROPOUT, STEPS = 16, 256, 0.1, 100


class Torch:
    def __init__(self, data, compiled):
        torch.manual_seed(1)
        self.text, self.model = torch.tensor(list(data)), Model(parse_spec(SPEC), DROPOUT)
        for p in self.model.parameters():
            if p.dim() == 2:
                torch.nn.init.normal_(p, std=0.02)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
        self.steps(5)

    def steps(self, count):
        offsets = torch.arange(CONTEXT + 1)
        for _ in range(count):
            window = self.text[torch.randint(len(self.text) - CONTEXT, (BATCH, 1)) + offsets]
            loss = F.cross_entropy(self.forward(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()

    def rate(self):
        begin = time.perf_counter()
        self.steps(STEPS)
        return STEPS * BATCH * CONTEXT / (time.perf_counter() - begin)


class Heed:
    def __init__(self, text, threads):
        heed = os.environ.get("HEED", str(ROOT / "heed"))
        self.command = [heed, "train", SPEC, text, "--steps", str(STEPS), "--every", str(STEPS), "--json", "--threads",
                        str(threads), "--batch", str(BATCH), "--context", str(CONTEXT), "--dropout", str(DROPOUT)]

    def rate(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*self.command, "-o", os.path.join(folder, "m.safetensors")], capture_output=True,
                                  text=True)
        if done.returncode:
            sys.exit(f"training.py: {done.stderr.strip()}")
        return max(json.loads(line).get("tokens_per_second", 0) for line in done.stdout.splitlines())


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("text")
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json")
    a = arguments.parse_args()
    torch.set_num_threads(a.threads)
    with open(a.text, "rb") as f:
        data = f.read()
    contenders = {"heed": Heed(a.text, a.threads), "PyTorch, eager": Torch(data, False),
                  "PyTorch, compiled": Torch(data, True)}
    rates = {name: [] for name in contenders}
    for _ in range(a.rounds):
        for name, contender in contenders.items():
            rates[name].append(contender.rate())
    heed = statistics.median(rates["heed"])
    for name, r in rates.items():
        median = statistics.median(r)
        print(f"{name:18} {median:9.0f} tokens/s  spread {100 * (max(r) - min(r)) / median:3.0f} %  "
              f"heed is {heed / median:.2f} x as fast")
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"torch": torch.__version__, "threads": a.threads, "tokens_per_second": rates}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
