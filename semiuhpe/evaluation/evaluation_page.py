"""``report.html``: the page of an evaluation."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.drawing.axes import draw_axes
from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.bootstrap import FEWEST
from semiuhpe.evaluation.breakdowns import FRONT_STEP_DEG, MAX_CATEGORIES, distance_to_frontal_deg
from semiuhpe.evaluation.results import IN_PLANE, IN_PLANE_ERROR, Results
from semiuhpe.rotation import matrix_to_euler

GALLERY_HEADS = 9
PAIR_PX = 150
IN_PLANE_STEP_DEG = 30
MEANS = {
    "geodesic_mean_deg": "geodesic mean (°)",
    "geodesic_median_deg": "geodesic median (°)",
    "geodesic_p90_deg": "geodesic, 90% below (°)",
    "geodesic_p95_deg": "geodesic, 95% below (°)",
    "under_5_deg": "under 5°",
    "under_10_deg": "under 10°",
    "under_15_deg": "under 15°",
    "under_30_deg": "under 30°",
    "over_30_deg": "over 30°",
    "over_90_deg": "over 90°",
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
"""Reported means and their titles, in the order of the tables."""
SHARES = ("under_", "over_")
"""Beginnings of the names of shares of heads."""
SELECTED = (
    "this checkpoint was selected on this very set, as in the paper; its errors on other heads may be larger "
    "(train with --val_set, or evaluate `last`)"
)


def write_report(path: Path, results: Results, store: HeadStore) -> None:
    """Write the page of an evaluation on a store; the pictures and plots of heads are the last model's."""
    summary, shown = results.summary, results.models[-1]
    report.write_page(
        path,
        "evaluation.html",
        title=f"{summary['checkpoint']['network']} on {summary['store']['dataset']}",
        lead=f"{len(store)} heads. Errors are in degrees; intervals are 95 percent, by bootstrap over heads.",
        shown=shown,
        fewest=FEWEST,
        pair_px=PAIR_PX,
        evaluated=_facts(summary),
        euler_labels=summary["store"]["euler_labels"],
        means=means_table(summary),
        alignment=alignment_table(summary),
        paper=paper_table(summary, ("paper's arithmetic", "ours")),
        reliability=reliability_table(summary) if summary["reliability"] else None,
        **_error_plots(results, store),
        **_calibration(results),
        galleries=_galleries(results, store, shown),
        breakdowns=_breakdowns(summary),
        attributes=_attributes(store),
        worst=[
            [
                str(rank),
                row["name"],
                f"{row['geodesic_deg']:.2f}",
                f"{row['frobenius']:.3f}",
                _or_nothing(row["entropy"], 2),
            ]
            for rank, row in enumerate(summary["worst"][shown], 1)
        ],
    )


def number(name: str, value: float) -> str:
    """Return a reported mean as text: shares in percent, norms and angles with three decimals."""
    return f"{value:.1%}" if name.startswith(SHARES) else f"{value:.3f}"


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


def means_table(summary: Mapping[str, Any]) -> report.Table:
    """Return all means with their intervals, a row each, two columns for each model."""
    results, intervals = summary["results"], summary["intervals"]
    rows = []
    for key, text in MEANS.items():
        if key in next(iter(results.values())):
            cells = ([number(key, row[key]), interval_text(key, intervals[name][key])] for name, row in results.items())
            rows.append([text, *(cell for pair in cells for cell in pair)])
    return ["", *(column for name in results for column in (name, "95% interval"))], rows


def alignment_table(summary: Mapping[str, Any]) -> report.Table | None:
    """Return the constant rotation between predictions and labels, and the errors without it; None for few heads."""
    found = {name: frames for name, frames in summary["alignment"].items() if frames is not None}
    if not found:
        return None
    rows = [
        [
            f"{name}, {frame.replace('_', ' ')}",
            *(f"{values[key]:.3f}" for key in ("offset_deg", "geodesic_mean_deg", "geodesic_median_deg")),
        ]
        for name, frames in found.items()
        for frame, values in frames.items()
    ]
    return ["", "off by (°)", "geodesic mean without it (°)", "median (°)"], rows


def reliability_table(summary: Mapping[str, Any]) -> report.Table:
    """Return whether the radii of calibrated models hold the truth, over all heads and by true yaw."""
    rows = []
    for name, held in summary["reliability"].items():
        for row in ({**held, "label": "all"}, *held["by_yaw"]):
            errors = [_or_nothing(row[key], 2) for key in ("reliable_error_deg", "other_error_deg")]
            cells = [f"{row['inside']:.1%}", f"{row['median_deg']:.1f}", f"{row['reliable']:.1%}"]
            rows.append([name, row["label"], str(row["heads"]), *cells, *errors])
    columns = ["", "yaw, either side (°)", "heads", "truth within the radius", "median radius (°)"]
    return [*columns, "reliable", "error of these (°)", "of the others (°)"], rows


def paper_table(summary: Mapping[str, Any], kinds: tuple[str, str]) -> report.Table:
    """Return the means in the paper's arithmetic beside the exact ones, with its four decimals.

    Args:
        summary: of an evaluation.
        kinds: what the two are called in the names of columns.
    """
    results, paper = summary["results"], summary["paper"]
    rows = [
        [MEANS[key], *(f"{values[name][key]:.4f}" for name in results for values in (paper, results))]
        for key in MEANS
        if key in next(iter(paper.values()))
    ]
    return ["", *(f"{name}, {kind}" for name in results for kind in kinds)], rows


def _error_plots(results: Results, store: HeadStore) -> dict[str, Markup | None]:
    full_range = store.meta["full_range"]
    errors = {name: results.heads[f"{name}_geodesic_deg"] for name in results.models}
    yaw = matrix_to_euler(torch.from_numpy(store.truth).double(), full_range)[:, 1].numpy()
    span = 180 if full_range else 90
    distance = distance_to_frontal_deg(store.truth)
    farthest = max(90, 15 * math.ceil(distance.max() / 15))
    largest = np.quantile(np.concatenate(list(errors.values())), 0.98)
    limit = float(np.clip(np.ceil(largest / 10) * 10, 10, 180))
    return {
        "by_yaw": plots.plot_error_by_angle(
            yaw, errors, np.arange(-span, span + 1, FRONT_STEP_DEG), "true yaw (degrees)"
        ),
        "by_distance": plots.plot_error_by_angle(
            distance, errors, np.arange(0, farthest + 1, 15), "true rotation from frontal (degrees)"
        ),
        "cumulative": plots.plot_cumulative(errors, limit),
        "sphere": plots.plot_sphere(store.truth, errors[results.models[-1]]),
        "in_plane": _in_plane(results) if IN_PLANE in results.heads else None,
    }


def _in_plane(results: Results) -> Markup:
    errors = {name: results.heads[f"{name}_{IN_PLANE_ERROR}"] for name in results.models}
    bins = np.arange(0, 361, IN_PLANE_STEP_DEG)
    return plots.plot_error_by_angle(results.heads[IN_PLANE], errors, bins, "turned in plane by (degrees, clockwise)")


def _calibration(results: Results) -> dict[str, Any]:
    """Return the table ``calibration`` and the plots beside it; ``coverage`` is None without credible regions."""
    found = results.summary["calibration"]
    shown = results.models[-1]
    rows = []
    for name, values in found.items():
        inside = values["coverage"]["inside"] if values["coverage"] else {}
        sure = _or_nothing(values["confidence"] and values["confidence"]["ece"], 3)
        rank = _or_nothing(values["spearman"], 3)
        rows.append(
            [
                name,
                rank,
                _or_nothing(values["sparsification"] and values["sparsification"]["ause"], 3),
                sure,
                *(f"{share:.1%}" for share in inside.values()),
            ]
        )
    curves = {name: values["sparsification"] for name, values in found.items() if values["sparsification"]}
    entropy = results.heads[f"{shown}_entropy"]
    sure = found[shown]["confidence"]
    by_confidence = sure and [
        [f"{claimed:.2f}", str(heads), f"{right:.0%}", f"{error:.1f}"]
        for claimed, heads, right, error in zip(
            sure["confidence"], sure["heads"], sure["right"], sure["error_deg"], strict=True
        )
    ]
    inside = found[shown]["coverage"]["inside"] if found[shown]["coverage"] else {}
    columns = ["", "rank correlation", "AUSE", "ECE", *(f"inside {level}" for level in inside)]
    coverage = plots.plot_coverage({name: values["coverage"] for name, values in found.items()}) if inside else None
    return {
        "calibration": (columns, rows),
        "by_confidence": by_confidence,
        "coverage": coverage,
        "sparsification": plots.plot_sparsification(curves) if curves else None,
        "entropy": plots.plot_entropy(entropy, results.heads[f"{shown}_geodesic_deg"]) if curves else None,
    }


def _galleries(results: Results, store: HeadStore, model: str) -> dict[str, list[dict[str, Any]]]:
    order = np.argsort(results.heads[f"{model}_geodesic_deg"], kind="stable")
    if len(order) <= GALLERY_HEADS:
        chosen = {"From best to worst": order}
    else:  # no head appears twice
        count = min(GALLERY_HEADS, len(order) // 3)
        middle = len(order) // 2 - count // 2
        chosen = {"Best": order[:count], "Median": order[middle : middle + count], "Worst": order[::-1][:count]}
    return {title: [_pair(results, store, model, head) for head in heads] for title, heads in chosen.items()}


def _pair(results: Results, store: HeadStore, model: str, head: int) -> dict[str, Any]:
    """Return a head's pictures with the truth and the prediction drawn on them, and the text below them."""
    truth, predicted = store.truth[head], results.heads[f"{model}_rotation"][head]
    error, entropy = (results.heads[f"{model}_{key}"][head] for key in ("geodesic_deg", "entropy"))
    picture = report.enlarged(store.image(int(head)), 2 * PAIR_PX)
    return {
        "truth": draw_axes(picture, truth),
        "prediction": draw_axes(picture, predicted),
        "title": f"{error:.1f}° · {store.names[head]}",
        "true_angles": f"truth {_angles(truth, store)}",
        "predicted_angles": f"predicted {_angles(predicted, store)}"
        + ("" if np.isnan(entropy) else f" · entropy {entropy:.2f}"),
    }


def _or_nothing(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _angles(rotation: np.ndarray, store: HeadStore) -> str:
    euler_deg = matrix_to_euler(torch.from_numpy(rotation).double(), store.meta["full_range"]).numpy()
    return ", ".join(f"{angle + 0.0:.0f}" for angle in np.round(euler_deg))


def _breakdowns(summary: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the title, the columns and the rows of each break-down."""
    models = list(summary["breakdowns"])
    kinds = [kind for name in models for kind in (f"{name}, mean", "95% interval", "median")]
    tables = []
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
        tables.append((division["title"], [division["title"], "heads", *kinds], rows))
    return tables


def _attributes(store: HeadStore) -> str:
    """Return a sentence about attributes that have no table, if any."""
    if not store.attributes:
        return "The store has no attributes of heads."
    if any(len(np.unique(values)) > MAX_CATEGORIES for values in store.attributes.values()):
        return f"Attributes of more than {MAX_CATEGORIES} values are left out."
    return ""
