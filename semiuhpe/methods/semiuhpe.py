"""SemiUHPE: semi-supervised head pose estimation (Zhou et al., arXiv 2404.02544).

Stage 1 is supervised. Stage 2, per step:

1. The teacher looks at a weak view of unlabeled heads and gives a distribution for each.
2. Pseudo labels whose entropy is not below the threshold are dropped. The threshold is fixed, or dynamic: a quantile of
   the teacher's entropy over the whole unlabeled pool, taken anew every ``save_frequency`` steps, or over the heads of
   the last steps.
3. The student looks at a strong view: a wider area crop; cut-occlusion; turned in plane, with the pseudo label.
4. The loss is that of the labeled heads plus ``SSL_lambda`` times the cross entropy from the teacher's distribution to
   the student's, averaged over all unlabeled heads, dropped ones counting as zero.
5. The teacher moves towards the student.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from semiuhpe.augment.occlusion import cutmix, cutout
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, View, unlabeled_views, weak_view
from semiuhpe.config import FLAG, require
from semiuhpe.data.batches.heads import batches_per_epoch
from semiuhpe.data.experiment import ExperimentData, open_training_data
from semiuhpe.distributed import Process, unwrap, world_size
from semiuhpe.distributions import MatrixFisher, RotationDistribution, RotationLaplace
from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.distributions.transposed import transposed_cross_entropy
from semiuhpe.evaluation.validation import POSE_METRICS
from semiuhpe.methods import original
from semiuhpe.methods.base import Networks, Phase, Preview, StepResult, Summaries, forward
from semiuhpe.methods.crops import LABELED, UNLABELED, CropTask, HeadBatches, crop_task
from semiuhpe.methods.original import DIFFERENCES, PAPER_START, choice
from semiuhpe.methods.supervised import (
    Supervised,
    labeled_scalars,
    predict,
    preview_rotation,
)
from semiuhpe.methods.teacher import Teacher
from semiuhpe.methods.threshold import RunningThreshold, entropy_quantile
from semiuhpe.models import create_model, network_spec
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.pose_head import draw_pose_head, find_pose_head
from semiuhpe.rotation import geodesic_deg

METRICS = POSE_METRICS
STAGE2_LR_FACTOR = 0.1


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    group = parser.add_argument_group("semi-supervised learning")
    group.add_argument("--stage1_iteration", type=int, default=50000, help="length of supervised stage 1")
    group.add_argument("--stage2_lr", type=float, help="learning rate of stage 2; a tenth of --lr if not given")
    group.add_argument("--SSL_lambda", type=float, default=1.0, help="weight of the unlabeled loss")
    group.add_argument("--ulb_batch_ratio", type=float, default=4, help="unlabeled heads per labeled head in a batch")
    group.add_argument("--type_unsuper", choices=("ce", "nll"), default="ce", help="unlabeled loss")
    group.add_argument("--conf_thres", type=float, default=-5.3, help="pseudo labels of lower entropy are kept")
    group.add_argument("--dynamic_thres", help="take the threshold as a quantile of the pool's entropy", **FLAG)
    group.add_argument("--running_thres", help="that quantile over recent steps, without passes over the pool", **FLAG)
    group.add_argument("--left_ratio", type=float, default=0.95, help="share of pseudo labels that it keeps")
    group.add_argument(
        "--is_ema",
        help="the teacher is a moving average of the student",
        **{**FLAG, "default": True, "type": original.moving_average},
    )
    group.add_argument("--ema_decay", type=float, default=0.999, help="decay of that average")
    group.add_argument("--eman", help="the average includes batch norm's statistics (EMAN)", **FLAG)
    group.add_argument("--cutout_aug", help="cutout in strong views", **FLAG)
    group.add_argument("--cutmix_aug", help="cutmix in strong views", **FLAG)
    group.add_argument("--rotate_aug", help="strong views turned in plane, pseudo labels turned along", **FLAG)
    original.add_options(parser)
    original.add_ignored(parser)


@dataclass(frozen=True)
class Settings:
    """The options of stage 2; see :func:`add_options` and :mod:`semiuhpe.methods.original`."""

    SSL_lambda: float
    type_unsuper: str
    conf_thres: float
    dynamic_thres: bool
    running_thres: bool
    left_ratio: float
    is_ema: bool
    ema_decay: float
    eman: bool
    cutout_aug: bool
    cutmix_aug: bool
    rotate_aug: bool
    teacher_mode: str = "eval"
    teacher_update: str = "after"
    first_thres: str = "pool"
    laplace_stage2: str = "laplace"
    student_passes: str = "one"
    cross_entropy: str = "exact"
    cut_sizes: str = "real"
    turned_corners: str = "filled"

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Settings":
        """Those of a run."""
        names = cls.__dataclass_fields__
        return cls(**{name: choice(options, name) if name in DIFFERENCES else getattr(options, name) for name in names})


def check_options(options: argparse.Namespace) -> None:
    """Raises ConfigError if an option of the method has an impossible value."""
    require(
        not network_spec(options.network).detects,
        f"--network {options.network}: finds heads on whole pictures; it is trained with --method onestage",
    )
    require(0.0 < options.left_ratio <= 1.0, f"--left_ratio {options.left_ratio}: must lie in (0, 1]")
    require(
        options.dynamic_thres or not options.running_thres,
        "--running_thres: is a way to take the dynamic threshold; pass --dynamic_thres too",
    )
    require(0.0 <= options.ema_decay <= 1.0, f"--ema_decay {options.ema_decay}: must lie in [0, 1]")
    require(options.stage2_lr is None or options.stage2_lr > 0, f"--stage2_lr {options.stage2_lr}: must be positive")
    require(options.SSL_lambda >= 0.0, f"--SSL_lambda {options.SSL_lambda}: must not be negative")
    require(options.stage1_iteration >= 0, f"--stage1_iteration {options.stage1_iteration}: must not be negative")
    require(
        options.stage1_iteration <= options.max_iteration,
        f"--stage1_iteration {options.stage1_iteration} is beyond --max_iteration {options.max_iteration}",
    )
    require(
        options.distribution not in POINT_ESTIMATES or options.stage1_iteration == options.max_iteration,
        f"--distribution {options.distribution}: has no entropy, which stage 2 chooses pseudo labels by; pass another, "
        f"or --stage1_iteration {options.max_iteration}",
    )
    as_fisher = options.distribution == "RotationLaplace" and choice(options, "laplace_stage2") == "fisher"
    require(
        options.cross_entropy != "transposed" or options.distribution == "matrixFisher" or as_fisher,
        f"--cross_entropy transposed: is the matrix Fisher distribution's, not that of --distribution "
        f"{options.distribution}; leave it out",
    )
    ratio, processes = options.ulb_batch_ratio, world_size()
    require(math.isfinite(ratio), f"--ulb_batch_ratio {ratio}: must be a number")
    unlabeled = round(options.batch_size * ratio)
    require(
        unlabeled >= processes and unlabeled % processes == 0,
        f"--ulb_batch_ratio {ratio}: gives {unlabeled} unlabeled heads in a batch of {options.batch_size}; "
        f"each of {processes} processes needs the same number, 1 at least",
    )


def open_data(options: argparse.Namespace) -> ExperimentData:
    """The stores of a run; see :func:`semiuhpe.data.experiment.open_training_data`."""
    data = open_training_data(options, needs_unlabeled=options.stage1_iteration < options.max_iteration)
    require(
        data.selection.euler_deg is not None or not (options.best_metric or "").startswith("euler"),
        f"--best_metric {options.best_metric}: {data.selection.path} has no Euler angles",
    )
    if choice(options, "drop_last"):  # before a run folder is made
        batches_per_epoch(len(data.labeled), options.batch_size)
        if data.unlabeled is not None:
            batches_per_epoch(len(data.unlabeled), round(options.batch_size * options.ulb_batch_ratio))
    return data


def create_student(options: argparse.Namespace, pretrained: bool) -> nn.Module:
    """The backbone with its pose head."""
    start: bool | str = pretrained
    if pretrained and not options.pretrained and choice(options, "imagenet_start") == "paper":
        start = PAPER_START.get(options.network, True)
    network = create_model(options.network, start)
    if choice(options, "head_init") == "normal":
        draw_pose_head(find_pose_head(network))
    return network


def create_optimizer(options: argparse.Namespace, student: nn.Module) -> torch.optim.Optimizer:
    """Adam, as in the paper."""
    return torch.optim.Adam(student.parameters(), lr=options.lr, fused=True)


def phases(
    options: argparse.Namespace, student: nn.Module, data: ExperimentData, description: Description, process: Process
) -> list[Phase]:
    """Stage 1, and stage 2 unless ``stage1_iteration`` is the whole run."""
    task = crop_task(options, data, description, process)
    stage1 = Phase("stage1", Supervised(student, task), options.stage1_iteration, options.lr)
    if options.stage1_iteration == options.max_iteration:
        return [stage1]
    batch = round(options.batch_size * options.ulb_batch_ratio)
    learner = SemiUHPE(student, task, Settings.of(options), process, batch)
    stage2_lr = options.lr * STAGE2_LR_FACTOR if options.stage2_lr is None else options.stage2_lr
    stage2 = Phase("stage2", learner, _end(options, len(data.labeled)), stage2_lr)
    return [stage2] if options.stage1_iteration == 0 else [stage1, stage2]


def _end(options: argparse.Namespace, labeled: int) -> int:
    """The last iteration of stage 2, given the number of labeled heads."""
    if not choice(options, "whole_epochs"):
        return options.max_iteration
    steps = batches_per_epoch(labeled, options.batch_size)
    return math.ceil(options.max_iteration / steps) * steps


class SemiUHPE:
    """Stage 2."""

    def __init__(self, student: nn.Module, task: CropTask, settings: Settings, process: Process, batch: int):
        self.student, self.task, self.settings, self.process = student, task, settings, process
        self.threshold: float | Tensor = settings.conf_thres
        self._running = RunningThreshold(settings.left_ratio, batch, process.device) if settings.running_thres else None
        self._averaged = Teacher(
            unwrap(student), settings.ema_decay, settings.is_ema, settings.eman, settings.teacher_mode == "train"
        )
        as_fisher = task.distribution is RotationLaplace and settings.laplace_stage2 == "fisher"
        self._pseudo_distribution = MatrixFisher if as_fisher else task.distribution
        self._step = 0

    @property
    def teacher(self) -> nn.Module:
        return self._averaged.network

    def batches(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        streams, self._step = self.task.streams, step
        for labeled, unlabeled in zip(streams.labeled(iteration), streams.unlabeled(step), strict=True):
            yield {LABELED: labeled, UNLABELED: unlabeled}

    def begin(self) -> None:
        self._averaged.reset(unwrap(self.student))
        if self._has_pool_threshold and self.settings.first_thres == "uniform":
            self.threshold = 0.0
        else:
            self.refresh()

    @property
    def _has_pool_threshold(self) -> bool:
        return self.settings.dynamic_thres and self._running is None

    def refresh(self) -> dict[str, float]:
        if self._has_pool_threshold:
            entropy = self.process.gather(torch.cat(list(self._pool_entropy())))
            self.threshold = entropy_quantile(entropy, self.settings.left_ratio)
        return {"settings/conf_thres": float(self.threshold)}

    def step(self, batches: HeadBatches, random: BatchRandom) -> StepResult:
        settings, distribution, bf16 = self.settings, self.task.distribution, self.task.bf16
        if settings.teacher_update == "before":
            self._averaged.update(unwrap(self.student), self._step)
        view, weak, strong = self._views(batches, random)
        with torch.no_grad():
            with self._averaged.labelling() as teacher:
                pseudo = predict(self._pseudo_distribution, forward(teacher, weak.image, bf16))
            entropy = pseudo.entropy()
            if self._running is not None:
                self.threshold = self._running.update(self.process.gather_batch(entropy))
            kept = entropy < self.threshold
            target = pseudo
            if strong.turn is not None:
                target = self._pseudo_distribution(strong.turn @ pseudo.parameter, validate_args=False)

        output, output_strong = self._student_outputs(view.image, strong.image)
        predicted = predict(distribution, output)
        supervised = predicted.negative_log_likelihood(view.rotation).mean()
        if settings.type_unsuper == "nll":
            unlabeled_loss = predict(distribution, output_strong).negative_log_likelihood(target.mode())
        elif settings.cross_entropy == "transposed" and isinstance(target, MatrixFisher):
            unlabeled_loss = transposed_cross_entropy(target, predict(MatrixFisher, output_strong))
        else:
            unlabeled_loss = target.cross_entropy(predict(self._pseudo_distribution, output_strong))
        unsupervised = (unlabeled_loss * kept).mean()
        scalars = labeled_scalars(supervised, predicted, view.rotation)
        scalars |= _unlabeled_scalars(unsupervised, pseudo, entropy, kept, weak.rotation)
        return StepResult(supervised + settings.SSL_lambda * unsupervised, scalars)

    def _student_outputs(self, labeled: Tensor, strong: Tensor) -> list[Tensor]:
        """(B, 9) of the student for labeled heads and for strong views, seen by batch norm together or in turn."""
        if self.settings.student_passes == "two":
            return [forward(self.student, image, self.task.bf16) for image in (labeled, strong)]
        output = forward(self.student, torch.cat([labeled, strong]), self.task.bf16)
        return list(output.split([len(labeled), len(strong)]))

    @torch.no_grad()
    def preview(self, batches: HeadBatches, random: BatchRandom) -> dict[str, Preview]:
        _, weak, strong = self._views(batches, random)
        pseudo = predict(self._pseudo_distribution, self.teacher(weak.image).float())
        kept = pseudo.entropy() < self.threshold
        student = preview_rotation(unwrap(self.student), self.task.distribution, strong.image)
        return {"weak": Preview(weak.image, pseudo.mode(), kept), "strong": Preview(strong.image, student, kept)}

    def validate(self, networks: Networks) -> Summaries:
        return self.task.validate(networks)

    def _views(self, batches: HeadBatches, random: BatchRandom) -> tuple[LabeledView, View, View]:
        """The labeled heads' view, and the weak and the strong one of the unlabeled heads."""
        task, settings = self.task, self.settings
        view = task.labeled_view(batches[LABELED], random)
        black = settings.turned_corners == "black"
        weak, strong = unlabeled_views(
            batches[UNLABELED], task.unlabeled_crop_rule, task.size, settings.rotate_aug, random, black
        )
        whole_pixels = settings.cut_sizes == "integer"
        if settings.cutout_aug:
            strong.image = cutout(strong.image, random, whole_pixels)
        if settings.cutmix_aug:
            strong.image = cutmix(strong.image, random, whole_pixels)
        return view, weak, strong

    def after_step(self, step: int) -> None:
        self._step = step + 1
        if self.settings.teacher_update == "after":
            self._averaged.update(unwrap(self.student), step)

    def state_dict(self) -> dict[str, Any]:
        running = {} if self._running is None else {"running": self._running.state_dict()}
        return {"threshold": float(self.threshold), **running}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.threshold = state["threshold"]
        if self._running is not None and "running" in state:
            self._running.load_state_dict(state["running"])

    @torch.no_grad()
    def _pool_entropy(self) -> Iterator[Tensor]:
        """Entropy of the teacher on the weak views that training shows it, batch by batch."""
        process, task = self.process, self.task
        generator = torch.Generator(process.device).manual_seed(0)
        random = BatchRandom(generator, process.rank, process.world_size)
        for batch in task.streams.pool():
            weak = weak_view(batch, task.unlabeled_crop_rule, task.size, random)
            yield predict(self._pseudo_distribution, forward(self.teacher, weak.image, task.bf16)).entropy()


@torch.no_grad()
def _unlabeled_scalars(
    loss: Tensor, pseudo: RotationDistribution, entropy: Tensor, kept: Tensor, truth: Tensor | None
) -> dict[str, Tensor]:
    """What is logged of the unlabeled part; errors of pseudo labels only where the store happens to have the truth."""
    scalars = {
        "ssl/unsuper_loss": loss.detach(),
        "ssl/entropy": entropy.mean(),
        "ssl/kept_ratio": kept.float().mean(),
    }
    if truth is not None:
        error = geodesic_deg(pseudo.mode(), truth)
        scalars["ssl/pseudo_error_deg"] = error.mean()
        scalars["ssl/kept_error_deg"] = torch.where(kept, error, math.nan).nanmean()
    return scalars
