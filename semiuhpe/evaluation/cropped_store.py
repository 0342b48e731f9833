"""Whole pictures as test heads: each is cropped, as it is read, by the rule that the evaluated network needs."""

from collections.abc import Sequence

import numpy as np

from semiuhpe.data.crop import CROP_RULES, CropRule, box_rectangle, cut, extent_rectangle, whole_picture
from semiuhpe.data.fitted_crop import FittedCrop
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import DataError, StoreError

_STARTS = {"landmarks68": "68 landmarks", "landmark_extent": "landmarks", "box": "a box of the head"}


class CroppedStore(HeadStore):
    """A store of whole pictures, or a view of one, as a test store.

    Args:
        store: whole pictures.
        size: side of the crops in pixels.
        rule: how heads are cropped; as the dataset's own test heads are if None.

    Raises:
        StoreError: the pictures have nothing that the rule can start from.
    """

    def __init__(self, store: HeadStore, size: int, rule: FittedCrop | None = None):
        super().__init__(store.path, store.indices)
        self.rule = rule
        self.name = str(self.meta["protocol"]) if rule is None else rule.name
        self._start = self._starts()
        self.meta = {**self.meta, "whole": False, "crop_rule": self.name, "size": size}

    def _starts(self) -> np.ndarray:
        """Return the (N, 4) boxes x, y, w, h that the rule starts from."""
        if self.rule is None:
            return self.box
        found = self.landmark_extent
        if self.rule.start == "box":  # where the dataset's crops start from landmarks, its boxes are theirs
            found = None if CROP_RULES[self.meta["protocol"]].by_extent else self.box
        if self.rule.start == "landmarks68" and self.landmarks68 is not None:
            first, last = self.landmarks68.min(axis=1), self.landmarks68.max(axis=1)
            found = np.concatenate([first, last - first], axis=1)
        elif self.rule.start == "landmarks68":
            found = None
        if found is None or not np.isfinite(found).all():
            raise StoreError(
                f"{self.path}: not all heads have {_STARTS[self.rule.start]}, from which the crops {self.name} start"
            )
        return found

    def image(self, index: int) -> np.ndarray:
        """Return the crop of one head, (size, size, 3) uint8 RGB."""
        image, box, size = super().image(index), self._start[index], self.size
        try:
            if self.rule is not None:
                return self.rule.crop(image, box, size)
            return _own_crop(image, box, CROP_RULES[self.name], size)
        except DataError as error:
            raise StoreError(f"{self.path}: head {self.names[index]}: {error}") from error

    def view(self, indices: Sequence[int] | np.ndarray) -> "CroppedStore":
        """Return a part of this view, by positions in it."""
        part = HeadStore(self.path, self.indices[np.asarray(indices, dtype=np.int64)])
        return CroppedStore(part, self.size, self.rule)


def _own_crop(image: np.ndarray, box: np.ndarray, rule: CropRule, size: int) -> np.ndarray:
    """Crop a head as :func:`semiuhpe.data.preparing.heads.prepare` crops those of test stores."""
    height, width = image.shape[:2]
    if np.array_equal(box, [0, 0, width, height]):  # the picture is the head crop, as BIWI's are
        return whole_picture(image, size)[0]
    if rule.by_extent:
        return cut(image, extent_rectangle(box, rule.margin, width, height), size)
    return cut(image, box_rectangle(box, rule.margin, width, height, rule), size)
