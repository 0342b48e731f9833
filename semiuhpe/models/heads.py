"""The pose head: from a backbone's feature to the nine numbers of a rotation distribution."""

from torch import nn


def pose_head(features: int, hidden: tuple[int, int]) -> nn.Sequential:
    """Dropout 0.2 and two hidden layers with batch norm and ReLU6, as in the paper's code.

    The positions of the layers in the sequence are part of the released checkpoints' layout.

    Args:
        features: length of the backbone's feature.
        hidden: widths of the two hidden layers.

    Returns:
        (B, features) -> (B, 9).
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
        nn.Linear(second, 9),
    )
