"""Tables of decisions about the labels of a store's heads, which the pages of ``audit`` and ``select`` save.

A CSV with a row for each head: ``head``, its position in the store; ``name``; ``decision``; and its rotation head to
camera, ``r00`` to ``r22``, or ``pitch, yaw, roll`` in degrees. A decision is

- ``accept``: the label is right; of a head without a label, the rotation of the row is,
- ``turn``: the rotation of the row is the label from now on,
- ``drop``: the head is left out.

A table without the column ``decision`` has new labels: all are ``turn``. Programs for labeling write such, by way of
``semiuhpe labels import``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from semiuhpe.data.importers.folder import DECISION, EULER, HEAD, NAME, ROTATION
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import DataError, did_you_mean
from semiuhpe.files import read_csv
from semiuhpe.rotation import euler_to_matrix, is_rotation, matrix_to_euler

ACCEPT, TURN, DROP = "accept", "turn", "drop"
DECISIONS = (ACCEPT, TURN, DROP)
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Decision:
    """A row.

    Attributes:
        line: its number in the table.
        head: position in the store; None if the table has none.
        name: of the head; empty if the table has none.
        decision: one of :data:`DECISIONS`.
        rotation: (3, 3) float64 head to camera; None if the head is dropped.
    """

    line: int
    head: int | None
    name: str
    decision: str
    rotation: np.ndarray | None


@dataclass(frozen=True)
class Relabeled:
    """Heads of a store with the labels that they have after decisions.

    Attributes:
        store: a view of the store, without the heads that were dropped.
        head: (K,) their positions in the whole store.
        rotation: (K, 3, 3) float64, or None if the store has no labels and there are no decisions.
        changed: (K,) bool, whose rotation is not the store's.
    """

    store: HeadStore
    head: np.ndarray
    rotation: np.ndarray | None
    changed: np.ndarray

    @property
    def euler_deg(self) -> np.ndarray | None:
        """(K, 3) pitch, yaw, roll: the source's, where they are known and not changed; in the range of the store."""
        if self.rotation is None:
            return None
        euler = matrix_to_euler(torch.from_numpy(self.rotation), self.full_range).numpy()
        if self.store.euler_deg is not None:
            euler[~self.changed] = self.store.euler_deg[~self.changed]
        return euler

    @property
    def full_range(self) -> bool:
        """Whether labels go beyond front to profile: those of the store, or one of the new."""
        known = bool(self.store.meta["full_range"])
        if known or self.rotation is None or not self.changed.any():
            return known
        euler = matrix_to_euler(torch.from_numpy(self.rotation[self.changed]), full_range=True)
        return bool((euler[:, 1].abs() > 90).any())


def read_decisions(path: Path) -> list[Decision]:
    """Read a table of decisions.

    Raises:
        DataError: the file is missing or no such table, or a row can't be used; the message names the line.
    """
    if not path.is_file():
        raise DataError(f"--decisions {path}: there is no such file; the page of `semiuhpe audit` saves it")
    try:
        rows = list(read_csv(path))
    except ValueError as error:
        raise DataError(f"--decisions {path}: {error}") from error
    if len(rows) < 2:
        raise DataError(f"--decisions {path}: has no decisions")
    columns, *lines = rows
    named = columns[1]
    rotation = ROTATION if ROTATION[0] in named else EULER
    missing = [column for column in rotation if column not in named]
    if HEAD not in named and NAME not in named:
        missing = [f"{HEAD} or {NAME}", *missing]
    if missing:
        raise DataError(f"--decisions {path}: has no column {', '.join(missing)}; its columns are {', '.join(named)}")
    found = []
    for number, fields in lines:
        if len(fields) > len(named):
            raise DataError(f"--decisions {path}: line {number} has {len(fields)} fields, but the header {len(named)}")
        row = dict(zip(named, [*fields, *[""] * (len(named) - len(fields))], strict=True))
        try:
            found.append(_decision(number, row, rotation))
        except ValueError as error:
            raise DataError(f"--decisions {path}: line {number}: {error}") from error
    return found


def _decision(number: int, row: Mapping[str, str], columns: tuple[str, ...]) -> Decision:
    """Return the decision of a row; ValueError if it can't be used."""
    decision = row.get(DECISION, TURN)
    if decision not in DECISIONS:
        hint = did_you_mean(decision, DECISIONS)
        raise ValueError(f"the decision {decision!r} is none of {', '.join(DECISIONS)}{hint}")
    if HEAD in row and not row[HEAD].isdecimal():
        raise ValueError(f"the head {row[HEAD]!r} is no position in a store")
    head = int(row[HEAD]) if HEAD in row else None
    if decision == DROP:
        return Decision(number, head, row.get(NAME, ""), decision, None)
    try:
        values = torch.tensor([float(row[column]) for column in columns], dtype=torch.float64)
    except ValueError:
        values = torch.full((len(columns),), torch.nan)
    if not values.isfinite().all():
        raise ValueError(f"{columns[0]} to {columns[-1]} are not finite numbers")
    matrix = values.reshape(3, 3) if columns is ROTATION else euler_to_matrix(values)
    if not is_rotation(matrix, _TOLERANCE):
        raise ValueError(f"{columns[0]} to {columns[-1]} are no rotation")
    return Decision(number, head, row.get(NAME, ""), decision, roma.special_procrustes(matrix).numpy())


def relabeled(store: HeadStore, decisions: list[Decision] | None, only: bool, path: Path | None = None) -> Relabeled:
    """Return a store's heads as decisions leave them.

    Heads without a decision stay as they are, if they have a label; so do all heads if there are no decisions.

    Args:
        store: the whole store.
        decisions: None for none.
        only: leave out heads without a decision.
        path: of the decisions, for errors.

    Raises:
        DataError: decisions are another store's, or of no head twice, or no head is left.
    """
    count = len(store)
    if decisions is None:
        rotation = None if store.rotation is None else store.rotation.astype(np.float64)
        return Relabeled(store, np.arange(count), rotation, np.zeros(count, dtype=bool))
    by_head = _by_head(store, decisions, path)
    labeled = store.rotation is not None
    rotation = store.truth.astype(np.float64) if labeled else np.full((count, 3, 3), np.nan)
    kept = np.full(count, labeled and not only)
    changed = np.zeros(count, dtype=bool)
    for head, decision in by_head.items():
        kept[head] = decision.decision != DROP
        if decision.rotation is not None and not (labeled and decision.decision == ACCEPT):
            rotation[head], changed[head] = decision.rotation, True
    if not kept.any():
        raise DataError(f"--decisions {path}: no head of {store.path} is left")
    heads = np.flatnonzero(kept)
    return Relabeled(store.view(heads), heads, rotation[heads], changed[heads])


def _by_head(store: HeadStore, decisions: list[Decision], path: Path | None) -> dict[int, Decision]:
    positions = {str(name): head for head, name in enumerate(store.names)}
    found: dict[int, Decision] = {}
    for decision in decisions:
        head = positions.get(decision.name, -1) if decision.head is None else decision.head
        where = f"--decisions {path}: line {decision.line}"
        if not 0 <= head < len(store):
            what = decision.name if decision.head is None else head
            raise DataError(f"{where}: {store.path} has no head {what}; name the store that they are about")
        if decision.name and decision.name != store.names[head]:
            raise DataError(
                f"{where}: head {head} of {store.path} is {store.names[head]}, not {decision.name}; name the store "
                "that they are about"
            )
        if head in found:
            raise DataError(f"{where}: head {head} has a decision in line {found[head].line} already")
        found[head] = decision
    return found
