"""Tables of results as Markdown, CSV and LaTeX, and the aligned tables that commands print."""

import os
import statistics
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tabulate import LATEX_ESCAPE_RULES, SEPARATING_LINE, tabulate

from semiuhpe.files import csv_text

BIN_DEG = 15
BAR = 14  # characters
SHOWN_VALUES = 12


class Missing(NamedTuple):
    """A cell without a number, with the command that would fill it."""

    command: str


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """Return a cell: the mean over seeds, and their standard deviation if there are several."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


@dataclass(frozen=True)
class Row:
    """A row: its labels, and a text or :class:`Missing` for each column.

    An empty text marks a combination that is impossible.
    """

    labels: Sequence[str]
    cells: Sequence[str | Missing]


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: stem of its files.
        title: one line above it.
        labels: titles of the left columns, which hold the rows' labels.
        columns: titles of the other columns.
        rows: from top to bottom.
        notes: sentences below it.
    """

    name: str
    title: str
    labels: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def commands(self) -> list[str]:
        """Return the commands that fill missing cells, each once, in order."""
        found = dict.fromkeys(cell.command for row in self.rows for cell in row.cells if isinstance(cell, Missing))
        return list(found)


def markdown(table: Table) -> str:
    """Return GitHub's Markdown; a missing cell refers to a command in the list below the table."""
    commands = table.commands()
    rows = [
        [*row.labels, *(_reference(cell, commands) if isinstance(cell, Missing) else cell for cell in row.cells)]
        for row in table.rows
    ]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in ([*table.labels, *table.columns], *rows)]
    lines = [f"## {table.title}", "", _tabulated(table, escaped, "pipe"), "", *(f"{note}  " for note in table.notes)]
    if commands:
        lines += ["", "Cells in brackets wait for a command:", ""]
        lines += [f"{number}. `{command}`" for number, command in enumerate(commands, 1)]
    return "\n".join(lines) + "\n"


def _reference(cell: Missing, commands: Sequence[str]) -> str:
    return f"[{commands.index(cell.command) + 1}]"


def _tabulated(table: Table, rows: Sequence[Sequence[str]], kind: str) -> str:
    """Return rows, the first of them the head, in a format of tabulate, with the labels aligned to the left."""
    align = ["left"] * len(table.labels) + ["right"] * len(table.columns)
    return tabulate(rows, headers="firstrow", tablefmt=kind, colalign=align, disable_numparse=True)


def comma_separated(table: Table) -> str:
    """Return CSV; a missing cell holds ``run: COMMAND``."""
    rows = [[*table.labels, *table.columns]]
    for row in table.rows:
        cells = [f"run: {cell.command}" if isinstance(cell, Missing) else cell for cell in row.cells]
        rows.append([*row.labels, *cells])
    return csv_text(rows)


def latex(table: Table) -> str:
    """Return a LaTeX table for the package booktabs; missing cells are dashes, their commands comments."""
    commands = table.commands()
    rows, comments = [[*table.labels, *table.columns]], [""]
    for number, row in enumerate(table.rows):
        if number and row.labels[0] != table.rows[number - 1].labels[0]:
            rows.append([SEPARATING_LINE])
        rows.append([*row.labels, *("--" if isinstance(cell, Missing) else cell for cell in row.cells)])
        missing = [_reference(cell, commands) for cell in row.cells if isinstance(cell, Missing)]
        comments.append(f" % {' '.join(missing)}" if missing else "")
    behind = iter(comments)
    body = _tabulated(table, rows, "latex_booktabs").splitlines()
    lines = [
        *(f"% [{number}] {command}" for number, command in enumerate(commands, 1)),
        r"\begin{table}",
        rf"\caption{{{''.join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in table.title)}}}",
        *(line + next(behind) if line.endswith(r"\\") else line for line in body),
        r"\end{table}",
    ]
    return "\n".join(lines).replace("°", r"$^\circ$").replace("±", r"$\pm$") + "\n"


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return rows as columns of text; those at the positions ``left`` are aligned to the left, others to the right."""
    align = ["left" if column in left else "right" for column in range(len(rows[0]))]
    text = tabulate(rows, tablefmt="plain", colalign=align, disable_numparse=True)
    return "\n".join(line.rstrip() for line in text.splitlines())


def quantiles(quantities: Mapping[str, np.ndarray]) -> str:
    """Return a table with a row of quantiles for each quantity, by name; values that are not finite are counted."""
    shares = {"least": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "most": 1.0}
    rows = [["", *shares, ""]]
    for name, values in quantities.items():
        finite = values[np.isfinite(values)]
        numbers = map(_number, np.quantile(finite, list(shares.values()))) if finite.size else [""] * len(shares)
        missing = f" ({len(values) - len(finite)} without; see --verify)" if len(finite) < len(values) else ""
        rows.append([name, *numbers, missing])
    return aligned(rows, left=(0, len(shares) + 1))


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def histograms(angles: Mapping[str, np.ndarray]) -> str:
    """Return a table with a row for each 15 degrees that any of the angles reaches: counts and bars of each angle."""
    edges = np.arange(-180, 181, BIN_DEG)
    counts = {name: np.histogram(values[np.isfinite(values)], edges)[0] for name, values in angles.items()}
    used = np.flatnonzero(np.sum(list(counts.values()), axis=0))
    rows = [["degrees", *(cell for name in counts for cell in (name, ""))]]
    for row in range(used[0], used[-1] + 1) if used.size else []:
        bars = [(str(column[row]), _bar(column[row], column.max())) for column in counts.values()]
        rows.append([f"{edges[row]} to {edges[row + 1]}", *(cell for pair in bars for cell in pair)])
    return aligned(rows, left=range(2, len(rows[0]), 2))


def _bar(count: int, most: int) -> str:
    """Return a bar, at least one character long unless the count is 0."""
    return "#" * -(-count * BAR // max(most, 1))


def value_counts(values: np.ndarray) -> str:
    """Return the most frequent values and how often they are there."""
    counts = Counter(values.tolist()).most_common()
    text = ", ".join(f"{value or '(none)'} {count}" for value, count in counts[:SHOWN_VALUES])
    others = len(counts) - SHOWN_VALUES
    return text + (f", and {others} other values" if others > 0 else "")


def print_lines(lines: Sequence[str]) -> None:
    """Print lines; a reader that has gone, such as `head`, is no error."""
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
