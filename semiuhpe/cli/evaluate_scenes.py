"""``eval.py`` for a one-stage model: detection and pose on a scene store, by kinds of heads, with pictures."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import pick_device
from semiuhpe.drawing.axes import contact_sheet, save_picture
from semiuhpe.drawing.scene_sheet import TRUE, draw_heads, square
from semiuhpe.evaluation.detection import Detected, TrueHeads, detect, evaluate_detection, subset_masks, true_heads
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import aligned
from semiuhpe.methods.onestage import open_test_set
from semiuhpe.models import LoadedModel

KIND = "scenes"
COLUMNS = {
    "heads": "heads",
    "ap50": "AP50",
    "ap": "AP",
    "missed_heads": "missed",
    "false_heads": "false",
    "geodesic_mean_deg": "geodesic",
    "geodesic_median_deg": "median",
    "pitch_mae_deg": "pitch",
    "yaw_mae_deg": "yaw",
    "roll_mae_deg": "roll",
    "euler_mae_deg": "Euler MAE",
}
SHEET_SCENES, SHEET_COLUMNS, SHEET_PX = 16, 4, 320


def evaluate_scenes(options: argparse.Namespace, path: Path, loaded: LoadedModel, output: Path) -> int:
    """Evaluates a one-stage model, prints a table, and writes JSON and a sheet of scenes.

    Raises:
        SemiUHPEError: of any kind, before anything is written.
    """
    store = open_test_set(options)
    device = pick_device(options.gpu_ids)
    workers = loader_workers(options, device)
    network = loaded.model.to(device)
    detected = detect(network, loaded.description, store, device, options.eval_batch_size, workers, progress=True)
    truth = true_heads(store, loaded.image_size)
    full_range = store.meta["full_range"]
    rows = {"all": evaluate_detection(detected, truth, len(store), full_range).summary}
    for name, kind in subset_masks(truth).items():
        rows[name] = evaluate_detection(detected, truth, len(store), full_range, kind).summary
    sheet = output.with_name(f"{output.stem}_scenes.png")
    write_result(output, _json(options, path, loaded, store, rows))
    save_picture(sheet, scene_sheet(store, detected, truth))
    print(f"{path} on {store.path} ({len(store)} scenes; angles in degrees, over the heads that were found)\n")
    print(aligned([["", *COLUMNS.values()], *([name, *map(_cell, _values(row))] for name, row in rows.items())]))
    print(f"\nwritten to {output} and {sheet.name} beside it")
    return 0


def scene_sheet(store: SceneStore, detected: Detected, truth: TrueHeads) -> np.ndarray:
    """(H, W, 3) uint8: scenes spread over the store, with true boxes, and found heads with landmarks and axes."""
    pictures = []
    for scene in evenly_spaced(len(store), SHEET_SCENES):
        wanted = (truth.scene == scene) & truth.wanted
        picture = draw_heads(store.image(scene), truth.box[wanted], color=TRUE)
        found = detected.on(scene)
        arrays = (found.box.numpy(), found.rotation.numpy(), found.landmarks.numpy(), found.score.tolist())
        pictures.append(square(draw_heads(picture, *arrays)))
    return contact_sheet(pictures, SHEET_COLUMNS, SHEET_PX)


def _values(row: dict[str, float]) -> list[float]:
    return [row.get(name, math.nan) for name in COLUMNS]


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.3f}"


def _json(options: argparse.Namespace, path: Path, loaded: LoadedModel, store: SceneStore, rows: dict) -> bytes:
    def plain(row: dict[str, float]) -> dict[str, Any]:
        return {name: None if math.isnan(value) else value for name, value in row.items()}

    summary = {
        "kind": KIND,
        "checkpoint": str(path),
        "model": asdict(loaded.description),
        "store": {"path": str(store.path), "scenes": len(store), "dataset": store.meta["dataset"]},
        "settings": {"test_set": options.test_set, "eval_batch_size": options.eval_batch_size},
        "results": {name: plain(row) for name, row in rows.items()},
    }
    return (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode()
