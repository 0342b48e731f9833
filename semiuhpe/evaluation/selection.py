"""Which heads to label next: such that models are unsure of, and that differ from each other.

Heads are taken one by one. The next is the one with the largest product of

- how unsure the models are of it, the standard deviation about an axis of what they predict, in radians; the most
  unsure tenth counts the same, because among them are heads that nobody can label, and
- how far its predicted rotation is from those of all heads that are labeled or were taken before.

Without the first this is the greedy k-centre algorithm (Gonzalez, "Clustering to minimize the maximum intercluster
distance", 1985), which Sener and Savarese ("Active learning for convolutional neural networks: a core-set approach",
ICLR 2018) use to choose what to label; the product makes it the weighted one (Dyer and Frieze, "A simple heuristic for
the p-centre problem", 1985). Distances are geodesic.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from semiuhpe.evaluation.opinions import Opinion
from semiuhpe.models.reliability import width


@dataclass(frozen=True)
class Selection:
    """Heads to label, the most useful first.

    Attributes:
        head: (K,) their positions among all heads.
        distance_deg: (K,) how far each one's predicted rotation was from the nearest that was taken before; infinite
            for the first, if no heads are labeled.
    """

    head: Tensor
    distance_deg: Tensor


def consensus(found: Sequence[Opinion]) -> Tensor:
    """Return the chordal mean (N, 3, 3) of what models predict."""
    return roma.special_procrustes(torch.stack([opinion.rotation for opinion in found]).mean(0))


def unsureness(found: Sequence[Opinion]) -> Tensor:
    """Return the standard deviation (N,) about an axis, in radians, of the mixture of what models predict.

    By the law of total variance its square is the mean of the models' variances and the variance of their predictions.
    A narrow distribution of the entropy h has a standard deviation of exp(h / 3) / 0.963 (the entropy of a normal one,
    with respect to the Haar probability measure); models without uncertainty count as sure.
    """
    rotation = torch.stack([opinion.rotation for opinion in found])
    away = roma.rotmat_geodesic_distance(rotation, consensus(found)[None])
    within = torch.stack(
        [torch.zeros_like(away[0]) if one.point else width(one.predicted.entropy()) / _WIDTH for one in found]
    )
    return (within.square().mean(0) + away.square().mean(0) / 3).sqrt()


def select(rotation: Tensor, weight: Tensor, count: int, labeled: Tensor | None = None) -> Selection:
    """Choose heads; see this module's docstring. It takes time in proportion to N times ``count``.

    Args:
        rotation: (N, 3, 3) predictions for the heads to choose from, head to camera.
        weight: (N,) how unsure they are; if all are 0, all count the same.
        count: how many to choose, at most N.
        labeled: (L, 3, 3) rotations of heads that are labeled already.
    """
    quaternion = roma.rotmat_to_unitquat(rotation.double())
    weight = weight.double().clamp(max=float(weight.double().quantile(_COUNTS_THE_SAME)))
    weight = weight if bool(weight.any()) else torch.ones_like(weight)
    nearest = _nearest(quaternion, () if labeled is None else roma.rotmat_to_unitquat(labeled.double()))
    taken, distances = [], []
    free = torch.ones_like(weight, dtype=torch.bool)
    for _ in range(count):
        gain = weight * (nearest if bool(nearest.isfinite().all()) else 1.0)
        chosen = int(torch.where(free, gain, -1.0).argmax())
        taken.append(chosen)
        distances.append(float(nearest[chosen]))
        free[chosen] = False
        nearest = torch.minimum(nearest, _distance(quaternion, quaternion[chosen]))
    return Selection(torch.tensor(taken), torch.rad2deg(torch.tensor(distances, dtype=torch.float64)))


def covering_radius_deg(rotation: Tensor, chosen: Tensor) -> float:
    """Return how far the farthest of N rotations (N, 3, 3) is from the nearest of those at K positions, in degrees."""
    quaternion = roma.rotmat_to_unitquat(rotation.double())
    return math.degrees(float(_nearest(quaternion, quaternion[chosen]).max()))


_COUNTS_THE_SAME = 0.9
"""Quantile of how unsure heads are above which all count the same."""
_WIDTH = math.sqrt(2 * math.pi * math.e) / (8 * math.pi**2) ** (1 / 3)


def _nearest(quaternion: Tensor, others: Iterable[Tensor]) -> Tensor:
    """Return the distances (N,) in radians of unit quaternions (N, 4) to the nearest of others (4,); infinite if there
    are none."""
    nearest = torch.full_like(quaternion[:, 0], torch.inf)
    for other in others:  # one by one, since a table of all pairs may not fit into memory
        nearest = torch.minimum(nearest, _distance(quaternion, other))
    return nearest


def _distance(quaternion: Tensor, other: Tensor) -> Tensor:
    """Return the geodesic distances (N,) in radians of unit quaternions (N, 4) to another (4,)."""
    return 2 * (quaternion @ other).abs().clamp(max=1.0).acos()
