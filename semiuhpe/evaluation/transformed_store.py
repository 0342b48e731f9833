"""Test heads turned and mirrored in plane, with their labels, to evaluate models on pictures of any orientation."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from semiuhpe.augment.in_plane import InPlane, random_in_plane
from semiuhpe.augment.random import BatchRandom
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.turning import turn_picture
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.rotation import matrix_to_euler

FLIP, FLIP_VERTICAL, ROTATE = "flip", "flip:vertical", "rotate:"
TRANSFORMS = f"{ROTATE}DEGREES (clockwise), {FLIP} (left to right), {FLIP_VERTICAL} (top to bottom)"


class TurnedStore(HeadStore):
    """A test store, or a view of one, whose pictures and labels are transformed in plane as they are read.

    Turned pictures are black beyond the stored crop. Quarter turns and flips change no pixel's value.

    Args:
        store: a test store; the loose crops of training stores are cropped only after they are read.
        motion: the transform of each head of the view.

    Raises:
        StoreError: it is a training store.
    """

    def __init__(self, store: HeadStore, motion: InPlane):
        if store.meta["loose"]:
            raise StoreError(
                f"{store.path}: is a training store; only test stores, which hold the protocol's crop, can be turned"
            )
        super().__init__(store.path, store.indices)
        self.meta, self.source, self.motion = store.meta, store, motion
        self._angle, self._mirrored, self._flipped_vertical = (
            values.numpy() for values in (motion.angle_deg, motion.mirrored, motion.flipped_vertical)
        )
        self.rotation = motion.moved(torch.from_numpy(self.rotation)).numpy()
        turned = bool((self._angle % 360 != 0).any() or self._flipped_vertical.any())
        self.meta = {**self.meta, "full_range": self.meta["full_range"] or turned}
        if self.euler_deg is not None:
            self.euler_deg = matrix_to_euler(torch.from_numpy(self.rotation), self.meta["full_range"]).numpy()

    def image(self, index: int) -> np.ndarray:
        """Return the transformed crop of one head, (H, W, 3) uint8 RGB."""
        return move(self.source.image(index), self._angle[index], self._mirrored[index], self._flipped_vertical[index])

    def view(self, indices: Sequence[int] | np.ndarray) -> "TurnedStore":
        """Return a part of this view, by positions in it."""
        chosen = np.asarray(indices, dtype=np.int64)
        motion = InPlane(*(values[chosen] for values in vars(self.motion).values()))
        return TurnedStore(self.source.view(chosen), motion)


def move(image: np.ndarray, angle_deg: float, mirrored: bool, flipped_vertical: bool) -> np.ndarray:
    """Mirror a (H, W, 3) picture and turn it clockwise about its center; areas outside the picture are black."""
    image = image[:: -1 if flipped_vertical else 1, :: -1 if mirrored else 1]
    if angle_deg % 90 == 0 and image.shape[0] == image.shape[1]:
        return np.ascontiguousarray(np.rot90(image, -int(angle_deg // 90)))
    return turn_picture(np.ascontiguousarray(image), angle_deg)


def transformed(store: HeadStore, transform: str) -> TurnedStore:
    """Return a test store under one of :data:`TRANSFORMS`.

    Raises:
        ConfigError: there is no such transform.
        StoreError: it is a training store.
    """
    angle = 0.0
    if transform.startswith(ROTATE):
        try:
            angle = float(transform.removeprefix(ROTATE))
        except ValueError:
            angle = math.nan
    elif transform not in (FLIP, FLIP_VERTICAL):
        angle = math.nan
    if not math.isfinite(angle):
        raise ConfigError(f"--transform {transform}: unknown; there are {TRANSFORMS}")
    count = len(store)
    chosen = (torch.full((count,), transform == flip) for flip in (FLIP, FLIP_VERTICAL))
    return TurnedStore(store, InPlane(torch.full((count,), angle), *chosen))


def turned_at_random(store: HeadStore, flips: bool = False) -> TurnedStore:
    """Return a test store whose heads are turned by angles in [0, 360), always the same, and mirrored if ``flips``."""
    motion = random_in_plane(len(store), BatchRandom(torch.Generator().manual_seed(0)))
    if not flips:
        none = torch.zeros(len(store), dtype=torch.bool)
        motion = InPlane(motion.angle_deg, none, none)
    return TurnedStore(store, motion)
