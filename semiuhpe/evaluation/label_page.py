"""Pages to look at labels and make them: a head of three dimensions over the photograph, which the pointer turns.

``audit`` shows labels to accept, drop or change; ``select`` heads without a label, with what a model predicts to start
from. A page is one file that opens offline. It keeps decisions in the browser and saves them as the table that
:mod:`semiuhpe.data.labels.decisions` reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

import sim3dr
from semiuhpe.data.crop import Rectangle, padded_to_square, pixels_of
from semiuhpe.data.stores.base import fingerprint
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation import report
from semiuhpe.evaluation.audit import Audit
from semiuhpe.evaluation.opinions import Opinion
from semiuhpe.evaluation.selection import Selection

SHOWN = 200
"""Heads on a page if nothing else is asked for."""
PICTURE_PX = 320
_AROUND = 2.0
"""Side of what is shown of a whole picture, in sides of the head's box."""
_CELL, _FACE_CELL, _FACE_Z = 0.11, 0.05, 0.45
"""Sides of the cells whose vertices become one, at the back and in the face, and where the face begins (z), in units of
the head's mesh, 10 cm."""
_TINT, _TINT_COLOR = 0.55, np.array([0.25, 0.55, 1.0])
"""Share of a color in the mesh's own ones, so that it stands out from skin."""
_PER_UNIT = 1000
"""Steps of the page's coordinates of the mesh per unit."""
_PER_NORMAL = 100
_DIGITS = 6


def audit_page(path: Path, found: Audit, store: HeadStore, shown: int) -> None:
    """Write the page of an audit, the most surprising labels first; DataError if it can't be written."""
    order = found.order[:shown].tolist()
    heads = []
    for rank, head in enumerate(order, 1):
        facts = [("rank", str(rank)), ("surprise", f"{found.surprise[head]:.1f} nats")]
        if len(found.models) > 1:
            facts.append(("models apart", f"{found.apart_deg[head]:.1f}°"))
        heads.append(_head(store, head, facts, store.truth[head], found.rotation[:, head].numpy()))
    counted = "all of them" if len(order) == len(store) else f"the first {len(order)} of {len(store)}"
    lead = (
        f"Labels of {store.meta['dataset']}, ranked by how surely the models disagree with them: {counted}. Is the "
        "label right? If not, turn the head until it fits, or drop it."
    )
    _write(path, "Are these labels right?", lead, "audit", found.models, heads, store)


def select_page(
    path: Path, found: Sequence[Opinion], weight: Tensor, chosen: Selection, store: HeadStore, shown: int
) -> None:
    """Write the page of heads to label, in the order in which they were chosen; DataError if it can't be written.

    Args:
        path: of the page.
        found: what models say of all heads.
        weight: (N,) how unsure they are, radians.
        chosen: heads to label.
        store: all heads.
        shown: how many of the chosen are on the page.
    """
    predicted = torch.stack([opinion.rotation for opinion in found]).numpy()
    heads = []
    for rank, head in enumerate(chosen.head[:shown].tolist(), 1):
        facts = [("rank", str(rank)), ("models unsure by", f"{torch.rad2deg(weight[head]):.1f}°")]
        heads.append(_head(store, head, facts, None, predicted[:, head]))
    lead = (
        f"Heads of {store.meta['dataset']} to label next. The head starts where the first model puts it: accept that, "
        "or turn it until it fits, or drop the picture."
    )
    _write(path, "Heads to label", lead, "select", [opinion.name for opinion in found], heads, store)


def _write(
    path: Path, title: str, lead: str, command: str, models: Sequence[str], heads: list[dict[str, Any]],
    store: HeadStore,
) -> None:  # fmt: skip
    data = {
        "command": command,
        "store": fingerprint(store.path),
        "picture": PICTURE_PX,
        "models": list(models),
        "mesh": page_mesh(),
        "heads": heads,
    }
    report.write_page(path, "labels.html", title=title, lead=lead, command=command, store=store.path.name, data=data)


def _head(
    store: HeadStore, head: int, facts: list[tuple[str, str]], label: np.ndarray | None, predicted: np.ndarray
) -> dict[str, Any]:
    picture, box = shown_picture(store, head)
    return {
        "head": int(store.indices[head]),
        "name": str(store.names[head]),
        "facts": facts,
        "picture": report.jpeg(picture),
        "box": np.round(box, 2).tolist(),
        "label": None if label is None else _matrix(label),
        "predicted": [_matrix(rotation) for rotation in predicted],
    }


def _matrix(rotation: np.ndarray) -> list[float]:
    return [round(float(value), _DIGITS) for value in rotation.reshape(-1)]


def shown_picture(store: HeadStore, head: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a page shows of a head, (PICTURE_PX, PICTURE_PX, 3), and the box x, y, w, h (4,) of the head in it.

    A stored crop is shown whole, of a whole picture the surroundings of the head. A box without extent is taken for the
    whole crop.
    """
    image, box = store.image(head), store.box[head].astype(np.float64)
    height, width = image.shape[:2]
    if not np.isfinite(box).all() or not (box[2:] > 0).all():
        box = np.array([0.0, 0.0, width, height])
    half = _AROUND * box[2:].max() / 2
    if store.whole and 2 * half < max(width, height):
        left, top = np.round(box[:2] + box[2:] / 2 - half).astype(int).tolist()
        side = round(2 * half)
        square = pixels_of(image, Rectangle(left, top, left + side, top + side), width, height)
        origin = np.array([-left, -top])
    else:
        square, place = padded_to_square(image)
        origin = place[:2]
    scale = PICTURE_PX / len(square)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(square, (PICTURE_PX, PICTURE_PX), interpolation=how), np.append(box[:2] + origin, box[2:]) * scale


def page_mesh() -> dict[str, list[int]]:
    """Return the head that pages draw, coarse enough to be drawn while it is turned, as lists of whole numbers.

    Vertices of a cell of a grid become one (Rossignac and Borrel, "Multi-resolution 3D approximations for rendering
    complex scenes", 1993). ``vertices`` are x, y, z in head axes; ``triangles`` three indices each, counter-clockwise
    from outside; ``normals`` of the smooth surface and ``colors`` red, green, blue of each triangle; ``enclosed`` the
    vertices that a head box encloses.
    """
    mesh = sim3dr.default_head()
    vertices, triangles = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.triangles)
    colors = np.ones_like(vertices) if mesh.colors is None else np.asarray(mesh.colors)
    enclosed = np.arange(len(vertices)) if mesh.enclosed is None else np.asarray(mesh.enclosed)
    side = np.where(vertices[:, 2:] > _FACE_Z, _FACE_CELL, _CELL)
    places = np.concatenate([np.floor(vertices / side).astype(int), side == _CELL], axis=1)
    _, cell, counts = np.unique(places, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    joined = np.zeros((len(counts), 9))
    np.add.at(joined, cell, np.concatenate([vertices, colors, sim3dr.vertex_normals(vertices, triangles)], axis=1))
    joined /= counts[:, None]
    corners = cell[triangles]
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]
    used, renumbered = np.unique(corners, return_inverse=True)
    tinted = (1 - _TINT) * joined[corners, 3:6].mean(axis=1) + _TINT * _TINT_COLOR
    normals = joined[corners, 6:].sum(axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(min=1e-9)
    return {
        "vertices": _whole(joined[used, :3] * _PER_UNIT),
        "triangles": renumbered.reshape(-1).tolist(),
        "normals": _whole(normals * _PER_NORMAL),
        "colors": _whole(tinted * 255),
        "enclosed": np.flatnonzero(np.isin(used, np.unique(cell[enclosed]))).tolist(),
    }


def _whole(values: np.ndarray) -> list[int]:
    return np.round(values).astype(int).reshape(-1).tolist()
