"""Plots for report pages: SVG that takes its colors from the page, so it suits a light and a dark one."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semiuhpe.evaluation.bootstrap import FEWEST, bootstrap, interval
from semiuhpe.evaluation.breakdowns import by_angle, view_direction

matplotlib.use("Agg")

INK, SOFT, LINE = "#1d2329", "#5c6670", "#dfe3e8"
COLORS = ("#7a8288", "#d98324", "#2667c9", "#2a9d5c", "#8e44ad")
_DARK = ("#e6e9ec", "#9aa4ae", "#39424b", "#98a2aa", "#f0a04b", "#6ea8fe", "#4cc38a", "#c38fd9")
PALETTE = dict(
    zip(
        ("--ink", "--soft", "--line", *(f"--series-{i}" for i in range(len(COLORS)))),
        zip((INK, SOFT, LINE, *COLORS), _DARK, strict=True),
        strict=True,
    )
)
"""CSS variable -> its color on a light page, which plots are drawn with, and its color on a dark page."""
SIZE = (5.4, 3.4)
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
SPHERE_COLUMNS, SPHERE_ROWS = 24, 12
_MOST_POINTS = 300
"""Most heads that are drawn as single points; more are drawn as a density, or as a bitmap of points."""
_LOG_TICKS_DEG = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 180)


def plot_error_by_angle(
    angle_deg: np.ndarray, errors: Mapping[str, np.ndarray], bins: Sequence[float] | np.ndarray, label: str
) -> Markup:
    """Plot the mean error per bin of an angle, a line for each model, with the bins' counts below.

    Bands are 95 percent intervals, where a bin has at least :data:`FEWEST` heads.

    Args:
        angle_deg: (N,) of each head.
        errors: model -> (N,) degrees.
        bins: edges; bins without heads are left out.
        label: name of the angle, for the axis.
    """
    edges = np.asarray(bins, dtype=float)
    division = by_angle(label, angle_deg, edges)
    centers = (edges[:-1] + edges[1:]) / 2
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(SIZE[0], 3.7), layout="constrained")
        axes, counts = figure.subplots(2, height_ratios=(4, 1), sharex=True)
        for color, (name, error) in zip(_colors(errors), errors.items(), strict=True):
            means, low, high = np.full((3, len(centers)), np.nan)
            for number in range(len(centers)):
                members = np.flatnonzero(division.group == number)
                if len(members):
                    means[number] = error[members].mean()
                if len(members) >= FEWEST:
                    low[number], high[number] = interval(bootstrap(error[members, None])[0][:, 0])
            axes.fill_between(centers, low, high, color=color, alpha=0.18, linewidth=0)
            axes.plot(centers, means, "o-", color=color, label=name, linewidth=2, markersize=4)
        axes.set(ylabel="mean geodesic error (degrees)", ylim=(0, None), xlim=edges[[0, -1]])
        axes.legend()
        found = np.bincount(division.group[division.group >= 0], minlength=len(centers))
        counts.bar(centers, found, width=0.9 * np.diff(edges), color=SOFT, alpha=0.6)
        counts.set(xlabel=label, ylabel="heads", xticks=edges[:: max(1, len(centers) // 8)])
        axes.grid(alpha=0.7)
        return _svg(figure, f"error by {label}")


def plot_cumulative(errors: Mapping[str, np.ndarray], limit_deg: float = 60.0) -> Markup:
    """Plot the share of heads whose error is below each value."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure()
        for color, (name, error) in zip(_colors(errors), errors.items(), strict=True):
            values = np.concatenate([[0.0], np.sort(error)])
            axes.step(values, np.linspace(0, 100, len(values)), where="post", color=color, label=name, linewidth=2)
        axes.set(xlabel="geodesic error (degrees)", ylabel="share of heads (%)", xlim=(0, limit_deg), ylim=(0, 100))
        return _finish(figure, axes, "cumulative error")


def plot_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], label: str) -> Markup:
    """Plot lines over training iterations: name -> (iterations, values). An empty line still takes a color."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure()
        for color, (name, (steps, values)) in zip(_colors(curves), curves.items(), strict=True):
            if steps:
                axes.plot(steps, values, "o-", color=color, label=name, linewidth=2, markersize=4)
        axes.set(xlabel="iteration", ylabel=label, ylim=(0, None))
        return _finish(figure, axes, label)


def plot_coverage(coverages: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Plot the share of truths inside credible regions against the regions' probability; the diagonal is calibrated."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure((SIZE[0], 3.9))
        axes.plot([0, 100], [0, 100], color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2, label="calibrated")
        for color, (name, found) in zip(_colors(coverages), coverages.items(), strict=True):
            levels, inside = (100 * np.asarray(found[key]) for key in ("levels", "curve"))
            axes.plot(levels, inside, color=color, label=name, linewidth=2)
        axes.set(xlabel="credible region (%)", ylabel="truths inside (%)", xlim=(0, 100), ylim=(0, 100))
        return _finish(figure, axes, "coverage of credible regions")


def plot_sparsification(curves: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Plot the mean error of the remaining heads as those of highest entropy (dashed: largest error) are dropped."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure((SIZE[0], 3.9))
        for color, (name, found) in zip(_colors(curves), curves.items(), strict=True):
            dropped = 100 * np.asarray(found["dropped"])
            axes.plot(dropped, found["by_entropy"], color=color, label=f"{name}, by entropy", linewidth=2)
            axes.plot(dropped, found["oracle"], color=color, label=f"{name}, by error", linewidth=1.2, linestyle="--")
        axes.set(xlabel="heads dropped (%)", ylabel="mean error of the rest, of all = 1", xlim=(0, 100), ylim=(0, None))
        return _finish(figure, axes, "sparsification")


def plot_entropy(entropy: np.ndarray, error_deg: np.ndarray) -> Markup:
    """Plot entropy against error on a logarithmic scale, as points of few heads or as a density of many."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure()
        shown = np.maximum(error_deg, 0.1)
        ticks = _log_ticks(shown)
        low, high = _around(ticks)
        if len(shown) > _MOST_POINTS and np.ptp(entropy) > 0:
            ramp = LinearSegmentedColormap.from_list("ramp", [to_rgba(COLORS[2], 0.15), to_rgba(COLORS[2], 1.0)])
            extent = (entropy.min(), entropy.max(), np.log10(low), np.log10(high))
            drawn = axes.hexbin(
                entropy, shown, gridsize=(44, 20), extent=extent, yscale="log", mincnt=1, cmap=ramp, linewidths=0.1,
                vmin=0,
            )  # fmt: skip
            bar = figure.colorbar(drawn, ax=axes, label="heads", pad=0.01, ticks=MaxNLocator(integer=True))
            bar.outline.set_visible(False)
        else:
            axes.scatter(entropy, shown, s=16, color=COLORS[2], alpha=0.6, linewidths=0)
            axes.set_yscale("log")
        axes.set(xlabel="entropy of the prediction (0 is uniform)", ylabel="geodesic error (degrees)", ylim=(low, high))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticks(ticks)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        return _finish(figure, axes, "entropy against error", legend=False)


def plot_distances(distances: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Markup:
    """Plot embedding distance of pairs of heads against geodesic distance: means, and bands of 90 percent of them.

    Args:
        distances: model -> embedding distances and geodesic distances in degrees, of the same shape.
    """
    edges = np.arange(0, 181, 7.5)
    with matplotlib.rc_context(_RC):
        figure, axes = _figure()
        for color, (name, (embedding, geodesic)) in zip(_colors(distances), distances.items(), strict=True):
            group = np.clip(np.digitize(geodesic.ravel(), edges) - 1, 0, len(edges) - 2)
            parts = [embedding.ravel()[group == number] for number in range(len(edges) - 1)]
            centers = [(low + high) / 2 for low, high, part in zip(edges, edges[1:], parts, strict=False) if len(part)]
            parts = [part for part in parts if len(part)]
            low, high = np.array([np.quantile(part, (0.05, 0.95)) for part in parts]).T
            axes.fill_between(centers, low, high, color=color, alpha=0.18, linewidth=0)
            means = [part.mean() for part in parts]
            axes.plot(centers, means, "o-", color=color, label=name, linewidth=2, markersize=4)
        axes.set(xlabel="geodesic distance (degrees)", ylabel="1 - cosine similarity", xlim=(0, 180))
        return _finish(figure, axes, "embedding distance against geodesic distance")


def plot_pairs(error_a: np.ndarray, error_b: np.ndarray) -> Markup:
    """Plot the errors (N,) of two models on the same heads against each other, in degrees on logarithmic scales."""
    with matplotlib.rc_context(_RC):
        figure, axes = _figure()
        a, b = np.maximum(error_a, 0.1), np.maximum(error_b, 0.1)
        ticks = _log_ticks(np.concatenate([a, b]))
        limits = _around(ticks)
        axes.plot(limits, limits, color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2)
        # Points of many heads become one bitmap, not one SVG element each.
        axes.scatter(a, b, s=9, color=COLORS[2], alpha=0.45, linewidths=0, rasterized=len(a) > _MOST_POINTS)
        axes.set(xlabel="error of A (degrees)", ylabel="error of B (degrees)", xlim=limits, ylim=limits)
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks)
            axis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        return _finish(figure, axes, "errors head by head", legend=False)


def plot_sphere(rotation: np.ndarray, error_deg: np.ndarray) -> Markup:
    """Plot the mean error by the direction from which the head is seen, in Mollweide's equal-area projection.

    Args:
        rotation: (N, 3, 3) true rotations, head to camera.
        error_deg: (N,) degrees.
    """
    left, up, front = view_direction(rotation).T
    columns = np.linspace(-np.pi, np.pi, SPHERE_COLUMNS + 1)
    sines = np.linspace(-1, 1, SPHERE_ROWS + 1)  # equal steps of the sine are equal areas
    place = (np.arctan2(left, front), np.clip(up, -1, 1))
    total, _, _ = np.histogram2d(*place, bins=(columns, sines), weights=error_deg)
    count, _, _ = np.histogram2d(*place, bins=(columns, sines))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    fine = 6  # so that the cells' sides follow the projection
    longitude = np.linspace(-np.pi, np.pi, SPHERE_COLUMNS * fine + 1)
    latitude = np.arcsin(np.linspace(-1, 1, SPHERE_ROWS * fine + 1))
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(SIZE[0], 3.5), layout="constrained")
        axes = figure.add_subplot(projection="mollweide")
        cells = np.kron(mean.T, np.ones((fine, fine)))
        drawn = axes.pcolormesh(longitude, latitude, cells, cmap="viridis", vmin=0, rasterized=True)
        label = "mean geodesic error (degrees)"
        bar = figure.colorbar(drawn, ax=axes, label=label, orientation="horizontal", shrink=0.6, aspect=40, pad=0.04)
        bar.outline.set_visible(False)
        axes.set_xticks(np.radians([-135, -90, -45, 0, 45, 90, 135]), [])
        axes.set_yticks(np.radians([-60, -30, 0, 30, 60]), ["60° below", "30° below", "", "30° above", "60° above"])
        axes.grid(alpha=0.7)
        for angle, text in ((0, "front"), (90, "its left"), (-90, "its right"), (180, "back"), (-180, "back")):
            align = {180: "left", -180: "right"}.get(angle, "center")
            shift = np.radians(4) * np.sign(angle) * (abs(angle) == 180)
            axes.text(np.radians(angle) + shift, 0, text, ha=align, va="center", clip_on=False, **_OUTLINED)
        return _svg(figure, "error over the sphere of view directions")


_OUTLINED: dict[str, Any] = {
    "fontsize": 9,
    "bbox": {"boxstyle": "round,pad=0.25", "facecolor": LINE, "edgecolor": "none", "alpha": 0.85},
}


def plot_differences(labels: Sequence[str], means: np.ndarray, intervals: np.ndarray, label: str) -> Markup:
    """Plot differences with their intervals, one below the other.

    Differences whose interval excludes zero are drawn in a strong color, those without an interval hollow.

    Args:
        labels: G names.
        means: (G,) differences.
        intervals: (G, 2), NaN where there is none.
        label: title of the axis.
    """
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(SIZE[0], 0.9 + 0.26 * len(labels)), layout="constrained")
        axes = figure.add_subplot()
        rows = np.arange(len(labels))[::-1]
        axes.axvline(0, color=SOFT, linewidth=1.2)
        for row, mean, (low, high) in zip(rows, means, intervals, strict=True):
            clear = low > 0 or high < 0
            if not np.isnan(low):
                axes.plot([low, high], [row, row], color=COLORS[2], linewidth=2, alpha=1.0 if clear else 0.4)
            inside = "none" if np.isnan(low) else COLORS[2]
            axes.plot([mean], [row], "o", color=COLORS[2], mfc=inside, markersize=5, alpha=1.0 if clear else 0.4)
        axes.set(xlabel=label, ylim=(-0.6, len(labels) - 0.4))
        axes.set_yticks(rows, labels)
        axes.grid(axis="x", alpha=0.7)
        return _svg(figure, label)


def _log_ticks(values_deg: np.ndarray) -> list[float]:
    """Return ticks of a logarithmic axis, at least two, that enclose values between 0.1 and 180 degrees."""
    first = max(i for i, tick in enumerate(_LOG_TICKS_DEG[:-1]) if tick <= values_deg.min() or i == 0)
    last = min(i for i, tick in enumerate(_LOG_TICKS_DEG) if i > first and (tick >= values_deg.max() or tick == 180))
    return list(_LOG_TICKS_DEG[first : last + 1])


def _around(ticks: Sequence[float]) -> tuple[float, float]:
    """Return limits of a logarithmic axis that cut off no point at its first or last tick."""
    return ticks[0] * 0.93, ticks[-1] * 1.07


def _colors(series: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a color for each name; two names get orange and blue."""
    return COLORS[1 : 1 + len(series)] if len(series) <= 2 else COLORS[: len(series)]


def _figure(size: tuple[float, float] = SIZE):
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _finish(figure: Figure, axes, label: str, legend: bool = True) -> Markup:
    axes.grid(alpha=0.7)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend()
    return _svg(figure, label)


def _svg(figure: Figure, label: str) -> Markup:
    """Return the figure as an <svg> element that takes its colors from the page."""
    buffer = io.BytesIO()
    # The salt makes identifiers reproducible, and different from those of other plots on the page.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=160, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z]+\d*_\d+"', "", text)  # names of groups, the same in all plots
    for variable, (color, _) in PALETTE.items():
        text = text.replace(color, f"var({variable})")
    return Markup(text.replace("<svg", f'<svg class="plot" role="img" aria-label="{html.escape(label)}"', 1))
