"""Decisions put into effect: a new store, or a new table of heads, of the old one."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from semiuhpe.data.crop import StoredCrop
from semiuhpe.data.importers.folder import EULER, ROTATION, table_readers
from semiuhpe.data.labels.decisions import DROP, TURN, Decision, Relabeled
from semiuhpe.data.stores import StoredHead, StoreWriter
from semiuhpe.errors import DataError
from semiuhpe.files import csv_text
from semiuhpe.rotation import matrix_to_euler

_STORE_SAYS = ("format_version", "count", "labelled")
"""What the writer of a store says in its meta."""
_DIGITS = 6


def write_relabeled(heads: Relabeled, out: Path, decisions: Path, overwrite: bool = False) -> None:
    """Write a store of the heads of another, with new labels. Pictures are copied byte by byte.

    Raises:
        StoreError: the new store exists or can't be written, or a picture is damaged.
    """
    store, rotation = heads.store, heads.rotation
    euler = None if store.euler_deg is None else heads.euler_deg
    meta = {key: value for key, value in store.meta.items() if key not in _STORE_SAYS}
    meta |= {"full_range": heads.full_range, "settings": {**store.meta["settings"], "decisions": str(decisions)}}
    with StoreWriter(out, meta, overwrite) as writer:
        for row in tqdm(range(len(store)), desc="writing", unit="head", disable=None):
            crop = StoredCrop(store.encoded(row), store.box[row], store.bounds[row], float(store.scale[row]))
            attributes = {name: str(values[row]) for name, values in store.attributes.items()}
            writer.add(
                StoredHead(
                    str(store.names[row]), crop, _row(rotation, row), _row(euler, row), attributes,
                    landmarks68=_row(store.landmarks68, row), landmark_extent=_row(store.landmark_extent, row),
                )
            )  # fmt: skip


def _row(values: np.ndarray | None, row: int) -> np.ndarray | None:
    return None if values is None else values[row]


def relabeled_table(
    source: Path, decisions: Sequence[Decision], path: Path, out: Path, only: bool
) -> tuple[str, int, int]:
    """Return a table of heads with new labels, for ``semiuhpe prepare folder``, and the rows changed and left out.

    Rows are matched by the names that ``prepare folder`` gives to heads: the picture and the number of the line. Rows
    without a decision stay as they are, if the table has labels. Angles of changed rows are those of the full range.

    Args:
        source: the table of which the store was made.
        decisions: with the names of heads.
        path: of the decisions, for errors.
        out: where the new table goes; its paths of pictures are seen from there.
        only: leave out rows without a decision.

    Raises:
        DataError: the table can't be read, or decisions are of other heads.
    """
    reader = table_readers().get(source.suffix.lower())
    if not source.is_file() or reader is None:
        raise DataError(f"{source}: is neither a store nor a table of heads ({', '.join(table_readers())})")
    columns, rows = reader(source)
    if "image" not in columns:
        raise DataError(f"{source}: has no column image; it is no table of heads")
    labeled = EULER[0] in columns or ROTATION[0] in columns
    columns = columns if labeled else [*columns, *ROTATION]
    angles = EULER if EULER[0] in columns else ROTATION
    by_name = {decision.name: decision for decision in decisions}
    if "" in by_name:
        raise DataError(f"--decisions {path}: has no names of heads, by which rows of {source} are found")
    written, changed, left_out, used = [list(columns)], 0, 0, set()
    for number, row in rows:
        if isinstance(row, str):
            raise DataError(f"{source}: line {number} {row}")
        name = f"{row['image']}_{number}"
        decision = by_name.get(name)
        used.add(name)
        if (decision is None and (only or not labeled)) or (decision is not None and decision.decision == DROP):
            left_out += 1
            continue
        image = Path(os.path.relpath((source.parent / row["image"]).absolute(), out.parent.absolute())).as_posix()
        new = {**row, "image": image}
        if decision is not None and decision.rotation is not None and (decision.decision == TURN or not labeled):
            new |= dict(zip(angles, _values(decision.rotation, angles), strict=True))
            changed += 1
        written.append([new.get(column, "") for column in columns])
    unknown = next((decision for name, decision in by_name.items() if name not in used), None)
    if unknown is not None:
        raise DataError(
            f"--decisions {path}: line {unknown.line} is of the head {unknown.name}, which isn't in {source}; name the "
            "table that the store was made of"
        )
    return csv_text(written), changed, left_out


def _values(rotation: np.ndarray, columns: Sequence[str]) -> list[str]:
    values = rotation.reshape(-1) if columns is ROTATION else matrix_to_euler(torch.from_numpy(rotation), True).numpy()
    return [f"{value:.{_DIGITS}f}" for value in values]
