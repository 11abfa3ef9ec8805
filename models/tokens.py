# SPDX-License-Identifier: MIT
"""Small tokenizers of the four kinds, and what the tokenizers package makes of texts with them: the
yardstick of tests/engine/test_tokenizers.c.

    python3 models/tokens.py record models/tokenizers          # tokenizers 0.23, sentencepiece 0.2
    python3 models/tokens.py tiny models/checkpoints
    python3 models/tokens.py chat models/tokenizers            # transformers 5.24
    python3 models/tokens.py compare PROGRAM FOLDER TEXT...        # PROGRAM: tests/engine/test_tokenizers
    python3 models/tokens.py speed PROGRAM FOLDER TEXT         # TEXT: tens of megabytes

`record` trains four on models/sample.txt, and writes each as NAME.json, and reference.json: cases, which
are one of the four with some of its keys changed, and for each the numbers and the text that come out.
`tiny` gives two of the checkpoints tokenizers of as many tokens as they have.
`chat` writes what transformers makes of the chat templates in chat.json.
`compare` trains larger ones on the texts, and compares every line of them, and 100,000 lines of random
Unicode, on each variant, or with STEP in the environment each STEP-th of them. FOLDER is made.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = ("|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"]))
SPACE = "\u2581"
HERE = pathlib.Path(__file__).parent


# ---- the four ----

def train_bytes(texts, size):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"]))
    t.add_tokens([AddedToken("<|fim|>", normalized=False), AddedToken("Moon", single_word=True, normalized=True),
                  AddedToken("[gap]", lstrip=True, rstrip=True, normalized=False)])
    return t


def train_fallback(texts, size):
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    # trained on words, as SentencePiece does; used on whole texts
    t.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=special,
                                                     limit_alphabet=60))
    spec = json.loads(t.to_str())
    spec["pre_tokenizer"] = None
    spec["added_tokens"] = spec["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(spec))
    t.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                     special_tokens=[("<s>", 1)])
    return t


def train_wordpiece(texts, size, **how):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=size, show_progress=False, **how, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    spec = json.loads(t.to_str())
    spec["added_tokens"][4]["lstrip"] = True
    t = Tokenizer.from_str(json.dumps(spec))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def charsmap(rules):
    """SentencePiece's precompiled map: of rules "0041<tab>0061", or, with None, its own nmt_nfkc."""
    import sentencepiece
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "text").write_text("a b c d e f g h i j k l m n o p\n" * 9)
        how = {"normalization_rule_name": "nmt_nfkc"}
        if rules:
            (folder / "rules.tsv").write_text(rules)
            how = {"normalization_rule_tsv": str(folder / "rules.tsv")}
        sentencepiece.SentencePieceTrainer.train(input=str(folder / "text"), model_prefix=str(folder / "m"),
                                                 vocab_size=20, hard_vocab_limit=False, minloglevel=2, **how)
        return field_of(field_of((folder / "m.model").read_bytes(), 3), 2)  # normalizer_spec.precompiled_charsmap


def field_of(message, wanted):
    """The bytes of a field of a protocol buffer."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if size == 0:
            number()
        if size is None:
            size = number()
        at += size
        if key >> 3 == wanted and key & 7 == 2:
            return message[at - size:at]
    return b""


RULES = "".join(f"{ord(c):04X}\t{' '.join(f'{ord(x):04X}' for x in to)}\n" for c, to in
                [("\uFF21", "A"), ("\u2460", "1"), ("\u00A0", " "), ("\u3000", " "), ("\u200B", ""), ("\uFB01", "fi")])


def train_unigram(texts, size, rules):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(rules)),
                                         normalizers.Strip(left=False, right=True),
                                         normalizers.Replace(Regex(" {2,}"), SPACE)])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    t.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    t.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                     special_tokens=[("</s>", 1)])
    return t


# ---- their variants ----

def part(of):
    return json.loads(of.__getstate__() if hasattr(of, "__getstate__") else str(of))


def split(regex, behavior="isolated", invert=False):
    return part(pre_tokenizers.Split(Regex(regex), behavior, invert))


def by_bytes(*steps):
    level = part(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return {"type": "Sequence", "pretokenizers": [*steps, level]}


def variants():
    """(name, which of the four, keys that are changed; those of "model" are changed one by one)"""
    meta = pre_tokenizers.Metaspace
    old = {"type": "Metaspace", "replacement": SPACE, "add_prefix_space": True}
    yield "gpt2", "bytes", {}
    yield "roberta", "bytes", {
        "pre_tokenizer": part(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "post_processor": part(processors.RobertaProcessing(("</s>", 2), ("<s>", 1)))}
    yield "llama3", "bytes", {
        "pre_tokenizer": by_bytes(split(LLAMA3)), "model": {"ignore_merges": True},
        "post_processor": part(processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
            single="<|endoftext|> $A", pair="$A $B", special_tokens=[("<|endoftext|>", 0)])]))}
    yield "qwen2", "bytes", {"normalizer": part(normalizers.NFC()), "pre_tokenizer": by_bytes(split(QWEN2))}
    yield "gpt4o", "bytes", {"pre_tokenizer": by_bytes(split(GPT4O, "removed", True))}
    yield "digits", "bytes", {"pre_tokenizer": by_bytes(
        part(pre_tokenizers.Digits(individual_digits=True)), part(pre_tokenizers.Punctuation("contiguous")),
        split(r"\s+", "merged_with_previous"))}
    yield "whole", "bytes", {"normalizer": part(normalizers.ByteLevel()), "pre_tokenizer": None}
    yield "llama2", "fallback", {}
    yield "metaspace_first", "fallback", {"normalizer": None, "pre_tokenizer": part(
        meta(replacement=SPACE, prepend_scheme="first", split=False))}
    yield "gemma", "fallback", {
        "normalizer": part(normalizers.Replace(" ", SPACE)),
        "pre_tokenizer": part(pre_tokenizers.Split(" ", "merged_with_previous")),
        "decoder": part(decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]))}
    yield "no_fallback", "fallback", {"model": {"byte_fallback": False}}
    yield "unfused", "fallback", {"model": {"byte_fallback": False, "fuse_unk": False}}
    yield "no_unknown", "fallback", {"model": {"byte_fallback": False, "unk_token": None}}
    yield "bert", "wordpiece", {}
    yield "bert_cased", "wordpiece", {
        "normalizer": part(normalizers.BertNormalizer(lowercase=False)), "model": {"max_input_chars_per_word": 9},
        "post_processor": part(processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)))}
    yield "accents", "wordpiece", {
        "normalizer": part(normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(),
                                                 normalizers.Lowercase()])),
        "pre_tokenizer": part(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Punctuation()])),
        "decoder": part(decoders.WordPiece(cleanup=False))}
    yield "words", "wordpiece", {"pre_tokenizer": part(pre_tokenizers.Whitespace()), "decoder": None,
                                 "normalizer": part(normalizers.Lowercase())}
    yield "commas", "wordpiece", {"pre_tokenizer": part(pre_tokenizers.CharDelimiterSplit(","))}
    yield "t5", "unigram", {}
    yield "t5_old", "unigram", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        part(pre_tokenizers.WhitespaceSplit()), old]}, "decoder": old}
    yield "xlm", "unigram", {
        "normalizer": part(normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(),
                                                 normalizers.Replace(Regex(r"\s+"), " ")])),
        "pre_tokenizer": part(meta(replacement=SPACE, prepend_scheme="never", split=True)),
        "decoder": part(decoders.Metaspace(replacement=SPACE, prepend_scheme="never"))}


def changed(base, changes):
    spec = json.loads(json.dumps(base))
    for key, value in changes.items():
        if key == "model":
            spec[key].update(value)
        else:
            spec[key] = value
    return spec


# ---- recording ----

TEXTS = [
    "The moon is drown'd, the reeds are stiff with frost,", " two  spaces,   three ", "a\n\n b\r\n\tc\n", "",
    "We'll see; I'd SAY 'Tis 12345 and 3.14159!", "na\u00efve caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m",
    "\u4eca\u65e5\u306f\u3001\u4e16\u754c\uff01 \uc548\ub155",
    "\U0001F468\u200d\U0001F469\u200d\U0001F467 \U0001F1E9\U0001F1EA ok",
    "Moon Moonlight [gap] x   [gap]   y<|fim|>z<|endoftext|>w", "<s>hello</s> <unk> <0x41>", "x [MASK] y[MASK] [CLS]",
    "\uff21\u2460\ufb01\u00a0\u3000\u200b\u2581 \u0130stanbul \u1e9e", "\u0000\u0007\u0085\u180e\u2028|\ufffd\ue000",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0645\u0631\u062d\u0628\u0627 \u05e9\u05c1\u05dc\u05d5\u05dd "
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "under_score $5+6=11 ~`^ don't do not isn 't , . ! ?", "Qu\u2019il \u201cdit\u201d \u2014 non\u2026",
    "a,b,,c 1\u00bd\u2167\u0663",
    "supercalifragilisticexpialidocious antidisestablishmentarianism", "\u212b\u017f 'S '\u017f \u01c5 \u02b0\u0301",
]


def train_tiny(texts):
    """Of 37 tokens, as many as models/checkpoints/llama has."""
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Prepend(SPACE),
                                         normalizers.Replace(" ", SPACE)])
    t.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=37, show_progress=False, limit_alphabet=30,
                                                     special_tokens=["<unk>", "<s>", "</s>"]))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                     special_tokens=[("<s>", 1)])
    return t


def tiny(folder):
    lines = (HERE / "sample.txt").read_text().splitlines()
    of_bert = train_wordpiece(lines, 37, limit_alphabet=14)
    for name, t in [("llama", train_tiny(lines)), ("bert", of_bert)]:
        (folder / name / "tokenizer.json").write_text(json.dumps(json.loads(t.to_str()), separators=(",", ":")) + "\n")
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind}
               for i, (path, kind) in enumerate(kinds)]
    (folder / "bert" / "modules.json").write_text(json.dumps(modules) + "\n")
    (folder / "bert" / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": false}\n')
    (folder / "bert" / "1_Pooling").mkdir(exist_ok=True)
    (folder / "bert" / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}\n')


def record(folder):
    folder.mkdir(exist_ok=True)
    lines = (HERE / "sample.txt").read_text().splitlines()
    four = {"bytes": train_bytes(lines, 330), "fallback": train_fallback(lines, 380),
            "wordpiece": train_wordpiece(lines, 150), "unigram": train_unigram(lines, 110, RULES)}
    for name, t in four.items():
        (folder / (name + ".json")).write_text(json.dumps(json.loads(t.to_str()), separators=(",", ":")) + "\n")
    cases = []
    for name, of, changes in variants():
        t = Tokenizer.from_str(json.dumps(changed(json.loads(four[of].to_str()), changes)))
        rows = []
        for text in TEXTS:
            ids = t.encode(text).ids
            rows.append([text, ids, t.decode(ids)])
        cases.append({"name": name, "of": of, "changes": changes, "texts": rows})
    (folder / "reference.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


# ---- comparing ----

def random_lines(count, seed=1):
    """Of characters that Unicode 8 has already, since tables differ in later ones: docs/checkpoints.md."""
    chance = random.Random(seed)
    import re
    old = unicodedata.ucd_3_2_0
    all_of = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000 and c != 10 and
              (old.category(chr(c)) != "Cn")]
    few = [c for c in all_of if ord(c) < 0x250] + list(" \u2581'\u0301\u200d") * 20
    for _ in range(count):
        from_ = chance.choice([all_of, few, few])
        yield "".join(chance.choice(from_) for _ in range(chance.randrange(1, 30)))


def run(program, folder, lines):
    text = "".join(line + "\n" for line in lines).encode()
    return subprocess.run([program, folder], input=text, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")


def compare(program, folder, paths):
    folder.mkdir(exist_ok=True)
    step = int(os.environ.get("STEP", 1))
    texts = [line for p in paths for line in pathlib.Path(p).read_text().split("\n")][::step]
    four = {"bytes": train_bytes(texts, 8000), "fallback": train_fallback(texts, 8000),
            "wordpiece": train_wordpiece(texts, 8000), "unigram": train_unigram(texts, 8000, None)}
    bad = 0
    sets = {"texts": texts, "random": list(random_lines(100000 // step))}
    for name, of, changes in variants():
        spec = json.dumps(changed(json.loads(four[of].to_str()), changes))
        (folder / "tokenizer.json").write_text(spec)
        t = Tokenizer.from_str(spec)
        for kind, lines in sets.items():
            got, wrong = run(program, folder, lines), []
            encoded = [e.ids for e in t.encode_batch_fast(lines)]
            for i, (line, ids, back) in enumerate(zip(lines, encoded, t.decode_batch(encoded))):
                right = " ".join(map(str, ids)) + "\t" + back.replace("\n", "\\n")
                if got[i] != right:
                    wrong.append((line, right, got[i]))
            print(f"{name}: {kind}: {len(lines)} lines, {len(wrong)} differ", flush=True)
            for line, right, mine in wrong[:3]:
                print("   ", ascii(line), "\n    right", ascii(right), "\n    here ", ascii(mine))
            bad += len(wrong)
    return bad


def speed(program, folder, path):
    """Of byte-level BPE that is trained on the text, by the processor's time, so that other work counts little."""
    folder.mkdir(exist_ok=True)
    text = pathlib.Path(path).read_text()
    for name, regex in [("gpt2", GPT2), ("llama3", LLAMA3)]:
        t = train_bytes(text.split("\n")[:20000], 8000)
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.save(str(folder / "tokenizer.json"))
        best = min(once(lambda: t.encode(text)) for _ in range(5))
        mine = subprocess.run([program, folder, path], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        print(f"{name}: tokenizers {len(text.encode()) / best / 1e6:.2f} MB/s, here {mine} MB/s")


def once(call):
    begin = time.process_time()
    call()
    return time.process_time() - begin


def chat(folder):
    """Each template of chat.json with a message of the system's and without; null: it refuses that."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    path = folder / "chat.json"
    rows = json.loads(path.read_text())
    for row in rows:
        for key, system in (("text", None), ("with_system", " Be brief.\n")):
            messages = [dict(role="system", content=system)] * bool(system)
            messages += [dict(role="user", content=" Who\nis it? ")]
            try:
                row[key] = render_jinja_template(
                    [messages], chat_template=row["template"], add_generation_prompt=True, bos_token="<s>",
                    eos_token="</s>")[0][0]
            except TemplateError:
                row[key] = None
    path.write_text(json.dumps(rows, indent=1) + "\n")


def main():
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "record":
        return record(pathlib.Path(rest[0]))
    if what == "tiny":
        return tiny(pathlib.Path(rest[0]))
    if what == "chat":
        return chat(pathlib.Path(rest[0]))
    if what == "compare":
        return min(1, compare(rest[0], pathlib.Path(rest[1]), rest[2:]))
    return speed(rest[0], pathlib.Path(rest[1]), rest[2])


if __name__ == "__main__":
    sys.exit(main())
