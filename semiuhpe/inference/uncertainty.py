"""How sure a predicted rotation is: entropy, and confidence.

**Confidence** is the probability, under the predicted distribution, that the true rotation is within
:data:`CONFIDENCE_DEG` of the prediction. Unlike the entropy it has a scale that says something by itself; for
distributions of one shape it falls as the entropy rises. At the paper's threshold for pseudo labels, an entropy of
-5.3, it is near one half. It is the model's own opinion: how far that can be trusted is what the calibration of an
evaluation tells.

A model that predicts a rotation without a distribution (``gramSchmidt``) has neither; both are then NaN.
"""

import torch
from torch import Tensor

from semiuhpe.distributions import RotationDistribution

CONFIDENCE_DEG = 15.0


def entropy_and_confidence(predicted: RotationDistribution) -> tuple[Tensor, Tensor]:
    """Entropies (N,) and confidences (N,) in [0, 1] of N predicted distributions; NaN where they are rotations only."""
    if not predicted.has_uncertainty:
        unknown = torch.full(predicted.batch_shape, torch.nan, device=predicted.parameter.device)
        return unknown, unknown
    return predicted.entropy(), predicted.mass_within(CONFIDENCE_DEG)
