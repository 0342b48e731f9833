"""All numbers of a one-stage model on a scene store, in the files of :mod:`semiuhpe.evaluation.results`.

The JSON file says ``kind`` ``scenes``; its ``results`` are by kind of heads (``all``, ``masked``, ``turned``...), with
null for what has no value, such as errors where no head was found. The .npz file holds, for all true heads on the
scenes, the ``names`` of their scenes and the scenes' positions (``scene``), the true ``rotation``, whether they were to
be found (``wanted``), ``masked`` and ``turned``, and of those that were found the errors, such as
``student_geodesic_deg``, NaN for others.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores import SceneStore
from semiuhpe.data.stores.base import SCENES
from semiuhpe.drawing.axes import contact_sheet
from semiuhpe.drawing.scene_sheet import TRUE, draw_heads, square
from semiuhpe.evaluation.detection import (
    Detected,
    TrueHeads,
    detect,
    errors_of_found,
    evaluate_detection,
    subset_masks,
    true_heads,
)
from semiuhpe.evaluation.provenance import provenance
from semiuhpe.evaluation.results import ALL, SCENE_ROLE, Results
from semiuhpe.models import LoadedModel
from semiuhpe.models.checkpoint import Description

METRICS = {
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
    "missed_as_zero_mae_deg": "missed as 0",
}
"""What is printed of each kind of heads, and its title."""
SHEET_SCENES, SHEET_COLUMNS, SHEET_PX = 16, 4, 320


class SceneEvaluation(NamedTuple):
    """What was found on a store's scenes.

    Attributes:
        results: all numbers.
        detected: the heads that were found.
        truth: those that there are.
    """

    results: Results
    detected: Detected
    truth: TrueHeads


def evaluate_scenes(
    loaded: LoadedModel,
    store: SceneStore,
    checkpoint: Path,
    settings: Mapping[str, Any],
    device: torch.device,
    batch_size: int,
    *,
    num_workers: int = 0,
    progress: bool = False,
) -> SceneEvaluation:
    """Evaluate a one-stage model; arguments as :func:`semiuhpe.evaluation.run.evaluate_heads`.

    Raises:
        ConfigError: pycocotools is missing.
        StoreError: the store has no scenes, or one can't be read.
        TrainingError: a prediction is not finite.
    """
    network, description = loaded.model.to(device), loaded.description
    detected = detect(network, description, store, device, batch_size, num_workers, progress)
    truth = true_heads(store, description.image_size)
    return SceneEvaluation(collect_scenes(detected, truth, store, description, checkpoint, settings), detected, truth)


def collect_scenes(
    detected: Detected,
    truth: TrueHeads,
    store: SceneStore,
    description: Description,
    checkpoint: Path,
    settings: Mapping[str, Any],
) -> Results:
    """Return all numbers of an evaluation; ``test_set`` is among the settings."""
    full_range = store.meta["full_range"]
    everything = evaluate_detection(detected, truth, len(store), full_range)
    rows = {ALL: everything.summary}
    for name, kind in subset_masks(truth).items():
        rows[name] = evaluate_detection(detected, truth, len(store), full_range, kind).summary
    facts: dict[str, Any] = {"path": str(store.path), "scenes": len(store), "heads": len(truth.scene)}
    facts |= {key: store.meta[key] for key in ("dataset", "split", "full_range", "size", "source")}
    summary = {"kind": SCENES, **provenance(checkpoint, description, store.path, facts, settings)}
    summary["results"] = {name: {key: _number(value) for key, value in row.items()} for name, row in rows.items()}
    heads = {"names": store.names[truth.scene], "scene": truth.scene, "rotation": truth.rotation}
    heads |= {"wanted": truth.wanted, "masked": truth.masked, "turned": truth.turned}
    hits = truth.wanted & (everything.found >= 0)
    for name, errors in errors_of_found(detected, truth, everything.found, hits, full_range).items():
        values = np.full((len(hits), *errors.shape[1:]), np.nan)
        values[hits] = errors.numpy()
        heads[f"{SCENE_ROLE}_{name}"] = values
    return Results(summary, heads)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def result_sheet(store: SceneStore, detected: Detected, truth: TrueHeads) -> np.ndarray:
    """Draw scenes spread over the store, with true boxes, and found heads with landmarks and axes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    pictures = []
    for scene in evenly_spaced(len(store), SHEET_SCENES):
        wanted = (truth.scene == scene) & truth.wanted
        picture = draw_heads(store.image(scene), truth.box[wanted], color=TRUE)
        found = detected.on(scene)
        arrays = (found.box.numpy(), found.rotation.numpy(), found.landmarks.numpy(), found.score.tolist())
        pictures.append(square(draw_heads(picture, *arrays)))
    return contact_sheet(pictures, SHEET_COLUMNS, SHEET_PX)
