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

BASELINE_OPTIONS = {"dynamic_thres": False, "cutout_aug": False, "cutmix_aug": False, "rotate_aug": False}
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

    Runs of before have none, or not those of all stores: of these, the run has to be younger than the store.
    """
    versions = checkpoint.parent / VERSIONS
    recorded = ((yaml.safe_load(versions.read_text()) or {}) if versions.is_file() else {}).get("stores") or {}
    now = trained_on(options)
    if any(now.get(name) != found for name, found in recorded.items()):
        return False
    unrecorded = [store_path(options, name) / "data.mdb" for name in now if name not in recorded]
    return all(checkpoint.stat().st_mtime > data.stat().st_mtime for data in unrecorded)


def _same_settings(options: argparse.Namespace, path: Path) -> bool:
    """Whether a run has the same settings, but for where datasets lie: :func:`_same_data` compares what they hold."""
    if not path.is_file():
        return False
    ignored = ("config", "num_workers", "gpu_ids", "cont_ckpt")
    mine, theirs = (
        {k: v for k, v in given.items() if v is not None and k not in ignored and not k.startswith("data_dir_")}
        for given in (vars(options), yaml.safe_load(path.read_text()) or {})
    )
    return mine == theirs
