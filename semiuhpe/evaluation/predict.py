"""Predictions of networks for the heads of a store, and their errors."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from semiuhpe.augment.views import plain_view, weak_center_view
from semiuhpe.data.batches.heads import HeadBatch, ordered_batches
from semiuhpe.data.crop import CROP_RULES
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions import NonFiniteParameterError
from semiuhpe.errors import StoreError, TrainingError
from semiuhpe.evaluation.metrics import Angles, pose_errors, summarize
from semiuhpe.models.output import PoseDecoder, eval_mode
from semiuhpe.rotation import is_rotation

LABEL_TOLERANCE = 1e-3
_NAMED_HEADS = 5


@dataclass(frozen=True)
class Prediction:
    """Predictions of one network for the heads of a store, on the CPU.

    Attributes:
        rotation: (N, 3, 3) predicted modes, head to camera.
        entropy: (N,) entropies of the predicted distributions.
        parameter: (N, 3, 3) their parameters, of R head to camera.
    """

    rotation: Tensor
    entropy: Tensor
    parameter: Tensor


@dataclass(frozen=True)
class Evaluation(Prediction):
    """Predictions for a whole store, and their errors.

    Attributes:
        errors: per-head errors, see :func:`semiuhpe.evaluation.metrics.pose_errors`.
        summary: their means.
    """

    errors: dict[str, Tensor]
    summary: dict[str, float]


def predict_all(
    networks: Mapping[str, nn.Module],
    decoder: PoseDecoder,
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    *,
    num_workers: int = 0,
    progress: bool = False,
) -> dict[str, Prediction]:
    """Predict all heads of a store with several networks of one kind, such as student and teacher.

    The heads are read once for all networks, which are in eval mode meanwhile.

    Raises:
        StoreError: the store has no heads.
        TrainingError: a prediction is not finite.
    """
    batches = ordered_batches(store, batch_size, num_workers)
    views = (evaluation_view(batch.to(device), store, decoder.image_size) for batch in batches)
    total = math.ceil(len(store) / batch_size)
    bar = tqdm(views, total=total, desc="evaluating", disable=None if progress else True)
    return predict_views(networks, decoder, bar, f"{store.path}")


def predict(
    network: nn.Module,
    decoder: PoseDecoder,
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Predict all heads of a store with one network; see :func:`predict_all`."""
    predicted = predict_all({"model": network}, decoder, store, device, batch_size, progress=progress)["model"]
    return predicted.rotation, predicted.entropy


@torch.no_grad()
def predict_views(
    networks: Mapping[str, nn.Module], decoder: PoseDecoder, views: Iterable[Tensor], source: str
) -> dict[str, Prediction]:
    """Predict (B, 3, S, S) network inputs as :func:`predict_all` does; ``source`` names them in errors."""
    parts: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {name: [] for name in networks}
    try:
        with eval_mode(*networks.values()):
            for view in views:
                for name, network in networks.items():
                    predicted = decoder(network(view))
                    parts[name].append((predicted.mode(), predicted.entropy(), predicted.parameter))
    except NonFiniteParameterError as error:
        raise TrainingError(f"{source}: the {name} predicts values that are not finite ({error})") from error
    predictions = {
        name: Prediction(*(torch.cat(columns).cpu() for columns in zip(*rows, strict=True)))
        for name, rows in parts.items()
    }
    for name, prediction in predictions.items():
        # On a GPU the distributions don't check, and a point estimate has entropy 0 whatever its parameter is.
        if not all(torch.isfinite(values).all() for values in vars(prediction).values()):
            raise TrainingError(f"{source}: the {name} predicts values that are not finite")
    return predictions


def evaluation_view(batch: HeadBatch, store: HeadStore, size: int) -> Tensor:
    """Return network inputs: test stores hold the crop itself, training stores are cropped at the rule's margin."""
    if store.meta["loose"]:
        return weak_center_view(batch, CROP_RULES[store.meta["protocol"]], size)
    return plain_view(batch, size)


def check_labels(store: HeadStore) -> None:
    """Raise StoreError unless a store has heads, all with rotations, and all or none with finite Euler angles."""
    if not len(store):
        raise StoreError(f"{store.path}: has no heads, so nothing can be evaluated on it")
    if store.rotation is None:
        raise StoreError(f"{store.path}: has no labels, so nothing can be evaluated on it")
    rotation = torch.from_numpy(store.rotation).double()
    wrong = ~is_rotation(rotation, LABEL_TOLERANCE).numpy()
    if store.euler_deg is not None:
        wrong |= ~np.isfinite(store.euler_deg).all(axis=1)
    if wrong.any():
        first = store.names[wrong][:_NAMED_HEADS]
        named = ", ".join(map(str, first)) + ("" if wrong.sum() <= _NAMED_HEADS else ", ...")
        raise StoreError(
            f"{store.path}: the labels of {wrong.sum()} heads are not rotations ({named}); mend the source and make "
            "the store again"
        )


def evaluate_all(
    networks: Mapping[str, nn.Module],
    decoder: PoseDecoder,
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    *,
    num_workers: int = 0,
    progress: bool = False,
    angles: Angles = "300wlp",
) -> dict[str, Evaluation]:
    """Evaluate several networks of one kind on a labeled store.

    ``angles`` says which Euler angles are compared, see :func:`semiuhpe.evaluation.metrics.pose_errors`.

    Raises:
        StoreError: the store has no heads, no labels, or labels that are not rotations.
        TrainingError: a prediction is not finite.
    """
    check_labels(store)
    predictions = predict_all(networks, decoder, store, device, batch_size, num_workers=num_workers, progress=progress)
    truth = torch.from_numpy(store.rotation)
    euler = None if store.euler_deg is None else torch.from_numpy(store.euler_deg)
    evaluations = {}
    for name, predicted in predictions.items():
        errors = pose_errors(predicted.rotation, truth, euler, store.meta["full_range"], angles)
        evaluations[name] = Evaluation(**vars(predicted), errors=errors, summary=summarize(errors))
    return evaluations


def evaluate(
    network: nn.Module,
    decoder: PoseDecoder,
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    progress: bool = False,
) -> Evaluation:
    """Evaluate one network on a labeled store; see :func:`evaluate_all`."""
    return evaluate_all({"model": network}, decoder, store, device, batch_size, progress=progress)["model"]
