"""What ``image.py``, ``video.py`` and ``semiuhpe demo`` share: the model, what finds the heads, and how they are drawn.

The checkpoint may be a one-stage model, named as any other or as ``onestage:CKPT[:SIZE]``; it finds the heads itself.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import configargparse
import torch

import sim3dr
from semiuhpe.cli.checkpoint_options import TrainedOptions, bind_trained, load_models, parse_with_run
from semiuhpe.data.crop import FACE_BOX, HEAD_BOX, original_demo_crop, squeezed_picture
from semiuhpe.drawing.overlay import AXES, DRAWINGS, MESH, load_head_mesh
from semiuhpe.errors import ConfigError, require
from semiuhpe.foreign import ForeignModel, is_foreign, locate_model
from semiuhpe.inference.detectors import (
    DEFAULT_DETECTOR,
    Detector,
    bpjdet,
    check_detector,
    check_min_score,
    list_detectors,
    load_detector,
)
from semiuhpe.inference.detectors.onestage import split_spec
from semiuhpe.inference.estimator import HeadPoseEstimator
from semiuhpe.inference.samples import BOXES, sample_heads
from semiuhpe.models.onestage import FAMILY
from semiuhpe.models.roles import STUDENT, TEACHER
from semiuhpe.models.weights import RELEASED, SHIPPED, checkpoint_stem
from semiuhpe.options import OptionGroup, option

logger = logging.getLogger(__name__)
SAMPLES = "the rendered heads that come with the package"
AS_ORIGINAL = (
    "as the demos of the paper's code: the student, their crop, heads of a score of 0.5 or more, and with bpjdet those "
    "that have a body"
)
"""What ``--original`` does where heads are posed."""
_PREFIX = f"{FAMILY}:"
_ORIGINAL_MIN_SCORE = 0.5


def _detector_help() -> str:
    kinds = ", ".join(kind.usage for kind in list_detectors())
    return f"head detector: {kinds}; {DEFAULT_DETECTOR} if not given"


@dataclass(frozen=True)
class HeadOptions(OptionGroup, title="heads"):
    """How heads are found and drawn."""

    detector: str | None = option(None, _detector_help, metavar="KIND[:FILE]")
    min_score: float | None = option(None, "score below which heads are left out; the detector's own if not given")
    draw: str = option(MESH, "what to draw over each head", choices=lambda: DRAWINGS)
    mesh: str | None = option(None, "head to draw with --draw mesh: .npz, .obj or .ply in head axes", metavar="FILE")
    student: bool = option(False, "use the student instead of the teacher")

    def files(self) -> list[Path]:
        """What may be files among the things that the options name: those that are there are read."""
        found = [Path(self.mesh)] if self.mesh else []
        _, _, argument = (self.detector or "").partition(":")
        while argument:  # FILE, or FILE:OPTION, with any colons in the name of the file
            found.append(Path(argument))
            argument = argument.rpartition(":")[0]
        return found


@dataclass(frozen=True)
class PictureHeadOptions(HeadOptions):
    """The same for pictures, whose heads get axes."""

    draw: str = option(AXES, "what to draw over each head", choices=lambda: DRAWINGS)


def samples_if_none(is_given: bool, original: bool, default_detector: str | None = None) -> tuple[str, str]:
    """What a command without ``--input`` works on, said in a line, and what finds the heads if nothing is named.

    Args:
        is_given: whether there is an input.
        original: do as the demos of the paper's code, whose detector is BPJDet.
        default_detector: the command's; the default detector if None, or for the sample heads their boxes.

    Returns:
        The folder of the sample heads, empty if there is an input, and the detector.

    Raises:
        ConfigError: the sample heads are missing.
    """
    if is_given:
        return "", default_detector or (bpjdet.KIND if original else DEFAULT_DETECTOR)
    folder = sample_heads()
    logger.info("--input is not given: these are %s, %s", SAMPLES, folder)
    return str(folder), default_detector or f"boxes:{folder / BOXES}"


def check_heads(heads: HeadOptions, checkpoint: str, default_detector: str = DEFAULT_DETECTOR) -> None:
    """Checks options of finding and drawing heads, before the checkpoint, or the detector, is perhaps fetched.

    Raises:
        ConfigError: options contradict each other, or the detector's kind is unknown.
        CheckpointError, DataError: the detector's file is missing, or can't be fetched for want of permission.
    """
    require(heads.mesh is None or heads.draw == MESH, f"--mesh {heads.mesh}: needs --draw mesh")
    check_min_score(heads.min_score)
    # The default is for models of head crops, as all released and shipped ones are; others may be one-stage models.
    if heads.detector or is_foreign(checkpoint) or checkpoint_stem(checkpoint) in (*RELEASED, *SHIPPED):
        check_detector(heads.detector or default_detector)


@dataclass(frozen=True)
class FoundModel:
    """The model that a command names: its file is there, and nothing of it is loaded yet.

    Attributes:
        options: of the command line, with the run's settings.
        heads: how its heads are found and drawn.
        path: the checkpoint's file.
        mesh: drawn over heads; the one that comes with the package if None.
        input_sizes: that ``onestage:CKPT:SIZE,SIZE`` names.
    """

    options: TrainedOptions
    heads: HeadOptions
    path: Path
    mesh: sim3dr.Mesh | None
    input_sizes: tuple[int, ...]

    def load(
        self, device: torch.device, default_detector: str = DEFAULT_DETECTOR
    ) -> tuple[HeadPoseEstimator, Detector, HeadOptions]:
        """Load the model and what finds its heads.

        Returns:
            The model, the detector, and the options with the detector and the score that are used.

        Raises:
            ConfigError: an option contradicts the checkpoint, or the detector can't be used.
            CheckpointError: the checkpoint's or the detector's file can't be read.
            DataError: the detector's file of boxes can't be.
        """
        options, heads, checkpoint = self.options, self.heads, self.options.model.checkpoint
        role = STUDENT if heads.student or options.original else TEACHER
        [loaded] = load_models(options, self.path, (role,)).values()
        estimator = HeadPoseEstimator(loaded, device, "bfloat16" if options.training.bf16 else None)
        if estimator.finds_heads:
            return estimator, *self._own_detector(estimator)
        require(
            not self.input_sizes and not checkpoint.startswith(_PREFIX),
            f"{checkpoint}: is a model of head crops ({loaded.network}); leave {_PREFIX} and a size out",
        )
        detector = heads.detector or default_detector
        if isinstance(loaded, ForeignModel):
            return estimator, *self._foreign_detector(loaded, detector, device)
        if options.original:
            return estimator, *_as_in_original(heads, detector, device)
        if heads.detector and detector.startswith(_PREFIX):
            message = "boxes are of %s, poses of %s; for its own poses name it as the checkpoint"
            logger.info(message, detector, self.path)
        return estimator, load_detector(detector, device, heads.min_score), replace(heads, detector=detector)

    def _foreign_detector(self, loaded: ForeignModel, name: str, device: torch.device) -> tuple[Detector, HeadOptions]:
        require(not self.options.original, f"--original: is for the paper's models, not {loaded.path}; leave it out")
        require(not self.heads.student, f"--student: {loaded.path} has no student; leave it out")
        detector = load_detector(name, device, self.heads.min_score)
        found = "head" if detector.crop_rule == HEAD_BOX else "face" if detector.crop_rule == FACE_BOX else None
        if found not in (None, loaded.facts.box_of):
            message = "%s is cropped about boxes of %ss, those of %s are of %ss: expect larger errors"
            logger.warning(message, loaded.kind, loaded.facts.box_of, name, found)
        return detector, replace(self.heads, detector=name)

    def _own_detector(self, estimator: HeadPoseEstimator) -> tuple[Detector, HeadOptions]:
        heads, one_stage = self.heads, f"{self.path} is a one-stage model, which"
        require(not self.options.original, f"--original: {one_stage} the paper's code has none of; leave it out")
        require(
            heads.detector is None,
            f"--detector {heads.detector}: {one_stage} finds the heads itself; leave it out",
        )
        sizes = self.input_sizes or (estimator.description.image_size,)
        detector = f"{_PREFIX}{self.path}:{','.join(map(str, sizes))}"
        return estimator.own_detector(heads.min_score, *sizes), replace(heads, detector=detector)


def find_model(
    parser: configargparse.ArgumentParser, argv: Sequence[str], given: TrainedOptions, heads: HeadOptions
) -> FoundModel:
    """Find, or fetch, a command's checkpoint, once its mesh is read.

    A command calls :func:`check_heads`, this, and :meth:`FoundModel.load`, and checks what it writes as soon as it can:
    whatever is wrong with options and small files is told before anything is fetched or loaded.

    Args:
        parser, argv: of the command.
        given: what they say, without the settings of the checkpoint's run.
        heads: what they say of heads, checked.

    Raises:
        ConfigError: the mesh can't be used, or what follows ``onestage:`` can't be understood.
        CheckpointError: there is no such checkpoint, or it can't be fetched.
    """
    mesh = _drawn_mesh(heads)
    name = given.model.checkpoint
    file, sizes = split_spec(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else (name, ())
    path = locate_model(file, given.run.exps_dir)
    return FoundModel(bind_trained(parse_with_run(parser, argv, path)), heads, path, mesh, sizes)


def _as_in_original(heads: HeadOptions, detector_name: str, device: torch.device) -> tuple[Detector, HeadOptions]:
    """The detector as in the demos of the paper's code: heads of score 0.5 with a body, and their crop.

    The options that are returned say so.
    """
    kind, _, argument = detector_name.partition(":")
    if kind == bpjdet.KIND and argument.rpartition(":")[2] != bpjdet.PAIRED:
        detector_name = f"{kind}:{argument}:{bpjdet.PAIRED}" if argument else f"{kind}:{bpjdet.PAIRED}"
    min_score = _ORIGINAL_MIN_SCORE if heads.min_score is None else heads.min_score
    heads = replace(heads, detector=detector_name, min_score=min_score)
    detector = load_detector(detector_name, device, min_score)
    if detector.crop_rule is None:
        detector.crop_rule = squeezed_picture
        return detector, heads
    require(
        detector.crop_rule == HEAD_BOX,
        f"--original: crops boxes of heads, and --detector {detector_name} finds faces; leave one of them out",
    )
    detector.crop_rule = original_demo_crop
    return detector, heads


def _drawn_mesh(heads: HeadOptions) -> sim3dr.Mesh | None:
    """Return the user's mesh, None for the one that comes with the package; ConfigError if it can't be used."""
    if heads.mesh is None:
        return None
    try:
        return load_head_mesh(heads.mesh)
    except (OSError, ValueError) as error:
        named = heads.mesh in str(error)
        raise ConfigError(f"--mesh{'' if named else f' {heads.mesh}'}: {error}") from error
