"""The embedding of a pose network: what the first layer of its pose head makes of the backbone's feature.

Its first fully connected layer, with batch norm, is the small projection that contrastive learning wants between the
backbone and the embedding; the layers behind are the regressor, from the embedding to the nine numbers. So a
contrastively trained network has the layout of every other, its checkpoints load as usual, and nothing has to be
thrown away or saved beside it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from semiuhpe.models.pose_head import find_pose_head

_PROJECTION = 3
"""Layers of the pose head up to the embedding: dropout, fully connected, batch norm."""


def regressor(network: nn.Module) -> nn.Sequential:
    """The layers behind the embedding, shared with the network: (B, D) -> (B, 9)."""
    return find_pose_head(network)[_PROJECTION:]


def dropout(network: nn.Module) -> nn.Module:
    """The dropout before the embedding."""
    return find_pose_head(network)[0]


def embed(network: nn.Module, image: Tensor, inner: nn.Module | None = None) -> tuple[Tensor, Tensor]:
    """The embedding of (B, 3, S, S) network inputs.

    Args:
        network: what is called, perhaps wrapped for several processes.
        inner: the network itself where ``network`` is wrapped.

    Returns:
        (B, D) embedding, as the regressor takes it; see :func:`normalized`. And the (B, 9) output.
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
    """(B, D) float32 of length 1: their products are cosine similarities."""
    return F.normalize(embedding.float(), dim=-1)
