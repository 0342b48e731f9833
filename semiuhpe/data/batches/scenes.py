"""Batches of scenes, in an order that is a pure function of the seed and the step, as those of head crops.

Masks are drawn in the workers, from a generator that is seeded by the number of the scene in the stream. So they too
are the same with any number of workers and processes, and after a resume.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from semiuhpe.data.batches.heads import NumberedStream, ShuffledStream, batches_in_order
from semiuhpe.data.batches.workers import load
from semiuhpe.data.scene_labels import Labels
from semiuhpe.data.stores.scenes import HEAD_SHAPES, SceneHeads, SceneStore
from semiuhpe.errors import StoreError

Change = Callable[[np.ndarray, SceneHeads, np.random.Generator], tuple[np.ndarray, SceneHeads]]
"""What is done to a picture and its heads in a worker."""


@dataclass
class SceneBatch:
    """A batch of stored scenes. Scenes have different numbers of heads: the rows of those with fewer are padding.

    Attributes:
        image: (B, 3, S, S) uint8 RGB, channels last in memory; smaller pictures lie in the top left corner, on black.
        extent: (B, 2) float32 width and height of the picture.
        box: (B, M, 4) float32 x, y, w, h in pixels.
        landmarks: (B, M, 5, 2) float32, NaN where unknown.
        rotation: (B, M, 3, 3) float32 head to camera.
        visible: (B, M) float32 share that nothing covers; 0 in padding.
    """

    image: Tensor
    extent: Tensor
    box: Tensor
    landmarks: Tensor
    rotation: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.image)

    @property
    def labels(self) -> Labels:
        """Of all heads, boxes as corners."""
        return Labels(box_convert(self.box, "xywh", "xyxy"), self.landmarks, self.rotation)

    def first(self, count: int) -> "SceneBatch":
        """The first scenes of the batch."""
        return SceneBatch(**{f.name: getattr(self, f.name)[:count] for f in fields(self)})

    def to(self, device: torch.device) -> "SceneBatch":
        return SceneBatch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def pin_memory(self) -> "SceneBatch":
        return SceneBatch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


def training_scenes(
    store: SceneStore, stream: ShuffledStream, num_workers: int, change: Change | None = None
) -> Iterator[SceneBatch]:
    """Endless training batches of a store in the stream's order.

    Args:
        store: where the scenes are.
        stream: positions and seed.
        num_workers: processes that decode.
        change: done to each picture, from a generator that the stream's seed and the scene's number in it give.

    Raises:
        StoreError: the store (or view) has no scenes.
    """
    _require_scenes(store)
    return load(_Scenes(store, change, stream.seed).batch, NumberedStream(stream), num_workers, pin=True)


def ordered_scenes(store: SceneStore, batch_size: int, num_workers: int = 0) -> Iterator[SceneBatch]:
    """All scenes of a store once, in order; the last batch may be smaller.

    Raises:
        StoreError: the store (or view) has no scenes.
    """
    _require_scenes(store)
    batches = [[(scene, scene) for scene in batch] for batch in batches_in_order(len(store), batch_size)]
    return load(_Scenes(store, None, 0).batch, batches, num_workers, pin=True)


def _require_scenes(store: SceneStore) -> None:
    if not len(store):
        raise StoreError(f"{store.path}: has no scenes")


class _Scenes:
    """Whole batches of a store by lists of positions and numbers."""

    def __init__(self, store: SceneStore, change: Change | None, seed: int):
        self.store, self.change, self.seed = store, change, seed

    def batch(self, items: list[tuple[int, int]]) -> SceneBatch:
        store = self.store
        canvas = np.zeros((len(items), store.size, store.size, 3), dtype=np.uint8)
        scenes = []
        for row, (position, number) in enumerate(items):
            image, heads = store.image(position), store.heads(position)
            if self.change is not None:
                image, heads = self.change(image, heads, np.random.default_rng([self.seed, number]))
            height, width = image.shape[:2]
            if max(height, width) > store.size:
                raise StoreError(f"{store.path}: scene {store.names[position]} is larger than {store.size} px")
            canvas[row, :height, :width] = image
            scenes.append(heads)
        return SceneBatch(
            image=torch.from_numpy(canvas).permute(0, 3, 1, 2),
            extent=torch.from_numpy(store.extent[[position for position, _ in items]]).float(),
            **padded(scenes),
        )


def padded(scenes: list[SceneHeads]) -> dict[str, Tensor]:
    """Labels of several scenes, each (B, M, ...), where M is the largest number of heads, 1 at least.

    Padding has the unit box, the identity, and is not visible.
    """
    most = max([1, *map(len, scenes)])
    rows: dict[str, np.ndarray] = {
        name: np.zeros((len(scenes), most, *shape), np.float32)
        for name, shape in HEAD_SHAPES.items()
        if name != "masked"
    }
    rows["box"][..., 2:] = 1.0
    rows["landmarks"][:] = np.nan
    rows["rotation"][:] = np.eye(3)
    for name, values in rows.items():
        for row, heads in enumerate(scenes):
            values[row, : len(heads)] = getattr(heads, name)
    return {name: torch.from_numpy(values) for name, values in rows.items()}
