# SPDX-License-Identifier: MIT
"""Runs a claim of table.py: trains what its record lacks, and says what follows.

A record is a file of JSON, written anew behind each run, so that an interrupted study goes on where it was. It has the
claim as it was run; if table.py says something else by now, the record is refused.
"""
import dataclasses
import glob
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time

from measure import MEASURES
from table import RATES, SEEDS
from texts import text

# What end of `heed train` counts, and what a network has that has learned nothing, or is not finite any more.
TASKS = {"lm": ("bits_per_byte", 8.0), "pairs": ("bits_per_token", 8.0), "classify": ("accuracy", 1.0)}
LATER = ("before", "measure", "on")  # fields of an arm that the first records do not have, unless they say something
STUDENT = {2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582, 6: 2.446912, 7: 2.364624}  # two-sided 95 %


def student(freedom):
    """Student's t, two-sided 95 %; behind the table within 0.3 %."""
    return STUDENT.get(freedom) or 1.959964 + 2.42 / freedom + 2.7 / freedom ** 2


@dataclasses.dataclass
class Setting:
    heed: str      # the command
    plugins: str
    texts: str     # a folder
    records: str   # a folder
    threads: int = 0  # which the results do not depend on


def protocol(claim):
    """What the runs depend on."""
    what = dataclasses.asdict(claim)
    for arm in (what["first"], what["second"]):
        for key in LATER:
            if not arm[key]:
                del arm[key]
    keys = ("first", "second", "text", "steps", "batch", "context", "options", *(["task"] if claim.task != "lm" else []))
    return json.loads(json.dumps({k: what[k] for k in keys}))


def training(protocol, name, text):
    """What a run depends on, but for its seed and its rate."""
    arm = next(protocol[which] for which in ("first", "second") if protocol[which]["name"] == name)
    return (text, arm["spec"], [*protocol["options"], *arm["options"]], [arm.get(key) for key in LATER],
            [protocol.get(what) for what in ("steps", "batch", "context", "task")])


def value(run):
    """What arms are compared by."""
    return run["value"] if "value" in run else run["bits_per_byte"]


def loss(run):
    """What a rate is chosen by."""
    return run["loss"] if "loss" in run else run["bits_per_byte"]


def wanted(claim):
    """(arm, seed, rate) of all runs; the rate is None where it follows from the others."""
    for arm in (claim.first, claim.second):
        for rate in RATES:
            yield arm, 0, rate
    for seed in SEEDS:
        for arm in (claim.first, claim.second):
            yield arm, seed, None


class Study:
    def __init__(self, claim, setting):
        self.claim, self.setting = claim, setting
        self.path = os.path.join(setting.records, claim.name + ".json")
        self.record = {"heed": "claim/1", "name": claim.name, "protocol": protocol(claim), "text": None, "runs": []}
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.record = json.load(f)
            if self.record.get("heed") != "claim/1" or self.record["protocol"] != protocol(claim):
                sys.exit(f"bench/claims: {self.path} is of another protocol than {claim.name} has now: remove it, "
                         "and it is measured anew")

    def find(self, arm, seed, rate=None):
        for run in self.record["runs"]:
            if run["arm"] == arm.name and run["seed"] == seed and rate in (None, run["rate"]):
                return run
        return None

    def rate(self, arm):
        """The one of RATES with which most is learned; of two that are equal the lower."""
        return min(RATES, key=lambda r: (loss(self.find(arm, 0, r)), r))

    def missing(self):
        return [(arm, seed, rate) for arm, seed, rate in wanted(self.claim) if not self.find(arm, seed, rate)]

    def run_all(self):
        missing, began = self.missing(), time.monotonic()
        for n, (arm, seed, rate) in enumerate(missing):
            left = f", {(time.monotonic() - began) / n * (len(missing) - n) / 60:.0f} minutes left" if n else ""
            print(f"{self.claim.name}: run {n + 1} of {len(missing)}{left}: {arm.name}, seed {seed}", file=sys.stderr)
            rate = rate or self.rate(arm)
            self.text()
            self.record["runs"].append(self.known(arm, seed, rate) or self.train(arm, seed, rate))
            self.save()

    def text(self):
        path = text(self.claim.text, self.setting.texts)
        with open(path, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        if self.record["text"] not in (None, digest):
            sys.exit(f"bench/claims: {path} is another text than the one of {self.path}: its sha256 is {digest}")
        self.record["text"] = digest
        return path

    def known(self, arm, seed, rate):
        """The same run in the record of another claim: it would give the same bits."""
        mine = training(self.record["protocol"], arm.name, self.record["text"])
        for path in sorted(glob.glob(os.path.join(self.setting.records, "*.json"))):
            with open(path) as f:
                other = json.load(f)
            if other.get("heed") != "claim/1":
                continue  # of a claim that a clock decides
            for run in other["runs"]:
                if (run["seed"], run["rate"]) == (seed, rate) and training(other["protocol"], run["arm"],
                                                                           other["text"]) == mine:
                    return {**run, "arm": arm.name, "seconds": 0.0}
        return None

    def heed(self, *words):
        """The lines that heed prints; or why not, if a number was not finite any more."""
        s = self.setting
        done = subprocess.run([s.heed, *words, "--threads", str(s.threads)], capture_output=True, text=True,
                              env={**os.environ, "HEED_PLUGINS": s.plugins})
        if not done.returncode:
            return done.stdout, None
        why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
        if "finite" not in why:
            sys.exit(f"bench/claims: {self.claim.name}: {why}")
        return None, why

    def begin(self, arm, seed):
        """The arm's spec or, if it has stages, the file of the network that they have made. The file is kept beside the
        texts, named by a hash of all that it depends on, so that arms and claims with the same stages train them once."""
        start, passed = arm.spec, [arm.spec, seed, self.claim.batch, self.claim.context]
        for stage in arm.before:
            path = text(stage.text, self.setting.texts)
            passed += [stage.text, stage.steps, stage.rate, *stage.options]
            name = hashlib.sha256(repr(passed).encode()).hexdigest()[:24]
            made = os.path.join(self.setting.texts, f"stage-{name}.safetensors")
            if not os.path.exists(made):
                _, why = self.heed("train", start, path, "-o", made + ".part", "--json", "--seed", seed, "--steps",
                                   str(stage.steps), "--batch", str(self.claim.batch), "--context",
                                   str(self.claim.context), "--rate", repr(stage.rate), *stage.options)
                if why:
                    sys.exit(f"bench/claims: {self.claim.name}, {arm.name}: the stage of {stage.text}: {why}")
                os.replace(made + ".part", made)
            start = made
        return start

    def train(self, arm, seed, rate):
        claim, path = self.claim, self.text()
        of_task, nothing = TASKS[claim.task]
        # the seed 0 is that of the search for a rate: heed's own begin with 1
        number = str(1000 if seed == 0 else seed)
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "model.safetensors")
            start, began = self.begin(arm, number), time.monotonic()
            words = ["train", start, path, "-o", model, "--json", "--seed", number, "--steps", str(claim.steps), "--batch",
                     str(claim.batch), "--context", str(claim.context), "--rate", repr(rate), "--every",
                     str(claim.steps), *(["--task", claim.task] if claim.task != "lm" else []), *claim.options,
                     *arm.options]
            lines, why = self.heed(*words)
            run = {"arm": arm.name, "seed": seed, "rate": rate, "seconds": round(time.monotonic() - began, 1)}
            if why:
                return {**run, "loss": nothing, "value": nothing, "ended": why, "sha256": None}
            end = json.loads(lines.splitlines()[-1])
            found = end[of_task] if end[of_task] is not None else nothing
            learned = 1.0 - found if claim.task == "classify" else min(nothing, found)
            of = learned
            if arm.measure:
                scored = text(arm.on, self.setting.texts) if arm.on else path
                of = MEASURES[arm.measure](model, lambda *more: self.heed("score", model, scored, *more)[0])
            with open(model, "rb") as f:
                digest = hashlib.sha256(f.read()).hexdigest()
        return {**run, "loss": learned, "value": of, "parameters": end["parameters"], "sha256": digest}

    def save(self):
        os.makedirs(self.setting.records, exist_ok=True)
        with open(self.path + ".part", "w") as f:
            json.dump(self.record, f, indent=1)
            f.write("\n")
        os.replace(self.path + ".part", self.path)

    def again(self):
        """Runs all of the record once more: the names of those whose file or number differs."""
        other = []
        for run in self.record["runs"]:
            arm = self.claim.first if run["arm"] == self.claim.first.name else self.claim.second
            new = self.train(arm, run["seed"], run["rate"])
            same = new["sha256"] == run["sha256"] and value(new) == value(run)
            print(f"{self.claim.name}: {arm.name}, seed {run['seed']}, rate {run['rate']}: "
                  f"{'the same file' if same else 'ANOTHER file'}")
            if not same:
                other.append(f"{arm.name}, seed {run['seed']}")
        return other

    # ---- what follows ----

    def means(self):
        return [sum(value(self.find(arm, seed)) for seed in SEEDS) / len(SEEDS)
                for arm in (self.claim.first, self.claim.second)]

    def difference(self):
        """Mean of second - first, and half of its 95 % interval."""
        d = [value(self.find(self.claim.second, seed)) - value(self.find(self.claim.first, seed)) for seed in SEEDS]
        mean = sum(d) / len(d)
        spread = math.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) - 1))
        return mean, STUDENT[len(d) - 1] * spread / math.sqrt(len(d))

    def would_tell(self):
        """How many seeds an undecided claim would take, if their mean and their spread stayed."""
        mean, half = self.difference()
        spread = half * math.sqrt(len(SEEDS)) / STUDENT[len(SEEDS) - 1]
        edges = (-self.claim.margin, self.claim.margin) if self.claim.kind == "equal" else (self.claim.margin,)
        distance = min(abs(mean - edge) for edge in edges)
        n = len(SEEDS) + 1
        while n < 1000 and student(n - 1) * spread / math.sqrt(n) >= distance:
            n += 1
        return f"some {n} seeds" if n < 1000 else "1000 seeds and more"

    def verdict(self):
        mean, half = self.difference()
        low, high, margin = mean - half, mean + half, self.claim.margin
        if self.claim.kind == "equal":
            return "holds" if -margin < low and high < margin else \
                "does not" if high < -margin or low > margin else "undecided"
        return "holds" if low > margin else "does not" if high < margin else "undecided"
