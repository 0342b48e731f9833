"""Break-downs: errors by kind of head.

Angles are those of the true rotation: in the full range |pitch| <= 90 and yaw within +-180, in the front range
|yaw| <= 90. Bins include their lower edge; the last one also its upper edge.

*Distance to frontal* is the geodesic angle between the true rotation and a head that looks into the camera. *Facing* is
the angle between the direction of the nose and the camera, which does not change when the picture is turned in plane:
an upside-down face is 180 degrees from frontal, but seen from the front. There is no common definition of front, side
and back, so both angles are divided into three equal parts, at 60 and 120 degrees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from semiuhpe.data.crop import CROP_RULES
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.bootstrap import bootstrap, interval
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, matrix_to_euler

FRONT_STEP_DEG, FULL_STEP_DEG = 15, 30
SIDES_DEG = (60, 120)
SIDE_NAMES = ("front", "side", "back")
HEAD_SIZES_PX = (32, 64, 128, 256, 512)
MAX_CATEGORIES = 20


@dataclass(frozen=True)
class Breakdown:
    """A division of all heads into groups.

    Attributes:
        title: name of the division, for pages.
        labels: names of the groups.
        group: (N,) number of each head's group, -1 for none.
        edges: (G + 1,) of the groups, where they are bins of an angle.
    """

    title: str
    labels: list[str]
    group: np.ndarray
    edges: np.ndarray | None = None

    def members(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name and the (n,) positions of each group that has heads."""
        for number, label in enumerate(self.labels):
            positions = np.flatnonzero(self.group == number)
            if len(positions):
                yield label, positions


def breakdowns(store: HeadStore) -> dict[str, Breakdown]:
    """Return all break-downs that a labeled store allows, by their names in the results."""
    truth, full_range = torch.from_numpy(store.truth).double(), store.meta["full_range"]
    pitch, yaw, roll = matrix_to_euler(truth, full_range).numpy().T
    limits = {"yaw": 180, "pitch": 90, "roll": 180} if full_range else {"yaw": 90, "pitch": 90, "roll": 90}
    found = {}
    for name, angle in (("yaw", yaw), ("pitch", pitch), ("roll", roll)):
        step = FULL_STEP_DEG if limits[name] > 90 else FRONT_STEP_DEG
        found[name] = by_angle(f"true {name}", angle, np.arange(-limits[name], limits[name] + 1, step))
    found["distance_to_frontal"] = _sides("distance to frontal", distance_to_frontal_deg(store.truth))
    found["facing"] = _sides("facing", facing_deg(store.truth))
    if full_range:  # what is behind the sides, in finer steps
        for step in (FULL_STEP_DEG, FRONT_STEP_DEG):
            title = f"facing, by {step} degrees"
            found[f"facing_{step}"] = by_angle(title, facing_deg(store.truth), np.arange(0, 181, step))
    found["head_size"] = _by_size(store)
    for name, values in store.attributes.items():
        categories, group = np.unique(values, return_inverse=True)
        if len(categories) <= MAX_CATEGORIES:
            labels = [str(category) or "(not given)" for category in categories]
            found[f"attribute_{name}"] = Breakdown(name.replace("_", " "), labels, group)
    return found


def by_angle(title: str, angle_deg: np.ndarray, edges: np.ndarray) -> Breakdown:
    """Divide heads by bins of an angle. Heads beyond the edges, which a front-range store may have, are in no bin."""
    last = len(edges) - 2
    group = np.searchsorted(edges, angle_deg, side="right") - 1
    group[angle_deg == edges[-1]] = last
    group[(angle_deg < edges[0]) | (angle_deg > edges[-1])] = -1
    labels = [f"{low:g}° to {high:g}°" for low, high in pairwise(edges)]
    return Breakdown(title, labels, group, edges)


def distance_to_frontal_deg(rotation: np.ndarray) -> np.ndarray:
    """Return the geodesic distance (N,), in degrees, of (N, 3, 3) rotations to a head that looks into the camera."""
    frontal = euler_to_matrix(torch.zeros(3, dtype=torch.float64))
    return geodesic_deg(torch.from_numpy(rotation).double(), frontal).numpy()


def view_direction(rotation: np.ndarray) -> np.ndarray:
    """Return (N, 3) unit vectors from the head to the camera, in head axes (subject's left, up, front)."""
    return -np.asarray(rotation, dtype=np.float64)[:, 2]


def facing_deg(rotation: np.ndarray) -> np.ndarray:
    """Return the angle (N,) between the nose and the camera: 0 degrees seen from the front, 180 from behind."""
    left, up, front = view_direction(rotation).T
    return np.degrees(np.arctan2(np.hypot(left, up), front))


def _sides(title: str, angle_deg: np.ndarray) -> Breakdown:
    bounds = (0, *SIDES_DEG, 180)
    labels = [f"{side} ({low}° to {high}°)" for side, low, high in zip(SIDE_NAMES, bounds, bounds[1:], strict=False)]
    return Breakdown(title, labels, np.digitize(angle_deg, SIDES_DEG))


def head_size_px(store: HeadStore) -> np.ndarray:
    """Return the sides (N,) of the heads' boxes in pixels of the source's pictures, measured as the crop rule does."""
    width, height = store.box[:, 2:].T
    side = np.maximum(width, height) if CROP_RULES[store.meta["protocol"]].by_extent else (width + height) / 2
    return side / store.scale


def _by_size(store: HeadStore) -> Breakdown:
    bounds = [0, *HEAD_SIZES_PX]
    labels = [f"{low} to {high} px" for low, high in pairwise(bounds)] + [f"{bounds[-1]} px or more"]
    return Breakdown("head size in the source", labels, np.digitize(head_size_px(store), HEAD_SIZES_PX))


def group_rows(
    breakdown: Breakdown, geodesic_deg: np.ndarray, frobenius: np.ndarray, euler_abs_deg: np.ndarray | None
) -> list[dict[str, Any]]:
    """Return a row of numbers for each group that has heads, with the interval of its mean geodesic error."""
    rows = []
    for label, members in breakdown.members():
        error = geodesic_deg[members]
        row = {
            "label": label,
            "count": len(members),
            "geodesic_mean_deg": float(error.mean()),
            "geodesic_interval_deg": interval(bootstrap(error[:, None])[0][:, 0]),
            "geodesic_median_deg": float(np.median(error)),
            "frobenius_mean": float(frobenius[members].mean()),
        }
        if euler_abs_deg is not None:
            row["euler_mae_deg"] = float(euler_abs_deg[members].mean())
        rows.append(row)
    return rows
