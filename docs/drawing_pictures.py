"""Makes the picture of all ways of drawing, of rendered heads, for docs/video.md.

.venv/bin/python docs/drawing_pictures.py
"""

from pathlib import Path

import cv2
import numpy as np

from semiuhpe.drawing.axes import contact_sheet, save_picture
from semiuhpe.drawing.overlay import AXES, CUBE, MESH, draw_heads, person_color
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

IMAGES = Path(__file__).parent / "images"
COLUMNS, SIZE = 7, 112


def main() -> None:
    rotations = random_rotations(COLUMNS, np.random.default_rng(4), "full")
    heads = [render_head(r, np.random.default_rng([8, i]), "clean", SIZE) for i, r in enumerate(rotations)]
    pictures = [head.image for head in heads]
    for how in (MESH, AXES, CUBE):
        for number, (head, rotation) in enumerate(zip(heads, rotations, strict=True)):
            pictures.append(draw_heads(head.image, head.box[None], rotation[None], how, [person_color(number)]))
    save_picture(IMAGES / "drawing.png", contact_sheet(pictures, COLUMNS, SIZE))
    save_picture(IMAGES / "drawing_group.png", np.hstack([group(how) for how in (MESH, AXES, CUBE)]))


def group(how: str, size: int = 264) -> np.ndarray:
    """Heads that overlap and reach beyond the picture, with labels, on a dark background."""
    rotations = random_rotations(5, np.random.default_rng(12), "front")
    boxes = [[16, 31, 63, 75], [59, 55, 86, 102], [165, 24, 52, 63], [200, 102, 102, 118], [-31, 169, 94, 110]]
    labels = [f"{number} {1 - 0.08 * number:.0%}" for number in range(5)]
    shade = cv2.resize(np.uint8([[[70, 80, 95]], [[25, 28, 36]]]), (size, size), interpolation=cv2.INTER_LINEAR)
    return draw_heads(shade, np.array(boxes), rotations, how, labels=labels)


if __name__ == "__main__":
    main()
