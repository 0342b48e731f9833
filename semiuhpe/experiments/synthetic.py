"""``semiuhpe tables synthetic``: the paper's comparison in small, on rendered heads.

A store of wild heads is rendered for each seed. As with 300W-LP in the paper, a share of it is labeled and the rest
is unlabeled. Three models are trained for each share (supervised, the teacher-student baseline, SemiUHPE), and at one
share SemiUHPE without each of its parts, and trained as the paper's code does, in all and in single points. What is
finished is not done again.
"""

import argparse
import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from semiuhpe.cli.options import experiment_parser
from semiuhpe.cli.quickstart import BASELINE, SEMIUHPE, STORE_MARGIN_FACTOR, SUPERVISED, render_once
from semiuhpe.cli.train import check_options
from semiuhpe.config import positive_int, require
from semiuhpe.data.experiment import open_labeled
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import add_comparison, check_rendered, parse_with, training_options
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.synthetic.head_stores import SyntheticSet

DEFAULT_SETTINGS = "settings/tables_synthetic.yml"
METRIC = "geodesic_mean_deg"

Changes = Mapping[str, bool | str]
"""Options in which a model differs from the settings."""
Errors = dict[str, dict[str, float]]
"""Error by model, and by seed as text."""

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
"""Of both stages; the paper's commands are without EMAN."""
_OWN_OPTIONS = ("heads", "test_heads", "ratios", "seeds", "ablation_ratio", "data", "workers", "output")


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The command's options; those of training are the settings file's."""
    parser = experiment_parser("semiuhpe tables synthetic", "Trains and compares models on rendered wild heads.")
    group = add_comparison(parser, "data/tables_synthetic", "heads")
    group.add_argument("--heads", type=positive_int, default=10000, help="rendered for training, labeled or not")
    group.add_argument("--test_heads", type=positive_int, default=1000, help="rendered for testing")
    group.add_argument("--ratios", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.2], help="labeled shares")
    group.add_argument("--ablation_ratio", type=float, default=0.05, help="labeled share of the ablation")
    options = parse_with(parser, argv, DEFAULT_SETTINGS)
    check_rendered(options, "heads")
    check_options(options)
    for ratio in (*options.ratios, options.ablation_ratio):
        require(0.0 < ratio < 1.0, f"--ratios, --ablation_ratio: {ratio} must lie in (0, 1)")
    return options


def tables(options: argparse.Namespace) -> list[Table]:
    """Trains and judges what is missing."""
    results = Path(options.exps_dir) / options.exp_name / "results.json"
    by_ratio: dict[float, Errors] = {ratio: {} for ratio in options.ratios}
    ablation: Errors = {}
    for seed in options.seeds:
        of_seed = render(options, seed)
        for ratio in options.ratios:
            models = {BASELINE: BASELINE_OPTIONS, SEMIUHPE: {}}
            for name, error in judged(of_seed, ratio, models):
                by_ratio[ratio].setdefault(name, {})[str(seed)] = error
        for name, error in judged(of_seed, options.ablation_ratio, ABLATION):
            ablation.setdefault(name, {})[str(seed)] = error
        *_, (name, error) = judged(of_seed, options.ablation_ratio, {PAPERS: {}}, ORIGINAL)
        ablation.setdefault(name, {})[str(seed)] = error
        write_result(results, json.dumps({"by_ratio": by_ratio, "ablation": ablation}, indent=1).encode())
    return [ratio_table(options, by_ratio), ablation_table(options, ablation)]


def render(options: argparse.Namespace, seed: int) -> argparse.Namespace:
    """The options of one seed's runs, with the names of its stores, which are rendered where they are missing."""
    heads_range = "full" if options.is_full_range else "front"
    loose = round(options.image_size * STORE_MARGIN_FACTOR)
    sets = {
        "train": SyntheticSet(options.heads, "wild", heads_range, 10 * seed + 5, loose, test=False),
        "test": SyntheticSet(options.test_heads, "wild", heads_range, 10 * seed + 6, options.image_size, test=True),
    }
    stores = {name: str(options.data / heads_range / f"{name}{seed}.lmdb") for name in sets}
    own = training_options(options, _OWN_OPTIONS)
    own.train_labeled = own.train_unlabeled = stores["train"]
    own.val_set = own.test_set = stores["test"]
    own.seed = seed
    for name, heads in sets.items():
        render_once(heads, Path(stores[name]), options.workers)
    return own


def judged(
    options: argparse.Namespace, ratio: float, models: Mapping[str, Changes], common: Changes = MappingProxyType({})
) -> Iterator[tuple[str, float]]:
    """Names and errors of the supervised model and of those that start from it; all have the ``common`` changes."""
    options = variant(options, "", **common)
    name = f"seed{options.seed}_r{ratio}" + ("_original" if options.original else "")
    supervised = variant(
        options, f"{name}_{SUPERVISED}", ss_ratio=ratio, max_iteration=options.stage1_iteration, **BASELINE_OPTIONS
    )
    folder = train_once(supervised)
    yield SUPERVISED, error_of(options, folder)
    stage2 = {
        "ss_ratio": ratio,
        "stage1_iteration": 0,
        "max_iteration": options.max_iteration - options.stage1_iteration,
        "init_from": str(folder / "last.pth"),
    }
    for model, changes in models.items():
        detail = re.sub(r"\W+", "_", model).strip("_")
        folder = train_once(variant(options, f"{name}_{detail}", **stage2, **changes))
        yield model, error_of(options, folder)


def error_of(options: argparse.Namespace, folder: Path) -> float:
    """Mean geodesic error of a run's last teacher on the test heads, in degrees: nothing is selected on them."""
    loaded = load_checkpoint(folder / "last.pth")
    device = pick_device(options.gpu_ids, quiet=True)
    store = open_labeled(options, "test_set")
    network = loaded.model.to(device)
    return evaluate(network, PoseDecoder(loaded.description), store, device, options.eval_batch_size).summary[METRIC]


def ratio_table(options: argparse.Namespace, by_ratio: dict[float, Errors]) -> Table:
    """Error of each model at each labeled share."""
    rows = [
        Row([model], [mean_and_deviation(list(by_ratio[ratio][model].values())) for ratio in options.ratios])
        for model in (SUPERVISED, BASELINE, SEMIUHPE)
    ]
    columns = [f"{100 * ratio:g}% labeled" for ratio in options.ratios]
    title = "Rendered wild heads: error of each method at few labels"
    return Table("synthetic_ratios", title, ["method"], columns, rows, notes(options))


def ablation_table(options: argparse.Namespace, errors: Errors) -> Table:
    """Error without each part, and the difference to all of them."""
    whole = errors[next(iter(ABLATION))]
    rows = []
    for name in (*ABLATION, PAPERS):
        differences = [errors[name][seed] - whole[seed] for seed in whole]
        worse = f"{statistics.mean(differences):+.2f}" if errors[name] is not whole else ""
        rows.append(Row([name], [mean_and_deviation(list(errors[name].values())), worse]))
    title = f"Rendered wild heads, {100 * options.ablation_ratio:g}% labeled: what each part of SemiUHPE does"
    return Table("synthetic_ablation", title, ["method"], ["error", "worse by"], rows, notes(options))


def notes(options: argparse.Namespace) -> list[str]:
    return [
        f"Mean geodesic error in degrees, mean and standard deviation over the seeds {options.seeds}; "
        f"{options.heads} wild heads, {options.test_heads} held-out ones, each seed with heads of its own.",
        f"{options.network} at {options.image_size} px; the supervised model has {options.stage1_iteration} steps, the "
        f"others start from it and have {options.max_iteration - options.stage1_iteration} more. "
        "The last teacher is judged, nothing is selected on the test heads.",
    ]
