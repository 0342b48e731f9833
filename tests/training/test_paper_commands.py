"""The paper's experiments start as its README prints them, given small stores in place of the real ones."""

import shlex
from pathlib import Path

import pytest
import yaml
from support.errors import refused
from support.paths import ROOT

from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.experiment import datasets
from semiuhpe.models import load_checkpoint
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.training.run_folder import read_scalars

PAPER_SETTINGS = sorted(path for path in (ROOT / "settings").glob("*.yml") if path.name[:3] in ("300", "DAD"))

# What is appended makes them small; all that the commands themselves say stays.
COMMANDS = {
    "train.py --config settings/300WLP_AFLW2000.yml --test_set AFLW2000 --network effinetv2 --num_workers 4 "
    "--stage1_iteration 60000 --max_iteration 60000 --ss_ratio 0.2 --gpu_ids 0 --batch_size 32 --val_frequency 500": (
        "SSL1.0_r0.2_ce_effinetv2_t-5.3_b32_ema"
    ),
    "train.py --config settings/300WLP_AFLW2000.yml --network effinetv2 --num_workers 4 --stage1_iteration 60000 "
    "--max_iteration 100000 --ss_ratio 0.20 --gpu_ids 0 --batch_size 32 --val_frequency 500 --ulb_batch_ratio 4 "
    "--dynamic_thres --cutout_aug --cutmix_aug --SSL_lambda 1.0 --left_ratio 0.95": (
        "SSL1.0_r0.2_ce_effinetv2_tDyna0.95_b32_ema_CO_CM"
    ),
    "train.py --config settings/300WLP_AFLW2000.yml --network effinetv2 --num_workers 4 --stage1_iteration 40000 "
    "--max_iteration 80000 --ss_ratio 0.10 --gpu_ids 1 --batch_size 32 --val_frequency 500 --ulb_batch_ratio 4 "
    "--conf_thres -5.4": "SSL1.0_r0.1_ce_effinetv2_t-5.4_b32_ema",
    "train.py --config settings/300WLP_COCOHead.yml --network effinetv2 --num_workers 8 --stage1_iteration 90000 "
    "--max_iteration 120000 --gpu_ids 1 --batch_size 32 --val_frequency 500 --ulb_batch_ratio 8 --dynamic_thres "
    "--cutout_aug --cutmix_aug --SSL_lambda 1.0 --left_ratio 0.75": (
        "SSL1.0_r0.05_ce_effinetv2_tDyna0.75_b32_ema_CO_CM"
    ),
    "train.py --config settings/DAD3DHeads_COCOHead.yml --network effinetv2 --num_workers 4 --stage1_iteration 100000 "
    "--max_iteration 200000 --gpu_ids 1 --batch_size 32 --val_frequency 500 --ulb_batch_ratio 4 --is_full_range "
    "--dynamic_thres --cutout_aug --cutmix_aug --rotate_aug --SSL_lambda 1.0 --left_ratio 0.75": (
        "SSL1.0_r0.05_ce_effinetv2_tDyna0.75_b32_ema_RO_CO_CM_full"
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    """A store for each dataset: options that say where it is."""
    folder = tmp_path_factory.mktemp("data")
    sets = {
        "train": SyntheticSet(40, "wild", "front", 11, 40, test=False),
        "full_train": SyntheticSet(40, "wild", "full", 12, 40, test=False),
        "test": SyntheticSet(8, "wild", "front", 13, 32, test=True),
        "full_test": SyntheticSet(8, "wild", "full", 14, 32, test=True),
    }
    for name, heads in sets.items():
        write_store(heads, folder / f"{name}.lmdb")
    full = {"DAD3DHeads", "COCOHead", "CrowdHuman", "OpenImageV6", "WildHead", "WiderFace"}
    places = {name: "full_train" if name in full else "train" for name in datasets()}
    places |= {"AFLW2000": "test", "BIWItest": "test", "DAD3DHeads_val": "full_test"}
    return [part for name, store in places.items() for part in (f"--data_dir_{name}", str(folder / f"{store}.lmdb"))]


def small(tmp_path, data, *more):
    return [
        *data, "--exps_dir", str(tmp_path / "exps"), "--pretrained", "false", "--image_size", "32",
        "--num_workers", "0", "--val_frequency", "2", "--save_frequency", "2", "--log_frequency", "1", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("settings", PAPER_SETTINGS, ids=lambda path: path.stem)
def test_all_settings_take_three_steps(settings, data, tmp_path):
    steps = ("--stage1_iteration", "1", "--max_iteration", "3", "--batch_size", "4", "--network", "plainnet")
    argv = ["--config", str(settings), *small(tmp_path, data, *steps, "--ss_ratio", "0.3")]
    assert run(train_cli.main, argv) == 0
    (folder,) = (tmp_path / "exps" / settings.stem).glob("*/*")
    rows = read_scalars(folder)
    assert {row["step"] for row in rows if "train/loss" in row} == {1, 2, 3}
    model = load_checkpoint(folder / "best.pth")
    expected = "RotationLaplace" if settings.stem.endswith("_RL") else "matrixFisher"
    assert model.description.distribution == expected and model.full_range == settings.stem.startswith("DAD")


def test_all_thirteen_settings_are_there():
    assert len(PAPER_SETTINGS) == 13


@pytest.mark.parametrize("command", COMMANDS, ids=range(1, 6))
def test_the_papers_commands_train_and_are_read_back(command, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    argv = shlex.split(command)[1:]
    stage2 = argv[argv.index("--stage1_iteration") + 1] != argv[argv.index("--max_iteration") + 1]
    steps = ("--stage1_iteration", "1", "--max_iteration", "2" if stage2 else "1")
    assert run(train_cli.main, [*argv, *small(tmp_path, data, *steps)]) == 0
    (folder,) = (tmp_path / "exps" / Path(argv[1]).stem).glob("*/*")
    assert folder.parent.name == COMMANDS[command]
    assert yaml.safe_load((folder / "config.yml").read_text())["network"] == "effinetv2"
    name = f"{folder.parent.name}/{folder.name}/best"
    again = ["--config", argv[1], "--network", "effinetv2", "--batch_size", "32", "--gpu_ids", "0"]
    capsys.readouterr()
    assert run(evaluate_cli.main, [name, *again, "--exps_dir", str(tmp_path / "exps"), *data]) == 0
    assert "teacher" in capsys.readouterr().out


@pytest.mark.parametrize("settings", PAPER_SETTINGS, ids=lambda path: path.stem)
def test_a_missing_store_names_the_command_that_makes_it(settings, tmp_path, monkeypatch, capsys):
    relative = settings.relative_to(ROOT)
    (tmp_path / "settings").mkdir()
    (tmp_path / relative).write_text(settings.read_text())
    monkeypatch.chdir(tmp_path)
    error = refused(capsys, train_cli.main, ["--config", relative])
    labeled = yaml.safe_load(settings.read_text())["train_labeled"]
    assert f"semiuhpe prepare {labeled} --source RAW --out data/{labeled}.lmdb" in error
    assert not (tmp_path / "exps").exists()
