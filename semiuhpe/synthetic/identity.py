"""Random identities: proportions, colors, hair, beard, and the opening and gaze of the eyes.

Colors are linear (the square of the usual 0 to 1 display values), because light adds up in linear space.
"""

from dataclasses import dataclass

import numpy as np

from semiuhpe.synthetic import hair
from semiuhpe.synthetic.modes import MODES


def _linear(*rows: tuple[int, int, int]) -> np.ndarray:
    """Convert colors as in paint programs (0 to 255) to linear albedo."""
    return (np.array(rows, np.float32) / 255.0) ** 2


SKIN_TONES = _linear(
    (246, 216, 198),
    (236, 198, 174),
    (222, 178, 148),
    (200, 152, 120),
    (172, 124, 92),
    (136, 94, 68),
    (100, 68, 50),
    (72, 48, 38),
)
HAIR_COLORS = _linear(
    (38, 33, 32),
    (50, 39, 34),
    (72, 51, 39),
    (96, 66, 44),
    (134, 98, 62),
    (186, 150, 100),
    (222, 196, 148),
    (150, 74, 40),
    (168, 166, 164),
    (226, 224, 220),
)
HAIR_FREQUENCY = np.array([0.22, 0.20, 0.16, 0.11, 0.08, 0.06, 0.05, 0.04, 0.05, 0.03])
GRAYS = (8, 9)
DARK_SKIN = 0.30
DYES = _linear((200, 70, 150), (60, 110, 190), (70, 160, 110), (170, 40, 50))
IRIS_COLORS = _linear((74, 48, 30), (52, 34, 24), (110, 82, 46), (96, 122, 92), (92, 132, 168), (130, 150, 162))
IRIS_FREQUENCY = np.array([0.34, 0.26, 0.14, 0.08, 0.12, 0.06])
LIP_TINT = np.array([0.92, 0.52, 0.52], np.float32)
LIPSTICK = _linear((180, 40, 60), (140, 30, 60), (200, 90, 100), (120, 50, 50))
BEARDS = ("none", "stubble", "moustache", "goatee", "full", "long")
BEARD_FREQUENCY = np.array([0.56, 0.14, 0.07, 0.07, 0.11, 0.05])


@dataclass(frozen=True)
class Identity:
    """Everything about a head except pose, light and accessories."""

    coefficients: np.ndarray
    skin: np.ndarray
    lips: np.ndarray
    blush: float
    hair: np.ndarray
    brow: np.ndarray
    brow_strength: float
    iris: np.ndarray
    style: str
    strand: int  # which of the strand patterns
    volume: float  # volume of the hair, 1 is usual
    parted_left: bool
    beard: str
    eye_opening: float  # 1 is wide open, 0 closed
    gaze: np.ndarray  # degrees to the subject's left, and up
    neck_bend: np.ndarray  # degrees about x, y, z
    clothes: np.ndarray
    blotches: np.ndarray  # (4,) weights of the noise patterns


def _skin_tone(rng: np.random.Generator) -> np.ndarray:
    place = rng.uniform(0, len(SKIN_TONES) - 1)
    i = int(place)
    tone = SKIN_TONES[i] + (place - i) * (SKIN_TONES[min(i + 1, len(SKIN_TONES) - 1)] - SKIN_TONES[i])
    return tone * rng.normal(1.0, 0.05, 3).astype(np.float32) * np.float32(rng.normal(1, 0.06))


def _hair_color(rng: np.random.Generator, skin: np.ndarray) -> np.ndarray:
    """Return a random hair color: any on light skin; on darker skin mostly dark ones, and gray."""
    kind = int(rng.choice(len(HAIR_COLORS), p=HAIR_FREQUENCY))
    if skin.mean() < DARK_SKIN and kind not in GRAYS and rng.random() < 0.85:
        kind = int(rng.integers(3))
    color = HAIR_COLORS[kind]
    if rng.random() < 0.03:
        color = DYES[rng.integers(len(DYES))]
    return color * np.float32(np.exp(rng.normal(0, 0.2)))


def random_identity(rng: np.random.Generator, spread: float = 1.0) -> Identity:
    """Return a random identity; ``spread`` scales how far its proportions are from the mean."""
    skin = np.clip(_skin_tone(rng), 0.02, 0.95)
    hair_color = _hair_color(rng, skin)
    lips = skin * LIP_TINT * np.float32(rng.uniform(0.75, 1.05))
    style = hair.random_style(rng)
    beard = BEARDS[rng.choice(len(BEARDS), p=BEARD_FREQUENCY)]
    if beard == "none" and rng.random() < 0.2:
        lips = 0.4 * lips + 0.6 * LIPSTICK[rng.integers(len(LIPSTICK))]
    if style in hair.MOSTLY_WITHOUT_BEARD and rng.random() < 0.85:
        beard = "none"
    eye_opening = 0.0 if rng.random() < 0.03 else float(np.clip(rng.normal(0.68, 0.13), 0.25, 1.0))
    return Identity(
        coefficients=np.clip(rng.standard_normal(len(MODES)), -2.3, 2.3).astype(np.float32) * np.float32(spread),
        skin=skin,
        lips=lips,
        blush=float(rng.uniform(0.0, 0.35)),
        hair=hair_color,
        brow=np.minimum(hair_color * 0.6, skin * 0.45),
        brow_strength=float(rng.uniform(0.55, 1.0)),
        iris=IRIS_COLORS[rng.choice(len(IRIS_COLORS), p=IRIS_FREQUENCY)] * np.float32(rng.uniform(0.8, 1.3)),
        style=style,
        strand=int(rng.integers(hair.STRAND_PATTERNS)),
        volume=float(np.exp(rng.normal(0, 0.2))),
        parted_left=bool(rng.random() < 0.6),
        beard=beard,
        eye_opening=eye_opening,
        gaze=np.clip(rng.normal(0, (9, 5)), -22, 22),
        neck_bend=np.clip(rng.normal(0, (11, 14, 8)), -32, 32),
        clothes=np.clip(rng.uniform(0.05, 0.9) + rng.normal(0, 0.12, 3), 0.03, 0.95).astype(np.float32) ** 2,
        blotches=rng.normal(0, 0.8, 4).astype(np.float32),
    )
