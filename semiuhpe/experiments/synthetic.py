"""``semiuhpe tables synthetic``: the paper's comparison at a small scale, on rendered heads.

A store of wild heads is rendered for each seed. As with 300W-LP in the paper, a share of it is labeled and the rest is
unlabeled. Three models are trained for each share: supervised, the baseline, and SemiUHPE. At one share, SemiUHPE is
also trained without each of its parts, and as the paper's code does, in all respects and in single ones. Finished
stores and runs are reused.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import ComparisonOptions, check_rendered, check_shares
from semiuhpe.experiments.quickstart import BASELINE, SEMIUHPE, SUPERVISED
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import BASELINE_OPTIONS
from semiuhpe.experiments.stages import Changes, trained
from semiuhpe.methods import Experiment
from semiuhpe.methods.semiuhpe import SemiUHPEOptions
from semiuhpe.options import PositiveInt, option
from semiuhpe.synthetic.head_stores import SyntheticSet
from semiuhpe.training.run import check_experiment

DEFAULT_SETTINGS = "settings/tables_synthetic.yml"
METRIC = "geodesic_mean_deg"

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
    check_shares("--ratios", *options.ratios)
    check_shares("--ablation_ratio", options.ablation_ratio)


def tables(experiment: Experiment, options: SyntheticOptions) -> list[Table]:
    """Train and evaluate models that are missing, and return the tables."""
    results = Path(experiment.run.exps_dir) / experiment.run.exp_name / "results.json"
    by_ratio: dict[float, Errors] = {ratio: {} for ratio in options.ratios}
    ablation: Errors = {}
    for seed in options.seeds:
        of_seed = render(experiment, options, seed)
        for ratio in options.ratios:
            models = {BASELINE: BASELINE_OPTIONS, SEMIUHPE: {}}
            for name, summary in trained(of_seed, f"seed{seed}", ratio, models):
                by_ratio[ratio].setdefault(name, {})[str(seed)] = summary[METRIC]
        for name, summary in trained(of_seed, f"seed{seed}", options.ablation_ratio, ABLATION):
            ablation.setdefault(name, {})[str(seed)] = summary[METRIC]
        original = of_seed.replace(**ORIGINAL)
        *_, (name, summary) = trained(original, f"seed{seed}", options.ablation_ratio, {PAPERS: {}})
        ablation.setdefault(name, {})[str(seed)] = summary[METRIC]
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
