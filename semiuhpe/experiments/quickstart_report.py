"""The page that the quickstart leaves behind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiuhpe.data.experiment import DataOptions, open_labeled, store_path
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.predict import Evaluation
from semiuhpe.rotation import FRONTAL, geodesic_deg

GALLERY_HEADS = 10
KEPT = {"ssl/kept_ratio": "kept_ratio", "ssl/kept_error_deg": "kept_error_deg"}


@dataclass(frozen=True)
class ModelResult:
    """Evaluation of one model, and the scalars that its training recorded."""

    evaluation: Evaluation
    scalars: list[dict[str, Any]]

    def row(self) -> dict[str, float]:
        """The row of the table: errors, and of the last steps the kept pseudo labels and their error."""
        row = dict(self.evaluation.summary)
        for entry in self.scalars:
            row |= {name: entry[key] for key, name in KEPT.items() if key in entry}
        return row

    def curve(self, key: str) -> tuple[list[float], list[float]]:
        """Iterations and values of one recorded scalar."""
        points = [(entry["step"], entry[key]) for entry in self.scalars if key in entry]
        return [step for step, _ in points], [value for _, value in points]


def write_report(data: DataOptions, results: dict[str, ModelResult], path: Path) -> Path:
    """Write the page and return its path."""
    store = open_labeled(data, "test_set")
    labeled, unlabeled = (HeadStore(store_path(data, f"train_{kind}")) for kind in ("labeled", "unlabeled"))
    sections = [
        _table(results),
        _gallery(store, results),
        _plots(store, results),
        _curves(results),
        _data(labeled, unlabeled),
    ]
    lead = (
        f"Three models of the same network, trained on the same {len(labeled)} labeled clean heads; two of them also "
        f"on {len(unlabeled)} unlabeled wild heads. All are judged on {len(store)} wild heads that no training has "
        "seen. Everything on this page is rendered."
    )
    report.write_page(path, "Head pose quickstart", lead, sections)
    return path


def _table(results: dict[str, ModelResult]) -> str:
    columns = {
        "geodesic_mean_deg": "geodesic mean",
        "geodesic_median_deg": "median",
        "frobenius_mean": "Frobenius",
        "euler_mae_deg": "Euler MAE",
        "kept_ratio": "kept pseudo labels",
        "kept_error_deg": "their error",
    }
    rows = []
    for name, result in results.items():
        row = result.row()
        cells = {key: f"{row[key]:.2f}" if key in row else "" for key in columns}
        if "kept_ratio" in row:
            cells["kept_ratio"] = f"{row['kept_ratio']:.0%}"
        rows.append([name, *cells.values()])
    means = [result.evaluation.summary["geodesic_mean_deg"] for result in results.values()]
    content = report.table_html(["degrees", *columns.values()], rows, best=int(np.argmin(means)))
    text = (
        "Errors on the wild test heads. Each row is the last teacher of its run: no checkpoint was chosen on these "
        "heads. The error of kept pseudo labels is known because the heads are rendered; training doesn't use it."
    )
    return report.section("Results", content, text)


def _gallery(store: HeadStore, results: dict[str, ModelResult]) -> str:
    reference = list(results.values())[-1].evaluation.errors["geodesic_deg"].numpy()
    order = np.argsort(reference)
    chosen = order[evenly_spaced(len(order), GALLERY_HEADS)]
    content = report.axes_key() + report.gallery(
        [store.image(i) for i in chosen],
        store.truth[chosen],
        {name: result.evaluation.rotation.numpy()[chosen] for name, result in results.items()},
        {name: result.evaluation.errors["geodesic_deg"].numpy()[chosen] for name, result in results.items()},
        [f"head {store.names[i]}" for i in chosen],
    )
    text = "Test heads from the last model's best to its worst, evenly spaced in rank, with geodesic errors."
    return report.section("From best to worst", content, text)


def _plots(store: HeadStore, results: dict[str, ModelResult]) -> str:
    errors = {name: result.evaluation.errors["geodesic_deg"].numpy() for name, result in results.items()}
    truth = torch.from_numpy(store.truth)
    from_front = geodesic_deg(truth, FRONTAL).numpy()
    limit = 180 if store.meta["full_range"] else 120
    by_angle = plots.plot_error_by_angle(
        from_front, errors, np.arange(0, limit + 1, 15), "true rotation from frontal (degrees)"
    )
    return report.section("Error against angle", by_angle) + report.section(
        "Cumulative error", plots.plot_cumulative(errors, 120 if store.meta["full_range"] else 60)
    )


def _curves(results: dict[str, ModelResult]) -> str:
    validation = {}
    for name, result in results.items():
        role = "teacher" if any("val/teacher/geodesic_mean_deg" in entry for entry in result.scalars) else "student"
        validation[name] = result.curve(f"val/{role}/geodesic_mean_deg")
    pseudo = {name: result.curve("ssl/kept_error_deg") for name, result in results.items()}
    content = plots.plot_curves(validation, "validation error (degrees)")
    content += plots.plot_curves(pseudo, "error of kept pseudo labels (degrees)")
    text = (
        "Above: error on held-out clean heads, which says little about wild ones. Below: true error of the pseudo "
        "labels that were kept. Iterations of the semi-supervised runs are counted from the end of stage 1."
    )
    return report.section("Training curves", content, text)


def _data(labeled: HeadStore, unlabeled: HeadStore) -> str:
    content = ""
    for title, store in (("labeled, clean", labeled), ("unlabeled, wild", unlabeled)):
        content += f"<p>{title}</p>" + report.sheet([store.image(i) for i in range(min(24, len(store)))], 12)
    return report.section("What they were trained on", content)
