"""Random people: bones and age, expression, colors of skin, hair and eyes, make-up, beard, garment.

Colors are linear (the square of the usual 0 to 1 display values), because light adds up in linear space.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import hair
from semiuhpe.synthetic.anatomy import HeadBasis, Person
from semiuhpe.synthetic.expressions import look, random_expression
from semiuhpe.synthetic.regions import smoothstep


def _linear(*rows: tuple[int, int, int]) -> np.ndarray:
    """Convert colors as in paint programs (0 to 255) to linear albedo."""
    return (np.array(rows, np.float32) / 255.0) ** 2


# From the lightest to the darkest, and where on that scale people of African, Asian and European ancestry are
SKIN_TONES = _linear(
    (206, 176, 160),
    (196, 160, 140),
    (186, 147, 121),
    (170, 128, 100),
    (146, 104, 79),
    (120, 83, 62),
    (94, 65, 50),
    (72, 49, 41),
)
TONE_OF_ANCESTRY = np.array([5.3, 2.2, 1.0])
TONE_SPREAD = 0.8
DARK_HAIR = _linear((38, 33, 32), (50, 39, 34), (66, 47, 37))
LIGHT_HAIR = _linear((90, 62, 42), (120, 88, 56), (158, 126, 82), (188, 164, 120), (138, 68, 38))
LIGHT_FREQUENCY = np.array([0.36, 0.28, 0.17, 0.10, 0.09])
GRAY_HAIR = _linear((130, 128, 126), (165, 163, 160), (195, 193, 189))
DYES = _linear((200, 70, 150), (60, 110, 190), (70, 160, 110), (170, 40, 50))
DARK_IRIS = _linear((74, 48, 30), (52, 34, 24), (92, 62, 38))
LIGHT_IRIS = _linear((110, 82, 46), (96, 122, 92), (92, 132, 168), (130, 150, 162))
LIP_TINT = np.array([0.74, 0.40, 0.42], np.float32)
LIPSTICK = _linear((180, 40, 60), (140, 30, 60), (200, 90, 100), (120, 50, 50))
SHADOWS = _linear((90, 60, 60), (60, 60, 90), (120, 80, 60), (50, 45, 45))
BEARDS = ("none", "stubble", "moustache", "goatee", "full", "long")
BEARD_FREQUENCY = np.array([0.46, 0.22, 0.06, 0.07, 0.15, 0.04])
BEARD_AGE, MAKE_UP_AGE, ADULT = 17, 14, 18  # years, from which on
# How often people of some ages (years, relative frequencies), and of African, Asian and European ancestry, are
# photographed, as far as photographs of the web are concerned, compared with the people of the basis
PHOTOGRAPHED_AGES = ((1, 14, 20, 40, 55, 85), (0.6, 0.7, 2.0, 2.0, 0.9, 0.5))
PHOTOGRAPHED_ANCESTRY = np.array([0.7, 0.9, 3.0])
MAKE_UP, FRECKLES = 0.45, 0.12  # how often women, and light-skinned people, have them
DYED = 0.03
# Heights of the garment's edge at the neck, and how deep it is cut out in front
COLLAR_HEIGHTS = (-1.28, -1.38, -1.46)
COLLAR_OPENINGS = (0.06, 0.16, 0.30, 0.46)
BROW_THICKNESSES = (0.75, 0.95, 1.15, 1.4)
PATTERNS = 12  # of blotches, freckles and grain
GAZE_ACTIONS = [f"eyeLook{way}{side}" for way in ("In", "Out", "Up", "Down") for side in ("Left", "Right")]
GAZE_DEG = (30.0, 22.0)  # to a side and up or down, of an eye that looks as far as it can


@dataclass(frozen=True)
class Identity:
    """Everything about a head except pose, light and accessories. Colors are linear, (3,)."""

    person: Person
    expression: dict[str, float]
    skin: np.ndarray
    oily: float  # strength of the highlights on skin
    lips: np.ndarray
    blush: float
    freckles: float
    wrinkles: float
    eye_bags: float
    eye_shadow: np.ndarray
    lash_color: np.ndarray
    eye_shadow_strength: float
    lashes: float
    hair: np.ndarray
    brow: np.ndarray
    brow_strength: float
    brow_thickness: float
    iris: np.ndarray
    style: str
    strand: int  # which of the strand patterns
    volume: float  # volume of the hair, 1 is usual
    parted_left: bool
    beard: str
    beard_color: np.ndarray
    clothes: np.ndarray
    collar: tuple[float, float]  # height of the garment's edge, and its opening in front
    bare_shoulders: bool
    pattern: int | None  # which of the patterns of blotches, freckles and grain; None for skin of one tone

    @property
    def coefficients(self) -> np.ndarray:
        """The coefficients (K,) of the head's shape."""
        return self.person.coefficients

    @property
    def gaze(self) -> tuple[float, float]:
        """Degrees to the subject's left, and up."""
        amount = self.expression.get
        left = amount("eyeLookOutLeft", 0.0) - amount("eyeLookInLeft", 0.0)
        up = amount("eyeLookUpLeft", 0.0) - amount("eyeLookDownLeft", 0.0)
        return left * GAZE_DEG[0], up * GAZE_DEG[1]


def looking(left_deg: float, up_deg: float) -> dict[str, float]:
    """Return the amounts of all actions of a gaze, in degrees to the subject's left and up."""
    left, up = (float(np.clip(angle / most, -1, 1)) for angle, most in zip((left_deg, up_deg), GAZE_DEG, strict=True))
    return dict.fromkeys(GAZE_ACTIONS, 0.0) | look(left, up)


def _skin_tone(person: Person, rng: np.random.Generator) -> np.ndarray:
    place = float(person.ancestry @ TONE_OF_ANCESTRY + rng.normal(0, TONE_SPREAD))
    place = float(np.clip(place, 0, len(SKIN_TONES) - 1.001))
    i = int(place)
    tone = SKIN_TONES[i] + (place - i) * (SKIN_TONES[i + 1] - SKIN_TONES[i])
    return np.clip(tone * rng.normal(1.0, 0.04, 3) * rng.normal(1, 0.06), 0.02, 0.95).astype(np.float32)


def _hair_color(person: Person, rng: np.random.Generator) -> np.ndarray:
    """Return a hair color: mostly dark, lighter among Europeans, gray with age."""
    if rng.random() < DYED and person.age > MAKE_UP_AGE:
        return DYES[rng.integers(len(DYES))]
    if rng.random() < 0.75 * person.ancestry[2]:
        color = LIGHT_HAIR[rng.choice(len(LIGHT_HAIR), p=LIGHT_FREQUENCY)]
    else:
        color = DARK_HAIR[rng.integers(len(DARK_HAIR))]
    gray = smoothstep(np.float32(person.age + rng.normal(0, 9)), 38.0, 72.0)
    color = color + gray * (GRAY_HAIR[rng.integers(len(GRAY_HAIR))] - color)
    return (color * np.exp(rng.normal(0, 0.2))).astype(np.float32)


@cache
def _chances() -> np.ndarray:
    """Return the chances of the basis's people to be on a photograph: adults more than children and the old."""
    years, _, *shares = HeadBasis.load().traits.T
    by_age = np.interp(years, *PHOTOGRAPHED_AGES)
    chances = by_age * (np.stack(shares, 1) @ PHOTOGRAPHED_ANCESTRY)
    return chances / chances.sum()


def random_identity(rng: np.random.Generator) -> Identity:
    """Return a random person."""
    person = HeadBasis.load().random_person(rng, _chances())
    skin = _skin_tone(person, rng)
    hair_color = _hair_color(person, rng)
    woman, adult = person.female > 0.5, person.age >= ADULT
    made_up = woman and person.age > MAKE_UP_AGE and rng.random() < MAKE_UP
    lips = skin * LIP_TINT * np.float32(rng.uniform(0.8, 1.1))
    if made_up and rng.random() < 0.6:
        lips = 0.5 * lips + 0.5 * LIPSTICK[rng.integers(len(LIPSTICK))] * np.float32(rng.uniform(0.7, 1.2))
    beard = "none"
    if not woman and person.age > BEARD_AGE:
        beard = BEARDS[rng.choice(len(BEARDS), p=BEARD_FREQUENCY)]
    light_skin = float(skin.mean()) > 0.35
    age = person.age + rng.normal(0, 5)
    light_eyes = rng.random() < 0.6 * person.ancestry[2]
    irises = LIGHT_IRIS if light_eyes else DARK_IRIS
    brow_color = np.minimum(hair_color * 0.5, skin * 0.38)
    return Identity(
        person=person,
        expression=random_expression(rng),
        skin=skin,
        oily=float(rng.uniform(0.4, 1.6)) if adult else float(rng.uniform(0.3, 0.9)),
        lips=lips.astype(np.float32),
        blush=float(rng.uniform(0.05, 0.5)),
        freckles=float(rng.uniform(0.3, 0.9)) if light_skin and rng.random() < FRECKLES else 0.0,
        wrinkles=float(rng.uniform(0.35, 0.8) * smoothstep(np.float32(age), 28.0, 70.0)),
        eye_bags=float(rng.uniform(0.1, 0.6)),
        eye_shadow=SHADOWS[rng.integers(len(SHADOWS))] if made_up else skin * np.float32(0.6),
        lash_color=np.minimum(hair_color * 0.3, skin * 0.12),
        eye_shadow_strength=float(rng.uniform(0.2, 0.6)),
        lashes=float(rng.uniform(0.9, 1.0)) if made_up else float(rng.uniform(0.6, 0.95)),
        hair=hair_color,
        brow=brow_color,
        brow_strength=float(rng.uniform(0.7, 1.0)),
        brow_thickness=BROW_THICKNESSES[int(rng.integers(*((0, 3) if woman else (1, 4))))],
        iris=irises[rng.integers(len(irises))] * np.float32(rng.uniform(0.8, 1.3)),
        style=hair.random_style(rng, person.age, person.female),
        strand=int(rng.integers(hair.STRAND_PATTERNS)),
        volume=float(np.exp(rng.normal(0, 0.2))),
        parted_left=bool(rng.random() < 0.6),
        beard=beard,
        beard_color=(hair_color * np.exp(rng.normal(0, 0.15)) * 0.85).astype(np.float32),
        clothes=np.clip(rng.uniform(0.05, 0.9) + rng.normal(0, 0.12, 3), 0.03, 0.95).astype(np.float32) ** 2,
        collar=(COLLAR_HEIGHTS[rng.integers(len(COLLAR_HEIGHTS))], COLLAR_OPENINGS[rng.integers(len(COLLAR_OPENINGS))]),
        bare_shoulders=bool(rng.random() < 0.04),
        pattern=int(rng.integers(PATTERNS)),
    )
