"""``train.py``: trains a pose network as a settings file says."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.config import parse
from semiuhpe.cli.options import experiment_of, experiment_parser
from semiuhpe.methods import Experiment
from semiuhpe.models import find_checkpoint
from semiuhpe.training.run import check_experiment, drop_ignored, refuse_unused, run_settings_file, train


def main(argv: Sequence[str]) -> int:
    experiment, checkpoint = parse_options(argv)
    train(experiment, checkpoint)
    return 0


def parse_options(argv: Sequence[str]) -> tuple[Experiment, Path | None]:
    """Options of a new run, or those of the run that ``--cont_ckpt`` continues, and the checkpoint to continue from.

    The settings of a continued run are its own; what else is on the command line overrides them.
    """
    parser = experiment_parser("train.py", "Trains a head pose network.")
    experiment = given = experiment_of(parse(parser, argv))
    checkpoint = None
    if named := experiment.training.cont_ckpt:
        checkpoint = find_checkpoint(named, experiment.run.exps_dir)
        settings = run_settings_file(checkpoint, named)
        own = _without_config(argv)
        experiment = experiment_of(parse(parser, ["--config", str(settings), *own]))
        given = experiment_of(parse(parser, own))
    experiment = drop_ignored(experiment)
    check_experiment(experiment)
    refuse_unused(experiment.training.method, given)
    return experiment, checkpoint


def _without_config(argv: Sequence[str]) -> list[str]:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    return first.parse_known_args(argv)[1]
