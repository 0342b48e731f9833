"""What is lost when something goes wrong? Injects faults into tiny runs and counts what was lost.

Each fault is injected into a process of its own, with other random moments and places each time. Lost is: a result that
differs from that of an undisturbed run after going on, a file that is there in part, a crash, a process that hangs, or
an error that is not one line `error: ...` with exit code 2. Prints a Markdown table; exits with 1 if anything was lost.

    python benchmarks/faults.py --runs 20
    python benchmarks/faults.py --only kill_training --seed 3
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import cv2
import torch
from fault_kinds import FAULTS
from fault_world import Lost, World

TABLE = "| fault | injected | lost |\n| --- | ---: | ---: |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="how often each fault is injected")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--only", choices=FAULTS, nargs="+", help="these faults only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the processes are forked from this one, and threads don't survive that
    cv2.setNumThreads(0)
    began, lost = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        world = World.make(Path(folder))
        print(TABLE, flush=True)
        for name in arguments.only or FAULTS:
            losses = [loss for run in range(arguments.runs) if (loss := inject(name, world, arguments.seed, run))]
            print(f"| {FAULTS[name].__doc__.splitlines()[0]} | {arguments.runs} | {len(losses)} |", flush=True)
            for loss in losses:
                print(f"{name}: {loss}", file=sys.stderr)
            lost += len(losses)
    print(f"\n{time.monotonic() - began:.0f} s, seed {arguments.seed}")
    return 1 if lost else 0


def inject(name: str, world: World, seed: int, run: int) -> str:
    """Injects a fault once, in a folder of its own; what was lost, empty if nothing."""
    work = world.folder / f"{name}{run}"
    work.mkdir()
    try:
        FAULTS[name](world, work, random.Random(f"{name} {seed} {run}"))
    except Lost as error:
        return f"run {run}: {error}"
    except Exception:  # a reader that fails has lost something too
        return f"run {run}: {traceback.format_exc()}"
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ""


if __name__ == "__main__":
    sys.exit(main())
