"""Measures where the time of a stage 2 training step goes.

    python benchmarks/training_step.py [--network resnet18 --image_size 224 --batch_size 32 --ulb_batch_ratio 4]

Trains as ``train.py`` does, on rendered heads, with clocks around the parts of a step, and prints their medians. On a
GPU each part waits for the device, so the sum is longer than a step that is not measured.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from semiuhpe.cli import train as train_cli
from semiuhpe.methods import crops, semiuhpe, teacher
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.training import metrics_meter, trainer
from semiuhpe.training import non_finite as guard

TEACHER, STUDENT, BACKWARD = "teacher's pass", "student's pass", "student's backward pass"
NETWORKS = (TEACHER, STUDENT, BACKWARD)
LOSSES, LOADER, REST = "distributions and losses", "waiting for the loader", "the rest"
SIMPLE = {
    "weak and strong views": [(crops, "labeled_view"), (semiuhpe, "unlabeled_views")],
    "cutout and cutmix": [(semiuhpe, "cutout"), (semiuhpe, "cutmix")],
    "optimizer": [(torch.optim.Adam, "step")],
    "teacher's moving average": [(teacher.Teacher, "update")],
    "guard against NaN, logging": [
        (guard.NonFiniteGuard, "before_step"), (guard.NonFiniteGuard, "after_backward"), (metrics_meter.Meter, "add"),
    ],
}  # fmt: skip
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--ulb_batch_ratio", type=float, default=4)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help=f"measured, after {WARM_UP} that are not")
    parser.add_argument("--heads", type=int, default=512, help="rendered")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        with clock.installed():
            train(options, Path(folder))
    clock.report()


def train(options: argparse.Namespace, folder: Path) -> None:
    """A short run of stage 2 with everything on."""
    loose = round(options.image_size * 1.25)
    for name, count in (("train", options.heads), ("test", 8)):
        write_store(SyntheticSet(count, "wild", "front", 0, loose, test=name == "test"), folder / f"{name}.lmdb")
    steps = options.steps + WARM_UP
    argv = [
        "--exps_dir", str(folder / "exps"), "--test_set", str(folder / "test.lmdb"), "--pretrained", "false",
        "--train_labeled", str(folder / "train.lmdb"), "--train_unlabeled", str(folder / "train.lmdb"),
        "--ss_ratio", "0.2", "--stage1_iteration", "0", "--max_iteration", str(steps),
        "--dynamic_thres", "--running_thres", "--cutout_aug", "--cutmix_aug", "--rotate_aug",
        "--gpu_ids", "0", "--network", options.network, "--image_size", str(options.image_size),
        "--batch_size", str(options.batch_size), "--ulb_batch_ratio", str(options.ulb_batch_ratio),
        "--num_workers", str(options.num_workers), "--val_frequency", "100000", "--save_frequency", "100000",
        *(["--bf16"] if options.bf16 else []), *(["--compile"] if options.compile else []),
    ]  # fmt: skip
    train_cli.train(*train_cli.parse_options(argv))


class Clock:
    """Seconds of each part, step by step, by wrapping the functions that do them."""

    def __init__(self):
        self.steps: list[dict[str, float]] = []
        self._parts: dict[str, float] = defaultdict(float)
        self._last = 0.0

    def installed(self) -> ExitStack:
        """A context in which the parts are measured."""
        stack = ExitStack()
        for part, places in SIMPLE.items():
            for owner, name in places:
                stack.enter_context(mock.patch.object(owner, name, self._timed(part, getattr(owner, name))))
        stack.enter_context(mock.patch.object(semiuhpe, "forward", self._forward(semiuhpe.forward)))
        stack.enter_context(mock.patch.object(torch.Tensor, "backward", self._backward(torch.Tensor.backward)))
        stack.enter_context(mock.patch.object(semiuhpe.Stage2, "step", self._losses(semiuhpe.Stage2.step)))
        stack.enter_context(mock.patch.object(trainer.Trainer, "_step", self._step(trainer.Trainer._step)))
        return stack

    def _now(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def _timed(self, part: str, function: Callable) -> Callable:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            start = self._now()
            result = function(*arguments, **named)
            self._parts[part] += self._now() - start
            return result

        return wrapper

    def _forward(self, function: Callable) -> Callable:
        def wrapper(network: torch.nn.Module, image: torch.Tensor, bf16: bool) -> torch.Tensor:
            start = self._now()
            output = function(network, image, bf16)
            self._parts[STUDENT if output.requires_grad else TEACHER] += self._now() - start
            if output.requires_grad:
                output.register_hook(self._gradient_arrives)
            return output

        return wrapper

    def _gradient_arrives(self, gradient: torch.Tensor) -> None:
        self._arrived = self._now()

    def _backward(self, function: Callable) -> Callable:
        def wrapper(*arguments: Any) -> None:
            start = self._now()
            function(*arguments)
            self._parts[LOSSES] += self._arrived - start
            self._parts[BACKWARD] += self._now() - self._arrived

        return wrapper

    def _losses(self, function: Callable) -> Callable:
        def wrapper(*arguments: Any) -> Any:
            others, start = sum(self._parts.values()), self._now()
            result = function(*arguments)
            self._parts[LOSSES] += self._now() - start - (sum(self._parts.values()) - others)
            return result

        return wrapper

    def _step(self, function: Callable) -> Callable:
        def wrapper(*arguments: Any) -> None:
            start = self._now()
            self._parts = defaultdict(float, {LOADER: start - self._last})
            function(*arguments)
            total = self._now() - self._last
            self._parts[REST] = total - sum(self._parts.values())
            self.steps.append({**self._parts})
            self._last = self._now()

        return wrapper

    def report(self) -> None:
        """Medians over the steps, as a table."""
        steps = self.steps[WARM_UP:]
        medians = {part: statistics.median(step[part] for step in steps) for part in steps[0]}
        total = sum(medians.values())
        print("| part | ms | share |\n| --- | ---: | ---: |")
        for part in (*NETWORKS, *(part for part in medians if part not in NETWORKS)):
            print(f"| {part} | {1e3 * medians[part]:.1f} | {medians[part] / total:.1%} |")
        others = total - sum(medians[part] for part in NETWORKS)
        print(f"| **all but the networks' passes** | {1e3 * others:.1f} | {others / total:.1%} |")


if __name__ == "__main__":
    main()
