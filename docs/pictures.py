"""Makes the pictures of README and docs from a finished quickstart.

make quickstart && .venv/bin/python docs/pictures.py
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from semiuhpe.data import HeadStore
from semiuhpe.drawing.axes import contact_sheet, draw_axes
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

IMAGES = Path(__file__).parent / "images"
RUNS = Path("exps/quickstart")
TEST_STORE = Path("data/quickstart/front/test.lmdb")
ENLARGED_PX = 192
QUALITY = 88


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    heads("heads_clean.jpg", "clean", "front")
    heads("heads_wild.jpg", "wild", "full")
    predictions("quickstart.jpg")


def heads(name: str, domain: str, heads_range: str, columns: int = 10, rows: int = 3) -> None:
    """A contact sheet of rendered heads."""
    rotations = random_rotations(columns * rows, np.random.default_rng(11), heads_range)
    pictures = [render_head(r, np.random.default_rng([5, i]), domain, 112).image for i, r in enumerate(rotations)]
    sheet = contact_sheet(pictures, columns, 112)
    Image.fromarray(sheet).save(IMAGES / name, quality=QUALITY)


def predictions(name: str, columns: int = 8) -> None:
    """Test heads with the truth and each model's prediction, evenly spaced by rank of SemiUHPE's error."""
    store = HeadStore(TEST_STORE)
    models = {}
    for model in ("supervised", "baseline", "SemiUHPE"):
        checkpoint = max((RUNS / model).glob("*/last.pth"), key=lambda path: path.stat().st_mtime)
        loaded = load_checkpoint(checkpoint)
        reader = PoseDecoder(loaded.description)
        models[model] = evaluate(loaded.model, reader, store, torch.device("cpu"), 128)
    order = models["SemiUHPE"].errors["geodesic_deg"].argsort().numpy()
    ranks = np.linspace(0.05, 0.95, columns) * (len(order) - 1)
    chosen = order[ranks.round().astype(int)]

    figure = Figure(figsize=(columns * 1.3, 5.8), layout="constrained")
    axes = figure.subplots(4, columns)
    for column, head in enumerate(chosen):
        picture = cv2.resize(store.image(head), (ENLARGED_PX, ENLARGED_PX), interpolation=cv2.INTER_CUBIC)
        axes[0, column].imshow(draw_axes(picture, store.rotation[head]))
        for row, result in enumerate(models.values(), start=1):
            axes[row, column].imshow(draw_axes(picture, result.rotation[head].numpy()))
            axes[row, column].set_xlabel(f"{result.errors['geodesic_deg'][head]:.0f}°", fontsize=9, labelpad=2)
    for row, label in enumerate(("truth", *models)):
        axes[row, 0].set_ylabel(label, fontsize=11)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.savefig(IMAGES / name, dpi=110, pil_kwargs={"quality": QUALITY})


if __name__ == "__main__":
    main()
