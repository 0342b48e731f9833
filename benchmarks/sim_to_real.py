"""How well a network that has only seen rendered heads does on photographs: AFLW2000-3D, without any alignment.

For each seed, renders wild heads, trains a network on them, supervised, and evaluates its last checkpoint on the heads
of AFLW2000-3D within 90 degrees. Prints a Markdown table of the geodesic error and of Euler MAE in degrees, and of the
constant rotation in the head frame between predictions and labels: how far it is, and the error without it. Finished
stores and runs are reused.

    python benchmarks/sim_to_real.py --aflw2000 AFLW2000 --seeds 0 1 2
    python benchmarks/sim_to_real.py --aflw2000 AFLW2000 --seeds 0 --heads 8000 --steps 1000 \
        --ablation shapes skin light
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import roma
import torch

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.tables import mean_and_deviation
from semiuhpe.models import load_checkpoint
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import geodesic_deg
from semiuhpe.synthetic.variety import VARIETY

NETWORK, SIZE, STORED_SIZE = "plainnet", 64, 96
COLUMNS = ("geodesic", "Euler MAE", "head frame off by", "geodesic without it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aflw2000", type=Path, required=True, help="folder of AFLW2000-3D's pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--heads", type=int, default=24_000)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--range", default="front", help="rotations of the heads, as of semiuhpe synth")
    parser.add_argument("--crop_rule", default="landmarks", help="as of semiuhpe synth; AFLW2000's is landmarks")
    parser.add_argument("--ablation", nargs="+", choices=VARIETY, default=[], help="also without each of these")
    parser.add_argument("--work", type=Path, default=Path("outputs/sim_to_real"), help="where stores and runs go")
    arguments = parser.parse_args()
    photographs = arguments.work / "aflw2000.lmdb"
    if not photographs.exists():
        run("prepare", "AFLW2000", "--source", arguments.aflw2000, "--out", photographs)
    variants = {"all": (), **{f"without {part}": (part,) for part in arguments.ablation}}
    print("| rendered heads | " + " | ".join(COLUMNS) + " |")
    print("| --- |" + " ---: |" * len(COLUMNS))
    for name, without in variants.items():
        rows = [measure(train(arguments, seed, without), photographs) for seed in arguments.seeds]
        cells = [mean_and_deviation([row[k] for row in rows], 1) for k in range(len(COLUMNS))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def run(*command: object) -> None:
    subprocess.run([sys.executable, "-m", "semiuhpe.cli.main", *map(str, command)], check=True, stdout=sys.stderr)


def train(arguments: argparse.Namespace, seed: int, without: tuple[str, ...]) -> Path:
    """The last checkpoint of a network trained on rendered heads."""
    name = "_".join([arguments.range, arguments.crop_rule, *without, str(seed)])
    store = arguments.work / f"{name}_{arguments.heads}.lmdb"
    if not store.exists():
        options = ["--without", *without] if without else []
        run("synth", "--out", store, "--count", arguments.heads, "--domain", "wild", "--range", arguments.range,
            "--crop_rule", arguments.crop_rule, "--seed", seed, "--size", STORED_SIZE, *options)  # fmt: skip
    runs = arguments.work / "runs" / f"{name}_{arguments.heads}_{arguments.steps}x{arguments.batch}"
    if not (found := [path for path in runs.glob("**/last.pth") if is_finished(path, arguments.steps)]):
        run("train", "--exps_dir", runs, "--exp_name", "sim", "--exp_detail", "to_real", "--train_labeled", store,
            "--val_set", arguments.work / "aflw2000.lmdb", "--is_full_range", "false", "--network", NETWORK,
            "--image_size", SIZE, "--batch_size", arguments.batch, "--lr", "2e-3", "--cosine_lr", "--stage1_iteration",
            arguments.steps, "--max_iteration", arguments.steps, "--val_frequency", arguments.steps, "--is_ema",
            "true", "--ema_decay", "0.99", "--eman", "true", "--num_workers", 0, "--seed", seed)  # fmt: skip
        found = list(runs.glob("**/last.pth"))
    return max(found, key=lambda path: path.stat().st_mtime)


def is_finished(checkpoint: Path, steps: int) -> bool:
    return bool(read_checkpoint(checkpoint)["clock"]["iteration"] >= steps)


def measure(checkpoint: Path, photographs: Path) -> list[float]:
    """The figures of the table's columns."""
    loaded = load_checkpoint(checkpoint)
    store = HeadStore(photographs)
    found = evaluate(loaded.model, PoseDecoder(loaded.description), store, torch.device("cpu"), 128)
    predicted, truth = found.rotation.double(), torch.from_numpy(np.asarray(store.truth)).double()
    offset = roma.special_procrustes((predicted.mT @ truth).mean(0))  # the chordal mean
    aligned = geodesic_deg(predicted @ offset, truth).mean()
    off_by = geodesic_deg(offset, torch.eye(3, dtype=torch.float64))
    return [found.summary["geodesic_mean_deg"], found.summary["euler_mae_deg"], float(off_by), float(aligned)]


if __name__ == "__main__":
    main()
