"""The submission of the DAD-3DHeads benchmark (Martyniuk et al., CVPR 2022), and its pose error.

A submission is a JSON object from each head's ``item_id`` to ``{"68_landmarks_2d": [], "N_landmarks_3d": [],
"7_landmarks_3d": [], "rotation_matrix": 3x3}``. The matrix is R head to camera, which is the benchmark's own convention
(:mod:`semiuhpe.rotation`). The lists of landmarks stay empty, so the submission takes no part in those tasks. The
labels of the split ``test`` are not published; the benchmark's server computes its numbers. The pose error on ``val``
is computed here.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from torch import Tensor
from tqdm import tqdm

from semiuhpe.augment.views import plain_view
from semiuhpe.data.batches.heads import HeadBatch, batches_in_order, ordered_batches
from semiuhpe.data.batches.workers import load
from semiuhpe.data.crop import crop_by_box
from semiuhpe.data.importers.base import Picture, RawHead
from semiuhpe.data.importers.dad3dheads import Dad3DHeads
from semiuhpe.data.preparing.common import DROPPED_FILE, read_image
from semiuhpe.data.preparing.heads import TEST_SIZE
from semiuhpe.data.stores import HeadStore, is_store
from semiuhpe.errors import DataError, StoreError
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.paper_protocol import paper_summary
from semiuhpe.evaluation.predict import LABEL_TOLERANCE, check_labels, evaluation_view
from semiuhpe.evaluation.results import write_result
from semiuhpe.files import parse_json
from semiuhpe.rotation import is_rotation

IMPORTER = Dad3DHeads()
SPLITS = ("test", "val")
ROTATION = "rotation_matrix"
EMPTY = ("68_landmarks_2d", "N_landmarks_3d", "7_landmarks_3d")
TOLERANCE = 1e-5
_NAMED_ITEMS = 5


@dataclass(frozen=True)
class StoredItems:
    """The items of a split, from a head store."""

    store: HeadStore

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.store.names]

    def truth(self) -> Tensor:
        """The true rotations (N, 3, 3); StoreError if the store has no labels."""
        check_labels(self.store)
        return torch.from_numpy(self.store.truth)

    def views(self, size: int, device: torch.device, batch_size: int, num_workers: int) -> Iterator[Tensor]:
        """Yield network inputs (B, 3, size, size), in the order of the names."""
        for batch in ordered_batches(self.store, batch_size, num_workers):
            yield evaluation_view(batch.to(device), self.store, size)


@dataclass(frozen=True)
class RawItems:
    """The items of a split, from the raw dataset, cropped as ``semiuhpe prepare`` does."""

    pictures: Sequence[Picture]
    heads: Sequence[RawHead]

    @property
    def names(self) -> list[str]:
        return [head.name for head in self.heads]

    def truth(self) -> Tensor:
        """The true rotations (N, 3, 3); DataError if a label is not a rotation."""
        rotations = [head.rotation for head in self.heads if head.rotation is not None]
        if len(rotations) < len(self.heads):
            raise DataError(f"{len(self.heads) - len(rotations)} of {len(self.heads)} items have no labels")
        rotation = torch.from_numpy(np.stack(rotations))
        wrong = (~is_rotation(rotation, LABEL_TOLERANCE)).nonzero()[:, 0].tolist()
        if wrong:
            raise DataError(
                f"the labels of {len(wrong)} items are not rotations ({_named([self.names[i] for i in wrong])})"
            )
        return roma.special_procrustes(rotation)

    def views(self, size: int, device: torch.device, batch_size: int, num_workers: int) -> Iterator[Tensor]:
        """Yield network inputs as :meth:`StoredItems.views` does; DataError if a picture or a box can't be used."""
        for batch in load(self._crops, batches_in_order(len(self.heads), batch_size), num_workers, pin=True):
            yield plain_view(batch.to(device), size)

    def _crops(self, rows: Sequence[int]) -> HeadBatch:
        crops = torch.from_numpy(np.stack([self._crop(row) for row in rows]))
        whole = torch.tensor([0.0, 0.0, TEST_SIZE, TEST_SIZE]).repeat(len(crops), 1)
        return HeadBatch(crops.permute(0, 3, 1, 2), whole, whole)

    def _crop(self, row: int) -> np.ndarray:
        """Return the (224, 224, 3) uint8 crop of an item; DataError if it can't be made."""
        picture, box = self.pictures[row], self.heads[row].box
        message = "; a submission needs every item, so none is written"
        if box is None:
            raise DataError(f"{picture.image}: has no head box{message}")
        try:
            return crop_by_box(read_image(picture), box, size=TEST_SIZE)
        except DataError as error:
            where = "" if str(picture.image) in str(error) else f"{picture.image}: "
            raise DataError(f"{where}{error}{message}") from error


Items = StoredItems | RawItems


def open_items(source: Path, split: str) -> Items:
    """Open all items of a split, from a head store or from the raw dataset.

    Raises:
        DataError: the raw dataset is incomplete.
        StoreError: the store is of another dataset or split, or lacks items.
    """
    if is_store(source):
        store = HeadStore(source)
        _check_store(store, split)
        items: Items = StoredItems(store)
    else:
        items = _raw_items(source, split)
    names = items.names
    if not names:
        raise DataError(f"{source}: has no items of the split {split}")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{source}: {len(twice)} items are there more than once ({_named(twice)})")
    return items


def _raw_items(source: Path, split: str) -> RawItems:
    pictures = IMPORTER.pictures(source, split)
    missing = [str(picture.file) for picture in pictures if not picture.file.is_file()]
    if missing:
        raise DataError(f"{source}: pictures of {len(missing)} items are missing ({_named(missing)})")
    heads = [
        head for picture in tqdm(pictures, desc="reading labels", disable=None) for head in IMPORTER.heads(picture)
    ]
    return RawItems(pictures, heads)


def _check_store(store: HeadStore, split: str) -> None:
    meta = store.meta
    if meta["dataset"] != IMPORTER.name or meta["split"] != split:
        raise StoreError(
            f"{store.path}: holds {meta['dataset']} ({meta['split']}), not {IMPORTER.name} ({split}); pass another "
            f"--source, or make one with `semiuhpe prepare {IMPORTER.name} --source RAW --split {split} --out STORE`"
        )
    dropped = _dropped(store.path / DROPPED_FILE)
    if meta["settings"].get("limit") or dropped:
        why = f"{len(dropped)} were dropped: {_named(dropped)}" if dropped else "it was made with --limit"
        raise StoreError(f"{store.path}: doesn't hold all items of {split} ({why}); a submission needs every one")


def _dropped(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED_ITEMS]) + ("" if len(names) <= _NAMED_ITEMS else ", ...")


def submission(names: Sequence[str], rotation: Tensor) -> dict[str, dict[str, Any]]:
    """Return the benchmark's JSON object for items and their (N, 3, 3) predictions, head to camera."""
    exact = roma.special_procrustes(rotation.double())
    return {
        name: {**{key: [] for key in EMPTY}, ROTATION: matrix}
        for name, matrix in zip(names, exact.tolist(), strict=True)
    }


def write_submission(path: Path, names: Sequence[str], rotation: Tensor) -> None:
    """Write a submission and check the file.

    Raises:
        DataError: the file can't be written, or its content is not valid.
    """
    write_result(path, json.dumps(submission(names, rotation), allow_nan=False).encode())
    check_submission(path, names)


def check_submission(path: Path, names: Sequence[str]) -> None:
    """Raise DataError unless a file is a submission of exactly these items, each matrix a rotation to 1e-5."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: is not a JSON object from item_id to prediction")
    missing, unknown = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if missing or unknown:
        raise DataError(f"{path}: lacks {len(missing)} items ({_named(missing)}) and has {len(unknown)} unknown ones")
    for name, prediction in found.items():
        if not isinstance(prediction, Mapping) or set(prediction) != {*EMPTY, ROTATION}:
            raise DataError(f"{path}: {name} doesn't have the keys {', '.join((*EMPTY, ROTATION))}")
        try:
            matrix = torch.tensor(prediction[ROTATION], dtype=torch.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: the {ROTATION} of {name} is not numbers") from error
        if matrix.shape != (3, 3) or not is_rotation(matrix, TOLERANCE):
            raise DataError(f"{path}: the {ROTATION} of {name} is not a rotation")


def pose_error(rotation: Tensor, truth: Tensor) -> dict[str, dict[str, float]]:
    """Return the benchmark's errors: mean Frobenius norm of I - R1 R2^T and mean angle, exact and as in the paper."""
    keys = ("frobenius_mean", "geodesic_mean_deg")
    exact, paper = summarize(pose_errors(rotation, truth)), paper_summary(rotation, truth, None, full_range=True)
    return {"exact": {key: exact[key] for key in keys}, "paper": {key: paper[key] for key in keys}}
