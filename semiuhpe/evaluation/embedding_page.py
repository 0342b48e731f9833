"""The page of an embedding: its distances against geodesic distances, and nearest neighbors to look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.drawing.axes import draw_axes
from semiuhpe.evaluation import plots, report
from semiuhpe.evaluation.embedding import Distances, distances, embed_store

QUERIES, NEIGHBORS = 6, 5
_PICTURE_PX = 120


@dataclass(frozen=True)
class Embedded:
    """The distances of one model between all pairs of heads; the diagonal holds each head's distance to itself."""

    pairs: Distances

    def without_self(self) -> Distances:
        """Return the distances without the diagonal, (N, N - 1) each."""
        off = ~np.eye(len(self.pairs.embedding), dtype=bool)
        return Distances(*(values[off].reshape(len(off), -1) for values in vars(self.pairs).values()))

    def nearest(self, count: int) -> np.ndarray:
        """Return the positions (N, count) of each head's nearest other heads, the nearest first."""
        embedding = self.pairs.embedding + np.diag(np.full(len(self.pairs.embedding), np.inf))
        return np.argsort(embedding, axis=1, kind="stable")[:, :count]

    def neighbor_error_deg(self) -> float:
        """Return the mean geodesic distance to the other head that is nearest in the embedding."""
        rows = np.arange(len(self.pairs.embedding))
        return float(self.pairs.geodesic_deg[rows, self.nearest(1)[:, 0]].mean())

    def least_error_deg(self) -> float:
        """Return the lowest possible :meth:`neighbor_error_deg`: that of the heads nearest in rotation."""
        geodesic = self.pairs.geodesic_deg + np.diag(np.full(len(self.pairs.geodesic_deg), np.inf))
        return float(geodesic.min(axis=1).mean())


def embedded(network: nn.Module, store: HeadStore, size: int, device: torch.device, batch_size: int) -> Embedded:
    """Compute distances between the heads of a store in a network's embedding; TrainingError if it is not finite."""
    embedding: Tensor = embed_store(network, store, size, device, batch_size)
    rotation = torch.from_numpy(store.truth)
    return Embedded(distances(embedding, rotation, embedding, rotation))


def write_embedding(path: Path, models: Mapping[str, Embedded], store: HeadStore) -> None:
    """Write the page; the neighbors shown are the last model's.

    Args:
        models: name -> its distances between the heads of the store.
        store: the heads.
    """
    pairs = {name: found.without_self() for name, found in models.items()}
    name, shown = list(models.items())[-1]
    count = min(NEIGHBORS, len(store) - 1)
    report.write_page(
        path,
        "embedding.html",
        title="Is near in the embedding near in rotation?",
        lead=f"{len(store)} heads of {store.meta['dataset']}, turned and flipped in plane at random.",
        rows=[
            [name, f"{pairs[name].rank_correlation():.3f}", f"{found.neighbor_error_deg():.2f}"]
            for name, found in models.items()
        ],
        least=f"{shown.least_error_deg():.2f}",
        plot=plots.plot_distances({name: (found.embedding, found.geodesic_deg) for name, found in pairs.items()}),
        shown=name,
        columns=count + 1,
        picture_px=_PICTURE_PX,
        neighbors=_neighbors(shown, store, count),
    )


def _neighbors(found: Embedded, store: HeadStore, count: int) -> list[tuple[np.ndarray, str]]:
    """Return pictures with captions: rows of a head and its nearest others."""
    nearest = found.nearest(count)
    pictures = []
    for query in evenly_spaced(len(store), QUERIES):
        for position in (query, *nearest[query]):
            picture = report.enlarged(store.image(int(position)), _PICTURE_PX)
            away = found.pairs.geodesic_deg[query, position]
            caption = "the head" if position == query else f"{away:.1f}°"
            pictures.append((draw_axes(picture, store.truth[position]), caption))
    return pictures
