"""Batches of anchors and their positives, in an order that depends on the seed and the step only.

An anchor is a labeled head. Its positive is another identity seen from the same direction; the loader's workers look
it up or render it. The identity depends on the seed, the step and the place in the batch only, so a resumed run sees
the same pairs, with any number of workers or processes. Negatives are other heads of the batch.
"""

from collections.abc import Iterator

import numpy as np
import torch

from semiuhpe.augment.in_plane import random_in_plane
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, turned_view
from semiuhpe.data.batches.base import Canvas
from semiuhpe.data.batches.generators import HeadGenerator
from semiuhpe.data.batches.heads import HeadBatch, Heads, NumberedStream, ShuffledStream
from semiuhpe.data.batches.workers import load
from semiuhpe.data.crop import CropRule
from semiuhpe.data.identities import identity_names
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.rotation import aligning_turn_deg

_CHOICE = 1
"""Number of the random stream that chooses identities."""

Pair = tuple[HeadBatch, HeadBatch]


class _Pairs:
    """Loads batches of anchors and positives."""

    def __init__(self, anchors: HeadStore, generator: HeadGenerator, seed: int):
        self.anchors, self.generator, self.seed = Heads(anchors), generator, seed
        self.names = identity_names(anchors)

    def batch(self, items: list[tuple[int, int]]) -> Pair:
        return self.anchors.batch([position for position, _ in items]), self._positives(items)

    def _positives(self, items: list[tuple[int, int]]) -> HeadBatch:
        store, generator = self.anchors.store, self.generator
        canvas = Canvas(len(items), generator.size)
        labels = []
        for row, (position, number) in enumerate(items):
            rotation = store.truth[position]
            people = generator.identities(rotation, self.names[position])
            rng = np.random.default_rng([self.seed, _CHOICE, number])
            head = generator(int(people[int(rng.integers(len(people)))]), rotation)
            canvas.put(row, head.image, f"the positive of {store.path}: head {store.names[position]}")
            labels.append((head.box, head.bounds, head.rotation))
        box, bounds, rotation = (torch.from_numpy(np.array(rows, np.float32)) for rows in zip(*labels, strict=True))
        return HeadBatch(canvas.image, box, bounds, rotation)


def anchors_of(store: HeadStore, generator: HeadGenerator) -> HeadStore:
    """Return the heads of a labeled store for which the generator has a positive."""
    return store.view(np.flatnonzero(generator.covers(store.truth, identity_names(store))))


def pair_batches(
    anchors: HeadStore, generator: HeadGenerator, stream: ShuffledStream, seed: int, num_workers: int
) -> Iterator[Pair]:
    """Yield endless batches of anchors and their positives, matched by row, in the stream's order.

    Raises:
        StoreError: a head can't be read.
    """
    return load(_Pairs(anchors, generator, seed).batch, NumberedStream(stream), num_workers, pin=True)


def triplet_views(
    anchors: HeadBatch, positives: HeadBatch, crop_rules: tuple[CropRule, CropRule], size: int, random: BatchRandom
) -> tuple[LabeledView, LabeledView]:
    """Return views of anchors and positives: the positives are turned until the rolls agree, then both are moved
    alike in plane."""
    motion = random_in_plane(len(anchors), random)
    alignment = aligning_turn_deg(positives.truth, anchors.truth)
    anchor = turned_view(anchors, crop_rules[0], size, motion, random)
    return anchor, turned_view(positives, crop_rules[1], size, motion, random, alignment)
