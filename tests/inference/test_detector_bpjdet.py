import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support.detector_files import ARCHITECTURE, random_network, save_released
from torch import nn

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.detectors import load_detector
from semiuhpe.inference.detectors.bpjdet import BodyHeadDetector, build_network
from semiuhpe.inference.detectors.bpjdet_file import read_detector_file
from semiuhpe.inference.detectors.yolov5 import SPP, SPPF, Detect, YOLOv5


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """A small detector in the layout of the released ones."""
    path = tmp_path / "detector.pt"
    save_released(path, random_network(), monkeypatch)
    return path


def rewritten(path: Path, change) -> None:
    """Passes the pickle of a file through ``change``; all else stays."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(data) if name.endswith("/data.pkl") else data)


# ---- the network


def test_agrees_with_the_reference(reference):
    path = reference / "detector" / "bpj_tiny.pt"
    network = build_network(read_detector_file(path), path)
    inputs = torch.from_numpy(np.random.RandomState(11).rand(1, 3, 256, 320).astype(np.float32))
    expected = np.load(reference / "detector" / "bpj_tiny_expected.npz", allow_pickle=False)["output"]
    np.testing.assert_allclose(network(inputs).numpy(), expected, rtol=1e-3, atol=1e-5)


def test_the_reference_detector_runs_on_pictures(reference):
    detector = load_detector(f"bpjdet:{reference / 'detector' / 'bpj_tiny.pt'}", min_score=0.01)
    found = detector(np.random.RandomState(0).randint(0, 256, (301, 203, 3), np.uint8))
    assert len(found) and found.bodies.shape == found.boxes.shape
    assert (found.boxes[:, :2] >= 0).all() and (found.boxes[:, :2] + found.boxes[:, 2:] <= [203.001, 301.001]).all()
    assert (np.diff(found.scores) <= 0).all()


def test_a_written_detector_is_read_back(released):
    inputs = torch.rand(2, 3, 64, 96)
    network = build_network(read_detector_file(released), released)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), random_network()(inputs))


def test_the_average_and_half_precision_and_numpy_scores_are_read(tmp_path, monkeypatch):
    path = tmp_path / "detector.pt"
    fitness = {"best_fitness": np.array([0.5]), "fitness": np.float64(0.5)}
    save_released(path, random_network(1).half(), monkeypatch, key="ema", model=None, **fitness)
    inputs = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = build_network(read_detector_file(path), path)(inputs), random_network(1)(inputs)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.5)
    assert not torch.allclose(expected, random_network(2)(inputs), rtol=0.05, atol=0.5)


def test_boxes_are_decoded_as_in_yolov5():
    layer = Detect([4], [8], anchors=1, classes=2, offsets=2)
    layer.anchors.copy_(torch.tensor([[[2.0, 3.0]]]))  # 16 x 24 px
    nn.init.zeros_(layer.m[0].weight)
    raw = torch.logit(torch.tensor([0.75, 0.5, 0.5, 1 / 4, 0.9, 0.2, 0.8, 0.5, 0.75]))
    layer.m[0].bias.data.copy_(raw)
    boxes = layer([torch.zeros(1, 4, 2, 3)])
    assert boxes.shape == (1, 6, 9)
    # cell (row 1, column 2) of 8 px: (2 * 0.75 - 0.5 + 2) * 8, (2 * 0.5 - 0.5 + 1) * 8
    # its anchor: (2 * 0.5)^2 * 16, (2 / 4)^2 * 24
    torch.testing.assert_close(boxes[0, 5, :4], torch.tensor([24.0, 12.0, 16.0, 6.0]))
    torch.testing.assert_close(boxes[0, 5, 4:7], torch.tensor([0.9, 0.2, 0.8]))
    # 2 * 8 + 0 * 16, 1 * 8 + (4 * 0.75 - 2) * 24
    torch.testing.assert_close(boxes[0, 5, 7:], torch.tensor([16.0, 32.0]))


def test_pooling_three_times_is_pooling_over_larger_windows():
    fast, slow = SPPF(4, 8, 5).eval(), SPP(4, 8, (5, 9, 13)).eval()
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(1, 4, 20, 20)
    torch.testing.assert_close(fast(x), slow(x))


def test_the_stem_of_later_versions_has_its_own_padding():
    backbone = [[-1, 1, "Conv", [32, 6, 2, 2]], *ARCHITECTURE["backbone"][1:4], [-1, 1, "SPPF", [64, 5]]]
    network = YOLOv5(ARCHITECTURE | {"backbone": backbone}, classes=2, offsets=2).eval()
    assert network.stride == 8 and network.model[-1].strides == (4, 8)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2 * (16 * 16 + 8 * 8), 9)


# ---- heads and bodies


class Fixed(nn.Module):
    """A network with a prepared output."""

    stride = 64

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.tensor(rows), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output.expand(len(x), *self.output.shape)


BODY, HEAD = [0.9, 1.0, 0.0], [0.9, 0.0, 1.0]
CROWD = [
    [400, 600, 200, 400, *BODY, 0, 0],
    [560, 600, 200, 400, *BODY, 0, 0],
    [480, 440, 40, 60, *HEAD, 560, 610],  # inside both bodies, belongs to the right one
    [470, 440, 40, 60, 0.8, 0.0, 1.0, 400, 590],  # inside both, to the left one
    [470, 441, 40, 60, 0.7, 0.0, 1.0, 400, 590],  # the same head again
    [1000, 440, 40, 60, 0.6, 0.0, 1.0, 1000, 600],  # no body there
    [480, 700, 40, 60, 0.3, 0.0, 1.0, 400, 600],  # below the threshold
]


def test_heads_find_their_bodies():
    # 768 px are scaled by 2, to 1536: half of the input's coordinates are the image's
    image = np.zeros((768, 768, 3), np.uint8)
    found = BodyHeadDetector(Fixed(CROWD), head=1, body=0, min_score=0.45, paired=False)(image)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(found.boxes, [[230, 205, 20, 30], [225, 205, 20, 30], [490, 205, 20, 30]], atol=1e-3)
    np.testing.assert_allclose(found.bodies[:2], [[230, 200, 100, 200], [150, 200, 100, 200]], atol=1e-3)
    assert np.isnan(found.bodies[2]).all()
    paired = BodyHeadDetector(Fixed(CROWD), head=1, body=0, min_score=0.45, paired=True)(image)
    np.testing.assert_array_equal(paired.boxes, found.boxes[:2])


def test_images_of_several_sizes_and_without_heads():
    detector = BodyHeadDetector(Fixed(CROWD), head=1, body=0, min_score=0.45, paired=False)
    images = [np.zeros((h, w, 3), np.uint8) for h, w in [(768, 768), (1536, 1536), (768, 768), (600, 800)] * 2]
    for image, found in zip(images, detector.batch(images), strict=True):
        np.testing.assert_array_equal(found.boxes, detector(image).boxes)
    # 1536 x 1152 leaves the heads where they are, twice as far from the origin as above but for nothing
    np.testing.assert_allclose(detector(images[1]).boxes[0], [460, 410, 40, 60], atol=1e-3)
    none = BodyHeadDetector(Fixed(CROWD), head=1, body=0, min_score=0.99, paired=False)(images[0])
    assert none.boxes.shape == none.bodies.shape == (0, 4) and none.scores.shape == (0,)
    lone = BodyHeadDetector(Fixed(CROWD[2:4]), head=1, body=0, min_score=0.45, paired=False)(images[0])
    assert len(lone) == 2 and np.isnan(lone.bodies).all()


# ---- files


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["model", "optimizer"])
def test_foreign_code_is_refused_by_name_and_not_run(tmp_path, monkeypatch, place):
    trace = tmp_path / "ran"
    path = tmp_path / "detector.pt"
    save_released(path, random_network(), monkeypatch, **{place: Calls(os.system, f"touch {trace}")})
    with pytest.raises(CheckpointError, match=rf"detector\.pt.*{os.system.__module__}\.system"):
        load_detector(f"bpjdet:{path}")
    assert not trace.exists()
    torch.load(path, weights_only=False)  # what it would have done
    assert trace.exists()


@pytest.mark.parametrize(
    "old, new, name",
    [
        (b"cmodels.common\nFocus\n", b"cmodels.common\nEvilX\n", r"models\.common\.EvilX"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch.hub\nload_state_dict_from_url\n", r"torch\.hub\.load"),
        (b"ccollections\nOrderedDict\n", b"cbuiltins\neval\n", r"builtins\.eval"),
        (b"ctorch\nFloatStorage\n", b"ctorch\nload\n", r"torch\.load"),
    ],
)
def test_unknown_names_are_refused(released, old, new, name):
    rewritten(released, lambda data: data.replace(old, new))
    with pytest.raises(CheckpointError, match=name):
        load_detector(f"bpjdet:{released}")


def test_names_within_known_names_are_refused(released):
    # protocol 4 can name an attribute of a known class
    payload = b"\x80\x04\x8c\x0bmodels.yolo\x8c\x1aModel.__init__.__globals__\x93."
    rewritten(released, lambda data: payload)
    with pytest.raises(CheckpointError, match=r"models\.yolo\.Model\.__init__"):
        load_detector(f"bpjdet:{released}")


def test_truncated_files_are_refused(released):
    data = released.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        released.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            load_detector(f"bpjdet:{released}")


def test_a_truncated_or_garbled_pickle_is_refused(released):
    original = released.read_bytes()
    for change in (
        lambda data: data[:-200],
        lambda data: b"",
        lambda data: data[::-1],
        lambda data: data.replace(b"conv", b"vnoc"),
    ):
        released.write_bytes(original)
        rewritten(released, change)
        with pytest.raises(CheckpointError):
            load_detector(f"bpjdet:{released}")


def test_damaged_weights_are_refused(released):
    data = bytearray(released.read_bytes())
    place = data.index(random_network().model[0].conv.conv.weight.detach().numpy().tobytes()[:64])
    data[place] ^= 255
    released.write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        load_detector(f"bpjdet:{released}")


def test_other_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "other.pt"
    path.write_text("no network")
    with pytest.raises(CheckpointError, match=r"other\.pt.*zip"):
        load_detector(f"bpjdet:{path}")
    torch.save({"model_state_dict": {"a": torch.zeros(3)}}, path)
    with pytest.raises(CheckpointError, match=r"other\.pt.*YOLOv5"):
        load_detector(f"bpjdet:{path}")
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_detector(f"bpjdet:{path}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(CheckpointError, match=r"data\.pkl"):
        load_detector(f"bpjdet:{path}")


def test_an_archive_that_grows_when_unpacked_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}, 2) + bytes(10**6))
    with pytest.raises(CheckpointError, match="compressed"):
        load_detector(f"bpjdet:{path}")


@pytest.mark.parametrize("old, new", [("SPP", "Magic"), ("nn.Upsample", "nn.Identity")])
def test_unknown_architectures_are_refused(released, old, new):
    def change(data: bytes) -> bytes:
        short = lambda text: b"X" + len(text).to_bytes(4, "little") + text.encode()  # noqa: E731
        return data.replace(short(old), short(new))

    rewritten(released, change)
    with pytest.raises(CheckpointError, match="built"):
        load_detector(f"bpjdet:{released}")


def test_weights_of_another_architecture_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "detector.pt"
    save_released(path, random_network(architecture=ARCHITECTURE | {"width_multiple": 0.5}), monkeypatch)
    with pytest.raises(CheckpointError, match=r"detector\.pt.*architecture"):
        load_detector(f"bpjdet:{path}")


def test_detectors_of_other_parts_are_refused(released):
    rewritten(released, lambda data: data.replace(b"X\x04\x00\x00\x00head", b"X\x04\x00\x00\x00hand"))
    with pytest.raises(CheckpointError, match="person, hand"):
        load_detector(f"bpjdet:{released}")


def test_a_missing_file_is_named():
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        load_detector("bpjdet:other.pt")


def test_options(released):
    assert load_detector(f"bpjdet:{released}:paired").paired
    assert not load_detector(f"bpjdet:{released}").paired
    with pytest.raises(ConfigError, match=r"pairs.*paired"):
        load_detector(f"bpjdet:{released}:pairs")


def test_nothing_known_to_the_unpickler_can_be_called():
    from semiuhpe.inference.detectors.bpjdet_file import _KNOWN, _Record

    for (module, name), known in _KNOWN.items():
        assert known in (set,) or issubclass(known, (_Record, dict)), f"{module}.{name}"
