"""Backgrounds: soft gradients with little clutter for the clean domain, anything for the wild one.

Pools of textures are made on first use from fixed seeds, so a picture never depends on what was drawn before it. Each
picture shows a region of a texture: turned, scaled, mirrored, recolored, and in the wild domain with additional shapes.
"""

from functools import cache

import cv2
import numpy as np

POOL_SIZE = 40
TEXTURE_SIZE = 160
# The hues in which pixels differ, as RGB: warm to cold a lot, green to magenta less
HUES = np.array([[1.0, 0.1, -1.0], [-0.35, 0.45, -0.25]], np.float32)


def _noise(rng: np.random.Generator, cells: int, size: int = TEXTURE_SIZE) -> np.ndarray:
    """Return smooth noise (size, size, 3), about in [0, 1], ``cells`` cells a side; stronger in light than in color."""
    light = rng.random((cells, cells, 1), np.float32)
    color = (rng.random((cells, cells, 2), np.float32) - np.float32(0.5)) @ (np.float32(0.4) * HUES)
    return cv2.resize(light + color, (size, size), interpolation=cv2.INTER_CUBIC)


def _color(rng: np.random.Generator) -> tuple[float, ...]:
    """Return a random color, more often dull than bright."""
    gray = rng.uniform(0.05, 0.95)
    spread = 0.08 if rng.random() < 0.7 else 0.30
    return tuple(float(c) for c in np.clip(gray + rng.normal(0, spread, 2) @ HUES, 0, 1))


@cache
def _clean_texture(index: int) -> np.ndarray:
    rng = np.random.default_rng((7400, index))
    image = 0.25 + 0.5 * _noise(rng, 2)
    for _ in range(int(rng.integers(2, 9))):  # furniture, windows, shadows on a wall: large and out of focus
        center, extent = rng.uniform(0, TEXTURE_SIZE, 2), rng.uniform(12, 60, 2)
        corners = cv2.boxPoints((tuple(center), tuple(extent), float(rng.choice((0, 0, rng.uniform(0, 90))))))
        cv2.fillConvexPoly(image, corners.astype(np.int32), _color(rng), cv2.LINE_AA)
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.5, 6.5)))
    noisy = blurred + (0.16 * (_noise(rng, 6) - 0.5) + 0.07 * (_noise(rng, 24) - 0.5))
    return (np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def _write(image: np.ndarray, x: int, y: int, reach: int, color: tuple, rng: np.random.Generator) -> None:
    """Draw a word of made-up letters: each a few strokes between the corners of its cell."""
    height = max(4, reach // 4)
    width = int(height * 0.7) + 1
    for letter in range(int(rng.integers(3, 9))):
        left = x + letter * (width + 2)
        corners = [
            (left, y),
            (left + width, y),
            (left, y - height),
            (left + width, y - height),
            (left, y - height // 2),
        ]
        strokes = rng.integers(0, len(corners), (int(rng.integers(2, 5)), 2))
        for a, b in strokes:
            cv2.line(image, corners[a], corners[b], color, 1 + height // 12, cv2.LINE_AA)


def _draw_clutter(image: np.ndarray, rng: np.random.Generator, n: int) -> None:
    """Draw ``n`` random objects into a float image, in place."""
    size = image.shape[0]
    for _ in range(n):
        kind = rng.integers(7)
        x, y = (int(c) for c in rng.integers(0, size, 2))
        color = _color(rng)
        reach = int(rng.integers(size // 20, size // 3))
        if kind == 0:
            points = np.array([x, y]) + rng.integers(-reach, reach + 1, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(image, [points.astype(np.int32)], color, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(
                image, (x, y), (x + reach, y + int(reach * rng.uniform(0.3, 2))), color, int(rng.choice((-1, 1, 3)))
            )
        elif kind == 2:
            axes = (reach // 2 + 1, int(reach * rng.uniform(0.2, 0.6)) + 1)
            cv2.ellipse(
                image, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, color, int(rng.choice((-1, 2))), cv2.LINE_AA
            )
        elif kind == 3:
            for k in range(int(rng.integers(2, 9))):  # a fence, a shelf, blinds
                shift = k * int(rng.integers(4, 10))
                cv2.line(
                    image,
                    (x + shift, y - reach),
                    (x + shift + reach // 4, y + reach),
                    color,
                    int(rng.integers(1, 4)),
                    cv2.LINE_AA,
                )
        elif kind == 4:
            _write(image, x, y, reach, color, rng)
        elif kind == 5:
            walk = np.array([x, y]) + np.cumsum(rng.integers(-reach // 3 - 1, reach // 3 + 2, (8, 2)), 0)
            cv2.polylines(image, [walk.astype(np.int32)], False, color, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:  # a person far behind
            skin = tuple(float(c) for c in np.array([0.85, 0.65, 0.53]) * rng.uniform(0.3, 1.1))
            r = reach // 4 + 3
            cv2.ellipse(image, (x, y + 3 * r), (2 * r, 2 * r), 0, 180, 360, color, -1, cv2.LINE_AA)
            cv2.ellipse(image, (x, y), (int(0.8 * r), r), 0, 0, 360, skin, -1, cv2.LINE_AA)
            dark = tuple(float(c) for c in rng.uniform(0.02, 0.35, 1) * np.array([1.0, 0.8, 0.7]))
            cv2.ellipse(image, (x, y - r // 5), (int(0.85 * r), int(0.9 * r)), 0, 180, 360, dark, -1, cv2.LINE_AA)


@cache
def _wild_texture(index: int) -> np.ndarray:
    rng = np.random.default_rng((7500, index))
    roughness = rng.uniform(0.35, 0.75)
    image: np.ndarray = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 3), 0.5, np.float32)
    image[:] = _color(rng)
    for octave, cells in enumerate((3, 6, 12, 24, 48, 96)):
        image += roughness ** (octave + 1) * rng.uniform(0.3, 1.3) * (_noise(rng, cells) - 0.5)
    _draw_clutter(image, rng, int(rng.integers(4, 26)))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 3.5)))
    image += rng.uniform(0, 0.3) * (_noise(rng, int(rng.integers(30, 120))) - 0.5)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _piece(texture: np.ndarray, size: int, rng: np.random.Generator, zoom: tuple[float, float]) -> np.ndarray:
    """Return a turned, scaled, mirrored region of a texture, at (size, size)."""
    scale = size / (TEXTURE_SIZE * rng.uniform(*zoom))
    a = rng.uniform(0, 2 * np.pi)
    linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * scale
    linear[:, 0] *= rng.choice((-1, 1))
    shift = size / 2 - linear @ rng.uniform(0, TEXTURE_SIZE, 2)
    matrix = np.concatenate([linear, shift[:, None]], 1)
    return cv2.warpAffine(texture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _recolor(image: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Make a picture brighter or darker, warmer or colder, and sometimes exchange red and blue."""
    level = np.arange(256, dtype=np.float32) / 255
    gain = np.exp(rng.normal(0, spread, 2) @ HUES) * rng.uniform(0.6, 1.15)
    curve = (level[:, None] ** np.exp(rng.normal(0, 0.35))) * gain + rng.normal(0, 0.04)
    table = np.clip(curve * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    return cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if rng.random() < 0.3 else image, table)


def clean_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a background (size, size, 3) uint8 of soft shapes and shadows."""
    texture = _clean_texture(int(rng.integers(POOL_SIZE)))
    return _recolor(_piece(texture, size, rng, (0.45, 1.0)), rng, 0.15)


def wild_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a cluttered background (size, size, 3) uint8, sometimes blurred, sometimes with an edge to another one."""
    half = (size + 1) // 2
    image = _recolor(_piece(_wild_texture(int(rng.integers(POOL_SIZE))), half, rng, (0.3, 1.1)), rng, 0.25)
    if rng.random() < 0.4:
        other = _recolor(_piece(_wild_texture(int(rng.integers(POOL_SIZE))), half, rng, (0.3, 1.1)), rng, 0.25)
        a, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3) * half
        grid = np.arange(half, dtype=np.float32) - half / 2
        beyond = np.cos(a) * grid[None] + np.sin(a) * grid[:, None] > offset
        image = np.where(beyond[..., None], other, image)
    if rng.random() < 0.4:
        scene = image.astype(np.float32) / 255
        _draw_clutter(scene, rng, int(rng.integers(1, 5)))
        image = (np.clip(scene, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.35:
        image = cv2.blur(image, (int(rng.choice((3, 5, 7))),) * 2)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
