"""The comparison of the paper: a supervised model, and models that start from it and learn from unlabeled heads too."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from semiuhpe.data.experiment import open_labeled
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.experiments.quickstart import SUPERVISED
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.methods import Experiment
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.methods.semiuhpe import SemiUHPEOptions
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder

Changes = Mapping[str, bool | str]
"""Values of options that differ from the settings."""


def trained(
    experiment: Experiment, name: str, ratio: float, models: Mapping[str, Changes]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield names and results on the test heads, of the supervised model and of models that start from it.

    Args:
        experiment: names the stores; runs that are finished are reused.
        name: beginning of the names of its run folders.
        ratio: share of labeled heads, if labeled and unlabeled heads are of one store.
        models: what differs from the experiment in the second stage of each model.
    """
    original = experiment.group(OriginalOptions).original
    stage1_iteration = experiment.group(SemiUHPEOptions).stage1_iteration
    name = f"{name}_r{ratio}" + ("_original" if original else "")
    supervised = variant(
        experiment, f"{name}_{SUPERVISED}", ss_ratio=ratio, max_iteration=stage1_iteration, **BASELINE_OPTIONS
    )
    folder = train_once(supervised)
    yield SUPERVISED, results_of(experiment, folder)
    stage2 = {
        "ss_ratio": ratio,
        "stage1_iteration": 0,
        "max_iteration": experiment.training.max_iteration - stage1_iteration,
        "init_from": str(folder / "last.pth"),
    }
    for model, changes in models.items():
        detail = re.sub(r"\W+", "_", model).strip("_")
        folder = train_once(variant(experiment, f"{name}_{detail}", **stage2, **changes))
        yield model, results_of(experiment, folder)


def results_of(experiment: Experiment, folder: Path) -> dict[str, float]:
    """Return the results of a run's last teacher on the test heads."""
    loaded = load_checkpoint(folder / "last.pth")
    device = pick_device(experiment.run.gpu_ids, quiet=True)
    store, decoder = open_labeled(experiment.data, "test_set"), PoseDecoder(loaded.description)
    return evaluate(loaded.model.to(device), decoder, store, device, experiment.training.eval_batch_size).summary
