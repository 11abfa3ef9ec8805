# SPDX-License-Identifier: MIT
"""GGUF files, written with numpy alone, and tiny ones with what transformers makes of their networks: the
yardstick of tests/stack/test_gguf.c.

    python3 models/gguf_files.py convert FOLDER FILE.gguf [f32|f16|bf16|q8_0|q4_0]
    python3 models/gguf_files.py record models/gguf      # transformers 5.24, PyTorch 2.13, tokenizers 0.23

`convert` makes a file of a checkpoint's folder of type llama, qwen2 or qwen3, as llama.cpp's own script does, but
for texts only where its tokenizer.json is of a kind that is written below. `record` makes tiny random networks
whose weights are those of the file, and writes their logits, greedy tokens and texts as tokens beside them.
"""
import json
import pathlib
import struct
import sys

import numpy as np

U32, I32, F32, BOOL, TEXT, LIST = 4, 5, 6, 7, 8, 9  # types of values
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}  # of tensors
ALIGNMENT = 32
HERE = pathlib.Path(__file__).parent

# ---- the format ----


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, x):
    forms = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
    return text(x) if kind == TEXT else struct.pack(forms[kind], x)


def list_of(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(value(kind, x) for x in items)


def pad(n):
    return -n % ALIGNMENT


def write(path, keys, tensors):
    """keys: [(name, type, value)], of a list (name, (LIST, type), values); tensors: [(name, shape, type, bytes)]."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys))
    for name, kind, x in keys:
        is_list = isinstance(kind, tuple)
        head += text(name) + struct.pack("<I", LIST if is_list else kind)
        head += list_of(kind[1], x) if is_list else value(kind, x)
    at = 0
    for name, shape, kind, data in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", TYPES[kind], at)
        at += len(data) + pad(len(data))
    with open(path, "wb") as f:
        f.write(head + bytes(pad(len(head))))
        for *_, data in tensors:
            f.write(data + bytes(pad(len(data))))


# ---- weights ----


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def quotient(x, scale):
    return np.divide(x, scale, out=np.zeros_like(x), where=scale != 0)


def encode(x, kind):
    """Bytes of a tensor, and what they are as float32."""
    x = np.ascontiguousarray(x, np.float32)
    if kind == "f32":
        return x.tobytes(), x
    if kind == "f16":
        return x.astype(np.float16).tobytes(), x.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        return bf16(x).tobytes(), (bf16(x).astype(np.uint32) << 16).view(np.float32)
    blocks = x.reshape(-1, 32)
    if kind == "q8_0":
        scale = (np.abs(blocks).max(1, keepdims=True) / 127).astype(np.float16)
        q = np.clip(np.rint(quotient(blocks, scale.astype(np.float32))), -127, 127).astype(np.int8)
        raw = np.concatenate([scale.view(np.uint8), q.view(np.uint8)], 1)
    else:
        far = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
        scale = (far / -8).astype(np.float16)
        q = np.clip(np.rint(quotient(blocks, scale.astype(np.float32))), -8, 7).astype(np.int8)
        n = (q + 8).astype(np.uint8)
        raw = np.concatenate([scale.view(np.uint8), n[:, :16] | n[:, 16:] << 4], 1)
    return raw.tobytes(), (scale.astype(np.float32) * q).reshape(x.shape)


NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def rename(name):
    if name in NAMES:
        return NAMES[name]
    _, _, layer, *part, end = name.split(".")
    return f"blk.{layer}.{PARTS['.'.join(part)]}.{end}"


def interleave(x, heads):
    """Rows of the halves of each head in turn, so that neighbours turn together."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def tensors_of(config, weights, kind_of):
    """weights: {name: array}; kind_of(name): the type of a matrix. Tensors, and {name: what they are}."""
    made, are = [], {}
    llama = config["model_type"] == "llama"
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, x in weights.items():
        x, new = np.asarray(x, np.float32), rename(name)
        kind = kind_of(new) if x.ndim == 2 else "f32"
        part = new.split(".")[-2]
        _, are[name] = encode(x, kind)
        data, _ = encode(interleave(x, heads[part]) if llama and part in heads else x, kind)
        made.append((new, x.shape, kind, data))
    return made, are


# ---- metadata ----


def keys_of(config):
    a = "qwen2" if config["model_type"] == "qwen2" else config["model_type"]
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    keys = [
        ("general.architecture", TEXT, a), ("general.name", TEXT, "heed"), ("general.file_type", U32, 0),
        ("general.quantization_version", U32, 2),
        (f"{a}.context_length", U32, config["max_position_embeddings"]),
        (f"{a}.embedding_length", U32, config["hidden_size"]), (f"{a}.block_count", U32, config["num_hidden_layers"]),
        (f"{a}.feed_forward_length", U32, config["intermediate_size"]),
        (f"{a}.attention.head_count", U32, config["num_attention_heads"]),
        (f"{a}.attention.head_count_kv", U32, config["num_key_value_heads"]),
        (f"{a}.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
        (f"{a}.attention.key_length", U32, width), (f"{a}.attention.value_length", U32, width),
        (f"{a}.rope.freq_base", F32, rope.get("rope_theta", config.get("rope_theta", 10000.0))),
        (f"{a}.rope.dimension_count", U32, width), (f"{a}.vocab_size", U32, config["vocab_size"]),
    ]
    if rope.get("rope_type") in ("yarn", "linear"):
        keys += [(f"{a}.rope.scaling.type", TEXT, rope["rope_type"]),
                 (f"{a}.rope.scaling.factor", F32, rope["factor"])]
    if rope.get("rope_type") == "yarn":
        keys += [(f"{a}.rope.scaling.original_context_length", U32, rope["original_max_position_embeddings"])]
    return keys


def frequencies(config):
    """rope_freqs.weight, in which llama.cpp has Llama 3's scaling: by how much each pair is slowed."""
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") != "llama3":
        return []
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    theta = rope["rope_theta"] ** (-2.0 * np.arange(width // 2) / width)
    low, high, factor, most = (rope[k] for k in ("low_freq_factor", "high_freq_factor", "factor",
                                                 "original_max_position_embeddings"))
    wave = 2 * np.pi / theta
    mix = np.clip((most / wave - low) / (high - low), 0, 1)
    slowed = (1 / ((1 - mix) / factor + mix)).astype(np.float32)
    return [("rope_freqs.weight", slowed.shape, "f32", slowed.tobytes())]


def tokenizer_keys(path, pre):
    """Of a tokenizer.json: byte-level BPE, split as `pre` says, or BPE with byte fallback (pre None)."""
    t = json.loads(pathlib.Path(path).read_text())
    words = dict(t["model"]["vocab"], **{a["content"]: a["id"] for a in t["added_tokens"]})
    tokens = sorted(words, key=words.get)
    special = {a["content"]: a["special"] for a in t["added_tokens"]}
    kinds = [3 if special.get(w) else 4 if w in special else 6 if pre is None and w.startswith("<0x") else 1
             for w in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]
    if pre is None and tokens[0] == "<unk>":
        kinds[0] = 2
    keys = [("tokenizer.ggml.model", TEXT, "llama" if pre is None else "gpt2"),
            ("tokenizer.ggml.tokens", (LIST, TEXT), tokens), ("tokenizer.ggml.token_type", (LIST, I32), kinds)]
    if pre is not None:
        return keys + [("tokenizer.ggml.pre", TEXT, pre), ("tokenizer.ggml.merges", (LIST, TEXT), merges),
                       ("tokenizer.ggml.bos_token_id", U32, 0), ("tokenizer.ggml.eos_token_id", U32, 0)]
    rank = {m.replace(" ", ""): -float(i) for i, m in reversed(list(enumerate(merges)))}
    scores = [rank.get(w, -1e6 if k == 1 else 0.0) for w, k in zip(tokens, kinds)]
    return keys + [("tokenizer.ggml.scores", (LIST, F32), scores), ("tokenizer.ggml.bos_token_id", U32, 1),
                   ("tokenizer.ggml.eos_token_id", U32, 2), ("tokenizer.ggml.unknown_token_id", U32, 0),
                   ("tokenizer.ggml.add_bos_token", BOOL, True)]


# ---- a checkpoint's folder ----


def safetensors(path):
    raw = np.memmap(path, np.uint8, "r")
    n = int(raw[:8].view(np.uint64)[0])
    for name, t in json.loads(bytes(raw[8:8 + n])).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + n + i for i in t["data_offsets"])
        data = raw[begin:end]
        x = ((data.view(np.uint16).astype(np.uint32) << 16).view(np.float32) if t["dtype"] == "BF16" else
             data.view({"F32": np.float32, "F16": np.float16}[t["dtype"]]))
        yield name, x.reshape(t["shape"])


def convert(folder, path, kind):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = dict(w for f in sorted(folder.glob("*.safetensors")) for w in safetensors(f))
    if config.get("tie_word_embeddings"):
        weights.pop("lm_head.weight", None)
    made, _ = tensors_of(config, weights, lambda name: kind)
    write(path, keys_of(config), frequencies(config) + made)


# ---- tiny networks, and what transformers makes of them ----

BYTES, PIECES = HERE / "tokenizers/bytes.json", HERE / "tokenizers/fallback.json"
TINY = dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2, intermediate_size=64,
            max_position_embeddings=96, bos_token_id=1, eos_token_id=2, pad_token_id=None)
YARN = dict(rope_theta=100.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=24)
LLAMA3 = dict(rope_theta=100.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def mixed(name):
    """A type for each tensor that is another than its neighbour's."""
    return {"attn_q": "f16", "attn_v": "bf16", "ffn_gate": "q8_0", "ffn_down": "q8_0",
            "token_embd": "q8_0"}.get(name.split(".")[-2], "q4_0")


CASES = {  # name: class, settings, vocabulary, types, tokenizer
    "llama_f32": ("Llama", dict(rope_parameters=YARN, head_dim=6), 41, lambda name: "f32", None),
    "llama_q8_0": ("Llama", dict(rope_parameters=LLAMA3), 380, lambda name: "q8_0", (PIECES, None)),
    "qwen2_mixed": ("Qwen2", dict(tie_word_embeddings=True), 333, mixed, (BYTES, "qwen2")),
    "qwen3_q4_0": ("Qwen3", dict(head_dim=16), 333, lambda name: "q4_0", (BYTES, "gpt-2")),
}
LINES = ["The king is dead; long live the king!", "  two spaces,\ttabs and\n\nlines ", "naïve café, 12345 x 678",
         "日本語 and 🦊", "", "I'll say it's done, they'RE not", "<|endoftext|>a<s>b</s>c", "e\u0301 composed or not"]


def record_texts(folder, name, path, pre, texts):
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, decoders
    t = Tokenizer.from_file(str(path))
    if pre == "qwen2":
        import tokens
        t.normalizer = normalizers.NFC()
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(tokens.QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.decoder = decoders.ByteLevel()
    for line in LINES:
        ids = t.encode(line).ids
        texts.setdefault(name, []).append([line, ids, t.decode(ids)])


def plain(path, to):
    """The added tokens as GGUF can say them: found as they are."""
    t = json.loads(path.read_text())
    for a in t["added_tokens"]:
        a.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
    to.write_text(json.dumps(t))
    return to


def record(folder):
    import tempfile
    import torch
    import transformers
    from safetensors.torch import save_file
    sys.path.insert(0, str(HERE))
    from checkpoints import dress, run
    folder, reference, texts = pathlib.Path(folder), {}, {}
    folder.mkdir(exist_ok=True)
    for name, (kind, settings, vocab, types, tokenizer) in CASES.items():
        config = getattr(transformers, kind + "Config")(**dict(TINY, **settings, vocab_size=vocab))
        for seed in range(100):
            model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
            dress(model, seed)
            model.tie_weights()
            weights = {k: v.numpy() for k, v in model.state_dict().items()}
            if config.tie_word_embeddings:
                del weights["lm_head.weight"]
            made, are = tensors_of(config.to_dict(), weights, types)
            model.load_state_dict({k: torch.tensor(v) for k, v in are.items()}, strict=False)
            words = torch.randint(3, vocab, (1, 20), generator=torch.Generator().manual_seed(seed))
            logits, greedy, margin = run(model, words)
            if margin > 1e-3 and len(set(greedy.tolist())) > 4:
                break
        keys = keys_of(config.to_dict())
        if tokenizer:
            with tempfile.TemporaryDirectory() as made_in:
                path = plain(tokenizer[0], pathlib.Path(made_in) / "tokenizer.json")
                keys += tokenizer_keys(path, tokenizer[1])
                record_texts(folder, name, path, tokenizer[1], texts)
        write(folder / f"{name}.gguf", keys, frequencies(config.to_dict()) + made)
        reference[name + ".tokens"] = words[0].int()
        reference[name + ".logits"] = logits.contiguous()
        reference[name + ".greedy"] = greedy.int()
    save_file(reference, folder / "reference.safetensors")
    (folder / "texts.json").write_text(json.dumps(texts, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"] and len(sys.argv) == 3:
        record(sys.argv[2])
    elif sys.argv[1:2] == ["convert"] and len(sys.argv) in (4, 5):
        convert(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) == 5 else "f16")
    else:
        sys.exit(__doc__)
