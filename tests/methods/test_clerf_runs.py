"""Runs of CLERF: both phases, exact resume in each, a frozen embedding, bad input."""

import shutil

import pytest
import torch
from support.errors import refused
from support.training import (
    crop_settings,
    experiment_of,
    exps_dir,
    killed_run,
    losses,
    resume,
    same_weights,
    state,
)
from support.training import train_run as train

from semiuhpe.augment.random import BatchRandom
from semiuhpe.cli import train as train_cli
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.distributed import start_process
from semiuhpe.methods.base import Setup
from semiuhpe.methods.circle_loss import circle_loss
from semiuhpe.methods.clerf import Clerf
from semiuhpe.methods.triplets import triplet_views
from semiuhpe.models import create_model, load_checkpoint
from semiuhpe.models.embedding import embed, normalized
from semiuhpe.rotation import geodesic_deg
from semiuhpe.training.run import build_student, description
from semiuhpe.training.run_folder import read_scalars


def clerf_settings(stores, exps):
    return [
        *crop_settings(stores, exps), "--method", "clerf", "--pretrain_iteration", "3",
        "--generator", str(stores["unlabeled"]), "--positive_deg", "20", "--negative_deg", "25", "--is_full_range",
    ]  # fmt: skip


@pytest.fixture
def clerf(stores, tmp_path):
    """A run of both phases that takes a second."""
    return clerf_settings(stores, tmp_path / "exps")


@pytest.fixture(scope="module")
def finished_clerf(stores, tmp_path_factory):
    """The folder of such a run: not to be changed."""
    return train(clerf_settings(stores, tmp_path_factory.mktemp("clerf") / "exps")).folder


def test_a_run_of_both_phases(finished_clerf):
    assert finished_clerf.parent.name == "CLERF3_unlabeled_plainnet_matrixFisher_b4_full"
    keys = {step: set() for step in range(1, 7)}
    for row in read_scalars(finished_clerf):
        keys[row["step"]] |= row.keys()
    assert {"train/loss", "clerf/positive_deg"} <= keys[2] and "train/error_deg" in keys[5]
    assert {"val/student/geodesic_mean_deg", "val/student/embedding_rank_correlation"} <= keys[2]
    assert "val/student/euler_mae_deg" in keys[6] and "val/student/embedding_rank_correlation" not in keys[6]
    assert all(row["clerf/positive_deg"] < 20 for row in read_scalars(finished_clerf) if "clerf/positive_deg" in row)
    loaded = load_checkpoint(finished_clerf / "last.pth")
    assert loaded.full_range and loaded.model.state_dict().keys() == create_model("plainnet").state_dict().keys()


def test_semiuhpe_starts_from_it(finished_clerf, settings):
    start = ["--init_from", str(finished_clerf / "last.pth"), "--stage1_iteration", "6", "--lr", "1e-9"]
    folders = (finished_clerf, train(settings, *start).folder)
    weights = [state(folder)["model_state_dict"]["features.0.weight"] for folder in folders]
    torch.testing.assert_close(*weights)


def test_each_head_of_a_pair_is_the_anchor_once_without_dropout(clerf):
    options = experiment_of(*clerf, "--batch_size", "6", "--negative_deg", "40")
    method = Clerf(options)
    data, process = method.open_data(), start_process(None)
    student = build_student(method).train()
    learner = method.phases(Setup(student, data, description(options), process))[0].learner
    batches = next(learner.batches(0, 0))
    first, again = (learner.step(batches, BatchRandom(torch.Generator().manual_seed(0))) for _ in range(2))
    assert first.loss.item() == again.loss.item(), "dropout would have made a difference"

    views = triplet_views(
        batches["labeled"],
        batches["positive"],
        (HEAD_BOX, HEAD_BOX),
        32,
        BatchRandom(torch.Generator().manual_seed(0)),
    )
    with torch.no_grad():
        heads = normalized(embed(student, torch.cat([view.image for view in views]))[0])
    rotation = torch.cat([view.rotation for view in views])
    losses = []
    for anchor in range(12):
        far = torch.tensor([geodesic_deg(rotation[anchor], other).item() > 40 for other in rotation])
        similarity, positive = heads @ heads[anchor], heads[(anchor + 6) % 12] @ heads[anchor]
        assert far.any()
        losses.append(circle_loss(positive[None], similarity[None], far[None], 0.25, method.options.circle_scale))
    torch.testing.assert_close(first.loss, torch.cat(losses).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        ("--distribution", "gramSchmidt"),
        ("--turn_aug", "false"),
        ("--pretrain_iteration", "0"),
        ("--pretrain_iteration", "6"),
        ("--generator", "rendered", "--generator_domain", "clean", "--num_workers", "1"),
    ],
)
def test_options_change_what_is_learned(clerf, finished_clerf, more):
    result = train(clerf, *more)
    assert result.finished and not same_weights(result.folder, finished_clerf)


def test_a_frozen_embedding_stays(clerf):
    """Backbone, projection and their batch norm statistics are those of the best of pre-training; the rest learns."""
    folder = train(clerf, "--pretrain_iteration", "2", "--freeze_embedding", "--exp_detail", "frozen").folder
    before = train(clerf, "--pretrain_iteration", "2", "--max_iteration", "2").folder
    first, second = (state(f)["model_state_dict"] for f in (before, folder))
    changed = {key for key in first if not torch.equal(first[key], second[key])}
    assert changed and all(key.startswith(("head.4", "head.5", "head.7")) for key in changed), changed
    assert "head.7.weight" in changed


@pytest.mark.parametrize("frozen", ["false", "true"])
def test_killed_and_resumed_is_the_same_as_not_killed(clerf, monkeypatch, frozen):
    """Dies without warning in a step of either phase, or between them; goes on from the last checkpoint."""
    settings = [*clerf, "--val_frequency", "1", "--freeze_embedding", frozen]
    whole = train(settings).folder
    for step in (1, 3, 5):
        folder = killed_run(monkeypatch, settings, step)
        resumed = resume(settings, folder)
        assert resumed.finished and resumed.folder == folder
        torch.testing.assert_close(state(folder), state(whole), rtol=0, atol=0)
        assert losses(folder) == losses(whole)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "more, words",
    [
        (("--pretrain_iteration", "9"), "--pretrain_iteration 9"),
        (("--negative_deg", "5"), "--negative_deg 5.0"),
        (("--positive_deg", "0"), "--positive_deg 0.0"),
        (("--circle_margin", "1"), "--circle_margin 1.0"),
        (("--circle_scale", "0"), "--circle_scale 0.0"),
        (("--regression_lr", "0"), "--regression_lr 0.0"),
        (("--generator", "nowhere.lmdb"), "--generator nowhere.lmdb"),
        (("--generator", "EG3D"), "semiuhpe prepare EG3D"),
        (("--positive_deg", "0.0001"), "--positive_deg"),
        (("--compile",), "--compile"),
        (
            ("--method", "semiuhpe", "--stage1_iteration", "3", "--distribution", "gramSchmidt"),
            "--distribution gramSchmidt",
        ),
        (("--dynamic_thres", "--eman"), "--dynamic_thres True: --method clerf"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(clerf, capsys, more, words):
    assert words in refused(capsys, train_cli.main, [*clerf, *more])
    assert not exps_dir(clerf).exists(), "nothing is written before the input is known to be good"
