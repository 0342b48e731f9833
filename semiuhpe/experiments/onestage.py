"""``semiuhpe tables onestage``: finding and posing heads in one pass, on rendered scenes.

For each seed, scenes are rendered: for training, for selecting, and for testing the same held-out scenes three times:
as they are, with masks on all heads, and turned. Two one-stage models are trained, with and without masked and turned
copies, and beside them a model of head crops with the same backbone and the heads of the same training scenes. That one
gets the true boxes, so it stands for two stages with a perfect detector. What is finished is not done again.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from semiuhpe.cli.options import experiment_parser
from semiuhpe.cli.quickstart import render_once
from semiuhpe.cli.train import check_options
from semiuhpe.config import positive_int, require
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing.heads import prepare
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.detection import DetectionResult, detect, evaluate_detection, true_heads
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import add_comparison, check_rendered, parse_with, training_options
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.models import load_checkpoint
from semiuhpe.models.onestage import FAMILY
from semiuhpe.models.output import PoseDecoder
from semiuhpe.synthetic.scene_stores import SceneSet

DEFAULT_SETTINGS = "settings/tables_onestage.yml"
ONE_STAGE, WITHOUT, TWO_STAGE = "one stage", "one stage, trained without masks and turns", "head crops by true boxes"
MODELS = {ONE_STAGE: {}, WITHOUT: {"masked_share": 0.0, "turned_share": 0.0}}
TESTS: dict[str, dict[str, Any]] = {"clean": {}, "masked": {"masked": 1.0}, "turned": {"turned": 1.0}}
SCENE_MARGIN = 1.2
"""Stored training scenes are this much larger than the network's input, because a view is a part of them."""
ERROR = "geodesic_mean_deg"
_OWN_OPTIONS = (
    "scenes", "test_scenes", "most_heads", "domain", "crop_size", "crop_lr", "crop_batch_size", "crop_iteration",
    "seeds", "data", "workers", "output",
)  # fmt: skip

Numbers = dict[str, dict[str, list[float]]]
"""By model and test, one for each seed."""


def _empty(models: Sequence[str]) -> Numbers:
    return {model: {test: [] for test in TESTS} for model in models}


@dataclass
class Found:
    """What all seeds have given.

    Attributes:
        ap50, ap, missed, error: of the one-stage models; the error is that of the heads that they found.
        crop_error: of head crops by true boxes, of the heads that each one-stage model found.
        crop_error_all: likewise of all heads, by test.
    """

    ap50: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    ap: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    missed: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    error: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    crop_error: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    crop_error_all: dict[str, list[float]] = field(default_factory=lambda: {test: [] for test in TESTS})


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The command's options; those of training are the settings file's."""
    parser = experiment_parser("semiuhpe tables onestage", "Trains and compares models on rendered scenes.")
    group = add_comparison(parser, "data/tables_onestage", "scenes")
    group.add_argument("--scenes", type=positive_int, default=4000, help="rendered for training")
    group.add_argument("--test_scenes", type=positive_int, default=500, help="rendered for testing, three times")
    group.add_argument("--most_heads", type=positive_int, default=4, help="on a scene")
    group.add_argument("--domain", choices=("clean", "wild"), default="wild", help="clean studio, or the wild")
    group.add_argument("--crop_size", type=positive_int, default=64, help="input of the model of head crops, in pixels")
    group.add_argument("--crop_lr", type=float, default=1e-3, help="its learning rate")
    group.add_argument("--crop_batch_size", type=positive_int, default=32, help="its batch size")
    group.add_argument("--crop_iteration", type=positive_int, default=3000, help="its steps")
    options = parse_with(parser, argv, DEFAULT_SETTINGS)
    check_rendered(options, "scenes")
    require(options.method == "onestage", f"--method {options.method}: this table is of the method onestage")
    check_options(options)
    check_options(crop_variant(options))
    return options


def tables(options: argparse.Namespace) -> list[Table]:
    """Trains and judges what is missing."""
    found = Found()
    results = Path(options.exps_dir) / options.exp_name / "results.json"
    for seed in options.seeds:
        of_seed = render(options, seed)
        runs = {name: variant(of_seed, f"seed{seed}_{name}".replace(" ", "_"), **MODELS[name]) for name in MODELS}
        runs[TWO_STAGE] = crop_variant(of_seed)
        folders = {name: train_once(training_options(run, _OWN_OPTIONS)) for name, run in runs.items()}
        for test in TESTS:
            evaluate_runs(of_seed, folders, test, found)
        write_result(results, json.dumps({"seeds": options.seeds, **vars(found)}, indent=1).encode())
    return [robustness_table(options, found), two_stage_table(options, found)]


def render(options: argparse.Namespace, seed: int) -> argparse.Namespace:
    """The options of one seed's runs, with the names of its stores, which are rendered where they are missing."""
    heads_range = "full" if options.is_full_range else "front"
    size, common = options.image_size, (options.most_heads, options.domain, heads_range)
    sets = {
        "train": SceneSet(options.scenes, *common, 10 * seed + 1, round(size * SCENE_MARGIN)),
        "val": SceneSet(max(options.test_scenes // 2, 1), *common, 10 * seed + 2, size),
    }
    for test, changes in TESTS.items():
        sets[test] = SceneSet(options.test_scenes, *common, 10 * seed + 3, size, **changes)
    for name, scenes in sets.items():
        path = scenes_path(options, name, seed)
        render_once(scenes, path, options.workers)
        crop_once(path, heads_path(path), "train" if name == "train" else "test", options)
    own = argparse.Namespace(**vars(options))
    own.seed = seed
    own.train_labeled = str(scenes_path(options, "train", seed))
    own.val_set = own.test_set = str(scenes_path(options, "val", seed))
    return own


def scenes_path(options: argparse.Namespace, name: str, seed: int) -> Path:
    return options.data / f"{name}{seed}.lmdb"


def heads_path(scenes: Path) -> Path:
    """Where the heads of a scene store are."""
    return scenes.with_name(f"{scenes.stem}_heads.lmdb")


def crop_once(scenes: Path, heads: Path, split: str, options: argparse.Namespace) -> None:
    """Cuts the heads out of a scene store, unless that has been done since it was rendered."""
    size = round(options.crop_size * SCENE_MARGIN) if split == "train" else options.crop_size
    made, rendered = heads / "data.mdb", scenes / "data.mdb"
    done = made.exists() and made.stat().st_mtime > rendered.stat().st_mtime and HeadStore(heads).size == size
    if not done:
        prepare(IMPORTERS["scenes"], scenes, heads, split=split, size=size, workers=options.workers, overwrite=True)


def crop_variant(options: argparse.Namespace) -> argparse.Namespace:
    """The run of the model of head crops: supervised, with the backbone and the labels of the one-stage models."""
    changes = {
        "method": "semiuhpe",
        "network": options.network.removeprefix(f"{FAMILY}:"),
        "image_size": options.crop_size,
        "lr": options.crop_lr,
        "batch_size": options.crop_batch_size,
        "max_iteration": options.crop_iteration,
        "stage1_iteration": options.crop_iteration,
        "best_metric": None,
        **BASELINE_OPTIONS,
    }
    for name in ("train_labeled", "val_set", "test_set"):
        scenes = getattr(options, name)
        changes[name] = scenes and str(heads_path(Path(scenes)))
    return variant(options, f"seed{options.seed}_{TWO_STAGE}".replace(" ", "_"), **changes)


def evaluate_runs(options: argparse.Namespace, folders: dict[str, Path], test: str, found: Found) -> None:
    """Adds the numbers of one seed's last models on one test: nothing is selected on its scenes."""
    path = scenes_path(options, test, options.seed)
    scenes, heads = SceneStore(path), HeadStore(heads_path(path))
    device = pick_device(options.gpu_ids, quiet=True)
    crops = load_checkpoint(folders[TWO_STAGE] / "last.pth")
    decoder, crop_network = PoseDecoder(crops.description), crops.model.to(device)
    judged = evaluate(crop_network, decoder, heads, device, options.eval_batch_size)
    found.crop_error_all[test].append(judged.summary[ERROR])
    for name in MODELS:
        result, mine = detected(folders[name], scenes, device, options.eval_batch_size)
        for numbers, key in ((found.ap50, "ap50"), (found.ap, "ap"), (found.missed, "missed_share")):
            numbers[name][test].append(100 * result.summary[key])
        found.error[name][test].append(result.summary[ERROR])
        found.crop_error[name][test].append(float(judged.errors["geodesic_deg"][mine].mean()))


def detected(folder: Path, scenes: SceneStore, device, batch_size: int) -> tuple[DetectionResult, np.ndarray]:
    """How a run's last model does on scenes, and (N,) bool, which of the heads to be found it has found."""
    loaded = load_checkpoint(folder / "last.pth")
    found = detect(loaded.model.to(device), loaded.description, scenes, device, batch_size)
    truth = true_heads(scenes, loaded.image_size)
    result = evaluate_detection(found, truth, len(scenes), scenes.meta["full_range"])
    return result, result.found[truth.wanted] >= 0


def robustness_table(options: argparse.Namespace, found: Found) -> Table:
    """What masked and turned copies are worth."""
    columns = [f"{test}: {what}" for test in TESTS for what in ("AP50", "missed (%)", "error (°)")]
    rows = []
    for name in MODELS:
        cells = []
        for test in TESTS:
            cells.append(mean_and_deviation(found.ap50[name][test], 1))
            cells.append(mean_and_deviation(found.missed[name][test], 1))
            cells.append(mean_and_deviation(found.error[name][test]))
        rows.append(Row([name], cells))
    title = f"Rendered {options.domain} scenes: with and without masked and turned copies in training"
    return Table("onestage", title, ["model"], columns, rows, notes(options))


def two_stage_table(options: argparse.Namespace, found: Found) -> Table:
    """Poses of heads that the one-stage model found, by it and from crops by true boxes."""
    errors = {
        ONE_STAGE: found.error[ONE_STAGE],
        f"{TWO_STAGE}, the same heads": found.crop_error[ONE_STAGE],
        f"{TWO_STAGE}, all heads": found.crop_error_all,
    }
    rows = [Row([name], [mean_and_deviation(values[test]) for test in TESTS]) for name, values in errors.items()]
    title = f"Rendered {options.domain} scenes: error in one stage and in two"
    return Table("onestage_two_stage", title, ["model"], list(TESTS), rows, notes(options))


def notes(options: argparse.Namespace) -> list[str]:
    crop = crop_variant(options)
    return [
        f"Mean geodesic error in degrees over the heads that were found (IoU 0.5, score 0.5); mean and standard "
        f"deviation over the seeds {options.seeds}; {options.scenes} scenes of at most {options.most_heads} heads, "
        f"{options.test_scenes} held-out ones, each seed with scenes of its own. The last model is judged.",
        f"{options.network} at {options.image_size} px, {options.max_iteration} steps of {options.batch_size} scenes; "
        f"{crop.network} on the heads of the same scenes at {crop.image_size} px, {crop.max_iteration} steps of "
        f"{crop.batch_size} heads, without masked and turned copies.",
    ]
