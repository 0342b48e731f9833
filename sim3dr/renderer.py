"""Draw triangle meshes into images, and compute their normals.

Conventions, for the whole package:

- Vertices are in the frame of the image: x right and y down in pixels, z toward the viewer in any unit: where
  surfaces overlap, the one with larger z is visible. The projection is the caller's; depth is interpolated linearly on
  the screen.
- The center of the pixel in column i and row j lies at (x, y) = (i, j), as in OpenCV, so the image covers x from -0.5
  to width - 0.5.
- A pixel is covered if its center is inside the triangle; centers on a shared edge belong to exactly one of
  the two triangles (top-left rule). Vertices are snapped to 1/256 pixel first. Both sides of a triangle are drawn.
- The normal of a triangle (p, q, r) is (q - p) x (r - p), by coordinates. It points to the viewer if p, q, r run
  clockwise on the screen. Meshes whose triangles run counter-clockwise seen from outside, as most files have them,
  get outward normals in the frame of the image from `triangles[:, ::-1]`.
- Triangles with a vertex that is NaN, infinite or farther than 2**20 pixels from the origin are left out, and so
  are triangles without area.
- The back of a triangle is the side that its normal points away from: with back-face culling, triangles that run
  counter-clockwise on the screen are left out.
- Images are uint8 (H, W, C). Colors are floats from 0 to 1, clipped to that range after interpolation and rounded to
  the nearest of the 256 levels. The channels may mean anything (RGB, BGR, gray), as long as image and colors agree.

Every function may be called from several threads at once: the core releases the GIL and keeps nothing between calls.
Arrays that a call was given must not be modified while it runs. The number of `threads` changes no pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim3dr import _core
from sim3dr._arrays import byte_array, color_array, index_array, real_array
from sim3dr.mesh import Mesh

SHADINGS = ("flat", "gouraud", "phong")


class Light(Protocol):
    """What can light meshes: a `sim3dr.RenderPipeline`."""

    def core_light(self) -> _core.Light: ...


def draw(
    image: NDArray[np.uint8],
    meshes: Sequence[Mesh],
    light: Light | None = None,
    *,
    shading: str = "gouraud",
    cull: bool = False,
    antialias: bool = False,
    depth: NDArray[np.float32] | None = None,
    index: NDArray[np.int32] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Draw meshes over an image, with one z-buffer for all.

    Args:
        image: uint8 (H, W, C), the background; it is not modified. C must be 3 if there is a light.
        meshes: in the frame of the image. Of equal depths the earlier mesh, and in it the earlier triangle, is visible.
        light: multiplies the colors. Each mesh is lit on its own, relative to its bounding box. Without a light, colors
            and textures are drawn as they are.
        shading: where the light is computed: "flat", at the center of each triangle; "gouraud", at its vertices, and
            interpolated; "phong", in every pixel, from interpolated normals.
        cull: leave out triangles that show their back.
        antialias: draw four by four samples per pixel and average them. Not together with `depth` or `index`.
        depth: float32 (H, W), C-contiguous, updated in place: the z of the visible surface in each pixel. Only surfaces
            with a larger z are drawn, so several calls can share one. Initialize it with -inf, which stands for no
            surface; without it every call starts so.
        index: int32 (H, W), C-contiguous, updated in place where something is drawn: the number of the visible
            triangle. Triangles are numbered from 0 through all meshes. Initialize it with -1.
        threads: number of threads that draw, from 1 to 256.

    Returns:
        A new image, uint8 (H, W, C).

    Raises:
        TypeError: an array has a type that cannot be intended, such as triangles of floats or colors of bytes.
        ValueError: shapes do not agree, an index is out of range, or an option has an unknown value.
    """
    if shading not in SHADINGS:
        raise ValueError(f"shading must be one of {', '.join(SHADINGS)}, got {shading!r}")
    canvas = np.array(byte_array(image, "image"), order="C")
    core_light = None if light is None else light.core_light()
    _draw(canvas, [_core_mesh(m) for m in meshes], core_light, shading, cull, antialias, depth, index, False, threads)
    return canvas


def rasterize(
    vertices: ArrayLike,
    triangles: ArrayLike,
    colors: ArrayLike,
    bg: NDArray[np.uint8] | None = None,
    height: int | None = None,
    width: int | None = None,
    channel: int | None = None,
    reverse: bool = False,
    *,
    cull: bool = False,
    antialias: bool = False,
    depth: NDArray[np.float32] | None = None,
    index: NDArray[np.int32] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Draw a mesh with a color at each vertex, unlit, over a background. Positional arguments are those of Sim3DR.

    Args:
        vertices: (N, 3), pixels, larger z nearer. float32 is used as it is, other real dtypes are converted.
        triangles: (M, 3) integers, indices of vertices.
        colors: (N, C), from 0 to 1.
        bg: uint8 (H, W, C), the background; it is not modified. Without it the background is black and has the size
            given by `height`, `width` and `channel`.
        height: rows of the image; needed without `bg`.
        width: columns of the image; needed without `bg`.
        channel: channels of the image; without it and without `bg`, as many as `colors` has.
        reverse: draw the mesh upside down: its row y goes to row H - 1 - y. The background stays upright, and `depth`
            and `index` are in the rows of the image.
        cull, antialias, depth, index, threads: as in `draw`.

    Returns:
        A new image, uint8 (H, W, C).

    Raises:
        TypeError, ValueError: as in `draw`, or the size of the image is missing.
    """
    colors = color_array(colors, "colors")
    image = _canvas(bg, height, width, channel, colors)
    mesh = _core_mesh(Mesh(vertices, triangles, colors))
    _draw(image, [mesh], None, "gouraud", cull, antialias, depth, index, reverse, threads)
    return image


def vertex_normals(vertices: ArrayLike, triangles: ArrayLike, *, threads: int = 1) -> NDArray[np.float32]:
    """Return unit normals at the vertices: the normals of the triangles around each, weighted by area.

    Their direction follows the order of each triangle's vertices: (q - p) x (r - p) for the triangle (p, q, r).

    Args:
        vertices: (N, 3), in any unit and any frame.
        triangles: (M, 3) integers, indices of vertices.
        threads: number of threads that compute, from 1 to 256.

    Returns:
        float32 (N, 3), with (0, 0, 0) at vertices of no triangle, or only of triangles without area. Triangles with a
        vertex that is not finite are ignored.

    Raises:
        TypeError, ValueError: as in `draw`.
    """
    return _core.vertex_normals(real_array(vertices, "vertices"), index_array(triangles, "triangles"), threads)


get_normal = vertex_normals  # its name in the Sim3DR of 3DDFA_V2


def _core_mesh(mesh: Mesh) -> _core.Mesh:
    """Return the mesh as the compiled core takes it, which checks its shapes and indices."""
    return _core.Mesh(
        real_array(mesh.vertices, "vertices"),
        index_array(mesh.triangles, "triangles"),
        None if mesh.colors is None or mesh.texture is not None else color_array(mesh.colors, "colors"),
        None if mesh.uv is None else real_array(mesh.uv, "uv"),
        None if mesh.texture is None else np.ascontiguousarray(byte_array(mesh.texture, "texture")),
        None if mesh.unprojected is None else real_array(mesh.unprojected, "unprojected"),
        mesh.opacity,
    )


def _draw(
    image: NDArray[np.uint8],
    meshes: list[_core.Mesh],
    light: _core.Light | None,
    shading: str,
    cull: bool,
    antialias: bool,
    depth: NDArray[np.float32] | None,
    index: NDArray[np.int32] | None,
    reverse: bool,
    threads: int,
) -> None:
    """Draw into `image`, which is C-contiguous, and into the buffers."""
    _require_buffer(depth, np.float32, image.shape[:2], "depth")
    _require_buffer(index, np.int32, image.shape[:2], "index")
    kind = _core.Shading.__members__[shading]
    _core.draw(image, depth, index, meshes, light, kind, bool(cull), bool(antialias), bool(reverse), threads)


def _canvas(
    bg: NDArray[np.uint8] | None,
    height: int | None,
    width: int | None,
    channel: int | None,
    colors: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Return a new image to draw on: a copy of the background, or black."""
    if bg is None:
        if height is None or width is None:
            raise ValueError("give either bg or both height and width")
        if channel is None:
            channel = colors.shape[-1] if colors.ndim == 2 else 3
        return np.zeros((height, width, channel), np.uint8)
    bg = byte_array(bg, "bg")
    for name, given, size in zip(("height", "width", "channel"), (height, width, channel), bg.shape, strict=True):
        if given is not None and given != size:
            raise ValueError(f"{name}={given} contradicts bg, which has the shape {bg.shape}")
    return np.array(bg, order="C")


def _require_buffer(buffer: NDArray | None, dtype: type, shape: tuple[int, ...], name: str) -> None:
    if buffer is None:
        return
    wanted = np.dtype(dtype)
    if not isinstance(buffer, np.ndarray) or buffer.dtype != wanted:
        raise TypeError(f"{name} must be a {wanted} array, got {getattr(buffer, 'dtype', type(buffer).__name__)}")
    if buffer.shape != shape:
        raise ValueError(f"{name} must have the shape {shape} of the image, got {buffer.shape}")
    if not buffer.flags.carray:
        raise ValueError(f"{name} is updated in place, so it must be writeable, aligned and C-contiguous")
