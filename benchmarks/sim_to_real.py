"""How well a network that has only seen rendered heads does on photographs: AFLW2000-3D, without any alignment.

For each seed, renders wild heads, trains a network on them, supervised, and evaluates its last checkpoint on the heads
of AFLW2000-3D within 90 degrees. Prints a Markdown table of the geodesic error and of Euler MAE in degrees, of the
constant rotation in the head frame between predictions and labels, how far it is, and the error without it, and of the
minutes that the training took. Finished stores and runs are reused.

    python benchmarks/sim_to_real.py --aflw2000 AFLW2000 --seeds 0 1 2
    python benchmarks/sim_to_real.py --aflw2000 AFLW2000 --seeds 0 --ablation shapes skin light
    python benchmarks/sim_to_real.py --aflw2000 AFLW2000 --seeds 0 --crop_rule mixed --lr 1e-3 \
        --networks timm:tf_efficientnet_lite0:4@80 timm:tf_efficientnet_lite0:4@80@random
"""

import argparse
from pathlib import Path

from semiuhpe.data.preparing import prepare
from semiuhpe.evaluation.alignment import HEAD_FRAME
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.evaluation.tables import mean_and_deviation
from semiuhpe.experiments.rendering import STORE_MARGIN_FACTOR, render_once
from semiuhpe.experiments.runs import train_once
from semiuhpe.methods import Experiment
from semiuhpe.synthetic.head_stores import SyntheticSet
from semiuhpe.synthetic.variety import VARIETY
from semiuhpe.training.run_folder import read_scalars

COLUMNS = ("geodesic", "Euler MAE", "head frame off by", "geodesic without it", "minutes")
RANDOM = "random"
"""After a network's name and size: it starts from random weights, though there are ImageNet's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aflw2000", type=Path, required=True, help="folder of AFLW2000-3D's pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--heads", type=int, default=24_000)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--networks", nargs="+", default=["plainnet@64"], help=f"NETWORK@SIZE or NETWORK@SIZE@{RANDOM}")
    parser.add_argument("--range", default="front", help="rotations of the heads, as of semiuhpe synth")
    parser.add_argument("--crop_rule", default="landmarks", help="as of semiuhpe synth; AFLW2000's is landmarks")
    parser.add_argument("--ablation", nargs="+", choices=VARIETY, default=[], help="also without each of these")
    parser.add_argument("--work", type=Path, default=Path("outputs/sim_to_real"), help="where stores and runs go")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print("| network | rendered heads | " + " | ".join(COLUMNS) + " |")
    print("| --- | --- |" + " ---: |" * len(COLUMNS))
    variants = {"all": (), **{f"without {part}": (part,) for part in arguments.ablation}}
    for network in arguments.networks:
        for name, without in variants.items():
            rows = [measure(arguments, network, seed, without) for seed in arguments.seeds]
            cells = [mean_and_deviation([row[k] for row in rows], 1) for k in range(len(COLUMNS))]
            print(f"| {network} | {name} | " + " | ".join(cells) + " |", flush=True)


def measure(arguments: argparse.Namespace, network: str, seed: int, without: tuple[str, ...]) -> list[float]:
    """The figures of the table's columns."""
    photographs = arguments.work / "aflw2000.lmdb"
    if not photographs.exists():
        prepare("AFLW2000", arguments.aflw2000, photographs)
    folder = trained(arguments, network, seed, without, photographs)
    summary = evaluate_checkpoint(folder / "last.pth", photographs).summary
    found, aligned = summary["results"]["teacher"], summary["alignment"]["teacher"][HEAD_FRAME]
    errors = [found["geodesic_mean_deg"], found["euler_mae_deg"], aligned["offset_deg"], aligned["geodesic_mean_deg"]]
    speeds = [row["speed/heads_per_second"] for row in read_scalars(folder) if "speed/heads_per_second" in row]
    return [*errors, arguments.steps * arguments.batch / sorted(speeds)[len(speeds) // 2] / 60]


def trained(
    arguments: argparse.Namespace, network: str, seed: int, without: tuple[str, ...], photographs: Path
) -> Path:
    """The run folder of a network trained on rendered heads."""
    name, size, *start = network.split("@")
    stored = round(int(size) * STORE_MARGIN_FACTOR)
    heads = SyntheticSet(
        arguments.heads, "wild", arguments.range, seed, stored, test=False, crop_rule=arguments.crop_rule,
        without=without,
    )  # fmt: skip
    parts = [arguments.range, arguments.crop_rule, arguments.heads, stored, *without, seed]
    store = arguments.work / f"{'_'.join(map(str, parts))}.lmdb"
    render_once(heads, store, workers=1)
    options = {
        "exp_name": "sim_to_real",
        "exp_detail": "_".join([*network.replace(":", "-").split("@"), *without, str(seed)]),
        "exps_dir": str(arguments.work / "runs"),
        "train_labeled": str(store),
        "val_set": str(photographs),
        "is_full_range": False,
        "network": name,
        "pretrained": False if RANDOM in start else None,
        "image_size": int(size),
        "batch_size": arguments.batch,
        "lr": arguments.lr,
        "cosine_lr": True,
        "stage1_iteration": arguments.steps,
        "max_iteration": arguments.steps,
        "log_frequency": min(arguments.steps, 50),
        "val_frequency": arguments.steps,
        "num_workers": 0,
        "seed": seed,
    }
    return train_once(Experiment.from_values(options))


if __name__ == "__main__":
    main()
