"""Time and memory of a picture against the number of heads on it: finding them, in tiles too, and posing them.

Each picture has 2400x1600 px and rendered heads of 96 px. Each number of heads has a process of its own, so that its
memory is not that of others. Prints a Markdown table: the heads that are found, milliseconds of finding them in the
whole picture, in tiles, and of posing them, medians of several runs, and the process's largest memory beside what it
needs without any picture.

    python benchmarks/crowds.py [--heads 1 10 50 200] [--runs 3]
"""

import argparse
import multiprocessing
import resource
import statistics
import time

import numpy as np

from semiuhpe import HeadPoseEstimator
from semiuhpe.inference.detectors import TiledDetector, load_detector
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

SIDES, CELL, KINDS = (1600, 2400), 100, 24
HEAD_PX = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print("| heads | found | found in tiles | finding, ms | in tiles, ms | posing, ms | memory, MB |")
    print("| ---: |" + " ---: |" * 6)
    for count in arguments.heads:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(f"| {' | '.join(pool.apply(measured, (count, arguments.runs)))} |", flush=True)


def measured(count: int, runs: int) -> list[str]:
    """Return the cells of a row."""
    picture, boxes = crowd(count)
    detector, estimator = load_detector(), HeadPoseEstimator.from_checkpoint(device="cpu")
    tiled = TiledDetector(detector)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, found_ms = timed(lambda: detector(picture), runs)
    in_tiles, tiles_ms = timed(lambda: tiled(picture), runs)
    _, posed_ms = timed(lambda: estimator.predict(picture, boxes), runs)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    numbers = (count, len(found), len(in_tiles), found_ms, tiles_ms, posed_ms, memory)
    return [f"{number:,.0f}" for number in numbers]


def crowd(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of heads, and their boxes (N, 4) x, y, w, h."""
    rng = np.random.default_rng(0)
    heads = [render_head(rotation, rng, "clean", HEAD_PX) for rotation in random_rotations(KINDS, rng, "front")]
    picture = np.full((*SIDES, 3), 128, np.uint8)
    columns = SIDES[1] // CELL
    cells = rng.permutation(columns * (SIDES[0] // CELL))[:count]
    boxes = []
    for number, cell in enumerate(cells):
        y, x = (CELL * part for part in divmod(int(cell), columns))
        head = heads[number % KINDS]
        picture[y : y + HEAD_PX, x : x + HEAD_PX] = head.image
        boxes.append(head.box + np.array([x, y, 0, 0]))
    return picture, np.array(boxes, np.float32)


def timed(function, runs: int):
    """Return the result and the median of milliseconds, after a first run that doesn't count."""
    result, times = function(), []
    for _ in range(runs):
        start = time.perf_counter()
        result = function()
        times.append(1000 * (time.perf_counter() - start))
    return result, statistics.median(times)


if __name__ == "__main__":
    main()
