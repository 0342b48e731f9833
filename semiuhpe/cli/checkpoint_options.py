"""What the scripts share that use a trained model: which checkpoint, and the settings of the run it lies in."""

import argparse
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import configargparse

from semiuhpe.cli.config import SettingsOptions, add_group, bind, called, make_parser, parse
from semiuhpe.cli.options import CheckpointOptions
from semiuhpe.data.experiment import DataOptions
from semiuhpe.errors import ConfigError, require
from semiuhpe.evaluation.provenance import run_settings
from semiuhpe.evaluation.run import load_roles
from semiuhpe.foreign import is_foreign, locate_model, short_name
from semiuhpe.methods import option_groups
from semiuhpe.methods.onestage import OneStageOptions
from semiuhpe.methods.options import RunOptions, TrainingOptions
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.models import LoadedModel, network_spec
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.roles import STUDENT, TEACHER
from semiuhpe.models.weights import in_weights
from semiuhpe.options import OptionGroup, PositiveInt, option
from semiuhpe.settings import RUN_SETTINGS

OUTPUTS = Path("outputs", "eval")
"""Where the results of models in ``weights/`` and of networks of others go, a folder each."""
BESIDE = f"beside the checkpoint ({OUTPUTS}/NAME for models of weights/ and of others)"
"""Where results go, in help texts."""
ROLES = (STUDENT, TEACHER)
_OF_RUN = (DataOptions, OneStageOptions)
_OF_TRAINING = ("eval_batch_size", "num_workers", "bf16")
"""What the settings of a run say about using its models: groups, and names of options of training."""
_SHOWN = ("exps_dir", "gpu_ids", "network")
"""Options of training that matter wherever a checkpoint is used."""


@dataclass(frozen=True)
class DescribedOptions(OptionGroup):
    """Options of the network that a checkpoint's description answers; None for what is not said.

    ``NetworkOptions`` says what they are. A run's settings don't fill them: its checkpoint knows.
    """

    network: str | None = option(None, None)
    distribution: str | None = option(None, None)
    image_size: PositiveInt | None = option(None, None)
    is_full_range: bool | None = option(None, None)

    def check(self, description: Description, path: Path) -> None:
        """Raise ConfigError if what is said contradicts the description of the checkpoint at ``path``."""
        described = {
            "network": description.network,
            "distribution": description.distribution,
            "image_size": description.image_size,
            "is_full_range": description.full_range,
        }
        for name, said in self.values().items():
            actual = described[name]
            require(
                said is None or said == actual,
                f"--{name} {said}: {path} is a checkpoint of {actual if name == 'network' else f'{name} {actual}'}; "
                "the command line or --config says otherwise: pass the same, or leave it out",
            )


@dataclass(frozen=True)
class TrainedOptions:
    """What is said of a trained model, and of what it is used on; the command's own options are not among it.

    Attributes:
        config: the settings file that ``--config`` names.
        model: the checkpoint.
        original: whether to do as the paper's code does.
    """

    config: Path | None
    model: CheckpointOptions
    described: DescribedOptions
    run: RunOptions
    data: DataOptions
    training: TrainingOptions
    original: bool


def bind_trained(parsed: argparse.Namespace) -> TrainedOptions:
    """What a parser of :func:`trained_parser` was told of a trained model."""
    return TrainedOptions(
        bind(parsed, SettingsOptions).file, bind(parsed, CheckpointOptions), bind(parsed, DescribedOptions),
        bind(parsed, RunOptions), bind(parsed, DataOptions), bind(parsed, TrainingOptions),
        bind(parsed, OriginalOptions).original,
    )  # fmt: skip


def trained_parser(
    prog: str,
    description: str,
    groups: Iterable[type[OptionGroup]],
    shown: Collection[str] = (),
    original: str | None = None,
) -> configargparse.ArgumentParser:
    """Parser of a checkpoint, the script's own options, and everything that a settings file may say.

    Args:
        prog, description: of the script.
        groups: of the checkpoint, :class:`CheckpointOptions`, and of the script's own options.
        shown: which others its help shows beside :data:`_SHOWN`; the rest have no effect, or are told by the
            checkpoint.
        original: what ``--original`` does in the script, if anything.
    """
    parser = make_parser(prog, description, groups)
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
    parser.set_defaults(**DescribedOptions.defaults())  # None where neither the command line nor --config says it
    return parser


def parse_for_run(
    parser: configargparse.ArgumentParser, argv: Sequence[str], others: bool = False
) -> tuple[argparse.Namespace, Path]:
    """Options and the checkpoint's file. What neither the command line nor ``--config`` says, the run's settings say.

    Args:
        parser: of :func:`trained_parser`.
        argv: the command line.
        others: the checkpoint may be a network of others.

    Raises:
        ConfigError: an unknown option, or a network of others that is of no use.
        CheckpointError: there is no such checkpoint, or it can't be fetched.
    """
    given = bind_trained(parse(parser, argv))
    given.model.obey_offline()
    name = given.model.checkpoint
    require(others or not is_foreign(name), f"{name}: is a network of others; name a checkpoint of this project")
    path = locate_model(name, given.run.exps_dir)
    return parse_with_run(parser, argv, path), path


def parse_with_run(parser: configargparse.ArgumentParser, argv: Sequence[str], checkpoint: Path) -> argparse.Namespace:
    """Options as :func:`parse_for_run`, for a checkpoint that has been found."""
    parser.set_defaults(**_settings_to_use(checkpoint))
    parsed = parse(parser, argv, quiet=True)
    bind(parsed, OriginalOptions).without_ignored()  # says so
    return parsed


def _settings_to_use(checkpoint: Path) -> dict[str, Any]:
    """What the settings of a checkpoint's run say about using it; ConfigError if one can't be a value of its option."""
    options = [option for group in _OF_RUN for option in group.options()]
    options += [option for option in TrainingOptions.options() if option.name in _OF_TRAINING]
    settings, found = run_settings(checkpoint) or {}, {}
    for each in options:
        if settings.get(each.name) is not None:
            try:
                found[each.name] = each.check(settings[each.name])
            except ConfigError as error:
                raise ConfigError(f"{checkpoint.parent / RUN_SETTINGS}: {error}; mend that line") from error
    return found


def load_models(options: TrainedOptions, path: Path, roles: Sequence[str] = ROLES) -> dict[str, LoadedModel]:
    """Student and teacher of a checkpoint, or one of them; of a network of others the only one, whatever is asked for.

    Raises:
        ConfigError: an option contradicts the checkpoint.
        CheckpointError: it can't be read.
    """
    network, convention = options.described.network, options.model.convention
    if network is not None:
        network_spec(network)
    models = load_roles(path, roles, network, convention)
    options.described.check(next(iter(models.values())).description, path)
    return models


def results_folder(checkpoint: Path) -> Path:
    """Where results of a checkpoint go if the user names no file: beside it, but not into ``weights/``.

    Raises:
        ConfigError: the folder can't be made.
    """
    if not in_weights(checkpoint) and not is_foreign(checkpoint):
        return checkpoint.parent
    folder = OUTPUTS / short_name(checkpoint)
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
