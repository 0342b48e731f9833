"""Occluders between camera and head: hands in 3D, and flat objects drawn over the picture."""

from functools import cache

import cv2
import numpy as np

from semiuhpe.synthetic.solids import Mesh, ellipsoid, join, tube


@cache
def _hand() -> Mesh:
    """Return a left hand with forearm: wrist at the origin, fingers along +y, palm toward +z, about 1.9 units long."""
    parts = [ellipsoid((0, 0.45, 0), (0.40, 0.50, 0.13), 8, 12)]
    for x, base, length, spread in (
        (-0.29, 0.78, 0.62, -0.10),
        (-0.10, 0.86, 0.76, -0.03),
        (0.09, 0.86, 0.72, 0.04),
        (0.27, 0.78, 0.54, 0.12),
    ):
        path = [(x, base - 0.1, 0), (x + 0.4 * spread, base + 0.4 * length, 0.04), (x + spread, base + length, 0.14)]
        parts.append(tube(path, (0.095, 0.085, 0.05), 7))
        parts.append(ellipsoid(path[-1], (0.055, 0.06, 0.055), 5, 7))
    parts.append(tube([(-0.28, 0.25, 0.02), (-0.52, 0.52, 0.10), (-0.58, 0.82, 0.16)], (0.13, 0.11, 0.06), 7))
    parts.append(tube([(0, 0.2, 0), (0, -0.4, -0.02), (0, -2.6, -0.2), (0, -7, -0.6)], (0.24, 0.20, 0.32, 0.5), 9))
    return join(parts)


def random_hand(rng: np.random.Generator, skin: np.ndarray, distance: float) -> Mesh:
    """Return a hand in camera axes in front of a head at ``distance``; its arm comes from outside the picture."""
    hand = _hand()
    v = hand.vertices * np.array([rng.choice((-1, 1)), 1, 1], np.float32) * np.float32(rng.uniform(0.75, 1.0))
    tilt_x, tilt_y = rng.normal(0, 0.35), rng.normal(0, 0.45)
    angle = rng.uniform(0, 2 * np.pi)  # the direction that the arm comes from
    cos, sin = np.cos(angle), np.sin(angle)
    in_plane = np.array([[-sin, -cos, 0], [cos, -sin, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt_x), -np.sin(tilt_x)], [0, np.sin(tilt_x), np.cos(tilt_x)]])
    about_y = np.array([[np.cos(tilt_y), 0, np.sin(tilt_y)], [0, 1, 0], [-np.sin(tilt_y), 0, np.cos(tilt_y)]])
    v = v @ (in_plane @ about_x @ about_y).T.astype(np.float32)
    reach = rng.uniform(1.0, 1.9)  # distance of the wrist from the center; the fingers point inward
    depth = distance - rng.uniform(1.15, 1.45)
    shrink = depth / distance  # nearer objects look larger: keep the hand's size and place in the picture
    center = np.array([cos * reach * shrink, sin * reach * shrink, depth], np.float32)
    albedo = np.broadcast_to(np.asarray(skin, np.float32), v.shape)
    return Mesh((v * np.float32(shrink) + center).astype(np.float32), hand.triangles, albedo, 0.06)


def _dull_color(rng: np.random.Generator) -> tuple[int, int, int]:
    """Return a color, rarely a bright one."""
    gray, spread = rng.uniform(10, 235), 12 if rng.random() < 0.75 else 60
    red, green, blue = np.clip(gray + rng.normal(0, spread, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def draw_object(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a flat object over a part of the head, in place: a panel, a disc, bars, or a ragged shape.

    Returns:
        Where it is, bool (H, W).
    """
    x, y, w, h = box
    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.42, 0.68)  # the middle of the head mostly stays visible
    center = np.array([x + w / 2 + np.cos(angle) * reach * w, y + h / 2 + np.sin(angle) * reach * h])
    extent = rng.uniform(0.16, 0.42, 2) * (w + h) / 2
    layer = image.copy()
    color = _dull_color(rng)
    kind = rng.integers(4)
    if kind == 0:
        corners = cv2.boxPoints((tuple(center), tuple(2 * extent), float(rng.uniform(0, 180))))
        cv2.fillConvexPoly(layer, np.round(corners * 16).astype(np.int32), color, cv2.LINE_AA, 4)
        inner = center + 0.75 * (corners - center)
        second = _dull_color(rng)
        cv2.polylines(
            layer, [np.round(inner * 16).astype(np.int32)], True, second, int(rng.integers(1, 4)), cv2.LINE_AA, 4
        )
    elif kind == 1:
        axes = tuple(int(a) for a in np.maximum(extent, 2))
        cv2.ellipse(
            layer, tuple(int(c) for c in center), axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA
        )
    elif kind == 2:
        width = max(1, int(rng.uniform(0.03, 0.09) * w))
        along = np.array([np.cos(angle + 1.2), np.sin(angle + 1.2)]) * 3 * w
        for offset in np.arange(rng.integers(1, 4)) * rng.uniform(2.5, 5) * width:
            middle = center + offset * np.array([np.cos(angle), np.sin(angle)])
            ends = [tuple(int(c) for c in middle + side * along) for side in (-1, 1)]
            cv2.line(layer, ends[0], ends[1], color, width, cv2.LINE_AA)
    else:
        n = int(rng.integers(5, 10))
        around = np.sort(rng.uniform(0, 2 * np.pi, n))
        radius = extent.mean() * rng.uniform(0.5, 1.3, n)
        points = center + radius[:, None] * np.stack([np.cos(around), np.sin(around)], 1)
        cv2.fillPoly(layer, [np.round(points * 16).astype(np.int32)], color, cv2.LINE_AA, 4)
    drawn: np.ndarray = (layer != image).any(2)
    if rng.random() < 0.5:  # nearer than the head, so out of focus
        width = 3 if max(image.shape) < 150 else 5
        opacity = cv2.blur(drawn.astype(np.float32), (width, width))[..., None]
        image[:] = np.round(image + opacity * (cv2.blur(layer, (width, width)) - image.astype(np.float32)))
    elif rng.random() < 0.3:
        cv2.addWeighted(layer, 0.75, image, 0.25, 0, dst=image)
    else:
        image[:] = layer
    return drawn
