"""From a network's output to distributions of rotations, and how sure these are: entropy, and confidence.

**Confidence** is the probability, under the predicted distribution, that the true rotation is within
:data:`CONFIDENCE_DEG` of the prediction. Unlike the entropy it has a scale that says something by itself; for
distributions of one shape it falls as the entropy rises. At the paper's threshold for pseudo labels, an entropy of
-5.3, it is near one half. It is the model's own opinion: how far that can be trusted is what the calibration of an
evaluation tells.

A model that predicts a rotation without a distribution (``gramSchmidt``) has neither; both are then NaN.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.registry import DISTRIBUTIONS, output_parameter
from semiuhpe.models.checkpoint import Description

CONFIDENCE_DEG = 15.0


@dataclass(frozen=True)
class PoseDecoder:
    """Decodes a model's nine numbers as its description says."""

    description: Description

    @property
    def image_size(self) -> int:
        return self.description.image_size

    def __call__(self, output: Tensor) -> RotationDistribution:
        """Return the distributions of R head to camera that (B, 9) numbers predict."""
        return DISTRIBUTIONS[self.description.distribution](output_parameter(output, self.description.convention))


def entropy_and_confidence(predicted: RotationDistribution) -> tuple[Tensor, Tensor]:
    """Return (N,) entropies and (N,) confidences in [0, 1] of N predictions; NaN where these are rotations only."""
    confidence = confidence_of(predicted)
    return (predicted.entropy() if predicted.has_uncertainty else confidence), confidence


def confidence_of(predicted: RotationDistribution) -> Tensor:
    """Return (N,) confidences in [0, 1] of N predictions; NaN where these are rotations only."""
    if not predicted.has_uncertainty:
        return torch.full(predicted.batch_shape, torch.nan, device=predicted.parameter.device)
    return predicted.mass_within(CONFIDENCE_DEG)


def not_finite(dtype: torch.dtype) -> str:
    """Return what to say of a network whose output, computed in ``dtype``, is not finite."""
    hint = "" if dtype == torch.float32 else f"; {dtype} may be too narrow for it, try float32"
    return f"the network's output is not finite{hint}"


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Put networks into eval mode within this context, and restore their modes afterwards."""
    were_training = [network.training for network in networks]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for network, was_training in zip(networks, were_training, strict=True):
            network.train(was_training)
