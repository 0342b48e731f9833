"""Haircuts: the height of a shell over the scalp, its color, and the roots that are painted on the skin.

Where there is no hair the shell lies below the skin, so the hairline is where the two surfaces intersect. Strands are
patterns in color and height across lines along which the hair is combed. What hangs from the head is in
:mod:`semiuhpe.synthetic.hanging`.
"""

from functools import cache

import numpy as np

from semiuhpe.synthetic import hanging
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh

STRAND_PATTERNS = 8
# How often adult men, adult women, boys and girls have each style
STYLES = {
    "bald": (0.05, 0.0, 0.01, 0.0),
    "buzz": (0.13, 0.01, 0.10, 0.0),
    "short": (0.26, 0.05, 0.32, 0.03),
    "side part": (0.19, 0.05, 0.16, 0.02),
    "slicked back": (0.07, 0.03, 0.0, 0.02),
    "fringe": (0.06, 0.05, 0.27, 0.05),
    "undercut": (0.08, 0.01, 0.04, 0.0),
    "mohawk": (0.01, 0.004, 0.01, 0.0),
    "curly": (0.07, 0.05, 0.06, 0.04),
    "afro": (0.03, 0.03, 0.01, 0.02),
    "receding": (0.06, 0.0, 0.0, 0.0),
    "cornrows": (0.015, 0.02, 0.01, 0.02),
    "dreadlocks": (0.015, 0.02, 0.0, 0.01),
    "bob": (0.01, 0.11, 0.01, 0.10),
    "bob with fringe": (0.0, 0.06, 0.01, 0.11),
    "wavy": (0.02, 0.13, 0.01, 0.08),
    "long": (0.03, 0.16, 0.0, 0.16),
    "long with fringe": (0.0, 0.07, 0.0, 0.12),
    "bun": (0.01, 0.06, 0.0, 0.04),
    "ponytail": (0.01, 0.08, 0.0, 0.10),
    "pigtails": (0.0, 0.01, 0.0, 0.07),
    "braids": (0.0, 0.02, 0.0, 0.06),
}
GROWN_UP = 15  # years
THINNING_YEARS = (28, 75)  # over which men lose hair
THINNED = {"receding": 0.40, "bald": 0.20}  # additional weight at the end of these years
SHORTENING_YEARS = (45, 75)  # over which women come to wear shorter hair
SHORTENED = {"short": 0.25, "curly": 0.20, "bob": 0.20, "side part": 0.10}
CURLED = ("curly", "afro", "dreadlocks")
COVERS_EARS = ("bob", "bob with fringe", "wavy", "long", "long with fringe", "dreadlocks")
TIED = ("bun", "ponytail")  # what hangs from them keeps to the head
HANGING_COUNTS = ("bun",)  # for the head's box
EAR_ROOT, PRESSED = 0.03, 0.12  # from the innermost vertex of an ear, and what is left of the width beyond
BELOW_SKIN, SURELY_HIDDEN = -0.06, -0.04

# Height y of the hairline against the angle from the face (degrees): forehead, temple, side burn, ear, nape
LINE_ANGLES = (0, 14, 26, 36, 46, 56, 66, 74, 80, 98, 106, 118, 140, 180)
USUAL_LINE = (0.66, 0.67, 0.65, 0.56, 0.44, 0.22, -0.08, -0.16, 0.08, 0.10, -0.02, -0.40, -0.58, -0.64)
FRINGE_LINE = (0.25, 0.25, 0.24, 0.22, 0.16, 0.06, -0.10, -0.16, 0.08, 0.10, -0.02, -0.40, -0.58, -0.64)
OPEN_LINE = (0.70, 0.70, 0.60, 0.44, 0.24, 0.02, -0.25, -0.34, -0.38, -0.40, -0.40, -0.40, -0.40, -0.40)
CURTAIN_LINE = (0.25, 0.25, 0.24, 0.22, 0.16, 0.02, -0.25, -0.34, -0.38, -0.40, -0.40, -0.40, -0.40, -0.40)
RECEDED_LINE = (0.95, 0.95, 0.93, 0.90, 0.82, 0.62, 0.26, -0.12, 0.07, 0.10, -0.02, -0.40, -0.58, -0.64)
LINES = {
    "receding": RECEDED_LINE,
    "bald": RECEDED_LINE,
    "fringe": FRINGE_LINE,
    "bob": OPEN_LINE,
    "wavy": OPEN_LINE,
    "long": OPEN_LINE,
    "dreadlocks": OPEN_LINE,
    "bob with fringe": CURTAIN_LINE,
    "long with fringe": CURTAIN_LINE,
}

# Where hair is combed: along lines from the whorl, toward a knot at the back, or away from a parting
WHORL, KNOT = (0.0, 0.90, -0.45), (0.0, 0.35, -0.94)
COMBED_BACK = ("slicked back", "bun", "ponytail", "cornrows", "undercut", "mohawk", "pigtails")
PARTED = ("side part", "bob", "wavy", "long", "braids")
ROWS_OF_BRAIDS = 26  # around the head, of cornrows
SHEEN, SHEEN_HEIGHT, SHEEN_WIDTH = 0.45, 0.78, 0.13  # a bright band around the crown
DULL = ("buzz", "curly", "afro", "dreadlocks", "cornrows", "receding", "mohawk")
ROUNDING = 0.06  # of the corners of receding hair
PAINTED = {"bald": 0.22, "buzz": 0.75, "receding": 0.75}  # strength of roots on the skin, where it isn't the usual
USUALLY_PAINTED = 0.85


def random_style(rng: np.random.Generator, age: float, female: float) -> str:
    """Return the name of a haircut as people of this age (years) and sex (0 a man, 1 a woman) wear it."""
    woman = int(rng.random() < female)
    column = woman + (2 if age < GROWN_UP else 0)
    chances = {name: frequency[column] for name, frequency in STYLES.items()}
    years, change = (SHORTENING_YEARS, SHORTENED) if woman else (THINNING_YEARS, THINNED)
    share = float(np.clip((age - years[0]) / (years[1] - years[0]), 0, 1))
    for name, weight in change.items():
        chances[name] += share * weight
    p = np.array(list(chances.values()))
    return list(chances)[rng.choice(len(p), p=p / p.sum())]


def angle_from_face(v: np.ndarray) -> np.ndarray:
    """Return the angles (N,) around the vertical axis in degrees, 0 at the face, 180 at the back, unsigned."""
    return np.degrees(np.arctan2(np.abs(v[:, 0]), v[:, 2]))


def above_line(v: np.ndarray, line: tuple) -> np.ndarray:
    """Return the height (N,) of points of the scalp above a line given at :data:`LINE_ANGLES`."""
    return v[:, 1] - np.interp(angle_from_face(v), LINE_ANGLES, line)


def texture(style: str, pattern: int) -> np.ndarray:
    """Return the texture of hair, (vertices of the shell,) about in [-1, 1], for height and for color."""
    if style == "cornrows":
        return _rows(pattern)
    return curls(pattern) if style in CURLED else strands(pattern, _combing(style))


def _combing(style: str) -> str:
    return "back" if style in COMBED_BACK else "parted" if style in PARTED else "down"


def _shell() -> np.ndarray:
    t = template()
    return t.vertices[t.part["shell"]]


def _across(v: np.ndarray, combing: str) -> np.ndarray:
    """Return a coordinate (N,) in radians that is constant along combed hair."""
    x, y, z = v.T
    if combing == "back":  # angle about the axis through the knot
        toward = np.array(KNOT) / np.linalg.norm(KNOT)
        upward = np.cross(toward, (1, 0, 0))
        return np.arctan2(x, v @ -upward)
    if combing == "parted":  # straight down at sides and back, and across the top
        return np.arctan2(np.where(x < 0, -1, 1) * np.maximum(np.abs(x), 0.45 * smoothstep(z, -0.6, -0.2)), z)
    return np.arctan2(x - WHORL[0], z - WHORL[2] * smoothstep(y, 0.2, 0.9))


@cache
def strands(pattern: int, combing: str) -> np.ndarray:
    """Return a strand pattern (vertices of the shell,) about in [-1, 1]; it is always the same."""
    rng = np.random.default_rng(7000 + pattern)
    v = _shell()
    around = _across(v, combing)
    wave = 0.25 * np.sin(3 * v[:, 1] + rng.uniform(0, 6))  # strands are not quite straight
    value = np.zeros(len(v))
    for frequency, height in ((5, 0.30), (11, 0.45), (19, 0.6), (31, 0.6)):
        value += height * np.sin(frequency * (around + wave / np.sqrt(frequency)) + rng.uniform(0, 6))
    value = (value + 0.35 * _grain(rng, v)) / 1.6
    pole = np.array(KNOT if combing == "back" else WHORL)
    whorl = smoothstep(np.linalg.norm(v - pole, axis=1), 0.55, 0.15)  # strands that meet would look like a star
    if combing == "parted":
        whorl = np.zeros(len(v))
    return (value + whorl * (0.35 * curls(pattern) - value)).astype(np.float32)


def _grain(rng: np.random.Generator, v: np.ndarray) -> np.ndarray:
    """Return noise (N,) that is even over the scalp, although vertices are denser at its top."""
    return rng.standard_normal(len(v)) * smoothstep(np.hypot(v[:, 0], v[:, 2]), 0.0, 0.5)


@cache
def curls(pattern: int) -> np.ndarray:
    """Return lumps (vertices of the shell,) about in [-1, 1] for curly hair."""
    rng = np.random.default_rng(7100 + pattern)
    v = _shell()
    value = np.zeros(len(v))
    for frequency in (7.0, 12.0, 20.0):
        direction = rng.standard_normal((3, 3))
        value += np.prod(np.sin(frequency * v @ direction / 1.7 + rng.uniform(0, 6, 3)), axis=1) * 1.2
    return (value + 0.35 * _grain(rng, v)).astype(np.float32)


@cache
def _rows(pattern: int) -> np.ndarray:
    """Return 1 on the braids of cornrows and -1 between them, (vertices of the shell,)."""
    across = np.cos(ROWS_OF_BRAIDS / 2 * _across(_shell(), "back"))
    rng = np.random.default_rng(7150 + pattern)
    return (np.tanh(2.5 * across) + 0.15 * rng.standard_normal(len(across))).astype(np.float32)


def _both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return about the smaller of two heights (N,), without a corner where they meet."""
    return -ROUNDING * np.logaddexp(-a / ROUNDING, -b / ROUNDING)


def _horseshoe(v: np.ndarray) -> np.ndarray:
    """Return the depth (N,) of points of the scalp below the upper edge of receding hair, which leaves the top bare."""
    return 0.46 + 0.18 * smoothstep(v[:, 2], 0, -0.8) - v[:, 1]


@cache
def _cut(style: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a style's height above the hairline (vertices of the shell,) and its full thickness there."""
    v = _shell()
    x, y, z = v.T
    top = smoothstep(y, 0.35, 0.95)
    back = smoothstep(z, 0.1, -0.7)
    front = smoothstep(z, 0.3, 0.8)
    side = smoothstep(y, 0.70, 0.45)
    sheet = 0.04 + 0.07 * smoothstep(y, 0.4, 0.95)  # long hair; what hangs takes over below
    fringe = 0.045 * front * smoothstep(y, 0.6, 0.3)
    ridge = np.exp(-((x / 0.12) ** 4)) * smoothstep(z + y, -1.2, 0.3)
    thickness = {
        "buzz": 0.020 + 0 * y,
        "short": 0.045 + 0.085 * top + 0.04 * front * top,
        "side part": 0.05 + 0.12 * top + 0.06 * front * top,
        "slicked back": 0.04 + 0.06 * top + 0.03 * back,
        "fringe": 0.055 + 0.08 * top + 0.4 * fringe,
        "undercut": 0.012 + 0.13 * (1 - side) + 0.06 * front * (1 - side),
        "mohawk": 0.010 + 0.28 * ridge,
        "curly": 0.11 + 0.12 * top + 0.03 * back,
        "afro": 0.38 + 0.10 * top + 0.06 * back,
        "receding": 0.04 + 0.03 * back,
        "cornrows": 0.045 + 0 * y,
        "dreadlocks": 0.09 + 0.05 * top,
        "bob": sheet + 0.02,
        "bob with fringe": sheet + fringe,
        "wavy": sheet + 0.02 * top,
        "long": sheet,
        "long with fringe": sheet + fringe,
    }.get(style, 0.045 + 0.02 * top)
    above = above_line(v, LINES.get(style, USUAL_LINE))
    if style in ("receding", "bald"):
        above = _both(above, _horseshoe(v))
    return above.astype(np.float32), thickness.astype(np.float32)


def shell_height(style: str, volume: float, pattern: int, parted_left: bool) -> np.ndarray:
    """Return the height of the hair above the scalp, (vertices of the shell,); negative where there is none."""
    above, thickness = _cut(style)
    look = texture(style, pattern)
    thickness = thickness * np.float32(1 + (volume - 1) * (0.3 if style in COVERS_EARS else 1))
    thickness = thickness * (
        1 + {"cornrows": 0.8, "curly": 0.22}.get(style, 0.08 if style in COVERS_EARS else 0.16) * look
    )
    above = above + 0.025 * look
    x = _shell()[:, 0] * (1 if parted_left else -1)
    if style == "side part":
        thickness = thickness * (1 - 0.75 * np.exp(-(((x - 0.28) / 0.07) ** 2)) + 0.25 * smoothstep(x, 0.2, -0.4))
    elif style in PARTED:
        thickness = thickness * (1 - 0.30 * np.exp(-((x / 0.06) ** 2)))
    edge = smoothstep(above, -0.08, 0.14)
    return BELOW_SKIN * (1 - edge) + (thickness + 0.012) * edge


def shell_triangles(height: np.ndarray) -> np.ndarray:
    """Return the triangles (M, 3) of the template's shell that hair of this ``height`` makes visible."""
    t = template()
    triangles = t.triangles["shell"]
    return triangles[(height > SURELY_HIDDEN)[triangles - t.part["shell"].start].any(1)]


def shell_albedo(style: str, color: np.ndarray, pattern: int) -> np.ndarray:
    """Return the linear albedo (vertices of the shell, 3) of hair of a ``color`` (3,): strands and a sheen."""
    look = texture(style, pattern)
    if style == "cornrows":
        return color * (0.65 + 0.35 * look)[:, None]
    tone = 1 + 0.55 * look
    if style not in DULL:
        height = _shell()[:, 1]
        band = np.exp(-(((height - SHEEN_HEIGHT - 0.05 * look) / SHEEN_WIDTH) ** 2))
        tone = tone * (1 + SHEEN * band)
    return color * np.clip(tone, 0.25, 2.2).astype(np.float32)[:, None]


def press_ears(vertices: np.ndarray) -> None:
    """Lay the ears of the template's drawn ``vertices`` (N, 3) against the head, in place, below hair or a hat."""
    for name in ("left ear", "right ear"):
        ear = template().region(name)
        x = vertices[ear, 0]
        root = np.abs(x).min() + EAR_ROOT
        vertices[ear, 0] = np.sign(x) * np.minimum(np.abs(x), root + PRESSED * (np.abs(x) - root))


def scalp_shade(points: np.ndarray, style: str) -> np.ndarray:
    """Return how much hair is painted on the skin at points (N, 3) of the mean head, (N,) in [0, 1].

    These are roots and a soft hairline; of bald heads, the shadow of what is shaved.
    """
    bare = style in ("receding", "bald")
    above = above_line(points, RECEDED_LINE if bare else USUAL_LINE)
    if bare:
        above = _both(above, _horseshoe(points))
    shade = PAINTED.get(style, USUALLY_PAINTED) * smoothstep(above, -0.06, 0.07)
    return shade.astype(np.float32)


def hanging_hair(style: str, color: np.ndarray, coefficients: np.ndarray) -> Mesh | None:
    """Return what the haircut adds to the shell, such as long hair, a bun, braids."""
    if style not in hanging.PIECES:
        return None
    piece, tone = hanging.PIECES[style]()
    return piece.on(coefficients, color * tone)
