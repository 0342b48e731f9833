"""The training loop: phases of a method, validation, checkpoints, resume."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from semiuhpe.augment.random import BatchRandom
from semiuhpe.data.batches.workers import ignore_lost_workers
from semiuhpe.distributed import Process
from semiuhpe.errors import CheckpointError, TrainingError, WorkerError, first_line, machine_fault
from semiuhpe.methods.base import Batches, Method, Phase, TrainingData
from semiuhpe.models.checkpoint import Description, describe, load_weights, read_checkpoint, save_checkpoint
from semiuhpe.training.metrics_meter import Meter
from semiuhpe.training.non_finite import LIMIT, NonFiniteGuard
from semiuhpe.training.preview import PREVIEW_HEADS, preview_sheet
from semiuhpe.training.run_folder import RunLog
from semiuhpe.training.signals import stop_on_signals

logger = logging.getLogger(__name__)

BAD_BATCH = "bad_batch.pth"
STOP_FREQUENCY = 10
"""Number of steps after which several processes check whether a signal has stopped one of them."""


class Trainer:
    """Trains the phases of one run from the beginning, or continues from a checkpoint.

    Args:
        method: the method with the options of the run.
        folder: the run folder.
        student: the network to train.
        phases: the phases of the run; their learners have the same student, possibly wrapped for several processes.
        data: the stores of the run.
        description: the description of the model for checkpoints.
        process: this process among all.
    """

    def __init__(
        self,
        method: Method[Any, Any],
        folder: Path,
        student: nn.Module,
        phases: list[Phase],
        data: TrainingData,
        description: Description,
        process: Process,
    ):
        self.method, self.folder, self.student, self.phases = method, folder, student, phases
        self.training, self.seed = method.experiment.training, method.experiment.run.seed
        self.data, self.metric, self.best_of = data, method.best_metric, method.best_of
        self.description, self.process, self.optimizer = description, process, method.create_optimizer(student)
        self.guard = NonFiniteGuard(student, self.optimizer, process)
        self.random = BatchRandom(
            torch.Generator(process.device).manual_seed(self.seed), process.rank, process.world_size
        )
        self.iteration = 0
        self.best = math.inf
        self.metrics: dict[str, float] = {}
        self.log: RunLog | None = None
        self._begun_phase: str | None = None
        self._stop_requested = False
        self._signals = stop_on_signals(self._request_stop)
        self._meter = Meter(process)

    def resume(self, path: Path) -> None:
        """Continue exactly where a checkpoint was written.

        Raises:
            CheckpointError: the checkpoint is incomplete, or not one of such a run.
        """
        checkpoint = read_checkpoint(path)
        load_weights(self.student, checkpoint["model_state_dict"], path, self.description.network)
        try:
            self._restore(checkpoint, path)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            if machine_fault(error):
                raise
            raise CheckpointError(
                f"{path}: a run can't continue from it, it is not a complete checkpoint of this project's training "
                f"({type(error).__name__}: {first_line(error)}); pass another checkpoint of the run, such as best"
            ) from error

    def _restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        self.optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        self.iteration = checkpoint["clock"]["iteration"]
        self.best, self.metrics = checkpoint["best"], checkpoint["metrics"]
        self._begun_phase = checkpoint["phase"]
        for phase in self.phases:
            if phase.name == self._begun_phase:
                load_weights(phase.learner.teacher, checkpoint["model_state_dict_ema"], path, self.description.network)
                phase.learner.load_state_dict(checkpoint["learner"])
        self._restore_random_states(checkpoint["random"])

    def run(self) -> bool:
        """Train to the end. Return False if a signal has stopped the run before; its state is then in ``last.pth``."""
        end = self.phases[-1].end
        if self.iteration >= end:
            if self.process.is_main:
                message = "The run is complete (iteration %d of %d); raise --max_iteration to continue."
                logger.info(message, self.iteration, end)
            return True
        if self.process.is_main:
            self.log = RunLog(self.folder, self.method.experiment.values(), self.method.stores(), self.iteration)
            for line in (f"Run folder: {self.folder}", *self.data.log_lines, f"`best` has the lowest {self.metric}."):
                logger.info(line)
        try:
            with self._signals:
                for index, phase in enumerate(self.phases):
                    if self.iteration < phase.end and not self._run_phase(index, phase):
                        return False
            return True
        except (RuntimeError, OSError, MemoryError, WorkerError) as error:
            if isinstance(error, RuntimeError) and self.process.has_lost_another(error):
                message = f"another process was lost ({first_line(error)}); start all of them again"
            elif fault := machine_fault(error):
                ignore_lost_workers()
                message = f"{fault}. Then continue"
            else:
                raise
            raise TrainingError(f"iteration {self.iteration}: {message} with --cont_ckpt {self._name}") from error
        finally:
            if self.log:
                self.log.close()

    def _run_phase(self, index: int, phase: Phase) -> bool:
        start = self.phases[index - 1].end if index else 0
        if self._begun_phase != phase.name:
            self._begin(phase)
        elif self.process.is_main:
            logger.info("%s continues at iteration %d of %d", phase.name, self.iteration, phase.end)
        stream = phase.learner.batches(self.iteration, self.iteration - start)
        progress = tqdm(
            total=phase.end, initial=self.iteration, desc=phase.name, disable=None if self.process.is_main else True
        )
        self._meter.restart()
        with progress:
            while self.iteration < phase.end:
                batches = self._next(stream)
                if batches is None:
                    return self._leave(phase)
                self._step(phase, start, batches)
                progress.update()
                if self._due(self.training.log_frequency):
                    progress.set_postfix(loss=f"{self._log_scalars(phase)['train/loss']:.3f}")
                if self._due(LIMIT):
                    self._stop_if_broken(batches)
                if self._due(self.training.save_frequency):
                    self._record(phase.learner.refresh())
                    self._meter.restart()
                if self._due(self.training.val_frequency) or self.iteration == phase.end:
                    self._validate(phase)
                    self._show(phase, batches)
                    self._save("last", phase)
                    self._meter.restart()
                if self._stopped():
                    return self._leave(phase)
        return True

    def _next(self, stream: Iterator[Batches]) -> Batches | None:
        """Return the next batches; None if a signal arrived in the meantime.

        A signal doesn't interrupt several processes here, as they have to agree before they stop, see :meth:`_stopped`.
        """
        if self.process.world_size > 1:
            return next(stream)
        return self._signals.wait(lambda: next(stream))

    def _leave(self, phase: Phase) -> bool:
        """Save the state of a run that a signal has stopped between two steps."""
        self._save("last", phase)
        logger.info("Stopped at iteration %d; continue with --cont_ckpt %s", self.iteration, self._name)
        return False

    def _stopped(self) -> bool:
        """Return whether a signal has stopped any process. Several processes check it rarely, as they have to wait."""
        if self.process.world_size == 1:
            return self._stop_requested
        return self._due(STOP_FREQUENCY) and self.process.any(self._stop_requested)

    def _begin(self, phase: Phase) -> None:
        """Start a phase from the best checkpoint of the phase before, or from its last weights if it has no best."""
        if self._begun_phase is not None and self.best < math.inf:
            best = read_checkpoint(self.folder / "best.pth")
            self.student.load_state_dict(best["model_state_dict"])
            self.optimizer.load_state_dict(best["optimizer_state_dict"])
        phase.learner.begin()
        if not phase.comparable:
            self.best = math.inf
        self._begun_phase = phase.name
        self._save("last", phase)  # as this phase may replace best.pth
        logger.info("%s begins at iteration %d of %d, lr %g", phase.name, self.iteration, phase.end, phase.lr_at(0))

    def _step(self, phase: Phase, start: int, batches: Batches) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = phase.lr_at(self.iteration - start)
        self.student.train()
        self.guard.before_step()
        result = phase.learner.step(batches, self.random)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.guard.after_backward(result.loss.detach())
        self.optimizer.step()
        phase.learner.after_step(self.iteration - start)
        self._meter.add(result.scalars, sum(map(len, batches.values())))
        self.iteration += 1

    def _stop_if_broken(self, batches: Batches) -> None:
        """End the run after :data:`LIMIT` consecutive skipped steps, and save the last batch for inspection.

        Raises:
            TrainingError: so many steps were skipped.
        """
        if self.guard.in_a_row() < LIMIT:
            return
        path = self.folder / BAD_BATCH
        if self.process.is_main:
            save_checkpoint(path, {name: vars(batch.to(torch.device("cpu"))) for name, batch in batches.items()})
        raise TrainingError(
            f"iteration {self.iteration}: the loss or its gradient was not finite for {LIMIT} steps in a row; lower "
            f"--lr. The last batch is in {path}; the run can be continued from {self._name}"
        )

    def _due(self, frequency: int) -> bool:
        return self.iteration % frequency == 0

    def _log_scalars(self, phase: Phase) -> dict[str, float]:
        means = self._meter.take()
        skipped = self.guard.take_skipped()
        if skipped:
            message = "iteration %d: %d steps skipped, their loss or gradient was not finite"
            logger.warning(message, self.iteration, skipped)
        self._record({**means, "train/skipped_steps": skipped, "train/lr": self.optimizer.param_groups[0]["lr"]})
        return means

    def _record(self, values: dict[str, float]) -> None:
        if self.log:
            self.log.scalars(self.iteration, values)

    def _validate(self, phase: Phase) -> None:
        """Evaluate student and teacher on the selection set, and save the best checkpoint."""
        networks = {"student": self.student}
        if phase.learner.teacher is not self.student:
            networks["teacher"] = phase.learner.teacher
        try:
            summaries = phase.learner.validate(networks)
        except TrainingError as error:
            raise TrainingError(f"iteration {self.iteration}: {error}; lower --lr") from error
        metrics = {f"{role}/{name}": value for role in networks for name, value in summaries[role].items()}
        self._record({f"val/{name}": value for name, value in metrics.items()})
        values = {role: metrics[f"{role}/{self.metric}"] for role in networks}
        if self.process.is_main:
            message = ", ".join(f"{role} {value:.3f}" for role, value in values.items())
            logger.info("iteration %d, %s: %s", self.iteration, self.metric, message)
        self.metrics = metrics
        chosen = [values[self.best_of]] if self.best_of in values else values.values()
        # A one-stage network that finds no head has no pose error; it is NaN.
        lowest = min((value for value in chosen if not math.isnan(value)), default=math.inf)
        if lowest < self.best:
            self.best = lowest
            self._save("best", phase)
        if self.iteration == phase.end and self.best == math.inf:
            message = (
                "%s has no best: %s was never a number; the weights are in last.pth, select by another --best_metric"
            )
            logger.warning(message, phase.name, self.metric)

    def _show(self, phase: Phase, batches: Batches) -> None:
        """Write pictures of the networks' inputs and predictions to TensorBoard."""
        if self.log is None:
            return
        few = {name: batch.first(PREVIEW_HEADS) for name, batch in batches.items()}
        random = BatchRandom(torch.Generator(self.process.device).manual_seed(self.iteration))
        for name, preview in phase.learner.preview(few, random).items():
            self.log.picture(self.iteration, f"heads/{name}", preview_sheet(preview))

    def _save(self, name: str, phase: Phase) -> None:
        states: list = [self._random_states()]
        if self.process.world_size > 1:
            states = [None] * self.process.world_size
            torch.distributed.all_gather_object(states, self._random_states())
        if self.process.is_main:
            save_checkpoint(self.folder / f"{name}.pth", self._checkpoint(phase, states))
        self.process.wait()

    def _checkpoint(self, phase: Phase, states: list[dict[str, Tensor]]) -> dict[str, Any]:
        epoch, minibatch = divmod(self.iteration * self.training.batch_size, len(self.data.labeled))
        return {
            "description": describe(self.description),
            "model_state_dict": self.student.state_dict(),
            "model_state_dict_ema": phase.learner.teacher.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "clock": {
                "iteration": self.iteration,
                "epoch": epoch,
                "minibatch": minibatch // self.training.batch_size,
                "end": self.phases[-1].end,
            },
            "phase": phase.name,
            "learner": phase.learner.state_dict(),
            "random": states,
            "best": self.best,
            "metrics": self.metrics,
        }

    def _restore_random_states(self, states: list[dict[str, Tensor]]) -> None:
        device = self.process.device
        if len(states) != self.process.world_size or ("cuda" in states[0]) != (device.type == "cuda"):
            self.random.generator.manual_seed(hash((self.seed, self.iteration)))
            logger.warning("The run began on other devices or processes; it continues with other random numbers.")
            return
        mine = states[self.process.rank]
        self.random.generator.set_state(mine["augmentation"])
        torch.set_rng_state(mine["cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(mine["cuda"], device)

    def _random_states(self) -> dict[str, Tensor]:
        states = {"augmentation": self.random.generator.get_state(), "cpu": torch.get_rng_state()}
        if self.process.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.process.device)
        return states

    @property
    def _name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}/last"

    def _request_stop(self) -> None:
        self._stop_requested = True
