"""Videos of servers: files by HTTP, live streams by RTSP, and servers that are not there."""

import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import save_plainnet
from support.errors import refused
from support.servers import camera, http_server, silent_server
from support.videos import number_of, packets, write_video

from semiuhpe.cli import video
from semiuhpe.cli.entry import run
from semiuhpe.errors import DataError
from semiuhpe.video import media
from semiuhpe.video.source import open_source


def test_files_of_a_server_are_read_as_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint = save_plainnet(Path("model.pth"))
    Path("served").mkdir()
    source = write_video(Path("served/my clip.mp4"), 12, sound="aac")
    Path("boxes.json").write_text(json.dumps({"my%20clip.mp4": {"3": [[30, 10, 40, 44]]}}))
    with http_server(Path("served")) as address:
        url = f"{address}/my%20clip.mp4?key=secret"
        footage = open_source(url)
        assert (footage.name, footage.count, footage.live, footage.rate) == ("my_clip", 12, False, 25)
        frames = list(footage.frames)
        assert [number_of(frame.image) for frame in frames] == [frame.number for frame in frames] == list(range(12))
        assert frames[3].source == (f"{address}/my%20clip.mp4", 3)
        arguments = [str(checkpoint), "--input", url, "--detector", "boxes:boxes.json", "--jsonl", "heads.jsonl"]
        assert run(video.main, arguments) == 0
    lines = [json.loads(line) for line in Path("heads.jsonl").read_text().splitlines()]
    assert [len(line["heads"]) for line in lines] == [0, 0, 0, 1, *[0] * 8]
    assert [data for _, data in packets(Path("my_clip_heads.mp4"), "audio")] == [d for _, d in packets(source, "audio")]
    out = capsys.readouterr()
    assert "12 frames, 1 heads" in out.out and "secret" not in out.out + out.err


def test_a_camera_is_live(caplog):
    with camera(frames=40) as address:
        start = time.monotonic()
        footage = open_source(address)
        assert (footage.live, footage.name, footage.count, footage.sound) == (True, "door", None, None)
        frames = list(footage.frames)
    numbers = [number_of(frame.image) for frame in frames]
    assert len(frames) > 20 and numbers == [(numbers[0] + number) % 24 for number in range(len(frames))]
    times = np.array([float(frame.pts * footage.time_base) for frame in frames])
    assert times[0] == 0 and (np.diff(times) > 0).all() and times[-1] < time.monotonic() - start
    assert "secret" not in str(frames[0].source) + caplog.text and "stopped" in caplog.text


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as place:
        return place.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "HTTP"])
def test_a_refused_connection_is_one_line_with_the_address(tmp_path, monkeypatch, capsys, scheme):
    monkeypatch.chdir(tmp_path)
    address = f"127.0.0.1:{unused_port()}/clip.mp4"
    url = f"{scheme}://me:secret@{address}?key=secret"
    error = refused(capsys, video.main, ["model", "--input", url, "--detector", "whole"])
    assert f"--input {scheme.lower()}://{address}" in error and "Connection refused" in error
    assert "secret" not in error and not list(tmp_path.iterdir())


def test_a_file_that_the_server_lacks_is_named(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with http_server(tmp_path) as address:
        with pytest.raises(DataError, match=rf"--input {address}/none\.mp4: .*404"):
            open_source(f"{address}/none.mp4")
        with pytest.raises(DataError, match=rf"--input {address}/text\.mp4: .*Invalid data"):
            open_source(f"{address}/text.mp4")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_does_not_answer_is_waited_for_some_seconds(monkeypatch, scheme):
    monkeypatch.setattr(media, "TIMEOUT_S", 0.5)
    start = time.monotonic()
    with silent_server() as place, pytest.raises(DataError, match=rf"{scheme}://{place}/x: .*0\.5 seconds"):
        open_source(f"{scheme}://{place}/x")
    assert time.monotonic() - start < 5
