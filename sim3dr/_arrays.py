"""What callers may pass for arrays: all that converts without a change of meaning. Shapes are checked by the core."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def real_array(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """`array` as C-contiguous, aligned float32; TypeError where it does not hold real numbers."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got the dtype {array.dtype}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, as it would by hand
        return np.require(array, np.float32, ("C", "A"))


def color_array(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """As `real_array`, but refuses bytes: those are colors from 0 to 255."""
    array = np.asarray(array)
    if array.dtype == np.uint8:
        raise TypeError(f"{name} must be numbers from 0 to 1, got the dtype uint8: divide by 255")
    return real_array(array, name)


def byte_array(array: ArrayLike, name: str) -> NDArray[np.uint8]:
    """A picture: `array` of bytes with the shape (H, W, C)."""
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise TypeError(f"{name} must be uint8, got the dtype {array.dtype}")
    if array.ndim != 3:
        raise ValueError(f"{name} must have the shape (H, W, C), got {array.shape}")
    return array


def index_array(array: ArrayLike, name: str) -> NDArray[np.int32]:
    """`array` as C-contiguous, aligned int32; TypeError without integers, ValueError where one does not fit."""
    array = np.asarray(array)
    if array.size == 0:
        return np.zeros(array.shape if array.ndim == 2 else (0, 3), np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, the indices of vertices, got the dtype {array.dtype}")
    limits = np.iinfo(np.int32)
    if array.dtype != np.int32 and (array.max() > limits.max or array.min() < limits.min):
        raise ValueError(f"{name} must be the indices of vertices, got numbers beyond 32 bits")
    return np.require(array, np.int32, ("C", "A"))
