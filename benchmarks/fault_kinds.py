"""The faults of benchmarks/faults.py: each is injected once per call, and raises Lost if something was lost."""

import datetime as real_datetime
import math
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fault_world import ITERATIONS, SAVED_EVERY, UNLABELED, Child, World, damage, expect, lines_of

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.data import HeadStore
from semiuhpe.methods.semiuhpe import SemiUHPE
from semiuhpe.methods.supervised import Supervised
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.synthetic.head_stores import write_store
from semiuhpe.training import run_folder as run_folder_module

Fault = Callable[[World, Path, random.Random], None]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def sleep_into(seconds: float, rng: random.Random) -> None:
    """Sleeps to a random moment of a work that takes so long."""
    time.sleep(rng.uniform(0, 1.1 * seconds))


@fault
def kill_training(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 in training, both stages"""
    child = world.train(work)
    sleep_into(world.train_s, rng)
    child.send(signal.SIGKILL)
    child.end()
    world.expect_run(work)


@fault
def terminate_training(world: World, work: Path, rng: random.Random) -> None:
    """SIGTERM in training, both stages"""
    child = world.train(work)
    sleep_into(world.train_s, rng)
    child.send(signal.SIGTERM)
    code = child.end()
    # Before the loop begins there is nothing to save, and SIGTERM ends the process as it always does.
    begun = "Stopped at iteration" in child.text() or (world.run_folder(work) / "last.pth").exists()
    expect(code == 0 or (code == -signal.SIGTERM and not begun), f"exit code {code}: {child.text()}")
    world.expect_run(work)


def write_slowly(out: Path, workers: int) -> Callable[[object], int]:
    """A command that renders a store."""

    def main(_: object) -> int:
        write_store(UNLABELED, out, workers=workers, overwrite=True)
        return 0

    return main


def expect_store(world: World, out: Path) -> None:
    """Lost unless a store is not there, or the undisturbed one; and unless it can be made again, with no leftovers."""
    if out.exists():
        expect_same_store(world, HeadStore(out))
    write_store(UNLABELED, out, overwrite=True)
    expect_same_store(world, HeadStore(out))
    expect(os.listdir(out.parent) == [out.name], f"leftovers: {os.listdir(out.parent)}")


def expect_same_store(world: World, store: HeadStore) -> None:
    whole = HeadStore(world.folder / "unlabeled.lmdb")
    expect(len(store) == len(whole) and np.array_equal(store.rotation, whole.rotation), "another store")
    expect(all(np.array_equal(store.image(i), whole.image(i)) for i in range(len(whole))), "other pictures")


@fault
def kill_rendering(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 or SIGTERM while a store is rendered over an older one, in one process or with workers"""
    out = work / "stores" / "a.lmdb"
    shutil.copytree(world.folder / "unlabeled.lmdb", out)
    child = Child(write_slowly(out, rng.choice([1, 2])), [])
    sleep_into(0.5, rng)
    child.send(rng.choice([signal.SIGKILL, signal.SIGTERM]))
    child.end()
    expect(out.exists(), "the store that was there is gone")
    expect_store(world, out)


@fault
def kill_preparing(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 or SIGTERM while pictures are prepared, in one process or with workers"""
    out = work / "stores" / "a.lmdb"
    child = prepare_pictures(world, work, out, rng.choice([0, 2]))
    sleep_into(0.5, rng)
    child.send(rng.choice([signal.SIGKILL, signal.SIGTERM]))
    child.end()
    expect(not out.exists() or len(HeadStore(out)) == UNLABELED.count, "a half store")
    again = prepare_pictures(world, work, out, 0, "--overwrite")
    expect(again.end() == 0 and len(HeadStore(out)) == UNLABELED.count, f"does not go on: {again.text()}")
    expect(os.listdir(out.parent) == [out.name], f"leftovers: {os.listdir(out.parent)}")


def prepare_pictures(world: World, work: Path, out: Path, workers: int, *more: str, **keywords: object) -> Child:
    argv = ["folder", "--source", str(world.pictures), "--out", str(out), "--workers", str(workers), *more]
    return Child(prepare_cli.main, argv, **keywords)


@fault
def kill_image(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 or SIGTERM in image.py over a folder"""
    child = world.image(work)
    sleep_into(world.image_s, rng)
    child.send(rng.choice([signal.SIGKILL, signal.SIGTERM]))
    child.end()
    world.expect_images(work)


def full_disk(limit: int) -> Callable[[], None]:
    """No file of the process can grow beyond so many bytes: writing fails as on a full disk."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return limited


@fault
def full_disk_in_training(world: World, work: Path, rng: random.Random) -> None:
    """disk full in training: settings, logs, TensorBoard events, checkpoints"""
    size = world.checkpoint.stat().st_size
    limit = rng.choice([0, rng.randrange(2_000), rng.randrange(200_000), rng.randrange(size)])
    child = world.train(work, fault=full_disk(limit))
    child.expect_one_error("can't be written")
    left = [path.name for path in world.run_folder(work).glob("*.partial")]
    expect(not left, f"half written files are left: {left}")
    world.expect_run(work)


@fault
def full_disk_in_store(world: World, work: Path, rng: random.Random) -> None:
    """disk full while a store is written"""
    out = work / "stores" / "a.lmdb"
    size = (world.folder / "unlabeled.lmdb" / "data.mdb").stat().st_size
    child = prepare_pictures(world, work, out, 0, fault=full_disk(rng.randrange(size // 2)))
    child.expect_one_error(f"{out}: can't be written")
    expect(os.listdir(out.parent) == [], f"leftovers: {os.listdir(out.parent)}")


@fault
def full_disk_in_image(world: World, work: Path, rng: random.Random) -> None:
    """disk full in image.py: results, drawings"""
    size = (world.folder / "whole" / "out" / "heads-00000-of-00001.jsonl").stat().st_size
    child = world.image(work, fault=full_disk(rng.randrange(size)))
    child.expect_one_error("--output" if "--output" in child_text(child) else "can't be written")
    world.expect_images(work)


def child_text(child: Child) -> str:
    child.end()
    return child.text()


@fault
def damaged_store(world: World, work: Path, rng: random.Random) -> None:
    """a store's file cut off, or with a changed bit"""
    broken = work / "a.lmdb"
    broken.mkdir()
    what = damage(world.folder / "unlabeled.lmdb" / "data.mdb", rng, broken / "data.mdb")

    def read(_: object) -> int:
        expect_same_store(world, HeadStore(broken))
        return 0

    child = Child(read, [])
    if child.end() != 0:
        expect(child.end() == 2, f"{what}: exit code {child.end()}: {child.text()}")
        child.expect_one_error(str(broken))


@fault
def damaged_checkpoint(world: World, work: Path, rng: random.Random) -> None:
    """last.pth of a stopped run cut off, or with a changed bit"""
    child = world.train(work, fault=lambda: stop_in_step(rng.randrange(SAVED_EVERY, ITERATIONS), os._exit))
    child.end()
    path = world.run_folder(work) / "last.pth"
    whole = path.read_bytes()
    what = damage(path, rng)
    child = world.go_on(work)
    if child.end() == 2:
        child.expect_one_error("last.pth")
        path.write_bytes(whole)
        world.expect_run(work)
    else:
        expect(child.end() == 0, f"{what}: exit code {child.end()}: {child.text()}")
        world.expect_state(work)


def stop_in_step(number: int, stop: Callable[[int], object]) -> None:
    """Has a function called, with exit code 9, in a step of the training, counted from 0."""
    calls = iter(range(10**9))
    for method in (Supervised, SemiUHPE):
        original = method.step

        def step(self: object, *arguments: object, original: Callable = original) -> object:
            if next(calls) == number:
                stop(9)
            return original(self, *arguments)

        method.step = step  # in the child process only


@fault
def damaged_pictures(world: World, work: Path, rng: random.Random) -> None:
    """pictures cut off, or with a changed bit, among others given to image.py"""
    pictures = work / "pictures"
    shutil.copytree(world.pictures, pictures)
    broken = rng.sample(sorted(pictures.iterdir()), 8)
    for path in broken:
        damage(path, rng)
    child = world.image(work, pictures)
    expect(child.end() in (0, 1) and "Traceback" not in child.text(), f"exit code {child.end()}: {child.text()}")
    found = {Path(name).name: line["heads"] for name, line in lines_of(work / "out").items()}
    for name, line in world.lines.items():
        if pictures / Path(name).name not in broken:
            expect(found.get(Path(name).name) == line["heads"], f"other results of {name}, which is whole")
    failed = "".join(path.read_text() for path in (work / "out").glob("failed-*.txt"))
    for path in broken:
        expect(path.name in found or str(path) in failed, f"{path.name} is neither done nor reported")


def spoil(wrong: Callable[[int], bool]) -> Callable[[], None]:
    """Makes the loss NaN in the steps for which that is true, counted from 0."""

    def spoilt() -> None:
        calls = iter(range(10**9))
        for method in (Supervised, SemiUHPE):
            original = method.step

            def step(self: object, *arguments: object, original: Callable = original) -> object:
                result = original(self, *arguments)
                if wrong(next(calls)):
                    result.loss = result.loss * math.nan
                return result

            method.step = step

    return spoilt


@fault
def nan_batch(world: World, work: Path, rng: random.Random) -> None:
    """a batch whose loss is NaN"""
    bad = rng.randrange(ITERATIONS)
    child = world.train(work, fault=spoil(lambda call: call == bad))
    expect(child.end() == 0 and "1 steps skipped" in child.text(), f"exit code {child.end()}: {child.text()}")
    state = read_checkpoint(world.run_folder(work) / "last.pth")["model_state_dict"]
    expect(all(torch.isfinite(value).all() for value in state.values()), "weights are not finite")


@fault
def nan_batches(world: World, work: Path, rng: random.Random) -> None:
    """every loss NaN from some step on"""
    first = rng.randrange(10)
    longer = ("--stage1_iteration", "30", "--max_iteration", "30")
    world.train(work, *longer, fault=spoil(lambda call: call >= first)).expect_one_error("not finite", "--lr")
    state = read_checkpoint(world.run_folder(work) / "last.pth")["model_state_dict"]
    expect(all(torch.isfinite(value).all() for value in state.values()), "weights are not finite")
    child = world.go_on(work)
    expect(child.end() == 0, f"does not go on: {child.text()}")


@fault
def killed_worker(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 of a loader's worker in training"""
    at = rng.randrange(ITERATIONS)
    child = world.train(work, "--num_workers", "1", fault=lambda: stop_in_step(at, kill_own_workers))
    child.expect_one_error("worker", "--cont_ckpt")
    world.expect_run(work)


def kill_own_workers(_: int) -> None:
    pid = os.getpid()
    for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
    time.sleep(0.3)  # so that the loss is seen in this step or in the next


@fault
def killed_preparing_worker(world: World, work: Path, rng: random.Random) -> None:
    """kill -9 of a worker that prepares pictures or renders heads"""
    out = work / "stores" / "a.lmdb"
    child = Child(write_slowly(out, 2), []) if rng.random() < 0.5 else prepare_pictures(world, work, out, 2)
    while child.alive and len(child.workers()) < 2:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    for worker in child.workers()[:1]:
        os.kill(worker, signal.SIGKILL)
    if child.end() != 0:  # else it was done by then
        child.expect_one_error("worker")
        expect(not out.exists(), "a half store")
    leftovers = [name for name in os.listdir(out.parent) if name != out.name]
    expect(not leftovers, f"leftovers: {leftovers}")


@fault
def gpu_out_of_memory(world: World, work: Path, rng: random.Random) -> None:
    """CUDA out of memory in a step (simulated)"""

    def run_out(_: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    at = rng.randrange(ITERATIONS)
    world.train(work, fault=lambda: stop_in_step(at, run_out)).expect_one_error("--batch_size", "--cont_ckpt")
    world.expect_run(work)


@fault
def two_in_one_run_folder(world: World, work: Path, rng: random.Random) -> None:
    """a second process in the folder of a run that trains"""
    debug = rng.random() < 0.5
    more = ("--debug",) if debug else ()
    first = world.train(work, *more, fault=lambda: stop_in_step(SAVED_EVERY, lambda _: time.sleep(5)))
    while first.alive and "stage1 begins" not in first.text():
        time.sleep(0.01)
    second = world.train(work, *more) if debug else world.go_on(work)
    second.expect_one_error("another process")
    expect(first.end() == 0, f"the first is disturbed: {first.end()}")
    world.expect_state(work)


@fault
def jumping_clock(world: World, work: Path, rng: random.Random) -> None:
    """a clock that jumps by days, in training and when it goes on after a kill"""

    def jumps() -> None:
        true_time, jumping = time.time, random.Random(rng.random())
        time.time = lambda: true_time() + jumping.uniform(-1e7, 1e7)

        class Jumping(real_datetime.datetime):
            @classmethod
            def now(cls, tz: real_datetime.tzinfo | None = None) -> real_datetime.datetime:
                return real_datetime.datetime.fromtimestamp(time.time(), tz)

        run_folder_module.datetime = Jumping

    at = rng.randrange(SAVED_EVERY, ITERATIONS)

    def both() -> None:
        jumps()
        stop_in_step(at, os._exit)

    world.train(work, fault=both).end()
    child = world.go_on(work, fault=jumps)
    expect(child.end() == 0, f"exit code {child.end()}: {child.text()}")
    world.expect_state(work)
