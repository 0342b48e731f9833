"""``compare_SET.html``: two evaluations side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.bootstrap import FEWEST
from semiuhpe.evaluation.compare import paired_errors
from semiuhpe.evaluation.evaluation_page import MEANS, number
from semiuhpe.evaluation.results import Results
from semiuhpe.evaluation.scene_results import METRICS

COLUMNS = ("A", "B", "B - A", "95% interval", "resamples with B better", "better")


def write_comparison(path: Path, found: Mapping[str, Any], first: Results, second: Results) -> None:
    """Write the page of a comparison; DataError if it can't be written."""
    role, store = found["role"], second.summary["store"]
    facts = {letter: results.summary["checkpoint"]["path"] for letter, results in (("A", first), ("B", second))}
    facts["heads"] = f"{found['heads']} of {store['dataset']}: {store['path']}"
    sections = [report.section("What is compared", report.facts(facts))]
    if second.of_scenes:
        tables = [report.section(f"Heads: {kind}", scene_html(found, kind)) for kind in found["results"]]
        sections += [report.beside(tables[i : i + 2]) for i in range(0, len(tables), 2)]
        if found["means"]:
            text = f"Means over the {found['found_by_both']} heads that both models found. {_MEANS_TEXT}"
            sections += [
                report.section("Poses of the same heads", means_html(found["means"]), text),
                _plots(*paired_errors(first, second, role)),
            ]
        lead = "A against B on the same scenes. Errors are in degrees; differences are B - A."
    else:
        sections += [
            report.section("Means", means_html(found["means"]), _MEANS_TEXT),
            _plots(*paired_errors(first, second, role)),
        ]
        sections.append(report.section("Where they differ", "", _GROUPS_TEXT))
        sections += _divisions(found["groups"], second.summary["divisions"])
        lead = f"{role.capitalize()} of A against {role} of B, head by head. "
        lead += "Errors are in degrees; differences are B - A."
    report.write_page(path, f"A or B on {store['dataset']}", lead, sections)


def _plots(a: np.ndarray, b: np.ndarray) -> str:
    """Geodesic errors of A and B, (N,) degrees of the same heads, as shares of heads and head by head."""
    limit = float(np.clip(np.ceil(np.quantile(np.concatenate([a, b]), 0.98) / 10) * 10, 10, 180))
    cumulative, pairs = plots.plot_cumulative({"A": a, "B": b}, limit), plots.plot_pairs(a, b)
    return report.beside(
        [
            report.section("Cumulative error", cumulative, "Share of heads below each."),
            report.section("Head by head", pairs, "Below the diagonal B is better."),
        ]
    )


def scene_rows(found: Mapping[str, Any], kind: str) -> list[list[str]]:
    """Return what a comparison of scenes says of one kind of heads as rows of text: name, A, B, B - A."""

    def text(value: float, sign: str = "") -> str:
        return f"{value:{sign}d}" if isinstance(value, int) else f"{value:{sign}.3f}"

    rows = ((METRICS[key], row) for key, row in found["results"][kind].items() if key in METRICS)
    return [[name, text(row["a"]), text(row["b"]), text(row["difference"], "+")] for name, row in rows]


def scene_html(found: Mapping[str, Any], kind: str) -> str:
    return report.table_html(["", *COLUMNS[:3]], scene_rows(found, kind))


_MEANS_TEXT = (
    "Intervals are of the difference, 95 percent, by paired bootstrap over heads. One that leaves out zero says that "
    "the better one would also be better on other such heads; training again with another seed may change more."
)
_GROUPS_TEXT = (
    "Mean geodesic error; number of heads in parentheses. Strong color: the interval leaves out zero. Of twenty "
    "intervals of equal models one does so by chance, so a single group says little. Groups of fewer than "
    f"{FEWEST} heads are hollow and have no interval: so few heads say nothing about others."
)


def means_html(means: Mapping[str, Mapping[str, Any]]) -> str:
    return report.table_html(["", *COLUMNS], [cells(key, means[key]) for key in MEANS if key in means])


def cells(key: str, row: Mapping[str, Any]) -> list[str]:
    """A row of the table of means as text."""
    low, high = row["interval"]
    values = [number(key, row["a"]), number(key, row["b"]), _signed(key, row["difference"])]
    values += [f"{_signed(key, low)} to {_signed(key, high)}", f"{row['b_is_better']:.0%}"]
    return [MEANS[key], *values, row["better"]]


def _signed(key: str, value: float) -> str:
    return f"{value:+.1%}" if key.startswith("under_") else f"{value:+.3f}"


def _divisions(groups: Mapping[str, Any], divisions: Mapping[str, Any]) -> list[str]:
    sections = []
    for key, rows in groups.items():
        title = divisions[key]["title"]
        drawn = plots.plot_differences(
            [f"{row['label']}  ({row['count']})" for row in rows],
            np.array([row["difference"] for row in rows]),
            np.array([row["interval"] or (np.nan, np.nan) for row in rows]),
            "B - A (degrees)",
        )
        body = [
            [
                row["label"],
                str(row["count"]),
                f"{row['a']:.2f}",
                f"{row['b']:.2f}",
                f"{row['difference']:+.2f}",
                f"{row['interval'][0]:+.2f} to {row['interval'][1]:+.2f}" if row["interval"] else "",
                row["better"],
            ]
            for row in rows
        ]
        table = report.table_html([title, "heads", "A", "B", "B - A", "95% interval", "better"], body)
        content = drawn + report.folded("show the numbers", table)
        sections.append(report.section(f"By {title}", content))
    return [report.beside(sections[i : i + 2]) for i in range(0, len(sections), 2)]
