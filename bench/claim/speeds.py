# SPDX-License-Identifier: MIT
"""The claims that a clock decides: which of two layers is faster, and by how much at least.

A layer is a list of ops with how often each runs in it. Each of ROUNDS rounds times all ops of both once, in one process
and one thread; the measure is the ratio of the two layers' times, the slower one's over the faster one's. With `training`
a step counts as well: forward and backward. The verdict follows from the 95 % interval of the mean of the ratios'
logarithms: *holds* if all of it is above that of `least`, *does not* if none of it is, else *undecided*.

The bars were written down before a record was begun, when each pair had been timed once beside other work to see that it
runs, and have not been changed since. A time is of its machine, whose name the record has.
"""
from dataclasses import dataclass

ROUNDS = 5
PROJECTION, FEEDFORWARD = "linear/projection", "feedforward/gelu"


@dataclass(frozen=True)
class Layer:
    name: str
    ops: tuple  # (spec, how often)
    shape: str = ""  # if it is another than the claim's
    given: str = ""  # more of the shape, for the first op
    tokens: int = 1  # that a run of this shape gives


@dataclass(frozen=True)
class Speed:
    name: str
    says: str
    source: str
    faster: Layer
    slower: Layer
    shape: str
    least: float = 1.0
    training: bool = False


def layer(name, attention, projections=4, **more):
    return Layer(name, ((attention, 1), (PROJECTION, projections), (FEEDFORWARD, 1)), **more)


def alone(name, attention, **more):
    return Layer(name, ((attention, 1),), **more)


T5_BASE = "T=512,H=12,D=64"
SOFTMAX = layer("softmax", "attention/softmax")
RANDOM = layer("random synthesizer", "attention/synthesizer_random(longest=512)", 2, given=",with=table")
# with its gate a dynamic convolution has three projections: in, gate, out
DYNAMIC = layer("dynamic convolution", "attention/dynamic_conv(kernel=31)", 3, given=",with=generator")
LINFORMER = "attention/linformer(slots={}, longest={})"

SPEEDS = (
    Speed("random_is_faster", "A layer with a random synthesizer is faster than with dot products", "2005.00743, table 3 (1.09)",
          RANDOM, SOFTMAX, T5_BASE),
    Speed("random_trains_faster", "So is a training step of it", "2005.00743, table 3 (1.09)", RANDOM, SOFTMAX, T5_BASE,
          training=True),
    Speed("random_for_dynamic_conv_speed", "A training step with a random synthesizer is faster than with a dynamic "
          "convolution of 31 taps", "2005.00743, table 3 (1.61)", RANDOM, DYNAMIC, T5_BASE, training=True),
    Speed("factorized_is_faster", "A layer with a table of rank 8 is faster than with dot products", "2005.00743, section 4",
          layer("rank 8", "attention/synthesizer_factorized_random(longest=512, rank=8, fixed=1)", 2), SOFTMAX, T5_BASE),
    Speed("linformer_at_512", "Linformer of 128 slots is 1.5 times as fast at 512 tokens", "2006.04768, table 3 (1.5)",
          layer("Linformer", LINFORMER.format(128, 512)), SOFTMAX, T5_BASE, least=1.5),
    Speed("linformer_at_8192", "Linformer of 128 slots is 3 times as fast at 8192 tokens", "2006.04768, table 3 (20 at 65536)",
          layer("Linformer", LINFORMER.format(128, 8192)), SOFTMAX, "T=8192,H=12,D=64", least=3.0),
    Speed("linear_at_2048", "Causal linear attention is faster than causal softmax attention at 2048 tokens",
          "2006.16236, figure 1", alone("linear", "attention/linear(causal=true)"),
          alone("softmax", "attention/softmax(causal=true)"), "T=2048,H=8,D=64"),
    Speed("strided_for_dense", "A layer with the strided pattern of 128 is 1.42 times as fast as a dense one, 3072 tokens",
          "1904.10509, section 7 (1.42)", layer("strided", "attention/sparse(stride=128)", 3),
          layer("dense", "attention/softmax(causal=true)", 3), "T=3072,H=2,D=64,E=128,M=256,F=512", least=1.42),
    Speed("memory_for_window", "Segments with a memory of 800 tokens take a hundredth of the time of a window for each token",
          "1901.02860, table 9 (363)",
          layer("segments of 128", "attention/transformer_xl(memory=800, causal=bottom_right)",
                shape="T=128,S=928,H=8,D=64", tokens=128),
          layer("window anew", "attention/softmax(causal=true)"), "T=800,H=8,D=64", least=100.0),
)
