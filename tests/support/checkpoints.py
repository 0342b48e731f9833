"""Checkpoints: the one that comes with the repository, and small ones with random weights."""

from pathlib import Path

import torch

from semiuhpe.models import create_model, save_checkpoint
from semiuhpe.models.checkpoint import Description, describe
from semiuhpe.rotation import HEAD_TO_CAMERA
from support.paths import ROOT

SHIPPED = ROOT / "weights" / "heads-full.safetensors"


def save_plainnet(path: Path, convention: str = HEAD_TO_CAMERA, scale: float = 1.0) -> Path:
    """A checkpoint of ``plainnet`` with random weights, those of its pose head times ``scale``."""
    torch.manual_seed(3)
    network = create_model("plainnet")
    weights = {key: value * scale if key.startswith("head") else value for key, value in network.state_dict().items()}
    description = Description("plainnet", "matrixFisher", convention, True, 32, "", "")
    save_checkpoint(
        path, {"model_state_dict": weights, "model_state_dict_ema": weights, "description": describe(description)}
    )
    return path
