"""The pose head: maps a backbone's feature to the nine numbers of a rotation distribution."""

from torch import nn

OUTPUTS = 9


def pose_head(features: int, hidden: tuple[int, int]) -> nn.Sequential:
    """Return a pose head with dropout 0.2 and two hidden layers with batch norm and ReLU6, as in the paper's code.

    The positions of the layers in the sequence are part of the released checkpoints' layout.

    Args:
        features: length of the backbone's feature.
        hidden: widths of the two hidden layers.

    Returns:
        A module (B, features) -> (B, 9).
    """
    first, second = hidden
    return nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(features, first),
        nn.BatchNorm1d(first),
        nn.ReLU6(),
        nn.Linear(first, second),
        nn.BatchNorm1d(second),
        nn.ReLU6(),
        nn.Linear(second, OUTPUTS),
    )


def draw_pose_head(head: nn.Sequential) -> None:
    """Draw the weights of a pose head's layers from N(0, 0.01) and set biases to 0, as the paper's code does.

    The distributions that an untrained network predicts are then nearly uniform.
    """
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


def find_pose_head(network: nn.Module) -> nn.Sequential:
    """Return the pose head of a network: the sequence that ends with a layer of nine outputs."""
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) and getattr(module[-1], "out_features", 0) == OUTPUTS:
            return module
    raise ValueError(f"{type(network).__name__} has no pose head")
