"""``semiuhpe quickstart``: renders heads, trains three models on them, and compares them on one page.

Rendered stores and finished runs with the same settings are reused, and an interrupted run is continued.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.data.experiment import DataOptions, datasets, open_labeled, store_path
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.experiments.quickstart_report import ModelResult, write_report
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.methods import Experiment
from semiuhpe.methods.semiuhpe import SemiUHPEOptions
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.options import OptionGroup, PositiveInt, option
from semiuhpe.synthetic.head_stores import HEADS_SOURCE, SyntheticSet
from semiuhpe.training.run import check_experiment
from semiuhpe.training.run_folder import read_scalars

DEFAULT_SETTINGS = "settings/quickstart.yml"
SUPERVISED, BASELINE, SEMIUHPE = "supervised", "baseline", "SemiUHPE"


@dataclass(frozen=True)
class QuickstartOptions(OptionGroup, title="quickstart"):
    """The options of the quickstart, in addition to those of training."""

    labelled_heads: PositiveInt = option(600, "number of labeled clean heads")
    unlabelled_heads: PositiveInt = option(8000, "number of unlabeled wild heads")
    val_heads: PositiveInt = option(400, "number of held-out clean heads on which `best` is selected")
    test_heads: PositiveInt = option(1000, "number of held-out wild heads for testing")
    workers: PositiveInt = option(2, "number of processes that render")
    again: bool = option(False, "render and train again, replacing earlier stores and runs")


@dataclass(frozen=True)
class Quickstart:
    """The results of the quickstart.

    Attributes:
        results: results of each model, by name.
        report: path of the page.
        checkpoint: the last checkpoint of SemiUHPE.
    """

    results: dict[str, ModelResult]
    report: Path
    checkpoint: Path


def quickstart(experiment: Experiment, options: QuickstartOptions) -> Quickstart:
    """Render heads, train three models on them, evaluate them on held-out heads, and write a page.

    Raises:
        SemiUHPEError: any of its subclasses.
        Stopped: a signal arrived; finished stores and runs are kept.
    """
    check_experiment(experiment)
    render_stores(experiment, options)
    runs = train_all(experiment, options.again)
    results = evaluate_runs(experiment, runs)
    report = write_report(
        experiment.data, results, Path(experiment.run.exps_dir) / experiment.run.exp_name / "report.html"
    )
    rows = {name: result.row() for name, result in results.items()}
    write_result(report.parent / "results.json", json.dumps(rows, indent=1).encode())
    return Quickstart(results, report, runs[SEMIUHPE] / "last.pth")


def render_stores(experiment: Experiment, options: QuickstartOptions) -> None:
    """Render the four stores that the settings name, unless they exist with the same heads."""
    network, seed = experiment.network, 10 * experiment.run.seed
    heads_range = "full" if network.is_full_range else "front"
    size, loose = network.image_size, round(network.image_size * STORE_MARGIN_FACTOR)
    # All stores have different seeds, which also differ between the experiment's seeds.
    wanted = {
        "train_labeled": SyntheticSet(options.labelled_heads, "clean", heads_range, seed, loose, test=False),
        "train_unlabeled": SyntheticSet(options.unlabelled_heads, "wild", heads_range, seed + 1, loose, test=False),
        "val_set": SyntheticSet(options.val_heads, "clean", heads_range, seed + 2, size, test=True),
        "test_set": SyntheticSet(options.test_heads, "wild", heads_range, seed + 3, size, test=True),
    }
    paths = {role: store_path(experiment.data, role) for role in wanted}
    check_targets(experiment.data, paths)
    for role, heads in wanted.items():
        render_once(heads, paths[role], options.workers, options.again)


def check_targets(data: DataOptions, paths: dict[str, Path]) -> None:
    """Raise ConfigError unless the options name four different stores that are new or have been rendered before."""
    for role, path in paths.items():
        name = getattr(data, role)
        require(name not in datasets(), f"--{role} {name}: the quickstart renders its stores; name a new path")
        foreign = path.exists() and HeadStore(path).meta.get("source") != HEADS_SOURCE
        require(not foreign, f"--{role} {path}: was not rendered, so the quickstart doesn't replace it")
    require(
        len({path.resolve() for path in paths.values()}) == len(paths),
        "--train_labeled, --train_unlabeled, --val_set and --test_set have to be four different stores",
    )


def train_all(experiment: Experiment, again: bool) -> dict[str, Path]:
    """Train the three models, and return their run folders.

    The supervised model is stage 1 of the other two, so it is trained once and they start from it.
    """
    steps = experiment.group(SemiUHPEOptions).stage1_iteration
    supervised = variant(experiment, SUPERVISED, max_iteration=steps, **BASELINE_OPTIONS)
    folder = train_once(supervised, again)
    stage2 = {
        "stage1_iteration": 0,
        "max_iteration": experiment.training.max_iteration - steps,
        "init_from": str(folder / "last.pth"),
    }
    runs = {SUPERVISED: folder}
    for name, changes in ((BASELINE, BASELINE_OPTIONS), (SEMIUHPE, {})):
        runs[name] = train_once(variant(experiment, name, **stage2, **changes), again)
    return runs


def evaluate_runs(experiment: Experiment, runs: dict[str, Path]) -> dict[str, ModelResult]:
    """Evaluate the last teacher of each run on the test heads: no checkpoint is selected on them."""
    store = open_labeled(experiment.data, "test_set")
    device = pick_device(experiment.run.gpu_ids, quiet=True)
    results = {}
    for name, folder in runs.items():
        loaded = load_checkpoint(folder / "last.pth")
        decoder = PoseDecoder(loaded.description)
        batch_size = experiment.training.eval_batch_size
        evaluation = evaluate(loaded.model.to(device), decoder, store, device, batch_size)
        results[name] = ModelResult(evaluation, read_scalars(folder))
    return results
