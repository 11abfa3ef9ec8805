# SPDX-License-Identifier: MIT
"""openblas.py: cblas_sgemm of OpenBLAS, on the weight as it lies in a file: it packs at every call."""
import ctypes as c
import glob

import numpy as np
import scipy_openblas32

from cases import aligned

lib = c.CDLL(glob.glob(scipy_openblas32.get_lib_dir() + "/libscipy_openblas*.so")[0])
lib.scipy_openblas_get_corename.restype = c.c_char_p
name, version = "openblas", f"{scipy_openblas32.__version__} {lib.scipy_openblas_get_corename().decode()}"
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def start(options):
    lib.scipy_openblas_set_num_threads(options.threads)


def forms(case):
    if case.kind != "linear/projection" or case.dtype != "f32":
        return
    x, w, T, M, N = case.data["x"], case.data["weight"], case.size("T"), case.size("M"), case.size("N")
    out, one, zero = aligned(np.zeros((T, N), np.float32)), c.c_float(1), c.c_float(0)
    at = [c.c_void_p(a.ctypes.data) for a in (x, w, out)]
    arguments = (ROW_MAJOR, PLAIN, TRANSPOSED, T, N, M, one, at[0], M, at[1], M, zero, at[2], N)

    def run():
        lib.scipy_cblas_sgemm(*arguments)

    run.keep = x, w, out  # their addresses alone would not
    yield "sgemm", run, lambda: out
