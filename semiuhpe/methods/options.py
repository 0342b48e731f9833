"""The options of a training run that all methods share, and the whole of a run's options."""

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
    """Where a run is kept, and what it runs on."""

    exp_name: str = option("experiment", "first folder of the run below --exps_dir")
    exp_detail: str | None = option(None, "second folder; made from the options if not given")
    exps_dir: str = option("exps", "folder of all runs", metavar="DIR")
    gpu_ids: str | None = option(None, "GPU to use; the CPU where there is none", metavar="N", flags=("-g",))
    seed: NaturalInt = option(0, "seed of weights, order and augmentation")
    debug: bool = option(False, "write to exps/<exp_name>/debug/debug, over what is there")


@dataclass(frozen=True)
class TrainingOptions(OptionGroup, title="training"):
    """How the network is trained, whatever the method."""

    method: str = option("semiuhpe", "training method", choices=lambda: METHODS)
    lr: float = option(1e-4, "learning rate")
    batch_size: PositiveInt = option(32, "labeled heads per step, over all processes")
    eval_batch_size: PositiveInt = option(128, "heads per evaluation batch")
    num_workers: NaturalInt = option(4, "processes that decode pictures, per stream")
    max_iteration: PositiveInt = option(150000, "length of the whole run, in steps")
    log_frequency: PositiveInt = option(100, "steps between logged scalars")
    val_frequency: PositiveInt = option(1000, "steps between validations")
    save_frequency: PositiveInt = option(10000, "steps between updates of the dynamic threshold")
    best_metric: str | None = option(
        None, "metric that `best` is chosen by; the mean geodesic error if not given", metavar="NAME"
    )
    bf16: bool = option(False, "compute in the networks in bfloat16, everything else in float32")
    compile: bool = option(False, "compile the networks with torch.compile")
    save_feat: bool = option(False, "at the end write features of the unlabeled heads, for t-SNE")
    cont_ckpt: str | None = option(None, "continue a run, EXP_DETAIL/DATE/last, with its settings", metavar="CKPT")
    init_from: str | None = option(None, "start from the weights of another run", metavar="CKPT")


SHARED = (RunOptions, DataOptions, NetworkOptions, TrainingOptions)
"""The groups of options that all methods share."""


def option_groups() -> list[type[OptionGroup]]:
    """The groups of all options that a settings file may have: the shared ones, and those of all methods."""
    own = [group for method in METHODS.values() for group in method.option_groups()]
    return list(dict.fromkeys([*SHARED, *own]))


class Experiment:
    """All options of a training run, by groups. It doesn't change; :meth:`replace` gives another one.

    Args:
        groups: one of each class of :func:`option_groups`.
    """

    def __init__(self, groups: Iterable[OptionGroup]):
        self._groups = {type(group): group for group in groups}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Experiment":
        """The experiment of values by the names of options, and of defaults; other names are passed over.

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
        """The options of a group."""
        found = self._groups[kind]
        assert isinstance(found, kind)
        return found

    def values(self) -> dict[str, Any]:
        """The value of each option, by its name."""
        return {name: value for group in self._groups.values() for name, value in group.values().items()}

    def replace(self, **changes: Any) -> "Experiment":
        """The same with other values of some options.

        Raises:
            TypeError: there is no such option.
            ConfigError: a value can't be one of its option.
        """
        values = self.values()
        if unknown := changes.keys() - values.keys():
            raise TypeError(f"an experiment has no options {', '.join(sorted(unknown))}")
        return Experiment(kind.from_values(values | changes) for kind in self._groups)

    def with_group(self, group: OptionGroup) -> "Experiment":
        """The same with another group of a class that it has."""
        return Experiment((self._groups | {type(group): group}).values())

    def __iter__(self) -> Iterator[OptionGroup]:
        return iter(self._groups.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and self._groups == other._groups

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Experiment({', '.join(map(repr, self))})"
