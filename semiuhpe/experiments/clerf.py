"""``semiuhpe tables clerf``: what contrastive pre-training adds, on rendered heads in any orientation of the picture.

For each seed, stores of wild heads are rendered, front to profile: labeled ones, others for the positives, held-out
ones. Three models with the same labels and the same network are trained on them: regression on upright heads alone,
regression on turned heads, and CLERF; all have the same number of steps. Each is tested on upright, turned and flipped
heads. What is finished is not done again.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semiuhpe.cli.options import experiment_parser
from semiuhpe.cli.quickstart import STORE_MARGIN_FACTOR, render_once
from semiuhpe.cli.train import check_options
from semiuhpe.config import positive_int, require
from semiuhpe.data.experiment import open_labeled
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.embedding import evenly_spread
from semiuhpe.evaluation.embedding_page import Embedded, embedded, write_embedding
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.evaluation.transformed_store import FLIP, FLIP_VERTICAL, TurnedStore, transformed, turned_at_random
from semiuhpe.experiments.options import add_comparison, check_rendered, parse_with, training_options
from semiuhpe.experiments.runs import train_once, variant
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.synthetic.head_stores import SyntheticSet

DEFAULT_SETTINGS = "settings/tables_clerf.yml"
METRIC = "geodesic_mean_deg"
UPRIGHT_ONLY, REGRESSION, CLERF = "regression on upright heads", "regression on turned heads", "CLERF"
MODELS = {
    UPRIGHT_ONLY: {"pretrain_iteration": 0, "turn_aug": False},
    REGRESSION: {"pretrain_iteration": 0},
    CLERF: {},
}
UPRIGHT = "upright"
TURNED = {f"turned by {angle}°": f"rotate:{angle}" for angle in (15, 45, 90, 180)}
TRANSFORMS = {UPRIGHT: "rotate:0", **TURNED, "flipped": FLIP, "flipped top to bottom": FLIP_VERTICAL}
VAL_HEADS = 300
"""The regression starts from the best of pre-training on these."""
EMBEDDING_HEADS = 500
EMBEDDING_PAGE = "embedding.html"
_OWN_OPTIONS = ("heads", "generated_heads", "test_heads", "seeds", "data", "workers", "output")

Errors = dict[str, dict[str, list[float]]]
"""Errors by model and transform, one for each seed."""


@dataclass
class Found:
    """What all seeds have given.

    Attributes:
        errors: see :data:`Errors`.
        correlation, neighbor_deg: by model, of the embedding: rank correlation with the geodesic distance, and how far
            the nearest head is; one for each seed.
        page: where the first seed's embeddings are shown.
    """

    errors: Errors = field(default_factory=lambda: {name: {column: [] for column in TRANSFORMS} for name in MODELS})
    correlation: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MODELS})
    neighbour_deg: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MODELS})
    page: Path | None = None


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The command's options; those of training are the settings file's."""
    parser = experiment_parser("semiuhpe tables clerf", "Trains and compares models on turned rendered heads.")
    group = add_comparison(parser, "data/tables_clerf", "heads")
    group.add_argument("--heads", type=positive_int, default=300, help="labeled, rendered")
    group.add_argument("--generated_heads", type=positive_int, default=8000, help="rendered, for the positives")
    group.add_argument("--test_heads", type=positive_int, default=1000, help="rendered for testing")
    options = parse_with(parser, argv, DEFAULT_SETTINGS)
    check_rendered(options, "heads")
    require(options.method == "clerf", f"--method {options.method}: this table is of the method clerf")
    require(0 < options.pretrain_iteration < options.max_iteration, "--pretrain_iteration: both phases need steps")
    check_options(options)
    return options


def tables(options: argparse.Namespace) -> list[Table]:
    """Trains and judges what is missing."""
    found = Found()
    folder = Path(options.exps_dir) / options.exp_name
    for seed in options.seeds:
        of_seed = render(options, seed)
        runs = {
            name: train_once(variant(of_seed, f"seed{seed}_{name.replace(' ', '_')}", **changes))
            for name, changes in MODELS.items()
        }
        evaluate_runs(of_seed, runs, found, folder / EMBEDDING_PAGE)
        numbers = {key: getattr(found, key) for key in ("errors", "correlation", "neighbour_deg")}
        write_result(folder / "results.json", json.dumps({"seeds": options.seeds, **numbers}, indent=1).encode())
    return [error_table(options, found), embedding_table(options, found)]


def render(options: argparse.Namespace, seed: int) -> argparse.Namespace:
    """The options of one seed's runs, with the names of its stores, which are rendered where they are missing."""
    loose, first_seed = round(options.image_size * STORE_MARGIN_FACTOR), 10 * seed + 1000
    sets = {
        "train_labeled": SyntheticSet(options.heads, "wild", "front", first_seed, loose, test=False),
        "generator": SyntheticSet(
            options.generated_heads, options.generator_domain, "front", first_seed + 1, loose, test=False
        ),
        "val_set": SyntheticSet(VAL_HEADS, "wild", "front", first_seed + 3, options.image_size, test=True),
        "test_set": SyntheticSet(options.test_heads, "wild", "front", first_seed + 2, options.image_size, test=True),
    }
    own = training_options(options, _OWN_OPTIONS)
    own.seed, own.train_unlabeled = seed, None
    for name, heads in sets.items():
        path = options.data / f"{name}{seed}.lmdb"
        setattr(own, name, str(path))
        render_once(heads, path, options.workers)
    return own


def evaluate_runs(options: argparse.Namespace, runs: dict[str, Path], found: Found, page: Path) -> None:
    """Adds the numbers of one seed's last models: nothing is selected on the test heads."""
    store = open_labeled(options, "test_set")
    device = pick_device(options.gpu_ids, quiet=True)
    shown: dict[str, Embedded] = {}
    turned: TurnedStore = turned_at_random(evenly_spread(store, EMBEDDING_HEADS), flips=True)
    for name, folder in runs.items():
        loaded = load_checkpoint(folder / "last.pth")
        network, decoder = loaded.model.to(device), PoseDecoder(loaded.description)
        for column, transform in TRANSFORMS.items():
            heads = transformed(store, transform)
            error = evaluate(network, decoder, heads, device, options.eval_batch_size).summary[METRIC]
            found.errors[name][column].append(error)
        shown[name] = embedded(network, turned, loaded.image_size, device, options.eval_batch_size)
        found.correlation[name].append(shown[name].without_self().rank_correlation())
        found.neighbour_deg[name].append(shown[name].neighbor_error_deg())
    if found.page is None:
        write_embedding(page, shown, turned)
        found.page = page


def error_table(options: argparse.Namespace, found: Found) -> Table:
    """Error of each model on upright, turned and flipped heads, and the worst of these over that on upright ones."""
    rows = []
    for name, errors in found.errors.items():
        means = {column: statistics.mean(values) for column, values in errors.items()}
        worst = max(means[column] for column in TRANSFORMS if column != UPRIGHT) / means[UPRIGHT]
        rows.append(Row([name], [*(mean_and_deviation(errors[column]) for column in TRANSFORMS), f"{worst:.2f}"]))
    title = "Rendered wild heads: error when the picture is turned"
    return Table("clerf", title, ["model"], [*TRANSFORMS, "worst / upright"], rows, notes(options))


def embedding_table(options: argparse.Namespace, found: Found) -> Table:
    """What the embeddings know of rotation."""
    rows = [
        Row([name], [mean_and_deviation(found.correlation[name], 3), mean_and_deviation(found.neighbour_deg[name])])
        for name in found.correlation
    ]
    columns = ["rank correlation", "nearest other head is off by (°)"]
    title = "Rendered wild heads, turned and flipped at random: distance in the embedding and geodesic distance"
    note = f"Over all pairs of {min(EMBEDDING_HEADS, options.test_heads)} test heads; drawn in {found.page}."
    return Table("clerf_embedding", title, ["model"], columns, rows, [note])


def notes(options: argparse.Namespace) -> list[str]:
    return [
        f"Mean geodesic error in degrees, mean and standard deviation over the seeds {options.seeds}; {options.heads} "
        f"labeled wild heads, front to profile, and {options.test_heads} held-out ones, other heads for each seed.",
        f"{options.network} at {options.image_size} px, {options.max_iteration} steps of {options.batch_size} labeled "
        f"heads each. Of CLERF's, {options.pretrain_iteration} are pre-training, which takes positives from "
        f"{options.generated_heads} rendered {options.generator_domain} heads. The last model is judged, nothing is "
        "selected on the test heads.",
    ]
