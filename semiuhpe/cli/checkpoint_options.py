"""What the scripts share that use a trained model: which checkpoint, and the settings of the run it lies in."""

import argparse
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import configargparse

from semiuhpe.cli.config import AddOptions, add_group, bind, called, make_parser, parse
from semiuhpe.cli.options import add_checkpoint
from semiuhpe.errors import ConfigError, require
from semiuhpe.evaluation.results import run_settings
from semiuhpe.methods import option_groups
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.models import LoadedModel, find_checkpoint, load_checkpoint, network_spec
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.weights import in_weights

STUDENT, TEACHER = "student", "teacher"
OUTPUTS = Path("outputs", "eval")
"""Where the results of models in ``weights/`` go, a folder each."""
BESIDE = f"beside the checkpoint ({OUTPUTS}/NAME for models of weights/)"
"""Where results go, in help texts."""
ROLES = (STUDENT, TEACHER)
_DESCRIBED = {
    "network": "network",
    "distribution": "distribution",
    "image_size": "image_size",
    "is_full_range": "full_range",
}
"""Options that a checkpoint's description answers, and where."""
_OWN = ("exps_dir", "exp_name", "exp_detail", "gpu_ids", "debug", "seed", "init_from", "original")
"""Options of the run that say nothing about evaluating it."""
_SHOWN = ("exps_dir", "gpu_ids", "network")
"""Options of training that matter wherever a checkpoint is used."""


def trained_parser(
    prog: str,
    description: str,
    add_own: AddOptions,
    shown: Collection[str] = (),
    checkpoint: str | None = None,
    original: str | None = None,
) -> configargparse.ArgumentParser:
    """Parser of a checkpoint, the script's own options, and everything that a settings file may say.

    Args:
        prog, description: of the script.
        add_own: adds its own options.
        shown: which others its help shows beside :data:`_SHOWN`; the rest have no effect, or are told by the
            checkpoint.
        checkpoint: the one that is used if it is left out.
        original: what ``--original`` does in the script, if anything.
    """
    parser = make_parser(prog, description, [partial(add_checkpoint, default=checkpoint), add_own])
    own = set(parser._actions)
    for group in option_groups():
        add_group(parser, group)
    for action in set(parser._actions) - own:
        if action.dest not in (*_SHOWN, *shown):
            action.help = argparse.SUPPRESS
        if original and action.dest == "original":
            action.help = original
    train = called("train.py")
    parser.epilog = f"All options of {train} are accepted too, on the command line and in settings; see {train} --help"
    parser.set_defaults(**dict.fromkeys(_DESCRIBED))  # None where neither the command line nor --config says it
    return parser


def parse_for_run(parser: configargparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, Path]:
    """Options and the checkpoint's file. What neither the command line nor ``--config`` says, the run's settings say.

    Args:
        parser: of :func:`trained_parser`.
        argv: the command line.

    Raises:
        ConfigError: an unknown option.
        CheckpointError: there is no such checkpoint, or it can't be fetched.
    """
    given = parse(parser, argv)
    path = find_checkpoint(given.checkpoint, given.exps_dir)
    return parse_with_run(parser, argv, path), path


def parse_with_run(parser: configargparse.ArgumentParser, argv: Sequence[str], checkpoint: Path) -> argparse.Namespace:
    """Options as :func:`parse_for_run`, for a checkpoint that has been found."""
    known = {action.dest for action in parser._actions} - {*_DESCRIBED, *_OWN}
    settings = run_settings(checkpoint) or {}
    parser.set_defaults(**{key: value for key, value in settings.items() if key in known})
    options = parse(parser, argv, quiet=True)
    bind(options, OriginalOptions).without_ignored()  # says so
    return options


def load_models(options: argparse.Namespace, path: Path, roles: Sequence[str] = ROLES) -> dict[str, LoadedModel]:
    """Student and teacher of a checkpoint, or one of them.

    Raises:
        ConfigError: an option contradicts the checkpoint.
        CheckpointError: it can't be read.
    """
    if options.network is not None:
        network_spec(options.network)
    models = {
        role: load_checkpoint(path, role == TEACHER, network=options.network, convention=options.convention)
        for role in roles
    }
    check_description(options, models[roles[0]].description, path)
    return models


def results_folder(checkpoint: Path) -> Path:
    """Where results of a checkpoint go if the user names no file: beside it, but not into ``weights/``.

    Raises:
        ConfigError: the folder can't be made.
    """
    if not in_weights(checkpoint):
        return checkpoint.parent
    folder = OUTPUTS / checkpoint.stem
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: can't be made ({error.strerror}); name a file with --output") from error
    return folder


def check_output(path: Path) -> None:
    """Raises ConfigError unless a JSON file can be written there."""
    require(path.suffix == ".json", f"--output {path}: has to end in .json")
    writable = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    require(writable, f"--output {path}: can't be written; name another")


def check_description(options: argparse.Namespace, description: Description, path: Path) -> None:
    """Raises ConfigError if an option of the command line or of ``--config`` contradicts a checkpoint's description."""
    for option, name in _DESCRIBED.items():
        said, actual = getattr(options, option), getattr(description, name)
        require(
            said is None or said == actual,
            f"--{option} {said}: {path} is a checkpoint of {actual if option == 'network' else f'{option} {actual}'}; "
            "the command line or --config says otherwise: pass the same, or leave it out",
        )
