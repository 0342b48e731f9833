"""The training loop: phases of a method, validation, checkpoints, resume."""

import argparse
import logging
import math
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from semiuhpe.data.experiment import ExperimentData
from semiuhpe.data.loading import HeadBatch, ShuffledStream, ordered_batches, training_batches
from semiuhpe.distributed import Process
from semiuhpe.distributions import NonFiniteParameterError
from semiuhpe.errors import TrainingError
from semiuhpe.evaluation.protocols import Reader, evaluate
from semiuhpe.methods.base import Phase
from semiuhpe.models.checkpoint import Description, describe, load_weights, read_checkpoint, save_checkpoint
from semiuhpe.training.run_folder import RunLog

logger = logging.getLogger(__name__)

LABELLED_SEED, UNLABELLED_SEED = 0, 1
SELECTION_METRICS = {True: "geodesic_mean_deg", False: "euler_mae_deg"}
"""What ``best`` is chosen by, for the full range and for the front range."""


class Trainer:
    """Runs the phases of one experiment from the beginning, or from where a checkpoint left it.

    Args:
        options: the parsed options.
        folder: the run folder.
        student: the network that is trained.
        phases: what to do with it; their learners hold the same student, perhaps wrapped for several processes.
        data: the stores.
        description: what the model is, for its checkpoints.
        process: this process among all.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        folder: Path,
        student: nn.Module,
        phases: list[Phase],
        data: ExperimentData,
        description: Description,
        process: Process,
    ):
        self.options, self.folder, self.student, self.phases = options, folder, student, phases
        self.data, self.description, self.process = data, description, process
        self.optimizer = torch.optim.Adam(student.parameters(), lr=options.lr)
        self.generator = torch.Generator(process.device).manual_seed(options.seed * 1000 + process.rank)
        self.reader = Reader(description)
        self.iteration = 0
        self.best = float("inf")
        self.metrics: dict[str, float] = {}
        self.log: RunLog | None = None
        self._begun_phase: str | None = None
        self._stop_requested = False
        self._pending: dict[str, list[Tensor]] = defaultdict(list)

    def resume(self, path: Path) -> None:
        """Continues exactly where a checkpoint was written."""
        checkpoint = read_checkpoint(path)
        load_weights(self.student, checkpoint["model_state_dict"], path, self.description.network)
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
        """Trains to the end; False if a signal has stopped it before (its state is then saved in ``last.pth``)."""
        if self.process.is_main:
            self.log = RunLog(self.folder, self.options, self.iteration)
            self._announce()
        try:
            with _stop_on_signals(self._request_stop):
                for index, phase in enumerate(self.phases):
                    if self.iteration < phase.end and not self._run_phase(index, phase):
                        return False
            return True
        except NonFiniteParameterError as error:
            raise TrainingError(
                f"iteration {self.iteration}: the network's output is not finite ({error}); lower --lr. "
                f"The run can go on from its last checkpoint: {self.folder}"
            ) from error
        finally:
            if self.log:
                self.log.close()

    def _announce(self) -> None:
        data = self.data
        logger.info("Run folder: %s", self.folder)
        unlabelled = f", {len(data.unlabelled)} unlabelled" if data.unlabelled else ""
        logger.info("%d labelled heads%s; selecting on %d heads", len(data.labelled), unlabelled, len(data.selection))
        if data.selected_on_test:
            test_set = self.options.test_set
            logger.info("`best` is selected on the test set (%s), as in the paper; --val_set names another.", test_set)

    def _run_phase(self, index: int, phase: Phase) -> bool:
        start = self.phases[index - 1].end if index else 0
        pool = self._pool if phase.learner.needs_unlabelled else _no_pool
        if self._begun_phase != phase.name:
            self._begin(phase, pool)
        for group in self.optimizer.param_groups:
            group["lr"] = phase.lr
        batches = self._batches(phase, start)
        progress = tqdm(
            total=phase.end, initial=self.iteration, desc=phase.name, disable=None if self.process.is_main else True
        )
        with progress:
            while self.iteration < phase.end:
                self._step(phase, start, next(batches))
                progress.update()
                if self._due(self.options.log_frequency):
                    progress.set_postfix(loss=f"{self._flush_scalars(phase)['train/loss']:.3f}")
                if self._due(self.options.save_frequency) and self.iteration < phase.end:
                    self._record(phase.learner.refresh(pool))
                if self._due(self.options.val_frequency) or self.iteration == phase.end:
                    self._validate(phase)
                    self._save("last", phase)
                if self.process.any(self._stop_requested):
                    self._save("last", phase)
                    logger.info("Stopped at iteration %d; continue with --cont_ckpt %s", self.iteration, self._name)
                    return False
        return True

    def _begin(self, phase: Phase, pool: Callable) -> None:
        """Starts a phase from the best checkpoint of the phase before."""
        if self._begun_phase is not None:
            best = read_checkpoint(self.folder / "best.pth")
            self.student.load_state_dict(best["model_state_dict"])
            self.optimizer.load_state_dict(best["optimizer_state_dict"])
        phase.learner.begin(pool)
        self._begun_phase = phase.name
        self._save("last", phase)  # best.pth will be replaced when this phase does better
        logger.info("%s begins at iteration %d of %d, lr %g", phase.name, self.iteration, phase.end, phase.lr)

    def _step(self, phase: Phase, start: int, batches: tuple[HeadBatch, HeadBatch | None]) -> None:
        self.student.train()
        result = phase.learner.step(*batches, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        self.process.share_buffers(self.student)
        phase.learner.after_step(self.iteration - start)
        for name, value in result.scalars.items():
            self._pending[name].append(value)
        self.iteration += 1

    def _batches(self, phase: Phase, start: int) -> Iterator[tuple[HeadBatch, HeadBatch | None]]:
        options, share = self.options, (self.process.rank, self.process.world_size)
        seed = 2 * options.seed
        stream = ShuffledStream(
            len(self.data.labelled), options.batch_size, seed + LABELLED_SEED, self.iteration, *share
        )
        labelled = training_batches(self.data.labelled, stream, options.num_workers)
        unlabelled = None
        if phase.learner.needs_unlabelled:
            size = round(options.batch_size * options.ulb_batch_ratio)
            stream = ShuffledStream(
                len(self.data.unlabelled), size, seed + UNLABELLED_SEED, self.iteration - start, *share
            )
            unlabelled = training_batches(self.data.unlabelled, stream, options.num_workers)
        while True:
            second = None if unlabelled is None else next(unlabelled).to(self.process.device)
            yield next(labelled).to(self.process.device), second

    def _pool(self) -> Iterator[HeadBatch]:
        share = range(self.process.rank, len(self.data.unlabelled), self.process.world_size)
        batches = ordered_batches(self.data.unlabelled.view(share), self.options.eval_batch_size)
        total = math.ceil(len(share) / self.options.eval_batch_size)
        quiet = None if self.process.is_main else True
        for batch in tqdm(batches, total=total, desc="threshold", leave=False, disable=quiet):
            yield batch.to(self.process.device)

    def _due(self, frequency: int) -> bool:
        return self.iteration % frequency == 0

    def _flush_scalars(self, phase: Phase) -> dict[str, float]:
        loss = torch.stack(self._pending["train/loss"]).mean().item()
        # Some scalars have no value in some steps, such as the error of kept pseudo labels where none was kept.
        means = {name: torch.stack(values).nanmean().item() for name, values in self._pending.items()}
        self._pending.clear()
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is not finite before iteration {self.iteration}; lower --lr")
        self._record({**means, "train/lr": phase.lr})
        return means

    def _record(self, values: dict[str, float]) -> None:
        if self.log:
            self.log.scalars(self.iteration, values)

    def _validate(self, phase: Phase) -> None:
        """Evaluates student and teacher on the selection set, and keeps the best checkpoint."""
        if self.process.is_main:
            networks = {"student": self.student}
            if phase.learner.teacher is not self.student:
                networks["teacher"] = phase.learner.teacher
            metrics = {}
            for role, network in networks.items():
                result = evaluate(
                    network, self.reader, self.data.selection, self.process.device, self.options.eval_batch_size
                )
                metrics |= {f"{role}/{name}": value for name, value in result.summary.items()}
            self._record({f"val/{name}": value for name, value in metrics.items()})
            metric = self._selection_metric()
            values = {role: metrics[f"{role}/{metric}"] for role in networks}
            logger.info(
                "iteration %d, %s: %s", self.iteration, metric, ", ".join(f"{k} {v:.3f}" for k, v in values.items())
            )
            self.metrics = metrics
            best = min(values.values())
        else:
            best = 0.0
        best = self._from_main(best)
        if best < self.best:
            self.best = best
            self._save("best", phase)

    def _selection_metric(self) -> str:
        wanted = SELECTION_METRICS[self.options.is_full_range]
        return wanted if self.data.selection.euler_deg is not None else SELECTION_METRICS[True]

    def _from_main(self, value: float) -> float:
        if self.process.world_size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.process.device)
        torch.distributed.broadcast(tensor, 0)
        return tensor.item()

    def _save(self, name: str, phase: Phase) -> None:
        states: list = [self._random_states()]
        if self.process.world_size > 1:
            states = [None] * self.process.world_size
            torch.distributed.all_gather_object(states, self._random_states())
        if self.process.is_main:
            save_checkpoint(self.folder / f"{name}.pth", self._checkpoint(phase, states))
        self.process.wait()

    def _checkpoint(self, phase: Phase, states: list[dict[str, Tensor]]) -> dict[str, Any]:
        epoch, minibatch = divmod(self.iteration * self.options.batch_size, len(self.data.labelled))
        return {
            "description": describe(self.description),
            "model_state_dict": self.student.state_dict(),
            "model_state_dict_ema": phase.learner.teacher.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "clock": {
                "iteration": self.iteration,
                "epoch": epoch,
                "minibatch": minibatch // self.options.batch_size,
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
            self.generator.manual_seed(hash((self.options.seed, self.iteration, self.process.rank)))
            logger.warning("The run began on other devices or processes: it goes on, but with other random numbers.")
            return
        mine = states[self.process.rank]
        self.generator.set_state(mine["augmentation"])
        torch.set_rng_state(mine["cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(mine["cuda"], device)

    def _random_states(self) -> dict[str, Tensor]:
        states = {"augmentation": self.generator.get_state(), "cpu": torch.get_rng_state()}
        if self.process.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.process.device)
        return states

    @property
    def _name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}/last"

    def _request_stop(self) -> None:
        self._stop_requested = True


def _no_pool() -> Iterator[HeadBatch]:
    return iter(())


class _stop_on_signals:
    """Within this context SIGTERM and Ctrl-C call a function instead of ending the process at once."""

    def __init__(self, callback: Callable[[], None]):
        self.callback = callback

    def __enter__(self):
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, lambda *_: self.callback())

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
