"""Batches of heads, in an order that is a pure function of the seed and the step.

Nothing random happens in the workers: they decode. So a run resumed at a step sees exactly the heads that it would have
seen, with any number of workers, and several processes share one stream without overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from semiuhpe.data.batches.base import Batch, Canvas, require_items
from semiuhpe.data.batches.workers import load
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import StoreError, require


@dataclass
class HeadBatch(Batch):
    """A batch of stored heads.

    Attributes:
        box: (B, 4) float32 x, y, w, h of the head on the canvas, in pixels.
        bounds: (B, 4) float32 x, y, w, h of the source's picture on the canvas, in pixels.
        rotation: (B, 3, 3) float32 head to camera, or None.
    """

    box: Tensor
    bounds: Tensor
    rotation: Tensor | None = None

    @property
    def truth(self) -> Tensor:
        """``rotation``, where heads have to be labeled; StoreError if they are not."""
        if self.rotation is None:
            raise StoreError("these heads have no labels; name a store of labeled heads")
        return self.rotation


class Heads:
    """Whole batches of a store by lists of positions."""

    def __init__(self, store: HeadStore):
        if store.whole:
            raise StoreError(f"{store.path}: holds whole pictures, not head crops; make a store without --whole")
        self.store = store

    def batch(self, positions: list[int]) -> HeadBatch:
        """Return the heads at these positions; raises StoreError if one can't be read."""
        store = self.store
        canvas = Canvas(len(positions), store.size)
        for row, position in enumerate(positions):
            canvas.put(row, store.image(position), f"{store.path}: head {store.names[position]}")
        return HeadBatch(
            image=canvas.image,
            box=torch.from_numpy(store.box[positions]),
            bounds=torch.from_numpy(store.bounds[positions]),
            rotation=None if store.rotation is None else torch.from_numpy(store.rotation[positions]),
        )


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch; ConfigError if there is none."""
    require(count >= batch_size, f"--drop_last: {count} heads don't fill a batch of {batch_size}; make it smaller")
    return count // batch_size


def batches_in_order(count: int, batch_size: int) -> list[list[int]]:
    """Return the positions of so many items in order, cut into batches; the last may be smaller."""
    return [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]


class ShuffledStream(Sampler[list[int]]):
    """Endless shuffled batches: epoch after epoch, each a new permutation, cut into batches without a seam.

    With ``drop_last`` the last heads of an epoch, which fill no batch, are left out of it.

    Args:
        count: number of heads.
        batch_size: heads per step over all processes.
        seed: a stream is a function of the seed alone.
        start: step to begin at.
        rank, world_size: this process's share of each batch.
        drop_last: no batch has heads of two epochs.

    Raises:
        ConfigError: no batch can be filled with ``drop_last``.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, start: int = 0, rank: int = 0, world_size: int = 1,
        drop_last: bool = False,
    ):  # fmt: skip
        self.count, self.batch_size, self.seed, self.start = count, batch_size, seed, start
        self.rank, self.world_size = rank, world_size
        self.epoch_length = batch_size * batches_per_epoch(count, batch_size) if drop_last else count

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        permutations: dict[int, np.ndarray] = {}
        while True:
            positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
            epochs, offsets = np.divmod(positions, self.epoch_length)
            for epoch in range(epochs[0], epochs[-1] + 1):
                if epoch not in permutations:
                    permutations[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            batch = np.array([permutations[e][o] for e, o in zip(epochs, offsets, strict=True)])
            yield batch[self.rank :: self.world_size].tolist()
            permutations = {epoch: order for epoch, order in permutations.items() if epoch >= epochs[-1]}
            step += 1


class NumberedStream(Sampler[list[tuple[int, int]]]):
    """A stream of positions, each with its number in the stream over all processes."""

    def __init__(self, stream: ShuffledStream):
        self.stream = stream

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        stream = self.stream
        for step, positions in enumerate(stream, stream.start):
            first = step * stream.batch_size + stream.rank
            yield [(position, first + row * stream.world_size) for row, position in enumerate(positions)]


def training_batches(store: HeadStore, stream: ShuffledStream, num_workers: int) -> Iterator[HeadBatch]:
    """Return endless training batches of a store in the stream's order.

    Raises:
        StoreError: the store (or view) has no heads.
    """
    require_items(store)
    return load(Heads(store).batch, stream, num_workers, pin=True)


def loader_workers(num_workers: int, device: torch.device) -> int:
    """Number of worker processes for evaluation: ``num_workers`` beside a GPU, which would wait for them; none on the
    CPU, where the network needs all cores."""
    return num_workers if device.type == "cuda" else 0


def ordered_batches(store: HeadStore, batch_size: int, num_workers: int = 0) -> Iterator[HeadBatch]:
    """Return all heads of a store once, in order; the last batch may be smaller.

    Raises:
        StoreError: the store (or view) has no heads.
    """
    require_items(store)
    return load(Heads(store).batch, batches_in_order(len(store), batch_size), num_workers, pin=True)
