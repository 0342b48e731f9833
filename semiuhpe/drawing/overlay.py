"""Draw the heads of a picture over it: meshes, axes or cubes, colored by person, with labels.

Everything is drawn from R itself (:mod:`semiuhpe.rotation`). Axes and cubes are orthographic. Meshes are placed in
perspective on their boxes (:mod:`sim3dr.heads`) and share one z-buffer. Nearer heads, those with larger boxes, are in
front. Boxes may reach beyond the picture; a head whose box doesn't touch it isn't drawn.
"""

import colorsys
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

import cv2
import numpy as np

import sim3dr
from semiuhpe.drawing.axes import add_axes, add_cube
from semiuhpe.drawing.text import text_mask
from semiuhpe.errors import DataError

MESH, AXES, CUBE, NONE = "mesh", "axes", "cube", "none"
DRAWINGS = (MESH, AXES, CUBE, NONE)
OPACITY = 0.7
"""Opacity of meshes."""
UNKNOWN_COLOR = (150, 150, 150)
"""RGB of a head that no track claims yet."""
_GOLDEN = 0.618034  # step of hue, so that the colors of consecutive people differ
_TINT = 0.6  # share of a person's color in the color of the mesh
_LIGHT = (-4, -5, 6)  # from the upper left in front
_SMALLEST_PX, _LARGEST_SHARE = 11, 1 / 24  # smallest text: pixels, and share of the picture's shorter side

Color = tuple[int, int, int]


class _Area(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    def touches(self, other: "_Area") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


class _Head(NamedTuple):
    box: np.ndarray
    rotation: np.ndarray
    color: Color
    label: str

    @property
    def center(self) -> tuple[float, float]:
        return float(self.box[0] + self.box[2] / 2), float(self.box[1] + self.box[3] / 2)

    @property
    def side(self) -> float:
        return float(self.box[2:].sum() / 2)


def person_color(number: int | None) -> Color:
    """Return the RGB color of a person: bright, and far from those of the next few; gray without a number."""
    if number is None:
        return UNKNOWN_COLOR
    hue = (0.58 + number * _GOLDEN) % 1
    red, green, blue = (round(255 * channel) for channel in colorsys.hls_to_rgb(hue, 0.58, 0.85))
    return red, green, blue


def draw_heads(
    image: np.ndarray,
    boxes: np.ndarray,
    rotations: np.ndarray,
    how: str,
    colors: Sequence[Color] | None = None,
    labels: Sequence[str] | None = None,
    antialias: bool = True,
    mesh: sim3dr.Mesh | None = None,
) -> np.ndarray:
    """Return a copy of a picture with its heads drawn over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x, y, w, h of the heads in pixels.
        rotations: (N, 3, 3) head to camera.
        how: one of :data:`DRAWINGS`; "none" draws the labels only.
        colors: RGB of each head; :func:`person_color` of its position if None.
        labels: one line for each head, empty for no label; no labels if None.
        antialias: smooth the edges of meshes, which takes about four times as long.
        mesh: a head in head axes, of any size and origin; the package's own if None.

    Raises:
        DataError: the drawing is unknown, or the numbers of boxes, rotations, colors and labels differ.
    """
    if how not in DRAWINGS:
        raise DataError(f"heads can't be drawn as {how!r}; choose from {', '.join(DRAWINGS)}")
    heads = _visible(_collected(boxes, rotations, colors, labels), image.shape[:2])
    mesh = sim3dr.default_head() if mesh is None else mesh
    drawn = _with_meshes(image, heads, mesh, antialias) if how == MESH and heads else image.copy()
    for head in heads:
        thickness = max(1, round(head.side / 40))
        if how == AXES:
            _add_outline(drawn, head, max(1, thickness // 2))
            add_axes(drawn, head.rotation, head.center, 0.6 * head.side, thickness)
        elif how == CUBE:
            add_cube(drawn, head.rotation, head.center, 0.7 * head.side, head.color, thickness)
    taken: list[_Area] = []
    for head in heads:
        if head.label:
            taken.append(_add_label(drawn, head, taken))
    return drawn


def load_head_mesh(path: str | PathLike[str]) -> sim3dr.Mesh:
    """Load a user's head mesh, such as BFM or FLAME, and check that it renders.

    Args:
        path: a file that :func:`sim3dr.load_mesh` reads, with a mesh in head axes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no mesh, or one that can't be drawn.
    """
    mesh = sim3dr.load_mesh(path)
    box = np.array([[8.0, 8.0, 48.0, 48.0]])
    draw_heads(np.zeros((64, 64, 3), np.uint8), box, np.diag([1.0, -1.0, -1.0])[None], MESH, antialias=False, mesh=mesh)
    return mesh


def _collected(
    boxes: np.ndarray, rotations: np.ndarray, colors: Sequence[Color] | None, labels: Sequence[str] | None
) -> list[_Head]:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    rotations = np.asarray(rotations, np.float64).reshape(-1, 3, 3)
    colors = [person_color(number) for number in range(len(boxes))] if colors is None else colors
    labels = [""] * len(boxes) if labels is None else labels
    counts = {"boxes": boxes, "rotations": rotations, "colors": colors, "labels": labels}
    if len({len(given) for given in counts.values()}) > 1:
        message = ", ".join(f"{len(given)} {name}" for name, given in counts.items())
        raise DataError(f"each head needs a box, a rotation, a color and a label; there are {message}")
    return [
        _Head(box, rotation, (red, green, blue), label)
        for box, rotation, (red, green, blue), label in zip(boxes, rotations, colors, labels, strict=True)
    ]


def _visible(heads: list[_Head], size: tuple[int, int]) -> list[_Head]:
    """Return the heads whose boxes touch the picture, farthest first."""
    height, width = size
    inside = [
        head
        for head in heads
        if np.isfinite(head.box).all()
        and (head.box[2:] > 0).all()
        and (head.box[:2] < (width, height)).all()
        and (head.box[:2] + head.box[2:] > 0).all()
    ]
    return sorted(inside, key=lambda head: head.side)


def _with_meshes(image: np.ndarray, heads: list[_Head], mesh: sim3dr.Mesh, antialias: bool) -> np.ndarray:
    """Return a copy of the picture with a head mesh over each box; a mesh with a texture is not tinted."""
    size = image.shape[:2]
    white = np.ones((len(np.asarray(mesh.vertices)), 3), np.float32)
    own_colors = white if mesh.colors is None else np.asarray(mesh.colors)
    placed = []
    for head in heads:
        tint = np.float32(_TINT / 255) * np.array(head.color, np.float32)
        tinted = mesh.replace(colors=(1 - _TINT) * own_colors + tint, opacity=OPACITY)
        placed.append(sim3dr.head_in_image(tinted, head.rotation, head.box, size))
    return sim3dr.draw(image, placed, sim3dr.RenderPipeline(light_pos=_LIGHT), cull=True, antialias=antialias)


def _add_label(canvas: np.ndarray, head: _Head, taken: Sequence[_Area]) -> _Area:
    """Write a head's label above its box, or below or inside it where there is no room, always within the picture.

    Labels avoid each other as far as possible. The text grows with head and picture but never gets too small to read;
    on pictures that are too small for that it is cut off at the right.
    """
    height, width = canvas.shape[:2]
    x, y, w, h = head.box
    size = round(max(_SMALLEST_PX, min(h / 6, min(height, width) * _LARGEST_SHARE)))
    mask = text_mask(head.label, size)[:height, :width]
    rows, columns = mask.shape
    left = min(max(round(x + w / 2 - columns / 2), 0), width - columns)
    inside = min(max(round(y), 0), height - rows)
    tops = [top for top in (round(y) - rows, round(y + h)) if 0 <= top <= height - rows] + [inside]
    areas = [_Area(left, top, left + columns, top + rows) for top in tops]
    area = next((area for area in areas if not any(area.touches(other) for other in taken)), areas[0])
    top = area.top
    patch = canvas[top : top + rows, left : left + columns]
    ink = 0.0 if np.dot(head.color, (0.299, 0.587, 0.114)) > 110 else 255.0  # ITU-R BT.601 luma
    plate = 0.25 * patch + 0.75 * np.array(head.color, np.float32)
    share = mask[..., None] * np.float32(1 / 255)
    patch[:] = np.round(plate * (1 - share) + ink * share).astype(np.uint8)
    return area


def _add_outline(canvas: np.ndarray, head: _Head, thickness: int) -> None:
    """Draw a head's box on the picture itself, clipped to the picture."""
    limits = np.array([canvas.shape[1], canvas.shape[0]])
    low = np.clip(head.box[:2], -limits, 2 * limits).round().astype(int)
    high = np.clip(head.box[:2] + head.box[2:], -limits, 2 * limits).round().astype(int)
    cv2.rectangle(canvas, low.tolist(), high.tolist(), head.color, thickness, cv2.LINE_AA)
