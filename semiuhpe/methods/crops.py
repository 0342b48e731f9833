"""What the learners of head crops share: where crops come from, how networks see them, what is validated."""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tqdm import tqdm

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import LabeledView, labeled_view
from semiuhpe.data.batches.heads import HeadBatch, ShuffledStream, loader_workers, ordered_batches, training_batches
from semiuhpe.data.crop import CROP_RULES, CropRule
from semiuhpe.data.experiment import ExperimentData
from semiuhpe.data.importers import dad3dheads
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.evaluation.validation import PoseValidation
from semiuhpe.methods.base import Batches, Networks, Summaries
from semiuhpe.methods.original import choice
from semiuhpe.models.checkpoint import Description

LABELED, UNLABELED = "labeled", "unlabeled"
HeadBatches = Batches[HeadBatch]
_LABELED_SEED, _UNLABELED_SEED = 0, 1


class HeadStreams:
    """Batches of this process's share of the heads, on the device.

    Args:
        options: parsed ones of the experiment.
        data: the stores.
        process: this process among all.
    """

    def __init__(self, options: argparse.Namespace, data: ExperimentData, process: Process):
        self.options, self.data, self.process = options, data, process

    def labeled(self, iteration: int) -> Iterator[HeadBatch]:
        """Endless batches, from that of an iteration of the run on."""
        return self._stream(self.data.labeled, self.options.batch_size, _LABELED_SEED, iteration)

    def unlabeled(self, step: int) -> Iterator[HeadBatch]:
        """Endless batches, from that of a step of the phase on."""
        size = round(self.options.batch_size * self.options.ulb_batch_ratio)
        return self._stream(self.data.pool, size, _UNLABELED_SEED, step)

    def _stream(self, store: HeadStore, size: int, seed: int, start: int) -> Iterator[HeadBatch]:
        share = (self.process.rank, self.process.world_size)
        drop_last = choice(self.options, "drop_last")
        stream = ShuffledStream(len(store), size, 2 * self.options.seed + seed, start, *share, drop_last)
        for batch in training_batches(store, stream, self.options.num_workers):
            yield batch.to(self.process.device)

    def pool(self) -> Iterator[HeadBatch]:
        """This process's share of the unlabeled heads once, in order."""
        heads = self.data.pool
        share = self.process.share(len(heads))
        workers = loader_workers(self.options, self.process.device)
        batches = ordered_batches(heads.view(share), self.options.eval_batch_size, workers)
        total = math.ceil(len(share) / self.options.eval_batch_size)
        quiet = None if self.process.is_main else True
        for batch in tqdm(batches, total=total, desc="threshold", leave=False, disable=quiet):
            yield batch.to(self.process.device)


@dataclass(frozen=True)
class CropTask:
    """Head crops in, distributions of rotations out.

    Attributes:
        size: side of the network's input in pixels.
        labeled_protocol, unlabeled_protocol: crop protocols of the two stores.
        flip: mirror half of the labeled heads.
        distribution: its class.
        streams: where the heads come from.
        validate: mean errors of networks by name on the heads that ``best`` is selected on.
        bf16: networks compute in bfloat16.
        weak: blur labeled heads and crop them by area.
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
        """The view of labeled heads that the student learns from."""
        return labeled_view(batch, self.labeled_crop_rule, self.size, self.flip, random, self.weak)


def crop_task(
    options: argparse.Namespace, data: ExperimentData, description: Description, process: Process
) -> CropTask:
    """The task that an experiment's options describe."""
    unlabeled = data.unlabeled or data.labeled
    workers = loader_workers(options, process.device)
    return CropTask(
        size=options.image_size,
        labeled_crop_rule=CROP_RULES[data.labeled.meta["protocol"]],
        unlabeled_crop_rule=CROP_RULES[unlabeled.meta["protocol"]],
        flip=not options.is_full_range,
        distribution=DISTRIBUTIONS[options.distribution],
        streams=HeadStreams(options, data, process),
        validate=PoseValidation(description, data.selection, process, options.eval_batch_size, workers),
        bf16=options.bf16,
        weak=choice(options, "labeled_aug") == "all" or data.labeled.meta["dataset"] != dad3dheads.NAME,
    )
