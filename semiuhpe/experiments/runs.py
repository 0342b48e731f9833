"""Runs of one experiment that differ in a few options, for comparison in tables; finished runs are reused."""

import logging
from pathlib import Path
from typing import Any

import yaml

from semiuhpe.data.stores import DATA_FILE
from semiuhpe.errors import ConfigError, Stopped
from semiuhpe.methods import Experiment, method_of
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.settings import RUN_SETTINGS
from semiuhpe.training.run import train
from semiuhpe.training.run_folder import VERSIONS, fingerprints

logger = logging.getLogger(__name__)

BASELINE_OPTIONS = {"dynamic_thres": False, "cutout_aug": False, "cutmix_aug": False, "rotate_aug": False}
"""Options of the baseline: teacher and student without SemiUHPE's own parts."""
_IRRELEVANT = ("config", "num_workers", "gpu_ids", "cont_ckpt")
"""Options that don't affect the result of a run."""


def variant(experiment: Experiment, name: str, **changes: Any) -> Experiment:
    """Return a copy of an experiment with other values of some options, whose runs are in its folder ``name``."""
    return experiment.replace(exp_detail=name, cont_ckpt=None, **changes)


def train_once(experiment: Experiment, again: bool = False) -> Path:
    """Return the folder of a finished run with these options, which is trained or continued if necessary.

    Raises:
        Stopped: a signal arrived.
    """
    run = experiment.run
    root = Path(run.exps_dir) / run.exp_name / (run.exp_detail or "")
    candidates = [] if again else sorted(root.glob("*/last.pth"), key=lambda path: path.stat().st_mtime)
    checkpoint = None
    for path in candidates:
        if _same_data(experiment, path) and _same_settings(experiment, path.parent / RUN_SETTINGS):
            checkpoint = path
    if checkpoint and _is_finished(checkpoint, experiment.training.max_iteration):
        logger.info("%s is trained already: %s", run.exp_detail, checkpoint.parent)
        return checkpoint.parent
    logger.info("\n== %s ==", run.exp_detail)
    result = train(experiment, checkpoint)
    if not result.finished:
        raise Stopped
    return result.folder


def _is_finished(checkpoint: Path, max_iteration: int) -> bool:
    """Return whether a run is finished; with ``whole_epochs`` it ends after ``max_iteration``."""
    clock = read_checkpoint(checkpoint)["clock"]
    return bool(clock["iteration"] >= clock.get("end", max_iteration))


def _same_data(experiment: Experiment, checkpoint: Path) -> bool:
    """Return whether a run was trained on the present stores, by their fingerprints.

    Runs of earlier versions lack some or all fingerprints; the run then has to be newer than such a store.
    """
    versions = checkpoint.parent / VERSIONS
    recorded = ((yaml.safe_load(versions.read_text()) or {}) if versions.is_file() else {}).get("stores") or {}
    stores = method_of(experiment).stores()
    now = fingerprints(stores)
    if any(now.get(name) != found for name, found in recorded.items()):
        return False
    unrecorded = [stores[name] / DATA_FILE for name in now if name not in recorded]
    return all(checkpoint.stat().st_mtime > data.stat().st_mtime for data in unrecorded)


def _same_settings(experiment: Experiment, path: Path) -> bool:
    """Return whether a run has the same settings, except for paths of stores, which :func:`_same_data` compares.

    Options that an earlier version lacked have their defaults in its runs.
    """
    if not path.is_file():
        return False
    settings = yaml.safe_load(path.read_text()) or {}
    try:
        recorded = Experiment.from_values(settings)
    except ConfigError:
        return False  # a value that is none any more
    mine, theirs = (
        {k: v for k, v in given.items() if v is not None and k not in _IRRELEVANT and not k.startswith("data_dir_")}
        for given in (experiment.values(), settings | recorded.values())  # also options that are gone
    )
    return mine == theirs
