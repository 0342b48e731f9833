"""People's bodies: the shapes that continue a head, and the bones that pose them.

The data are `bodies.npz` beside this module, which `tools/bake_bodies.py` makes of MakeHuman's (CC0; `heads_notice.md`,
docs/heads.md). A body begins at the border of the bust, with whose vertices it shares its first ones, and is a linear
function of the head's coefficients and of a few random numbers. Axes and units are those of the head; the chest keeps
its place in them, and all other bones turn relative to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from semiuhpe.synthetic.anatomy import HeadBasis, read_basis
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.regions import smoothstep

BODIES = Path(__file__).with_name("bodies.npz")
VERSION = 1
SIDES = ("left ", "right ")
PARENTS = {
    "chest": None,
    "waist": "chest",
    "pelvis": "waist",
    "clavicle": "chest",
    "upper arm": "clavicle",
    "lower upper arm": "upper arm",
    "forearm": "lower upper arm",
    "lower forearm": "forearm",
    "hand": "lower forearm",
    "fingers": "hand",
    "thigh": "pelvis",
    "shin": "thigh",
    "foot": "shin",
}
"""The bone that each turns with, without the side."""
FITTED = 1.5  # distance from the bust within which a body is fitted to it
_NEAR = 4  # vertices of the border that a vertex is fitted by

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BodyBasis:
    """All bodies without heads. Arrays are read-only.

    Attributes:
        mean: (N, 3) vertices of the mean body at rest, arms and legs apart: those of the border, those of the body,
            and those of a skirt.
        border: (E,) vertices of :class:`semiuhpe.synthetic.anatomy.HeadBasis` that the first ones are.
        triangles: (M, 3) of the body, counter-clockwise seen from outside.
        skirt: (S, 3) triangles of the skirt.
        names: (B,) of the bones.
        joints: (B, 3) where they turn, in the mean body.
        weights: (N, B) by how much a vertex follows each; they sum to 1.
        mirror: (N,) the vertex on the other side.
        free: (N,) from 0 at the border to 1.
    """

    mean: Floats
    border: Indices
    triangles: Indices
    skirt: Indices
    names: tuple[str, ...]
    joints: Floats
    weights: Floats
    mirror: Indices
    free: Floats
    _components: Floats  # (K, N + B, 3)
    _of_head: Floats  # (heads' coefficients + 1, K)
    _spread: Floats  # (K, K)
    _near: Indices  # (N, 4) of the border
    _fit: Floats  # (N, 4) shares of their correction that a vertex takes

    @staticmethod
    def load(path: str | Path | None = None) -> "BodyBasis":
        """Read a file of bodies, that of the package if None, which is read once per process.

        Raises:
            DataError: the file is missing, damaged, or of another version.
        """
        return _packaged() if path is None else _read(Path(path))

    def shape(self, coefficients: np.ndarray, build: np.ndarray) -> tuple[Floats, Floats]:
        """Return vertices (N, 3) and joints (B, 3) at rest of the body of a head with ``coefficients``.

        Args:
            coefficients: (K,), those of the head.
            build: random numbers (K,) of standard deviation 1; 0 is the body that most people with such heads have.
        """
        own = np.append(coefficients, 1).astype(np.float32) @ self._of_head + build.astype(np.float32) @ self._spread
        shape = np.concatenate([self.mean, self.joints]) + np.tensordot(own, self._components, 1)
        vertices, joints = np.split(shape.astype(np.float32), [len(self.mean)])
        basis = HeadBasis.load()
        bust = basis.mean[self.border] + np.tensordot(coefficients, basis.components[:, self.border], 1)
        off = (bust - vertices[: len(bust)]).astype(np.float32)
        return vertices + (off[self._near] * self._fit[..., None]).sum(1), joints

    @property
    def build_numbers(self) -> int:
        """How many random numbers make a build."""
        return len(self._spread)


def followed(names: tuple[str, ...], joints: np.ndarray, turns: Mapping[str, np.ndarray]) -> tuple[Floats, Floats]:
    """Return where bones take points at rest: rotations (B, 3, 3) and shifts (B, 3).

    Args:
        names: (B,) of the bones, parents before children.
        joints: (B, 3) at rest.
        turns: (3, 3) of bones relative to the one that they follow, in the axes at rest; others don't turn.
    """
    rotations, shifts = np.empty((len(names), 3, 3)), np.empty((len(names), 3))
    for i, name in enumerate(names):
        turn = turns.get(name, np.eye(3))
        side = next((s for s in SIDES if name.startswith(s)), "")
        parent = PARENTS[name.removeprefix(side)]
        if parent is None:
            rotations[i], shifts[i] = turn, joints[i] - turn @ joints[i]
            continue
        p = names.index(side + parent if side + parent in names else parent)
        rotations[i] = rotations[p] @ turn
        shifts[i] = rotations[p] @ (joints[i] - turn @ joints[i]) + shifts[p]
    return rotations.astype(np.float32), shifts.astype(np.float32)


def posed(vertices: np.ndarray, weights: np.ndarray, rotations: np.ndarray, shifts: np.ndarray) -> Floats:
    """Return vertices (N, 3) that follow bones by ``weights`` (N, B): linear blend skinning."""
    blended = (weights @ np.concatenate([rotations, shifts[..., None]], 2).reshape(-1, 12)).reshape(-1, 3, 4)
    moved: Floats = np.einsum("nij,nj->ni", blended[..., :3], vertices) + blended[..., 3]
    return moved


@cache
def _packaged() -> BodyBasis:
    return _read(BODIES)


def _read(path: Path) -> BodyBasis:
    return read_basis(path, "bodies", VERSION, _unpack)


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> BodyBasis:
    names = tuple(arrays["bone_names"].tolist())
    mean, joints = np.split(arrays["mean"].astype(np.float32), [-len(names)])
    weights = np.zeros((len(mean), len(names)), np.float32)
    for k in range(arrays["bones"].shape[1]):
        weights[np.arange(len(mean)), arrays["bones"][:, k]] += arrays["weights"][:, k] / np.float32(255)
    edge = len(arrays["border"])
    distance, near = KDTree(mean[:edge]).query(mean, k=_NEAR)
    share = 1 / (distance + 1e-3) ** 2
    share = share / share.sum(1, keepdims=True) * smoothstep(distance[:, :1], FITTED, 0.0)
    share[:edge] = np.eye(_NEAR)[0]
    triangles, skirt = (arrays[name].astype(np.int32) for name in ("triangles", "skirt_triangles"))
    if max(triangles.max(), skirt.max(), arrays["mirror"].max()) >= len(mean):
        raise ValueError("an index that is out of range")
    if arrays["border"].max() >= len(HeadBasis.load().mean) or not np.allclose(weights.sum(1), 1, atol=1e-3):
        raise ValueError("a border or weights that don't fit")
    basis = BodyBasis(
        mean=mean,
        border=arrays["border"].astype(np.int32),
        triangles=triangles,
        skirt=skirt,
        names=names,
        joints=joints,
        weights=weights,
        mirror=arrays["mirror"].astype(np.int32),
        free=smoothstep(distance[:, 0], 0.0, 0.7).astype(np.float32),
        _components=arrays["components"] * arrays["component_steps"][:, None, None],
        _of_head=arrays["of_head"],
        _spread=arrays["spread"],
        _near=near.astype(np.int32),
        _fit=share.astype(np.float32),
    )
    if basis._components.shape[1:] != arrays["mean"].shape or not np.isfinite(basis._components).all():
        raise ValueError("shapes of arrays")
    return basis


@cache
def border_vertices() -> Indices:
    """Return the vertices of the head's template (E,) that the first vertices of a body are."""
    return template().number[BodyBasis.load().border]
