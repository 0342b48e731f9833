"""The scene store: whole pictures with any number of heads on each.

Its ``__meta__`` holds the kind ``scenes``, format version, dataset, split, count (of scenes), heads, size, labeled,
full range, source, and the settings that it was made with. Its ``__labels__`` hold, for each scene: ``extent`` int32
(N, 2), width and height of the stored picture; ``first`` int64 (N + 1,), scene i has the heads ``first[i]`` to
``first[i + 1]``; ``turn_deg`` float32 (N,), by how much the picture was turned; ``names``; ``crc32`` uint32 (N,) of the
encoded pictures, which stores made before it don't have. For each head: ``box`` float32 (H, 4) x, y, w, h in pixels,
which may reach beyond the picture; ``landmarks`` float32 (H, 5, 2), NaN where the source has none; ``rotation`` float32
(H, 3, 3) head to camera; ``visible`` float32 (H,), the share of the head that nothing covers; ``masked`` bool (H,).

See :mod:`semiuhpe.data.stores.base` for where these lie; :mod:`semiuhpe.data.stores.writer` writes them.

Rotations are those that are seen: in the camera turned to look at the head, so that moving or cropping the picture
doesn't change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from semiuhpe.data.stores.base import NAMES, SCENES, SHARED_LABELS, SHARED_META, Label, Schema, Store
from semiuhpe.errors import StoreError

HEAD_LABELS = {
    "box": Label(np.float32, (4,), "head", finite=True),
    "landmarks": Label(np.float32, (5, 2), "head"),
    "rotation": Label(np.float32, (3, 3), "head", finite=True),
    "visible": Label(np.float32, (), "head", finite=True),
    "masked": Label(np.bool_, (), "head"),
}
SCENE_SCHEMA = Schema(
    kind=SCENES,
    item="scene",
    version=1,
    labels={
        "extent": Label(np.int32, (2,)),
        "turn_deg": Label(np.float32),
        **SHARED_LABELS,
        "first": Label(np.int64, (), "offset"),
        **HEAD_LABELS,
    },
    meta={**SHARED_META, "heads": int},
)


@dataclass(frozen=True)
class SceneHeads:
    """The heads on one picture; see the top of this module."""

    box: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray
    visible: np.ndarray
    masked: np.ndarray

    def __len__(self) -> int:
        return len(self.box)

    @classmethod
    def none(cls) -> "SceneHeads":
        """Return the heads of a scene without any."""
        return cls(**{name: np.zeros((0, *label.shape), label.dtype) for name, label in HEAD_LABELS.items()})


@dataclass(frozen=True)
class StoredScene:
    """A scene as it goes into a store.

    Attributes:
        name: what the source calls it.
        encoded: JPEG or PNG bytes.
        extent: width and height of the picture.
        heads: that are on it, perhaps none.
        turn_deg: by how much the picture was turned, clockwise.
        notes: what was changed about its heads.
    """

    name: str
    encoded: bytes
    extent: tuple[int, int]
    heads: SceneHeads
    turn_deg: float = 0.0
    notes: tuple[str, ...] = ()

    def labels(self) -> dict[str, Any]:
        return {"extent": self.extent, "turn_deg": self.turn_deg, NAMES: self.name, **vars(self.heads)}


class SceneStore(Store):
    """Read-only view of a scene store, or of a part of it; see :class:`semiuhpe.data.stores.base.Store`.

    Attributes:
        extent: (N, 2) int32 width and height of the pictures.
        turn_deg: (N,) float32.
    """

    schema = SCENE_SCHEMA

    def _set_labels(self, labels: dict[str, np.ndarray]) -> None:
        self.extent, self.turn_deg = labels["extent"], labels["turn_deg"]
        self._first = labels["first"]
        self._heads = {name: labels[name] for name in HEAD_LABELS}
        if self._first[0] != 0 or self._first[-1] != self.meta["heads"] or (np.diff(self._first) < 0).any():
            raise StoreError(
                f"{self.path}: its labels are broken (its heads are not in the order of its scenes); make it again"
            )

    def heads(self, index: int) -> SceneHeads:
        """Return the heads on a scene."""
        number = self.indices[index]
        rows = slice(self._first[number], self._first[number + 1])
        return SceneHeads(**{name: values[rows] for name, values in self._heads.items()})

    def image(self, index: int) -> np.ndarray:
        """Return the picture of a scene, (H, W, 3) uint8 RGB; StoreError if it is damaged or has another size."""
        image = super().image(index)
        if tuple(image.shape[1::-1]) != tuple(self.extent[index]):
            number, (width, height) = self.indices[index], self.extent[index]
            raise StoreError(f"{self.path}: scene {number} is not {width}x{height} px as it was; make the store again")
        return image

    @property
    def most_heads(self) -> int:
        """The largest number of heads on one scene of the store."""
        return int(np.diff(self._first).max(initial=0))


def scene_meta(
    *, dataset: str, split: str, size: int, full_range: bool, source: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a scene store says about itself; arguments as :func:`semiuhpe.data.stores.heads.head_meta`."""
    return {
        "kind": SCENES,
        "dataset": dataset,
        "split": split,
        "size": size,
        "full_range": full_range,
        "source": source,
        "settings": dict(settings),
    }
