"""Any network in an ONNX file, with its facts in YAML."""

import pytest
import torch
import yaml
from support.errors import refused, says
from support.foreign_files import write_onnx

from semiuhpe.cli import embedding as embedding_cli
from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import evaluate_dad3dheads as dad_cli
from semiuhpe.cli import export as export_cli
from semiuhpe.data.fitted_crop import FittedCrop
from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.foreign import files_of, load_model, locate_model, model_sha256, short_name
from semiuhpe.foreign.crops import CROPS
from semiuhpe.foreign.facts import Bins, read_facts
from semiuhpe.rotation import euler_to_matrix, from_300wlp

FACTS = {
    "size": 64, "colors": "rgb", "mean": 0, "std": [1, 2, 4], "crop": "fsanet", "output": "euler",
    "order": ["roll", "yaw", "pitch"], "unit": "degrees", "range": "front",
}  # fmt: skip


def written(folder, facts=FACTS, outputs=3, **changes):
    values = {name: value for name, value in {**facts, **changes}.items() if value is not None}
    (folder / "net.yml").write_text(yaml.safe_dump(values))
    return f"onnx:{write_onnx(folder / 'net.onnx', outputs=outputs)}"


def gray(level):
    """A picture of one gray, normalized as networks here take it."""
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    return ((level / 255 - mean) / std)[None, :, None, None].expand(1, 3, 64, 64)


def test_facts_decide_what_numbers_mean(tmp_path):
    loaded = load_model(written(tmp_path, signs=[1, -1, 1]))
    rotation = loaded.model(gray(80)).reshape(3, 3)
    torch.testing.assert_close(rotation, euler_to_matrix(torch.tensor([20.0, -40.0, 80.0])), atol=1e-4, rtol=0)
    assert loaded.facts.crop == FittedCrop("landmarks68", 0.21, 0.7, 0.21, 0.21, name="fsanet")
    radians = load_model(written(tmp_path, unit="radians", std=255, order=["pitch", "yaw", "roll"]))
    expected = euler_to_matrix(torch.rad2deg(torch.tensor([0.2, 0.2, 0.2])))
    torch.testing.assert_close(radians.model(gray(51)).reshape(3, 3), expected, atol=1e-5, rtol=0)


ROTATION = {name: value for name, value in FACTS.items() if name not in ("order", "unit")}


def test_rotations(tmp_path):
    facts = {**ROTATION, "output": "matrix", "convention": "300wlp", "range": "full"}
    loaded = load_model(written(tmp_path, facts, outputs=9))
    rotation = loaded.model(gray(90)).reshape(3, 3)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
    assert loaded.full_range and torch.linalg.det(rotation) > 0
    facts |= {"output": "quaternion", "quaternion": "wxyz", "std": 1}
    third_of_a_turn = torch.tensor([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])  # about the diagonal: all four are alike
    rotation = load_model(written(tmp_path, facts, outputs=4)).model(gray(90)).reshape(3, 3)
    torch.testing.assert_close(rotation, from_300wlp(third_of_a_turn), atol=1e-5, rtol=0)


def test_bins_may_differ_between_angles(tmp_path):
    bins = {"output": "bins", "step": 3, "offset": [-180, -99, -99], "unit": None}
    with pytest.raises(CheckpointError, match=r"three outputs .* of bins"):
        load_model(written(tmp_path, **bins))
    facts = read_facts(tmp_path / "net.yml", CROPS)
    assert facts.output.bins == (Bins(3, -180), Bins(3, -99), Bins(3, -99))


def test_files_and_names(tmp_path):
    name = written(tmp_path)
    other = write_onnx(tmp_path / "other.onnx")
    both = f"onnx:{tmp_path / 'net.onnx'},{other},{tmp_path / 'net.yml'}"
    assert [file.name for file in files_of(name)] == ["net.onnx", "net.yml"]
    torch.testing.assert_close(load_model(both).model(gray(60)), load_model(name).model(gray(60)))
    assert short_name(locate_model(name)) == "onnx_net"
    before = model_sha256(locate_model(name))
    (tmp_path / "net.yml").write_text((tmp_path / "net.yml").read_text() + "\n")
    assert model_sha256(locate_model(name)) != before and len(before) == 64


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"size": None}, "net.yml size"),
        ({"mean": None, "order": None}, "net.yml mean order"),
        ({"size": "large"}, "size large"),
        ({"size": True}, "size True"),
        ({"crop": ["fsanet"]}, "crop fsanet"),
        ({"crop": {"start": "box", "zoom": 0.5}}, "crop zoom 0.5"),
        ({"colors": "gray"}, "colors gray rgb bgr"),
        ({"mean": [1, 2]}, "mean [1, 2]"),
        ({"std": 0}, "std positive"),
        ({"mean": ".nan"}, "mean"),
        ({"output": "angles"}, "output angles euler matrix"),
        ({"output": ["euler"]}, "output"),
        ({"output": "matrix"}, "convention"),
        ({"output": "bins"}, "step offset"),
        ({"order": ["yaw", "pitch"]}, "order yaw roll"),
        ({"order": "yaw pitch roll"}, "order"),
        ({"unit": "turns"}, "unit turns degrees"),
        ({"signs": [1, 2, 1]}, "signs"),
        ({"range": "half"}, "range half front"),
        ({"crop": "mine"}, "crop mine fsanet"),
        ({"crop": {"left": 0.2}}, "crop start landmarks68"),
        ({"crop": {"start": "nose"}}, "crop start nose"),
        ({"crop": {"start": "box", "left": "wide"}}, "crop left wide"),
        ({"crop": {"start": "box", "top": 1}}, "crop top above"),
        ({"box_crop": "fsanet"}, "box_crop landmarks68"),
        ({"box_of": "hand"}, "box_of hand"),
        ({"colour": "rgb"}, "colour"),
    ],
)
def test_facts_that_are_missing_or_wrong(tmp_path, capsys, changes, words):
    name = written(tmp_path, **changes)
    error = refused(capsys, evaluate_cli.main, [name, "--test_set", tmp_path / "none.lmdb"])
    assert says(error, f"net.yml {words}")


@pytest.mark.parametrize("text", ["- a\n- b\n", "size: [", "just words"])
def test_files_of_facts_that_are_none(tmp_path, text):
    name = written(tmp_path)
    (tmp_path / "net.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"net\.yml"):
        load_model(name)


def test_names_that_lead_nowhere(tmp_path, capsys):
    (tmp_path / "net.onnx").write_bytes(b"no network")
    for name, words in (
        ("onnx:", "onnx:FILE"),
        (f"onnx:{tmp_path / 'net.onnx'}", "net.yml"),
        (f"onnx:{tmp_path / 'none.onnx'}", "none.onnx"),
        (f"fsanet:{tmp_path / 'net.onnx'}", "net.onnx ONNX"),
        (f"fsanet:{tmp_path / 'net.onnx'},{tmp_path / 'b.onnx'}", "b.onnx"),
        (f"hopnet:{tmp_path / 'net.onnx'}", "hopnet hopenet"),
    ):
        assert says(refused(capsys, evaluate_cli.main, [name, "--test_set", "AFLW2000"]), words)
    name = written(tmp_path)
    for option, value in (("--network", "resnet18"), ("--convention", "300wlp")):
        assert says(refused(capsys, evaluate_cli.main, [name, option, value]), f"{option} {value}")


@pytest.mark.parametrize("command", [dad_cli.main, embedding_cli.main, export_cli.main])
def test_commands_for_checkpoints_of_this_project(tmp_path, capsys, command):
    name = written(tmp_path)
    more = ["--onnx", tmp_path / "out.onnx"] if command is export_cli.main else []
    assert says(refused(capsys, command, [name, *more]), "net.onnx")
