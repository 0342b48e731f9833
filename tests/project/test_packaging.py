"""What commands find from any folder: settings, the models, all scripts by the command's name."""

import logging
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from support.errors import refused
from support.paths import ROOT

from semiuhpe.cli import evaluate
from semiuhpe.cli.config import make_parser, parse
from semiuhpe.cli.entry import run
from semiuhpe.cli.main import COMMANDS, _dispatch
from semiuhpe.errors import ConfigError
from semiuhpe.methods.options import RunOptions
from semiuhpe.models import find_checkpoint, load_checkpoint
from semiuhpe.settings import settings_file


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parser():
    return make_parser("test", "A test.", [RunOptions])


def test_settings_are_found_from_any_folder_and_it_is_said(empty, caplog):
    assert settings_file("settings/quickstart.yml") == ROOT / "settings" / "quickstart.yml"
    package = empty / "site-packages" / "semiuhpe"
    (package / "settings").mkdir(parents=True)
    (package / "settings" / "small.yml").write_text("exp_name: installed\n")
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr("semiuhpe.settings.__file__", str(package / "settings.py"))
        assert parse(parser(), ["--config", "settings/small.yml"]).exp_name == "installed"
        assert "--config settings/small.yml" in caplog.text
        assert parse(parser(), ["--config=settings/small.yml", "--exp_name", "other"]).exp_name == "other"


def test_ones_own_settings_go_first(empty):
    (empty / "settings").mkdir()
    (empty / "settings" / "quickstart.yml").write_text("exp_name: mine\n")
    assert parse(parser(), ["--config", "settings/quickstart.yml"]).exp_name == "mine"


@pytest.mark.parametrize("name", ["quickstart.yml", "settings/none.yml", "other/quickstart.yml"])
def test_only_settings_of_that_folder_are_looked_up(empty, name):
    with pytest.raises(ConfigError, match=f"--config {name}"):
        parse(parser(), ["--config", name])


def test_the_packages_model_is_found_from_any_folder_and_ones_own_goes_first(empty):
    path = find_checkpoint("heads-full")
    assert path == ROOT / "weights" / "heads-full.safetensors"
    assert load_checkpoint(path).network == "timm:tf_efficientnet_lite0"
    own = empty / "weights" / "heads-full.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert find_checkpoint("heads-full") == own.relative_to(empty)


@pytest.mark.parametrize("module", sorted(module for module, _ in COMMANDS.values()))
def test_each_command_is_there(module):
    assert callable(import_module(f"semiuhpe.cli.{module}").main)


def test_help_does_not_wait_for_pytorch():
    command = [sys.executable, "-X", "importtime", "-m", "semiuhpe.cli.main", "--help"]
    message = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "quickstart" in message.stdout
    assert not re.search(r"\b(torch|numpy)\b", message.stderr)


def test_each_script_is_also_a_command(capsys, monkeypatch):
    scripts = {path.stem.lower() for path in ROOT.glob("*.py")} - {"setup"}
    assert scripts <= set(COMMANDS)
    assert run(_dispatch, ["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in scripts)
    for called_as, name in (("/bin/semiuhpe", "semiuhpe train"), ("train.py", "train.py")):
        monkeypatch.setattr(sys, "argv", [called_as])
        error = refused(capsys, _dispatch, ["train", "--batch_sise", "3"])
        assert "--batch_sise 3; did you mean --batch_size?" in error and f"{name} --help" in error


def test_results_of_the_packages_model_go_into_the_working_folder(stores, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    weights = {path.name for path in (ROOT / "weights").iterdir()}
    name = "heads-full"
    assert run(evaluate.main, [name, "--test_set", str(stores["test"])]) == 0
    folder = Path("outputs", "eval", name)
    assert {path.name for path in folder.iterdir()} == {"eval_test.json", "eval_test.npz", "report.html"}
    assert f"written to {folder / 'eval_test.json'}" in capsys.readouterr().out
    assert {path.name for path in (ROOT / "weights").iterdir()} == weights
