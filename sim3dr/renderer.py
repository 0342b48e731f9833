"""Drawing of triangle meshes into images, and their normals.

Conventions, for the whole package:

- Vertices are in the frame of the image: x right and y down in pixels, z towards the viewer in any unit: where
  surfaces overlap, the larger z is seen. The projection is the caller's; depth is interpolated linearly on the screen.
- The centre of the pixel in column i and row j lies at (x, y) = (i, j), as in OpenCV, so the image covers x from -0.5
  to width - 0.5.
- Pixels are covered where their centre lies inside the triangle; centres on a shared edge belong to exactly one of
  the two triangles (top-left rule). Vertices are snapped to 1/256 pixel first. Both sides of a triangle are drawn.
- The normal of a triangle (p, q, r) is (q - p) x (r - p), by coordinates. It points to the viewer if p, q, r run
  clockwise on the screen. Meshes whose triangles run counter-clockwise seen from outside, as most files have them,
  get outward normals in the frame of the image from `triangles[:, ::-1]`.
- Triangles with a vertex that is NaN, infinite or farther than 2**20 pixels from the origin are left out, and so
  are triangles without area.
- Images are uint8 (H, W, C). Colours are floats from 0 to 1, clipped to that range after interpolation and rounded to
  the nearest of the 256 levels. The channels may mean anything (RGB, BGR, grey), as long as image and colours agree.

Every function may be called from several threads at once: the core releases the GIL and keeps nothing between calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim3dr import _core
from sim3dr._arrays import color_array, index_array, real_array


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
    depth: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Draw a mesh with a colour at each vertex (Gouraud interpolation) over a background, by z-buffer.

    Args:
        vertices: (N, 3), pixels, larger z nearer. float32 is used as it is, other real dtypes are converted.
        triangles: (M, 3) integers, indices of vertices.
        colors: (N, C), from 0 to 1.
        bg: uint8 (H, W, C), the background; it is not modified. Without it the background is black and of the size
            given by `height`, `width` and `channel`.
        height: rows of the image; needed without `bg`.
        width: columns of the image; needed without `bg`.
        channel: channels of the image; without it and without `bg`, as many as `colors` has.
        reverse: draw the mesh upside down: its row y goes to row H - 1 - y. The background stays upright.
        depth: float32 (H, W), C-contiguous, updated in place: the z of what is seen in each pixel of the image. Only
            what has a larger z than it is drawn, so that several meshes can share one. Begin with one full of -inf,
            which stands for nothing there. Without it each call begins with nothing there.

    Returns:
        A new image, uint8 (H, W, C). Where two triangles have exactly the same depth the earlier one is seen.

    Raises:
        TypeError: an array is of a kind that cannot be meant, such as triangles of floats or colours of bytes.
        ValueError: shapes do not agree, an index is out of range, or the size of the image is missing.
    """
    vertices = real_array(vertices, "vertices")
    triangles = index_array(triangles, "triangles")
    colors = color_array(colors, "colors")
    image = _canvas(bg, height, width, channel, colors)
    if depth is None:
        depth = np.full(image.shape[:2], -np.inf, np.float32)
    else:
        _require_depth(depth, image.shape[:2])
    _core.rasterize(image, depth, vertices, triangles, colors, bool(reverse))
    return image


def vertex_normals(vertices: ArrayLike, triangles: ArrayLike) -> NDArray[np.float32]:
    """Unit normals at the vertices: the normals of the triangles around each, weighted by area.

    The sense follows the order of each triangle's vertices: (q - p) x (r - p) for the triangle (p, q, r).

    Args:
        vertices: (N, 3), in any unit and any frame.
        triangles: (M, 3) integers, indices of vertices.

    Returns:
        float32 (N, 3). It is (0, 0, 0) where there is no direction: at vertices of no triangle, or only of triangles
        without area. Triangles with a vertex that is not finite do not count.

    Raises:
        TypeError, ValueError: as in `rasterize`.
    """
    return _core.vertex_normals(real_array(vertices, "vertices"), index_array(triangles, "triangles"))


get_normal = vertex_normals  # its name in the Sim3DR of 3DDFA_V2


def _canvas(
    bg: NDArray[np.uint8] | None,
    height: int | None,
    width: int | None,
    channel: int | None,
    colors: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """A new image to draw on: a copy of the background, or black."""
    if bg is None:
        if height is None or width is None:
            raise ValueError("give either bg or both height and width")
        if channel is None:
            channel = colors.shape[-1] if colors.ndim == 2 else 3
        return np.zeros((height, width, channel), np.uint8)
    bg = np.asarray(bg)
    if bg.dtype != np.uint8:
        raise TypeError(f"bg must be uint8, got the dtype {bg.dtype}")
    if bg.ndim != 3:
        raise ValueError(f"bg must have the shape (H, W, C), got {bg.shape}")
    for name, given, size in zip(("height", "width", "channel"), (height, width, channel), bg.shape, strict=True):
        if given is not None and given != size:
            raise ValueError(f"{name}={given} contradicts bg, which has the shape {bg.shape}")
    return np.array(bg, order="C")


def _require_depth(depth: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if not isinstance(depth, np.ndarray) or depth.dtype != np.float32:
        raise TypeError(f"depth must be a float32 array, got {getattr(depth, 'dtype', type(depth).__name__)}")
    if depth.shape != shape:
        raise ValueError(f"depth must have the shape {shape} of the image, got {depth.shape}")
    if not (depth.flags.c_contiguous and depth.flags.writeable):
        raise ValueError("depth is updated in place, so it must be writeable and C-contiguous")
