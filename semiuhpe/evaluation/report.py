"""Report pages: self-contained HTML that opens offline, light or dark."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from semiuhpe.inference.draw import contact_sheet, draw_axes

matplotlib.use("Agg")

COLORS = ("#7a8288", "#d98324", "#2667c9", "#2a9d5c", "#8e44ad")
PICTURE_PX = 190
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5c6670; --page: #f6f7f9; --card: #ffffff; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4ae; --page: #14181c; --card: #1e242a; --line: #333b43; }
  img.plot { filter: invert(0.885) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 0 0 .6rem; }
p { margin: .3rem 0 .8rem; color: var(--soft); max-width: 75ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.3rem;
  margin: 1.2rem 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; }
tr.best td { font-weight: 650; }
img { max-width: 100%; height: auto; display: block; }
.gallery { display: grid; gap: .5rem .6rem; align-items: start; justify-content: start; }
.gallery b { font-weight: 600; font-size: .85rem; color: var(--soft); }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--soft); padding-top: .15rem; }
figure img { border-radius: 5px; image-rendering: auto; }
.key span { font-weight: 650; }
"""


def write_page(path: Path, title: str, lead: str, sections: Sequence[str]) -> None:
    """Writes a page of sections made by the other functions of this module."""
    body = "\n".join(sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n"
        f"<p>{html.escape(lead)}</p>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str, text: str = "") -> str:
    """A titled card; ``text`` is plain, ``content`` is HTML."""
    paragraph = f"<p>{html.escape(text)}</p>" if text else ""
    return f"<section><h2>{html.escape(title)}</h2>{paragraph}{content}</section>"


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> str:
    """A table; the row number ``best`` is emphasised."""
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    body = ""
    for number, row in enumerate(rows):
        mark = ' class="best"' if number == best else ""
        body += f"<tr{mark}>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def gallery(
    pictures: Sequence[np.ndarray],
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
    captions: Sequence[str],
) -> str:
    """Heads in rows: the picture, the truth, and each model's prediction drawn on it, with its error.

    Args:
        pictures: N (H, W, 3) uint8 RGB.
        truth: (N, 3, 3) rotations.
        predictions: model -> (N, 3, 3) rotations.
        errors: model -> (N,) degrees.
        captions: N texts under the pictures.
    """
    cells = ["<b></b>", "<b>truth</b>", *(f"<b>{html.escape(name)}</b>" for name in predictions)]
    for number, picture in enumerate(pictures):
        enlarged = cv2.resize(picture, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_CUBIC)
        cells.append(_picture(enlarged, captions[number]))
        cells.append(_picture(draw_axes(enlarged, truth[number]), " "))
        for name, rotations in predictions.items():
            error = f"{errors[name][number]:.1f}°"
            cells.append(_picture(draw_axes(enlarged, rotations[number]), error))
    columns = f"grid-template-columns: repeat({2 + len(predictions)}, {PICTURE_PX}px)"
    return f'<div class="gallery" style="{columns}">{"".join(cells)}</div>'


def sheet(pictures: Sequence[np.ndarray], columns: int, size: int = 80) -> str:
    """Pictures in rows, as one image."""
    encoded = cv2.imencode(".png", cv2.cvtColor(contact_sheet(pictures, columns, size, gap=0), cv2.COLOR_RGB2BGR))[1]
    return f'<img alt="heads" src="{_data_uri(encoded.tobytes())}">'


def axes_key() -> str:
    """Explains the colours of drawn axes."""
    return (
        '<p class="key">Vectors of the head: <span style="color:#dc2828">left</span>, '
        '<span style="color:#28aa3c">down</span>, <span style="color:#285af0">front</span> '
        "(where the nose points; short when it points at the camera or away from it).</p>"
    )


def plot_error_by_angle(angle_deg: np.ndarray, errors: Mapping[str, np.ndarray], bins: Sequence[float], label: str):
    """Mean error per bin of an angle, a line for each model; bins without heads are left out."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    edges = np.asarray(bins, dtype=float)
    centers = (edges[:-1] + edges[1:]) / 2
    which = np.clip(np.digitize(angle_deg, edges) - 1, 0, len(centers) - 1)
    for color, (name, error) in zip(COLORS, errors.items(), strict=False):
        means = np.array([error[which == i].mean() if (which == i).any() else np.nan for i in range(len(centers))])
        axes.plot(centers, means, "o-", color=color, label=name, linewidth=2, markersize=4)
    axes.set(xlabel=label, ylabel="mean geodesic error (degrees)", ylim=(0, None), xlim=(edges[0], edges[-1]))
    return _finish(figure, axes)


def plot_cumulative(errors: Mapping[str, np.ndarray], limit_deg: float = 60.0):
    """Share of heads whose error is below each value."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, error) in zip(COLORS, errors.items(), strict=False):
        values = np.sort(error)
        axes.plot(values, np.arange(1, len(values) + 1) / len(values) * 100, color=color, label=name, linewidth=2)
    axes.set(xlabel="geodesic error (degrees)", ylabel="share of heads (%)", xlim=(0, limit_deg), ylim=(0, 100))
    return _finish(figure, axes)


def plot_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], label: str):
    """Lines over training iterations: name -> (iterations, values). One without points only keeps its colour."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, (steps, values)) in zip(COLORS, curves.items(), strict=False):
        if steps:
            axes.plot(steps, values, "o-", color=color, label=name, linewidth=2, markersize=4)
    axes.set(xlabel="iteration", ylabel=label, ylim=(0, None))
    return _finish(figure, axes)


def _finish(figure: Figure, axes) -> str:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, transparent=True)
    return f'<img class="plot" alt="plot" src="{_data_uri(buffer.getvalue())}">'


def _picture(image: np.ndarray, caption: str) -> str:
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    source = _data_uri(encoded)
    return f'<figure><img alt="head" src="{source}"><figcaption>{html.escape(caption)}</figcaption></figure>'


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
