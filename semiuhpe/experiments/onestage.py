"""``semiuhpe tables onestage``: finding and posing heads in one pass, on rendered scenes.

For each seed, scenes are rendered for training, for selecting `best` and for testing. The test scenes are rendered
three times: as they are, with masks on all heads, and turned. Two one-stage models are trained, with and without masked
and turned copies, and a model for head crops with the same backbone on the heads of the same training scenes. The
latter gets the true boxes, so it represents two stages with a perfect detector. Finished stores and runs are reused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing.heads import prepare
from semiuhpe.data.stores import DATA_FILE, HeadStore, SceneStore
from semiuhpe.distributed import pick_device
from semiuhpe.errors import require
from semiuhpe.evaluation.detection import DetectionResult, detect, evaluate_detection, true_heads
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Row, Table, mean_and_deviation
from semiuhpe.experiments.options import ComparisonOptions, check_rendered
from semiuhpe.experiments.rendering import render_once
from semiuhpe.experiments.runs import BASELINE_OPTIONS, train_once, variant
from semiuhpe.methods import Experiment
from semiuhpe.models import load_checkpoint
from semiuhpe.models.onestage import FAMILY
from semiuhpe.models.output import PoseDecoder
from semiuhpe.options import PositiveInt, option
from semiuhpe.synthetic.scene_stores import SceneSet
from semiuhpe.training.run import check_experiment

DEFAULT_SETTINGS = "settings/tables_onestage.yml"
ONE_STAGE, WITHOUT, TWO_STAGE = "one stage", "one stage, trained without masks and turns", "head crops by true boxes"
MODELS = {ONE_STAGE: {}, WITHOUT: {"masked_share": 0.0, "turned_share": 0.0}}
TESTS: dict[str, dict[str, Any]] = {"clean": {}, "masked": {"masked": 1.0}, "turned": {"turned": 1.0}}
SCENE_MARGIN = 1.2
"""Ratio of the size of stored training scenes to the network's input, as a view is a part of a scene."""
ERROR = "geodesic_mean_deg"
Numbers = dict[str, dict[str, list[float]]]
"""Numbers by model and test, a list with one number per seed."""


def _empty(models: Sequence[str]) -> Numbers:
    return {model: {test: [] for test in TESTS} for model in models}


@dataclass
class Found:
    """Results of all seeds.

    Attributes:
        ap50, ap, missed, error: results of the one-stage models; the error is that of the heads that they found.
        crop_error: error of head crops by true boxes on the heads that each one-stage model found.
        crop_error_all: error of head crops by true boxes on all heads, by test.
    """

    ap50: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    ap: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    missed: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    error: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    crop_error: Numbers = field(default_factory=lambda: _empty(list(MODELS)))
    crop_error_all: dict[str, list[float]] = field(default_factory=lambda: {test: [] for test in TESTS})


@dataclass(frozen=True)
class OneStageTableOptions(ComparisonOptions):
    """The options of these tables, in addition to those of training."""

    data: Path = option(Path("data/tables_onestage"), "folder for rendered stores", metavar="DIR")
    scenes: PositiveInt = option(4000, "number of scenes rendered for training")
    test_scenes: PositiveInt = option(500, "number of scenes rendered for testing, three times")
    most_heads: PositiveInt = option(4, "maximum number of heads per scene")
    domain: Literal["clean", "wild"] = option("wild", "domain of rendered scenes: clean (a studio) or wild")
    crop_size: PositiveInt = option(64, "input size of the model for head crops, in pixels")
    crop_lr: float = option(1e-3, "learning rate of the model for head crops")
    crop_batch_size: PositiveInt = option(32, "batch size of the model for head crops")
    crop_iteration: PositiveInt = option(3000, "training steps of the model for head crops")


def check(experiment: Experiment, options: OneStageTableOptions) -> None:
    """Raise ConfigError if an option has an impossible value or options contradict each other."""
    check_rendered(experiment, "scenes")
    method = experiment.training.method
    require(method == "onestage", f"--method {method}: this table is of the method onestage")
    check_experiment(experiment)
    check_experiment(crop_variant(experiment, options))


def tables(experiment: Experiment, options: OneStageTableOptions) -> list[Table]:
    """Train and evaluate models that are missing, and return the tables."""
    found = Found()
    results = Path(experiment.run.exps_dir) / experiment.run.exp_name / "results.json"
    for seed in options.seeds:
        of_seed = render(experiment, options, seed)
        runs = {name: variant(of_seed, f"seed{seed}_{name}".replace(" ", "_"), **MODELS[name]) for name in MODELS}
        runs[TWO_STAGE] = crop_variant(of_seed, options)
        folders = {name: train_once(run) for name, run in runs.items()}
        for test in TESTS:
            evaluate_runs(of_seed, scenes_path(options, test, seed), folders, test, found)
        write_result(results, json.dumps({"seeds": options.seeds, **vars(found)}, indent=1).encode())
    lines = notes(experiment, options)
    return [robustness_table(options, found, lines), two_stage_table(options, found, lines)]


def render(experiment: Experiment, options: OneStageTableOptions, seed: int) -> Experiment:
    """Render missing stores of one seed, and return its experiment, which names the stores."""
    heads_range, size = "full" if experiment.network.is_full_range else "front", experiment.network.image_size
    common = (options.most_heads, options.domain, heads_range)
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
    train, val = (str(scenes_path(options, name, seed)) for name in ("train", "val"))
    return experiment.replace(seed=seed, train_labeled=train, val_set=val, test_set=val)


def scenes_path(options: OneStageTableOptions, name: str, seed: int) -> Path:
    return options.data / f"{name}{seed}.lmdb"


def heads_path(scenes: Path) -> Path:
    """Return the path of the head store that is cropped from a scene store."""
    return scenes.with_name(f"{scenes.stem}_heads.lmdb")


def crop_once(scenes: Path, heads: Path, split: str, options: OneStageTableOptions) -> None:
    """Crop the heads of a scene store, unless that has been done since it was rendered."""
    size = round(options.crop_size * SCENE_MARGIN) if split == "train" else options.crop_size
    made, rendered = heads / DATA_FILE, scenes / DATA_FILE
    done = made.exists() and made.stat().st_mtime > rendered.stat().st_mtime and HeadStore(heads).size == size
    if not done:
        prepare(IMPORTERS["scenes"], scenes, heads, split=split, size=size, workers=options.workers, overwrite=True)


def crop_variant(experiment: Experiment, options: OneStageTableOptions) -> Experiment:
    """Return the experiment of the supervised model for head crops, with the one-stage models' backbone and labels."""
    changes: dict[str, Any] = {
        "method": "semiuhpe",
        "network": experiment.network.network.removeprefix(f"{FAMILY}:"),
        "image_size": options.crop_size,
        "lr": options.crop_lr,
        "batch_size": options.crop_batch_size,
        "max_iteration": options.crop_iteration,
        "stage1_iteration": options.crop_iteration,
        "best_metric": None,
        **BASELINE_OPTIONS,
    }
    for name in ("train_labeled", "val_set", "test_set"):
        scenes = getattr(experiment.data, name)
        changes[name] = scenes and str(heads_path(Path(scenes)))
    return variant(experiment, f"seed{experiment.run.seed}_{TWO_STAGE}".replace(" ", "_"), **changes)


def evaluate_runs(experiment: Experiment, path: Path, folders: dict[str, Path], test: str, found: Found) -> None:
    """Evaluate one seed's last models on the test in ``path`` and add the results: nothing is selected on it."""
    scenes, heads = SceneStore(path), HeadStore(heads_path(path))
    device, batch_size = pick_device(experiment.run.gpu_ids, quiet=True), experiment.training.eval_batch_size
    crops = load_checkpoint(folders[TWO_STAGE] / "last.pth")
    decoder, crop_network = PoseDecoder(crops.description), crops.model.to(device)
    by_crops = evaluate(crop_network, decoder, heads, device, batch_size)
    found.crop_error_all[test].append(by_crops.summary[ERROR])
    for name in MODELS:
        result, mine = detected(folders[name], scenes, device, batch_size)
        for numbers, key in ((found.ap50, "ap50"), (found.ap, "ap"), (found.missed, "missed_share")):
            numbers[name][test].append(100 * result.summary[key])
        found.error[name][test].append(result.summary[ERROR])
        found.crop_error[name][test].append(float(by_crops.errors["geodesic_deg"][mine].mean()))


def detected(
    folder: Path, scenes: SceneStore, device: torch.device, batch_size: int
) -> tuple[DetectionResult, np.ndarray]:
    """Return the result of a run's last model on scenes, and (N,) bool, which of the heads to find it has found."""
    loaded = load_checkpoint(folder / "last.pth")
    found = detect(loaded.model.to(device), loaded.description, scenes, device, batch_size)
    truth = true_heads(scenes, loaded.image_size)
    result = evaluate_detection(found, truth, len(scenes), scenes.meta["full_range"])
    return result, result.found[truth.wanted] >= 0


def robustness_table(options: OneStageTableOptions, found: Found, lines: list[str]) -> Table:
    """Return the table of results with and without masked and turned copies in training."""
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
    return Table("onestage", title, ["model"], columns, rows, lines)


def two_stage_table(options: OneStageTableOptions, found: Found, lines: list[str]) -> Table:
    """Return the table of errors of one stage and of crops by true boxes, on the heads that one stage found."""
    errors = {
        ONE_STAGE: found.error[ONE_STAGE],
        f"{TWO_STAGE}, the same heads": found.crop_error[ONE_STAGE],
        f"{TWO_STAGE}, all heads": found.crop_error_all,
    }
    rows = [Row([name], [mean_and_deviation(values[test]) for test in TESTS]) for name, values in errors.items()]
    title = f"Rendered {options.domain} scenes: error in one stage and in two"
    return Table("onestage_two_stage", title, ["model"], list(TESTS), rows, lines)


def notes(experiment: Experiment, options: OneStageTableOptions) -> list[str]:
    network, training = experiment.network, experiment.training
    crop = crop_variant(experiment, options)
    return [
        f"Mean geodesic error in degrees over the heads that were found (IoU 0.5, score 0.5); mean and standard "
        f"deviation over the seeds {list(options.seeds)}; {options.scenes} scenes of at most {options.most_heads} "
        f"heads, {options.test_scenes} held-out ones, different scenes for each seed. The last model is evaluated.",
        f"{network.network} at {network.image_size} px, {training.max_iteration} steps of {training.batch_size} "
        f"scenes; {crop.network.network} on the heads of the same scenes at {options.crop_size} px, "
        f"{options.crop_iteration} steps of {options.crop_batch_size} heads, without masked and turned copies.",
    ]
