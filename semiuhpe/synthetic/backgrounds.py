"""Backgrounds: soft walls and gradients for the clean domain, anything for the wild one, or a user's own photographs.

Drawn backgrounds are pieces of pictures of :mod:`semiuhpe.synthetic.scenery`. A pool of those is made on first use from
fixed seeds, so a picture never depends on what was drawn before it. Each piece is scaled, mirrored, tilted, recolored,
and mostly out of focus.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from semiuhpe.synthetic import scenery
from semiuhpe.synthetic.degrade import defocus
from semiuhpe.synthetic.light import Light
from semiuhpe.synthetic.photographs import Photographs

POOL_SIZE = 192
CLEAN_PLAIN = 0.5  # how often a clean background is even paper
SHARP, NEIGHBOR, BESIDE = 0.1, 0.05, 0.15  # how often a place is nearly so, or has a person or another place close by
DEEP_PAPER, MOST_BESIDE = 0.4, 3  # of whole scenes: papers less often by this factor, and so many places side by side
UNTOUCHED = 0.4  # how often a photograph is as sharp as it is
FITTING = 0.75  # how often a wild background is one that the light suggests
_DISPLAY_GAMMA = 0.45  # of display values, about
_MOST_FINE_BLUR = 3.0  # pixels; larger blur is done on a smaller picture
_PAPERS = ((228, 262), (-6, 28), (28, 228))  # gray levels of the papers and walls of studios: white, black, others


@dataclass(frozen=True)
class Surroundings:
    """What may be behind a head: paper how often, how often which of :data:`_PAPERS`, and which places otherwise."""

    paper: float
    papers: tuple[float, float, float]
    places: tuple[Callable[[np.random.Generator], np.ndarray], ...]


ANYWHERE = Surroundings(0.32, (0.30, 0.36, 0.34), tuple(scenery.PLACES))
SURROUNDINGS = {
    "indoors": Surroundings(
        0.20, (0.35, 0.20, 0.45), (scenery.wall, scenery.room, scenery.curtain, scenery.prints, scenery.crowd)
    ),
    "outdoors": Surroundings(
        0.04, (0.70, 0.00, 0.30), (scenery.leaves, scenery.landscape, scenery.street, scenery.wall, scenery.crowd)
    ),
    "studio": Surroundings(0.80, (0.42, 0.30, 0.28), (scenery.wall, scenery.curtain)),
    "dark": Surroundings(0.60, (0.00, 0.75, 0.25), (scenery.wall, scenery.room, scenery.night, scenery.curtain)),
    "night": Surroundings(0.25, (0.00, 0.80, 0.20), (scenery.night, scenery.room, scenery.street, scenery.crowd)),
}
"""By the names that lights have for them, see :class:`semiuhpe.synthetic.light.Light`."""


@cache
def _pool(place: Callable[[np.random.Generator], np.ndarray]) -> range:
    """Return the numbers in the pool of the pictures of a place."""
    places = list(scenery.PLACES)
    ends = np.round(POOL_SIZE * np.cumsum([0.0, *scenery.PLACES.values()])).astype(int).tolist()
    which = places.index(place)
    return range(ends[which], ends[which + 1])


@cache
def _picture(place: Callable[[np.random.Generator], np.ndarray], number: int) -> np.ndarray:
    return place(np.random.default_rng((7500, number)))


def _any_of(places: tuple[Callable[[np.random.Generator], np.ndarray], ...], rng: np.random.Generator) -> np.ndarray:
    """Return a picture of one of several places, from the pool."""
    pools = [_pool(place) for place in places]
    number = int(rng.integers(sum(map(len, pools))))
    for place, pool in zip(places, pools, strict=True):
        if number < len(pool):
            return _picture(place, pool[number])
        number -= len(pool)
    raise AssertionError("the number is below the sum")


def clean_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a background (size, size, 3) uint8 of soft shapes and shadows, or of even paper."""
    if rng.random() < CLEAN_PLAIN:
        return _paper(size, rng, rng.uniform(45, 205), rng.uniform(0.25, 0.5), 7.0)
    small = max(size // 4, 16)
    piece = _piece(_any_of((scenery.wall, scenery.room), rng), small, rng, (0.5, 1.0))
    piece = defocus(piece, small * rng.uniform(0.02, 0.08))
    return cv2.resize(_recolored(piece, rng, 0.6), (size, size), interpolation=cv2.INTER_CUBIC)


def wild_background(
    size: int, rng: np.random.Generator, light: Light | None = None, photographs: Photographs | None = None,
    deep: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return a background (size, size, 3) uint8 of any kind.

    Args:
        size: side in pixels.
        rng: the only source of randomness.
        light: the light of the picture; what is behind the head mostly suits it, and is exposed as the head is.
        photographs: show a part of one of these instead of drawn places.
        deep: the picture shows a whole scene: much of a place, in focus, and rarely even paper.

    Raises:
        DataError: a photograph can't be read.
    """
    around = SURROUNDINGS[light.surroundings] if light is not None and rng.random() < FITTING else ANYWHERE
    brightness = 1.0 if light is None else float(np.clip(light.exposure, 0.25, 3.0)) ** _DISPLAY_GAMMA
    if photographs is None and rng.random() < around.paper * (DEEP_PAPER if deep else 1):
        low, high = _PAPERS[rng.choice(len(_PAPERS), p=around.papers)]
        return _paper(size, rng, brightness * rng.uniform(low, high), rng.uniform(0.05, 0.3), 8 * rng.random() ** 3)
    least, most = (0.002, 0.005) if deep or rng.random() < SHARP else (0.008, 0.05)
    blur = float(np.exp(rng.uniform(np.log(least), np.log(most)))) * size
    divisor = 2 if blur < 2 * _MOST_FINE_BLUR else 4
    small = max(size // divisor, 16)
    if photographs is not None:
        if deep or rng.random() < UNTOUCHED:
            divisor, blur, small = 1, 0.0, size
        photograph = photographs.read(int(rng.integers(photographs.count)))
        image = defocus(_crop(photograph, small, rng), blur / divisor)
        return cv2.resize(
            _recolored(image, rng, 0.5, np.sqrt(brightness)), (size, size), interpolation=cv2.INTER_LINEAR
        )
    zoom = (0.6, 1.0) if deep else (0.35, 1.0)
    # People in focus would be heads without labels
    places = tuple(place for place in around.places if place is not scenery.crowd) if deep else around.places
    image = _piece(_any_of(places, rng), small, rng, zoom)
    for _ in range(int(rng.integers(MOST_BESIDE + 1)) if deep else int(rng.random() < BESIDE)):
        other = _recolored(_piece(_any_of(places, rng), small, rng, zoom), rng, 1.0)
        edge = int(small * rng.uniform(0.05, 0.95))
        image[:, edge:] = other[:, edge:]  # behind the edge of a door, a pillar, a window
    if not deep and rng.random() < NEIGHBOR:
        height = small * rng.uniform(0.3, 0.7)
        x = small * (0.5 + rng.choice((-1, 1)) * rng.uniform(0.3, 0.6))
        scenery.draw_person(image, x, small * rng.uniform(0.2, 0.7), height, rng)
    image = defocus(image, blur / divisor)
    return cv2.resize(_recolored(image, rng, 1.0, brightness), (size, size), interpolation=cv2.INTER_LINEAR)


def _paper(size: int, rng: np.random.Generator, level: float, light: float, grain: float) -> np.ndarray:
    """Return paper or cloth (size, size, 3) of about a gray level, mostly with little color.

    The light on it varies by the share ``light``, its surface by ``grain`` levels.
    """
    side = 48
    base = np.array(scenery.color_near(rng, level, 4 if rng.random() < 0.6 else 22), np.float32)
    lit = 1 + np.float32(light) * scenery.noise(rng, 2, side=side)
    if rng.random() < 0.5:  # a lamp behind the head, or corners without light
        x0, y0 = rng.uniform(0, side, 2)
        across = np.arange(side, dtype=np.float32)
        distance = ((across - x0) ** 2 + (across[:, None] - y0) ** 2) / np.float32(side * rng.uniform(0.3, 1.0)) ** 2
        lit += np.float32(rng.uniform(-0.35, 0.7)) * np.exp(-distance)
    image = base * lit[..., None] + np.float32(grain) * scenery.noise(rng, 8, side=side)[..., None]
    return np.clip(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def _piece(picture: np.ndarray, size: int, rng: np.random.Generator, zoom: tuple[float, float]) -> np.ndarray:
    """Return a part of a square picture, (size, size): scaled, mirrored, and slightly tilted as the camera is."""
    side = len(picture)
    shown = side * rng.uniform(*zoom)
    a = np.radians(rng.normal(0, 5))
    linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * size / shown
    linear[:, 0] *= rng.choice((-1, 1))
    middle = rng.uniform(shown / 2, side - shown / 2, 2)
    matrix = np.concatenate([linear, (size / 2 - linear @ middle)[:, None]], 1)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _crop(photograph: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random square of a photograph, (size, size), mirrored half of the time."""
    height, width = photograph.shape[:2]
    side = max(1, round(min(height, width) * rng.uniform(0.35, 1.0)))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = photograph[y : y + side, x : x + side]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR if side < 1.5 * size else cv2.INTER_AREA)


def _recolored(image: np.ndarray, rng: np.random.Generator, amount: float, brightness: float = 1.0) -> np.ndarray:
    """Make a picture brighter or darker, warmer or colder."""
    level = np.arange(256, dtype=np.float32) / 255
    gain = np.exp(rng.normal(0, 0.07 * amount, 2) @ scenery.HUES + rng.normal(-0.15, 0.25 * amount)) * brightness
    curve = (level[:, None] ** np.exp(rng.normal(0, 0.3 * amount))) * gain + rng.normal(0, 0.03 * amount)
    return cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3))
