"""Training from the options of a run: :func:`train`, for the command line and for notebooks."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.distributed import Process, start_process, world_size
from semiuhpe.errors import ConfigError, did_you_mean, require
from semiuhpe.methods import METHODS, Experiment, Method, method_of, option_groups
from semiuhpe.methods.base import Setup
from semiuhpe.methods.options import RunOptions
from semiuhpe.methods.original import OriginalOptions
from semiuhpe.models import find_checkpoint, network_spec
from semiuhpe.models.checkpoint import Description, load_weights, read_checkpoint, weights_of
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.settings import RUN_SETTINGS, read_settings, settings_file
from semiuhpe.training.features import FEATURES, save_features
from semiuhpe.training.run_folder import new_run_folder
from semiuhpe.training.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """The folder of a run, and whether it has finished or was stopped by a signal."""

    folder: Path
    finished: bool


def train(
    experiment: Experiment | None = None,
    checkpoint: Path | None = None,
    *,
    config: str | Path | None = None,
    **options: Any,
) -> TrainResult:
    """Train a new run, or continue one.

    From a notebook, options are keyword arguments by their names on the command line::

        train(network="resnet18", train_labeled="data/mine.lmdb", test_set="AFLW2000", max_iteration=20000)

    Args:
        experiment: all options of the run, instead of ``config`` and ``options``.
        checkpoint: checkpoint to continue from, of a run with these options. To continue a run with its own settings,
            pass ``cont_ckpt`` as an option.
        config: a settings file, such as ``settings/300WLP_AFLW2000.yml``.
        options: values of options, which override those of ``config``.

    Raises:
        SemiUHPEError: any of its subclasses; if an option or a store is at fault, before anything is written.
    """
    if experiment is None:
        experiment, checkpoint = _experiment(config, options)
    elif not isinstance(experiment, Experiment) or config is not None or options:
        raise TypeError("train() takes an Experiment, or config and options as keyword arguments")
    check_experiment(experiment)
    method = method_of(experiment)
    data = method.open_data()
    process = start_process(experiment.run.gpu_ids)
    try:
        torch.manual_seed(experiment.run.seed)
        student = build_student(method, resumed=checkpoint is not None)
        student = student.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if process.rank:
            torch.manual_seed(experiment.run.seed + process.rank)  # same weights, different dropout
        learner_student, described = process.wrap(student), description(experiment)
        phases = method.phases(Setup(learner_student, data, described, process))
        folder = checkpoint.parent if checkpoint else _shared_folder(method, process)
        trainer = Trainer(method, folder, student, phases, data, described, process)
        if checkpoint:
            trainer.resume(checkpoint)
        if experiment.training.compile:
            compile_networks([learner_student, *(phase.learner.teacher for phase in phases)])
        finished = trainer.run()
        heads = method.feature_heads(data)
        if finished and experiment.training.save_feat and process.is_main and heads is not None:
            workers = loader_workers(experiment.training.num_workers, process.device)
            loading = experiment.training.eval_batch_size, workers
            network = phases[-1].learner.teacher
            save_features(folder / FEATURES, network, PoseDecoder(described), heads, process.device, *loading)
        return TrainResult(folder, finished)
    finally:
        process.close()


def _experiment(config: str | Path | None, options: dict[str, Any]) -> tuple[Experiment, Path | None]:
    """Return the experiment that keyword arguments describe, and the checkpoint that it continues from, if any."""
    known = {option.name for group in option_groups() for option in group.options()}
    for name in sorted(options.keys() - known):
        raise ConfigError(f"train: there is no option {name}{did_you_mean(name, known)}")
    given = values = (read_settings(settings_file(config), known) if config else {}) | options
    checkpoint = None
    if named := given.get("cont_ckpt"):
        checkpoint = find_checkpoint(named, given.get("exps_dir") or RunOptions().exps_dir)
        given = options  # a settings file is for new runs, as on the command line
        values = read_settings(run_settings_file(checkpoint, named), known, "cont_ckpt") | options
    experiment = Experiment.from_values(values)
    refuse_unused(experiment.training.method, Experiment.from_values(given))
    return drop_ignored(experiment), checkpoint


def run_settings_file(checkpoint: Path, named: str) -> Path:
    """Return the settings file of the run to which a checkpoint belongs; raise ConfigError if it is missing.

    Args:
        checkpoint: the file.
        named: the value of ``--cont_ckpt``, for the message.
    """
    settings = checkpoint.parent / RUN_SETTINGS
    require(settings.is_file(), f"--cont_ckpt {named}: {settings} is missing, so it can't be continued")
    return settings


def check_experiment(experiment: Experiment) -> None:
    """Raise ConfigError if options contradict each other, or name something that isn't registered."""
    training, network = experiment.training, experiment.network
    network_spec(network.network).check_image_size(network.image_size)
    require(training.lr > 0, f"--lr {training.lr}: must be positive")
    processes = world_size()
    require(
        training.batch_size % processes == 0 and training.batch_size // processes >= 2,
        f"--batch_size {training.batch_size}: each of {processes} processes needs the same number of heads, 2 at least",
    )
    method = method_of(experiment)
    require(
        training.best_metric in (None, *method.metrics),
        f"--best_metric {training.best_metric}: {training.method} knows {', '.join(method.metrics)}",
    )
    method.check()


def refuse_unused(name: str, given: Experiment) -> None:
    """Raise ConfigError if an option that only other methods have differs from its default.

    Args:
        name: method of the run.
        given: options set by the user, and defaults; not the settings of an earlier run.
    """
    method, values = METHODS[name], given.values()
    used = {*method.used_options, *(option for group in method.option_groups() for option in group.defaults())}
    for other, kind in METHODS.items():
        for group in kind.option_groups():
            for option, default in group.defaults().items():
                require(
                    option in used or values[option] == default,
                    f"--{option} {values[option]}: --method {name} has no use for this option of --method {other}; "
                    "leave it out",
                )


def drop_ignored(experiment: Experiment) -> Experiment:
    """Return a copy without the paper's options that have no effect; log a line for each of them that was given."""
    return experiment.with_group(experiment.group(OriginalOptions).without_ignored())


def compile_networks(networks: Iterable[nn.Module]) -> None:
    """Let torch compile networks when they are first called. The keys of their state dicts don't change."""
    for network in set(networks):
        network.compile()


def build_student(method: Method[Any, Any], resumed: bool = False) -> nn.Module:
    """Return the network to train, with random weights, ImageNet weights, or those of another run.

    A resumed run is built with random weights; its checkpoint overwrites them.
    """
    experiment = method.experiment
    if resumed:
        return method.create_student(pretrained=False)
    if experiment.training.init_from:
        path = find_checkpoint(experiment.training.init_from, experiment.run.exps_dir)
        student = method.create_student(pretrained=False)
        load_weights(student, weights_of(read_checkpoint(path), path, teacher=False), path, experiment.network.network)
        return student
    pretrained = experiment.network.pretrained
    if pretrained is None:
        pretrained = network_spec(experiment.network.network).has_pretrained
    return method.create_student(pretrained)


def description(experiment: Experiment) -> Description:
    """Return the description that the run's checkpoints carry."""
    network, data = experiment.network, experiment.data
    return Description(
        network=network.network,
        distribution=network.distribution,
        convention=HEAD_TO_CAMERA,
        full_range=network.is_full_range,
        image_size=network.image_size,
        train_labeled=data.train_labeled or "",
        train_unlabeled=data.train_unlabeled or "",
    )


def _shared_folder(method: Method[Any, Any], process: Process) -> Path:
    run = method.experiment.run
    folder: list[Any] = [str(new_run_folder(run, run.exp_detail or method.run_name())) if process.is_main else None]
    if process.world_size > 1:
        torch.distributed.broadcast_object_list(folder)
    return Path(folder[0])
