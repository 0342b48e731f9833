"""The head store: all heads of one dataset split, a crop each.

Its ``__meta__`` holds format version, dataset, split, count, size, crop protocol, loose, labeled, full range, source,
and the settings that it was made with. Its ``__labels__`` hold, for each head: ``rotation`` float32 (N, 3, 3) head to
camera and ``euler_deg`` float32 (N, 3), where the source has them; ``box`` float32 (N, 4), the head inside the stored
crop; ``bounds`` float32 (N, 4), the source's picture inside the stored crop, to which the crop protocol limits a crop;
``scale`` float32 (N,), pixels of the stored crop per pixel of the source; for whole pictures whose
source has landmarks ``landmarks68`` float32 (N, 68, 2) and ``landmark_extent`` float32 (N, 4), the box about all of
them, also about those that are marked as missing by -1; ``names``, what the source calls each head;
``attribute_KEY``, what else the source says of each head, as text; ``crc32`` uint32 (N,) of the encoded crops, which
stores made before it don't have. Crops are JPEG in training stores and PNG in test stores.

A store may also hold the source's pictures as they are (``whole`` in its meta), for evaluations that crop each head as
a network needs it (:mod:`semiuhpe.evaluation.cropped_store`).

See :mod:`semiuhpe.data.stores.base` for where these lie; :mod:`semiuhpe.data.stores.writer` writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from semiuhpe.data.crop import CROP_RULES, CropRule, StoredCrop
from semiuhpe.data.stores.base import ATTRIBUTE, NAMES, SHARED_LABELS, SHARED_META, Label, Schema, Store
from semiuhpe.errors import StoreError

HEAD_SCHEMA = Schema(
    kind=None,
    item="head",
    version=2,
    labels={
        "box": Label(np.float32, (4,)),
        "bounds": Label(np.float32, (4,)),
        "scale": Label(np.float32),
        **SHARED_LABELS,
        "rotation": Label(np.float32, (3, 3), required=False),
        "euler_deg": Label(np.float32, (3,), required=False),
        "landmarks68": Label(np.float32, (68, 2), required=False),
        "landmark_extent": Label(np.float32, (4,), required=False),
    },
    meta={**SHARED_META, "protocol": str, "loose": bool},
)


@dataclass(frozen=True)
class StoredHead:
    """A head as it goes into a store. All heads of a store have the same kinds of labels.

    Attributes:
        name: what the source calls this head.
        crop: the picture, and what lies where in it.
        rotation: (3, 3) head to camera.
        euler_deg: (3,) pitch, yaw, roll as the source gives them.
        attributes: what else the source says of this head.
        notes: what was changed about it.
        landmarks68: (68, 2) landmarks in pixels of the picture.
        landmark_extent: (4,) x, y, w, h of all landmarks.
    """

    name: str
    crop: StoredCrop
    rotation: np.ndarray | None = None
    euler_deg: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    landmarks68: np.ndarray | None = None
    landmark_extent: np.ndarray | None = None

    @property
    def encoded(self) -> bytes:
        return self.crop.encoded

    def labels(self) -> dict[str, Any]:
        crop = self.crop
        row: dict[str, Any] = {"box": crop.box, "bounds": crop.bounds, "scale": crop.scale, NAMES: self.name}
        known = {
            "rotation": self.rotation,
            "euler_deg": self.euler_deg,
            "landmarks68": self.landmarks68,
            "landmark_extent": self.landmark_extent,
        }
        row |= {key: value for key, value in known.items() if value is not None}
        return row | {ATTRIBUTE + key: value for key, value in self.attributes.items()}


class HeadStore(Store):
    """Read-only view of a head store, or of a part of it; see :class:`semiuhpe.data.stores.base.Store`.

    Attributes:
        rotation: (N, 3, 3) float32 head to camera, or None if the store has no labels.
        euler_deg: (N, 3) float32 pitch, yaw, roll as the source gives them, or None.
        box: (N, 4) float32 x, y, w, h of the head inside the stored crop.
        bounds: (N, 4) float32 x, y, w, h of the source's picture inside the stored crop; it may reach beyond it.
        scale: (N,) float32 pixels of the stored crop per pixel of the source's picture.
        landmarks68: (N, 68, 2) float32 landmarks in pixels of the picture, or None.
        landmark_extent: (N, 4) float32 x, y, w, h of all landmarks in pixels of the picture, or None.
        attributes: what else the source says of each head, (N,) str by name, such as DAD-3DHeads' ``expression``.
    """

    schema = HEAD_SCHEMA

    def _set_labels(self, labels: dict[str, np.ndarray]) -> None:
        if self.meta["protocol"] not in CROP_RULES:
            known = ", ".join(CROP_RULES)
            raise StoreError(f"{self.path}: its crops are of the protocol {self.meta['protocol']!r}; known are {known}")
        self.rotation = labels.get("rotation")
        self.euler_deg = labels.get("euler_deg")
        self.box, self.bounds, self.scale = (labels[name] for name in ("box", "bounds", "scale"))
        self.landmarks68, self.landmark_extent = labels.get("landmarks68"), labels.get("landmark_extent")
        self.attributes = {
            name.removeprefix(ATTRIBUTE): values for name, values in labels.items() if name.startswith(ATTRIBUTE)
        }

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Return a crop, (H, W, 3) uint8 RGB, and its labels: name, box, and rotation, euler_deg, attributes if any."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: head {index} of {len(self)}")
        labels: dict[str, Any] = {"name": str(self.names[index]), "box": self.box[index]}
        if self.rotation is not None:
            labels["rotation"] = self.rotation[index]
        if self.euler_deg is not None:
            labels["euler_deg"] = self.euler_deg[index]
        if self.attributes:
            labels["attributes"] = {key: str(values[index]) for key, values in self.attributes.items()}
        return self.image(index), labels

    @property
    def whole(self) -> bool:
        """Whether the pictures are the source's, not head crops."""
        return bool(self.meta.get("whole", False))

    @property
    def truth(self) -> np.ndarray:
        """``rotation``, where heads have to be labeled.

        Raises:
            StoreError: the store has no labels.
        """
        if self.rotation is None:
            raise StoreError(f"{self.path}: has no labels; name a store of labeled heads")
        return self.rotation


def head_meta(
    *, dataset: str, split: str, size: int, crop_rule: CropRule, loose: bool, full_range: bool, source: str,
    settings: Mapping[str, Any], whole: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return what a head store says about itself, but for what the writer adds: format version, count, labeled.

    Args:
        dataset, split: the names that the source goes by.
        size: the largest side of a stored crop in pixels; 0 for whole pictures.
        crop_rule: that the crops follow, or would follow if the pictures were not whole.
        loose: the crops are as wide as training needs to draw its own from them; else they are the protocol's.
        full_range: the labels go beyond front to profile.
        source: where the pictures came from.
        settings: that would make the same store from the same source.
        whole: the pictures are the source's, not head crops.
    """
    return {
        **({"whole": True} if whole else {}),
        "dataset": dataset,
        "split": split,
        "size": size,
        "protocol": crop_rule.name,
        "loose": loose,
        "full_range": full_range,
        "source": source,
        "settings": dict(settings),
    }
