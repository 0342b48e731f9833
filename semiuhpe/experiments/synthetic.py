"""``semiuhpe tables synthetic``: the paper's comparison at a small scale, on rendered heads.

A store of wild heads is rendered for each seed. As with 300W-LP in the paper, a share of it is labeled and the rest is
unlabeled. Three models are trained for each share: supervised, the baseline, and SemiUHPE. At one share, SemiUHPE is
also trained without each of its parts, and as the paper's code does, in all respects and in single ones. Finished
stores and runs are reused.
"""

import json
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from semiuhpe.data.experiment import open_labeled
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import ComparisonOptions, check_rendered
from semiuhpe.experiments.quickstart import BASELINE, SEMIUHPE, SUPERVISED
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.methods import Experiment
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.methods.semiuhpe import SemiUHPEOptions
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.options import PositiveInt, option
from semiuhpe.synthetic.head_stores import SyntheticSet
from semiuhpe.training.run import check_experiment

DEFAULT_SETTINGS = "settings/tables_synthetic.yml"
METRIC = "geodesic_mean_deg"

Changes = Mapping[str, bool | str]
"""Values of options that differ from the settings."""
Errors = dict[str, dict[str, float]]
"""Errors by model, then by seed as text."""

PAPERS = "the paper's code (--original)"
ABLATION: dict[str, Changes] = {
    SEMIUHPE: {},
    "with a fixed threshold": {"dynamic_thres": False},
    "with the running threshold": {"running_thres": True},
    "without cutout": {"cutout_aug": False},
    "without cutmix": {"cutmix_aug": False},
    "without rotation": {"rotate_aug": False},
    BASELINE: BASELINE_OPTIONS,
    "without EMAN": {"eman": False},
    "with the paper's teacher": {"teacher_mode": "train", "eman": False},
    "with the paper's first threshold": {"first_thres": "uniform"},
    "with the paper's two passes of the student": {"student_passes": "two"},
}
ORIGINAL: Changes = {"original": True, "eman": False}
"""Options of both stages; the paper's commands don't use EMAN."""


@dataclass(frozen=True)
class SyntheticOptions(ComparisonOptions):
    """The options of these tables, in addition to those of training."""

    data: Path = option(Path("data/tables_synthetic"), "folder for rendered stores", metavar="DIR")
    heads: PositiveInt = option(10000, "number of heads rendered for training, labeled and unlabeled")
    test_heads: PositiveInt = option(1000, "number of heads rendered for testing")
    ratios: tuple[float, ...] = option((0.02, 0.05, 0.1, 0.2), "shares of labeled heads")
    ablation_ratio: float = option(0.05, "share of labeled heads in the ablation")


def check(experiment: Experiment, options: SyntheticOptions) -> None:
    """Raise ConfigError if an option has an impossible value or options contradict each other."""
    check_rendered(experiment, "heads")
    check_experiment(experiment)
    for ratio in (*options.ratios, options.ablation_ratio):
        require(0.0 < ratio < 1.0, f"--ratios, --ablation_ratio: {ratio} must lie in (0, 1)")


def tables(experiment: Experiment, options: SyntheticOptions) -> list[Table]:
    """Train and evaluate models that are missing, and return the tables."""
    results = Path(experiment.run.exps_dir) / experiment.run.exp_name / "results.json"
    by_ratio: dict[float, Errors] = {ratio: {} for ratio in options.ratios}
    ablation: Errors = {}
    for seed in options.seeds:
        of_seed = render(experiment, options, seed)
        for ratio in options.ratios:
            models = {BASELINE: BASELINE_OPTIONS, SEMIUHPE: {}}
            for name, error in trained_errors(of_seed, ratio, models):
                by_ratio[ratio].setdefault(name, {})[str(seed)] = error
        for name, error in trained_errors(of_seed, options.ablation_ratio, ABLATION):
            ablation.setdefault(name, {})[str(seed)] = error
        *_, (name, error) = trained_errors(of_seed, options.ablation_ratio, {PAPERS: {}}, ORIGINAL)
        ablation.setdefault(name, {})[str(seed)] = error
        write_result(results, json.dumps({"by_ratio": by_ratio, "ablation": ablation}, indent=1).encode())
    lines = notes(experiment, options)
    return [ratio_table(options, by_ratio, lines), ablation_table(options, ablation, lines)]


def render(experiment: Experiment, options: SyntheticOptions, seed: int) -> Experiment:
    """Render missing stores of one seed, and return its experiment, which names the stores."""
    network = experiment.network
    heads_range = "full" if network.is_full_range else "front"
    size, loose = network.image_size, round(network.image_size * STORE_MARGIN_FACTOR)
    sets = {
        "train": SyntheticSet(options.heads, "wild", heads_range, 10 * seed + 5, loose, test=False),
        "test": SyntheticSet(options.test_heads, "wild", heads_range, 10 * seed + 6, size, test=True),
    }
    stores = {name: options.data / heads_range / f"{name}{seed}.lmdb" for name in sets}
    for name, heads in sets.items():
        render_once(heads, stores[name], options.workers)
    train, test = str(stores["train"]), str(stores["test"])
    return experiment.replace(train_labeled=train, train_unlabeled=train, val_set=test, test_set=test, seed=seed)


def trained_errors(
    experiment: Experiment, ratio: float, models: Mapping[str, Changes], common: Changes = MappingProxyType({})
) -> Iterator[tuple[str, float]]:
    """Yield names and errors of the supervised model and of models that start from it, with ``common`` changes."""
    experiment = experiment.replace(**common)
    original = experiment.group(OriginalOptions).original
    stage1_iteration = experiment.group(SemiUHPEOptions).stage1_iteration
    name = f"seed{experiment.run.seed}_r{ratio}" + ("_original" if original else "")
    supervised = variant(
        experiment, f"{name}_{SUPERVISED}", ss_ratio=ratio, max_iteration=stage1_iteration, **BASELINE_OPTIONS
    )
    folder = train_once(supervised)
    yield SUPERVISED, error_of(experiment, folder)
    stage2 = {
        "ss_ratio": ratio,
        "stage1_iteration": 0,
        "max_iteration": experiment.training.max_iteration - stage1_iteration,
        "init_from": str(folder / "last.pth"),
    }
    for model, changes in models.items():
        detail = re.sub(r"\W+", "_", model).strip("_")
        folder = train_once(variant(experiment, f"{name}_{detail}", **stage2, **changes))
        yield model, error_of(experiment, folder)


def error_of(experiment: Experiment, folder: Path) -> float:
    """Return the mean geodesic error of a run's last teacher on the test heads, in degrees."""
    loaded = load_checkpoint(folder / "last.pth")
    device = pick_device(experiment.run.gpu_ids, quiet=True)
    store, decoder = open_labeled(experiment.data, "test_set"), PoseDecoder(loaded.description)
    found = evaluate(loaded.model.to(device), decoder, store, device, experiment.training.eval_batch_size)
    return found.summary[METRIC]


def ratio_table(options: SyntheticOptions, by_ratio: dict[float, Errors], lines: list[str]) -> Table:
    """Return the table of each model's error at each share of labeled heads."""
    rows = [
        Row([model], [mean_and_deviation(list(by_ratio[ratio][model].values())) for ratio in options.ratios])
        for model in (SUPERVISED, BASELINE, SEMIUHPE)
    ]
    columns = [f"{100 * ratio:g}% labeled" for ratio in options.ratios]
    title = "Rendered wild heads: error of each method at few labels"
    return Table("synthetic_ratios", title, ["method"], columns, rows, lines)


def ablation_table(options: SyntheticOptions, errors: Errors, lines: list[str]) -> Table:
    """Return the table of the error without each part, and its difference to the error with all parts."""
    whole = errors[next(iter(ABLATION))]
    rows = []
    for name in (*ABLATION, PAPERS):
        differences = [errors[name][seed] - whole[seed] for seed in whole]
        worse = f"{statistics.mean(differences):+.2f}" if errors[name] is not whole else ""
        rows.append(Row([name], [mean_and_deviation(list(errors[name].values())), worse]))
    title = f"Rendered wild heads, {100 * options.ablation_ratio:g}% labeled: what each part of SemiUHPE does"
    return Table("synthetic_ablation", title, ["method"], ["error", "worse by"], rows, lines)


def notes(experiment: Experiment, options: SyntheticOptions) -> list[str]:
    network, steps = experiment.network, experiment.group(SemiUHPEOptions).stage1_iteration
    return [
        f"Mean geodesic error in degrees, mean and standard deviation over the seeds {list(options.seeds)}; "
        f"{options.heads} wild heads, {options.test_heads} held-out ones, different heads for each seed.",
        f"{network.network} at {network.image_size} px; the supervised model has {steps} steps, the "
        f"others start from it and have {experiment.training.max_iteration - steps} more. "
        "The last teacher is evaluated, nothing is selected on the test heads.",
    ]
