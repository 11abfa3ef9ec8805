# SPDX-License-Identifier: MIT
"""Texts that networks are trained on: fetched from Debian packages or made by a seed, the same way everywhere.

They stay out of the tree: in the build folder. A text is documents in an order of chance that a seed fixes, so that what is
held out at its end is like the rest, and no document lies on both sides but the one at the border.
"""
import glob
import os
import random
import shutil
import subprocess
import sys
import tempfile

PACKAGE = "fortunes"  # 2 MB of quotations in English, documents of some 200 bytes


def unpacked(package, folder):
    """The files of a Debian package, which need not be installed."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        sys.exit(f"bench/claims: the text is in the Debian package {package}, and there is no apt-get here; "
                 f"--text FILE names another text")
    done = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True)
    debs = glob.glob(os.path.join(folder, "*.deb"))
    if done.returncode or not debs:
        why = done.stderr.strip().splitlines()
        sys.exit(f"bench/claims: the text is in the Debian package {package}, which can not be fetched"
                 f"{': ' + why[-1] if why else ''}; --text FILE names another text")
    subprocess.run(["dpkg-deb", "-x", debs[0], folder], check=True)


def fortunes():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # apt fetches as a user of its own
        unpacked(PACKAGE, folder)
        documents = []
        for name in sorted(glob.glob(os.path.join(folder, "usr/share/games/fortunes/*"))):
            if "." in os.path.basename(name) or os.path.islink(name):
                continue
            with open(name, "rb") as f:
                documents += f.read().split(b"\n%\n")
    documents = sorted({d.strip(b"\n") for d in documents})
    random.Random(1).shuffle(documents)
    return b"\n\n".join(documents)


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


MADE = {
    "fortunes": fortunes,
    "fortunes_30k": lambda: fortunes()[:30_000],
    "sums": sums,
    "brackets": brackets,
    "recall": recall,
}


def text(name, folder):
    """The path of a text in a folder, made if it is not there yet."""
    path = os.path.join(folder, name + ".txt")
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        content = MADE[name]()
        with open(path + ".part", "wb") as f:
            f.write(content)
        os.replace(path + ".part", path)
    return path
