# SPDX-License-Identifier: MIT
"""Texts that networks are trained on: fetched from Debian packages, and put together the same way everywhere.

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


MADE = {
    "fortunes": fortunes,
    "fortunes_30k": lambda: fortunes()[:30_000],
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
