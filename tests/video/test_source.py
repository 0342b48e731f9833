"""Videos in and out: times, sound, turned and broken files, sizes, colors, formats."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from support.videos import HEIGHT, WIDTH, frame_times, number_of, numbered_frame, packets, write_video

from semiuhpe.errors import ConfigError, DataError
from semiuhpe.video.source import open_source
from semiuhpe.video.writer import VideoWriter


def copied(source: Path, target: Path, frames: int | None = None) -> Path:
    footage = open_source(str(source))
    with VideoWriter(target, footage) as writer:
        for frame in footage.frames:
            if frames is None or frame.number < frames:
                writer.write(frame.image, frame.pts)
        writer.close(whole_sound=frames is None)
    return target


def test_a_file_is_read_frame_by_frame(tmp_path):
    footage = open_source(str(write_video(tmp_path / "clip.mp4", frames=12)))
    assert (footage.name, footage.rate, footage.count, footage.live) == ("clip", 25, 12, False)
    frames = list(footage.frames)
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert [frame.number for frame in frames] == list(range(12))
    assert frames[7].source == (tmp_path / "clip.mp4", 7)
    np.testing.assert_allclose([float(f.pts * footage.time_base) for f in frames], np.arange(12) / 25)
    assert frames[0].image.shape == (HEIGHT, WIDTH, 3) and frames[0].image.dtype == np.uint8


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_frame_rate_times_and_colors_are_the_sources(tmp_path, ending):
    ntsc = Fraction(1001, 30000)
    source = write_video(tmp_path / "clip.mp4", frames=10, time_base=ntsc)
    target = copied(source, tmp_path / f"copy{ending}")
    np.testing.assert_allclose(frame_times(target), np.arange(10) * float(ntsc), atol=6e-4)  # Matroska counts in ms
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264" and video.codec_context.pix_fmt == "yuv420p"
        assert abs(video.average_rate - 1 / ntsc) < 0.1
    image = next(open_source(str(target)).frames).image
    assert np.abs(image[:14, :14].astype(int) - (230, 20, 20)).max() < 14
    assert np.abs(image[40:, 40:].astype(int) - 40).max() < 5
    assert not list(tmp_path.glob("*.partial"))


def test_variable_frame_rates_are_kept(tmp_path):
    pts = [0, 1, 2, 10, 11, 40, 41, 90, 91, 92]
    source = write_video(tmp_path / "phone.mp4", 10, pts, Fraction(1, 90))
    assert [frame.pts * open_source(str(source)).time_base for frame in open_source(str(source)).frames] == [
        Fraction(p, 90) for p in pts
    ]
    np.testing.assert_allclose(frame_times(copied(source, tmp_path / "copy.mp4")), np.array(pts) / 90, atol=1e-6)


def test_sound_is_copied_as_it_is(tmp_path):
    source = write_video(tmp_path / "talk.mp4", frames=25, sound="aac")
    before, after = packets(source, "audio"), packets(copied(source, tmp_path / "copy.mp4"), "audio")
    assert len(before) > 10 and [content for _, content in after] == [content for _, content in before]
    np.testing.assert_allclose([time for time, _ in after], [time for time, _ in before], atol=1e-3)
    short = packets(copied(source, tmp_path / "short.mp4", frames=10), "audio")
    assert 0.3 < short[-1][0] <= 0.41  # ten frames of 25 per second
    assert frame_times(tmp_path / "short.mp4")[-1] == pytest.approx(0.36)


def test_sound_that_the_format_cannot_hold_is_left_out_with_a_word(tmp_path, caplog):
    source = write_video(tmp_path / "talk.mkv", frames=5, sound="pcm_u8")
    with av.open(str(copied(source, tmp_path / "copy.mp4"))) as container:
        assert not container.streams.audio
    assert "pcm_u8" in caplog.text and ".mkv" in caplog.text
    assert packets(copied(source, tmp_path / "copy.mkv"), "audio") == packets(source, "audio")


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_turned_phone_videos_are_seen_upright(tmp_path, turned):
    source = write_video(tmp_path / "phone.mp4", 3, turned=turned)
    image = next(open_source(str(source)).frames).image
    expected = np.rot90(numbered_frame(0), turned // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4
    again = open_source(str(copied(source, tmp_path / "copy.mp4")))
    assert np.abs(next(again.frames).image.astype(int) - expected).mean() < 5  # and isn't turned twice


def test_a_file_that_breaks_off_is_done_as_far_as_it_goes(tmp_path, caplog):
    whole = write_video(tmp_path / "whole.mkv", 24, sound="aac").read_bytes()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(whole[: len(whole) * 6 // 10])
    frames = list(open_source(str(broken)).frames)
    assert 5 < len(frames) < 24
    assert [number_of(frame.image) for frame in frames[:-2]] == list(range(len(frames) - 2))
    assert len(frame_times(copied(broken, tmp_path / "copy.mp4"))) == len(frames)


def test_a_broken_frame_is_left_out_and_reported(tmp_path, caplog):
    path = write_video(tmp_path / "clip.mp4", 12)
    packet = packets(path, "video")[-1][1]
    content = path.read_bytes()
    assert content.count(packet) == 1
    path.write_bytes(content.replace(packet, b"\xff" * len(packet)))
    frames = list(open_source(str(path)).frames)
    assert [number_of(frame.image) for frame in frames] == [*range(10), 11]  # the last packet is the last but one frame
    assert "1 broken frames" in caplog.text


@pytest.mark.parametrize("size", [(95, 63), (96, 63), (2, 2)])
def test_odd_sizes_are_padded(tmp_path, size):
    source = tmp_path / "frames"
    source.mkdir()
    for number in range(2):
        Image.fromarray(numbered_frame(number, *size)).save(source / f"{number}.png")
    image = next(open_source(str(copied(source, tmp_path / "copy.mp4"))).frames).image
    assert image.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)


def test_frames_that_change_their_size_are_resized_with_a_word(tmp_path, caplog):
    footage = open_source(str(write_video(tmp_path / "clip.mp4")))
    with VideoWriter(tmp_path / "out.mp4", footage) as writer:
        for number in range(3):
            writer.write(numbered_frame(number, WIDTH * (1 + number), HEIGHT * (1 + number)), number)
    assert [number_of(frame.image) for frame in open_source(str(tmp_path / "out.mp4")).frames] == [0, 1, 2]
    assert caplog.text.count("differ in size") == 1


def test_gif_keeps_times_and_loops(tmp_path):
    source = write_video(tmp_path / "clip.mp4", 8, [0, 1, 2, 3, 10, 11, 12, 13], Fraction(1, 20))
    with Image.open(copied(source, tmp_path / "copy.gif")) as gif:
        assert (gif.n_frames, gif.info["loop"], gif.size) == (8, 0, (WIDTH, HEIGHT))
        durations = []
        for number in range(8):
            gif.seek(number)
            durations.append(gif.info["duration"])
            image = np.asarray(gif.convert("RGB"))
            assert number_of(image) == number and np.abs(image[:14, :14].astype(int) - (230, 20, 20)).max() < 16
        assert durations[:7] == [50, 50, 50, 350, 50, 50, 50]


def test_webp_is_animated(tmp_path):
    source = write_video(tmp_path / "clip.mp4", 8)
    with Image.open(copied(source, tmp_path / "copy.webp")) as webp:
        assert (webp.format, webp.n_frames) == ("WEBP", 8)
        webp.seek(5)
        assert number_of(np.asarray(webp.convert("RGB"))) == 5


def test_a_folder_is_a_video_in_natural_order(tmp_path, caplog):
    for number in (0, 1, 2, 10):
        Image.fromarray(numbered_frame(number)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "frame5.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("none either")
    footage = open_source(str(tmp_path), Fraction(10))
    frames = list(footage.frames)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 10]
    assert [float(frame.pts * footage.time_base) for frame in frames] == [0, 0.1, 0.2, 0.4]  # 5 is missing
    assert frames[3].source == (tmp_path / "frame10.png", None) and footage.count == 5
    assert "frame5.png: " in caplog.text
    Image.fromarray(numbered_frame(3, 50, 40)).save(tmp_path / "frame3.png")
    with pytest.raises(DataError, match=r"frame3\.png: .*50x40.*96x64"):
        list(open_source(str(tmp_path)).frames)


def test_a_webcam_is_live(tmp_path, monkeypatch):
    clip = str(write_video(tmp_path / "clip.mp4", 6))
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: real(clip))
    footage = open_source("0")
    frames = list(footage.frames)
    assert (footage.live, footage.name, footage.count) == (True, "webcam0", None)
    assert [number_of(frame.image) for frame in frames] == list(range(6))
    assert np.all(np.diff([frame.pts for frame in frames]) > 0)
    assert (np.abs(frames[0].image[:14, :14].astype(int) - (230, 20, 20)) < 30).all()  # RGB


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "no such"),
        ("text.mp4", "Invalid data"),
        ("cut.mp4", "Invalid data"),
        ("empty", "no pictures"),
        ("sound.mp4", "no pictures"),
        ("97", "webcam"),
    ],
)
def test_bad_inputs_are_named(tmp_path, name, words):
    (tmp_path / "text.mp4").write_text("no video")
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:-400])  # the index of an MP4 is at its end
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match=rf"{name}: .*{words}"):
        open_source(name if name.isdigit() else str(tmp_path / name))


def test_nothing_half_written_is_left(tmp_path):
    footage = open_source(str(write_video(tmp_path / "clip.mp4", sound="aac")))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4", footage) as writer:
        writer.write(numbered_frame(0), 0)
        raise RuntimeError
    with VideoWriter(tmp_path / "none.mp4", footage):
        pass  # no frame
    assert sorted(tmp_path.iterdir()) == before
    for name in ("out.avi", "missing/out.mp4"):
        with pytest.raises(ConfigError, match=r"--output .*out"):
            VideoWriter(tmp_path / name, footage)


def test_an_old_file_stays_until_the_new_one_is_complete(tmp_path):
    source = write_video(tmp_path / "clip.mp4")
    shutil.copy(source, tmp_path / "out.mp4")
    footage = open_source(str(source))
    with VideoWriter(tmp_path / "out.mp4", footage) as writer:
        writer.write(numbered_frame(0), 0)
        assert len(frame_times(tmp_path / "out.mp4")) == 12
    assert len(frame_times(tmp_path / "out.mp4")) == 1
