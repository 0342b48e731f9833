"""``semiuhpe tables photographs``: what unlabeled photographs add, to few labeled ones or to rendered heads alone.

The photographs are AFLW2000-3D's. A fixed half of them is for training, without its labels or with a share of them; all
results are on the other half, which no training sees. For each share, and for rendered heads in place of labeled
photographs, three models are trained: supervised, the baseline, and SemiUHPE. Finished stores and runs are reused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from zlib import crc32

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.experiment import open_labeled
from semiuhpe.data.importers.aflw2000 import Aflw2000
from semiuhpe.data.importers.base import Picture
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import require
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import ComparisonOptions, check_rendered, check_shares
from semiuhpe.experiments.quickstart import BASELINE, SEMIUHPE, SUPERVISED
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import BASELINE_OPTIONS
from semiuhpe.experiments.stages import trained
from semiuhpe.methods import Experiment
from semiuhpe.methods.semiuhpe import SemiUHPEOptions
from semiuhpe.options import PositiveInt, option
from semiuhpe.synthetic.head_stores import SyntheticSet
from semiuhpe.training.run import check_experiment

DEFAULT_SETTINGS = "settings/tables_photographs.yml"
MODELS = {BASELINE: BASELINE_OPTIONS, SEMIUHPE: {}}
METRICS = {"geodesic": ("geodesic_mean_deg", "mean geodesic error"), "euler": ("euler_mae_deg", "Euler MAE")}
NO_LABELS = "rendered"
"""The column of models whose labeled heads are rendered."""

Results = dict[str, dict[str, dict[str, dict[str, float]]]]
"""Results by column, model, seed as text and metric."""


@dataclass(frozen=True)
class PhotographsOptions(ComparisonOptions):
    """The options of these tables, in addition to those of training."""

    source: Path = option(..., "folder of AFLW2000-3D's pictures", metavar="DIR")
    data: Path = option(Path("data/tables_photographs"), "folder for stores", metavar="DIR")
    ratios: tuple[float, ...] = option((0.02, 0.05, 0.1, 0.2), "shares of labeled photographs")
    heads: PositiveInt = option(12000, "number of heads rendered for the models without labeled photographs")
    rendered_iteration: PositiveInt = option(1500, "steps of stage 1 on rendered heads, instead of --stage1_iteration")


class _Halves(Aflw2000):
    """AFLW2000-3D in two halves, by a hash of the names of its pictures."""

    name = "AFLW2000-halves"
    splits: tuple[str, ...] = ("train", "test")
    counts: ClassVar = {}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        return [
            picture
            for picture in super().pictures(source, split)
            if crc32(picture.name.encode()) % 2 == self.splits.index(split)
        ]


def check(experiment: Experiment, options: PhotographsOptions) -> None:
    """Raise ConfigError if an option has an impossible value or options contradict each other."""
    require(not experiment.network.is_full_range, "--is_full_range: AFLW2000's heads are within 90 degrees")
    check_rendered(experiment, "heads", "prepared")
    check_experiment(experiment)
    check_shares("--ratios", *options.ratios)


def tables(experiment: Experiment, options: PhotographsOptions) -> list[Table]:
    """Train and evaluate models that are missing, and return the tables."""
    path = Path(experiment.run.exps_dir) / experiment.run.exp_name / "results.json"
    experiment = with_photographs(experiment, options)
    results: Results = {}
    for seed in options.seeds:
        of_seed = experiment.replace(seed=seed)
        for ratio in options.ratios:
            add(results, f"{100 * ratio:g}% labeled", of_seed, f"seed{seed}", ratio)
        add(results, NO_LABELS, with_rendered(of_seed, options), f"seed{seed}_{NO_LABELS}", 1.0)
        write_result(path, json.dumps(results, indent=1).encode())
    lines = notes(experiment, options)
    return [table(results, name, lines) for name in METRICS]


def add(results: Results, column: str, experiment: Experiment, name: str, ratio: float) -> None:
    """Train the models of a column of the tables on one seed, and add their results."""
    for model, summary in trained(experiment, name, ratio, MODELS):
        of_model = results.setdefault(column, {}).setdefault(model, {})
        of_model[str(experiment.run.seed)] = {metric: summary[metric] for metric, _ in METRICS.values()}


def with_photographs(experiment: Experiment, options: PhotographsOptions) -> Experiment:
    """Prepare missing stores of the halves, and return the experiment that trains on one and is tested on the other.

    Raises:
        DataError: the source is not AFLW2000-3D.
        StoreError: a store can't be written.
    """
    size = experiment.network.image_size
    stores = {split: options.data / f"{split}_{size}.lmdb" for split in _Halves.splits}
    for split, path in stores.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            prepare(_Halves(), options.source, path, split=split, size=round(size * 2) if split == "train" else size)
    train, test = str(stores["train"]), str(stores["test"])
    return experiment.replace(train_labeled=train, train_unlabeled=train, val_set=test, test_set=test)


def with_rendered(experiment: Experiment, options: PhotographsOptions) -> Experiment:
    """Render missing heads of the experiment's seed, and return the experiment whose labeled heads are these."""
    seed, size = experiment.run.seed, round(experiment.network.image_size * STORE_MARGIN_FACTOR)
    heads = SyntheticSet(options.heads, "wild", "front", 10 * seed + 7, size, test=False, crop_rule=LANDMARKS.name)
    store = options.data / f"rendered{seed}_{size}.lmdb"
    render_once(heads, store, options.workers)
    training, stage1 = experiment.training, experiment.group(SemiUHPEOptions).stage1_iteration
    return experiment.replace(
        train_labeled=str(store),
        stage1_iteration=options.rendered_iteration,
        max_iteration=training.max_iteration - stage1 + options.rendered_iteration,
    )


def table(results: Results, name: str, lines: list[str]) -> Table:
    """Return the table of one metric."""
    metric, title = METRICS[name]
    rows = [
        Row(
            [model],
            [mean_and_deviation([of[metric] for of in models[model].values()], 1) for models in results.values()],
        )
        for model in (SUPERVISED, BASELINE, SEMIUHPE)
    ]
    return Table(f"photographs_{name}", f"Photographs of AFLW2000: {title}", ["method"], list(results), rows, lines)


def notes(experiment: Experiment, options: PhotographsOptions) -> list[str]:
    """Return lines below the tables."""
    network, training = experiment.network, experiment.training
    data = experiment.data
    train, test = (len(open_labeled(data, role)) for role in ("train_labeled", "test_set"))
    steps = experiment.group(SemiUHPEOptions).stage1_iteration
    return [
        f"Degrees, mean and standard deviation over the seeds {list(options.seeds)}, on {test} photographs that no "
        f"training sees; {train} others are for training, the same for all seeds.",
        f"{NO_LABELS}: the labeled heads are {options.heads} rendered ones, the photographs are unlabeled.",
        f"{network.network} at {network.image_size} px; the supervised model has {steps} steps ({NO_LABELS}: "
        f"{options.rendered_iteration}), the others start from it and have {training.max_iteration - steps} more. "
        "The last teacher is evaluated, nothing is selected on the test heads.",
    ]
