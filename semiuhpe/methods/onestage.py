"""One stage: heads found and posed in a single pass ("Toward Sparse HPE").

Per step: a random view of whole scenes, in the worker with masks on a share of the heads, on the device mirrored, cut
and turned with the labels; the network's numbers for all anchors; the losses of class, box, landmarks and pose
(:mod:`semiuhpe.methods.onestage_loss`). Optimized by SGD (or AdamW), the learning rate divided by ten at 70 and at 90
percent.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torchvision.ops import roi_align

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.scenes import SceneView, training_view
from semiuhpe.config import require
from semiuhpe.data.batches.heads import ShuffledStream, loader_workers
from semiuhpe.data.batches.scenes import SceneBatch, training_scenes
from semiuhpe.data.experiment import store_path
from semiuhpe.data.splits import split_sequences
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import Process, unwrap
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.evaluation.detection import DETECTION_METRICS, DetectionValidation, require_pycocotools
from semiuhpe.methods.base import Batches, Networks, Phase, Preview, Stateless, StepResult, Summaries
from semiuhpe.methods.onestage_loss import FOCAL, MINING, losses
from semiuhpe.methods.supervised import predict
from semiuhpe.models import create_model, network_spec
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.onestage import FAMILY, STRIDES, anchor_boxes, decode_boxes
from semiuhpe.models.output import eval_mode
from semiuhpe.synthetic.scene_stores import mask_some

METRICS = DETECTION_METRICS
SCENES = "scenes"
SGD, ADAMW = "sgd", "adamw"
MOMENTUM, WEIGHT_DECAY = 0.9, {SGD: 5e-4, ADAMW: 0.05}
LR_STEPS, LR_FACTOR = (0.7, 0.9), 0.1
_PREVIEW_PX = 96


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    group = parser.add_argument_group("one stage")
    group.add_argument("--class_loss", choices=(MINING, FOCAL), default=MINING, help="hardest 7 negatives, or focal")
    group.add_argument("--optimizer", choices=(SGD, ADAMW), default=SGD, help="adamw learns faster from random weights")
    group.add_argument("--masked_share", type=float, default=0.0, help="heads that get a mask in training, 0 to 1")
    group.add_argument("--turned_share", type=float, default=0.0, help="views that are turned by up to 45 degrees")
    group.add_argument(
        "--sequence_share", type=float, default=0.7, help="folders to train on if the test set is the training set"
    )


def check_options(options: argparse.Namespace) -> None:
    """Raises ConfigError if an option of the method has an impossible value, or pycocotools is missing."""
    require(
        network_spec(options.network).detects,
        f"--network {options.network}: is for head crops; --method onestage takes {FAMILY}:resnet50, {FAMILY}:resnet18 "
        f"or {FAMILY}:timm:<name>",
    )
    stride = STRIDES[-1]
    require(options.image_size % stride == 0, f"--image_size {options.image_size}: must be a multiple of {stride}")
    for name in ("masked_share", "turned_share"):
        share = getattr(options, name)
        require(0.0 <= share <= 1.0, f"--{name} {share}: must lie in [0, 1]")
    require(not options.train_unlabeled, "--train_unlabeled: --method onestage has no use for unlabeled data")
    require(options.ss_ratio == 1.0, f"--ss_ratio {options.ss_ratio}: --method onestage trains on all labeled scenes")
    require(options.val_split is None, "--val_split: holds out head crops; name scenes with --val_set")
    require(not options.save_feat, "--save_feat: is for methods with a feature per head")
    require_pycocotools()


def run_name(options: argparse.Namespace) -> str:
    """The name of a variant in the run folders, such as ``onestage-resnet50_s256_b16_M0.3_T0.5``."""
    parts = [options.network.replace(":", "-"), f"s{options.image_size}", f"b{options.batch_size}"]
    parts += [options.class_loss] if options.class_loss != MINING else []
    parts += [options.optimizer] if options.optimizer != SGD else []
    parts += [options.distribution] if options.distribution != "matrixFisher" else []
    shares = {"M": options.masked_share, "T": options.turned_share}
    return "_".join(parts + [f"{name}{share:g}" for name, share in shares.items() if share])


@dataclass(frozen=True)
class SceneData:
    """The stores of a training run."""

    labeled: SceneStore
    selection: SceneStore
    selected_on: str

    @property
    def log_lines(self) -> list[str]:
        """Lines for the log."""
        counts = f"{len(self.labeled)} scenes; selecting on {len(self.selection)} scenes"
        return [counts, f"`best` is selected on {self.selected_on}."]


def open_data(options: argparse.Namespace) -> SceneData:
    """The stores of a run.

    Raises:
        ConfigError, StoreError: a store is missing, is no scene store, or there is nothing left to train on.
    """
    train = SceneStore(store_path(options, "train_labeled"))
    if _tested_on_itself(options):
        train = train.view(split_sequences(train.names, options.sequence_share)[0])
    if options.val_set:
        return SceneData(train, SceneStore(store_path(options, "val_set")), f"the validation set {options.val_set}")
    return SceneData(train, open_test_set(options), f"the test set {options.test_set}; --val_set names another")


def open_test_set(options: argparse.Namespace) -> SceneStore:
    """The scenes to test on: of the training set, if it is the same, the folders that are not trained on.

    Raises:
        ConfigError, StoreError: the store is not named, missing, or no scene store.
    """
    store = SceneStore(store_path(options, "test_set"))
    if _tested_on_itself(options):
        return store.view(split_sequences(store.names, options.sequence_share)[1])
    return store


def _tested_on_itself(options: argparse.Namespace) -> bool:
    if not options.train_labeled or not options.test_set:
        return False
    return store_path(options, "train_labeled").resolve() == store_path(options, "test_set").resolve()


def create_student(options: argparse.Namespace, pretrained: bool) -> nn.Module:
    """The one-stage network."""
    return create_model(options.network, pretrained)


def create_optimizer(options: argparse.Namespace, student: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW."""
    parameters, decay = list(student.parameters()), WEIGHT_DECAY[options.optimizer]
    if options.optimizer == ADAMW:
        return torch.optim.AdamW(parameters, options.lr, weight_decay=decay, fused=True)
    optimizer = torch.optim.SGD(parameters, options.lr, MOMENTUM, weight_decay=decay, fused=True)
    for parameter in parameters:  # torch leaves them uninitialized if the guard skips the very first step
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def phases(
    options: argparse.Namespace, student: nn.Module, data: SceneData, description: Description, process: Process
) -> list[Phase]:
    """One phase."""
    learner = OneStage(student, options, data, description, process)
    return [Phase("onestage", learner, options.max_iteration, partial(stepped_lr, options.lr, options.max_iteration))]


def stepped_lr(lr: float, length: int, step: int) -> float:
    """The learning rate of a step of a run of that length."""
    return lr * LR_FACTOR ** sum(step >= part * length for part in LR_STEPS)


class OneStage(Stateless):
    """See the top of this module."""

    def __init__(
        self, student: nn.Module, options: argparse.Namespace, data: SceneData, description: Description,
        process: Process,
    ):  # fmt: skip
        self.student, self.options, self.data, self.process = student, options, data, process
        workers = loader_workers(options, process.device)
        self._validation = DetectionValidation(description, data.selection, process, options.eval_batch_size, workers)
        self._anchors = anchor_boxes(options.image_size, options.image_size, process.device)

    @property
    def teacher(self) -> nn.Module:
        return unwrap(self.student)

    def batches(self, iteration: int, step: int) -> Iterator[Batches[SceneBatch]]:
        options, process = self.options, self.process
        share = (process.rank, process.world_size)
        stream = ShuffledStream(len(self.data.labeled), options.batch_size, options.seed, iteration, *share)
        change = partial(mask_some, share=options.masked_share) if options.masked_share else None
        for batch in training_scenes(self.data.labeled, stream, options.num_workers, change):
            yield {SCENES: batch.to(process.device)}

    def step(self, batches: Batches[SceneBatch], random: BatchRandom) -> StepResult:
        options = self.options
        view = self._view(batches, random)
        with torch.autocast(view.image.device.type, torch.bfloat16, enabled=options.bf16):
            outputs = self.student(view.image)
        result = losses(outputs, view, self._anchors, options.distribution, options.class_loss, self.process.mean)
        parts = {f"train/{name}_loss": value for name, value in result.parts.items()}
        return StepResult(result.total, {"train/loss": result.total.detach(), **parts})

    def validate(self, networks: Networks) -> Summaries:
        return {role: self._validation(network) for role, network in networks.items()}

    @torch.no_grad()
    def preview(self, batches: Batches[SceneBatch], random: BatchRandom) -> dict[str, Preview]:
        """The most certain head of each view, cut out by its predicted box."""
        view, network = self._view(batches, random), self.teacher
        with eval_mode(network):
            outputs = network(view.image)
        rows = torch.arange(len(view.image), device=view.image.device)
        best = outputs.logit.argmax(1)
        box = decode_boxes(outputs.box, self._anchors)[rows, best]
        image = roi_align(view.image, [one[None] for one in box], _PREVIEW_PX)
        rotation = predict(DISTRIBUTIONS[self.options.distribution], outputs.pose[rows, best]).mode()
        return {SCENES: Preview(image, rotation)}

    def _view(self, batches: Batches[SceneBatch], random: BatchRandom) -> SceneView:
        return training_view(batches[SCENES], self.options.image_size, self.options.turned_share, random)
