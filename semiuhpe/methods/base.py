"""What the trainer asks of a method.

A :class:`Method` owns its options, its data and its steps. It divides a run into phases; in each phase a
:class:`Learner` names its batches, takes a step on each, and validates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
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
        output: Tensor = network(image)
        return output.float()


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


class TrainingData(Protocol):
    """The stores of a run."""

    @property
    def labeled(self) -> Sized:
        """What a run learns from; its length is that of an epoch."""

    @property
    def log_lines(self) -> list[str]:
        """What the log says of the data."""


O = TypeVar("O", bound=OptionGroup)  # noqa: E741
D = TypeVar("D", bound=TrainingData)


@dataclass(frozen=True)
class Setup(Generic[D]):
    """What the phases of a run work with.

    Attributes:
        student: the network that is trained, wrapped if there are several processes.
        data: of :meth:`Method.open_data`.
        description: what the network is, for checkpoints.
        process: this process among all.
    """

    student: nn.Module
    data: D
    description: Description
    process: Process


class Method(ABC, Generic[O, D]):
    """A training method, for the options of one run.

    Subclasses name the class of their own options and that of their data, ``Method[MyOptions, MyData]``, and register
    themselves with :func:`semiuhpe.methods.register_method`.

    Attributes:
        options_type: the class of the options that only this method has.
        more_options: further groups that only this method has.
        used_options: names of other methods' options that it uses; all others of theirs are refused.
        metrics: names of validation results that ``best`` can be chosen by, the smaller the better; the first is the
            default.
        experiment: all options of the run.
        options: the method's own.
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
        """The groups of options that only this method has."""
        return (cls.options_type, *cls.more_options)

    def check(self) -> None:
        """Raise ConfigError if an option has an impossible value, or options contradict each other."""

    @abstractmethod
    def open_data(self) -> D:
        """Open the stores of the run, before anything is written.

        Raises:
            ConfigError, StoreError: a store is missing or can't be used.
        """

    def create_student(self, pretrained: bool) -> nn.Module:
        """The network that is trained, from ImageNet weights if ``pretrained``."""
        return create_model(self.experiment.network.network, pretrained)

    def create_optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """Adam, as in the papers. It has to be a fused one, which the guard against steps that are not finite needs."""
        return torch.optim.Adam(student.parameters(), lr=self.experiment.training.lr, fused=True)

    @abstractmethod
    def phases(self, setup: Setup[D]) -> list[Phase]:
        """The phases of the run, in their order."""

    def run_name(self) -> str:
        """The folder of runs of these options, below the experiment's."""
        return f"{self.experiment.training.method}_{self._network_name()}_b{self.experiment.training.batch_size}"

    def _network_name(self) -> str:
        return self.experiment.network.network.replace(":", "-")

    @property
    def best_metric(self) -> str:
        """The metric that ``best`` is chosen by."""
        return self.experiment.training.best_metric or self.metrics[0]

    @property
    def best_of(self) -> str:
        """Whose metric that is: ``student`` or ``teacher``, or the ``lowest`` of both."""
        return "lowest"

    def stores(self) -> dict[str, Path]:
        """The stores that the run learns from and selects on, by the options that name them; not all need exist."""
        data = self.experiment.data
        roles = ("train_labeled", "train_unlabeled", data.selection_role)
        return {role: store_path(data, role) for role in roles if getattr(data, role)}

    def feature_heads(self, data: D) -> HeadStore | None:
        """The heads whose features ``--save_feat`` writes; None if the method has no feature for each head."""
        return None
