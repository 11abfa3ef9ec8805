# SPDX-License-Identifier: MIT
"""peers.py: heed beside its peers: in turns, in one process, on the same data. docs/benchmark.md tells the method."""
import argparse
import datetime
import fnmatch
import importlib
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np

from cases import ROTATION, TOLERANCE, cases
from heed import Heed, Refused

MODULES = ("pytorch", "onnx_runtime", "openblas", "ggml")
here = pathlib.Path(__file__).resolve().parent

# ---- one contender ----


def batch_size(run):
    """Calls that are timed at once, so that they take a millisecond."""
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            run()
        if time.perf_counter() - start > 1e-3 or n >= 1 << 16:
            return n
        n *= 2


def best(run, n, seconds, runs=5):
    """Seconds of the fastest call: of `runs` at least and in `seconds` at least, but no new one after a second."""
    fastest, begun, done = float("inf"), time.perf_counter(), 0
    while not done or done < runs and time.perf_counter() - begun < 1 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        for _ in range(n):
            run()
        fastest = min(fastest, (time.perf_counter() - start) / n)
        done += 1
    return fastest


class Contender:
    def __init__(self, name, form, run, difference):
        self.name, self.form, self.run, self.difference = name, form, run, difference
        self.batch, self.times, self.fractions = batch_size(run), [], []

    def median(self):
        return statistics.median(self.times)

    def spread(self):
        return (max(self.times) - min(self.times)) / self.median()


def fastest_form(peer, case, expected, problems):
    """The fastest form in which a peer does the case; None = it can not, or does something else."""
    tried, allowed = [], max(TOLERANCE[case.dtype], ROTATION if case.kind == "position/rope" else 0)
    for form, run, result in peer.forms(case):
        run()
        difference = float(np.max(np.abs(result().reshape(expected.shape) - expected)))
        if not difference <= allowed * max(1.0, float(np.max(np.abs(expected)))):
            problems.append(f"{case.name}: {peer.name}, {form}: off heed's result by {difference:.2g}, so not timed")
            print(" ", problems[-1])
            continue
        c = Contender(peer.name, form, run, difference)
        tried.append((best(run, c.batch, 0, 2), c))
    return min(tried, key=lambda t: t[0])[1] if tried else None


# ---- one case ----


def measure(case, heed, peers, options, problems):
    """The case's entry of the record, and the peaks of its rounds; None = heed refuses it."""
    try:
        heed.explain(case)
        path, run, result = heed.contender(case)
    except Refused as e:
        print(f"{case.name}: skipped: {e}")
        return None
    run()
    expected = result().copy()
    us = Contender("heed", path, run, 0.0)
    others = [c for c in (fastest_form(p, case, expected, problems) for p in peers) if c]
    contenders, records = [us, *others], []
    for _ in range(options.rounds):
        record = heed.explain(case)
        cost = record["cases"][0]
        if case.kind == "attention/softmax" or case.rule:
            cost["flops"] = case.live_flops
        elif cost["flops"] is None:  # then the bytes were counted from tensors, with an output of f32
            cost["bytes"] = sum(a.nbytes for a in case.data.values()) + case.data["x"].nbytes
        amount = cost["flops"] if cost["limit"] == "fma" else cost["bytes"]
        for c in contenders:
            c.times.append(best(c.run, c.batch, options.seconds))
            c.fractions.append(amount / c.times[-1] * 1e-9 / cost["peak"])
        records.append(record)
    return entry(case, us, others, records), records


def entry(case, us, others, records):
    cost = records[0]["cases"][0]
    ratios = {c.name: [t / u for t, u in zip(c.times, us.times)] for c in others}
    peers = [{"name": c.name, "form": c.form, "median_s": c.median(), "spread": c.spread(),
              "fraction": statistics.median(c.fractions), "ratio": statistics.median(ratios[c.name]),
              "ratio_low": min(ratios[c.name]), "ratio_high": max(ratios[c.name]), "max_difference": c.difference}
             for c in others]
    return {"family": case.family, "spec": cost["spec"], "path": us.form, "threads": cost["threads"],
            "shape": cost["shape"], "dtype": case.dtype, "median_s": us.median(), "spread": us.spread(),
            "limit": cost["limit"], "peak": statistics.median(r["cases"][0]["peak"] for r in records),
            "fraction": statistics.median(us.fractions), "flops": cost["flops"], "bytes": cost["bytes"],
            "hash": None, "bound": None, "peers": sorted(peers, key=lambda p: p["median_s"])}


# ---- the table ----


def seconds_text(s):
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if s >= unit or name == "ns":
            return f"{s / unit:.3g} {name}"


def print_entry(e):
    print(f"{e['family']}: {e['spec']}  {e['shape']}  {e['dtype']}")
    print(f"  {'heed':<12} {seconds_text(e['median_s']):>9}  {100 * e['fraction']:3.0f} % of {e['limit']:<4}"
          f"  spread {100 * e['spread']:3.0f} %  {e['path']}")
    for p in e["peers"]:
        print(f"  {p['name']:<12} {seconds_text(p['median_s']):>9}  {100 * p['fraction']:3.0f} % of {e['limit']:<4}"
              f"  spread {100 * p['spread']:3.0f} %  {p['ratio']:5.2f} x heed ({p['ratio_low']:.2f} to"
              f" {p['ratio_high']:.2f})  {p['form']}; off by {p['max_difference']:.1g}")
    sys.stdout.flush()


def print_summary(entries):
    """By family: how heed stands to the fastest peer of each case."""
    print("\ntime of the fastest peer over heed's (above 1, heed is faster)")
    for family in dict.fromkeys(e["family"] for e in entries):
        ratios = [e["peers"][0]["ratio"] for e in entries if e["family"] == family and e["peers"]]
        if ratios:
            print(f"  {family:<12} {statistics.geometric_mean(ratios):5.2f}, from {min(ratios):.2f} to"
                  f" {max(ratios):.2f} ({len(ratios)} cases)")


# ---- the record ----


def peaks_of(records):
    def median(*keys):
        values = []
        for r in records:
            x = r["peaks"]
            for k in keys:
                x = x[k]
            values.append(x)
        return statistics.median(values)

    return {"fma_gflops": {p: median("fma_gflops", p) for p in records[0]["peaks"]["fma_gflops"]},
            "read_gbps": median("read_gbps"), "copy_gbps": median("copy_gbps")}


def write(path, entries, records, peers, options):
    machine = {**records[0]["machine"], "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    record = {"schema": "heed.peers/1", "machine": machine, "peers": {p.name: p.version for p in peers},
              "rounds": options.rounds, "peaks": peaks_of(records), "cases": entries}
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(record, indent=2) + "\n")
    beside.replace(path)


# ---- the command ----


def read_options():
    p = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__)
    p.add_argument("--build", default=here.parents[1] / "build", help="where heed was built (build/)")
    p.add_argument("--only", action="append", metavar="PATTERN", default=[],
                   help="cases whose name has this in it; * and ? as in file names; may be repeated")
    p.add_argument("--list", action="store_true", help="the names of the cases, and nothing else")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="of every contender (1)")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="of which medians are taken (7)")
    p.add_argument("--quick", action="store_true", help="2 short rounds: does it run, and do the results agree?")
    p.add_argument("--peers", default=",".join(MODULES), help="which of %(default)s")
    p.add_argument("--compile", action="store_true",
                   help="for masks PyTorch's compiled flex_attention too: needs a C++ compiler, and 20 s a case")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="the record heed.peers/1, for heed compare")
    o = p.parse_args()
    if o.threads < 1 or o.rounds < 1:
        p.error("--threads and --rounds are 1 or more")
    if o.json and not os.access(o.json.parent, os.W_OK):
        p.error(f"--json: {o.json.parent} is no folder that can be written")
    unknown = [m for m in o.peers.split(",") if m not in MODULES]
    if unknown:
        p.error(f"there is no peer {unknown[0]!r}; there are {', '.join(MODULES)}")
    o.seconds = 0.02 if o.quick else 0.1
    o.rounds = 2 if o.quick else o.rounds
    o.chosen = [c for c in cases() if not o.only or any(fnmatch.fnmatch(c.name, f"*{w}*") for w in o.only)]
    if not o.chosen:
        p.error(f"no case has a name like {o.only}; --list shows them")
    return o


def load_peers(options):
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))  # before any of them reads it
    peers = []
    for module in options.peers.split(","):
        try:
            peer = importlib.import_module(module)
            peer.start(options)
            peers.append(peer)
        except ImportError as e:  # ggml says so itself when nobody named its sources
            print(f"{module}: not here: {e}")
    return peers


def main():
    options = read_options()
    if options.list:
        print("\n".join(c.name for c in options.chosen))
        return 0
    try:
        heed = Heed(options.build, options.threads)
    except Refused as e:
        print(f"run: {e}", file=sys.stderr)
        return 1
    peers, entries, records, problems = load_peers(options), [], [], []
    versions = ", ".join(f"{p.name} {p.version}" for p in peers)
    print(f"{options.threads} thread(s), {options.rounds} rounds; {versions}\n")
    for case in options.chosen:
        done = measure(case, heed, peers, options, problems)
        case.__dict__.pop("data", None)
        if done:
            entries.append(done[0])
            records += done[1]
            print_entry(done[0])
    print_summary(entries)
    if options.json and entries:
        write(options.json, entries, records, peers, options)
    for problem in problems:
        print(f"run: {problem}", file=sys.stderr)
    return 1 if problems or not entries else 0


if __name__ == "__main__":
    sys.exit(main())
