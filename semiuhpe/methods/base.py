"""What the trainer asks of a method.

A method is one module that owns its options, its data and its steps. It divides a run into phases; in each phase a
learner names its batches, takes a step on each, and validates.

The module has

- ``METRICS``: names of validation results that ``best`` can be chosen by, the smaller the better; the first is the
  default;
- ``add_options(parser)`` and ``check_options(options)``;
- ``open_data(options)``: the stores, opened before anything is written; its attributes ``labeled`` (for the length of
  an epoch) and ``log_lines`` (lines for the log) are the trainer's;
- ``create_student(options, pretrained)``: the network;
- ``create_optimizer(options, student)``: a fused one, which the guard against steps that are not finite needs;
- ``phases(options, student, data, description, process)``: a list of :class:`Phase`;
- perhaps ``run_name(options)``: the name of a variant in the run folders, where the paper's one doesn't fit;
- perhaps ``USED_OPTIONS``: names of other methods' options that it uses; all others of theirs are refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from semiuhpe.augment.random import BatchRandom


@dataclass
class StepResult:
    """Loss to be minimized, and scalars (0-dimensional tensors, on the device) to be logged."""

    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Preview:
    """A few heads as a network sees them, to look at during training.

    Attributes:
        image: (n, 3, S, S) normalized network inputs.
        rotation: (n, 3, 3) predicted, head to camera.
        kept: (n,) bool, whether the pseudo label is kept; None where there are none.
    """

    image: Tensor
    rotation: Tensor
    kept: Tensor | None = None


class Batch(Protocol):
    """A few heads, or scenes, as a method's data come."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> "Batch": ...

    def first(self, count: int) -> "Batch":
        """The first items of the batch."""


B = TypeVar("B", bound=Batch)
Batches = dict[str, B]
"""What a learner takes a step on: one or several batches of a kind, by name."""


Networks = dict[str, nn.Module]
"""The networks that are validated, by role."""
Summaries = dict[str, dict[str, float]]
"""Of each of them, numbers by name."""


class Learner(Protocol[B]):
    """What happens in one phase, with batches of one kind."""

    student: nn.Module

    @property
    def teacher(self) -> nn.Module:
        """The network to be evaluated beside the student; the student itself where there is no teacher."""

    def batches(self, iteration: int, step: int) -> Iterator[Batches[B]]:
        """This process's batches on the device, without end, from an iteration of the run on, which is ``step`` of
        the phase. What they are is a function of the seed and these two."""

    def begin(self) -> None:
        """Called once when the phase begins, after the student was given its starting weights."""

    def refresh(self) -> dict[str, float]:
        """Called every ``save_frequency`` steps; returns scalars to be logged."""

    def step(self, batches: Batches[B], random: BatchRandom) -> StepResult:
        """The loss of one step."""

    def after_step(self, step: int) -> None:
        """Called after the optimizer's step number ``step`` of this phase, counted from 0."""

    def validate(self, networks: Networks) -> Summaries:
        """The method's ``METRICS``, and whatever else is to be logged, of each network: the student, and the teacher
        where there is one. They come together so that pictures need to be read only once."""

    def preview(self, batches: Batches[B], random: BatchRandom) -> dict[str, Preview]:
        """The heads of a small batch as the networks see them, by the name of the view."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved beside the student."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` gave."""


class Stateless:
    """The hooks of a :class:`Learner` that keeps nothing beside its student: they do nothing."""

    def begin(self) -> None:
        pass

    def refresh(self) -> dict[str, float]:
        return {}

    def after_step(self, step: int) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


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
        lr: learning rate, or a function from the step of the phase to it.
        comparable: whether its validation measures the same as that of the phase before; if not, ``best`` starts anew.
    """

    name: str
    learner: Learner[Any]
    end: int
    lr: float | Callable[[int], float]
    comparable: bool = True

    def lr_at(self, step: int) -> float:
        """The learning rate of a step of the phase, counted from 0."""
        return self.lr(step) if callable(self.lr) else self.lr
