"""Pose-controlled generators of heads, which return a picture of an identity at a rotation.

A picture shows the identity from the viewing direction of the rotation, up to a turn in plane and a tolerance; its
exact rotation is returned with it. :class:`StoreHeads` finds such pictures among the labeled heads of a store, which
may come from a 3D-aware GAN (``semiuhpe prepare EG3D``); :mod:`semiuhpe.synthetic.generator` renders them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.spatial import KDTree

from semiuhpe.data.crop import CROP_RULES, CropRule
from semiuhpe.data.identities import identity_names
from semiuhpe.data.stores.heads import HeadStore

_NEIGHBORS = 8


class GeneratedHead(NamedTuple):
    """A generated picture and its labels.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x, y, w, h of the head in the picture.
        bounds: (4,) x, y, w, h of the source's picture in this picture.
        rotation: (3, 3) head to camera.
    """

    image: np.ndarray
    box: np.ndarray
    bounds: np.ndarray
    rotation: np.ndarray


class HeadGenerator(Protocol):
    """Interface of the generators of CLERF's positives.

    Attributes:
        size: largest side of its pictures in pixels.
        crop_rule: crop rule for its pictures.
    """

    size: int
    crop_rule: CropRule

    def identities(self, rotation: np.ndarray, other_than: str) -> Sequence[int] | np.ndarray:
        """Return the identities available at the viewing direction of a (3, 3) rotation, except the one named."""

    def covers(self, rotation: np.ndarray, names: np.ndarray) -> np.ndarray:
        """Return (N,) bool: whether an identity other than ``names`` (N,) is available for each (N, 3, 3) rotation."""

    def __call__(self, identity: int, rotation: np.ndarray) -> GeneratedHead:
        """Return a picture of an identity at a (3, 3) rotation."""


class StoreHeads:
    """Finds heads of a labeled store by their viewing direction.

    Args:
        store: a labeled store.
        tolerance_deg: largest angle between the requested and the actual viewing direction. After
            :func:`semiuhpe.rotation.aligning_turn_deg` it is the geodesic distance between the rotations.
    """

    def __init__(self, store: HeadStore, tolerance_deg: float):
        self.store, self.size, self.crop_rule = store, store.size, CROP_RULES[store.meta["protocol"]]
        self.names, self.person = np.unique(identity_names(store), return_inverse=True)
        self._view = store.truth[:, 2].astype(np.float64)
        self._tree = KDTree(self._view)
        self._chord = 2.0 * np.sin(np.radians(tolerance_deg) / 2.0)

    def identities(self, rotation: np.ndarray, other_than: str) -> np.ndarray:
        near = self._tree.query_ball_point(np.asarray(rotation, np.float64)[2], self._chord)
        people = np.unique(self.person[near])
        return people[self.names[people] != other_than]

    def covers(self, rotation: np.ndarray, names: np.ndarray) -> np.ndarray:
        neighbors = min(_NEIGHBORS, len(self._view))
        distance, near = self._tree.query(rotation[:, 2], range(1, neighbors + 1), distance_upper_bound=self._chord)
        within = np.isfinite(distance)
        others = self.names[self.person[np.where(within, near, 0)]] != names[:, None]
        covered = (within & others).any(axis=1)
        for row in np.flatnonzero(~covered & within.all(axis=1)):  # all near heads are of the same person
            covered[row] = len(self.identities(rotation[row], names[row])) > 0
        return covered

    def __call__(self, identity: int, rotation: np.ndarray) -> GeneratedHead:
        store, heads = self.store, np.flatnonzero(self.person == identity)
        position = heads[np.argmax(self._view[heads] @ np.asarray(rotation, np.float64)[2])]
        return GeneratedHead(store.image(position), store.box[position], store.bounds[position], store.truth[position])
