"""Batches of scenes, in an order that is a pure function of the seed and the step, as those of head crops.

Masks are drawn in the workers, from a generator that is seeded by the number of the scene in the stream. So they too
are the same with any number of workers and processes, and after a resume.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from semiuhpe.data.batches.base import Batch, Canvas, require_items
from semiuhpe.data.batches.heads import NumberedStream, ShuffledStream, batches_in_order
from semiuhpe.data.batches.workers import load
from semiuhpe.data.scene_labels import Labels
from semiuhpe.data.stores.scenes import HEAD_LABELS, SceneHeads, SceneStore

Change = Callable[[np.ndarray, SceneHeads, np.random.Generator], tuple[np.ndarray, SceneHeads]]
"""What is done to a picture and its heads in a worker."""


@dataclass
class SceneBatch(Batch):
    """A batch of stored scenes. Scenes have different numbers of heads: the rows of those with fewer are padding.

    Attributes:
        extent: (B, 2) float32 width and height of the picture.
        box: (B, M, 4) float32 x, y, w, h in pixels.
        landmarks: (B, M, 5, 2) float32, NaN where unknown.
        rotation: (B, M, 3, 3) float32 head to camera.
        visible: (B, M) float32 share that nothing covers; 0 in padding.
    """

    extent: Tensor
    box: Tensor
    landmarks: Tensor
    rotation: Tensor
    visible: Tensor

    @property
    def labels(self) -> Labels:
        """Of all heads, boxes as corners."""
        return Labels(box_convert(self.box, "xywh", "xyxy"), self.landmarks, self.rotation)


def training_scenes(
    store: SceneStore, stream: ShuffledStream, num_workers: int, change: Change | None = None
) -> Iterator[SceneBatch]:
    """Return endless training batches of a store in the stream's order.

    Args:
        store: where the scenes are.
        stream: positions and seed.
        num_workers: processes that decode.
        change: done to each picture, from a generator that the stream's seed and the scene's number in it give.

    Raises:
        StoreError: the store (or view) has no scenes.
    """
    require_items(store)
    return load(Scenes(store, change, stream.seed).batch, NumberedStream(stream), num_workers, pin=True)


def ordered_scenes(store: SceneStore, batch_size: int, num_workers: int = 0) -> Iterator[SceneBatch]:
    """Return all scenes of a store once, in order; the last batch may be smaller.

    Raises:
        StoreError: the store (or view) has no scenes.
    """
    require_items(store)
    batches = [[(scene, scene) for scene in batch] for batch in batches_in_order(len(store), batch_size)]
    return load(Scenes(store, None, 0).batch, batches, num_workers, pin=True)


class Scenes:
    """Whole batches of a store by lists of positions and numbers.

    Args:
        store: where the scenes are.
        change: done to each picture, or None.
        seed: with the number of a scene, of the generator that the change draws from.
    """

    def __init__(self, store: SceneStore, change: Change | None, seed: int):
        self.store, self.change, self.seed = store, change, seed

    def batch(self, items: list[tuple[int, int]]) -> SceneBatch:
        """Return the scenes at these positions; raises StoreError if one can't be read."""
        store = self.store
        canvas = Canvas(len(items), store.size)
        scenes = []
        for row, (position, number) in enumerate(items):
            image, heads = store.image(position), store.heads(position)
            if self.change is not None:
                image, heads = self.change(image, heads, np.random.default_rng([self.seed, number]))
            canvas.put(row, image, f"{store.path}: scene {store.names[position]}")
            scenes.append(heads)
        extent = torch.from_numpy(store.extent[[position for position, _ in items]]).float()
        return SceneBatch(image=canvas.image, extent=extent, **padded(scenes))


def padded(scenes: list[SceneHeads]) -> dict[str, Tensor]:
    """Return the labels of several scenes, each (B, M, ...), where M is the largest number of heads, 1 at least.

    Padding has the unit box, the identity, and is not visible.
    """
    most = max([1, *map(len, scenes)])
    rows = {
        name: np.zeros((len(scenes), most, *label.shape), np.float32)
        for name, label in HEAD_LABELS.items()
        if name != "masked"
    }
    rows["box"][..., 2:] = 1.0
    rows["landmarks"][:] = np.nan
    rows["rotation"][:] = np.eye(3)
    for name, values in rows.items():
        for row, heads in enumerate(scenes):
            values[row, : len(heads)] = getattr(heads, name)
    return {name: torch.from_numpy(values) for name, values in rows.items()}
