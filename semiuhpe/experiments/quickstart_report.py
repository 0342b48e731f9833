"""The report page of the quickstart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from semiuhpe.data.experiment import DataOptions, open_labeled, store_path
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.drawing.axes import contact_sheet, draw_axes
from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.predict import Evaluation
from semiuhpe.rotation import FRONTAL, geodesic_deg

GALLERY_HEADS = 10
PICTURE_PX = 190
COLUMNS = {
    "geodesic_mean_deg": "geodesic mean",
    "geodesic_median_deg": "median",
    "frobenius_mean": "Frobenius",
    "euler_mae_deg": "Euler MAE",
    "kept_ratio": "kept pseudo labels",
    "kept_error_deg": "their error",
}
KEPT = {"ssl/kept_ratio": "kept_ratio", "ssl/kept_error_deg": "kept_error_deg"}


@dataclass(frozen=True)
class ModelResult:
    """The evaluation of one model, and the recorded scalars of its training."""

    evaluation: Evaluation
    scalars: list[dict[str, Any]]

    def row(self) -> dict[str, float]:
        """Return the row of the table: errors, and share and error of kept pseudo labels in the last steps."""
        row = dict(self.evaluation.summary)
        for entry in self.scalars:
            row |= {name: entry[key] for key, name in KEPT.items() if key in entry}
        return row

    def curve(self, key: str) -> tuple[list[float], list[float]]:
        """Return iterations and values of one recorded scalar."""
        points = [(entry["step"], entry[key]) for entry in self.scalars if key in entry]
        return [step for step, _ in points], [value for _, value in points]


def write_report(data: DataOptions, results: dict[str, ModelResult], path: Path) -> Path:
    """Write the page and return its path."""
    store = open_labeled(data, "test_set")
    labeled, unlabeled = (HeadStore(store_path(data, f"train_{kind}")) for kind in ("labeled", "unlabeled"))
    report.write_page(
        path,
        "quickstart.html",
        title="Head pose quickstart",
        lead=f"Three models of the same network, trained on the same {len(labeled)} labeled clean heads; two of them "
        f"also on {len(unlabeled)} unlabeled wild heads. All are tested on {len(store)} wild heads that no training "
        "has seen. Everything on this page is rendered.",
        results=_table(results),
        best=_best(results),
        names=list(results),
        picture_px=PICTURE_PX,
        heads=_gallery(store, results),
        **_plots(store, results),
        trained_on={
            title: contact_sheet([heads.image(i) for i in range(min(24, len(heads)))], 12, 80, gap=0)
            for title, heads in (("labeled, clean", labeled), ("unlabeled, wild", unlabeled))
        },
    )
    return path


def _table(results: dict[str, ModelResult]) -> report.Table:
    rows = []
    for name, result in results.items():
        row = result.row()
        cells = {key: f"{row[key]:.2f}" if key in row else "" for key in COLUMNS}
        if "kept_ratio" in row:
            cells["kept_ratio"] = f"{row['kept_ratio']:.0%}"
        rows.append([name, *cells.values()])
    return ["degrees", *COLUMNS.values()], rows


def _best(results: dict[str, ModelResult]) -> dict[int, int]:
    """Return the row of the lowest error of each column of errors that all models have."""
    summaries = [result.evaluation.summary for result in results.values()]
    errors = {column: key for column, key in enumerate(COLUMNS, start=1) if all(key in row for row in summaries)}
    return {column: int(np.argmin([row[key] for row in summaries])) for column, key in errors.items()}


def _gallery(store: HeadStore, results: dict[str, ModelResult]) -> list[list[tuple[np.ndarray, str]]]:
    """Return rows of pictures with captions: a test head, the truth, and each model's prediction with its error."""
    evaluations = [result.evaluation for result in results.values()]
    order = np.argsort(evaluations[-1].errors["geodesic_deg"].numpy())
    rows = []
    for head in order[evenly_spaced(len(order), GALLERY_HEADS)]:
        picture = report.enlarged(store.image(head), PICTURE_PX)
        row = [(picture, f"head {store.names[head]}"), (draw_axes(picture, store.truth[head]), " ")]
        for evaluation in evaluations:
            caption = f"{evaluation.errors['geodesic_deg'][head]:.1f}°"
            row.append((draw_axes(picture, evaluation.rotation[head].numpy()), caption))
        rows.append(row)
    return rows


def _plots(store: HeadStore, results: dict[str, ModelResult]) -> dict[str, Markup]:
    errors = {name: result.evaluation.errors["geodesic_deg"].numpy() for name, result in results.items()}
    from_front = geodesic_deg(torch.from_numpy(store.truth), FRONTAL).numpy()
    limit = 180 if store.meta["full_range"] else 120
    validation = {}
    for name, result in results.items():
        role = "teacher" if any("val/teacher/geodesic_mean_deg" in entry for entry in result.scalars) else "student"
        validation[name] = result.curve(f"val/{role}/geodesic_mean_deg")
    pseudo = {name: result.curve("ssl/kept_error_deg") for name, result in results.items()}
    return {
        "by_angle": plots.plot_error_by_angle(
            from_front, errors, np.arange(0, limit + 1, 15), "true rotation from frontal (degrees)"
        ),
        "cumulative": plots.plot_cumulative(errors, 120 if store.meta["full_range"] else 60),
        "validation": plots.plot_curves(validation, "validation error (degrees)"),
        "pseudo_labels": plots.plot_curves(pseudo, "error of kept pseudo labels (degrees)"),
    }
