"""Does SemiUHPE beat supervised training and the plain teacher-student baseline on rendered wild heads?

Runs the quickstart once per seed, each with heads of its own, and prints a Markdown table of the geodesic errors on the
wild test heads with their means and the ratios to the supervised model.

    python benchmarks/quickstart_seeds.py --seeds 0 1 2
    python benchmarks/quickstart_seeds.py --config settings/quickstart_full.yml --seeds 0
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

METRIC = "geodesic_mean_deg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--config", default="settings/quickstart.yml")
    parser.add_argument("--work", type=Path, default=Path("outputs/quickstart_seeds"), help="where stores and runs go")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="further options of the quickstart, after --")
    arguments = parser.parse_args()
    name = Path(arguments.config).stem
    rows = [run_seed(seed, arguments.config, arguments.work / name, arguments.rest) for seed in arguments.seeds]
    print_table(arguments.seeds, rows)


def run_seed(seed: int, config: str, work: Path, rest: list[str]) -> dict[str, dict[str, float]]:
    """The result rows of one quickstart, by model."""
    stores, runs = work / f"data{seed}", work / f"exps{seed}"
    command = [sys.executable, "-m", "semiuhpe.cli.main", "quickstart", "--config", config, "--seed", str(seed)]
    command += ["--exps_dir", str(runs), "--exp_name", "quickstart"]
    for option, store in (("train_labeled", "labeled"), ("train_unlabeled", "unlabeled")):
        command += [f"--{option}", str(stores / f"{store}.lmdb")]
    command += ["--val_set", str(stores / "val.lmdb"), "--test_set", str(stores / "test.lmdb")]
    subprocess.run(command + [argument for argument in rest if argument != "--"], check=True)
    return json.loads((runs / "quickstart" / "results.json").read_text())


def print_table(seeds: list[int], rows: list[dict[str, dict[str, float]]]) -> None:
    models = list(rows[0])
    print("\n| model | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | to supervised |")
    print("| --- |" + " ---: |" * (len(seeds) + 2))
    supervised = statistics.mean(row[models[0]][METRIC] for row in rows)
    for model in models:
        errors = [row[model][METRIC] for row in rows]
        mean = statistics.mean(errors)
        cells = " | ".join(f"{error:.1f}" for error in errors)
        print(f"| {model} | {cells} | {mean:.1f} | {mean / supervised:.2f} |")


if __name__ == "__main__":
    main()
