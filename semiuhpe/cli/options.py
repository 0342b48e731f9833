"""Options that several scripts share. What they are is said where they are used; see :mod:`semiuhpe.options`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import configargparse

from semiuhpe.cli.config import G, bind, make_parser, parse
from semiuhpe.methods import Experiment, option_groups
from semiuhpe.models.fetching import OFFLINE, forbid_network
from semiuhpe.models.weights import DEFAULT_CHECKPOINT
from semiuhpe.options import OptionGroup, option
from semiuhpe.rotation import CONVENTIONS
from semiuhpe.training.run import refuse_unused

CHECKPOINT_HELP = "a checkpoint file, EXP_DETAIL/DATE/best of a run, or a released one's name"
MODEL_HELP = "a checkpoint file, EXP_DETAIL/DATE/best of a run, a released name, or KIND:FILE of others"


def experiment_parser(prog: str, description: str, *own: type[OptionGroup]) -> configargparse.ArgumentParser:
    """Parser of everything that a settings file may say: training and evaluation read the same files.

    Args:
        prog, description: of the script.
        own: groups of the script's own options.
    """
    return make_parser(prog, description, [*option_groups(), *own])


def experiment_of(parsed: argparse.Namespace) -> Experiment:
    """The options of training, of what was parsed."""
    return Experiment(bind(parsed, group) for group in option_groups())


def parse_experiment(
    prog: str, description: str, group: type[G], settings: str, argv: Sequence[str]
) -> tuple[Experiment, G]:
    """The options of training and those of a command of its own that has a settings file by default.

    Args:
        prog, description: of the command.
        group: its own options.
        settings: the file that is read if ``--config`` is not given.
        argv: the command line.

    Raises:
        ConfigError: an unknown option or value, or an option that only other methods have.
    """
    if not any(argument.split("=")[0] == "--config" for argument in argv):
        argv = ["--config", settings, *argv]
    parsed = parse(experiment_parser(prog, description, group), argv)
    experiment = experiment_of(parsed)
    refuse_unused(experiment.training.method, experiment)
    return experiment, bind(parsed, group)


@dataclass(frozen=True)
class CheckpointOptions(OptionGroup):
    """Which checkpoint a command uses, and what may have to be said of one that was trained elsewhere."""

    checkpoint: str = option(..., CHECKPOINT_HELP, positional=True)
    convention: str | None = option(
        None, "convention of the output, where the checkpoint doesn't tell it", choices=lambda: CONVENTIONS
    )
    offline: bool = option(False, f"fetch nothing: a file that isn't there is an error; {OFFLINE}=1 means the same")

    def obey_offline(self) -> None:
        """Forbid the network in this process and those that it starts, if ``--offline`` is given."""
        if self.offline:
            forbid_network()


@dataclass(frozen=True)
class ModelOptions(CheckpointOptions):
    """A checkpoint, or a network of others."""

    checkpoint: str = option(..., MODEL_HELP, positional=True)


@dataclass(frozen=True)
class OptionalCheckpointOptions(CheckpointOptions):
    """A checkpoint that may be left out: then it is one that comes with the package."""

    checkpoint: str = option(
        DEFAULT_CHECKPOINT, f"{MODEL_HELP}; the package's {DEFAULT_CHECKPOINT} if not given", positional=True
    )
