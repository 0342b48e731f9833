"""Does the predicted uncertainty tell the truth?

Two questions. *Ranking*: are the heads of higher entropy those with larger errors? Spearman's rank correlation, and the
sparsification curve (Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", ECCV 2018):
the mean error of the heads that are left when those of highest entropy are dropped, against the same with the heads of
largest error dropped (the oracle). Both are divided by the mean error of all heads; the area between them (AUSE) is 0
for a perfect ranking.

*Coverage*: of the truths, does the predicted distribution's 90 percent region hold 90 percent? The region of highest
density that just reaches the truth holds a probability, its credible level, which is estimated by the share of samples
of the distribution that are denser than the truth. Levels of a calibrated model are uniform in [0, 1]. A model with
fewer truths inside than it claims is overconfident.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.splits import evenly_spaced
from semiuhpe.distributions.registry import DISTRIBUTIONS

SAMPLES = 500
SEED = 0
COVERAGE_LEVELS = (0.5, 0.8, 0.9, 0.95)
CURVE_POINTS = 101
_HEADS_AT_A_TIME = 2048


def credible_level(distribution: str, parameter: Tensor, truth: Tensor) -> Tensor | None:
    """(N,) probability of what is denser than the truth, by sampling with a fixed seed, in steps of 1 / SAMPLES.

    Args:
        distribution: ``matrixFisher`` or ``RotationLaplace``.
        parameter: (N, 3, 3) of R head to camera.
        truth: (N, 3, 3) rotations, head to camera.

    Returns:
        None for a distribution that can't be sampled from: RotationLaplace.
    """
    kind = DISTRIBUTIONS[distribution]
    if not kind.has_sampler:
        return None
    generator = torch.Generator(parameter.device).manual_seed(SEED)
    levels = []
    for part, rotation in zip(parameter.split(_HEADS_AT_A_TIME), truth.split(_HEADS_AT_A_TIME), strict=True):
        predicted = kind(part.double())
        samples = predicted.sample((SAMPLES,), generator=generator)
        denser = predicted.log_prob(samples) > predicted.log_prob(rotation.double())
        levels.append(denser.double().mean(0))
    return torch.cat(levels)


def rank_correlation(entropy: np.ndarray, error: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where either has one value only, which leaves nothing to rank."""
    if len(error) < 2 or np.ptp(entropy) == 0 or np.ptp(error) == 0:
        return None
    from scipy.stats import spearmanr  # takes as long to import as half of PyTorch

    return float(spearmanr(entropy, error).statistic)


def sparsification(entropy: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """Mean error of the heads left, over that of all, when shares of 0 to (N - 1) / N of the heads are dropped.

    Returns:
        ``dropped`` shares, ``by_entropy`` and ``oracle`` at them (at most 101 points), and ``ause``, the area between
        the two curves over all N points.
    """
    count = len(error)
    left = np.arange(1, count + 1)
    whole = error.mean()
    scale = 1.0 / whole if whole > 0 else 1.0

    def curve(order: np.ndarray) -> np.ndarray:
        """From none dropped to all but one."""
        return (np.cumsum(error[order]) / left)[::-1] * scale

    by_entropy, oracle = curve(np.argsort(entropy, kind="stable")), curve(np.argsort(error, kind="stable"))
    dropped = np.arange(count) / count
    shown = evenly_spaced(count, CURVE_POINTS)
    return {
        "dropped": dropped[shown].tolist(),
        "by_entropy": by_entropy[shown].tolist(),
        "oracle": oracle[shown].tolist(),
        "ause": float((by_entropy - oracle).mean()),
    }


def coverage(level: np.ndarray) -> dict[str, Any]:
    """Share of truths inside the credible regions of the levels that are reported, and at 101 levels for the curve."""
    levels = np.linspace(0, 1, CURVE_POINTS)
    inside = np.searchsorted(np.sort(level), levels, side="right") / len(level)
    return {
        "samples_per_head": SAMPLES,
        "inside": {f"{share:.0%}": float((level <= share).mean()) for share in COVERAGE_LEVELS},
        "levels": levels.round(2).tolist(),
        "curve": inside.tolist(),
        "mean_deviation": float(np.abs(inside - levels).mean()),
    }


def calibration(entropy: np.ndarray, error: np.ndarray, level: np.ndarray | None) -> dict[str, Any]:
    """All of it for one model; ``coverage`` is None where there are no credible levels."""
    return {
        "spearman": rank_correlation(entropy, error),
        "sparsification": sparsification(entropy, error),
        "coverage": None if level is None else coverage(level),
    }
