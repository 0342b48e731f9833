"""From a raw dataset to a head store: what all importers share."""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from roma import special_procrustes
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from semiuhpe.data.crop import box_rectangle, landmark_box, landmark_rectangle
from semiuhpe.data.importers import Dropped, Importer, Picture, RawHead
from semiuhpe.data.loading import forking_workers, own_process_group
from semiuhpe.data.store_writer import JPEG_QUALITY, StoredCrop, StoreWriter, store_crop, store_meta, store_whole
from semiuhpe.errors import DataError, StoreError
from semiuhpe.rotation import euler_to_matrix, is_rotation

logger = logging.getLogger(__name__)

TEST_SIZE = 224
TRAIN_SIZE = 320
ROTATION_TOLERANCE = 1e-3
"""Labels that are a rotation up to rounding are made one; others are errors."""
DROPPED_FILE = "dropped.csv"


@dataclass(frozen=True)
class CropSettings:
    """How heads are stored.

    Attributes:
        loose: keep the loosest crop that training draws from, as JPEG, instead of the protocol's own one, lossless.
        size: side of the protocol's crop, or the largest side of a loose one, in pixels.
        quality: of the JPEG.
    """

    loose: bool
    size: int
    quality: int


@dataclass
class Summary:
    """What became of a raw dataset: heads kept and what was changed about them, and heads dropped."""

    kept: int = 0
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
        lines = [f"{self.kept} {what} kept{complete}"]
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


def prepare(
    importer: Importer,
    source: Path,
    out: Path,
    split: str,
    *,
    size: int | None = None,
    quality: int = JPEG_QUALITY,
    limit: int | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> Summary:
    """Writes the head store of one split of a raw dataset.

    The split ``train`` holds the loosest crop that training draws from, as JPEG, with the head's place in it. Other
    splits hold the protocol's own crop, lossless. ``dropped.csv`` in the store lists what was dropped and why.

    Args:
        importer, source, out, split: which dataset, where it is, where the store goes, and which part of it.
        size: side of the stored crops in pixels, the largest one of loose crops; 224, or 320 for loose ones.
        quality: of the JPEG of loose crops.
        limit: keep the first heads only.
        workers: processes that read and crop; with 0 this process does.
        overwrite: replace a store that is there.

    Raises:
        DataError: the source is not that dataset.
        StoreError: the target exists or can't be written, or nothing was kept.
    """
    if not source.exists():
        raise DataError(f"--source {source}: there is no such file or folder")
    loose = split == "train"
    settings = CropSettings(loose, size or (TRAIN_SIZE if loose else TEST_SIZE), quality)
    meta = store_meta(
        dataset=importer.NAME,
        split=split,
        size=settings.size,
        protocol=importer.PROTOCOL,
        loose=loose,
        full_range=importer.FULL_RANGE,
        source=str(source),
        settings={"quality": quality if loose else None, "limit": limit},
    )
    summary = Summary(expected=None if limit else importer.COUNTS.get(split))
    with StoreWriter(out, meta, overwrite) as writer:
        for result in _results(importer, importer.pictures(source, split), settings, workers):
            if isinstance(result, Dropped):
                summary.dropped.append(result)
                continue
            writer.add(result.name, result.crop, result.rotation, result.euler_deg, result.attributes)
            summary.kept += 1
            summary.notes.update(result.notes)
            if summary.kept == limit:
                break
        if not summary.kept:
            raise StoreError("\n".join([f"{out}: no head was kept, so no store is written", *summary.lines()[1:]]))
        writer.add_file(DROPPED_FILE, summary.table())
    return summary


@dataclass(frozen=True)
class CroppedHead:
    """A head as it goes into a store."""

    name: str
    crop: StoredCrop
    rotation: np.ndarray | None
    euler_deg: np.ndarray | None
    attributes: dict[str, str]
    notes: tuple[str, ...]


class _Pictures(Dataset):
    """All heads of one picture are one item."""

    def __init__(self, importer: Importer, pictures: Sequence[Picture], settings: CropSettings):
        self.importer, self.pictures, self.settings = importer, pictures, settings

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> list[CroppedHead | Dropped]:
        return crop_heads(self.importer, self.pictures[index], self.settings)


def _results(
    importer: Importer, pictures: Sequence[Picture], settings: CropSettings, workers: int
) -> Iterator[CroppedHead | Dropped]:
    loader = DataLoader(
        _Pictures(importer, pictures, settings),
        batch_size=None,
        num_workers=workers,
        collate_fn=_identity,
        worker_init_fn=own_process_group,
        multiprocessing_context="fork" if workers else None,  # an importer is a module, which can't be pickled
    )
    with forking_workers():
        results = iter(loader)  # the workers are forked here
    for heads in tqdm(results, desc=f"preparing {importer.NAME}", unit="picture", disable=None):
        yield from heads


def _identity(heads: list[CroppedHead | Dropped]) -> list[CroppedHead | Dropped]:
    return heads


def crop_heads(importer: Importer, picture: Picture, settings: CropSettings) -> list[CroppedHead | Dropped]:
    """All heads of one picture: cropped, or dropped with a reason. The picture is only decoded if a head is on it."""
    try:
        found = list(importer.heads(picture))
    except DataError as error:
        return [Dropped(printable(picture.name), printable(str(error)), broken=True)]
    image = None
    results: list[CroppedHead | Dropped] = []
    for head in found:
        if isinstance(head, RawHead) and head.box is not None and 0 < min(head.box[2:]) < importer.MIN_SIZE:
            head = Dropped(head.name, f"smaller than {importer.MIN_SIZE:g} px")
        if isinstance(head, RawHead):
            try:
                image = read_image(picture) if image is None else image
                head = _crop(importer, image, head, settings)
            except DataError as error:
                head = Dropped(head.name, printable(str(error)), broken=True)
        results.append(replace(head, name=printable(head.name)))
    return results


def printable(text: str) -> str:
    """Names of files need not be valid text; what can't be printed is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _crop(importer: Importer, image: np.ndarray, head: RawHead, settings: CropSettings) -> CroppedHead:
    rotation = rotation_of(head)
    quality = settings.quality if settings.loose else None
    if head.landmarks is None and head.box is None:
        size = min(settings.size, max(image.shape[:2])) if settings.loose else settings.size
        crop = store_whole(image, size, quality)
    else:
        protocol = importer.PROTOCOL
        margin = protocol.margin_range[1] if settings.loose else protocol.margin
        height, width = image.shape[:2]
        if protocol.by_extent:
            box, rectangle = landmark_box(head.landmarks), landmark_rectangle(head.landmarks, margin, width, height)
        else:
            box, rectangle = head.box, box_rectangle(head.box, margin, width, height, protocol)
        size = min(settings.size, rectangle.right - rectangle.left) if settings.loose else settings.size
        crop = store_crop(image, rectangle, box, size, quality)
    return CroppedHead(head.name, crop, rotation, head.euler_deg, dict(head.attributes), head.notes)


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
    try:
        with Image.open(picture.image) as image:
            turned = ImageOps.exif_transpose(image) if picture.upright else image
            return np.asarray(turned.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{picture.image}: is missing") from error
    except Exception as error:  # Pillow's readers fail on broken files in ways without a common base
        raise DataError(f"{picture.image}: can't be decoded ({error})") from error
