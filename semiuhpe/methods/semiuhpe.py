"""SemiUHPE: semi-supervised head pose estimation (Zhou et al., arXiv 2404.02544).

Stage 1 is supervised. Stage 2, per step:

1. The teacher predicts a distribution for a weak view of each unlabeled head.
2. Pseudo labels whose entropy is not below the threshold are dropped. The threshold is fixed or dynamic. A dynamic
   threshold is a quantile of the teacher's entropy over the whole pool, recomputed every ``save_frequency`` steps, or
   over the unlabeled heads of the last steps.
3. The student is shown a strong view: a wider area crop, cut-occlusion, and turning in plane, with the pseudo label.
4. The loss is that of the labeled heads plus ``SSL_lambda`` times the cross entropy from the teacher's distribution to
   the student's. It is averaged over all unlabeled heads, with zero for dropped ones.
5. The teacher moves towards the student.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from semiuhpe.augment.occlusion import cutmix, cutout
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, View, unlabeled_views, weak_view
from semiuhpe.data.batches.heads import batches_per_epoch
from semiuhpe.data.experiment import ExperimentData
from semiuhpe.data.importers.dad3dheads import Dad3DHeads
from semiuhpe.distributed import Process, unwrap, world_size
from semiuhpe.distributions import MatrixFisher, RotationDistribution, RotationLaplace
from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.distributions.transposed import transposed_cross_entropy
from semiuhpe.errors import require
from semiuhpe.evaluation.validation import PAPER_ERROR
from semiuhpe.methods.base import Networks, Phase, Preview, Setup, StepResult, Summaries, forward, scheduled_lr
from semiuhpe.methods.crops import LABELED, UNLABELED, CropMethod, CropTask, HeadBatches
from semiuhpe.methods.original import PAPER_START, MovingAverage, OriginalOptions
from semiuhpe.methods.registry import register_method
from semiuhpe.methods.supervised import (
    Supervised,
    labeled_scalars,
    predict,
    preview_rotation,
)
from semiuhpe.methods.teacher import Teacher
from semiuhpe.methods.threshold import RunningThreshold, entropy_quantile
from semiuhpe.models import create_model, network_spec
from semiuhpe.models.pose_head import draw_pose_head, find_pose_head
from semiuhpe.options import OptionGroup, option
from semiuhpe.rotation import geodesic_deg

STAGE2_LR_FACTOR = 0.1


@dataclass(frozen=True)
class SemiUHPEOptions(OptionGroup, title="semi-supervised learning"):
    """The options of SemiUHPE; :class:`OriginalOptions` has those for differences to the paper's code."""

    stage1_iteration: int = option(50000, "length of supervised stage 1, in steps")
    stage2_lr: float | None = option(None, "learning rate of stage 2; a tenth of --lr if not given")
    SSL_lambda: float = option(1.0, "weight of the loss on unlabeled heads")
    ulb_batch_ratio: float = option(4.0, "unlabeled heads per labeled head in a batch")
    type_unsuper: Literal["ce", "nll"] = option(
        "ce", "loss on unlabeled heads: cross entropy, or negative log likelihood of the teacher's mode"
    )
    conf_thres: float = option(-5.3, "entropy below which pseudo labels are kept")
    dynamic_thres: bool = option(False, "use a quantile of the pool's entropy as the threshold")
    running_thres: bool = option(False, "compute the dynamic threshold over recent steps, without passes over the pool")
    left_ratio: float = option(0.95, "share of pseudo labels that the dynamic threshold keeps")
    is_ema: MovingAverage = option(True, "make the teacher a moving average of the student")
    ema_decay: float = option(0.999, "decay of the teacher's moving average")
    eman: bool = option(False, "include batch norm's statistics in the teacher's moving average (EMAN)")
    cutout_aug: bool = option(False, "apply cutout to strong views")
    cutmix_aug: bool = option(False, "apply cutmix to strong views")
    rotate_aug: bool = option(False, "turn strong views in plane, together with their pseudo labels")


@register_method("semiuhpe")
class SemiUHPE(CropMethod[SemiUHPEOptions, ExperimentData]):
    """SemiUHPE: stage 1, then stage 2 unless ``stage1_iteration`` is the length of the run."""

    options_type = SemiUHPEOptions
    more_options = (OriginalOptions,)

    @property
    def differences(self) -> OriginalOptions:
        """The differences to the paper's code, resolved."""
        return self.experiment.group(OriginalOptions).resolved()

    @property
    def unlabeled_batch(self) -> int:
        """Number of unlabeled heads per batch, over all processes."""
        return round(self.experiment.training.batch_size * self.options.ulb_batch_ratio)

    def check(self) -> None:
        options, training, network = self.options, self.experiment.training, self.experiment.network
        require(
            not network_spec(network.network).detects,
            f"--network {network.network}: finds heads on whole pictures; it is trained with --method onestage",
        )
        require(0.0 < options.left_ratio <= 1.0, f"--left_ratio {options.left_ratio}: must lie in (0, 1]")
        require(
            options.dynamic_thres or not options.running_thres,
            "--running_thres: is a kind of dynamic threshold; pass --dynamic_thres too",
        )
        require(0.0 <= options.ema_decay <= 1.0, f"--ema_decay {options.ema_decay}: must lie in [0, 1]")
        require(
            options.stage2_lr is None or options.stage2_lr > 0, f"--stage2_lr {options.stage2_lr}: must be positive"
        )
        require(options.SSL_lambda >= 0.0, f"--SSL_lambda {options.SSL_lambda}: must not be negative")
        require(options.stage1_iteration >= 0, f"--stage1_iteration {options.stage1_iteration}: must not be negative")
        require(
            options.stage1_iteration <= training.max_iteration,
            f"--stage1_iteration {options.stage1_iteration} is beyond --max_iteration {training.max_iteration}",
        )
        require(
            network.distribution not in POINT_ESTIMATES or options.stage1_iteration == training.max_iteration,
            f"--distribution {network.distribution}: has no entropy, by which stage 2 selects pseudo labels; pass "
            f"another, or --stage1_iteration {training.max_iteration}",
        )
        as_fisher = network.distribution == "RotationLaplace" and self.differences.laplace_stage2 == "fisher"
        require(
            self.experiment.group(OriginalOptions).cross_entropy != "transposed"
            or network.distribution == "matrixFisher"
            or as_fisher,
            f"--cross_entropy transposed: is the matrix Fisher distribution's, not that of --distribution "
            f"{network.distribution}; leave it out",
        )
        ratio, processes = options.ulb_batch_ratio, world_size()
        require(math.isfinite(ratio), f"--ulb_batch_ratio {ratio}: must be a number")
        unlabeled = self.unlabeled_batch
        require(
            unlabeled >= processes and unlabeled % processes == 0,
            f"--ulb_batch_ratio {ratio}: gives {unlabeled} unlabeled heads in a batch of {training.batch_size}; "
            f"each of {processes} processes needs the same number, 1 at least",
        )

    def open_data(self) -> ExperimentData:
        data = self.open_training_data(self.options.stage1_iteration < self.experiment.training.max_iteration)
        if self.differences.drop_last:  # before a run folder is made
            batches_per_epoch(len(data.labeled), self.experiment.training.batch_size)
            if data.unlabeled is not None:
                batches_per_epoch(len(data.unlabeled), self.unlabeled_batch)
        return data

    def create_student(self, pretrained: bool) -> nn.Module:
        name = self.experiment.network.network
        start: bool | str = pretrained
        if pretrained and not self.experiment.network.pretrained and self.differences.imagenet_start == "paper":
            start = PAPER_START.get(name, True)
        network = create_model(name, start)
        if self.differences.head_init == "normal":
            draw_pose_head(find_pose_head(network))
        return network

    def phases(self, setup: Setup[ExperimentData]) -> list[Phase]:
        options, training, differences = self.options, self.experiment.training, self.differences
        student, labeled = setup.student, setup.data.labeled
        from_dad = labeled.meta["dataset"] == Dad3DHeads.name
        task = self.crop_task(
            setup, self.unlabeled_batch, bool(differences.drop_last),
            weak=differences.labeled_aug == "all" or not from_dad,
        )  # fmt: skip
        lr = scheduled_lr(training.lr, options.stage1_iteration, training.cosine_lr)
        stage1 = Phase("stage1", Supervised(student, task), options.stage1_iteration, lr)
        if options.stage1_iteration == training.max_iteration:
            return [stage1]
        learner = Stage2(student, task, options, differences, setup.process, self.unlabeled_batch)
        stage2_lr = training.lr * STAGE2_LR_FACTOR if options.stage2_lr is None else options.stage2_lr
        end = self._end(len(labeled))
        lr = scheduled_lr(stage2_lr, end - options.stage1_iteration, training.cosine_lr)
        stage2 = Phase("stage2", learner, end, lr)
        return [stage2] if options.stage1_iteration == 0 else [stage1, stage2]

    def _end(self, labeled: int) -> int:
        """Return the last iteration of stage 2, given the number of labeled heads."""
        training = self.experiment.training
        if not self.differences.whole_epochs:
            return training.max_iteration
        steps = batches_per_epoch(labeled, training.batch_size)
        return math.ceil(training.max_iteration / steps) * steps

    def run_name(self) -> str:
        """Return the paper's name of a variant, like ``SSL1.0_r0.2_ce_effinetv2_tDyna0.95_b32_ema_RO_CO_CM_full``."""
        options, training = self.options, self.experiment.training
        running = "run" if options.running_thres else ""
        threshold = f"Dyna{options.left_ratio}{running}" if options.dynamic_thres else str(options.conf_thres)
        ratio = self.experiment.data.ss_ratio
        parts = [
            f"SSL{options.SSL_lambda}_r{ratio}_{options.type_unsuper}_{self._network_name()}",
            f"t{threshold}_b{training.batch_size}",
        ]
        flags = {
            "eman": options.eman,
            "ema": options.is_ema and not options.eman,
            "RO": options.rotate_aug,
            "CO": options.cutout_aug,
            "CM": options.cutmix_aug,
            "full": self.experiment.network.is_full_range,
            "tSNE": training.save_feat,
            "original": self.differences.original,
        }
        return "_".join(parts + [name for name, on in flags.items() if on])

    @property
    def best_metric(self) -> str:
        return self.experiment.training.best_metric or (PAPER_ERROR if self.differences.original else self.metrics[0])

    @property
    def best_of(self) -> str:
        return self.differences.best_of or super().best_of


class Stage2:
    """The learner of stage 2; the docstring of this module describes its step.

    Args:
        student: the network, wrapped if there are several processes.
        task: the batches of heads, their views, and the distribution to predict.
        options: the options of the method.
        differences: the differences to the paper's code, resolved.
        process: this process among all.
        batch: unlabeled heads per batch, over all processes.
    """

    def __init__(
        self, student: nn.Module, task: CropTask, options: SemiUHPEOptions, differences: OriginalOptions,
        process: Process, batch: int,
    ):  # fmt: skip
        self.student, self.task, self.process = student, task, process
        self.options, self.differences = options, differences
        self.threshold: float | Tensor = options.conf_thres
        self._running = RunningThreshold(options.left_ratio, batch, process.device) if options.running_thres else None
        self._averaged = Teacher(
            unwrap(student), options.ema_decay, options.is_ema, options.eman, differences.teacher_mode == "train"
        )
        as_fisher = task.distribution is RotationLaplace and differences.laplace_stage2 == "fisher"
        self._pseudo_distribution = MatrixFisher if as_fisher else task.distribution
        self._step = 0

    @property
    def teacher(self) -> nn.Module:
        return self._averaged.network

    def batches(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        self._step = step
        return self.task.streams.both(iteration, step)

    def begin(self) -> None:
        self._averaged.reset(unwrap(self.student))
        if self._has_pool_threshold and self.differences.first_thres == "uniform":
            self.threshold = 0.0
        else:
            self.refresh()

    @property
    def _has_pool_threshold(self) -> bool:
        return self.options.dynamic_thres and self._running is None

    def refresh(self) -> dict[str, float]:
        if self._has_pool_threshold:
            entropy = self.process.gather(torch.cat(list(self._pool_entropy())))
            self.threshold = entropy_quantile(entropy, self.options.left_ratio)
        return {"settings/conf_thres": float(self.threshold)}

    def step(self, batches: HeadBatches, random: BatchRandom) -> StepResult:
        options, differences = self.options, self.differences
        distribution, bf16 = self.task.distribution, self.task.bf16
        if differences.teacher_update == "before":
            self._averaged.update(unwrap(self.student), self._step)
        view, weak, strong = self._views(batches, random)
        with torch.no_grad():
            with self._averaged.labeling() as teacher:
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
        if options.type_unsuper == "nll":
            unlabeled_loss = predict(distribution, output_strong).negative_log_likelihood(target.mode())
        elif differences.cross_entropy == "transposed" and isinstance(target, MatrixFisher):
            unlabeled_loss = transposed_cross_entropy(target, predict(MatrixFisher, output_strong))
        else:
            unlabeled_loss = target.cross_entropy(predict(self._pseudo_distribution, output_strong))
        unsupervised = (unlabeled_loss * kept).mean()
        scalars = labeled_scalars(supervised, predicted, view.rotation)
        scalars |= _unlabeled_scalars(unsupervised, pseudo, entropy, kept, weak.rotation)
        return StepResult(supervised + options.SSL_lambda * unsupervised, scalars)

    def _student_outputs(self, labeled: Tensor, strong: Tensor) -> list[Tensor]:
        """Return the student's (B, 9) outputs for labeled heads and for strong views, of one or two forward passes."""
        if self.differences.student_passes == "two":
            return [forward(self.student, image, self.task.bf16) for image in (labeled, strong)]
        output = forward(self.student, torch.cat([labeled, strong]), self.task.bf16)
        return list(output.split([len(labeled), len(strong)]))  # type: ignore[no-untyped-call]

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
        """Return the view of the labeled heads, and the weak and the strong view of the unlabeled heads."""
        task, options, differences = self.task, self.options, self.differences
        view = task.labeled_view(batches[LABELED], random)
        black = differences.turned_corners == "black"
        weak, strong = unlabeled_views(
            batches[UNLABELED], task.unlabeled_crop_rule, task.size, options.rotate_aug, random, black
        )
        whole_pixels = differences.cut_sizes == "integer"
        if options.cutout_aug:
            strong.image = cutout(strong.image, random, whole_pixels)
        if options.cutmix_aug:
            strong.image = cutmix(strong.image, random, whole_pixels)
        return view, weak, strong

    def after_step(self, step: int) -> None:
        self._step = step + 1
        if self.differences.teacher_update == "after":
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
        """Yield the teacher's entropy on the weak views of the pool, batch by batch."""
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
    """Return scalars of the unlabeled part of a step; errors of pseudo labels only if the store has rotations."""
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
