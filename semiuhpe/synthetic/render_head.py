"""Render a picture of a head with a known rotation: ``render_head``.

The head's center is on the optical axis of a perspective camera, so the visible rotation is exactly the given one,
however near the camera is. The image is a square around the head, as the head-box crop rule cuts it, with a margin that
leaves room for tighter crops.

There are two domains: ``clean`` is a studio (even light, soft backgrounds, no accessories), ``wild`` is the street.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np

from semiuhpe.data.crop import HEAD_BOX, CropRule
from semiuhpe.synthetic import accessories, backgrounds, degrade, figure, hair, hats, occluders
from semiuhpe.synthetic.compose import Canvas, LitHead, light_up
from semiuhpe.synthetic.head import head_vertices, template
from semiuhpe.synthetic.identity import Identity, looking, random_identity
from semiuhpe.synthetic.kinds import age_group, kinds_of_picture
from semiuhpe.synthetic.light import Light, clean_light, wild_light
from semiuhpe.synthetic.marks import all_marks, visible_marks
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.posture import bend_neck, random_bend, random_neck, rotation_of, toward_camera
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh
from semiuhpe.synthetic.variety import reduced
from semiuhpe.synthetic.whole_figure import with_body

# How often wild heads have these, as far as others leave room
HAT, HEADPHONES, GLASSES, FACE_MASK, HAND, OBJECT = 0.15, 0.04, 0.22, 0.07, 0.10, 0.08
SEEN_MARKS = 0.5  # share of wild heads cropped by landmarks that are cropped by those that can be seen
CUT_OFF = 0.3  # from this on, of what :func:`seen_from_below` returns, nothing hangs down from the head
SMALL_PX = 96  # up to this size, pictures are drawn at twice theirs
PHOTOGRAPH_ENDS = 0.06  # how often a wild head is so near the edge of its photograph that the crop reaches beyond it


@dataclass(frozen=True)
class SyntheticHead:
    """A picture of a head, the head's box, and what kind of head it is.

    ``image`` is RGB uint8 (size, size, 3); ``box`` is float32 (4,): x, y, width, height in pixels of the image, around
    skull, jaw, ears and hair on the head, without neck, hanging hair and hats. In the wild domain it is like a
    detector's: slightly off in place and scale. ``kinds`` are names and values of :mod:`semiuhpe.synthetic.kinds`.
    """

    image: np.ndarray
    box: np.ndarray
    kinds: dict[str, str]


@dataclass(frozen=True)
class Domain:
    """Parameters of a domain besides light, backgrounds and degradation."""

    distance: tuple[float, float]  # range of the camera's distance, in units of 10 cm
    margin: tuple[float, float]
    place_jitter: float  # of the box, as part of its side (standard deviation)
    scale_jitter: float


_DOMAINS = {
    "clean": Domain((7.0, 20.0), (0.22, 0.33), 0.0, 0.0),
    "wild": Domain((6.0, 35.0), (0.20, 0.35), 0.03, 0.05),
}
DOMAINS = tuple(_DOMAINS)


def render_head(
    rotation: np.ndarray,
    rng: np.random.Generator,
    domain: str = "clean",
    size: int = 112,
    *,
    photographs: Photographs | None = None,
    crop_rule: CropRule = HEAD_BOX,
    without: Collection[str] = (),
) -> SyntheticHead:
    """Render a random head with the given rotation; a pure function of its arguments.

    Args:
        rotation: (3, 3), head to camera, as in :mod:`semiuhpe.rotation`.
        rng: the only source of randomness: identity, hair, light, background and so on.
        domain: ``"clean"`` or ``"wild"``.
        size: side of the image in pixels.
        photographs: backgrounds of wild heads; drawn ones if None.
        crop_rule: the rule that the head is to be cropped by: the box is around the head, or for
            :data:`semiuhpe.data.crop.LANDMARKS` around landmarks: the 68 of 300W-LP, or in the wild domain as often
            those of AFLW2000 that can be seen.
        without: names in :data:`semiuhpe.synthetic.variety.VARIETY` of what does not vary.

    Raises:
        ValueError: the domain is unknown.
        DataError: a photograph can't be read.
    """
    if domain not in _DOMAINS:
        raise ValueError(f"unknown domain {domain!r} of synthetic heads; it must be one of {', '.join(DOMAINS)}")
    settings = _DOMAINS[domain]
    wild = domain == "wild"
    rotation = np.asarray(rotation, np.float32)
    identity = reduced(random_identity(rng), without)
    light = wild_light(rng) if wild else clean_light(rng)
    if "light" in without:
        light = replace(clean_light(rng), surroundings=light.surroundings)
    distance = float(np.exp(rng.uniform(*np.log(settings.distance))))
    dressed = wild and "worn" not in without
    scene = _assemble(identity, rotation, light, distance, rng, dressed)
    around = _marked(scene, rotation, rng, wild) if crop_rule.by_extent else scene.silhouette
    box, crop = _frame(around, crop_rule, settings, rng)
    image = _draw(scene, crop, light, size, rng, wild, photographs)
    box = np.array([*(box[:2] - crop[:2]), *box[2:]], np.float32) * np.float32(size / crop[2])
    kinds = scene.kinds
    if dressed and rng.random() < OBJECT:
        occluders.draw_object(image, box, rng)
        kinds["before_it"] = "object"
    sharp = image
    image = degrade.wild(image, rng) if wild and "camera" not in without else degrade.clean(image, rng)
    kinds |= kinds_of_picture(image, sharp)
    if wild and "camera" not in without and rng.random() < PHOTOGRAPH_ENDS:
        degrade.end_photograph(image, rng)
    return SyntheticHead(image, box, kinds)


@dataclass(frozen=True)
class _Scene:
    head: LitHead
    placed: np.ndarray  # (N, 3): x and y on the image plane at unit focal length, z larger nearer
    silhouette: np.ndarray  # (2, n) on the image plane: the vertices that the head box encloses
    covered_ears: bool
    kinds: dict[str, str]


def _assemble(
    identity: Identity, rotation: np.ndarray, light: Light, distance: float, rng: np.random.Generator, wild: bool
) -> _Scene:
    """Return the head and everything around it, lit and projected."""
    dressed = dress(identity, rotation, rng, wild)
    worn, kinds = dressed.worn, dressed.kinds | {"before_it": "nothing"}
    if wild and rng.random() < HAND:
        kinds["before_it"] = "hand"
        hand = occluders.random_hand(rng, identity.skin, distance)
        hand.vertices[:, 2] -= np.float32(distance)
        worn.append(Mesh(hand.vertices @ rotation, hand.triangles, hand.albedo, hand.gloss))  # into head axes
    head = light_up(dressed.figure, worn, rotation, light)
    camera = head.vertices @ rotation.T
    nearness = 1 / np.maximum(camera[:, 2:] + np.float32(distance), 0.3)  # unlike depth, linear on the image plane
    placed = np.concatenate([camera[:, :2] * nearness, nearness], 1)
    return _Scene(
        head=head,
        placed=placed,
        silhouette=np.ascontiguousarray(placed[dressed.enclosed, :2].T),
        covered_ears=dressed.covered_ears,
        kinds=kinds,
    )


def _marked(scene: _Scene, rotation: np.ndarray, rng: np.random.Generator, wild: bool) -> np.ndarray:
    """Return the landmarks (2, n) on the image plane by which the head is cropped."""
    if wild and rng.random() < SEEN_MARKS:
        return visible_marks(scene.placed, rotation, scene.covered_ears, rng)
    return all_marks(scene.placed)


def seen_from_below(body: np.ndarray) -> float:
    """Return how much of the shoulders has to go, as they would hide the head: 0 to 1, the more steeply they are seen.

    Args:
        body: (3, 3) rotation of the body, as that of a head.
    """
    height_of_camera = -body[2, 1]  # of the direction to the camera, in the body's axes
    return float(smoothstep(height_of_camera, -0.32, -0.60))


@dataclass(frozen=True)
class Dressed:
    """A figure and what it wears.

    Attributes:
        figure: the person.
        worn: hair that hangs down, hats and so on.
        enclosed: indices of the vertices that the head's box encloses.
        covered_ears: whether hair or a hat covers the ears.
        kinds: what kind of head it is.
    """

    figure: figure.Figure
    worn: list[Mesh]
    enclosed: np.ndarray
    covered_ears: bool
    kinds: dict[str, str]


def dress(
    identity: Identity, rotation: np.ndarray, rng: np.random.Generator, wild: bool, face_mask: float = FACE_MASK,
    body_bend: np.ndarray | None = None,
) -> Dressed:  # fmt: skip
    """Return the figure of a person with accessories.

    Args:
        identity: who it is.
        rotation: (3, 3), head to camera.
        rng: the only source of randomness.
        wild: whether it may wear glasses, a hat and so on.
        face_mask: the share of wild heads with a face mask.
        body_bend: how the body is turned relative to the head, as :func:`semiuhpe.synthetic.posture.random_bend` has
            it, of a person with a whole body; without it the figure is a bust that is turned at random.
    """
    bend, longer = random_bend(rotation, rng) if body_bend is None else body_bend, random_neck(rng)
    gaze = toward_camera(rotation, rng)
    if gaze is not None and identity.expression:
        identity = replace(identity, expression=identity.expression | looking(*gaze))
    from_below = seen_from_below(rotation @ rotation_of(bend)) if body_bend is None else 0.0
    cut_off = from_below > CUT_OFF  # with the shoulders goes what lies on them
    height = None
    if identity.style != "bald":
        height = hair.shell_height(identity.style, identity.volume, identity.strand, identity.parted_left)
    hanging = None
    if not cut_off or identity.style in hair.TIED:
        hanging = hair.hanging_hair(identity.style, identity.hair, identity.coefficients)
    covered_ears = identity.style in hair.COVERS_EARS
    kinds = {"age": age_group(identity.person.age), "on_head": "nothing", "glasses": "no", "face_mask": "no"}
    worn: list[Mesh] = []
    if wild and rng.random() < HAT:
        hat, height, over_ears = hats.random_hat(rng, identity.coefficients, height, to_shoulders=not cut_off)
        worn.append(hat)
        kinds["on_head"] = "hat"
        covered_ears |= over_ears
        hanging = None if over_ears or hanging is None else hats.press_down(identity.style, hanging)
    elif wild and rng.random() < HEADPHONES:
        worn.append(hats.random_headphones(rng, identity.coefficients))
        kinds["on_head"] = "headphones"
        height = None if height is None else hats.below_band(height)
        covered_ears = True
    if hanging is not None:
        worn.insert(0, hanging)
    for mesh in worn:
        bend_neck(mesh.vertices, bend, longer)
    built = figure.build(identity, height, bend, longer, from_below, covered_ears)
    if body_bend is not None:
        built, seats = with_body(built, identity, bend, longer, rng)
        worn += seats
    if wild and rng.random() < GLASSES:
        worn += accessories.random_glasses(rng, built.vertices, covered_ears)
        kinds["glasses"] = "yes"
    if wild and rng.random() < face_mask:
        worn += accessories.put_on_mask(built.vertices, rng)
        kinds["face_mask"] = "yes"
    enclosed = _silhouette(height)
    if hanging is not None and identity.style in hair.HANGING_COUNTS:  # the first of what is worn
        enclosed = np.concatenate([enclosed, len(built.vertices) + np.arange(len(hanging.vertices))])
    return Dressed(built, worn, enclosed, covered_ears, kinds)


def _silhouette(shell_height: np.ndarray | None) -> np.ndarray:
    """Return the indices of the vertices that the head's box has to enclose: skull, jaw and ears, and hair on them."""
    t = template()
    if shell_height is None:
        return head_vertices()
    return np.concatenate([head_vertices(), t.part["shell"].start + np.flatnonzero(shell_height > 0)])


def _frame(
    around: np.ndarray, crop_rule: CropRule, settings: Domain, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the box (x, y, w, h) around points (2, n) and the square crop (x, y, side) about it, on the image plane.

    The crop is as loose as the loosest that training draws from it, and a little more.
    """
    low, high = around.min(1), around.max(1)
    extent = high - low
    center = (low + high) / 2 + np.clip(rng.normal(0, settings.place_jitter, 2), -0.08, 0.08) * extent.mean()
    extent = extent * np.exp(np.clip(rng.normal(0, settings.scale_jitter), -0.12, 0.12))
    box = np.array([*(center - extent / 2), *extent], np.float32)
    loose = rng.uniform(*settings.margin)
    if crop_rule.by_extent:
        reach = (crop_rule.margin_range[1] + loose - settings.margin[0]) * extent.max()
        side = max(extent[0] + 2 * reach, extent[1] + (1 + crop_rule.above) * reach)
        center = center - (0, (crop_rule.above - 1) * reach / 2)
    else:
        side = extent.mean() * (1 + 2 * loose)
    return box, np.array([*(center - side / 2), side], np.float32)


def _draw(
    scene: _Scene, crop: np.ndarray, light: Light, size: int, rng: np.random.Generator, wild: bool,
    photographs: Photographs | None,
) -> np.ndarray:  # fmt: skip
    """Draw at a multiple of the size, over a background, and average down."""
    fine = size * 2 if size <= SMALL_PX else int(size * 1.5)
    if wild:
        background = backgrounds.wild_background(fine, rng, light, photographs)
    else:
        background = backgrounds.clean_background(fine, rng)
    scale = np.float32(fine / crop[2])
    placed = scene.placed.copy()
    placed[:, :2] = (placed[:, :2] - crop[:2]) * scale - np.float32(0.5)
    canvas = Canvas(background)
    canvas.draw(scene.head, placed)
    return cv2.resize(canvas.picture(light.highlights), (size, size), interpolation=cv2.INTER_AREA)
