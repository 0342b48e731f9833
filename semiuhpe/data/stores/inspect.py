"""What is in a store: the distributions of its heads, and a check of every one.

The check finds pictures that can't be decoded or have another size than the store says, labels that are no rotation or
disagree with the Euler angles beside them, and boxes that no crop can have. A picture whose bytes have changed is found
by its checksum, though a damaged JPEG may still decode; in stores made before there were checksums such a JPEG passes.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from semiuhpe.data.batches.workers import map_in_workers
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.scenes import SceneHeads, SceneStore
from semiuhpe.errors import StoreError
from semiuhpe.rotation import FRONTAL, euler_to_matrix, geodesic_deg, is_rotation, matrix_to_euler

EULER_TOLERANCE_DEG = 0.1
"""Euler angles beside a rotation may differ from it by rounding."""
AnyStore = HeadStore | SceneStore
_CHUNK = 64  # pictures that a worker decodes at a time


class Fault(NamedTuple):
    """What is wrong with one head of a head store, or with one scene, by its number in the store."""

    number: int
    name: str
    what: str


def all_heads(store: SceneStore) -> SceneHeads:
    """Return the heads on all scenes of a view, one after another."""
    scenes = [store.heads(scene) for scene in range(len(store))]
    names = [field.name for field in fields(SceneHeads)]
    return SceneHeads(**{name: np.concatenate([getattr(heads, name) for heads in scenes]) for name in names})


def sizes(store: AnyStore) -> dict[str, np.ndarray]:
    """Return sizes of the pictures and of the heads on them by name, one number for each picture or each head."""
    return _scene_sizes(store) if isinstance(store, SceneStore) else _head_sizes(store)


def _head_sizes(store: HeadStore) -> dict[str, np.ndarray]:
    """Return sizes of boxes as they are in the stored crop and as they were in the source's picture."""
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


def _scene_sizes(store: SceneStore) -> dict[str, np.ndarray]:
    heads = all_heads(store)
    return {
        "heads of a scene": np.array([len(store.heads(scene)) for scene in range(len(store))], dtype=np.float64),
        "picture, longer side, px": store.extent.max(axis=1).astype(np.float64),
        "head box, side, px": np.sqrt(heads.box[:, 2:].astype(np.float64).clip(min=0).prod(axis=1)),
        "share that is visible": heads.visible.astype(np.float64),
        "landmarks, share that is known": np.isfinite(heads.landmarks).all(-1).mean(-1),
    }


def poses(store: AnyStore) -> dict[str, np.ndarray]:
    """Return yaw, pitch, roll and the distance to frontal of each head in degrees; NaN for labels that are no rotation.

    Euler angles are those of the rotation that training sees, in the full or the front range as the store says.
    Without heads or labels there are none.
    """
    labels = all_heads(store).rotation if isinstance(store, SceneStore) else store.rotation
    if labels is None or not len(labels):
        return {}
    rotation = torch.from_numpy(labels).double()
    valid = is_rotation(rotation)
    euler = torch.full((len(rotation), 3), torch.nan, dtype=torch.float64)
    to_frontal = torch.full((len(rotation),), torch.nan, dtype=torch.float64)
    euler[valid] = matrix_to_euler(rotation[valid], full_range=bool(store.meta["full_range"]))
    to_frontal[valid] = geodesic_deg(rotation[valid], FRONTAL.double())
    pitch, yaw, roll = euler.numpy().T
    return {"yaw": yaw, "pitch": pitch, "roll": roll, "to frontal": to_frontal.numpy()}


def verify(store: AnyStore, workers: int = 0) -> list[Fault]:
    """Return all faults of a store in the order of its pictures: labels and boxes are checked, every picture decoded.

    Args:
        store: of either kind, or a view.
        workers: processes that decode; with 0 this process does.
    """
    return sorted([*label_faults(store), *_picture_faults(store, workers)], key=lambda fault: fault.number)


def label_faults(store: AnyStore) -> list[Fault]:
    """Return the faults of a store's labels: rotations, and of head crops Euler angles, boxes and scales.

    Its pictures are not looked at.
    """
    if isinstance(store, SceneStore):
        return list(_scene_faults(store))
    return [*_pose_faults(store), *_box_faults(store)]


def _scene_faults(store: SceneStore) -> Iterator[Fault]:
    for scene in range(len(store)):
        wrong = ~is_rotation(torch.from_numpy(store.heads(scene).rotation)).numpy()
        for head in np.flatnonzero(wrong):
            yield Fault(scene, str(store.names[scene]), f"head {head} has a label that is no rotation")


def _faults(store: HeadStore, wrong: np.ndarray, what: str, values: np.ndarray) -> Iterator[Fault]:
    """Yield a fault for each head that is marked as wrong, with its value."""
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
    """Yield the faults of boxes. A head may reach beyond its crop, but part of it and of its picture are inside."""
    whole = store.bounds if store.whole else np.array([0.0, 0.0, store.size, store.size])
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
    """Tell whether (..., 4) boxes x, y, w, h have an area in common, (...,) bool."""
    start = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    return (end > start).all(axis=-1)


def picture_fault(store: AnyStore, index: int) -> str | None:
    """Return what is wrong with one picture: damaged, can't be decoded, or isn't as large as the store says."""
    try:
        height, width = store.image(index).shape[:2]
    except StoreError as error:
        return str(error).removeprefix(f"{store.path}: ")
    if isinstance(store, SceneStore):
        return None  # it was checked as it was read
    if store.whole:
        bounds = store.bounds[index].tolist()
        fits = bounds == [0, 0, width, height]
        return None if fits else f"its picture is {width}x{height} px, not {bounds[2]:g}x{bounds[3]:g}"
    loose, size = store.meta["loose"], store.size
    if height == width and (width <= size if loose else width == size):
        return None
    expected = f"square and at most {size}" if loose else f"{size}x{size}"
    return f"its picture is {width}x{height} px, not {expected}"


def _picture_faults(store: AnyStore, workers: int) -> Iterator[Fault]:
    def faults_from(first: int) -> list[Fault]:
        numbers = range(first, min(first + _CHUNK, len(store)))
        found = ((number, picture_fault(store, number)) for number in numbers)
        return [Fault(number, str(store.names[number]), what) for number, what in found if what]

    with tqdm(total=len(store), desc=f"verifying {store.path.name}", unit=store.schema.item, disable=None) as progress:
        for faults in map_in_workers(faults_from, range(0, len(store), _CHUNK), workers):
            progress.update(min(_CHUNK, len(store) - progress.n))
            yield from faults
