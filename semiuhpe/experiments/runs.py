"""Runs of one experiment that differ in a few options, as tables compare them; what is finished is not done again."""

import logging
from pathlib import Path
from typing import Any

import yaml

from semiuhpe.errors import Stopped
from semiuhpe.methods import Experiment, method_of
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.settings import RUN_SETTINGS
from semiuhpe.training.run import train
from semiuhpe.training.run_folder import VERSIONS, fingerprints

logger = logging.getLogger(__name__)

BASELINE_OPTIONS = {"dynamic_thres": False, "cutout_aug": False, "cutmix_aug": False, "rotate_aug": False}
"""Stage 2 without the parts that are SemiUHPE's own: the teacher-student baseline."""
_IRRELEVANT = ("config", "num_workers", "gpu_ids", "cont_ckpt")
"""Options that don't change what a run gives."""


def variant(experiment: Experiment, name: str, **changes: Any) -> Experiment:
    """A run of its own, in the folder ``name`` of the experiment, with other values of some options."""
    return experiment.replace(exp_detail=name, cont_ckpt=None, **changes)


def train_once(experiment: Experiment, again: bool = False) -> Path:
    """The folder of a finished run with these options: found, continued, or trained.

    Raises:
        Stopped: a signal came.
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
    """Whether a run has come to its end, which is beyond ``max_iteration`` with ``whole_epochs``."""
    clock = read_checkpoint(checkpoint)["clock"]
    return bool(clock["iteration"] >= clock.get("end", max_iteration))


def _same_data(experiment: Experiment, checkpoint: Path) -> bool:
    """Whether a run was trained on the stores as they are now: by their fingerprints, not by the clock.

    Runs of before have none, or not those of all stores: of these, the run has to be younger than the store.
    """
    versions = checkpoint.parent / VERSIONS
    recorded = ((yaml.safe_load(versions.read_text()) or {}) if versions.is_file() else {}).get("stores") or {}
    stores = method_of(experiment).stores()
    now = fingerprints(stores)
    if any(now.get(name) != found for name, found in recorded.items()):
        return False
    unrecorded = [stores[name] / "data.mdb" for name in now if name not in recorded]
    return all(checkpoint.stat().st_mtime > data.stat().st_mtime for data in unrecorded)


def _same_settings(experiment: Experiment, path: Path) -> bool:
    """Whether a run has the same settings, but for where datasets lie: :func:`_same_data` compares what they hold."""
    if not path.is_file():
        return False
    mine, theirs = (
        {k: v for k, v in given.items() if v is not None and k not in _IRRELEVANT and not k.startswith("data_dir_")}
        for given in (experiment.values(), yaml.safe_load(path.read_text()) or {})
    )
    return mine == theirs
