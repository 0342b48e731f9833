"""Contact sheets of a store's heads with their labels drawn on them."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from semiuhpe.data.crop import padded_to_square
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.inspect import label_faults, picture_fault, poses
from semiuhpe.drawing.axes import AXIS_COLORS, draw_axes
from semiuhpe.drawing.text import font

COLUMNS = 8
_HEAD_PX, _LINE_PX, _GAP, _FONT_PX = 192, 16, 8, 12
_LINES = 3
_INK, _FAULT, _BOX, _MISSING = (20, 20, 20), (200, 0, 0), (255, 210, 0), (128, 128, 128)


def label_sheet(store: HeadStore, heads: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return heads of a store side by side, each with its box, its axes if it has a label, and a caption.

    Args:
        store: any store.
        heads: positions in the store, in the order to show.

    Returns:
        (H, W, 3) uint8 RGB. Faults of a head are written below it in red.
    """
    shown = store.view(heads)
    faults = {fault.number: fault.what for fault in label_faults(shown)}
    faults |= {row: what for row in range(len(shown)) if (what := picture_fault(shown, row))}
    angles = poses(shown)
    cells = [_cell(shown, row, int(head), angles, faults.get(row)) for row, head in enumerate(heads)]
    columns = min(COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate([_legend(store, len(heads), rows[0].shape[1]), *rows])


def _cell(shown: HeadStore, row: int, head: int, angles: dict[str, np.ndarray], fault: str | None) -> np.ndarray:
    canvas = Image.new("RGB", (_HEAD_PX + _GAP, _HEAD_PX + _GAP + _LINES * _LINE_PX), "white")
    canvas.paste(Image.fromarray(_drawn(shown, row)), (_GAP // 2, _GAP // 2))
    lines = [(_shortened(f"#{head}  ", str(shown.names[row])), _INK)]
    lines += [(line, _INK) for line in _caption(shown, row, angles)]
    if fault:
        lines = [*lines[: _LINES - 1], (_cut_off(fault.split(":")[0]), _FAULT)]
    for number, (line, color) in enumerate(lines):
        place = (_GAP // 2, _GAP // 2 + _HEAD_PX + 1 + number * _LINE_PX)
        ImageDraw.Draw(canvas).text(place, line, color, font(_FONT_PX))
    return np.asarray(canvas)


def _caption(shown: HeadStore, row: int, angles: dict[str, np.ndarray]) -> list[str]:
    if not angles:
        with np.errstate(divide="ignore", invalid="ignore"):
            w, h = shown.box[row, 2:] / shown.scale[row]
        return [f"head {w:.0f} x {h:.0f} px in the source"]
    yaw, pitch, roll, to_frontal = (angles[name][row] for name in ("yaw", "pitch", "roll", "to frontal"))
    away = ", looks away" if shown.truth[row, 2, 2] > 0 else ""  # axes don't show which of their ends is nearer
    return [f"yaw {yaw:.0f}  pitch {pitch:.0f}  roll {roll:.0f}", f"{to_frontal:.0f}° from frontal{away}"]


def _drawn(shown: HeadStore, row: int) -> np.ndarray:
    """Return a head (_HEAD_PX, _HEAD_PX, 3) uint8 with its box and axes, if any; gray if it can't be decoded."""
    if picture_fault(shown, row):
        return np.full((_HEAD_PX, _HEAD_PX, 3), _MISSING, np.uint8)
    image, (left, top, _, _) = padded_to_square(shown.image(row))  # whole pictures need not be square
    scale = _HEAD_PX / image.shape[0]
    resized = cv2.resize(image, (_HEAD_PX, _HEAD_PX), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x, y, w, h = (shown.box[row].astype(np.float64) + np.array([left, top, 0, 0])) * scale
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        x, y, w, h = 0, 0, _HEAD_PX, _HEAD_PX  # so that the axes can be seen; the caption names the fault
    else:
        # A box as large as the crop is drawn just inside it; absurd coordinates are limited to what OpenCV can draw.
        corners = np.clip([x, y, x + w, y + h], -_HEAD_PX, 2 * _HEAD_PX)
        left, top, right, bottom = (round(float(corner)) for corner in corners)
        cv2.rectangle(resized, (left, top), (right - 1, bottom - 1), _BOX, 1)
    if shown.rotation is None or not np.isfinite(shown.rotation[row]).all():
        return resized
    x_center, y_center = np.clip([x + w / 2, y + h / 2], 0, _HEAD_PX).tolist()
    length = float(np.clip(0.6 * np.sqrt(w * h), 0.25 * _HEAD_PX, 0.45 * _HEAD_PX))
    return draw_axes(resized, shown.rotation[row], (x_center, y_center), length)


def _shortened(prefix: str, name: str) -> str:
    """Shorten a long name to its end, which distinguishes the heads of one picture or folder."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    text = prefix + name
    while font(_FONT_PX).getlength(text) > _HEAD_PX and name:
        name = name[1:]
        text = f"{prefix}…{name}"
    return text


def _cut_off(text: str) -> str:
    while font(_FONT_PX).getlength(text) > _HEAD_PX:
        text = text.rstrip("…")[:-1] + "…"
    return text


def _legend(store: HeadStore, shown: int, width: int) -> np.ndarray:
    """Return the lines of the legend."""
    parts = [(f"{store.path.name}: {shown} of {len(store)} heads", _INK), ("head box", tuple(c * 3 // 4 for c in _BOX))]
    if store.rotation is not None:
        parts += zip(("the subject's left", "down", "front, where the head looks"), AXIS_COLORS, strict=True)
    placed: list[tuple[float, int, str, tuple[int, ...]]] = []
    x, y = float(_GAP // 2), _GAP // 2
    for text, color in parts:
        length = font(_FONT_PX).getlength(text)
        if placed and x + length > width:
            x, y = float(_GAP // 2), y + _LINE_PX
        placed.append((x, y, text, color))
        x += length + 3 * _GAP
    canvas = Image.new("RGB", (width, y + _LINE_PX + _GAP // 2), "white")
    for x, y, text, color in placed:
        ImageDraw.Draw(canvas).text((x, y), text, color, font(_FONT_PX))
    return np.asarray(canvas)
