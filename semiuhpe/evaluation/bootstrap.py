"""Bootstrap confidence intervals (B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Stat. 1979).

Each resample draws as many heads as there are, with replacement. The statistic is computed on every resample, and the
interval reaches from its 2.5th to its 97.5th percentile. All statistics share the same resamples, and the seed is
fixed, so numbers can be reproduced. The interval says how much a number would vary over other heads *of the same kind*,
drawn independently. It does not cover the randomness of training, and it is too narrow where heads are not independent,
such as the frames of a video (BIWI).
"""

from collections.abc import Iterator

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


def bootstrap(values: np.ndarray, median_of: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of columns on each resample, and the median of one column.

    Args:
        values: (N, K), N > 0.
        median_of: (N,).

    Returns:
        (RESAMPLES, K) means, and (RESAMPLES,) medians, empty without ``median_of``.
    """
    heads = len(values)
    order = np.empty(0, int) if median_of is None else np.argsort(median_of)
    means, medians = [], []
    for counts in resample_counts(heads):
        means.append(counts @ values.astype(np.float64) / heads)
        if median_of is not None:
            medians.append(_medians(counts[:, order], median_of[order]))
    return np.concatenate(means), np.concatenate(medians) if medians else np.empty(0)


def _medians(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return medians of sorted values with these counts; the mean of the middle two where the total is even."""
    rank = np.cumsum(counts, axis=1)
    heads = counts.shape[1]
    middle = [values[(rank > position).argmax(axis=1)] for position in ((heads - 1) // 2, heads // 2)]
    return (middle[0] + middle[1]) / 2


def interval(statistics: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of a statistic from its (RESAMPLES,) values."""
    low, high = np.quantile(statistics, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals(columns: dict[str, np.ndarray], medians: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return 95 percent intervals of the means of (N,) columns, and of the median of at most one column, by name."""
    (median_name, median_of) = next(iter(medians.items()), (None, None))
    means, median = bootstrap(np.stack(list(columns.values()), axis=1), median_of)
    result = {name: interval(means[:, i]) for i, name in enumerate(columns)}
    if median_name is not None:
        result[median_name] = interval(median)
    return result
