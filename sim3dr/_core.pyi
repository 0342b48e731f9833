from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

_Triple = Sequence[float] | NDArray[np.float64]

class Shading(Enum):
    flat = ...
    gouraud = ...
    phong = ...

class Light:
    def __init__(
        self,
        ambient: _Triple,
        directional: _Triple,
        specular: _Triple,
        exponent: float,
        position: _Triple,
        viewer: _Triple,
    ) -> None: ...

class Mesh:
    def __init__(
        self,
        vertices: NDArray[np.float32],
        triangles: NDArray[np.int32],
        colors: NDArray[np.float32] | None,
        uv: NDArray[np.float32] | None,
        texture: NDArray[np.uint8] | None,
        unprojected: NDArray[np.float32] | None,
        opacity: float,
    ) -> None: ...

def draw(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32] | None,
    index: NDArray[np.int32] | None,
    meshes: Sequence[Mesh],
    light: Light | None,
    shading: Shading,
    cull: bool,
    antialias: bool,
    reverse: bool,
    threads: int,
) -> None: ...
def vertex_normals(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], threads: int
) -> NDArray[np.float32]: ...
def vertex_light(light: Light, vertices: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]: ...
