"""From a raw dataset to a store: what stores of heads and of whole scenes share."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from roma import special_procrustes
from tqdm import tqdm

from semiuhpe.data.batches.workers import map_in_workers
from semiuhpe.data.importers import IMPORTERS, Dropped, Importer, Picture, RawHead
from semiuhpe.data.stores import StoreWriter
from semiuhpe.data.stores.base import StoredItem
from semiuhpe.errors import ConfigError, DataError, StoreError
from semiuhpe.files import csv_text
from semiuhpe.pictures import read_picture
from semiuhpe.rotation import euler_to_matrix, is_rotation

ROTATION_TOLERANCE = 1e-3
"""Labels that are a rotation up to rounding are made one; others are errors."""
DROPPED_FILE = "dropped.csv"


@dataclass
class Summary:
    """What became of a raw dataset.

    Attributes:
        item: what is counted, a ``head`` or a ``picture``.
        kept: how many are stored.
        labeled: whether these have rotations; None where all have.
        expected: how many a complete copy of the dataset gives, where that is known.
        notes: what was changed about those kept, and how often.
        dropped: what was left out or can't be read, and why.
    """

    item: str
    kept: int = 0
    labeled: bool | None = None
    expected: int | None = None
    notes: Counter = field(default_factory=Counter)
    dropped: list[Dropped] = field(default_factory=list)

    @property
    def broken(self) -> list[Dropped]:
        """The heads that should be there but can't be read."""
        return [head for head in self.dropped if head.broken]

    def lines(self) -> list[str]:
        """Return what to print of it."""
        complete = "" if self.expected is None else f"; a complete copy gives {self.expected}"
        labels = {True: ", with labels", False: ", without labels", None: ""}[self.labeled]
        lines = [f"{self.kept} {self.item}s kept{labels}{complete}"]
        lines += [f"{count} of them: {note}" for note, count in self.notes.most_common()]
        left_out = Counter(head.reason for head in self.dropped if not head.broken)
        lines += [f"{count} left out: {reason}" for reason, count in left_out.most_common()]
        return lines + [f"broken: {head.name}: {head.reason}" for head in self.broken]

    def table(self) -> str:
        """Return all that was dropped as CSV."""
        rows = ((head.name, head.reason, int(head.broken)) for head in self.dropped)
        return csv_text([("name", "reason", "broken"), *rows])


def chosen(dataset: str | Importer, split: str | None) -> tuple[Importer, str]:
    """Return the importer of a dataset, which may be named, and the split, the first one if none is named.

    Raises:
        ConfigError: there is no such dataset or split.
    """
    if isinstance(dataset, str) and dataset not in IMPORTERS:
        raise ConfigError(f"dataset {dataset}: is unknown; there are {', '.join(IMPORTERS)}")
    importer = IMPORTERS[dataset] if isinstance(dataset, str) else dataset
    if split and split not in importer.splits:
        raise ConfigError(f"--split {split}: {importer.name} has the splits {', '.join(importer.splits)}")
    return importer, split or importer.splits[0]


def check_source(source: Path, quality: int, size: int | None, limit: int | None) -> None:
    """Raise DataError if the raw dataset is missing, ConfigError if a number is out of its range.

    The importer says whether it is the right dataset.
    """
    for name, value in (("size", size), ("limit", limit)):
        if value is not None and value < 1:
            raise ConfigError(f"--{name} {value}: is not positive")
    if not 1 <= quality <= 100:
        raise ConfigError(f"--quality {quality}: must lie in 1 to 100")
    if not source.exists():
        raise DataError(f"--source {source}: there is no such file or folder")


def fill_store(
    writer: StoreWriter,
    importer: Importer,
    source: Path,
    split: str,
    work: Callable[[Picture, int], Iterable[StoredItem | Dropped]],
    summary: Summary,
    *,
    limit: int | None,
    workers: int,
) -> Summary:
    """Make a store of a raw dataset, with a progress bar; what was dropped is listed in ``dropped.csv``.

    Args:
        writer: of the store.
        importer, source, split: whose pictures are listed.
        work: what to store of a picture and its number, or to drop; called in the worker processes, or in this one
            where there are none.
        summary: counts what is kept and dropped, and is returned.
        limit: stop after as many are kept; None for all.
        workers: how many.

    Raises:
        DataError: the source is not that dataset.
        StoreError: the store can't be written, or nothing was kept.
    """
    with writer:
        pictures = importer.pictures(source, split)
        results = map_in_workers(lambda index: list(work(pictures[index], index)), range(len(pictures)), workers)
        progress = tqdm(results, total=len(pictures), desc=f"preparing {importer.name}", unit="picture", disable=None)
        for result in chain.from_iterable(progress):
            if isinstance(result, Dropped):
                summary.dropped.append(result)
                continue
            writer.add(result)
            summary.kept += 1
            summary.notes.update(result.notes)
            if summary.kept == limit:
                break
        if not summary.kept:
            lines = [f"{writer.path}: no {summary.item} was kept, so no store is written", *summary.lines()[1:]]
            raise StoreError("\n".join(lines))
        writer.add_file(DROPPED_FILE, summary.table())
    return summary


def printable(text: str) -> str:
    """Return a name with what can't be printed escaped: names of files need not be valid text."""
    return text.encode("utf-8", "backslashreplace").decode()


def heads_of(importer: Importer, picture: Picture, beyond_limit: bool = False) -> list[RawHead | Dropped]:
    """Return all heads on a picture; those beyond the dataset's limit of angles are dropped, unless they are asked for.

    Raises:
        DataError: the picture's labels can't be read.
    """
    limit = importer.limit_deg
    heads: list[RawHead | Dropped] = []
    for head in importer.heads(picture):
        if isinstance(head, Dropped) or beyond_limit or limit is None or head.euler_deg is None:
            heads.append(head)
        elif (np.abs(head.euler_deg) > limit).any():
            heads.append(Dropped(head.name, f"an angle beyond {limit:g} degrees"))
        else:
            heads.append(head)
    return heads


def rotation_of(head: RawHead) -> np.ndarray | None:
    """Return the (3, 3) rotation head to camera of a head's labels; DataError if they are not a rotation."""
    if head.rotation is not None:
        rotation = torch.from_numpy(np.asarray(head.rotation, dtype=np.float64))
        if not is_rotation(rotation, ROTATION_TOLERANCE):
            raise DataError(f"its label is not a rotation: {head.rotation.tolist()}")
        return special_procrustes(rotation).numpy()
    if head.euler_deg is None:
        return None
    if not np.isfinite(head.euler_deg).all():
        raise DataError(f"its Euler angles are not finite: {np.asarray(head.euler_deg).tolist()}")
    return euler_to_matrix(torch.from_numpy(np.asarray(head.euler_deg, dtype=np.float64))).numpy()


def read_image(picture: Picture) -> np.ndarray:
    """Return a listed picture, (H, W, 3) uint8 RGB; DataError if it can't be decoded."""
    if isinstance(picture.image, np.ndarray):
        return picture.image
    if callable(picture.image):
        return picture.image()
    return read_picture(picture.image, picture.upright, reduce=False).image
