"""How far off a prediction may be: the radius that holds the truth with a probability of 90 percent.

The radii are split-conformal (Lei et al., "Distribution-free predictive inference for regression", JASA 2018): from
quantiles of errors on labeled heads that no training has seen, so they hold for other heads of the same kind, whatever
the network believes. An error counts relative to how wide the predicted distribution is. Rotations have three degrees
of freedom, so one that is s times as wide has an entropy that is 3 log s larger: the width is exp(entropy / 3), and one
for all heads where the network has no uncertainty. Ranges of predicted yaw have quantiles of their own.

They are in a file beside the checkpoint, with the temperature by which its distributions are divided
(:mod:`semiuhpe.evaluation.temperature`). ``semiuhpe calibrate`` writes it.
"""

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.files import atomic_write, parse_json
from semiuhpe.models.pose_head import find_pose_head
from semiuhpe.rotation import matrix_to_euler

logger = logging.getLogger(__name__)

SHARE = 0.9
"""Of truths that lie within their radius."""
ENDING = ".calibration.json"
FORMAT_VERSION = 1
_YAW = 1  # of pitch, yaw and roll


@dataclass(frozen=True)
class Reliability:
    """What labeled heads have told of a model's errors.

    Attributes:
        temperature: that the parameters of its distributions are divided by; 1 for a model without uncertainty.
        yaw_up_to_deg: upper ends of the ranges of predicted yaw, either side, rising to 180.
        radius_deg: radius of each range for a distribution of width 1.
        reliable_deg: predictions with a radius of at most this count as reliable.
    """

    temperature: float
    yaw_up_to_deg: tuple[float, ...]
    radius_deg: tuple[float, ...]
    reliable_deg: float

    def within_90_deg(self, rotation: Tensor, entropy: Tensor) -> Tensor:
        """Return the radii (N,) in degrees, at most 180, about predictions.

        Args:
            rotation: (N, 3, 3) predictions, head to camera.
            entropy: (N,) entropies of their distributions, divided by the temperature; NaN without uncertainty.
        """
        limits = torch.tensor(self.yaw_up_to_deg, dtype=torch.float64, device=rotation.device)
        radii = torch.tensor(self.radius_deg, dtype=torch.float64, device=rotation.device)
        group = torch.searchsorted(limits, yaw_deg(rotation)).clamp(max=len(limits) - 1)
        return (radii[group] * width(entropy)).clamp(max=180.0)


def yaw_deg(rotation: Tensor) -> Tensor:
    """Return the absolute yaw (N,) of rotations (N, 3, 3) in degrees, up to 180, in float64."""
    return matrix_to_euler(rotation.double(), full_range=True)[:, _YAW].abs()


def width(entropy: Tensor) -> Tensor:
    """Return how wide distributions of entropies (N,) are, in float64; 1 where an entropy is NaN."""
    return torch.exp(entropy.double() / 3.0).nan_to_num(1.0)


def output_layer(model: nn.Module) -> nn.Linear:
    """Return the layer whose nine outputs are the parameter of the distribution.

    Raises:
        ConfigError: the network doesn't end with a pose head.
    """
    try:
        layer = find_pose_head(model)[-1]
    except ValueError as error:
        raise ConfigError(f"{error}, so its distributions can't be made wider or narrower") from error
    assert isinstance(layer, nn.Linear), "find_pose_head looks for a layer of nine outputs"
    return layer


@torch.no_grad()
def divide_output(model: nn.Module, temperature: float) -> None:
    """Divide the parameters of all distributions that a model predicts by a temperature, in place."""
    layer = output_layer(model)
    layer.weight.div_(temperature)
    layer.bias.div_(temperature)


def calibration_file(weights: Path) -> Path:
    """Return where the calibration of a model is, given its file, or the first of its files."""
    return weights.with_suffix(ENDING)


def write_calibration(path: Path, sha256: str, models: Mapping[str, Reliability], heads: Mapping[str, Any]) -> None:
    """Write the calibration of a checkpoint.

    Args:
        path: of :func:`calibration_file`.
        sha256: of the model's files.
        models: its reliability by role.
        heads: the heads that it was found on, plain values.

    Raises:
        CheckpointError: the file can't be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "sha256": sha256,
        "share": SHARE,
        "heads": dict(heads),
        "models": {role: asdict(found) for role, found in models.items()},
    }
    try:
        atomic_write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path}: can't be written ({error.strerror})") from error


def read_calibration(path: Path, sha256: str) -> dict[str, Reliability]:
    """Return the reliability of a checkpoint's models by role; nothing, and a warning, if it is another checkpoint's.

    Args:
        path: of :func:`calibration_file`.
        sha256: of the model's files.

    Raises:
        CheckpointError: the file can't be read or is damaged.
    """
    remedy = "delete it, or run `semiuhpe calibrate` again"
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        models = {role: _reliability(values) for role, values in content["models"].items()}
        version, of = content["format_version"], content["sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is no calibration of a model, or damaged; {remedy}") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path}: has format {version}, this program reads {FORMAT_VERSION}; {remedy}")
    if of != sha256:
        logger.warning("%s: is of another version of the model, and is not used; %s", os.fspath(path), remedy)
        return {}
    return models


def _reliability(values: Mapping[str, Any]) -> Reliability:
    found = Reliability(
        float(values["temperature"]),
        tuple(float(limit) for limit in values["yaw_up_to_deg"]),
        tuple(float(radius) for radius in values["radius_deg"]),
        float(values["reliable_deg"]),
    )
    numbers = (found.temperature, *found.yaw_up_to_deg, *found.radius_deg, found.reliable_deg)
    rising = all(a < b for a, b in zip(found.yaw_up_to_deg, found.yaw_up_to_deg[1:], strict=False))
    positive = all(math.isfinite(number) and number >= 0 for number in numbers) and found.temperature > 0
    if not (rising and positive and len(found.yaw_up_to_deg) == len(found.radius_deg) > 0):
        raise ValueError("numbers that no calibration has")
    return found
