"""What a run survives, and the options that change how it computes rather than what."""

import copy
import itertools
import json
import math
import re
import resource

import numpy as np
import pytest
import torch
from support.errors import refused
from support.training import exps_dir, resume
from support.training import train_run as train

from semiuhpe.cli import features as features_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.splits import hold_out
from semiuhpe.distributed import Process
from semiuhpe.errors import TrainingError
from semiuhpe.evaluation.validation import POSE_METRICS, PoseValidation
from semiuhpe.methods.supervised import Supervised
from semiuhpe.models import create_model
from semiuhpe.models.checkpoint import Description, read_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.training import features as features_module
from semiuhpe.training.features import save_features
from semiuhpe.training.non_finite import LIMIT, NonFiniteGuard
from semiuhpe.training.run_folder import read_scalars

ONE = Process(0, 1, torch.device("cpu"))


def spoil(monkeypatch, spoilt):
    """Makes the supervised loss NaN in the calls, counted from 0, for which ``spoilt`` is true."""
    original, calls = Supervised.step, iter(range(10_000))

    def step(self, *arguments):
        result = original(self, *arguments)
        if spoilt(next(calls)):
            result.loss = result.loss * math.nan
        return result

    monkeypatch.setattr(Supervised, "step", step)


def test_guard_skips_a_step_as_if_it_had_not_been():
    """Weights, moments and batch norm statistics stay; the next good step is the one that would have been."""
    data = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))

    def steps(batches):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
        guard = NonFiniteGuard(network, optimizer, ONE)
        for batch in batches:
            guard.before_step()
            loss = network(batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            guard.after_backward(loss.detach())
            optimizer.step()
        return network.state_dict(), optimizer.state_dict()["state"], guard

    weights, moments, guard = steps([data[0], data[1] * math.inf, data[2]])
    expected, expected_moments, _ = steps([data[0], data[2]])
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    torch.testing.assert_close(moments, expected_moments, rtol=0, atol=0)
    assert guard.in_a_row() == 0 and guard.take_skipped() == 1 and guard.take_skipped() == 0


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is_finite():
    network = torch.nn.Linear(2, 1)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    guard = NonFiniteGuard(network, optimizer, ONE)

    def step(loss):
        guard.before_step()
        optimizer.zero_grad()
        loss.backward()
        guard.after_backward(loss.detach())
        optimizer.step()
        return loss

    loss = step((network(torch.ones(1, 2)) * 0.0).square().sum().sqrt())
    assert torch.isfinite(loss) and not torch.isfinite(network.weight.grad).any()
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert guard.in_a_row() == 1
    step(network(torch.ones(1, 2)).sum())
    assert guard.in_a_row() == 0 and not torch.equal(network.weight, before["weight"])


def test_a_step_that_is_not_finite_is_skipped_and_counted(settings, monkeypatch, caplog):
    spoil(monkeypatch, lambda call: call == 1)
    folder = train(settings).folder
    assert sum(row.get("train/skipped_steps", 0) for row in read_scalars(folder)) == 1
    assert "1 steps" in caplog.text
    state = read_checkpoint(folder / "last.pth")["model_state_dict"]
    assert all(torch.isfinite(value).all() for value in state.values())


def test_ten_in_a_row_end_the_run_and_leave_the_batch(settings, monkeypatch, capsys):
    spoil(monkeypatch, lambda call: call >= 5)
    long = [*settings, "--stage1_iteration", "60", "--max_iteration", "60", "--val_frequency", "3"]
    message = refused(capsys, train_cli.main, [*long, "--exp_detail", "bad"])
    assert f"{LIMIT} steps" in message and "--lr" in message and "bad_batch.pth" in message
    (folder,) = (exps_dir(settings) / "tiny" / "bad").iterdir()
    batch = torch.load(folder / "bad_batch.pth", weights_only=True)["labeled"]
    assert batch["image"].shape[0] == 4 and batch["rotation"].shape == (4, 3, 3)
    monkeypatch.undo()
    assert resume(settings, folder).finished


def test_disk_full_while_saving_leaves_the_last_checkpoint(settings, own_run, capsys):
    path = own_run / "last.pth"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    longer = ["--exps_dir", settings[1], "--cont_ckpt", str(path), "--max_iteration", "9"]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
        error = refused(capsys, train_cli.main, longer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(own_run) in error and "kept" in error
    assert path.read_bytes() == before
    assert not list(own_run.glob("*.partial"))
    assert train(longer).finished


def test_val_split_holds_out_labeled_heads(settings, stores):
    result = train(settings, "--val_split", "0.25")
    log = (result.folder / "log.txt").read_text()
    assert "18 labeled" in log and "on 6 heads" in log and "held out" in log
    store = HeadStore(stores["labeled"])
    left, held = hold_out(store, 0.25, seed=0)
    assert not set(left.names) & set(held.names)
    assert set(left.names) | set(held.names) == set(store.names)


@pytest.mark.parametrize("more", [("--val_split", "0"), ("--val_split", "1.5"), ("--val_split", "0.01")])
def test_val_split_that_leaves_nothing(settings, capsys, more):
    assert "--val_split" in refused(capsys, train_cli.main, [*settings, *more])


def test_best_by_an_unknown_metric(settings, capsys):
    assert "--best_metric luck" in refused(capsys, train_cli.main, [*settings, "--best_metric", "luck"])


@pytest.mark.parametrize("metric", ["geodesic_median_deg", "euler_mae_deg"])
def test_best_by_another_metric(settings, metric):
    result = train(settings, "--best_metric", metric)
    values = [
        min(row[f"val/{role}/{metric}"] for role in ("student", "teacher") if f"val/{role}/{metric}" in row)
        for row in read_scalars(result.folder)
        if f"val/student/{metric}" in row
    ]
    assert read_checkpoint(result.folder / "best.pth")["best"] == min(values)
    assert metric in (result.folder / "log.txt").read_text()


def test_bf16_and_compile_give_about_the_same_losses(settings, monkeypatch):
    """torch.compile with its eager backend: its compiler is torch's own affair."""
    original = torch.nn.Module.compile
    compiled = []

    def compile_eagerly(self):
        compiled.append(self)
        original(self, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_eagerly)
    gentle = [*settings, "--lr", "1e-5"]
    plain, mixed = (
        [row["train/loss"] for row in read_scalars(train(gentle, *more).folder) if "train/loss" in row]
        for more in ((), ("--bf16", "--compile"))
    )
    assert compiled and plain != mixed
    assert mixed == pytest.approx(plain, abs=0.1)


def test_running_threshold_keeps_about_the_same_share(settings):
    long = [*settings, "--running_thres", "--left_ratio", "0.5", "--max_iteration", "160", "--lr", "1e-5"]
    long += ["--val_frequency", "1000", "--save_frequency", "1000"]
    rows = read_scalars(train(long).folder)
    kept = [row["ssl/kept_ratio"] for row in rows if "ssl/kept_ratio" in row]
    assert np.mean(kept[-60:]) == pytest.approx(0.5, abs=0.1)


def test_features_for_tsne(settings, stores, tmp_path, capsys):
    pytest.importorskip("sklearn", reason="t-SNE needs scikit-learn, of the extra `features`")
    folder = train(settings, "--save_feat").folder
    assert folder.parent.name.endswith("_tSNE")
    arrays = np.load(folder / "features.npz", allow_pickle=False)
    assert arrays["feature"].shape[0] == 40 and arrays["rotation"].shape == (40, 3, 3)
    assert list(arrays["name"]) == list(HeadStore(stores["unlabeled"]).names)
    assert run(features_cli.main, [str(folder)]) == 0
    assert (folder / "features.png").stat().st_size > 10_000
    assert "--save_feat" in refused(capsys, features_cli.main, [tmp_path])


def test_features_of_a_network_that_was_compiled_and_called_before(stores, tmp_path):
    torch.manual_seed(0)
    network = create_model("plainnet").eval()
    decoder, store = (
        PoseDecoder(Description("plainnet", "matrixFisher", HEAD_TO_CAMERA, False, 32, "", "")),
        "unlabeled",
    )
    arguments = (network, decoder, HeadStore(stores[store]), ONE.device, 16)
    save_features(tmp_path / "plain.npz", *arguments)
    network.compile(backend="eager")
    with torch.no_grad():
        network(torch.zeros(16, 3, 32, 32))
    save_features(tmp_path / "compiled.npz", *arguments)
    plain, compiled = (np.load(tmp_path / f"{name}.npz", allow_pickle=False) for name in ("plain", "compiled"))
    assert len(plain["feature"]) == 40
    for key in ("feature", "rotation", "entropy"):
        np.testing.assert_array_equal(compiled[key], plain[key])


def test_features_that_were_not_all_seen_are_not_written(stores, tmp_path, monkeypatch):
    network = create_model("plainnet")
    monkeypatch.setattr(features_module, "find_pose_head", lambda _: torch.nn.Identity())
    decoder = PoseDecoder(Description("plainnet", "matrixFisher", HEAD_TO_CAMERA, False, 32, "", ""))
    with pytest.raises(TrainingError, match=r"\b0 .*\b40 heads"):
        save_features(tmp_path / "none.npz", network, decoder, HeadStore(stores["unlabeled"]), ONE.device, 16)
    assert not list(tmp_path.iterdir())


def test_tensorboard_has_scalars_and_pictures(finished_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(finished_run))
    board.Reload()
    tags = board.Tags()
    assert {"heads/labeled", "heads/weak", "heads/strong"} <= set(tags["images"])
    wanted = {"train/loss", "train/lr", "ssl/entropy", "ssl/kept_ratio", "ssl/kept_error_deg"}
    assert wanted | {"speed/heads_per_second", "speed/memory_gib"} <= set(tags["scalars"])


def test_versions_are_kept(finished_run):
    text = (finished_run / "versions.yml").read_text()
    assert f"torch: {torch.__version__}" in text and "commit:" in text and "semiuhpe:" in text


def test_scalars_file_is_one_object_per_time_of_logging(finished_run):
    """Nothing is written per head."""
    lines = (finished_run / "scalars.jsonl").read_text().splitlines()
    assert len(lines) < 20 and all(isinstance(json.loads(line), dict) for line in lines)


def test_a_guard_without_process_group_does_not_need_one():
    assert ONE.maximum(torch.tensor(1.0)) == 1.0


def test_errors_of_validation_name_the_iteration_and_the_remedy(settings, monkeypatch):
    def fail(*_):
        raise TrainingError("nothing is finite")

    monkeypatch.setattr(PoseValidation, "__call__", fail)
    with pytest.raises(TrainingError, match=r"iteration 2: nothing is finite.*--lr"):
        train(settings)


def scripted_validation(monkeypatch, values):
    """Has validations give these errors, of student and teacher in turn."""
    values = iter(values)
    monkeypatch.setattr(
        PoseValidation,
        "__call__",
        lambda _, networks: {role: dict.fromkeys(POSE_METRICS, next(values)) for role in networks},
    )


def test_validations_that_are_not_a_number_are_never_the_best(settings, monkeypatch):
    # Stage 1 is validated twice and has no teacher; stage 2 is validated twice, each time student and teacher.
    scripted_validation(monkeypatch, [math.nan, math.nan, 7.0, math.nan, math.nan, 5.0])
    best = read_checkpoint(train(settings).folder / "best.pth")
    assert best["best"] == 5.0 and best["clock"]["iteration"] == 6


def test_a_run_without_a_best_says_so_and_its_phases_go_on(settings, monkeypatch, caplog):
    scripted_validation(monkeypatch, itertools.repeat(math.nan))
    result = train(settings)
    assert result.finished and not (result.folder / "best.pth").exists()
    for stage in ("stage1", "stage2"):
        assert re.search(rf"{stage} .*geodesic_mean_deg.*--best_metric", caplog.text)
