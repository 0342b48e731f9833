import json
import zlib

import numpy as np
import pytest
import torch

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.models import create_model, list_models, load_checkpoint, register_model, save_checkpoint
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.models.registry import _NETWORKS

DESCRIPTION = {
    "network": "plainnet", "distribution": "matrixFisher", "convention": "head_to_camera", "full_range": True,
    "image_size": 64, "train_labeled": "a", "train_unlabeled": "b",
}  # fmt: skip


def checkpoint_of(student, teacher, **description):
    return {
        "description": DESCRIPTION | description,
        "model_state_dict": student.state_dict(),
        "model_state_dict_ema": teacher.state_dict(),
        "metrics": {"student/geodesic_mean_deg": 5.0},
    }


@pytest.mark.parametrize("name", list_models())
def test_every_network_gives_nine_numbers(name):
    network = create_model(name).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 9)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet", "effinetv2"])
def test_layouts_are_those_of_the_released_checkpoints(name, reference):
    expected = json.loads((reference / "networks.json").read_text())[name]
    network = create_model(name).eval()
    state = network.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected["keys"]
    for key, value in state.items():
        state[key] = torch.as_tensor(fill(key, tuple(value.shape))).to(value.dtype)
    network.load_state_dict(state)
    image = np.random.RandomState(7).standard_normal((2, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(image)), expected["output"], atol=1e-3)


def fill(key, shape):
    """The deterministic filling that the reference outputs were made with."""
    z = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return np.array(1)
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(z)
    if key.endswith(("running_mean", "bias")):
        return 0.1 * z
    return 1 + 0.1 * z if len(shape) <= 1 else z / np.sqrt(np.prod(shape[1:]))


def test_unknown_network_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean resnet50"):
        create_model("resnet5O")


def test_networks_without_imagenet_weights_say_so():
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("plainnet", pretrained=True)


def test_unreachable_imagenet_weights_are_an_error_and_no_random_start(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("resnet18", pretrained=True)


def test_a_network_from_outside_is_registered_by_a_decorator():
    @register_model("outsider", has_pretrained=False)
    def outsider(pretrained):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(9))

    try:
        assert create_model("outsider")(torch.zeros(1, 3, 8, 8)).shape == (1, 9)
    finally:
        del _NETWORKS["outsider"]


def test_checkpoints_give_student_and_teacher(tmp_path):
    student, teacher = create_model("plainnet"), create_model("plainnet")
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(student, teacher))
    loaded = load_checkpoint(tmp_path / "a.pth")
    torch.testing.assert_close(loaded.model.state_dict(), teacher.state_dict())
    assert not loaded.model.training
    assert (loaded.network, loaded.image_size, loaded.convention) == ("plainnet", 64, "head_to_camera")
    assert loaded.metrics == {"student/geodesic_mean_deg": 5.0}
    loaded = load_checkpoint(tmp_path / "a.pth", teacher=False)
    torch.testing.assert_close(loaded.model.state_dict(), student.state_dict())


def test_a_failed_save_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pth", {"model_state_dict": {}, "step": 1})

    def full_disk(_, path):
        path.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(tmp_path / "a.pth", {"model_state_dict": {}, "step": 2})
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "a.pth")["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


class Foreign:
    def __reduce__(self):
        return print, ("code from a file was run",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    torch.save({"model_state_dict": {}, "evil": Foreign()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="not loaded"):
        read_checkpoint(tmp_path / "a.pth")
    assert "was run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


def test_truncated_checkpoint(tmp_path):
    network = create_model("plainnet")
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(network, network))
    content = (tmp_path / "a.pth").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "a.pth").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(CheckpointError, match=r"truncated|not a checkpoint"):
            read_checkpoint(tmp_path / "a.pth")


def test_checkpoint_of_another_network(tmp_path):
    network = create_model("plainnet")
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(network, network, network="resnet18"))
    with pytest.raises(CheckpointError, match="not a checkpoint of --network resnet18"):
        load_checkpoint(tmp_path / "a.pth")


def test_missing_checkpoint_and_missing_description(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "a.pth")
    save_checkpoint(tmp_path / "a.pth", {"model_state_dict": {}})
    with pytest.raises(CheckpointError, match="description"):
        load_checkpoint(tmp_path / "a.pth")
