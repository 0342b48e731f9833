"""From a raw dataset to a scene store: whole pictures with the box, landmarks and rotation of each head.

For datasets whose heads have rotations. A picture on which a head was dropped or can't be read is left out, because
that head would count as background.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.ops import box_convert

from semiuhpe.data.affine import turn_matrix
from semiuhpe.data.batches.scenes import Change
from semiuhpe.data.crop import JPEG_QUALITY, LANDMARK_MARGIN, LANDMARKS, encode, landmark_box
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
from semiuhpe.data.scene_labels import Labels, transform_labels
from semiuhpe.data.stores import SceneHeads, StoredScene, StoreWriter, scene_meta
from semiuhpe.data.turning import MAX_SCENE_TURN_DEG, turn_picture
from semiuhpe.errors import ConfigError, DataError

SCENE_SIZE = 640
SCENE_DATASETS = ("300WLP", "AFLW2000", "BIWI", "DAD3DHeads", "AGORA_HPE", "CMU_HPE", "Panoptic", "VGGHeads")
_FIVE_OF_68 = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""Of the 68 points of 300W: the subject's right eye, left eye, tip of the nose, right and left corner of the mouth."""


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are stored.

    Attributes:
        size: the largest side of a stored picture in pixels.
        quality: of the JPEG.
        turned: share of the pictures that are turned by up to 45 degrees.
        change: what else is done to pictures and heads, such as masks, from a generator; None for nothing.
    """

    size: int
    quality: int
    turned: float
    change: Change | None


def prepare_scenes(
    dataset: str | Importer,
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    split: str | None = None,
    size: int = SCENE_SIZE,
    quality: int = JPEG_QUALITY,
    turned: float = 0.0,
    change: Change | None = None,
    limit: int | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> Summary:
    """Write the scene store of one split of a raw dataset.

    Args:
        dataset, source, out, split, quality, workers, overwrite: as :func:`semiuhpe.data.preparing.heads.prepare`.
        size: the largest side of a stored picture in pixels.
        turned: share of the pictures that are turned by up to 45 degrees.
        change: what else is done to pictures and heads, such as drawing masks; None for nothing.
        limit: keep the first pictures only.

    Returns:
        What became of it; ``kept`` counts pictures.

    Raises:
        ConfigError: the dataset is none of :data:`SCENE_DATASETS`, it has no such split, or an argument is out of its
            range.
        DataError: the source is not that dataset.
        StoreError: the target exists or can't be written, or nothing was kept.
    """
    importer, split = chosen(dataset, split)
    source = Path(source)
    if importer.name not in SCENE_DATASETS:
        known = ", ".join(SCENE_DATASETS)
        raise ConfigError(f"--scenes: {importer.name} has no rotations for whole pictures; there are {known}")
    if not 0.0 <= turned <= 1.0:
        raise ConfigError(f"--turned {turned}: must lie in [0, 1]")
    check_source(source, quality, size, limit)
    settings = SceneSettings(size, quality, turned, change)
    meta = scene_meta(
        dataset=importer.name,
        split=split,
        size=size,
        full_range=importer.full_range,
        source=str(source),
        settings={"quality": quality, "turned": turned, "limit": limit},
    )

    def scene(picture: Picture, index: int) -> list[StoredScene | Dropped]:
        return [scene_of(importer, picture, settings, np.random.default_rng([0, index]))]

    writer, summary = StoreWriter(out, meta, overwrite), Summary("picture")
    return fill_store(writer, importer, source, split, scene, summary, limit=limit, workers=workers)


def scene_of(
    importer: Importer, picture: Picture, settings: SceneSettings, rng: np.random.Generator
) -> StoredScene | Dropped:
    """Return one picture as it goes into a store, or why it does not."""
    name = printable(picture.name)
    try:
        found: list[RawHead] = []
        for head in heads_of(importer, picture):
            if isinstance(head, Dropped):
                return Dropped(name, f"has a head that was left out: {printable(head.reason)}", head.broken)
            found.append(head)
        image = read_image(picture)
        heads = _labels(found)
    except DataError as error:
        return Dropped(name, printable(str(error)), broken=True)
    scale = min(settings.size / max(image.shape[:2]), 1.0)
    if scale < 1.0:
        extent = [max(round(side * scale), 1) for side in image.shape[1::-1]]
        image = cv2.resize(image, extent, interpolation=cv2.INTER_AREA)
        heads = replace(heads, box=heads.box * np.float32(scale), landmarks=heads.landmarks * np.float32(scale))
    turn_deg = float(rng.uniform(-MAX_SCENE_TURN_DEG, MAX_SCENE_TURN_DEG)) if rng.random() < settings.turned else 0.0
    if turn_deg:
        image, heads = turned_scene(image, heads, turn_deg)
    if settings.change is not None:
        image, heads = settings.change(image, heads, rng)
    notes = tuple(note for head in found for note in head.notes)
    height, width = image.shape[:2]
    return StoredScene(name, encode(image, settings.quality), (width, height), heads, turn_deg, notes)


def turned_scene(image: np.ndarray, heads: SceneHeads, angle_deg: float) -> tuple[np.ndarray, SceneHeads]:
    """Turn a picture clockwise about its center, black where it ends, and its heads' labels along with it."""
    height, width = image.shape[:2]
    angle = torch.tensor([angle_deg], dtype=torch.float64)
    matrix = turn_matrix(angle, torch.tensor([width], dtype=torch.float64), torch.tensor([height], dtype=torch.float64))
    box, landmarks, rotation = (
        torch.from_numpy(values).double()[None] for values in (heads.box, heads.landmarks, heads.rotation)
    )
    labels = Labels(box_convert(box, "xywh", "xyxy"), landmarks, rotation)
    labels = transform_labels(labels, matrix, angle, torch.zeros(1, dtype=torch.bool))
    return turn_picture(image, angle_deg), replace(
        heads,
        box=box_convert(labels.box[0], "xyxy", "xywh").float().numpy(),
        landmarks=labels.landmarks[0].float().numpy(),
        rotation=labels.rotation[0].float().numpy(),
    )


def _labels(found: Sequence[RawHead]) -> SceneHeads:
    """Return the labels of the heads on a picture; DataError if one has no rotation or neither box nor landmarks."""
    if not found:
        return SceneHeads.none()
    rotations = [rotation for head in found if (rotation := rotation_of(head)) is not None]
    if len(rotations) < len(found):
        raise DataError("a head has no rotation")
    return SceneHeads(
        box=np.stack([_box(head) for head in found]).astype(np.float32),
        landmarks=np.stack([_five(head) for head in found]).astype(np.float32),
        rotation=np.stack(rotations).astype(np.float32),
        visible=np.ones(len(found), np.float32),
        masked=np.zeros(len(found), bool),
    )


def _box(head: RawHead) -> np.ndarray:
    """Return the dataset's box, (4,), or that of the landmarks with their crop's margins, which hold all the head."""
    if head.box is not None:
        return np.asarray(head.box, dtype=np.float64)
    if head.landmarks is None:
        raise DataError("a head has neither a box nor landmarks")
    x, y, w, h = landmark_box(head.landmarks)
    reach = LANDMARK_MARGIN * max(w, h)
    above = LANDMARKS.above * reach
    return np.array([x - reach, y - above, w + 2 * reach, h + reach + above])


def _five(head: RawHead) -> np.ndarray:
    """Return the five landmarks of 68, (5, 2); NaN where the dataset has no such points."""
    if head.landmarks is None or len(head.landmarks) != 68:
        return np.full((5, 2), np.nan)
    points = np.asarray(head.landmarks, dtype=np.float64)
    return np.stack([points[list(index)].mean(0) for index in _FIVE_OF_68])
