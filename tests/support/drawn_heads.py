"""Small raw datasets of unlabeled heads.

Heads are drawn as white rectangles of different sizes, so that a stored crop tells which head is where.
"""

import json

import numpy as np
from PIL import Image, ImageDraw

from semiuhpe.data import HeadStore
from semiuhpe.data.preparing import prepare

WIDTH, HEIGHT = 240, 180
A, B, C = (20, 30, 40, 50), (100, 60, 60, 44), (190, 100, 30, 30)
BEYOND = (220, 150, 40, 40)  # reaches over the lower right corner


def draw(path, *boxes, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (90, 90, 90))
    for x, y, w, h in boxes:
        ImageDraw.Draw(image).rectangle((x, y, x + w - 1, y + h - 1), fill=(255, 255, 255))
    image.save(path, quality=95)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def imported(importer, source, tmp_path, workers=0):
    out = tmp_path / f"{importer.name}.lmdb"
    summary = prepare(importer, source, out, split="train", workers=workers)
    return summary, HeadStore(out)


def assert_shows(store, boxes, names):
    """Each stored crop has its head, of the size drawn, at the stored box."""
    assert store.names.tolist() == names
    for i, box in enumerate(boxes):
        y, x = np.nonzero(store.image(i).min(axis=-1) > 172)  # half way from gray to white
        found = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        np.testing.assert_allclose(store.box[i], found, atol=1)
        np.testing.assert_allclose(store.box[i, 2:], box[2:], atol=1)
    assert store.rotation is None and store.meta["loose"]


def left_out(summary):
    return {head.name: head.reason for head in summary.dropped if not head.broken}


def broken(summary):
    return {head.name: head.reason for head in summary.dropped if head.broken}
