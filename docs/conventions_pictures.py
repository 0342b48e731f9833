"""Makes the pictures of docs/conventions.md.

.venv/bin/python docs/conventions_pictures.py
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle as Patch

from semiuhpe.data.crop import HEAD_BOX, LANDMARKS, box_rectangle, crop_by_box, landmark_rectangle
from semiuhpe.drawing.axes import draw_axes
from semiuhpe.rotation import euler_to_matrix, matrix_to_euler
from semiuhpe.synthetic.render_head import SyntheticHead, render_head

IMAGES = Path(__file__).parent / "images"
SIZE = 224
RED, GREEN, BLUE, GRAY = "#dc2828", "#1eaa3c", "#285aeb", "#808890"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    axes_picture().savefig(IMAGES / "conventions_axes.png", dpi=90)
    save_jpeg(angles_picture(), "conventions_angles.jpg")
    save_jpeg(crops_picture(), "conventions_crops.jpg")


def save_jpeg(figure: Figure, name: str) -> None:
    figure.savefig(IMAGES / name, dpi=90, pil_kwargs={"quality": 88})


def head_at(pitch: float, yaw: float, roll: float, identity: int = 3) -> tuple[SyntheticHead, np.ndarray]:
    """A rendered head of given angles, and its rotation."""
    rotation = euler_to_matrix(torch.tensor([pitch, yaw, roll], dtype=torch.float64)).numpy()
    return render_head(rotation, np.random.default_rng(identity), "clean", SIZE), rotation


def bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def arrow(axes: Axes, start, end, color: str, text: str, offset) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2.5, "mutation_scale": 18}
    )
    axes.text(end[0] + offset[0], end[1] + offset[1], text, color=color, fontsize=11, ha="center", va="center")


def mark(axes: Axes, place, color: str, inner: str, text: str, offset) -> None:
    """An axis that points to the viewer (a dot in a ring) or away (a cross)."""
    axes.plot(*place, "o", color=color, markersize=15, markerfacecolor="white", markeredgewidth=2.5)
    axes.plot(*place, inner, color=color, markersize=5 if inner == "o" else 8, markeredgewidth=2)
    backed = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2}
    place = (place[0] + offset[0], place[1] + offset[1])
    axes.text(*place, text, color=color, fontsize=10, ha="center", va="center", bbox=backed)


def axes_picture() -> Figure:
    """The camera's axes at the corner of the picture and the head's on a frontal head, beside the matrix."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
    head, rotation = head_at(0, 0, 0)
    left.imshow(head.image)
    bare(left)
    left.set(xlim=(-62, SIZE + 70), ylim=(SIZE + 12, -46), title="camera axes (gray), head axes (in colors)")
    arrow(left, (-30, -26), (44, -26), GRAY, "x", (12, 0))
    arrow(left, (-30, -26), (-30, 48), GRAY, "y", (0, 14))
    mark(left, (-30, -26), GRAY, "x", "z", (-16, 0))
    x, y = head.box[0] + head.box[2] / 2, head.box[1] + head.box[3] / 2
    arrow(left, (x, y), (SIZE + 6, y), RED, "x: subject's\nleft", (34, 0))
    arrow(left, (x, y), (x, -8), GREEN, "y: up", (0, -12))
    mark(left, (x, y), BLUE, "o", "z: out of the face", (0, 100))
    left.plot((x, x), (y + 8, y + 92), color=BLUE, linewidth=1, linestyle=":")
    head, rotation = head_at(15, 35, 10)
    right.imshow(draw_axes(head.image, rotation))
    bare(right)
    pitch, yaw, roll = matrix_to_euler(torch.from_numpy(rotation)).tolist()
    lines = "\n".join("  ".join(f"{value:+.2f}" for value in row) for row in rotation)
    right.set_title(f"pitch {pitch:.0f}°, yaw {yaw:.0f}°, roll {roll:.0f}°")
    right.set_xlabel(f"R =\n{lines}", family="monospace", fontsize=11)
    return figure


def angles_picture() -> Figure:
    """Rows of heads in which one angle changes, and one of yaw over the full range."""
    rows = [
        ("pitch", [(angle, 0, 0) for angle in (-60, -30, 0, 30, 60)]),
        ("yaw", [(0, angle, 0) for angle in (-90, -45, 0, 45, 90)]),
        ("roll", [(0, 0, angle) for angle in (-90, -30, 0, 30, 90)]),
        ("yaw, full range", [(0, angle, 0) for angle in (-150, -120, 120, 150, 180)]),
    ]
    figure = Figure(figsize=(9, 7.6), layout="constrained")
    for row, (name, triples) in zip(figure.subplots(len(rows), 5), rows, strict=True):
        for axes, triple in zip(row, triples, strict=True):
            head, rotation = head_at(*triple)
            axes.imshow(draw_axes(head.image, rotation))
            bare(axes)
            axes.set_xlabel(f"{sum(triple)}°", fontsize=11, labelpad=3)
        row[0].set_ylabel(name, fontsize=12)
    return figure


def crops_picture() -> Figure:
    """What both protocols start from and what they cut out, at the margins of training and of evaluation."""
    head, _ = head_at(0, 40, 0)
    scene, box = placed(head)
    box_rectangles = [box_rectangle(box, m, SIZE * 2, SIZE * 2) for m in (*HEAD_BOX.margin_range, HEAD_BOX.margin)]
    landmarks = face_points(box)
    point_rectangles = [
        landmark_rectangle(landmarks, m, SIZE * 2, SIZE * 2) for m in (*LANDMARKS.margin_range, LANDMARKS.margin)
    ]
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, title, rectangles in zip(
        panels, ("head box", "landmarks"), (box_rectangles, point_rectangles), strict=False
    ):
        axes.imshow(scene)
        for rectangle, color, style in zip(rectangles, (GRAY, GRAY, GREEN), ("--", "--", "-"), strict=True):
            add_box(axes, rectangle.left, rectangle.top, rectangle.right, rectangle.bottom, color, style)
        axes.set(xlim=(60, 390), ylim=(400, 40), title=title)
        bare(axes)
    add_box(panels[0], box[0], box[1], box[0] + box[2], box[1] + box[3], RED, "-")
    panels[1].plot(*landmarks.T, ".", color=RED, markersize=5)
    panels[2].imshow(crop_by_box(scene, box, HEAD_BOX.margin, SIZE))
    panels[2].set_title("head box, 224 px")
    bare(panels[2])
    return figure


def placed(head: SyntheticHead) -> tuple[np.ndarray, np.ndarray]:
    """A picture twice as large with the head in its middle, and the head's box there."""
    border = ((SIZE // 2, SIZE // 2), (SIZE // 2, SIZE // 2), (0, 0))
    return np.pad(head.image, border, mode="edge"), np.add(head.box, (SIZE // 2, SIZE // 2, 0, 0))


def face_points(box: np.ndarray) -> np.ndarray:
    """(N, 2) points about the face's outline from brow to chin: what 68 landmarks span, not landmarks themselves."""
    x, y, w, h = box
    angle = np.linspace(0.0, np.pi, 17)
    jaw = np.stack([x + w * (0.42 - 0.34 * np.cos(angle)), y + h * (0.45 + 0.5 * np.sin(angle))], axis=1)
    brows = np.stack([x + w * np.linspace(0.1, 0.7, 8), np.full(8, y + h * 0.38)], axis=1)
    return np.concatenate([jaw, brows])


def add_box(axes: Axes, left: float, top: float, right: float, bottom: float, color: str, style: str) -> None:
    axes.add_patch(
        Patch((left, top), right - left, bottom - top, fill=False, color=color, linestyle=style, linewidth=2)
    )


if __name__ == "__main__":
    main()
