"""Short training runs, and their options."""

from pathlib import Path

from semiuhpe.cli.train import parse_options
from semiuhpe.methods import Experiment
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.training.run import TrainResult, train


def experiment_of(*argv: str) -> Experiment:
    """The options of a command line of ``train.py``."""
    return parse_options(argv)[0]


def train_run(settings: list[str], *more: str) -> TrainResult:
    """Train as a command line of ``train.py`` says."""
    return train(*parse_options([*settings, *more]))


def state(folder: Path) -> dict:
    """The weights and the optimizer's state in the last checkpoint of a run."""
    checkpoint = read_checkpoint(folder / "last.pth")
    return {key: checkpoint[key] for key in ("model_state_dict", "optimizer_state_dict")}
