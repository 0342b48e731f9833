"""Runs of one experiment that differ in a few options, as tables compare them; what is finished is not done again."""

import argparse
import logging
from pathlib import Path

import yaml

from semiuhpe.cli.train import train
from semiuhpe.data.experiment import store_path
from semiuhpe.errors import Stopped
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.training.run_folder import VERSIONS, trained_on

logger = logging.getLogger(__name__)

PLAIN = {"dynamic_thres": False, "cutout_aug": False, "cutmix_aug": False, "rotate_aug": False}
"""Stage 2 without the parts that are SemiUHPE's own: the teacher-student baseline."""


def variant(options: argparse.Namespace, name: str, **changes) -> argparse.Namespace:
    """Options of a run of its own, in the folder ``name`` of the experiment."""
    return argparse.Namespace(**{**vars(options), "exp_detail": name, "cont_ckpt": None, **changes})


def train_once(options: argparse.Namespace, again: bool = False) -> Path:
    """The folder of a finished run with these options: found, continued, or trained. Stopped if a signal came."""
    root = Path(options.exps_dir) / options.exp_name / options.exp_detail
    candidates = [] if again else sorted(root.glob("*/last.pth"), key=lambda path: path.stat().st_mtime)
    checkpoint = None
    for path in candidates:
        if _same_data(options, path) and _same_settings(options, path.parent / "config.yml"):
            checkpoint = path
    if checkpoint and read_checkpoint(checkpoint)["clock"]["iteration"] >= options.max_iteration:
        logger.info("%s is trained already: %s", options.exp_detail, checkpoint.parent)
        return checkpoint.parent
    logger.info("\n== %s ==", options.exp_detail)
    result = train(options, checkpoint)
    if not result.finished:
        raise Stopped
    return result.folder


def _same_data(options: argparse.Namespace, checkpoint: Path) -> bool:
    """Whether a run was trained on the stores as they are now: by their fingerprints, not by the clock.

    Runs of before have none: those are taken that are younger than the stores.
    """
    versions = checkpoint.parent / VERSIONS
    stores = (yaml.safe_load(versions.read_text()) or {}).get("stores") if versions.is_file() else None
    if stores is not None:
        return stores == trained_on(options)
    names = [name for name in ("train_labeled", "train_unlabeled", "val_set") if getattr(options, name)]
    rendered = max((store_path(options, name) / "data.mdb").stat().st_mtime for name in names)
    return checkpoint.stat().st_mtime > rendered


def _same_settings(options: argparse.Namespace, path: Path) -> bool:
    if not path.is_file():
        return False
    ignored = ("config", "num_workers", "gpu_ids", "cont_ckpt")
    mine = {k: v for k, v in vars(options).items() if v is not None and k not in ignored}
    theirs = {k: v for k, v in (yaml.safe_load(path.read_text()) or {}).items() if k not in ignored}
    return mine == theirs
