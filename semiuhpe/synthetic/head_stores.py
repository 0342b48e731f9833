"""Head stores of rendered heads: training data that needs no dataset."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from semiuhpe.data.batches.workers import Job, map_in_workers
from semiuhpe.data.crop import (
    CROP_RULES,
    HEAD_BOX,
    JPEG_QUALITY,
    LANDMARKS,
    CropRule,
    StoredCrop,
    box_rectangle,
    encode,
    head_in_crop,
    landmark_rectangle,
    store_crop,
)
from semiuhpe.data.stores import StoredHead, StoreWriter, head_meta
from semiuhpe.data.stores.base import StoredItem
from semiuhpe.errors import ConfigError
from semiuhpe.rotation import matrix_to_euler
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import is_full_range, random_rotations
from semiuhpe.synthetic.variety import check_variety

HEADS_SOURCE = "semiuhpe synth"
"""The source in the metadata of rendered stores."""
MIXED = "mixed"
RULES = (HEAD_BOX.name, LANDMARKS.name, MIXED)
"""Names of the rules that rendered heads may be cropped by; for mixed ones see :func:`landmarks_as_head_box`."""
MIXED_LANDMARKS = 2 / 3  # share, of the mixed heads whose face is seen, that are cropped by landmarks
# Of the landmarks; the head box's own range of margins comes on top, so the loosest crop lacks 3 percent of its side.
MIXED_MARGIN = (0.2, 0.3)


@dataclass(frozen=True)
class SyntheticSet:
    """A set of rendered heads; each is determined by the seed and its number.

    Attributes:
        count: number of heads.
        domain: one of :data:`semiuhpe.synthetic.render_head.DOMAINS`.
        range: ``full`` for rotations uniform on SO(3), ``mixed`` for half of them upright, ``front`` for front to
            profile, ``aflw2000`` for photographs.
        seed: seed of all randomness.
        size: side of the stored pictures in pixels.
        test: store the evaluation crop, lossless, instead of the loose crop that training draws its crops from.
        backgrounds: what is behind the heads, only of the wild domain; drawn places if None.
        crop_rule: name of the rule that heads are cropped by, :data:`RULES`.
        without: names in :data:`semiuhpe.synthetic.variety.VARIETY` of what does not vary.
    """

    count: int
    domain: str
    range: str
    seed: int
    size: int
    test: bool
    backgrounds: Photographs | None = None
    crop_rule: str = HEAD_BOX.name
    without: tuple[str, ...] = ()


def write_store(heads: SyntheticSet, path: str | os.PathLike, workers: int = 1, overwrite: bool = False) -> None:
    """Render a set of heads into a labeled head store.

    Raises:
        ConfigError: there are photographs for the background of clean heads, or a name in ``without`` is unknown.
        DataError: a photograph can't be read.
        StoreError: the target exists, or can't be written.
    """
    check_backgrounds(heads.domain, heads.backgrounds)
    check_variety(heads.without)
    rotations = random_rotations(heads.count, np.random.default_rng([heads.seed, 0]), heads.range)
    euler = matrix_to_euler(torch.from_numpy(rotations), full_range=is_full_range(heads.range)).numpy()
    meta = head_meta(
        dataset=f"synthetic-{heads.domain}",
        split="test" if heads.test else "train",
        size=heads.size,
        crop_rule=stored_rule(heads),
        loose=not heads.test,
        full_range=is_full_range(heads.range),
        source=HEADS_SOURCE,
        settings=recorded(heads),
    )
    jobs = [(heads, number, rotations[number], euler[number]) for number in range(heads.count)]
    render_store(StoreWriter(path, meta, overwrite), _render, jobs, workers)


def stored_rule(heads: SyntheticSet) -> CropRule:
    """Return the rule that all heads of a set's store are cropped by; mixed ones have boxes for that of head boxes."""
    return HEAD_BOX if heads.crop_rule == MIXED else CROP_RULES[heads.crop_rule]


def check_backgrounds(domain: str, photographs: Photographs | None) -> None:
    """Raise ConfigError if there are photographs for a domain that is defined by its own backgrounds."""
    if photographs is not None and domain != "wild":
        raise ConfigError(
            f"--backgrounds {photographs.folder}: the {domain} domain has soft drawn backgrounds only; leave it "
            "out, or render --domain wild"
        )


def recorded(rendered: Any) -> dict[str, Any]:
    """Return what a store's metadata say of the set that it was rendered from, a dataclass with ``backgrounds``.

    Scenes without bodies, and with masks of any kind, are said to be what they were when there was nothing else.
    """
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rendered).items()}
    photographs = settings.pop("backgrounds")
    if settings.get("bodies") == 0:
        del settings["bodies"]
    if settings.get("mask_kind", "") is None:
        del settings["mask_kind"]
    return settings if photographs is None else {**settings, "backgrounds": rendered.backgrounds.recorded()}


def render_store(writer: StoreWriter, render: Callable[[Job], StoredItem], jobs: Sequence[Job], workers: int) -> None:
    """Make a store of what is rendered for each job, with a progress bar; in this process with 0 or 1 workers."""
    with writer:
        items = map_in_workers(render, jobs, workers if workers > 1 else 0)  # one alone would only be waited for
        for item in tqdm(items, total=len(jobs), desc=f"rendering {writer.path.name}", disable=None):
            writer.add(item)


def _render(job: tuple[SyntheticSet, int, np.ndarray, np.ndarray]) -> StoredHead:
    heads, number, rotation, euler_deg = job
    crop, kinds = _crop(heads, number, rotation)
    return StoredHead(f"{number:06d}", crop, rotation, euler_deg, kinds)


def _crop(heads: SyntheticSet, number: int, rotation: np.ndarray) -> tuple[StoredCrop, dict[str, str]]:
    rng = np.random.default_rng([heads.seed, 1, number])
    # The tight crop is cut from a larger picture, so enlarging does not blur test heads.
    size = round(heads.size * 1.5) if heads.test else heads.size
    crop_rule = framed_by = stored_rule(heads)
    face_seen = rotation[2, 2] < 0
    if heads.crop_rule == MIXED and face_seen and rng.random() < MIXED_LANDMARKS:
        framed_by = LANDMARKS
    head = render_head(
        rotation, rng, heads.domain, size, photographs=heads.backgrounds, crop_rule=framed_by, without=heads.without
    )
    box = head.box
    if framed_by is not crop_rule:
        box = landmarks_as_head_box(box, rng.uniform(*MIXED_MARGIN))
    if not heads.test:
        whole = np.array([0.0, 0.0, heads.size, heads.size])
        return StoredCrop(encode(head.image, JPEG_QUALITY), box, whole), head.kinds
    if crop_rule.by_extent:
        corners = np.array([box[:2], box[:2] + box[2:]])
        rectangle = landmark_rectangle(corners, crop_rule.margin, size, size)
    else:
        rectangle = box_rectangle(box, crop_rule.margin, size, size)
    return store_crop(head.image, rectangle, box, heads.size, quality=None), head.kinds


def landmarks_as_head_box(box: np.ndarray, margin: float) -> np.ndarray:
    """Return the box (4,) that the rule of head boxes crops, at its least margin, like the landmarks' rule ``box``.

    So one store can have heads of both rules, for a network that has to do well on either.
    """
    x, y, w, h = box
    reach = margin * max(w, h)
    above = LANDMARKS.above * reach
    crop = np.array([[x - reach, y - above, w + 2 * reach, h + above + reach]])
    return head_in_crop(crop, HEAD_BOX.margin_range[0])[0].astype(np.float32)
