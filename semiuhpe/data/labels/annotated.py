"""Pictures with annotated heads, as the files of all programs for labeling are written from and read into.

Every head has a box in pixels, upright in the picture, and may have ``pitch, yaw, roll`` in degrees as
:mod:`semiuhpe.rotation` defines them: three numbers that a person can read and change, in place of a matrix, and that
each program can keep as attributes. Heads that come from a store also have their position in it, ``head``, so that
changed labels find their way back.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from semiuhpe.data.importers.folder import EULER, HEAD

LABEL = "head"
"""What heads are called in files that are written."""
DIGITS = 4
"""Decimals of angles in degrees and of boxes in pixels."""


@dataclass(frozen=True)
class AnnotatedHead:
    """A head on a picture.

    Attributes:
        box: x, y, w, h in pixels.
        euler_deg: pitch, yaw, roll in degrees; None if they are not known.
        head: position in the store that it comes from, if any.
        label: what the file calls it.
    """

    box: tuple[float, float, float, float]
    euler_deg: tuple[float, float, float] | None = None
    head: int | None = None
    label: str = LABEL

    @property
    def attributes(self) -> dict[str, float | int]:
        """What is known of the head beside its box, by name."""
        angles = () if self.euler_deg is None else zip(EULER, self.euler_deg, strict=True)
        known: dict[str, float | int] = {name: round(float(angle), DIGITS) for name, angle in angles}
        return known if self.head is None else {**known, HEAD: self.head}


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture and the heads on it.

    Attributes:
        file: name of the picture's file, as the labels have it.
        width, height: in pixels.
        heads: that are on it, perhaps none.
    """

    file: str
    width: int
    height: int
    heads: tuple[AnnotatedHead, ...]


def annotated(label: str, box: Iterable[Any], attributes: Mapping[str, Any]) -> AnnotatedHead:
    """Return a head of what a file says of it; attributes that are none of a head's are passed over.

    Args:
        label: what it calls it.
        box: x, y, w, h in pixels.
        attributes: numbers, or texts that are numbers, by name in upper or lower case.

    Raises:
        ValueError: the box or an angle is no finite number, or there are some angles but not all.
    """
    known = {str(name).strip().lower(): value for name, value in attributes.items()}
    angles = [known.get(name) for name in EULER]
    missing = [name for name, value in zip(EULER, angles, strict=True) if value in (None, "")]
    if 0 < len(missing) < len(EULER):
        raise ValueError(f"a head has no {', '.join(missing)}, but the other angles")
    values = [_number("box", value) for value in box]
    if len(values) != 4:
        raise ValueError(f"the box of a head has {len(values)} numbers, not x, y, w, h")
    x, y, w, h = values
    euler = None if missing else tuple(_number(name, value) for name, value in zip(EULER, angles, strict=True))
    head = known.get(HEAD)
    position = None if head in (None, "") else int(_number(HEAD, head))
    return AnnotatedHead((x, y, w, h), euler, position, str(label))  # type: ignore[arg-type]  # euler has three


def upright_box(box: Iterable[Any], angle_deg: float, pivot: str) -> tuple[float, float, float, float]:
    """Return the upright box x, y, w, h about one that a program has turned clockwise.

    Args:
        box: x, y, w, h before it was turned.
        angle_deg: by how much.
        pivot: "center", as in CVAT, or "corner", the upper left one, as in Label Studio.
    """
    x, y, w, h = (_number("box", value) for value in box)
    if angle_deg % 360 == 0:
        return x, y, w, h
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]])
    origin = np.array([w / 2, h / 2]) if pivot == "center" else np.zeros(2)
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    turned = (corners - origin) @ np.array([[cosine, sine], [-sine, cosine]]) + origin + (x, y)
    left, top = turned.min(axis=0)
    width, height = np.ptp(turned, axis=0)
    return float(left), float(top), float(width), float(height)


def rounded(values: Iterable[float]) -> list[float]:
    """Return numbers as they are written."""
    return [round(float(value), DIGITS) for value in values]


def _number(name: str, value: Any) -> float:
    """Return a finite number; ValueError if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise ValueError(f"{name} of a head is {value!r}, not a finite number")
    return number
