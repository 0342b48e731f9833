"""Pictures of files: turned, mirrored, squared and broken ones, and names with signs that mean something to FFmpeg."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.videos import HEIGHT, WIDTH, frame_times, number_of, numbered_frame, packets, write_video

from semiuhpe.errors import DataError
from semiuhpe.video.media import HD_HEIGHT, _squared_rgb
from semiuhpe.video.source import open_source
from semiuhpe.video.writer import VideoWriter

UNIT = 1 << 16
SMALL = 4  # gray levels that compression may change on average


def seen(path: Path) -> np.ndarray:
    return next(iter(open_source(str(path)).frames)).image.astype(int)


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True), (True, True)])
def test_videos_are_turned_and_mirrored_by_their_display_matrix(tmp_path, turned, mirrored):
    expected = np.rot90(numbered_frame(0), turned // 90)
    expected = expected[:, ::-1] if mirrored[0] else expected
    expected = expected[::-1] if mirrored[1] else expected
    image = seen(write_video(tmp_path / "phone.mp4", 2, turned=turned, mirrored=mirrored))
    assert image.shape == expected.shape and np.abs(image - expected).mean() < SMALL


@pytest.mark.parametrize(
    "matrix",
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 1 << 30],
        [UNIT, 0, 0, 0, 0, 0, 0, 0, 1 << 30],
        [0, UNIT, 0, 0, UNIT, 0, 0, 0, 1 << 30],
        [UNIT, UNIT // 20, 0, -UNIT // 20, UNIT, 0, 0, 0, 1 << 30],  # three degrees
        [2 * UNIT, 0, 0, 0, UNIT, 0, 5 * UNIT, 0, 1 << 30],
    ],
)
def test_a_display_matrix_that_says_nothing_of_quarter_turns_is_ignored(tmp_path, matrix):
    image = seen(write_video(tmp_path / "odd.mp4", 2, matrix=matrix))
    assert image.shape == (HEIGHT, WIDTH, 3) and np.abs(image - numbered_frame(0)).mean() < SMALL


@pytest.mark.parametrize(
    ("aspect", "turned", "size"),
    [
        (Fraction(4, 3), 0, (128, 64)),
        (Fraction(2, 3), 0, (96, 96)),
        (Fraction(4, 3), 90, (64, 128)),
        (Fraction(12, 11), 0, (105, 64)),
    ],
)
def test_pixels_become_square_and_stay_so(tmp_path, aspect, turned, size):
    source = write_video(tmp_path / "wide.mp4", 2, aspect=aspect, turned=turned)
    image = seen(source)
    assert image.shape[1::-1] == size
    # The red square of 20x20 stored pixels is wider or higher by the aspect too.
    red = image[..., 0] - image[..., 1] > 100
    stored = (20 * max(aspect, 1), 20 / min(aspect, 1))
    expected = stored[::-1] if turned else stored
    assert abs(red.any(axis=0).sum() - expected[0]) <= 1 and abs(red.any(axis=1).sum() - expected[1]) <= 1
    copy = tmp_path / "copy.mp4"
    footage = open_source(str(source))
    with VideoWriter(copy, footage) as writer:
        for frame in footage.frames:
            writer.write(frame.image, frame.pts)
    with av.open(str(copy)) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    assert seen(copy).shape[1::-1] == tuple(side + side % 2 for side in size)


def test_an_aspect_that_cannot_be_is_taken_for_square(tmp_path, caplog):
    assert seen(write_video(tmp_path / "clip.mp4", 2, aspect=Fraction(1, 20))).shape == (HEIGHT, WIDTH, 3)
    assert "clip.mp4" in caplog.text and "1/20" in caplog.text


def noise(number: int, width: int, height: int) -> np.ndarray:
    coarse = np.random.default_rng(number // 6).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return np.roll(coarse.repeat(8, 0).repeat(8, 1), number, axis=1)


def damaged(path: Path, numbers: list[int], time_base: int = 25) -> Path:
    """Zeros in the middle of the packets that are shown at these numbers."""
    content = path.read_bytes()
    for time, packet in packets(path, "video"):
        if round(time * time_base) in numbers:
            assert content.count(packet) == 1
            middle = len(packet) // 2
            content = content.replace(packet, packet[:middle] + bytes(len(packet) - middle))
    path.write_bytes(content)
    return path


def test_corrupt_frames_are_left_out_counted_and_keep_their_numbers(tmp_path, caplog):
    whole = write_video(tmp_path / "whole.mp4", 18, size=(160, 96), draw=noise)
    images = [frame.image.astype(int) for frame in open_source(str(whole)).frames]
    path = damaged(Path(shutil.copy(whole, tmp_path / "clip.mp4")), [6])
    frames = list(open_source(str(path)).frames)
    numbers = [frame.number for frame in frames]
    assert 6 not in numbers and set(range(6)) | set(range(12, 18)) <= set(numbers)
    assert [frame.source.frame for frame in frames] == numbers == [round(frame.pts / 512) for frame in frames]
    assert all(np.array_equal(f.image, images[f.number]) for f in frames if not 6 <= f.number < 12)
    assert f"clip.mp4: {18 - len(frames)} broken frames" in caplog.text
    doubtful = len(frames) - 12
    assert (f"{doubtful} may be wrong" in caplog.text) == (doubtful > 0)


def test_frames_that_cannot_be_decoded_keep_their_numbers_too(tmp_path, caplog):
    path = write_video(tmp_path / "clip.mp4", 12)
    packet = packets(path, "video")[-1][1]  # it is decoded last, and shown last but one
    path.write_bytes(path.read_bytes().replace(packet, b"\xff" * len(packet)))
    frames = list(open_source(str(path)).frames)
    assert [frame.number for frame in frames] == [number_of(frame.image) for frame in frames] == [*range(10), 11]
    assert "1 broken frames" in caplog.text


def test_a_video_of_broken_frames_only_is_an_error(tmp_path):
    path = damaged(write_video(tmp_path / "clip.mp4", 1, size=(160, 96), draw=noise), [0])
    with pytest.raises(DataError, match=r"clip\.mp4: .*frames"):
        open_source(str(path))


@pytest.mark.parametrize(
    "name", ["12:30", "a%03d", "why?", "a#b", "-x", "http:x", "file:x", "a|b", "ü é", "data:,x", "\udcff"]
)
def test_any_name_is_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(Path(f"{name}.mp4"), 3, sound="aac")
    footage = open_source(f"{name}.mp4")
    assert (footage.name, footage.count) == (name, 3)
    for target in (Path(f"{name}_heads.mp4"), Path(f"{name}_heads.gif")):
        footage = open_source(f"./{name}.mp4")
        with VideoWriter(target, footage) as writer:
            for frame in footage.frames:
                writer.write(frame.image, frame.pts)
    assert len(frame_times(Path(f"{name}_heads.mp4"))) == 3
    assert packets(Path(f"{name}_heads.mp4"), "audio") == packets(Path(f"{name}.mp4"), "audio")
    assert [number_of(frame.image) for frame in open_source(f"{name}_heads.gif").frames] == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("tagged", "same_as"), [(6, 5), (10, 9)])
def test_color_spaces_without_a_name_in_pyav_are_those_of_the_file(tagged, same_as):
    red = np.full((HD_HEIGHT, 2 * HD_HEIGHT, 3), (200, 30, 60), np.uint8)
    frame = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format="yuv420p", dst_colorspace=same_as)
    pictures = []
    for frame.colorspace in (tagged, same_as):
        pictures.append(_squared_rgb(frame, Fraction(1)))
    np.testing.assert_array_equal(*pictures)
    assert np.abs(pictures[0].astype(int) - red).max() < 8
