"""What has to be known of another network to use it: its pictures, its crops, and what its numbers mean."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from semiuhpe.conventions import from_biwi, from_dad3dheads
from semiuhpe.data.fitted_crop import FittedCrop
from semiuhpe.errors import ConfigError, require
from semiuhpe.files import parse_yaml
from semiuhpe.rotation import HEAD_TO_CAMERA, R_300WLP, from_300wlp

Colors = Literal["rgb", "bgr"]
BoxOf = Literal["face", "head"]
Unit = Literal["degrees", "radians"]
RotationForm = Literal["matrix", "rotation_6d", "quaternion"]
Angle = Literal["pitch", "yaw", "roll"]
ANGLES: tuple[Angle, ...] = get_args(Angle)
CONVENTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    HEAD_TO_CAMERA: lambda rotation: rotation,
    R_300WLP: from_300wlp,
    "dad3dheads": from_dad3dheads,
    "biwi": from_biwi,
}
"""From rotations of a convention to R head to camera, by its name."""
_RANGES = {"front": False, "full": True}
_QUATERNIONS = ("xyzw", "wxyz")


@dataclass(frozen=True)
class Bins:
    """How an angle follows from the logits of its bins: the mean of the bins' centers, weighted by their softmax.

    Attributes:
        step: degrees from a bin to the next.
        offset: degrees of the first bin.
    """

    step: float
    offset: float


@dataclass(frozen=True)
class Angles:
    """An output of Euler angles, in the convention of the labels of 300W-LP up to order and signs.

    Attributes:
        order: what its three numbers, or its three outputs of bins, are.
        signs: of the three, in this order.
        unit: of the angles; bins are in degrees.
        bins: of each angle, in this order, if the network classifies.
    """

    order: tuple[Angle, ...]
    signs: tuple[float, ...] = (1.0, 1.0, 1.0)
    unit: Unit = "degrees"
    bins: tuple[Bins, ...] | None = None


@dataclass(frozen=True)
class Rotations:
    """An output of rotations.

    Attributes:
        form: ``matrix``, 3x3 row by row; ``rotation_6d``, the first and second column of one (Zhou et al., CVPR 2019);
            ``quaternion``.
        convention: one of :data:`CONVENTIONS`.
        quaternion: the order of its numbers.
    """

    form: RotationForm
    convention: str
    quaternion: str = "xyzw"


@dataclass(frozen=True)
class Facts:
    """All facts of a network.

    Attributes:
        size: side of its input in pixels.
        colors: the order of its channels.
        mean, std: of its channels, in this order; they are subtracted from values in 0 to 255, and divide what is left.
        crop: how heads are cropped where they have landmarks.
        box_crop: how they are cropped by a box of the face or head.
        box_of: what that box is of.
        output: what its numbers mean.
        full_range: whether it covers more than front to profile.
    """

    size: int
    colors: Colors
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: FittedCrop
    box_crop: FittedCrop
    output: Angles | Rotations
    full_range: bool = False
    box_of: BoxOf = "face"


_NEEDED = ("size", "colors", "mean", "std", "crop", "output", "range")
_OF_OUTPUT = {
    "euler": ("order", "unit"),
    "bins": ("order", "step", "offset"),
    "matrix": ("convention",),
    "rotation_6d": ("convention",),
    "quaternion": ("convention", "quaternion"),
}
_OPTIONAL = ("box_crop", "box_of", "signs")


def read_facts(path: Path, crops: Mapping[str, FittedCrop]) -> Facts:
    """Read the facts of a network from a YAML file; ``docs/foreign.md`` describes it.

    Args:
        path: the file.
        crops: crop rules that the file may name.

    Raises:
        ConfigError: the file is missing or broken, or a fact is missing, unknown or impossible.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: is missing; it has to say {', '.join(_NEEDED)} of the network, see docs/foreign.md"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not readable YAML ({error})") from error
    require(isinstance(values, dict), f"{path}: has to consist of lines `fact: value`; see docs/foreign.md")
    kind = values.get("output")
    needed = (*_NEEDED, *_OF_OUTPUT.get(kind, ())) if isinstance(kind, str) else _NEEDED
    if missing := [name for name in needed if name not in values]:
        raise ConfigError(f"{path}: lacks {', '.join(missing)}; see docs/foreign.md")
    _one_of(path, "output", kind, _OF_OUTPUT)
    if unknown := sorted(str(name) for name in values if name not in (*needed, *_OPTIONAL)):
        raise ConfigError(f"{path}: {', '.join(unknown)}: is no fact of an output of {kind}; leave it out")
    size = values["size"]
    require(type(size) is int and 1 <= size <= 4096, f"{path}: size is {size!r}; it has to be a number of pixels")
    crop = _crop(path, "crop", values["crop"], crops)
    box_crop = _crop(path, "box_crop", values["box_crop"], crops) if "box_crop" in values else crop
    require(
        box_crop.start == "box" or "box_crop" not in values,
        f"{path}: box_crop starts from {box_crop.start}; it has to start from box",
    )
    return Facts(
        size=size,
        colors=_one_of(path, "colors", values["colors"], get_args(Colors)),
        mean=_three(path, "mean", values["mean"]),
        std=_three(path, "std", values["std"], positive=True),
        crop=crop,
        box_crop=box_crop,
        output=_output(path, kind, values),
        box_of=_one_of(path, "box_of", values.get("box_of", "face"), get_args(BoxOf)),
        full_range=_RANGES[_one_of(path, "range", values["range"], _RANGES)],
    )


def _output(path: Path, kind: str, values: Mapping[str, Any]) -> Angles | Rotations:
    if kind not in ("euler", "bins"):
        quaternion = _one_of(path, "quaternion", values.get("quaternion", "xyzw"), _QUATERNIONS)
        convention = _one_of(path, "convention", values["convention"], CONVENTIONS)
        return Rotations(kind, convention, quaternion)  # type: ignore[arg-type]
    order = values["order"]
    require(
        isinstance(order, list) and sorted(map(str, order)) == sorted(ANGLES),
        f"{path}: order is {order!r}; it has to be a list of {', '.join(ANGLES)} in the order of the output",
    )
    signs = _three(path, "signs", values.get("signs", 1))
    require(all(abs(sign) == 1 for sign in signs), f"{path}: signs are {values.get('signs')!r}; each has to be 1 or -1")
    if kind == "euler":
        return Angles(tuple(order), signs, _one_of(path, "unit", values["unit"], get_args(Unit)))
    steps, offsets = _three(path, "step", values["step"], positive=True), _three(path, "offset", values["offset"])
    bins = tuple(Bins(step, offset) for step, offset in zip(steps, offsets, strict=True))
    return Angles(tuple(order), signs, bins=bins)


def _crop(path: Path, name: str, value: Any, crops: Mapping[str, FittedCrop]) -> FittedCrop:
    if isinstance(value, dict):
        return FittedCrop.from_values({**value, "name": f"{name} of {path.name}"}, f"{path}: {name}")
    if not isinstance(value, str) or value not in crops:
        raise ConfigError(f"{path}: {name} is {value!r}; it has to be one of {', '.join(crops)}, or a mapping")
    return crops[value]


def _one_of(path: Path, name: str, value: Any, choices: Any) -> Any:
    if value not in tuple(choices):
        raise ConfigError(f"{path}: {name} is {value!r}; it has to be one of {', '.join(choices)}")
    return value


def _three(path: Path, name: str, value: Any, positive: bool = False) -> tuple[float, float, float]:
    """Return three numbers, which one number may stand for."""
    numbers = value if isinstance(value, list) else [value] * 3
    fine = len(numbers) == 3 and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in numbers
    )
    if not fine or (positive and min(numbers) <= 0):
        raise ConfigError(f"{path}: {name} is {value!r}; it has to be one or three {'positive ' * positive}numbers")
    first, second, third = map(float, numbers)
    return first, second, third
