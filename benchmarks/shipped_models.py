"""Errors of the models in weights/ on rendered heads of every kind, and on photographs of AFLW2000-3D.

Renders test heads that no training has seen, reads AFLW2000-3D if its folder is named, and prints Markdown tables:
errors, confidence and calibration by set, then errors by kind of head. Finished stores are reused.

    python benchmarks/shipped_models.py [--aflw2000 AFLW2000]
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from semiuhpe.data.preparing import prepare
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.experiments.rendering import render_once
from semiuhpe.models.weights import SHIPPED
from semiuhpe.synthetic.head_stores import SyntheticSet

SEED = 900  # of no heads that the models were trained or calibrated on
SIZE = 112
SETS = {
    "rendered, mixed rotations": ("mixed", "head_box"),
    "rendered, front to profile": ("front", "head_box"),
    "the same, cropped by landmarks": ("front", "landmarks"),
}
MIXED, FRONT = "rendered, mixed rotations", "rendered, front to profile"
PHOTOGRAPHS = "photographs of AFLW2000"
KINDS = ("facing", "age", "on_head", "glasses", "face_mask", "before_it", "sharpness", "brightness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=SHIPPED, help="names or files, for heads of any rotation first")
    parser.add_argument("--aflw2000", type=Path, help="folder of AFLW2000-3D's pictures")
    parser.add_argument("--heads", type=int, default=3000, help="number of rendered heads in each set")
    parser.add_argument("--work", type=Path, default=Path("outputs/shipped_models"), help="where stores go")
    arguments = parser.parse_args()
    stores = {name: rendered(arguments, range_, rule) for name, (range_, rule) in SETS.items()}
    if arguments.aflw2000:
        stores[PHOTOGRAPHS] = arguments.work / "aflw2000.lmdb"
        if not stores[PHOTOGRAPHS].exists():
            prepare("AFLW2000", arguments.aflw2000, stores[PHOTOGRAPHS], size=SIZE)
    full, *others = arguments.models
    asked = {full: list(stores), **{model: [name for name in stores if name != MIXED] for model in others}}
    summaries = {
        (model, name): evaluate_checkpoint(model, stores[name]).summary
        for model, names in asked.items()
        for name in names
    }
    print_errors(summaries)
    print_kinds({model: summaries[model, MIXED if model == full else FRONT] for model in arguments.models})


def rendered(arguments: argparse.Namespace, range_: str, crop_rule: str) -> Path:
    """The store of a set of wild heads."""
    store = arguments.work / f"{range_}_{crop_rule}.lmdb"
    heads = SyntheticSet(arguments.heads, "wild", range_, SEED, SIZE, test=True, crop_rule=crop_rule)
    arguments.work.mkdir(parents=True, exist_ok=True)
    render_once(heads, store, workers=1)
    return store


def print_errors(summaries: dict[tuple[str, str], dict[str, Any]]) -> None:
    columns = ["model", "heads", "geodesic mean", "median", "Euler MAE", "within 15°", "mean confidence", "ECE"]
    print(f"| {' | '.join(columns)} |\n| --- | --- |{' ---: |' * (len(columns) - 2)}")
    for (model, name), summary in summaries.items():
        role = list(summary["results"])[-1]  # the teacher
        found, sure = summary["results"][role], summary["calibration"][role]["confidence"]
        claimed = np.average(sure["confidence"], weights=sure["heads"])
        euler = f"{found['euler_mae_deg']:.1f}" if "euler_mae_deg" in found else ""
        cells = [
            model, name, f"{found['geodesic_mean_deg']:.1f}", f"{found['geodesic_median_deg']:.1f}", euler,
            f"{found['under_15_deg']:.0%}", f"{claimed:.2f}", f"{sure['ece']:.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def print_kinds(summaries: dict[str, dict[str, Any]]) -> None:
    """Mean and median geodesic error of each kind of head, a column for each model."""
    cells: dict[str, dict[str, str]] = {}
    for model, summary in summaries.items():
        divisions = summary["breakdowns"][list(summary["results"])[-1]]
        for kind in KINDS:
            division = divisions.get(kind) or divisions[f"attribute_{kind}"]
            for group in division["groups"]:
                errors = f"{group['geodesic_mean_deg']:.1f} / {group['geodesic_median_deg']:.1f}"
                cells.setdefault(f"{division['title']}: {group['label']}", {})[model] = errors
    print(f"\n| geodesic mean / median | {' | '.join(summaries)} |\n| --- |{' ---: |' * len(summaries)}")
    for kind, of_models in cells.items():
        print(f"| {kind} | {' | '.join(of_models.get(model, '') for model in summaries)} |")


if __name__ == "__main__":
    main()
