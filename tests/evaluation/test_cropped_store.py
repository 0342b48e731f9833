"""Whole pictures, of which each network gets the crops that it needs, and the protocols that say which heads count."""

import json

import numpy as np
import pytest
from PIL import Image
from support.checkpoints import SHIPPED
from support.errors import refused, says
from support.foreign_files import write_onnx
from support.paths import SHARED
from support.raw_datasets import write_300wlp, write_aflw

from semiuhpe.cli import compare as compare_cli
from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import inspect as inspect_cli
from semiuhpe.cli import main as main_cli
from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores.inspect import picture_fault
from semiuhpe.errors import ConfigError, DataError, StoreError
from semiuhpe.evaluation.compare import compare
from semiuhpe.evaluation.cropped_store import CroppedStore
from semiuhpe.evaluation.network_table import published_table
from semiuhpe.evaluation.protocols import PROTOCOLS, default_protocol
from semiuhpe.evaluation.results import Results
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.foreign.crops import CROPS

ANGLES = [(10.0 * (i % 7) - 30.0, 8.0 * (i % 11) - 40.0, 5.0 * (i % 5) - 10.0) for i in range(22)]
BEYOND = [(0.0, 95.0, 0.0), (0.0, 100.0, 0.0)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_aflw(tmp_path_factory.mktemp("raw") / "AFLW2000", ANGLES + BEYOND)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "AFLW2000_whole.lmdb"
    summary = prepare("AFLW2000", source, path, whole=True)
    assert summary.kept == 24 and summary.expected is None
    return path


def test_whole_pictures_are_the_files_of_the_source(whole, source):
    store = HeadStore(whole)
    assert store.whole and len(store) == 24 and store.size == 0
    picture = np.asarray(Image.open(source / "image00003.jpg").convert("RGB"))
    np.testing.assert_array_equal(store.image(3), picture)
    assert store.encoded_bytes()[3] == (source / "image00003.jpg").stat().st_size
    assert store.landmarks68.shape == (24, 68, 2) and (store.landmark_extent[:, 0] == -1).all()


def test_own_crops_are_those_of_the_test_store(whole, source, tmp_path):
    prepare("AFLW2000", source, tmp_path / "crops.lmdb", size=48)
    crops, kept = HeadStore(tmp_path / "crops.lmdb"), PROTOCOLS["AFLW2000-1964"].select(HeadStore(whole))
    cropped = CroppedStore(kept, 48)
    assert cropped.names.tolist() == crops.names.tolist() and len(crops) == 22
    for index in range(len(crops)):
        np.testing.assert_array_equal(cropped.image(index), crops.image(index))
    np.testing.assert_array_equal(cropped.view([4, 2]).image(0), crops.image(4))
    assert (cropped.size, cropped.whole, cropped.meta["crop_rule"]) == (48, False, "landmarks")


def test_pictures_that_are_head_crops_stay_whole(tmp_path):
    path = tmp_path / "BIWI_test.npz"
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 64, 3), np.uint8)
    np.savez(path, image=images, pose=np.zeros((3, 3)), img_size=64)
    for name, whole in (("whole", True), ("crops", False)):
        more = {} if whole else {"size": 32}
        prepare("BIWItest", path, tmp_path / name, whole=whole, **more)
    cropped = CroppedStore(HeadStore(tmp_path / "whole"), 32)
    np.testing.assert_array_equal(cropped.image(1), HeadStore(tmp_path / "crops").image(1))


def test_other_rules_start_from_what_they_need(whole, tmp_path):
    store = HeadStore(whole)
    rule = CROPS["fsanet"]
    first, last = store.landmarks68[5].min(0), store.landmarks68[5].max(0)
    w, h = last - first
    left, top = int(first[0] - 0.21 * w), int(first[1] - 0.7 * h)
    right, bottom = int(last[0] + 0.21 * w), int(last[1] + 0.21 * h)
    expected = store.image(5)[max(top, 0) : bottom, max(left, 0) : right]
    cropped = CroppedStore(store, 64, rule)
    assert abs(cropped.image(5).mean() - expected.mean()) < 2
    write_300wlp(tmp_path / "300W_LP", False)
    prepare("300WLP", tmp_path / "300W_LP", tmp_path / "w.lmdb", whole=True)
    assert HeadStore(tmp_path / "w.lmdb").landmarks68.shape == (6, 68, 2)
    (tmp_path / "heads").mkdir()
    Image.new("RGB", (50, 50)).save(tmp_path / "heads" / "a.png")
    prepare("folder", tmp_path / "heads", tmp_path / "f.lmdb", whole=True)
    with pytest.raises(StoreError, match=r"f\.lmdb.*68 landmarks.*fsanet"):
        CroppedStore(HeadStore(tmp_path / "f.lmdb"), 64, rule)
    with pytest.raises(StoreError, match=r"a box of the head.*dad3dnet_box"):
        CroppedStore(store, 64, CROPS["dad3dnet_box"])
    store.landmarks68 = np.full((24, 68, 2), np.nan)  # as of a file without them
    with pytest.raises(StoreError, match="68 landmarks"):
        CroppedStore._starts(_with(store, rule))


def _with(store, rule):
    cropped = CroppedStore(HeadStore(store.path), 64, rule)
    cropped.landmarks68 = store.landmarks68
    return cropped


def test_protocols_keep_their_heads(whole, source, tmp_path, stores):
    store = HeadStore(whole)
    assert default_protocol(store).name == "AFLW2000-1964"
    assert [len(PROTOCOLS[f"AFLW2000-{count}"].select(store)) for count in (1964, 1969)] == [22, 23]
    prepare("AFLW2000", source, tmp_path / "crops.lmdb", size=16)
    crops = HeadStore(tmp_path / "crops.lmdb")
    assert default_protocol(crops).name == "AFLW2000-1964" and len(PROTOCOLS["AFLW2000-1964"].select(crops)) == 22
    assert default_protocol(HeadStore(stores["test"])) is None
    with pytest.raises(StoreError, match=r"--protocol AFLW2000-1969.*--whole"):
        PROTOCOLS["AFLW2000-1969"].select(crops)
    with pytest.raises(ConfigError, match="is for AFLW2000"):
        PROTOCOLS["AFLW2000-1964"].select(HeadStore(stores["test"]))


def test_protocols_are_of_a_dataset_a_split_and_a_training(stores, tmp_path, capsys):
    path = tmp_path / "BIWI_noTrack.npz"
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    np.savez(path, image=images, pose=np.zeros((3, 3)), img_size=64)
    prepare("BIWInoTrack", path, tmp_path / "biwi.lmdb", size=64)
    store = HeadStore(tmp_path / "biwi.lmdb")
    assert len(PROTOCOLS["BIWI-FSANet"].select(store)) == 3 and default_protocol(store) is None
    with pytest.raises(ConfigError, match=r"is for BIWItest; .* is BIWInoTrack test"):
        PROTOCOLS["BIWI-70-30"].select(store)
    with pytest.raises(ConfigError, match="is for DAD3DHeads val"):
        PROTOCOLS["DAD3DHeads-val"].select(store)
    with pytest.raises(ConfigError, match=r"is for models of 300WLP; .*heads-front.* was trained on"):
        evaluate_checkpoint("heads-front", tmp_path / "biwi.lmdb", protocol="BIWI-FSANet")


def test_results_of_different_protocols_are_not_compared(whole, tmp_path):
    kept = HeadStore(whole)
    first = evaluate_checkpoint("heads-front", kept, protocol="AFLW2000-1969", roles=("teacher",))
    summary = {**first.summary, "settings": {**first.summary["settings"], "heads_protocol": "AFLW2000-1964"}}
    with pytest.raises(DataError, match=r"by AFLW2000-1969 and .* by AFLW2000-1964"):
        compare(first, Results(summary, first.heads))


def test_a_store_of_whole_pictures_is_inspected(whole, tmp_path, capsys):
    assert run(inspect_cli.main, [str(whole), "--verify", "--workers", "0"]) == 0
    assert run(inspect_cli.main, [str(whole), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "whole" in capsys.readouterr().out and (tmp_path / "sheet.png").is_file()
    store = HeadStore(whole)
    store.bounds[3] = [0, 0, 90, 120]
    assert "100x120" in picture_fault(store, 3) and picture_fault(store, 2) is None


@pytest.fixture
def fsanet(tmp_path):
    return f"fsanet:{write_onnx(tmp_path / 'a.onnx', factor=30.0)},{write_onnx(tmp_path / 'b.onnx', factor=40.0)}"


def test_a_network_of_others_is_evaluated_and_compared(whole, fsanet, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--test_set", str(whole), "--protocol", "AFLW2000-1969"]
    assert run(evaluate_cli.main, [fsanet, *options]) == 0
    printed = capsys.readouterr().out
    assert "AFLW2000-1969 (23 heads" in printed and "a complete copy of AFLW2000 gives 1969" in printed
    assert "head frame" in printed
    [path] = (tmp_path / "outputs" / "eval" / "fsanet_a_b").glob("*.json")
    summary = json.loads(path.read_text())
    assert summary["settings"]["heads_protocol"] == "AFLW2000-1969" and summary["store"]["protocol"] == "fsanet"
    assert list(summary["results"]) == ["model"] and summary["checkpoint"]["path"] == fsanet
    assert summary["calibration"]["model"]["sparsification"] is None and summary["worst"]["model"][0]["entropy"] is None
    assert "AFLW2000-1969" in path.with_name("report.html").read_text()
    (tmp_path / "config.yml").write_text("test_set: elsewhere\n")  # of no run of this network
    found = evaluate_checkpoint(fsanet, whole, protocol="AFLW2000-1969")
    again = found.summary
    assert np.isnan(found.heads["model_entropy"]).all() and again["run"] is None
    assert json.loads(json.dumps(again["results"])) == summary["results"]

    assert run(evaluate_cli.main, [SHIPPED.stem, *options]) == 0
    [own] = (tmp_path / "outputs" / "eval" / SHIPPED.stem).glob("*.json")
    assert json.loads(own.read_text())["store"]["protocol"] == "landmarks"
    assert run(compare_cli.main, [str(path), str(own)]) == 0
    assert "teachers on 23 heads" in capsys.readouterr().out


def test_crops_of_another_rule_are_said(stores, fsanet, tmp_path, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(evaluate_cli.main, [fsanet, "--test_set", str(stores["test"])]) == 0
    assert "head_box" in caplog.text and "fsanet" in caplog.text and "--whole" in caplog.text


def test_turned_heads_are_cropped_first(whole, fsanet):
    plain = evaluate_checkpoint(fsanet, whole)
    turned = evaluate_checkpoint(fsanet, whole, transform="rotate:180", in_plane=True)
    assert len(turned.heads["names"]) == len(plain.heads["names"]) == 22
    # The mean color, all that these files look at, stays; the label turns.
    np.testing.assert_allclose(turned.heads["model_rotation"], plain.heads["model_rotation"], atol=1e-5)
    assert not np.allclose(turned.heads["rotation"], plain.heads["rotation"])


def test_table_of_networks(whole, fsanet, tmp_path, capsys):
    command = ["tables", "networks", fsanet, SHIPPED.stem, "--test_set", str(whole), "--output", str(tmp_path / "t")]
    assert run(main_cli._dispatch, command) == 0
    printed = capsys.readouterr().out
    assert "AFLW2000-1964" in printed and "fsanet a_b" in printed and SHIPPED.stem in printed and "22 heads" in printed
    assert {file.suffix for file in (tmp_path / "t").iterdir()} == {".md", ".csv", ".tex"}
    assert "Published numbers of AFLW2000" in printed and "RankPose" in printed and "300W-LP" in printed
    published = published_table("BIWItest")
    assert published.title.endswith("BIWI") and published_table("drawn") is None
    for row in (*published.rows, *published_table("AFLW2000").rows):
        *angles, mean, _ = row.cells
        assert all(angles) != (not any(angles)) and float(mean) < 7
        if all(angles):  # as it is printed: rounded, or of rounded angles
            assert abs(np.mean([float(angle) for angle in angles]) - float(mean)) < 0.02


def test_what_whole_pictures_are_not_for(whole, source, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--train_labeled", whole, "--val_set", whole, "--network", "plainnet", "--exps_dir", tmp_path / "exps"]
    assert says(refused(capsys, train_cli.main, options), f"{whole} --whole")
    for more, words in ((["--size", "64"], "--size 64"), (["--scenes"], "--scenes --whole")):
        command = ["AFLW2000", "--source", source, "--out", tmp_path / "o.lmdb", "--whole", *more]
        assert says(refused(capsys, prepare_cli.main, command), words)
    assert not (tmp_path / "o.lmdb").exists()
    wrong = [SHIPPED.stem, "--test_set", whole, "--protocol", "AFLW2000"]
    assert "--protocol" in capsys_error(capsys, wrong)


def capsys_error(capsys, arguments):
    assert run(evaluate_cli.main, [str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.skipif(not (SHARED / "real" / "weights").is_dir(), reason="needs the real files of ../shared")
def test_fsanet_has_its_published_error(tmp_path):
    weights, photographs = SHARED / "real" / "weights", SHARED / "real" / "AFLW2000-dev"
    prepare("AFLW2000", photographs, tmp_path / "whole.lmdb", whole=True)
    files = [weights / f"fsanet-{kind}-iter-688590.onnx" for kind in ("1x1", "var")]
    name = f"fsanet:{files[0]},{files[1]}"
    means = evaluate_checkpoint(name, tmp_path / "whole.lmdb", protocol="AFLW2000-1969").summary["results"]["model"]
    found = [means[f"{angle}_mae_deg"] for angle in ("yaw", "pitch", "roll", "euler")]
    np.testing.assert_allclose(found, [4.70, 6.11, 4.65, 5.15], atol=0.006)
