"""Our checkpoints and the released ones: what loading gives, and what it refuses."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.errors import refused

from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli.entry import run
from semiuhpe.errors import CheckpointError
from semiuhpe.models import checkpoint, create_model, find_checkpoint, load_checkpoint, save_checkpoint
from semiuhpe.models.checkpoint import read_checkpoint, save_weights
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import from_300wlp

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
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")
    assert "was run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("as_zip", [True, False])
def test_truncated_checkpoint(as_zip, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    path = tmp_path / "a.pth"
    torch.save(released(network, network), path, _use_new_zipfile_serialization=as_zip)
    assert read_checkpoint(path)["clock"]["minibatch"] == 7
    content = path.read_bytes()
    for length in np.linspace(0, len(content) - 1, 100).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"a\.pth: .*(truncated|weights)"):
            read_checkpoint(path)


@pytest.fixture
def safetensors(tmp_path):
    """A checkpoint, and the file of safetensors of its teacher."""
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(create_model("plainnet"), create_model("plainnet")))
    loaded = load_checkpoint(tmp_path / "a.pth")
    save_weights(loaded, tmp_path / "b.safetensors")
    return loaded, tmp_path / "b.safetensors"


def test_safetensors_hold_a_model_in_half_precision(safetensors):
    loaded, path = safetensors
    for role in (True, False):
        stored = load_checkpoint(path.with_suffix(""), teacher=role)
        assert stored.path == path and stored.description == loaded.description and stored.metrics == loaded.metrics
        expected = {
            name: value.half().float() if value.is_floating_point() else value
            for name, value in loaded.model.state_dict().items()
        }
        torch.testing.assert_close(stored.model.state_dict(), expected, rtol=0, atol=0)
    assert path.stat().st_size < 0.55 * sum(value.nbytes for value in loaded.model.state_dict().values())
    assert [file.name for file in path.parent.iterdir() if "partial" in file.name] == []


def test_damaged_safetensors_are_refused(safetensors, tmp_path):
    path, content = tmp_path / "c.safetensors", safetensors[1].read_bytes()
    for length in np.linspace(0, len(content) - 1, 50).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"c\.safetensors: is truncated, damaged or not"):
            read_checkpoint(path)
    for place in np.linspace(len(content) // 3, len(content) - 1, 5).astype(int):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match=r"c\.safetensors.*checksum"):
            read_checkpoint(path)
    save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"c\.safetensors.*no description"):
        load_checkpoint(path)


def test_weights_beyond_half_precision_are_not_written(safetensors, tmp_path):
    loaded, _ = safetensors
    next(loaded.model.parameters()).data[0] = 1e6
    with pytest.raises(CheckpointError, match=r"a\.pth.* is beyond half precision.*\.pth"):
        save_weights(loaded, tmp_path / "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()


def test_checkpoint_of_another_network(tmp_path):
    network = create_model("plainnet")
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(network, network, network="resnet18"))
    with pytest.raises(CheckpointError, match=r"a\.pth.*--network resnet18"):
        load_checkpoint(tmp_path / "a.pth")


def test_missing_checkpoint_and_missing_description(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        load_checkpoint(tmp_path / "a.pth")
    save_checkpoint(tmp_path / "a.pth", {"model_state_dict_ema": {}})
    with pytest.raises(CheckpointError, match=r"a\.pth.*model_state_dict\b"):
        load_checkpoint(tmp_path / "a.pth")
    network = create_model("plainnet")
    for description in ({"network": "plainnet"}, "plainnet", DESCRIPTION | {"network": 5}):
        save_checkpoint(tmp_path / "a.pth", checkpoint_of(network, network) | {"description": description})
        with pytest.raises(CheckpointError, match="description"):
            load_checkpoint(tmp_path / "a.pth")


def released(student, teacher, prefix="", **more):
    """What the paper's code saves."""
    return {
        "clock": {"epoch": np.int64(3), "minibatch": 7, "iteration": np.float64(21)},
        "model_state_dict": {prefix + key: value for key, value in student.state_dict().items()},
        "model_state_dict_ema": {prefix + key: value for key, value in teacher.state_dict().items()},
        "optimizer_state_dict": torch.optim.Adam(student.parameters()).state_dict(),
    } | more


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("network", ["resnet18", "mobilenet", "tinyvit"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_checkpoints_are_recognised(network, prefix, tmp_path):
    student, teacher = create_model(network), create_model(network)
    path = tmp_path / "DAD-WildHead-AnyName-best.pth"
    torch.save(released(student, teacher, prefix), path)
    loaded = load_checkpoint(path)
    assert (loaded.network, loaded.convention, loaded.full_range) == (network, "head_to_camera", True)
    assert (loaded.image_size, loaded.train_labeled, loaded.train_unlabeled) == (224, "DAD3DHeads", "WildHead")
    torch.testing.assert_close(loaded.model.state_dict(), teacher.state_dict())
    of_student = load_checkpoint(path, teacher=False).model.state_dict()
    torch.testing.assert_close(of_student, student.state_dict())


def test_networks_are_told_apart(tmp_path):
    for network in ("resnet50", "effinetv2", "repvgg", "effinet", "plainnet"):
        with torch.device("meta"):
            state = create_model(network).state_dict()
        assert checkpoint.recognize_network(state, "x") == network


def test_front_range_models_predict_r_300wlp(tmp_path):
    network = create_model("plainnet").eval()
    torch.save(released(network, network), tmp_path / "300WLP-COCOHead-PlainNet-best.pth")
    loaded = load_checkpoint(tmp_path / "300WLP-COCOHead-PlainNet-best.pth")
    assert (loaded.convention, loaded.full_range, loaded.train_labeled) == ("300wlp", False, "300WLP")
    with torch.no_grad():
        output = loaded.model(torch.randn(2, 3, 64, 64))
    parameter = PoseDecoder(loaded.description)(output).parameter
    torch.testing.assert_close(parameter, from_300wlp(output.unflatten(-1, (3, 3))))


def test_nothing_is_guessed_about_the_convention(tmp_path):
    network = create_model("plainnet")
    torch.save(released(network, network), tmp_path / "best.pth")
    with pytest.raises(CheckpointError, match="--convention 300wlp"):
        load_checkpoint(tmp_path / "best.pth")
    front = load_checkpoint(tmp_path / "best.pth", convention="300wlp")
    assert (front.convention, front.full_range, front.train_labeled) == ("300wlp", False, "")
    full = load_checkpoint(tmp_path / "best.pth", convention="head_to_camera")
    assert (full.convention, full.full_range) == ("head_to_camera", True)
    assert load_checkpoint(tmp_path / "best.pth", convention="300wlp", full_range=True).full_range
    with pytest.raises(CheckpointError, match=r"300WLP.*head_to_camera, 300wlp"):
        load_checkpoint(tmp_path / "best.pth", convention="300WLP")


def test_arguments_override_a_name_and_a_description(tmp_path):
    network = create_model("plainnet")
    torch.save(released(network, network), tmp_path / "DAD-A-B-best.pth")
    loaded = load_checkpoint(tmp_path / "DAD-A-B-best.pth", convention="300wlp", full_range=False)
    assert (loaded.convention, loaded.full_range) == ("300wlp", False)
    with pytest.raises(CheckpointError, match=r"best\.pth.*--network resnet18"):
        load_checkpoint(tmp_path / "DAD-A-B-best.pth", network="resnet18")
    save_checkpoint(tmp_path / "ours.pth", checkpoint_of(network, network))
    assert load_checkpoint(tmp_path / "ours.pth", convention="300wlp").convention == "300wlp"
    with pytest.raises(CheckpointError, match=r"ours\.pth.*plainnet"):
        load_checkpoint(tmp_path / "ours.pth", network="resnet18")


def test_weights_of_no_known_network(tmp_path):
    network = torch.nn.Linear(2, 9)
    torch.save(released(network, network), tmp_path / "DAD-A-B-best.pth")
    with pytest.raises(CheckpointError, match=r"best\.pth.*network"):
        load_checkpoint(tmp_path / "DAD-A-B-best.pth")


def test_a_checkpoint_without_teacher(tmp_path):
    network = create_model("plainnet")
    content = released(network, network)
    del content["model_state_dict_ema"]
    torch.save(content, tmp_path / "DAD-A-B-best.pth")
    with pytest.raises(CheckpointError, match=r"best\.pth.*model_state_dict_ema"):
        load_checkpoint(tmp_path / "DAD-A-B-best.pth")
    assert load_checkpoint(tmp_path / "DAD-A-B-best.pth", teacher=False).network == "plainnet"
    torch.save(content | {"model_state_dict": {"a": 1}}, tmp_path / "DAD-A-B-best.pth")
    with pytest.raises(CheckpointError, match=r"best\.pth.*model_state_dict\b"):
        load_checkpoint(tmp_path / "DAD-A-B-best.pth", teacher=False)


def test_numbers_of_old_numpy_are_read(tmp_path):
    torch.save({"model_state_dict": {}, "clock": {"epoch": np.float32(2.5), "done": np.bool_(True)}}, tmp_path / "new")
    with zipfile.ZipFile(tmp_path / "new") as source, zipfile.ZipFile(tmp_path / "old.pth", "w") as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    for name in ("new", "old.pth"):
        assert read_checkpoint(tmp_path / name)["clock"] == {"epoch": 2.5, "done": True}


def test_released_names_are_found_in_weights(in_folder):
    network = create_model("plainnet")
    (in_folder / "weights").mkdir()
    torch.save(released(network, network), in_folder / "weights" / "DAD-COCOHead-ResNet50-best.pth")
    for name in ("DAD-COCOHead-ResNet50-best", "DAD-COCOHead-ResNet50-best.pth"):
        assert load_checkpoint(name).path == Path("weights/DAD-COCOHead-ResNet50-best.pth")


def test_runs_are_found_by_name(in_folder):
    network = create_model("plainnet")
    folder = in_folder / "exps" / "one" / "detail" / "Jan01_000000"
    folder.mkdir(parents=True)
    save_checkpoint(folder / "best.pth", checkpoint_of(network, network))
    assert load_checkpoint("detail/Jan01_000000/best").network == "plainnet"
    assert find_checkpoint(folder / "best") == folder / "best.pth"
    other = in_folder / "exps" / "two" / "detail" / "Jan01_000000"
    other.mkdir(parents=True)
    save_checkpoint(other / "best.pth", checkpoint_of(network, network))
    with pytest.raises(CheckpointError, match="detail/Jan01_000000/best"):
        find_checkpoint("detail/Jan01_000000/best")
    with pytest.raises(CheckpointError, match="DAD-COCOHead-ResNet50-best"):
        find_checkpoint("")


def test_a_released_checkpoint_can_be_evaluated(tmp_path, stores, capsys):
    torch.manual_seed(0)  # by chance, a random network may predict much the same in both conventions
    network = create_model("plainnet")
    torch.save(released(network, network), tmp_path / "DAD-A-B-best.pth")
    torch.save(released(network, network), tmp_path / "unnamed.pth")
    store = ["--test_set", str(stores["test"])]
    assert run(evaluate_cli.main, [str(tmp_path / "DAD-A-B-best.pth"), *store]) == 0
    results = json.loads((tmp_path / "eval_test.json").read_text())["results"]
    assert results["teacher"]["geodesic_mean_deg"] == pytest.approx(results["student"]["geodesic_mean_deg"])
    assert "--convention" in refused(capsys, evaluate_cli.main, [tmp_path / "unnamed.pth", *store])
    assert run(evaluate_cli.main, [str(tmp_path / "unnamed.pth"), *store, "--convention", "300wlp"]) == 0
    turned = json.loads((tmp_path / "eval_test.json").read_text())["results"]["teacher"]
    assert abs(turned["geodesic_mean_deg"] - results["teacher"]["geodesic_mean_deg"]) > 1
