# SPDX-License-Identifier: MIT
"""Texts that networks are trained on: fetched from Debian packages or made by a seed, the same way everywhere.

They stay out of the tree: in the build folder. A text is documents in an order of chance that a seed fixes, so that what is
held out at its end is like the rest, and no document lies on both sides but the one at the border.
"""
import functools
import glob
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

QUOTATIONS = "fortunes"  # 2 MB of quotations in English, documents of some 200 bytes
TOPICS = ("computers", "people", "politics", "songs-poems")  # files of it
ENGLISH, GERMAN = ("manpages", "manpages-dev"), ("manpages-de", "manpages-de-dev")


def unpack(package, folder):
    """The files of a Debian package, which need not be installed."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        sys.exit(f"bench/claims: the text is in the Debian package {package}, and there is no apt-get here; "
                 f"--text FILE names another text")
    done = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True)
    debs = glob.glob(os.path.join(folder, package + "_*.deb"))
    if done.returncode or not debs:
        why = done.stderr.strip().splitlines()
        sys.exit(f"bench/claims: the text is in the Debian package {package}, which can not be fetched"
                 f"{': ' + why[-1] if why else ''}; --text FILE names another text")
    subprocess.run(["dpkg-deb", "-x", debs[0], folder], check=True)


def unpacked(packages, read):
    """What `read` makes of a folder with the files of packages."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # apt fetches as a user of its own
        for package in packages:
            unpack(package, folder)
        return read(folder)


def shuffled(documents):
    """Without those that are there twice, in an order of chance."""
    documents = sorted(set(documents))
    random.Random(1).shuffle(documents)
    return documents


@functools.cache
def quotations():
    """{name of a file of the package: its documents}."""
    def read(folder):
        found = {}
        for path in sorted(glob.glob(os.path.join(folder, "usr/share/games/fortunes/*"))):
            if "." in os.path.basename(path) or os.path.islink(path):
                continue
            with open(path, "rb") as f:
                found[os.path.basename(path)] = [d.strip(b"\n") for d in f.read().split(b"\n%\n")]
        return found
    return unpacked([QUOTATIONS], read)


def fortunes():
    return b"\n\n".join(shuffled(d for documents in quotations().values() for d in documents))


def jsonl(examples):
    return "".join(json.dumps(e) + "\n" for e in examples).encode()


def plain(document, most):
    """The first `most` characters, on one line."""
    return re.sub(r"\s+", " ", document.decode("utf-8", "replace")).strip()[:most]


# ---- classes: which file of the package is a quotation from? ----

def topic_lines():
    lines = {name: shuffled(plain(d, 100) for d in quotations()[name] if len(d) > 40)[:500] for name in TOPICS}
    examples = [{"text": text, "label": name} for name in TOPICS for text in lines[name]]
    random.Random(5).shuffle(examples)
    return examples


def topics():
    return jsonl(topic_lines())


def topics_text():
    """The same lines without their classes."""
    return "\n".join(e["text"] for e in topic_lines()).encode()


def other_quotations():
    return b"\n\n".join(shuffled(d for name, ds in quotations().items() if name not in TOPICS for d in ds))


def halves():
    """Two halves of one quotation, or of two: is it one?"""
    wholes = [t for t in (plain(d, 96) for ds in quotations().values() for d in ds) if len(t) > 60]
    r, wholes = random.Random(6), shuffled(wholes)[:8000]
    examples = []
    for i, whole in enumerate(wholes):
        cut = whole.rfind(" ", 0, len(whole) // 2 + 1)
        other = wholes[(i + 1 + r.randrange(len(wholes) - 1)) % len(wholes)]
        same = r.random() < 0.5
        end = whole[cut + 1:] if same else other[other.rfind(" ", 0, len(other) // 2 + 1) + 1:]
        examples.append({"text": whole[:cut] + " | " + end, "label": "one" if same else "two"})
    return jsonl(examples)


def one_line():
    """One text and not two: is it from the file people?"""
    people = {plain(d, 48) for d in quotations()["people"]}
    lines = shuffled(t for ds in quotations().values() for t in (plain(d, 48) for d in ds) if len(t) > 30)
    mine = [t for t in lines if t in people]
    others = [t for t in lines if t not in people][:len(mine)]
    examples = [{"text": t, "label": "people"} for t in mine] + [{"text": t, "label": "other"} for t in others]
    random.Random(7).shuffle(examples)
    return jsonl(examples)


# ---- pairs: what manual pages say, in two languages and in two lengths ----

def paragraphs(source):
    """Those of a page's source, as words: without macros, tables and what is not to be filled."""
    found, words, filled = [], [], True
    for line in source.splitlines():
        macro = re.match(r"[.']\s*(\S+)\s*(.*)", line)
        if macro and macro[1] in ("B", "I", "BR", "IR", "BI", "IB", "RB", "RI", "R"):
            line = re.sub(r'"([^"]*)"|\s+', lambda m: m[1] or "" if m[1] is not None else "", macro[2]) \
                if len(macro[1]) == 2 else macro[2].replace('"', "")
        elif macro:
            if macro[1].startswith("\\\""):
                continue
            filled = {"nf": False, "EX": False, "TS": False, "fi": True, "EE": True, "TE": True}.get(macro[1], filled)
            found.append((" ".join(words), filled))
            words = []
            continue
        if filled:
            words.append(re.sub(r"\\f(\[\w*\]|\(..|.)|\\[&/,|^]", "", line).replace("\\-", "-").replace("\\", ""))
    found.append((" ".join(words), filled))
    return [re.sub(r"\s+", " ", text).strip() for text, _ in found]


def pages(folder, language):
    """{section/name: source}."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "usr/share/man", language, "man*", "*.gz"))):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as f:
            source = f.read()
        if not source.startswith(".so "):
            found["/".join(path.split(os.sep)[-2:])] = source
    return found


def manpages():
    """Paragraphs of at most 90 letters in English and German, of pages with as many paragraphs in both."""
    def read(folder):
        english, german, found = pages(folder, ""), pages(folder, "de"), set()
        for name in sorted(english.keys() & german.keys()):
            a = paragraphs(english[name])
            b = paragraphs(german[name].split("\n.PP\n.SH ÜBERSETZUNG")[0])  # who has translated it
            if len(a) == len(b):
                found |= {(x, y) for x, y in zip(a, b) if 12 < len(x) <= 90 and 12 < len(y) <= 90 and x != y}
        return [{"source": x, "target": y} for x, y in shuffled(found)]
    return jsonl(unpacked([*ENGLISH, *GERMAN], read))


def summaries():
    """The first paragraph of a page's description, and what its line of the name says."""
    def read(folder):
        found = set()
        for source in pages(folder, "").values():
            parts = re.split(r"\n\.SH\s+", source)
            says = {p.split("\n", 1)[0].strip(' "'): p.split("\n", 1)[-1] for p in parts}
            name = re.search(r"\\-\s+(.+)", says.get("NAME", ""))
            first = next((p for p in paragraphs(says.get("DESCRIPTION", "")) if len(p) > 40), None)
            if name and first:
                found.add((first[:150], name[1].strip()[:70]))
        return [{"source": x, "target": y} for x, y in shuffled(found)]
    return jsonl(unpacked(ENGLISH, read))


# ---- texts of one task, made by a seed ----

LINES = 40_000


def sums():
    """17+90=10, modulo 97: the sums of the part that is held out are others than those that are learned."""
    r = random.Random(2)
    pairs = [(a, b) for a in range(97) for b in range(97)]
    r.shuffle(pairs)
    border = len(pairs) * 3 // 4
    learned, held_out = pairs[:border], pairs[border:]
    lines = r.choices(learned, k=LINES * 9 // 10) + r.choices(held_out, k=LINES // 10)
    return "".join(f"{a:02}+{b:02}={(a + b) % 97:02}\n" for a, b in lines).encode()


def brackets():
    """Lines of balanced brackets of four kinds, at most 12 deep; which kind closes follows from what is open."""
    r, kinds, lines = random.Random(3), ("()", "[]", "{}", "<>"), []
    for _ in range(LINES // 4):
        line, closing = "", []
        for _ in range(20):
            if closing and (len(closing) == 12 or r.random() < 0.5):
                line += closing.pop()
            else:
                kind = r.choice(kinds)
                line, closing = line + kind[0], closing + [kind[1]]
        lines.append(line + "".join(reversed(closing)))
    return "\n".join(lines).encode()


def recall():
    """a4k7z1...: a letter has one digit within a line, and another one in the next line."""
    r, lines = random.Random(4), []
    for _ in range(LINES // 2):
        letters = r.sample("abcdefghijklmnopqrstuvwxyz", 8)
        digits = {c: r.choice("0123456789") for c in letters}
        lines.append("".join(c + digits[c] for c in letters + r.choices(letters, k=12)))
    return "\n".join(lines).encode()


def delay():
    """k......k: a letter, then dots, of which nobody knows how many, and then the letter again."""
    r, lines = random.Random(8), []
    for _ in range(LINES // 2):
        letter = r.choice("abcdefghijklmnopqrstuvwxyz")
        lines.append(letter + "." * r.randrange(5, 40) + letter)
    return "\n".join(lines).encode()


def shuffled_words():
    """The quotations with the letters of each word in an order of chance: harder to tell, of the same letters."""
    r = random.Random(9)

    def mix(word):
        letters = list(word[0].decode("latin-1"))
        r.shuffle(letters)
        return "".join(letters).encode("latin-1")
    return re.sub(rb"[A-Za-z]+", mix, fortunes()[:60_000])


MADE = {
    "fortunes": fortunes,
    "fortunes_30k": lambda: fortunes()[:30_000],
    "fortunes_60k": lambda: fortunes()[:60_000],
    "shuffled_words": shuffled_words,
    "topics": topics,
    "topics_text": topics_text,
    "other_quotations": other_quotations,
    "halves": halves,
    "one_line": one_line,
    "manpages": manpages,
    "summaries": summaries,
    "delay": delay,
    "sums": sums,
    "brackets": brackets,
    "recall": recall,
}


EXAMPLES = ("topics", "halves", "one_line", "manpages", "summaries")  # a line each, of JSON


def text(name, folder):
    """The path of a text in a folder, made if it is not there yet."""
    path = os.path.join(folder, name + (".jsonl" if name in EXAMPLES else ".txt"))
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        content = MADE[name]()
        with open(path + ".part", "wb") as f:
            f.write(content)
        os.replace(path + ".part", path)
    return path
