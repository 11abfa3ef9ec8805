# SPDX-License-Identifier: MIT
"""A folder as transformers writes it, with random weights of bfloat16, of a size that is worth measuring.

    python3 bench/peers/random_checkpoint.py FOLDER [qwen2-0.5b|qwen2-2gb|tiny] [bf16|f16|f32]    # needs numpy

qwen2-0.5b has the sizes of Qwen2 0.5 B: 494 million weights, 988 MB; qwen2-2gb is 1.0 billion with rows of 2048 and more.
"""
import json
import pathlib
import sys

import numpy as np

SIZES = {  # width, layers, heads, key heads, hidden, vocabulary
    "qwen2-0.5b": (896, 24, 14, 2, 4864, 151936),
    "qwen2-2gb": (2048, 14, 16, 2, 5632, 128256),
    "tiny": (64, 2, 4, 2, 96, 1000),
}
DTYPES = {"bf16": ("BF16", 2), "f16": ("F16", 2), "f32": ("F32", 4)}


def tensors(width, layers, heads, groups, hidden, vocab):
    head = width // heads
    yield "model.embed_tokens.weight", (vocab, width)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name, shape in [("input_layernorm.weight", (width,)), ("post_attention_layernorm.weight", (width,)),
                            ("self_attn.q_proj.weight", (width, width)), ("self_attn.q_proj.bias", (width,)),
                            ("self_attn.k_proj.weight", (groups * head, width)),
                            ("self_attn.k_proj.bias", (groups * head,)),
                            ("self_attn.v_proj.weight", (groups * head, width)),
                            ("self_attn.v_proj.bias", (groups * head,)), ("self_attn.o_proj.weight", (width, width)),
                            ("mlp.gate_proj.weight", (hidden, width)), ("mlp.up_proj.weight", (hidden, width)),
                            ("mlp.down_proj.weight", (width, hidden))]:
            yield at + name, shape
    yield "model.norm.weight", (width,)


def numbers(name, shape, kind, chance):
    gain = name.endswith("norm.weight")
    x = chance.standard_normal(shape, np.float32)
    x = 1 + x / 8 if gain else x / np.float32(shape[-1] ** 0.5 if len(shape) > 1 else 8)
    if kind == "f16":
        return x.astype(np.float16)
    return x if kind == "f32" else (x.view(np.uint32) >> 16).astype(np.uint16)


def main():
    folder, size = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "qwen2-0.5b"
    kind = sys.argv[3] if len(sys.argv) > 3 else "bf16"
    width, layers, heads, groups, hidden, vocab = SIZES[size]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(
        architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, intermediate_size=hidden, vocab_size=vocab,
        max_position_embeddings=4096, rms_norm_eps=1e-6, rope_theta=1e6, hidden_act="silu",
        tie_word_embeddings=True, torch_dtype="bfloat16" if kind == "bf16" else kind, bos_token_id=1, eos_token_id=2),
        indent=1))
    label, bytes_each = DTYPES[kind]
    head, at, chance = {}, 0, np.random.default_rng(1)
    for name, shape in tensors(width, layers, heads, groups, hidden, vocab):
        n = int(np.prod(shape)) * bytes_each
        head[name] = dict(dtype=label, shape=shape, data_offsets=[at, at + n])
        at += n
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 64)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors(width, layers, heads, groups, hidden, vocab):
            f.write(numbers(name, shape, kind, chance).tobytes())
    print(f"{folder}: {at / bytes_each / 1e6:.0f} million weights, {at / 1e6:.0f} MB")


if __name__ == "__main__":
    main() if len(sys.argv) > 1 else sys.exit(__doc__)
