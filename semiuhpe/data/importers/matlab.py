"""Validation of MATLAB files of version 5 before SciPy reads them, as its reader crashes on some damaged files.

A file consists of a header of 128 bytes and elements. An element is a tag with type and length, and its content, padded
to a multiple of eight bytes. The element of a variable contains further elements: flags, dimensions, name, and then its
numbers, or the elements of its cells or fields (MathWorks, "MAT-File Format", version 5).
"""

import struct
import zlib
from collections.abc import Iterator

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}
_CELL, _STRUCT, _SPARSE = 1, 2, 5
_ARRAYS = {4, *range(6, 16)}  # text and numbers
_COMPLEX = 0x08
_MAX_DEPTH = 32
_MAX_BYTES = 1 << 30


def check_elements(data: bytes) -> None:
    """Raise ValueError if elements of a file of version 5 extend beyond it, or don't fit its arrays."""
    if data[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        return
    order = "<" if data[126:128] == b"IM" else ">"
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            try:
                content = zlib.decompressobj().decompress(content, _MAX_BYTES)
            except zlib.error as error:
                raise ValueError(f"its data can't be unpacked ({error})") from error
            for inner, array in _elements(content, order):
                _check_array(inner, array, order)
        else:
            _check_array(kind, content, order)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield types and contents of elements."""
    place = 0
    while place + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}2I", data, place)
        if kind >> 16:  # a small element: type, length and up to four bytes instead of a tag
            kind, length, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            start = place + 8
            end = start + length if kind == _COMPRESSED else start + -(-length // 8) * 8
        if start + length > min(end, len(data)):
            raise ValueError("an element is longer than the data")
        yield kind, data[start : start + length]
        place = end


def _check_array(kind: int, data: bytes, order: str, depth: int = 0) -> None:
    if kind != _MATRIX or depth > _MAX_DEPTH:
        raise ValueError(f"it has an element of the type {kind}" if kind != _MATRIX else "it is nested too deep")
    if not data and depth:
        return  # an empty cell
    parts = list(_elements(data, order))
    kinds = [part[0] for part in parts]
    if kinds[:3] != [_UINT32, _INT32, _INT8] or len(parts[0][1]) != 8 or len(parts[1][1]) % 4:
        raise ValueError("an array has no flags, dimensions and name")
    flags = struct.unpack_from(f"{order}I", parts[0][1])[0]
    array, rest = flags & 0xFF, kinds[3:]
    sizes = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
    if min(sizes, default=-1) < 0:
        raise ValueError("an array has no dimensions, or negative ones")
    numbers = {_SPARSE: 3}.get(array, 1) + bool(flags >> 8 & _COMPLEX)
    if array in _ARRAYS or array == _SPARSE:
        if len(rest) < numbers or not _NUMBERS.issuperset(rest):
            raise ValueError("an array has no numbers")
        return
    if array == _STRUCT:
        if rest[:2] != [_INT32, _INT8]:
            raise ValueError("a structure has no names of its fields")
        rest = rest[2:]
    elif array != _CELL:
        raise ValueError(f"an array is of the unknown class {array}")
    count = 1
    for size in sizes:
        count *= size
    if array == _CELL and len(rest) != count:
        raise ValueError(f"there are {len(rest)} of {count} cells")
    for inner, content in parts[len(parts) - len(rest) :]:
        _check_array(inner, content, order, depth + 1)
