# SPDX-License-Identifier: MIT
"""_stack.py: a whole network from its spec and weights: sessions, text that goes on, and how well a
text is predicted.

Its tokens are bytes, as those of the commands `heed generate` and `heed score`, whose numbers these
are to the bit; networks of other tokens have `Session.feed`.
"""

from __future__ import annotations

import ctypes as c
import math
import os
import pathlib
import threading
import weakref
from collections.abc import Callable, Iterator
from collections.abc import Sequence as SequenceOf
from typing import Any

import numpy as np

from . import _abi
from ._library import Engine, HeedError, check, error, lib
from ._library import engine as default_engine
from ._op import Op, Weights, saved

PIECE = 512  # tokens whose logits are there at a time
BYTE = 255


def _draws(seed: int) -> Iterator[float]:
    """Numbers in [0, 1): the top 24 bits of splitmix64, as of `heed generate --seed`."""
    mask = (1 << 64) - 1
    state = seed & mask
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield ((z ^ z >> 31) >> 40) * 2.0**-24


class Session:
    """One sequence that runs through a network. len(s) is not kept by libheed; one call at a time
    may use it.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._handle: int = check(lib.heed_session_new(stack.handle, error()))
        self._lock = threading.Lock()
        weakref.finalize(self, _free, lib.heed_session_free, self._handle, stack)

    def _ids(self, tokens: Any) -> np.ndarray[Any, Any]:
        ids = np.ascontiguousarray(tokens)
        if ids.ndim != 1 or (ids.dtype.kind not in "iu" and ids.size):
            raise TypeError(
                f"tokens: {ids.dtype} of {ids.ndim} axes; it must be a list of integers"
            )
        if ids.size and not (ids.min() >= 0 and ids.max() < 1 << 31):
            raise HeedError(
                f"tokens: {ids.min()} to {ids.max()} are not from 0 to {self.stack.vocab - 1}"
            )
        return ids.astype(np.int32)

    def encode(self, tokens: Any) -> None:
        """Of a network with an encoder: encodes a text, [n] integers, and begins an empty one that
        attends to it.
        """
        ids = self._ids(tokens)
        with self._lock:
            check(lib.heed_session_encode(self._handle, ids.ctypes.data, ids.size, error()))

    def feed(self, tokens: Any, rows: int = 1) -> np.ndarray[Any, Any]:
        """Appends tokens, [n] integers; the logits [rows, vocab] of the last `rows` of them,
        float32; or, as the network's output is, hidden states [rows, width] or the pooled row.

        Raises HeedError beyond the context, and where this network takes a text only as a whole.
        """
        ids = self._ids(tokens)
        logits = np.empty((max(rows, 0), self.stack.outputs), np.float32)
        with self._lock:
            check(
                lib.heed_session_feed(
                    self._handle, ids.ctypes.data, ids.size, logits.ctypes.data, rows, error()
                )
            )
        return logits

    def sample(
        self, logits: np.ndarray[Any, Any], temperature: float = 0.0, draw: float = 0.0
    ) -> int:
        """The next token from logits [vocab]: the most likely one at temperature 0; `draw` is in
        [0, 1).
        """
        row = np.ascontiguousarray(logits, np.float32)
        if row.shape != (self.stack.vocab,):
            raise HeedError(
                f"logits: the shape is {row.shape}, and must be ({self.stack.vocab},)",
                _abi.HEED_E_SHAPE,
            )
        token = c.c_int32()
        with self._lock:
            check(
                lib.heed_session_sample(
                    self._handle, row.ctypes.data, temperature, draw, c.byref(token), error()
                )
            )
        return token.value

    def reset(self) -> None:
        """Forgets all tokens."""
        with self._lock:
            check(lib.heed_session_reset(self._handle, error()))

    def save(self) -> bytes:
        """What all layers remember, for `load`: a prompt that many texts begin with is read
        once.
        """
        with self._lock:
            return saved(lib.heed_session_save, self._handle)

    def load(self, saved: bytes) -> None:
        """Goes on from such bytes, of the same spec and weights; on HeedError the session is as it
        was.
        """
        with self._lock:
            check(lib.heed_session_load(self._handle, saved, len(saved), error()))


def _free(free: Callable[[int], None], handle: int, owner: object) -> None:
    free(handle)


class Stack:
    """A network: `Stack("models/plays.safetensors").generate("ROMEO:")`.

    weights  a safetensors file, or `Weights`, such as `Weights.random(spec)`
    spec     the network, docs/networks.md; if not given what the file itself says

    Raises HeedError with the sentence of libheed, for a mistake in the spec with a caret under the
    place.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | Weights,
        spec: str | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or default_engine()
        self.weights = weights if isinstance(weights, Weights) else Weights(weights)
        text = None if spec is None else spec.encode()
        self.handle: int = check(
            lib.heed_stack_open(self.engine.handle, text, self.weights.handle, error())
        )
        weakref.finalize(
            self, _free, lib.heed_stack_close, self.handle, (self.engine, self.weights)
        )
        self.vocab = self.number("vocab")
        self.outputs: int = lib.heed_stack_outputs(self.handle)

    @property
    def spec(self) -> str:
        """The canonical spec."""
        return str(lib.heed_stack_spec(self.handle).decode())

    def __repr__(self) -> str:
        return f"Stack({self.spec!r})"

    def number(self, key: str) -> int:
        """A number of the spec: "vocab", "width", "layers", "heads", "kv_heads", "context", "bos";
        -1 if it has none.
        """
        return int(lib.heed_stack_number(self.handle, key.encode()))

    def session(self) -> Session:
        """An empty sequence."""
        return Session(self)

    def generate(
        self,
        prompt: str | bytes = b"",
        tokens: int = 200,
        *,
        temperature: float = 0.8,
        seed: int = 1,
        on_token: Callable[[int], object] | None = None,
    ) -> bytes:
        """What follows the prompt, without it, as bytes; as `heed generate` writes it.

        on_token is called with each token as soon as it is drawn; an exception in it ends the text.
        When the context is full, the network starts afresh with the last half of it. A network
        whose attention remembers nothing reads all again for each token. Raises HeedError.
        """
        text = self._start(prompt)
        session, context, bos = self.session(), self.number("context"), self.number("bos")
        self._parts(session, text)
        begun = len(text)
        start = fed = 0
        draws = _draws(seed)
        for _ in range(tokens):
            if 0 <= context < len(text) - start:
                start = fed = len(text) - (context // 2 if context > 1 else 1)
                session.reset()
            elif not self._in_parts and fed:
                fed = start
                session.reset()
            logits = session.feed(text[fed:])[0]
            fed = len(text)
            token = session.sample(logits, temperature, next(draws))
            if token > BYTE and token == bos:
                break
            text.append(token)
            if on_token is not None:
                on_token(token)
        return bytes(t for t in text[begun:] if t <= BYTE)

    def _start(self, prompt: str | bytes) -> list[int]:
        """bos and the prompt."""
        bos = self.number("bos")
        text = list(prompt.encode() if isinstance(prompt, str) else prompt)
        if bos < 0 and not text:
            raise HeedError("this network has no token to begin with (bos), so a prompt is needed")
        return [bos] * (bos >= 0) + text

    def _parts(self, session: Session, text: SequenceOf[int]) -> None:
        """Finds out whether a text can be fed in parts, and refuses a network whose tokens see
        those behind them.
        """
        first = list(text[:1])
        other = [(first[0] + 1) % self.vocab]
        alone = session.feed(first)
        self._in_parts = True
        try:
            session.feed(other)
        except HeedError as e:
            if e.kind == "shape":
                raise
            self._in_parts = False
        session.reset()
        if self.number("context") != 1 and not self._in_parts:
            if not np.array_equal(session.feed(first + other, rows=2)[0], alone[0]):
                raise HeedError(
                    "this is no language model: its tokens see those behind them", _abi.HEED_E_DATA
                )
            session.reset()

    def score(
        self,
        text: bytes | str | os.PathLike[str],
        *,
        context: int | None = None,
        stride: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> float:
        """Mean bits a byte of a text: bytes, or the path of a file. As `heed score` counts them,
        each byte once.

        context is how many tokens the network sees at a time (what it was made for, if not given),
        stride how far the next window moves (half of it). progress(done, all) is called after each
        part. Raises HeedError.
        """
        data = text if isinstance(text, bytes) else pathlib.Path(text).read_bytes()
        limit, bos = self.number("context"), self.number("bos")
        if bos < 0:
            raise HeedError(
                "this network has no token to begin with (bos), so the first byte can not be "
                "predicted"
            )
        if not data:
            raise HeedError("the text is empty, so there is nothing to predict", _abi.HEED_E_DATA)
        window = context or (limit if limit >= 0 else len(data))
        if limit >= 0 and window > limit:
            raise HeedError(f"context is {window}, but the network was made for {limit}")
        step = stride or max(window // 2, 1)
        if not 1 <= step <= window:
            raise HeedError(f"stride is {step}, which leaves out bytes with a context of {window}")
        session, loss = self.session(), Op("loss/cross_entropy", engine=self.engine)
        self._parts(session, [bos])
        tokens = np.frombuffer(bytes(1) + data, np.uint8).astype(np.int32)
        tokens[0] = bos  # token i predicts byte i
        nats, counted, start = 0.0, 0, 0
        while counted < len(data):
            session.reset()
            end = min(start + window, len(data))
            at = start
            while at < end:
                now = min(end - at, PIECE if self._in_parts else window)
                if self._in_parts and 0 < counted - at < now:
                    now = counted - at  # counted already: no logits are needed
                rows = max(at + now - max(at, counted), 0)
                logits = session.feed(tokens[at : at + now], rows)
                if rows:
                    targets = np.frombuffer(data, np.uint8)[at + now - rows : at + now].astype(
                        np.int32
                    )
                    for nll in loss(logits=logits, targets=targets).tolist():
                        nats += nll
                counted += rows
                at += now
                if progress is not None:
                    progress(counted, len(data))
            start += step
        return nats / math.log(2) / counted
