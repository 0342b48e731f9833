"""Shared parts of the methods that learn from head crops: batches, views and validation."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, labeled_view
from semiuhpe.data.batches.heads import HeadBatch, ShuffledStream, loader_workers, ordered_batches, training_batches
from semiuhpe.data.crop import CROP_RULES, CropRule
from semiuhpe.data.experiment import ExperimentData, open_training_data
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.errors import require
from semiuhpe.evaluation.validation import POSE_METRICS, PoseValidation
from semiuhpe.methods.base import Batches, Method, Networks, O, Setup, Summaries
from semiuhpe.methods.options import Experiment

LABELED, UNLABELED = "labeled", "unlabeled"
HeadBatches = Batches[HeadBatch]
E = TypeVar("E", bound=ExperimentData)
_LABELED_SEED, _UNLABELED_SEED = 0, 1


class HeadStreams:
    """Streams of batches of this process's share of the heads, on the device.

    Args:
        experiment: the options of the run.
        data: the stores.
        process: this process among all.
        unlabeled_batch: unlabeled heads per batch, over all processes.
        drop_last: leave out the last heads of an epoch if they don't fill a batch.
    """

    def __init__(
        self, experiment: Experiment, data: ExperimentData, process: Process, unlabeled_batch: int, drop_last: bool
    ):
        self.training, self.seed = experiment.training, experiment.run.seed
        self.data, self.process = data, process
        self.unlabeled_batch, self.drop_last = unlabeled_batch, drop_last

    def labeled(self, iteration: int) -> Iterator[HeadBatch]:
        """Yield labeled batches endlessly, starting at an iteration of the run."""
        return self._stream(self.data.labeled, self.training.batch_size, _LABELED_SEED, iteration)

    def unlabeled(self, step: int) -> Iterator[HeadBatch]:
        """Yield unlabeled batches endlessly, starting at a step of the phase."""
        return self._stream(self.data.pool, self.unlabeled_batch, _UNLABELED_SEED, step)

    def both(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        """Yield pairs of a labeled and an unlabeled batch endlessly."""
        for labeled, unlabeled in zip(self.labeled(iteration), self.unlabeled(step), strict=True):
            yield {LABELED: labeled, UNLABELED: unlabeled}

    def _stream(self, store: HeadStore, size: int, seed: int, start: int) -> Iterator[HeadBatch]:
        share = (self.process.rank, self.process.world_size)
        stream = ShuffledStream(len(store), size, 2 * self.seed + seed, start, *share, self.drop_last)
        for batch in training_batches(store, stream, self.training.num_workers):
            yield batch.to(self.process.device)

    def pool(self) -> Iterator[HeadBatch]:
        """Yield this process's share of the unlabeled heads once, in order."""
        heads = self.data.pool
        share = self.process.share(len(heads))
        size, workers = self.training.eval_batch_size, loader_workers(self.training.num_workers, self.process.device)
        batches = ordered_batches(heads.view(share), size, workers)
        total = math.ceil(len(share) / size)
        quiet = None if self.process.is_main else True
        for batch in tqdm(batches, total=total, desc="threshold", leave=False, disable=quiet):
            yield batch.to(self.process.device)


@dataclass(frozen=True)
class CropTask:
    """The training task on head crops: where they come from, how they are shown, and what is predicted.

    Attributes:
        size: side of the network's input in pixels.
        labeled_crop_rule, unlabeled_crop_rule: crop rules of the two stores.
        flip: mirror labeled heads with probability 1/2.
        distribution: class of the predicted distribution.
        streams: the batches of heads.
        validate: returns mean errors of networks, by role, on the heads that ``best`` is selected on.
        bf16: let networks compute in bfloat16.
        weak: blur labeled heads and apply the area crop.
    """

    size: int
    labeled_crop_rule: CropRule
    unlabeled_crop_rule: CropRule
    flip: bool
    distribution: type[RotationDistribution]
    streams: HeadStreams
    validate: Callable[[Networks], Summaries]
    bf16: bool = False
    weak: bool = True

    def labeled_view(self, batch: HeadBatch, random: BatchRandom) -> LabeledView:
        """Return the view of labeled heads that the student learns from."""
        return labeled_view(batch, self.labeled_crop_rule, self.size, self.flip, random, self.weak)


class CropMethod(Method[O, E]):
    """Base class of the methods that learn from head crops."""

    metrics = POSE_METRICS

    def open_training_data(self, needs_unlabeled: bool) -> ExperimentData:
        """Open the stores of the run; see :func:`semiuhpe.data.experiment.open_training_data`.

        Raises:
            ConfigError, StoreError: a store is missing or lacks something that the run needs.
        """
        data = open_training_data(self.experiment.data, needs_unlabeled, self.experiment.run.seed)
        best_metric = self.experiment.training.best_metric
        require(
            data.selection.euler_deg is not None or not (best_metric or "").startswith("euler"),
            f"--best_metric {best_metric}: {data.selection.path} has no Euler angles",
        )
        return data

    def crop_task(
        self,
        setup: Setup[E],
        unlabeled_batch: int = 0,
        drop_last: bool = False,
        weak: bool = True,
    ) -> CropTask:
        """Return the task that the options of the run describe.

        Args:
            setup: the setup of the run.
            unlabeled_batch: unlabeled heads per batch, over all processes.
            drop_last: leave out the last heads of an epoch if they don't fill a batch.
            weak: see :class:`CropTask`.
        """
        training, network = self.experiment.training, self.experiment.network
        data, process = setup.data, setup.process
        unlabeled = data.unlabeled or data.labeled
        workers = loader_workers(training.num_workers, process.device)
        return CropTask(
            size=network.image_size,
            labeled_crop_rule=CROP_RULES[data.labeled.meta["protocol"]],
            unlabeled_crop_rule=CROP_RULES[unlabeled.meta["protocol"]],
            flip=not network.is_full_range,
            distribution=DISTRIBUTIONS[network.distribution],
            streams=HeadStreams(self.experiment, data, process, unlabeled_batch, drop_last),
            validate=PoseValidation(setup.description, data.selection, process, training.eval_batch_size, workers),
            bf16=training.bf16,
            weak=weak,
        )

    def feature_heads(self, data: E) -> HeadStore:
        return data.unlabeled or data.labeled
