"""Which stores the names of options lead to, what may not be trained on, and what `best` was selected on."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from support.training import parsed_experiment

from semiuhpe.cli import train as train_cli
from semiuhpe.data import StoreWriter
from semiuhpe.data.crop import HEAD_BOX, StoredCrop, encode
from semiuhpe.data.experiment import open_named, open_scenes, open_training_data, store_path
from semiuhpe.data.stores import StoredHead, head_meta
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.evaluation.provenance import selected_on
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.training.run import train as run_training


def write(path: Path, names: list[str], dataset: str = "BIWI", loose: bool = True, turn_deg: float = 0.0) -> str:
    meta = head_meta(
        dataset=dataset, split="any", size=8, crop_rule=HEAD_BOX, loose=loose, full_range=False, source="", settings={}
    )
    crop = StoredCrop(encode(np.zeros((8, 8, 3), np.uint8)), np.ones(4), np.array([0, 0, 8, 8]))
    with StoreWriter(path, meta) as writer:
        for number, name in enumerate(names):
            angles = torch.tensor([0.0, number + turn_deg, 0.0], dtype=torch.float64)
            writer.add(StoredHead(name, crop, rotation=euler_to_matrix(angles).numpy()))
    return str(path)


@pytest.mark.parametrize(
    "name, train, test",
    [
        ("DAD3DHeads", "data/DAD3DHeads.lmdb", "data/DAD3DHeads_val.lmdb"),
        ("BIWI", "data/BIWI_train.lmdb", "data/BIWI.lmdb"),
        ("EG3D", "data/EG3D.lmdb", "data/EG3D_test.lmdb"),
        ("300WLP", "data/300WLP.lmdb", "data/300WLP.lmdb"),
        ("AFLW2000", "data/AFLW2000.lmdb", "data/AFLW2000.lmdb"),
        ("mine.lmdb", "mine.lmdb", "mine.lmdb"),
    ],
)
def test_a_name_means_the_split_that_its_role_needs(name, train, test):
    roles = {"train_labeled": train, "train_unlabeled": train, "generator": train, "test_set": test, "val_set": test}
    options = parsed_experiment(*(part for role in roles for part in (f"--{role}", name)))
    paths = {role: store_path(options.data, role, name if role == "generator" else None) for role in roles}
    assert {role: str(path) for role, path in paths.items()} == roles


def test_each_split_has_an_option_of_its_own():
    places = {"BIWI": "a", "BIWI_train": "b", "EG3D": "c", "EG3D_test": "d"}
    where = [part for name, path in places.items() for part in (f"--data_dir_{name}", path)]
    for name, expected in (("BIWI", ("b", "a")), ("EG3D", ("c", "d"))):
        options = parsed_experiment("--train_labeled", name, "--test_set", name, *where)
        assert tuple(str(store_path(options.data, role)) for role in ("train_labeled", "test_set")) == expected


@pytest.mark.parametrize(
    "name, test_set",
    [
        ("BIWI_masked", "scenes/biwi_masked.lmdb"),
        ("300WLP_turned", "data/300WLP_turned.lmdb"),
        ("AFLW2000_masked_turned", "data/AFLW2000_masked_turned.lmdb"),
        ("DAD3DHeads_masked", "data/DAD3DHeads_val_masked.lmdb"),
        ("mine_masked", "mine_masked"),
        ("data/BIWI_masked", "data/BIWI_masked"),
    ],
)
def test_copies_of_a_dataset_lie_beside_it(name, test_set):
    options = parsed_experiment("--test_set", name, "--data_dir_BIWI", "scenes/biwi.lmdb")
    assert str(store_path(options.data, "test_set")) == test_set


def test_a_missing_copy_names_the_command_that_makes_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = parsed_experiment("--train_labeled", "300WLP_masked_turned", "--test_set", "BIWI_masked")
    for role, words in (
        ("train_labeled", "prepare 300WLP --scenes --masked 1 --turned 1 --source RAW --out data/300WLP_masked_turned"),
        ("test_set", "prepare BIWI --scenes --masked 1 --source RAW --out data/BIWI_masked"),
    ):
        for opener in (open_named, open_scenes):
            with pytest.raises(StoreError, match=words):
                opener(options.data, role)


def test_a_missing_split_names_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parsed_experiment("--train_labeled", "BIWI", "--test_set", "AFLW2000")
    with pytest.raises(StoreError, match=r"prepare BIWI --source RAW --out data/BIWI_train.lmdb --split train"):
        open_training_data(options.data, False, 0)


def test_training_on_the_test_set_is_refused(settings, stores, tmp_path):
    link = tmp_path / "link.lmdb"
    link.symlink_to(stores["labeled"])
    options, _ = train_cli.parse_options([*settings, "--test_set", str(link)])
    with pytest.raises(ConfigError, match=r"--train_labeled .*labeled\.lmdb, --test_set .*link\.lmdb"):
        run_training(options)
    assert not Path(settings[1]).exists()


def test_training_on_frames_of_the_test_set_is_refused(tmp_path):
    frames = [f"{sequence:02d}/frame_{i:05d}" for sequence in (1, 2) for i in range(3)]
    train = write(tmp_path / "train.lmdb", frames)
    where = ["--data_dir_BIWI_train", train, "--train_labeled", "BIWI", "--test_set", "BIWI", "--data_dir_BIWI"]
    with pytest.raises(ConfigError, match=r"\b5 labeled"):
        open_training_data(
            parsed_experiment(*where, write(tmp_path / "same.lmdb", frames[:5], loose=False)).data, False, 0
        )
    others = write(tmp_path / "others.lmdb", [f"03/{name[3:]}" for name in frames], loose=False)
    assert len(open_training_data(parsed_experiment(*where, others).data, False, 0).labeled) == 6
    turned = write(tmp_path / "turned.lmdb", frames, loose=False, turn_deg=7.0)  # the same names, other heads
    assert len(open_training_data(parsed_experiment(*where, turned).data, False, 0).labeled) == 6


def test_tight_crops_to_train_on_are_warned_of(tmp_path, caplog):
    tight, loose = (write(tmp_path / f"{kind}.lmdb", [kind], loose=kind == "loose") for kind in ("tight", "loose"))
    for train, test, warned in ((loose, tight, False), (tight, loose, True)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "semiuhpe"):
            options = parsed_experiment("--train_labeled", train, "--test_set", test, "--val_set", test)
            open_training_data(options.data, False, 0)
        assert ("tight" in caplog.text) is warned


BEST = Path("run/best.pth")


@pytest.mark.parametrize(
    "run, test_set, store, expected",
    [
        ({"test_set": "AFLW2000", "data_dir_AFLW2000": "data/AFLW2000.lmdb"}, "AFLW2000", "data/AFLW2000.lmdb", True),
        ({"test_set": "AFLW2000"}, "data/AFLW2000.lmdb", "data/AFLW2000.lmdb", True),
        ({"test_set": "AFLW2000", "data_dir_AFLW2000": "a.lmdb"}, "AFLW2000", "elsewhere.lmdb", True),
        ({"test_set": "AFLW2000", "val_set": "data/v.lmdb"}, "data/v.lmdb", "data/v.lmdb", True),
        ({"test_set": "AFLW2000", "val_set": "data/v.lmdb"}, "data/../data/v.lmdb", "data/../data/v.lmdb", True),
        ({"test_set": "AFLW2000", "val_set": "data/v.lmdb"}, "AFLW2000", "data/AFLW2000.lmdb", False),
        ({"test_set": "AFLW2000", "val_split": 0.1, "train_labeled": "300WLP"}, "300WLP", "data/300WLP.lmdb", True),
        (
            {"test_set": "AFLW2000", "val_split": 0.1, "train_labeled": "300WLP"},
            "AFLW2000",
            "data/AFLW2000.lmdb",
            False,
        ),
        ({"val_split": 0.1, "train_labeled": "DAD3DHeads"}, "DAD3DHeads", "data/DAD3DHeads_val.lmdb", False),
        ({"test_set": "DAD3DHeads"}, "data/DAD3DHeads.lmdb", "data/DAD3DHeads.lmdb", False),
        (None, "AFLW2000", "data/AFLW2000.lmdb", None),
    ],
)
def test_whether_best_was_selected_on_what_it_is_evaluated_on(run, test_set, store, expected):
    assert selected_on(test_set, Path(store), run, BEST) is expected
    assert selected_on(test_set, Path(store), run, BEST.with_name("last.pth")) is (None if run is None else False)
