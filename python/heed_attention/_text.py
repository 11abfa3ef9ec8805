# SPDX-License-Identifier: MIT
"""_text.py: texts: as the numbers of tokens and back, as they come; texts that end a text; and how
far a long work has come.
"""

from __future__ import annotations

import ctypes as c
import os
import sys
import threading
import weakref
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from typing import Any

import numpy as np

from . import _abi
from ._library import check, error, lib

Progress = Callable[[int, int], object]


def shown(progress: bool | Progress | None, what: str) -> Progress:
    """Something to call with (done, all). True: tqdm's bar, where that is installed, else a line on
    standard error where that is a terminal.
    """
    if callable(progress):
        return progress
    if not progress:
        return lambda done, of: None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _line(what)
    bar = tqdm(unit=what, unit_scale=True)

    def show(done: int, of: int) -> None:
        bar.total = of
        bar.update(done - bar.n)
        if done >= of:
            bar.close()

    return show


def _line(what: str) -> Progress:
    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= of else ""
            print(f"\r{done} of {of} {what}", end=end, file=sys.stderr, flush=True)

    return show


class Tokenizer:
    """Texts as the numbers of tokens and back, by the tokenizer.json of a checkpoint's folder.

    Any thread may use it. Raises HeedError for a file with a fault, or with a type that is not
    read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._handle: int = check(lib.heed_tokenizer_open(os.fsencode(folder), error()))
        self._lock = threading.Lock()
        weakref.finalize(self, lib.heed_tokenizer_close, self._handle)

    def __repr__(self) -> str:
        return f"Tokenizer({self.folder!r})"

    def encode(
        self, text: str | bytes, special: bool = True, most: int = 0
    ) -> np.ndarray[Any, Any]:
        """The tokens of a text, [n] int32; with those around it that models read, if `special`.

        most > 0: no more than so many, with these. Raises HeedError for bytes that are no UTF-8.
        """
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        found = c.c_void_p()
        with self._lock:
            n = check(
                lib.heed_tokenizer_encode(
                    self._handle, data, len(data), special, most, c.byref(found), error()
                )
            )
            return np.frombuffer(c.string_at(found.value or 0, 4 * n), np.int32).copy()

    def chat(self, prompt: str, system: str | None = None) -> str:
        """The text that the folder's chat_template makes of a message, behind one of the system's,
        up to where the answer begins; `encode` it with special=False. Raises HeedError for a
        template that is none of the known forms.
        """
        data, found = prompt.encode(), c.c_char_p()
        first = None if system is None else system.encode()
        with self._lock:
            n = check(
                lib.heed_tokenizer_chat(
                    self._handle, first, data, len(data), c.byref(found), error()
                )
            )
            return c.string_at(found, n).decode()

    def decode(self, tokens: Any) -> str:
        """The text of tokens, [n] integers, but for special ones."""
        return self.put(tokens, begins=True, ends=True)

    def put(self, tokens: Any, *, begins: bool = False, ends: bool = False) -> str:
        """The text that tokens make behind those before them: whole characters, what is a part of
        one waits for the rest.
        """
        ids = np.ascontiguousarray(tokens, np.int32).reshape(-1)
        flags = begins * _abi.HEED_TEXT_BEGINS | ends * _abi.HEED_TEXT_ENDS
        found = c.c_void_p()
        with self._lock:
            n = check(
                lib.heed_tokenizer_decode(
                    self._handle, ids.ctypes.data, ids.size, flags, c.byref(found), error()
                )
            )
            return c.string_at(found.value or 0, n).decode(errors="replace")


class Stops:
    """Texts that end a text, as bytes: what may be the beginning of one waits."""

    def __init__(self, words: SequenceOf[str]) -> None:
        self.words, self.held, self.ended = [word.encode() for word in words], b"", False

    def put(self, text: bytes, all_: bool = False) -> bytes:
        """What is certain of the text now; `ended` then tells whether it ends there."""
        self.held += text
        places = [at for at in map(self.held.find, self.words) if at >= 0]
        if places:
            self.ended = True
            end = min(places)
        else:
            end = len(self.held) - (0 if all_ else self._waiting())
        certain, self.held = self.held[:end], self.held[end:]
        return certain

    def _waiting(self) -> int:
        held, longest = self.held, 0
        for word in self.words:
            for n in range(1, min(len(word) - 1, len(held)) + 1):
                if held.endswith(word[:n]):
                    longest = max(longest, n)
        return longest
