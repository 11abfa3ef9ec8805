# SPDX-License-Identifier: MIT
"""heed_attention.distributed: processes of `torch.distributed` (torchrun, mp.spawn, gloo) that work
on one text together, each with a part of the keys, and give the bits of one: docs/ranks.md.

    torch.distributed.init_process_group("gloo")
    group = heed_attention.distributed.Group()
    group.spread(net)            # a Stack: its sessions, `generate` and `score` are shared from now on
    out = group.run(op, queries=T, keys=T, q=group.take(q), k=group.take(k), v=group.take(v))

All ranks make the same calls in the same order. Messages of libheed go through `send` and `recv` of
the process group, in a thread for each rank and direction; none is asked for by any other way.
"""

from __future__ import annotations

import ctypes as c
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist

from . import _abi
from ._library import Engine, HeedError, check, error, lib, raise_error
from ._library import engine as default_engine
from ._op import Op
from ._op import Sequence as Text
from ._stack import Stack

_SEND = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint32, c.c_void_p, c.c_uint64, c.c_void_p)
_WAIT = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_void_p, c.c_int64)
_ABANDON = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p)
_CLOSE = c.CFUNCTYPE(None, c.c_void_p, c.c_int32)
SAYS = 300  # bytes of a sentence


class _Message:
    """One on its way. What comes is kept here until somebody has waited for it: a receive that is
    given up can still end, and must not write into memory that is no longer its own.
    """

    def __init__(self, to: int, count: int) -> None:
        self.to = to  # the address, 0 of a message that is sent
        self.bytes = torch.empty(count, dtype=torch.uint8)
        self.done = threading.Event()
        self.failed: str | None = None


class _Line:
    """Messages to one rank, or from one, in their order."""

    def __init__(self, work: Callable[[torch.Tensor], Any]) -> None:
        self.messages: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self.work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while (message := self.messages.get()) is not None:
            try:
                self.work(message.bytes)
            except Exception as e:  # of any kind: it is told as a sentence of libheed's
                message.failed = str(e).split("\n")[0] or type(e).__name__
            message.done.set()


class _Transport:
    """heed/abi/transport.h over a process group."""

    kept: dict[int, _Transport] = {}  # those that libheed can call

    def __init__(self, group: Any) -> None:
        self.group = group
        self.messages: dict[int, _Message] = {}
        self.lines: dict[tuple[bool, int], _Line] = {}
        self.last = 0
        self.says = c.create_string_buffer(SAYS)
        self.sink = _abi.heed_sink(
            size=c.sizeof(_abi.heed_sink), capacity=SAYS, text=c.addressof(self.says)
        )
        self.calls = (
            _SEND(lambda t, to, at, n, request: self.post(True, to, at, n, request)),
            _SEND(lambda t, of, at, n, request: self.post(False, of, at, n, request)),
            _WAIT(self.wait),
            _ABANDON(self.abandon),
            _CLOSE(self.close),
        )
        send, receive, wait, abandon, close = (c.cast(f, c.c_void_p).value for f in self.calls)
        self.table = _abi.heed_transport(
            size=c.sizeof(_abi.heed_transport),
            rank=dist.get_rank(group),
            ranks=dist.get_world_size(group),
            name=b"torch.distributed",
            host=b"",
            sink=c.addressof(self.sink),
            send=send,
            receive=receive,
            wait=wait,
            abandon=abandon,
            close=close,
        )
        self.kept[id(self)] = self

    def fail(self, why: object) -> int:
        self.says.value = str(why).encode()[: SAYS - 1]
        return _abi.HEED_E_SYSTEM

    def line(self, sends: bool, other: int) -> _Line:
        if (sends, other) not in self.lines:
            peer = other if self.group is None else dist.get_global_rank(self.group, other)

            def work(bytes: torch.Tensor) -> Any:
                return (dist.send if sends else dist.recv)(bytes, peer, group=self.group)

            self.lines[sends, other] = _Line(work)
        return self.lines[sends, other]

    def post(self, sends: bool, other: int, at: int, count: int, request: int) -> int:
        try:
            message = _Message(0 if sends else at, count)
            if sends:
                c.memmove(message.bytes.data_ptr(), at, count)
            self.last += 1
            self.messages[self.last] = message
            c.c_void_p.from_address(request).value = self.last
            self.line(sends, other).messages.put(message)
            return _abi.HEED_OK
        except Exception as e:
            return self.fail(e)

    def wait(self, table: int, request: int, milliseconds: int) -> int:
        at = c.c_void_p.from_address(request)
        message = self.messages[at.value or 0]
        if not message.done.wait(max(milliseconds, 0) / 1e3):
            return 1
        del self.messages[at.value or 0]
        at.value = None
        if message.failed is not None:
            return self.fail(message.failed)
        if message.to:
            c.memmove(message.to, message.bytes.data_ptr(), message.bytes.numel())
        return _abi.HEED_OK

    def abandon(self, table: int, request: int) -> None:
        at = c.c_void_p.from_address(request)
        self.messages.pop(at.value or 0, None)
        at.value = None

    def close(self, table: int, failed: int) -> None:
        for line in self.lines.values():
            line.messages.put(None)
        self.kept.pop(id(self), None)


def _free(handle: int, engine: Engine) -> None:
    lib.heed_group_free(handle)


class Group:
    """The ranks of a process group of torch.distributed, or of all processes.

    group    a process group whose backend has the CPU, as gloo does; None: the default one
    seconds  how long a rank waits for another, beside three times what it has worked itself
    engine   of the ops and networks that are shared

    Raises HeedError where ranks differ, in their version for instance, or one does not come.
    """

    def __init__(
        self, group: Any = None, *, seconds: float = 30, engine: Engine | None = None
    ) -> None:
        backend = dist.get_backend(group)
        if "gloo" not in backend and "mpi" not in backend:
            raise HeedError(
                f"the backend of the process group is {backend}, which has no messages of the "
                f"CPU's memory; gloo is right"
            )
        self.engine = engine or default_engine()
        transport = _Transport(group)
        self.handle: int = check(
            lib.heed_group_new(self.engine.handle, c.byref(transport.table), seconds, error())
        )
        self._end = weakref.finalize(self, _free, self.handle, self.engine)
        self.rank = int(lib.heed_group_rank(self.handle))
        self.ranks = int(lib.heed_group_ranks(self.handle))

    def free(self) -> None:
        """Leaves, after the sequences and sessions that it shares; without it that happens when
        nobody refers to it.
        """
        self._end()

    def rows(self, count: int) -> list[slice]:
        """Of so many rows of a text those of this rank: an early and a late block."""
        first, number = (c.c_int64 * 2)(), (c.c_int64 * 2)()
        lib.heed_group_share(self.rank, self.ranks, count, first, number)
        return [slice(f, f + n) for f, n in zip(first, number)]

    def take(self, whole: torch.Tensor, dim: int = 1) -> torch.Tensor:
        """This rank's rows of a tensor of all, one block behind the other."""
        early, late = self.rows(whole.shape[dim])
        parts = [whole.narrow(dim, s.start, s.stop - s.start) for s in (early, late)]
        return torch.cat(parts, dim)

    def run(
        self, op: Op, *, queries: int, keys: int, want: Sequence[str] | None = None, **ports: Any
    ) -> Any:
        """One call of an op without sequences, of a text of so many queries and keys: k, v and what
        has the axis T have this rank's rows (`take`), other inputs all. Gives its rows of the
        outputs, as `Op.__call__` does, with the bits of one rank.
        """
        own = {}
        for port, a in ports.items():
            letters = op._ports[port].axes.decode().split() if port in op._ports else []
            axis = letters.index("S") if "S" in letters and port not in ("k", "v") else -1
            own[port] = self.take(a, axis) if a is not None and axis >= 0 else a
        call = op._prepare(own, want)  # the shapes of outputs follow from the own rows
        given = [(p, a) for p, a in ports.items() if p not in op.outputs]
        ins, kept = op._bind(given, False)
        if lib.heed_group_run(
            self.handle,
            op.handle,
            ins,
            len(ins),
            call.bound,
            call.n_out,
            queries,
            keys,
            error(),
        ):
            raise_error()
        del kept
        return call.results()

    def spread(self, net: Stack) -> None:
        """From now on ranks share the texts of a network's new sessions: each remembers a part, and
        a long text is divided. All have all weights, and the same results.
        """
        if lib.heed_group_spread(self.handle, net.handle, error()):
            raise_error()
        net.group = self  # it ends after the sessions

    def sequence(self, op: Op, **axes: int) -> Text:
        """An empty sequence of which each rank remembers a part, for `attend`: as `Op.sequence`,
        with sizes such as H=8, G=2, D=64.
        """
        sizes = op._state_axes(axes)
        made = Text(op, check(lib.heed_group_sequence(self.handle, op.handle, sizes, error())))
        made.group = self
        return made

    def attend(
        self, op: Op, sequences: Sequence[Text], want: Sequence[str] | None = None, **ports: Any
    ) -> Any:
        """A call with such sequences, one a batch row: all ranks have the same inputs, a few new
        tokens, and get the same outputs.
        """
        call = op._prepare(ports, want)
        taken: list[Text] = []
        try:
            handles = (c.c_void_p * max(len(sequences), 1))()
            for i, s in enumerate(sequences):
                handles[i] = s._take()
                taken.append(s)
            if lib.heed_group_attend(
                self.handle,
                op.handle,
                call.ins,
                call.n_in,
                call.bound,
                call.n_out,
                handles,
                error(),
            ):
                raise_error()
        finally:
            for s in taken:
                s._lock.release()
        return call.results()

    @property
    def counted(self) -> tuple[int, int, float]:
        """Bytes that this rank has sent and received, and the seconds that it has waited."""
        sent, received, seconds = c.c_uint64(), c.c_uint64(), c.c_double()
        lib.heed_group_counted(self.handle, c.byref(sent), c.byref(received), c.byref(seconds))
        return sent.value, received.value, seconds.value
