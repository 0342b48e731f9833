"""Reports of a handful of heads: no head twice, axes that can be read, no interval of a few heads."""

import re

import numpy as np
import pytest
import torch
from support.known_predictions import (
    euler_grid,
    euler_to_matrix,
    known_results,
    turned,
)

from semiuhpe.evaluation import plots
from semiuhpe.evaluation.evaluation_page import write_report
from semiuhpe.evaluation.report import render


@pytest.mark.parametrize(("count", "titles"), [(1, 1), (9, 1), (10, 3), (26, 3), (27, 3), (40, 3)])
def test_no_head_is_shown_twice(count, titles, tmp_path):
    truth = euler_to_matrix(euler_grid(count))
    off_by = torch.linspace(5, 6, count, dtype=torch.float64)
    store, results = known_results(tmp_path, truth, dict.fromkeys(("student", "teacher"), turned(truth, off_by)))
    write_report(tmp_path / "report.html", results, store)
    page = (tmp_path / "report.html").read_text()
    shown = re.findall(r"<b>[\d.]+° · (head\d+)</b>", page)
    assert len(set(shown)) == len(shown) == (count if titles == 1 else 3 * min(count // 3, 9))
    galleries = re.findall(r"<h3>(Best|Median|Worst|From best to worst)</h3>", page)
    assert galleries == (["From best to worst"] if titles == 1 else ["Best", "Median", "Worst"])
    rows = re.findall(r"<tr><td>[^<]+</td><td>(\d+)</td><td>[\d.]+</td><td>([^<]*)</td>", page)
    assert rows and all(("to" in interval) == (int(heads) >= 10) for heads, interval in rows)


def ticks(svg):
    """Those without a sign: angles and counts, but no entropies."""
    return [float(text) for text in re.findall(r"<text[^>]*>([\d.]+)</text>", svg)]


@pytest.mark.parametrize("errors", [[12.0, 12.4, 13.0], [50.0], [0.0, 0.01], [179.9, 180.0], [3.0, 60.0]])
def test_the_axis_of_errors_has_ticks_around_them(errors):
    svg = plots.plot_entropy(np.linspace(-4, -3, len(errors)), np.array(errors))
    found = ticks(svg)
    assert len(found) >= 2 and found[0] <= max(errors[0], 0.1) and found[-1] >= errors[-1]
    assert ">heads</text>" not in svg, "each point is a head"


def test_many_heads_are_a_density_whose_colors_count_from_zero():
    rng = np.random.default_rng(0)
    svg = plots.plot_entropy(rng.normal(-5, 0.1, 400), 5 + rng.gamma(2, 10, 400))
    assert ">heads</text>" in svg
    assert 0 in ticks(svg) and all(tick == round(tick) for tick in ticks(svg)), "errors from 5 degrees on, and counts"


def test_differences_without_an_interval_are_hollow():
    intervals = np.array([[-1.5, -0.5], [np.nan, np.nan]])
    svg = plots.plot_differences(["many (200)", "few (1)"], np.array([-1.0, -3.0]), intervals, "B - A")
    assert "nan" not in svg and svg.count("fill: none; stroke: var(--series-2)") >= 1
    filled = plots.plot_differences(["many (200)"], np.array([-1.0]), intervals[:1], "B - A")
    assert svg.count("stroke-width: 2") == filled.count("stroke-width: 2"), "no line for the second"


def test_text_on_pages_is_escaped_and_plots_are_not():
    plot = plots.plot_curves({"<b>": ([1.0, 2.0], [3.0, 4.0])}, "<i> & so on")
    assert plot.startswith("<svg") and "<i>" not in plot and "<b>" not in plot
    values = {"rows": [["<u>", "1", "2"]], "least": "3", "shown": "<s>", "columns": 1, "picture_px": 9, "neighbors": []}
    page = render("embedding.html", title="<b> & more", lead="<script>", plot=plot, **values)
    assert plot in page and "<title>&lt;b&gt; &amp; more</title>" in page
    assert not re.search("<(b|u|s|script)>", page)
