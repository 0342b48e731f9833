"""Makes the picture of training curves of docs/training.md from the runs of `semiuhpe tables synthetic`.

semiuhpe tables synthetic && .venv/bin/python docs/training_pictures.py [--exps_dir exps]
"""

import argparse
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semiuhpe.training.run_folder import read_scalars

IMAGES = Path(__file__).parent / "images"
SHARE = "r0.05"
COLORS = {"supervised": "tab:gray", "baseline": "tab:orange", "SemiUHPE": "tab:blue"}
PANELS = {
    "labeled loss": "train/loss",
    "error on labeled heads (°)": "train/error_deg",
    "validation error, teacher (°)": "val/teacher/geodesic_mean_deg",
    "entropy of pseudo labels": "ssl/entropy",
    "share of pseudo labels kept": "ssl/kept_ratio",
    "error of those kept (°)": "ssl/kept_error_deg",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exps_dir", type=Path, default=Path("exps"))
    runs = parser.parse_args().exps_dir / "tables_synthetic"
    figure = Figure(figsize=(9, 5), layout="constrained")
    for axes, (title, key) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
        curves(axes, runs, key)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.set_xlabel("step", fontsize=8)
    figure.axes[0].legend(fontsize=8)
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "training_curves.png", dpi=90)


def curves(axes: Axes, runs: Path, key: str) -> None:
    """One line for each seed; the runs that start from the supervised one go on where it ends."""
    for name, color in COLORS.items():
        for seed in range(3):
            folder = max(runs.glob(f"seed{seed}_{SHARE}_{name}/*"))
            start = 0 if name == "supervised" else 1200
            rows = read_scalars(folder)
            # The supervised model has no teacher beside itself.
            known = key if any(key in row for row in rows) else key.replace("/teacher/", "/student/")
            points = [(start + row["step"], row[known]) for row in rows if known in row]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, linewidth=1.2, label=None if seed else name)


if __name__ == "__main__":
    main()
