"""What bodies wear: lengths of sleeves, trousers and skirts, colors and patterns, and the texture that shows them.

The texture is the body at rest seen from the front, and beside it from the back, so it needs no seams but those at the
sides; a skirt has a front and a back of its own. Colors are painted as square roots of linear albedo, as those of skin
are.
"""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic import regions
from semiuhpe.synthetic.body import SIDES, BodyBasis
from semiuhpe.synthetic.identity import Identity
from semiuhpe.synthetic.skin import interpolated

TEXELS = 14  # per unit
_MARGIN = 4
PLAIN, HOOPS, STRIPES, CHECKS, PRINT, OPEN = "plain", "hoops", "stripes", "checks", "print", "open"
PATTERNS = {PLAIN: 0.5, HOOPS: 0.11, STRIPES: 0.05, CHECKS: 0.08, PRINT: 0.12, OPEN: 0.14}
"""How often a top is plain, has stripes, checks or a print on the chest, or is open over something else."""
SLEEVES = ((0.12, (0.05, 0.15)), (0.38, (0.45, 0.95)), (0.50, (1.70, 1.92)))  # how often, and where they end
TROUSERS = ((0.80, (1.80, 1.93)), (0.20, (0.45, 1.0)))
SKIRT_OFF, SKIRT_FLARE = 0.08, 0.55  # how far it stands off, and how much wider it is at its end
FOLDS, FOLD = 8, 0.35  # patterns of folds, and how deep they are
SKIRT, DRESS, TIGHTS = 0.35, 0.5, 0.4  # of women who don't sit; of those with a skirt
DARK_BLUE, BEIGE, LEATHER = (0.05, 0.08, 0.17), (0.45, 0.36, 0.25), (0.07, 0.04, 0.025)


@dataclass(frozen=True)
class Outfit:
    """What a person wears. Colors are linear, (3,); lengths of limbs count joints: 1 is an elbow or a knee, 2 its end.

    Attributes:
        top, second: colors of the top and of its pattern.
        pattern: one of :data:`PATTERNS`.
        size: of the pattern, in units.
        sleeve, leg: where sleeves and trousers end; trousers of 0 are those of a skirt.
        hem: height of the lower end of the top below the pelvis.
        bottom: color of trousers or skirt.
        skirt: where a skirt ends, None for trousers.
        tights: color of the legs below a skirt, None for skin.
        shoes: their color.
        loose: how far clothes stand off the body.
        folds: which of the patterns of folds they have.
        bare: nothing covers the shoulders.
    """

    top: np.ndarray
    second: np.ndarray
    pattern: str
    size: float
    sleeve: float
    leg: float
    hem: float
    bottom: np.ndarray
    skirt: float | None
    tights: np.ndarray | None
    shoes: np.ndarray
    loose: float
    folds: int
    bare: bool


def random_outfit(identity: Identity, rng: np.random.Generator, sits: bool) -> Outfit:
    """Return random clothes that go with the garment of an identity."""
    woman = identity.person.female > 0.5
    top = identity.clothes
    skirt = float(rng.uniform(0.55, 1.8)) if woman and not sits and rng.random() < SKIRT else None
    dress = skirt is not None and rng.random() < DRESS
    return Outfit(
        top=top,
        second=_contrast(top, rng),
        pattern=str(rng.choice(list(PATTERNS), p=list(PATTERNS.values()))),
        size=float(np.exp(rng.uniform(np.log(0.25), np.log(1.0)))),
        sleeve=_length(SLEEVES, rng),
        leg=_length(TROUSERS, rng),
        hem=-0.3 if skirt is not None else float(rng.uniform(-0.1, 1.1)),
        bottom=top if dress else _bottom_color(rng),
        skirt=skirt,
        tights=_color(rng) * np.float32(0.3) if rng.random() < TIGHTS else None,
        shoes=_color(rng) if rng.random() < 0.4 else np.array(LEATHER, np.float32) * np.float32(rng.uniform(0.3, 1.5)),
        loose=float(rng.uniform(0.04, 0.2)),
        folds=int(rng.integers(FOLDS)),
        bare=identity.bare_shoulders,
    )


def _length(kinds: tuple[tuple[float, tuple[float, float]], ...], rng: np.random.Generator) -> float:
    return float(rng.uniform(*kinds[rng.choice(len(kinds), p=[share for share, _ in kinds])][1]))


def _color(rng: np.random.Generator) -> np.ndarray:
    """Return a color as garments of identities have them."""
    return np.clip(rng.uniform(0.05, 0.9) + rng.normal(0, 0.12, 3), 0.03, 0.95).astype(np.float32) ** 2


def _contrast(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    other = _color(rng)
    return np.float32(0.8) - other * np.float32(0.5) if abs(float(other.mean() - color.mean())) < 0.1 else other


def _bottom_color(rng: np.random.Generator) -> np.ndarray:
    """Return a color of trousers: mostly dark, blue or beige."""
    kind = rng.random()
    if kind < 0.4:
        return np.array(DARK_BLUE, np.float32) * np.float32(rng.uniform(0.4, 2.5))
    if kind < 0.65:
        return np.full(3, rng.uniform(0.01, 0.1), np.float32)
    return np.array(BEIGE, np.float32) * np.float32(rng.uniform(0.3, 1.4)) if kind < 0.8 else _color(rng)


@dataclass(frozen=True, eq=False)
class Panels:
    """The layout of the texture.

    Attributes:
        vertex: (S,) the vertex of the body of each textured vertex; those at the sides are in front and back.
        uv: (S, 2) as :class:`sim3dr.Mesh` takes it.
        triangles, skirt: (M, 3) of body and skirt, as indices of textured vertices; clockwise seen from outside.
        shape: height and width.
        texels: (n,) numbers of those that show the body, or lie beside it; the others are the skirt's.
        points: (n, 3) of the mean body at rest, that they show.
        arm, leg: (n,) how far down an arm or leg they lie: 0 where it begins, 1 at elbow or knee, 2 at its end, above
            2 on hands and feet, -1 elsewhere.
    """

    vertex: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    skirt: np.ndarray
    shape: tuple[int, int]
    texels: np.ndarray
    points: np.ndarray
    arm: np.ndarray
    leg: np.ndarray


@cache
def panels() -> Panels:
    """Return the layout of the texture, made on first use."""
    basis = BodyBasis.load()
    every = np.concatenate([basis.triangles, basis.skirt])
    normal = np.cross(*(basis.mean[every[:, k]] - basis.mean[every[:, 0]] for k in (1, 2)))
    panel = (normal[:, 2] < 0) + 2 * (np.arange(len(every)) >= len(basis.triangles))
    pairs, textured = np.unique(
        np.stack([every, np.broadcast_to(panel[:, None], every.shape)], -1).reshape(-1, 2), axis=0, return_inverse=True
    )
    vertex, of_panel = pairs.T
    textured = np.ascontiguousarray(textured.reshape(-1, 3)[:, ::-1], np.int32)
    low, high = basis.mean.min(0)[:2], basis.mean.max(0)[:2]
    width, height = (int(np.ceil(span * TEXELS)) + 2 * _MARGIN for span in high - low)
    texel = (basis.mean[vertex, :2] - low) * TEXELS + _MARGIN
    flipped = of_panel % 2 == 1  # seen from behind
    texel[flipped, 0] = width - texel[flipped, 0]
    texel[:, 0] += of_panel * width
    texel[:, 1] = height - texel[:, 1]
    on_picture = np.column_stack([texel - 0.5, basis.mean[vertex, 2] * np.where(flipped, -1, 1)]).astype(np.float32)
    index = np.full((height, 4 * width), -1, np.int32)
    blank = np.zeros((len(texel), 1), np.float32)
    sim3dr.rasterize(on_picture, textured, blank, height=height, width=4 * width, index=index)
    values = np.column_stack([basis.mean, _along_arms(basis), _along_legs(basis)])[vertex].astype(np.float32)
    maps = np.concatenate(
        [interpolated(part, on_picture[:, :2] - (k * width, 0), values, textured)
         for k, part in enumerate(np.split(index, 4, 1))], 1
    )  # fmt: skip
    near = cv2.dilate((index >= 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    near[:, 2 * width :] = 0
    texels = np.flatnonzero(near)
    shown = maps.reshape(-1, maps.shape[-1])[texels]
    uv = texel / (4 * width, height)
    uv[:, 1] = 1 - uv[:, 1]
    split = len(basis.triangles)
    return Panels(
        vertex=vertex.astype(np.int32),
        uv=np.ascontiguousarray(uv, np.float32),
        triangles=textured[:split],
        skirt=textured[split:],
        shape=(height, 4 * width),
        texels=texels,
        points=np.ascontiguousarray(shown[:, :3]),
        arm=shown[:, 3],
        leg=shown[:, 4],
    )


def _along_arms(basis: BodyBasis) -> np.ndarray:
    bones = ("upper arm", "lower upper arm", "forearm", "lower forearm", "hand", "fingers")
    return _along(basis, bones, ("upper arm", "forearm", "hand"), 0.3)


def _along_legs(basis: BodyBasis) -> np.ndarray:
    return _along(basis, ("thigh", "shin", "foot"), ("thigh", "shin", "foot"), 0.3)


def _along(basis: BodyBasis, bones: tuple[str, ...], joints: tuple[str, ...], least: float) -> np.ndarray:
    """Return how far along a limb vertices lie (N,), -1 for those of others."""
    result = np.full(len(basis.mean), -1.0)
    for side in SIDES:
        mine = basis.weights[:, [basis.names.index(side + bone) for bone in bones]].sum(1) > least
        start, middle, end = (basis.joints[basis.names.index(side + joint)] for joint in joints)
        upper, lower = (((basis.mean - a) @ (b - a)) / ((b - a) @ (b - a)) for a, b in ((start, middle), (middle, end)))
        result[mine] = np.where(upper < 1, np.maximum(upper, -0.9), 1 + np.maximum(lower, 0))[mine]
    return result


SKIN, STOCKINGS, BOTTOM, SHOES, TOP, SECOND, OTHERS = range(7)


def worn(points: np.ndarray, arm: np.ndarray, leg: np.ndarray, outfit: Outfit, covered: np.ndarray) -> np.ndarray:
    """Return what is worn at points, (n,) uint8: one of the numbers above.

    Args:
        points, arm, leg: (n, 3), (n,), (n,) as :class:`Panels` has them.
        outfit: what is worn.
        covered: (n,) bool, what lies below the collar.
    """
    basis = BodyBasis.load()
    waist, y, trunk = basis.joints[basis.names.index("pelvis"), 1], points[:, 1], arm < 0
    result = np.zeros(len(points), np.uint8)
    if outfit.skirt is not None and outfit.tights is not None:
        result[leg > 0] = STOCKINGS
    legs = trunk & (y < waist + 0.6)
    result[legs & (leg < (outfit.leg if outfit.skirt is None else 0.3))] = BOTTOM
    result[legs & (leg > 1.88)] = SHOES
    top = (y > waist - outfit.hem) & (trunk & (y < -3.0) if outfit.bare else (arm < outfit.sleeve) & covered)
    result[top] = TOP
    result[top & _is_second(points, arm, outfit)] = SECOND
    return result


def _is_second(points: np.ndarray, arm: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Return where a top has the color of its pattern, (n,) bool; the bust is plain."""
    x, y, z = points.T
    trunk, size = arm < 0, np.float32(outfit.size)
    along = np.where(trunk, y, np.float32(2.5) * arm) / size
    if outfit.pattern == HOOPS:
        return (along % 1 < 0.45) & (y < -2)
    if outfit.pattern == STRIPES:
        return trunk & (x / size % 1 < 0.4) & (y < -2)
    if outfit.pattern == CHECKS:
        return ((along % 1 < 0.5) ^ (x / size % 1 < 0.5)) & (y < -2)
    if outfit.pattern == PRINT:
        wave = np.sin(5 * x / size + 2) + np.sin(4 * y / size) * np.cos(3 * x)
        return ((x / 0.9) ** 2 + ((y + 3.6) / 0.7) ** 2 < 1) & (z > 0) & (wave > 0)
    if outfit.pattern == OPEN:
        return trunk & (np.abs(x) < 0.12 + 0.25 * size) & (z > 0) & (y < -2)
    return np.zeros(len(points), bool)


def paint_body(identity: Identity, outfit: Outfit) -> np.ndarray:
    """Return the texture of a dressed body, uint8 (H, W, 3)."""
    p = panels()
    palette = np.empty((OTHERS, 3), np.float32)
    colors = {SKIN: identity.skin, STOCKINGS: outfit.tights, BOTTOM: outfit.bottom, SHOES: outfit.shoes}
    for number, color in (colors | {TOP: outfit.top, SECOND: outfit.second}).items():
        palette[number] = 0 if color is None else np.sqrt(color)
    shades = np.clip(palette * 255, 0, 255).astype(np.uint8)
    texture = np.empty((*p.shape, 3), np.uint8)
    texture[:] = shades[BOTTOM]  # of the skirt
    texture.reshape(-1, 3)[p.texels] = shades[worn(p.points, p.arm, p.leg, outfit, _covered(*identity.collar))]
    return texture


@cache
def _covered(height: float, opening: float) -> np.ndarray:
    return regions.below_collar(panels().points, height, opening) > 0.5


@cache
def _at_vertices(height: float, opening: float) -> tuple[np.ndarray, ...]:
    basis = BodyBasis.load()
    covered = regions.below_collar(basis.mean, height, opening) > 0.5
    return basis.mean, _along_arms(basis), _along_legs(basis), covered


def thickness(outfit: Outfit, collar: tuple[float, float]) -> np.ndarray:
    """Return how far clothes stand off each vertex of the body (N,)."""
    points, arm, leg, covered = _at_vertices(*collar)
    plain = replace(outfit, pattern=PLAIN)
    off = np.zeros(OTHERS, np.float32)
    off[TOP], off[SHOES] = 0.02 + outfit.loose, 0.12
    off[BOTTOM] = 0.04 + 1.2 * outfit.loose if outfit.skirt is None else 0.0
    result = off[worn(points, arm, leg, plain, covered)] * BodyBasis.load().free * _folds(outfit.folds)
    result[_of_skirt()] = SKIRT_OFF
    return result


@cache
def _of_skirt() -> np.ndarray:
    return np.unique(BodyBasis.load().skirt)


def shorten_skirt(vertices: np.ndarray, outfit: Outfit) -> None:
    """Raise the lower part of the skirt of a body at rest (N, 3) to where an outfit's ends, in place."""
    if outfit.skirt is None:
        return
    own = vertices[_of_skirt()]
    high, low = own[:, 1].max(), own[:, 1].min()
    down, end = (high - own[:, 1]) / (high - low), np.float32(min(outfit.skirt / 1.85, 1.0))
    narrower = (1 + SKIRT_FLARE * np.minimum(end, down)) / (1 + SKIRT_FLARE * down)
    own[:, ::2] *= narrower[:, None]
    own[:, 1] = high - np.minimum(down, end) * (high - low)
    vertices[_of_skirt()] = own


@cache
def _folds(pattern: int) -> np.ndarray:
    """Return factors (N,) of how far clothes stand off: smooth waves, longer along limbs than across."""
    rng = np.random.default_rng(7600 + pattern)
    points = BodyBasis.load().mean
    waves = rng.normal(0, (5.0, 3.0, 5.0), (4, 3))
    return np.asarray(1 + FOLD * np.sin(points @ waves.T + rng.uniform(0, 6, 4)).sum(1) / 2, np.float32)
