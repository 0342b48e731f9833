"""The embedding of a pose network: the output of the first layer of its pose head.

The first fully connected layer, with batch norm, serves as the small projection that contrastive learning needs between
backbone and embedding. The layers after it are the regressor, from the embedding to the nine numbers. So a
contrastively trained network has the same layout as all others, its checkpoints load as usual, and no extra layers are
saved or discarded.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from semiuhpe.models.pose_head import find_pose_head

_PROJECTION = 3
"""Layers of the pose head up to the embedding: dropout, fully connected, batch norm."""


def regressor(network: nn.Module) -> nn.Sequential:
    """Return the layers after the embedding, shared with the network: (B, D) -> (B, 9)."""
    return find_pose_head(network)[_PROJECTION:]


def dropout(network: nn.Module) -> nn.Module:
    """Return the dropout before the embedding."""
    return find_pose_head(network)[0]


def embed(network: nn.Module, image: Tensor, inner: nn.Module | None = None) -> tuple[Tensor, Tensor]:
    """Return the embedding of (B, 3, S, S) network inputs.

    Args:
        network: the network to call, possibly wrapped for several processes.
        inner: the network itself where ``network`` is wrapped.

    Returns:
        The embedding (B, D), as input of the regressor (see :func:`normalized`), and the output (B, 9).
    """
    found: list[Tensor] = []
    layer = find_pose_head(inner or network)[_PROJECTION - 1]
    hook = layer.register_forward_hook(lambda _, __, output: found.append(output))
    try:
        output = network(image)
    finally:
        hook.remove()
    return found[0], output


def normalized(embedding: Tensor) -> Tensor:
    """Return embeddings (B, D), float32, of length 1: their inner products are cosine similarities."""
    return F.normalize(embedding.float(), dim=-1)
