"""Rendered heads as a pose-controlled generator: each number is an identity, visible from any direction."""

import numpy as np

from semiuhpe.data.batches.generators import GeneratedHead
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.synthetic.render_head import render_head

PEOPLE = 2**31
_STREAM = 3  # stores draw from streams 0 to 2 of their seed


class RenderedHeads:
    """Renders heads on request, with exactly the requested rotation.

    Args:
        domain: one of :data:`semiuhpe.synthetic.render_head.DOMAINS`.
        size: side of the pictures in pixels.
        seed: seed of all identities.
    """

    crop_rule = HEAD_BOX

    def __init__(self, domain: str, size: int, seed: int):
        self.domain, self.size, self.seed = domain, size, seed

    def identities(self, rotation: np.ndarray, other_than: str) -> range:
        return range(PEOPLE)

    def covers(self, rotation: np.ndarray, names: np.ndarray) -> np.ndarray:
        return np.ones(len(rotation), bool)

    def __call__(self, identity: int, rotation: np.ndarray) -> GeneratedHead:
        rng = np.random.default_rng([self.seed, _STREAM, identity])
        head = render_head(rotation, rng, self.domain, self.size)
        bounds = np.array([0.0, 0.0, self.size, self.size], np.float32)
        return GeneratedHead(head.image, head.box, bounds, np.asarray(rotation, np.float32))
