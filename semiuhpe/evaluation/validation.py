"""Validation during training: each process evaluates its share of the heads."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.paper_protocol import paper_error_deg
from semiuhpe.evaluation.predict import predict_all
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.output import PoseDecoder

PAPER_ERROR = "paper_error_deg"
POSE_METRICS = ("geodesic_mean_deg", "geodesic_median_deg", "frobenius_mean", "euler_mae_deg", PAPER_ERROR)
"""Metrics that ``best`` can be selected by, lower is better. The last is the one of the paper's code, see
:func:`semiuhpe.evaluation.paper_protocol.paper_error_deg`."""


class PoseValidation:
    """Validates networks on a labeled store; every process gets the same results.

    Args:
        description: what the networks have in common.
        store: labeled heads.
        process: this process among all.
        batch_size: heads per forward pass.
        num_workers: processes that decode pictures.
    """

    def __init__(
        self, description: Description, store: HeadStore, process: Process, batch_size: int, num_workers: int = 0
    ):
        self.decoder, self.process = PoseDecoder(description), process
        self._loading = batch_size, num_workers
        self._shared = len(store) >= process.world_size
        self._store = store.view(process.share(len(store))) if self._shared else store

    def __call__(self, networks: Mapping[str, nn.Module]) -> dict[str, dict[str, float]]:
        """Return the mean errors of each network; the heads are read once for all of them."""
        batch_size, num_workers = self._loading
        predicted = predict_all(
            networks, self.decoder, self._store, self.process.device, batch_size, num_workers=num_workers
        )
        return {name: self._summary(prediction.rotation) for name, prediction in predicted.items()}

    def _summary(self, rotation: Tensor) -> dict[str, float]:
        """Return mean errors over all processes, from the (N, 3, 3) rotations that this process has predicted."""
        store = self._store
        euler = None if store.euler_deg is None else torch.from_numpy(store.euler_deg)
        truth, full_range = torch.from_numpy(store.rotation), store.meta["full_range"]
        errors = pose_errors(rotation, truth, euler, full_range)
        errors[PAPER_ERROR] = paper_error_deg(rotation, truth, euler, full_range)
        if self._shared:
            errors = {name: self.process.gather(values) for name, values in errors.items()}
        return summarize(errors) | {PAPER_ERROR: float(errors[PAPER_ERROR].double().mean())}
