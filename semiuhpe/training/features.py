"""Features and entropies of unlabeled heads, to visualize what a teacher has learned (``--save_feat``)."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from semiuhpe.data.batches.heads import ordered_batches
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import TrainingError
from semiuhpe.evaluation.predict import evaluation_view
from semiuhpe.files import atomic_path
from semiuhpe.models.output import PoseDecoder, eval_mode
from semiuhpe.models.pose_head import find_pose_head

FEATURES = "features.npz"
MAX_HEADS = 10_000
"""More heads than a t-SNE plot can show."""


@torch.no_grad()
def save_features(
    path: Path,
    network: nn.Module,
    decoder: PoseDecoder,
    store: HeadStore,
    device: torch.device,
    batch_size: int,
    num_workers: int = 0,
) -> None:
    """Write features and predictions of a network for at most :data:`MAX_HEADS` heads, evenly spread over a store.

    The file contains ``feature`` (M, D) float32, the pose head's input; ``rotation`` (M, 3, 3), the predicted modes;
    ``entropy`` (M,); and ``name`` (M,).

    Raises:
        TrainingError: the pose head was not called once for each batch.
    """
    view = store.view(evenly_spaced(len(store), MAX_HEADS))
    features: list[Tensor] = []
    hook = find_pose_head(network).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float().cpu()))
    rotations, entropies = [], []
    batches = ordered_batches(view, batch_size, num_workers)
    bar = tqdm(batches, total=math.ceil(len(view) / batch_size), desc="features", disable=None)
    try:
        with eval_mode(network):
            for batch in bar:
                image = evaluation_view(batch.to(device), store, decoder.image_size)
                # Not network(image): a compiled network would bypass the hook.
                predicted = decoder(network.forward(image))
                rotations.append(predicted.mode().cpu())
                entropies.append(predicted.entropy().cpu())
    finally:
        hook.remove()
    arrays = {
        "feature": torch.cat(features or [torch.zeros(0)]),
        "rotation": torch.cat(rotations),
        "entropy": torch.cat(entropies),
    }
    if not len(view) == len(arrays["feature"]) == len(arrays["rotation"]):
        raise TrainingError(f"{path}: {len(arrays['feature'])} features recorded for {len(view)} heads; not written")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, name=view.names, **{key: value.numpy() for key, value in arrays.items()})  # type: ignore[arg-type]  # none is named allow_pickle
