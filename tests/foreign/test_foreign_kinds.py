"""Networks of others: their files by the names of their authors, and what their numbers mean."""

import h5py
import numpy as np
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto
from support.errors import says
from support.foreign_files import spike, uniform, write_onnx

from semiuhpe import HeadPoseEstimator
from semiuhpe.errors import CheckpointError
from semiuhpe.foreign import load_model
from semiuhpe.foreign.kinds import KINDS
from semiuhpe.models.repvgg import RepVGG, reparametrize
from semiuhpe.rotation import euler_to_matrix, from_300wlp, geodesic_deg, matrix_to_euler

EULER = torch.tensor([12.0, -39.0, 21.0], dtype=torch.float64)  # pitch, yaw, roll; multiples of three


def predicted(name, posed=True):
    """The rotation that a network predicts for a gray picture, and its description."""
    loaded = load_model(name)
    with torch.inference_mode():
        output = loaded.model(torch.zeros(2, 3, loaded.image_size, loaded.image_size))
    assert output.shape == (2, 9)
    if posed:
        poses = HeadPoseEstimator(loaded, "cpu").predict_crops([np.full((20, 20, 3), 120, np.uint8)])
        assert np.isfinite(poses.rotations).all()
    return output[0].reshape(3, 3).double(), loaded


def resnet50():
    return {key: value for key, value in torchvision.models.resnet50().state_dict().items() if key[:3] != "fc."}


def heads(width, biases):
    weights = {f"{name}.weight": torch.zeros(len(bias), width) for name, bias in biases.items()}
    return weights | {f"{name}.bias": bias for name, bias in biases.items()}


def bin_of(angle, offset=-99.0):
    return spike(66, int((angle - offset) / 3))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_hopenet(tmp_path, prefix):
    pitch, yaw, roll = EULER.tolist()
    weights = resnet50() | heads(2048, {"fc_yaw": bin_of(yaw), "fc_pitch": bin_of(pitch), "fc_roll": bin_of(roll)})
    weights |= {"fc_finetune.weight": torch.zeros(3, 2051), "fc_finetune.bias": torch.zeros(3)}
    path = tmp_path / "hopenet_alpha1.pkl"
    torch.save({prefix + name: value for name, value in weights.items()}, path)
    rotation, loaded = predicted(f"hopenet:{path}")
    torch.testing.assert_close(matrix_to_euler(rotation), EULER, atol=1e-3, rtol=0)
    assert loaded.network == "foreign:hopenet" and not loaded.full_range and loaded.facts.colors == "rgb"


def lightweight_stage(inputs, outputs, kernel):
    wide = 2 * inputs
    layers = {
        "exp_conv": ((wide, inputs // 4, 1, 1), wide),
        "dw_conv": ((wide, 1, kernel, kernel), wide),
        "pw_conv": ((outputs, wide, 1, 1), outputs),
    }
    weights = {}
    for name, (shape, width) in layers.items():
        weights[f"{name}.0.weight"] = uniform(shape)
        weights |= {f"{name}.1.{key}": value for key, value in batch_norm(width).items()}
    return weights


def batch_norm(width):
    ones, zeros = torch.ones(width), torch.zeros(width)
    values = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
    return values | {"num_batches_tracked": torch.tensor(0)}


def test_lightweight(tmp_path):
    weights = {"features.0.0.weight": uniform((16, 3, 3, 3))}
    weights |= {f"features.0.1.{key}": value for key, value in batch_norm(16).items()}
    stages = [(16, 32, 3), (32, 64, 3), (64, 96, 3), (96, 96, 5), (96, 128, 5), (128, 128, 5), (128, 128, 3)]
    for number, stage in enumerate(stages, 1):
        weights |= {f"features.{number}.{key}": value for key, value in lightweight_stage(*stage).items()}
    pitch, yaw, roll = (EULER + 1.5).tolist()
    angles = {"fc_yaw": yaw, "fc_pitch": pitch, "fc_roll": roll}
    weights |= heads(128, {name: bin_of(angle, offset=-97.5) for name, angle in angles.items()})
    torch.save(weights, tmp_path / "model-b66.pkl")
    rotation, _ = predicted(f"lightweight:{tmp_path / 'model-b66.pkl'}")
    torch.testing.assert_close(matrix_to_euler(rotation), EULER + 1.5, atol=1e-3, rtol=0)


def six_numbers(rotation):
    """The first two columns of a matrix, scaled and skewed: only the rotation that they span counts."""
    first, second = rotation[:, 0], rotation[:, 1]
    return torch.cat([2.0 * first, 0.5 * second + 0.3 * first]).float()


def label_300wlp(pitch, yaw, roll):
    """R_300wlp of labels in degrees, by 3DDFA's own formula: the transpose of Rx Ry Rz, with y upward."""
    (cp, cy, cr), (sp, sy, sr) = np.cos(np.radians([pitch, yaw, roll])), np.sin(np.radians([pitch, yaw, roll]))
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return torch.from_numpy((about_x @ about_y @ about_z).T)


@pytest.mark.parametrize("merged", [True, False])
def test_6drepnet(tmp_path, merged):
    network = RepVGG()
    network = reparametrize(network) if merged else network
    weights = {
        name.replace(".merged.", ".rbr_reparam."): value
        for name, value in network.state_dict().items()
        if not name.startswith("linear_reg.")
    }
    weights |= heads(2048, {"linear_reg": six_numbers(label_300wlp(*EULER))})
    torch.save({"model_state_dict": weights} if merged else weights, tmp_path / "6DRepNet.pth")
    rotation, _ = predicted(f"6drepnet:{tmp_path / '6DRepNet.pth'}")
    torch.testing.assert_close(matrix_to_euler(rotation), EULER, atol=1e-3, rtol=0)


def test_6drepnet360_is_full_range(tmp_path):
    away = label_300wlp(10.0, 160.0, -20.0)
    torch.save(resnet50() | heads(2048, {"linear_reg": six_numbers(away)}), tmp_path / "360.pth")
    rotation, loaded = predicted(f"6drepnet360:{tmp_path / '360.pth'}")
    assert geodesic_deg(rotation, from_300wlp(away)) < 0.01 and loaded.full_range


def keras_layout(name, value):
    if value.ndim == 2:
        return value.T.numpy()
    if value.ndim == 4:
        return value.permute(2, 3, 0, 1).numpy() if "conv_dw" in name else value.permute(2, 3, 1, 0).numpy()
    return value.numpy()


def write_whenet(path, biases):
    """The layout of Keras' weights: a group for each layer, with its arrays, in the order of the network."""
    state = timm.create_model("tf_efficientnet_b0", num_classes=0).state_dict()
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    with h5py.File(path, "w") as file:
        names = []
        for name, value in state.items():
            layer = f"layer_{len(names)}"
            array = keras_layout(name, value)
            file.create_group(layer).create_dataset("weight:0", data=array)
            file[layer].attrs["weight_names"] = [b"weight:0"]
            names.append(layer.encode())
        for name, bias in biases.items():
            group = file.create_group(name)
            group.create_dataset("kernel:0", data=np.zeros((1280, len(bias)), np.float32))
            group.create_dataset("bias:0", data=bias.numpy())
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            names.append(name.encode())
        file.attrs["layer_names"] = names
    return path


def test_whenet(tmp_path):
    yaw_bin = spike(120, int((150 + 180) / 3))
    path = write_whenet(tmp_path / "WHENet.h5", {"yaw_new": yaw_bin, "pitch_new": bin_of(9), "roll_new": bin_of(-6)})
    rotation, loaded = predicted(f"whenet:{path}")
    expected = torch.tensor([9.0, 150.0, -6.0], dtype=torch.float64)
    torch.testing.assert_close(matrix_to_euler(rotation, full_range=True), expected, atol=1e-3, rtol=0)
    own = {name: value for name, value in loaded.model.networks[0].features.state_dict().items() if "num_b" not in name}
    with h5py.File(path) as file:
        written = [file[f"layer_{number}"]["weight:0"][()] for number in range(len(own))]
    for (name, value), array in zip(own.items(), written, strict=True):
        assert np.array_equal(keras_layout(name, value), array), name


MEAN = """
3.4926363e-04 2.5279013e-07 -6.8751979e-07 60.167957 -6.2955132e-07 5.7572004e-04
-5.0853912e-05 74.278198 5.4009172e-07 6.5741384e-05 3.4420125e-04 -66.671577
"""
STD = """
1.76321526e-04 6.73794348e-05 4.47084894e-04 26.5502319 1.23137695e-04 4.49302170e-05
7.92367064e-05 6.98256302 4.35044407e-04 1.23148900e-04 1.74000015e-04 20.8030396
"""


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_3ddfa_v2(tmp_path, width):
    channels = int(32 * width)
    weights = {"conv1.weight": uniform((channels, 3, 3, 3))}
    weights |= {f"bn1.{key}": value for key, value in batch_norm(channels).items()}
    sizes = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    names = ["dw2_1", "dw2_2", "dw3_1", "dw3_2", "dw4_1", "dw4_2", *(f"dw5_{n}" for n in range(1, 7)), "dw6"]
    for name, size in zip(names, sizes, strict=True):
        outputs = int(size * width)
        weights[f"{name}.conv_dw.weight"] = uniform((channels, 1, 3, 3))
        weights[f"{name}.conv_sep.weight"] = uniform((outputs, channels, 1, 1))
        weights |= {f"{name}.bn_dw.{key}": value for key, value in batch_norm(channels).items()}
        weights |= {f"{name}.bn_sep.{key}": value for key, value in batch_norm(outputs).items()}
        channels = outputs
    pose = torch.cat([4e-4 * label_300wlp(*EULER).T.float(), torch.tensor([[60.0], [70.0], [-60.0]])], dim=1).flatten()
    mean, std = (torch.tensor([float(number) for number in text.split()]) for text in (MEAN, STD))
    bias = torch.cat([(pose - mean) / std, torch.zeros(50)])
    weights |= {"fc_param.weight": torch.zeros(62, channels), "fc_param.bias": bias}
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "mb.pth")
    rotation, loaded = predicted(f"3ddfa_v2:{tmp_path / 'mb.pth'}")
    torch.testing.assert_close(matrix_to_euler(rotation), EULER, atol=0.01, rtol=0)
    assert loaded.image_size == 120


def test_fsanet_averages_its_files(tmp_path):
    first, second = (write_onnx(tmp_path / f"{factor}.onnx", factor=factor) for factor in (20.0, 40.0))
    loaded = load_model(f"fsanet:{first},{second}")
    color = torch.tensor([200.0, 100.0, 50.0])  # red, green, blue
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    picture = ((color / 255 - mean) / std)[None, :, None, None].expand(3, 3, 64, 64)
    yaw, pitch, roll = (30 * (color.flip(0) - 127.5) / 128).tolist()
    expected = euler_to_matrix(torch.tensor([pitch, yaw, roll]))
    torch.testing.assert_close(loaded.model(picture)[2].reshape(3, 3), expected, atol=1e-4, rtol=0)


def test_channels_last_and_larger_batches(tmp_path):
    last = load_model(f"fsanet:{write_onnx(tmp_path / 'last.onnx', channels_last=True)}")
    many = load_model(f"fsanet:{write_onnx(tmp_path / 'many.onnx', batch='N')}")
    picture = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(last.model(picture), many.model(picture))


def test_kinds_of_onnx_files(tmp_path):
    rotation, loaded = predicted(f"yakhyo:{write_onnx(tmp_path / 'r18.onnx', 224, 9, batch='N')}")
    assert loaded.network == "foreign:yakhyo" and abs(float(torch.linalg.det(rotation)) - 1) < 1e-4
    # Its six numbers are two equal vectors, which are no rotation.
    _, loaded = predicted(f"dad3dnet:{write_onnx(tmp_path / 'dad.onnx', 256, 413)}", posed=False)
    assert loaded.full_range and loaded.facts.box_of == "head"
    _, loaded = predicted(f"3ddfa_v2:{write_onnx(tmp_path / 'mb1.onnx', 120, 62)}")
    assert loaded.facts.colors == "bgr"


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another_network(tmp_path, kind):
    other = tmp_path / "other"
    torch.save({"fc.weight": torch.zeros(3, 4)}, other)
    with pytest.raises(CheckpointError) as error:
        load_model(f"{kind}:{other}")
    assert says(str(error.value), str(other)) and "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match=r"none\.pth"):
        load_model(f"{kind}:{tmp_path / 'none.pth'}")


@pytest.mark.parametrize("kind, outputs", [("fsanet", 4), ("yakhyo", 3), ("dad3dnet", 62), ("3ddfa_v2", 413)])
def test_onnx_files_of_another_network(tmp_path, kind, outputs):
    size = KINDS[kind].facts.size
    path = write_onnx(tmp_path / "net.onnx", size, outputs)
    with pytest.raises(CheckpointError, match=rf"net\.onnx.*\(1, {outputs}\)"):
        load_model(f"{kind}:{path}")
    smaller = write_onnx(tmp_path / "small.onnx", size // 2, outputs)
    with pytest.raises(CheckpointError, match=rf"small\.onnx.*{size} px"):
        load_model(f"{kind}:{smaller}")


def test_onnx_files_that_can_not_be_run(tmp_path):
    for name, changes in {"four": {"batch": 4}, "bytes": {"kind": TensorProto.UINT8}, "flat": {"flat": True}}.items():
        path = write_onnx(tmp_path / f"{name}.onnx", **changes)
        with pytest.raises(CheckpointError, match=rf"{name}\.onnx") as error:
            load_model(f"fsanet:{path}")
        assert "\n" not in str(error.value)


def test_a_file_of_weights_runs_no_code(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"state_dict": Harm()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        load_model(f"6drepnet360:{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "harm").exists()
