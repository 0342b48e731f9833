"""`semiuhpe synth`: what it writes, and what it refuses in one line, with nothing left behind."""

import json

import numpy as np
import pytest
from support.errors import refused

from semiuhpe.cli import synth
from semiuhpe.data import HeadStore
from semiuhpe.data.crop import HEAD_BOX, LANDMARKS, box_rectangle, landmark_rectangle
from semiuhpe.data.stores.base import stored_bytes
from semiuhpe.synthetic import anatomy, head, skin, solids, surface
from semiuhpe.synthetic.head_stores import landmarks_as_head_box


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--without", "lihgt"], ["--without lihgt", "did you mean light"]),
        (["--without", "bones"], ["--without bones", "shapes, expressions, skin, light, worn, camera"]),
        (["--crop_rule", "landmark"], ["--crop_rule", "landmark", "did you mean landmarks"]),
        (["--range", "upright"], ["--range", "upright", "aflw2000"]),
    ],
)
def test_wrong_options_are_refused(tmp_path, capsys, options, words):
    out = tmp_path / "heads.lmdb"
    message = refused(capsys, synth.main, ["--out", str(out), "--count", "2", *options])
    assert all(word in message for word in words), message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "other version", "missing"])
def test_heads_that_cannot_be_read_are_refused(tmp_path, capsys, monkeypatch, damage):
    path, whole = tmp_path / "heads.npz", anatomy.HEADS.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "other version":
        with np.load(anatomy.HEADS) as arrays:
            np.savez(path, **{**arrays, "version": np.array(99)})
    monkeypatch.setattr(anatomy, "HEADS", path)
    cached = (anatomy._packaged, head.template, skin.atlas, solids._outside, surface._radius_maps)
    for function in cached:
        function.cache_clear()
    try:
        message = refused(capsys, synth.main, ["--out", str(tmp_path / "out.lmdb"), "--count", "2"])
    finally:
        monkeypatch.undo()
        for function in cached:
            function.cache_clear()
    assert str(path) in message and "tools/bake_heads.py" in message
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if damage == "missing" else ["heads.npz"])


def test_stores_say_how_their_heads_were_rendered(tmp_path):
    out = tmp_path / "heads.lmdb"
    arguments = ["--out", str(out), "--count", "3", "--size", "48", "--range", "aflw2000", "--crop_rule", "landmarks"]
    assert synth.main([*arguments, "--without", "light", "worn"]) == 0
    store = HeadStore(out)
    assert store.meta["protocol"] == LANDMARKS.name and not store.meta["full_range"]
    settings = json.loads(stored_bytes(out, b"__meta__"))["settings"]
    assert settings["without"] == ["light", "worn"] and settings["range"] == "aflw2000"


def test_tight_crops_by_landmarks_are_those_of_the_rule(tmp_path):
    """The box in a tight crop leaves the rule's margin to the sides, and twice that above."""
    out = tmp_path / "heads.lmdb"
    assert synth.main(["--out", str(out), "--count", "6", "--size", "96", "--range", "front", "--domain", "clean",
                       "--crop_rule", "landmarks", "--test"]) == 0  # fmt: skip
    for x, y, w, h in HeadStore(out).box:
        reach = LANDMARKS.margin * max(w, h)
        sides = np.array([w + 2 * reach, h + (1 + LANDMARKS.above) * reach])
        assert sides.max() == pytest.approx(96, abs=2.5)
        assert [x + w / 2, y + h / 2 - reach / 2] == pytest.approx([48, 48], abs=2.5)


def test_mixed_crops_are_those_of_either_rule(tmp_path):
    """A box of landmarks gives, by the rule of head boxes, what the rule of landmarks would crop; backs have none."""
    out = tmp_path / "heads.lmdb"
    assert synth.main(["--out", str(out), "--count", "40", "--size", "64", "--range", "mixed", "--crop_rule", "mixed",
                       "--domain", "clean"]) == 0  # fmt: skip
    store = HeadStore(out)
    assert store.meta["protocol"] == HEAD_BOX.name and store.meta["full_range"]
    square = store.box[:, 2] == store.box[:, 3]
    face_seen = np.asarray(store.truth)[:, 2, 2] < 0
    assert not square[~face_seen].any() and 0.4 < square[face_seen].mean() < 0.9
    side = (1 + 2 * HEAD_BOX.margin_range[1]) * store.box[square, 2]
    center = store.box[square, :2] + store.box[square, 2:] / 2
    beyond = 0.03 * 64 + 0.5  # what the loosest crop may lack
    assert (center - side[:, None] / 2).min() > -beyond and (center + side[:, None] / 2).max() < 64 + beyond


def test_a_box_of_landmarks_as_that_of_a_head():
    landmarks, margin = np.array([320.0, 430.0, 40.0, 50.0]), 0.3
    corners = np.array([landmarks[:2], landmarks[:2] + landmarks[2:]])
    expected = landmark_rectangle(corners, margin, 1000, 1000)
    box = landmarks_as_head_box(landmarks, margin)
    cropped = box_rectangle(box, HEAD_BOX.margin_range[0], 1000, 1000)
    np.testing.assert_allclose(cropped, expected, atol=1)
