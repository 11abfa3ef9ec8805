# SPDX-License-Identifier: MIT
"""Runs a claim of speeds.py: times what its record lacks, and says what follows. It has study.py's form of a record, and
goes on with one that was interrupted; times of another machine are not added to it."""
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile

from speeds import ROUNDS

STUDENT = {4: 2.776445}  # two-sided 95 %, of ROUNDS - 1 degrees of freedom


def protocol(claim):
    what = dataclasses.asdict(claim)
    return json.loads(json.dumps({k: what[k] for k in ("faster", "slower", "shape", "training")}))


class Timing:
    def __init__(self, claim, setting, rounds=ROUNDS):
        self.claim, self.setting, self.wanted = claim, setting, rounds
        self.path = os.path.join(setting.records, claim.name + ".json")
        self.record = {"heed": "claim-speed/1", "name": claim.name, "protocol": protocol(claim), "machine": None,
                       "rounds": []}
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.record = json.load(f)
            if self.record.get("heed") != "claim-speed/1" or self.record["protocol"] != protocol(claim):
                sys.exit(f"bench/claims: {self.path} is of another protocol than {claim.name} has now: remove it, "
                         "and it is measured anew")

    def missing(self):
        return self.wanted - len(self.record["rounds"])

    def run_all(self):
        while self.missing() > 0:
            print(f"{self.claim.name}: round {len(self.record['rounds']) + 1} of {self.wanted}", file=sys.stderr)
            seconds = {"faster": self.layer(self.claim.faster), "slower": self.layer(self.claim.slower)}
            self.record["rounds"].append({name: float(f"{s:.4g}") for name, s in seconds.items()})
            self.save()

    def layer(self, layer):
        """Seconds of a layer, a token of it if the two have different numbers of them."""
        shape = layer.shape or self.claim.shape
        (attention, once), *others = layer.ops
        total = 0.0
        for way in ((), ("--backward",)) if self.claim.training else ((),):
            total += once * self.bench([attention], shape + layer.given, way)[0]
            if others:
                total += sum(often * s for (_, often), s in zip(others, self.bench([o for o, _ in others], shape, way)))
        return total / layer.tokens

    def bench(self, specs, shape, way):
        """Seconds of each spec."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "record.json")
            command = [self.setting.heed, "bench", *specs, "--shape", shape, "--threads", "1", "--rounds", "1", "--json",
                       path, *way]
            done = subprocess.run(command, capture_output=True, text=True,
                                  env={**os.environ, "HEED_PLUGINS": self.setting.plugins})
            if done.returncode:
                sys.exit(f"bench/claims: {done.stderr.strip() or 'heed bench failed'}")
            with open(path) as f:
                record = json.load(f)
        machine = record["machine"]["cpu"]
        if self.record["machine"] not in (None, machine):
            sys.exit(f"bench/claims: {self.path} is of {self.record['machine']}, and this is {machine}: remove it, and it "
                     "is measured anew")
        self.record["machine"] = machine
        return [case["median_s"] for case in record["cases"]]

    def save(self):
        os.makedirs(self.setting.records, exist_ok=True)
        with open(self.path + ".part", "w") as f:
            json.dump(self.record, f, indent=1)
            f.write("\n")
        os.replace(self.path + ".part", self.path)

    # ---- what follows ----

    def ratio(self):
        """The ratio, and the ends of its 95 % interval."""
        logs = [math.log(r["slower"] / r["faster"]) for r in self.record["rounds"]]
        mean = sum(logs) / len(logs)
        spread = math.sqrt(sum((x - mean) ** 2 for x in logs) / max(1, len(logs) - 1))
        half = STUDENT[len(logs) - 1] * spread / math.sqrt(len(logs)) if len(logs) == ROUNDS else math.inf
        return math.exp(mean), math.exp(mean - half), math.exp(mean + half)

    def verdict(self):
        _, low, high = self.ratio()
        return "holds" if low > self.claim.least else "does not" if high < self.claim.least else "undecided"
