"""Files that are there as a whole or not at all, their hashes, and pictures written that way."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from semiuhpe.drawing.axes import save_picture
from semiuhpe.errors import DataError
from semiuhpe.files import atomic_path, atomic_write, sha256


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write(path, "before")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half of it")
        raise ZeroDivisionError
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["a.txt"]
    atomic_write(path, b"after")
    assert path.read_text() == "after" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("durable", [True, False])
def test_files_are_on_the_disk_before_they_get_their_name(tmp_path, monkeypatch, durable):
    there = []
    monkeypatch.setattr(os, "fsync", lambda _: there.append(os.listdir(tmp_path)))
    atomic_write(tmp_path / "a.txt", "x", durable)
    assert there == ([["a.txt.partial"]] if durable else [])


def test_hashes_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "a.bin") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_pictures_are_written_at_once(tmp_path, monkeypatch):
    path, image = tmp_path / "new" / "a.png", np.full((4, 5, 3), 7, np.uint8)
    save_picture(path, image)
    assert os.listdir(path.parent) == ["a.png"]
    with Image.open(path) as opened:
        assert np.array_equal(np.asarray(opened), image)
    with pytest.raises(DataError, match=r"--sheet .*a\.what|a\.what.*--sheet"):
        save_picture(tmp_path / "a.what", image, "--sheet")
    monkeypatch.setattr(Image.Image, "save", lambda self, path, *_, **__: path.write_bytes(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_picture(path, image * 2)
    assert os.listdir(path.parent) == ["a.png"] and path.stat().st_size > 4
