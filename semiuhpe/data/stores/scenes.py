"""The scene store: whole pictures with any number of heads on each, in one LMDB environment.

======================  ================================================================================================
key                     value
======================  ================================================================================================
``__meta__``            JSON: kind ``scenes``, format version, dataset, split, count (of scenes), heads, size, labeled,
                        full range, source, and the settings that it was made with
``__labels__``          npz without pickles. Per scene: ``extent`` int32 (N, 2), width and height of the stored picture;
                        ``first`` int64 (N + 1,), scene i has the heads ``first[i]`` to ``first[i + 1]``; ``turn_deg``
                        float32 (N,), by how much the picture was turned; ``names``; ``crc32`` uint32 (N,) of the
                        encoded pictures, which stores made before it don't have. Per head: ``box`` float32 (H, 4)
                        x, y, w, h in pixels, which may reach beyond the picture; ``landmarks`` float32 (H, 5, 2), NaN
                        where the source has none; ``rotation`` float32 (H, 3, 3) head to camera; ``visible`` float32
                        (H,), the share of the head that nothing covers; ``masked`` bool (H,)
``000000000`` ...       the encoded picture
======================  ================================================================================================

Rotations are those that are seen: in the camera turned to look at the head, so that moving or cropping the picture
doesn't change them.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semiuhpe.data.stores.heads import (
    CHECKSUM,
    META_TYPES,
    SCENES,
    check_label,
    check_meta,
    stored_bytes,
    stored_labels,
    stored_picture,
)
from semiuhpe.data.stores.writer import StoreWriter
from semiuhpe.errors import StoreError
from semiuhpe.files import parse_json

FORMAT_VERSION = 1
HEAD_SHAPES = {"box": (4,), "landmarks": (5, 2), "rotation": (3, 3), "visible": (), "masked": ()}
_SCENE_SHAPES = {"extent": (2,), "turn_deg": (), "names": ()}


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
        """A scene without heads."""
        return cls(**{name: np.zeros((0, *shape), _dtype(name)) for name, shape in HEAD_SHAPES.items()})


class SceneStore:
    """Read-only view of a scene store, or of a part of it. Opens lazily in each process.

    Args:
        path: the store.
        indices: the scenes of this view, in order; all of them if None.

    Attributes:
        meta: what is known about the store as a whole.
        extent: (N, 2) int32 width and height of the pictures.
        turn_deg: (N,) float32.
        names: (N,) str.

    Raises:
        StoreError: there is no scene store at the path, or it is broken.
    """

    def __init__(self, path: str | os.PathLike, indices: Sequence[int] | np.ndarray | None = None):
        self.path = Path(path)
        self.meta = self._read_meta()
        labels = self._read_labels()
        count = self.meta["count"]
        self.indices = np.arange(count) if indices is None else np.asarray(indices, dtype=np.int64)
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= count):
            raise StoreError(f"{self.path}: has {count} scenes; index {int(self.indices.max())} is out of range")
        self.extent, self.turn_deg, self.names = (labels[name][self.indices] for name in _SCENE_SHAPES)
        self._first = labels["first"]
        self._heads = {name: labels[name] for name in HEAD_SHAPES}
        self._checksum = labels.get(CHECKSUM)

    def __len__(self) -> int:
        return len(self.indices)

    def heads(self, index: int) -> SceneHeads:
        """The heads on a scene."""
        stored = self.indices[index]
        rows = slice(self._first[stored], self._first[stored + 1])
        return SceneHeads(**{name: values[rows] for name, values in self._heads.items()})

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB picture of a scene; StoreError if it can't be decoded or has another size."""
        stored = int(self.indices[index])
        image = stored_picture(self.path, stored, None if self._checksum is None else self._checksum[stored])
        if image is None or tuple(image.shape[1::-1]) != tuple(self.extent[index]):
            raise StoreError(f"{self.path}: scene {stored} can't be decoded; make the store again")
        return image

    def view(self, indices: Sequence[int] | np.ndarray) -> "SceneStore":
        """A part of this view, by positions in it."""
        return SceneStore(self.path, self.indices[np.asarray(indices, dtype=np.int64)])

    @property
    def size(self) -> int:
        """The largest side of a stored picture in pixels."""
        return int(self.meta["size"])

    @property
    def most_heads(self) -> int:
        """The largest number of heads on one scene of the store."""
        return int(np.diff(self._first).max(initial=0))

    def _read_meta(self) -> dict[str, Any]:
        raw = stored_bytes(self.path, b"__meta__")
        try:
            meta = parse_json(raw or b"null")
            kind, version = meta.get("kind"), meta["format_version"]
        except (ValueError, KeyError, AttributeError) as error:
            raise StoreError(f"{self.path}: has no valid __meta__; make it again") from error
        if kind != SCENES:
            raise StoreError(
                f"{self.path}: is a store of head crops, not of whole scenes; make one with `semiuhpe scenes`, or with "
                "`semiuhpe prepare DATASET --scenes`"
            )
        if version != FORMAT_VERSION:
            known = f"this program reads {FORMAT_VERSION}"
            raise StoreError(f"{self.path}: has format version {version} of scenes, {known}; make it again")
        check_meta(self.path, meta, {**META_TYPES, "heads": int})
        return meta

    def _read_labels(self) -> dict[str, np.ndarray]:
        labels = stored_labels(self.path)
        scenes, heads = self.meta["count"], self.meta["heads"]
        shapes = {name: (scenes, *shape) for name, shape in _SCENE_SHAPES.items()} | {"first": (scenes + 1,)}
        shapes |= {name: (heads, *shape) for name, shape in HEAD_SHAPES.items()}
        if CHECKSUM in labels:
            shapes[CHECKSUM] = (scenes,)
        for name, shape in shapes.items():
            check_label(self.path, labels, name, shape)
        first = labels["first"]
        if first[0] != 0 or first[-1] != heads or (np.diff(first) < 0).any():
            raise StoreError(
                f"{self.path}: its labels are broken (its heads are not in the order of its scenes); make it again"
            )
        return labels


class SceneWriter(StoreWriter):
    """Writes a scene store, with all the care of a :class:`StoreWriter`: lock, temporary folder, renaming."""

    _thing = "scene"

    def add_scene(
        self, name: str, encoded: bytes, extent: tuple[int, int], heads: SceneHeads, turn_deg: float = 0.0
    ) -> None:
        """Appends one scene.

        Args:
            name: what the source calls it.
            encoded: JPEG or PNG bytes.
            extent: width and height of the picture.
            heads: that are on it, perhaps none.
            turn_deg: by how much the picture was turned, clockwise.

        Raises:
            StoreError: a label is not finite or of another shape, or the disk is full.
        """
        for key, shape in HEAD_SHAPES.items():
            values = getattr(heads, key)
            if values.shape != (len(heads), *shape) or (key != "landmarks" and not np.isfinite(values).all()):
                raise StoreError(f"{self.path}: scene {name} has a {key} that is not finite or of the wrong shape")
        self._labels.setdefault("heads", []).append(heads)
        for key, value in (
            ("extent", extent),
            ("turn_deg", turn_deg),
            ("names", name),
            (CHECKSUM, zlib.crc32(encoded)),
        ):
            self._labels.setdefault(key, []).append(value)
        self._append(encoded)

    def _packed(self) -> tuple[dict[str, np.ndarray], Mapping[str, Any]]:
        scenes: list[SceneHeads] = self._labels["heads"]
        counts = [len(heads) for heads in scenes]
        arrays = {
            "extent": np.array(self._labels["extent"], np.int32),
            "turn_deg": np.array(self._labels["turn_deg"], np.float32),
            "names": np.array(self._labels["names"], np.str_),
            CHECKSUM: np.array(self._labels[CHECKSUM], np.uint32),
            "first": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        }
        for name in HEAD_SHAPES:
            arrays[name] = np.concatenate([getattr(heads, name) for heads in scenes]).astype(_dtype(name))
        return arrays, {"format_version": FORMAT_VERSION, "heads": sum(counts), "labelled": True}


def scene_meta(
    *, dataset: str, split: str, size: int, full_range: bool, source: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a scene store says about itself, but for what the writer adds; as ``store_meta``."""
    return {
        "kind": SCENES,
        "dataset": dataset,
        "split": split,
        "size": size,
        "full_range": full_range,
        "source": source,
        "settings": dict(settings),
    }


def _dtype(name: str) -> type:
    return np.bool_ if name == "masked" else np.float32
