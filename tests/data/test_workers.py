"""Whatever becomes of a worker process, its parent ends with one error, soon, and keeps what it had."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from support.errors import error_line, refused, says
from support.training import same_weights, train_run
from torch.utils.data import get_worker_info

from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.batches import workers
from semiuhpe.data.batches.heads import Heads, ShuffledStream, ordered_batches, training_batches
from semiuhpe.data.batches.scenes import Scenes
from semiuhpe.data.batches.workers import load, map_in_workers
from semiuhpe.errors import StoreError, WorkerError, machine_fault
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.training.run import train
from semiuhpe.training.signals import stop_on_signals

SHARED_MEMORY = "/dev/shm --num_workers --shm-size"


@pytest.fixture(autouse=True)
def _ends_soon():
    """A test that waits forever fails, with whatever it waits in."""

    def late(*_):
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(90)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class CannotBeSent:
    def __reduce__(self):
        raise RuntimeError("no pickle of it")


def raises(error):
    raise error


def no_more_memory_to_share():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return torch.zeros(100_000)


WAYS = {
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "lost"),
    "crashed": (lambda: ctypes.string_at(0), "lost"),
    "interrupted": (lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(9), "lost"),
    "left": (lambda: os._exit(0), "lost"),
    "left with a code": (lambda: os._exit(3), "lost"),
    "RuntimeError": (lambda: raises(RuntimeError("a\nb")), "RuntimeError: a (test_workers.py --num_workers"),
    "OSError": (lambda: raises(PermissionError(13, "not allowed", "a.bin")), "a.bin --num_workers"),
    "MemoryError": (lambda: raises(MemoryError()), "memory --num_workers"),
    "disk full": (lambda: raises(OSError(28, "No space left on device", "a.bin")), "a.bin No space left"),
    "while it sends": (CannotBeSent, "RuntimeError: no pickle of it"),
    "shared memory full": (no_more_memory_to_share, SHARED_MEMORY),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("loop", [map_in_workers, load])
def test_a_worker_that_fails_ends_the_work_with_one_error(loop, how, capfd):
    fail, words = WAYS[how]

    def work(number):
        return fail() if number == 3 else torch.full((5000,), number)

    began = time.monotonic()
    with pytest.raises((WorkerError, RuntimeError)) as lost:
        list(loop(work, range(40), 2))
    message = machine_fault(lost.value)
    assert message and "\n" not in message and says(message, words)
    assert time.monotonic() - began < 30 and "Traceback" not in capfd.readouterr().err


def test_errors_of_ours_come_as_they_are_and_bugs_with_their_traceback():
    with pytest.raises(StoreError, match=r"^the store is broken$"):
        list(map_in_workers(lambda _: raises(StoreError("the store is broken")), range(4), 2))
    with pytest.raises(KeyError, match="in raises"):
        list(map_in_workers(lambda _: raises(KeyError("a bug")), range(4), 2))
    with pytest.raises(RuntimeError, match=r"^a\nb$"):  # in this process nothing is hidden
        list(map_in_workers(lambda _: raises(RuntimeError("a\nb")), range(4), 0))


def test_a_job_that_can_not_be_sent_is_an_error():
    with pytest.raises(WorkerError, match="pickle"):
        list(load(lambda _: 1, [lambda: 0], 1))


def test_without_workers_errors_are_what_they_are():
    with pytest.raises(FileNotFoundError, match="gone"):
        list(load(lambda _: raises(FileNotFoundError("gone")), range(4), 0))


@pytest.mark.parametrize("last", [0, 2])
def test_workers_that_can_not_be_started(last, monkeypatch, capfd):
    real, calls = os.fork, iter(range(99))

    def fork():
        return real() if next(calls) < last else raises(BlockingIOError(11, "Resource temporarily unavailable"))

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(WorkerError, match=r"\b4 worker.*--num_workers"):
        load(abs, range(4), 4)
    assert not capfd.readouterr().err


def test_workers_change_nothing_about_batches(stores):
    store = HeadStore(stores["labeled"])
    for batches in (
        lambda number: ordered_batches(store, 7, number),
        lambda number: training_batches(store, ShuffledStream(24, 7, seed=3, start=2), number),
    ):
        alone, helped = ([vars(batch) for batch, _ in zip(batches(n), range(4), strict=False)] for n in (0, 3))
        assert [len(batch["image"]) for batch in alone] == [len(batch["image"]) for batch in helped]
        torch.testing.assert_close(helped, alone, rtol=0, atol=0)


def waits_forever():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@pytest.mark.parametrize("count", [1, 3])
def test_workers_that_stand_still_are_replaced(count, tmp_path, monkeypatch, capfd, caplog):
    """As after a fork while another thread held a lock."""
    monkeypatch.setattr(workers, "PATIENCE_S", 1.0)
    monkeypatch.setattr(workers, "_CHECK_S", 0.3)

    def work(number):
        if number == 4 and not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            waits_forever()
        return torch.full((2,), number)

    given = iter(range(12))
    assert [int(result[0]) for result in load(work, given, count)] == list(range(12))
    assert "stood still" in caplog.text and "in waits_forever" in capfd.readouterr().err


def test_workers_that_stand_still_again_and_again_are_an_error(monkeypatch, caplog):
    monkeypatch.setattr(workers, "PATIENCE_S", 0.5)
    monkeypatch.setattr(workers, "_CHECK_S", 0.2)
    with pytest.raises(WorkerError, match=r"stood still .* 4 times; --num_workers 0"):
        list(load(lambda _: waits_forever(), range(3), 1))


def test_workers_that_take_their_time_are_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(workers, "PATIENCE_S", 0.5)
    monkeypatch.setattr(workers, "_CHECK_S", 0.2)

    def busy(number):
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            number += 0
        return number

    assert list(load(busy, range(2), 2)) == [0, 1] and not caplog.text


def in_a_worker(monkeypatch, target, do, when=lambda items: True):
    """Has something done in workers before they make a batch of some of the items."""
    original = target.batch

    def batch(self, items):
        if get_worker_info() is not None and when(items):
            do()
        return original(self, items)

    monkeypatch.setattr(target, "batch", batch)


def goes_on(checkpoint, tmp_path):
    """The folder of a run that has gone on from a checkpoint to its end."""
    return train_run(["--exps_dir", str(tmp_path / "exps"), "--cont_ckpt", str(checkpoint)]).folder


def test_full_shared_memory_at_the_beginning_of_stage_2(settings, finished_run, tmp_path, monkeypatch, capfd):
    workers = ("--num_workers", "2")
    in_a_worker(monkeypatch, Heads, no_more_memory_to_share, lambda items: len(items) == 8)  # unlabeled ones
    assert run(train_cli.main, [*settings, *workers, "--exp_detail", "full"]) == 2
    error = error_line(capfd.readouterr().err)
    assert says(error, f"{SHARED_MEMORY} --cont_ckpt full/") and "iteration 3" in error
    monkeypatch.undo()
    assert same_weights(goes_on(error.split("--cont_ckpt ")[1], tmp_path), finished_run)


def test_full_shared_memory_with_pairs(common_settings, stores, monkeypatch, capsys):
    more = ["--method", "clerf", "--generator", str(stores["labeled"]), "--positive_deg", "40", "--negative_deg", "60"]
    in_a_worker(monkeypatch, Heads, no_more_memory_to_share)
    argv = [*common_settings, *more, "--pretrain_iteration", "2", "--num_workers", "1"]
    error = refused(capsys, train_cli.main, argv)
    assert says(error, f"{SHARED_MEMORY} --cont_ckpt")


def test_full_shared_memory_with_scenes(tmp_path, monkeypatch, capsys):
    stores = [tmp_path / "train.lmdb", tmp_path / "test.lmdb"]
    for seed, store in enumerate(stores):
        write_scenes(SceneSet(8, 1, "clean", "full", seed, 64), store)
    in_a_worker(monkeypatch, Scenes, no_more_memory_to_share)
    argv = ["--method", "onestage", "--network", "onestage:timm:test_resnet", "--pretrained", "false"]
    argv += ["--train_labeled", str(stores[0]), "--test_set", str(stores[1]), "--image_size", "64"]
    argv += ["--exps_dir", str(tmp_path), "--batch_size", "2", "--num_workers", "1", "--max_iteration", "2"]
    error = refused(capsys, train_cli.main, argv)
    assert says(error, f"{SHARED_MEMORY} --cont_ckpt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_a_worker(number, settings, finished_run, tmp_path, monkeypatch, caplog):
    """A worker that neither answers nor ends: nothing tells its parent."""
    in_a_worker(monkeypatch, Heads, lambda: time.sleep(1000), lambda items: len(items) == 8)
    options = train_cli.parse_options([*settings, "--num_workers", "2", "--exp_detail", "waits"])

    def send():
        while "stage2 begins" not in caplog.text:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), number)

    caplog.set_level("INFO")
    thread = threading.Thread(target=send)
    thread.start()
    result = train(*options)
    thread.join()
    assert not result.finished and "Stopped at iteration 3" in caplog.text
    monkeypatch.undo()
    assert same_weights(goes_on(result.folder / "last.pth", tmp_path), finished_run)


def test_after_a_signal_nothing_is_waited_for():
    came = []
    with stop_on_signals(lambda: came.append(1)) as signals:
        assert signals.wait(lambda: 5) == 5
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == [1] and signals.wait(lambda: time.sleep(1000)) is None


SMALL = """
mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 77
exec "$@"
"""


def test_a_small_dev_shm(settings):
    argv = [sys.executable, "-m", "semiuhpe.cli.main", "train", *settings, "--num_workers", "2"]
    try:
        ended = subprocess.run(
            ["unshare", "-m", "sh", "-c", SMALL, "sh", *argv], capture_output=True, text=True, timeout=80
        )
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if ended.returncode in (1, 77) and "error:" not in ended.stderr:
        pytest.skip("needs the right to mount a file system")
    assert ended.returncode == 2
    assert says(error_line(ended.stderr), f"{SHARED_MEMORY} --cont_ckpt")
