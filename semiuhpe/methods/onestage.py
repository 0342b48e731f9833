"""One-stage method: heads are found and posed in a single pass ("Toward Sparse HPE").

Each step uses a random view of whole scenes: workers draw masks onto a share of the heads; the device mirrors, cuts
and turns pictures with their labels. The network's outputs at all anchors go into the losses of class, box, landmarks
and pose (:mod:`semiuhpe.methods.onestage_loss`). The optimizer is SGD or AdamW; the learning rate is divided by ten
after 70 and after 90 percent of the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torchvision.ops import roi_align

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.scenes import SceneView, training_view
from semiuhpe.data.batches.heads import ShuffledStream, loader_workers
from semiuhpe.data.batches.scenes import SceneBatch, training_scenes
from semiuhpe.data.experiment import DataOptions, open_scenes, store_path
from semiuhpe.data.splits import split_sequences
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.distributed import unwrap
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.errors import require
from semiuhpe.evaluation.detection import DETECTION_METRICS, DetectionValidation, require_pycocotools
from semiuhpe.methods.base import Batches, Method, Networks, Phase, Preview, Setup, Stateless, StepResult, Summaries
from semiuhpe.methods.onestage_loss import FOCAL, MINING, losses
from semiuhpe.methods.options import Experiment
from semiuhpe.methods.registry import register_method
from semiuhpe.methods.supervised import predict
from semiuhpe.models import network_spec
from semiuhpe.models.onestage import FAMILY, STRIDES, OneStageNet, anchor_boxes, decode_boxes
from semiuhpe.models.output import eval_mode
from semiuhpe.options import OptionGroup, option
from semiuhpe.synthetic.scene_stores import mask_some

SCENES = "scenes"
SGD, ADAMW = "sgd", "adamw"
MOMENTUM, WEIGHT_DECAY = 0.9, {SGD: 5e-4, ADAMW: 0.05}
LR_STEPS, LR_FACTOR = (0.7, 0.9), 0.1
_PREVIEW_PX = 96


@dataclass(frozen=True)
class OneStageOptions(OptionGroup, title="one stage"):
    """The options of the one-stage method."""

    class_loss: str = option(
        MINING,
        "class loss: cross entropy with the 7 hardest negatives per positive, or focal",
        choices=lambda: (MINING, FOCAL),
    )
    optimizer: str = option(SGD, "optimizer; adamw learns faster from random weights", choices=lambda: (SGD, ADAMW))
    masked_share: float = option(0.0, "share of heads that get a mask in training, 0 to 1")
    frozen_levels: int = option(
        0, "feature levels of the backbone, of 3, that keep the weights they start with; the first ones take longest"
    )
    turned_share: float = option(0.0, "share of views that are turned by up to 45 degrees, 0 to 1")
    sequence_share: float = option(0.7, "share of folders to train on if the test set is the training set")


@dataclass(frozen=True)
class SceneData:
    """The stores of a training run."""

    labeled: SceneStore
    selection: SceneStore
    selected_on: str

    @property
    def log_lines(self) -> list[str]:
        """Lines that describe the data in the log."""
        counts = f"{len(self.labeled)} scenes; selecting on {len(self.selection)} scenes"
        return [counts, f"`best` is selected on {self.selected_on}."]


@register_method("onestage")
class OneStage(Method[OneStageOptions, SceneData]):
    """The one-stage method: one phase on whole scenes."""

    options_type = OneStageOptions
    metrics = DETECTION_METRICS

    def check(self) -> None:
        """Raise ConfigError if an option has an impossible value, or pycocotools is missing."""
        network, data = self.experiment.network, self.experiment.data
        require(
            network_spec(network.network).detects,
            f"--network {network.network}: is for head crops; --method onestage takes {FAMILY}:resnet50, "
            f"{FAMILY}:resnet18, {FAMILY}:mobilenet0.25 or {FAMILY}:timm:<name>",
        )
        stride = STRIDES[-1]
        require(network.image_size % stride == 0, f"--image_size {network.image_size}: must be a multiple of {stride}")
        for name in ("masked_share", "turned_share"):
            share = getattr(self.options, name)
            require(0.0 <= share <= 1.0, f"--{name} {share}: must lie in [0, 1]")
        levels = self.options.frozen_levels
        require(0 <= levels <= len(STRIDES), f"--frozen_levels {levels}: must be 0 to {len(STRIDES)}")
        random = network.pretrained is False and not self.experiment.training.init_from
        require(not (levels and random), "--frozen_levels: would keep random weights; leave out --pretrained false")
        require(not data.train_unlabeled, "--train_unlabeled: --method onestage has no use for unlabeled data")
        require(data.ss_ratio == 1.0, f"--ss_ratio {data.ss_ratio}: --method onestage trains on all labeled scenes")
        require(data.val_split is None, "--val_split: holds out head crops; name scenes with --val_set")
        require(
            not self.experiment.training.cosine_lr, "--cosine_lr: the learning rate of --method onestage falls in steps"
        )
        require(not self.experiment.training.save_feat, "--save_feat: is for methods with a feature per head")
        require_pycocotools()

    def run_name(self) -> str:
        """Return the name of a variant, such as ``onestage-resnet50_s256_b16_M0.3_T0.5``."""
        options, network = self.options, self.experiment.network
        parts = [self._network_name(), f"s{network.image_size}", f"b{self.experiment.training.batch_size}"]
        parts += [options.class_loss] if options.class_loss != MINING else []
        parts += [options.optimizer] if options.optimizer != SGD else []
        parts += [f"F{options.frozen_levels}"] if options.frozen_levels else []
        parts += [network.distribution] if network.distribution != "matrixFisher" else []
        shares = {"M": options.masked_share, "T": options.turned_share}
        return "_".join(parts + [f"{name}{share:g}" for name, share in shares.items() if share])

    def open_data(self) -> SceneData:
        data = self.experiment.data
        train = open_scenes(data, "train_labeled")
        if _tested_on_itself(data):
            train = train.view(split_sequences(train.names, self.options.sequence_share)[0])
        if data.val_set:
            return SceneData(train, open_scenes(data, "val_set"), f"the validation set {data.val_set}")
        test = open_test_set(data, self.options)
        return SceneData(train, test, f"the test set {data.test_set}; --val_set names another")

    def create_student(self, pretrained: bool) -> nn.Module:
        student = super().create_student(pretrained)
        if self.options.frozen_levels and isinstance(student, OneStageNet):
            student.freeze(self.options.frozen_levels)
        return student

    def create_optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """Return SGD with momentum, or AdamW."""
        name, lr = self.options.optimizer, self.experiment.training.lr
        parameters, decay = list(student.parameters()), WEIGHT_DECAY[name]
        if name == ADAMW:
            return torch.optim.AdamW(parameters, lr, weight_decay=decay, fused=True)
        optimizer = torch.optim.SGD(parameters, lr, MOMENTUM, weight_decay=decay, fused=True)
        for parameter in parameters:  # torch leaves it uninitialized if the first step is skipped
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer

    def phases(self, setup: Setup[SceneData]) -> list[Phase]:
        training = self.experiment.training
        learner = Detection(self.experiment, setup)
        lr = partial(stepped_lr, training.lr, training.max_iteration)
        return [Phase("onestage", learner, training.max_iteration, lr)]


def open_test_set(data: DataOptions, options: OneStageOptions) -> SceneStore:
    """Open the scenes to test on. If the test set is the training set, these are the folders held out from training.

    Raises:
        ConfigError, StoreError: the store is not named, is missing, or is not a scene store.
    """
    store = open_scenes(data, "test_set")
    if _tested_on_itself(data):
        return store.view(split_sequences(store.names, options.sequence_share)[1])
    return store


def _tested_on_itself(data: DataOptions) -> bool:
    if not data.train_labeled or not data.test_set:
        return False
    return store_path(data, "train_labeled").resolve() == store_path(data, "test_set").resolve()


def stepped_lr(lr: float, length: int, step: int) -> float:
    """Return the learning rate of a step of a run of ``length`` steps."""
    return lr * LR_FACTOR ** sum(step >= part * length for part in LR_STEPS)


class Detection(Stateless):
    """The learner of the one-stage method; the docstring of this module describes its step."""

    def __init__(self, experiment: Experiment, setup: Setup[SceneData]):
        self.student, self.data, self.process = setup.student, setup.data, setup.process
        self.options, self.training, self.seed = (
            experiment.group(OneStageOptions),
            experiment.training,
            experiment.run.seed,
        )
        self.distribution, self.size = experiment.network.distribution, experiment.network.image_size
        size, workers = self.training.eval_batch_size, loader_workers(self.training.num_workers, self.process.device)
        self._validation = DetectionValidation(setup.description, self.data.selection, self.process, size, workers)
        self._anchors = anchor_boxes(self.size, self.size, self.process.device)

    @property
    def teacher(self) -> nn.Module:
        return unwrap(self.student)

    def batches(self, iteration: int, step: int) -> Iterator[Batches[SceneBatch]]:
        options, training, process = self.options, self.training, self.process
        share = (process.rank, process.world_size)
        stream = ShuffledStream(len(self.data.labeled), training.batch_size, self.seed, iteration, *share)
        change = partial(mask_some, share=options.masked_share) if options.masked_share else None
        for batch in training_scenes(self.data.labeled, stream, training.num_workers, change):
            yield {SCENES: batch.to(process.device)}

    def step(self, batches: Batches[SceneBatch], random: BatchRandom) -> StepResult:
        view = self._view(batches, random)
        with torch.autocast(view.image.device.type, torch.bfloat16, enabled=self.training.bf16):
            outputs = self.student(view.image)
        result = losses(outputs, view, self._anchors, self.distribution, self.options.class_loss, self.process.mean)
        parts = {f"train/{name}_loss": value for name, value in result.parts.items()}
        return StepResult(result.total, {"train/loss": result.total.detach(), **parts})

    def validate(self, networks: Networks) -> Summaries:
        return {role: self._validation(network) for role, network in networks.items()}

    @torch.no_grad()
    def preview(self, batches: Batches[SceneBatch], random: BatchRandom) -> dict[str, Preview]:
        """Return the head with the highest score in each view, cut out by its predicted box."""
        view, network = self._view(batches, random), self.teacher
        with eval_mode(network):
            outputs = network(view.image)
        rows = torch.arange(len(view.image), device=view.image.device)
        best = outputs.logit.argmax(1)
        box = decode_boxes(outputs.box, self._anchors)[rows, best]
        image = roi_align(view.image, [one[None] for one in box], _PREVIEW_PX)
        rotation = predict(DISTRIBUTIONS[self.distribution], outputs.pose[rows, best]).mode()
        return {SCENES: Preview(image, rotation)}

    def _view(self, batches: Batches[SceneBatch], random: BatchRandom) -> SceneView:
        return training_view(batches[SCENES], self.size, self.options.turned_share, random)
