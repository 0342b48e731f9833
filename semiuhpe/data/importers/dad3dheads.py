"""DAD-3DHeads (Martyniuk et al., CVPR 2022): ``DAD-3DHeadsDataset/{train,val,test}``, full range.

Each split has ``SPLIT.json``, a list of ``item_id``, ``bbox`` [x, y, w, h] and ``attributes``, and the pictures
``images/ITEM.png``. Splits other than test, whose labels are not published, also have ``annotations/ITEM.json`` with
the ``model_view_matrix``, which rotates and translates the head's mesh without scaling; see
:func:`semiuhpe.conventions.from_dad3dheads`.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from semiuhpe.conventions import from_dad3dheads
from semiuhpe.data.importers.base import Importer, Picture, RawHead, read_json
from semiuhpe.errors import DataError

FOLDER = "DAD-3DHeadsDataset"
UNLABELED = "test"
ATTRIBUTES = ("quality", "gender", "expression", "age", "occlusions", "pose", "standard light")


class Dad3DHeads(Importer):
    """DAD-3DHeads."""

    name = "DAD3DHeads"
    splits = ("train", "val", "test")
    full_range = True
    counts: ClassVar = {"train": 37840, "val": 4312}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        folder = (source / FOLDER if (source / FOLDER).is_dir() else source) / split
        if not folder.is_dir():
            raise DataError(
                f"--source {source}: has no folder {split}; it should be the folder {FOLDER}, or the one with it"
            )
        path = folder / f"{split}.json"
        items = read_json(path)
        if not isinstance(items, list):
            raise DataError(f"{path}: is not a list of heads")
        return [_picture(folder, index, item) for index, item in enumerate(items)]

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        folder, item = picture.labels
        path = folder / f"{folder.name}.json"
        if not _has_name(item):
            raise DataError(f"{path}: the entry has no item_id")
        box = _numbers(item, "bbox", (4,), path)
        rotation = None if folder.name == UNLABELED else _rotation(folder / "annotations" / f"{picture.name}.json")
        yield RawHead(picture.name, box=box, rotation=rotation, attributes=_attributes(item))


def _picture(folder: Path, index: int, item: Any) -> Picture:
    name = str(item["item_id"]) if _has_name(item) else f"entry {index}"
    return Picture(name, folder / "images" / f"{name}.png", (folder, item))


def _has_name(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("item_id"), str | int)


def _rotation(path: Path) -> np.ndarray:
    return from_dad3dheads(torch.from_numpy(_numbers(read_json(path), "model_view_matrix", (4, 4), path))).numpy()


def _numbers(labels: Any, key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """Return an array of a JSON file as float64; raise DataError if it is missing, not numeric or of another shape."""
    try:
        numbers = np.array(labels[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: has no {key} of numbers") from error
    if numbers.shape != shape:
        raise DataError(f"{path}: {key} has the shape {numbers.shape} and should have {shape}")
    return numbers


def _attributes(item: dict) -> dict[str, str]:
    """Return all attributes as text (``false`` as in JSON); missing ones are empty, as all heads need the same keys."""
    given = item.get("attributes")
    given = given if isinstance(given, dict) else {}
    return {name.replace(" ", "_"): _text(given.get(name, "")) for name in ATTRIBUTES}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
