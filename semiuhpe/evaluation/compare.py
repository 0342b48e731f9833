"""Is one model better than another on the same heads, and on which?

The difference of a mean, B minus A, with its paired bootstrap interval: both models are resampled with the same heads,
so what makes a head hard for both cancels out. Negative differences of errors mean that B is better.
"""

from typing import Any

import numpy as np
import torch

from semiuhpe.errors import DataError
from semiuhpe.evaluation.bootstrap import FEWEST, bootstrap, interval
from semiuhpe.evaluation.metrics import SHARE_LIMITS_DEG, averaged_columns
from semiuhpe.evaluation.results import GROUP, MEDIAN, Results

ERRORS = ("geodesic_deg", "frobenius", "axis_deg", "euler_abs_deg")
GEODESIC = "geodesic_deg"
LARGER_IS_BETTER = tuple(f"under_{limit}_deg" for limit in SHARE_LIMITS_DEG)


def compare(first: Results, second: Results, role: str) -> dict[str, Any]:
    """All numbers of a comparison of ``first`` (A) and ``second`` (B).

    Args:
        first, second: evaluations on the same heads.
        role: which model of each, ``student`` or ``teacher``.

    Returns:
        ``means`` by name and ``groups``, a list of rows by division; each with ``a``, ``b``, ``difference``, its
        ``interval``, ``b_is_better``, the share of resamples in which B is better (ties count half), and ``better``,
        ``A`` or ``B``, empty where the interval holds zero. Groups of fewer than :data:`FEWEST` heads have their means
        only: ``interval`` and ``b_is_better`` are None, ``better`` is empty.

    Raises:
        DataError: they are not of the same heads, or one has no such model.
    """
    check_same_heads(first, second, role)
    a, b = (_columns(results, role) for results in (first, second))
    names = [name for name in a if name in b]
    stacked = [np.stack([columns[name] for name in names], axis=1) for columns in (a, b)]
    medians_of = [results.heads[f"{role}_{GEODESIC}"] for results in (first, second)]
    # The same seed and number of heads: both calls draw the same resamples.
    (means_a, median_a), (means_b, median_b) = map(bootstrap, stacked, medians_of)
    means = {
        name: _row(
            stacked[0][:, i].mean(), stacked[1][:, i].mean(), means_b[:, i] - means_a[:, i], name in LARGER_IS_BETTER
        )
        for i, name in enumerate(names)
    }
    means[MEDIAN] = _row(np.median(medians_of[0]), np.median(medians_of[1]), median_b - median_a)
    return {"role": role, "heads": len(medians_of[0]), "means": means, "groups": _groups(second, *medians_of)}


def check_same_heads(first: Results, second: Results, role: str) -> None:
    """Raises DataError unless two evaluations can be compared head by head."""
    paths = [results.summary["checkpoint"]["path"] for results in (first, second)]
    for results, path in zip((first, second), paths, strict=True):
        if role not in results.models:
            raise DataError(f"{path}: was evaluated without a {role}")
    a, b = first.heads, second.heads
    same = a["rotation"].shape == b["rotation"].shape and (a["names"] == b["names"]).all()
    if not same or not np.allclose(a["rotation"], b["rotation"], atol=1e-6):
        stores = [
            f"{results.summary['store']['path']} ({len(results.heads['names'])} heads)" for results in (first, second)
        ]
        raise DataError(f"{' and '.join(paths)} were evaluated on different heads: {' and '.join(stores)}")


def _columns(results: Results, role: str) -> dict[str, np.ndarray]:
    errors = {name: results.heads[f"{role}_{name}"] for name in ERRORS if f"{role}_{name}" in results.heads}
    columns = averaged_columns({name: torch.from_numpy(values) for name, values in errors.items()})
    return {name: column.numpy() for name, column in columns.items()}


def _groups(results: Results, error_a: np.ndarray, error_b: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Rows of mean geodesic errors by division; those of no head are left out."""
    groups = {}
    for key, division in results.summary["divisions"].items():
        number_of = results.heads[GROUP + key]
        rows = []
        for number, label in enumerate(division["labels"]):
            members = np.flatnonzero(number_of == number)
            if len(members):
                a, b = error_a[members], error_b[members]
                drawn = bootstrap((b - a)[:, None])[0][:, 0]
                row = {"label": label, "count": len(members), **_row(a.mean(), b.mean(), drawn)}
                few = len(members) < FEWEST
                rows.append(row | ({"interval": None, "b_is_better": None, "better": ""} if few else {}))
        groups[key] = rows
    return groups


def _row(a: float, b: float, differences: np.ndarray, larger_is_better: bool = False) -> dict[str, Any]:
    low, high = interval(differences)
    gain = differences if larger_is_better else -differences
    decided = low > 0 or high < 0
    return {
        "a": float(a),
        "b": float(b),
        "difference": float(b - a),
        "interval": (low, high),
        "b_is_better": float((gain > 0).mean() + 0.5 * (gain == 0).mean()),
        "better": ("B" if (low > 0) == larger_is_better else "A") if decided else "",
    }
