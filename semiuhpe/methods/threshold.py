"""The entropy above which a pseudo label is dropped."""

import math
from typing import Any

import torch
from torch import Tensor

from semiuhpe.errors import TrainingError


def entropy_quantile(entropy: Tensor, left_ratio: float) -> float:
    """The dynamic threshold: the entropy below which the share ``left_ratio`` of the pool lies.

    Zhou et al., arXiv 2404.02544, section 3.2. As in the paper's code it is the element number
    ``int(N * left_ratio)`` of the sorted entropies, and pseudo labels strictly below it are kept.

    Args:
        entropy: (N,) entropies of the teacher's predictions on the unlabeled pool.
        left_ratio: share to keep, in (0, 1]; 1 keeps all.

    Raises:
        TrainingError: an entropy is not finite.
    """
    if not torch.isfinite(entropy).all():
        raise TrainingError("the teacher's entropy is not finite on the unlabeled heads; lower --lr")
    index = int(len(entropy) * left_ratio)
    if index >= len(entropy):
        return math.inf
    return float(entropy.sort().values[index])


class RunningThreshold:
    """The dynamic threshold from the entropies of recent steps, which training computes anyway.

    A window of the last heads stands for the pool: no pass over it, no waiting for the device. All heads of the window
    are old by at most ``steps`` steps, whereas a pass is as old as ``save_frequency`` steps.

    Args:
        left_ratio: share of the window to keep, in (0, 1].
        batch: unlabeled heads of a step, over all processes.
        steps: length of the window.
        device: where the entropies are.
    """

    def __init__(self, left_ratio: float, batch: int, device: torch.device, steps: int = 20):
        self.left_ratio, self.steps = left_ratio, steps
        self.window = torch.full((steps, batch), math.nan, device=device)
        self.step = 0

    def update(self, entropy: Tensor) -> Tensor:
        """Takes the (batch,) entropies of a step, and returns the threshold over the window, a 0-dimensional tensor."""
        self.window[self.step % self.steps] = entropy
        self.step += 1
        filled = self.window[: min(self.step, self.steps)].flatten()
        index = int(len(filled) * self.left_ratio)
        if index >= len(filled):
            return torch.full((), math.inf, device=filled.device)
        return filled.kthvalue(index + 1).values

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved to go on exactly."""
        return {"window": self.window, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` gave; starts anew if the batch has another size now."""
        if state["window"].shape == self.window.shape:
            self.window.copy_(state["window"])
            self.step = state["step"]
