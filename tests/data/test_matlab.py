"""MATLAB files: all that SciPy writes is let through, and what makes its reader crash is not."""

import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from semiuhpe.data.importers.base import read_mat
from semiuhpe.data.importers.matlab import check_elements
from semiuhpe.errors import DataError

CONTENTS = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "integers": np.arange(3, dtype=np.uint8),
    "complex": np.array([1 + 2j]),
    "logical": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "text": "a.jpg",
    "cells": np.array([["a", np.ones(2)], [np.array([[1, "b"]], dtype=object), np.zeros((0, 0))]], dtype=object),
    "structure": {"roi": np.ones(4), "inner": {"name": "x"}},
    "structures": np.array([(1.0, "a"), (2.0, "b")], dtype=[("x", object), ("y", object)]),
    "sparse": scipy.sparse.csc_array(np.eye(3)),
}


def mat(contents, **options):
    file = io.BytesIO()
    scipy.io.savemat(file, contents, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}], ids=["plain", "packed", "old"])
@pytest.mark.parametrize("name", CONTENTS)
def test_what_can_be_read_is_read(tmp_path, name, options):
    if "format" in options and name not in ("numbers", "complex", "text"):
        pytest.skip("files of version 4 hold no such thing")
    path = tmp_path / "a.mat"
    path.write_bytes(mat({name: CONTENTS[name]}, **options))
    assert name in read_mat(path)


@pytest.mark.parametrize(
    ("place", "new", "words"),
    [
        (176, b"\0\0\0\0", "no numbers"),  # the type of the numbers
        (128, b"\x0d\0\0\0", "element of the type 13"),
        (132, b"\xff\xff\0\0", "longer than the data"),
        (144, b"\x11\0\0\0", "unknown class 17"),
        (160, b"\xff\xff\xff\xff", "negative"),
    ],
)
def test_what_makes_the_reader_crash_is_an_error(tmp_path, place, new, words):
    data = bytearray(mat({"a": np.ones((1, 7))}))
    check_elements(bytes(data))
    data[place : place + len(new)] = new
    path = tmp_path / "a.mat"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_mat(path)


@pytest.mark.parametrize("before", [0, 512])
def test_files_of_version_7_3_say_how_to_save_them_again(tmp_path, before):
    path = tmp_path / "a.mat"
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(before, b"\0")[:before]
    path.write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(DataError, match=r"a\.mat: .*7\.3.*-v7"):
        read_mat(path)
