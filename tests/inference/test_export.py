"""Exported files against PyTorch, on random and on hard parameters, and the example that uses one."""

import importlib.util
import logging
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.errors import refused, says
from support.paths import ROOT
from support.rotations import random_rotations
from torch import nn

from semiuhpe.augment.views import IMAGENET_MEAN, IMAGENET_STD, normalize
from semiuhpe.cli import export as export_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.crop import crop_by_box
from semiuhpe.distributions import MatrixFisher, RotationLaplace
from semiuhpe.errors import ConfigError
from semiuhpe.inference.export import export_onnx, export_torchscript
from semiuhpe.models import LoadedModel, create_model, repvgg, save_checkpoint
from semiuhpe.models.checkpoint import Description, describe
from semiuhpe.rotation import euler_to_matrix, from_300wlp, geodesic_deg, matrix_to_euler

EXAMPLE = ROOT / "examples" / "onnx_inference.py"
DISTRIBUTIONS = {"matrixFisher": MatrixFisher, "RotationLaplace": RotationLaplace}
SINGULAR_VALUES = [
    (0, 0, 0), (1e-3, 2e-4, 0), (1, 1, 1), (5, 5, -5), (3, 3, -1), (4, 1, -1), (50, 0, 0), (30, 20, -19.5),
    (200, 200, 200), (1e4, 1e4, 1e4), (1e5, 1, -1), (10, 3, 3), (900, 800, -790), (40, 30, -29.99),
]  # fmt: skip


class FirstColumn(nn.Module):
    """The first column of a 3x3 picture's pixels as the nine numbers, so that they can be chosen."""

    def forward(self, image):
        return image[..., 0].flatten(1)


def loaded(network, size, distribution="matrixFisher", convention="head_to_camera", full_range=True):
    described = Description("plainnet", distribution, convention, full_range, size, "a", "b")
    return LoadedModel(network.eval(), described, {}, Path("last.pth"))


def run_onnx(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(output) for output in session.run(None, {"image": image.numpy()})]


def run_torchscript(path, image):
    with torch.no_grad():
        return list(torch.jit.load(str(path))(image))


EXPORTS = {"onnx": (export_onnx, run_onnx), "torchscript": (export_torchscript, run_torchscript)}


def parameters():
    """Random parameters, then hard ones: equal singular values, near reflections, flat and very sharp distributions."""
    s = torch.tensor(SINGULAR_VALUES, dtype=torch.float64).repeat(5, 1)
    hard = random_rotations(len(s), seed=1) @ torch.diag_embed(s) @ random_rotations(len(s), seed=2)
    easy = 10 * torch.randn(200, 3, 3, generator=torch.Generator().manual_seed(3))
    return torch.cat((easy, hard.float()))


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize(
    "distribution, convention, full_range",
    [("matrixFisher", "head_to_camera", True), ("RotationLaplace", "300wlp", False)],
)
def test_poses_of_random_and_hard_parameters(kind, distribution, convention, full_range, tmp_path):
    export, run_file = EXPORTS[kind]
    export(loaded(FirstColumn(), 3, distribution, convention, full_range), tmp_path / "model")
    given = parameters()
    rotation, euler, entropy = run_file(tmp_path / "model", given[..., None].expand(-1, -1, -1, 3).contiguous())

    expected = DISTRIBUTIONS[distribution](from_300wlp(given) if convention == "300wlp" else given)
    torch.testing.assert_close(entropy, expected.entropy(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), rtol=0, atol=1e-6)
    assert (torch.linalg.det(rotation) > 0).all()
    # Whatever rotation is given, none has a higher density; where there is one mode, it is that.
    density = (expected.parameter.double() * rotation).sum((-2, -1))
    best = (expected.parameter.double() * expected.mode()).sum((-2, -1))
    torch.testing.assert_close(density, best, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(rotation[:200], expected.mode()[:200], rtol=0, atol=1e-5)
    again = euler_to_matrix(euler.double())
    assert geodesic_deg(again, rotation.double()).max() < 1e-3
    assert (euler[:, 0 if full_range else 1].abs() <= 90).all()


@pytest.mark.parametrize("full_range", [True, False])
def test_euler_angles_are_those_of_the_project(full_range, tmp_path):
    angles = torch.tensor(
        [[0, 0, 0], [10, 20, 30], [-80, 100, -170], [30, 90, 20], [10, -90, 0], [0, 180, 0], [0, 0, 180], [45, 89, -3],
         [60, -150, 75], [-20, 179, 1]], dtype=torch.float64,
    )  # fmt: skip
    rotation = euler_to_matrix(angles)
    export_onnx(loaded(FirstColumn(), 3, full_range=full_range), tmp_path / "a.onnx")
    image = (100 * rotation).float()[..., None].expand(-1, -1, -1, 3).contiguous()
    found, euler, _ = run_onnx(tmp_path / "a.onnx", image)
    assert geodesic_deg(found.double(), rotation).max() < 1e-4
    expected = matrix_to_euler(rotation, full_range)
    # float32 input leaves gimbal lock a little: there pitch and roll may be split otherwise.
    locked = (expected[:, 1].abs() - 90).abs() < 1e-3
    difference = (euler.double() - expected + 180) % 360 - 180
    assert difference[~locked].abs().max() < 1e-4
    assert geodesic_deg(euler_to_matrix(euler.double()), rotation).max() < 1e-3


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_exported_network_takes_any_batch(kind, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.manual_seed(0)
    network = create_model("plainnet")
    network(torch.randn(16, 3, 64, 64))  # statistics of batch norm other than 0 and 1
    nn.init.normal_(network.head[-1].weight, std=3.0)
    export, run_file = EXPORTS[kind]
    differences = export(loaded(network, 64), tmp_path / "model")
    assert set(differences) == {"rotation", "euler_deg", "entropy"} and max(differences.values()) < 1e-2
    for batch in (1, 5):
        image = torch.randn(batch, 3, 64, 64)
        with torch.no_grad():
            expected = MatrixFisher(network(image).unflatten(-1, (3, 3)))
        rotation, euler, entropy = run_file(tmp_path / "model", image)
        torch.testing.assert_close(rotation, expected.mode(), rtol=0, atol=1e-4)
        torch.testing.assert_close(entropy, expected.entropy(), rtol=0, atol=1e-4)
        assert euler.shape == (batch, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not caplog.records, "the exporters' progress is of no use to who exports"


def test_a_reparametrized_network_is_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(repvgg, "STAGES", ((16, 2), (16, 2), (32, 2), (64, 1)))
    network = create_model("repvgg").eval()
    export_onnx(loaded(network, 32), tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 8
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = MatrixFisher(network(image).unflatten(-1, (3, 3)))
    torch.testing.assert_close(run_onnx(tmp_path / "a.onnx", image)[0], expected.mode(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind, name, size", [("torchscript", "tinyvit", 64), ("onnx", "timm:test_vit", 160)])
def test_transformers_are_exported(kind, name, size, tmp_path):
    torch.manual_seed(0)
    network = create_model(name).eval()
    head = next(module for module in network.modules() if isinstance(module, nn.Sequential) and len(module) == 8)
    nn.init.normal_(head[-1].weight, std=3.0)
    export, run_file = EXPORTS[kind]
    export(loaded(network, size), tmp_path / "model")
    image = torch.randn(5, 3, size, size)
    with torch.no_grad():
        expected = MatrixFisher(network(image).unflatten(-1, (3, 3)))
    rotation, _, entropy = run_file(tmp_path / "model", image)
    torch.testing.assert_close(rotation, expected.mode(), rtol=0, atol=1e-4)
    torch.testing.assert_close(entropy, expected.entropy(), rtol=0, atol=1e-4)


class Undecided(nn.Module):
    def forward(self, image):
        return image[..., 0 if image.sum() > 0 else 1].flatten(1)


class Random(nn.Module):
    def forward(self, image):
        return image[..., 0].flatten(1) + torch.rand(())


@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_what_does_not_agree_with_pytorch_is_not_written(export, tmp_path):
    (tmp_path / "model").write_bytes(b"the one before")
    for network in (Undecided(), Random()):
        with pytest.raises(ConfigError, match=r"model.*(differs|exported)"):
            export(loaded(network, 3), tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"the one before"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ConfigError, match=r"nowhere.model"):
        export(loaded(FirstColumn(), 3), tmp_path / "nowhere" / "model")


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match="pip install onnx"):
        export_onnx(loaded(FirstColumn(), 3), tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small model that isn't sure of the same pose for every picture, as a checkpoint and as an ONNX file."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(1)
    student, teacher = create_model("plainnet"), create_model("plainnet")
    for network in (student, teacher):
        network(torch.randn(16, 3, 64, 64))
        nn.init.normal_(network.head[-1].weight, std=5.0)
    described = describe(loaded(teacher, 64).description)
    states = {"model_state_dict": student.state_dict(), "model_state_dict_ema": teacher.state_dict()}
    save_checkpoint(folder / "last.pth", {"description": described, **states})
    command = [str(folder / "last.pth"), "--onnx", str(folder / "a.onnx"), "--torchscript", str(folder / "a.pt")]
    assert run(export_cli.main, command) == 0
    return folder, student.eval(), teacher.eval()


def test_command_line(checkpoint, tmp_path, capsys):
    folder, student, teacher = checkpoint
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        modes = {net: MatrixFisher(net(image).unflatten(-1, (3, 3))).mode() for net in (student, teacher)}
    for run_file, name in ((run_onnx, "a.onnx"), (run_torchscript, "a.pt")):
        torch.testing.assert_close(run_file(folder / name, image)[0], modes[teacher], rtol=0, atol=1e-4)
    model = onnx.load(folder / "a.onnx")
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["network"] == "plainnet" and properties["image_size"] == "64"
    assert properties["convention"] == "head_to_camera" and properties["full_range"] == "True"

    command = [str(folder / "last.pth"), "--student", "--torchscript", str(tmp_path / "s.pt")]
    assert run(export_cli.main, command) == 0
    assert "largest differences from PyTorch" in capsys.readouterr().out
    torch.testing.assert_close(run_torchscript(tmp_path / "s.pt", image)[0], modes[student], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--onnx --torchscript"),
        (["--onnx", "nowhere/a.onnx"], "--onnx nowhere/a.onnx"),
        (["--onnx", "a.onnx", "--network", "resnet5O"], "did you mean resnet50"),
        (["--onnx", "a.onnx", "--network", "resnet50"], "plainnet"),
        (["--onnx", "a.onnx", "--convention", "mine"], "--convention"),
        (["--weights", "a.pth", "--onnx", "nowhere/a.onnx"], "--onnx nowhere/a.onnx"),
        (["--weights", "a", "--onnx", "./a"], "--weights --onnx a"),
    ],
)
def test_command_line_bad_input(arguments, words, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert says(refused(capsys, export_cli.main, [checkpoint[0] / "last.pth", *arguments]), words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "network, distribution, option, words",
    [
        ("onestage:timm:lcnet_035", "matrixFisher", "--torchscript", "--onnx"),
        ("onestage:timm:lcnet_035", "gramSchmidt", "--onnx", "gramSchmidt"),
        ("plainnet", "gramSchmidt", "--onnx", "gramSchmidt"),
    ],
)
def test_nothing_is_written_if_a_part_cannot_be(network, distribution, option, words, tmp_path, capsys):
    described = describe(Description(network, distribution, "head_to_camera", True, 64, "", ""))
    weights = create_model(network).state_dict()
    states = {"model_state_dict": weights, "model_state_dict_ema": weights}
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"description": described, **states})
    command = [str(path), "--weights", str(tmp_path / "a.pth"), option, str(tmp_path / "b")]
    assert words in refused(capsys, export_cli.main, command)
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_is_not_replaced_by_its_weights(checkpoint, capsys):
    path = checkpoint[0] / "last.pth"
    before = path.read_bytes()
    error = refused(capsys, export_cli.main, [path, "--weights", path.parent / "." / "last.pth"])
    assert "--weights" in error
    assert path.read_bytes() == before


def picture_of(path, height, width):
    """A smooth picture with a bright disc, as RGB; written without loss."""
    y, x = np.mgrid[:height, :width]
    channels = [128 + 100 * np.sin(x / 17 + k) * np.cos(y / 23 - k) for k in range(3)]
    picture = np.stack(channels, -1).astype(np.uint8)
    cv2.circle(picture, (width // 2, height // 2), height // 5, (250, 200, 160), -1)
    cv2.imwrite(str(path), picture[..., ::-1])
    return picture


def run_example(*arguments):
    """The example, in a process in which neither torch nor this package can be imported."""
    blocked = "import runpy, sys; sys.modules.update(dict.fromkeys(('torch', 'semiuhpe', 'PIL', 'scipy'))); "
    code = blocked + f"sys.argv[0] = {str(EXAMPLE)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_the_example_gives_the_models_pose(checkpoint, tmp_path):
    folder, _, teacher = checkpoint
    picture = picture_of(tmp_path / "crop.png", 64, 64)
    result = run_example(folder / "a.onnx", tmp_path / "crop.png")
    assert result.returncode == 0, result.stderr
    numbers = [float(x) for x in re.findall(r"-?\d+\.\d+", result.stdout)]
    assert re.match(r"pitch .* yaw .* roll .* entropy .*", result.stdout)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        pose = MatrixFisher(teacher(normalize(image)).unflatten(-1, (3, 3)))
    assert numbers[:3] == pytest.approx(matrix_to_euler(pose.mode(), True)[0].tolist(), abs=0.01)
    assert numbers[3] == pytest.approx(pose.entropy().item(), abs=0.002)


def test_the_examples_crop_is_the_projects(tmp_path):
    spec = importlib.util.spec_from_file_location("onnx_inference", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    picture = picture_of(tmp_path / "p.png", 240, 320)
    for box in ([100, 60, 80, 110], [-20, -10, 90, 70], [250, 150, 100, 80], [110.5, 70.25, 40, 31.5]):
        crop = example.crop_by_box(picture, box)
        np.testing.assert_array_equal(crop, crop_by_box(picture, box, size=None))
        for size in (64, 224):
            ours = crop_by_box(picture, box, size=size).astype(np.float32) / 255
            ours = (ours - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
            theirs = example.network_input(crop, size)
            assert theirs.shape == (1, 3, size, size) and theirs.dtype == np.float32
            assert np.abs(theirs[0].transpose(1, 2, 0) - ours).mean() < 0.02  # about one gray level


def test_the_example_takes_a_box_and_refuses_bad_input(checkpoint, tmp_path):
    model = checkpoint[0] / "a.onnx"
    picture_of(tmp_path / "p.png", 240, 320)
    result = run_example(model, tmp_path / "p.png", "--box", 100, 60, 80, 110)
    assert result.returncode == 0 and result.stdout.startswith("pitch")
    for arguments, words in (
        ((model, tmp_path / "p.png", "--box", 400, 60, 80, 110), "--box"),
        ((model, tmp_path / "p.png", "--box", 40, 60, 0, 110), "--box"),
        ((model, EXAMPLE), EXAMPLE.name),
        ((tmp_path / "no.onnx", tmp_path / "p.png"), "model"),
        ((EXAMPLE, tmp_path / "p.png"), "model"),
    ):
        result = run_example(*arguments)
        assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr
