"""The models that come with the package: on rendered heads and scenes, and on photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import SHARED
from torchvision.ops import box_convert, box_iou

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import image as image_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.inference.detectors import load_detector
from semiuhpe.models import find_checkpoint
from semiuhpe.models.weights import DEFAULT_CHECKPOINT, SHIPPED, SHIPPED_DETECTOR
from semiuhpe.rotation import geodesic_deg
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.render_scene import render_scene
from semiuhpe.synthetic.rotations import random_rotations

YUNET = SHARED / "real" / "weights" / "face_detection_yunet_2026may.onnx"
AFLW2000 = SHARED / "real" / "AFLW2000-dev"


@pytest.mark.parametrize(("name", "range_", "most_deg"), [("heads-full", "full", 15), ("heads-front", "front", 10)])
def test_shipped_models_see_rendered_heads(name, range_, most_deg, tmp_path):
    write_store(SyntheticSet(60, "wild", range_, 99, 96, test=True), tmp_path / "heads.lmdb")
    store = HeadStore(tmp_path / "heads.lmdb")
    estimator = HeadPoseEstimator.from_checkpoint(name)
    assert estimator.description.full_range == (range_ == "full")
    poses = estimator.predict_crops([store.image(i) for i in range(len(store))])
    errors = geodesic_deg(torch.from_numpy(poses.rotations), torch.from_numpy(store.rotation)).numpy()
    assert np.median(errors) < most_deg
    sure = poses.confidence >= np.median(poses.confidence)
    assert errors[sure].mean() < errors[~sure].mean()


def test_shipped_models_are_small_and_one_is_the_default():
    sizes = [find_checkpoint(name).stat().st_size for name in SHIPPED]
    assert sum(sizes) <= 12_000_000
    assert HeadPoseEstimator.from_checkpoint(device="cpu").path == find_checkpoint(DEFAULT_CHECKPOINT)


def test_the_shipped_detector_is_small_and_the_default(tmp_path, monkeypatch, capsys):
    assert find_checkpoint(SHIPPED_DETECTOR).stat().st_size <= 8_000_000
    picture, expected = people()
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("people.png")
    assert run(image_cli.main, ["--input", "people.png", "--output", "out", "--offline"]) == 0
    [line] = [json.loads(text) for text in next(Path("out").glob("heads-*.jsonl")).read_text().splitlines()]
    found = torch.tensor([head["box"] for head in line["heads"]])
    overlap = box_iou(*(box_convert(boxes, "xywh", "xyxy") for boxes in (torch.from_numpy(expected.box), found)))
    assert len(found) == len(expected) and (overlap.max(1).values > 0.6).all()


def people():
    """A rendered scene of people, of whom all heads are seen."""
    rng = np.random.default_rng(0)
    while True:
        scene = render_scene(random_rotations(4, rng, "front"), rng, "wild", 320, bodies=1.0)
        heads = scene.heads
        inside = (heads.box[:, :2] > 0).all() and (heads.box[:, :2] + heads.box[:, 2:] < 320).all()
        if len(heads) > 1 and inside and heads.visible.min() > 0.8 and heads.box[:, 2].min() > 20:
            return scene.image, heads


@pytest.mark.skipif(not AFLW2000.is_dir(), reason="needs the photographs in ../shared/real/AFLW2000-dev")
def test_the_shipped_detector_finds_faces_on_photographs():
    """Those that YuNet is sure of, on some pictures; benchmarks/head_detectors.py measures it on all."""
    faces, detector, found = load_detector(f"yunet:{YUNET}"), load_detector(), []
    for path in sorted(AFLW2000.glob("*.jpg"))[::25]:
        picture = np.asarray(Image.open(path))
        heads = torch.from_numpy(detector(picture).boxes)
        for x, y, w, h in faces(picture).boxes:
            center = torch.tensor([x + w / 2, y + h / 2])
            inside = (heads[:, :2] < center) & (center < heads[:, :2] + heads[:, 2:])
            found.append(bool(inside.all(1).any()))
    assert len(found) > 25 and np.mean(found) > 0.9


@pytest.mark.skipif(not AFLW2000.is_dir(), reason="needs the photographs in ../shared/real/AFLW2000-dev")
@pytest.mark.parametrize(("name", "most_mae", "most_deg"), [("heads-full", 9, 15), ("heads-front", 7, 11)])
def test_shipped_models_work_on_photographs(name, most_mae, most_deg, tmp_path):
    """Every second picture of AFLW2000-3D, none of which a training has seen."""
    prepare("AFLW2000", AFLW2000, tmp_path / "photographs.lmdb", size=96)
    results = evaluate_checkpoint(name, tmp_path / "photographs.lmdb").summary
    found = results["results"]["teacher"]
    assert found["euler_mae_deg"] <= most_mae and found["geodesic_mean_deg"] <= most_deg
    assert results["calibration"]["teacher"]["confidence"]["ece"] <= 0.1
