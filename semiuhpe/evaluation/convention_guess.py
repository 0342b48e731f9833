"""Which convention do three angles have? Found from pairs of known poses and angles of the same heads.

Candidates are all assignments of the three numbers to pitch, yaw and roll (about the x, y and z axis of 300W-LP's
frame), signs, units and sequences of the three turns. For each, the constant rotation that is left is estimated in the
head's and in the camera's frame on one half of the pairs and the error measured on the other, as in
:mod:`semiuhpe.evaluation.alignment`. The one of the smallest mean error wins; how often it wins among resampled pairs
says how sure that is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from semiuhpe.errors import DataError
from semiuhpe.evaluation.alignment import CAMERA_FRAME, HEAD_FRAME, constant_rotation, errors_without_it, turned_by
from semiuhpe.evaluation.bootstrap import resample_counts
from semiuhpe.files import read_csv
from semiuhpe.rotation import euler_to_matrix, from_300wlp, geodesic_deg

COLUMNS = ("pitch", "yaw", "roll", "a", "b", "c")
FEWEST = 10
"""Pairs that a convention can be found from."""
MOST_PAIRS = 500
RESAMPLES = 500
LARGEST_DEG = 60.0
"""Errors count as no more, so that single wrong pairs decide nothing."""
SAME_DEG = 0.05
"""Candidates whose mean errors differ by less can't be told apart."""
OFFSET_GAIN = 0.8
"""A constant rotation is only taken if errors without it are smaller by this factor."""
_AXES = {"x": "pitch", "y": "yaw", "z": "roll"}


@dataclass(frozen=True)
class Reading:
    """A convention of three numbers.

    Attributes:
        order: what the numbers are, of pitch, yaw and roll.
        signs: of the numbers.
        unit: ``degrees`` or ``radians``.
        sequence: of axes that are turned about, the first turn first, such as ``xyz`` for Rz Ry Rx.
        frame: in which a constant rotation is left, or None.
        offset_deg: its rotation vector in degrees, in that frame.
        error_deg: mean geodesic error of the pairs, without the constant rotation.
        errors_deg: (N,) of the pairs.
    """

    order: tuple[str, ...]
    signs: tuple[int, ...]
    unit: str
    sequence: str
    frame: str | None
    offset_deg: tuple[float, ...]
    error_deg: float
    errors_deg: np.ndarray

    def __str__(self) -> str:
        signed = ", ".join(
            f"{'-' if sign < 0 else '+'}{name}" for sign, name in zip(self.signs, self.order, strict=True)
        )
        turns = " ".join(f"R{axis}({_AXES[axis]})" for axis in reversed(self.sequence))
        return f"{signed} in {self.unit}, R_300wlp = {turns}"


@dataclass(frozen=True)
class Guess:
    """What was found.

    Attributes:
        best: the reading of the smallest error.
        same: others that can't be told apart from it on these pairs.
        next: the best of all others, or None.
        sure: share of resamples in which one of ``best`` and ``same`` has the smallest error.
    """

    best: Reading
    same: tuple[Reading, ...]
    next: Reading | None
    sure: float


def read_pairs(path: Path) -> tuple[Tensor, Tensor]:
    """Read pairs of a CSV file with the columns :data:`COLUMNS`: known angles in degrees, and three unknown numbers.

    Returns:
        (N, 3) pitch, yaw, roll, and (N, 3) numbers, float64.

    Raises:
        DataError: the file can't be read, lacks a column, has a value that is no number, or fewer than :data:`FEWEST`
            rows.
    """
    try:
        (_, header), *rows = list(read_csv(path)) or [(1, [])]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    names = [name.strip().lower() for name in header]
    if missing := [name for name in COLUMNS if name not in names]:
        raise DataError(f"{path}: lacks the columns {', '.join(missing)}; it needs {','.join(COLUMNS)}")
    places, values = [names.index(name) for name in COLUMNS], []
    for number, row in rows:
        try:
            values.append([float(row[place]) for place in places])
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}, line {number}: has to have a number in each column; it is {row}") from error
    table = torch.tensor(values, dtype=torch.float64).reshape(-1, len(COLUMNS))
    if len(table) < FEWEST:
        raise DataError(f"{path}: has {len(table)} pairs; {FEWEST} or more are needed, 20 are better")
    if not torch.isfinite(table).all():
        raise DataError(f"{path}: has a value that is not finite; leave its line out")
    return table[:, :3], table[:, 3:]


def guess_convention(known: Tensor, numbers: Tensor) -> Guess:
    """Find the convention of angles.

    Args:
        known: (N, 3) pitch, yaw, roll in degrees, as of 300W-LP.
        numbers: (N, 3) of the same heads in the convention to be found.

    Raises:
        DataError: there are fewer than :data:`FEWEST` pairs, or all heads have nearly the same pose.
    """
    known, numbers = known[:MOST_PAIRS].double(), numbers[:MOST_PAIRS].double()
    if len(known) < FEWEST:
        raise DataError(f"{len(known)} pairs: {FEWEST} or more are needed")
    truth = euler_to_matrix(known)
    if known.std(0).min() < 1.0:
        raise DataError("one of the known angles is nearly the same in all pairs, so nothing can be said of it")
    readings = sorted((_measured(reading, truth, numbers) for reading in _candidates()), key=lambda r: r.error_deg)
    best = readings[0]
    limit = best.error_deg + SAME_DEG
    same = tuple(reading for reading in readings[1:] if reading.error_deg <= limit)
    others = readings[1 + len(same) :]
    errors = np.stack([reading.errors_deg for reading in readings])
    winners = np.concatenate([(counts @ errors.T).argmin(axis=1) for counts in resample_counts(len(known), RESAMPLES)])
    return Guess(best, same, others[0] if others else None, float((winners <= len(same)).mean()))


def _candidates() -> Iterator[Reading]:
    names = tuple(_AXES.values())
    nothing = np.empty(0)
    for order, signs, unit, sequence in product(
        permutations(names), product((1, -1), repeat=3), ("degrees", "radians"), map("".join, permutations(_AXES))
    ):
        yield Reading(order, signs, unit, sequence, None, (0.0, 0.0, 0.0), 0.0, nothing)


def rotations_of(reading: Reading, numbers: Tensor) -> Tensor:
    """Return (N, 3, 3) rotations, head to camera, of (N, 3) numbers, with the constant rotation if there is one."""
    angles = numbers * torch.tensor(reading.signs, dtype=numbers.dtype)
    if reading.unit == "radians":
        angles = torch.rad2deg(angles)
    by_axis = [angles[:, reading.order.index(_AXES[axis])] for axis in reading.sequence]
    rotation = from_300wlp(roma.euler_to_rotmat(reading.sequence, torch.stack(by_axis, dim=-1), degrees=True))
    if reading.frame is None:
        return rotation
    offset = roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(reading.offset_deg, dtype=numbers.dtype)))
    return turned_by(rotation, offset, reading.frame)


def _measured(reading: Reading, truth: Tensor, numbers: Tensor) -> Reading:
    """Return a reading with its errors, and the constant rotation if one is worth it."""
    rotation = rotations_of(reading, numbers)
    plain = geodesic_deg(rotation, truth).clamp(max=LARGEST_DEG)
    frames = (HEAD_FRAME, CAMERA_FRAME)
    errors = {frame: errors_without_it(rotation, truth, frame).clamp(max=LARGEST_DEG) for frame in frames}
    frame = min(frames, key=lambda name: float(errors[name].mean()))
    error = float(errors[frame].mean())
    if error >= OFFSET_GAIN * float(plain.mean()):
        return replace(reading, error_deg=float(plain.mean()), errors_deg=plain.numpy())
    vector = torch.rad2deg(roma.rotmat_to_rotvec(constant_rotation(rotation, truth, frame))).tolist()
    return replace(reading, frame=frame, offset_deg=tuple(vector), error_deg=error, errors_deg=errors[frame].numpy())
