"""Bootstrap confidence intervals (B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Stat. 1979).

Each resample draws as many heads as there are, with replacement. The statistic is computed on every resample, and the
interval reaches from its 2.5th to its 97.5th percentile. All statistics share the same resamples, and the seed is
fixed, so numbers can be reproduced. The interval says how much a number would vary over other heads *of the same kind*,
drawn independently. It does not cover the randomness of training, and it is too narrow where heads are not independent,
such as the frames of a video (BIWI).
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95
FEWEST = 10
"""Smallest group whose interval is shown: resamples of fewer heads are much alike, those of a single head are equal."""
_CHUNK_ELEMENTS = 1 << 24


def resample_counts(heads: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yield how often each head is in each resample, as float32 blocks (r, heads) with ``resamples`` rows in all."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_ELEMENTS // heads)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = rng.integers(0, heads, (count, heads)) + heads * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * heads).reshape(count, heads).astype(np.float32)


def bootstrap(
    values: np.ndarray, quantiles_of: np.ndarray | None = None, levels: Sequence[float] = (0.5,)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of columns on each resample, and quantiles of one column.

    Args:
        values: (N, K), N > 0.
        quantiles_of: (N,).
        levels: L levels of quantiles; 0.5 is the median.

    Returns:
        (RESAMPLES, K) means, and (RESAMPLES, L) quantiles, empty without ``quantiles_of``.
    """
    heads = len(values)
    order = np.empty(0, int) if quantiles_of is None else np.argsort(quantiles_of)
    means, quantiles = [], []
    for counts in resample_counts(heads):
        means.append(counts @ values.astype(np.float64) / heads)
        if quantiles_of is not None:
            quantiles.append(_quantiles(counts[:, order], quantiles_of[order], levels))
    return np.concatenate(means), np.concatenate(quantiles) if quantiles else np.empty((0, len(levels)))


def _quantiles(counts: np.ndarray, values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return (r, L) quantiles of sorted values with these (r, N) counts, linear between values as NumPy's."""
    rank = np.cumsum(counts, axis=1)
    columns = []
    for level in levels:
        position = level * (counts.shape[1] - 1)
        low, high = (values[(rank > whole).argmax(axis=1)] for whole in (math.floor(position), math.ceil(position)))
        columns.append(low + (position - math.floor(position)) * (high - low))
    return np.stack(columns, axis=1)


def interval(statistics: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of a statistic from its (RESAMPLES,) values."""
    low, high = np.quantile(statistics, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals(
    columns: Mapping[str, np.ndarray], quantiles_of: np.ndarray, levels: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """Return 95 percent intervals of the means of (N,) columns, and of quantiles of a (N,) column, by name."""
    means, quantiles = bootstrap(np.stack(list(columns.values()), axis=1), quantiles_of, list(levels.values()))
    found = {name: interval(means[:, i]) for i, name in enumerate(columns)}
    return found | {name: interval(quantiles[:, i]) for i, name in enumerate(levels)}
