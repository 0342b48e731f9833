"""Checkpoints: one file with everything that a run needs to resume, or a model to use.

A model to use may also be a file of safetensors, with its description in the metadata.

The keys ``model_state_dict``, ``model_state_dict_ema``, ``optimizer_state_dict`` and ``clock`` are those of the
checkpoints that the paper's authors released. Ours also have a ``description`` of the model; that of a released one
follows from its keys and its name. Loading never runs code.
"""

import os
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.errors import CheckpointError
from semiuhpe.files import atomic_path
from semiuhpe.models.registry import create_model, list_models, network_spec
from semiuhpe.models.reliability import Reliability
from semiuhpe.models.weights import find_checkpoint
from semiuhpe.models.weights_files import SAFETENSORS, read_safetensors, read_weights_file, write_safetensors
from semiuhpe.rotation import CONVENTIONS, HEAD_TO_CAMERA, R_300WLP

STUDENT, TEACHER = "model_state_dict", "model_state_dict_ema"


@dataclass(frozen=True)
class Description:
    """What a model is, and what its nine output numbers mean.

    Attributes:
        network: name in the registry.
        distribution: ``matrixFisher`` or ``RotationLaplace``.
        convention: the rotation convention of the output, one of :data:`semiuhpe.rotation.CONVENTIONS`.
        full_range: whether it was trained on the full range of rotations, else on the front range.
        image_size: side of the input in pixels.
        train_labeled, train_unlabeled: names of its training data.
    """

    network: str
    distribution: str
    convention: str
    full_range: bool
    image_size: int
    train_labeled: str
    train_unlabeled: str


@dataclass(frozen=True)
class LoadedModel:
    """A model from a checkpoint, in eval mode on the CPU.

    Attributes:
        model: the network.
        description: what it is.
        metrics: its last validation results.
        path: its file.
        reliability: what labeled heads have told of its errors; None if it isn't calibrated. The model's output is
            divided by the temperature.
    """

    model: nn.Module
    description: Description
    metrics: dict[str, float]
    path: Path
    reliability: Reliability | None = field(default=None, kw_only=True)

    @property
    def network(self) -> str:
        return self.description.network

    @property
    def distribution(self) -> str:
        return self.description.distribution

    @property
    def convention(self) -> str:
        return self.description.convention

    @property
    def full_range(self) -> bool:
        return self.description.full_range

    @property
    def image_size(self) -> int:
        return self.description.image_size

    @property
    def train_labeled(self) -> str:
        return self.description.train_labeled

    @property
    def train_unlabeled(self) -> str:
        return self.description.train_unlabeled


def save_checkpoint(path: str | os.PathLike, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint under a temporary name and rename it, so a crash leaves the previous one intact.

    Raises:
        CheckpointError: the file can't be written.
    """
    path = Path(path)
    try:
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise CheckpointError(f"{path}: can't be written ({error}); the checkpoint before it is kept") from error


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read the dictionary of a checkpoint file, on the CPU.

    One of safetensors holds a model alone, see :func:`save_weights`: here it is both student and teacher.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint, or holds more than tensors and plain values.
    """
    if Path(path).suffix == SAFETENSORS:
        stored, facts = read_safetensors(path)
        if "description" not in facts:
            raise CheckpointError(f"{path}: has weights, but no description of this project's: it is no checkpoint")
        weights = {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
        return {STUDENT: weights, TEACHER: weights, **facts}
    checkpoint = read_weights_file(path)
    if not isinstance(checkpoint, dict) or STUDENT not in checkpoint:
        raise CheckpointError(f"{path}: is neither a checkpoint of this project nor a released one (no {STUDENT})")
    return checkpoint


def load_checkpoint(
    path: str | os.PathLike,
    teacher: bool = True,
    network: str | None = None,
    convention: str | None = None,
    full_range: bool | None = None,
    exps_dir: str | os.PathLike = "exps",
) -> LoadedModel:
    """Load a model that is ready to use.

    Args:
        path: a file, or the name of a run's or a released checkpoint, see
            :func:`semiuhpe.models.weights.find_checkpoint`.
        teacher: take the teacher's weights, else the student's.
        network: name in the registry, for a checkpoint without description; recognized by its keys if not given.
        convention: rotation convention of the output, one of :data:`semiuhpe.rotation.CONVENTIONS`; overrides what the
            checkpoint or its name says.
        full_range: the range of angles; overrides what the checkpoint or its name says. Where neither says it, models
            in R_300wlp are assumed to have the front range and the others the full one, like the released ones.
        exps_dir: folder in which runs are searched by name.

    Raises:
        CheckpointError: the file can't be found or read, is of another network, or its convention is unknown.
    """
    path = find_checkpoint(path, exps_dir)
    checkpoint = read_checkpoint(path)
    weights = weights_of(checkpoint, path, teacher)
    if "description" in checkpoint:
        described = _read_description(checkpoint["description"], path)
        if network not in (None, described.network):
            raise CheckpointError(f"--network {network}: {path} is a checkpoint of {described.network}")
    else:
        described = _describe_released(path, network or recognize_network(weights, path), convention)
    if convention is not None:
        described = replace(described, convention=convention)
    if full_range is not None:
        described = replace(described, full_range=full_range)
    if described.convention not in CONVENTIONS:
        raise CheckpointError(
            f"{path}: unknown rotation convention {described.convention}; there are {', '.join(CONVENTIONS)}"
        )
    model = create_model(described.network)
    load_weights(model, weights, path, described.network)
    return LoadedModel(model.eval(), described, checkpoint.get("metrics", {}), path)


def weights_of(checkpoint: dict[str, Any], path: str | os.PathLike, teacher: bool) -> dict[str, Tensor]:
    """Return the teacher's or the student's state dict, without the key prefix of training on several GPUs.

    Raises:
        CheckpointError: the checkpoint has no such state dict.
    """
    key = TEACHER if teacher else STUDENT
    weights = checkpoint.get(key)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        other = "student" if teacher else "teacher"
        raise CheckpointError(f"{path}: has no weights under {key}; the {other}'s may be there")
    if all(name.startswith("module.") for name in weights):
        return {name.removeprefix("module."): value for name, value in weights.items()}
    return dict(weights)


def recognize_network(weights: dict[str, Tensor], path: str | os.PathLike) -> str:
    """Return the name of the registered network that has exactly these keys and shapes.

    Raises:
        CheckpointError: no network has them.
    """
    shapes = {key: value.shape for key, value in weights.items()}
    for name in list_models():
        with torch.device("meta"):
            expected = create_model(name).state_dict()
        if expected.keys() == shapes.keys() and all(expected[key].shape == shapes[key] for key in shapes):
            return name
    raise CheckpointError(
        f"{path}: its {len(weights)} weights are those of no network here ({', '.join(list_models())}); "
        "if it is one of timm's, name it with --network timm:<name>"
    )


def load_weights(model: nn.Module, weights: dict[str, Tensor], path: str | os.PathLike, network: str) -> None:
    """Load a state dict into a network; CheckpointError if it is of another network."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        expected, found = set(model.state_dict()), set(weights)
        raise CheckpointError(
            f"{path}: is not a checkpoint of --network {network} "
            f"({len(expected - found)} weights missing, {len(found - expected)} unknown, others may differ in shape)"
        ) from error


def save_weights(loaded: LoadedModel, path: str | os.PathLike) -> None:
    """Write only a model as a checkpoint: no optimizer, clock or second network, so training can't resume from it.

    A file that ends in ``.safetensors`` has half precision, and its description in the metadata. Any other is one of
    ``torch.save``; student and teacher in it are the same tensors, stored once.

    Raises:
        CheckpointError: the file can't be written, or weights are too large for half precision.
    """
    path, weights = Path(path), loaded.model.state_dict()
    facts = {"description": describe(loaded.description), "metrics": loaded.metrics}
    if path.suffix != SAFETENSORS:
        save_checkpoint(path, {STUDENT: weights, TEACHER: weights, **facts})
        return
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    if too_large := [name for name, value in halves.items() if not value.isfinite().all()]:
        raise CheckpointError(
            f"{loaded.path}: {too_large[0]} is beyond half precision, which safetensors are written in; export to .pth"
        )
    write_safetensors(path, halves, facts)


def _read_description(values: Any, path: Path) -> Description:
    try:
        described = Description(**values)
    except TypeError as error:
        raise CheckpointError(f"{path}: doesn't say which network it is (no valid description)") from error
    kinds = get_type_hints(Description)
    for each in fields(described):
        value = getattr(described, each.name)
        if not isinstance(value, kinds[each.name]):
            raise CheckpointError(f"{path}: its description is not valid: {each.name} is {value!r}")
    if described.distribution not in DISTRIBUTIONS or described.image_size < 1:
        found = f"{described.distribution!r} on pictures of {described.image_size} px"
        raise CheckpointError(f"{path}: its description is not valid: its output is a {found}")
    return described


def _describe_released(path: Path, network: str, convention: str | None) -> Description:
    """Describe a checkpoint of the paper's code by its name, such as ``DAD-WildHead-EffNetV2-S-best.pth``.

    Models trained on 300W-LP predict R_300wlp, those trained on DAD-3DHeads R head to camera. Inputs have 224 px unless
    the network takes only another size, and outputs parametrize matrix Fisher distributions.

    Raises:
        CheckpointError: neither the name nor the argument says the convention.
    """
    image_size = network_spec(network).image_size or 224
    name = re.match(r"(DAD|DAD3DHeads|300WLP|300W-LP)-(\w+)-", path.name)
    from_300wlp = name is not None and name[1].startswith("300W")
    if convention is None and name is None:
        raise CheckpointError(
            f"{path}: neither the file nor its name tells the rotation convention of its output; pass --convention "
            f"{R_300WLP} (models trained on 300W-LP by the paper's code) or --convention {HEAD_TO_CAMERA} (DAD-3DHeads)"
        )
    convention = convention or (R_300WLP if from_300wlp else HEAD_TO_CAMERA)
    return Description(
        network=network,
        distribution="matrixFisher",
        convention=convention,
        full_range=not from_300wlp if name else convention == HEAD_TO_CAMERA,
        image_size=image_size,
        train_labeled=("300WLP" if from_300wlp else "DAD3DHeads") if name else "",
        train_unlabeled=name[2] if name else "",
    )


def describe(description: Description) -> dict[str, Any]:
    """Return the description as plain values, for a checkpoint."""
    return {f.name: asdict(description)[f.name] for f in fields(description)}
