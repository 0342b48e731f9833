"""Options that several scripts share. What they are is said where they are used; see :mod:`semiuhpe.options`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import configargparse

from semiuhpe.cli.config import bind, make_parser, parse
from semiuhpe.methods import Experiment, option_groups
from semiuhpe.options import OptionGroup, option
from semiuhpe.rotation import CONVENTIONS
from semiuhpe.training.run import refuse_unused

CHECKPOINT_HELP = "a checkpoint file, EXP_DETAIL/DATE/best of a run, or a released one's name"


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


def parse_with(parser: configargparse.ArgumentParser, argv: Sequence[str], settings: str) -> argparse.Namespace:
    """Parse a command line that has a settings file by default.

    Raises:
        ConfigError: an unknown option or value, or an option that only other methods have.
    """
    if not any(argument.split("=")[0] == "--config" for argument in argv):
        argv = ["--config", settings, *argv]
    parsed = parse(parser, argv)
    refuse_unused(experiment_of(parsed))
    return parsed


@dataclass(frozen=True)
class CheckpointOptions(OptionGroup):
    """Which checkpoint a command uses, and what may have to be said of one that was trained elsewhere."""

    checkpoint: str = option(..., CHECKPOINT_HELP, positional=True)
    convention: str | None = option(
        None, "convention of the output, where the checkpoint doesn't tell it", choices=lambda: CONVENTIONS
    )
