import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from semiuhpe.augment.random import BatchRandom
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.heads import ordered_batches
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.distributed import Process
from semiuhpe.distributions import MatrixFisher
from semiuhpe.errors import TrainingError
from semiuhpe.methods.crops import LABELED, UNLABELED, CropTask
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.methods.semiuhpe import SemiUHPEOptions, Stage2
from semiuhpe.methods.supervised import Supervised
from semiuhpe.methods.teacher import Teacher
from semiuhpe.methods.threshold import RunningThreshold, entropy_quantile
from semiuhpe.models import create_model

TASK = CropTask(32, HEAD_BOX, HEAD_BOX, flip=True, distribution=MatrixFisher, streams=None, validate=None)
PROCESS = Process(0, 1, torch.device("cpu"))
BASELINE_OPTIONS = SemiUHPEOptions(
    SSL_lambda=1.0, type_unsuper="ce", conf_thres=math.inf, dynamic_thres=False, running_thres=False,
    left_ratio=0.5, is_ema=True, ema_decay=0.9, eman=False, cutout_aug=False, cutmix_aug=False, rotate_aug=False,
)  # fmt: skip

OURS = OriginalOptions().resolved()


@pytest.fixture
def batches(stores):
    return {
        LABELED: next(ordered_batches(HeadStore(stores["labeled"]), 8)),
        UNLABELED: next(ordered_batches(HeadStore(stores["unlabeled"]), 16)),
    }


@pytest.fixture
def student():
    torch.manual_seed(0)
    return create_model("plainnet")


def generator():
    return torch.Generator().manual_seed(0)


def learner(student, **changes):
    return Stage2(student, TASK, replace(BASELINE_OPTIONS, **changes), OURS, PROCESS, batch=16)


def bn_network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_teacher_follows_the_warm_up_and_the_decay():
    student = bn_network()
    teacher = Teacher(student, decay=0.8)
    weights = [0.0]
    expected = None
    for step in range(8):
        with torch.no_grad():
            student[0].weight.fill_(step + 1.0)
        teacher.update(student, step)
        decay = min(1 - 1 / (step + 1), 0.8)
        expected = step + 1.0 if expected is None else decay * expected + (1 - decay) * (step + 1.0)
        weights.append(teacher.network[0].weight.mean().item())
        assert weights[-1] == pytest.approx(expected)
    assert weights[3] == pytest.approx(2.0)  # the true mean of 1, 2, 3


@pytest.mark.parametrize("eman", [False, True])
def test_buffers_are_copied_or_averaged(eman):
    student = bn_network()
    teacher = Teacher(student, decay=0.75, eman=eman)
    student[1].running_mean.fill_(4.0)
    student[1].num_batches_tracked.fill_(7)
    teacher.update(student, step=99)
    assert teacher.network[1].running_mean[0].item() == pytest.approx(1.0 if eman else 4.0)
    assert teacher.network[1].num_batches_tracked.item() == 7


def test_teacher_without_ema_is_the_student():
    student = bn_network()
    teacher = Teacher(student, decay=0.99, is_ema=False)
    with torch.no_grad():
        student[0].weight.add_(1.0)
    teacher.update(student, step=500)
    torch.testing.assert_close(teacher.network.state_dict(), student.state_dict())


def test_teacher_is_in_eval_mode_and_takes_no_gradient():
    teacher = Teacher(bn_network().train(), decay=0.9)
    assert not teacher.network.training
    assert not any(p.requires_grad for p in teacher.network.parameters())


@pytest.mark.parametrize("ratio, kept", [(0.75, 75), (0.95, 95), (0.001, 0), (1.0, 100)])
def test_dynamic_threshold_keeps_the_share(ratio, kept):
    entropy = torch.randn(100, generator=generator())
    assert (entropy < entropy_quantile(entropy, ratio)).sum() == kept


def test_running_threshold_is_the_quantile_of_the_last_steps():
    running = RunningThreshold(0.75, batch=4, device=torch.device("cpu"), steps=3)
    entropies = torch.randn(5, 4, generator=generator())
    for step in range(5):
        window = entropies[max(0, step - 2) : step + 1].flatten()
        assert running.update(entropies[step]).item() == entropy_quantile(window, 0.75)
    again = RunningThreshold(0.75, batch=4, device=torch.device("cpu"), steps=3)
    again.load_state_dict(running.state_dict())
    assert again.update(entropies[0]) == running.update(entropies[0])
    assert RunningThreshold(1.0, 4, torch.device("cpu")).update(entropies[0]) == math.inf


def test_dynamic_threshold_of_broken_predictions():
    with pytest.raises(TrainingError, match="--lr"):
        entropy_quantile(torch.tensor([1.0, math.nan]), 0.5)


def test_supervised_loss_is_the_overregularised_likelihood(batches, student):
    learner = Supervised(student.eval(), TASK)
    result = learner.step(batches, BatchRandom(generator()))
    assert result.loss.item() == pytest.approx(result.scalars["train/loss"].item())
    parameter = torch.randn(5, 3, 3, generator=generator()).double()
    rotation = MatrixFisher(torch.randn(5, 3, 3, generator=generator()).double()).mode()
    d = MatrixFisher(parameter)
    expected = 1.025 * d.log_normalizer() - (parameter * rotation).sum((-2, -1))
    torch.testing.assert_close(d.negative_log_likelihood(rotation), expected)


def test_dropped_heads_count_as_zero(batches, student):
    """The unlabeled loss is the mean over all unlabeled heads, kept or not."""
    everything = learner(student.eval()).step(batches, BatchRandom(generator()))
    nothing = learner(student, conf_thres=-math.inf).step(batches, BatchRandom(generator()))
    assert everything.scalars["ssl/kept_ratio"] == 1.0 and nothing.scalars["ssl/kept_ratio"] == 0.0
    assert nothing.scalars["ssl/unsuper_loss"] == 0.0
    assert nothing.loss.item() == pytest.approx(nothing.scalars["train/loss"].item())
    total = everything.scalars["train/loss"] + everything.scalars["ssl/unsuper_loss"]
    assert everything.loss.item() == pytest.approx(total.item(), rel=1e-5)


@pytest.mark.parametrize("unlabeled_loss", ["ce", "nll"])
def test_gradient_reaches_the_student_only(batches, student, unlabeled_loss):
    stage2 = learner(student.train(), type_unsuper=unlabeled_loss, rotate_aug=True, cutout_aug=True, cutmix_aug=True)
    stage2.step(batches, BatchRandom(generator())).loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in student.parameters())
    assert all(p.grad is None for p in stage2.teacher.parameters())


def test_pseudo_labels_are_turned_with_the_picture(batches, student, monkeypatch):
    """With a teacher that knows the weak view's truth, the target is the truth of the strong view."""
    from semiuhpe.methods import semiuhpe as module

    stage2 = learner(student.eval(), rotate_aug=True)
    seen = {}
    real = module.unlabeled_views

    def spy(*arguments):
        weak, strong = real(*arguments)
        seen["turn"], seen["truth"] = strong.turn, weak.rotation
        return weak, strong

    monkeypatch.setattr(module, "unlabeled_views", spy)

    class Oracle(nn.Module):
        def forward(self, image):
            return 20.0 * seen["truth"].flatten(1)

    stage2._averaged.network = Oracle()
    targets = []
    monkeypatch.setattr(
        MatrixFisher, "cross_entropy", lambda self, other: targets.append(self.mode()) or self.entropy()
    )
    stage2.step(batches, BatchRandom(generator()))
    torch.testing.assert_close(targets[0], seen["turn"] @ seen["truth"], atol=1e-5, rtol=0)


def test_stage_begins_with_a_teacher_equal_to_the_student(stores, student):
    stage2 = learner(student, dynamic_thres=True, left_ratio=0.5)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator()))
    student(torch.randn(8, 3, 32, 32))  # moves the statistics of batch norm
    streams = SimpleNamespace(pool=lambda: ordered_batches(HeadStore(stores["unlabeled"]), 16))
    stage2.task = replace(TASK, streams=streams)
    stage2.begin()
    torch.testing.assert_close(stage2.teacher.state_dict(), student.state_dict())
    entropy = torch.cat(list(stage2._pool_entropy()))
    assert (entropy < stage2.threshold).sum() == 20


def test_state_is_restored(student):
    stage2 = learner(student)
    stage2.threshold = -4.5
    other = learner(copy.deepcopy(student))
    other.load_state_dict(stage2.state_dict())
    assert other.threshold == -4.5
