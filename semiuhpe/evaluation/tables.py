"""Tables of results as Markdown, CSV and LaTeX."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Missing(NamedTuple):
    """A cell without a number, and the command that would fill it."""

    command: str


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """A cell: the mean over seeds, and their standard deviation if there are several."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


@dataclass(frozen=True)
class Row:
    """One row: what it is of, and a text or :class:`Missing` for each column; an empty text is a cell that can't be."""

    labels: Sequence[str]
    cells: Sequence[str | Missing]


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: of its files.
        title: one line.
        labels: what the rows' labels are, the left columns.
        columns: what the cells are.
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
        """The commands that missing cells need, each once, in order."""
        found = dict.fromkeys(cell.command for row in self.rows for cell in row.cells if isinstance(cell, Missing))
        return list(found)


def markdown(table: Table) -> str:
    """GitHub's Markdown; a missing cell refers to a command in the list below the table."""
    commands = table.commands()
    head = [*table.labels, *table.columns]
    lines = [f"## {table.title}", "", _line(head), _line(["---"] * len(table.labels) + ["---:"] * len(table.columns))]
    for row in table.rows:
        cells = [f"[{commands.index(cell.command) + 1}]" if isinstance(cell, Missing) else cell for cell in row.cells]
        lines.append(_line([*row.labels, *cells]))
    lines += ["", *(f"{note}  " for note in table.notes)]
    if commands:
        lines += ["", "Cells in brackets wait for a command:", ""]
        lines += [f"{number}. `{command}`" for number, command in enumerate(commands, 1)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def comma_separated(table: Table) -> str:
    """CSV; a missing cell holds ``run: COMMAND``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.labels, *table.columns])
    for row in table.rows:
        cells = [f"run: {cell.command}" if isinstance(cell, Missing) else cell for cell in row.cells]
        writer.writerow([*row.labels, *cells])
    return text.getvalue()


def latex(table: Table) -> str:
    """A LaTeX table for the package booktabs; missing cells are dashes, their commands comments."""
    commands = table.commands()
    columns = "l" * len(table.labels) + "r" * len(table.columns)
    lines = [
        *(f"% [{number}] {command}" for number, command in enumerate(commands, 1)),
        r"\begin{table}",
        rf"\caption{{{_escaped(table.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_line([*table.labels, *table.columns]),
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if number and row.labels[0] != table.rows[number - 1].labels[0]:
            lines.append(r"\midrule")
        comments = [f"[{commands.index(cell.command) + 1}]" for cell in row.cells if isinstance(cell, Missing)]
        cells = ["--" if isinstance(cell, Missing) else cell for cell in row.cells]
        lines.append(_latex_line([*row.labels, *cells]) + (f" % {' '.join(comments)}" if comments else ""))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    for plain, escaped in (("%", r"\%"), ("_", r"\_"), ("&", r"\&"), ("°", r"$^\circ$"), ("±", r"$\pm$")):
        text = text.replace(plain, escaped)
    return text
