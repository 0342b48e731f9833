"""What the commands that train and compare models on rendered data share: their options, and those of their runs."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from semiuhpe.cli.options import refuse_unused
from semiuhpe.config import natural, parse, positive_int, require


def add_comparison(parser: argparse.ArgumentParser, folder: str, what: str) -> argparse._ArgumentGroup:
    """Adds the options ``seeds``, ``data``, ``workers`` and ``output``, and returns their group for others.

    Args:
        parser: of the command.
        folder: the default of ``--data``.
        what: each seed has of its own, such as heads.
    """
    group = parser.add_argument_group("comparison")
    group.add_argument("--seeds", type=natural, nargs="+", default=[0, 1, 2], help=f"each with {what} of its own")
    group.add_argument("--data", type=Path, metavar="DIR", default=Path(folder), help="for stores")
    group.add_argument("--workers", type=positive_int, default=2, help="processes that render")
    group.add_argument("--output", type=Path, metavar="DIR", default=Path("outputs/tables"), help="folder for tables")
    return group


def parse_with(parser: argparse.ArgumentParser, argv: Sequence[str], settings: str) -> argparse.Namespace:
    """The options of a command line that has a settings file by default.

    Raises:
        ConfigError: an unknown option or value, or an option that only other methods have.
    """
    if not any(argument.split("=")[0] == "--config" for argument in argv):
        argv = ["--config", settings, *argv]
    options = parse(parser, argv)
    refuse_unused(options.method, options)
    return options


def check_rendered(options: argparse.Namespace, what: str) -> None:
    """Raises ConfigError if stores are named, because the command renders ``what`` for itself."""
    named = options.train_labeled or options.test_set
    require(not named, f"--train_labeled and --test_set: the {what} are rendered")


def training_options(options: argparse.Namespace, own: Collection[str]) -> argparse.Namespace:
    """Without a command's ``own`` options, so that train.py can continue the run from its settings."""
    return argparse.Namespace(**{key: value for key, value in vars(options).items() if key not in own})
