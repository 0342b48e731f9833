"""Options of a training run that all methods share, and :class:`Experiment`, all options of one run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from semiuhpe.data.experiment import DataOptions
from semiuhpe.methods.registry import METHODS
from semiuhpe.models.options import NetworkOptions
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option

G = TypeVar("G", bound=OptionGroup)


@dataclass(frozen=True)
class RunOptions(OptionGroup, title="basic"):
    """Where a run is stored, and on which device it runs."""

    exp_name: str = option("experiment", "name of the experiment: first folder of the run below --exps_dir")
    exp_detail: str | None = option(None, "second folder of the run; named after the options if not given")
    exps_dir: str = option("exps", "folder of all runs", metavar="DIR")
    gpu_ids: str | None = option(
        None, "number of the GPU to use; without a GPU, training runs on the CPU", metavar="N", flags=("-g",)
    )
    seed: NaturalInt = option(0, "random seed of weights, order of heads and augmentation")
    debug: bool = option(False, "write the run to exps/<exp_name>/debug/debug, replacing what is there")


@dataclass(frozen=True)
class TrainingOptions(OptionGroup, title="training"):
    """How the network is trained, whatever the method."""

    method: str = option("semiuhpe", "training method", choices=lambda: METHODS)
    lr: float = option(1e-4, "learning rate")
    cosine_lr: bool = option(False, "let the learning rate of each stage fall to a hundredth, along half a cosine")
    batch_size: PositiveInt = option(32, "labeled heads per step, over all processes")
    eval_batch_size: PositiveInt = option(128, "heads per evaluation batch")
    num_workers: NaturalInt = option(4, "processes that decode pictures, per stream")
    max_iteration: PositiveInt = option(150000, "length of the whole run, in steps")
    log_frequency: PositiveInt = option(100, "steps between records of scalars")
    val_frequency: PositiveInt = option(1000, "steps between validations")
    save_frequency: PositiveInt = option(10000, "steps between updates of the dynamic threshold")
    best_metric: str | None = option(
        None, "metric by which `best` is selected; the method's first if not given", metavar="NAME"
    )
    bf16: bool = option(False, "run the networks in bfloat16, everything else in float32")
    compile: bool = option(False, "compile the networks with torch.compile")
    save_feat: bool = option(False, "at the end, write features of the unlabeled heads, for t-SNE")
    cont_ckpt: str | None = option(
        None, "checkpoint of a run to continue with its settings: EXP_DETAIL/DATE/last", metavar="CKPT"
    )
    init_from: str | None = option(None, "checkpoint of another run to take the initial weights from", metavar="CKPT")


SHARED = (RunOptions, DataOptions, NetworkOptions, TrainingOptions)
"""The option groups that all methods share."""


def option_groups() -> list[type[OptionGroup]]:
    """Return the option groups that a settings file may use: the shared ones and those of all methods."""
    own = [group for method in METHODS.values() for group in method.option_groups()]
    return list(dict.fromkeys([*SHARED, *own]))


class Experiment:
    """All options of a training run, by group. Immutable; :meth:`replace` returns a changed copy.

    Args:
        groups: one instance of each class of :func:`option_groups`.
    """

    def __init__(self, groups: Iterable[OptionGroup]):
        self._groups = {type(group): group for group in groups}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Experiment":
        """Return the experiment with the given values of options and defaults for the rest; ignore other names.

        Raises:
            ConfigError: a value can't be one of its option.
        """
        return cls(group.from_values(values) for group in option_groups())

    @property
    def run(self) -> RunOptions:
        return self.group(RunOptions)

    @property
    def data(self) -> DataOptions:
        return self.group(DataOptions)

    @property
    def network(self) -> NetworkOptions:
        return self.group(NetworkOptions)

    @property
    def training(self) -> TrainingOptions:
        return self.group(TrainingOptions)

    def group(self, kind: type[G]) -> G:
        """Return the options of a group."""
        found = self._groups[kind]
        assert isinstance(found, kind)
        return found

    def values(self) -> dict[str, Any]:
        """Return the value of each option, by its name."""
        return {name: value for group in self._groups.values() for name, value in group.values().items()}

    def replace(self, **changes: Any) -> "Experiment":
        """Return a copy with other values of some options.

        Raises:
            TypeError: there is no such option.
            ConfigError: a value can't be one of its option.
        """
        values = self.values()
        if unknown := changes.keys() - values.keys():
            raise TypeError(f"an experiment has no option {', '.join(sorted(unknown))}")
        return Experiment(kind.from_values(values | changes) for kind in self._groups)

    def with_group(self, group: OptionGroup) -> "Experiment":
        """Return a copy in which the group of that class is replaced."""
        return Experiment((self._groups | {type(group): group}).values())

    def __iter__(self) -> Iterator[OptionGroup]:
        return iter(self._groups.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and self._groups == other._groups

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Experiment({', '.join(map(repr, self))})"
