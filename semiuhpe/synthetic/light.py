"""Light, shading of vertices and exposure: a key light with shadows, an environment, a rim light, highlights.

The environment is a sky, a ground and a few soft lamps and windows; what reaches a surface of it is a sum of spherical
harmonics up to degree 2 of the surface's normal (Ramamoorthi and Hanrahan, "An efficient representation for irradiance
environment maps", SIGGRAPH 2001). Everything is computed in linear colors and then developed as a camera does: metered,
balanced, and passed through a tone curve.

Directions, vertices and normals are in camera axes: x right, y down, z into the scene. Directions of lights are unit
vectors toward the light.
"""

from dataclasses import dataclass

import cv2
import numpy as np

import sim3dr

VIEWER = np.array([0.0, 0.0, -1.0], np.float32)  # from the head to the camera
LUMINANCE = np.array([0.21, 0.72, 0.07], np.float32)

NARROW_WRAP, WIDE_WRAP = 0.08, 0.22  # how far light reaches past the terminator: all light, and its red part
BLEED_COLOR = np.array([1.0, 0.3, 0.0], np.float32)
EDGE_BLEED = 0.25  # of the red part, at the edges of cast shadows
SHEEN = 0.25  # of the environment, reflected where skin is seen at a grazing angle

MIDDLE_ALBEDO, ADAPTATION = 0.22, 0.3  # a camera brightens a face darker than this, by this power of what is lacking
DARKEST, MOST_GAIN = 0.045, 6.0  # linear level that exposure aims at when a head is darker, and its limit

FAINTEST_SHADOW = 0.2  # its darkness, relative to the mean light of the environment, from which on it is drawn

_NOTHING = 1e-4
_BIAS, _FADE = 1.5, 2.5  # of shadows, in pixels of their map: height above a surface, until they are whole
_ROW = 128


@dataclass(frozen=True)
class Light:
    """The light of a picture.

    Attributes:
        key_direction: toward the key light.
        key: its color times its strength (3,).
        hardness: how dark its cast shadows are, from 0 to 1.
        ambient: (9, 3) coefficients of the environment's irradiance, see :func:`environment`.
        rim_direction: toward the rim light, which is behind the head.
        rim: its color times its strength (3,).
        exposure: factor by which the camera's exposure is off.
        surroundings: where there is such light, one of :data:`semiuhpe.synthetic.backgrounds.SURROUNDINGS`.
    """

    key_direction: np.ndarray
    key: np.ndarray
    hardness: float
    ambient: np.ndarray
    rim_direction: np.ndarray
    rim: np.ndarray
    exposure: float
    surroundings: str = "studio"

    @property
    def casts_shadows(self) -> bool:
        """Whether shadows of the key light can be seen."""
        return bool(
            self.hardness * (self.key @ LUMINANCE) > FAINTEST_SHADOW * (mean_irradiance(self.ambient) @ LUMINANCE)
        )

    @property
    def highlights(self) -> np.ndarray:
        """The color (3,) of highlights."""
        return self.key / max(float(self.key @ LUMINANCE), _NOTHING)


@dataclass(frozen=True)
class Lamp:
    """A soft lamp of an environment: direction, color times irradiance of a surface that faces it, and sharpness.

    Sharpness is the concentration of a von Mises-Fisher distribution: 0 is as wide as the sphere, 10 a window.
    """

    direction: np.ndarray
    color: np.ndarray
    sharpness: float


def environment(lamps: list[Lamp]) -> np.ndarray:
    """Return irradiance coefficients (9, 3) for the terms 1, x, y, z, xy, yz, xz, xx, yy of a unit normal (x, y, z).

    Of the cosine lobe, degrees 0, 1 and 2 have the weights 1/4, 1/2 and 5/16; a lamp's width lowers the last two.
    """
    terms = np.zeros((9, 3), np.float32)
    for lamp in lamps:
        d, k = lamp.direction, max(lamp.sharpness, 0.05)
        linear = 1 / np.tanh(k) - 1 / k
        quadratic = 15 / 32 * (1 - 3 * linear / k)
        x, y, z = d * d
        shape = np.array(
            [
                1 / 4 - quadratic / 3 + quadratic * z,
                *(linear / 2 * d),
                *(2 * quadratic * np.array([d[0] * d[1], d[1] * d[2], d[0] * d[2]])),
                quadratic * (x - z),
                quadratic * (y - z),
            ],
            np.float32,
        )
        terms += shape[:, None] * lamp.color
    return terms


def mean_irradiance(coefficients: np.ndarray) -> np.ndarray:
    """Return the mean (3,) over all normals of what :func:`environment` returns."""
    return coefficients[0] + (coefficients[7] + coefficients[8]) / 3


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """Return a direction from angles in degrees.

    Azimuth 0 is from the camera, 90 from the right, 180 from behind the head; elevation 90 is from above.
    """
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), -np.sin(e), -np.cos(a) * np.cos(e)], np.float32)


def color_of(warmth: float, greenness: float = 0.0) -> np.ndarray:
    """Return a color (3,) of about unit luminance: 1 is as warm as a bulb beside daylight, -1 as cold as open shade."""
    color = np.exp(warmth * np.array([0.5, 0.0, -0.7]) + greenness * np.array([-0.25, 0.2, -0.15]))
    return (color / (color @ LUMINANCE)).astype(np.float32)


def clean_light(rng: np.random.Generator) -> Light:
    """Return studio light: from the front, not too strong, nearly white."""
    level = rng.uniform(0.30, 0.50)
    lamps = [
        Lamp(direction(rng.uniform(-180, 180), rng.uniform(50, 90)), _hue(rng, 0.1) * np.float32(2.5 * level), 1.0),
        Lamp(direction(rng.uniform(-70, 70), rng.uniform(-20, 40)), _hue(rng, 0.1) * np.float32(0.8 * level), 3.0),
    ]
    return Light(
        key_direction=direction(rng.uniform(-60, 60), rng.uniform(-5, 60)),
        key=np.float32(rng.uniform(0.4, 0.8)) * _hue(rng, 0.08),
        hardness=float(rng.uniform(0.1, 0.5)),
        ambient=environment(lamps),
        rim_direction=direction(180 + rng.uniform(-70, 70), rng.uniform(0, 60)),
        rim=np.float32(rng.uniform(0, 0.3)) * _hue(rng, 0.1),
        exposure=float(rng.uniform(0.85, 1.15)),
    )


@dataclass(frozen=True)
class _Kind:
    """A kind of wild light. Pairs are ranges; strengths are relative to each other, as exposure follows them."""

    surroundings: str
    frequency: float
    azimuth: tuple[float, float]  # of the key light, to one side
    elevation: tuple[float, float]
    key: tuple[float, float]
    hardness: tuple[float, float]
    sky: tuple[float, float]
    ground: float  # of the sky's light, at most
    lamps: int  # at most
    lamp: float  # strength of each, at most
    warmth: tuple[float, float]  # of the key light and of the sky
    hues: float  # how much the colors of all lights differ
    rim: tuple[float, float]


_KINDS = (
    # a room
    _Kind(
        "indoors", 0.27,
        (0, 90), (-10, 65), (0.2, 0.8), (0.1, 0.6), (0.3, 0.7), 0.8, 4, 0.6, (0.3, 0.1), 0.30, (0.0, 0.3),
    ),
    # under clouds, or in the shade
    _Kind(
        "outdoors", 0.15,
        (0, 120), (30, 90), (0.0, 0.2), (0.0, 0.2), (0.8, 1.1), 0.5, 2, 0.3, (0.0, 0.0), 0.12, (0.0, 0.2),
    ),
    # a studio
    _Kind(
        "studio", 0.20,
        (0, 75), (-5, 55), (0.6, 1.2), (0.2, 0.8), (0.1, 0.4), 0.8, 3, 0.5, (0.1, 0.1), 0.10, (0.0, 0.9),
    ),
    # the sun
    _Kind(
        "outdoors", 0.12,
        (0, 110), (15, 75), (1.0, 1.9), (0.9, 1.0), (0.25, 0.6), 0.7, 1, 0.2, (0.3, -0.5), 0.12, (0.0, 0.6),
    ),
    # from one side
    _Kind(
        "dark", 0.11,
        (60, 120), (-10, 45), (0.9, 1.6), (0.5, 1.0), (0.04, 0.25), 0.6, 1, 0.2, (0.3, 0.0), 0.25, (0.0, 0.5),
    ),
    # from behind
    _Kind(
        "outdoors", 0.06,
        (135, 180), (5, 60), (0.8, 1.6), (0.8, 1.0), (0.25, 0.5), 0.7, 2, 0.4, (0.4, -0.2), 0.20, (0.5, 1.6),
    ),
    # the flash of the camera
    _Kind(
        "night", 0.05,
        (0, 12), (-3, 20), (0.8, 1.2), (0.8, 1.0), (0.06, 0.25), 0.8, 2, 0.2, (0.0, 0.6), 0.20, (0.0, 0.3),
    ),
    # colored lamps
    _Kind(
        "night", 0.04,
        (0, 120), (-30, 70), (0.4, 1.1), (0.2, 1.0), (0.15, 0.4), 0.8, 3, 0.6, (0.0, 0.0), 1.20, (0.0, 1.0),
    ),
)  # fmt: skip
OVEREXPOSED, UNDEREXPOSED = 0.09, 0.09


def wild_light(rng: np.random.Generator) -> Light:
    """Return any light: soft light in rooms and under clouds more often than hard light."""
    kind = _KINDS[rng.choice(len(_KINDS), p=[k.frequency for k in _KINDS])]
    key_direction = direction(rng.choice((-1, 1)) * rng.uniform(*kind.azimuth), rng.uniform(*kind.elevation))
    key = np.float32(rng.uniform(*kind.key)) * _hue(rng, kind.hues, kind.warmth[0])
    up = direction(rng.uniform(-180, 180), 90 - abs(rng.normal(0, 25)))
    sky = np.float32(rng.uniform(*kind.sky)) * _hue(rng, kind.hues, kind.warmth[1])
    ground = np.float32(rng.uniform(0.15, kind.ground)) * sky * _hue(rng, kind.hues, 0.3)
    lamps = [Lamp(up, sky, 1.5), Lamp(-up, ground, 1.0)]
    for _ in range(int(rng.integers(kind.lamps + 1))):
        towards = direction(rng.uniform(-180, 180), rng.uniform(-20, 60))
        lamps.append(Lamp(towards, np.float32(rng.uniform(0, kind.lamp)) * _hue(rng, kind.hues), rng.uniform(2, 12)))
    ambient = environment(lamps)
    rim = np.float32(rng.uniform(*kind.rim) * rng.random()) * _hue(rng, kind.hues)
    balance = _balance(key, ambient, rng)
    return Light(
        key_direction=key_direction,
        key=key * balance,
        hardness=float(rng.uniform(*kind.hardness)),
        ambient=ambient * balance,
        rim_direction=direction(180 + rng.uniform(-80, 80), rng.uniform(-20, 60)),
        rim=rim * balance,
        exposure=float(2 ** _stops(rng)),
        surroundings=kind.surroundings,
    )


def _hue(rng: np.random.Generator, spread: float, warmth: float = 0.0) -> np.ndarray:
    """Return a random color of unit luminance, warmer or colder more than greener or redder."""
    return color_of(warmth + spread * rng.normal(), 0.5 * spread * rng.normal())


def _balance(key: np.ndarray, ambient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a camera's white balance (3,): it takes out most of the light's mean color, and is rather too warm."""
    mean = 0.5 * key + mean_irradiance(ambient)
    mean = mean / (mean @ LUMINANCE + _NOTHING)
    return ((mean + 0.05) ** -np.float32(rng.uniform(0.5, 1.0))).astype(np.float32) * _hue(rng, 0.15, 0.08)


def _stops(rng: np.random.Generator) -> float:
    """Return by how many stops a picture is too bright."""
    kind = rng.random()
    if kind < OVEREXPOSED:
        return rng.uniform(0.6, 1.5)
    if kind < OVEREXPOSED + UNDEREXPOSED:
        return -rng.uniform(0.6, 2.2)
    return rng.normal(0.05, 0.3)


def sunlit(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray, size: int = 96) -> np.ndarray:
    """Return how much of a distant light each vertex sees past the mesh itself, (N,) float32 from 0 to 1.

    Args:
        vertices: (N, 3) in the axes of ``direction``.
        triangles: (M, 3) int32.
        direction: unit vector toward the light.
        size: side of the shadow map in pixels; shadows are soft over one of them, and fade out where they begin.
    """
    aside = np.array([1.0, 0.0, 0.0] if abs(direction[0]) < 0.8 else [0.0, 1.0, 0.0])
    right = np.cross(aside, direction)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(direction, right), direction]).astype(np.float32)
    seen = axes @ vertices.T
    low = seen.min(1)
    texel = np.float32(max(float((seen[:2].max(1) - low[:2]).max()), _NOTHING) / (size - 3))
    seen[:2] = (seen[:2] - low[:2, None]) / texel + 1
    depth = np.full((size, size), low[2] - texel, np.float32)
    none = np.zeros((len(vertices), 1), np.float32)
    sim3dr.rasterize(np.ascontiguousarray(seen.T), triangles, none, height=size, width=size, depth=depth)
    padded = np.zeros((2, -(-len(vertices) // _ROW), _ROW), np.float32)  # OpenCV's pictures are not so wide
    padded.reshape(2, -1)[:, : len(vertices)] = seen[:2]
    nearest = cv2.remap(depth, padded[0], padded[1], cv2.INTER_LINEAR).ravel()[: len(vertices)]
    hidden = (nearest - seen[2]) * (1 / (_FADE * texel)) - np.float32(_BIAS / _FADE)
    return 1 - np.clip(hidden, 0, 1)


def illuminate(
    albedo: np.ndarray, normals: np.ndarray, occlusion: np.ndarray, gloss: np.ndarray, light: Light,
    sun_visible: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the light that arrives at vertices (N, 3), and the luminance (N,) of what they reflect, as exposed.

    Diffuse light reaches a little past the terminator and into cast shadows, farther in red, as in skin. Highlights are
    broad, and sharp where ``gloss`` is above 0.5.

    Args:
        albedo: (N, 3) linear colors; surfaces lend them to the light that they pass to each other.
        normals: (N, 3) unit vectors.
        occlusion: (N,) share of the environment that a vertex sees.
        gloss: (N,) strength of highlights.
        light: the light.
        sun_visible: (N,) what :func:`sunlit` returns for the key light.
    """
    normal = np.ascontiguousarray(normals.T)
    x, y, z = normal
    facing = light.key_direction @ normal
    shadow = np.float32(0.4) + np.float32(0.6) * occlusion
    shadow *= np.float32(1) - np.float32(light.hardness) * (np.float32(1) - sun_visible)
    key = np.maximum((facing + np.float32(NARROW_WRAP)) * np.float32(1 / (1 + NARROW_WRAP)), 0)
    bleed = np.maximum((facing + np.float32(WIDE_WRAP)) * np.float32(1 / (1 + WIDE_WRAP)), 0) * shadow
    key *= shadow
    bleed -= key
    edge = np.float32(4 * EDGE_BLEED * light.hardness) * sun_visible * (np.float32(1) - sun_visible)
    bleed += edge * np.maximum(facing, 0)
    grazing = np.float32(1) - np.abs(z)
    t = np.clip((grazing - np.float32(0.35)) * np.float32(1 / 0.6), 0, 1)
    rim = np.maximum(light.rim_direction @ normal, 0) * (t * t * (np.float32(3) - np.float32(2) * t)) * occlusion
    direct = np.stack([light.key, light.key * BLEED_COLOR, light.rim], 1) @ np.stack([key, bleed, rim])
    terms = np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x, y * y])
    color = albedo.T
    # Light that other parts of the face reflect: the series of all bounces between surfaces of one color
    open_to = occlusion / (np.float32(1) - color * (np.float32(1) - occlusion))
    illumination = direct + np.maximum(light.ambient.T @ terms, 0) * open_to
    reflected = (light.ambient[:4] @ LUMINANCE) @ np.stack(
        [terms[0], -2 * x * z, -2 * y * z, np.float32(1) - 2 * z * z]
    )
    fresnel = grazing * grazing
    fresnel *= fresnel * occlusion * np.float32(SHEEN)
    shine = np.maximum(reflected, 0) * fresnel
    shine += np.float32(light.key @ LUMINANCE) * _highlight(normals, facing, gloss, light) * shadow
    gain = _gain(illumination, color, z, light)
    return np.ascontiguousarray((illumination * gain).T), shine * gain


def _gain(illumination: np.ndarray, albedo: np.ndarray, z: np.ndarray, light: Light) -> np.float32:
    """Return the exposure of a camera that meters the light, and in part the brightness, of what it sees."""
    visible = np.flatnonzero(z[::8] < -0.2) * 8
    if not len(visible):
        return np.float32(light.exposure)
    level = max(float(LUMINANCE @ illumination[:, visible].mean(1)), 0.02)
    brightness = max(float(LUMINANCE @ albedo[:, visible].mean(1)), 0.02)
    adapted = (MIDDLE_ALBEDO / brightness) ** ADAPTATION
    gain = light.exposure * min(adapted, 2.0) / level
    lacking = DARKEST / (gain * level * brightness)
    return np.float32(gain * np.clip(lacking, 1, MOST_GAIN))


def tone_curve(linear: np.ndarray) -> np.ndarray:
    """Return display values: linear up to a shoulder, which reaches white at about four times it, encoded as sRGB."""
    knee = 0.45
    rolled = np.where(linear < knee, linear, knee + (1 - knee) * (1 - np.exp(-(linear - knee) / (1 - knee))))
    return np.where(rolled < 0.0031308, 12.92 * rolled, 1.055 * np.maximum(rolled, 1e-6) ** (1 / 2.4) - 0.055)


def _highlight(normals: np.ndarray, facing: np.ndarray, gloss: np.ndarray, light: Light) -> np.ndarray:
    """Return the strength (N,) of the key light's reflection, after Blinn."""
    half = light.key_direction + VIEWER
    half = half / max(float(np.linalg.norm(half)), 1e-3)
    broad = np.maximum(normals @ half, 0)
    for _ in range(4):  # to the 16th
        broad *= broad
    sharp = np.flatnonzero(gloss > 0.5)
    broad[sharp] **= 8
    return broad * gloss * (facing > 0)
