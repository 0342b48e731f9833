"""``compare_SET.html``: two evaluations side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.bootstrap import FEWEST
from semiuhpe.evaluation.compare import paired_errors
from semiuhpe.evaluation.evaluation_page import MEANS, SHARES, number
from semiuhpe.evaluation.results import Results
from semiuhpe.evaluation.scene_results import METRICS

COLUMNS = ("A", "B", "B - A", "95% interval", "resamples with B better", "better")


def write_comparison(path: Path, found: Mapping[str, Any], first: Results, second: Results) -> None:
    """Write the page of a comparison; DataError if it can't be written."""
    role, store = found["role"], second.summary["store"]
    facts = {letter: results.summary["checkpoint"]["path"] for letter, results in (("A", first), ("B", second))}
    facts["heads"] = f"{found['heads']} of {store['dataset']}: {store['path']}"
    lead = (
        f"{role.capitalize()} of A against {role} of B, head by head."
        if not second.of_scenes
        else "On the same scenes."
    )
    kinds = found["results"] if second.of_scenes else {}
    report.write_page(
        path,
        "comparison.html",
        title=f"A or B on {store['dataset']}",
        lead=f"{lead} Errors are in degrees; differences are B - A.",
        fewest=FEWEST,
        compared=facts,
        kinds=[(kind, (["", *COLUMNS[:3]], scene_rows(found, kind))) for kind in kinds],
        found_by_both=found["found_by_both"] if second.of_scenes else None,
        means=(["", *COLUMNS], [cells(key, found["means"][key]) for key in MEANS if key in found["means"]]),
        breakdowns=[
            (second.summary["divisions"][key]["title"], _plot(rows), [_group(row) for row in rows])
            for key, rows in found.get("groups", {}).items()
        ],
        **(_plots(*paired_errors(first, second, role)) if found["means"] else {}),
    )


def _plots(a: np.ndarray, b: np.ndarray) -> dict[str, Markup]:
    """Plot geodesic errors of A and B, (N,) degrees of the same heads, as shares of heads and head by head."""
    limit = float(np.clip(np.ceil(np.quantile(np.concatenate([a, b]), 0.98) / 10) * 10, 10, 180))
    return {"cumulative": plots.plot_cumulative({"A": a, "B": b}, limit), "pairs": plots.plot_pairs(a, b)}


def scene_rows(found: Mapping[str, Any], kind: str) -> list[list[str]]:
    """Return what a comparison of scenes says of one kind of heads as rows of text: name, A, B, B - A."""

    def text(value: float, sign: str = "") -> str:
        return f"{value:{sign}d}" if isinstance(value, int) else f"{value:{sign}.3f}"

    rows = ((METRICS[key], row) for key, row in found["results"][kind].items() if key in METRICS)
    return [[name, text(row["a"]), text(row["b"]), text(row["difference"], "+")] for name, row in rows]


def cells(key: str, row: Mapping[str, Any]) -> list[str]:
    """Return a row of the table of means as text."""
    low, high = row["interval"]
    values = [number(key, row["a"]), number(key, row["b"]), _signed(key, row["difference"])]
    values += [f"{_signed(key, low)} to {_signed(key, high)}", f"{row['b_is_better']:.0%}"]
    return [MEANS[key], *values, row["better"]]


def _signed(key: str, value: float) -> str:
    return f"{value:+.1%}" if key.startswith(SHARES) else f"{value:+.3f}"


def _plot(rows: Sequence[Mapping[str, Any]]) -> Markup:
    return plots.plot_differences(
        [f"{row['label']}  ({row['count']})" for row in rows],
        np.array([row["difference"] for row in rows]),
        np.array([row["interval"] or (np.nan, np.nan) for row in rows]),
        "B - A (degrees)",
    )


def _group(row: Mapping[str, Any]) -> list[str]:
    """Return a row of the table of a break-down as text."""
    means = [f"{row['a']:.2f}", f"{row['b']:.2f}", f"{row['difference']:+.2f}"]
    interval = f"{row['interval'][0]:+.2f} to {row['interval'][1]:+.2f}" if row["interval"] else ""
    return [row["label"], str(row["count"]), *means, interval, row["better"]]
