"""Several processes: the same losses and weights as one, on one machine or more, and a clear end when one is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.errors import refused
from support.paths import ROOT
from support.training import exps_dir, losses

from semiuhpe.cli import train as train_cli
from semiuhpe.models.checkpoint import read_checkpoint
from semiuhpe.training.run_folder import read_scalars

# A network without dropout, whose random numbers differ from process to process.
BASELINE_OPTIONS = """
import sys
from torch import nn
from semiuhpe.cli import train
from semiuhpe.cli.entry import run
from semiuhpe.models import create_model, register_model

@register_model("nodropout", has_pretrained=False)
def build(pretrained):
    network = create_model("plainnet")
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network

sys.exit(run(train.main))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(BASELINE_OPTIONS)
    return path


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(script, settings, processes=1, launcher=("--standalone",)):
    command = [sys.executable]
    if processes > 1 or launcher != ("--standalone",):
        command += ["-m", "torch.distributed.run", *launcher, f"--nproc_per_node={processes}"]
    return subprocess.Popen(
        [*command, str(script), *settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(),
    )  # fmt: skip


def train(script, settings, **how):
    process = start(script, settings, **how)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def folder_of(settings, detail):
    (folder,) = (exps_dir(settings) / "tiny" / detail).iterdir()
    return folder


def mean_gradients(folder):
    """All gradients of a run, averaged over its steps by Adam."""
    moments = read_checkpoint(folder / "last.pth")["optimizer_state_dict"]["state"]
    return torch.cat([moment["exp_avg"].flatten() for moment in moments.values()])


@pytest.mark.parametrize("threshold", ["fixed", "dynamic", "running", "original"])
def test_two_processes_do_what_one_does(script, settings, threshold):
    options = {
        "fixed": ["--dynamic_thres", "false", "--conf_thres", "0"],
        "dynamic": ["--left_ratio", "0.5"],
        "running": ["--running_thres", "--left_ratio", "0.5"],
        # With a teacher in training mode on the statistics of all processes, and two passes of the student
        "original": ["--original", "--dynamic_thres", "false", "--conf_thres", "0"],
    }[threshold]
    # The weights hardly move, as Adam makes whole steps of the rounding errors of small gradients.
    settings = [*settings, "--network", "nodropout", "--cutmix_aug", "false", "--lr", "1e-7", *options]
    settings += ["--batch_size", "8"]
    train(script, [*settings, "--exp_detail", "one"])
    train(script, [*settings, "--exp_detail", "two"], processes=2)
    one, two = folder_of(settings, "one"), folder_of(settings, "two")
    assert losses(two) == pytest.approx(losses(one), rel=1e-3, abs=1e-4)
    assert losses(two).keys() == set(range(1, 7))
    gradients = [mean_gradients(folder) for folder in (one, two)]
    # Of the whole: activations of even backgrounds that are zero but for rounding pass their gradients or don't
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()
    validated = [
        {k: v for row in read_scalars(folder) for k, v in row.items() if k.startswith("val/") and row["step"] == 2}
        for folder in (one, two)
    ]
    assert validated[1] == pytest.approx(validated[0], rel=1e-2) and validated[0]
    if threshold == "dynamic":
        thresholds = [read_checkpoint(folder / "last.pth")["learner"]["threshold"] for folder in (one, two)]
        assert thresholds[1] == pytest.approx(thresholds[0], abs=0.05)


def test_all_processes_hold_the_same_weights(settings, tmp_path):
    path = tmp_path / "train.py"
    path.write_text(
        BASELINE_OPTIONS.replace(
            "sys.exit(run(train.main))",
            """
import torch
from semiuhpe.training.trainer import Trainer
original = Trainer._save
def save_and_show(self, name, phase):
    original(self, name, phase)
    weights = {"student": self.student.state_dict(), "teacher": phase.learner.teacher.state_dict()}
    torch.save(weights, f"{self.folder}/rank{self.process.rank}.pt")
Trainer._save = save_and_show
sys.exit(run(train.main))
""",
        )
    )
    train(path, [*settings, "--exp_detail", "two"], processes=2)
    folder = folder_of(settings, "two")
    checkpoint = read_checkpoint(folder / "last.pth")
    assert checkpoint["clock"]["iteration"] == 6 and len(checkpoint["random"]) == 2
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(checkpoint["model_state_dict_ema"], first["teacher"], rtol=0, atol=0)


def test_two_agents_as_on_two_machines(script, settings):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = ["--nnodes=2", "--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{port}", "--rdzv_id=test"]
    settings = [*settings, "--exp_detail", "two", "--stage1_iteration", "2", "--max_iteration", "3"]
    agents = [start(script, settings, launcher=meeting) for _ in range(2)]
    for agent in agents:
        output, _ = agent.communicate(timeout=300)
        assert agent.returncode == 0, output
    assert read_checkpoint(folder_of(settings, "two") / "last.pth")["clock"]["iteration"] == 3


def test_a_lost_process_ends_the_others_and_the_run_resumes(script, settings):
    long = [*settings, "--exp_detail", "two", "--stage1_iteration", "4000", "--max_iteration", "4000"]
    process = start(script, long, processes=2)
    deadline = time.monotonic() + 120
    while not list(Path(settings[1]).glob("*/two/*/last.pth")) and time.monotonic() < deadline:
        time.sleep(0.2)
    folder = folder_of(settings, "two")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "another process" in output
    assert "--cont_ckpt two/" in output
    reached = read_checkpoint(folder / "last.pth")["clock"]["iteration"]
    again = ["--exps_dir", settings[1], "--cont_ckpt", f"two/{folder.name}/last"]
    again += ["--stage1_iteration", str(reached + 2), "--max_iteration", str(reached + 2)]
    train(script, again, processes=2)
    assert read_checkpoint(folder / "last.pth")["clock"]["iteration"] == reached + 2


def test_batches_that_can_not_be_shared_are_refused(settings, monkeypatch, capsys):

    monkeypatch.setenv("WORLD_SIZE", "3")
    assert "--batch_size 4" in refused(capsys, train_cli.main, settings)


def test_two_processes_see_each_others_negatives(script, common_settings, stores):
    """CLERF: both phases; the loss of pre-training is that of one process with the whole batch."""
    settings = [*common_settings, "--network", "nodropout", "--lr", "1e-7", "--batch_size", "8", "--method", "clerf"]
    settings += ["--pretrain_iteration", "3", "--generator", str(stores["unlabeled"]), "--positive_deg", "20"]
    settings += ["--negative_deg", "25", "--freeze_embedding"]
    train(script, [*settings, "--exp_detail", "one"])
    output = train(script, [*settings, "--exp_detail", "two"], processes=2)
    assert "statistics of its own" not in output
    one, two = folder_of(settings, "one"), folder_of(settings, "two")
    assert losses(two) == pytest.approx(losses(one), rel=1e-3, abs=1e-4)
    gradients = [mean_gradients(folder) for folder in (one, two)]
    # Of the whole: activations of even backgrounds that are zero but for rounding pass their gradients or don't
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()
    validated = [
        {k: v for row in read_scalars(folder) for k, v in row.items() if k.startswith("val/") and row["step"] == 2}
        for folder in (one, two)
    ]
    assert validated[1] == pytest.approx(validated[0], rel=1e-2, abs=5e-3) and validated[0]
