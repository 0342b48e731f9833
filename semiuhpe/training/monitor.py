"""What is seen of a run while it trains: scalars, speed, memory, pictures."""

import math
import resource
import time
from collections import defaultdict

import cv2
import numpy as np
import torch
from torch import Tensor

from semiuhpe.augment.views import denormalize
from semiuhpe.distributed import Process
from semiuhpe.drawing.axes import contact_sheet, draw_axes
from semiuhpe.methods.base import Preview

PREVIEW_HEADS = 8
_KEPT, _DROPPED = (40, 170, 60), (220, 40, 40)
_PREVIEW_PX = 128


class Meter:
    """Means of scalars, and heads per second, between two times of logging. Nothing waits for the device before that.

    Args:
        process: means are over all processes.
    """

    def __init__(self, process: Process):
        self.process = process
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._heads = 0
        self._start = time.perf_counter()

    def add(self, scalars: dict[str, Tensor], heads: int) -> None:
        """Takes the scalars (0-dimensional tensors) of a step on so many heads of this process."""
        for name, value in scalars.items():
            self._values[name].append(value)
        self._heads += heads

    def take(self) -> dict[str, float]:
        """Means since the last call; values that are not finite do not count, as of steps that keep no pseudo label."""
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
        """Forgets everything: time spent on validation, for instance, is not training."""
        self._values.clear()
        self._heads = 0
        self._start = time.perf_counter()


def memory_gib(device: torch.device) -> float:
    """The most memory used so far, in GiB: the device's, or this process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def preview_sheet(preview: Preview) -> np.ndarray:
    """(H, W, 3) uint8: heads with predicted axes; green rims around kept pseudo labels, red ones around dropped."""
    pictures = (denormalize(preview.image.float()) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    rotations = preview.rotation.float().cpu().numpy()
    kept = [None] * len(pictures) if preview.kept is None else preview.kept.tolist()
    drawn = []
    for picture, rotation, keep in zip(pictures, rotations, kept, strict=True):
        picture = cv2.resize(picture, (_PREVIEW_PX, _PREVIEW_PX), interpolation=cv2.INTER_LINEAR)
        if np.isfinite(rotation).all():
            picture = draw_axes(picture, rotation)
        if keep is not None:
            cv2.rectangle(picture, (1, 1), (_PREVIEW_PX - 2, _PREVIEW_PX - 2), _KEPT if keep else _DROPPED, 3)
        drawn.append(picture)
    return contact_sheet(drawn, PREVIEW_HEADS // 2, _PREVIEW_PX)
