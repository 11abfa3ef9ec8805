# SPDX-License-Identifier: MIT
"""The frequencies of rotary positions as `transformers` has them, in float64.

    python3 tests/ops/rope_frequencies.py >tests/ops/golden_rope.h

test_rope.c holds kit/position/rotary.h against them to 1e-12. The functions of transformers compute
in float32; here they find float64 under that name, and nothing else of them is changed.
"""
import torch
import transformers
from transformers import LlamaConfig, modeling_rope_utils as rope


class Double:
    """The module torch, whose float32 is float64."""
    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def longrope_list(n, slope):
    """Factors that grow from 1, as those of Phi-3 do; exact in float32."""
    return [1 + round(slope * k * 64) / 64 for k in range(n)]


# settings of rope, its words in heed, and the length that the functions are called with
def cases():
    for base, d in ((10000.0, 64), (500000.0, 128), (10000.0, 20)):
        yield base, d, {"rope_type": "linear", "factor": 8.0}, None, 4096
        for factor, length in ((2.0, 5000), (4.0, 32768), (2.0, 1000)):
            yield base, d, {"rope_type": "dynamic", "factor": factor}, length, 4096
        for factor, original in ((4.0, 32768), (16.0, 4096), (40.0, 2048)):
            yield base, d, {"rope_type": "yarn", "factor": factor,
                            "original_max_position_embeddings": original}, None, original
        yield base, d, {"rope_type": "yarn", "factor": 32.0, "beta_fast": 24.0, "beta_slow": 2.0,
                        "truncate": False, "original_max_position_embeddings": 4096}, None, 4096
        for factor, low, high in ((8.0, 1.0, 4.0), (32.0, 1.0, 4.0), (4.0, 0.5, 8.0)):
            yield base, d, {"rope_type": "llama3", "factor": factor, "low_freq_factor": low,
                            "high_freq_factor": high,
                            "original_max_position_embeddings": 8192}, None, 131072
        for length in (4096, 4097):
            yield base, d, {"rope_type": "longrope", "factor": 32.0,
                            "short_factor": longrope_list(d // 2, 0.046875),
                            "long_factor": longrope_list(d // 2, 2.25),
                            "original_max_position_embeddings": 4096}, length, 131072


def main():
    rope.torch = Double()
    torch.Tensor.float = torch.Tensor.double
    print("/* SPDX-License-Identifier: MIT\n *\n"
          " * golden_rope.h: rows {rule, base, width, factor, original, length, low, high, truncate, slope of\n"
          " * longrope's list, amplitude, frequencies}; made by\n"
          f" * rope_frequencies.py with transformers {transformers.__version__}, in float64.\n */")
    print("/* clang-format off */")
    for base, d, settings, length, most in cases():
        config = LlamaConfig(hidden_size=d, num_attention_heads=1, num_key_value_heads=1, head_dim=d,
                             max_position_embeddings=most,
                             rope_parameters=dict(settings, rope_theta=base))
        kind = settings["rope_type"]
        theta, amplitude = rope.ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=length)
        assert theta.dtype == torch.float64 and len(theta) == d // 2
        original = settings.get("original_max_position_embeddings", most)
        slope = 0 if kind != "longrope" else 2.25 if length > original else 0.046875
        head = [f"KIT_ROTARY_{kind.upper()}", base, d, settings["factor"], original, length or 1,
                settings.get("beta_slow", settings.get("low_freq_factor", 1)),
                settings.get("beta_fast", settings.get("high_freq_factor", 32)),
                int(settings.get("truncate", True)), slope, repr(float(amplitude))]
        print("    {" + ", ".join(str(h) for h in head) + ",")
        rows = [float(t).hex() for t in theta]
        print("     {" + ",\n      ".join(", ".join(rows[i:i + 4]) for i in range(0, len(rows), 4)) + "}},")


main()
