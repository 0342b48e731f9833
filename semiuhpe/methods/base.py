"""What the trainer asks of a method.

A method is one module that owns its options and its steps. It divides a run into phases; in each phase something takes
a step on a labelled and, where it wants one, an unlabelled batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from semiuhpe.augment.draws import Draws
from semiuhpe.data.loading import HeadBatch


@dataclass
class StepResult:
    """Loss to be minimised, and scalars (0-dimensional tensors, on the device) to be logged."""

    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Preview:
    """A few heads as a network sees them, to look at during training.

    Attributes:
        image: (n, 3, S, S) normalised network inputs.
        rotation: (n, 3, 3) predicted, head to camera.
        kept: (n,) bool, whether the pseudo label is kept; None where there are none.
    """

    image: Tensor
    rotation: Tensor
    kept: Tensor | None = None


Pool = Callable[[], Iterator[HeadBatch]]
"""All unlabelled heads of this process once, in order, on the device."""


class Learner(Protocol):
    """What happens in one phase."""

    needs_unlabelled: bool
    student: nn.Module

    @property
    def teacher(self) -> nn.Module:
        """The network to be evaluated beside the student; the student itself where there is no teacher."""

    def begin(self, pool: Pool) -> None:
        """Called once when the phase begins, after the student was given its starting weights."""

    def refresh(self, pool: Pool) -> dict[str, float]:
        """Called every ``save_frequency`` steps; returns scalars to be logged."""

    def step(self, labelled: HeadBatch, unlabelled: HeadBatch | None, draws: Draws) -> StepResult:
        """The loss of one step."""

    def preview(self, labelled: HeadBatch, unlabelled: HeadBatch | None, draws: Draws) -> dict[str, Preview]:
        """The first heads of a batch as the networks see them, by the name of the view."""

    def after_step(self, step: int) -> None:
        """Called after the optimizer's step number ``step`` of this phase, counted from 0."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved beside the student."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` gave."""


def forward(network: nn.Module, image: Tensor, bf16: bool) -> Tensor:
    """(B, 9) float32 output of a network, whose own arithmetic is in bfloat16 where ``bf16``."""
    with torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
        return network(image).float()


@dataclass(frozen=True)
class Phase:
    """A stretch of a run.

    Attributes:
        name: for the log.
        learner: what takes the steps.
        end: iteration, counted over the whole run, at which the phase is over.
        lr: learning rate.
    """

    name: str
    learner: Learner
    end: int
    lr: float
