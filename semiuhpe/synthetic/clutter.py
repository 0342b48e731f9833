"""Things that a head detector meets in focus and that are no heads: plates, balls, lamps, wheels, flowers, cushions.

Most are round, as heads are. Each is drawn once, from a fixed seed, so a picture never depends on what was drawn before
it, and then scaled, seen from aslant, turned and recolored.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from semiuhpe.synthetic.scenery import Color, color_near, noise

SIDE = 96  # of a thing, in pixels
POOL_SIZE = 240
NONE, MOST = 0.25, 14  # how often a picture has no thing in focus, and most of them on one
SMALLEST, LARGEST = 0.03, 0.5  # sizes, as shares of the picture's side
_REACH = 0.42 * SIDE  # largest radius of what is drawn
_FOODS = (
    (196, 142, 78), (128, 74, 40), (230, 200, 120), (172, 48, 36), (88, 124, 48), (244, 236, 214), (222, 130, 40),
    (92, 48, 60), (60, 40, 30), (240, 176, 160),
)  # fmt: skip
_SKINS = ((234, 190, 162), (206, 150, 114), (150, 98, 70), (92, 58, 44))
Thing = tuple[np.ndarray, np.ndarray]
"""Color (SIDE, SIDE, 3) float32 of 0 to 255, and how opaque each pixel is (SIDE, SIDE) float32."""


def draw_things(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a random number of things over a square picture (S, S, 3) uint8, in place."""
    if rng.random() < NONE:
        return
    side = len(image)
    typical = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))  # things on a table are of like sizes
    for _ in range(int(rng.integers(1, MOST + 1))):
        size = float(np.clip(typical * np.exp(rng.normal(0, 0.5)), SMALLEST, LARGEST)) * side
        _put(image, _thing(int(rng.integers(POOL_SIZE))), size, rng)


@cache
def _thing(number: int) -> Thing:
    rng = np.random.default_rng((7600, number))
    color, opaque = _KINDS[number % len(_KINDS)](rng)
    return np.clip(color, 0, 255).astype(np.float32), opaque.astype(np.float32)


def _put(image: np.ndarray, thing: Thing, size: float, rng: np.random.Generator) -> None:
    """Draw a thing of about ``size`` pixels anywhere on the picture."""
    color, opaque = thing
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.4 else rng.normal(0, 0.15)
    cos, sin = np.cos(angle), np.sin(angle)
    flat = rng.uniform(0.35, 1.0) if rng.random() < 0.5 else 1.0  # seen from aslant
    linear = np.diag([1.0, flat]) @ np.array([[cos, -sin], [sin, cos]]) * (size / SIDE)
    linear[0] *= rng.choice((-1, 1))
    half = int(np.ceil(0.75 * size))
    middle = rng.integers(0, len(image), 2)
    low, high = np.maximum(middle - half, 0), np.minimum(middle + half, len(image))
    part = image[low[1] : high[1], low[0] : high[0]]
    offset = (middle - low) - linear @ np.array([SIDE / 2, SIDE / 2])
    matrix = np.concatenate([linear, offset[:, None]], 1)
    if size < 0.5 * SIDE:  # linear interpolation alone would leave out pixels
        smooth = 0.4 * SIDE / size
        color, opaque = (cv2.GaussianBlur(layer, (0, 0), smooth) for layer in (color, opaque))
    shape = part.shape[1::-1]
    shown = cv2.warpAffine(color, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(opaque, matrix, shape, flags=cv2.INTER_LINEAR)[..., None]
    shown = shown * np.exp(rng.normal(-0.1, 0.25)).astype(np.float32)
    part[:] = np.clip(part + share * (shown - part), 0, 255).astype(np.uint8)


# ---- shapes ----


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y, distance from the middle and direction of each pixel; distances in units of the largest radius."""
    across = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / np.float32(_REACH)
    x, y = np.meshgrid(across, across)
    return x, y, np.hypot(x, y), np.arctan2(y, x)


def _inside(distance: np.ndarray, radius: np.ndarray | float = 1.0) -> np.ndarray:
    """Return 1 within the radius and 0 outside, with an edge of about a pixel."""
    return np.clip((radius - distance) * _REACH + 0.5, 0, 1)


def _flat(color: Color) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.float32), (SIDE, SIDE, 3)).copy()


def _over(below: np.ndarray, color: np.ndarray | Color, share: np.ndarray) -> np.ndarray:
    """Return a layer of a color over another one."""
    return below + share[..., None] * (np.asarray(color, np.float32) - below)


def _any_color(rng: np.random.Generator) -> Color:
    return color_near(rng, rng.uniform(25, 230), 40 if rng.random() < 0.5 else 14)


def _wavy(direction: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Return a radius for each direction: about 1, less where the outline bends inward."""
    radius = np.ones_like(direction)
    for turns in (2, 3, 4, 5):
        radius += amount / turns * rng.normal() * np.cos(turns * direction + rng.uniform(0, 2 * np.pi))
    return radius / max(float(radius.max()), 1.0)


def _shaded(color: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what a ball of a color looks like in the light of a lamp, with a highlight if it is glossy."""
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    lamp = np.array([rng.normal(0, 0.5), -rng.uniform(0.2, 0.9), rng.uniform(0.4, 1.0)])
    lamp /= np.linalg.norm(lamp)
    facing = np.clip(lamp[0] * x + lamp[1] * y + lamp[2] * z, 0, 1)
    lit = color * (rng.uniform(0.25, 0.55) + 0.75 * facing)[..., None]
    if rng.random() < 0.6:
        lit += rng.uniform(60, 200) * (facing ** rng.uniform(15, 80))[..., None]
    return lit


# ---- things ----


def _plate(rng: np.random.Generator) -> Thing:
    """A plate or a bowl with food on it."""
    x, y, far, _ = _grid()
    china = color_near(rng, (240, 238, 232), 10) if rng.random() < 0.7 else _any_color(rng)
    color = _flat(china) * (1 + 0.12 * x * rng.normal() + 0.12 * y * rng.normal())[..., None]
    rim = rng.uniform(0.62, 0.88)
    color = _over(color, np.array(china) * rng.uniform(0.6, 0.9), 0.8 * np.exp(-(((far - rim) / 0.05) ** 2)))
    if rng.random() < 0.4:
        color = _over(color, _any_color(rng), _inside(far, 0.98) * (1 - _inside(far, rng.uniform(0.86, 0.95))))
    for _ in range(int(rng.integers(1, 9))):
        away, angle = rng.uniform(0, 0.45) * rim, rng.uniform(0, 2 * np.pi)
        px, py = x - away * np.cos(angle), y - away * np.sin(angle)
        reach = rng.uniform(0.15, 0.65) * rim
        outline = reach * _wavy(np.arctan2(py, px), rng, 0.5)
        food = color_near(rng, _FOODS[rng.integers(len(_FOODS))], 14)
        grain = 1 + rng.uniform(0.05, 0.35) * noise(rng, int(rng.integers(6, 24)), 2, SIDE)
        piece = np.array(food, np.float32) * (grain * (1.05 - 0.4 * py / reach).clip(0.6, 1.3))[..., None]
        color = _over(color, piece, _inside(np.hypot(px, py), outline) * _inside(far, rim))
    return color, _inside(far)


def _ball(rng: np.random.Generator) -> Thing:
    """A ball, a fruit, a balloon: of one color, in stripes, in patches, or rough."""
    x, y, _, _ = _grid()
    tall = rng.uniform(0.75, 1.0)
    x = x / tall
    color = _flat(_any_color(rng))
    kind = rng.integers(4)
    if kind == 1:
        color = _over(color, _any_color(rng), (np.sin(rng.uniform(3, 9) * (x + 0.5 * y * y)) > 0.2).astype(np.float32))
    elif kind == 2:
        color = _over(color, _any_color(rng), (noise(rng, 3, 1, SIDE) > rng.uniform(-0.1, 0.3)).astype(np.float32))
    elif kind == 3:
        color *= (1 + rng.uniform(0.1, 0.4) * noise(rng, int(rng.integers(8, 32)), 2, SIDE))[..., None]
    return _shaded(color, x, y, rng), _inside(np.hypot(x, y))


def _lamp(rng: np.random.Generator) -> Thing:
    """A lamp or the sun: bright, with a glow around it."""
    _, _, far, _ = _grid()
    light = color_near(rng, (255, 232, 190), 16)
    core = rng.uniform(0.2, 0.8)
    color = _over(_flat(light), (255, 252, 240), _inside(far, core))
    return color, np.maximum(_inside(far, core), 0.7 * np.exp(-((far / core) ** 2)))


def _wheel(rng: np.random.Generator) -> Thing:
    """A wheel, a clock, a fan, a target: rings, with spokes or marks."""
    _, _, far, direction = _grid()
    color = _flat(_any_color(rng))
    for radius in np.sort(rng.uniform(0.1, 0.95, int(rng.integers(1, 4))))[::-1]:
        color = _over(color, _any_color(rng), _inside(far, float(radius)))
    spokes = int(rng.integers(0, 13))
    if spokes:
        wide = rng.uniform(0.02, 0.1)
        apart = np.abs(np.sin(spokes / 2 * (direction + rng.uniform(0, 6)))) * far * 2 / spokes
        ring = _inside(far, 0.9) * (1 - _inside(far, rng.uniform(0.0, 0.7)))
        color = _over(color, _any_color(rng), (apart < wide) * ring)
    return color, _inside(far)


def _flower(rng: np.random.Generator) -> Thing:
    """A flower: petals around a middle, or many small leaves."""
    _, _, far, direction = _grid()
    petals = rng.integers(4, 14)
    radius = 0.65 + 0.35 * np.abs(np.cos(petals / 2 * (direction + rng.uniform(0, 6))))
    color = _flat(color_near(rng, (210, 120, 140), 60)) * (0.65 + 0.5 * far)[..., None]
    color *= (1 + 0.2 * noise(rng, 16, 2, SIDE))[..., None]
    color = _over(color, color_near(rng, (200, 160, 60), 30), _inside(far, rng.uniform(0.1, 0.4)))
    return color, _inside(far, radius)


def _lump(rng: np.random.Generator) -> Thing:
    """A stone, a bush, a bag, a heap: a rough outline, and a surface of its own."""
    x, y, far, direction = _grid()
    base = _any_color(rng) if rng.random() < 0.7 else color_near(rng, (70, 95, 45), 25)
    grain = 1 + rng.uniform(0.1, 0.5) * noise(rng, int(rng.integers(3, 20)), 3, SIDE)
    return _shaded(_flat(base) * grain[..., None], x, y, rng), _inside(far, _wavy(direction, rng, 0.6))


def _cushion(rng: np.random.Generator) -> Thing:
    """A cushion, a box, a sign, a screen: with rounded corners, sometimes with a border or a pattern."""
    x, y, _, _ = _grid()
    power, tall = rng.uniform(2.5, 12), rng.uniform(0.5, 1.0)
    far = (np.abs(x) ** power + np.abs(y / tall) ** power) ** (1 / power)
    color = _flat(_any_color(rng)) * (1 + 0.2 * noise(rng, 3, 2, SIDE) - 0.2 * y)[..., None]
    if rng.random() < 0.5:
        color = _over(color, _any_color(rng), _inside(far, rng.uniform(0.6, 0.95)))
    if rng.random() < 0.5:
        waves = np.sin(rng.uniform(4, 25) * (x * rng.normal() + y * rng.normal())) > rng.uniform(0, 0.9)
        color = _over(color, _any_color(rng), waves.astype(np.float32))
    return color, _inside(far)


def _vase(rng: np.random.Generator) -> Thing:
    """A vase, a bottle, a glass, a cup: a profile that is turned about its axis."""
    x, y, _, _ = _grid()
    heights = np.linspace(-1, 1, 6)
    profile = np.interp(y[:, 0], heights, rng.uniform(0.2, 0.75, 6)).astype(np.float32)
    profile = cv2.GaussianBlur(profile[:, None], (1, 0), 0, sigmaY=3)[:, 0]
    across = x / profile[:, None]
    color = _shaded(_flat(_any_color(rng)), across.clip(-1, 1), np.zeros_like(y), rng)
    if rng.random() < 0.4:
        label = (np.abs(y - rng.uniform(-0.3, 0.6)) < rng.uniform(0.1, 0.4)).astype(np.float32)
        color = _over(color, color * 0 + np.array(_any_color(rng)), label)
    return color, np.clip((1 - np.abs(across)) * profile[:, None] * _REACH + 0.5, 0, 1) * (np.abs(y) < 1)


def _limb(rng: np.random.Generator) -> Thing:
    """An arm, a leg, a hand, a knee: skin without a face."""
    x, y, _, _ = _grid()
    skin = color_near(rng, _SKINS[rng.integers(len(_SKINS))], 8)
    wide = rng.uniform(0.2, 0.6)
    along = (y + 1) / 2
    profile = wide * (1 + rng.normal(0, 0.25) * along + rng.normal(0, 0.2) * np.sin(np.pi * along))
    across = x / np.maximum(profile, 0.1)
    color = _shaded(_flat(skin), across.clip(-1, 1), np.zeros_like(y), rng)
    ends = np.clip((1.0 - np.abs(y)) * _REACH / 8, 0, 1)
    if rng.random() < 0.3:  # a sleeve
        color = _over(color, _any_color(rng), (y > rng.uniform(-0.5, 0.8)).astype(np.float32))
    return color, np.clip((1 - np.abs(across)) * profile * _REACH + 0.5, 0, 1) * ends


_KINDS: tuple[Callable[[np.random.Generator], Thing], ...] = (
    _plate, _ball, _plate, _lump, _wheel, _limb, _plate, _ball, _cushion, _flower, _lamp, _vase,
)  # fmt: skip
