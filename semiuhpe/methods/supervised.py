"""Supervised training on labelled heads: the negative log likelihood of a rotation distribution."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from semiuhpe.augment.draws import Draws
from semiuhpe.augment.views import View, labelled_view
from semiuhpe.data.crop import Protocol
from semiuhpe.data.loading import HeadBatch
from semiuhpe.distributed import unwrap
from semiuhpe.distributions import MatrixFisher
from semiuhpe.distributions.named import DISTRIBUTIONS, output_parameter
from semiuhpe.methods.base import Pool, Preview, StepResult, forward
from semiuhpe.rotation import geodesic_deg

OVERREGULARIZATION = 1.025
"""Weight of log C in the matrix Fisher loss: above 1 it keeps the concentration from growing without limit on the
training heads (Mohlin et al., NeurIPS 2020; 1.025 in the paper's code)."""


@dataclass(frozen=True)
class Inputs:
    """What a learner needs to know about the pictures.

    Attributes:
        size: side of the network's input in pixels.
        labelled_protocol, unlabelled_protocol: crop protocols of the two stores.
        flip: mirror half of the labelled heads.
        bf16: networks compute in bfloat16.
    """

    size: int
    labelled_protocol: Protocol
    unlabelled_protocol: Protocol
    flip: bool
    bf16: bool = False


def negative_log_likelihood(predicted, rotation: Tensor) -> Tensor:
    """(B,) loss of labels under predicted distributions."""
    loss = -predicted.log_prob(rotation)
    if isinstance(predicted, MatrixFisher):
        loss = loss + (OVERREGULARIZATION - 1.0) * predicted.log_normalizer()
    return loss


def predict(distribution: type, output: Tensor):
    """The distributions of (B, 9) network outputs. They may be not finite: the trainer skips such a step."""
    return distribution(output_parameter(output), validate_args=False)


@torch.no_grad()
def preview_rotation(network: nn.Module, distribution: type, image: Tensor) -> Tensor:
    """(n, 3, 3) modes of a network on a few pictures, in eval mode for the while."""
    was_training = network.training
    network.eval()
    try:
        return predict(distribution, network(image).float()).mode()
    finally:
        network.train(was_training)


class Supervised:
    """One step: a weak view of labelled heads, the student's distribution, its negative log likelihood."""

    needs_unlabelled = False

    def __init__(self, student: nn.Module, distribution: str, inputs: Inputs):
        self.student = student
        self.distribution = DISTRIBUTIONS[distribution]
        self.inputs = inputs

    @property
    def teacher(self) -> nn.Module:
        return unwrap(self.student)

    def step(self, labelled: HeadBatch, unlabelled: HeadBatch | None, draws: Draws) -> StepResult:
        view = self._view(labelled, draws)
        predicted = predict(self.distribution, forward(self.student, view.image, self.inputs.bf16))
        loss = negative_log_likelihood(predicted, view.rotation).mean()
        return StepResult(loss, labelled_scalars(loss, predicted, view.rotation))

    @torch.no_grad()
    def preview(self, labelled: HeadBatch, unlabelled: HeadBatch | None, draws: Draws) -> dict[str, Preview]:
        view = self._view(labelled, draws)
        return {"labelled": Preview(view.image, preview_rotation(self.teacher, self.distribution, view.image))}

    def _view(self, labelled: HeadBatch, draws: Draws) -> View:
        return labelled_view(labelled, self.inputs.labelled_protocol, self.inputs.size, self.inputs.flip, draws)

    def begin(self, pool: Pool) -> None:
        pass

    def refresh(self, pool: Pool) -> dict[str, float]:
        return {}

    def after_step(self, step: int) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@torch.no_grad()
def labelled_scalars(loss: Tensor, predicted, rotation: Tensor) -> dict[str, Tensor]:
    """What is logged of the labelled part of a step."""
    return {
        "train/loss": loss.detach(),
        "train/error_deg": geodesic_deg(predicted.mode(), rotation).mean(),
        "train/entropy": predicted.entropy().mean(),
    }
