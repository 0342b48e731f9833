"""A method: two views of an unlabeled head have to agree (the Pi model, Laine and Aila 2017). It has no teacher."""

from semiuhpe.augment.views import unlabeled_views
from semiuhpe.config import require
from semiuhpe.data.experiment import open_training_data
from semiuhpe.methods.base import Phase, StepResult, forward
from semiuhpe.methods.crops import UNLABELED, crop_task
from semiuhpe.methods.semiuhpe import METRICS, create_optimizer, create_student  # noqa: F401
from semiuhpe.methods.supervised import Supervised, predict

USED_OPTIONS = ("ulb_batch_ratio",)


def add_options(parser):
    group = parser.add_argument_group("consistency")
    group.add_argument("--consistency", type=float, default=0.1, help="weight of the unlabeled heads' loss")


def check_options(options):
    require(options.consistency >= 0, f"--consistency {options.consistency}: must not be negative")


def open_data(options):
    return open_training_data(options, needs_unlabeled=True)


def phases(options, student, data, description, process):
    learner = Consistency(student, crop_task(options, data, description, process), options.consistency)
    return [Phase("consistency", learner, options.max_iteration, options.lr)]


class Consistency(Supervised):
    def __init__(self, student, task, weight):
        super().__init__(student, task)
        self.weight = weight

    def batches(self, iteration, step):
        for labeled, unlabeled in zip(super().batches(iteration, step), self.task.streams.unlabeled(step), strict=True):
            yield {**labeled, UNLABELED: unlabeled}

    def step(self, batches, draws):
        supervised, task = super().step(batches, draws), self.task
        views = unlabeled_views(batches[UNLABELED], task.unlabeled_crop_rule, task.size, False, draws)
        weak, strong = (predict(task.distribution, forward(self.student, view.image, task.bf16)) for view in views)
        loss = type(weak)(weak.parameter.detach(), validate_args=False).cross_entropy(strong).mean()
        return StepResult(
            supervised.loss + self.weight * loss, {**supervised.scalars, "ssl/consistency": loss.detach()}
        )
