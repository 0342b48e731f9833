"""No step of training waits for the device, so that the host is always ahead of it."""

import traceback

import pytest
import torch
from support.paths import ROOT
from support.training import experiment_of
from torch.utils._python_dispatch import TorchDispatchMode

from semiuhpe.distributed import Process
from semiuhpe.methods import method_of
from semiuhpe.methods.base import Setup
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.training.run import build_student
from semiuhpe.training.run import description as description_of
from semiuhpe.training.trainer import Trainer

CLERF = ("--method", "clerf", "--pretrain_iteration", "3", "--positive_deg", "20", "--negative_deg", "25")
ONESTAGE = ("--method", "onestage", "--network", "onestage:timm:lcnet_035", "--image_size", "64")
SEMIUHPE = ("--stage1_iteration", "3", "--dynamic_thres", "--cutout_aug", "--cutmix_aug", "--rotate_aug")
CASES = {
    "semiuhpe": SEMIUHPE,
    "semiuhpe with a running threshold": (*SEMIUHPE, "--running_thres", "--bf16"),
    "semiuhpe with RotationLaplace": (*SEMIUHPE, "--distribution", "RotationLaplace", "--type_unsuper", "nll"),
    "semiuhpe as the paper's code": (*SEMIUHPE, "--original"),
    "clerf": CLERF,
    "clerf with a frozen embedding": (*CLERF, "--freeze_embedding", "--distribution", "gramSchmidt"),
    "onestage": ONESTAGE,
    "onestage with focal loss": (*ONESTAGE, "--class_loss", "focal", "--turned_share", "0.5", "--optimizer", "adamw"),
}
ROOTS = tuple(str(ROOT / name) for name in ("semiuhpe", "tests"))
READING = {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select"}
COPYING = {"aten.lift_fresh"}  # a tensor from Python's numbers; so is an index that is a list


class Watch(TorchDispatchMode):
    """Notes the operations for which the host would wait if the tensors were on a GPU, and the lines they come from."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function.overloadpacket)
        by_mask = name == "aten.index" and any(index is not None and index.dtype == torch.bool for index in args[1])
        if by_mask or name in READING | COPYING:
            frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(ROOTS)]
            frame = frames[-2]  # the last one is this method
            self.seen.append(f"{name} by {frame.filename}:{frame.lineno}: {frame.line}")
        return function(*args, **(kwargs or {}))


def steps_of(common_settings, stores, folder, case, device):
    """Of each phase of a run, a function that takes a step on heads that are on the device already."""
    more = ["--pretrained", "false"]
    if case.startswith("clerf"):
        more += ["--generator", str(stores["unlabeled"])]
    if case.startswith("onestage"):
        scenes = str(folder / "scenes.lmdb")
        write_scenes(SceneSet(4, 3, "clean", "front", 1, 80), folder / "scenes.lmdb")
        more += ["--train_labeled", scenes, "--train_unlabeled", "", "--val_set", scenes]
    options = experiment_of(*common_settings, *CASES[case], *more)
    method, process = method_of(options), Process(0, 1, torch.device(device))
    data, description = method.open_data(), description_of(options)
    student = build_student(method).to(device, memory_format=torch.channels_last)
    phases = method.phases(Setup(student, data, description, process))
    trainer = Trainer(method, folder, student, phases, data, description, process)
    for phase in phases:
        phase.learner.begin()
        batches = next(phase.learner.batches(0, 0))
        yield lambda phase=phase, batches=batches: trainer._step(phase, 0, batches)


@pytest.mark.parametrize("case", CASES)
def test_nothing_in_a_step_would_make_the_host_wait(common_settings, stores, tmp_path, case):
    for step in steps_of(common_settings, stores, tmp_path, case, "cpu"):
        step()  # fills what is kept from step to step
        with Watch() as watch:
            step()
        assert not watch.seen


def test_the_watch_sees_what_waits():
    values = torch.rand(2, 3)
    with Watch() as watch:
        _ = values[:, [1, 0]], values[values > 0.5], torch.tensor(1.0), float(values.sum()), values.nonzero()
    assert [line.split()[0] for line in watch.seen] == [
        "aten.lift_fresh", "aten.index", "aten.lift_fresh", "aten._local_scalar_dense", "aten.nonzero",
    ]  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", CASES)
def test_a_step_does_not_make_the_host_wait(common_settings, stores, tmp_path, case):
    for step in steps_of(common_settings, stores, tmp_path, case, "cuda"):
        step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
