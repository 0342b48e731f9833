"""``semiuhpe features``: a t-SNE plot of the features that ``train.py --save_feat`` has written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.errors import require
from semiuhpe.options import NaturalInt, OptionGroup, option
from semiuhpe.rotation import FRONTAL, geodesic_deg
from semiuhpe.training.features import FEATURES


@dataclass(frozen=True)
class FeaturesOptions(OptionGroup):
    """The options of ``semiuhpe features``."""

    run: Path = option(..., "folder of a run that was trained with --save_feat", positional=True)
    out: Path | None = option(None, "plot to write; features.png in the run's folder if not given", metavar="PNG")
    seed: NaturalInt = option(0, "seed of the embedding")


def main(argv: Sequence[str]) -> int:
    options = parse_group("semiuhpe features", "Plots the features of unlabeled heads by t-SNE.", FeaturesOptions, argv)
    path = options.run / FEATURES
    require(path.is_file(), f"{path}: there is no such file; train with --save_feat")
    out = options.out or options.run / "features.png"
    require(out.parent.is_dir(), f"--out {out}: there is no such folder")
    require(out.suffix.lower() == ".png", f"--out {out}: has to end in .png")
    check_outputs([("--out", out)], [path])
    plot(embed(path, options.seed), path, out)
    print(f"written to {out}")
    return 0


def embed(path: Path, seed: int) -> np.ndarray:
    """(M, 2) t-SNE embedding (van der Maaten and Hinton, JMLR 2008) of a file of features."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        require(False, f"t-SNE needs scikit-learn ({error}): pip install '.[features]'")
    feature = np.load(path, allow_pickle=False)["feature"]
    require(len(feature) > 3, f"{path}: has {len(feature)} heads, which is too few to plot")
    perplexity = min(30.0, (len(feature) - 1) / 3)
    places: np.ndarray = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(feature)
    return places


def plot(places: np.ndarray, path: Path, out: Path) -> None:
    """Scatter plots of an embedding, colored by entropy and by the distance of the predicted pose to frontal."""
    arrays = np.load(path, allow_pickle=False)
    distance = geodesic_deg(torch.from_numpy(arrays["rotation"]), FRONTAL).numpy()
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.6), constrained_layout=True)
    columns = (("entropy of the prediction", arrays["entropy"]), ("predicted distance to frontal, degrees", distance))
    for axis, (title, color) in zip(axes, columns, strict=True):
        points = axis.scatter(*places.T, c=color, s=6, linewidths=0)
        axis.set(title=f"{len(places)} unlabeled heads: {title}", xticks=[], yticks=[], aspect="equal")
        figure.colorbar(points, ax=axis, shrink=0.9)
    figure.savefig(out, dpi=110)
    plt.close(figure)
