"""Evaluations of networks whose predictions are known, from the store to the report."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from support.known_predictions import (
    R_300WLP,
    TableNetwork,
    as_300wlp,
    description,
    euler_grid,
    euler_to_matrix,
    parameter,
    turned,
    write_heads,
)
from support.paths import GOLDEN

from semiuhpe.data import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.distributions import base
from semiuhpe.errors import DataError, StoreError, TrainingError
from semiuhpe.evaluation.breakdowns import breakdowns, facing_deg
from semiuhpe.evaluation.evaluation_page import write_report
from semiuhpe.evaluation.predict import evaluate, evaluate_all, predict, predict_all
from semiuhpe.evaluation.results import collect, read_results, write_results
from semiuhpe.evaluation.validation import PoseValidation
from semiuhpe.models.output import PoseDecoder

CPU = torch.device("cpu")
COUNT = 24
ANGLES = torch.linspace(0, 180, COUNT, dtype=torch.float64)
"""How far off the student is, head by head; the teacher is off by half."""
OFF_BY = {"student": ANGLES, "teacher": ANGLES / 2}

SHARPNESS = 0.02 * (1 + torch.arange(COUNT) * 7 % COUNT)
"""How certain both are: not as they should be."""


def evaluated(folder, full_range):
    """The store and the results of a student and a teacher of known errors."""
    euler = euler_grid(COUNT) if full_range else euler_grid(COUNT, 40, 85, 30)
    truth = euler_to_matrix(euler)
    attributes = {"quality": ["hq", "lq", ""] * (COUNT // 3), "number": [f"{i}" for i in range(COUNT)]}
    path = write_heads(
        folder / "heads.lmdb", truth, None if full_range else euler, full_range, attributes,
        scale=np.geomspace(32 / 20, 32 / 600, COUNT),
    )  # fmt: skip
    store = HeadStore(path)
    networks = {name: TableNetwork(parameter(turned(truth, angle), SHARPNESS)) for name, angle in OFF_BY.items()}
    evaluations = evaluate_all(networks, PoseDecoder(description(full_range=full_range)), store, CPU, 5)
    checkpoint = folder / "best.pth"
    checkpoint.write_bytes(b"weights")
    settings = {"test_set": "heads", "protocol": "exact", "eval_batch_size": 5, "device": "cpu"}
    return store, collect(evaluations, store, description(full_range=full_range), checkpoint, settings)


@pytest.fixture(scope="module", params=["front", "full"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    store, results = evaluated(folder, request.param == "full")
    return request.param, folder, store, results


def test_known_errors_come_out(case):
    name, _, _, results = case
    for role, off_by in OFF_BY.items():
        found, heads = results.summary["results"][role], results.heads
        np.testing.assert_allclose(heads[f"{role}_geodesic_deg"], off_by, atol=2e-4)
        assert found["geodesic_mean_deg"] == pytest.approx(off_by.mean().item(), abs=1e-4)
        assert found["geodesic_median_deg"] == pytest.approx(off_by.median().item(), abs=5)
        assert found["under_30_deg"] == (off_by < 30).double().mean().item()
        frobenius = (8**0.5 * torch.sin(torch.deg2rad(off_by) / 2)).mean().item()
        assert found["frobenius_mean"] == pytest.approx(frobenius, abs=1e-5)
        low, high = results.summary["intervals"][role]["geodesic_mean_deg"]
        assert low < found["geodesic_mean_deg"] < high
        assert ("euler_mae_deg" in found) == (name == "front")
    assert results.summary["results"]["student"]["geodesic_mean_deg"] == pytest.approx(90, abs=1e-4)
    assert results.heads["student_geodesic_deg"][-1] == pytest.approx(180, abs=2e-4)


def test_worst_heads_come_first(case):
    _, _, store, results = case
    worst = results.summary["worst"]["student"]
    assert [row["name"] for row in worst] == store.names[::-1].tolist()
    assert worst[0]["geodesic_deg"] == pytest.approx(180, abs=2e-4)


def test_breakdowns_cover_all_heads_and_their_means_add_up(case):
    _, _, _, results = case
    expected = {"yaw", "pitch", "roll", "distance_to_frontal", "facing", "head_size", "attribute_quality"}
    if results.summary["store"]["full_range"]:
        expected |= {"facing_15", "facing_30"}
    for role, divisions in results.summary["breakdowns"].items():
        assert expected == set(divisions)
        for division in divisions.values():
            rows = division["groups"]
            assert sum(row["count"] for row in rows) == COUNT
            whole = sum(row["count"] * row["geodesic_mean_deg"] for row in rows) / COUNT
            assert whole == pytest.approx(results.summary["results"][role]["geodesic_mean_deg"])


def test_written_results_are_read_back(case):
    _, folder, _, results = case
    write_results(results, folder / "eval_heads.json")
    again = read_results(folder / "eval_heads.json")
    assert again.summary == json.loads(json.dumps(results.summary))
    assert again.heads.keys() == results.heads.keys()
    for key, values in results.heads.items():
        np.testing.assert_array_equal(again.heads[key], values)


class Texts(HTMLParser):
    """What a page says, cell by cell, without styles and plots."""

    def __init__(self):
        super().__init__()
        self.lines, self._hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self._hidden += tag in ("style", "svg")
        if tag == "tr":
            self.lines.append("")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("style", "svg")

    def handle_data(self, data):
        text = data.strip()
        if self._hidden or not text:
            return
        if self.lines and self.get_starttag_text() in ("<td>", "<th>"):
            self.lines[-1] = f"{self.lines[-1]} | {text}".removeprefix(" | ")
        else:
            self.lines.append(text)


def page_text(path, folder):
    parser = Texts()
    parser.feed(path.read_text())
    return "\n".join(line for line in parser.lines if line).replace(str(folder), "FOLDER") + "\n"


def golden_summary(summary, folder):
    return json.loads(json.dumps(summary).replace(str(folder), "FOLDER"))


def assert_close(found, expected, place="summary"):
    """Equal structure; numbers equal to 1e-6, as another machine rounds differently."""
    assert type(found) is type(expected) or isinstance(found, (int, float)), place
    if isinstance(expected, dict):
        assert list(found) == list(expected), place
        for key in expected:
            assert_close(found[key], expected[key], f"{place}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for i, value in enumerate(expected):
            assert_close(found[i], value, f"{place}/{i}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), place
    else:
        assert found == expected, place


def test_golden_results_and_report(case):
    """``python tests/test_evaluation.py`` writes the golden files anew: look at the difference."""
    name, folder, store, results = case
    expected = json.loads((GOLDEN / f"eval_{name}.json").read_text())
    assert_close(golden_summary(results.summary, folder), expected)
    write_report(folder / "report.html", results, store)
    assert page_text(folder / "report.html", folder) == (GOLDEN / f"report_{name}.txt").read_text()


def write_golden(folder):
    for name in ("front", "full"):
        place = folder / name
        place.mkdir()
        store, results = evaluated(place, name == "full")
        write_report(place / "report.html", results, store)
        text = json.dumps(golden_summary(results.summary, place), indent=1)
        (GOLDEN / f"eval_{name}.json").write_text(text + "\n")
        (GOLDEN / f"report_{name}.txt").write_text(page_text(place / "report.html", place))


PROBE = """<script>
const errors = [];
addEventListener('error', event => errors.push(event.message || event.target.tagName), true);
addEventListener('load', () => {
  const images = [...document.images], plots = [...document.querySelectorAll('svg.plot')];
  const empty = plots.filter(plot => plot.getBoundingClientRect().height < 50).length;
  const ink = getComputedStyle(document.body).color;
  document.title = [images.filter(i => !i.naturalWidth).length, images.length, empty, plots.length, errors.length,
    document.documentElement.scrollWidth > innerWidth, performance.getEntriesByType('resource')
      .filter(entry => !entry.name.startsWith('data:')).length, ink].join(' ');
});
</script>"""


def test_report_opens_in_a_browser(case, tmp_path):
    """The front range's on a light page, the full range's on a dark one."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    name, _, store, results = case
    dark = name == "full"
    page, probe = tmp_path / "report.html", tmp_path / "probe.html"
    write_report(page, results, store)
    text = page.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "@import" not in text and "<script" not in text
    probe.write_text(text.replace("<head>", "<head>" + PROBE, 1))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--enable-logging=stderr", "--window-size=1200,900"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    result = subprocess.run(
        [browser, *flags, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in result.stderr
    title = re.search(r"<title>(.*?)</title>", result.stdout)[1].split(" ", 7)
    assert title[:7] == ["0", "48", "0", "7", "0", "false", "0"], "images, plots, errors, too wide, requests"
    assert title[7] == ("rgb(230, 233, 236)" if dark else "rgb(29, 35, 41)")


@pytest.mark.parametrize("distribution", ["matrixFisher", "RotationLaplace"])
def test_a_report_of_one_head_without_error(tmp_path, distribution):
    truth = euler_to_matrix(euler_grid(1))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    described = replace(description(), distribution=distribution)
    evaluations = evaluate_all({"teacher": TableNetwork(parameter(truth))}, PoseDecoder(described), store, CPU, 1)
    (tmp_path / "last.pth").write_bytes(b"")
    results = collect(evaluations, store, described, tmp_path / "last.pth", {"test_set": "heads"})
    assert results.summary["calibration"]["teacher"]["spearman"] is None
    assert (results.summary["calibration"]["teacher"]["coverage"] is None) == (distribution == "RotationLaplace")
    write_results(results, tmp_path / "eval_heads.json")
    write_report(tmp_path / "report.html", results, store)
    text = page_text(tmp_path / "report.html", tmp_path)
    assert "1 heads" in text and ("can't be sampled from" in text) == (distribution == "RotationLaplace")


def test_models_in_the_other_convention_are_converted(tmp_path):
    truth = euler_to_matrix(euler_grid(6))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    rows = parameter(truth)
    for convention, table, worst in (
        (R_300WLP, as_300wlp(rows), 0.1),
        ("head_to_camera", rows, 0.1),
        (R_300WLP, rows, None),
    ):
        found = evaluate(TableNetwork(table), PoseDecoder(description(convention)), store, CPU, 4).errors[
            "geodesic_deg"
        ]
        assert (found.max() < worst) if worst else (found.max() > 90)


def test_predict_of_one_network_is_that_of_several(tmp_path):
    truth = euler_to_matrix(euler_grid(5))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    network = TableNetwork(parameter(truth)).train()
    rotation, entropy = predict(network, PoseDecoder(description()), store, CPU, 2)
    assert rotation.shape == (5, 3, 3) and entropy.shape == (5,) and network.training
    np.testing.assert_allclose(rotation, truth, atol=1e-5)


def test_bins_hold_their_lower_edge_and_the_last_one_both(tmp_path):
    euler = torch.tensor([[0, -90, 0], [0, -75, 0], [0, 0, 0], [0, 89, 0], [0, 90, 0]], dtype=torch.float64)
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", euler_to_matrix(euler), full_range=False))
    found = breakdowns(store)["yaw"]
    labels = [found.labels[number] for number in found.group[[0, 2, 3, 4]]]
    assert labels == ["-90° to -75°", "0° to 15°", "75° to 90°", "75° to 90°"]


def test_a_face_upside_down_is_far_from_frontal_but_seen_from_the_front(tmp_path):
    euler = torch.tensor([[0, 0, 0], [0, 0, 180], [0, 90, 0], [0, 170, 0]], dtype=torch.float64)
    truth = euler_to_matrix(euler)
    np.testing.assert_allclose(facing_deg(truth.numpy()), [0, 0, 90, 170], atol=1e-6)
    found = breakdowns(HeadStore(write_heads(tmp_path / "heads.lmdb", truth)))
    assert found["distance_to_frontal"].group.tolist() == [0, 2, 1, 2]
    assert found["facing"].group.tolist() == [0, 0, 1, 2]


def test_head_sizes_are_those_of_the_source(tmp_path):
    truth = euler_to_matrix(euler_grid(3))
    # Boxes of 32 crop pixels that were 16, 40 and 640 pixels in the source.
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth, scale=[2.0, 0.8, 0.05]))
    found = breakdowns(store)["head_size"]
    assert [found.labels[number] for number in found.group] == ["0 to 32 px", "32 to 64 px", "512 px or more"]


def test_predictions_that_are_not_finite(tmp_path):
    truth = euler_to_matrix(euler_grid(4))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    table = parameter(truth)
    table[2, 4] = torch.nan
    with pytest.raises(TrainingError, match=r"heads\.lmdb.*finite"):
        evaluate(TableNetwork(table), PoseDecoder(description()), store, CPU, 2)


@pytest.mark.parametrize("distribution", ["matrixFisher", "gramSchmidt"])
def test_predictions_that_are_not_finite_where_the_distributions_do_not_look(tmp_path, monkeypatch, distribution):
    """As on a GPU. The entropy of a point estimate is 0, whatever its parameter is."""
    monkeypatch.setattr(base, "check_parameters", lambda parameter, *_: parameter)
    truth = euler_to_matrix(euler_grid(4))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    table = parameter(truth)
    table[2, 4] = torch.nan
    decoder = PoseDecoder(replace(description(), distribution=distribution))
    with pytest.raises(TrainingError, match=r"heads\.lmdb.*teacher.*finite"):
        predict_all({"student": TableNetwork(parameter(truth)), "teacher": TableNetwork(table)}, decoder, store, CPU, 2)


def test_validation_reads_the_heads_once_for_all_networks(tmp_path, monkeypatch):
    truth = euler_to_matrix(euler_grid(4))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    networks = {"student": TableNetwork(parameter(truth)), "teacher": TableNetwork(parameter(truth.roll(1, 0)))}
    validate = PoseValidation(description(), store, Process(0, 1, CPU), 2)
    alone = {role: validate({role: network})[role] for role, network in networks.items()}
    read, original = [], HeadStore.image
    monkeypatch.setattr(HeadStore, "image", lambda self, position: read.append(position) or original(self, position))
    together = validate(networks)
    assert read == list(range(len(truth)))
    assert together == alone and together["student"] != together["teacher"]


def test_labels_that_are_no_rotations(tmp_path):
    truth = euler_to_matrix(euler_grid(4))
    truth[1] *= 1.1
    truth[3, 0] *= -1  # a reflection
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    with pytest.raises(StoreError, match=r"heads\.lmdb.*\b2 heads.*head001, head003\)"):
        evaluate(TableNetwork(parameter(truth)), PoseDecoder(description()), store, CPU, 2)


def test_euler_labels_that_are_not_finite(tmp_path):
    euler = euler_grid(3, 40, 80, 30)
    truth = euler_to_matrix(euler)
    euler[1, 2] = torch.nan
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth, euler, full_range=False))
    with pytest.raises(StoreError, match=r"heads\.lmdb.*\(head001\)"):
        evaluate(TableNetwork(parameter(truth)), PoseDecoder(description()), store, CPU, 2)


def test_stores_without_heads_or_labels(tmp_path):
    path = write_heads(tmp_path / "heads.lmdb", euler_to_matrix(euler_grid(2)))
    network, decoder = TableNetwork(torch.zeros(2, 9)), PoseDecoder(description())
    with pytest.raises(StoreError, match=r"heads\.lmdb.*no heads"):
        evaluate(network, decoder, HeadStore(path, []), CPU, 2)
    store = HeadStore(path)
    store.rotation = None
    with pytest.raises(StoreError, match=r"heads\.lmdb.*no labels"):
        evaluate(network, decoder, store, CPU, 2)


def test_results_that_can_not_be_read(case, tmp_path):
    _, _, _, results = case
    path = tmp_path / "eval_x.json"
    with pytest.raises(DataError, match=r"eval_x\.json.*missing"):
        read_results(path)
    path.write_text('{"results": {}}')
    with pytest.raises(DataError, match=r"eval_x\.json.*eval\.py"):
        read_results(path)
    path.write_text('{"format_version": 99}')
    with pytest.raises(DataError, match=r"eval_x\.json.*\b99\b"):
        read_results(path)
    write_results(results, path)
    path.with_suffix(".npz").write_bytes(b"PK half")
    with pytest.raises(DataError, match=r"eval_x\.npz.*broken"):
        read_results(path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(DataError, match=r"eval_x\.npz.*missing"):
        read_results(path)


def test_numbers_that_are_not_finite_are_never_written(case, tmp_path):
    _, _, _, results = case
    broken = type(results)({**results.summary, "results": {"student": {"geodesic_mean_deg": float("nan")}}}, {})
    with pytest.raises(ValueError):
        write_results(broken, tmp_path / "eval_x.json")
    assert not (tmp_path / "eval_x.json").exists()


if __name__ == "__main__":
    import tempfile

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        write_golden(Path(temporary))
