"""What the commands share that train and compare models on rendered data."""

from dataclasses import dataclass
from pathlib import Path

from semiuhpe.errors import require
from semiuhpe.methods import Experiment
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option


@dataclass(frozen=True)
class ComparisonOptions(OptionGroup, title="comparison"):
    """Base of the options of a comparison over several seeds."""

    seeds: tuple[NaturalInt, ...] = option((0, 1, 2), "seeds, each with rendered data of its own")
    data: Path = option(Path("data"), "folder for rendered stores", metavar="DIR")
    workers: PositiveInt = option(2, "processes that render")
    output: Path = option(Path("outputs/tables"), "folder for tables", metavar="DIR")


def check_rendered(experiment: Experiment, what: str) -> None:
    """Raise ConfigError if stores are named, because the command renders ``what`` for itself."""
    named = experiment.data.train_labeled or experiment.data.test_set
    require(not named, f"--train_labeled and --test_set: the {what} are rendered")
