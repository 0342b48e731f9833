"""Dynamic thresholds on the entropy of pseudo labels."""

import math
from typing import Any

import torch
from torch import Tensor

from semiuhpe.errors import TrainingError


def entropy_quantile(entropy: Tensor, left_ratio: float) -> float:
    """Return the dynamic threshold: the entropy below which the share ``left_ratio`` of the pool lies.

    Zhou et al., arXiv 2404.02544, section 3.2. As in the paper's code it is element ``int(N * left_ratio)`` of the
    sorted entropies, counted from 0, and pseudo labels strictly below it are kept.

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

    A window of recent heads replaces the pool, so no pass over the pool is needed and nothing waits for the device. The
    entropies are at most ``steps`` steps old; those of a pass are up to ``save_frequency`` steps old.

    Args:
        left_ratio: share of the window to keep, in (0, 1].
        batch: unlabeled heads per step, over all processes.
        device: device of the entropies.
        steps: length of the window in steps.
    """

    def __init__(self, left_ratio: float, batch: int, device: torch.device, steps: int = 20):
        self.left_ratio, self.steps = left_ratio, steps
        self.window = torch.full((steps, batch), math.nan, device=device)
        self.step = 0

    def update(self, entropy: Tensor) -> Tensor:
        """Add the (batch,) entropies of a step, and return the threshold over the window, a 0-dimensional tensor."""
        self.window[self.step % self.steps] = entropy
        self.step += 1
        filled = self.window[: min(self.step, self.steps)].flatten()
        index = int(len(filled) * self.left_ratio)
        if index >= len(filled):
            return torch.full((), math.inf, device=filled.device)
        return filled.kthvalue(index + 1).values

    def state_dict(self) -> dict[str, Any]:
        """Return the state that is needed to continue exactly."""
        return {"window": self.window, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`; start with an empty window if the batch size has changed."""
        if state["window"].shape == self.window.shape:
            self.window.copy_(state["window"])
            self.step = state["step"]
