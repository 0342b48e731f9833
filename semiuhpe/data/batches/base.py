"""What batches of heads and of scenes share: moving them, and the canvas that their pictures lie on."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.stores import Store
from semiuhpe.errors import StoreError


@dataclass
class Batch:
    """A batch of stored pictures; subclasses add labels, tensors of as many rows, or None.

    Attributes:
        image: (B, 3, S, S) uint8 RGB, channels last in memory; smaller pictures lie in the top left corner of a black
            canvas.
    """

    image: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def first(self, count: int) -> Self:
        """Return the first rows of the batch."""
        return self._each(lambda part: part[:count])

    def to(self, device: torch.device) -> Self:
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})


class Canvas:
    """Pictures of different sizes, each in the top left corner of a black square.

    Args:
        count: number of pictures.
        size: side of the squares in pixels.
    """

    def __init__(self, count: int, size: int):
        self._pixels = np.zeros((count, size, size, 3), dtype=np.uint8)

    def put(self, row: int, image: np.ndarray, name: str) -> None:
        """Put an (H, W, 3) uint8 picture into a row; StoreError, which tells its name, if it is larger than that."""
        height, width = image.shape[:2]
        size = self._pixels.shape[1]
        if max(height, width) > size:
            raise StoreError(f"{name} is larger than the {size} px of its store; make the store again")
        self._pixels[row, :height, :width] = image

    @property
    def image(self) -> Tensor:
        """(B, 3, S, S) uint8, channels last in memory."""
        return torch.from_numpy(self._pixels).permute(0, 3, 1, 2)


def require_items(store: Store) -> None:
    """Raise StoreError if a store, or view, has nothing in it."""
    if not len(store):
        raise StoreError(f"{store.path}: has no {store.schema.item}s")
