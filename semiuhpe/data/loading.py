"""Batches of heads, in an order that is a pure function of the seed and the step.

Nothing random happens in the workers: they decode. So a run resumed at a step sees exactly the heads that it would have
seen, with any number of workers, and several processes share one stream without overlap.
"""

import argparse
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from semiuhpe.config import require
from semiuhpe.data.store import HeadStore
from semiuhpe.errors import StoreError

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass
class HeadBatch:
    """A batch of stored heads.

    Attributes:
        image: (B, 3, S, S) uint8 RGB, channels last in memory; smaller crops lie in the top left corner of a black
            canvas.
        box: (B, 4) float32 x, y, w, h of the head on the canvas, in pixels.
        bounds: (B, 4) float32 x, y, w, h of the source's picture on the canvas, in pixels.
        rotation: (B, 3, 3) float32 head to camera, or None.
    """

    image: Tensor
    box: Tensor
    bounds: Tensor
    rotation: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    @property
    def truth(self) -> Tensor:
        """``rotation``, where heads have to be labelled; StoreError if they are not."""
        if self.rotation is None:
            raise StoreError("these heads have no labels; name a store of labelled heads")
        return self.rotation

    def first(self, count: int) -> "HeadBatch":
        """The first heads of the batch."""
        return self._each(lambda part: part[:count])

    def to(self, device: torch.device) -> "HeadBatch":
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> "HeadBatch":
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "HeadBatch":
        rotation = None if self.rotation is None else change(self.rotation)
        return HeadBatch(change(self.image), change(self.box), change(self.bounds), rotation)


class Heads(Dataset):
    """Whole batches of a store by lists of positions: one item is one batch."""

    def __init__(self, store: HeadStore):
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitems__(self, positions: list[int]) -> "HeadBatch | StoreError":
        """An error is returned, not raised: the loader would wrap what a worker raises into its traceback."""
        try:
            return self.batch(positions)
        except StoreError as error:
            return error

    def batch(self, positions: list[int]) -> HeadBatch:
        """The heads at these positions. Raises StoreError if one can't be read."""
        store = self.store
        canvas = np.zeros((len(positions), store.size, store.size, 3), dtype=np.uint8)
        for row, position in enumerate(positions):
            image = store.image(position)
            height, width = image.shape[:2]
            if max(height, width) > store.size:
                raise StoreError(
                    f"{store.path}: head {store.names[position]} is larger than the store's {store.size} px"
                )
            canvas[row, :height, :width] = image
        return HeadBatch(
            image=torch.from_numpy(canvas).permute(0, 3, 1, 2),
            box=torch.from_numpy(store.box[positions]),
            bounds=torch.from_numpy(store.bounds[positions]),
            rotation=None if store.rotation is None else torch.from_numpy(store.rotation[positions]),
        )


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Full batches of an epoch. Raises ConfigError if there is none."""
    require(count >= batch_size, f"--drop_last: {count} heads don't fill a batch of {batch_size}; make it smaller")
    return count // batch_size


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


def _identity(batch):
    return batch


def own_process_group(worker: int) -> None:
    """A signal to the group, such as Ctrl-C, must not end the workers before the parent has saved its state.

    One that came in the moment between the fork and this call is waiting (:func:`forking_workers`), and is dropped.
    """
    os.setpgrp()
    while signal.sigtimedwait(_STOP_SIGNALS, 0):
        pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


def training_batches(store: HeadStore, stream: ShuffledStream, num_workers: int) -> Iterator[HeadBatch]:
    """Endless training batches of a store in the stream's order.

    Raises:
        StoreError: the store (or view) has no heads.
    """
    return _load_heads(store, num_workers, batch_sampler=stream)


def loader_workers(options: argparse.Namespace, device: torch.device) -> int:
    """How many processes decode pictures that are only evaluated: ``--num_workers`` beside a GPU, which would wait for
    them; none on the CPU, where the network needs all cores."""
    return options.num_workers if device.type == "cuda" else 0


def ordered_batches(store: HeadStore, batch_size: int, num_workers: int = 0) -> Iterator[HeadBatch]:
    """All heads of a store once, in order; the last batch may be smaller.

    Raises:
        StoreError: the store (or view) has no heads.
    """
    return _load_heads(store, num_workers, batch_size=batch_size)


def _load_heads(store: HeadStore, num_workers: int, **order) -> Iterator[HeadBatch]:
    if not len(store):
        raise StoreError(f"{store.path}: has no heads")
    return load(Heads(store), num_workers, **order)


def load(dataset: Dataset, num_workers: int, **order) -> Iterator:
    """Batches of a dataset that makes whole batches in its ``__getitems__``, or returns a StoreError, which is raised.

    Args:
        order: the arguments of torch's ``DataLoader`` that say which items are in a batch.
    """
    loader = DataLoader(
        dataset,
        num_workers=num_workers,
        collate_fn=_identity,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=own_process_group,
        generator=torch.Generator(),  # the loader draws a seed for its workers: not from the training's random state
        **order,
    )
    with forking_workers():
        batches = iter(loader)
    return _raising(batches)


def _raising(batches: Iterator) -> Iterator:
    for batch in batches:
        if isinstance(batch, StoreError):
            raise batch
        yield batch


def in_workers(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """What a function makes of each job, in order, in so many forked processes; in this one with 0.

    A worker that is killed ends the work with an error, and workers end when this process is killed: a pool of
    ``multiprocessing`` would wait for what the lost worker had, forever.
    """
    if not workers:
        yield from map(function, jobs)
        return
    loader = DataLoader(
        _Jobs(function, jobs),
        batch_size=None,
        num_workers=workers,
        collate_fn=_identity,
        worker_init_fn=own_process_group,
        multiprocessing_context="fork",
    )
    with forking_workers():
        results = iter(loader)  # the workers are forked here
    yield from results


class _Jobs(Dataset):
    def __init__(self, function: Callable, jobs: Sequence):
        self.function, self.jobs = function, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int):
        return self.function(self.jobs[index])


@contextmanager
def forking_workers() -> Iterator[None]:
    """Workers forked within this context can use OpenCV, and signals wait until :func:`own_process_group` is called.

    OpenCV's threads don't survive a fork, but its pool in the child believes that they do, and waits for them forever.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        cv2.setNumThreads(threads)
