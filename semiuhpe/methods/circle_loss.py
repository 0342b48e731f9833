"""Circle Loss on pairs of a normalized embedding (Sun et al., CVPR 2020, arXiv 2002.10857)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def circle_loss(positive: Tensor, negative: Tensor, is_negative: Tensor, margin: float, scale: float) -> Tensor:
    """Return equation 6 with the optima and decision margins of equation 8, for one positive per anchor.

    ``log(1 + sum_j exp(scale a_n (s_n - margin)) exp(-scale a_p (s_p - 1 + margin)))`` with the weights
    ``a_p = [1 + margin - s_p]+`` and ``a_n = [s_n + margin]+``, which the gradient treats as constants. The farther a
    pair is from its optimum, the larger its weight, so hard negatives have the largest.

    Args:
        positive: (B,) cosine similarity of each anchor to its positive.
        negative: (B, K) cosine similarity of each anchor to other heads.
        is_negative: (B, K) bool, which of these heads are negatives of the anchor; the loss is 0 if none is.
        margin: m in the paper, 0.25 for faces; smaller is stricter.
        scale: gamma in the paper.

    Returns:
        (B,) losses.
    """
    positive_weight = (1.0 + margin - positive.detach()).clamp_min(0.0)
    negative_weight = (negative.detach() + margin).clamp_min(0.0)
    positive_logit = -scale * positive_weight * (positive - (1.0 - margin))
    negative_logit = scale * negative_weight * (negative - margin)
    # Finite, since with -inf the gradient of an anchor without negatives would be NaN.
    negative_logit = negative_logit.masked_fill(~is_negative, -1e6)
    return F.softplus(torch.logsumexp(negative_logit, dim=1) + positive_logit)
