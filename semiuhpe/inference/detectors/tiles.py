"""Detection of heads on large pictures: in overlapping tiles at full size as well as in the whole picture.

Detectors shrink pictures to the size that they work at, so small heads on large pictures are lost. A head that fits
into the overlap of two tiles is complete in one of them at least; larger ones are found in the whole picture.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from semiuhpe.errors import ConfigError, require
from semiuhpe.inference.detectors.base import Detections, Detector, Source, best_of
from semiuhpe.inference.detectors.boxes_file import GIVEN, WHOLE, GivenBoxes, WholePicture

SIDE, OVERLAP = 1024, 256
"""Side of a tile and minimum overlap of neighbors, in pixels."""
CUT = 0.1
"""A box is cut by a tile's border if it ends within this share of its side from it: boxes of cut heads are unsure."""
LOOKED_UP = (GIVEN, WHOLE)
"""Kinds that don't look at the picture."""


class Tile(NamedTuple):
    """A part of a picture, in its pixels; right and bottom are excluded."""

    left: int
    top: int
    right: int
    bottom: int


class TiledDetector(Detector):
    """Finds heads with another detector in a picture and in its tiles. Pictures that are one tile take one pass.

    Bodies, where the detector finds them, are as far as the tile shows them.

    Args:
        detector: finds the heads on each.
        side: side of a tile in pixels.
        overlap: minimum overlap of neighbors in pixels.

    Raises:
        ConfigError: the detector doesn't look at pictures, or the overlap is not less than the side.
    """

    def __init__(self, detector: Detector, side: int = SIDE, overlap: int = OVERLAP) -> None:
        require(0 <= overlap < side, f"tiles of {side} px can't overlap by {overlap} px; name less than their side")
        if isinstance(detector, GivenBoxes | WholePicture):
            raise _nothing_to_find(GIVEN if isinstance(detector, GivenBoxes) else WHOLE)
        self.detector, self.side, self.overlap = detector, side, overlap
        self.crop_rule = detector.crop_rule

    def remarks(self) -> list[str]:
        return self.detector.remarks()

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        return [self._heads(image) for image in images]

    def _heads(self, image: np.ndarray) -> Detections:
        height, width = image.shape[:2]
        parts = tiles(height, width, self.side, self.overlap)
        if len(parts) == 1:
            return self.detector(image)
        whole, *found = self.detector.batch([image, *(image[t.top : t.bottom, t.left : t.right] for t in parts)])
        whole_heads = (_uncut(heads, tile, height, width) for heads, tile in zip(found, parts, strict=True))
        return best_of([whole, *whole_heads])


def check_tiles(spec: str) -> None:
    """Raise ConfigError if a detector, ``kind:file``, is of a kind that has nothing to find in tiles."""
    kind = spec.partition(":")[0]
    if kind in LOOKED_UP:
        raise _nothing_to_find(kind)


def _nothing_to_find(kind: str) -> ConfigError:
    return ConfigError(f"--tiles: --detector {kind} doesn't look for heads in pictures; leave one of them out")


def tiles(height: int, width: int, side: int = SIDE, overlap: int = OVERLAP) -> list[Tile]:
    """Return the tiles of a picture, row by row: evenly spread, of the given side, or the picture's if that is less."""
    return [
        Tile(left, top, left + min(side, width), top + min(side, height))
        for top in _starts(height, side, overlap)
        for left in _starts(width, side, overlap)
    ]


def _starts(length: int, side: int, overlap: int) -> list[int]:
    if length <= side:
        return [0]
    count = 1 + -(-(length - side) // (side - overlap))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _uncut(heads: Detections, tile: Tile, height: int, width: int) -> Detections:
    """Return the heads of a tile, in pixels of the picture, but those that a border of the tile alone cuts."""
    low, high = heads.boxes[:, :2], heads.boxes[:, :2] + heads.boxes[:, 2:]
    near = CUT * heads.boxes[:, 2:]
    inner_low = np.array([tile.left > 0, tile.top > 0])
    inner_high = np.array([tile.right < width, tile.bottom < height])
    size = np.array([tile.right - tile.left, tile.bottom - tile.top])
    cut = (inner_low & (low <= near)) | (inner_high & (high >= size - near))
    shift = np.array([tile.left, tile.top, 0, 0], np.float32)
    bodies = None if heads.bodies is None else heads.bodies + shift
    return replace(heads, boxes=heads.boxes + shift, bodies=bodies).select(~cut.any(axis=1))
