"""The entropy above which a pseudo label is dropped."""

import math

import torch
from torch import Tensor

from semiuhpe.errors import TrainingError


def entropy_quantile(entropy: Tensor, left_ratio: float) -> float:
    """The dynamic threshold: the entropy below which the share ``left_ratio`` of the pool lies.

    Zhou et al., arXiv 2404.02544, section 3.2. As in the paper's code it is the element number
    ``int(N * left_ratio)`` of the sorted entropies, and pseudo labels strictly below it are kept.

    Args:
        entropy: (N,) entropies of the teacher's predictions on the unlabelled pool.
        left_ratio: share to keep, in (0, 1]; 1 keeps all.

    Raises:
        TrainingError: an entropy is not finite.
    """
    if not torch.isfinite(entropy).all():
        raise TrainingError("the teacher's entropy is not finite on the unlabelled heads; lower --lr")
    index = int(len(entropy) * left_ratio)
    if index >= len(entropy):
        return math.inf
    return float(entropy.sort().values[index])
