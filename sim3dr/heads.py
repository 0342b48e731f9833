"""Draw heads of known pose over their boxes in a photograph, with a perspective camera.

Axes of the camera: x right, y down, z into the scene. A head's rotation R takes head axes (`sim3dr.mesh`) to these: a
frontal face is diag(1, -1, -1). Boxes are (x, y, w, h) in pixels with the origin at the top left corner of the image;
so is the principal point. The default focal length is width + height of the image, the default principal point its
center.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim3dr._arrays import byte_array
from sim3dr.lighting import RenderPipeline
from sim3dr.mesh import Mesh, default_head
from sim3dr.renderer import draw


def place_head(
    mesh: Mesh,
    rotation: ArrayLike,
    box: Sequence[float] | NDArray[np.floating],
    size: tuple[int, int],
    focal: float | None = None,
    center: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Turn a head by its rotation and move it so that it fills its box.

    Each side of the box is a plane through the camera, and the head has to touch all four. That is possible only if the
    box has the shape of the head; otherwise the distance is the geometric mean of those at which width and height
    match, and the head is centered. The head is never scaled, so a smaller box is farther away.

    Args:
        mesh: in head axes, any unit.
        rotation: (3, 3), head to camera.
        box: (x, y, w, h), which the vertices `mesh.enclosed` fill, or all vertices without it.
        size: height and width of the image.
        focal: focal length in pixels.
        center: (x, y), the principal point in pixels.

    Returns:
        float32 (N, 3), the vertices in camera axes, in the unit of the mesh, with the camera at the origin.

    Raises:
        ValueError: the matrix is not a rotation, the box or the mesh has no extent, or the focal length is not
            positive.
    """
    rotation, place = np.asarray(rotation, np.float64), np.asarray(box, np.float64)
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise ValueError(f"rotation must be a rotation matrix (3, 3), got {rotation.tolist()}")
    if np.linalg.det(rotation) < 0:
        raise ValueError("rotation must be a rotation matrix, got a reflection (its determinant is -1)")
    if place.shape != (4,) or not np.isfinite(place).all() or not (place[2:] > 0).all():
        raise ValueError(f"box must be (x, y, w, h) with w and h above 0, got {place.tolist()}")
    length, principal = _intrinsics(size, focal, center)
    # Coordinates are rows here: reducing along them is several times faster than along columns of three
    turned = rotation @ np.asarray(mesh.vertices, np.float64).T
    enclosed = turned if mesh.enclosed is None else turned[:, np.asarray(mesh.enclosed)]
    middle = ((enclosed.min(1) + enclosed.max(1)) / 2)[:, None]
    turned, enclosed = turned - middle, enclosed - middle
    corners = place[:2], place[:2] + place[2:]
    low, high = ((corner - principal) / length for corner in corners)  # slopes of the four planes
    # How far the head reaches beyond a plane of this slope through its center
    from_low = (enclosed[:2] - low[:, None] * enclosed[2]).min(1)
    from_high = (enclosed[:2] - high[:, None] * enclosed[2]).max(1)
    distance = np.sqrt(np.prod((from_high - from_low) / (high - low)))
    if not (np.isfinite(distance) and distance > 0):
        raise ValueError(f"mesh must have an extent to fill a box, but its vertices reach over {np.ptp(enclosed, 1)}")
    # On the planes: shift - low * distance = -from_low, shift - high * distance = -from_high. Else halfway.
    shift = ((low + high) * distance - from_low - from_high) / 2
    return np.ascontiguousarray((turned + np.append(shift, distance)[:, None]).T, np.float32)


def project(
    points: ArrayLike, size: tuple[int, int], focal: float | None = None, center: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Project points in camera axes (N, 3) to vertices in the frame of the image (`sim3dr.renderer`), float32 (N, 3).

    z becomes 1 / distance, which is linear on the screen, so surfaces hide each other exactly. Points that are not in
    front of the camera become NaN, and triangles with such a point are left out.
    """
    length, principal = _intrinsics(size, focal, center)
    points = np.asarray(points, np.float64)
    with np.errstate(divide="ignore"):
        nearness = np.where(points[:, 2:] > 0, 1 / points[:, 2:], np.nan)
    return np.concatenate([length * points[:, :2] * nearness + principal - 0.5, nearness], 1).astype(np.float32)


def head_in_image(
    mesh: Mesh,
    rotation: ArrayLike,
    box: Sequence[float] | NDArray[np.floating],
    size: tuple[int, int],
    focal: float | None = None,
    center: Sequence[float] | None = None,
) -> Mesh:
    """Place a head in its box (`place_head`) and project it: a mesh that `sim3dr.draw` takes.

    Colors, texture and opacity are those of the mesh. Arguments and errors are those of `place_head`.
    """
    points = place_head(mesh, rotation, box, size, focal, center)
    return mesh.replace(
        vertices=project(points, size, focal, center),
        # Mirrored from camera axes to those of the image (z towards the viewer), triangles turn the other way
        triangles=np.ascontiguousarray(np.asarray(mesh.triangles)[:, ::-1]),
        unprojected=points * np.array([1, 1, -1], np.float32),
    )


def draw_heads(
    image: NDArray[np.uint8],
    rotations: ArrayLike,
    boxes: ArrayLike,
    mesh: Mesh | None = None,
    *,
    light: RenderPipeline | None = None,
    shading: str = "gouraud",
    opacity: float = 1.0,
    antialias: bool = True,
    focal: float | None = None,
    center: Sequence[float] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Draw a head over each box, nearer ones (with larger boxes) in front.

    Args:
        image: uint8 (H, W, 3), the photograph; it is not modified.
        rotations: (n, 3, 3), head to camera.
        boxes: (n, 4): x, y, w, h; n may be 0.
        mesh: in head axes; `default_head()` if not given.
        light: from the upper left in front if not given.
        shading, antialias, threads: as in `sim3dr.draw`.
        opacity: opacity of the heads, from 0 to 1.
        focal, center: as in `place_head`.

    Returns:
        A new image.

    Raises:
        ValueError: as in `place_head` and `sim3dr.draw`, or the numbers of boxes and rotations differ.
    """
    image = byte_array(image, "image")
    rotations, boxes = _rows(rotations, (3, 3), "rotations"), _rows(boxes, (4,), "boxes")
    if len(rotations) != len(boxes):
        raise ValueError(f"there must be a box for each rotation, got {len(boxes)} for {len(rotations)}")
    mesh = default_head() if mesh is None else mesh
    light = RenderPipeline(light_pos=(-4, -5, 6)) if light is None else light
    size = image.shape[:2]
    mesh = mesh.replace(opacity=opacity)
    pairs = zip(rotations, boxes, strict=True)
    placed = [head_in_image(mesh, rotation, box, size, focal, center) for rotation, box in pairs]
    return draw(image, placed, light, shading=shading, antialias=antialias, threads=threads)


def _rows(array: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    array = np.asarray(array, np.float64)
    if array.size == 0:
        return np.zeros((0, *shape))
    if array.shape[1:] != shape:
        raise ValueError(f"{name} must have the shape (n, {', '.join(map(str, shape))}), got {array.shape}")
    return array


def _intrinsics(
    size: tuple[int, int], focal: float | None, center: Sequence[float] | None
) -> tuple[float, NDArray[np.float64]]:
    height, width = size
    length = float(width + height) if focal is None else float(focal)
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"focal must be a length in pixels above 0, got {length}")
    principal = np.asarray((width / 2, height / 2) if center is None else center, np.float64)
    if principal.shape != (2,) or not np.isfinite(principal).all():
        raise ValueError(f"center must be (x, y) in pixels, got {principal.tolist()}")
    return length, principal
