"""Degradations by cameras and transmission: blur, low resolution, noise, color shifts, JPEG."""

import cv2
import numpy as np


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode a picture as JPEG and decode it."""
    # The channel order only decides which colors are kept finer; swapping it twice is not worth the time.
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "OpenCV reads what it has just written"
    return np.ascontiguousarray(decoded[..., ::-1])


def motion_blur(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur along a line of ``length`` pixels at ``angle`` radians."""
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    tip = np.array([np.cos(angle), np.sin(angle)]) * length / 2 + reach
    tail = 2 * reach - tip
    cv2.line(
        kernel,
        tuple(np.round(tail * 16).astype(int).tolist()),
        tuple(np.round(tip * 16).astype(int).tolist()),
        1.0,
        1,
        cv2.LINE_AA,
        4,
    )
    return cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-6))


def clean(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply slight JPEG compression only."""
    return jpeg(image, int(rng.integers(82, 98)))


def wild(image: np.ndarray, rng: np.random.Generator, unit: float | None = None, smallest: float = 0.3) -> np.ndarray:
    """Apply a random chain of degradations; each is often absent, and rarely strong.

    ``unit`` is the unit of blur in pixels, a 112th of the picture if None; ``smallest`` limits how much resolution a
    picture may lose.
    """
    size = image.shape[0]
    unit = size / 112.0 if unit is None else unit
    if rng.random() < 0.14:
        image = motion_blur(image, float(2.0 + 5.5 * rng.random() ** 1.5) * unit, float(rng.uniform(0, np.pi)))
    elif rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), float(0.5 + 1.1 * rng.random() ** 2) * unit)
    if rng.random() < 0.25:  # a small head, enlarged again
        small = max(24, int(rng.uniform(smallest, 0.75) * size))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        how = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST), p=(0.5, 0.4, 0.1)))
        image = cv2.resize(image, (size, size), interpolation=how)
    if rng.random() < 0.55:
        image = _shift_colors(image, rng)
    if rng.random() < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.35:
        noise = rng.standard_normal(image.shape[:2] + ((3,) if rng.random() < 0.6 else (1,)), np.float32)
        strength = np.float32(255 * (0.01 + 0.05 * rng.random() ** 3))
        image = np.clip(image + strength * noise, 0, 255).astype(np.uint8)
    return jpeg(image, int(98 - 70 * rng.random() ** 2))


def _shift_colors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change white balance, contrast and gamma."""
    level = np.arange(256, dtype=np.float32) / 255
    curve = level[:, None] ** np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.12, 3))
    curve = (curve - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.05)
    return cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3))
