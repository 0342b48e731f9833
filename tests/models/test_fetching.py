"""Files of the hub: fetched from a server of the test's own."""

import hashlib
import logging
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.detector_files import random_network, save_released, save_yunet
from support.errors import refused, says
from support.hub import hub_server
from support.paths import ROOT
from support.servers import silent_server

from semiuhpe.cli import demo as demo_cli
from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import export as export_cli
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import video as video_cli
from semiuhpe.cli.entry import run
from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.detectors import check_detector, load_detector
from semiuhpe.models import fetching, find_checkpoint
from semiuhpe.models.fetching import HubFile, check_fetched, fetched

FILE = HubFile("someone/something", "network.bin", "MIT")
CONTENT = bytes(range(256)) * 4000
RECORD = "network.bin.sha256"
POSE_NETWORK = "DAD-COCOHead-RepVGG-best"
POSES = f"HoyerChou/SemiUHPE/{POSE_NETWORK}.pth"
YUNET = "opencv/face_detection_yunet/face_detection_yunet_2023mar.onnx"
BPJDET = "HoyerChou/BPJDet/ch_head_l_1536_e150_best_mMR.pt"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the file, and an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # taken back after --offline, too
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.files[f"{FILE.repository}/{FILE.name}"] = CONTENT
        yield server


def lying() -> list[str]:
    """What lies in ``weights/``."""
    return sorted(os.listdir("weights")) if Path("weights").exists() else []


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "semiuhpe.models.fetching"]


def refusal(file: HubFile = FILE) -> str:
    with pytest.raises(CheckpointError) as error:
        fetched(file)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_is_fetched_once_with_its_record(hub, caplog, capfd):
    caplog.set_level(logging.INFO, "semiuhpe")
    assert fetched(FILE) == Path("weights/network.bin")
    assert Path("weights/network.bin").read_bytes() == CONTENT
    assert Path("weights", RECORD).read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  network.bin\n"
    (line,) = told(caplog)
    assert says(line, "network.bin 1.0 MB MIT someone/something 127.0.0.1") and str(Path.cwd()) in line
    fetched(FILE)
    assert hub.asked == ["HEAD someone/something/network.bin", "GET someone/something/network.bin"]
    assert lying() == ["network.bin", RECORD] and len(told(caplog)) == 1
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""  # no progress bar where there is no terminal


def test_processes_that_need_the_same_file_fetch_it_once(hub):
    threads = [threading.Thread(target=fetched, args=(FILE,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(line.startswith("GET") for line in hub.asked) == 1 and lying() == ["network.bin", RECORD]


@pytest.mark.parametrize("sends", [0, 1000, len(CONTENT) - 1])
def test_a_download_that_is_cut(hub, sends):
    hub.sends = sends
    assert says(refusal(), "network.bin 127.0.0.1 again")
    assert lying() == []
    hub.sends = None
    fetched(FILE)
    assert lying() == ["network.bin", RECORD]


def test_a_server_that_sends_another_file_than_it_announced(hub):
    hub.announced = "0" * 64
    assert says(refusal(), f"network.bin {'0' * 64} {hashlib.sha256(CONTENT).hexdigest()}")
    assert lying() == []


def test_a_hash_that_is_not_of_the_contents_is_not_compared(hub):
    hub.announced = "0" * 40  # git's own, of files that aren't large
    assert fetched(FILE).read_bytes() == CONTENT


def test_a_file_that_has_changed_since(hub):
    path = fetched(FILE)
    path.write_bytes(CONTENT[:-1])
    assert says(refusal(), f"network.bin {RECORD} Delete")
    os.remove(Path("weights", RECORD))  # the change is the user's
    assert fetched(FILE) == path and path.read_bytes() == CONTENT[:-1]


def test_files_without_a_record_are_used_as_they_are(hub):
    Path("weights").mkdir()
    Path("weights/network.bin").write_bytes(b"by hand")
    assert fetched(FILE).read_bytes() == b"by hand" and hub.asked == []


def test_how_long_a_server_may_take_is_a_number(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "long")
    with pytest.raises(ConfigError, match="HF_HUB_ETAG_TIMEOUT=long"):
        fetched(FILE)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "20")
    assert fetched(FILE).read_bytes() == CONTENT


def test_files_that_have_moved_on_the_hub_are_followed(hub):
    hub.moved["someone/old.bin"] = f"{FILE.repository}/{FILE.name}"
    assert fetched(HubFile("someone", "old.bin", "MIT")).read_bytes() == CONTENT


def test_a_hub_without_the_file(hub):
    error = refusal(HubFile("someone/something", "other.bin", "MIT"))
    assert says(error, f"other.bin 404 {hub.address}/someone/something/resolve/main/other.bin")
    assert not Path("weights").exists()


@pytest.mark.parametrize("place", ["weights", "weights/network.bin.partial", "weights/network.bin.sha256"])
def test_where_nothing_can_be_written(hub, place):
    """A file is where the folder should be, or a folder is where a file should be."""
    if place == "weights":
        Path(place).write_text("a file")
    else:
        Path(place, "in it").mkdir(parents=True)
    before = sorted(Path().rglob("*"))
    assert says(refusal(), f"{Path('weights/network.bin').absolute()} written")
    assert sorted(Path().rglob("*")) == before
    if place == "weights":  # before the network is asked
        with pytest.raises(CheckpointError, match="weights"):
            check_fetched(FILE)
        assert hub.asked == []


def test_a_folder_that_may_not_be_written(hub, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert says(refusal(), f"{Path.cwd()} written") and hub.asked == [] and not Path("weights").exists()


def test_ctrl_c_leaves_nothing(hub, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetched(FILE)
    assert lying() == []


def test_a_server_that_refuses_connections_is_asked_once(hub, monkeypatch, capfd):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    start = time.monotonic()
    error = refusal()
    assert time.monotonic() - start < 10
    assert says(error, f"127.0.0.1 {Path('weights').absolute()} http://127.0.0.1:1/someone/something/resolve/main/")
    captured = capfd.readouterr()
    assert captured.out + captured.err == "" and not Path("weights").exists()


def test_a_server_that_never_answers(hub, monkeypatch):
    with silent_server() as place:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{place}")
        start = time.monotonic()
        error = refusal()
        assert time.monotonic() - start < 10
    assert says(error, "127.0.0.1 connection") and not Path("weights").exists()


def test_offline_asks_nothing(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert says(refusal(), f"network.bin --offline HF_HUB_OFFLINE=1 {hub.address}")
    with pytest.raises(CheckpointError, match="--offline"):
        check_fetched(FILE)
    assert hub.asked == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    fetched(FILE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetched(FILE).read_bytes() == CONTENT  # what is there is used


def test_released_pose_networks_are_fetched_and_compared(hub):
    hub.files[POSES] = CONTENT
    for name in (POSE_NETWORK, f"{POSE_NETWORK}.pth"):
        assert find_checkpoint(name) == Path(f"weights/{POSE_NETWORK}.pth")
    assert hub.asked == [f"HEAD {POSES}", f"GET {POSES}"]
    Path(f"weights/{POSE_NETWORK}.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has changed"):
        find_checkpoint(POSE_NETWORK)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (image_cli.main, [POSE_NETWORK]),
        (image_cli.main, ["heads-front", "--detector", "yunet"]),
        (video_cli.main, [POSE_NETWORK]),
        (video_cli.main, ["heads-front", "--detector", "bpjdet"]),
        (demo_cli.main, ["--detector", "yunet"]),
        (evaluate_cli.main, [POSE_NETWORK]),
        (export_cli.main, [POSE_NETWORK, "--onnx", "a.onnx"]),
    ],
)
def test_the_commands_have_offline(hub, capsys, command, arguments):
    assert says(refused(capsys, command, [*arguments, "--offline"]), "weights/ --offline")
    assert hub.asked == []


@pytest.mark.parametrize(("kind", "name"), [("yunet", YUNET), ("bpjdet", BPJDET), ("bpjdet:paired", BPJDET)])
def test_detectors_are_fetched_when_they_are_loaded_not_when_they_are_checked(hub, kind, name):
    check_detector(kind)
    assert hub.asked == []
    with pytest.raises(CheckpointError, match="404"):
        load_detector(kind)
    assert hub.asked == [f"HEAD {name}"]


def test_detectors_by_name_are_those_of_the_hub(hub, monkeypatch):
    save_yunet(Path("net.onnx"))
    save_released(Path("net.pt"), random_network(), monkeypatch)
    hub.files |= {YUNET: Path("net.onnx").read_bytes(), BPJDET: Path("net.pt").read_bytes()}
    image = np.zeros((50, 70, 3), np.uint8)
    image[16:24, 32:40, 0] = 255
    np.testing.assert_allclose(load_detector("yunet")(image).boxes, [[32, 16, 8, 8]], atol=1e-3)
    assert not load_detector("bpjdet").paired and load_detector("bpjdet:paired").paired
    assert len(hub.asked) == 4


def test_by_the_command_line_all_that_is_said_is_what_is_fetched(hub, caplog, capfd):
    caplog.set_level(logging.INFO, "semiuhpe")
    save_yunet(Path("net.onnx"))
    hub.files[YUNET] = Path("net.onnx").read_bytes()
    samples = f"{ROOT}/examples/heads"
    assert run(image_cli.main, ["heads-front", "--input", samples, "--detector", "yunet", "--draw", "none"]) == 0
    (line,) = told(caplog)
    assert says(line, "face_detection_yunet_2023mar.onnx MB MIT opencv/face_detection_yunet 127.0.0.1")
    assert capfd.readouterr().err == ""  # OpenCV 5 warns of each network it opens
