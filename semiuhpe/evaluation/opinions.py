"""What several models say of the heads of a store, as distributions, whether the models have uncertainty or not.

A model that predicts rotations alone is given one for all heads: a matrix Fisher distribution about each prediction, as
wide as the model's own errors on the store. Its median is not moved by a few wrong labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import roma
import torch
from torch import Tensor

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.errors import ConfigError
from semiuhpe.evaluation.alignment import FEWEST, HEAD_FRAME, turned_by
from semiuhpe.evaluation.predict import predict_all
from semiuhpe.evaluation.run import cropped_for
from semiuhpe.foreign import load_model, locate_model, short_name
from semiuhpe.models import network_spec
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import geodesic_deg

_CHI3_MEDIAN = 1.5381722544550522
"""Median of the length of three standard normal numbers."""
_SHARPEST_DEG = 0.1
"""A model that agrees with nearly all labels, because they are its own, is not taken to be surer than this."""

_STEPS = 20


@dataclass(frozen=True)
class Opinion:
    """What one model says of N heads.

    Attributes:
        name: of the model, without folders.
        predicted: distributions of R head to camera, float64, on the CPU.
        point: whether the model predicts rotations alone; ``predicted`` then says nothing about how sure it is.
    """

    name: str
    predicted: RotationDistribution
    point: bool = False

    @property
    def rotation(self) -> Tensor:
        """The predictions (N, 3, 3)."""
        return self.predicted.mode()

    def turned(self, constant: Tensor) -> "Opinion":
        """Return the opinion with a constant rotation (3, 3) of the head frame."""
        parameter = turned_by(self.predicted.parameter, constant, HEAD_FRAME)
        return replace(self, predicted=type(self.predicted)(parameter))

    def as_sure_as_right(self, label: Tensor) -> "Opinion":
        """Return the opinion of a point estimate with one width for all heads, that of its errors; others as they are.

        The rotation vector of a matrix Fisher distribution with the parameter k R, k large, is normal with the variance
        1 / (2 k) along each axis (Lee, "Bayesian attitude estimation with the matrix Fisher distribution on SO(3)",
        2018), so its length has the median 1.538 / sqrt(2 k).

        Args:
            label: (N, 3, 3) rotations, most of them right.
        """
        if not self.point:
            return self
        median = geodesic_deg(self.rotation, label).median().clamp(min=_SHARPEST_DEG)
        concentration = (_CHI3_MEDIAN / torch.deg2rad(median)).square() / 2
        return replace(self, predicted=MatrixFisher(concentration * self.rotation))


def opinions(
    names: Sequence[str],
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    *,
    exps_dir: str = "exps",
    num_workers: int = 0,
    progress: bool = False,
) -> list[Opinion]:
    """Return what models say of all heads of a store.

    Args:
        names: checkpoints, whose teachers are asked, or networks of others; each once.
        store: crops, or whole pictures, which are cropped as each model needs it. Labels are not looked at.
        device: to compute on.
        batch_size: heads at a time.
        exps_dir: folder of runs, whose names checkpoints may have.
        num_workers: processes that decode pictures; with 0 this process does.
        progress: show a bar for each model.

    Raises:
        CheckpointError: a model can't be found or read.
        ConfigError: a model is named twice, or finds heads itself.
        StoreError: the store has no heads, or lacks what a model's crops start from.
        TrainingError: a prediction is not finite.
    """
    paths = [locate_model(name, exps_dir) for name in names]
    _check_different(paths)
    found = []
    for path, title in zip(paths, _titles(paths), strict=True):
        loaded = load_model(path, exps_dir=exps_dir)
        if network_spec(loaded.network).detects:
            raise ConfigError(f"--by {path}: finds heads on whole pictures; name models of head crops")
        heads = cropped_for(store, loaded)
        networks = {path.stem: loaded.model.to(device)}
        decoder = PoseDecoder(loaded.description)
        predicted = predict_all(
            networks, decoder, heads, device, batch_size, num_workers=num_workers, progress=progress
        )
        [prediction] = predicted.values()
        kind = DISTRIBUTIONS[loaded.description.distribution]
        found.append(Opinion(title, kind(prediction.parameter.double()), not kind.has_uncertainty))
    return found


def without_constant_rotation(opinion: Opinion, label: Tensor) -> tuple[Opinion, float]:
    """Return a model's opinion without the rotation by which it and the labels disagree on all heads, and its angle.

    Datasets disagree about which head looks straight ahead; that says nothing of a single label. The rotation is the
    one of the least sum of distances (Hartley, Aftab and Trumpf, "L1 rotation averaging using the Weiszfeld algorithm",
    CVPR 2011), which a few wrong labels don't move. Fewer heads than :data:`semiuhpe.evaluation.alignment.FEWEST`, and
    heads that it brings no nearer to their labels, are left as they are.

    Args:
        opinion: of N heads.
        label: (N, 3, 3) rotations, head to camera, float64.

    Returns:
        The opinion, and the angle in degrees.
    """
    if len(label) < FEWEST:
        return opinion, 0.0
    differences = opinion.rotation.mT @ label
    weight = torch.ones_like(differences[:, 0, 0])
    for _ in range(_STEPS):  # reweighted least squares: each step is a chordal mean
        constant = roma.special_procrustes((weight[:, None, None] * differences).sum(0))
        weight = 1 / geodesic_deg(differences, constant).clamp(min=_SHARPEST_DEG)
    turned = opinion.turned(constant)
    if geodesic_deg(turned.rotation, label).median() >= geodesic_deg(opinion.rotation, label).median():
        return opinion, 0.0
    return turned, float(geodesic_deg(constant, torch.eye(3, dtype=constant.dtype)))


def apart_deg(rotations: Tensor) -> Tensor:
    """Return how far the predictions of M models are apart: the largest distance (N,) of two, of (M, N, 3, 3)."""
    return geodesic_deg(rotations[:, None], rotations[None]).amax((0, 1))


def mixture_log_prob(found: Sequence[Opinion], rotation: Tensor) -> Tensor:
    """Return the log density (N,) of rotations (N, 3, 3) under the equal mixture of what models predict."""
    densities = torch.stack([opinion.predicted.log_prob(rotation) for opinion in found])
    return torch.logsumexp(densities, 0) - math.log(len(found))


def _check_different(paths: Sequence[Path]) -> None:
    for position, path in enumerate(paths):
        if path in paths[:position]:
            raise ConfigError(f"--by {path}: is named twice; a model agrees with itself")


def _titles(paths: Sequence[Path]) -> list[str]:
    """Return a name for each model: its file's, with as many folders as make it differ from the others."""
    shorts = [short_name(path) for path in paths]
    return [short if shorts.count(short) == 1 else str(path) for short, path in zip(shorts, paths, strict=True)]
