"""Pictures of places to be in: walls, rooms, leaves, landscapes, streets, crowds, nights, curtains and prints.

They are rough, because a camera that is focused on a head blurs what is behind it. Each is uint8 RGB, square, upright
and a pure function of its generator.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

SIDE = 192  # of a picture, in pixels
Color = tuple[int, ...]

# The hues in which pixels differ, as RGB: warm to cold a lot, green to magenta less
HUES = np.array([[1.0, 0.1, -1.0], [-0.35, 0.45, -0.25]], np.float32)


def color_near(rng: np.random.Generator, base: tuple[float, ...] | float, spread: float = 12.0) -> Color:
    """Return a color near one of 0 to 255: lighter or darker, and a bit warmer or greener."""
    hue = rng.normal(0, 0.7 * spread, 2) @ HUES
    return tuple(np.clip(np.asarray(base) + hue + rng.normal(0, spread), 0, 255).astype(int).tolist())


def _any_color(rng: np.random.Generator) -> Color:
    """Return a random color: mostly dull, like most things, sometimes bright, like clothes and signs."""
    return color_near(rng, rng.uniform(15, 235), 10 if rng.random() < 0.7 else 45)


def _times(color: Color, factor: float) -> Color:
    return tuple(min(int(factor * c), 255) for c in color)


def noise(rng: np.random.Generator, cells: int, octaves: int = 1, side: int = SIDE) -> np.ndarray:
    """Return smooth noise (side, side) float32, about from -1 to 1, of ``cells`` cells a side and finer ones."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        fine = cells * 2**octave
        grid = rng.random((fine, fine), np.float32) - np.float32(0.5)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) * np.float32(2 * 0.6**octave)
    return total


def _filled(color: Color) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), color, np.uint8)


def _shaded(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply a picture by a factor for each pixel."""
    return cv2.multiply(image, cv2.merge([factor.astype(np.float32)] * 3), dtype=cv2.CV_8U)


def _blurred_shape(rng: np.random.Generator, corners: np.ndarray, blur: float) -> np.ndarray:
    """Return a soft mask (SIDE, SIDE), from 0 to 1, of a polygon."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), blur)


def _box(image: np.ndarray, x: float, y: float, w: float, h: float, color: Color, thickness: int = -1) -> None:
    cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), color, thickness)


# ---- things ----


def draw_person(image: np.ndarray, x: float, y: float, height: float, rng: np.random.Generator) -> None:
    """Draw head and shoulders; x and y are the head's center, the height is that of the head."""
    r = height / 2
    skin = tuple((np.array([232, 184, 152]) * rng.uniform(0.3, 1.0) ** np.array([0.8, 1.0, 1.1])).astype(int).tolist())
    hair = color_near(rng, [(25, 20, 18), (60, 42, 30), (105, 75, 50), (190, 160, 110)][rng.integers(4)], 6)
    center, long = (int(x), int(y)), rng.random() < 0.4
    if long:
        cv2.ellipse(image, (int(x), int(y + 0.5 * r)), (int(1.0 * r), int(1.5 * r)), 0, 0, 360, hair, -1, cv2.LINE_AA)
    _box(image, x - 0.35 * r, y + 0.5 * r, 0.7 * r, r, _times(skin, 0.8))
    body = (int(2.1 * r), int(1.6 * r))
    cv2.ellipse(image, (int(x), int(y + 2.9 * r)), body, 0, 180, 360, _any_color(rng), -1, cv2.LINE_AA)
    _box(image, x - 2.1 * r, y + 2.9 * r, 4.2 * r, 4 * r, _any_color(rng))
    cv2.ellipse(image, center, (int(0.78 * r), int(r)), 0, 0, 360, skin, -1, cv2.LINE_AA)
    turned = int(rng.uniform(-0.4, 0.4) * r)
    for side in (-1, 1):
        cv2.circle(image, (int(x + turned + side * 0.3 * r), center[1]), max(1, int(0.12 * r)), hair, -1, cv2.LINE_AA)
    mouth = (int(x + turned), int(y + 0.5 * r))
    cv2.ellipse(image, mouth, (int(0.28 * r), max(1, int(0.08 * r))), 0, 0, 360, (130, 70, 70), -1, cv2.LINE_AA)
    top = (int(x), int(y - 0.25 * r))
    cv2.ellipse(image, top, (int(0.85 * r), int(0.85 * r)), 0, 180, 360, hair, -1, cv2.LINE_AA)


def _write(image: np.ndarray, x: float, y: float, height: int, color: Color, rng: np.random.Generator) -> None:
    """Draw a word of made-up letters: each a few strokes between the corners of its cell."""
    width = int(height * 0.6) + 1
    for letter in range(int(rng.integers(3, 9))):
        left, top = int(x) + letter * (width + 2 + height // 6), int(y)
        cell = np.array([(0, 0), (width, 0), (0, -height), (width, -height), (0, -height // 2), (width, -height // 2)])
        for a, b in rng.integers(0, len(cell), (int(rng.integers(2, 5)), 2)):
            ends = (cell[[a, b]] + (left, top)).tolist()
            cv2.line(image, ends[0], ends[1], color, 1 + height // 10, cv2.LINE_AA)


def _shelf(image: np.ndarray, x: float, y: float, w: float, h: float, rng: np.random.Generator) -> None:
    """Draw a shelf with books and boxes."""
    wood = color_near(rng, (95, 70, 48), 25)
    _box(image, x, y, w, h, _times(wood, 0.5))
    rows = int(rng.integers(2, 6))
    for row in range(rows):
        bottom, left = y + h * (row + 1) / rows, x + 2
        while left < x + w - 4 and rng.random() < 0.97:
            wide, tall = rng.uniform(2, 8), h / rows * rng.uniform(0.5, 0.9)
            _box(image, left, bottom - tall, min(wide, x + w - left), tall, _any_color(rng))
            left += wide + (rng.uniform(0, 10) if rng.random() < 0.15 else 0)
        _box(image, x, bottom - 2, w, 2, wood)


def _window(image: np.ndarray, x: float, y: float, w: float, h: float, rng: np.random.Generator) -> None:
    """Draw a window, by day or by night, with its frame."""
    pane = color_near(rng, [(235, 242, 250), (200, 225, 245), (180, 200, 160), (20, 25, 40)][rng.integers(4)], 10)
    frame = color_near(rng, rng.choice((40.0, 200.0)), 15)
    _box(image, x, y, w, h, pane)
    if rng.random() < 0.5:
        _box(image, x, y + 0.6 * h, w, 0.4 * h, color_near(rng, (90, 120, 70), 20))
    for part in range(int(rng.integers(1, 4)) + 1):
        _box(image, x + w * part / 2 - 1, y, 2, h, frame)
    _box(image, x, y, w, h, frame, 3)


def _facade(image: np.ndarray, x: float, y: float, w: float, h: float, rng: np.random.Generator) -> None:
    """Draw a house with rows of windows."""
    wall = color_near(rng, [(150, 140, 130), (165, 110, 85), (200, 190, 170), (100, 105, 115)][rng.integers(4)], 15)
    _box(image, x, y, w, h, wall)
    lit = rng.random() < 0.15
    step_x, step_y = rng.uniform(9, 22), rng.uniform(12, 26)
    pane = _times(wall, rng.uniform(0.35, 0.8))
    for top in np.arange(y + step_y / 3, y + h, step_y):
        for left in np.arange(x + step_x / 4, x + w - step_x / 2, step_x):
            color = (250, 220, 150) if lit and rng.random() < 0.3 else pane
            _box(image, left, top, 0.5 * step_x, 0.6 * step_y, color)
    if rng.random() < 0.4:
        _box(image, x, y + 0.8 * h, w, 0.12 * h, _any_color(rng))
        _write(image, x + 4, y + 0.9 * h, int(rng.integers(6, 14)), _any_color(rng), rng)


def _discs(image: np.ndarray, rng: np.random.Generator, n: int, radius: float, colors: Sequence[Color]) -> np.ndarray:
    """Return the picture with discs of light: points that are out of focus."""
    layer = np.zeros_like(image)
    for _ in range(n):
        center = tuple(rng.integers(0, SIDE, 2).tolist())
        r = max(1, int(radius * rng.uniform(0.6, 1.2)))
        level, color = rng.uniform(0.2, 1), colors[int(rng.integers(len(colors)))]
        shade = _times(color, level)
        one = layer[max(center[1] - r - 2, 0) : center[1] + r + 3, max(center[0] - r - 2, 0) : center[0] + r + 3]
        disc = np.zeros_like(one)
        inside = (min(center[0], r + 2), min(center[1], r + 2))
        cv2.circle(disc, inside, r, shade, -1, cv2.LINE_AA)
        cv2.add(one, disc, dst=one)
    return cv2.add(image, layer)


# ---- places ----


def wall(rng: np.random.Generator) -> np.ndarray:
    """A wall of plaster, bricks, boards or tiles, with light and shadows on it."""
    base = color_near(rng, rng.uniform(60, 235), 14)
    image = _filled(base)
    kind = rng.integers(4)
    step = rng.uniform(8, 30)
    joint = _times(base, rng.uniform(0.55, 1.15))
    if kind == 1:
        high = step / 2
        for row, y in enumerate(np.arange(0, SIDE, high)):
            for x in np.arange(-step * (row % 2) / 2, SIDE, step):
                _box(image, x, y, step - 2, high - 2, color_near(rng, base, 9))
                _box(image, x, y, step, high, joint, 1)
    elif kind == 2:
        for x in np.arange(0, SIDE, step):
            _box(image, x, 0, step, SIDE, color_near(rng, base, 6))
            _box(image, x, 0, 1, SIDE, joint)
    elif kind == 3:
        for place in np.arange(rng.uniform(0, step), SIDE, step):
            _box(image, place, 0, 1, SIDE, joint)
            _box(image, 0, place, SIDE, 1, joint)
    if rng.random() < 0.3:
        w, h = rng.uniform(30, 80, 2)
        x, y = rng.uniform(0, SIDE - 30, 2)
        _box(image, x, y, w, h, _any_color(rng))
        _box(image, x, y, w, h, _any_color(rng), 4)
    factor = 1 + 0.15 * noise(rng, 2) + rng.uniform(0.0, 0.08) * noise(rng, 16, 4)
    if rng.random() < 0.6:  # the light of a window, or the shadow of something
        corners = rng.uniform(0, SIDE, 2) + np.array([[0, 0], [1, 0.2], [1, 1.2], [0, 1]]) * rng.uniform(30, 120, 2)
        factor += rng.uniform(-0.45, 0.45) * _blurred_shape(rng, corners, rng.uniform(1.5, 14))
    return _shaded(image, factor)


def room(rng: np.random.Generator) -> np.ndarray:
    """A room with furniture, shelves, windows and lamps."""
    image = _filled(color_near(rng, (175, 165, 150), 20))
    floor = int(rng.uniform(0.65, 1.1) * SIDE)
    _box(image, 0, floor, SIDE, SIDE, color_near(rng, (110, 85, 65), 25))
    corner = rng.uniform(-0.3, 1.3) * SIDE
    _box(image, corner, 0, SIDE, floor, color_near(rng, (150, 142, 130), 30))
    for _ in range(int(rng.integers(3, 10))):
        x, y = rng.uniform(-20, SIDE), rng.uniform(0, 0.6 * SIDE)
        w, h = rng.uniform(15, 70), rng.uniform(20, 90)
        thing = rng.integers(6)
        if thing == 0:
            _shelf(image, x, y, w, h, rng)
        elif thing == 1:
            _window(image, x, y, w, h, rng)
        elif thing == 2:  # a cupboard, a sofa, a table
            color = color_near(rng, rng.uniform(20, 200), 25)
            _box(image, x, floor - h, w, h + 15, color)
            _box(image, x, floor - h, w, 4, _times(color, 1.3))
        elif thing == 3:  # a picture, a screen
            _box(image, x, y, w, 0.7 * w, _any_color(rng))
            _box(image, x, y, w, 0.7 * w, color_near(rng, 40.0, 30), 2)
        elif thing == 4:  # a lamp
            light = color_near(rng, (255, 225, 170), 10)
            cv2.circle(image, (int(x), int(y)), int(w / 5), light, -1, cv2.LINE_AA)
        else:  # a curtain, a door
            _box(image, x, y, 0.7 * w, SIDE, color_near(rng, rng.uniform(60, 210), 25))
    return _shaded(image, 1 + 0.35 * noise(rng, 2) + 0.05 * noise(rng, 24, 2))


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Leaves, grass or trees, with light between them."""
    palette = np.array([(18, 28, 12), (45, 70, 25), (95, 125, 50), (165, 185, 95), (225, 235, 205)], np.float32)
    autumn = rng.random()
    palette += (autumn < 0.2) * np.array([[10, -8, -4], [55, -10, -8], [80, 0, -20], [45, -15, -40], [10, 0, -10]])
    palette *= rng.uniform(0.6, 1.15)
    place = np.clip((noise(rng, int(rng.integers(3, 9)), 5) * 0.5 + rng.uniform(0.3, 0.7)) * 4, 0, 3.99)
    table = np.stack([np.interp(np.linspace(0, 4, 256), np.arange(5), channel) for channel in palette.T], 1)
    levels = (place * 64).astype(np.uint8)
    image = cv2.LUT(cv2.merge([levels] * 3), np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3))
    for _ in range(int(rng.integers(0, 90))):
        center, axes = tuple(rng.integers(0, SIDE, 2).tolist()), tuple(rng.integers(1, 8, 2).tolist())
        color = color_near(rng, tuple(palette[rng.integers(5)]), 12)
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 4))):  # trunks and stalks
        x = rng.uniform(0, SIDE, 2)
        ends = (int(x[0]), 0), (int(x[0] + 0.2 * (x[1] - SIDE / 2)), SIDE)
        cv2.line(image, *ends, color_near(rng, (60, 45, 32), 12), int(rng.integers(2, 16)), cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 4)))
    bright = [(110, 125, 60), (160, 165, 110), (200, 205, 180)]
    return _discs(image, rng, int(rng.integers(0, 30)), rng.uniform(3, 11), bright)


def landscape(rng: np.random.Generator) -> np.ndarray:
    """A sky with clouds, often over hills, a sea, a beach or fields."""
    zenith, low = color_near(rng, (95, 145, 205), 22), color_near(rng, (205, 220, 232), 14)
    if rng.random() < 0.2:  # at dusk
        zenith, low = color_near(rng, (70, 75, 115), 18), color_near(rng, (240, 170, 110), 18)
    down = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to((1 - down) * np.array(zenith) + down * np.array(low), (SIDE, SIDE, 3))
    clouds = np.clip(noise(rng, 3, 5) * rng.uniform(0.5, 1.6) + rng.uniform(-0.5, 0.8), 0, 1)[..., None]
    image = np.clip(sky + clouds * (np.float32(rng.uniform(190, 250)) - sky), 0, 255).astype(np.uint8)
    horizon = rng.uniform(0.35, 1.3) * SIDE
    x = np.linspace(0, SIDE, 9)
    for distance in (0.6, 0.3, 0.0):
        if rng.random() < 0.55:
            line = horizon - distance * rng.uniform(10, 60) + rng.normal(0, 2 + 14 * distance, 9)
            ground = [(85, 110, 60), (105, 125, 140), (190, 175, 140), (75, 85, 70), (55, 95, 125)][rng.integers(5)]
            hazy = (1 - distance) * np.array(ground) + distance * np.array(low)
            corners = np.concatenate([np.stack([x, line], 1), [(SIDE, SIDE), (0, SIDE)]])
            cv2.fillPoly(image, [corners.astype(np.int32)], color_near(rng, tuple(hazy), 12), cv2.LINE_AA)
    return _shaded(image, 1 + rng.uniform(0.02, 0.12) * noise(rng, 8, 4))


def street(rng: np.random.Generator) -> np.ndarray:
    """Houses, cars and signs along a street."""
    image = _filled(color_near(rng, (200, 210, 220), 20))
    x = -rng.uniform(0, 40)
    while x < SIDE:
        w = rng.uniform(30, 100)
        _facade(image, x, rng.uniform(-80, 60), w, rng.uniform(160, 220), rng)
        x += w
    road = rng.uniform(0.7, 1.0) * SIDE
    _box(image, 0, road, SIDE, SIDE, color_near(rng, (105, 103, 102), 12))
    for _ in range(int(rng.integers(0, 6))):
        x = rng.uniform(0, SIDE)
        thing = rng.integers(3)
        if thing == 0:  # a car
            paint, w = _any_color(rng), rng.uniform(40, 80)
            _box(image, x, road - 0.2 * w, w, 0.3 * w, paint)
            _box(image, x + 0.2 * w, road - 0.38 * w, 0.55 * w, 0.2 * w, (50, 58, 66))
            for wheel in (0.2, 0.8):
                cv2.circle(image, (int(x + wheel * w), int(road + 0.1 * w)), int(0.1 * w), (25, 25, 25), -1)
        elif thing == 1:  # a sign
            y, w = rng.uniform(0, 0.6 * SIDE), rng.uniform(25, 60)
            _box(image, x, y, w, 0.5 * w, _any_color(rng))
            _write(image, x + 3, y + 0.35 * w, max(4, int(0.2 * w)), _any_color(rng), rng)
        else:  # a post
            _box(image, x, 0, rng.uniform(2, 8), SIDE, color_near(rng, 70.0, 25))
    return _shaded(image, 1 + 0.25 * noise(rng, 2) + 0.08 * noise(rng, 20, 3))


def crowd(rng: np.random.Generator) -> np.ndarray:
    """Rows of people, nearer ones lower and larger."""
    image = [room, street, wall, leaves][rng.integers(4)](rng)
    height = rng.uniform(16, 60)
    for y in np.arange(rng.uniform(20, 90), SIDE + height, 1.3 * height):
        for x in np.arange(rng.uniform(-height, 0), SIDE + height, height * rng.uniform(1.2, 3)):
            draw_person(image, x + rng.normal(0, 0.2 * height), y + rng.normal(0, 0.2 * height), height, rng)
    return image


def night(rng: np.random.Generator) -> np.ndarray:
    """A dark place with lamps that are out of focus."""
    image = _shaded(_filled(color_near(rng, (28, 24, 26), 9)), 1 + 0.6 * noise(rng, 3, 3))
    lamps = [(255, 190, 90), (255, 235, 200), (230, 60, 50), (80, 150, 255), (120, 220, 120), (200, 90, 220)]
    few = [lamps[i] for i in rng.choice(len(lamps), int(rng.integers(1, 4)), replace=False)]
    return _discs(image, rng, int(rng.integers(2, 50)), rng.uniform(2, 13), few)


def curtain(rng: np.random.Generator) -> np.ndarray:
    """Folds of cloth, or the blinds of a window."""
    along = noise(rng, 2) * rng.uniform(2, 9) + np.linspace(0, rng.uniform(12, 60), SIDE, dtype=np.float32)
    folds = np.sin(along) * rng.uniform(0.1, 0.4) + 0.1 * noise(rng, 2)
    image = _shaded(_filled(_any_color(rng)), 1 + folds)
    return image if rng.random() < 0.8 else np.ascontiguousarray(image.transpose(1, 0, 2))


def prints(rng: np.random.Generator) -> np.ndarray:
    """Posters, paintings on walls, shop windows: shapes and words."""
    image = _filled(_any_color(rng))
    for _ in range(int(rng.integers(4, 22))):
        x, y = rng.uniform(0, SIDE, 2)
        reach, color = int(rng.uniform(8, 60)), _any_color(rng)
        kind = rng.integers(5)
        if kind == 0:
            corners = np.array([x, y]) + rng.integers(-reach, reach + 1, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)
        elif kind == 1:
            _box(image, x, y, reach, reach * rng.uniform(0.3, 2), color, int(rng.choice((-1, 1, 3))))
        elif kind == 2:
            axes = (reach // 2 + 1, int(reach * rng.uniform(0.2, 0.6)) + 1)
            cv2.ellipse(image, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
        elif kind == 3:
            _write(image, x, y, int(rng.integers(6, 40)), color, rng)
        else:
            walk = np.array([x, y]) + np.cumsum(rng.integers(-reach // 2 - 1, reach // 2 + 2, (8, 2)), 0)
            cv2.polylines(image, [walk.astype(np.int32)], False, color, int(rng.integers(1, 6)), cv2.LINE_AA)
    return _shaded(image, 1 + 0.2 * noise(rng, 2) + rng.uniform(0, 0.06) * noise(rng, 16, 4))


PLACES: dict[Callable[[np.random.Generator], np.ndarray], float] = {
    wall: 0.20, room: 0.22, leaves: 0.18, landscape: 0.12, street: 0.07, crowd: 0.06, night: 0.06, curtain: 0.04,
    prints: 0.05,
}  # fmt: skip
"""Places, and their shares in backgrounds."""
