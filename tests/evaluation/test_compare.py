"""Paired comparisons of evaluations whose errors are known."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import scipy.stats
import torch
from support.errors import refused
from support.known_predictions import (
    euler_grid,
    euler_to_matrix,
    known_results,
    turned,
)

from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.errors import DataError
from semiuhpe.evaluation.compare import _row, compare
from semiuhpe.evaluation.compare_page import write_comparison
from semiuhpe.evaluation.results import read_results, write_results

COUNT = 180
NOISE = torch.from_numpy(np.random.default_rng(3).gamma(2, 10, COUNT))
EULER = euler_grid(COUNT)
TRUTH = euler_to_matrix(EULER)
BEHIND = EULER[:, 1].abs() > 90


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of runs a, b and c: b is better than a by about a degree on heads seen from behind only; c is other heads.

    What makes heads hard varies much more than that.
    """
    root = tmp_path_factory.mktemp("runs")
    better = torch.from_numpy(np.random.default_rng(4).normal(1.0, 0.5, COUNT)) * BEHIND
    cases = {"a": (TRUTH, NOISE + 5), "b": (TRUTH, NOISE + 5 - better), "c": (TRUTH[:40], NOISE[:40])}
    for name, (truth, off_by) in cases.items():
        folder = root / "exp" / name / "date"
        folder.mkdir(parents=True)
        predicted = {"student": turned(truth, 2 * off_by), "teacher": turned(truth, off_by)}
        write_results(known_results(folder, truth, predicted)[1], folder / "eval_heads.json")
    return root


def command(*arguments):
    return run(main_cli._dispatch, ["compare", *map(str, arguments)])


def error_of(capsys, *arguments):
    return refused(capsys, main_cli._dispatch, ["compare", *arguments])


def test_a_small_but_regular_difference_is_found(runs, tmp_path, capsys):
    output = tmp_path / "c.json"
    assert command("a/date", "b/date", "--exps_dir", runs, "--output", output) == 0
    assert "geodesic mean" in capsys.readouterr().out
    found = json.loads(output.read_text())
    row = found["means"]["geodesic_mean_deg"]
    expected = scipy.stats.bootstrap(
        ((np.load(runs / "exp/b/date/eval_heads.npz")["teacher_geodesic_deg"]
          - np.load(runs / "exp/a/date/eval_heads.npz")["teacher_geodesic_deg"]),),
        np.mean, n_resamples=4000, method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(row["interval"], expected, atol=0.03)
    assert row["difference"] == pytest.approx(row["b"] - row["a"]) and -1 < row["difference"] < -0.2
    assert row["better"] == "B" and row["b_is_better"] == 1.0
    # Unpaired, the difference is lost in the noise.
    alone = json.loads((runs / "exp/a/date/eval_heads.json").read_text())["intervals"]["teacher"]["geodesic_mean_deg"]
    assert alone[0] < row["b"] < alone[1]
    assert (found["a"]["path"], found["heads"]) == (str(runs / "exp/a/date/best.pth"), COUNT)


def test_groups_tell_where_the_difference_is(runs, tmp_path):
    assert command(runs / "exp/a/date", runs / "exp/b/date", "--output", tmp_path / "c.json") == 0
    groups = json.loads((tmp_path / "c.json").read_text())["groups"]
    for row in groups["yaw"]:
        low, high = (float(angle) for angle in re.findall(r"-?\d+", row["label"]))
        behind = max(abs(low), abs(high)) > 90
        assert row["better"] == ("B" if behind else ""), row
        if not behind:
            assert row["difference"] == pytest.approx(0, abs=1e-3)
    for rows in groups.values():
        assert sum(row["count"] for row in rows) == COUNT


def test_groups_of_few_heads_have_no_interval(runs, tmp_path):
    """Two groups are far worse in B, but they are of nine and of two heads."""
    results = [read_results(runs / f"exp/{name}/date/eval_heads.json") for name in "ab"]
    for result in results:
        result.heads["group_facing"] = np.repeat([0, 1, 2], [COUNT - 11, 9, 2])
    results[1].heads["teacher_geodesic_deg"][-11:] += 50
    found = compare(*results, "teacher")
    many, nine, two = found["groups"]["facing"]
    assert (many["count"], nine["count"], two["count"]) == (COUNT - 11, 9, 2)
    low, high = many["interval"]
    assert low <= many["difference"] <= high
    assert nine["interval"] is two["interval"] is None and nine["better"] == two["better"] == ""
    assert two["difference"] == pytest.approx(two["b"] - two["a"]) and two["difference"] > 40
    write_comparison(tmp_path / "c.html", found, *results)
    page = (tmp_path / "c.html").read_text()
    assert "Groups of fewer than 10 heads are hollow and have no interval" in page and "nan" not in page


def test_the_other_way_round_signs_change(runs, tmp_path):
    for name, first, second in (("ab", "a", "b"), ("ba", "b", "a")):
        paths = (runs / "exp" / first / "date/eval_heads.json", runs / "exp" / second / "date/eval_heads.json")
        assert command(*paths, "--output", tmp_path / f"{name}.json") == 0
    there, back = (json.loads((tmp_path / f"{name}.json").read_text())["means"] for name in ("ab", "ba"))
    for key, row in there.items():
        assert row["difference"] == pytest.approx(-back[key]["difference"])
        np.testing.assert_allclose(row["interval"], [-back[key]["interval"][1], -back[key]["interval"][0]], atol=1e-9)
        assert (row["better"], back[key]["better"]) in (("A", "B"), ("B", "A"), ("", ""))
        assert row["b_is_better"] == pytest.approx(1 - back[key]["b_is_better"])


def test_more_heads_under_a_limit_are_better():
    gained = np.linspace(0.01, 0.02, 100)
    assert _row(0.1, 0.115, gained, larger_is_better=True)["better"] == "B"
    assert _row(0.1, 0.115, gained)["better"] == "A"


def test_a_run_against_itself_is_no_better(runs, tmp_path):
    assert command("a/date", "a/date", "--exps_dir", runs, "--role", "student", "--output", tmp_path / "c.json") == 0
    for row in json.loads((tmp_path / "c.json").read_text())["means"].values():
        assert (row["difference"], row["better"], row["b_is_better"]) == (0.0, "", 0.5)


def test_other_heads_are_refused(runs, tmp_path, capsys):
    error = error_of(capsys, "a/date", "c/date", "--exps_dir", runs, "--output", tmp_path / "c.json")
    assert "different heads" in error
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_found(runs, capsys):
    first, second = runs / "exp/a/date/eval_heads.json", runs / "exp/b/date/eval_heads.json"
    for arguments, words in (
        (("a/date", "nowhere"), "nowhere"),
        (("a/date", "b/date", "--test_set", "AFLW2000"), "AFLW2000"),
        (("a/date", runs / "exp/b/date/best.pth"), "best.pth"),
        ((first, second, "--output", second), f"--output {second}"),
    ):
        assert words in error_of(capsys, *arguments, "--exps_dir", runs)


def test_a_run_with_several_evaluations_has_to_be_told_which(runs, tmp_path, capsys):
    for name in "ab":
        shutil.copytree(runs / "exp" / name / "date", tmp_path / name)
        for suffix in (".json", ".npz"):
            shutil.copy(tmp_path / name / f"eval_heads{suffix}", tmp_path / name / f"eval_more{suffix}")
    error = error_of(capsys, tmp_path / "a", tmp_path / "b")
    assert all(words in error for words in ("--test_set", "heads", "more"))
    assert command(tmp_path / "a", tmp_path / "b", "--test_set", "data/more.lmdb") == 0
    assert {path.name for path in (tmp_path / "b").glob("compare*")} == {"compare_more.json", "compare_more.html"}


def test_a_model_that_was_not_evaluated(runs):
    results = read_results(runs / "exp/a/date/eval_heads.json")
    del results.summary["results"]["teacher"]
    with pytest.raises(DataError, match="teacher"):
        compare(results, results, "teacher")


def test_the_page_opens_in_a_browser(runs, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    assert command("a/date", "b/date", "--exps_dir", runs, "--output", tmp_path / "c.json") == 0
    script = (
        "<script>addEventListener('load', () => document.title = [...document.querySelectorAll('svg.plot')]"
        ".filter(plot => plot.getBoundingClientRect().height > 50).length + ' plots')</script>"
    )
    probe = tmp_path / "probe.html"
    probe.write_text((tmp_path / "c.html").read_text().replace("</body>", script + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    result = subprocess.run(
        [browser, *flags, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in result.stderr
    assert re.search(r"<title>(.*?)</title>", result.stdout)[1] == "10 plots"
