"""The mean head as an implicit surface: smooth unions and cuts of ellipsoids and tapered capsules.

Head axes: x to the subject's left, y up, z out of the face; the origin lies between the ears at the height of the
eyes, and 1 unit is about 10 cm (the head is about 2.3 units high). The surface is symmetric, so it is described for
x >= 0 only and queried at |x|.

The head is star-shaped around the origin: :func:`cast_rays` finds its radius along given directions, so any grid of
directions gives a mesh. This happens once per process; identities are linear deformations of that mesh.
"""

import numpy as np

EYE_CENTER = np.array([0.315, -0.03, 0.735], np.float32)
EYE_RADIUS = 0.128
LID_THICKNESS = 0.016


def _ellipsoid(p: np.ndarray, center: tuple, radii: tuple) -> np.ndarray:
    """Return the approximate signed distance to an axis-aligned ellipsoid (exact on its surface)."""
    r = np.asarray(radii, np.float32)
    q = (p - np.asarray(center, np.float32)) / r
    k0 = np.linalg.norm(q, axis=-1)
    k1 = np.linalg.norm(q / r, axis=-1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)


def _capsule(p: np.ndarray, a: tuple, b: tuple, ra: float, rb: float) -> np.ndarray:
    """Return the signed distance to a segment whose radius goes from ``ra`` at ``a`` to ``rb`` at ``b``."""
    start = np.asarray(a, np.float32)
    ab = np.asarray(b, np.float32) - start
    h = np.clip((p - start) @ ab / (ab @ ab), 0.0, 1.0)
    return np.linalg.norm(p - start - h[..., None] * ab, axis=-1) - (ra + (rb - ra) * h)


def _union(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Return the smooth minimum: the two surfaces blend over a width of about ``k``."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25


def _cut(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Return ``a`` without ``b``, with an edge rounded over ``k``."""
    return -_union(-a, b, k)


def head_distance(points: np.ndarray) -> np.ndarray:
    """Return approximate signed distances (...) of ``points`` (..., 3) to the mean head without ears, hair and neck."""
    p = np.array(points, np.float32)
    p[..., 0] = np.abs(p[..., 0])
    # skull and the large masses of the face
    d = _ellipsoid(p, (0, 0.25, -0.11), (0.765, 0.82, 0.94))
    d = _union(d, _ellipsoid(p, (0, 0.22, 0.30), (0.63, 0.70, 0.62)), 0.20)
    d = _union(d, _ellipsoid(p, (0, -0.38, 0.30), (0.60, 0.66, 0.60)), 0.18)
    d = _union(d, _ellipsoid(p, (0, -0.78, 0.36), (0.44, 0.33, 0.47)), 0.22)
    d = _union(d, _capsule(p, (0.44, -0.40, 0.00), (0.40, -0.70, 0.10), 0.16, 0.13), 0.25)
    d = _union(d, _capsule(p, (0.40, -0.70, 0.10), (0.16, -1.02, 0.68), 0.13, 0.13), 0.22)
    d = _union(d, _capsule(p, (0.0, -1.03, 0.77), (0.07, -1.03, 0.76), 0.135, 0.12), 0.16)
    # the top of the neck, so that jaw and skull blend into it
    d = _union(d, _capsule(p, (0, -0.20, -0.27), (0, -0.58, -0.25), 0.46, 0.43), 0.20)
    # cheekbones and cheeks, flat temples
    d = _union(d, _ellipsoid(p, (0.45, -0.25, 0.50), (0.17, 0.14, 0.24)), 0.24)
    d = _union(d, _ellipsoid(p, (0.36, -0.58, 0.50), (0.17, 0.24, 0.26)), 0.25)
    d = _cut(d, _ellipsoid(p, (0.93, 0.16, 0.66), (0.22, 0.32, 0.32)), 0.40)
    # eye sockets, brow ridge, lids
    d = _cut(d, _ellipsoid(p, (0.31, -0.03, 1.00), (0.215, 0.155, 0.20)), 0.17)
    d = _union(d, _capsule(p, (0.07, 0.165, 0.84), (0.30, 0.21, 0.78), 0.085, 0.085), 0.12)
    d = _union(d, _capsule(p, (0.30, 0.21, 0.78), (0.50, 0.12, 0.60), 0.085, 0.08), 0.12)
    lids = np.linalg.norm(p - EYE_CENTER, axis=-1) - (EYE_RADIUS + LID_THICKNESS)
    d = _union(d, lids, 0.05)
    # nose: bridge, tip, wings
    d = _union(d, _capsule(p, (0, 0.08, 0.865), (0, -0.20, 1.005), 0.070, 0.075), 0.12)
    d = _union(d, _capsule(p, (0, -0.20, 1.005), (0, -0.390, 1.100), 0.070, 0.091), 0.09)
    d = _union(d, _ellipsoid(p, (0.108, -0.440, 1.000), (0.074, 0.072, 0.105)), 0.075)
    # mouth: the mound of the teeth, two lips, the line between them, the dip above the chin
    d = _union(d, _ellipsoid(p, (0, -0.69, 0.72), (0.30, 0.23, 0.245)), 0.16)
    d = _cut(d, _ellipsoid(p, (0, -0.90, 1.03), (0.22, 0.05, 0.10)), 0.10)
    d = _union(d, _capsule(p, (0.055, -0.655, 0.955), (0.22, -0.705, 0.845), 0.050, 0.018), 0.035)
    d = _union(d, _capsule(p, (0.0, -0.775, 0.945), (0.19, -0.735, 0.855), 0.060, 0.020), 0.035)
    d = _cut(d, _capsule(p, (0.0, -0.712, 1.045), (0.25, -0.715, 0.895), 0.040, 0.022), 0.03)
    d = _cut(d, _capsule(p, (0.0, -0.535, 1.02), (0.0, -0.60, 1.04), 0.026, 0.030), 0.03)  # philtrum
    # nostrils, open downward
    return _cut(d, _capsule(p, (0.055, -0.505, 1.065), (0.082, -0.520, 1.01), 0.026, 0.026), 0.02)


def cast_rays(directions: np.ndarray, start: float = 1.7, steps: int = 60) -> np.ndarray:
    """Return the head's radius (...) along unit ``directions`` (..., 3), by sphere tracing toward the origin."""
    radius = np.full(directions.shape[:-1], start, np.float32)
    for _ in range(steps):
        radius -= 0.7 * head_distance(directions * radius[..., None])
    return radius


def occlusion(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the ambient light (...), in [0, 1], at ``points`` of the surface: low in sockets and below the nose.

    Where the surface is concave, the distance to it grows more slowly than the step along the normal.
    """
    missing = np.zeros(points.shape[:-1], np.float32)
    for step, weight in ((0.03, 5.0), (0.08, 3.0), (0.16, 1.6), (0.30, 0.8)):
        missing += weight * np.maximum(step - head_distance(points + step * normals), 0.0)
    return np.exp(-1.3 * missing)
