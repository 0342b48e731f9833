"""What the learners of head crops share: where crops come from, how networks see them, what is validated."""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tqdm import tqdm

from semiuhpe.augment.draws import Draws
from semiuhpe.augment.views import LabelledView, labelled_view
from semiuhpe.data.crop import PROTOCOLS, Protocol
from semiuhpe.data.experiment import ExperimentData
from semiuhpe.data.importers import dad3dheads
from semiuhpe.data.loading import HeadBatch, ShuffledStream, loader_workers, ordered_batches, training_batches
from semiuhpe.data.store import HeadStore
from semiuhpe.distributed import Process
from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.named import DISTRIBUTIONS
from semiuhpe.evaluation.validation import PoseValidation
from semiuhpe.methods.base import Batches, Networks, Summaries
from semiuhpe.methods.original import choice
from semiuhpe.models.checkpoint import Description

LABELLED, UNLABELLED = "labelled", "unlabelled"
HeadBatches = Batches[HeadBatch]
_LABELLED_SEED, _UNLABELLED_SEED = 0, 1


class HeadStreams:
    """Batches of this process's share of the heads, on the device.

    Args:
        options: parsed ones of the experiment.
        data: the stores.
        process: this process among all.
    """

    def __init__(self, options: argparse.Namespace, data: ExperimentData, process: Process):
        self.options, self.data, self.process = options, data, process

    def labelled(self, iteration: int) -> Iterator[HeadBatch]:
        """Endless batches, from that of an iteration of the run on."""
        return self._stream(self.data.labelled, self.options.batch_size, _LABELLED_SEED, iteration)

    def unlabelled(self, step: int) -> Iterator[HeadBatch]:
        """Endless batches, from that of a step of the phase on."""
        size = round(self.options.batch_size * self.options.ulb_batch_ratio)
        return self._stream(self.data.pool, size, _UNLABELLED_SEED, step)

    def _stream(self, store: HeadStore, size: int, seed: int, start: int) -> Iterator[HeadBatch]:
        share = (self.process.rank, self.process.world_size)
        drop_last = choice(self.options, "drop_last")
        stream = ShuffledStream(len(store), size, 2 * self.options.seed + seed, start, *share, drop_last)
        for batch in training_batches(store, stream, self.options.num_workers):
            yield batch.to(self.process.device)

    def pool(self) -> Iterator[HeadBatch]:
        """This process's share of the unlabelled heads once, in order."""
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
        labelled_protocol, unlabelled_protocol: crop protocols of the two stores.
        flip: mirror half of the labelled heads.
        distribution: its class.
        streams: where the heads come from.
        validate: mean errors of networks by name on the heads that ``best`` is selected on.
        bf16: networks compute in bfloat16.
        weak: blur labelled heads and crop them by area.
    """

    size: int
    labelled_protocol: Protocol
    unlabelled_protocol: Protocol
    flip: bool
    distribution: type[RotationDistribution]
    streams: HeadStreams
    validate: Callable[[Networks], Summaries]
    bf16: bool = False
    weak: bool = True

    def labelled_view(self, batch: HeadBatch, draws: Draws) -> LabelledView:
        """The view of labelled heads that the student learns from."""
        return labelled_view(batch, self.labelled_protocol, self.size, self.flip, draws, self.weak)


def crop_task(
    options: argparse.Namespace, data: ExperimentData, description: Description, process: Process
) -> CropTask:
    """The task that an experiment's options describe."""
    unlabelled = data.unlabelled or data.labelled
    workers = loader_workers(options, process.device)
    return CropTask(
        size=options.image_size,
        labelled_protocol=PROTOCOLS[data.labelled.meta["protocol"]],
        unlabelled_protocol=PROTOCOLS[unlabelled.meta["protocol"]],
        flip=not options.is_full_range,
        distribution=DISTRIBUTIONS[options.distribution],
        streams=HeadStreams(options, data, process),
        validate=PoseValidation(description, data.selection, process, options.eval_batch_size, workers),
        bf16=options.bf16,
        weak=choice(options, "labeled_aug") == "all" or data.labelled.meta["dataset"] != dad3dheads.NAME,
    )
