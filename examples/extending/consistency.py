"""A method: two views of an unlabeled head have to agree (the Pi model, Laine and Aila 2017). It has no teacher."""

from collections.abc import Iterator
from dataclasses import dataclass

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import unlabeled_views
from semiuhpe.data.experiment import ExperimentData
from semiuhpe.methods import register_method
from semiuhpe.methods.base import Phase, Setup, StepResult, forward
from semiuhpe.methods.crops import UNLABELED, CropMethod, CropTask, HeadBatches
from semiuhpe.methods.supervised import Supervised, predict
from semiuhpe.options import OptionGroup, option


@dataclass(frozen=True)
class ConsistencyOptions(OptionGroup, title="consistency"):
    consistency: float = option(0.1, "weight of the unlabeled heads' loss")


@register_method("consistency")
class Consistency(CropMethod[ConsistencyOptions, ExperimentData]):
    options_type = ConsistencyOptions

    def open_data(self) -> ExperimentData:
        return self.open_training_data(needs_unlabeled=True)

    def phases(self, setup: Setup[ExperimentData]) -> list[Phase]:
        training = self.experiment.training
        task = self.crop_task(setup, unlabeled_batch=training.batch_size)
        learner = Agreement(setup, task, self.options.consistency)
        return [Phase("consistency", learner, training.max_iteration, training.lr)]


class Agreement(Supervised):
    def __init__(self, setup: Setup[ExperimentData], task: CropTask, weight: float):
        super().__init__(setup.student, task)
        self.weight = weight

    def batches(self, iteration: int, step: int) -> Iterator[HeadBatches]:
        return self.task.streams.both(iteration, step)

    def step(self, batches: HeadBatches, random: BatchRandom) -> StepResult:
        supervised, task = super().step(batches, random), self.task
        views = unlabeled_views(batches[UNLABELED], task.unlabeled_crop_rule, task.size, False, random)
        weak, strong = (forward(self.student, view.image, task.bf16) for view in views)
        target = predict(task.distribution, weak.detach())
        loss = target.cross_entropy(predict(task.distribution, strong)).mean()
        scalars = {**supervised.scalars, "ssl/consistency": loss.detach()}
        return StepResult(supervised.loss + self.weight * loss, scalars)
