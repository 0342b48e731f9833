"""Expressions as people have them in photographs: amounts of ARKit's facial actions, for `HeadBasis.express`."""

import numpy as np

Range = tuple[float, float]

# Chances and the actions of each, from a least to a greatest amount. A name that has two sides stands for both.
MOODS: dict[str, tuple[float, dict[str, Range]]] = {
    "neutral": (0.30, {}),
    "smile": (0.18, {"mouthSmile": (0.2, 0.9), "cheekSquint": (0.0, 0.6), "eyeSquint": (0.0, 0.4)}),
    "grin": (
        0.17,
        {
            "mouthSmile": (0.5, 1.0),
            "cheekSquint": (0.2, 0.8),
            "eyeSquint": (0.1, 0.5),
            "jawOpen": (0.0, 0.25),
            "mouthUpperUp": (0.2, 0.6),
            "mouthLowerDown": (0.1, 0.5),
        },
    ),
    "talk": (
        0.15,
        {"jawOpen": (0.05, 0.4), "mouthFunnel": (0.0, 0.5), "mouthStretch": (0.0, 0.4), "mouthLowerDown": (0.0, 0.3)},
    ),
    "surprise": (
        0.04,
        {"jawOpen": (0.1, 0.6), "browInnerUp": (0.3, 1.0), "browOuterUp": (0.3, 1.0), "eyeWide": (0.2, 1.0)},
    ),
    "anger": (
        0.05,
        {"browDown": (0.4, 1.0), "eyeSquint": (0.1, 0.6), "mouthPress": (0.0, 0.8), "noseSneer": (0.0, 0.6)},
    ),
    "sadness": (0.04, {"browInnerUp": (0.3, 1.0), "mouthFrown": (0.3, 1.0), "mouthShrugLower": (0.0, 0.6)}),
    "disgust": (0.02, {"noseSneer": (0.4, 1.0), "mouthUpperUp": (0.2, 0.7), "browDown": (0.1, 0.6)}),
    "pucker": (0.02, {"mouthPucker": (0.4, 1.0)}),
    "shout": (0.03, {"jawOpen": (0.5, 1.0), "mouthStretch": (0.0, 0.6), "browDown": (0.0, 0.6)}),
}
SIDED = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown"),
    *("mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)
SLIGHT = ("browInnerUp", "browDown", "browOuterUp", "eyeBlink", "eyeWide", "mouthDimple", "mouthPress", "mouthPucker")
SLIGHTLY = 0.12  # the greatest amount that these have in moods that don't name them
CLOSED_EYES, WINK = 0.04, 0.01  # chances
LOPSIDED = 0.15  # the greatest difference of a side from the other, as a share
GAZE = 0.35  # standard deviation of the look to a side and up or down; 1 is as far as eyes go


def random_expression(rng: np.random.Generator, gaze: float = GAZE) -> dict[str, float]:
    """Draw an expression with a direction of gaze.

    Args:
        rng: the source of all random numbers.
        gaze: standard deviation of the direction of the gaze; 0 leaves the eyes straight.

    Returns:
        Amounts from 0 to 1 by the name of the action.
    """
    names = list(MOODS)
    chances = np.array([MOODS[name][0] for name in names])
    _, actions = MOODS[names[rng.choice(len(names), p=chances / chances.sum())]]
    amounts = {name: rng.uniform(0, SLIGHTLY) for name in SLIGHT}
    amounts |= {name: rng.uniform(*bounds) for name, bounds in actions.items()}
    expression: dict[str, float] = {}
    for name, amount in amounts.items():
        if name in SIDED:
            for side in ("Left", "Right"):
                expression[name + side] = amount * (1 - rng.uniform(0, LOPSIDED))
        else:
            expression[name] = amount
    eyes = rng.random()
    if eyes < CLOSED_EYES + WINK:
        closed = ("Left", "Right") if eyes < CLOSED_EYES else (str(rng.choice(["Left", "Right"])),)
        expression |= {
            f"eye{kind}{side}": amount for side in closed for kind, amount in (("Blink", 1.0), ("Wide", 0.0))
        }
    left, up = np.clip(rng.normal(0, 1, 2) * gaze, -1, 1)
    return expression | look(float(left), float(up))


def look(left: float, up: float) -> dict[str, float]:
    """Return the actions of a gaze, from -1 to 1 to the subject's left and up."""
    sides = ("eyeLookOutLeft", "eyeLookInRight") if left > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    vertical = "Up" if up > 0 else "Down"
    return dict.fromkeys(sides, abs(left)) | {f"eyeLook{vertical}{side}": abs(up) for side in ("Left", "Right")}
