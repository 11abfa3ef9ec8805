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
    """A C array of bindings; the tensors and their memory live as long as it."""
    tensors = [view(a) for a in arrays.values()]
    made = (Binding * max(1, len(arrays)))(*[Binding(n.encode(), c.pointer(t)) for n, t in zip(arrays, tensors)])
    made.keep = tensors, list(arrays.values())
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
        for function in ("heed_engine_new", "heed_instance_open", "heed_sequence_new"):
            getattr(self.lib, function).restype = c.c_void_p
        self.lib.heed_instance_path.restype = c.POINTER(Path)
        self.lib.heed_instance_path.argtypes = [c.c_void_p]
        self.lib.heed_instance_close.argtypes = [c.c_void_p]
        self.lib.heed_run.argtypes = [c.c_void_p, c.POINTER(Binding), c.c_uint32, c.POINTER(Binding), c.c_uint32,
                                      c.c_void_p, c.c_void_p]
        self.lib.heed_sequence_new.argtypes = [c.c_void_p, c.POINTER(c.c_int64), c.c_void_p]
        self.lib.heed_sequence_truncate.argtypes = [c.c_void_p, c.c_int64]
        self.error = Error()
        options = Options(size=c.sizeof(Options), threads=threads, pinning=PIN_NONE, plugins=self.plugins.encode())
        self.engine = self.lib.heed_engine_new(c.byref(options), c.byref(self.error))
        if not self.engine:
            raise Refused(self.error.text.decode())

    def contender(self, case):
        """(path, run, result) for a case."""
        weights = {n: a for n, a in case.data.items() if n in WEIGHTS}
        given = {n: a for n, a in case.data.items() if n not in WEIGHTS}
        inputs = {n: a[:, case.decode:] for n, a in given.items()} if case.decode else given
        first = given["v"] if case.rule else next(iter(given.values()))
        shape = first.shape[:-1] + (case.size("N"),) if "weight" in weights else first.shape
        if case.rule:
            shape = (case.size("B"), case.size("T"), case.size("H"), case.size("E"))
        output = aligned(np.zeros(shape, first.dtype))
        w, i, o = bind(weights), bind(inputs), bind({"out": output})
        opening = Opening(size=c.sizeof(Opening), n_weights=len(weights), weights=w)
        instance = self.lib.heed_instance_open(c.c_void_p(self.engine), case.spec.encode(), c.byref(opening),
                                               c.byref(self.error))
        if not instance:
            raise Refused(self.error.text.decode().split("\n")[0])
        sequences = self.fed(instance, case, given) if case.decode else None
        heed_run, n, error = self.lib.heed_run, len(inputs), c.byref(self.error)

        def run():
            if heed_run(instance, i, n, o, 1, sequences, error):
                raise Refused(self.error.text.decode())
            if sequences:
                self.lib.heed_sequence_truncate(sequences[0], case.decode)

        run.keep, run.instance = (w, case.data, sequences), instance
        run()
        return self.lib.heed_instance_path(instance).contents.name.decode(), run, lambda: decode(output)

    def fed(self, instance, case, given):
        """A sequence that has read all tokens but those that are timed."""
        before = bind({n: np.ascontiguousarray(a[:, :case.decode]) for n, a in given.items()})
        shape = (case.size("B"), case.decode, case.size("H"), case.size("E"))
        out = np.zeros(shape, np.float32)
        axes = (c.c_int64 * 26)(*[-1] * 26)
        for letter in "HGDE":
            axes[ord(letter) - ord("A")] = case.size(letter)
        sequence = self.lib.heed_sequence_new(instance, axes, c.byref(self.error))
        sequences = (c.c_void_p * 1)(sequence)
        if not sequence or self.lib.heed_run(instance, before, len(given), bind({"out": out}), 1, sequences,
                                             c.byref(self.error)):
            raise Refused(self.error.text.decode())
        return sequences

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
