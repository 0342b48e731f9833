"""The light on a mesh (Phong's reflection model), with the interface of Sim3DR's pipeline.

Lights and viewer are placed relative to the mesh, whatever its size in pixels: the mesh's bounding box is moved to the
origin and scaled so that its longest side is 2. The axes stay those of the image (`sim3dr.renderer`): x right, y down,
z toward the viewer. A light at (-5, 0, 0) is to the left, one at (0, -5, 0) above, one at (0, 0, 5) at the viewer.
The mesh is lit on the side its normals point to; `sim3dr.renderer` says which that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim3dr import _core
from sim3dr._arrays import color_array, index_array, real_array
from sim3dr.mesh import Mesh
from sim3dr.renderer import draw


class RenderPipeline:
    """A light, which `sim3dr.draw` takes.

    The name and `__call__`, which draws one mesh with Gouraud shading, are those of Sim3DR, so that code written for it
    runs unchanged.

    With n the unit normal of a vertex, l and v the unit vectors from it to the light and to the viewer, and
    r = 2 (n.l) n - l the mirrored direction of the light, the light at the vertex is

        ambient + directional * max(n.l, 0) + specular * max(r.v, 0) ** specular_exp      (specular only where n.l > 0)

    clipped to [0, 1], each of the three an intensity times a color; specular light has the color of the directional.

    Args:
        intensity_ambient: 0 or more.
        color_ambient: three numbers from 0 to 1, or one for all channels; in the order of the image's channels.
        intensity_directional: 0 or more.
        color_directional: as `color_ambient`.
        intensity_specular: 0 or more.
        specular_exp: 0 or more, larger for smaller highlights.
        light_pos: (x, y, z) of the light, in the frame that the module describes.
        view_pos: (x, y, z) of the viewer, in the same frame; only highlights depend on it.

    Raises:
        ValueError: a color or a position is not three finite numbers.
    """

    def __init__(
        self,
        intensity_ambient: float = 0.3,
        color_ambient: float | Sequence[float] = (1, 1, 1),
        intensity_directional: float = 0.6,
        color_directional: float | Sequence[float] = (1, 1, 1),
        intensity_specular: float = 0.1,
        specular_exp: float = 5,
        light_pos: Sequence[float] = (0, 0, 5),
        view_pos: Sequence[float] = (0, 0, 5),
    ) -> None:
        directional = _triple(color_directional, "color_directional")
        self.ambient = _amount(intensity_ambient, "intensity_ambient") * _triple(color_ambient, "color_ambient")
        self.directional = _amount(intensity_directional, "intensity_directional") * directional
        self.specular = _amount(intensity_specular, "intensity_specular") * directional
        self.specular_exp = _amount(specular_exp, "specular_exp")
        self.view_pos = _triple(view_pos, "view_pos")
        self.update_light_pos(light_pos)

    def update_light_pos(self, light_pos: Sequence[float]) -> None:
        """Move the light; not while another thread draws with it."""
        self.light_pos = _triple(light_pos, "light_pos")

    def core_light(self) -> _core.Light:
        """Return the light as the compiled core takes it."""
        return _core.Light(
            self.ambient, self.directional, self.specular, self.specular_exp, self.light_pos, self.view_pos
        )

    def light(self, vertices: ArrayLike, triangles: ArrayLike) -> NDArray[np.float32]:
        """Return the light at each vertex, float32 (N, 3) from 0 to 1; ambient only where there is no normal."""
        vertices = real_array(vertices, "vertices")
        normals = _core.vertex_normals(vertices, index_array(triangles, "triangles"), 1)
        return _core.vertex_light(self.core_light(), vertices, normals)

    def __call__(
        self, vertices: ArrayLike, triangles: ArrayLike, image: NDArray[np.uint8], texture: ArrayLike | None = None
    ) -> NDArray[np.uint8]:
        """Draw the lit mesh over an image.

        Args:
            vertices: (N, 3), pixels, larger z nearer.
            triangles: (M, 3) integers, indices of vertices.
            image: uint8 (H, W, 3), the background; it is not modified.
            texture: (N, 3), colors of the vertices from 0 to 1, white if not given; it is not modified.

        Returns:
            A new image, uint8 (H, W, 3).

        Raises:
            TypeError, ValueError: as `sim3dr.draw`.
        """
        if texture is not None:
            texture = color_array(texture, "texture")
            if texture.shape != np.shape(vertices):
                raise ValueError(
                    f"texture must have a row of 3 for each vertex, {np.shape(vertices)}, got {texture.shape}"
                )
        return draw(image, [Mesh(vertices, triangles, colors=texture)], self)


def _amount(value: float, name: str) -> float:
    if not (np.ndim(value) == 0 and np.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of 0 or more, got {value!r}")
    return float(value)


def _triple(value: float | Sequence[float], name: str) -> NDArray[np.float64]:
    triple = np.asarray(value, np.float64)
    if triple.ndim == 0 and name.startswith("color"):
        triple = np.full(3, triple)
    if triple.shape != (3,) or not np.isfinite(triple).all():
        raise ValueError(f"{name} must be three finite numbers, got {value!r}")
    return triple
