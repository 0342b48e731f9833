"""Scene stores of rendered scenes, some with masked heads, some turned."""

import os
from dataclasses import dataclass, replace

import numpy as np

from semiuhpe.data.crop import JPEG_QUALITY, encode
from semiuhpe.data.stores import SceneHeads, StoredScene, StoreWriter, scene_meta
from semiuhpe.data.turning import MAX_SCENE_TURN_DEG
from semiuhpe.errors import ConfigError
from semiuhpe.synthetic.head_stores import check_backgrounds, recorded, render_store
from semiuhpe.synthetic.masks import draw_mask
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.render_scene import render_scene
from semiuhpe.synthetic.rotations import is_full_range, random_rotations

SCENES_SOURCE = "semiuhpe scenes"
MASK_VISIBLE = 0.7
"""Smallest visible share of a head that gets a mask; below it, the mask would lie on what covers the head."""


@dataclass(frozen=True)
class SceneSet:
    """A set of rendered scenes; each is determined by the seed and its number.

    Attributes:
        count: number of scenes.
        most_heads: most heads on a scene.
        domain: one of :data:`semiuhpe.synthetic.render_head.DOMAINS`.
        range: ``full`` for rotations uniform on SO(3), ``front`` for front to profile, ``aflw2000``
            for photographs.
        seed: seed of all randomness.
        size: side of the pictures in pixels.
        masked: share of the heads that get a mask, of those that can show one; it does not change the others.
        turned: share of the scenes that are turned by up to 45 degrees; it does not change the others.
        backgrounds: what is behind the heads, only of the wild domain; drawn places if None.
        bodies: share of the scenes that show people with whole bodies, upright on one ground; the others show busts
            whose rotations have the range.
        mask_kind: one of :data:`semiuhpe.synthetic.mask_kinds.KINDS`, which all masks are; masks of any shape if None.
    """

    count: int
    most_heads: int
    domain: str
    range: str
    seed: int
    size: int
    masked: float = 0.0
    turned: float = 0.0
    backgrounds: Photographs | None = None
    bodies: float = 0.0
    mask_kind: str | None = None


def write_scenes(scenes: SceneSet, path: str | os.PathLike, workers: int = 1, overwrite: bool = False) -> None:
    """Render a set of scenes into a store.

    Raises:
        ConfigError: a share lies outside [0, 1], or there are photographs for the background of clean scenes.
        DataError: a photograph can't be read.
        StoreError: the target exists, or can't be written.
    """
    check_backgrounds(scenes.domain, scenes.backgrounds)
    check_shares(masked=scenes.masked, turned=scenes.turned, bodies=scenes.bodies)
    rng = np.random.default_rng([scenes.seed, 0])
    rotations = random_rotations(scenes.count * scenes.most_heads, rng, scenes.range)
    rotations = rotations.reshape(scenes.count, scenes.most_heads, 3, 3)
    meta = scene_meta(
        dataset=f"synthetic-{scenes.domain}",
        split="rendered",
        size=scenes.size,
        full_range=is_full_range(scenes.range),
        source=SCENES_SOURCE,
        settings=recorded(scenes),
    )
    jobs = [(scenes, number, rotations[number]) for number in range(scenes.count)]
    render_store(StoreWriter(path, meta, overwrite), _render, jobs, workers)


def check_shares(**shares: float) -> None:
    """Raise ConfigError unless the shares, such as ``masked=0.5``, are named after their options and are shares."""
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"--{name} {share}: must lie in [0, 1]")


def mask_some(
    image: np.ndarray, heads: SceneHeads, rng: np.random.Generator, share: float, kind: str | None = None
) -> tuple[np.ndarray, SceneHeads]:
    """Return the picture with masks on a random share of the heads, and the heads with their ``masked`` labels.

    The masks are of a kind of :data:`semiuhpe.synthetic.mask_kinds.KINDS`, or of any shape.
    """
    image, masked = image.copy(), heads.masked.copy()
    for i in range(len(heads)):
        if rng.random() < share and heads.visible[i] >= MASK_VISIBLE and not masked[i]:
            masked[i] = draw_mask(image, heads.rotation[i], heads.landmarks[i], heads.box[i], rng, kind)
    return image, replace(heads, masked=masked)


def _render(job: tuple[SceneSet, int, np.ndarray]) -> StoredScene:
    scenes, number, rotations = job
    changes = np.random.default_rng([scenes.seed, 2, number])
    turn_deg = changes.uniform(-MAX_SCENE_TURN_DEG, MAX_SCENE_TURN_DEG) if changes.random() < scenes.turned else 0.0
    rng = np.random.default_rng([scenes.seed, 1, number])
    scene = render_scene(
        rotations, rng, scenes.domain, scenes.size, turn_deg, scenes.backgrounds, scenes.bodies,
        is_full_range(scenes.range),
    )  # fmt: skip
    image, heads = mask_some(scene.image, scene.heads, changes, scenes.masked, scenes.mask_kind)
    return StoredScene(f"{number:06d}", encode(image, JPEG_QUALITY), (scenes.size, scenes.size), heads, turn_deg)
