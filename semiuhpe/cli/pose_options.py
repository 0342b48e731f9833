"""What ``image.py``, ``video.py`` and ``semiuhpe demo`` share: the model, what finds the heads, and how they are drawn.

The checkpoint may be a one-stage model, named as any other or as ``onestage:CKPT[:SIZE]``; it finds the heads itself.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import configargparse
import torch

import sim3dr
from semiuhpe.cli.checkpoint_options import STUDENT, TEACHER, load_models, parse_with_run
from semiuhpe.cli.config import FLAG
from semiuhpe.data.crop import HEAD_BOX, original_demo_crop, squeezed_picture
from semiuhpe.drawing.overlay import DRAWINGS, MESH, load_head_mesh
from semiuhpe.errors import ConfigError, require
from semiuhpe.inference.detectors import (
    DEFAULT_DETECTOR,
    DEFAULT_FILE,
    Detector,
    check_detector,
    check_min_score,
    list_detectors,
    load_detector,
)
from semiuhpe.inference.detectors.onestage import split_spec
from semiuhpe.inference.estimator import HeadPoseEstimator
from semiuhpe.inference.samples import BOXES, sample_heads
from semiuhpe.models.onestage import FAMILY
from semiuhpe.models.weights import RELEASED, find_checkpoint

logger = logging.getLogger(__name__)
SAMPLES = "the rendered heads that come with the package"
AS_ORIGINAL = (
    "as the demos of the paper's code: the student, their crop, heads of a score of 0.5 or more, and with bpjdet those "
    "that have a body"
)
"""What ``--original`` does where heads are posed."""
_PREFIX = f"{FAMILY}:"
_BODY_HEAD = "bpjdet"
_PAIRED = ":paired"
_ORIGINAL_MIN_SCORE = 0.5


def add_heads(group: argparse._ArgumentGroup, draw: str) -> None:
    """Options of finding and drawing heads; ``draw`` is the default of ``--draw``."""
    kinds = ", ".join(kind.usage for kind in list_detectors())
    group.add_argument("--detector", metavar="KIND[:FILE]", help=f"of heads: {kinds}; {DEFAULT_DETECTOR} if not given")
    group.add_argument("--min_score", type=float, help="leave out heads below it; the detector's own if not given")
    group.add_argument("--draw", choices=DRAWINGS, default=draw, help="what to draw over each head")
    group.add_argument("--mesh", metavar="FILE", help="head to draw with --draw mesh: .npz, .obj or .ply in head axes")
    group.add_argument("--student", help="the student instead of the teacher", **FLAG)


def samples_if_none(options: argparse.Namespace, default_detector: str | None = None) -> tuple[str, str]:
    """What a command without ``--input`` works on, said in a line, and what finds the heads if nothing is named.

    Args:
        options: with ``input``.
        default_detector: the command's; the default detector if None, or for the sample heads their boxes.

    Returns:
        The folder of the sample heads, empty if there is an input, and the detector.

    Raises:
        ConfigError: the sample heads are missing.
    """
    if options.input:
        return "", default_detector or DEFAULT_DETECTOR
    folder = sample_heads()
    logger.info("--input is not given: these are %s, %s", SAMPLES, folder)
    return str(folder), default_detector or f"boxes:{folder / BOXES}"


def check_heads(given: argparse.Namespace, default_detector: str = DEFAULT_DETECTOR) -> None:
    """Checks options of finding and drawing heads, before the checkpoint is looked for, and perhaps fetched.

    Raises:
        ConfigError: options contradict each other, or the detector's kind is unknown.
        CheckpointError, DataError: the detector's file is missing.
    """
    require(given.mesh is None or given.draw == MESH, f"--mesh {given.mesh}: needs --draw mesh")
    check_min_score(given.min_score)
    # The default is for models of head crops, as all released ones are; others may be one-stage models.
    if given.detector or given.checkpoint.removesuffix(".pth") in RELEASED:
        check_detector(given.detector or default_detector)


@dataclass(frozen=True)
class FoundModel:
    """The model that a command names: its file is there, and nothing of it is loaded yet.

    Attributes:
        options: of the command line, with the run's settings. :meth:`load` sets ``detector`` and ``min_score`` to what
            is used.
        path: the checkpoint's file.
        mesh: drawn over heads; the one that comes with the package if None.
        input_size: that ``onestage:CKPT:SIZE`` names.
    """

    options: argparse.Namespace
    path: Path
    mesh: sim3dr.Mesh | None
    input_size: int | None

    def load(
        self, device: torch.device, default_detector: str = DEFAULT_DETECTOR
    ) -> tuple[HeadPoseEstimator, Detector]:
        """Load the model and what finds its heads.

        Raises:
            ConfigError: an option contradicts the checkpoint, or the detector can't be used.
            CheckpointError: the checkpoint's or the detector's file can't be read.
            DataError: the detector's file of boxes can't be.
        """
        options, path = self.options, self.path
        role = STUDENT if options.student or options.original else TEACHER
        loaded = load_models(options, path, (role,))[role]
        estimator = HeadPoseEstimator(loaded, device, "bfloat16" if options.bf16 else None)
        if estimator.finds_heads:
            return estimator, self._own_detector(estimator)
        require(
            self.input_size is None and not options.checkpoint.startswith(_PREFIX),
            f"{options.checkpoint}: is a model of head crops ({loaded.network}); leave {_PREFIX} and a size out",
        )
        options.detector = options.detector or default_detector
        if options.original:
            return estimator, _as_in_original(options, device)
        if options.detector.startswith(_PREFIX):
            message = "boxes are of %s, poses of %s; for its own poses name it as the checkpoint"
            logger.info(message, options.detector, path)
        return estimator, load_detector(options.detector, device, options.min_score)

    def _own_detector(self, estimator: HeadPoseEstimator) -> Detector:
        options, one_stage = self.options, f"{self.path} is a one-stage model, which"
        require(not options.original, f"--original: {one_stage} the paper's code has none of; leave it out")
        require(
            options.detector is None,
            f"--detector {options.detector}: {one_stage} finds the heads itself; leave it out",
        )
        options.detector = f"{_PREFIX}{self.path}:{self.input_size or estimator.description.image_size}"
        return estimator.own_detector(options.min_score, self.input_size)


def find_model(parser: configargparse.ArgumentParser, argv: Sequence[str], given: argparse.Namespace) -> FoundModel:
    """Find, or fetch, a command's checkpoint, once its mesh is read.

    A command calls :func:`check_heads`, this, and :meth:`FoundModel.load`, and checks what it writes as soon as it can:
    whatever is wrong with options and small files is told before anything is fetched or loaded.

    Args:
        parser, argv: of the command.
        given: what they say, checked.

    Raises:
        ConfigError: the mesh can't be used, or what follows ``onestage:`` can't be understood.
        CheckpointError: there is no such checkpoint, or it can't be fetched.
    """
    mesh = _drawn_mesh(given)
    name, size = given.checkpoint, None
    if name.startswith(_PREFIX):
        name, size = split_spec(name.removeprefix(_PREFIX))
    path = find_checkpoint(name, given.exps_dir)
    return FoundModel(parse_with_run(parser, argv, path), path, mesh, size)


def _as_in_original(options: argparse.Namespace, device: torch.device) -> Detector:
    """The detector as in the demos of the paper's code: heads of score 0.5 with a body, and their crop.

    ``options.detector`` and ``options.min_score`` then say so.
    """
    kind, _, argument = options.detector.partition(":")
    if kind == _BODY_HEAD:
        options.detector = f"{kind}:{(argument or DEFAULT_FILE).removesuffix(_PAIRED)}{_PAIRED}"
    if options.min_score is None:
        options.min_score = _ORIGINAL_MIN_SCORE
    detector = load_detector(options.detector, device, options.min_score)
    if detector.crop_rule is None:
        detector.crop_rule = squeezed_picture
        return detector
    require(
        detector.crop_rule == HEAD_BOX,
        f"--original: crops boxes of heads, and --detector {options.detector} finds faces; leave one of them out",
    )
    detector.crop_rule = original_demo_crop
    return detector


def _drawn_mesh(options: argparse.Namespace) -> sim3dr.Mesh | None:
    """Return the user's mesh, None for the one that comes with the package; ConfigError if it can't be used."""
    if options.mesh is None:
        return None
    try:
        return load_head_mesh(options.mesh)
    except (OSError, ValueError) as error:
        named = options.mesh in str(error)
        raise ConfigError(f"--mesh{'' if named else f' {options.mesh}'}: {error}") from error
