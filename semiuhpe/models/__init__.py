"""Pose networks and their checkpoints."""

from semiuhpe.models import backbones, onestage, timm_networks  # noqa: F401  (fill the registry)
from semiuhpe.models.checkpoint import LoadedModel, load_checkpoint, save_checkpoint
from semiuhpe.models.registry import create_model, list_models, network_choices, network_spec, register_model
from semiuhpe.models.repvgg import reparametrize
from semiuhpe.models.weights import find_checkpoint

__all__ = [
    "LoadedModel",
    "create_model",
    "find_checkpoint",
    "list_models",
    "load_checkpoint",
    "network_choices",
    "network_spec",
    "register_model",
    "reparametrize",
    "save_checkpoint",
]
