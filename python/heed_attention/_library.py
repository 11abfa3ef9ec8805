# SPDX-License-Identifier: MIT
"""_library.py: libheed, opened; its errors as exceptions; engines. What a tensor or an op is, other
files know.

The library is the one in this package (a wheel), else what HEED_LIBRARY names (a build tree), else
the installed one.
"""

from __future__ import annotations

import ctypes as c
import os
import threading
import weakref
from typing import Any

from . import _abi

HERE = os.path.dirname(os.path.realpath(__file__))
NAME = "libheed.so.0"


class HeedError(RuntimeError):
    """What libheed refused, in its own sentence; for a spec with a caret under the place.

    `code` is one of HEED_E_* (negative), and `kind` its name in lower case, such as "shape".
    """

    KINDS = {
        value: name.removeprefix("HEED_E_").lower()
        for name, value in vars(_abi).items()
        if name.startswith("HEED_E_")
    }

    def __init__(self, text: str, code: int = _abi.HEED_E_ARGUMENT) -> None:
        super().__init__(text)
        self.code = code
        self.kind = self.KINDS.get(code, "unknown")

    def __reduce__(self) -> tuple[Any, ...]:
        return HeedError, (str(self), self.code)


def _find() -> str:
    own = os.path.join(HERE, "lib", NAME)
    return own if os.path.exists(own) else os.environ.get("HEED_LIBRARY", NAME)


def _open() -> tuple[c.CDLL, str]:
    path = _find()
    try:
        library = c.CDLL(path)  # CDLL, not PyDLL: a call lets other Python threads run
    except OSError as e:
        why = ""
        if "GLIBC_" in str(e):
            why = f"; the C library here is {os.confstr('CS_GNU_LIBC_VERSION')}"
        raise ImportError(f"heed_attention: libheed cannot be loaded: {e}{why}") from e
    for name, (result, parameters) in _abi.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(
                f"heed_attention: {path} has no function {name}: it is another version of libheed"
            ) from None
        function.restype, function.argtypes = result, parameters
    return library, path


lib, library_path = _open()
_local = threading.local()


def error() -> Any:
    """This thread's heed_error, as an argument; `check` and `raise_error` read it."""
    try:
        return _local.reference
    except AttributeError:
        _local.error = _abi.heed_error()
        _local.reference = c.byref(_local.error)
        return _local.reference


def raise_error() -> None:
    """Raises what this thread's last call said."""
    told = _local.error
    if told.code == _abi.HEED_E_MEMORY:
        raise MemoryError(told.text.decode(errors="replace"))
    raise HeedError(told.text.decode(errors="replace"), told.code)


def check(good: Any) -> Any:
    """`good`, if it is: a handle, or a number that is not negative. Else raises."""
    if good is None or good < 0:
        raise_error()
    return good


PINNINGS = {
    "compact": _abi.HEED_PIN_COMPACT,
    "scatter": _abi.HEED_PIN_SCATTER,
    "none": _abi.HEED_PIN_NONE,
}


class Engine:
    """Plugins and threads. Most programs need none of their own: there is a default, see `use`.

    threads  lanes of work; 0 is one a core that this process may use
    isa      the highest instruction set: "scalar", "avx2", "avx512", "neon"; or one that gives
             other bits, "avx512_bf16", "neon_bf16"; None is all that give the same bits
    plugins  folders or files to load ops from, separated by ":"; one at the end adds the shipped
    pinning  "none", "compact" or "scatter". "none" is the default here, since the process has
             other pools of threads (NumPy's, PyTorch's) on the same cores

    Raises HeedError where libheed refuses, ValueError for an unknown pinning.
    """

    def __init__(
        self,
        threads: int = 0,
        *,
        isa: str | None = None,
        plugins: str | os.PathLike[str] | None = None,
        pinning: str = "none",
    ) -> None:
        if pinning not in PINNINGS:
            raise ValueError(f'pinning is "{pinning}"; it can be {", ".join(PINNINGS)}')
        if not 0 <= threads <= 0xFFFF:
            raise ValueError(f"threads is {threads}; it can be 0 to 65535")
        options = _abi.heed_options(
            size=c.sizeof(_abi.heed_options),
            threads=threads,
            pinning=PINNINGS[pinning],
            plugins=None if plugins is None else os.fsencode(plugins),
            isa=None if isa is None else isa.encode(),
        )
        self.handle: int = check(lib.heed_engine_new(c.byref(options), error()))
        weakref.finalize(self, lib.heed_engine_free, self.handle)

    @property
    def threads(self) -> int:
        """Lanes that parallel work runs on."""
        return int(lib.heed_lanes(self.handle))

    @property
    def refusals(self) -> dict[str, str]:
        """Plugins that were refused: file -> why. Loads all plugins that are there."""
        lib.heed_op_count(self.handle)
        told, path = {}, c.c_char_p()
        for i in range(lib.heed_refusal_count(self.handle)):
            why = lib.heed_refusal(self.handle, i, c.byref(path)) or b""
            told[os.fsdecode(path.value or b"")] = why.decode(errors="replace")
        return told


_default: Engine | None = None
_lock = threading.Lock()


def engine() -> Engine:
    """The default engine, made when it is first needed."""
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = Engine()
    return _default


def use(new: Engine | None) -> None:
    """Makes `new` the default engine of what is opened from now on; None: a fresh one when
    needed.
    """
    global _default, _epoch
    with _lock:
        _default = new
        _epoch += 1


_epoch = 0


def epoch() -> int:
    """A number of the default engine: what is kept for it is forgotten when there is another."""
    return _epoch


def has_default() -> bool:
    """Whether the default engine has been made or chosen."""
    return _default is not None
