"""Circle Loss on pairs of a normalized embedding (Sun et al., CVPR 2020, arXiv 2002.10857)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def circle_loss(positive: Tensor, negative: Tensor, is_negative: Tensor, margin: float, scale: float) -> Tensor:
    """Equation 6 with the optima and decision margins of equation 8, for one positive of each anchor.

    ``log(1 + sum_j exp(scale a_n (s_n - margin)) exp(-scale a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = [1 + margin - s_p]+`` and ``a_n = [s_n + margin]+``, which are constants for the gradient: a pair counts the
    more, the farther it is from its optimum, so hard negatives count most.

    Args:
        positive: (B,) cosine similarity of each anchor to its positive.
        negative: (B, K) to the other heads.
        is_negative: (B, K) bool, which of them are its negatives; without any the loss is 0.
        margin: of the paper, 0.25 for faces; smaller is stricter.
        scale: gamma of the paper.

    Returns:
        (B,) losses.
    """
    positive_weight = (1.0 + margin - positive.detach()).clamp_min(0.0)
    negative_weight = (negative.detach() + margin).clamp_min(0.0)
    positive_logit = -scale * positive_weight * (positive - (1.0 - margin))
    negative_logit = scale * negative_weight * (negative - margin)
    # Not minus infinity: the gradient of a sum over nothing would not be a number.
    negative_logit = negative_logit.masked_fill(~is_negative, -1e6)
    return F.softplus(torch.logsumexp(negative_logit, dim=1) + positive_logit)
