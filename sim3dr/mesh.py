"""Meshes: their data, reading them from files, and the head that comes with the package.

Head meshes are in head axes: x to the subject's left, y up, z out of the face, in any unit, with the origin anywhere
in the head. Triangles run counter-clockwise seen from outside, as in the files of BFM, FLAME and most others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim3dr._arrays import index_array

ARRAYS = ("colors", "uv", "texture", "enclosed")  # arrays that an .npz may have besides vertices and triangles


class MeshError(ValueError):
    """The file holds no mesh; the message names the file."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh. Shapes and dtypes are checked when it is drawn.

    Attributes:
        vertices: (N, 3); for `sim3dr.draw` in the frame of the image (`sim3dr.renderer`).
        triangles: (M, 3) integers, indices of vertices.
        colors: (N, C) from 0 to 1; white without it.
        uv: (N, 2), the position of each vertex in the texture: (0, 0) is its lower left corner, (1, 1) the upper right,
            as in OBJ files. Beyond that the texture repeats.
        texture: uint8 (height, width, C), in the order of the image's channels. With it, `colors` are not used.
        opacity: opacity of the visible parts of this mesh, from 0 to 1. The background shows through, but no other mesh
            of the same picture: those behind it stay hidden.
        unprojected: (N, 3), the vertices before a perspective projection, with the axes of the image (x right, y down,
            z toward the viewer) in any unit. Light is computed there, and colors, textures and light are interpolated
            in perspective; z of `vertices` must then be 1 / distance from the camera. Without it the vertices are what
            is lit, and interpolation is linear on the screen.
        enclosed: indices of the vertices that a head box encloses; all without it. Only `sim3dr.place_head` reads it.
    """

    vertices: ArrayLike
    triangles: ArrayLike
    colors: ArrayLike | None = None
    uv: ArrayLike | None = None
    texture: NDArray[np.uint8] | None = None
    opacity: float = 1.0
    unprojected: ArrayLike | None = None
    enclosed: ArrayLike | None = None

    def replace(self, **changes: Any) -> Mesh:
        """Return a copy with other values of the named attributes; it shares the rest."""
        return replace(self, **changes)


def load_mesh(path: str | PathLike[str]) -> Mesh:
    """Read a mesh.

    - `.npz`: the arrays `vertices` and `triangles`, and if they are there `colors` (numbers from 0 to 1, or bytes),
      `uv`, `texture` and `enclosed`, as in `Mesh`. Files that need pickle are refused.
    - `.obj`, `.ply`: read by trimesh, with colors of vertices, or UV and the texture picture (RGB), if there are any.

    Raises:
        FileNotFoundError: there is no such file.
        MeshError: the file has another format, is damaged, or holds no triangles.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no mesh file {path}")
    readers = {".npz": _read_npz, ".obj": _read_with_trimesh, ".ply": _read_with_trimesh}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise MeshError(f"{path}: meshes are read from {', '.join(readers)} files; export it as one of them")
    mesh = reader(path)
    _check(mesh, path)
    return mesh


@cache
def default_head() -> Mesh:
    """Return a bald head with neck, made by `docs/make_head.py`; about 7,900 vertices, 1 unit is about 10 cm.

    Its box encloses skull, face and ears, not the neck.
    """
    with files("sim3dr").joinpath("head.npz").open("rb") as file:
        return _mesh_of(np.load(file, allow_pickle=False))


def _mesh_of(arrays: np.lib.npyio.NpzFile) -> Mesh:
    """Return the mesh of arrays: byte colors become numbers from 0 to 1, other arrays float32 and int32."""
    given: dict[str, Any] = {name: arrays[name] for name in ("vertices", "triangles", *ARRAYS) if name in arrays}
    if "colors" in given and given["colors"].dtype == np.uint8:
        given["colors"] = given["colors"].astype(np.float32) / 255
    for name, array in given.items():
        if array.dtype.kind == "f":
            given[name] = array.astype(np.float32)
        elif name in ("triangles", "enclosed"):
            given[name] = index_array(array, name).copy()
        given[name].flags.writeable = False
    return Mesh(**given)


def _read_npz(path: Path) -> Mesh:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if missing := [name for name in ("vertices", "triangles") if name not in arrays]:
                raise MeshError(f"{path} has no array named {' nor '.join(missing)}; it has {', '.join(arrays.files)}")
            return _mesh_of(arrays)
    except MeshError:
        raise
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise MeshError(f"{path} cannot be read as a mesh in .npz: {error}") from error


def _read_with_trimesh(path: Path) -> Mesh:
    import trimesh  # slow to import, and needed only for other formats

    try:
        loaded: Any = trimesh.load(path, force="mesh", process=False)
        vertices, triangles = np.asarray(loaded.vertices), np.asarray(loaded.faces)
    except Exception as error:  # the parsers of trimesh raise errors of any class
        raise MeshError(f"{path} cannot be read as a mesh: {error}") from error
    colors = uv = texture = None
    visual = loaded.visual
    if visual.kind == "vertex":
        colors = visual.vertex_colors[:, :3].astype(np.float32) / 255
    elif visual.kind == "texture" and visual.uv is not None:
        uv = np.asarray(visual.uv, np.float32)
        material = visual.material
        picture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
        texture = None if picture is None else np.asarray(picture.convert("RGB"))
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32), colors, uv, texture)


def _check(mesh: Mesh, path: Path) -> None:
    vertices, triangles = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind != "f" or not np.isfinite(vertices).all():
        raise MeshError(f"{path}: vertices must be finite numbers of the shape (N, 3)")
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu" or not len(triangles):
        raise MeshError(f"{path} holds no triangles: they must be integers of the shape (M, 3)")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise MeshError(
            f"{path}: triangles name vertices from {triangles.min()} to {triangles.max()}, "
            f"but there are {len(vertices)}"
        )
    for name in ("colors", "uv"):
        array = getattr(mesh, name)
        if array is not None and (np.ndim(array) != 2 or len(np.asarray(array)) != len(vertices)):
            raise MeshError(f"{path}: {name} must have a row for each of the {len(vertices)} vertices")
    if mesh.texture is not None and (np.ndim(mesh.texture) != 3 or mesh.texture.dtype != np.uint8 or mesh.uv is None):
        raise MeshError(f"{path}: texture must be bytes of the shape (height, width, channels), and needs uv")
    enclosed = mesh.enclosed
    if enclosed is not None and (
        np.ndim(enclosed) != 1 or not np.size(enclosed) or not np.isin(enclosed, np.arange(len(vertices))).all()
    ):
        raise MeshError(f"{path}: enclosed must be indices of vertices")
