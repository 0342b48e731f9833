"""Evaluation of turned and flipped heads, the error against the in-plane angle, and pages on embeddings."""

import json

import numpy as np
import pytest
import torch
from support.known_predictions import TableNetwork, description, euler_grid, euler_to_matrix, parameter, write_heads

from semiuhpe.cli import embedding as embedding_cli
from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import export as export_cli
from semiuhpe.cli import tables as tables_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.heads import ordered_batches
from semiuhpe.errors import StoreError
from semiuhpe.evaluation.embedding import Distances
from semiuhpe.evaluation.embedding_page import Embedded
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.results import read_results
from semiuhpe.evaluation.tables import Table
from semiuhpe.evaluation.transformed_store import move, transformed, turned_at_random
from semiuhpe.experiments import clerf as tables_clerf
from semiuhpe.methods import Experiment
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import geodesic_deg, in_plane_rotation, matrix_to_euler
from semiuhpe.training.run import train as run_training

CPU = torch.device("cpu")


@pytest.fixture
def store(stores):
    return HeadStore(stores["test"])


@pytest.mark.parametrize(
    "transform, expected",
    [
        ("rotate:90", lambda image: np.rot90(image, -1)),
        ("rotate:180", lambda image: image[::-1, ::-1]),
        ("rotate:-90", lambda image: np.rot90(image)),
        ("rotate:0", lambda image: image),
        ("flip", lambda image: image[:, ::-1]),
        ("flip:vertical", lambda image: image[::-1]),
    ],
)
def test_quarter_turns_and_flips_change_no_pixel(store, transform, expected):
    moved = transformed(store, transform)
    for i in (0, 5, -1):
        np.testing.assert_array_equal(moved.image(i), expected(store.image(i)))


def test_a_turned_picture_is_turned_clockwise_about_its_center_on_black():
    picture = np.zeros((101, 101, 3), np.uint8)
    picture[48:53, 88:93] = 255  # right of the center
    turned = move(picture, 30.0, False, False)
    y, x = (place.mean() for place in np.nonzero(turned[..., 0] > 128))
    assert (x - 50, y - 50) == pytest.approx((40 * np.cos(np.radians(30)), 40 * np.sin(np.radians(30))), abs=0.5)
    full = move(np.full((101, 101, 3), 200, np.uint8), 45.0, False, False)
    assert (full[0, 0] == 0).all() and (full[50, 50] == 200).all()


def test_labels_turn_along_and_views_keep_the_motion(store):
    turned = transformed(store, "rotate:45")
    angle = torch.tensor(45.0)
    truth = torch.from_numpy(store.rotation)
    torch.testing.assert_close(torch.from_numpy(turned.rotation), in_plane_rotation(angle) @ truth)
    assert turned.meta["full_range"] and not store.meta["full_range"]
    np.testing.assert_allclose(turned.euler_deg, matrix_to_euler(torch.from_numpy(turned.rotation), True), atol=1e-4)
    mirrored = transformed(store, "flip")
    assert not mirrored.meta["full_range"]
    np.testing.assert_allclose(mirrored.euler_deg, store.euler_deg * [1, -1, -1], atol=1e-3)
    part = turned_at_random(store, flips=True)
    view = part.view([4, 2])
    np.testing.assert_array_equal(view.image(1), part.image(2))
    np.testing.assert_array_equal(view.rotation, part.rotation[[4, 2]])
    (batch,) = ordered_batches(view, 2)
    np.testing.assert_array_equal(batch.image[0].permute(1, 2, 0), part.image(4))


def test_errors_are_measured_against_the_turned_labels(tmp_path):
    """A network that ignores turns is off by the angle; that of the turned truth is right."""
    truth = euler_to_matrix(euler_grid(9))
    store = HeadStore(write_heads(tmp_path / "heads.lmdb", truth))
    blind = TableNetwork(parameter(truth))
    seeing = TableNetwork(parameter(in_plane_rotation(torch.tensor(90.0, dtype=torch.float64)) @ truth))
    turned = transformed(store, "rotate:90")
    for network, heads, off in ((blind, store, 0), (blind, turned, 90), (seeing, turned, 0)):
        found = evaluate(network, PoseDecoder(description()), heads, CPU, 4)
        assert found.summary["geodesic_mean_deg"] == pytest.approx(off, abs=0.05)


def test_training_stores_and_unknown_transforms_are_refused(stores, store, trained, capsys):
    with pytest.raises(StoreError, match="training store"):
        transformed(HeadStore(stores["labeled"]), "flip")
    for transform in ("rotate:", "rotate:nan", "spin", "flip:diagonal"):
        assert run(evaluate_cli.main, [str(trained), "--transform", transform]) == 2
        assert f"--transform {transform}" in capsys.readouterr().err


@pytest.fixture
def trained(common_settings):
    """The last checkpoint of a short CLERF run."""
    options, _ = train_cli.parse_options(
        [*common_settings, "--method", "clerf", "--pretrain_iteration", "1", "--max_iteration", "2", "--is_full_range"]
    )
    return run_training(options).folder / "last.pth"


def test_eval_of_turned_heads_and_the_plot_against_the_angle(trained, store, capsys):
    folder = trained.parent
    assert run(evaluate_cli.main, [str(trained), "--transform", "rotate:45"]) == 0
    assert "rotate:45" in capsys.readouterr().out
    turned = read_results(folder / "eval_test_rotate45.json")
    assert turned.summary["settings"]["transform"] == "rotate:45"
    assert "in-plane angle" not in (folder / "report_rotate45.html").read_text()
    assert run(evaluate_cli.main, [str(trained), "--in_plane"]) == 0
    results = read_results(folder / "eval_test.json")
    assert "Error against in-plane angle" in (folder / "report.html").read_text()
    np.testing.assert_array_equal(results.heads["rotation"], store.rotation)
    assert turned.heads["rotation"].shape == store.rotation.shape
    angle, error = results.heads["in_plane_deg"], results.heads["student_in_plane_error_deg"]
    assert np.ptp(angle) > 180 and error.shape == (len(store),) and (error >= 0).all()


def test_embedding_page(trained, stores, capsys, tmp_path):
    assert run(embedding_cli.main, [str(trained)]) == 0
    page = (trained.parent / "embedding_test.html").read_text()
    assert "rank correlation" in capsys.readouterr().out and page.count("<img") >= 12 and "<svg" in page
    assert run(embedding_cli.main, [str(trained), "--output", str(tmp_path / "no" / "x.html")]) == 2
    assert run(embedding_cli.main, [str(trained), "--test_set", str(stores["labeled"])]) == 2


def test_neighbors_leave_out_the_head_itself():
    r = euler_to_matrix(euler_grid(6)).float()
    geodesic = geodesic_deg(r[:, None], r[None]).numpy()
    perfect = Embedded(Distances(geodesic**2, geodesic))
    assert perfect.without_self().rank_correlation() == pytest.approx(1.0)
    assert perfect.neighbor_error_deg() == pytest.approx(perfect.least_error_deg()) and perfect.least_error_deg() > 0
    reversed_ = Embedded(Distances(-geodesic, geodesic))
    assert reversed_.neighbor_error_deg() == pytest.approx(geodesic.max(axis=1).mean())
    assert (np.sort(perfect.nearest(5), axis=1) != np.arange(6)[:, None]).all()


def test_tables_clerf(tmp_path):
    """All of it, at a size that says nothing about the method; the second time trains nothing."""
    arguments = [
        "--exps_dir", str(tmp_path / "exps"), "--data", str(tmp_path / "data"), "--output", str(tmp_path / "tables"),
        "--heads", "16", "--generated_heads", "30", "--test_heads", "12", "--seeds", "1", "--workers", "1",
        "--image_size", "32", "--batch_size", "4", "--pretrain_iteration", "2", "--max_iteration", "4",
        "--positive_deg", "40", "--negative_deg", "45", "--val_frequency", "2",
    ]  # fmt: skip
    options = tables_clerf.parse_options(arguments)
    first, second = tables_clerf.tables(options), tables_clerf.tables(options)
    assert [row.cells for table in first for row in table.rows] == [r.cells for table in second for r in table.rows]
    errors, embeddings = first
    assert isinstance(errors, Table) and [row.labels[0] for row in errors.rows] == list(tables_clerf.MODELS)
    assert len(errors.columns) == len(errors.rows[0].cells) == 8 and len(embeddings.rows) == 3
    numbers = json.loads((tmp_path / "exps" / "tables_clerf" / "results.json").read_text())
    assert numbers["seeds"] == [1] and 0 < numbers["errors"]["CLERF"]["upright"][0] < 180
    assert (tmp_path / "exps" / "tables_clerf" / "embedding.html").is_file()
    runs = list((tmp_path / "exps" / "tables_clerf").glob("*/*/last.pth"))
    assert len(runs) == 3


@pytest.mark.parametrize(
    "more, words",
    [
        (("--pretrain_iteration", "0"), "--pretrain_iteration"),
        (("--method", "semiuhpe"), "--method semiuhpe"),
        (("--seeds", "-1"), "--seeds"),
    ],
)
def test_tables_clerf_refuses(more, words, capsys):
    assert run(tables_cli.main, ["clerf", *more]) == 2
    assert words in capsys.readouterr().err


def test_worst_over_upright():
    errors = {name: {column: [10.0] for column in tables_clerf.TRANSFORMS} for name in tables_clerf.MODELS}
    errors["CLERF"]["turned by 90°"] = [12.0]
    errors["CLERF"]["flipped"] = [8.0]
    experiment, options = Experiment.from_values({}), tables_clerf.ClerfTableOptions()
    rows = tables_clerf.error_table(experiment, options, tables_clerf.Found(errors)).rows
    assert rows[0].cells[-1] == "1.00" and rows[2].cells[-1] == "1.20"


def test_a_model_without_a_distribution_is_evaluated_but_not_exported(common_settings, tmp_path, capsys):
    options, _ = train_cli.parse_options(
        [
            *(*common_settings, "--method", "clerf", "--pretrain_iteration", "0", "--max_iteration", "2"),
            *("--distribution", "gramSchmidt"),
        ]
    )
    checkpoint = run_training(options).folder / "last.pth"
    assert run(evaluate_cli.main, [str(checkpoint)]) == 0
    summary = read_results(checkpoint.parent / "eval_test.json").summary
    assert summary["calibration"]["student"]["spearman"] is None
    assert summary["calibration"]["student"]["coverage"] is None
    assert (checkpoint.parent / "report.html").is_file()
    capsys.readouterr()
    assert run(export_cli.main, [str(checkpoint), "--torchscript", str(tmp_path / "model.pt")]) == 2
    assert "gramSchmidt can't be exported" in capsys.readouterr().err
    assert not (tmp_path / "model.pt").exists()
