"""``semiuhpe tables clerf``: the effect of contrastive pre-training, on rendered heads in any in-plane orientation.

For each seed, stores of wild heads are rendered, front to profile: labeled heads, heads for the positives, and held-out
heads. Three models with the same network, labels and number of steps are trained: regression on upright heads only,
regression on turned heads, and CLERF. Each is tested on upright, turned and flipped heads. Finished stores and runs are
reused.
"""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from semiuhpe.data.experiment import open_labeled
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.embedding import evenly_spread
from semiuhpe.evaluation.embedding_page import Embedded, embedded, write_embedding
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.evaluation.transformed_store import FLIP, FLIP_VERTICAL, TurnedStore, transformed, turned_at_random
from semiuhpe.experiments.options import ComparisonOptions, check_rendered
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import train_once, variant
from semiuhpe.methods import Experiment
from semiuhpe.methods.clerf import ClerfOptions
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.options import PositiveInt, option
from semiuhpe.synthetic.head_stores import SyntheticSet
from semiuhpe.training.run import check_experiment

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
"""Number of heads on which ``best`` of pre-training is selected, from which regression starts."""
EMBEDDING_HEADS = 500
EMBEDDING_PAGE = "embedding.html"

Errors = dict[str, dict[str, list[float]]]
"""Errors by model and transform, a list with one error per seed."""


@dataclass
class Found:
    """Results of all seeds.

    Attributes:
        errors: see :data:`Errors`.
        correlation: by model, rank correlation of distances in the embedding with geodesic distances, one per seed.
        neighbor_deg: by model, geodesic distance to the nearest head in the embedding in degrees, one per seed.
        page: the page that shows the first seed's embeddings.
    """

    errors: Errors = field(default_factory=lambda: {name: {column: [] for column in TRANSFORMS} for name in MODELS})
    correlation: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MODELS})
    neighbour_deg: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MODELS})
    page: Path | None = None


@dataclass(frozen=True)
class ClerfTableOptions(ComparisonOptions):
    """The options of these tables, in addition to those of training."""

    data: Path = option(Path("data/tables_clerf"), "folder for rendered stores", metavar="DIR")
    heads: PositiveInt = option(300, "number of labeled heads")
    generated_heads: PositiveInt = option(8000, "number of heads rendered for the positives")
    test_heads: PositiveInt = option(1000, "number of heads rendered for testing")


def check(experiment: Experiment, options: ClerfTableOptions) -> None:
    """Raise ConfigError if an option has an impossible value or options contradict each other."""
    check_rendered(experiment, "heads")
    method = experiment.training.method
    require(method == "clerf", f"--method {method}: this table is of the method clerf")
    steps = experiment.group(ClerfOptions).pretrain_iteration
    require(0 < steps < experiment.training.max_iteration, "--pretrain_iteration: both phases need steps")
    check_experiment(experiment)


def tables(experiment: Experiment, options: ClerfTableOptions) -> list[Table]:
    """Train and evaluate models that are missing, and return the tables."""
    found = Found()
    folder = Path(experiment.run.exps_dir) / experiment.run.exp_name
    for seed in options.seeds:
        of_seed = render(experiment, options, seed)
        runs = {
            name: train_once(variant(of_seed, f"seed{seed}_{name.replace(' ', '_')}", **changes))
            for name, changes in MODELS.items()
        }
        evaluate_runs(of_seed, runs, found, folder / EMBEDDING_PAGE)
        numbers = {key: getattr(found, key) for key in ("errors", "correlation", "neighbour_deg")}
        write_result(folder / "results.json", json.dumps({"seeds": options.seeds, **numbers}, indent=1).encode())
    return [error_table(experiment, options, found), embedding_table(options, found)]


def render(experiment: Experiment, options: ClerfTableOptions, seed: int) -> Experiment:
    """Render missing stores of one seed, and return its experiment, which names the stores."""
    size, first_seed = experiment.network.image_size, 10 * seed + 1000
    loose, domain = round(size * STORE_MARGIN_FACTOR), experiment.group(ClerfOptions).generator_domain
    sets = {
        "train_labeled": SyntheticSet(options.heads, "wild", "front", first_seed, loose, test=False),
        "generator": SyntheticSet(options.generated_heads, domain, "front", first_seed + 1, loose, test=False),
        "val_set": SyntheticSet(VAL_HEADS, "wild", "front", first_seed + 3, size, test=True),
        "test_set": SyntheticSet(options.test_heads, "wild", "front", first_seed + 2, size, test=True),
    }
    stores = {name: options.data / f"{name}{seed}.lmdb" for name in sets}
    for name, heads in sets.items():
        render_once(heads, stores[name], options.workers)
    return experiment.replace(seed=seed, train_unlabeled=None, **{name: str(path) for name, path in stores.items()})


def evaluate_runs(experiment: Experiment, runs: dict[str, Path], found: Found, page: Path) -> None:
    """Evaluate the last models of one seed and add their results, so nothing is selected on the test heads."""
    store = open_labeled(experiment.data, "test_set")
    device, batch_size = pick_device(experiment.run.gpu_ids, quiet=True), experiment.training.eval_batch_size
    shown: dict[str, Embedded] = {}
    turned: TurnedStore = turned_at_random(evenly_spread(store, EMBEDDING_HEADS), flips=True)
    for name, folder in runs.items():
        loaded = load_checkpoint(folder / "last.pth")
        network, decoder = loaded.model.to(device), PoseDecoder(loaded.description)
        for column, transform in TRANSFORMS.items():
            error = evaluate(network, decoder, transformed(store, transform), device, batch_size).summary[METRIC]
            found.errors[name][column].append(error)
        shown[name] = embedded(network, turned, loaded.image_size, device, batch_size)
        found.correlation[name].append(shown[name].without_self().rank_correlation())
        found.neighbour_deg[name].append(shown[name].neighbor_error_deg())
    if found.page is None:
        write_embedding(page, shown, turned)
        found.page = page


def error_table(experiment: Experiment, options: ClerfTableOptions, found: Found) -> Table:
    """Return each model's error on upright, turned and flipped heads, and the ratio of the worst to that on upright."""
    rows = []
    for name, errors in found.errors.items():
        means = {column: statistics.mean(values) for column, values in errors.items()}
        worst = max(means[column] for column in TRANSFORMS if column != UPRIGHT) / means[UPRIGHT]
        rows.append(Row([name], [*(mean_and_deviation(errors[column]) for column in TRANSFORMS), f"{worst:.2f}"]))
    title = "Rendered wild heads: error when the picture is turned"
    return Table("clerf", title, ["model"], [*TRANSFORMS, "worst / upright"], rows, notes(experiment, options))


def embedding_table(options: ClerfTableOptions, found: Found) -> Table:
    """Return the table of how well distances in the embedding agree with geodesic distances."""
    rows = [
        Row([name], [mean_and_deviation(found.correlation[name], 3), mean_and_deviation(found.neighbour_deg[name])])
        for name in found.correlation
    ]
    columns = ["rank correlation", "distance of the nearest other head (°)"]
    title = "Rendered wild heads, turned and flipped at random: distance in the embedding and geodesic distance"
    note = f"Over all pairs of {min(EMBEDDING_HEADS, options.test_heads)} test heads; drawn in {found.page}."
    return Table("clerf_embedding", title, ["model"], columns, rows, [note])


def notes(experiment: Experiment, options: ClerfTableOptions) -> list[str]:
    network, training, method = experiment.network, experiment.training, experiment.group(ClerfOptions)
    return [
        f"Mean geodesic error in degrees, mean and standard deviation over the seeds {list(options.seeds)}; "
        f"{options.heads} labeled wild heads, front to profile, and {options.test_heads} held-out ones, different "
        "heads for each seed.",
        f"{network.network} at {network.image_size} px, {training.max_iteration} steps of {training.batch_size} "
        f"labeled heads each. Of CLERF's, {method.pretrain_iteration} are pre-training, which takes positives from "
        f"{options.generated_heads} rendered {method.generator_domain} heads. The last model is evaluated, nothing is "
        "selected on the test heads.",
    ]
