"""From a raw dataset to a head store: what all importers share."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from semiuhpe.data.crop import box_in_crop, box_rectangle, cut, landmark_box, landmark_rectangle
from semiuhpe.data.importers import Dropped, Importer, RawHead
from semiuhpe.data.store import StoreWriter, encode_jpeg, encode_png
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix

logger = logging.getLogger(__name__)

TEST_SIZE = 224
TRAIN_SIZE = 320


@dataclass
class Summary:
    """What became of a raw dataset: heads kept, heads left out by reason, and heads that could not be read."""

    kept: int = 0
    left_out: Counter = field(default_factory=Counter)
    broken: list[Dropped] = field(default_factory=list)

    def lines(self) -> list[str]:
        lines = [f"{self.kept} heads kept"]
        lines += [f"{count} left out: {reason}" for reason, count in self.left_out.most_common()]
        lines += [f"broken: {head.name}: {head.reason}" for head in self.broken]
        return lines


def prepare(importer: Importer, source: Path, out: Path, split: str, overwrite: bool = False) -> Summary:
    """Writes the head store of one split of a raw dataset.

    Test splits hold the protocol's own crop of 224 px, lossless. Training splits hold the loosest crop that training
    draws from, as JPEG of at most 320 px, with the head's place in it.

    Raises:
        DataError: the source is not that dataset.
        StoreError: the target exists or can't be written, or nothing was kept.
    """
    if not source.is_dir():
        raise DataError(f"--source {source}: there is no such folder")
    loose = split == "train"
    meta = {
        "dataset": importer.NAME,
        "split": split,
        "size": TRAIN_SIZE if loose else TEST_SIZE,
        "protocol": importer.PROTOCOL.name,
        "loose": loose,
        "labelled": True,
        "full_range": importer.FULL_RANGE,
        "source": str(source),
        "settings": {},
    }
    summary = Summary()
    with StoreWriter(out, meta, overwrite) as writer:
        for head in tqdm(importer.heads(source, split), desc=f"preparing {importer.NAME}", disable=None):
            if isinstance(head, RawHead):
                try:
                    _add(writer, head, importer, loose)
                    summary.kept += 1
                    continue
                except DataError as error:
                    head = Dropped(head.name, str(error), broken=True)
            if head.broken:
                summary.broken.append(head)
            else:
                summary.left_out[head.reason] += 1
    return summary


def _add(writer: StoreWriter, head: RawHead, importer: Importer, loose: bool) -> None:
    image = read_image(head.image)
    protocol = importer.PROTOCOL
    margin = protocol.margin_range[1] if loose else protocol.margin
    height, width = image.shape[:2]
    if protocol.by_extent:
        box, rectangle = landmark_box(head.landmarks), landmark_rectangle(head.landmarks, margin, width, height)
    else:
        box, rectangle = head.box, box_rectangle(head.box, margin, width, height, protocol)
    size = min(TRAIN_SIZE, rectangle.right - rectangle.left) if loose else TEST_SIZE
    crop = cut(image, rectangle, size)
    labels = {}
    if head.euler_deg is not None:
        rotation = euler_to_matrix(torch.from_numpy(np.asarray(head.euler_deg, dtype=np.float64)))
        labels = {"euler_deg": head.euler_deg, "rotation": rotation.numpy()}
    writer.add(encode_jpeg(crop) if loose else encode_png(crop), head.name, box_in_crop(box, rectangle, size), **labels)


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file; DataError if it can't be decoded."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: can't be decoded ({error})") from error
