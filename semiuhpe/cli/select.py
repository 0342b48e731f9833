"""``semiuhpe select``: which heads to label next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semiuhpe.cli.audit import JudgesOptions, asked, open_heads, output_files
from semiuhpe.cli.config import parse_group
from semiuhpe.data.importers.folder import DECISION, HEAD, NAME, ROTATION
from semiuhpe.data.labels.decisions import TURN
from semiuhpe.data.stores import HeadStore
from semiuhpe.errors import StoreError, require
from semiuhpe.evaluation.label_page import select_page
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.selection import Selection, consensus, covering_radius_deg, select, unsureness
from semiuhpe.files import csv_text
from semiuhpe.options import PositiveInt, option

_DIGITS = 6


@dataclass(frozen=True)
class SelectOptions(JudgesOptions):
    """The options of ``semiuhpe select``."""

    store: Path = option(..., "heads to choose from; their labels, if any, are not looked at", metavar="STORE",
                         positional=True)  # fmt: skip
    count: PositiveInt = option(..., "heads to choose")
    labeled: Path | None = option(None, "heads that are labeled already: others are chosen", metavar="STORE")
    output: Path | None = option(
        None, "folder to write select.csv and select.html to; outputs/select/STORE if not given", metavar="DIR"
    )


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe select", "Chooses heads to label next: such that models are unsure of, and that differ.",
        SelectOptions, argv,
    )  # fmt: skip
    store = open_heads(options.store)
    require(options.count <= len(store), f"--count {options.count}: {store.path} has {len(store)} heads")
    labeled = None
    if options.labeled is not None:
        known = open_heads(options.labeled)
        if known.rotation is None:
            raise StoreError(f"--labeled {known.path}: has no labels; name a store of labeled heads")
        labeled = torch.from_numpy(known.rotation)
    table, page = output_files(options, options.output, "select", store)
    found = asked(options, store)
    rotation, weight = consensus(found), unsureness(found)
    chosen = select(rotation, weight, options.count, labeled)
    write_result(table, _table(chosen, rotation, weight, store).encode())
    select_page(page, found, weight, chosen, store, options.shown)
    radius = covering_radius_deg(rotation, chosen.head)
    unsure = torch.rad2deg(weight)
    print(
        f"{options.count} of {len(store)} heads; models are unsure of them by {unsure[chosen.head].mean():.1f}°, "
        f"of all by {unsure.mean():.1f}°;\nno head's predicted pose is farther than {radius:.1f}° from one of theirs\n"
        f"\nwritten to {table} and {page}"
    )
    return 0


def _table(chosen: Selection, rotation: Tensor, weight: Tensor, store: HeadStore) -> str:
    """Return a CSV of the chosen heads with what the models predict, which ``labels`` reads as decisions."""
    rows = [["rank", HEAD, NAME, "unsure_deg", "distance_deg", DECISION, *ROTATION]]
    for rank, (head, distance) in enumerate(zip(chosen.head.tolist(), chosen.distance_deg.tolist(), strict=True), 1):
        away = f"{distance:.3f}" if np.isfinite(distance) else ""
        unsure = f"{float(torch.rad2deg(weight[head])):.3f}"
        matrix = [f"{value:.{_DIGITS}f}" for value in rotation[head].flatten().tolist()]
        rows.append([str(rank), str(head), store.names[head], unsure, away, TURN, *matrix])
    return csv_text(rows)
