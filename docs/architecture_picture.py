"""Makes the picture of docs/architecture.md.

.venv/bin/python docs/architecture_picture.py
"""

from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 2.6, 1.0
BASELINE_OPTIONS, OPEN = "#eef2f7", "#fdebc8"
LINE = "#4a5568"


class Box(NamedTuple):
    """A part: column and row of its middle, its title, what is in it, and whether outsiders add to it."""

    x: float
    y: float
    title: str
    text: str
    open: bool = False


PARTS = {
    "raw": Box(0, 3, "raw datasets", "as downloaded"),
    "importers": Box(0, 1.5, "importers", "one file a dataset", True),
    "synthetic": Box(0, 0, "synthetic, sim3dr", "rendered heads, scenes"),
    "stores": Box(1, 1.5, "stores", "LMDB: heads or scenes, labels"),
    "views": Box(2, 1.5, "augment", "views on the device"),
    "methods": Box(3, 1.5, "methods", "phases, losses, teacher", True),
    "models": Box(2, 3, "models", "backbone with pose head", True),
    "distributions": Box(3, 3, "distributions", "matrix Fisher, ..."),
    "trainer": Box(3, 0, "training", "loop, guard, several processes"),
    "run": Box(4, 0, "run folder", "checkpoints, scalars, log"),
    "evaluation": Box(4, 1.5, "evaluation", "report, tables, compare"),
    "inference": Box(4, 3, "inference", "Python, pictures, videos, ONNX"),
    "detectors": Box(4, 4.4, "detectors", "where the heads are", True),
}
ARROWS = [
    ("raw", "importers"), ("importers", "stores"), ("synthetic", "stores"), ("stores", "views"), ("views", "methods"),
    ("models", "methods"), ("distributions", "methods"), ("methods", "trainer"), ("trainer", "run"),
    ("run", "evaluation"), ("detectors", "inference"),
]  # fmt: skip


def main() -> None:
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-1.4, 4 * 3.1 + 1.7), ylim=(-0.75, 5.05))
    axes.axis("off")
    for first, second in ARROWS:
        arrow(axes, PARTS[first], PARTS[second])
    around(axes)
    for part in PARTS.values():
        draw(axes, part)
    key = FancyBboxPatch((-1.2, 4.05), 0.5, 0.3, boxstyle="round,pad=0.02", facecolor=OPEN, edgecolor=LINE)
    axes.add_patch(key)
    axes.text(-0.55, 4.2, "takes parts from outside the package, through a registry", va="center", fontsize=9)
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "architecture.png", dpi=90)


def center(part: Box) -> tuple[float, float]:
    return part.x * 3.1, part.y


def draw(axes: Axes, part: Box) -> None:
    x, y = center(part)
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    color = OPEN if part.open else BASELINE_OPTIONS
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.05", facecolor=color, edgecolor=LINE, zorder=2)
    )
    axes.text(x, y + 0.17, part.title, ha="center", va="center", fontsize=10, weight="bold", zorder=3)
    axes.text(x, y - 0.22, part.text, ha="center", va="center", fontsize=7, color=LINE, zorder=3)


def arrow(axes: Axes, first: Box, second: Box) -> None:
    (x1, y1), (x2, y2) = center(first), center(second)
    if y1 == y2:
        start, end = (x1 + WIDTH / 2 + 0.05, y1), (x2 - WIDTH / 2 - 0.05, y2)
    elif x1 == x2:
        sign = 1 if y2 > y1 else -1
        start, end = (x1, y1 + sign * (HEIGHT / 2 + 0.05)), (x2, y2 - sign * (HEIGHT / 2 + 0.05))
    else:
        sign = 1 if y2 > y1 else -1
        start, end = (x1 + WIDTH / 2 + 0.05, y1 + sign * 0.35), (x2 - WIDTH / 2 + 0.3, y2 - sign * (HEIGHT / 2 + 0.05))
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": LINE, "linewidth": 1.4})


def around(axes: Axes) -> None:
    """From the run folder to inference, past evaluation."""
    (x, low), (_, high) = center(PARTS["run"]), center(PARTS["inference"])
    right = x + WIDTH / 2
    axes.plot((right + 0.05, right + 0.3, right + 0.3), (low, low, high), color=LINE, linewidth=1.4, zorder=1)
    axes.annotate(
        "",
        (right + 0.05, high),
        (right + 0.31, high),
        arrowprops={"arrowstyle": "-|>", "color": LINE, "linewidth": 1.4},
    )


if __name__ == "__main__":
    main()
