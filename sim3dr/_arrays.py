"""Convert the arrays of callers: everything that converts without a change of meaning. The core checks shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def real_array(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return `array` as C-contiguous, aligned float32; TypeError unless it holds real numbers."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got the dtype {array.dtype}")
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, as in any conversion
        return np.require(array, np.float32, ("C", "A"))


def color_array(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """Convert like `real_array`, but refuse bytes: those are colors from 0 to 255."""
    array = np.asarray(array)
    if array.dtype == np.uint8:
        raise TypeError(f"{name} must be numbers from 0 to 1, got the dtype uint8: divide by 255")
    return real_array(array, name)


def byte_array(array: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Return a picture: `array` of bytes with the shape (H, W, C)."""
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise TypeError(f"{name} must be uint8, got the dtype {array.dtype}")
    if array.ndim != 3:
        raise ValueError(f"{name} must have the shape (H, W, C), got {array.shape}")
    return array


def index_array(array: ArrayLike, name: str) -> NDArray[np.int32]:
    """Return `array` as C-contiguous, aligned int32; TypeError unless integers, ValueError if one is too large."""
    array = np.asarray(array)
    if array.size == 0:
        return np.zeros(array.shape if array.ndim == 2 else (0, 3), np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, the indices of vertices, got the dtype {array.dtype}")
    limits = np.iinfo(np.int32)
    if array.dtype != np.int32 and (array.max() > limits.max or array.min() < limits.min):
        raise ValueError(f"{name} must be the indices of vertices, got numbers beyond 32 bits")
    return np.require(array, np.int32, ("C", "A"))
