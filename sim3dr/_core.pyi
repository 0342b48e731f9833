from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def rasterize(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    colors: NDArray[np.float32],
    reverse: bool,
) -> None: ...
def vertex_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]: ...
def vertex_light(
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    ambient: Sequence[float] | NDArray[np.float64],
    directional: Sequence[float] | NDArray[np.float64],
    specular: Sequence[float] | NDArray[np.float64],
    exponent: float,
    light_position: Sequence[float] | NDArray[np.float64],
    view_position: Sequence[float] | NDArray[np.float64],
) -> NDArray[np.float32]: ...
