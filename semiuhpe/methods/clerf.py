"""CLERF: contrastive pre-training on pose, for any orientation of the head (Wei et al., arXiv 2412.02066).

``pretrain``, per step:

1. An anchor is a labeled head. Its positive is another identity seen from the same direction, rendered or looked up
   by a pose-controlled generator, and turned in plane until the rolls agree.
2. Both are turned by the same random angle and flipped alike, with their labels, so their distance doesn't change.
3. Negatives are the heads of the batch, across all processes, that are farther than ``negative_deg`` from the anchor.
4. The loss is Circle Loss on the normalized embedding, which weights hard negatives most.

``regression`` trains the layers behind the embedding on labeled heads, turned and flipped in the same way. The
embedding is fine-tuned or frozen. The loss is the negative log likelihood of ``--distribution``; for ``gramSchmidt``
that is the geodesic loss.

Pre-training is validated by the rotation of the nearest labeled head in the embedding.
:mod:`semiuhpe.models.embedding` defines the embedding and explains why such a model is a pose network like any other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from semiuhpe.augment.in_plane import random_in_plane
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, labeled_view, turned_view
from semiuhpe.data.batches.generators import HeadGenerator, StoreHeads
from semiuhpe.data.batches.heads import ShuffledStream, loader_workers
from semiuhpe.data.crop import CROP_RULES
from semiuhpe.data.experiment import ExperimentData, open_labeled, store_path
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process, unwrap
from semiuhpe.errors import require
from semiuhpe.evaluation.embedding import NeighborValidation
from semiuhpe.methods.base import Networks, Phase, Preview, Setup, Stateless, StepResult, Summaries, scheduled_lr
from semiuhpe.methods.circle_loss import circle_loss
from semiuhpe.methods.crops import LABELED, CropMethod, CropTask, HeadBatches
from semiuhpe.methods.options import Experiment
from semiuhpe.methods.registry import register_method
from semiuhpe.methods.supervised import Supervised
from semiuhpe.methods.triplets import anchors_of, pair_batches, triplet_views
from semiuhpe.models.embedding import dropout, embed, normalized, regressor
from semiuhpe.options import OptionGroup, option
from semiuhpe.rotation import geodesic_deg
from semiuhpe.synthetic.generator import RenderedHeads
from semiuhpe.synthetic.render_head import DOMAINS

POSITIVE = "positive"
RENDERED_POSITIVES = "rendered"


@dataclass(frozen=True)
class ClerfOptions(OptionGroup, title="contrastive pre-training (CLERF)"):
    """The options of CLERF."""

    pretrain_iteration: int = option(50000, "length of contrastive pre-training, in steps")
    regression_lr: float | None = option(None, "learning rate of the regression; --lr if not given")
    freeze_embedding: bool = option(False, "freeze the embedding during regression")
    turn_aug: bool = option(True, "turn and flip heads during regression too")
    generator: str = option(
        RENDERED_POSITIVES, f"source of positives: {RENDERED_POSITIVES}, or a labeled store", metavar="DATASET"
    )
    generator_domain: str = option("wild", "domain of rendered positives", choices=lambda: DOMAINS)
    positive_deg: float = option(5.0, "greatest distance of a positive from its anchor, in degrees")
    negative_deg: float = option(15.0, "distance beyond which a head is a negative, in degrees")
    circle_margin: float = option(0.25, "margin of Circle Loss")
    circle_scale: float = option(64.0, "scale of Circle Loss, gamma in the paper")


class Pairing(NamedTuple):
    """The generator of positives, and the labeled heads that have a positive."""

    generator: HeadGenerator
    anchors: HeadStore


@dataclass(frozen=True)
class ContrastiveData(ExperimentData):
    """The stores of a run, and the pairing of heads for pre-training."""

    pairing: Pairing | None = None

    @property
    def log_lines(self) -> list[str]:
        if self.pairing is None:
            return super().log_lines
        anchors = len(self.pairing.anchors)
        return [*super().log_lines, f"{anchors} of the labeled heads have a positive and are anchors."]


@register_method("clerf")
class Clerf(CropMethod[ClerfOptions, ContrastiveData]):
    """CLERF: pre-training, if it has any steps, then regression, unless pre-training is the whole run."""

    options_type = ClerfOptions

    def check(self) -> None:
        options, training = self.options, self.experiment.training
        require(
            options.pretrain_iteration >= 0, f"--pretrain_iteration {options.pretrain_iteration}: must not be negative"
        )
        require(
            options.pretrain_iteration <= training.max_iteration,
            f"--pretrain_iteration {options.pretrain_iteration} is beyond --max_iteration {training.max_iteration}",
        )
        lr = options.regression_lr
        require(lr is None or lr > 0, f"--regression_lr {lr}: must be positive")
        require(0.0 < options.positive_deg <= 180.0, f"--positive_deg {options.positive_deg}: must lie in (0, 180]")
        require(
            options.positive_deg <= options.negative_deg < 180.0,
            f"--negative_deg {options.negative_deg}: must lie in [--positive_deg, 180), "
            f"that is in [{options.positive_deg:g}, 180)",
        )
        require(0.0 <= options.circle_margin < 1.0, f"--circle_margin {options.circle_margin}: must lie in [0, 1)")
        require(options.circle_scale > 0.0, f"--circle_scale {options.circle_scale}: must be positive")
        require(
            not (training.compile and options.pretrain_iteration),
            "--compile: the embedding lies inside the network, where a compiled one can't be read; leave it out",
        )

    def run_name(self) -> str:
        options = self.options
        source = options.generator.rstrip("/").rpartition("/")[2].replace(".lmdb", "")
        distribution = self.experiment.network.distribution
        parts = [
            f"CLERF{options.pretrain_iteration}_{source}_{self._network_name()}_{distribution}",
            f"b{self.experiment.training.batch_size}",
        ]
        full = self.experiment.network.is_full_range
        flags = {"frozen": options.freeze_embedding, "upright": not options.turn_aug, "full": full}
        return "_".join(parts + [name for name, on in flags.items() if on])

    def open_data(self) -> ContrastiveData:
        """Open the stores of the run and its generator.

        Raises:
            ConfigError, StoreError: a store is missing or has no labels, or no labeled head has a positive.
        """
        options = self.options
        data = self.open_training_data(needs_unlabeled=False)
        if options.pretrain_iteration == 0:
            return ContrastiveData(**vars(data))
        generator = self.open_generator(data.labeled.size)
        anchors = anchors_of(data.labeled, generator)
        require(
            len(anchors) > 0,
            f"--generator {options.generator}: shows nobody else within --positive_deg {options.positive_deg:g} of any "
            f"labeled head; pass a larger --positive_deg, or another generator",
        )
        return ContrastiveData(**vars(data), pairing=Pairing(generator, anchors))

    def open_generator(self, size: int) -> HeadGenerator:
        """Return the generator that ``--generator`` names; rendered pictures are ``size`` pixels square."""
        options, data = self.options, self.experiment.data
        if options.generator == RENDERED_POSITIVES:
            return RenderedHeads(options.generator_domain, size, self.experiment.run.seed)
        return StoreHeads(open_labeled(data, "generator", options.generator), options.positive_deg)

    def stores(self) -> dict[str, Path]:
        stores = super().stores()
        if self.options.pretrain_iteration:
            stores["generator"] = store_path(self.experiment.data, "generator", self.options.generator)
        return stores

    def phases(self, setup: Setup[ContrastiveData]) -> list[Phase]:
        options, training = self.options, self.experiment.training
        student, data, process = setup.student, setup.data, setup.process
        task = self.crop_task(setup)
        found = []
        if data.pairing is not None:
            pretraining = Pretraining(student, task, self.experiment, data, data.pairing, process)
            lr = scheduled_lr(training.lr, options.pretrain_iteration, training.cosine_lr)
            found.append(Phase("pretrain", pretraining, options.pretrain_iteration, lr))
        if options.pretrain_iteration < training.max_iteration:
            regression = Regression(student, task, options.turn_aug, options.freeze_embedding, process)
            start = training.lr if options.regression_lr is None else options.regression_lr
            lr = scheduled_lr(start, training.max_iteration - options.pretrain_iteration, training.cosine_lr)
            found.append(Phase("regression", regression, training.max_iteration, lr, comparable=False))
        return found


class Pretraining(Stateless):
    """Contrastive pre-training of the embedding."""

    def __init__(
        self, student: nn.Module, task: CropTask, experiment: Experiment, data: ExperimentData, pairing: Pairing,
        process: Process,
    ):  # fmt: skip
        self.student, self.task, self.pairing, self.process = student, task, pairing, process
        self.options, self.training, self.seed = (
            experiment.group(ClerfOptions),
            experiment.training,
            experiment.run.seed,
        )
        self._crop_rules = CROP_RULES[pairing.anchors.meta["protocol"]], pairing.generator.crop_rule
        self._validation = NeighborValidation(
            data.labeled, data.selection, task.size, process, self.training.eval_batch_size,
            loader_workers(self.training.num_workers, process.device),
        )  # fmt: skip

    @property
    def teacher(self) -> nn.Module:
        return unwrap(self.student)

    def batches(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        training, process = self.training, self.process
        generator, anchors = self.pairing
        share = (process.rank, process.world_size)
        stream = ShuffledStream(len(anchors), training.batch_size, 2 * self.seed, iteration, *share)
        pairs = pair_batches(anchors, generator, stream, self.seed, training.num_workers)
        for heads, positives in pairs:
            yield {LABELED: heads.to(process.device), POSITIVE: positives.to(process.device)}

    def step(self, batches: HeadBatches, random: BatchRandom) -> StepResult:
        options, process = self.options, self.process
        anchor, positive = self._views(batches, random)
        image = torch.cat([anchor.image, positive.image])
        # In every step, as the trainer sets the mode of the whole network. Regression uses dropout again.
        dropout(unwrap(self.student)).eval()
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.task.bf16):
            embedding, output = embed(self.student, image, unwrap(self.student))
        mine = normalized(embedding)
        rotation = torch.cat([anchor.rotation, positive.rotation])
        heads, rotations = process.gather_with_gradient(mine), process.gather_batch(rotation)
        is_negative = geodesic_deg(rotation[:, None], rotations[None]) > options.negative_deg
        similarity = (mine * mine.roll(len(anchor.rotation), dims=0)).sum(-1)
        others = mine @ heads.mT
        loss = circle_loss(similarity, others, is_negative, options.circle_margin, options.circle_scale).mean()
        scalars = {
            "train/loss": loss.detach(),
            "clerf/positive_similarity": similarity.detach().mean(),
            "clerf/hardest_negative": others.detach().masked_fill(~is_negative, -1.0).amax(dim=1).mean(),
            "clerf/positive_deg": geodesic_deg(anchor.rotation, positive.rotation).mean(),
        }
        # The layers behind the embedding get zero gradients: with several processes, DDP waits for all gradients.
        return StepResult(loss + 0.0 * output.float().sum(), scalars)

    def validate(self, networks: Networks) -> Summaries:
        return {role: self._validation(network) for role, network in networks.items()}

    @torch.no_grad()
    def preview(self, batches: HeadBatches, random: BatchRandom) -> dict[str, Preview]:
        """Return the heads of the triplets with their labels; pre-training predicts no rotations."""
        anchor, positive = self._views(batches, random)
        return {"anchor": Preview(anchor.image, anchor.rotation), POSITIVE: Preview(positive.image, positive.rotation)}

    def _views(self, batches: HeadBatches, random: BatchRandom) -> tuple[LabeledView, LabeledView]:
        return triplet_views(batches[LABELED], batches[POSITIVE], self._crop_rules, self.task.size, random)


class Regression(Supervised):
    """The learner of the regression from the embedding to a rotation.

    Args:
        turned: turn heads by any angle and flip them; otherwise they are at most mirrored.
        frozen: freeze the embedding, including batch norm's statistics.
    """

    def __init__(self, student: nn.Module, task: CropTask, turned: bool, frozen: bool, process: Process):
        super().__init__(student, task)
        self.turned = turned
        # Wrapped separately, as the student's wrapper waits for the gradients of all layers.
        self._regressor = process.wrap(regressor(unwrap(student))) if frozen else None

    def _view(self, batches: HeadBatches, random: BatchRandom) -> LabeledView:
        task, batch = self.task, batches[LABELED]
        if not self.turned:
            return labeled_view(batch, task.labeled_crop_rule, task.size, True, random)
        return turned_view(batch, task.labeled_crop_rule, task.size, random_in_plane(len(batch), random), random)

    def _output(self, image: Tensor) -> Tensor:
        if self._regressor is None:
            return super()._output(image)
        network = unwrap(self.student)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.task.bf16):
            network.eval()
            with torch.no_grad():
                embedding, _ = embed(network, image)
            self._regressor.train()
            output: Tensor = self._regressor(embedding)
            return output.float()
