# SPDX-License-Identifier: MIT
"""_tensor.py: arrays of Python's as heed_tensor, without a copy, and new arrays for outputs.

What is taken: NumPy's arrays, PyTorch's tensors, whatever has __dlpack__ on the CPU, and the buffer
protocol. Any strides >= 0. A view is good as long as the array is, and whoever makes one keeps the
array.
"""

from __future__ import annotations

import ctypes as c
import functools
import sys
from typing import Any

import numpy as np

from . import _abi
from ._library import HeedError, error, lib, raise_error

Array = Any  # something that `view` takes; PEP 484 has no name for it


class Tensor(_abi.heed_tensor):
    """A view, and what has to live as long, where that is not the array itself."""

    owner: Any = None


SIZE = c.sizeof(Tensor)

NAMES = ["float32", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "float64"]
BYTES = [4, 2, 2, 1, 1, 4, 8, 8]  # both by HEED_F32 ... HEED_F64
NUMPY: dict[Any, int] = {np.dtype(n): i for i, n in enumerate(NAMES) if n != "bfloat16"}
NUMPY[np.dtype("V2")] = _abi.HEED_BF16  # as in .npy files
TORCH: dict[Any, int] = {}  # filled by the first tensor


def _fill(tensor: Tensor, dtype: int, data: int, dims: Any, strides: Any) -> Tensor:
    """The view; strides in elements."""
    last = 0
    rank = 0
    dim, stride = tensor.dim, tensor.stride
    for n, s in zip(dims, strides):
        dim[rank] = n
        stride[rank] = s
        last = -1 if n == 0 or last < 0 else last + (n - 1) * s
        rank += 1
    tensor.size, tensor.dtype, tensor.rank, tensor.data = SIZE, dtype, rank, data
    tensor.bytes = (last + 1) * BYTES[dtype]
    return tensor


def _numpy(port: str, a: np.ndarray[Any, Any], write: bool) -> Tensor:
    dtype = NUMPY.get(a.dtype)
    if dtype is None:
        if a.dtype.name != "bfloat16":  # ml_dtypes has it
            raise TypeError(
                f"{port}: heed has no dtype {a.dtype.str if a.dtype.names is None else a.dtype}; "
                f"it has {', '.join(NAMES)}, in this machine's byte order"
            )
        dtype = _abi.HEED_BF16
    bytes_, strides = BYTES[dtype], a.strides
    if a.ndim > _abi.HEED_MAX_RANK:
        raise TypeError(
            f"{port}: the array has {a.ndim} axes; up to {_abi.HEED_MAX_RANK} are taken"
        )
    for s in strides:
        if s < 0 or s % bytes_:
            if a.size <= 1:
                strides = np.empty(a.shape, a.dtype).strides  # nothing is skipped: any will do
                break
            raise TypeError(
                f"{port}: a stride is {s} bytes; it must be 0 or more, and a multiple of the "
                f"{bytes_} bytes of "
                f"{NAMES[dtype]}; np.ascontiguousarray makes a copy that is so"
            )
    if write and not a.flags.writeable:
        raise TypeError(f"{port}: the array is read-only, and this is an output")
    data = _by_interface(a)
    return _fill(Tensor(), dtype, data, a.shape, [s // bytes_ for s in strides])


def _torch(port: str, t: Any) -> Tensor:
    if not TORCH:
        torch = sys.modules["torch"]
        TORCH.update({getattr(torch, n): i for i, n in enumerate(NAMES)})
    if t.device.type != "cpu":
        raise TypeError(
            f"{port}: the tensor is on {t.device}, and heed computes on the CPU; .cpu() copies "
            f"it there"
        )
    dtype = TORCH.get(t.dtype)
    if dtype is None:
        raise TypeError(f"{port}: heed has no dtype {t.dtype}; it has {', '.join(NAMES)}")
    if t.layout is not sys.modules["torch"].strided or t.is_conj() or t.is_neg():
        raise TypeError(
            f"{port}: a tensor of layout {t.layout}, or a conjugated or negated view, is not "
            f"taken; .contiguous() or "
            ".to_dense() makes one that is"
        )
    if t.dim() > _abi.HEED_MAX_RANK:
        raise TypeError(
            f"{port}: the tensor has {t.dim()} axes; up to {_abi.HEED_MAX_RANK} are taken"
        )
    return _fill(Tensor(), dtype, t.data_ptr(), t.shape, t.stride())


_pointer = c.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c.c_void_p, [c.py_object, c.c_char_p]


def _dlpack(port: str, a: Any) -> Tensor:
    device = a.__dlpack_device__()
    if device[0] != 1:
        raise TypeError(
            f"{port}: the tensor is on DLPack's device type {int(device[0])}, and heed "
            f"computes on the CPU (1)"
        )
    capsule, tensor = a.__dlpack__(), Tensor()
    if lib.heed_dlpack_view(_pointer(capsule, b"dltensor"), c.byref(tensor), error()):
        try:
            raise_error()
        except HeedError as e:
            raise TypeError(f"{port}: {e}") from None
    tensor.owner = capsule  # its end is the end of the view
    return tensor


HEAD = object.__basicsize__


def _by_interface(a: np.ndarray[Any, Any]) -> int:
    return int(a.__array_interface__["data"][0])


def _by_struct(a: np.ndarray[Any, Any]) -> int:
    """NumPy's C interface has it first, behind the head of an object; this is 8 times as quick."""
    return c.c_void_p.from_address(id(a) + HEAD).value or 0


def _numpy_address() -> Any:
    probe = np.empty(1)
    quick = sys.implementation.name == "cpython" and _by_struct(probe) == _by_interface(probe)
    return _by_struct if quick else _by_interface


numpy_address = _numpy_address()


def layout(a: Array) -> tuple[Any, int] | None:
    """What two arrays must have in common for one's view, with the other's address, to be the
    other's; and the address. Whether it may be written is not in it.

    None: there is no quick way to tell, so `view` looks at it.
    """
    if type(a) is np.ndarray:
        return (a.dtype, a.shape, a.strides), numpy_address(a)
    if is_torch(a) and a.is_cpu and a.layout is sys.modules["torch"].strided and not a.is_neg():
        return (a.dtype, a.shape, a.stride()), a.data_ptr()
    return None


def writable(a: Array) -> bool:
    """Whether it may be an output, as far as it says so."""
    return bool(a.flags.writeable) if type(a) is np.ndarray else True


def is_torch(a: Any) -> bool:
    """Whether it is a PyTorch tensor, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(a, torch.Tensor)


def view(port: str, a: Array, write: bool = False) -> Tensor:
    """What heed sees of an array, named `port` in errors. Raises TypeError for what is no array
    that heed takes.
    """
    if isinstance(a, np.ndarray):
        return _numpy(port, a, write)
    if is_torch(a):
        return _torch(port, a)
    if not write and hasattr(a, "__dlpack__") and hasattr(a, "__dlpack_device__"):
        return _dlpack(port, a)  # an output would need to know that its owner lets others write
    try:
        buffer = memoryview(a)
    except TypeError:
        raise TypeError(
            f"{port}: {type(a).__name__} is no array: it has neither __dlpack__ nor a buffer; "
            f"np.asarray(x, np.float32) makes one of a list"
        ) from None
    tensor = _numpy(port, np.asarray(buffer), write)
    tensor.owner = buffer
    return tensor


def maker(shape: tuple[int, ...], dtype: int, like: Array) -> tuple[Any, Any]:
    """What makes memory for an output, and tells its address: a PyTorch tensor if `like`, the first
    input, is one, else a NumPy array.
    """
    if is_torch(like):
        torch = sys.modules["torch"]
        make = functools.partial(torch.empty, shape, dtype=getattr(torch, NAMES[dtype]))
        return make, torch.Tensor.data_ptr
    if dtype != _abi.HEED_BF16:
        return functools.partial(np.empty, shape, np.dtype(NAMES[dtype])), numpy_address
    try:
        import ml_dtypes
    except ImportError:  # as in .npy files: two bytes, which NumPy cannot compute with
        return functools.partial(np.empty, shape, np.dtype("V2")), numpy_address
    return functools.partial(np.empty, shape, np.dtype(ml_dtypes.bfloat16)), numpy_address


def new(shape: tuple[int, ...], dtype: int, like: Array) -> Array:
    """Memory for an output."""
    return maker(shape, dtype, like)[0]()
