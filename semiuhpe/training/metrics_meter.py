"""Means of a run's scalars, its speed and its memory between two records."""

import math
import resource
import time
from collections import defaultdict

import torch
from torch import Tensor

from semiuhpe.distributed import Process


class Meter:
    """Averages scalars and counts heads per second between two records. Nothing waits for the device in between.

    Args:
        process: this process; means are over all processes.
    """

    def __init__(self, process: Process):
        self.process = process
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._heads = 0
        self._start = time.perf_counter()

    def add(self, scalars: dict[str, Tensor], heads: int) -> None:
        """Add the scalars (0-dimensional tensors) of a step, and the number of this process's heads in it."""
        for name, value in scalars.items():
            self._values[name].append(value)
        self._heads += heads

    def take(self) -> dict[str, float]:
        """Return means since the last call. Values that are not finite are left out, such as the error of kept pseudo
        labels in steps that keep none."""
        means = {}
        for name, values in self._values.items():
            stacked = torch.stack(values).double()
            finite = torch.isfinite(stacked)
            pair = torch.stack([torch.where(finite, stacked, 0.0).sum(), finite.sum().double()])
            total, count = self.process.mean(pair).tolist()
            means[name] = total / count if count else math.nan
        elapsed = time.perf_counter() - self._start
        means["speed/heads_per_second"] = self._heads * self.process.world_size / elapsed
        means["speed/memory_gib"] = memory_gib(self.process.device)
        self.restart()
        return means

    def restart(self) -> None:
        """Discard scalars and restart the clock, for instance after validation, whose time is not training time."""
        self._values.clear()
        self._heads = 0
        self._start = time.perf_counter()


def memory_gib(device: torch.device) -> float:
    """Return the peak memory in GiB: of the device, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
