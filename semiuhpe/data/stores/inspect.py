"""What is in a head store: the distributions of its heads, and a check of every one.

The check finds pictures that can't be decoded or have another size than the store says, labels that are no rotation or
disagree with the Euler angles beside them, and boxes that no crop can have. A picture whose bytes have changed is found
by its checksum, though a damaged JPEG may still decode; in stores made before there were checksums such a JPEG passes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from semiuhpe.data.batches.workers import map_in_workers
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import StoreError
from semiuhpe.rotation import FRONTAL, euler_to_matrix, geodesic_deg, is_rotation, matrix_to_euler

EULER_TOLERANCE_DEG = 0.1
"""Euler angles beside a rotation may differ from it by rounding."""
_CHUNK = 64  # heads that a worker decodes at a time


class Fault(NamedTuple):
    """What is wrong with one head, by its number in the store."""

    head: int
    name: str
    what: str


def sizes(store: HeadStore) -> dict[str, np.ndarray]:
    """Sizes of the stored heads, (N,) each by name: of the encoded pictures and of the head boxes.

    Boxes are given as they are in the stored crop and as they were in the source's picture.
    """
    width, height = store.box[:, 2:].astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        in_source = np.sqrt(width * height) / store.scale
    return {
        "picture, bytes": store.encoded_bytes(),
        "head box, width in the crop, px": width,
        "head box, height in the crop, px": height,
        "head box, side in the source, px": in_source,
        "px of the crop per px of the source": store.scale,
    }


def poses(store: HeadStore) -> dict[str, np.ndarray]:
    """Yaw, pitch, roll and the distance to frontal in degrees, (N,) each by name; NaN for labels that are no rotation.

    Euler angles are those of the rotation that training sees, in the full or the front range as the store says.
    Without labels there are none.
    """
    if store.rotation is None:
        return {}
    rotation = torch.from_numpy(store.rotation).double()
    valid = is_rotation(rotation)
    euler = torch.full((len(store), 3), torch.nan, dtype=torch.float64)
    to_frontal = torch.full((len(store),), torch.nan, dtype=torch.float64)
    euler[valid] = matrix_to_euler(rotation[valid], full_range=bool(store.meta["full_range"]))
    to_frontal[valid] = geodesic_deg(rotation[valid], FRONTAL.double())
    pitch, yaw, roll = euler.numpy().T
    return {"yaw": yaw, "pitch": pitch, "roll": roll, "to frontal": to_frontal.numpy()}


def verify(store: HeadStore, workers: int = 0) -> list[Fault]:
    """All faults of a store's heads in their order: every label and box is checked, every picture decoded.

    Args:
        store: any store or view.
        workers: processes that decode; with 0 this process does.
    """
    return sorted([*label_faults(store), *_picture_faults(store, workers)], key=lambda fault: fault.head)


def label_faults(store: HeadStore) -> list[Fault]:
    """The faults of a store's rotations, Euler angles, boxes and scales; its pictures are not looked at."""
    return [*_pose_faults(store), *_box_faults(store)]


def _faults(store: HeadStore, wrong: np.ndarray, what: str, values: np.ndarray) -> Iterator[Fault]:
    """A fault for each head that is marked as wrong, with its value."""
    for head in np.flatnonzero(wrong):
        value = np.array2string(values[head], precision=4, separator=", ").replace("\n", "")
        yield Fault(int(head), str(store.names[head]), f"{what}: {value}")


def _pose_faults(store: HeadStore) -> Iterator[Fault]:
    valid = np.ones(len(store), dtype=bool)
    if store.rotation is not None:
        valid = is_rotation(torch.from_numpy(store.rotation).double()).numpy()
        yield from _faults(store, ~valid, "its label is not a rotation", store.rotation)
    if store.euler_deg is None:
        return
    finite = np.isfinite(store.euler_deg).all(axis=-1)
    yield from _faults(store, ~finite, "its Euler angles are not finite", store.euler_deg)
    if store.rotation is not None:
        both = np.flatnonzero(valid & finite)
        rotation = torch.from_numpy(store.rotation[both]).double()
        angle = np.zeros(len(store))
        angle[both] = geodesic_deg(rotation, euler_to_matrix(torch.from_numpy(store.euler_deg[both]).double())).numpy()
        what = "its rotation and its Euler angles differ, in degrees"
        yield from _faults(store, angle > EULER_TOLERANCE_DEG, what, angle)


def _box_faults(store: HeadStore) -> Iterator[Fault]:
    """A head may reach beyond its crop, but part of it is inside, and so is part of the source's picture."""
    whole = np.array([0.0, 0.0, store.size, store.size])
    sane_bounds = _sane(store.bounds) & _overlaps(store.bounds, whole)
    yield from _faults(store, ~sane_bounds, "the bounds of its picture are not sane", store.bounds)
    sane = _sane(store.box)
    yield from _faults(store, ~sane, "its head box is empty or not finite", store.box)
    inside = _overlaps(store.box, whole) & (_overlaps(store.box, store.bounds) | ~sane_bounds)
    yield from _faults(store, sane & ~inside, "its head box lies outside its picture", store.box)
    positive = np.isfinite(store.scale) & (store.scale > 0)
    yield from _faults(store, ~positive, "its scale is not a positive number", store.scale)


def _sane(box: np.ndarray) -> np.ndarray:
    return np.isfinite(box).all(axis=-1) & (box[..., 2:] > 0).all(axis=-1)


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) bool: whether (..., 4) boxes x, y, w, h have an area in common."""
    start = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    return (end > start).all(axis=-1)


def picture_fault(store: HeadStore, head: int) -> str | None:
    """What is wrong with the picture of one head: damaged, can't be decoded, or isn't as large as the store says."""
    try:
        height, width = store.image(head).shape[:2]
    except StoreError as error:
        return str(error).removeprefix(f"{store.path}: ")
    loose, size = store.meta["loose"], store.size
    if height == width and (width <= size if loose else width == size):
        return None
    expected = f"square and at most {size}" if loose else f"{size}x{size}"
    return f"its picture is {width}x{height} px, not {expected}"


def _picture_faults(store: HeadStore, workers: int) -> Iterator[Fault]:
    def faults_from(first: int) -> list[Fault]:
        heads = range(first, min(first + _CHUNK, len(store)))
        found = ((head, picture_fault(store, head)) for head in heads)
        return [Fault(head, str(store.names[head]), what) for head, what in found if what]

    with tqdm(total=len(store), desc=f"verifying {store.path.name}", unit="head", disable=None) as progress:
        for faults in map_in_workers(faults_from, range(0, len(store), _CHUNK), workers):
            progress.update(min(_CHUNK, len(store) - progress.n))
            yield from faults
