# SPDX-License-Identifier: MIT
"""Tiny random models of transformers, one for each model_type and each setting that changes what is
computed: the yardstick of tests/stack/test_checkpoints.c.

    python3 models/checkpoints.py models/checkpoints [NAME ...]     # transformers 5.24, PyTorch 2.13

Without names, all of them.

Each is a folder as save_pretrained writes it. reference.safetensors has, for each, the logits of 20
tokens by eager float32 and the 32 tokens that greedy decoding goes on with.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

WIDTH, HEADS, LAYERS, HIDDEN, VOCAB, CONTEXT = 16, 4, 2, 24, 37, 64
LLAMA = dict(hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS,
             intermediate_size=HIDDEN, vocab_size=VOCAB,
             max_position_embeddings=CONTEXT, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GPT2 = dict(n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS, vocab_size=VOCAB, n_positions=CONTEXT,
            n_inner=HIDDEN, bos_token_id=0, eos_token_id=0)
NEOX = dict(LLAMA, rope_parameters=dict(rope_theta=100.0, rope_type="default", partial_rotary_factor=0.5))
del NEOX["num_key_value_heads"]
GEMMA = dict(LLAMA, head_dim=8, sliding_window=5, query_pre_attn_scalar=7, num_hidden_layers=3)
BERT = dict(LLAMA, type_vocab_size=2)
del BERT["num_key_value_heads"]
T5 = dict(d_model=WIDTH, d_kv=6, d_ff=HIDDEN, num_layers=LAYERS, num_heads=HEADS, vocab_size=VOCAB,
          relative_attention_num_buckets=8, relative_attention_max_distance=12, decoder_start_token_id=0, pad_token_id=0,
          eos_token_id=2)
OPT = dict(hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS, ffn_dim=HIDDEN, vocab_size=VOCAB,
           max_position_embeddings=CONTEXT, word_embed_proj_dim=WIDTH)


def rope(theta=100.0, **settings):
    return dict(rope_theta=theta, **{"rope_type": "default", **settings})


NEXT = dict(LLAMA, num_hidden_layers=4, head_dim=8, linear_key_head_dim=6, linear_value_head_dim=5,
            linear_num_key_heads=2, linear_num_value_heads=4, moe_intermediate_size=12,
            shared_expert_intermediate_size=10, num_experts=5, num_experts_per_tok=2)
LONG = dict(rope_type="longrope", original_max_position_embeddings=56, short_factor=[1.0, 1.25], long_factor=[2.0, 3.5])
CASES = {
    "llama": ("Llama", LLAMA),
    "llama_flags": ("Llama", dict(LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=6,
                                  num_key_value_heads=1, hidden_act="gelu", rms_norm_eps=1e-3)),
    "llama_bf16": ("Llama", dict(LLAMA, rope_parameters=rope())),
    "llama_linear": ("Llama", dict(LLAMA, rope_parameters=rope(rope_type="linear", factor=4.0))),
    "llama_dynamic": ("Llama", dict(LLAMA, rope_parameters=rope(rope_type="dynamic", factor=4.0))),
    "llama_yarn": ("Llama", dict(LLAMA, rope_parameters=rope(
        rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=8.0, beta_slow=1.0))),
    "llama_llama3": ("Llama", dict(LLAMA, rope_parameters=rope(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))),
    "mistral": ("Mistral", dict(LLAMA, sliding_window=5)),
    "mistral_full": ("Mistral", dict(LLAMA, sliding_window=None, head_dim=6)),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2_window": ("Qwen2", dict(LLAMA, num_hidden_layers=3, use_sliding_window=True, sliding_window=6,
                                   max_window_layers=1, tie_word_embeddings=True)),
    "qwen3": ("Qwen3", dict(LLAMA, head_dim=8)),
    "qwen3_flags": ("Qwen3", dict(LLAMA, head_dim=6, attention_bias=True, use_sliding_window=True, sliding_window=4,
                                  max_window_layers=1, tie_word_embeddings=True)),
    "gpt2": ("GPT2", GPT2),
    "gpt2_flags": ("GPT2", dict(GPT2, scale_attn_by_inverse_layer_idx=True, activation_function="relu", n_inner=None,
                                tie_word_embeddings=False)),
    "gpt2_unscaled": ("GPT2", dict(GPT2, scale_attn_weights=False, activation_function="gelu")),
    "gpt_neox": ("GPTNeoX", NEOX),
    "gpt_neox_flags": ("GPTNeoX", dict(NEOX, use_parallel_residual=False, attention_bias=False, hidden_act="relu",
                                       rope_parameters=rope(partial_rotary_factor=1.0), tie_word_embeddings=True)),
    "opt": ("OPT", OPT),
    "opt_post": ("OPT", dict(OPT, do_layer_norm_before=False, enable_bias=False, activation_function="gelu",
                             tie_word_embeddings=False)),
    "opt_bare": ("OPT", dict(OPT, _remove_final_layer_norm=True, layer_norm_elementwise_affine=False)),
    "phi3": ("Phi3", dict(LLAMA, sliding_window=7)),
    "phi3_longrope": ("Phi3", dict(LLAMA, original_max_position_embeddings=56, rope_parameters=rope(**LONG),
                                   tie_word_embeddings=True)),
    "gemma2": ("Gemma2", GEMMA),
    "gemma2_flags": ("Gemma2", dict(GEMMA, attn_logit_softcapping=None, final_logit_softcapping=None,
                                    attention_bias=True, tie_word_embeddings=False,
                                    layer_types=["full_attention", "sliding_attention", "full_attention"])),
    "gemma3_text": ("Gemma3Text", dict(GEMMA, num_hidden_layers=6)),
    "gemma3_text_flags": ("Gemma3Text", dict(
        GEMMA, num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"], final_logit_softcapping=9.0,
        attn_logit_softcapping=2.0,
        rope_parameters=dict(full_attention=rope(rope_type="linear", factor=8.0), sliding_attention=rope(50.0)))),
    "bloom": ("Bloom", dict(hidden_size=24, n_head=6, n_layer=LAYERS, vocab_size=VOCAB)),
    "bert": ("Bert", BERT),
    "bert_flags": ("Bert", dict(BERT, hidden_act="gelu_new", layer_norm_eps=1e-5)),
    "t5": ("T5", T5),
    "t5_flags": ("T5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_layers=1,
                            num_decoder_layers=3, layer_norm_epsilon=1e-3)),
    "t5_untied": ("T5", dict(T5, feed_forward_proj="gated-silu")),
    "qwen3_next": ("Qwen3Next", NEXT),
    "qwen3_next_flags": ("Qwen3Next", dict(
        NEXT, attention_bias=True, tie_word_embeddings=True, norm_topk_prob=False, mlp_only_layers=[0],
        num_key_value_heads=1, layer_types=["full_attention", "linear_attention", "full_attention"], num_hidden_layers=3, rms_norm_eps=1e-3,
        linear_num_value_heads=2, linear_conv_kernel_dim=3, decoder_sparse_step=2,
        rope_parameters=rope(partial_rotary_factor=1.0, rope_type="yarn", factor=4.0,
                             original_max_position_embeddings=16))),
    "roberta": ("Roberta", dict(BERT, type_vocab_size=1, pad_token_id=1, hidden_act="relu")),
}
ENCODERS, BOTH = ("Bert", "Roberta"), ("T5",)  # BOTH: an encoder and a decoder


def dress(model, seed):
    """Numbers that make a network of few layers no easy one: gains and biases that are not 1 and 0."""
    chance = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=chance)
        gain = p.ndim == 1 and name.endswith("weight")
        p.data = 1 + x / 4 if gain else x * 1.5 / p.shape[-1] ** 0.5 if p.ndim > 1 else x / 4


def run(model, tokens, source=None):
    """The logits of all tokens, 32 that follow, and by how much the nearest of their choices was won."""
    def logits_of(text):
        return (model(text) if source is None else model(source, decoder_input_ids=text)).logits[0]

    with torch.no_grad():
        logits, text, margin = logits_of(tokens), tokens, []
        for _ in range(32):
            row = logits_of(text)[-1]
            two = row.topk(2).values
            margin.append(float((two[0] - two[1]) / row.abs().max()))
            text = torch.cat([text, row.argmax().view(1, 1)], 1)
    return logits, text[0, tokens.shape[1]:], min(margin)


def make(name, kind, settings, folder, reference):
    config = getattr(transformers, kind + "Config")(**settings)
    for seed in range(100):
        auto = (transformers.AutoModel if kind in ENCODERS else
                transformers.AutoModelForSeq2SeqLM if kind in BOTH else transformers.AutoModelForCausalLM)
        model = auto.from_config(config, attn_implementation="eager").eval()
        if name == "t5_untied":  # as those of version 1.1 are: their output has weights of its own
            model.config.tie_word_embeddings = model.config.scale_decoder_outputs = False
            model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCAB, WIDTH))
        dress(model, seed)
        model.tie_weights()
        if name.endswith("bf16"):
            for p in model.parameters():  # and not the buffers, among them the frequencies
                p.data = p.data.bfloat16().float()
        tokens = torch.randint(3, VOCAB, (1, 20), generator=torch.Generator().manual_seed(seed))
        if kind in ENCODERS:
            with torch.no_grad():
                logits, greedy = model(tokens).last_hidden_state[0], tokens[0, :0]
            break
        source = torch.randint(3, VOCAB, (1, 25), generator=torch.Generator().manual_seed(seed + 100))
        if kind in BOTH:
            tokens[0, 0] = config.decoder_start_token_id
            reference[name + ".source"] = source[0].int()
        logits, greedy, margin = run(model, tokens, source if kind in BOTH else None)
        if margin > 1e-3 and len(set(greedy.tolist())) > 4:
            break
    if name.endswith("bf16"):
        model = model.bfloat16()
    model.save_pretrained(folder / name)
    (folder / name / "generation_config.json").unlink(missing_ok=True)
    if name == "llama_flags":  # the same in shards
        model.save_pretrained(folder / "shards", max_shard_size="4KB")
        (folder / "shards" / "generation_config.json").unlink(missing_ok=True)
    if name == "phi3_longrope":  # a text for which the long list counts
        text = torch.randint(3, VOCAB, (1, 62), generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            reference[name + ".text"], reference[name + ".long"] = text[0].int(), model(text).logits[0].contiguous()
    reference[name + ".tokens"] = tokens[0].int()
    reference[name + ".logits"] = logits.contiguous()
    reference[name + ".greedy"] = greedy.int()


def main():
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    reference = load_file(folder / "reference.safetensors") if names else {}
    for name, (kind, settings) in CASES.items():
        if not names or name in names:
            make(name, kind, settings, folder, reference)
    np.save(folder / "ids.npy", np.array([5, 12, 7, 31, 9, 30, 11, 3]))
    save_file(reference, folder / "reference.safetensors")
    print(json.dumps({n: sum(f.stat().st_size for f in (folder / n).rglob("*") if f.is_file()) for n in CASES}))


if __name__ == "__main__":
    main()
