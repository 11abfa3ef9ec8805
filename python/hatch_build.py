# SPDX-License-Identifier: MIT
"""hatch_build.py: builds libheed, its plugins and the command, and puts them into the package.

A wheel: ./configure && make && make install, with autotools as the only build, into a folder of its
own; then lib/libheed.so.0, lib/heed/*.so, bin/heed and share/heed go into heed_attention/. The
plugins find their place beside the library wherever it is. HEED_PREFIX names an installation that
is there already, in place of a build.

An sdist: what `make dist` packs, unpacked into heed/, with its configure, so that a compiler and
the three libraries are enough.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TAKEN = ["lib/libheed.so.0", "bin/heed"]  # of an installation, besides lib/heed and share/heed
LEFT = ["transport_mpi.so"]  # for the MPI of one machine, of which no copy would do


def run(words: list[str], folder: pathlib.Path) -> None:
    print("+", *words, file=sys.stderr)
    if subprocess.run(words, cwd=folder, stdout=sys.stderr).returncode:
        raise SystemExit(
            f"heed: {words[0]} failed; what is needed to build: a C compiler, make, "
            f"pkg-config, and the headers of hwloc, "
            "jansson and SLEEF (Debian: gcc make pkg-config libhwloc-dev libjansson-dev "
            "libsleef-dev)"
        )


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="heed-wheel."))
        if self.target_name == "sdist":
            self.sources(build_data)
        elif version != "editable":
            self.library(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def top(self) -> pathlib.Path:
        """Where the sources of libheed are: heed/ in an sdist, the tree around python/ else."""
        here = pathlib.Path(self.root)
        return here / "heed" if (here / "heed" / "configure").exists() else here.parent

    def sources(self, build_data: dict[str, Any]) -> None:
        top = self.top()
        if top.parent == pathlib.Path(self.root):  # an sdist of an sdist
            build_data["force_include"][str(top)] = "heed"
            return
        self.configure(top)
        run(["make", "-s", "distdir", "distdir=packed"], self.work / "build")
        build_data["force_include"][str(self.work / "build" / "packed")] = "heed"

    def configure(self, top: pathlib.Path) -> None:
        if not (top / "configure").exists():
            run(["./bootstrap"], top)
        build = self.work / "build"
        build.mkdir()
        host = os.environ.get("HEED_HOST")  # aarch64-linux-gnu: a wheel that is cross-built
        run(
            [
                str(top / "configure"),
                "--without-mpi",  # a wheel is for any machine, and MPI is each machine's own
                "--quiet",
                "--prefix=/usr/local",
                *([f"--host={host}"] if host else []),
            ],
            build,
        )

    def library(self, build_data: dict[str, Any]) -> None:
        prefix = os.environ.get("HEED_PREFIX")
        if prefix is None:
            self.configure(self.top())
            build = self.work / "build"
            run(["make", "-s", f"-j{os.cpu_count() or 1}"], build)
            run(["make", "-s", "install-strip", f"DESTDIR={self.work}/root"], build)
            prefix = f"{self.work}/root/usr/local"
        root = pathlib.Path(prefix)
        plugins = sorted((root / "lib" / "heed").glob("*.so"))
        files = [root / name for name in TAKEN] + [p for p in plugins if p.name not in LEFT]
        files += [f for f in sorted((root / "share" / "heed").rglob("*")) if f.is_file()]
        for file in files:
            to = f"heed_attention/{file.relative_to(root)}"
            build_data["force_include"][str(file.resolve())] = to
        build_data["pure_python"] = False
        platform = os.environ.get("HEED_PLATFORM", sysconfig.get_platform())
        build_data["tag"] = "py3-none-" + platform.replace("-", "_").replace(".", "_")
