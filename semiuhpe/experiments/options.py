"""Options that the commands share which train and compare models on rendered data."""

from dataclasses import dataclass
from pathlib import Path

from semiuhpe.errors import require
from semiuhpe.methods import Experiment
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option


@dataclass(frozen=True)
class ComparisonOptions(OptionGroup, title="comparison"):
    """Base class of the options of a comparison over several seeds."""

    seeds: tuple[NaturalInt, ...] = option((0, 1, 2), "random seeds, each with its own rendered data")
    data: Path = option(Path("data"), "folder for rendered stores", metavar="DIR")
    workers: PositiveInt = option(2, "number of processes that render")
    output: Path = option(Path("outputs/tables"), "folder for tables", metavar="DIR")


def check_rendered(experiment: Experiment, what: str, how: str = "rendered") -> None:
    """Raise ConfigError if stores are named, as the command makes those of ``what`` itself."""
    named = experiment.data.train_labeled or experiment.data.test_set
    require(not named, f"--train_labeled and --test_set: the {what} are {how}; leave them out")


def check_shares(option: str, *ratios: float) -> None:
    """Raise ConfigError unless an option's shares of labeled heads leave both labeled and unlabeled ones."""
    for ratio in ratios:
        require(0.0 < ratio < 1.0, f"{option} {ratio}: must lie in (0, 1)")
