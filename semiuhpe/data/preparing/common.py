"""From a raw dataset to a store: what stores of heads and of whole scenes share."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from roma import special_procrustes
from tqdm import tqdm

from semiuhpe.data.batches.workers import map_in_workers
from semiuhpe.data.importers import Dropped, Picture, RawHead
from semiuhpe.data.stores.writer import StoreWriter
from semiuhpe.errors import DataError, StoreError
from semiuhpe.pictures import read_picture
from semiuhpe.rotation import euler_to_matrix, is_rotation

ROTATION_TOLERANCE = 1e-3
"""Labels that are a rotation up to rounding are made one; others are errors."""
DROPPED_FILE = "dropped.csv"

Result = TypeVar("Result")


class Noted(Protocol):
    """What goes into a store, with notes on what was changed about it."""

    @property
    def notes(self) -> tuple[str, ...]: ...


Kept = TypeVar("Kept", bound=Noted)


@dataclass
class Summary:
    """What became of a raw dataset: heads kept and what was changed about them, and heads dropped.

    ``labeled`` says whether those kept have rotations; None where it isn't counted.
    """

    kept: int = 0
    labeled: bool | None = None
    expected: int | None = None
    notes: Counter = field(default_factory=Counter)
    dropped: list[Dropped] = field(default_factory=list)

    @property
    def broken(self) -> list[Dropped]:
        """The heads that should be there but can't be read."""
        return [head for head in self.dropped if head.broken]

    def lines(self, what: str = "heads") -> list[str]:
        """What to tell of it; ``what`` is counted."""
        complete = "" if self.expected is None else f"; a complete copy gives {self.expected}"
        labels = {True: ", with labels", False: ", without labels", None: ""}[self.labeled]
        lines = [f"{self.kept} {what} kept{labels}{complete}"]
        lines += [f"{count} of them: {note}" for note, count in self.notes.most_common()]
        left_out = Counter(head.reason for head in self.dropped if not head.broken)
        lines += [f"{count} left out: {reason}" for reason, count in left_out.most_common()]
        return lines + [f"broken: {head.name}: {head.reason}" for head in self.broken]

    def table(self) -> str:
        """All dropped heads as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("name", "reason", "broken"))
        writer.writerows((head.name, head.reason, int(head.broken)) for head in self.dropped)
        return text.getvalue()


def check_source(source: Path) -> None:
    """Raises DataError if the raw dataset is missing; the importer says whether it is the right one."""
    if not source.exists():
        raise DataError(f"--source {source}: there is no such file or folder")


def each_picture(
    name: str, pictures: Sequence[Picture], work: Callable[[Picture, int], Result], workers: int
) -> Iterator[Result]:
    """What is made of each picture and its number, in order, with a progress bar.

    Args:
        name: of the dataset.
        pictures: of it.
        work: called in the worker processes, or in this one where there are none.
        workers: how many.
    """
    count = len(pictures)
    results = map_in_workers(lambda index: work(pictures[index], index), range(count), workers)
    yield from tqdm(results, total=count, desc=f"preparing {name}", unit="picture", disable=None)


def fill_store(
    writer: StoreWriter,
    results: Iterable[Kept | Dropped],
    add: Callable[[Kept], None],
    summary: Summary,
    limit: int | None,
    what: str,
) -> None:
    """Puts what was made of a raw dataset into a store and counts it; what was dropped goes into ``dropped.csv``.

    Args:
        writer: of the store.
        results: to be stored, or dropped.
        add: stores one.
        summary: counts them.
        limit: stop after as many; None for all.
        what: is stored, a head or a picture.

    Raises:
        StoreError: nothing was kept, or the disk is full.
    """
    for result in results:
        if isinstance(result, Dropped):
            summary.dropped.append(result)
            continue
        add(result)
        summary.kept += 1
        summary.notes.update(result.notes)
        if summary.kept == limit:
            break
    if not summary.kept:
        lines = [f"{writer.path}: no {what} was kept, so no store is written", *summary.lines()[1:]]
        raise StoreError("\n".join(lines))
    writer.add_file(DROPPED_FILE, summary.table())


def printable(text: str) -> str:
    """Names of files need not be valid text; what can't be printed is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def rotation_of(head: RawHead) -> np.ndarray | None:
    """(3, 3) head to camera of a head's labels; DataError if they are not a rotation."""
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
    """(H, W, 3) uint8 RGB of a listed picture; DataError if it can't be decoded."""
    if isinstance(picture.image, np.ndarray):
        return picture.image
    if callable(picture.image):
        return picture.image()
    return read_picture(picture.image, picture.upright, reduce=False).image
