"""Short training runs: their options, what they leave, and how one is cut off."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from semiuhpe.cli import options as cli_options
from semiuhpe.cli.config import parse
from semiuhpe.cli.train import parse_options
from semiuhpe.methods import Experiment
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.training.non_finite import NonFiniteGuard
from semiuhpe.training.run import TrainResult, train
from semiuhpe.training.run_folder import read_scalars


def crop_settings(stores: Mapping[str, Path], exps: Path) -> list[str]:
    """Return the part of the command line of a training run that all methods of head crops have."""
    return [
        *("--exps_dir", str(exps), "--exp_name", "tiny", "--network", "plainnet", "--image_size", "32"),
        *("--train_labeled", str(stores["labeled"]), "--train_unlabeled", str(stores["unlabeled"])),
        *("--test_set", str(stores["test"]), "--batch_size", "4", "--num_workers", "0", "--lr", "1e-3"),
        *("--max_iteration", "6", "--val_frequency", "2", "--save_frequency", "2", "--log_frequency", "1"),
    ]


def short_settings(stores: Mapping[str, Path], exps: Path) -> list[str]:
    """Return the command line of a SemiUHPE run that takes a second."""
    own = ("--stage1_iteration", "3", "--ulb_batch_ratio", "2")
    return [*crop_settings(stores, exps), *own, "--dynamic_thres", "--cutout_aug", "--cutmix_aug", "--rotate_aug"]


def parsed_experiment(*argv: str) -> Experiment:
    """The options of a command line of ``train.py``, not checked against each other."""
    return cli_options.experiment_of(parse(cli_options.experiment_parser("train.py", ""), argv))


def experiment_of(*argv: str) -> Experiment:
    """Return the options of a command line of ``train.py``."""
    return parse_options(argv)[0]


def train_run(settings: list[str], *more: str) -> TrainResult:
    """Train as a command line of ``train.py`` says."""
    return train(*parse_options([*settings, *more]))


def state(folder: Path) -> dict:
    """Return all weights, the optimizer's state and the lowest error, from the last checkpoint of a run."""
    checkpoint = read_checkpoint(folder / "last.pth")
    parts = ("model_state_dict", "model_state_dict_ema", "optimizer_state_dict", "best")
    return {key: checkpoint[key] for key in parts}


def same_weights(first: Path, second: Path) -> bool:
    """Tell whether the last students of two runs are bit for bit the same."""
    one, other = (state(folder)["model_state_dict"] for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def losses(folder: Path) -> dict[int, float]:
    """Return the training losses of a run by step."""
    return {row["step"]: row["train/loss"] for row in read_scalars(folder) if "train/loss" in row}


class Killed(BaseException):
    """Ends a run as a kill would: nothing handles it."""


def killed_run(monkeypatch: pytest.MonkeyPatch, settings: list[str], step: int) -> Path:
    """Train until step ``step``, counted from 0, die there without warning, and return the run folder."""
    original, calls = NonFiniteGuard.before_step, iter(range(10_000))

    def die(self):
        if next(calls) == step:
            raise Killed
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(NonFiniteGuard, "before_step", die)
        return run_until_killed(settings)


def run_until_killed(settings: list[str]) -> Path:
    """Train with something patched that raises :class:`Killed`; return the run folder."""
    with pytest.raises(Killed):
        train_run(settings, "--exp_detail", "killed")
    (folder,) = (exps_dir(settings) / "tiny" / "killed").iterdir()
    return folder


def resume(settings: list[str], folder: Path, *more: str) -> TrainResult:
    """Go on with a run from its last checkpoint, which is named as a user names it."""
    name = f"{folder.parent.name}/{folder.name}/last"
    return train_run(["--exps_dir", str(exps_dir(settings)), "--cont_ckpt", name], *more)


def exps_dir(settings: list[str]) -> Path:
    """Return where runs of a command line are."""
    return Path(settings[settings.index("--exps_dir") + 1])
