"""What a fault may not cost: each of these was lost, silent or a traceback before it was mended."""

import errno
import fcntl
import io
import os
import re
import shutil
import signal

import lmdb
import numpy as np
import pytest
import torch
import yaml
from support.errors import refused
from support.training import experiment_of, same_weights
from support.training import train_run as train

from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.workers import map_in_workers
from semiuhpe.data.crop import StoredCrop, encode
from semiuhpe.data.importers.base import read_json
from semiuhpe.data.stores import SceneStore, StoredHead, StoreWriter
from semiuhpe.errors import CheckpointError, ConfigError, DataError, StoreError, machine_fault
from semiuhpe.experiments.runs import train_once
from semiuhpe.files import parse_json, parse_yaml, release_lock, take_lock
from semiuhpe.inference.result_files import ResultFile
from semiuhpe.methods.supervised import Supervised
from semiuhpe.models.checkpoint import read_checkpoint, save_checkpoint
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.training.run_folder import LOG, RunLog


def fail_in_step(monkeypatch, number, error):
    """Raises an error in a step of the training, counted from 0."""
    original, calls = Supervised.step, iter(range(10_000))

    def step(self, *arguments):
        if next(calls) == number:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(Supervised, "step", step)


# Bytes that change


def test_a_changed_bit_in_weights_is_found(tmp_path):
    """torch doesn't look at the checksums in its own files."""
    path = tmp_path / "a.pth"
    save_checkpoint(path, {"model_state_dict": {"weight": torch.arange(10_000.0)}})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert (torch.load(path, weights_only=True)["model_state_dict"]["weight"] != torch.arange(10_000.0)).sum() == 1
    with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))}.*checksum"):
        read_checkpoint(path)


def changed(store, path, edits):
    """A copy of a store in which what lies under some keys is changed. LMDB opens no file twice: before it is read."""
    shutil.copytree(store, path)
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for key, edit in edits.items():
            transaction.put(key, edit(transaction.get(key)))
    return path


def quality(encoded):
    """A JPEG with a changed quantization table: it decodes, to another picture."""
    place = encoded.index(b"\xff\xdb") + 6
    return encoded[:place] + bytes([encoded[place] ^ 8]) + encoded[place + 1 :]


def test_a_changed_picture_that_still_decodes_is_found(stores, tmp_path):
    before, picture = HeadStore(stores["labeled"]), b"%09d" % 3
    store = HeadStore(changed(stores["labeled"], tmp_path / "a.lmdb", {picture: quality}))
    assert np.array_equal(store.image(2), before.image(2))
    for whole_or_view, index in ((store, 3), (store.view([5, 3]), 1)):
        with pytest.raises(StoreError, match=r"a\.lmdb.*picture 3 .*damaged"):
            whole_or_view.image(index)
    edits = {picture: quality, b"__labels__": without_checksums}
    old = HeadStore(changed(stores["labeled"], tmp_path / "b.lmdb", edits))  # as stores were before
    assert old.image(3).shape == before.image(3).shape and not np.array_equal(old.image(3), before.image(3))


def without_checksums(packed):
    with np.load(io.BytesIO(packed)) as found:
        left = {key: found[key] for key in found.files if key != "crc32"}
        assert len(left) == len(found.files) - 1
    file = io.BytesIO()
    np.savez(file, **left)
    return file.getvalue()


def test_a_changed_scene_is_found(tmp_path):
    write_scenes(SceneSet(2, 1, "clean", "full", 1, 64), whole := tmp_path / "scenes.lmdb")
    store = SceneStore(changed(whole, tmp_path / "a.lmdb", {b"%09d" % 1: quality}))
    assert store.image(0).shape == (64, 64, 3)
    with pytest.raises(StoreError, match=r"a\.lmdb.*\b1 .*damaged"):
        store.view([1]).image(0)
    old = SceneStore(changed(whole, tmp_path / "b.lmdb", {b"__labels__": without_checksums}))
    assert old.image(1).shape == (64, 64, 3)


@pytest.mark.parametrize("missing", ["optimizer_state_dict", "clock", "learner", "random"])
def test_a_checkpoint_that_lacks_a_part_is_named(settings, own_run, capsys, missing):
    path = own_run / "last.pth"
    checkpoint = read_checkpoint(path)
    del checkpoint[missing]
    save_checkpoint(path, checkpoint)
    message = refused(capsys, train_cli.main, ["--exps_dir", settings[1], "--cont_ckpt", path])
    assert str(path) in message and missing in message


# Processes that end, or get in each other's way


def test_a_store_moved_away_when_the_process_was_killed_comes_back(stores, tmp_path):
    """Between the two renames that replace a store it is under neither name."""
    path = tmp_path / "a.lmdb"
    shutil.copytree(stores["labeled"], tmp_path / "a.lmdb.replaced")
    with pytest.raises(RuntimeError, match="again"), StoreWriter(path, HeadStore(stores["labeled"]).meta, True):
        raise RuntimeError("again")
    assert len(HeadStore(path)) == 24 and os.listdir(tmp_path) == ["a.lmdb"]


def end_itself(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_ends_the_work():
    """A pool of multiprocessing would wait for it forever."""
    assert list(map_in_workers(abs, [-3, 2, -1], 2)) == [3, 2, 1]
    with pytest.raises(RuntimeError, match="DataLoader worker") as lost:
        list(map_in_workers(end_itself, list(range(9)), 2))
    assert "lost" in machine_fault(lost.value)


def test_one_process_at_a_time_in_a_run_folder(settings, capsys):
    folder = train(settings, "--debug").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with open(folder / LOG, "a") as other:
        take_lock(other)
        error = refused(capsys, train_cli.main, [*settings, "--debug"])
        assert str(folder) in error and "another process" in error
        release_lock(other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert train(settings, "--debug").finished


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_where_there_are_no_locks_a_warning_says_so(code, stores, tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "a.lmdb"
    meta = HeadStore(stores["test"]).meta
    crop = StoredCrop(encode(np.zeros((32, 32, 3), np.uint8), None), np.array([4, 4, 9, 9]), np.array([0, 0, 32, 32]))
    with StoreWriter(path, meta) as writer:
        writer.add(StoredHead("one", crop))
    assert len(HeadStore(path)) == 1
    with ResultFile(tmp_path / "heads.jsonl") as results:
        results.add({"image": "a.png", "heads": []})
    assert (tmp_path / "heads.jsonl").read_text() == '{"image": "a.png", "heads": []}\n'
    warnings = [record.getMessage() for record in caplog.records if "can't be locked" in record.getMessage()]
    assert len(warnings) == 2 and "a.lmdb.partial.lock" in warnings[0] and "heads.jsonl" in warnings[1]


def test_one_run_at_a_time_writes_results(tmp_path):
    with ResultFile(tmp_path / "heads.jsonl"), pytest.raises(ConfigError, match=r"another .*heads\.jsonl"):
        ResultFile(tmp_path / "heads.jsonl")
    with ResultFile(tmp_path / "heads.jsonl"):
        pass


def test_a_finished_run_is_used_again_by_its_data_not_by_the_clock(settings, stores, tmp_path):
    data = shutil.copytree(stores["labeled"], tmp_path / "data.lmdb")
    options = experiment_of(*settings, "--train_labeled", str(data), "--exp_detail", "once")
    folder = train_once(options)
    for when in (0, 2**33):  # both files at the beginning of 1970, and in 2242
        os.utime(data / "data.mdb", (when, when))
        os.utime(folder / "last.pth", (when, when))
        assert train_once(options) == folder
    shutil.rmtree(data)
    write_store(SyntheticSet(24, "clean", "front", 9, 40, test=False), data)
    os.utime(data / "data.mdb", (0, 0))  # other heads, which look older than the run
    assert train_once(options) != folder


def test_a_run_is_not_used_again_after_its_generator_or_its_test_set_changed(common_settings, stores, tmp_path):
    places = {name: shutil.copytree(stores["labeled"], tmp_path / f"{name}.lmdb") for name in ("generator", "test")}
    more = ["--method", "clerf", "--generator", str(places["generator"]), "--test_set", str(places["test"])]
    more += ["--positive_deg", "40", "--negative_deg", "60", "--pretrain_iteration", "2", "--exp_detail", "once"]
    options = experiment_of(*common_settings, *more, "--max_iteration", "3")
    folder = train_once(options)
    versions = yaml.safe_load((folder / "versions.yml").read_text())
    assert set(versions["stores"]) == {"train_labeled", "train_unlabeled", "generator", "test_set"}
    for seed, name in enumerate(places):
        shutil.rmtree(places[name])
        write_store(SyntheticSet(24, "clean", "front", 90 + seed, 40, test=False), places[name])
        before, folder = folder, train_once(options)
        assert folder != before and train_once(options) == folder
    # a run of before, which has no fingerprint of the generator, is judged by the clock
    path = folder / "versions.yml"
    versions = yaml.safe_load(path.read_text())
    del versions["stores"]["generator"]
    path.write_text(yaml.safe_dump(versions))
    assert train_once(options) == folder
    os.utime(places["generator"] / "data.mdb", (2**33, 2**33))
    assert train_once(options) != folder


def test_a_run_of_whole_epochs_that_stopped_before_the_end_of_its_last_one_goes_on(settings):
    options = experiment_of(*settings, "--whole_epochs", "--drop_last", "--max_iteration", "5", "--exp_detail", "whole")
    folder = train_once(options)
    checkpoint = read_checkpoint(folder / "last.pth")
    assert checkpoint["clock"]["iteration"] == checkpoint["clock"]["end"] == 6
    checkpoint["clock"]["iteration"] = 5
    save_checkpoint(folder / "last.pth", checkpoint)
    assert train_once(options) == folder
    assert read_checkpoint(folder / "last.pth")["clock"]["iteration"] == 6


def test_a_folder_is_free_again_after_its_log_could_not_be_made(settings, tmp_path):
    options = experiment_of(*settings)
    (tmp_path / "versions.yml").mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            RunLog(tmp_path, options.values(), {}, 0)


# Machines that fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "GPU"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "lost"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"), "--num_workers"),
        (OSError(errno.ENOSPC, "No space left on device", "scalars.jsonl"), "scalars.jsonl"),
    ],
)
def test_faults_of_the_machine_are_one_line_and_the_run_goes_on(
    settings, finished_run, monkeypatch, capsys, error, words
):
    fail_in_step(monkeypatch, 2, error)
    message = refused(capsys, train_cli.main, [*settings, "--exp_detail", "ended"])
    assert words in message and "--cont_ckpt ended/" in message
    monkeypatch.undo()
    name = message.split("--cont_ckpt ")[1]
    resumed = train(["--exps_dir", settings[1], "--cont_ckpt", name])
    assert same_weights(resumed.folder, finished_run)


def test_other_errors_are_not_hidden():
    def fail(_):
        raise RuntimeError("a fault of the program")

    assert machine_fault(RuntimeError("a fault of the program")) is None and machine_fault(OSError("x")) is None
    with pytest.raises(RuntimeError, match="of the program"):
        run(fail, [])


# Texts of others


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_nested_too_deeply_is_an_error_of_ours(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="nested"):
        parse_json(text)
    with pytest.raises(DataError, match=r"a\.json.*JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "text", ["a: 2001-99-99", "!!int x", "!!bool x", "a: !!timestamp x", "[" * 20_000, "a: [", "a: \0"]
)
def test_yaml_that_its_parser_fails_on(text, tmp_path):
    with pytest.raises(ValueError):
        parse_yaml(text)
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yml.*YAML"):
        train_cli.parse_options(["--config", str(tmp_path / "a.yml")])


def test_lists_that_name_each_other_are_refused_at_once(tmp_path):
    """As text, of which options are made, this would have 10^30 letters."""
    lists = "\n".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 1}]" for i in range(30))
    (tmp_path / "a.yml").write_text("train_labeled:\n" + lists)
    with pytest.raises(ConfigError, match=r"a\.yml.*train_labeled"):
        train_cli.parse_options(["--config", str(tmp_path / "a.yml")])
