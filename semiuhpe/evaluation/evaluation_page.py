"""``report.html``: an evaluation to look at."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.bootstrap import FEWEST
from semiuhpe.evaluation.breakdowns import FRONT_STEP_DEG, MAX_CATEGORIES, distance_to_frontal_deg
from semiuhpe.evaluation.results import IN_PLANE, IN_PLANE_ERROR, Results
from semiuhpe.rotation import matrix_to_euler

GALLERY_HEADS = 9
IN_PLANE_STEP_DEG = 30
MEANS = {
    "geodesic_mean_deg": "geodesic mean (°)",
    "geodesic_median_deg": "geodesic median (°)",
    "under_5_deg": "under 5°",
    "under_10_deg": "under 10°",
    "under_15_deg": "under 15°",
    "under_30_deg": "under 30°",
    "frobenius_mean": "Frobenius norm",
    "pitch_mae_deg": "pitch MAE (°)",
    "yaw_mae_deg": "yaw MAE (°)",
    "roll_mae_deg": "roll MAE (°)",
    "euler_mae_deg": "Euler MAE (°)",
    "axis_mean_deg": "three axes, mean (°)",
    "left_axis_mean_deg": "left axis (°)",
    "down_axis_mean_deg": "down axis (°)",
    "front_axis_mean_deg": "front axis (°)",
}
"""Reported means in the order of the tables, and what they are called there."""
SELECTED = (
    "this checkpoint was selected on this very set, as in the paper; its errors on other heads may be larger "
    "(train with --val_set, or evaluate `last`)"
)


def write_report(path: Path, results: Results, store: HeadStore) -> None:
    """Writes the page of an evaluation on a store; the pictures and plots of heads are the last model's."""
    summary = results.summary
    shown = results.models[-1]
    sections = [
        report.section("What was evaluated", report.facts(_facts(summary))),
        _means(summary),
        _paper(summary),
        _error_plots(results, store),
        *([_in_plane(results)] if IN_PLANE in results.heads else []),
        _calibration(results),
        _galleries(results, store, shown),
        _breakdowns(summary, store),
        _worst(summary, shown),
    ]
    title = f"{summary['checkpoint']['network']} on {summary['store']['dataset']}"
    lead = f"{len(store)} heads. Errors are in degrees; intervals are 95 percent, by bootstrap over heads."
    report.write_page(path, title, lead, sections)


def number(name: str, value: float) -> str:
    """A reported mean as text: shares in percent, norms and angles with three decimals."""
    return f"{value:.1%}" if name.startswith("under_") else f"{value:.3f}"


def interval_text(name: str, bounds: Sequence[float]) -> str:
    return " to ".join(number(name, bound) for bound in bounds)


def _facts(summary: Mapping[str, Any]) -> dict[str, str]:
    checkpoint, store, settings = summary["checkpoint"], summary["store"], summary["settings"]
    span = {True: "full range", False: "front range"}
    trained = checkpoint["train_labeled"] or "not known"
    if checkpoint["train_unlabeled"]:
        trained += f", unlabeled {checkpoint['train_unlabeled']}"
    selection = {True: SELECTED, False: "not on this set", None: "not known"}[checkpoint["selected_on_this_set"]]
    return {
        "checkpoint": checkpoint["path"],
        "SHA-256": checkpoint["sha256"],
        "network": f"{checkpoint['network']}, {checkpoint['distribution']}, {checkpoint['image_size']} px, "
        f"{span[checkpoint['full_range']]}, convention {checkpoint['convention']}",
        "trained on": trained,
        "selected": selection,
        "heads": f"{store['heads']} of {store['dataset']} ({store['split']}), {span[store['full_range']]}, "
        f"{store['protocol']} crops: {store['path']}",
        "settings": ", ".join(f"{key} {value}" for key, value in settings.items() if not isinstance(value, dict)),
        "bootstrap": ", ".join(f"{key} {value}" for key, value in settings["bootstrap"].items()),
    }


def _means(summary: Mapping[str, Any]) -> str:
    results, intervals = summary["results"], summary["intervals"]
    rows = []
    for key, text in MEANS.items():
        if key in next(iter(results.values())):
            cells = ([number(key, row[key]), interval_text(key, intervals[name][key])] for name, row in results.items())
            rows.append([text, *(cell for pair in cells for cell in pair)])
    text = (
        "Means over all heads. Differences of Euler angles are wrapped to ±180. The axes "
        "are the head's left, down and front vectors."
    )
    if not summary["store"]["euler_labels"]:
        text += " The store has no Euler angles, so there is no Euler MAE."
    return report.section(
        "Errors", report.table_html(["", *(c for name in results for c in (name, "95% interval"))], rows), text
    )


def _paper(summary: Mapping[str, Any]) -> str:
    results, paper = summary["results"], summary["paper"]
    rows = [
        [MEANS[key], *(f"{values[name][key]:.4f}" for name in results for values in (paper, results))]
        for key in MEANS
        if key in next(iter(paper.values()))
    ]
    columns = ["", *(f"{name}, {kind}" for name in results for kind in ("paper's arithmetic", "ours"))]
    text = (
        "What the paper's code would print for these predictions, to compare with published tables. It doesn't wrap "
        "differences of Euler angles and limits BIWI's labels to ±89.99°; on full-range sets its angle is never below "
        "0.405° nor above 179.595°."
    )
    return report.section("In the paper's arithmetic", report.table_html(columns, rows), text)


def _error_plots(results: Results, store: HeadStore) -> str:
    full_range = store.meta["full_range"]
    errors = {name: results.heads[f"{name}_geodesic_deg"] for name in results.models}
    yaw = matrix_to_euler(torch.from_numpy(store.truth).double(), full_range)[:, 1].numpy()
    span = 180 if full_range else 90
    by_yaw = plots.plot_error_by_angle(yaw, errors, np.arange(-span, span + 1, FRONT_STEP_DEG), "true yaw (degrees)")
    distance = distance_to_frontal_deg(store.truth)
    farthest = max(90, 15 * math.ceil(distance.max() / 15))
    by_distance = plots.plot_error_by_angle(
        distance, errors, np.arange(0, farthest + 1, 15), "true rotation from frontal (degrees)"
    )
    largest = np.quantile(np.concatenate(list(errors.values())), 0.98)
    limit = float(np.clip(np.ceil(largest / 10) * 10, 10, 180))
    shown = results.models[-1]
    bands = f"Bands are 95 percent intervals, where a bin has at least {FEWEST} heads."
    sphere = report.section(
        "Error over the sphere of view directions",
        plots.plot_sphere(store.truth, errors[shown]),
        f"Where the camera is as seen from the head, equal areas for equal solid angles. Errors of the {shown}; empty "
        "cells have no head.",
    )
    return report.beside(
        [
            report.section("Error against yaw", by_yaw, bands),
            report.section("Error against distance from frontal", by_distance, bands),
        ]
    ) + report.beside(
        [
            report.section(
                "Cumulative error", plots.plot_cumulative(errors, limit), "Share of heads below each error."
            ),
            sphere,
        ]
    )


def _in_plane(results: Results) -> str:
    errors = {name: results.heads[f"{name}_{IN_PLANE_ERROR}"] for name in results.models}
    bins = np.arange(0, 361, IN_PLANE_STEP_DEG)
    label = "turned in plane by (degrees, clockwise)"
    return report.section(
        "Error against in-plane angle",
        plots.plot_error_by_angle(results.heads[IN_PLANE], errors, bins, label),
        "The same heads as they are stored, each turned by a random angle, with its label. Bands are 95 percent "
        f"intervals, where a bin has at least {FEWEST} heads.",
    )


def _calibration(results: Results) -> str:
    found = results.summary["calibration"]
    shown = results.models[-1]
    rows = []
    for name, values in found.items():
        inside = values["coverage"]["inside"] if values["coverage"] else {}
        rank = "" if values["spearman"] is None else f"{values['spearman']:.3f}"
        rows.append(
            [name, rank, f"{values['sparsification']['ause']:.3f}", *(f"{share:.1%}" for share in inside.values())]
        )
    inside = found[shown]["coverage"]["inside"] if found[shown]["coverage"] else {}
    columns = ["", "rank correlation", "AUSE", *(f"inside {level}" for level in inside)]
    text = (
        "Rank correlation (Spearman) of entropy and error: 1 if the model knows which of its predictions are worse. "
        "AUSE: area between the sparsification curves below, 0 if dropping uncertain heads is as good as dropping "
        "wrong ones. "
    )
    curves = [plots.plot_sparsification({name: values["sparsification"] for name, values in found.items()})]
    if inside:
        text += (
            "Inside: share of truths within the credible region of that probability; less than it says is "
            "overconfident, more is underconfident."
        )
        curves.insert(0, plots.plot_coverage({name: values["coverage"] for name, values in found.items()}))
    else:
        text += "Credible regions are not available: this distribution can't be sampled from."
    density = plots.plot_entropy(results.heads[f"{shown}_entropy"], results.heads[f"{shown}_geodesic_deg"])
    curves.append(f"<div><h3>Entropy and error, {shown}</h3>{density}</div>")
    content = report.table_html(columns, rows) + report.beside(curves)
    return report.section("Does the uncertainty tell the truth?", content, text)


def _galleries(results: Results, store: HeadStore, model: str) -> str:
    order = np.argsort(results.heads[f"{model}_geodesic_deg"], kind="stable")
    if len(order) <= GALLERY_HEADS:
        chosen = {"From best to worst": order}
    else:  # no head is in two of them
        count = min(GALLERY_HEADS, len(order) // 3)
        middle = len(order) // 2 - count // 2
        chosen = {"Best": order[:count], "Median": order[middle : middle + count], "Worst": order[::-1][:count]}
    content = report.axes_key() + "<p>Left the truth, right the prediction; angles are pitch, yaw, roll.</p>"
    for title, positions in chosen.items():
        content += f"<h3>{title}</h3>" + _pairs(results, store, model, positions)
    title = "Best, median and worst heads" if len(chosen) > 1 else "The heads"
    return report.section(f"{title}, {model}", content)


def _pairs(results: Results, store: HeadStore, model: str, positions: np.ndarray) -> str:
    truth, predicted = store.truth[positions], results.heads[f"{model}_rotation"][positions]
    angles = [
        matrix_to_euler(torch.from_numpy(rotation).double(), store.meta["full_range"]).numpy()
        for rotation in (truth, predicted)
    ]
    error, entropy = (results.heads[f"{model}_{key}"][positions] for key in ("geodesic_deg", "entropy"))
    titles = [f"{degrees:.1f}° · {name}" for degrees, name in zip(error, store.names[positions], strict=True)]
    captions = [
        f"truth {_angles(true)}\npredicted {_angles(mine)} · entropy {uncertainty:.2f}"
        for true, mine, uncertainty in zip(*angles, entropy, strict=True)
    ]
    return report.pairs([store.image(int(i)) for i in positions], truth, predicted, titles, captions)


def _angles(euler_deg: np.ndarray) -> str:
    return ", ".join(f"{angle + 0.0:.0f}" for angle in np.round(euler_deg))


def _breakdowns(summary: Mapping[str, Any], store: HeadStore) -> str:
    models = list(summary["breakdowns"])
    content = ""
    for key, division in summary["breakdowns"][models[0]].items():
        rows = []
        for position, group in enumerate(division["groups"]):
            cells = [group["label"], str(group["count"])]
            for name in models:
                row = summary["breakdowns"][name][key]["groups"][position]
                low, high = row["geodesic_interval_deg"]
                cells += [
                    f"{row['geodesic_mean_deg']:.2f}",
                    f"{low:.2f} to {high:.2f}" if group["count"] >= FEWEST else "",
                    f"{row['geodesic_median_deg']:.2f}",
                ]
            rows.append(cells)
        columns = [
            division["title"],
            "heads",
            *(kind for name in models for kind in (f"{name}, mean", "95% interval", "median")),
        ]
        table = report.table_html(columns, rows)
        content += report.folded(f"by {division['title']}", table) if content else table
    text = (
        "Geodesic error in degrees. Front, side and back: less than 60°, up to 120°, and beyond, once by the distance "
        "from a frontal head and once by where the nose points, which turning the picture doesn't change. "
        f"Groups of fewer than {FEWEST} heads have no interval. "
    )
    if not store.attributes:
        text += "The store has no attributes of heads."
    elif any(len(np.unique(values)) > MAX_CATEGORIES for values in store.attributes.values()):
        text += f"Attributes of more than {MAX_CATEGORIES} values are left out."
    return report.section("By kind of head", content, text)


def _worst(summary: Mapping[str, Any], model: str) -> str:
    worst = summary["worst"][model]
    rows = [
        [str(rank), row["name"], f"{row['geodesic_deg']:.2f}", f"{row['frobenius']:.3f}", f"{row['entropy']:.2f}"]
        for rank, row in enumerate(worst, 1)
    ]
    table = report.table_html(["", "head", "geodesic error (°)", "Frobenius norm", "entropy"], rows)
    return report.section(f"The {len(worst)} worst heads, {model}", report.folded("show the list", table))
