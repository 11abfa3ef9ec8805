# SPDX-License-Identifier: MIT
"""_op.py: one op: opened, called, bound; and the sequences that it remembers.

An Op never changes, so any number of threads may call it. What a call needs in C, an array of
heed_binding over heed_tensor, is made anew for each call, and kept only by a `Bound`.
"""

from __future__ import annotations

import ctypes as c
import functools
import os
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from typing import Any

from . import _abi, _library
from ._library import Engine, HeedError, check, error, lib, raise_error
from ._library import engine as default_engine
from ._tensor import Array, Tensor, is_torch, layout, maker, new, view, writable

KINDS = 64  # of calls that an Op keeps prepared, by the layouts of their arrays
INPUT, WEIGHT, OUTPUT = _abi.HEED_INPUT, _abi.HEED_WEIGHT, _abi.HEED_OUTPUT


def table(kind: Any, table: _abi.heed_table) -> list[Any]:
    """The elements of a heed_table, at its own stride."""
    return [kind.from_address((table.data or 0) + i * table.stride) for i in range(table.count)]


def bindings(tensors: Mapping[str, Tensor]) -> Any:
    """An array of heed_binding, which keeps the tensors."""
    made = (_abi.heed_binding * len(tensors))()
    keep = []
    for binding, (port, tensor) in zip(made, tensors.items()):
        name = port.encode()
        keep.append((name, tensor))
        binding.port, binding.tensor = name, c.addressof(tensor)
    made.keep = keep  # type: ignore[attr-defined]
    return made


def axes_array(axes: Mapping[str, int]) -> Any:
    """Sizes of axes by their letters, as C has them. Raises ValueError for what is no letter."""
    made = (c.c_int64 * _abi.HEED_AXES)(*[-1] * _abi.HEED_AXES)
    for letter, n in axes.items():
        if len(letter) != 1 or not "A" <= letter <= "Z":
            raise ValueError(f'"{letter}" is no axis; axes are capital letters, such as G=8, D=64')
        made[ord(letter) - ord("A")] = n
    return made


class Weights:
    """The tensors of a safetensors file, mapped: name -> NumPy array, read-only, without a copy.

    Raises HeedError if the file is not what it says.
    """

    def __init__(self, path: str | os.PathLike[str], *, _handle: int | None = None) -> None:
        self.handle: int = _handle or check(lib.heed_weights_open(os.fsencode(path), error()))
        weakref.finalize(self, lib.heed_weights_close, self.handle)

    @classmethod
    def random(cls, spec: str, seed: int = 1, *, engine: Engine | None = None) -> Weights:
        """Those of a network that has learned nothing yet: the same on every machine."""
        owner = engine or default_engine()
        made = cls(
            "", _handle=check(lib.heed_weights_random(owner.handle, spec.encode(), seed, error()))
        )
        made._engine = owner
        return made

    _engine: Engine | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Views of all tensors, as heed has them."""
        told = {}
        for i in range(lib.heed_weights_count(self.handle)):
            name = lib.heed_weights_name(self.handle, i)
            tensor = Tensor.from_buffer_copy(lib.heed_weights_find(self.handle, name).contents)
            tensor.owner = self
            told[name.decode()] = tensor
        return told

    def metadata(self, key: str) -> str | None:
        """An entry of __metadata__, or None."""
        value = lib.heed_weights_metadata(self.handle, key.encode())
        return None if value is None else value.decode()


class Sequence:
    """What an op remembers of one sequence between calls: a KV cache, or a recurrent state.

    Made by `Op.sequence` or `Op.load`; handed to calls as `sequences=[s]`, one a batch row. len(s)
    is the tokens so far. One call at a time may use it; another one meanwhile raises HeedError, as
    does the use of one that was freed.
    """

    group: Any = None  # heed_attention.distributed: it lives as long

    def __init__(self, op: Op, handle: int) -> None:
        self._op = op
        self._handle: int | None = handle
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, lib.heed_sequence_free, handle)

    def free(self) -> None:
        """Gives the memory back now; without it that happens when nobody refers to the sequence any
        more.
        """
        self._take()
        self._handle = None
        self._end()
        self._lock.release()

    def _take(self) -> int:
        if not self._lock.acquire(blocking=False):
            raise HeedError(f"{self._op.id}: the sequence is in another call, or twice in this one")
        if self._handle is None:
            self._lock.release()
            raise HeedError(f"{self._op.id}: the sequence was freed")
        return self._handle

    def __len__(self) -> int:
        handle = self._take()
        try:
            return int(lib.heed_sequence_length(handle))
        finally:
            self._lock.release()

    @property
    def nbytes(self) -> int:
        """Bytes of its pages, shared ones included."""
        handle = self._take()
        try:
            return int(lib.heed_sequence_bytes(handle))
        finally:
            self._lock.release()

    def fork(self) -> Sequence:
        """A second one with the same content, which shares its pages until one of them writes."""
        handle = self._take()
        try:
            return Sequence(self._op, check(lib.heed_sequence_fork(handle, error())))
        finally:
            self._lock.release()

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` tokens. A recurrent state can go back to 0, or a
        little way.
        """
        handle = self._take()
        try:
            check(lib.heed_sequence_truncate(handle, length, error()))
        finally:
            self._lock.release()

    def save(self) -> bytes:
        """All that it remembers, for `Op.load`: the same bytes on every machine."""
        handle = self._take()
        try:
            return saved(lib.heed_sequence_save, handle)
        finally:
            self._lock.release()


def saved(save: Any, handle: int) -> bytes:
    """What a function such as heed_sequence_save writes."""
    room = check(save(handle, None, 0, error()))
    to = c.create_string_buffer(room)
    check(save(handle, to, room, error()))
    return to.raw


class _Prepared:
    """What a call needs in C: bindings, tensors, and outputs that are new each time. One thread
    uses it at a time.
    """

    __slots__ = (
        "ins",
        "bound",
        "n_in",
        "n_out",
        "tensors",
        "news",
        "names",
        "outs",
        "single",
    )

    def __init__(
        self,
        ins: Any,
        bound: Any,
        tensors: dict[str, Tensor],
        news: list[tuple[str, tuple[Any, Any]]],
        names: tuple[str, ...],
        outs: dict[str, Array],
        single: bool,
    ) -> None:
        self.ins, self.bound, self.n_in, self.n_out = ins, bound, len(ins), len(bound)
        self.tensors, self.news, self.names, self.outs = tensors, news, names, outs
        self.single = single

    def move(self, ports: Mapping[str, Array], places: Iterable[tuple[str, int]]) -> None:
        """The same call on other arrays, whose addresses are in `places`, with new outputs."""
        tensors = self.tensors
        for port, place in places:
            tensors[port].data = place
        outs = {}
        for port, (make, address) in self.news:
            outs[port] = made = make()
            tensors[port].data = address(made)
        self.outs = outs if len(outs) == len(self.names) else {**ports, **outs}

    def results(self) -> Any:
        """The outputs as the caller gets them."""
        if self.single:
            return self.outs[self.names[0]]
        return tuple(self.outs[n] for n in self.names)


class Bound:
    """A call whose arrays are bound beforehand: calling it runs the op on what is in them then."""

    def __init__(
        self, op: Op, call: _Prepared, arrays: Any, sequences: SequenceOf[Sequence] | None
    ) -> None:
        self.result = call.results()
        self._op, self._call, self._arrays, self._sequences = op, call, arrays, sequences
        self._arguments = (op.handle, call.ins, call.n_in, call.bound, call.n_out, None)

    def __call__(self) -> Array:
        """Runs; returns the outputs, always the same arrays."""
        if self._sequences is not None:
            self._op._with(self._sequences, self._call)
        elif lib.heed_run(*self._arguments, error()):
            raise_error()
        return self.result


class Op:
    """An op with its settings: `Op("attention/softmax(causal=true)")(q=q, k=k, v=v)`.

    spec     what it is: docs/networks.md and `heed describe OP` have the words
    weights  name of port -> array, which must not change while the Op is used; or a safetensors
    file
    axes     sizes known beforehand, such as dict(H=8, D=64); few ops need them
    isa      a path for this op alone, such as "avx2"

    Raises HeedError with the sentence of libheed, for a mistake in the spec with a caret under the
    place.
    """

    def __init__(
        self,
        spec: str,
        *,
        weights: Mapping[str, Array] | str | os.PathLike[str] | None = None,
        axes: Mapping[str, int] | None = None,
        isa: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or default_engine()
        if weights is None or isinstance(weights, Mapping):
            given = dict(weights or {})
            tensors = {port: view(port, a) for port, a in given.items()}
        else:
            given = {}
            tensors = Weights(weights).tensors()
        bound = bindings(tensors)
        axis = axes_array(axes or {})
        opening = _abi.heed_opening(
            size=c.sizeof(_abi.heed_opening),
            n_weights=len(bound),
            weights=c.addressof(bound),
            axes=c.addressof(axis),
            isa=None if isa is None else isa.encode(),
        )
        self.handle: int = check(
            lib.heed_instance_open(self.engine.handle, spec.encode(), c.byref(opening), error())
        )
        self._keep = given, bound, axis
        # libheed keeps the weights by pointer: they end after the instance
        weakref.finalize(self, _close, self.handle, self.engine, self._keep)
        self._op = lib.heed_instance_op(self.handle).contents
        self.id: str = self._op.id.decode()
        ports = table(_abi.heed_port, self._op.ports)
        self._ports = {p.name.decode(): p for p in ports}
        self._calls: dict[Any, list[_Prepared]] = {}
        self.inputs: list[str] = [p.name.decode() for p in ports if p.role == INPUT]
        self.outputs: list[str] = [p.name.decode() for p in ports if p.role == OUTPUT]
        self._wanted = [
            p.name.decode()
            for p in ports
            if p.role == OUTPUT and not p.flags & _abi.HEED_PORT_OPTIONAL
        ]
        self._encoded = {name: name.encode() for name in self.inputs + self.outputs}
        self._is_output = frozenset(self.outputs)
        needed = [
            p
            for p in ports
            if p.role == INPUT and not p.flags & (_abi.HEED_PORT_OPTIONAL | _abi.HEED_PORT_REPEATS)
        ]
        self._of_batch = next((p.name.decode() for p in needed if p.axes.startswith(b"B ")), "")

    @property
    def spec(self) -> str:
        """The spec in its one canonical form."""
        return str(lib.heed_instance_spec(self.handle).decode())

    @property
    def path(self) -> str:
        """The path that runs, such as "avx512"."""
        return str(lib.heed_instance_path(self.handle).contents.name.decode())

    def __repr__(self) -> str:
        return f"Op({self.spec!r})"

    # ---- calls ----

    def _bind(
        self, given: Iterable[tuple[str, Any]], write: bool
    ) -> tuple[Any, list[tuple[str, Tensor]]]:
        """An array of heed_binding for ports and their arrays, and the tensors that it points
        to.
        """
        tensors = [(port, view(port, a, write)) for port, a in given if a is not None]
        made = (_abi.heed_binding * len(tensors))()
        for i, (port, tensor) in enumerate(tensors):
            made[i].port = self._encoded.setdefault(
                port, port.encode()
            )  # a wrong name is libheed's to refuse
            made[i].tensor = c.addressof(tensor)
        return made, tensors

    def _prepare(self, ports: Mapping[str, Array], want: SequenceOf[str] | None) -> _Prepared:
        """All that a call needs in C, new outputs included."""
        mine = self._is_output
        ins, given = self._bind([(p, a) for p, a in ports.items() if p not in mine], False)
        names = tuple(self._wanted if want is None else want)
        first = given[0][0] if given else ""
        news, outs = [], {p: a for p, a in ports.items() if p in mine and a is not None}
        for port in names:
            if port not in outs:
                shape = Tensor()
                name = self._encoded.get(port) or port.encode()
                if lib.heed_infer(self.handle, ins, len(ins), name, c.byref(shape), error()):
                    raise_error()
                dtype = shape.dtype
                if is_torch(ports.get(first)):
                    dtype = output_dtype(self._ports[port], given[0][1].dtype)
                made = maker(tuple(shape.dim[: shape.rank]), dtype, ports.get(first))
                news.append((port, made))
                outs[port] = made[0]()
        bound, written = self._bind(outs.items(), True)
        return _Prepared(
            ins,
            bound,
            dict(given + written),
            news,
            names,
            outs,
            want is None and len(names) == 1,
        )

    def _call(
        self, ports: Mapping[str, Array], want: SequenceOf[str] | None
    ) -> tuple[Any, _Prepared]:
        """A prepared call with these arrays: one of before, if it had such, with other
        addresses.
        """
        key: list[Any] = [want if want is None else tuple(want)]
        places: list[tuple[str, int]] = []
        for port, a in ports.items():
            told = layout(a)
            if told is None or (port in self._is_output and not writable(a)):
                return None, self._prepare(ports, want)
            key += (port, told[0])
            places.append((port, told[1]))
        signature = tuple(key)
        try:
            call = self._calls[signature].pop()
        except (KeyError, IndexError):
            return signature, self._prepare(ports, want)
        call.move(ports, places)
        return signature, call

    def _done(self, signature: Any, call: _Prepared) -> Any:
        """The outputs; the rest of the call is kept for the next one of its kind."""
        results = call.results()
        call.outs = {}
        if signature is not None:
            if len(self._calls) > KINDS:
                self._calls.clear()
            self._calls.setdefault(signature, []).append(call)
        return results

    def __call__(
        self,
        *,
        sequences: SequenceOf[Sequence] | None = None,
        want: SequenceOf[str] | None = None,
        **ports: Array,
    ) -> Any:
        """Runs one call. Shapes are those of `heed describe OP`: of attention q [B, T, H, D], k [B,
        S, G, D], v [B, S, G, E].

        ports      an array for each input; for an output, such as out=array, where it goes. None is
        left out
        want       names of outputs, for a tuple of them: ("out", "lse"); without it what the op
        always has
        sequences  one a batch row, which grow by the new keys

        New outputs are PyTorch tensors if the first input is one, of its dtype if the op can; else
        NumPy arrays. Raises TypeError for what is no array on the CPU, HeedError for what libheed
        refuses: shapes, dtypes, masks; nothing has then been remembered.
        """
        signature, call = self._call(ports, want)
        if sequences is not None:
            self._with(sequences, call)
        elif lib.heed_run(self.handle, call.ins, call.n_in, call.bound, call.n_out, None, error()):
            raise_error()
        return self._done(signature, call)

    def _with(self, sequences: SequenceOf[Sequence], call: _Prepared) -> None:
        """A call with states. The engine takes as many as the batch has rows: a list that is too
        short is found here.
        """
        batch = call.tensors.get(self._of_batch)
        rows = batch.dim[0] if batch is not None and batch.rank else 0
        if len(sequences) < rows:
            raise HeedError(
                f"{self.id}: {len(sequences)} sequences for a batch of {rows}; one a row is needed",
                _abi.HEED_E_SHAPE,
            )
        taken: list[Sequence] = []
        try:
            handles = (c.c_void_p * len(sequences))()
            for i, s in enumerate(sequences):
                handles[i] = s._take()
                taken.append(s)
            if lib.heed_run(
                self.handle, call.ins, call.n_in, call.bound, call.n_out, handles, error()
            ):
                raise_error()
        finally:
            for s in taken:
                s._lock.release()

    def bind(
        self,
        *,
        sequences: SequenceOf[Sequence] | None = None,
        want: SequenceOf[str] | None = None,
        **ports: Array,
    ) -> Bound:
        """A call with these arrays, as of `__call__`, to be run many times."""
        return Bound(self, self._prepare(ports, want), ports, sequences)

    def infer(self, *, want: str = "out", **ports: Array) -> tuple[tuple[int, ...], str]:
        """Shape and dtype's name of an output for these inputs, of which only shapes are looked
        at.
        """
        ins, _ = self._bind(ports.items(), False)
        shape = Tensor()
        check(lib.heed_infer(self.handle, ins, len(ins), want.encode(), c.byref(shape), error()))
        return tuple(shape.dim[: shape.rank]), str(lib.heed_dtype_name(shape.dtype).decode())

    def estimate(self, **ports: Array) -> dict[str, float | str | None]:
        """What a call costs, from shapes: flops, bytes, state_bytes a token, receptive_field,
        executed, algorithm.
        """
        ins, _ = self._bind(ports.items(), False)
        cost = _abi.heed_cost()
        check(lib.heed_estimate(self.handle, ins, len(ins), c.byref(cost), error()))
        told: dict[str, float | str | None] = {
            k: getattr(cost, k)
            for k in ("flops", "bytes", "state_bytes", "receptive_field", "executed")
        }
        told["algorithm"] = cost.algorithm.decode() if cost.algorithm else None
        return told

    @property
    def gradients(self) -> tuple[list[str], list[str], list[str]]:
        """What `backward` has: ports whose gradients it gives, outputs through which gradients
        come, and outputs that it reads. All are empty if the op has no backward.
        """
        told = lib.heed_op_grad(c.byref(self._op), lib.heed_instance_path(self.handle))
        sets = (told[0].gives, told[0].takes, told[0].reads) if told else (0, 0, 0)
        names = list(self._ports)
        gives, takes, reads = ([n for i, n in enumerate(names) if s >> i & 1] for s in sets)
        return gives, takes, reads

    def backward(
        self,
        wanted: SequenceOf[str],
        gradients: Mapping[str, Array],
        outputs: Mapping[str, Array] | None = None,
        **inputs: Array,
    ) -> dict[str, Array]:
        """The gradients of a call that has been run, new float32 arrays of their ports' shapes.

        wanted     names of inputs and weights
        gradients  of outputs, float32; one that is left out is zero
        outputs    what the call gave, as far as `gradients` of this op says that it is read
        inputs     those of the call

        Raises HeedError: an op without backward, wrong shapes or dtypes.
        """
        ins, keep = self._bind(inputs.items(), False)
        outs, kept_outs = self._bind((outputs or {}).items(), False)
        coming = [(p, view(p, a)) for p, a in gradients.items() if a is not None]
        like = next(iter(inputs.values()), None)
        made: dict[str, Array] = {}
        for port in wanted:
            of = inputs.get(port, self._keep[0].get(port))
            if of is None:
                raise HeedError(f"{self.id}: the call has no {port}, so it has no gradient")
            made[port] = new(self._whole(port, of, inputs), _abi.HEED_F32, like)
            if port not in inputs:
                made[port][...] = 0  # is added to
        bound = bindings(dict(coming + [(p, view(p, a, True)) for p, a in made.items()]))
        if lib.heed_backward(
            self.handle, ins, len(ins), outs, len(outs), bound, len(bound), error()
        ):
            raise_error()
        del keep, kept_outs
        for port, a in made.items():  # of one number for several: the sum over them
            if port in inputs and tuple(a.shape) != tuple(inputs[port].shape):
                for i, n in enumerate(inputs[port].shape):
                    if n == 1:
                        made[port] = made[port].sum(axis=i, keepdims=True)
        return made

    def _whole(self, port: str, a: Array, inputs: Mapping[str, Array]) -> tuple[int, ...]:
        """The shape that heed sees of an input whose axes of size 1 repeat."""
        known = self._ports.get(port)  # None: of an op inside
        if known is None or not known.flags & _abi.HEED_PORT_REPEATS:
            return tuple(a.shape)
        size = sizes(self._ports, inputs)
        letters = known.axes.decode().split()
        return tuple(size[s] if n == 1 else n for s, n in zip(letters, a.shape))

    def rebind(self) -> None:
        """Takes over weights whose arrays have other numbers now. No call may be running."""
        check(lib.heed_instance_rebind(self.handle, None, 0, error()))

    def sequence(self, **axes: int) -> Sequence:
        """An empty sequence for the sizes that the state depends on: of a KV cache G, D and, if it
        is not D, E.
        """
        return Sequence(
            self, check(lib.heed_sequence_new(self.handle, self._state_axes(axes), error()))
        )

    def load(self, saved: bytes, **axes: int) -> Sequence:
        """A sequence from `Sequence.save`; the bytes may come from anybody, and are refused if they
        do not fit.
        """
        handle = lib.heed_sequence_load(
            self.handle, self._state_axes(axes), saved, len(saved), error()
        )
        return Sequence(self, check(handle))

    @staticmethod
    def _state_axes(axes: Mapping[str, int]) -> Any:
        full = dict(axes)
        for given, other in (
            ("G", "H"),
            ("D", "E"),
        ):  # values as wide as keys, a head of its own for each query's
            if given in full:
                full.setdefault(other, full[given])
        return axes_array(full)


def _close(handle: int, engine: Engine, keep: Any) -> None:
    lib.heed_instance_close(handle)


def output_dtype(port: Any, first: int) -> int:
    """Of an output of PyTorch's: that of the first tensor if the port takes it, else what the
    engine would make.
    """
    dtypes: int = port.dtypes
    return first if dtypes >> first & 1 else (dtypes & -dtypes).bit_length() - 1


# ---- one call, of an op that is opened and kept ----

MODEL_AXES = "HGDEM"  # those that an op may have to know when it is opened: not how long a text is


def ports(spec: str) -> dict[str, Any]:
    """The ports of a spec's op by their names, as heed_port; none if there is no such op."""
    return _ports(_library.epoch(), spec)


@functools.lru_cache(256)
def _ports(epoch: int, spec: str) -> dict[str, Any]:
    op = find(spec)
    return {} if op is None else {p.name.decode(): p for p in table(_abi.heed_port, op.ports)}


def find(spec: str, engine: Engine | None = None) -> Any:
    """The descriptor of a spec's op, as heed_op has it, or None."""
    name = re.match(r"\s*([a-z0-9_]+/[a-z0-9_]+)", spec)
    found = (
        lib.heed_op_find((engine or default_engine()).handle, name[1].encode()) if name else None
    )
    return found.contents if found else None


def is_weight(known: Mapping[str, Any], port: str) -> bool:
    """Whether a name is a weight of the op: its own, or "position.table", of an op inside."""
    return "." in port or (port in known and known[port].role == WEIGHT)


def sizes(known: Mapping[str, Any], given: Mapping[str, Array]) -> dict[str, Any]:
    """The size of each axis that arrays for ports have, by its letter; "..." are the leading ones.
    Raises HeedError.
    """
    size: dict[str, Any] = {}
    for port, a in given.items():
        if port not in known or a is None:
            continue
        shape: Any = a.shape if hasattr(a, "shape") else memoryview(a).shape
        axes = known[port].axes.decode().split()
        leading = len(shape) - len(axes) + 1 if axes[:1] == ["..."] else 0
        if axes[:1] == ["..."]:
            size.setdefault("...", tuple(shape[: max(leading, 0)]))
            axes = axes[1:]
        if leading < 0 or len(shape) != leading + len(axes):
            raise HeedError(
                f"port {port} has {len(shape)} axes; it must be {known[port].axes.decode()}",
                _abi.HEED_E_SHAPE,
            )
        if not known[port].flags & _abi.HEED_PORT_REPEATS:
            for letter, n in zip(axes, shape[leading:]):
                size.setdefault(letter, n)
    return size


def model_axes(known: Mapping[str, Any], given: Mapping[str, Array]) -> dict[str, int]:
    """Of them those of the model."""
    return {a: int(n) for a, n in sizes(known, given).items() if a in MODEL_AXES}


_ops: OrderedDict[tuple[Any, ...], Op] = OrderedDict()
_lock = threading.Lock()
KEPT = 256  # ops that are kept open, the last ones used


def kept(key: tuple[Any, ...], make: Callable[[], Op]) -> Op:
    """The Op that was made for this key, or now is."""
    with _lock:
        op = _ops.get(key)
        if op is not None:
            _ops.move_to_end(key)
            return op
    op = make()
    with _lock:
        _ops[key] = op
        while len(_ops) > KEPT:
            _ops.popitem(last=False)
    return op


@functools.lru_cache(256)
def _needs_axes(epoch: int, spec: str) -> bool:
    """Whether an op is inside of the spec's, such as position=alibi, which may have to know the
    number of heads beforehand.
    """
    op = find(spec)
    params = [] if op is None else table(_abi.heed_param, op.params)
    return any(p.type == _abi.HEED_PARAM_OP and p.key.decode() in spec for p in params)


def opened(spec: str, given: Mapping[str, Array]) -> Op:
    """An Op of the default engine, without weights, for calls with such arrays."""
    if not _needs_axes(_library.epoch(), spec):
        return kept((_library.epoch(), spec), lambda: Op(spec))
    axes = model_axes(ports(spec), given)
    return kept((_library.epoch(), spec, *axes.items()), lambda: Op(spec, axes=axes))


def run(spec: str, *, want: SequenceOf[str] | None = None, **ports_: Array) -> Any:
    """One call of an op: `run("attention/softmax(causal=true)", q=q, k=k, v=v)`.

    Weights are given like inputs, `run("norm/rms", x=x, gain=gain)`; then the op is opened for this
    call alone. The rest, and what is raised, as of `Op` and its call.
    """
    known = ports(spec)
    weights = {p: a for p, a in ports_.items() if a is not None and is_weight(known, p)}
    if not weights:
        return opened(spec, ports_)(want=want, **ports_)
    op = Op(spec, weights=weights, axes=model_axes(known, ports_))
    return op(want=want, **{p: a for p, a in ports_.items() if p not in weights})
