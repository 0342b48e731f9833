"""Comparison of two models on the same heads.

Means are compared by their differences, B minus A, with paired bootstrap intervals: both models are resampled with the
same heads, so heads that are hard for both cancel out. Negative differences of errors mean that B is better. One-stage
models are compared by the results of each on whole scenes, and head by head over the heads that both find.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from semiuhpe.data.stores.base import SCENES
from semiuhpe.errors import DataError
from semiuhpe.evaluation.bootstrap import FEWEST, bootstrap, interval
from semiuhpe.evaluation.metrics import QUANTILES, SHARE_LIMITS_DEG, averaged_columns
from semiuhpe.evaluation.results import ALL, GROUP, HEADS_PROTOCOL, SCENE_ROLE, Results
from semiuhpe.models.roles import MODEL

ERRORS = ("geodesic_deg", "frobenius", "axis_deg", "euler_abs_deg")
GEODESIC = "geodesic_deg"
LARGER_IS_BETTER = tuple(f"under_{limit}_deg" for limit in SHARE_LIMITS_DEG)


def compare(first: Results, second: Results, role: str | None = None) -> dict[str, Any]:
    """Return all numbers of a comparison of ``first`` (A) and ``second`` (B).

    Args:
        first, second: evaluations on the same heads, or on the same scenes.
        role: the role to compare, ``student`` or ``teacher``; teacher if None. Evaluations of scenes have only one, and
            of a network of others its only one is compared.

    Returns:
        The result of :func:`compare_heads` or :func:`compare_scenes`.

    Raises:
        DataError: they are not of the same heads or scenes, or one lacks the role.
    """
    if first.of_scenes != second.of_scenes:
        what = {True: "whole scenes", False: "head crops"}
        said = " and ".join(f"{_path(results)} of {what[results.of_scenes]}" for results in (first, second))
        raise DataError(f"{said}: can't be compared; name two evaluations of the same kind")
    if first.of_scenes:
        if role not in (None, SCENE_ROLE):
            raise DataError(
                f"{_path(first)}: was evaluated without a {role}, as one-stage models are; leave out --role"
            )
        return compare_scenes(first, second)
    role = role or "teacher"
    return compare_heads(with_role(first, role), with_role(second, role), role)


def with_role(results: Results, role: str) -> Results:
    """Return results of a network of others as if it had this role, to be compared; others are returned as they are."""
    if results.models != [MODEL]:
        return results
    summary = {
        part: {role: values[MODEL]} if isinstance(values, dict) and values.keys() == {MODEL} else values
        for part, values in results.summary.items()
    }
    prefix = f"{MODEL}_"
    heads = {
        f"{role}_{name.removeprefix(prefix)}" if name.startswith(prefix) else name: values
        for name, values in results.heads.items()
    }
    return Results(summary, heads)


def compare_heads(first: Results, second: Results, role: str) -> dict[str, Any]:
    """Compare two evaluations of head crops.

    Returns:
        ``means`` by name and ``groups``, a list of rows by division; each with ``a``, ``b``, ``difference``, its
        ``interval``, ``b_is_better``, the share of resamples in which B is better (ties count half), and ``better``,
        ``A`` or ``B``, empty where the interval holds zero. Groups of fewer than :data:`FEWEST` heads have their means
        only: ``interval`` and ``b_is_better`` are None, ``better`` is empty.
    """
    check_same_heads(first, second, role)
    means = _means(_columns(first, role), _columns(second, role))
    errors = paired_errors(first, second, role)
    return {"role": role, "heads": len(errors[0]), "means": means, "groups": _groups(second, *errors)}


def compare_scenes(first: Results, second: Results) -> dict[str, Any]:
    """Compare two evaluations of whole scenes.

    Returns:
        ``results`` by kind of heads and metric, if both have it, with ``a``, ``b`` and their ``difference``, of each
        model over the heads that it found. ``means`` as in :func:`compare_heads`, over the ``found_by_both`` heads that
        both models had to find and found; empty if these are fewer than :data:`FEWEST`, or their errors were not saved.
    """
    check_same_scenes(first, second)
    a, b = first.summary["results"], second.summary["results"]
    results = {
        kind: {key: _difference(a[kind][key], b[kind][key]) for key in a[kind] if _both(a[kind], b[kind], key)}
        for kind in a
        if kind in b
    }
    found: dict[str, Any] = {"kind": SCENES, "role": SCENE_ROLE, "heads": a[ALL].get("heads"), "results": results}
    if not first.heads or not second.heads:
        return {**found, "found_by_both": None, "means": {}}
    both = _found_by_both(first, second)
    columns = [{name: values[both] for name, values in _columns(each, SCENE_ROLE).items()} for each in (first, second)]
    return {**found, "found_by_both": int(both.sum()), "means": _means(*columns) if both.sum() >= FEWEST else {}}


def paired_errors(first: Results, second: Results, role: str) -> list[np.ndarray]:
    """Return the geodesic errors of the heads that are compared one by one, (N,) degrees each for A and B."""
    errors = [results.heads[f"{role}_{GEODESIC}"] for results in (first, second)]
    if not first.of_scenes:
        return errors
    both = _found_by_both(first, second)
    return [values[both] for values in errors]


def _found_by_both(first: Results, second: Results) -> np.ndarray:
    """Return (H,) bool: which true heads both models had to find and found."""
    both = first.heads["wanted"] & second.heads["wanted"]
    for results in (first, second):
        for values in _columns(results, SCENE_ROLE).values():
            both &= np.isfinite(values)
    return both


def _means(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return rows for the means of (N,) columns that both have, and for quantiles of the geodesic error."""
    names = [name for name in first if name in second]
    a, b = (np.stack([columns[name] for name in names], axis=1) for columns in (first, second))
    geodesic_a, geodesic_b = first["geodesic_mean_deg"], second["geodesic_mean_deg"]
    # With the same seed and number of heads, both calls draw the same resamples.
    levels = list(QUANTILES.values())
    means_a, quantiles_a = bootstrap(a, geodesic_a, levels)
    means_b, quantiles_b = bootstrap(b, geodesic_b, levels)
    means = {
        name: _row(a[:, i].mean(), b[:, i].mean(), means_b[:, i] - means_a[:, i], name in LARGER_IS_BETTER)
        for i, name in enumerate(names)
    }
    for i, (name, level) in enumerate(QUANTILES.items()):
        exact = np.quantile(geodesic_a, level), np.quantile(geodesic_b, level)
        means[name] = _row(*exact, quantiles_b[:, i] - quantiles_a[:, i])
    return means


def _both(a: Mapping[str, float | None], b: Mapping[str, float | None], key: str) -> bool:
    return a[key] is not None and b.get(key) is not None


def _difference(a: float, b: float) -> dict[str, float]:
    return {"a": a, "b": b, "difference": b - a}


def _path(results: Results) -> str:
    return str(results.summary["checkpoint"]["path"])


def check_same_scenes(first: Results, second: Results) -> None:
    """Raise DataError unless two evaluations are of the same scenes, as far as they record them."""
    a, b = first.summary["store"], second.summary["store"]
    same = all(a.get(key) == b.get(key) for key in ("dataset", "split", "scenes"))
    if same and first.heads and second.heads:
        same = _same_truth(first, second)
    if not same:
        stores = " and ".join(f"{store['path']} ({store['scenes']} scenes)" for store in (a, b))
        raise DataError(f"{_path(first)} and {_path(second)} were evaluated on different scenes: {stores}")


def _same_truth(first: Results, second: Results) -> bool:
    a, b = first.heads, second.heads
    same = a["rotation"].shape == b["rotation"].shape and (a["names"] == b["names"]).all()
    return bool(same) and np.allclose(a["rotation"], b["rotation"], atol=1e-6)


def check_same_heads(first: Results, second: Results, role: str) -> None:
    """Raise DataError unless two evaluations can be compared head by head."""
    for results in (first, second):
        if role not in results.models:
            raise DataError(f"{_path(results)}: was evaluated without a {role}")
    names = [results.summary["settings"].get(HEADS_PROTOCOL) for results in (first, second)]
    if names[0] != names[1]:
        said = " and ".join(f"{_path(r)} by {name or 'none'}" for r, name in zip((first, second), names, strict=True))
        raise DataError(f"{said}: were evaluated by different protocols; evaluate them again with the same --protocol")
    if not _same_truth(first, second):
        stores = [
            f"{results.summary['store']['path']} ({len(results.heads['names'])} heads)" for results in (first, second)
        ]
        raise DataError(f"{_path(first)} and {_path(second)} were evaluated on different heads: {' and '.join(stores)}")


def _columns(results: Results, role: str) -> dict[str, np.ndarray]:
    errors = {name: results.heads[f"{role}_{name}"] for name in ERRORS if f"{role}_{name}" in results.heads}
    columns = averaged_columns({name: torch.from_numpy(values) for name, values in errors.items()})
    return {name: column.numpy() for name, column in columns.items()}


def _groups(results: Results, error_a: np.ndarray, error_b: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Return rows of mean geodesic errors by division, without groups that have no heads."""
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
