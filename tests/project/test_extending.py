"""A dataset, a network and a method from outside the package: examples/extending, through the commands."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import EXTENDING

from semiuhpe.data import HeadStore
from semiuhpe.data.importers import IMPORTERS, Importer, register_importer
from semiuhpe.errors import ConfigError
from semiuhpe.methods import METHODS, Method, register_method
from semiuhpe.models import load_checkpoint
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.training.run_folder import read_scalars

EXAMPLES = EXTENDING
PARTS = ("turntable", "mixer", "consistency")


@pytest.fixture
def mine(tmp_path, monkeypatch, registries):
    """Runs mine.py in a folder of its own, in which nothing of the repository is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)

    def command(line: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mine.py", *line.split()])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXAMPLES / "mine.py"), run_name="__main__")
        return end.value.code

    return command


def write_turntable(folder: Path) -> None:
    angles = [(pitch, yaw) for pitch in (-20, 0, 20) for yaw in (-60, -20, 20, 60)]
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for number, (pitch, yaw) in enumerate(angles):
            rotation = euler_to_matrix(torch.tensor([pitch, yaw, 0.0])).double().numpy()
            head = render_head(rotation, np.random.default_rng(number), "clean", 48)
            Image.fromarray(head.image).save(folder / split / f"head{number}_{pitch}_{yaw}.png")
    (folder / "test" / "head_without_angles.png").write_bytes(b"")


def test_a_dataset_a_network_and_a_method_from_outside(mine, tmp_path, capsys):
    write_turntable(tmp_path / "raw")
    assert mine("prepare Turntable --source raw") == 0
    assert mine("prepare Turntable --source raw --split test --size 32") == 1  # one picture is broken
    assert "head_without_angles" in capsys.readouterr().out
    store = HeadStore("data/Turntable_test.lmdb")
    assert len(store) == 12 and {tuple(angles) for angles in store.euler_deg[:, :2].astype(int)} >= {
        (-20, 60),
        (0, -20),
    }

    settings = (
        "--method consistency --network mixer --image_size 32 --train_labeled Turntable --train_unlabeled Turntable"
    )
    lengths = "--max_iteration 4 --val_frequency 2 --log_frequency 1 --batch_size 4 --num_workers 0"
    more = f"--ss_ratio 0.5 --consistency 0.3 --test_set data/Turntable_test.lmdb {lengths}"
    assert mine(f"train {settings} {more}") == 0
    (last,) = Path("exps").glob("*/*/*/last.pth")
    rows = [row for row in read_scalars(last.parent) if "ssl/consistency" in row]
    assert len(rows) == 4 and all(np.isfinite(row["ssl/consistency"]) for row in rows)
    assert "consistency: 0.3" in (last.parent / "config.yml").read_text()
    loaded = load_checkpoint(last)
    assert loaded.network == "mixer" and type(loaded.model).__name__ == "Mixer"

    assert mine(f"eval {last}") == 0
    assert "geodesic" in capsys.readouterr().out
    assert mine(f"train --cont_ckpt {last} --max_iteration 6") == 0
    assert max(row["step"] for row in read_scalars(last.parent)) == 6


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_under_forty_lines_of_code(part):
    lines = [line for line in (EXAMPLES / f"{part}.py").read_text().splitlines() if line.strip()]
    assert len(lines) < 40


def test_a_missing_store_of_an_outside_dataset_names_the_command(mine, capsys):
    assert mine("train --train_labeled Turntable --train_unlabeled Turntable --test_set Turntable") == 2
    assert "semiuhpe prepare Turntable --source RAW --out data/Turntable.lmdb" in capsys.readouterr().err


def test_what_is_incomplete_or_taken_is_refused():
    with pytest.raises(ConfigError, match=r"importer Incomplete: has no name, heads, pictures"):
        register_importer(type("Incomplete", (Importer,), {}))
    with pytest.raises(ConfigError, match=r"method new: has no options_type, .*phases"):
        register_method("new")(type("New", (Method,), {}))

    wildhead = type(IMPORTERS["WildHead"])
    taken = type("Taken", (wildhead,), {})
    with pytest.raises(ConfigError, match="WildHead: "):
        register_importer(taken)
    taken.name = "two words"
    with pytest.raises(ConfigError, match="'two words': its name may have letters"):
        register_importer(taken)
    with pytest.raises(ConfigError, match="method clerf: "):
        register_method("clerf")(type("Other", (METHODS["clerf"],), {}))
    register_importer(wildhead)  # the same one again is no fault
