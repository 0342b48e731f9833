"""Validation during training: each process evaluates its share of the heads."""

import torch
from torch import nn

from semiuhpe.data.store import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.protocols import Reader, predict

METRICS = ("geodesic_mean_deg", "geodesic_median_deg", "frobenius_mean", "euler_mae_deg")
"""What ``best`` can be chosen by: the smaller the better."""


def validate(
    network: nn.Module, reader: Reader, store: HeadStore, process: Process, batch_size: int
) -> dict[str, float]:
    """Mean errors of a network on a labelled store, the same in all processes."""
    shared = len(store) >= process.world_size
    share = store.view(range(process.rank, len(store), process.world_size)) if shared else store
    rotation, _ = predict(network, reader, share, process.device, batch_size)
    euler = None if share.euler_deg is None else torch.from_numpy(share.euler_deg)
    errors = pose_errors(rotation, torch.from_numpy(share.rotation), euler, store.meta["full_range"])
    if shared:
        errors = {name: process.gather(values) for name, values in errors.items()}
    return summarize(errors)
