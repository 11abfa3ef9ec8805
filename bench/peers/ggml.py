# SPDX-License-Identifier: MIT
"""ggml.py: ggml, if GGML_DIR names its sources. Built with its own cmake, not among them: in GGML_BUILD, or beside the
Python environment."""
import ctypes as c
import os
import pathlib
import subprocess
import sys

import numpy as np

from cases import decode

if "GGML_DIR" not in os.environ:
    raise ImportError("GGML_DIR names the sources of ggml, if it is to take part")
source = pathlib.Path(os.environ["GGML_DIR"]).resolve()
build = pathlib.Path(os.environ.get("GGML_BUILD", pathlib.Path(sys.prefix) / "ggml")).resolve()


def command(*words):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise ImportError(f"{words[0]} failed: {done.stdout[-2000:]}")
    return done.stdout


def make():
    driver, own = build / "driver.so", pathlib.Path(__file__).with_name("ggml_driver.c")
    if not driver.exists() or driver.stat().st_mtime < own.stat().st_mtime:
        print(f"ggml: building {source} in {build}", file=sys.stderr)
        command("cmake", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF",
                "-DCMAKE_POSITION_INDEPENDENT_CODE=ON", "-DGGML_NATIVE=ON", "-DGGML_LLAMAFILE=ON", "-DGGML_OPENMP=OFF",
                "-DGGML_BUILD_TESTS=OFF", "-DGGML_BUILD_EXAMPLES=OFF")
        command("cmake", "--build", build, "-j", os.cpu_count())
        command("cc", "-O2", "-shared", "-fPIC", "-o", driver, own, f"-I{source}/include", "-Wl,--start-group",
                *build.glob("src/**/*.a"), "-Wl,--end-group", "-lstdc++", "-lpthread", "-lm", "-ldl")
    return c.CDLL(str(driver))


lib = make()
name = "ggml"
lib.driver_version.restype = c.c_char_p
version = lib.driver_version().decode()
lib.driver_out.restype = c.POINTER(c.c_float)
for function in ("attention", "matmul", "norm", "rope"):
    getattr(lib, "driver_" + function).restype = c.c_void_p
threads = 1


def start(options):
    global threads
    threads = options.threads


class Driver:
    """Owns one graph, and frees it when nobody can run it any more."""

    def __init__(self, function, *arguments):
        to = {int: c.c_int64, float: c.c_float, np.ndarray: lambda a: c.c_void_p(a.ctypes.data),
              bool: c.c_int, type(None): c.c_void_p}
        self.handle = c.c_void_p(function(*[to[type(a)](a) for a in arguments], c.c_int(threads)))

    def run(self):
        if lib.driver_run(self.handle):
            raise RuntimeError("ggml_graph_compute failed")

    def __del__(self):
        lib.driver_free(self.handle)

    def read(self, shape):
        return lambda: np.ctypeslib.as_array(lib.driver_out(self.handle), shape).copy()


def forms(case):
    if case.dtype == "bf16" or (case.dtype == "f16" and case.kind != "attention/softmax"):
        return
    size, data = case.size, {n: decode(a) for n, a in case.data.items() if n != "documents"}
    if case.kind == "attention/softmax":
        see = case.allowed()
        mask = None if see is None else np.where(see, 0, -np.inf).astype(np.float32)
        half = case.dtype == "f16"
        d = Driver(lib.driver_attention, *(size(a) for a in "TSHGD"), data["q"], data["k"], data["v"], mask, half,
                   size("D") ** -0.5)
        label = f"flash_attn_ext, k and v {case.dtype}"
    elif case.kind == "linear/projection":
        d, label = Driver(lib.driver_matmul, *(size(a) for a in "TMN"), data["x"], data["weight"]), "mul_mat"
    elif case.kind == "position/rope":
        d, label = Driver(lib.driver_rope, *(size(a) for a in "THD"), data["x"]), "rope"
    else:
        layer = case.kind == "norm/layer"
        d = Driver(lib.driver_norm, size("T"), size("M"), data["x"], data["gain"], data.get("bias"),
                   1e-5 if layer else 1e-6)
        label = "norm, mul, add" if layer else "rms_norm, mul"
    shape = (size("T"), size("N")) if case.kind == "linear/projection" else case.data["q" if "q" in data else "x"].shape
    yield label, d.run, d.read(shape)
