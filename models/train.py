# SPDX-License-Identifier: MIT
"""Train a byte language model on the first 90 % of a text and test it on the rest.

    python3 models/train.py TEXT OUT.safetensors [--minutes N] [--threads N] [--seed N]

The learning rate follows the clock: a short warm-up, then a cosine that reaches its
floor when the minutes are over. OUT is rewritten at every report, so that a usable
model exists at all times; the last one is the trained model.
"""
import argparse
import math
import os
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from reference import Model, bits_per_byte, load, parse_spec

SPEC = ("vocab=256; width=128; layers=5; heads=4; kv_heads=2; context=256; residual=pre; "
        "norm=rms(eps=1e-5); attention=softmax(causal=true); position=rope(base=10000, pairs=half); "
        "feedforward=swiglu(hidden=368); tied=true; bos=10")
SIZE_LIMIT = 2_000_000      # bytes of the file
BATCH = 16                  # windows a step
RATE, FLOOR = 3e-3, 3e-5    # learning rate: peak and end
WARMUP = 0.02               # share of the time spent warming up
DECAY = 0.1                 # weight decay of the matrices
DROPOUT = 0.1
CLIP = 1.0                  # largest gradient norm
REPORTS = 10                # reports over the whole run


def initialise(model):
    """Small normal matrices; those that write to the residual stream are scaled by depth."""
    layers = model.spec["layers"]
    for name, p in model.named_parameters():
        if p.dim() == 2:
            std = 0.02 if name == "embed.table" else 0.5 / math.sqrt(p.shape[1])
            if name.endswith(("o.weight", "down")):
                std /= math.sqrt(2 * layers)
            torch.nn.init.normal_(p, std=std)


def learning_rate(done):
    """done: share of the time that has passed, 0 to 1."""
    if done < WARMUP:
        return RATE * (done + 1e-3) / (WARMUP + 1e-3)
    wave = 0.5 * (1 + math.cos(math.pi * min(1.0, (done - WARMUP) / (1 - WARMUP))))
    return FLOOR + (RATE - FLOOR) * wave


def optimiser(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                              {"params": gains, "weight_decay": 0.0}],
                             lr=RATE, betas=(0.9, 0.98), fused=True)


def save(model, path):
    """Write the weights as f16, and replace the file only when it is whole."""
    tensors = {name: p.detach().half().contiguous() for name, p in model.named_parameters()}
    save_file(tensors, path + ".part", metadata={"heed.spec": SPEC, "format": "pt"})
    os.chmod(path + ".part", 0o644)
    os.replace(path + ".part", path)
    size = os.path.getsize(path)
    if size > SIZE_LIMIT:
        raise SystemExit(f"{path}: {size} bytes, more than {SIZE_LIMIT}")


def main():
    args = argparse.ArgumentParser(description="Train a byte language model.")
    args.add_argument("text")
    args.add_argument("out")
    args.add_argument("--minutes", type=float, default=50)
    args.add_argument("--threads", type=int, default=os.cpu_count())
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    with open(a.text, "rb") as f:
        data = f.read()
    cut = len(data) * 9 // 10
    held_out = data[cut:]
    text = torch.tensor(list(data[:cut]))

    spec = parse_spec(SPEC)
    model = Model(spec, DROPOUT)
    initialise(model)
    save(model, a.out)
    opt = optimiser(model)
    offsets = torch.arange(spec["context"] + 1)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {os.path.getsize(a.out)} bytes, "
          f"{cut} bytes of training text, {len(held_out)} held out", flush=True)

    start, step, report, mean = time.time(), 0, 1, None
    done = 0.0
    while done < 1:
        for group in opt.param_groups:
            group["lr"] = learning_rate(done)
        begin = torch.randint(len(text) - spec["context"], (BATCH, 1))
        window = text[begin + offsets]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(window[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), window[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        opt.step()

        step += 1
        bits = loss.item() / math.log(2)
        mean = bits if mean is None else 0.98 * mean + 0.02 * bits
        done = (time.time() - start) / (60 * a.minutes)
        if report / REPORTS <= done < 1:
            report = math.floor(done * REPORTS) + 1
            save(model, a.out)
            print(f"{done * a.minutes:6.1f} min  step {step:6d}  training {mean:.4f}  "
                  f"held out {bits_per_byte(load(a.out), held_out):.4f} bits per byte", flush=True)
    save(model, a.out)
    print(f"{a.out}: {os.path.getsize(a.out)} bytes, {step} steps, "
          f"{step * BATCH * spec['context']} tokens, {(time.time() - start) / 60:.1f} minutes, "
          f"held out {bits_per_byte(load(a.out), held_out):.8f} bits per byte with f16 weights")


if __name__ == "__main__":
    main()
