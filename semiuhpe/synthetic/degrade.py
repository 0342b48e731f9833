"""What cameras and the web do to a picture: blur, low resolution, noise, colors, compression.

Most pictures of the wild domain stay fairly sharp and clean, as most photographs on the web are; each step is often
absent and rarely strong. The order is that of a camera and a web page: lens, sensor, file, enlargement, editing, file.
"""

import cv2
import numpy as np

DEFOCUS, MOTION, SMALL, NOISE, SHARPENED, RECOLORED, GRAY, FADED, VIGNETTE, GLOW, ENLARGED_FILE = (
    0.20, 0.06, 0.15, 0.22, 0.14, 0.60, 0.15, 0.03, 0.08, 0.05, 0.5,
)  # fmt: skip
"""How often; ``ENLARGED_FILE`` is of the pictures of small heads."""
_ENLARGING = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)
_ENLARGING_SHARE = (0.45, 0.33, 0.16, 0.06)
_SEPIA = np.array([1.08, 0.98, 0.78], np.float32)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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
    return cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-6), borderType=cv2.BORDER_REFLECT_101)


def defocus(image: np.ndarray, radius: float) -> np.ndarray:
    """Blur by a disc of ``radius`` pixels, as a lens out of focus does."""
    reach = int(np.ceil(radius))
    across = np.arange(-reach, reach + 1, dtype=np.float32)
    disc = np.clip(np.float32(radius + 0.5) - np.hypot(across[:, None], across), 0, 1)
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


def add_noise(
    image: np.ndarray, constant: float, by_light: float, colored: float, rng: np.random.Generator
) -> np.ndarray:
    """Add the noise of a sensor.

    Args:
        image: uint8 (H, W, 3).
        constant: standard deviation of the noise in the dark, of 1 for white.
        by_light: that of the noise that white has in addition; its variance grows with the light.
        colored: strength of the coarser noise of colors, as a part of the noise of light.
        rng: the source of the noise.
    """
    level = np.arange(256, dtype=np.float32) / 255
    # Of display values: a tone curve is steep in the dark and flat in the light
    table = 255 * np.sqrt(constant**2 + by_light**2 * level) / (0.5 + level)
    gray = cv2.transform(image, _LUMA[None])
    spread = cv2.LUT(gray, table.astype(np.float32))
    noise = rng.standard_normal(gray.shape, np.float32) * spread
    if colored == 0:
        return cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
    height, width = gray.shape
    coarse = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32) * np.float32(colored)
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * spread[..., None]
    return cv2.add(image, coarse + noise[..., None], dtype=cv2.CV_8U)


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
    if rng.random() < DEFOCUS:
        image = defocus(image, float(0.7 + 2.2 * rng.random() ** 2.5) * unit)
    if rng.random() < GLOW:
        image = _glow(image, float(rng.uniform(2, 9)) * unit, float(rng.uniform(0.2, 0.9)))
    if rng.random() < MOTION:
        image = motion_blur(image, float(2.0 + 5.5 * rng.random() ** 2) * unit, float(rng.uniform(0, np.pi)))
    small = int(rng.uniform(smallest, 0.85) * size) if rng.random() < SMALL else size
    if small < size:  # a small head, enlarged again
        small = min(max(small, 24), size)
        image = cv2.resize(
            image, (small, small), interpolation=cv2.INTER_AREA if rng.random() < 0.8 else cv2.INTER_LINEAR
        )
    if rng.random() < NOISE:
        constant, by_light = 0.003 + 0.02 * rng.random(2) ** 3
        image = add_noise(image, constant, by_light, rng.uniform(0.3, 1.2) if rng.random() < 0.5 else 0.0, rng)
    if small < size:
        if rng.random() < ENLARGED_FILE:
            image = jpeg(image, _quality(rng))
        how = int(rng.choice(_ENLARGING, p=_ENLARGING_SHARE))
        image = cv2.resize(image, (size, size), interpolation=how)
    if rng.random() < SHARPENED:
        image = _sharpen(image, float(rng.uniform(0.6, 1.6)) * unit, float(rng.uniform(0.3, 1.4)))
    if rng.random() < RECOLORED:
        image = _shift_colors(image, rng)
    if rng.random() < VIGNETTE:
        image = _darken_corners(image, rng)
    old = rng.random()
    if old < GRAY + FADED:
        image = _without_color(image, rng, faded=old > GRAY)
    return jpeg(image, _quality(rng))


def end_photograph(image: np.ndarray, rng: np.random.Generator) -> None:
    """Fill a strip along one or two sides with one color, in place: what a crop has where its photograph ends."""
    size = image.shape[0]
    color = rng.choice((0, 255, 128), p=(0.8, 0.13, 0.07))
    for side in rng.permutation(4)[: 1 + (rng.random() < 0.3)]:
        width = max(1, int(size * rng.uniform(0.02, 0.26)))
        strip = (slice(0, width), slice(size - width, size))[side % 2]
        image[strip if side < 2 else (slice(None), strip)] = color


def _quality(rng: np.random.Generator) -> int:
    """Return a quality of JPEG: mostly as of cameras and web pages, rarely low."""
    return int(97 - 72 * rng.random() ** 2.5)


def _glow(image: np.ndarray, radius: float, amount: float) -> np.ndarray:
    """Let the brightest parts shine over their edges, as against bright light."""
    bright = cv2.threshold(image, 190, 0, cv2.THRESH_TOZERO)[1]
    return cv2.addWeighted(image, 1, cv2.GaussianBlur(bright, (0, 0), radius), 0.5 * amount, 0)


def _sharpen(image: np.ndarray, radius: float, amount: float) -> np.ndarray:
    """Exaggerate edges, so that they have halos."""
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), radius), -amount, 0)


def _shift_colors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change saturation, white balance, gamma and contrast."""
    saturation = float(np.exp(rng.normal(0, 0.22)))
    mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.broadcast_to(_LUMA, (3, 3))
    image = cv2.transform(image, mix)
    warm, green = rng.normal(0, (0.06, 0.03))
    level = np.arange(256, dtype=np.float32) / 255
    curve = level[:, None] ** np.exp(rng.normal(0, 0.16)) * np.exp([warm, green, -warm])
    curve = (curve - 0.5) * np.exp(rng.normal(0.05, 0.16)) + 0.5 + rng.normal(0, 0.03)
    return _by_table(image, curve)


def _darken_corners(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darken a picture toward its corners, about a point near its middle."""
    height, width = image.shape[:2]
    x0, y0 = rng.uniform(0.3, 0.7, 2)
    x = np.linspace(-x0, 1 - x0, width, dtype=np.float32) ** 2
    y = np.linspace(-y0, 1 - y0, height, dtype=np.float32) ** 2
    shade = 1 / (1 + np.float32(rng.uniform(0.3, 2.0)) * (x + y[:, None]))
    return cv2.multiply(image, cv2.merge([shade] * 3), dtype=cv2.CV_8U)


def _without_color(image: np.ndarray, rng: np.random.Generator, faded: bool) -> np.ndarray:
    """Make a picture black and white, often with more contrast; or, if it is faded, brownish and flat."""
    weights = rng.dirichlet(10 * _LUMA)[None].astype(np.float32)  # films and filters differ
    gray = cv2.cvtColor(cv2.transform(image, weights), cv2.COLOR_GRAY2RGB)
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    if not faded:
        contrast = float(np.exp(rng.normal(0.12, 0.2)))
        return _by_table(gray, np.repeat((level - 0.5) * contrast + 0.5 + rng.normal(0, 0.05), 3, 1))
    tone = 1 + (_SEPIA - 1) * np.float32(rng.uniform(0.2, 1.2))
    dark = rng.uniform(0.02, 0.2)
    return _by_table(gray, (dark + level * rng.uniform(0.75 - dark, 1 - dark)) * tone)


def _by_table(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Replace each channel's 256 levels by those of a curve (256, 3), in [0, 1]."""
    return cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3))
