"""Interfaces between the trainer and a training method: :class:`Method`, :class:`Phase`, :class:`Learner`.

A :class:`Method` has its own options and opens its own data. It divides a run into phases. In each phase a
:class:`Learner` supplies the batches, computes the loss of each step, and validates.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from semiuhpe.augment.random import BatchRandom
from semiuhpe.data.experiment import store_path
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.methods.options import Experiment
from semiuhpe.models import create_model
from semiuhpe.models.checkpoint import Description
from semiuhpe.options import OptionGroup

LR_FLOOR = 0.01
"""Where a learning rate along a cosine ends, as a share of its beginning."""


@dataclass
class StepResult:
    """The loss to minimize, and the scalars to log: 0-dimensional tensors on the device."""

    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Preview:
    """A few heads as a network sees them, for TensorBoard.

    Attributes:
        image: (n, 3, S, S) normalized network inputs.
        rotation: (n, 3, 3) predicted rotations, head to camera.
        kept: (n,) bool, whether the pseudo label is kept; None if there are no pseudo labels.
    """

    image: Tensor
    rotation: Tensor
    kept: Tensor | None = None


class Batch(Protocol):
    """A batch of heads or of scenes."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> "Batch": ...

    def first(self, count: int) -> "Batch":
        """Return the first ``count`` items of the batch."""


B = TypeVar("B", bound=Batch)
Batches = dict[str, B]
"""The input of one step: one or several batches of the same type, by name."""


Networks = dict[str, nn.Module]
"""The networks to validate, by role."""
Summaries = dict[str, dict[str, float]]
"""Validation results by role, each a dictionary of numbers by name."""


class Learner(Protocol[B]):
    """The code of one phase, for batches of one type."""

    student: nn.Module

    @property
    def teacher(self) -> nn.Module:
        """The network that is evaluated beside the student; the student itself if there is no teacher."""

    def batches(self, iteration: int, step: int) -> Iterator[Batches[B]]:
        """Yield this process's batches on the device, endlessly, starting at an iteration of the run that is step
        ``step`` of the phase. The batches depend on the seed, ``iteration`` and ``step`` only."""

    def begin(self) -> None:
        """Prepare the phase. Called once when it begins, after the student has received its initial weights."""

    def refresh(self) -> dict[str, float]:
        """Update what is updated rarely, and return scalars to log. Called every ``save_frequency`` steps."""

    def step(self, batches: Batches[B], random: BatchRandom) -> StepResult:
        """Return the loss of one step."""

    def after_step(self, step: int) -> None:
        """Finish a step. Called after the optimizer's step number ``step`` of this phase, counted from 0."""

    def validate(self, networks: Networks) -> Summaries:
        """Return the method's ``metrics`` and any other numbers to log for each network: the student, and the
        teacher if there is one. All networks are passed at once so that pictures are read only once."""

    def preview(self, batches: Batches[B], random: BatchRandom) -> dict[str, Preview]:
        """Return the heads of a small batch as the networks see them, by the name of the view."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that has to be saved in addition to the student."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`."""


class Stateless:
    """Empty hooks for a :class:`Learner` whose only state is its student."""

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
    """Return the (B, 9) float32 output of a network, which itself computes in bfloat16 if ``bf16`` is set."""
    with torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
        output: Tensor = network(image)
        return output.float()


@dataclass(frozen=True)
class Phase:
    """A part of a run with one learner and one learning rate schedule.

    Attributes:
        name: shown in the log.
        learner: supplies batches and computes losses.
        end: iteration of the run at which the phase ends.
        lr: learning rate, or a function that returns the learning rate of a step of the phase.
        comparable: whether its validation metric can be compared with that of the phase before; if not, ``best`` is
            selected anew.
    """

    name: str
    learner: Learner[Any]
    end: int
    lr: float | Callable[[int], float]
    comparable: bool = True

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step of the phase, counted from 0."""
        return self.lr(step) if callable(self.lr) else self.lr


def scheduled_lr(lr: float, steps: int, cosine: bool) -> float | Callable[[int], float]:
    """Return the learning rate of a phase of a number of steps: constant, or falling along half a cosine."""
    return partial(_cosine_lr, lr, steps) if cosine else lr


def _cosine_lr(lr: float, steps: int, step: int) -> float:
    share = (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2
    return lr * (LR_FLOOR + (1 - LR_FLOOR) * share)


class TrainingData(Protocol):
    """The stores of a run."""

    @property
    def labeled(self) -> Sized:
        """The labeled heads or scenes; their number is the length of an epoch."""

    @property
    def log_lines(self) -> list[str]:
        """Lines that describe the data in the log."""


O = TypeVar("O", bound=OptionGroup)  # noqa: E741
D = TypeVar("D", bound=TrainingData)


@dataclass(frozen=True)
class Setup(Generic[D]):
    """Everything that the phases of a run need.

    Attributes:
        student: the network to train, wrapped if there are several processes.
        data: the stores returned by :meth:`Method.open_data`.
        description: the description of the network for checkpoints.
        process: this process among all.
    """

    student: nn.Module
    data: D
    description: Description
    process: Process


class Method(ABC, Generic[O, D]):
    """A training method with the options of one run.

    A subclass names the classes of its own options and of its data, ``Method[MyOptions, MyData]``, and is registered
    with :func:`semiuhpe.methods.register_method`.

    Attributes:
        options_type: the class of the options that only this method has.
        more_options: further option groups that only this method has.
        used_options: names of options of other methods that this method uses; all other options of theirs are refused.
        metrics: names of validation results by which ``best`` can be selected, smaller being better; the first is the
            default.
        experiment: all options of the run.
        options: the method's own options.
    """

    options_type: ClassVar[type[OptionGroup]]
    more_options: ClassVar[tuple[type[OptionGroup], ...]] = ()
    used_options: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]]

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.options: O = experiment.group(self.options_type)  # type: ignore[assignment]

    @classmethod
    def option_groups(cls) -> tuple[type[OptionGroup], ...]:
        """Return the option groups that only this method has."""
        return (cls.options_type, *cls.more_options)

    def check(self) -> None:
        """Raise ConfigError if an option has an impossible value or options contradict each other."""

    @abstractmethod
    def open_data(self) -> D:
        """Open the stores of the run, before anything is written.

        Raises:
            ConfigError, StoreError: a store is missing or can't be used.
        """

    def create_student(self, pretrained: bool) -> nn.Module:
        """Return the network to train, with ImageNet weights if ``pretrained``."""
        return create_model(self.experiment.network.network, pretrained)

    def create_optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """Return Adam, as in the papers. It has to be fused, so that it can skip steps that are not finite."""
        return torch.optim.Adam(student.parameters(), lr=self.experiment.training.lr, fused=True)

    @abstractmethod
    def phases(self, setup: Setup[D]) -> list[Phase]:
        """Return the phases of the run, in order."""

    def run_name(self) -> str:
        """Return the name of the folder for runs with these options, inside the experiment's folder."""
        return f"{self.experiment.training.method}_{self._network_name()}_b{self.experiment.training.batch_size}"

    def _network_name(self) -> str:
        return self.experiment.network.network.replace(":", "-")

    @property
    def best_metric(self) -> str:
        """The metric by which ``best`` is selected."""
        return self.experiment.training.best_metric or self.metrics[0]

    @property
    def best_of(self) -> str:
        """The role whose metric selects ``best``: ``student`` or ``teacher``, or ``lowest`` for the lower of both."""
        return "lowest"

    def stores(self) -> dict[str, Path]:
        """Return the paths of the stores used for training and selection, by option name; not all need exist."""
        data = self.experiment.data
        roles = ("train_labeled", "train_unlabeled", data.selection_role)
        return {role: store_path(data, role) for role in roles if getattr(data, role)}

    def feature_heads(self, data: D) -> HeadStore | None:
        """Return the heads whose features ``--save_feat`` writes; None if the method has no feature per head."""
        return None
