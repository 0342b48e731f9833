"""From a raw dataset to a head store."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from semiuhpe.data.crop import (
    JPEG_QUALITY,
    StoredCrop,
    box_rectangle,
    encode,
    landmark_box,
    landmark_rectangle,
    store_crop,
    store_whole,
)
from semiuhpe.data.importers import Dropped, Importer, Picture, RawHead
from semiuhpe.data.preparing.common import (
    Summary,
    check_source,
    chosen,
    fill_store,
    heads_of,
    printable,
    read_image,
    rotation_of,
)
from semiuhpe.data.stores import HeadStore, StoredHead, StoreWriter, head_meta
from semiuhpe.errors import DataError, require

TEST_SIZE = 224
TRAIN_SIZE = 320


@dataclass(frozen=True)
class CropSettings:
    """How heads are stored.

    Attributes:
        loose: keep the loosest crop that training draws from, as JPEG, instead of the protocol's own one, lossless.
        size: side of the protocol's crop, or the largest side of a loose one, in pixels.
        quality: of the JPEG.
        whole: keep the pictures as they are, whatever the rest says.
    """

    loose: bool
    size: int
    quality: int
    whole: bool = False


def prepare(
    dataset: str | Importer,
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    split: str | None = None,
    size: int | None = None,
    quality: int = JPEG_QUALITY,
    limit: int | None = None,
    workers: int = 0,
    overwrite: bool = False,
    whole: bool = False,
) -> Summary:
    """Write the head store of one split of a raw dataset.

    The split ``train`` holds the loosest crop that training draws from, as JPEG, with the head's place in it. Other
    splits hold the protocol's own crop, lossless. With ``whole`` there are no crops: the store has the source's
    pictures, and what each crop rule of an evaluation starts from. ``dropped.csv`` in the store lists what was dropped
    and why.

    Args:
        dataset: its name, such as ``300WLP``, or its importer.
        source: the raw dataset as it was downloaded.
        out: the store to write.
        split: which part of it; the dataset's first one if None.
        size: side of the stored crops in pixels, the largest one of loose crops; 224, or 320 for loose ones.
        quality: of the JPEG of loose crops, 1 to 100.
        limit: keep the first heads only.
        workers: processes that read and crop; with 0 this process does.
        overwrite: replace a store that is there.
        whole: store whole pictures, for evaluations that crop each head as a network needs it. ``size`` is not for
            them: they keep theirs.

    Raises:
        ConfigError: there is no such dataset or split, or an argument is out of its range.
        DataError: the source is not that dataset.
        StoreError: the target exists or can't be written, or nothing was kept.
    """
    importer, split = chosen(dataset, split)
    source = Path(source)
    check_source(source, quality, size, limit)
    require(not whole or size is None, f"--size {size}: whole pictures keep their size; leave it out")
    loose = split == "train" and not whole
    settings = CropSettings(loose, size or (TRAIN_SIZE if loose else TEST_SIZE), quality, whole)
    meta = head_meta(
        dataset=importer.name,
        split=split,
        size=0 if whole else settings.size,
        crop_rule=importer.crop_rule,
        loose=loose,
        full_range=importer.full_range,
        source=str(source),
        settings={"quality": quality if loose else None, "limit": limit},
        whole=whole,
    )
    partial = limit or source.is_file() or (whole and importer.limit_deg is not None)  # a file lists what to use
    complete = None if partial else importer.counts.get(split)
    summary = Summary("head", expected=complete)

    def crop(picture: Picture, _: int) -> list[StoredHead | Dropped]:
        return crop_heads(importer, picture, settings)

    writer = StoreWriter(out, meta, overwrite)
    fill_store(writer, importer, source, split, crop, summary, limit=limit, workers=workers)
    summary.labeled = HeadStore(out).meta["labelled"]
    return summary


def crop_heads(importer: Importer, picture: Picture, settings: CropSettings) -> list[StoredHead | Dropped]:
    """Return all heads of one picture: cropped, or dropped with a reason.

    The picture is only decoded if a head is on it.
    """
    try:
        found = heads_of(importer, picture, beyond_limit=settings.whole)
    except DataError as error:
        return [Dropped(printable(picture.name), printable(str(error)), broken=True)]
    image, encoded = None, b""
    results: list[StoredHead | Dropped] = []
    for head in found:
        result: StoredHead | Dropped
        if isinstance(head, Dropped):
            result = head
        elif head.box is not None and _is_small(head.box, importer.min_size):
            result = Dropped(head.name, f"smaller than {importer.min_size:g} px")
        else:
            try:
                image = read_image(picture) if image is None else image
                if settings.whole:
                    encoded = encoded or _original_bytes(picture, image)
                    result = _whole(encoded, image, head)
                else:
                    result = _crop(importer, image, head, settings)
            except DataError as error:
                result = Dropped(head.name, printable(str(error)), broken=True)
        results.append(replace(result, name=printable(result.name)))
    return results


def _is_small(box: np.ndarray, least: float) -> bool:
    """Tell whether a box x, y, w, h is too small; one of 0 x 0 is, one without width or height alone is broken."""
    smaller, larger = sorted(box[2:])
    return 0 < smaller < least or 0 == larger < least


def _crop(importer: Importer, image: np.ndarray, head: RawHead, settings: CropSettings) -> StoredHead:
    rotation = rotation_of(head)
    quality = settings.quality if settings.loose else None
    if head.landmarks is None and head.box is None:
        size = min(settings.size, max(image.shape[:2])) if settings.loose else settings.size
        crop = store_whole(image, size, quality)
    else:
        crop_rule = importer.crop_rule
        margin = crop_rule.margin_range[1] if settings.loose else crop_rule.margin
        height, width = image.shape[:2]
        if crop_rule.by_extent and head.landmarks is not None:
            box, rectangle = landmark_box(head.landmarks), landmark_rectangle(head.landmarks, margin, width, height)
        elif not crop_rule.by_extent and head.box is not None:
            box, rectangle = head.box, box_rectangle(head.box, margin, width, height, crop_rule)
        else:
            raise DataError(f"has no {'landmarks' if crop_rule.by_extent else 'box'}, by which it would be cropped")
        size = min(settings.size, rectangle.right - rectangle.left) if settings.loose else settings.size
        crop = store_crop(image, rectangle, box, size, quality)
    return StoredHead(head.name, crop, rotation, head.euler_deg, dict(head.attributes), head.notes)


def _whole(encoded: bytes, image: np.ndarray, head: RawHead) -> StoredHead:
    """Return a head on the whole picture. One with landmarks, but without the 68, gets NaN in their place."""
    height, width = image.shape[:2]
    whole = np.array([0.0, 0.0, width, height])
    box = head.box
    if box is None:
        box = whole if head.landmarks is None else landmark_box(head.landmarks)
    landmarks68, extent = head.landmarks68, None
    if head.landmarks is not None:
        first, last = head.landmarks.min(axis=0), head.landmarks.max(axis=0)
        extent = np.concatenate([first, last - first])
        if landmarks68 is None:
            landmarks68 = head.landmarks if len(head.landmarks) == 68 else np.full((68, 2), np.nan)
    crop = StoredCrop(encoded, np.asarray(box, np.float64), whole)
    labels = (rotation_of(head), head.euler_deg, dict(head.attributes), head.notes)
    return StoredHead(head.name, crop, *labels, landmarks68, extent)


def _original_bytes(picture: Picture, image: np.ndarray) -> bytes:
    """Return the bytes of a picture's file if stores decode them to just these pixels, else those of a PNG."""
    if isinstance(picture.image, Path):
        content = picture.image.read_bytes()
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        if decoded is not None and np.array_equal(decoded, image):
            return content
    return encode(image)
