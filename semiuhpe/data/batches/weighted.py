"""Batches of several sets, of which each has a share; still a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence

import numpy as np

from semiuhpe.data.batches.heads import ShuffledStream
from semiuhpe.data.labeled_sets import JoinedHeads, JoinedScenes
from semiuhpe.data.stores import HeadStore, SceneStore
from semiuhpe.errors import require

_COUNTS, _ORDER, _ITEMS = 1, 2, 3  # of the generators that are drawn from


class WeightedStream(ShuffledStream):
    """Endless batches in which each set has its share in expectation.

    How many items of each set are in a batch is drawn by systematic sampling: the share times the size of the batch,
    rounded down or up. Within a set, epoch follows epoch, each a new permutation, as in :class:`ShuffledStream`.

    Args:
        members: the positions of each set's items, none of them empty.
        shares: (K,) share of each set in a batch, which sum to 1.
        batch_size, seed, start, rank, world_size: see :class:`ShuffledStream`.
    """

    def __init__(
        self, members: Sequence[np.ndarray], shares: np.ndarray, batch_size: int, seed: int, start: int = 0,
        rank: int = 0, world_size: int = 1,
    ):  # fmt: skip
        super().__init__(sum(map(len, members)), batch_size, seed, start, rank, world_size)
        self.members = members
        self._bounds = np.concatenate([[0.0], np.cumsum(shares)[:-1] * batch_size, [float(batch_size)]])

    def _counts(self, drawn: np.ndarray) -> np.ndarray:
        """Return (S, K) items of each set in S batches, of S numbers drawn in [0, 1)."""
        return np.diff(np.floor(self._bounds + drawn[:, None]).astype(np.int64), axis=1)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, _COUNTS])
        used = self._counts(random.random(self.start)).sum(axis=0)
        orders: list[dict[int, np.ndarray]] = [{} for _ in self.members]
        step = self.start
        while True:
            counts = self._counts(random.random(1))[0]
            chosen = [self._items(number, used[number], count, orders[number]) for number, count in enumerate(counts)]
            order = np.random.default_rng([self.seed, _ORDER, step]).permutation(self.batch_size)
            batch = np.concatenate(chosen)[order]
            yield batch[self.rank :: self.world_size].tolist()
            used = used + counts
            step += 1

    def _items(self, number: int, used: int, count: int, orders: dict[int, np.ndarray]) -> np.ndarray:
        """Return the next positions of a set of which so many items were used before.

        ``orders`` holds its permutations by epoch between calls; those that are over are removed.
        """
        members = self.members[number]
        epochs, offsets = np.divmod(np.arange(used, used + count), len(members))
        for epoch in np.unique(epochs):
            if epoch not in orders:
                random = np.random.default_rng([self.seed, _ITEMS, number, epoch])
                orders[epoch] = random.permutation(members)
        found = np.array([orders[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)], np.int64)
        for epoch in [epoch for epoch in orders if count and epoch < epochs[-1]]:
            del orders[epoch]
        return found


def stream_of(
    store: HeadStore | SceneStore, batch_size: int, seed: int, start: int, rank: int, world_size: int,
    drop_last: bool = False,
) -> ShuffledStream:  # fmt: skip
    """Return the stream of a store's batches: weighted if it joins sets with weights.

    Raises:
        ConfigError: ``drop_last``, which means nothing where sets have weights.
        StoreError: nothing is left of a set.
    """
    if isinstance(store, JoinedHeads | JoinedScenes) and store.shares is not None:
        require(not drop_last, "--drop_last: is for one labeled set, or several without weights; leave it out")
        store.check_filled()
        return WeightedStream(store.members, store.shares, batch_size, seed, start, rank, world_size)
    return ShuffledStream(len(store), batch_size, seed, start, rank, world_size, drop_last)
