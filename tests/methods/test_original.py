"""Training as the paper's code does it: a step beside a plain re-statement, and every difference by itself."""

import copy
import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import roma
import torch
from support.errors import refused
from support.training import parsed_experiment
from torch import nn

from semiuhpe.augment.occlusion import cutout
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, View, labeled_view, unlabeled_views
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.heads import ShuffledStream, batches_per_epoch, ordered_batches
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.data.experiment import ExperimentData
from semiuhpe.distributed import Process
from semiuhpe.distributions import MatrixFisher, RotationLaplace
from semiuhpe.errors import ConfigError
from semiuhpe.evaluation.paper_protocol import paper_error_deg, paper_summary
from semiuhpe.methods import semiuhpe as method
from semiuhpe.methods.base import Setup
from semiuhpe.methods.crops import CropTask
from semiuhpe.methods.original import DIFFERENCES, OriginalOptions
from semiuhpe.methods.semiuhpe import SemiUHPEOptions, Stage2
from semiuhpe.models import create_model
from semiuhpe.models.checkpoint import Description, read_checkpoint
from semiuhpe.models.pose_head import find_pose_head
from semiuhpe.training.run_folder import read_scalars

CPU = torch.device("cpu")
PROCESS = Process(0, 1, CPU)
TASK = CropTask(32, HEAD_BOX, HEAD_BOX, flip=False, distribution=MatrixFisher, streams=None, validate=None)
OPTIONS = SemiUHPEOptions(
    SSL_lambda=1.0, type_unsuper="ce", conf_thres=-0.5, dynamic_thres=False, running_thres=False, left_ratio=0.75,
    is_ema=True, ema_decay=0.9, eman=False, cutout_aug=False, cutmix_aug=False, rotate_aug=True,
)  # fmt: skip
ORIGINAL = OriginalOptions(original=True).resolved()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Small(nn.Sequential):
    """Batch norm and nine outputs; no dropout, whose random numbers a re-statement can't know."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 9))


@pytest.fixture
def student():
    torch.manual_seed(3)
    network = Small()
    with torch.no_grad():
        network[-1].weight.mul_(4.0)
    return network


@pytest.fixture
def fixed_views(monkeypatch):
    """The same tensors at every step, in place of views of stored heads."""
    g = generator(5)
    labeled, weak, strong = (torch.randn(n, 3, 2, 2, generator=g) for n in (8, 16, 16))
    rotation, turn = (roma.random_rotmat(n, generator=g) for n in (8, 16))
    views = LabeledView(labeled, rotation), View(weak), View(strong, turn=turn)
    monkeypatch.setattr(Stage2, "_views", lambda self, batches, random: views)
    return views


# --- a re-statement of the paper's code, with loops and quaternions ---------------------------------------------------


def proper(parameter):
    u, s, vt = torch.linalg.svd(parameter.double())
    last = torch.tensor([0.0, 0.0, 1.0]).double()
    signs = [1 + last * (torch.linalg.det(m).detach()[:, None] - 1) for m in (u, vt)]
    return u * signs[0][:, None, :], s * signs[0] * signs[1], vt.mT * signs[1][:, None, :]


def bingham(parameter):
    """Frame of quaternions, (n, 4) each, exponents (n, 3) below that of the mode, and second moments (n, 3)."""
    u, s, v = proper(parameter)
    half_turns = [torch.diag(torch.tensor(d)).double() for d in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    frame = [roma.rotmat_to_unitquat(u @ h @ v.mT) for h in half_turns]
    exponents = -2 * torch.stack((s[:, 1] + s[:, 2], s[:, 0] + s[:, 2], s[:, 0] + s[:, 1]), -1)
    diagonal = (u.mT @ MatrixFisher(parameter.double()).mean() @ v).diagonal(dim1=-2, dim2=-1)
    pairs = (1 - diagonal) / 2
    log_c = MatrixFisher(parameter.double()).log_normalizer() - s.sum(-1)
    return frame, exponents, pairs.sum(-1, keepdim=True) / 2 - pairs, log_c


def bingham_cross_entropy(first, second):
    frame1, _, moments, _ = bingham(first)
    frame2, exponents, _, log_c = bingham(second)
    total = log_c
    for i in range(3):
        b = (frame1[0] * frame2[i + 1]).sum(-1) ** 2
        inner = sum(((frame1[i + 1] * frame2[j + 1]).sum(-1) ** 2 - b) * moments[:, j] for j in range(3))
        total = total - exponents[:, i] * (b + inner)
    return total


def restated_step(student, teacher, views, step, threshold, decay):
    """Loss of one step of stage 2; moves the teacher and the statistics of both networks."""
    labeled, weak, strong = views
    student.train(), teacher.train()
    alpha = min(1 - 1 / (step + 1), decay)
    with torch.no_grad():
        for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.mul_(alpha).add_(theirs, alpha=1 - alpha)
    output = student(labeled.image).view(-1, 3, 3).double()
    likelihood = 1.025 * MatrixFisher(output).log_normalizer() - (output * labeled.rotation.double()).sum((-2, -1))
    with torch.no_grad():
        pseudo = teacher(weak.image).view(-1, 3, 3)
    output_strong = student(strong.image).view(-1, 3, 3)
    entropy = bingham_cross_entropy(pseudo, pseudo)
    kept = entropy < threshold
    assert 0 < kept.sum() < len(kept)
    turned = strong.turn @ pseudo
    unsupervised = bingham_cross_entropy(turned[kept], output_strong[kept]).mean() * kept.double().mean()
    return likelihood.mean() + unsupervised


def test_a_step_agrees_with_the_papers_arithmetic(student, fixed_views):
    theirs, their_teacher = copy.deepcopy(student), copy.deepcopy(student)
    learner = Stage2(student, TASK, OPTIONS, ORIGINAL, PROCESS, batch=16)
    learner.begin()
    for step in range(3):
        student.train()
        result = learner.step({}, BatchRandom(generator()))
        expected = restated_step(theirs, their_teacher, fixed_views, step, OPTIONS.conf_thres, OPTIONS.ema_decay)
        assert result.loss.item() == pytest.approx(expected.item(), abs=2e-4)
        for network, loss in ((student, result.loss), (theirs, expected)):
            network.zero_grad()
            loss.backward()
        for mine, other in zip(student.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=2e-3, atol=2e-4)
            with torch.no_grad():
                for parameter in (mine, other):
                    parameter -= 0.05 * other.grad
        learner.after_step(step)
        torch.testing.assert_close(student.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(learner.teacher.state_dict(), their_teacher.state_dict(), rtol=1e-4, atol=1e-5)


def test_the_teachers_statistics_are_its_own_from_stage_2_on(student, fixed_views):
    learner = Stage2(student, TASK, OPTIONS, ORIGINAL, PROCESS, batch=16)
    with torch.no_grad():
        student[2].running_mean.fill_(7.0)
        student[1].weight.add_(1.0)
    learner.begin()
    torch.testing.assert_close(learner.teacher[1].weight, student[1].weight)
    assert (learner.teacher[2].running_mean == 7.0).all()
    student[2].running_mean.fill_(1.0)
    learner.step({}, BatchRandom(generator()))
    learner.after_step(0)
    weak = fixed_views[1].image
    torch.testing.assert_close(learner.teacher[2].running_mean, 6.3 + 0.1 * student[1](weak.flatten(1)).mean(0))
    assert not learner.teacher.training


def test_the_first_threshold_is_zero_and_the_next_is_the_pools(stores, student):
    settings = replace(OPTIONS, dynamic_thres=True)
    network = create_model("plainnet")
    streams = SimpleNamespace(pool=lambda: ordered_batches(HeadStore(stores["unlabeled"]), 16))
    learner = Stage2(network, replace(TASK, streams=streams), settings, ORIGINAL, PROCESS, batch=16)
    learner.begin()
    assert learner.threshold == 0.0
    batch = next(ordered_batches(HeadStore(stores["unlabeled"]), 16))
    with torch.no_grad():
        entropy = MatrixFisher(network.eval()(torch.rand(4, 3, 32, 32)).view(-1, 3, 3)).entropy()
    assert (entropy < 0.0).all()  # everything is kept
    learner.refresh()
    assert learner.threshold < 0.0 and len(batch)


def test_stage_2_of_laplace_is_as_of_the_matrix_fisher_distribution(student, fixed_views):
    task = replace(TASK, distribution=RotationLaplace)
    fisher, laplace = (
        Stage2(student, task, OPTIONS, replace(ORIGINAL, laplace_stage2=kind), PROCESS, batch=16)
        for kind in ("fisher", "laplace")
    )
    seen = [learner.step({}, BatchRandom(generator())).scalars for learner in (fisher, laplace)]
    plain = Stage2(student, TASK, OPTIONS, ORIGINAL, PROCESS, batch=16).step({}, BatchRandom(generator())).scalars
    for name in ("ssl/entropy", "ssl/unsuper_loss"):
        assert seen[0][name].item() == pytest.approx(plain[name].item(), rel=1e-5)
        assert abs(seen[0][name].item() - seen[1][name].item()) > 0.1
    assert seen[0]["train/loss"].item() == pytest.approx(seen[1]["train/loss"].item(), rel=1e-6)


# --- options ----------------------------------------------------------------------------------------------------------


def test_every_difference_is_an_option_that_goes_before_original():
    def value(name, *argv):
        return getattr(parsed_experiment(*argv).group(OriginalOptions).resolved(), name)

    assert len(DIFFERENCES) == 14
    for name, (ours, original) in DIFFERENCES.items():
        assert value(name) == ours != original == value(name, "--original")
        assert value(name, "--original", f"--{name}", str(ours)) == ours
        assert value(name, f"--{name}", str(original)) == original


def test_whole_pixel_rectangles_are_as_large_as_in_the_papers_code():
    image = torch.ones(400, 1, 224, 224)
    cut = cutout(image, BatchRandom(generator()), whole_pixels=True) == 0
    rows, columns = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    lonely = cut[:, 0].flatten(1).sum(1)
    # Three rectangles of sides 20 to 38, even numbers only; where they overlap, fewer pixels.
    assert lonely.max() <= 3 * 38 * 38 and rows.min() >= 20 and columns.min() >= 20
    mean = torch.arange(10, 20).double().mean() * 2
    assert lonely.double().mean() == pytest.approx(float(3 * mean**2), rel=0.12)  # overlaps and edges take a little
    single = BatchRandom(generator(1))
    single.normal = lambda count, *shape: torch.full((count, *shape), 0.31)
    single.uniform = lambda count, *shape: torch.full((count, *shape), 0.999)
    (hole,) = cutout(torch.ones(1, 1, 224, 224), single, whole_pixels=True)
    rows = (hole[0] == 0).any(1).nonzero()[:, 0]
    center = math.floor(112 + 224 / 6 * 0.31)
    assert (rows[0].item(), rows[-1].item() + 1) == (center - 19, center + 19)


def test_turned_views_with_black_corners(stores):
    batch = next(ordered_batches(HeadStore(stores["unlabeled"]), 16))
    bright = replace_image(batch, torch.full_like(batch.image, 255))
    views = {
        black: unlabeled_views(bright, HEAD_BOX, 64, True, BatchRandom(generator()), black)[1]
        for black in (False, True)
    }
    torch.testing.assert_close(views[True].turn, views[False].turn)
    dark = [(view.image[:, 0] < -1.9).float().mean((1, 2)) for view in (views[False], views[True])]
    angle = torch.rad2deg(roma.rotmat_geodesic_distance(torch.eye(3).expand_as(views[True].turn), views[True].turn))
    assert dark[1][angle.argmax()] > 0.02 and (dark[1] >= dark[0] - 1e-6).all()


def replace_image(batch, image):
    return type(batch)(image, batch.box, batch.bounds, batch.rotation)


def test_labeled_heads_without_area_crop_and_blur(stores):
    batch = next(ordered_batches(HeadStore(stores["labeled"]), 8))
    plain = labeled_view(batch, HEAD_BOX, 32, False, BatchRandom(generator()), weak=False)
    again = labeled_view(batch, HEAD_BOX, 32, False, BatchRandom(generator()), weak=True)
    assert (plain.image - again.image).abs().max() > 0.1
    torch.testing.assert_close(plain.rotation, batch.rotation)


@pytest.mark.parametrize(
    "dataset, argv, weak",
    [
        ("DAD3DHeads", ["--original"], False),
        ("DAD3DHeads", [], True),
        ("300WLP", ["--original"], True),
        ("DAD3DHeads", ["--original", "--labeled_aug", "all"], True),
    ],
)
def test_only_dad3dheads_is_without_the_weak_view(stores, dataset, argv, weak):
    store = HeadStore(stores["labeled"])
    store.meta["dataset"] = dataset
    data = ExperimentData(store, None, HeadStore(stores["test"]), "")
    description = Description("plainnet", "matrixFisher", "head_to_camera", True, 32, "", "")
    (stage1, _) = method.SemiUHPE(parsed_experiment("--batch_size", "8", *argv)).phases(
        Setup(create_model("plainnet"), data, description, PROCESS)
    )
    assert stage1.learner.task.weak == weak


def test_incomplete_batches_are_dropped():
    stream = iter(ShuffledStream(10, 4, seed=0, drop_last=True))
    epochs = [[next(stream) for _ in range(2)] for _ in range(3)]
    for first, second in epochs:
        assert len(set(first) | set(second)) == 8
    whole = ShuffledStream(10, 4, seed=0)
    assert [*next(iter(whole))] == epochs[0][0]  # the same permutation
    late = iter(ShuffledStream(10, 4, seed=0, start=3, drop_last=True))
    assert next(late) == epochs[1][1]
    assert batches_per_epoch(10, 4) == 2
    with pytest.raises(ConfigError, match=r"--drop_last.* 3 .* 4"):
        ShuffledStream(3, 4, seed=0, drop_last=True)


def test_pose_heads_weights():
    for argv, small in ((["--original"], True), ([], False)):
        options = parsed_experiment("--network", "plainnet", *argv)
        torch.manual_seed(0)
        head = find_pose_head(method.SemiUHPE(options).create_student(pretrained=False))
        layers = [layer for layer in head if isinstance(layer, nn.Linear)]
        assert all((layer.bias == 0).all() for layer in layers) == small
        assert (layers[0].weight.std().item() == pytest.approx(0.01, rel=0.05)) == small


@pytest.mark.parametrize(
    "network, argv, start",
    [
        ("tinyvit", ["--original"], "dist_in22k_ft_in1k"),
        ("tinyvit", [], True),
        ("mobilenet", ["--original"], False),
        ("mobilenet", ["--original", "--pretrained"], True),
        ("resnet50", ["--original"], True),
    ],
)
def test_what_backbones_start_from(monkeypatch, network, argv, start):
    asked = []
    monkeypatch.setattr(method, "create_model", lambda name, start: asked.append((name, start)) or create_model(name))
    method.SemiUHPE(parsed_experiment("--network", network, *argv)).create_student(pretrained=True)
    assert asked == [(network, start)]


def test_weights_by_tag_are_tinyvits():
    with pytest.raises(ConfigError, match="--network resnet18"):
        create_model("resnet18", "dist_in22k_ft_in1k")


def test_the_error_that_best_is_chosen_by():
    g = generator()
    predicted, truth = (roma.random_rotmat(20, generator=g).double() for _ in range(2))
    euler = 80 * torch.rand(20, 3, generator=g) - 40
    by_euler = paper_error_deg(predicted, truth, euler, full_range=False)
    assert by_euler.mean().item() == pytest.approx(
        paper_summary(predicted, truth, euler, False)["euler_mae_deg"], rel=1e-5
    )
    for labels, full_range in ((None, True), (euler, True)):
        by_angle = paper_error_deg(predicted, truth, labels, full_range)
        expected = paper_summary(predicted, truth, labels, full_range)["geodesic_mean_deg"]
        assert by_angle.mean().item() == pytest.approx(expected, rel=1e-5)
    assert paper_error_deg(truth, truth, None, True).max() < 0.5


def test_a_run_as_the_papers(settings, tmp_path):
    """24 labeled heads in batches of 8: three steps an epoch, and stage 2 goes on from step 5 to 6."""
    argv = [*settings, "--original", "--batch_size", "8", "--max_iteration", "5", "--val_frequency", "1"]
    assert run(train_cli.main, argv) == 0
    (folder,) = (tmp_path / "exps" / "tiny").glob("*/*")
    assert folder.parent.name.endswith("_original")
    rows = read_scalars(folder)
    assert max(row["step"] for row in rows) == 6
    last = read_checkpoint(folder / "last.pth")
    assert last["clock"]["iteration"] == 6
    student = [row["val/student/paper_error_deg"] for row in rows if "val/student/paper_error_deg" in row]
    assert last["best"] == min(student)
    assert read_checkpoint(folder / "best.pth")["metrics"]["student/paper_error_deg"] == min(student)
    kept = {row["step"]: row["ssl/kept_ratio"] for row in rows if "ssl/kept_ratio" in row}
    assert kept[4] == 1.0  # the threshold is 0 until step 4, a multiple of --save_frequency
    thresholds = {row["step"]: row["settings/conf_thres"] for row in rows if "settings/conf_thres" in row}
    assert thresholds[4] < 0.0


def test_a_stopped_run_goes_on_exactly(settings, tmp_path):
    """The teacher moves before the step and has random numbers of its own (dropout)."""
    argv = [*settings, "--original", "--batch_size", "16", "--max_iteration", "8", "--whole_epochs", "false"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(train_cli.main, [*argv, "--exps_dir", str(whole)]) == 0
    assert run(train_cli.main, [*argv, "--exps_dir", str(parts), "--max_iteration", "6"]) == 0
    (folder,) = parts.glob("tiny/*/*")
    again = ["--cont_ckpt", str(folder / "last.pth"), "--max_iteration", "8", "--exps_dir", str(parts)]
    assert run(train_cli.main, again) == 0
    (other,) = whole.glob("tiny/*/*")
    ours, theirs = (read_checkpoint(path / "last.pth") for path in (folder, other))
    for part in ("model_state_dict", "model_state_dict_ema"):
        torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=0)


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--drop_last", "--batch_size", "64"], "--drop_last"),
        (["--cross_entropy", "transposed", "--distribution", "RotationLaplace"], "--cross_entropy transposed"),
        (["--method", "clerf", "--original"], "--original"),
        (["--teacher_mode", "training"], "--teacher_mode"),
        (["--best_of", "nobody"], "--best_of"),
    ],
)
def test_bad_input(settings, common_settings, tmp_path, capsys, argv, words):
    if "clerf" in argv:
        settings = [*common_settings, "--pretrain_iteration", "3"]
    assert words in refused(capsys, train_cli.main, [*settings, *argv])
    assert not (tmp_path / "exps").exists()


@pytest.mark.parametrize("option, value", [("std_ratio", "3.0"), ("hist_low", "10"), ("is_ema", "none")])
def test_options_of_the_papers_code_without_effect(settings, tmp_path, caplog, option, value):
    with caplog.at_level(logging.INFO):
        options, _ = train_cli.parse_options([*settings, f"--{option}", value])
    message = [record.message for record in caplog.records if f"--{option}" in record.message]
    assert len(message) == 1 and "as in the paper's code" in message[0]
    assert options.values()[option] is (False if option == "is_ema" else None)
