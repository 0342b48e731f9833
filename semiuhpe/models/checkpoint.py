"""Checkpoints: one file with everything that a run needs to go on, or a model to be used.

The keys ``model_state_dict``, ``model_state_dict_ema``, ``optimizer_state_dict`` and ``clock`` are those of the
checkpoints that the paper's authors released; ``description`` says what the model is. Loading never runs code.
"""

import os
import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError
from semiuhpe.models.registry import create_model
from semiuhpe.rotation import CONVENTIONS


@dataclass(frozen=True)
class Description:
    """What a model is, and what its nine numbers mean.

    Attributes:
        network: name in the registry.
        distribution: ``matrixFisher`` or ``RotationLaplace``.
        convention: the rotation convention of the output, one of :data:`semiuhpe.rotation.CONVENTIONS`.
        full_range: trained on the full range of rotations, or from front to profile.
        image_size: side of the input in pixels.
        train_labeled, train_unlabeled: the data it was trained on.
    """

    network: str
    distribution: str
    convention: str
    full_range: bool
    image_size: int
    train_labeled: str
    train_unlabeled: str


@dataclass(frozen=True)
class LoadedModel:
    """A model read from a checkpoint, in eval mode on the CPU, with its description and its last known metrics."""

    model: nn.Module
    description: Description
    metrics: dict[str, float]
    path: Path

    def __getattr__(self, name: str) -> Any:
        if name != "description" and name in Description.__dataclass_fields__:
            return getattr(self.description, name)
        raise AttributeError(name)


def save_checkpoint(path: str | os.PathLike, checkpoint: dict[str, Any]) -> None:
    """Writes a checkpoint under a temporary name and renames it, so that a crash leaves the one before.

    Raises:
        CheckpointError: the file can't be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".partial")
    try:
        torch.save(checkpoint, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: can't be written ({error}); the checkpoint before it is kept") from error


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """The dictionary of a checkpoint file, on the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: is not a checkpoint, or holds objects other than tensors and plain values, which are not loaded"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: is truncated or not a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "model_state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: is not a checkpoint of this project (it has no model_state_dict)")
    return checkpoint


def load_checkpoint(path: str | os.PathLike, teacher: bool = True) -> LoadedModel:
    """A model that can be used as it is.

    Args:
        path: the checkpoint file.
        teacher: take the teacher's weights, else the student's.

    Raises:
        CheckpointError: the file can't be read, or doesn't say what it is.
    """
    checkpoint = read_checkpoint(path)
    try:
        description = Description(**checkpoint["description"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: doesn't say which network it is (no valid description)") from error
    if description.convention not in CONVENTIONS:
        raise CheckpointError(f"{path}: unknown rotation convention {description.convention}")
    model = create_model(description.network)
    key = "model_state_dict_ema" if teacher else "model_state_dict"
    load_weights(model, checkpoint[key], path, description.network)
    return LoadedModel(model.eval(), description, dict(checkpoint.get("metrics", {})), Path(path))


def load_weights(model: nn.Module, weights: dict[str, Tensor], path: str | os.PathLike, network: str) -> None:
    """Loads a state dict, or raises CheckpointError if it is of another network."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        expected, found = set(model.state_dict()), set(weights)
        raise CheckpointError(
            f"{path}: is not a checkpoint of --network {network} "
            f"({len(expected - found)} weights missing, {len(found - expected)} unknown, others may differ in shape)"
        ) from error


def describe(description: Description) -> dict[str, Any]:
    """The description as plain values, for a checkpoint."""
    return {f.name: asdict(description)[f.name] for f in fields(description)}
