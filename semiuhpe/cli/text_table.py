"""Tables, quantiles and histograms as text."""

import os
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np

BIN_DEG = 15
BAR = 14  # characters
SHOWN_VALUES = 12


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns of text, the first aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def print_lines(lines: Sequence[str]) -> None:
    """Prints lines."""
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quantiles(quantities: dict[str, np.ndarray]) -> list[str]:
    """One row of quantiles for each quantity, by name; what is not finite is counted beside it."""
    shares = {"least": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "most": 1.0}
    width = max(len(name) for name in quantities)
    lines = [" " * width + "".join(f"{name:>10}" for name in shares)]
    for name, values in quantities.items():
        finite = values[np.isfinite(values)]
        numbers = np.quantile(finite, list(shares.values())) if finite.size else []
        missing = f"   ({len(values) - len(finite)} without; see --verify)" if len(finite) < len(values) else ""
        lines.append(f"{name:{width}}" + "".join(f"{_number(number):>10}" for number in numbers) + missing)
    return lines


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def histograms(angles: dict[str, np.ndarray]) -> list[str]:
    """One row for each 15 degrees that any of the angles reaches, one column for each angle."""
    edges = np.arange(-180, 181, BIN_DEG)
    counts = {name: np.histogram(values[np.isfinite(values)], edges)[0] for name, values in angles.items()}
    used = np.flatnonzero(np.sum(list(counts.values()), axis=0))
    width = BAR + 9
    lines = [("degrees" + " " * 7 + "".join(f"{name:<{width}}" for name in counts)).rstrip()]
    for row in range(used[0], used[-1] + 1) if used.size else []:
        bars = [_bar(column[row], column.max()) for column in counts.values()]
        lines.append(
            (f"{edges[row]:>4} to {edges[row + 1]:>4}  " + "".join(f"{bar:<{width}}" for bar in bars)).rstrip()
        )
    return lines


def _bar(count: int, most: int) -> str:
    """A count and a bar of it, at least one character long unless the count is 0."""
    return f"{count:>7} " + "#" * -(-count * BAR // max(most, 1))


def value_counts(values: np.ndarray) -> str:
    """The most frequent values and how often they are there."""
    counts = Counter(values.tolist()).most_common()
    text = ", ".join(f"{value or '(none)'} {count}" for value, count in counts[:SHOWN_VALUES])
    others = len(counts) - SHOWN_VALUES
    return text + (f", and {others} other values" if others > 0 else "")
