"""What benchmarks/faults.py disturbs: tiny stores, pictures and runs, and the processes that work on them."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from semiuhpe.cli import image as image_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store

HANGS_S = 300
LABELED = SyntheticSet(24, "clean", "front", 1, 40, test=False)
UNLABELED = SyntheticSet(40, "wild", "front", 2, 40, test=False)
TEST = SyntheticSet(12, "wild", "front", 3, 32, test=True)
ITERATIONS, STAGE1, SAVED_EVERY = 12, 6, 2
ROUNDING = 1e-4
STATE = ("model_state_dict", "model_state_dict_ema", "optimizer_state_dict")
Main = Callable[[Sequence[str]], int | None]


class Lost(Exception):
    """Something was lost; the message says what."""


def expect(kept: bool, loss: str) -> None:
    """Raises Lost with a message unless the condition holds."""
    if not kept:
        raise Lost(loss)


class Child:
    """A command of this project in a process of its own, which faults can hit.

    Args:
        main: the command.
        argv: its command line.
        fault: called in the process before the command.
    """

    def __init__(self, main: Main, argv: Sequence[str], fault: Callable[[], None] = lambda: None):
        self._told: int | None
        self._told, output = os.pipe()  # a file would be full when the disk is
        os.set_blocking(self._told, False)
        self._text = b""
        arguments = (output, main, argv, fault)
        self._process = multiprocessing.get_context("fork").Process(target=self._work, args=arguments)
        self._process.start()
        os.close(output)
        self.pid = self._process.pid or 0

    def _work(self, output: int, main: Main, argv: Sequence[str], fault: Callable[[], None]) -> None:
        os.dup2(output, 1)
        os.dup2(output, 2)
        fault()
        sys.exit(run(main, argv))

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def workers(self) -> list[int]:
        """Process ids of the child's own children."""
        with contextlib.suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def end(self) -> int:
        """Waits for the end and returns the exit code, negative for a signal; Lost if it hangs."""
        deadline = time.monotonic() + HANGS_S
        while self.alive and time.monotonic() < deadline:
            self._process.join(1)
            self.text()  # a full pipe would keep it waiting
        if self.alive:
            self.send(signal.SIGKILL)
            raise Lost(f"hangs: {self.text()}")
        if self._told is not None:
            self.text()
            os.close(self._told)
            self._told = None
        return self._process.exitcode or 0

    def text(self) -> str:
        """What it has printed up to now."""
        with contextlib.suppress(BlockingIOError):
            while self._told is not None and (part := os.read(self._told, 1 << 16)):
                self._text += part
        return self._text.decode(errors="replace")

    def expect_one_error(self, *words: str) -> None:
        """Lost unless it ends with exit code 2 and one line of error that has the words."""
        code, errors = self.end(), [line for line in self.text().splitlines() if line.startswith("error: ")]
        message = code == 2 and len(errors) == 1 and "Traceback" not in self.text()
        expect(message and all(word in errors[0] for word in words), f"exit code {code}, told: {self.text()}")


@dataclass(frozen=True)
class World:
    """What is undisturbed.

    Attributes:
        folder: where everything is.
        state: weights and optimizer of the undisturbed run.
        checkpoint: its last one.
        pictures: a folder of them.
        lines: what image.py says of each picture, by name.
        train_s, image_s: how long the undisturbed commands take.
    """

    folder: Path
    state: dict[str, Any]
    checkpoint: Path
    pictures: Path
    lines: dict[str, Any]
    train_s: float
    image_s: float

    @classmethod
    def make(cls, folder: Path) -> "World":
        """Renders the data, and runs undisturbed what will be disturbed."""
        for name, heads in (("labeled", LABELED), ("unlabeled", UNLABELED), ("test", TEST)):
            write_store(heads, folder / f"{name}.lmdb")
        pictures = folder / "pictures"
        pictures.mkdir()
        store = HeadStore(folder / "unlabeled.lmdb")
        for number in range(len(store)):
            Image.fromarray(store.image(number)).save(pictures / f"{number:02d}.{'png' if number % 2 else 'jpg'}")
        empty = cls(folder, {}, Path(), pictures, {}, 0.0, 0.0)
        began = time.monotonic()
        (folder / "whole").mkdir()
        expect(empty.train(folder / "whole").end() == 0, "the undisturbed training fails")
        train_s = time.monotonic() - began
        checkpoint = empty.run_folder(folder / "whole") / "last.pth"
        made = cls(folder, state_of(checkpoint), checkpoint, pictures, {}, train_s, 0.0)
        began = time.monotonic()
        expect(made.image(folder / "whole").end() == 0, "the undisturbed image.py fails")
        lines = lines_of(folder / "whole" / "out")
        return cls(folder, made.state, checkpoint, pictures, lines, train_s, time.monotonic() - began)

    def train(self, work: Path, *more: str, fault: Callable[[], None] = lambda: None) -> Child:
        """Starts a training of both stages whose run folder is in ``work``."""
        argv = [
            *("--exps_dir", str(work / "exps"), "--exp_name", "tiny", "--exp_detail", "run", "--network", "plainnet"),
            *("--image_size", "32", "--train_labeled", str(self.folder / "labeled.lmdb"), "--lr", "1e-3"),
            *("--train_unlabeled", str(self.folder / "unlabeled.lmdb"), "--test_set", str(self.folder / "test.lmdb")),
            *("--batch_size", "4", "--ulb_batch_ratio", "2", "--num_workers", "0", "--stage1_iteration", str(STAGE1)),
            *("--max_iteration", str(ITERATIONS), "--val_frequency", str(SAVED_EVERY), "--log_frequency", "1"),
            *("--save_frequency", "3", "--dynamic_thres", "--cutout_aug", "--cutmix_aug", "--rotate_aug", *more),
        ]
        return Child(train_cli.main, argv, fault)

    def go_on(self, work: Path, *more: str, fault: Callable[[], None] = lambda: None) -> Child:
        """Continues the run in ``work`` from its last checkpoint."""
        path = self.run_folder(work) / "last.pth"
        argv = ["--exps_dir", str(work / "exps"), "--cont_ckpt", str(path), *more]
        return Child(train_cli.main, argv, fault)

    @staticmethod
    def run_folder(work: Path) -> Path:
        """The run's folder, which need not exist yet."""
        return next((work / "exps" / "tiny").glob("*/*"), work / "none")

    def expect_run(self, work: Path) -> None:
        """Lost unless the run in ``work`` can be finished and then is bit for bit the undisturbed one.

        A run that was ended before its first checkpoint has nothing to lose and is begun again.
        """
        folder = self.run_folder(work)
        if (folder / "last.pth").exists():
            child = self.go_on(work)
        else:
            work = work / "again"
            work.mkdir()
            child = self.train(work)
        expect(child.end() == 0, f"does not go on: {child.text()}")
        self.expect_state(work)

    def expect_state(self, work: Path) -> None:
        """Lost unless the finished run in ``work`` is bit for bit the undisturbed one, with nothing half written."""
        folder = self.run_folder(work)
        expect(same(state_of(folder / "last.pth"), self.state), "another result than undisturbed")
        steps = [line["step"] for line in map(json.loads, (folder / "scalars.jsonl").read_text().splitlines())]
        expect(steps == sorted(steps) and steps[-1] == ITERATIONS, f"its scalars are of the steps {steps}")
        expect(not list(folder.glob("*.partial")), "a half written file is left")

    def image(self, work: Path, pictures: Path | None = None, fault: Callable[[], None] = lambda: None) -> Child:
        """Starts image.py, whose results go to ``work/out``."""
        pictures = pictures or self.pictures
        argv = [str(self.checkpoint), "--input", str(pictures), "--output", str(work / "out"), "--detector", "whole"]
        return Child(image_cli.main, argv, fault)

    def expect_images(self, work: Path) -> None:
        """Lost unless image.py, run again, has the undisturbed results, every drawing and nothing twice."""
        child = self.image(work)
        expect(child.end() == 0, f"does not go on: {child.text()}")
        expect(alike(lines_of(work / "out"), self.lines), "other results than undisturbed")
        drawn = [path for path in (work / "out" / "pictures").rglob("*") if path.is_file()]
        hidden = [path.name for path in drawn if path.name.startswith(".")]
        expect(len(drawn) - len(hidden) == len(self.lines), "a drawing is missing")
        for path in drawn:
            if path.name not in hidden:
                Image.open(path).load()


def state_of(checkpoint: Path) -> dict[str, Any]:
    found = read_checkpoint(checkpoint)
    return {key: found[key] for key in STATE}


def same(first: Any, second: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else bool(first == second)


def alike(first: Any, second: Any) -> bool:
    """Whether two results are equal, numbers up to rounding: what is left is posed in other batches."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(alike(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(alike, first, second))
    if isinstance(first, float):
        return abs(first - second) <= ROUNDING * max(1.0, abs(second))
    return bool(first == second)


def lines_of(folder: Path) -> dict[str, Any]:
    """The lines of all result files by picture; Lost if one is there twice."""
    texts = [text for path in sorted(folder.glob("heads-*.jsonl")) for text in path.read_text().splitlines()]
    found = {line["image"]: line for line in map(json.loads, texts)}
    expect(len(found) == len(texts), "a picture is there twice")
    return found


def damage(path: Path, rng: random.Random, into: Path | None = None) -> str:
    """Cuts a file off at a random place, or flips one of its bits; says what was done."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    if rng.random() < 0.3:
        del content[place:]
        what = f"cut off at byte {place}"
    else:
        content[place] ^= 1 << rng.randrange(8)
        what = f"byte {place} changed"
    (into or path).write_bytes(content)
    return what
