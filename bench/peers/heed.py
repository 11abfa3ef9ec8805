# SPDX-License-Identifier: MIT
"""heed.py: libheed by ctypes (engine/heed.h), and the command for what only it knows: peaks, costs, the machine."""
import ctypes as c
import json
import os
import pathlib
import subprocess

import numpy as np

from cases import aligned, decode


class Refused(Exception):
    """heed's sentence."""


class Tensor(c.Structure):
    _fields_ = [("size", c.c_uint32), ("dtype", c.c_uint32), ("rank", c.c_int32), ("flags", c.c_uint32),
                ("data", c.c_void_p), ("bytes", c.c_uint64), ("dim", c.c_int64 * 8), ("stride", c.c_int64 * 8)]


class Binding(c.Structure):
    _fields_ = [("port", c.c_char_p), ("tensor", c.POINTER(Tensor))]


class Error(c.Structure):
    _fields_ = [("code", c.c_int32), ("text", c.c_char * 1020)]


class Options(c.Structure):
    _fields_ = [("size", c.c_uint32), ("threads", c.c_uint32), ("pinning", c.c_uint32), ("smt", c.c_uint32),
                ("plugins", c.c_char_p), ("isa", c.c_char_p), ("host", c.c_void_p)]


class Opening(c.Structure):
    _fields_ = [("size", c.c_uint32), ("n_weights", c.c_uint32), ("weights", c.POINTER(Binding)),
                ("axes", c.POINTER(c.c_int64)), ("isa", c.c_char_p)]


class Path(c.Structure):  # heed_path, as far as it is needed
    _fields_ = [("size", c.c_uint32), ("flags", c.c_uint32), ("needs", c.c_uint64), ("name", c.c_char_p)]


DTYPES = {"float32": 0, "float16": 1, "uint16": 2, "int64": 6}  # uint16: the bits of bf16
PIN_NONE = 2  # the peers pin nothing either
WEIGHTS = ("gain", "bias", "weight")


def view(array):
    t = Tensor(size=c.sizeof(Tensor), dtype=DTYPES[array.dtype.name], rank=array.ndim, data=array.ctypes.data,
               bytes=array.nbytes)
    t.dim[:array.ndim] = array.shape
    t.stride[:array.ndim] = [s // array.itemsize for s in array.strides]
    return t


def bind(arrays):
    """A C array of bindings; the tensors live as long as it."""
    tensors = [view(a) for a in arrays.values()]
    made = (Binding * max(1, len(arrays)))(*[Binding(n.encode(), c.pointer(t)) for n, t in zip(arrays, tensors)])
    made.keep = tensors
    return made


class Heed:
    def __init__(self, build, threads):
        build = pathlib.Path(build)
        self.threads, self.command = threads, str(build / "heed")
        self.plugins = os.environ.get("HEED_PLUGINS", str((build / "plugins/.libs").resolve()))
        try:
            self.lib = c.CDLL(str(build / "engine/.libs/libheed.so"))
        except OSError as e:
            raise Refused(f"{build}: no built heed is here: {e}") from e
        for function in ("heed_engine_new", "heed_instance_open"):
            getattr(self.lib, function).restype = c.c_void_p
        self.lib.heed_instance_path.restype = c.POINTER(Path)
        self.lib.heed_instance_path.argtypes = [c.c_void_p]
        self.lib.heed_instance_close.argtypes = [c.c_void_p]
        self.lib.heed_run.argtypes = [c.c_void_p, c.POINTER(Binding), c.c_uint32, c.POINTER(Binding), c.c_uint32,
                                      c.c_void_p, c.c_void_p]
        self.error = Error()
        options = Options(size=c.sizeof(Options), threads=threads, pinning=PIN_NONE, plugins=self.plugins.encode())
        self.engine = self.lib.heed_engine_new(c.byref(options), c.byref(self.error))
        if not self.engine:
            raise Refused(self.error.text.decode())

    def contender(self, case):
        """(path, run, result) for a case."""
        weights = {n: a for n, a in case.data.items() if n in WEIGHTS}
        inputs = {n: a for n, a in case.data.items() if n not in WEIGHTS}
        first = next(iter(inputs.values()))
        shape = first.shape[:-1] + (case.size("N"),) if "weight" in weights else first.shape
        output = aligned(np.zeros(shape, first.dtype))
        w, i, o = bind(weights), bind(inputs), bind({"out": output})
        opening = Opening(size=c.sizeof(Opening), n_weights=len(weights), weights=w)
        instance = self.lib.heed_instance_open(c.c_void_p(self.engine), case.spec.encode(), c.byref(opening),
                                               c.byref(self.error))
        if not instance:
            raise Refused(self.error.text.decode().split("\n")[0])
        heed_run, n, error = self.lib.heed_run, len(inputs), c.byref(self.error)

        def run():
            if heed_run(instance, i, n, o, 1, None, error):
                raise Refused(self.error.text.decode())

        run.keep, run.instance = (w, case.data), instance
        run()
        return self.lib.heed_instance_path(instance).contents.name.decode(), run, lambda: decode(output)

    def close(self, run):
        self.lib.heed_instance_close(run.instance)

    def explain(self, case):
        """What this machine can do at this moment, and what the case costs: the record of heed bench --explain."""
        words = [self.command, "bench", case.spec, "--shape", case.shape, "--dtype", case.dtype, "--explain",
                 "--rounds", "1", "--threads", str(self.threads), "--pin", "none", "--json", "-"]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HEED_PLUGINS": self.plugins})
        if done.returncode:
            raise Refused(done.stderr.removeprefix("heed: ").split("\n")[0])
        return json.loads(done.stdout)
