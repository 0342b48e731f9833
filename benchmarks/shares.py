"""Where a command's time goes: shares of the networks, the renderer, the reading of heads, drawing and so on.

The command runs under py-spy (``pip install py-spy``), which looks at its stacks 50 times a second, and at those of its
worker processes. A sample belongs to the first part below that one of its frames is in. Threads that wait are left out,
so shares are of work, not of the clock; libraries' own threads are counted once, by the Python frame that called them.

    python benchmarks/shares.py train --config settings/quickstart.yml --max_iteration 400
    python benchmarks/shares.py quickstart --again
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

RATE = 50
STARTING = "starting Python, importing libraries"
PARTS = {
    STARTING: ("importlib._bootstrap",),
    "rendering": ("semiuhpe/synthetic/", "sim3dr/"),
    "views: crops, colors, cutout, cutmix": ("semiuhpe/augment/", "semiuhpe/methods/unlabeled"),
    "losses and distributions": ("semiuhpe/distributions/",),
    "drawing and pages": (
        "matplotlib/",
        "_page.py",
        "quickstart_report.py",
        "plots.py",
        "overlay.py",
        "draw.py",
        "sheet",
    ),
    "TensorBoard": ("tensorboard/",),
    "checkpoints": ("models/checkpoint.py", "training/run_folder.py"),
    "intervals, calibration, break-downs": ("bootstrap.py", "calibration.py", "breakdowns.py", "evaluation/results.py"),
    "the networks' passes": ("torch/nn/modules/module.py", "torch/autograd/graph.py"),
    "optimizer, moving average, guard": ("torch/optim/", "methods/teacher.py", "training/non_finite.py"),
    "reading and writing video": ("footage.py", "video_writer.py"),
    "reading heads and pictures": ("semiuhpe/data/", "torch/utils/data/", "multiprocessing/"),
}
OTHER = "all else"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of semiuhpe, with its options")
    command = parser.parse_args().command
    if not command:
        parser.error("name a command of semiuhpe, such as train")
    samples = parts_of(stacks(command))
    total = sum(samples.values())
    print(f"\nsemiuhpe {' '.join(command)}\n\n| part | seconds | share |\n| --- | ---: | ---: |")
    for part, count in samples.most_common():
        print(f"| {part} | {count / RATE:.1f} | {count / total:.1%} |")


def stacks(command: list[str]) -> Counter[str]:
    """How often each stack was seen while a command ran; frames are joined by semicolons, the outermost first."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks.txt"
        spy = ["py-spy", "record", "--subprocesses", "--format", "raw", "--rate", str(RATE), "--output", str(raw)]
        run = [sys.executable, "-m", "semiuhpe.cli.main", *command]
        subprocess.run([str(Path(sys.executable).with_name(spy[0])), *spy[1:], "--", *run], check=True)
        seen: Counter[str] = Counter()
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            seen[stack] += int(count)
    return seen


def parts_of(seen: Counter[str]) -> Counter[str]:
    """Samples by part of the work."""
    samples: Counter[str] = Counter()
    for stack, count in seen.items():
        if "Condition.wait (threading.py" in stack.rpartition(";")[2]:
            continue
        if ";" not in stack:  # no Python frame yet, or no longer
            samples[STARTING] += count
            continue
        owners = (part for part, places in PARTS.items() if any(place in stack for place in places))
        samples[next(owners, OTHER)] += count
    return samples


if __name__ == "__main__":
    main()
