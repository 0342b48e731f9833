"""How many labels that were spoilt on purpose are in the first tenth of the list of ``semiuhpe audit``?

Renders heads that no training has seen, and reads AFLW2000-3D if its folder is named; models predict all heads once.
Five percent of the labels are spoilt, in several ways and with several seeds, and ranked. Prints a Markdown table for
each set of heads: the share of spoilt labels that is in the first tenth of the list, for the list of the audit and for
simpler ones. A second table says what ``semiuhpe select`` chooses. Finished stores are reused.

    python benchmarks/audit.py [--aflw2000 AFLW2000]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores import HeadStore
from semiuhpe.evaluation.audit import audit
from semiuhpe.evaluation.opinions import Opinion, mixture_log_prob, opinions
from semiuhpe.evaluation.selection import consensus, covering_radius_deg, select, unsureness
from semiuhpe.experiments.rendering import render_once
from semiuhpe.models.weights import SHIPPED
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, matrix_to_euler
from semiuhpe.synthetic.head_stores import SyntheticSet

SEED = 900  # of no heads that the models were trained or calibrated on
SIZE = 112
SPOILT, FIRST = 0.05, 0.10
SMALL_DEG = 20.0
CHOSEN = 0.05
SETS = {"rendered, mixed rotations": "mixed", "rendered, front to profile": "front"}
PHOTOGRAPHS = "photographs of AFLW2000"


def at_random(label: Tensor, generator: torch.Generator) -> Tensor:
    """Any rotation."""
    return roma.random_rotmat(len(label), dtype=label.dtype, generator=generator)


def yaw_sign(label: Tensor, _: torch.Generator) -> Tensor:
    """The other sign of yaw."""
    euler = matrix_to_euler(label, full_range=True)
    return euler_to_matrix(euler * torch.tensor([1.0, -1.0, 1.0], dtype=label.dtype))


def slightly_off(label: Tensor, generator: torch.Generator) -> Tensor:
    """Off by 20 degrees about a random axis."""
    axis = torch.randn(len(label), 3, dtype=label.dtype, generator=generator)
    return label @ roma.rotvec_to_rotmat(torch.nn.functional.normalize(axis) * np.radians(SMALL_DEG))


def swapped(label: Tensor, _: torch.Generator) -> Tensor:
    """The label of another head: heads change with their neighbors, which are any others."""
    partner = torch.arange(len(label)) ^ 1
    partner[partner == len(label)] = 0
    return label[partner]


KINDS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "any rotation": at_random,
    "labels of two heads swapped": swapped,
    "other sign of yaw": yaw_sign,
    f"off by {SMALL_DEG:.0f}°": slightly_off,
}


def lists(found: list[Opinion], label: Tensor) -> dict[str, Tensor]:
    """Scores of labels, the audit's and simpler ones, of the same predictions."""
    entropy = torch.stack([opinion.predicted.entropy() for opinion in found])
    error = torch.stack([geodesic_deg(opinion.rotation, label) for opinion in found])
    return {
        "audit": audit(found, label).surprise,
        "likelihood alone": -mixture_log_prob(found, label),
        "error / width": (error / torch.exp(entropy / 3)).mean(0),
        "error": error.mean(0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", nargs="+", default=SHIPPED, help="names or files of models; the shipped if not given")
    parser.add_argument("--aflw2000", type=Path, help="folder of AFLW2000-3D's pictures")
    parser.add_argument("--heads", type=int, default=2000, help="number of rendered heads in each set")
    parser.add_argument("--seeds", type=int, default=10, help="times that labels are spoilt in each way")
    parser.add_argument("--work", type=Path, default=Path("outputs/audit_benchmark"), help="where stores go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stores = {name: rendered(arguments, range_) for name, range_ in SETS.items()}
    if arguments.aflw2000:
        stores[PHOTOGRAPHS] = arguments.work / "aflw2000.lmdb"
        if not stores[PHOTOGRAPHS].exists():
            prepare("AFLW2000", arguments.aflw2000, stores[PHOTOGRAPHS], size=SIZE)
    for name, path in stores.items():
        store = HeadStore(path)
        found = opinions(arguments.by, store, torch.device("cpu"), 64, progress=True)
        label = torch.from_numpy(store.truth).double()
        print(f"\n## {name}, {len(store)} heads\n")
        print_shares(found, label, arguments.seeds)
        print_chosen(found, label, arguments.seeds)


def rendered(arguments: argparse.Namespace, range_: str) -> Path:
    """The store of a set of wild heads."""
    store: Path = arguments.work / f"{range_}.lmdb"
    arguments.work.mkdir(parents=True, exist_ok=True)
    render_once(SyntheticSet(arguments.heads, "wild", range_, SEED, SIZE, test=True), store, workers=1)
    return store


def print_shares(found: list[Opinion], label: Tensor, seeds: int) -> None:
    """The share of spoilt labels in the first tenth, by kind and by list; the audit's also for each model alone."""
    rows = {}
    for kind, spoil in KINDS.items():
        shares: dict[str, list[float]] = {}
        moved = []
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(seed)
            chosen = torch.randperm(len(label), generator=generator)[: round(SPOILT * len(label))]
            wrong = label.clone()
            wrong[chosen] = spoil(label[chosen], generator)
            moved.append(float((geodesic_deg(wrong[chosen], label[chosen]) > SMALL_DEG / 2).double().mean()))
            scores = lists(found, wrong)
            scores |= {f"audit by {one.name}": audit([one], wrong).surprise for one in found if len(found) > 1}
            for name, score in scores.items():
                first = score.argsort(descending=True)[: round(FIRST * len(label))]
                shares.setdefault(name, []).append(float(torch.isin(chosen, first).double().mean()))
        rows[kind] = (np.mean(moved), shares)
    names = list(next(iter(rows.values()))[1])
    print(f"| spoilt | by over {SMALL_DEG / 2:.0f}° | {' | '.join(names)} |\n| --- |{' ---: |' * (len(names) + 1)}")
    for kind, (moved_share, shares) in rows.items():
        cells = [f"{np.mean(values):.0%} ± {np.std(values):.0%}" for values in shares.values()]
        print(f"| {kind} | {moved_share:.0%} | {' | '.join(cells)} |")


def print_chosen(found: list[Opinion], label: Tensor, seeds: int) -> None:
    """How wrong models are on the heads that are chosen to be labeled, and how well these cover the rotations."""
    count = round(CHOSEN * len(label))
    rotation, weight = consensus(found), unsureness(found)
    error = geodesic_deg(rotation, label)
    random = [
        torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))[:count] for seed in range(seeds)
    ]
    ways = {
        "`semiuhpe select`": [select(rotation, weight, count).head],
        "the most unsure": [weight.argsort(descending=True)[:count]],
        "the most different": [select(rotation, torch.ones_like(weight), count).head],
        "at random": random,
    }
    print(
        f"\n| {count} heads | models' mean error on them | farthest label from one of theirs |\n| --- | ---: | ---: |"
    )
    for name, draws in ways.items():
        errors = np.mean([float(error[chosen].mean()) for chosen in draws])
        radius = np.mean([covering_radius_deg(label, chosen) for chosen in draws])
        print(f"| {name} | {errors:.1f}° | {radius:.0f}° |")


if __name__ == "__main__":
    main()
