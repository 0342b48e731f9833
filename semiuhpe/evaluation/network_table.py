"""``semiuhpe tables networks``: networks of this project and of others on the same heads, in one table.

All rows are of one protocol; each network has its own crops. What others have published is a table of its own, because
each number is of a protocol of its own.
"""

import json
import statistics
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.alignment import CAMERA_FRAME, HEAD_FRAME
from semiuhpe.evaluation.results import HEADS_PROTOCOL
from semiuhpe.evaluation.run import evaluate_checkpoint, load_roles
from semiuhpe.evaluation.tables import Row, Table
from semiuhpe.foreign import is_foreign, locate_model, short_name
from semiuhpe.models import reparametrize

COLUMNS = (
    "crop", "px", "yaw", "pitch", "roll", "Euler MAE", "geodesic mean", "median", "head frame off by", "without it",
    "camera frame off by", "without it", "ms per head",
)  # fmt: skip
TIMED_HEADS = 20
BIWI_SETS = ("BIWI", "BIWItest", "BIWItrain")
"""Datasets that published numbers of BIWI are about."""


def network_table(names: Sequence[str], store: HeadStore, protocol: str | None, progress: bool = False) -> Table:
    """Evaluate networks, and return their table.

    Args:
        names: checkpoints, or networks of others, ``KIND:FILE``.
        store: labeled heads, best on whole pictures.
        protocol: which heads are evaluated, see :func:`semiuhpe.evaluation.run.evaluate_checkpoint`.
        progress: show a bar for each.

    Raises:
        CheckpointError, ConfigError, StoreError: as :func:`semiuhpe.evaluation.run.evaluate_checkpoint`.
    """
    paths = [locate_model(name) for name in names]
    rows, kept, heads = [], "all heads", 0
    for path in paths:
        results = evaluate_checkpoint(
            path, store, protocol=protocol, roles=("teacher",), device="cpu", progress=progress
        )
        summary, role = results.summary, results.models[-1]
        protocol_name, heads = summary["settings"].get(HEADS_PROTOCOL), summary["store"]["heads"]
        kept = f"protocol {protocol_name}" if protocol_name else kept
        rows.append(Row([_label(path)], _cells(summary, role, _milliseconds(path))))
    return Table(
        "networks",
        f"Networks on {store.meta['dataset']}, {kept}",
        ["network"],
        COLUMNS,
        rows,
        [
            f"Degrees, on {heads} heads of {store.meta['dataset']}; the 95 percent interval of a mean in parentheses.",
            "Off by: the constant rotation between predictions and labels, in the head's or the camera's frame; "
            "without it: the geodesic mean, with the rotation estimated on the other half of the heads.",
            f"ms per head: one by one on a CPU, {torch.get_num_threads()} threads, the median of {TIMED_HEADS}.",
        ],
    )


def published_table(dataset: str) -> Table | None:
    """Return the numbers that others have published of a dataset, with their protocols; None if none are known."""
    rows = json.loads((resources.files("semiuhpe.evaluation") / "published.json").read_text("utf-8"))["rows"]
    chosen = [row for row in rows if row[2] == dataset or (row[2] == "BIWI" and dataset in BIWI_SETS)]
    if not chosen:
        return None
    return Table(
        "networks_published",
        f"Published numbers of {chosen[0][2]}",
        ["network", "paper", "trained on"],
        ("yaw", "pitch", "roll", "mean", "as stated in"),
        [
            Row([method, paper or "", trained], [*(_number(value) for value in angles), source])
            for method, paper, _, *angles, trained, source in chosen
        ],
        [
            "Each was measured in its own way: which heads, which crops, which labels. Only rows of the table above, "
            "which are of one protocol, can be compared with each other.",
        ],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _label(path: Path) -> str:
    return short_name(path).replace("_", " ", 1) if is_foreign(path) else path.stem


def _cells(summary: dict[str, Any], role: str, milliseconds: float) -> list[str]:
    means, intervals = summary["results"][role], summary["intervals"][role]

    def cell(key: str) -> str:
        if key not in means:
            return ""
        low, high = intervals[key]
        return f"{means[key]:.2f} ({low:.2f} to {high:.2f})"

    angles = [f"{means[key]:.2f}" if key in means else "" for key in ("yaw_mae_deg", "pitch_mae_deg", "roll_mae_deg")]
    aligned = summary["alignment"][role]
    frames = [
        "" if aligned is None else f"{aligned[frame][key]:.2f}"
        for frame in (HEAD_FRAME, CAMERA_FRAME)
        for key in ("offset_deg", "geodesic_mean_deg")
    ]
    return [
        summary["store"]["protocol"], str(summary["checkpoint"]["image_size"]), *angles, cell("euler_mae_deg"),
        cell("geodesic_mean_deg"), f"{means['geodesic_median_deg']:.2f}", *frames, f"{milliseconds:.1f}",
    ]  # fmt: skip


@torch.inference_mode()
def _milliseconds(path: Path) -> float:
    """Return how long a network takes for one head, on the CPU, in the form in which pictures are posed."""
    [loaded] = load_roles(path, ("teacher",)).values()
    network = reparametrize(loaded.model).to(memory_format=torch.channels_last)
    picture, times = torch.zeros(1, 3, loaded.image_size, loaded.image_size), []
    for _ in range(TIMED_HEADS + 3):
        start = time.perf_counter()
        network(picture)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[3:])
