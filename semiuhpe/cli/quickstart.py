"""``semiuhpe quickstart``: renders heads, trains three models on them, and judges them on one page.

What is finished is not done again: rendered stores and complete runs of the same settings are used as they are, and an
interrupted run goes on where it stopped.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from semiuhpe.cli.evaluate import table
from semiuhpe.cli.options import experiment_parser
from semiuhpe.cli.train import check_options
from semiuhpe.config import FLAG, positive_int, require
from semiuhpe.data.experiment import datasets, open_labeled, store_path
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.experiments.options import parse_with, training_options
from semiuhpe.experiments.quickstart_report import ModelResult, write_report
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.synthetic import scene_stores
from semiuhpe.synthetic.head_stores import RENDERED, SyntheticSet, write_store
from semiuhpe.synthetic.scene_stores import SceneSet
from semiuhpe.training.run_folder import read_scalars

DEFAULT_SETTINGS = "settings/quickstart.yml"
STORE_MARGIN_FACTOR = 1.25
"""Stored training pictures are this much larger than the network's input, because a view is a part of them."""

SUPERVISED, BASELINE, SEMIUHPE = "supervised", "baseline", "SemiUHPE"
_OWN_OPTIONS = ("labelled_heads", "unlabelled_heads", "val_heads", "test_heads", "workers", "again")


@dataclass(frozen=True)
class Counts:
    """How many heads are rendered for each store."""

    labeled: int
    unlabeled: int
    val: int
    test: int


def main(argv: Sequence[str]) -> int:
    parser = experiment_parser("semiuhpe quickstart", "Renders heads, trains three models, evaluates and reports.")
    group = parser.add_argument_group("quickstart")
    group.add_argument("--labelled_heads", type=positive_int, default=600, help="in the clean domain")
    group.add_argument("--unlabelled_heads", type=positive_int, default=8000, help="in the wild domain")
    group.add_argument("--val_heads", type=positive_int, default=400, help="clean, held out, to select `best` on")
    group.add_argument("--test_heads", type=positive_int, default=1000, help="wild, held out")
    group.add_argument("--workers", type=positive_int, default=2, help="processes that render")
    group.add_argument("--again", help="render and train anew, over what is there", **FLAG)
    options = parse_with(parser, argv, DEFAULT_SETTINGS)
    check_options(options)
    counts = Counts(options.labelled_heads, options.unlabelled_heads, options.val_heads, options.test_heads)
    render_stores(options, counts)
    runs = train_all(options)
    results = evaluate_runs(options, runs)
    report = write_report(options, results, Path(options.exps_dir) / options.exp_name / "report.html")
    _print_summary(results, report, runs[SEMIUHPE] / "last.pth")
    return 0


def render_stores(options: argparse.Namespace, counts: Counts) -> None:
    """Renders the four stores that the settings name, unless the same heads are there already."""
    heads_range = "full" if options.is_full_range else "front"
    loose = round(options.image_size * STORE_MARGIN_FACTOR)
    # Each store has a seed of its own, and all differ between the experiment's seeds.
    first_seed = 10 * options.seed
    wanted = {
        "train_labeled": SyntheticSet(counts.labeled, "clean", heads_range, first_seed, loose, test=False),
        "train_unlabeled": SyntheticSet(counts.unlabeled, "wild", heads_range, first_seed + 1, loose, test=False),
        "val_set": SyntheticSet(counts.val, "clean", heads_range, first_seed + 2, options.image_size, test=True),
        "test_set": SyntheticSet(counts.test, "wild", heads_range, first_seed + 3, options.image_size, test=True),
    }
    paths = {option: store_path(options, option) for option in wanted}
    check_targets(options, paths)
    for option, heads in wanted.items():
        render_once(heads, paths[option], options.workers, options.again)


def render_once(what: SyntheticSet | SceneSet, path: Path, workers: int, again: bool = False) -> None:
    """Renders a store of heads or scenes, unless the same are there already.

    Raises:
        ConfigError: there is a store that was not rendered.
    """
    if path.exists():
        scenes = isinstance(what, SceneSet)
        meta = (SceneStore if scenes else HeadStore)(path).meta
        source = scene_stores.RENDERED if scenes else RENDERED
        require(meta.get("source") == source, f"{path}: was not rendered, so it is not replaced")
        if meta["settings"] == asdict(what) and not again:
            return
    if isinstance(what, SceneSet):
        scene_stores.write_scenes(what, path, workers, overwrite=True)
    else:
        write_store(what, path, workers, overwrite=True)


def check_targets(options: argparse.Namespace, paths: dict[str, Path]) -> None:
    """Raises ConfigError unless each option names a store of its own that may be rendered: new, or rendered before."""
    for option, path in paths.items():
        name = getattr(options, option)
        require(name not in datasets(), f"--{option} {name}: the quickstart renders its stores; name a new path")
        foreign = path.exists() and HeadStore(path).meta.get("source") != RENDERED
        require(not foreign, f"--{option} {path}: was not rendered, so the quickstart doesn't replace it")
    require(
        len({path.resolve() for path in paths.values()}) == len(paths),
        "--train_labeled, --train_unlabeled, --val_set and --test_set have to be four different stores",
    )


def train_all(options: argparse.Namespace) -> dict[str, Path]:
    """Run folders of the three models.

    The supervised model is stage 1 of the other two, so it is trained once and they start from it.
    """
    own = training_options(options, _OWN_OPTIONS)
    supervised = variant(own, SUPERVISED, max_iteration=options.stage1_iteration, **BASELINE_OPTIONS)
    folder = train_once(supervised, options.again)
    stage2 = {
        "stage1_iteration": 0,
        "max_iteration": options.max_iteration - options.stage1_iteration,
        "init_from": str(folder / "last.pth"),
    }
    runs = {SUPERVISED: folder}
    for name, changes in ((BASELINE, BASELINE_OPTIONS), (SEMIUHPE, {})):
        runs[name] = train_once(variant(own, name, **stage2, **changes), options.again)
    return runs


def evaluate_runs(options: argparse.Namespace, runs: dict[str, Path]) -> dict[str, ModelResult]:
    """Evaluates the last teacher of each run on the test heads: no checkpoint is selected on them."""
    store = open_labeled(options, "test_set")
    device = pick_device(options.gpu_ids, quiet=True)
    results = {}
    for name, folder in runs.items():
        loaded = load_checkpoint(folder / "last.pth")
        decoder = PoseDecoder(loaded.description)
        evaluation = evaluate(loaded.model.to(device), decoder, store, device, options.eval_batch_size)
        results[name] = ModelResult(evaluation, read_scalars(folder))
    return results


def _print_summary(results: dict[str, ModelResult], report: Path, checkpoint: Path) -> None:
    rows = {name: result.row() for name, result in results.items()}
    count = len(next(iter(results.values())).evaluation.entropy)
    write_result(report.parent / "results.json", json.dumps(rows, indent=1).encode())
    print(f"\n{count} held-out wild heads, degrees; the last teacher of each run, nothing selected on the test heads\n")
    print(table(rows))
    programs = Path(sys.executable).parent
    if programs.is_relative_to(Path.cwd()):
        programs = programs.relative_to(Path.cwd())
    command = programs / "semiuhpe"
    print(
        f"\nReport with pictures: {report}\n"
        f"Training curves:      {programs}/tensorboard --logdir {report.parent}\n\n"
        "What next:\n"
        f"  real heads        {command} prepare AFLW2000 --source DIR --out data/AFLW2000.lmdb\n"
        f"                    {command} eval {checkpoint} --test_set AFLW2000\n"
        f"  train on 300W-LP  {command} train --config settings/300WLP_AFLW2000.yml\n"
        f"  all of SO(3)      {command} quickstart --config settings/quickstart_full.yml "
        "--labelled_heads 5000 --unlabelled_heads 12000"
    )
