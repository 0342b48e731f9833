"""HeadPoseEstimator: from pictures and boxes to poses."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import torch
from PIL import Image
from support.checkpoints import SHIPPED, save_plainnet
from support.paths import ROOT

from semiuhpe import HeadPoseEstimator, MatrixFisher
from semiuhpe.cli import export as export_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.crop import FACE_BOX, HEAD_BOX, crop_by_box
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions import RotationLaplace
from semiuhpe.errors import CheckpointError, ConfigError, DataError
from semiuhpe.evaluation.predict import predict
from semiuhpe.inference import estimator as estimator_module
from semiuhpe.inference.detectors import Detections, Detector, load_detector
from semiuhpe.models import load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA, R_300WLP, euler_to_matrix, from_300wlp, geodesic_deg


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_plainnet(tmp_path_factory.mktemp("plainnet") / "model.pth", scale=3.0)


@pytest.fixture(scope="module")
def estimator(checkpoint) -> HeadPoseEstimator:
    return HeadPoseEstimator.from_checkpoint(checkpoint, device="cpu")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


class Finder(Detector):
    """Finds one head, and a speck, on every image."""

    crop_rule = FACE_BOX

    def _detect(self, images, sources):
        boxes = np.array([[30, 20, 40, 45], [3, 3, 1, 1]], np.float32)
        return [Detections(boxes, np.array([0.9, 0.8], np.float32)) for _ in images]


def test_poses_agree_with_the_evaluation_of_a_store(estimator, checkpoint, stores):
    store = HeadStore(stores["test"])
    loaded = load_checkpoint(checkpoint)
    rotations, entropy = predict(loaded.model, PoseDecoder(loaded.description), store, torch.device("cpu"), 5)
    poses = estimator.predict_crops([store.image(i) for i in range(len(store))])
    assert len(poses) == len(store)
    assert np.allclose(poses.rotations, rotations.numpy(), atol=1e-4)
    assert np.allclose(poses.entropy, entropy.numpy(), atol=1e-4)


def test_all_heads_of_all_images_are_in_one_forward_pass(estimator, image, monkeypatch):
    passes = []
    estimator._network.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    images = [image, image[:, :80], image[:50]]
    boxes = [[[10, 10, 30, 30], [-5, 60, 40, 40]], [], [[20, 5, 25, 30]]]
    together = estimator.predict_batch(images, boxes)
    assert passes == [3] and [len(poses) for poses in together] == [2, 0, 1]
    one = estimator.predict(images[2], boxes[2])
    assert np.allclose(together[2].rotations, one.rotations, atol=1e-5)
    monkeypatch.setattr(estimator_module, "MAX_BATCH", 2)
    passes.clear()
    split = estimator.predict_batch(images, boxes)
    assert passes == [2, 1]
    assert np.allclose(split[0].rotations, together[0].rotations, atol=1e-5)


def test_no_heads_no_forward_pass(estimator, image):
    poses = estimator.predict(image, boxes=[])
    assert len(poses) == 0 and poses.rotations.shape == (0, 3, 3) and poses.euler_full_deg.shape == (0, 3)
    assert poses.boxes.shape == (0, 4) and poses.confidence.shape == (0,)
    assert estimator.predict_batch([], []) == []
    assert len(estimator.predict_crops([])) == 0


def test_rotations_angles_and_confidence_belong_together(estimator, image):
    boxes = np.random.default_rng(1).uniform(10, 40, (20, 4))
    poses = estimator.predict(image, boxes)
    rotations = torch.from_numpy(poses.rotations)
    for euler in (poses.euler_front_deg, poses.euler_full_deg):
        assert geodesic_deg(euler_to_matrix(torch.from_numpy(euler)), rotations).max() < 0.01
    assert (np.abs(poses.euler_front_deg[:, 1]) <= 90).all() and (np.abs(poses.euler_full_deg[:, 0]) <= 90).all()
    assert (poses.confidence > 0).all() and (poses.confidence < 1).all() and (poses.entropy < 0).all()
    assert np.array_equal(poses.boxes, boxes.astype(np.float32)) and (poses.scores == 1).all()


def test_a_detector_brings_its_protocol(estimator, image):
    poses = estimator.predict(image, detector=Finder())
    assert poses.boxes.tolist() == [[30, 20, 40, 45]] and poses.scores.tolist() == [np.float32(0.9)]
    box = np.array([30, 20, 40, 45])
    for crop_rule, same in ((FACE_BOX, True), (HEAD_BOX, False)):
        crop = estimator.predict_crops([crop_by_box(image, box, size=32, crop_rule=crop_rule)])
        assert np.allclose(crop.rotations, poses.rotations, atol=1e-5) == same
        given = estimator.predict_batch([image], [[box]], crop_rule=crop_rule)[0]
        assert np.allclose(given.rotations, poses.rotations, atol=1e-5) == same


def test_whole_pictures_are_crops(estimator, image):
    whole = estimator.predict(image, detector=load_detector("whole"))
    crop = estimator.predict_crops(image[None])
    assert np.array_equal(whole.rotations, crop.rotations) and whole.boxes.tolist() == [[0, 0, 120, 90]]


def test_output_is_read_in_the_checkpoints_convention(tmp_path, image):
    estimators = [
        HeadPoseEstimator.from_checkpoint(save_plainnet(tmp_path / f"{name}.pth", name), device="cpu")
        for name in (HEAD_TO_CAMERA, R_300WLP)
    ]
    ours, theirs = (torch.from_numpy(each.predict_crops([image]).rotations) for each in estimators)
    assert torch.allclose(theirs, from_300wlp(ours), atol=1e-5) and not torch.allclose(ours, theirs, atol=0.1)


def test_bfloat16_is_near_float32(checkpoint, estimator, image):
    narrow = HeadPoseEstimator.from_checkpoint(checkpoint, device="cpu", dtype="bfloat16")
    assert next(narrow._network.parameters()).dtype == torch.bfloat16
    pair = [torch.from_numpy(each.predict_crops([image]).rotations) for each in (narrow, estimator)]
    assert 0 < geodesic_deg(*pair) < 15


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"boxes": [[200, 10, 20, 20]]}, DataError, "120x90"),
        ({"boxes": [[20, 10, 0, 20]]}, DataError, "finite"),
        ({"boxes": [1, 2, 3]}, DataError, r"\(N, 4\)"),
        ({"boxes": [["a", 2, 3, 4]]}, DataError, "numbers"),
        ({"boxes": [[1, 2, 30, 40]], "detector": Finder()}, ConfigError, "detector"),
    ],
)
def test_bad_arguments(arguments, error, message, estimator, image):
    with pytest.raises(error, match=message):
        estimator.predict(image, **arguments)


def test_what_is_no_image_is_refused(estimator):
    for wrong in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), "picture.jpg", np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(DataError):
            estimator.predict_crops([wrong])


def test_bad_device_dtype_and_checkpoint(checkpoint, tmp_path):
    for arguments in ({"dtype": "float8"}, {"dtype": torch.int64}, {"device": "gpu"}):
        with pytest.raises(ConfigError):
            HeadPoseEstimator.from_checkpoint(checkpoint, **arguments)
    with pytest.raises(CheckpointError, match="nowhere"):
        HeadPoseEstimator.from_checkpoint("nowhere")
    broken = HeadPoseEstimator.from_checkpoint(save_plainnet(tmp_path / "nan.pth", scale=math.nan), device="cpu")
    with pytest.raises(CheckpointError, match=r"nan\.pth.*finite"):
        broken.predict_crops(np.zeros((1, 32, 32, 3), np.uint8))


def test_weights_alone_are_the_same_model(checkpoint, tmp_path):
    loaded = load_checkpoint(checkpoint)
    assert run(export_cli.main, [str(checkpoint), "--weights", str(tmp_path / "alone.pth")]) == 0
    again = load_checkpoint(tmp_path / "alone.pth", teacher=False)
    assert again.description == loaded.description
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), loaded.model.parameters(), strict=True))
    assert (tmp_path / "alone.pth").stat().st_size < 1.05 * sum(p.numel() * 4 for p in loaded.model.parameters())


def test_a_name_is_looked_for_in_the_weights_folder(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.pth").write_bytes(checkpoint.read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mine.pth"):
        assert HeadPoseEstimator.from_checkpoint(name, device="cpu").path == Path("weights/mine.pth")


def test_the_example_runs(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "picture.png")
    command = [sys.executable, "examples/head_poses.py", str(SHIPPED), str(tmp_path / "picture.png")]
    boxes = ["--box", "20", "10", "40", "50", "--box", "60", "30", "40", "40", "--drawn", str(tmp_path / "drawn.png")]
    shown = subprocess.run([*command, *boxes], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("confidence") == 2
    assert np.asarray(Image.open(tmp_path / "drawn.png")).shape == image.shape


def test_importing_the_package_is_cheap():
    code = (
        "import sys, semiuhpe; assert 'torch' not in sys.modules; semiuhpe.MatrixFisher; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("angle", [1.0, 15.0, 60.0, 120.0])
@pytest.mark.parametrize("s", [0.0, 0.5, 10.0, 1000.0])
def test_mass_within_an_angle_of_isotropic_distributions(s, angle):
    # R has angle t with density proportional to exp(2 s cos t) (1 - cos t).
    def density(t):
        return math.exp(2 * s * (math.cos(t) - 1)) * (1 - math.cos(t))

    near = [0.1, 0.3, 1.0]
    inside, _ = scipy.integrate.quad(
        density, 0, math.radians(angle), points=[t for t in near if t < math.radians(angle)]
    )
    whole, _ = scipy.integrate.quad(density, 0, math.pi, points=near)
    mass = MatrixFisher(s * torch.eye(3, dtype=torch.float64)).mass_within(angle)
    assert float(mass) == pytest.approx(inside / whole, rel=1e-5, abs=1e-9)


def test_mass_within_an_angle_is_the_share_of_samples():
    singular = torch.tensor([[30.0, 20.0, 10.0], [8.0, 8.0, -7.0], [100.0, 3.0, -2.0], [0.1, 0.0, 0.0]])
    turn = euler_to_matrix(torch.tensor([20.0, -130.0, 40.0]))
    fisher = MatrixFisher(turn @ torch.diag_embed(singular) @ turn)
    samples = fisher.sample((20000,), generator=torch.Generator().manual_seed(0))
    for angle in (15, 60):
        share = (geodesic_deg(samples, fisher.mode()) <= angle).double().mean(0)
        assert torch.allclose(share, fisher.mass_within(angle).double(), atol=0.012)


def test_mass_of_the_rotation_laplace_distribution():
    # Near 0 for a small angle, near 1 for a concentrated one; between, the integral over rotation angles.
    s = 20.0

    def density(t):
        p = 4 * s * math.sin(t / 2) ** 2
        return math.exp(-math.sqrt(p)) / math.sqrt(p) * (1 - math.cos(t))

    inside, whole = (scipy.integrate.quad(density, 0, end)[0] for end in (math.radians(30), math.pi))
    mass = RotationLaplace(s * torch.eye(3, dtype=torch.float64)).mass_within(30)
    assert float(mass) == pytest.approx(inside / whole, rel=1e-4)


@pytest.mark.parametrize("angle", [0, -1, 121, math.nan])
def test_mass_refuses_other_angles(angle):
    with pytest.raises(ValueError, match="120"):
        MatrixFisher(torch.eye(3)).mass_within(angle)
