"""Validation during training: each process evaluates its share of the heads."""

import torch
from torch import nn

from semiuhpe.data.store import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.protocols import Reader, predict
from semiuhpe.models.checkpoint import Description

POSE_METRICS = ("geodesic_mean_deg", "geodesic_median_deg", "frobenius_mean", "euler_mae_deg")
"""What ``best`` can be chosen by: the smaller the better."""


class PoseValidation:
    """Mean errors of networks on a labelled store, the same in all processes.

    Args:
        description: of the networks.
        store: what to evaluate on.
        process: this process among all.
        batch_size: heads at once.
    """

    def __init__(self, description: Description, store: HeadStore, process: Process, batch_size: int):
        self.reader, self.process, self.batch_size = Reader(description), process, batch_size
        self._shared = len(store) >= process.world_size
        self._store = store.view(range(process.rank, len(store), process.world_size)) if self._shared else store

    def __call__(self, network: nn.Module) -> dict[str, float]:
        store = self._store
        rotation, _ = predict(network, self.reader, store, self.process.device, self.batch_size)
        euler = None if store.euler_deg is None else torch.from_numpy(store.euler_deg)
        errors = pose_errors(rotation, torch.from_numpy(store.rotation), euler, store.meta["full_range"])
        if self._shared:
            errors = {name: self.process.gather(values) for name, values in errors.items()}
        return summarize(errors)
