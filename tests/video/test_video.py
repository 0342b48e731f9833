"""Heads through a whole video: order, groups, tracking, smoothing, stopping, errors, bounded memory."""

import json
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from support.videos import HEIGHT, WIDTH, number_of, numbered_frame, write_video

from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.drawing.overlay import MESH
from semiuhpe.errors import ConfigError, DataError
from semiuhpe.inference.detectors import Detections, Detector, Source
from semiuhpe.inference.pipeline import HeadPipeline
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.video.pipeline import GROUP_BYTES, GROUP_FRAMES, frame_record, pose_video
from semiuhpe.video.prefetch import Prefetcher
from semiuhpe.video.source import Frame, VideoSource, open_source

SIDE = 24.0


@dataclass
class Poses:
    boxes: np.ndarray
    scores: np.ndarray
    rotations: np.ndarray
    entropy: np.ndarray
    confidence: np.ndarray
    within_90_deg: np.ndarray
    reliable: np.ndarray


def yaw_matrix(degrees: float) -> np.ndarray:
    return euler_to_matrix(torch.tensor([0.0, degrees, 0.0], dtype=torch.float64)).numpy()


class FakeEstimator:
    """Heads whose yaw is ten times the number that their frame shows, plus their x; remembers what came together."""

    def __init__(self, delay: float = 0.0) -> None:
        self.groups: list[list[int]] = []
        self.delay = delay

    def predict_batch(self, images, boxes, *, crop_rule):
        assert crop_rule is HEAD_BOX and len(images) == len(boxes)
        self.groups.append([len(found) for found in boxes])
        time.sleep(self.delay)
        return [self._poses(number_of(image), *found) for image, found in zip(images, boxes, strict=True)]

    def _poses(self, number, boxes, scores):
        rotations = [yaw_matrix(10 * number + box[0] / 10) for box in boxes]
        rotations = np.array(rotations, np.float32).reshape(-1, 3, 3)
        entropy, confidence, within = (np.full(len(boxes), value, np.float32) for value in (-5.0, 0.5, 12.5))
        return Poses(boxes, scores, rotations, entropy, confidence, within, within <= 30)


class TwoHeads(Detector):
    """Two heads that move to the right and change their order from frame to frame; none on frames 4 and 5."""

    def _detect(self, images, sources):
        return [self._one(number_of(image)) for image in images]

    def _one(self, number):
        boxes = np.array([[2 + number, 2, SIDE, SIDE], [50 + number, 30, SIDE, SIDE]], np.float32)
        boxes = boxes[:0] if number in (4, 5) else boxes[:: 1 if number % 2 else -1]
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32))


def clip(tmp_path: Path, frames: int = 12, **options) -> VideoSource:
    return open_source(str(write_video(tmp_path / "clip.mp4", frames, **options)))


def endless(image: np.ndarray, live: bool = False) -> VideoSource:
    def frames():
        number = 0
        while True:
            yield Frame(image, number, number, Source("endless", number))
            number += 1

    return VideoSource("endless", frames(), Fraction(25), Fraction(1, 25), live=live)


def test_every_frame_comes_once_in_order_with_its_own_heads(tmp_path):
    estimator = FakeEstimator()
    posed = list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), estimator), MESH))
    assert [frame.frame.number for frame in posed] == list(range(12))
    assert [len(frame) for frame in posed] == [2] * 4 + [0, 0] + [2] * 6
    for number, frame in enumerate(posed):
        assert frame.time == pytest.approx(number / 25)
        for box, rotation in zip(frame.boxes, frame.rotations, strict=True):
            np.testing.assert_allclose(rotation, yaw_matrix(10 * number + box[0] / 10), atol=1e-5)
        assert frame.drawn.shape == frame.frame.image.shape
        assert (frame.drawn != frame.frame.image).any() == (len(frame) > 0)


def test_the_heads_of_several_frames_share_a_forward_pass(tmp_path):
    estimator = FakeEstimator()
    list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), estimator)))
    assert [len(group) for group in estimator.groups] == [GROUP_FRAMES, 12 - GROUP_FRAMES]


def test_large_frames_come_in_smaller_groups():
    image = np.zeros((4000, 4000, 3), np.uint8)  # 48 MB, of which one is allowed at a time
    estimator = FakeEstimator()
    frames = pose_video(endless(image), HeadPipeline(TwoHeads(), estimator))
    next(frames)
    frames.close()
    assert image.nbytes > GROUP_BYTES / 2 and {len(group) for group in estimator.groups} == {1}


def test_persons_keep_their_numbers(tmp_path):
    pytest.importorskip("trackers", reason="needs the package trackers (pip install 'semiuhpe[track]')")
    posed = list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator()), track=True))
    assert posed[0].persons == [None, None]  # nobody was seen before
    rows = [dict(zip(frame.boxes[:, 1].tolist(), frame.persons, strict=True)) for frame in posed[1:]]
    assert sorted(rows[0].values()) == [1, 2]
    assert all(row == rows[0] for row in rows if row)  # also after two frames in which they weren't found


def test_smoothing_follows_persons_not_places_in_the_list(tmp_path):
    pytest.importorskip("trackers", reason="needs the package trackers (pip install 'semiuhpe[track]')")
    raw = list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator()), track=True))
    smooth = list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator()), track=True, smooth=True))
    distances = [
        np.rad2deg(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1)))
        for before, after in zip(raw, smooth, strict=True)
        for a, b in zip(before.rotations, after.rotations, strict=True)
    ]
    # The heads turn by 10.1 degrees from frame to frame, 250 a second, and their yaws differ by 4.8.
    assert 1 < max(distances) < 10


def test_tracking_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    with pytest.raises(ConfigError, match=r"pip install 'semiuhpe\[track\]'"):
        list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator()), track=True))


def test_heads_that_left_the_picture_are_left_out(tmp_path):
    class Leaving(TwoHeads):
        def _one(self, number):
            boxes = [[-40, 5, 30, 30], [WIDTH - 1, 5, 30, 30], [5, HEIGHT - 4, 30, 30], [-20, -20, 30, 30]]
            return Detections(np.array(boxes, np.float32), np.ones(4, np.float32))

    posed = next(pose_video(clip(tmp_path), HeadPipeline(Leaving(), FakeEstimator()), MESH))
    np.testing.assert_array_equal(posed.boxes[:, 0], [5, -20])


def test_a_video_longer_than_memory_needs_no_more_than_a_short_one():
    made = []

    def frames():
        for number in range(10_000):
            made.append(number)
            yield Frame(numbered_frame(number % 20), number, number, Source("long", number))

    footage = VideoSource("long", frames(), Fraction(25), Fraction(1, 25))
    running = pose_video(footage, HeadPipeline(TwoHeads(), FakeEstimator()), MESH)
    for number, posed in enumerate(running):
        assert posed.frame.number == number and len(made) - number < 8 * GROUP_FRAMES
        if number == 40:
            time.sleep(0.3)  # the stages before have the time to run ahead, and don't
        if number == 60:
            break
    running.close()


def test_stages_work_at_the_same_time():
    class Slow(TwoHeads):
        def _detect(self, images, sources):
            time.sleep(0.2)
            return super()._detect(images, sources)

    def frames():
        for number in range(6 * GROUP_FRAMES):
            time.sleep(0.2 / GROUP_FRAMES)
            yield Frame(numbered_frame(0), number, number, Source("slow", number))

    footage = VideoSource("slow", frames(), Fraction(25), Fraction(1, 25))
    start = time.monotonic()
    list(pose_video(footage, HeadPipeline(Slow(), FakeEstimator(delay=0.2))))
    assert time.monotonic() - start < 0.75 * (3 * 6 * 0.2)  # 1.6 s if they overlap entirely, 3.6 s one after the other


def test_a_stop_finishes_what_has_been_begun():
    stop = threading.Event()
    running = pose_video(endless(numbered_frame(1)), HeadPipeline(TwoHeads(), FakeEstimator()), MESH, stop=stop)
    numbers = [next(running).frame.number for _ in range(5)]
    stop.set()
    numbers += [posed.frame.number for posed in running]
    assert numbers == list(range(len(numbers))) and 5 <= len(numbers) < 10 * GROUP_FRAMES


def test_of_a_webcam_the_newest_frames_are_taken():
    def frames():
        for number in range(60):
            time.sleep(0.01)
            yield Frame(numbered_frame(1), number, number, Source("webcam0", number))

    footage = VideoSource("webcam0", frames(), Fraction(100), Fraction(1, 100), live=True)
    numbers = [posed.frame.number for posed in pose_video(footage, HeadPipeline(TwoHeads(), FakeEstimator(delay=0.1)))]
    assert numbers == sorted(set(numbers)) and len(numbers) < 50
    assert numbers[-1] >= 57


@pytest.mark.parametrize("stage", ["read", "detect", "pose", "draw"])
def test_an_error_of_any_stage_comes_out_and_ends_all_threads(tmp_path, stage, monkeypatch):
    def fail(*_, **__):
        raise DataError(f"{stage} failed")

    def failing_frames():
        yield Frame(numbered_frame(0), 0, 0, Source("x", 0))
        fail()

    footage = clip(tmp_path)
    detector, estimator = TwoHeads(), FakeEstimator()
    if stage == "read":
        footage = VideoSource("x", failing_frames(), Fraction(25), Fraction(1, 25))
    elif stage == "detect":
        detector._detect = fail
    elif stage == "pose":
        estimator.predict_batch = fail
    else:
        monkeypatch.setattr("semiuhpe.video.pipeline.draw_heads", fail)
    before = threading.active_count()
    with pytest.raises(DataError, match=f"{stage} failed"):
        list(pose_video(footage, HeadPipeline(detector, estimator), MESH))
    assert threading.active_count() == before


def test_items_made_ahead_come_before_the_error():
    def items():
        yield from range(3)
        raise ValueError("late")

    ahead, seen = Prefetcher(items(), 8), []
    with pytest.raises(ValueError, match="late"):
        for item in ahead:
            seen.append(item)
    assert seen == [0, 1, 2] and next(ahead, None) is None


def test_a_record_says_all_of_a_frame(tmp_path):
    posed = list(pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator())))[3]
    record = json.loads(json.dumps(frame_record(posed)))
    assert (record["frame"], record["time"]) == (3, 0.12)
    head = record["heads"][0]
    assert head["box"] == [5, 2, SIDE, SIDE] and head["person"] is None
    np.testing.assert_allclose(head["euler_front_deg"], [0, 30.5, 0], atol=2e-3)
    np.testing.assert_allclose(head["rotation"], yaw_matrix(30.5), atol=1e-5)
    assert (head["score"], head["entropy"], head["confidence"]) == (0.9, -5.0, 0.5)
    assert (head["within_90_deg"], head["reliable"]) == (12.5, True)
    turned = [frame for frame in pose_video(clip(tmp_path), HeadPipeline(TwoHeads(), FakeEstimator()))][11]
    full = frame_record(turned)["heads"][0]["euler_full_deg"]
    np.testing.assert_allclose(full, [0, 110 + turned.boxes[0, 0] / 10, 0], atol=5e-3)
