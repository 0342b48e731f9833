"""Head stores of rendered heads: the data that the project can make for itself."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from semiuhpe.data.crop import HEAD_BOX, box_in_crop, box_rectangle, cut
from semiuhpe.data.loading import opencv_without_threads
from semiuhpe.data.store import StoreWriter, encode_jpeg, encode_png
from semiuhpe.rotation import matrix_to_euler
from semiuhpe.synthetic.rotations import random_rotations
from semiuhpe.synthetic.scene import render_head

JPEG_QUALITY = 92
RENDERED = "semiuhpe synth"
"""What stands as the source in a rendered store."""


@dataclass(frozen=True)
class SyntheticSet:
    """A set of rendered heads; each head is a function of the seed and its number alone.

    Attributes:
        count: number of heads.
        domain: one of :data:`semiuhpe.synthetic.scene.DOMAINS`.
        range: ``full`` for rotations uniform on SO(3), ``front`` for front to profile.
        seed: of everything random.
        size: side of the stored pictures in pixels.
        test: store the protocol's own crop, lossless, instead of the loose one that training draws its crops from.
    """

    count: int
    domain: str
    range: str
    seed: int
    size: int
    test: bool


def write_store(heads: SyntheticSet, path: str | os.PathLike, workers: int = 1, overwrite: bool = False) -> None:
    """Renders a set of heads into a labelled head store.

    Raises:
        StoreError: the target exists, or can't be written.
    """
    rotations = random_rotations(heads.count, np.random.default_rng([heads.seed, 0]), heads.range)
    euler = matrix_to_euler(torch.from_numpy(rotations), full_range=heads.range == "full").numpy()
    meta = {
        "dataset": f"synthetic-{heads.domain}",
        "split": "test" if heads.test else "train",
        "size": heads.size,
        "protocol": HEAD_BOX.name,
        "loose": not heads.test,
        "labelled": True,
        "full_range": heads.range == "full",
        "source": RENDERED,
        "settings": asdict(heads),
    }
    jobs = ((heads, number, rotations[number]) for number in range(heads.count))
    with StoreWriter(path, meta, overwrite) as writer:
        rendered = tqdm(_rendered(jobs, workers), total=heads.count, desc=f"rendering {Path(path).name}", disable=None)
        for number, (encoded, box) in enumerate(rendered):
            writer.add(encoded, f"{number:06d}", box, rotation=rotations[number], euler_deg=euler[number])


def _rendered(jobs, workers: int) -> Iterator[tuple[bytes, np.ndarray]]:
    if workers <= 1:
        yield from map(_render, jobs)
        return
    # Forked workers touch numpy, OpenCV and the renderer only, never torch, whose threads don't survive a fork.
    with opencv_without_threads():
        pool = multiprocessing.get_context("fork").Pool(workers)
    with pool:
        yield from pool.imap(_render, jobs, chunksize=32)


def _render(job: tuple[SyntheticSet, int, np.ndarray]) -> tuple[bytes, np.ndarray]:
    heads, number, rotation = job
    rng = np.random.default_rng([heads.seed, 1, number])
    if not heads.test:
        head = render_head(rotation, rng, heads.domain, heads.size)
        return encode_jpeg(head.image, JPEG_QUALITY), head.box
    # The tight crop is cut from a larger picture, so that a test head is not blurred by enlarging it.
    head = render_head(rotation, rng, heads.domain, round(heads.size * 1.5))
    height, width = head.image.shape[:2]
    rectangle = box_rectangle(head.box, HEAD_BOX.margin, width, height)
    return encode_png(cut(head.image, rectangle, heads.size)), box_in_crop(head.box, rectangle, heads.size)
