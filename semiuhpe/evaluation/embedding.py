"""Evaluation of embeddings: nearest neighbors, and rank correlation of embedding distance and geodesic distance."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.data.batches.heads import ordered_batches
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.errors import TrainingError
from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.predict import evaluation_view
from semiuhpe.models.embedding import embed, normalized
from semiuhpe.models.output import eval_mode
from semiuhpe.rotation import geodesic_deg

REFERENCE_HEADS = 4000
"""Most labeled heads to search for neighbors, evenly spread over the store."""
_CORRELATED_HEADS = 400


@dataclass(frozen=True)
class Distances:
    """Distances (Q, K) between pairs of heads: 1 - cosine similarity of embeddings, and geodesic angles in degrees."""

    embedding: np.ndarray
    geodesic_deg: np.ndarray

    def rank_correlation(self) -> float:
        """Return Spearman's rank correlation of the two distances over all pairs."""
        from scipy.stats import spearmanr  # takes as long to import as half of PyTorch

        return float(spearmanr(self.embedding.ravel(), self.geodesic_deg.ravel()).statistic)


@torch.no_grad()
def embed_store(
    network: nn.Module, store: HeadStore, size: int, device: torch.device, batch_size: int, num_workers: int = 0
) -> Tensor:
    """Return normalized embeddings (N, D) of the heads of a store, on the CPU. The network is in eval mode meanwhile.

    Raises:
        TrainingError: an embedding is not finite.
    """
    with eval_mode(network):
        parts = [
            normalized(embed(network, evaluation_view(batch.to(device), store, size))[0]).cpu()
            for batch in ordered_batches(store, batch_size, num_workers)
        ]
    embedding = torch.cat(parts)
    if not torch.isfinite(embedding).all():
        raise TrainingError(f"{store.path}: the embedding has values that are not finite")
    return embedding


def evenly_spread(store: HeadStore, count: int) -> HeadStore:
    """Return a view of a limited number of heads, evenly spread over a store."""
    return store.view(evenly_spaced(len(store), count))


def distances(query: Tensor, query_rotation: Tensor, other: Tensor, other_rotation: Tensor) -> Distances:
    """Return the distances between normalized embeddings (Q, D) and (K, D), and between their rotations."""
    geodesic = geodesic_deg(query_rotation[:, None], other_rotation[None])
    return Distances((1.0 - query @ other.mT).numpy(), geodesic.numpy())


class NeighborValidation:
    """Validates an embedding: each head is given the rotation of its nearest labeled head.

    Every process gets the same results.

    Args:
        reference: labeled heads to search.
        store: labeled heads whose nearest are searched for.
        size: side of the network's input in pixels.
        process: this process among all.
        batch_size: heads at once.
        num_workers: processes that decode.
    """

    def __init__(
        self, reference: HeadStore, store: HeadStore, size: int, process: Process, batch_size: int, num_workers: int = 0
    ):
        self.reference, self.store = evenly_spread(reference, REFERENCE_HEADS), store
        self.size, self.process = size, process
        self._loading = batch_size, num_workers

    def __call__(self, network: nn.Module) -> dict[str, float]:
        known, known_rotation, _ = self._embedded(network, self.reference)
        query, rotation, euler = self._embedded(network, self.store)
        nearest = (query @ known.mT).argmax(dim=1)
        full_range = self.store.meta["full_range"]
        summary = summarize(pose_errors(known_rotation[nearest], rotation, euler, full_range))
        queries, others = (slice(None, None, max(1, len(part) // _CORRELATED_HEADS)) for part in (query, known))
        pairs = distances(query[queries], rotation[queries], known[others], known_rotation[others])
        return summary | {"embedding_rank_correlation": pairs.rank_correlation()}

    def _embedded(self, network: nn.Module, store: HeadStore) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return embedding, rotation and Euler angles of all heads of a store; the processes share the work."""
        rank, world_size = self.process.rank, self.process.world_size
        if len(store) < world_size:
            rank, world_size = 0, 1
        part = store.view(range(rank, len(store), world_size))
        columns = [embed_store(network, part, self.size, self.process.device, *self._loading)]
        columns += [torch.from_numpy(part.rotation)]
        columns += [] if part.euler_deg is None else [torch.from_numpy(part.euler_deg)]
        if world_size > 1:
            order = torch.cat([torch.arange(first, len(store), world_size) for first in range(world_size)]).argsort()
            columns = [self.process.gather(column)[order] for column in columns]
        return columns[0], columns[1], columns[2] if len(columns) == 3 else None
