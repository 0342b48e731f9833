"""Random numbers for batches that are divided among processes.

Each process draws the numbers of the whole batch from a generator with the same state, and takes the rows of its own
heads. So augmentation does not depend on the number of processes, and all generators keep the same state.
"""

import torch
from torch import Tensor


class BatchRandom:
    """Random numbers for this process's part of a batch: its row i is row ``rank + i * world_size`` of the batch.

    Args:
        generator: on the device of the numbers; in the same state in all processes.
        rank, world_size: this process among all.
    """

    def __init__(self, generator: torch.Generator, rank: int = 0, world_size: int = 1):
        self.generator, self.rank, self.world_size = generator, rank, world_size

    def uniform(self, count: int, *shape: int) -> Tensor:
        """Draw uniform numbers (count, *shape) in [0, 1)."""
        return self._mine(torch.rand((count * self.world_size, *shape), **self._source))

    def normal(self, count: int, *shape: int) -> Tensor:
        """Draw numbers (count, *shape) from the standard normal distribution."""
        return self._mine(torch.randn((count * self.world_size, *shape), **self._source))

    def chance(self, count: int, probability: float) -> Tensor:
        """Draw (count,) bool, each True with the given probability."""
        return self.uniform(count) < probability

    def permutation(self, count: int) -> Tensor:
        """Draw a permutation of this process's rows."""
        return self.uniform(count).argsort()

    @property
    def _source(self) -> dict:
        return {"generator": self.generator, "device": self.generator.device}

    def _mine(self, numbers: Tensor) -> Tensor:
        return numbers[self.rank :: self.world_size]
