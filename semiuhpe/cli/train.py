"""``train.py``: trains a pose network as a settings file says."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from semiuhpe.cli.options import experiment_parser, refuse_unused
from semiuhpe.config import parse, require
from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.distributed import Process, start_process, world_size
from semiuhpe.evaluation.validation import PAPER_ERROR
from semiuhpe.methods import METHODS
from semiuhpe.methods.original import choice, drop_ignored
from semiuhpe.models import find_checkpoint, network_spec
from semiuhpe.models.checkpoint import Description, load_weights, read_checkpoint, weights_of
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.training.features import FEATURES, save_features
from semiuhpe.training.run_folder import new_run_folder
from semiuhpe.training.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """Where a run is, and whether it went to its end or was stopped by a signal."""

    folder: Path
    finished: bool


def main(argv: Sequence[str]) -> int:
    options, checkpoint = parse_options(argv)
    train(options, checkpoint)
    return 0


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, Path | None]:
    """Options of a new run, or those of the run that ``--cont_ckpt`` continues, and the checkpoint to continue from.

    The settings of a continued run are its own; what else is on the command line overrides them.
    """
    parser = experiment_parser("train.py", "Trains a head pose network.")
    options = given = parse(parser, argv)
    checkpoint = None
    if options.cont_ckpt:
        checkpoint = find_checkpoint(options.cont_ckpt, options.exps_dir)
        settings = checkpoint.parent / "config.yml"
        require(settings.is_file(), f"--cont_ckpt {options.cont_ckpt}: {settings} is missing, so it can't be continued")
        options = parse(parser, ["--config", str(settings), *_without_config(argv)])
        given = parse(parser, _without_config(argv))
    drop_ignored(options)
    check_options(options)
    refuse_unused(options.method, given)
    return options, checkpoint


def check_options(options: argparse.Namespace) -> None:
    """Raises ConfigError if options contradict each other or the registries."""
    network_spec(options.network).check_image_size(options.image_size)
    require(options.lr > 0, f"--lr {options.lr}: must be positive")
    processes = world_size()
    require(
        options.batch_size % processes == 0 and options.batch_size // processes >= 2,
        f"--batch_size {options.batch_size}: each of {processes} processes needs the same number of heads, 2 at least",
    )
    method = METHODS[options.method]
    require(
        options.best_metric in (None, *method.METRICS),
        f"--best_metric {options.best_metric}: {options.method} knows {', '.join(method.METRICS)}",
    )
    method.check_options(options)


def train(options: argparse.Namespace, checkpoint: Path | None = None) -> TrainResult:
    """Trains a new run, or continues one from its checkpoint.

    Raises:
        SemiUHPEError: of any kind, before anything is written if an option or a store is at fault.
    """
    method = METHODS[options.method]
    data = method.open_data(options)
    process = start_process(options.gpu_ids)
    try:
        torch.manual_seed(options.seed)
        student = build_student(options, resumed=checkpoint is not None)
        student = student.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if process.rank:
            torch.manual_seed(options.seed + process.rank)  # the same weights, but dropout of its own
        learner_student, described = process.wrap(student), description(options)
        phases = method.phases(options, learner_student, data, described, process)
        folder = checkpoint.parent if checkpoint else _shared_folder(options, process)
        metric = options.best_metric or (PAPER_ERROR if options.original else method.METRICS[0])
        best_of = choice(options, "best_of")
        optimizer = method.create_optimizer(options, student)
        trainer = Trainer(options, folder, student, phases, data, metric, best_of, optimizer, described, process)
        if checkpoint:
            trainer.resume(checkpoint)
        if options.compile:
            compile_networks([learner_student, *(phase.learner.teacher for phase in phases)])
        finished = trainer.run()
        if finished and options.save_feat and process.is_main:
            store, network = data.unlabeled or data.labeled, phases[-1].learner.teacher
            loading = options.eval_batch_size, loader_workers(options, process.device)
            save_features(folder / FEATURES, network, PoseDecoder(described), store, process.device, *loading)
        return TrainResult(folder, finished)
    finally:
        process.close()


def compile_networks(networks: Iterable[nn.Module]) -> None:
    """Has networks compiled by torch when they are first called; their weights keep their names."""
    for network in set(networks):
        network.compile()


def build_student(options: argparse.Namespace, resumed: bool = False) -> nn.Module:
    """The network to be trained: random, from ImageNet weights, or from another run's weights.

    That of a resumed run is random: its weights are in the run's checkpoint.
    """
    create_student = METHODS[options.method].create_student
    if resumed:
        return create_student(options, pretrained=False)
    if options.init_from:
        path = find_checkpoint(options.init_from, options.exps_dir)
        student = create_student(options, pretrained=False)
        load_weights(student, weights_of(read_checkpoint(path), path, teacher=False), path, options.network)
        return student
    pretrained = options.pretrained
    if pretrained is None:
        pretrained = network_spec(options.network).has_pretrained
    return create_student(options, pretrained)


def description(options: argparse.Namespace) -> Description:
    return Description(
        network=options.network,
        distribution=options.distribution,
        convention=HEAD_TO_CAMERA,
        full_range=options.is_full_range,
        image_size=options.image_size,
        train_labeled=options.train_labeled,
        train_unlabeled=options.train_unlabeled or "",
    )


def _shared_folder(options: argparse.Namespace, process: Process) -> Path:
    folder: list = [str(new_run_folder(options)) if process.is_main else None]
    if process.world_size > 1:
        torch.distributed.broadcast_object_list(folder)
    return Path(folder[0])


def _without_config(argv: Sequence[str]) -> list[str]:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    return first.parse_known_args(argv)[1]
