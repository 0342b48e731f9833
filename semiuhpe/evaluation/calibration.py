"""Calibration: does the predicted uncertainty tell the truth?

*Ranking*: do heads of higher entropy have larger errors? Measured by Spearman's rank correlation and by the
sparsification curve (Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", ECCV 2018):
the mean error of the heads that are left when those of highest entropy are dropped, against the same with the heads of
largest error dropped (the oracle). Both are divided by the mean error of all heads; the area between them (AUSE) is 0
for a perfect ranking.

*Coverage*: do the predicted 90 percent regions contain 90 percent of the truths? The probability of the region of
highest density that just reaches the truth is the truth's credible level. It is estimated by the share of samples of
the distribution that are denser than the truth. Credible levels of a calibrated model are uniform in [0, 1]; a model
whose regions contain fewer truths than claimed is overconfident.

*Confidence*: of the heads with a confidence of 80 percent, are 80 percent right to 15 degrees? Heads are put into ten
bins of equal width by their confidence; the expected calibration error (ECE; Guo et al., "On calibration of modern
neural networks", ICML 2017) is the mean difference, over the heads, between the mean confidence of a bin and the share
of its heads that are right.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.splits import evenly_spaced
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.models.output import CONFIDENCE_DEG, confidence_of

SAMPLES = 500
SEED = 0
COVERAGE_LEVELS = (0.5, 0.8, 0.9, 0.95)
CURVE_POINTS = 101
CONFIDENCE_BINS = 10
_HEADS_AT_A_TIME = 2048


def credible_level(distribution: str, parameter: Tensor, truth: Tensor) -> Tensor | None:
    """Return the credible level (N,) of each truth, by sampling with a fixed seed, in steps of 1 / SAMPLES.

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


def confidences(distribution: str, parameter: Tensor) -> Tensor:
    """Return the confidence (N,) of each prediction, in float64; NaN for a distribution without uncertainty.

    Args:
        distribution: name of a kind of distributions.
        parameter: (N, 3, 3) of R head to camera.
    """
    kind, parts = DISTRIBUTIONS[distribution], parameter.double().split(_HEADS_AT_A_TIME)
    return torch.cat([confidence_of(kind(part)) for part in parts]).double()


def rank_correlation(entropy: np.ndarray, error: np.ndarray) -> float | None:
    """Return Spearman's rank correlation; None where either input is constant, which leaves nothing to rank."""
    if len(error) < 2 or np.ptp(entropy) == 0 or np.ptp(error) == 0:
        return None
    from scipy.stats import spearmanr  # takes as long to import as half of PyTorch

    return float(spearmanr(entropy, error).statistic)


def sparsification(entropy: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """Return the mean error of the remaining heads, relative to that of all, as shares 0 to (N - 1) / N are dropped.

    Returns:
        ``dropped``: at most 101 shares; ``by_entropy`` and ``oracle``: the curves there; ``ause``: the area between the
        two curves, over all N points.
    """
    count = len(error)
    left = np.arange(1, count + 1)
    whole = error.mean()
    scale = 1.0 / whole if whole > 0 else 1.0

    def curve(order: np.ndarray) -> np.ndarray:
        """Return the mean errors from no head dropped to all but one."""
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
    """Return the shares of truths inside credible regions, at the reported levels and at 101 levels for the curve."""
    levels = np.linspace(0, 1, CURVE_POINTS)
    inside = np.searchsorted(np.sort(level), levels, side="right") / len(level)
    return {
        "samples_per_head": SAMPLES,
        "inside": {f"{share:.0%}": float((level <= share).mean()) for share in COVERAGE_LEVELS},
        "levels": levels.round(2).tolist(),
        "curve": inside.tolist(),
        "mean_deviation": float(np.abs(inside - levels).mean()),
    }


def reliability(confidence: np.ndarray, error_deg: np.ndarray) -> dict[str, Any] | None:
    """Return how far confidences (N,) are right about errors (N,) of at most 15 degrees; None if they are NaN.

    Returns:
        ``ece``: the expected calibration error, 0 to 1; ``heads``, ``confidence``, ``right`` and ``error_deg``: the
        number of heads in each bin that isn't empty, their mean confidence, the share of them that is right, and their
        mean error.
    """
    if np.isnan(confidence).any():
        return None
    bins = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    heads = np.bincount(bins, minlength=CONFIDENCE_BINS)
    kept = heads > 0
    columns = (confidence, error_deg <= CONFIDENCE_DEG, error_deg)
    sums = [np.bincount(bins, values, CONFIDENCE_BINS)[kept] for values in columns]
    claimed, right, error = (values / heads[kept] for values in sums)
    return {
        "ece": float(np.average(np.abs(claimed - right), weights=heads[kept])),
        "heads": heads[kept].tolist(),
        "confidence": claimed.tolist(),
        "right": right.tolist(),
        "error_deg": error.tolist(),
    }


def calibration(
    entropy: np.ndarray, confidence: np.ndarray, error: np.ndarray, level: np.ndarray | None
) -> dict[str, Any]:
    """Return all numbers of one model; None for those that a model without uncertainty or credible levels lacks."""
    unknown = bool(np.isnan(entropy).any())
    return {
        "confidence": reliability(confidence, error),
        "spearman": None if unknown else rank_correlation(entropy, error),
        "sparsification": None if unknown else sparsification(entropy, error),
        "coverage": None if level is None else coverage(level),
    }
