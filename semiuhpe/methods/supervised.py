"""Supervised training on labeled heads by the negative log likelihood of a rotation distribution."""

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView
from semiuhpe.distributed import unwrap
from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.registry import output_parameter
from semiuhpe.methods.base import Networks, Preview, Stateless, StepResult, Summaries, forward
from semiuhpe.methods.crops import LABELED, CropTask, HeadBatches
from semiuhpe.models.output import eval_mode
from semiuhpe.rotation import geodesic_deg

D = TypeVar("D", bound=RotationDistribution)


def predict(distribution: type[D], output: Tensor) -> D:
    """Return the distributions of (B, 9) network outputs. Outputs may be non-finite: the trainer skips such a step."""
    return distribution(output_parameter(output), validate_args=False)


@torch.no_grad()
def preview_rotation(network: nn.Module, distribution: type[RotationDistribution], image: Tensor) -> Tensor:
    """Return the (n, 3, 3) modes that a network in eval mode predicts for a few pictures."""
    with eval_mode(network):
        return predict(distribution, network(image).float()).mode()


class Supervised(Stateless):
    """The learner of supervised training: the negative log likelihood on weak views of labeled heads."""

    def __init__(self, student: nn.Module, task: CropTask):
        self.student, self.task = student, task

    @property
    def teacher(self) -> nn.Module:
        return unwrap(self.student)

    def batches(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        for batch in self.task.streams.labeled(iteration):
            yield {LABELED: batch}

    def step(self, batches: HeadBatches, random: BatchRandom) -> StepResult:
        view = self._view(batches, random)
        predicted = predict(self.task.distribution, self._output(view.image))
        loss = predicted.negative_log_likelihood(view.rotation).mean()
        return StepResult(loss, labeled_scalars(loss, predicted, view.rotation))

    def validate(self, networks: Networks) -> Summaries:
        return self.task.validate(networks)

    @torch.no_grad()
    def preview(self, batches: HeadBatches, random: BatchRandom) -> dict[str, Preview]:
        view = self._view(batches, random)
        return {LABELED: Preview(view.image, preview_rotation(self.teacher, self.task.distribution, view.image))}

    def _view(self, batches: HeadBatches, random: BatchRandom) -> LabeledView:
        return self.task.labeled_view(batches[LABELED], random)

    def _output(self, image: Tensor) -> Tensor:
        """Return the student's (B, 9) output."""
        return forward(self.student, image, self.task.bf16)


@torch.no_grad()
def labeled_scalars(loss: Tensor, predicted: RotationDistribution, rotation: Tensor) -> dict[str, Tensor]:
    """Return scalars of the labeled part of a step."""
    return {
        "train/loss": loss.detach(),
        "train/error_deg": geodesic_deg(predicted.mode(), rotation).mean(),
        "train/entropy": predicted.entropy().mean(),
    }
