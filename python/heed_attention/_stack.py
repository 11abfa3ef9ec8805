# SPDX-License-Identifier: MIT
"""_stack.py: a whole network from its spec and weights, or from the folder of a checkpoint:
sessions, text that goes on, how well a text is predicted, and vectors of texts.

Numbers are those of the commands `heed generate`, `heed score` and `heed embed`, to the bit. Tokens
are bytes, or those of a checkpoint's tokenizer, or numbers that the caller gives.
"""

from __future__ import annotations

import codecs
import ctypes as c
import itertools
import math
import os
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
from ._text import Progress, Stops, Tokenizer, shown

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
        if ids.size and (ids.min() < 0 or ids.max() >= 1 << 31):
            raise HeedError(
                f"tokens: {ids.min()} to {ids.max()} are not from 0 to {self.stack.vocab - 1}"
            )
        return ids.astype(np.int32)

    def encode(self, tokens: Any) -> None:
        """Of a network with an encoder: reads the text that what is fed then attends to."""
        ids = self._ids(tokens)
        with self._lock:
            check(lib.heed_session_encode(self._handle, ids.ctypes.data, ids.size, error()))

    def feed(self, tokens: Any, rows: int = 1) -> np.ndarray[Any, Any]:
        """Appends tokens, [n] integers; the logits [rows, vocab] of the last `rows`, float32.

        A network whose output is hidden gives hidden states [rows, width], a pooled one one row of
        them. Raises HeedError beyond the context, and where a text is taken only as a whole.
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
        self,
        logits: np.ndarray[Any, Any],
        temperature: float = 0.0,
        draw: float = 0.0,
        *,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> int:
        """The next token from logits [vocab]: the most likely one at temperature 0; `draw` is in
        [0, 1). Of the likely ones top_k (0: all), then the fewest whose sum is top_p, then those at
        least min_p times as likely as the first. Raises HeedError.
        """
        row = np.ascontiguousarray(logits, np.float32)
        if row.shape != (self.stack.vocab,):
            raise HeedError(
                f"logits: the shape is {row.shape}, and must be ({self.stack.vocab},)",
                _abi.HEED_E_SHAPE,
            )
        token = c.c_int32()
        settings = (
            f"temperature={temperature:.17g}, top_k={top_k:d}, top_p={top_p:.17g}, "
            f"min_p={min_p:.17g}"
        )
        with self._lock:
            check(
                lib.heed_session_draw(
                    self._handle,
                    row.ctypes.data,
                    settings.encode(),
                    draw,
                    c.byref(token),
                    error(),
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

    weights  a safetensors file; the folder of a checkpoint, with its config.json
             (docs/checkpoints.md); or `Weights`, such as `Weights.random(spec)`
    spec     the network, docs/networks.md; if not given what the file itself says

    Tokens are bytes, or those of the folder's tokenizer.json; where a text is asked for, numbers of
    tokens do as well. Raises HeedError with the sentence of libheed, for a mistake in the spec with
    a caret under the place.
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
        self.folder = None if isinstance(weights, Weights) else os.fspath(weights)
        text = None if spec is None else spec.encode()
        self.handle: int = check(
            lib.heed_stack_open(self.engine.handle, text, self.weights.handle, error())
        )
        weakref.finalize(
            self, _free, lib.heed_stack_close, self.handle, (self.engine, self.weights)
        )
        self.vocab = self.number("vocab")
        self.outputs = int(lib.heed_stack_outputs(self.handle))
        self.bytes = self.weights.metadata("heed.tokens") != "ids"
        self._fed_in_parts: bool | None = None
        self._tokenizers: list[Tokenizer] = []
        self._encoder: Encoder | None = None

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

    # ---- tokens ----

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the checkpoint's folder. Raises HeedError if tokens are bytes, or there
        is none.
        """
        made = self._take_tokenizer()
        self._tokenizers.append(made)
        return made

    def _take_tokenizer(self) -> Tokenizer:
        """One that nobody else uses: a text that comes out bit by bit is of one generation."""
        try:
            return self._tokenizers.pop()
        except IndexError:
            pass
        if self.folder is None or self.bytes:
            raise HeedError("tokens of this network are bytes, so there is no tokenizer")
        in_file = str(self.folder).endswith(".gguf") or self.weights.metadata("heed.tokenizer")
        if not in_file and not os.path.exists(os.path.join(self.folder, "tokenizer.json")):
            raise HeedError(
                f"{self.folder}: tokens of this checkpoint are not bytes, and there is no "
                "tokenizer.json: numbers of tokens are taken in the place of a text",
                _abi.HEED_E_UNSUPPORTED,
            )
        return Tokenizer(self.folder)

    def _numbers(self, key: str) -> list[int]:
        """The tokens of "heed.begin" or "heed.end" of a checkpoint that the network has."""
        listed = (self.weights.metadata(key) or "").replace(",", " ").split()
        return [n for n in map(int, listed) if n < self.vocab]

    def _encode(self, text: str | bytes, special: bool) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, special).tolist()
        beyond = [i for i in ids if i >= self.vocab]
        if beyond:
            raise HeedError(
                f"the tokenizer makes token {beyond[0]} of the text, but the network has those "
                f"from 0 to {self.vocab - 1}",
                _abi.HEED_E_DATA,
            )
        return ids

    def _start(self, prompt: str | bytes | SequenceOf[int]) -> list[int]:
        """The prompt as tokens, behind the one that texts begin with."""
        bos, begin = self.number("bos"), self._numbers("heed.begin")[:1]
        if not isinstance(prompt, (str, bytes)):
            text = [int(i) for i in prompt]
        elif self.bytes:
            data = prompt.encode() if isinstance(prompt, str) else prompt
            text = [bos] * (bos >= 0) + list(data)
        else:
            text = self._encode(prompt, special=True) or begin
        if not text:
            raise HeedError("this network has no token to begin with (bos), so a prompt is needed")
        return text

    def _written(self) -> list[int]:
        """What a network with an encoder begins with when it writes."""
        first = self._numbers("heed.start") or [b for b in [self.number("bos")] if b >= 0]
        if not first:
            raise HeedError(
                "this network has no token that what is made begins with (decoder_start_token_id, "
                "or bos)"
            )
        return first[:1]

    def _in_parts(self, session: Session, first: int) -> bool:
        """Whether a text can be fed in parts; refuses a network whose tokens see those behind them,
        and one that gives no logits.
        """
        if self.outputs != self.vocab:
            raise HeedError(f"this is no language model: it gives {self.outputs} numbers a token")
        if self._fed_in_parts is None:
            self._fed_in_parts = self._find_parts(session, first)
        return self._fed_in_parts

    def _find_parts(self, session: Session, first: int) -> bool:
        other, parts = (first + 1) % self.vocab, True
        alone = session.feed([first])
        try:
            session.feed([other])
        except HeedError as e:
            if e.kind == "shape":
                raise
            parts = False
        session.reset()
        if self.number("context") != 1 and not parts:
            if not np.array_equal(session.feed([first, other], rows=2)[0], alone[0]):
                raise HeedError(
                    "this is no language model: its tokens see those behind them", _abi.HEED_E_DATA
                )
            session.reset()
        return parts

    # ---- a text that goes on ----

    def generate(
        self,
        prompt: str | bytes | SequenceOf[int] = b"",
        tokens: int = 200,
        *,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        stop: str | SequenceOf[str] = (),
        ignore_eos: bool = False,
        chat: bool = False,
        system: str | None = None,
        seed: int = 1,
        on_token: Callable[[int], object] | None = None,
        on_text: Callable[[str], object] | None = None,
    ) -> Any:
        """What follows the prompt, without it, as `heed generate` writes it: bytes, where tokens
        are bytes; str, by the tokenizer of a checkpoint; a list of tokens, if the prompt is one.

        on_token  is called with each token as soon as it is drawn
        on_text   with each piece of text as soon as it is certain; an exception in either ends it
        stop      one or more texts in front of which it ends
        chat      the prompt is a message of a conversation, in the form of the checkpoint's
                  chat_template, behind one of the system's, if there is one

        top_k, top_p, min_p and repetition_penalty are as of the command, as is the rest: when the
        context is full, the network starts afresh with the last half of it; the text ends at the
        checkpoint's eos_token_id unless ignore_eos. A network whose attention remembers nothing
        reads all again for each token. One with an encoder (t5) reads the prompt there. Raises
        HeedError.
        """
        if chat or system is not None:
            if not chat or not isinstance(prompt, str):
                raise ValueError("chat takes a prompt that is a str, and system needs chat")
            written = self._encode(self.tokenizer.chat(prompt, system), special=False)
            text, source = written, None
        else:
            text, source = self._start(prompt), None
        if self.number("encoder_layers") > 0:  # which reads the prompt
            text, source = self._written(), text
        stops = [stop] if isinstance(stop, str) else list(stop)
        begun, numbers = len(text), not isinstance(prompt, (str, bytes))
        if not all(stops):
            raise ValueError('stop takes texts, not ""')
        if numbers and (stops or on_text):
            raise ValueError("stop and on_text need a text, and the prompt is numbers of tokens")
        writer = _Writer(self, stops, on_text)
        if not numbers and not self.bytes:
            writer.begin(text)
        session, context, bos = self.session(), self.number("context"), self.number("bos")
        if source is not None:
            session.encode(source)
        parts, ends = self._in_parts(session, text[0]), self._numbers("heed.end")
        seen = np.zeros(self.vocab, bool)
        if repetition_penalty != 1:
            seen[text] = True
        start = fed = 0
        for draw in itertools.islice(_draws(seed), tokens):
            if 0 <= context < len(text) - start:
                start = fed = len(text) - (context // 2 if context > 1 else 1)
                session.reset()
            elif not parts and fed:
                fed = start
                session.reset()
            row = session.feed(text[fed:])[0]
            fed = len(text)
            if repetition_penalty != 1:
                _punish(row, seen, repetition_penalty)
            token = session.sample(row, temperature, draw, top_k=top_k, top_p=top_p, min_p=min_p)
            if self.bytes and token > BYTE and token == bos:
                break
            end = not ignore_eos and token in ends
            text.append(token)
            seen[token] = True
            if not numbers and not end:
                writer.put(token)
            if on_token is not None and (numbers or not end):
                on_token(token)
            if end or writer.ended:
                break
        return text[begun:] if numbers else writer.end()

    # ---- how well a text is predicted ----

    def score(
        self,
        text: bytes | str | os.PathLike[str] | SequenceOf[int],
        *,
        context: int | None = None,
        stride: int | None = None,
        progress: bool | Progress | None = None,
    ) -> float:
        """Mean bits a byte of a text: bytes, or the path of a file. As `heed score` counts them,
        each byte once. Of numbers of tokens, of which the first is given: bits a token.

        context is how many tokens the network sees at a time (what it was made for, if not given),
        stride how far the next window moves (half of it). progress(done, all) is called after each
        part; True shows a bar. Raises HeedError.
        """
        if self.number("encoder_layers") > 0:
            raise HeedError("a network with an encoder is not scored", _abi.HEED_E_UNSUPPORTED)
        given, units = self._to_score(text)
        limit, n = self.number("context"), len(given) - 1
        window = context or (limit if limit >= 0 else n)
        if limit >= 0 and window > limit:
            raise HeedError(f"context is {window}, but the network was made for {limit}")
        step = stride or max(window // 2, 1)
        if not 1 <= step <= window:
            raise HeedError(f"stride is {step}, which leaves out bytes with a context of {window}")
        session, loss = self.session(), Op("loss/cross_entropy", engine=self.engine)
        parts = self._in_parts(session, int(given[0]))
        tell = shown(progress, "B" if self.bytes else "token")
        nats, counted, start = 0.0, 0, 0
        while counted < n:
            session.reset()
            end = min(start + window, n)
            at = start
            while at < end:
                now = min(end - at, PIECE if parts else window)
                if parts and 0 < counted - at < now:
                    now = counted - at  # counted already: no logits are needed
                rows = max(at + now - max(at, counted), 0)
                logits = session.feed(given[at : at + now], rows)
                if rows:
                    targets = given[at + now - rows + 1 : at + now + 1]
                    for nll in loss(logits=logits, targets=targets).tolist():
                        nats += nll
                counted += rows
                at += now
                tell(counted, n)
            start += step
        return nats / math.log(2) / units

    def _to_score(
        self, text: bytes | str | os.PathLike[str] | SequenceOf[int]
    ) -> tuple[np.ndarray[Any, Any], int]:
        """All tokens, of which the first is given and predicts the second; and by how many units
        the sum is divided.
        """
        if isinstance(text, (str, os.PathLike)):
            with open(text, "rb") as file:
                text = file.read()
        if not isinstance(text, bytes):
            ids = np.ascontiguousarray(text, np.int32)
            if ids.ndim != 1 or ids.size < 2:
                raise HeedError(
                    f"{ids.size} tokens: the first is given, and another one is needed to be "
                    "predicted",
                    _abi.HEED_E_DATA,
                )
            return ids, ids.size - 1
        first = [b for b in [self.number("bos")] if b >= 0]
        if not self.bytes:
            first = (self._numbers("heed.begin") or self._numbers("heed.end"))[:1]
        if not first:
            raise HeedError(
                "this network has no token to begin with (bos), so the first byte can not be "
                "predicted"
            )
        if not text:
            raise HeedError("the text is empty, so there is nothing to predict", _abi.HEED_E_DATA)
        if self.bytes:
            tokens = np.frombuffer(bytes(1) + text, np.uint8).astype(np.int32)
            tokens[0] = first[0]
            return tokens, len(text)
        return np.array(first + self._encode(text, special=False), np.int32), len(text)

    # ---- vectors ----

    def embed(
        self, texts: str | SequenceOf[str], *, progress: bool | Progress | None = None
    ) -> np.ndarray[Any, Any]:
        """A vector for each text, [texts, width] float32, as `Encoder` makes them. Raises HeedError
        unless this is the folder of an encoder.
        """
        if self._encoder is None:
            if self.folder is None or self.bytes:
                raise HeedError("this is no encoder from a checkpoint", _abi.HEED_E_UNSUPPORTED)
            self._encoder = Encoder(self.folder)
        return self._encoder.embed(texts, progress=progress)


def _punish(row: np.ndarray[Any, Any], seen: np.ndarray[Any, Any], penalty: float) -> None:
    """Less likely are tokens that were there already, as in libheed: in float32."""
    x, by = row[seen], np.float32(penalty)
    row[seen] = np.where(x > 0, x / by, x * by)


class _Writer:
    """What comes of tokens: a text, told as soon as it is certain."""

    def __init__(
        self, stack: Stack, stop: SequenceOf[str], on_text: Callable[[str], object] | None
    ) -> None:
        self._stack, self._stops, self._on_text = stack, Stops(stop), on_text
        self._made: list[bytes] = []
        self._whole = codecs.getincrementaldecoder("utf-8")("replace")  # half a character waits
        self._tokenizer: Tokenizer | None = None

    def begin(self, prompt: list[int]) -> None:
        """By a tokenizer: what follows goes on with the text of the prompt."""
        self._tokenizer = self._stack._take_tokenizer()
        self._tokenizer.put(prompt, begins=True, ends=True)

    @property
    def ended(self) -> bool:
        return self._stops.ended

    def put(self, token: int) -> None:
        if self._tokenizer is not None:
            self._tell(self._stops.put(self._tokenizer.put([token]).encode()))
        elif token <= BYTE:
            self._tell(self._stops.put(bytes([token])))

    def end(self) -> bytes | str:
        """The whole text: str if a tokenizer made it."""
        rest = b""
        if self._tokenizer is not None:
            rest = self._tokenizer.put([], ends=True).encode()
            self._stack._tokenizers.append(self._tokenizer)
        self._tell(b"" if self.ended else self._stops.put(rest, all_=True), last=True)
        made = b"".join(self._made)
        return made if self._tokenizer is None else made.decode()

    def _tell(self, piece: bytes, last: bool = False) -> None:
        self._made.append(piece)
        text = self._whole.decode(piece, last)
        if text and self._on_text is not None:
            self._on_text(text)


class Encoder:
    """Vectors of texts by the folder of an encoder: `Encoder("DIR").embed(["a text", "another"])`.

    pooling  "mean", "first", "last" or "max" of a text's tokens, and
    l2       whether a vector is divided by its length; if not given, both as modules.json of
             sentence-transformers says, or the mean as it is
    threads  texts that are read at a time, each on one thread; 0 is one a core that this process
             may use

    The numbers are those of `heed embed`, whatever the threads. Raises HeedError for a folder that
    is none, or a module that is not read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        pooling: str | None = None,
        l2: bool | None = None,
        threads: int = 0,
        isa: str | None = None,
    ) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        weights, most = Weights(folder), c.c_uint64()
        how = (
            weights.handle,
            os.fsencode(folder),
            None if pooling is None else pooling.encode(),
            -1 if l2 is None else int(l2),
        )
        room = check(lib.heed_sentence_spec(*how, None, 0, c.byref(most), error()))
        spec = c.create_string_buffer(room)
        check(lib.heed_sentence_spec(*how, spec, room, c.byref(most), error()))
        self.stack = Stack(weights, spec.value.decode(), engine=Engine(1, isa=isa))
        self.stack.folder, self.stack.bytes = os.fspath(folder), False
        context = self.stack.number("context")
        self.most = min([n for n in (int(most.value), context) if n > 0], default=0)
        self.width = self.stack.outputs
        self._sessions: list[Session] = []

    @property
    def spec(self) -> str:
        """The canonical spec, with what makes one vector of a text."""
        return self.stack.spec

    def __repr__(self) -> str:
        return f"Encoder({self.stack.folder!r})"

    def embed(
        self, texts: str | SequenceOf[str], *, progress: bool | Progress | None = None
    ) -> np.ndarray[Any, Any]:
        """A vector for each text, [texts, width] float32; of one text [width]. A text of more than
        `most` tokens is cut. progress(done, all) is called after some texts; True shows a bar.
        """
        if isinstance(texts, str):
            row: np.ndarray[Any, Any] = self.embed([texts])[0]
            return row
        ids = [self.stack.tokenizer.encode(text, most=self.most) for text in texts]
        rows = np.zeros((len(ids), self.width), np.float32)
        # the longest first, so that the threads end together
        left = sorted(range(len(ids)), key=lambda i: ids[i].size)
        tell, lock = shown(progress, "text"), threading.Lock()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                session = self._sessions.pop()
            except IndexError:
                session = self.stack.session()
            while left and not failed:
                try:
                    i = left.pop()
                except IndexError:
                    break
                try:
                    session.reset()
                    if ids[i].size:
                        rows[i] = session.feed(ids[i])[0]
                    with lock:
                        tell(len(ids) - len(left), len(ids))
                except BaseException as e:
                    failed.append(e)
            self._sessions.append(session)

        others = [threading.Thread(target=work) for _ in range(min(self.threads, len(ids)) - 1)]
        for thread in others:
            thread.start()
        work()
        for thread in others:
            thread.join()
        if failed:
            raise failed[0]
        return rows
