"""Heads rendered per second on one core, per domain and size: median of several runs.

OMP_NUM_THREADS=1 python benchmarks/synthetic_heads.py
"""

import statistics
import time

import cv2
import numpy as np

from semiuhpe.synthetic.render_head import DOMAINS, render_head
from semiuhpe.synthetic.rotations import random_rotations

HEADS, RUNS, SIZES = 200, 5, (64, 112, 224)


def main() -> None:
    cv2.setNumThreads(1)
    rotations = random_rotations(HEADS, np.random.default_rng(0), "full")
    print("| domain | " + " | ".join(f"{size} px" for size in SIZES) + " |")
    print("| --- |" + " ---: |" * len(SIZES))
    for domain in DOMAINS:
        rates = [f"{heads_per_second(rotations, domain, size):.0f}" for size in SIZES]
        print(f"| {domain} | " + " | ".join(rates) + " |")


def heads_per_second(rotations: np.ndarray, domain: str, size: int) -> float:
    """Median over the runs; a first run warms the caches up."""
    rates = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        for number, rotation in enumerate(rotations):
            render_head(rotation, np.random.default_rng(number), domain, size)
        rates.append(len(rotations) / (time.perf_counter() - start))
    return statistics.median(rates[1:])


if __name__ == "__main__":
    main()
