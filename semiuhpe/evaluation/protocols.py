"""Evaluation of a model on a labelled store."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from semiuhpe.augment.views import plain_view, weak_center_view
from semiuhpe.data.crop import PROTOCOLS
from semiuhpe.data.loading import HeadBatch, ordered_batches
from semiuhpe.data.store import HeadStore
from semiuhpe.distributions import NonFiniteParameterError
from semiuhpe.distributions.named import DISTRIBUTIONS, output_parameter
from semiuhpe.errors import StoreError, TrainingError
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.models.checkpoint import Description
from semiuhpe.rotation import R_300WLP, from_300wlp


@dataclass(frozen=True)
class Evaluation:
    """Predictions for a whole store, on the CPU, and their errors.

    Attributes:
        rotation: (N, 3, 3) predicted modes, head to camera.
        entropy: (N,) entropies of the predicted distributions.
        errors: per-head errors, see :func:`semiuhpe.evaluation.metrics.pose_errors`.
        summary: their means.
    """

    rotation: Tensor
    entropy: Tensor
    errors: dict[str, Tensor]
    summary: dict[str, float]


@dataclass(frozen=True)
class Reader:
    """Reads a model's nine numbers as its description says."""

    description: Description

    @property
    def image_size(self) -> int:
        return self.description.image_size

    def __call__(self, output: Tensor):
        """The predicted distribution of R head to camera of (B, 9) numbers."""
        parameter = output_parameter(output)
        if self.description.convention == R_300WLP:
            parameter = from_300wlp(parameter)
        return DISTRIBUTIONS[self.description.distribution](parameter)


@torch.no_grad()
def predict(
    network: nn.Module, reader: Reader, store: HeadStore, device: torch.device, batch_size: int, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Modes (N, 3, 3) and entropies (N,) of a network on all heads of a store, on the CPU.

    The network is put into eval mode for the while.

    Raises:
        TrainingError: a prediction is not finite.
    """
    was_training = network.training
    network.eval()
    modes, entropies = [], []
    try:
        batches = ordered_batches(store, batch_size)
        total = math.ceil(len(store) / batch_size)
        for batch in tqdm(batches, total=total, desc="evaluating", disable=None if progress else True):
            predicted = reader(network(evaluation_view(batch.to(device), store, reader.image_size)))
            modes.append(predicted.mode())
            entropies.append(predicted.entropy())
    except NonFiniteParameterError as error:
        raise TrainingError(f"{store.path}: the model predicts values that are not finite ({error})") from error
    finally:
        network.train(was_training)
    entropy = torch.cat(entropies).cpu()
    if not torch.isfinite(entropy).all():  # on a GPU the distributions don't look
        raise TrainingError(f"{store.path}: the model predicts values that are not finite")
    return torch.cat(modes).cpu(), entropy


def evaluation_view(batch: HeadBatch, store: HeadStore, size: int) -> Tensor:
    """Network input: test stores hold the protocol's own crop, training stores are cropped at its margin."""
    if store.meta["loose"]:
        return weak_center_view(batch, PROTOCOLS[store.meta["protocol"]], size)
    return plain_view(batch, size)


def evaluate(
    network: nn.Module, reader: Reader, store: HeadStore, device: torch.device, batch_size: int, progress: bool = False
) -> Evaluation:
    """Predictions and errors of a network on a labelled store.

    Raises:
        StoreError: the store has no labels or no heads.
    """
    if store.rotation is None:
        raise StoreError(f"{store.path}: has no labels, so nothing can be evaluated on it")
    rotation, entropy = predict(network, reader, store, device, batch_size, progress)
    euler = None if store.euler_deg is None else torch.from_numpy(store.euler_deg)
    errors = pose_errors(rotation, torch.from_numpy(store.rotation), euler, store.meta["full_range"])
    return Evaluation(rotation, entropy, errors, summarize(errors))
