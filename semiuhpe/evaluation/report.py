"""Report pages: self-contained HTML that opens offline, light or dark."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from semiuhpe.drawing.axes import contact_sheet, draw_axes
from semiuhpe.evaluation.plots import PALETTE
from semiuhpe.evaluation.results import write_result

PICTURE_PX, PAIR_PX = 190, 150
JPEG_QUALITY = 90
_LIGHT, _DARK = (
    " ".join(f"{variable}: {colors[i]};" for variable, colors in PALETTE.items())
    + f" --page: {('#f6f7f9', '#14181c')[i]}; --card: {('#ffffff', '#1e242a')[i]};"
    for i in (0, 1)
)
_STYLE = (
    f":root {{ color-scheme: light dark; {_LIGHT} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    """* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .3rem 0 .8rem; color: var(--soft); max-width: 75ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.3rem;
  margin: 1.2rem 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; }
tr.best td { font-weight: 650; }
details summary { cursor: pointer; color: var(--soft); padding: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; }
svg.plot { width: 100%; max-width: 34rem; height: auto; display: block; }
svg.plot text { font-family: system-ui, sans-serif !important; }
.beside { display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 1.2rem 0; }
.beside > * { flex: 1 1 24rem; min-width: 0; } .beside > section { margin: 0; }
.gallery { display: grid; gap: .5rem .6rem; align-items: start; justify-content: start; }
.gallery b { font-weight: 600; font-size: .85rem; color: var(--soft); }
.pairs { display: grid; gap: 1.1rem 1.3rem; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.pairs .two { display: grid; grid-template-columns: 1fr 1fr; gap: .3rem; }
.pairs figcaption b { color: var(--ink); }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--soft); padding-top: .15rem; overflow-wrap: anywhere; }
figure img { border-radius: 5px; image-rendering: auto; width: 100%; }
.gallery figure img { width: auto; }
.key span { font-weight: 650; }
"""
)


def write_page(path: Path, title: str, lead: str, sections: Sequence[str]) -> None:
    """Writes a page of sections made by the other functions of this module; DataError if it can't be written."""
    body = "\n".join(sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n"
        f"<p>{html.escape(lead)}</p>\n{body}\n</main>\n</body>\n</html>\n"
    )
    write_result(path, text.encode())


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


def facts(values: Mapping[str, str]) -> str:
    """Names and values, one below the other."""
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def folded(summary: str, content: str) -> str:
    """Content that is shown on demand."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def beside(parts: Sequence[str]) -> str:
    """Plots or sections side by side where there is room."""
    return f'<div class="beside">{"".join(parts)}</div>'


def pairs(
    pictures: Sequence[np.ndarray],
    truth: np.ndarray,
    predictions: np.ndarray,
    titles: Sequence[str],
    captions: Sequence[str],
) -> str:
    """Heads, each with the truth drawn on the left and the prediction on the right.

    Args:
        pictures: N (H, W, 3) uint8 RGB.
        truth, predictions: (N, 3, 3) rotations, head to camera.
        titles, captions: N texts under the pictures; captions may have several lines.
    """
    figures = ""
    for number, picture in enumerate(pictures):
        enlarged = cv2.resize(picture, (2 * PAIR_PX, 2 * PAIR_PX), interpolation=cv2.INTER_CUBIC)
        images = "".join(
            f'<img alt="{kind}" src="{_photo(draw_axes(enlarged, rotations[number]))}" '
            f'width="{PAIR_PX}" height="{PAIR_PX}">'
            for kind, rotations in (("truth", truth), ("prediction", predictions))
        )
        lines = "<br>".join(html.escape(line) for line in captions[number].splitlines())
        caption = f"<b>{html.escape(titles[number])}</b><br>{lines}"
        figures += f'<figure><div class="two">{images}</div><figcaption>{caption}</figcaption></figure>'
    return f'<div class="pairs">{figures}</div>'


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


def enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """A (H, W, 3) picture of the side ``size``."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)


def grid(pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> str:
    """Pictures of one size in rows, each with a text below it."""
    cells = "".join(_picture(picture, caption) for picture, caption in zip(pictures, captions, strict=True))
    style = f"grid-template-columns: repeat({columns}, {pictures[0].shape[1]}px)"
    return f'<div class="gallery" style="{style}">{cells}</div>'


def sheet(pictures: Sequence[np.ndarray], columns: int, size: int = 80) -> str:
    """Pictures in rows, as one image."""
    encoded = cv2.imencode(".png", cv2.cvtColor(contact_sheet(pictures, columns, size, gap=0), cv2.COLOR_RGB2BGR))[1]
    return f'<img alt="heads" src="{_data_uri(encoded.tobytes())}">'


def axes_key() -> str:
    """Explains the colors of drawn axes."""
    return (
        '<p class="key">Vectors of the head: <span style="color:#dc2828">left</span>, '
        '<span style="color:#28aa3c">down</span>, <span style="color:#285af0">front</span> '
        "(where the nose points; short when it points at the camera or away from it).</p>"
    )


def _picture(image: np.ndarray, caption: str) -> str:
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    source = _data_uri(encoded)
    return f'<figure><img alt="head" src="{source}"><figcaption>{html.escape(caption)}</figcaption></figure>'


def _photo(image: np.ndarray) -> str:
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
