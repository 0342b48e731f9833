"""Radii that hold the truth with a probability of 90 percent: how they are found, and whether they do.

:mod:`semiuhpe.models.reliability` says what they are.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions.registry import DISTRIBUTIONS, POINT_ESTIMATES
from semiuhpe.evaluation.predict import Evaluation, evaluate_all
from semiuhpe.evaluation.temperature import check_calibratable, temperature_of
from semiuhpe.models import LoadedModel
from semiuhpe.models.output import PoseDecoder
from semiuhpe.models.reliability import SHARE, Reliability, output_layer, width, yaw_deg

YAW_STEP_DEG = 30
RANGE_HEADS = 100
"""Heads that a range of yaw has at least, else it is joined with the next; fewer would leave its radius to chance."""
RELIABLE_DEG = 30.0


def fit_reliability(
    models: Mapping[str, LoadedModel],
    store: HeadStore,
    device: torch.device,
    batch_size: int = 64,
    reliable_deg: float = RELIABLE_DEG,
    progress: bool = False,
) -> dict[str, Reliability]:
    """Return the temperature and the radii that labeled heads tell of the models of a checkpoint, by role.

    Args:
        models: of head crops, by role, without a calibration of their own.
        store: labeled heads that no training has seen, cropped as the models need it; they are read once for all.
        device: where the heads are predicted.
        batch_size: heads at a time.
        reliable_deg: radius up to which predictions count as reliable.
        progress: show a bar.

    Raises:
        ConfigError: the models find heads.
        StoreError: the store has no labels, wrong ones, too few heads, or none or only such that a model is right on.
        TrainingError: a prediction is not finite.
    """
    first = next(iter(models.values()))
    check_calibratable(first, store)
    description = first.description
    if description.distribution not in POINT_ESTIMATES:
        output_layer(first.model)  # fails before the work
    networks = {role: loaded.model.to(device) for role, loaded in models.items()}
    found = evaluate_all(networks, PoseDecoder(description), store, device, batch_size, progress=progress)
    return {role: _reliability(description.distribution, one, store, reliable_deg) for role, one in found.items()}


def _reliability(distribution: str, found: Evaluation, store: HeadStore, reliable_deg: float) -> Reliability:
    temperature, entropy = 1.0, torch.full((len(store),), torch.nan)
    if distribution not in POINT_ESTIMATES:
        temperature = temperature_of(distribution, found, store)
        entropy = DISTRIBUTIONS[distribution](found.parameter.double() / temperature).entropy()
    limits, radii = conformal_radii(yaw_deg(found.rotation), found.errors["geodesic_deg"].double() / width(entropy))
    return Reliability(temperature, limits, radii, float(reliable_deg))


def conformal_radii(yaw: Tensor, score: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the upper ends of ranges of predicted yaw, and the conformal quantile of the scores in each.

    Args:
        yaw: (N,) predicted, absolute, in degrees.
        score: (N,) errors relative to the width of what was predicted.
    """
    limits: list[float] = []
    radii: list[float] = []
    lower = -1.0
    for upper in range(YAW_STEP_DEG, 181, YAW_STEP_DEG):
        inside = (yaw > lower) & (yaw <= upper)
        if upper < 180 and min(int(inside.sum()), int((yaw > upper).sum())) < RANGE_HEADS:
            continue
        limits.append(float(upper))
        radii.append(conformal_quantile(score[inside]))
        lower = float(upper)
    return tuple(limits), tuple(radii)


def conformal_quantile(score: Tensor) -> float:
    """Return the value that a further score is below with a probability of at least :data:`SHARE`.

    It is the k-th smallest of the n scores, where k is (n + 1) 0.9, rounded up (Lei et al., 2018, section 2.2); the
    largest where there are too few.
    """
    rank = min(math.ceil((len(score) + 1) * SHARE), len(score))
    return float(score.kthvalue(rank).values)


def coverage_of_radii(
    within_90_deg: np.ndarray, error_deg: np.ndarray, rotation: np.ndarray, reliable_deg: float
) -> dict[str, Any]:
    """Return whether radii hold what they promise.

    Args:
        within_90_deg: (N,) radii.
        error_deg: (N,) geodesic errors.
        rotation: (N, 3, 3) true rotations.
        reliable_deg: radius up to which a prediction counts as reliable.

    Returns:
        ``inside``: the share of truths within their radius; ``median_deg``: of the radii; ``reliable``: the share of
        reliable predictions, with their mean error and that of the others, None where there are none; and ``by_yaw``,
        the same for ranges of true yaw, either side, that have heads.
    """
    yaw, reliable = yaw_deg(torch.from_numpy(rotation)).numpy(), within_90_deg <= reliable_deg

    def mean_error(chosen: np.ndarray) -> float | None:
        return float(error_deg[chosen].mean()) if chosen.any() else None

    def held(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "heads": int(chosen.sum()),
            "inside": float((error_deg <= within_90_deg)[chosen].mean()),
            "median_deg": float(np.median(within_90_deg[chosen])),
            "reliable": float(reliable[chosen].mean()),
            "reliable_error_deg": mean_error(chosen & reliable),
            "other_error_deg": mean_error(chosen & ~reliable),
        }

    ranges = []
    for lower in range(0, 180, YAW_STEP_DEG):
        upper = lower + YAW_STEP_DEG
        chosen = (yaw >= lower) & ((yaw < upper) | (upper == 180))
        if chosen.any():
            ranges.append({"label": f"{lower} to {upper}", **held(chosen)})
    return {"share": SHARE, "reliable_deg": reliable_deg, **held(np.ones(len(yaw), bool)), "by_yaw": ranges}
