"""From the numbers of other networks to rotations, head to camera."""

from collections.abc import Sequence

import roma
import torch
from torch import Tensor

from semiuhpe.errors import CheckpointError
from semiuhpe.foreign.facts import ANGLES, CONVENTIONS, Angles, Facts, Rotations
from semiuhpe.rotation import euler_to_matrix

_LENGTHS = {"matrix": 9, "rotation_6d": 6, "quaternion": 4}


def combined(outputs: Sequence[Sequence[Tensor]], facts: Facts) -> Tensor:
    """Return the rotations that one or several networks predict together.

    Euler angles of the front range are averaged, as authors of networks do; all else by the rotation that is nearest to
    all in the chordal distance.

    Args:
        outputs: of each network, with B heads.
        facts: of the networks.

    Returns:
        (B, 3, 3) rotations, head to camera.
    """
    if isinstance(facts.output, Angles):
        euler = [euler_angles(output, facts.output) for output in outputs]
        if not facts.full_range:
            return euler_to_matrix(torch.stack(euler).mean(0))
        rotations = [euler_to_matrix(angles) for angles in euler]
    else:
        rotations = [rotation_matrices(output, facts.output) for output in outputs]
    return rotations[0] if len(rotations) == 1 else roma.special_procrustes(torch.stack(rotations).mean(0))


def euler_angles(output: Sequence[Tensor], meaning: Angles) -> Tensor:
    """Return (B, 3) pitch, yaw, roll in degrees of a network's output: (B, 3) angles or three (B, K) logits of bins."""
    if meaning.bins is None:
        angles = output[0].double().flatten(1)
        angles = torch.rad2deg(angles) if meaning.unit == "radians" else angles
    else:
        columns = []
        for logits, bins in zip(output, meaning.bins, strict=False):  # there may be more outputs, of something else
            centers = bins.offset + bins.step * torch.arange(logits.shape[-1], device=logits.device)
            columns.append((logits.double().softmax(-1) * centers).sum(-1))
        angles = torch.stack(columns, dim=-1)
    angles = angles * torch.tensor(meaning.signs, dtype=angles.dtype, device=angles.device)
    return angles[:, [meaning.order.index(angle) for angle in ANGLES]]


def rotation_matrices(output: Sequence[Tensor], meaning: Rotations) -> Tensor:
    """Return (B, 3, 3) rotations, head to camera, of a network's output of B rotations."""
    numbers = output[0].double().flatten(1)
    if meaning.form == "rotation_6d":
        rotation = roma.special_gramschmidt(numbers.unflatten(-1, (2, 3)).mT)
    elif meaning.form == "quaternion":
        if meaning.quaternion == "wxyz":
            numbers = roma.quat_wxyz_to_xyzw(numbers)
        rotation = roma.unitquat_to_rotmat(roma.quat_normalize(numbers))
    else:
        rotation = roma.special_procrustes(numbers.unflatten(-1, (3, 3)))
    return CONVENTIONS[meaning.convention](rotation)


def check_outputs(outputs: Sequence[Tensor], meaning: Angles | Rotations, file: str) -> None:
    """Check the outputs of a network for one head.

    Raises:
        CheckpointError: they have other shapes than their meaning asks for.
    """
    shapes = [tuple(output.shape) for output in outputs]
    lengths = [output.numel() if output.ndim > 1 and len(output) == 1 else 0 for output in outputs]
    if isinstance(meaning, Angles) and meaning.bins is not None:
        fine, asked = len(outputs) >= 3 and min(lengths[:3]) > 1, "three outputs (1, K) of bins"
    elif isinstance(meaning, Angles):
        fine, asked = lengths[:1] == [3], "one output (1, 3) of angles"
    else:
        count = _LENGTHS[meaning.form]
        fine, asked = lengths[:1] == [count], f"one output of {count} numbers for a head, a {meaning.form}"
    if not fine:
        found = ", ".join(map(str, shapes)) or "no outputs"
        raise CheckpointError(f"{file}: its outputs have the shapes {found}, not {asked}: it is another network")
