"""Pose networks and their checkpoints."""

from semiuhpe.models import backbones  # noqa: F401  (fills the registry)
from semiuhpe.models.checkpoint import LoadedModel, load_checkpoint, save_checkpoint
from semiuhpe.models.registry import create_model, list_models, network_spec, register_model

__all__ = [
    "LoadedModel",
    "create_model",
    "list_models",
    "load_checkpoint",
    "network_spec",
    "register_model",
    "save_checkpoint",
]
