"""Light and shading of vertices, in linear colors: a key light, an ambient dome, a rim light, highlights."""

from dataclasses import dataclass

import numpy as np

from semiuhpe.synthetic.regions import smoothstep

VIEWER = np.array([0.0, 0.0, -1.0], np.float32)  # from the head to the camera, in camera axes

NARROW_WRAP, WIDE_WRAP = 0.08, 0.22  # how far light reaches past the terminator: all light, and its red part
BLEED_COLOR = np.array([1.0, 0.3, 0.0], np.float32)

DARKEST, MOST_GAIN = 0.24, 2.5  # display level that automatic exposure aims at when it is darker, and its limit


@dataclass(frozen=True)
class Light:
    """The light of a picture.

    Directions are unit vectors toward the light, in camera axes (x right, y down, z into the scene).
    """

    key_direction: np.ndarray
    key: np.ndarray  # color times strength
    up: np.ndarray  # where the ambient dome is brightest
    sky: np.ndarray
    ground: np.ndarray
    rim_direction: np.ndarray
    rim: np.ndarray
    exposure: float

    @property
    def highlights(self) -> np.ndarray:
        """The color (3,) of highlights, 1 on average."""
        return self.key / max(float(self.key.mean()), 1e-6)


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    """Return a direction from angles in degrees.

    Azimuth 0 is from the camera, 90 from the right, 180 from behind the head; elevation 90 is from above.
    """
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), -np.sin(e), -np.cos(a) * np.cos(e)], np.float32)


def _tint(rng: np.random.Generator, amount: float) -> np.ndarray:
    return np.exp(rng.normal(0, amount, 3)).astype(np.float32)


def clean_light(rng: np.random.Generator) -> Light:
    """Return studio light: from the front, not too strong, nearly white."""
    strength = np.float32(rng.uniform(0.55, 0.95))
    ambient = np.float32(rng.uniform(0.30, 0.50))
    return Light(
        key_direction=_direction(rng.uniform(-60, 60), rng.uniform(-5, 60)),
        key=strength * _tint(rng, 0.04),
        up=_direction(rng.uniform(-180, 180), rng.uniform(50, 90)),
        sky=ambient * _tint(rng, 0.04),
        ground=0.5 * ambient * _tint(rng, 0.06),
        rim_direction=_direction(180 + rng.uniform(-70, 70), rng.uniform(0, 60)),
        rim=np.float32(rng.uniform(0, 0.3)) * _tint(rng, 0.05),
        exposure=float(rng.uniform(0.85, 1.15)),
    )


# kind of wild light: frequency, azimuth range, elevation range, key, ambient, rim, tint, exposure
WILD_LIGHTS = (
    (0.52, (-90, 90), (-25, 75), (0.4, 1.0), (0.25, 0.50), (0.0, 0.5), 0.12, (0.7, 1.2)),  # ordinary
    (0.16, (60, 110), (-10, 45), (0.9, 1.5), (0.09, 0.20), (0.0, 0.3), 0.12, (0.8, 1.1)),  # from one side
    (0.09, (140, 220), (10, 60), (0.9, 1.6), (0.16, 0.30), (0.6, 1.4), 0.10, (0.8, 1.2)),  # from behind
    (0.09, (-90, 90), (-30, 70), (0.5, 1.0), (0.15, 0.35), (0.2, 0.9), 0.42, (0.8, 1.1)),  # colored
    (0.07, (-90, 90), (-20, 80), (0.5, 0.9), (0.18, 0.35), (0.0, 0.4), 0.15, (0.42, 0.65)),  # dark
    (0.07, (-70, 70), (0, 60), (0.9, 1.3), (0.35, 0.55), (0.0, 0.4), 0.08, (1.2, 1.7)),  # overexposed
)


def wild_light(rng: np.random.Generator) -> Light:
    """Return any light, hard light less often."""
    kind = WILD_LIGHTS[rng.choice(len(WILD_LIGHTS), p=[k[0] for k in WILD_LIGHTS])]
    _, azimuth, elevation, key, ambient, rim, tint, exposure = kind
    side = rng.choice((-1, 1))
    level = np.float32(rng.uniform(*ambient))
    return Light(
        key_direction=_direction(side * rng.uniform(*azimuth), rng.uniform(*elevation)),
        key=np.float32(rng.uniform(*key)) * _tint(rng, tint),
        up=_direction(rng.uniform(-180, 180), rng.uniform(-90, 90)),
        sky=level * _tint(rng, tint),
        ground=np.float32(rng.uniform(0.2, 0.7)) * level * _tint(rng, tint),
        rim_direction=_direction(180 + rng.uniform(-80, 80), rng.uniform(-20, 60)),
        rim=np.float32(rng.uniform(*rim)) * _tint(rng, tint),
        exposure=float(rng.uniform(*exposure)),
    )


def irradiance(normals: np.ndarray, occlusion: np.ndarray, light: Light, sun: np.ndarray) -> np.ndarray:
    """Return the light (N, 3) that arrives at vertices with ``normals`` (N, 3) in camera axes.

    Light reaches a little past the terminator, farther in red, as in skin.
    """
    facing, upwards, from_behind = normals @ light.key_direction, normals @ light.up, normals @ light.rim_direction
    shadow = (np.float32(0.4) + np.float32(0.6) * occlusion) * sun
    key = np.maximum((facing + np.float32(NARROW_WRAP)) / np.float32(1 + NARROW_WRAP), 0) * shadow
    bleed = np.maximum((facing + np.float32(WIDE_WRAP)) / np.float32(1 + WIDE_WRAP), 0) * shadow - key
    grazing = np.float32(1) - np.abs(normals[:, 2])
    rim = np.maximum(from_behind, 0) * smoothstep(grazing, 0.35, 0.95) * occlusion
    dome = (np.float32(0.5) + np.float32(0.5) * upwards) * occlusion
    parts = np.stack([key, bleed, rim, dome, occlusion], 1)
    colors = np.stack([light.key, light.key * BLEED_COLOR, light.rim, light.sky - light.ground, light.ground])
    return (parts @ colors) * np.float32(light.exposure)


def exposure_gain(shade: np.ndarray, albedo: np.ndarray, normals: np.ndarray) -> np.float32:
    """Return the factor for a picture whose visible vertices are too dark to recognize, as a camera would expose."""
    visible = normals[:, 2] < -0.2
    level = float(np.sqrt(shade[visible][::8] * albedo[visible][::8]).mean())
    return np.float32(min(DARKEST / max(level, 1e-3), MOST_GAIN) ** 2) if level < DARKEST else np.float32(1)


def sunlit(vertices, triangles, direction):
    return np.ones(len(vertices), np.float32)


def highlight(normals: np.ndarray, gloss: np.ndarray, light: Light, sun: np.ndarray) -> np.ndarray:
    """Return the strength (N,) of the key light's reflection, after Blinn."""
    half = light.key_direction + VIEWER
    half = half / max(float(np.linalg.norm(half)), 1e-3)
    broad = np.maximum(normals @ half, 0)
    for _ in range(4):  # to the 16th
        broad *= broad
    sharp = np.flatnonzero(gloss > 0.5)
    broad[sharp] **= 8
    return broad * gloss * sun * (normals @ light.key_direction > 0) * light.key.mean() * np.float32(light.exposure)
