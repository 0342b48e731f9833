"""Results of an evaluation: a JSON file with all numbers, and an .npz file with the errors of each head.

``eval_SET.json`` contains ``checkpoint`` (with its SHA-256), ``run`` (the settings of training), ``store``,
``settings`` of the evaluation, and by role (``student``, ``teacher``, or ``model``, of a network of others):
``results`` (means over all heads), ``intervals`` (95 percent, bootstrap), ``alignment`` (errors without a constant
rotation), ``paper`` (the paper's arithmetic), ``calibration``, ``reliability`` (whether the radii of a calibrated model
hold the truth), ``breakdowns`` and ``worst``, the hundred heads with the largest geodesic errors. ``eval_SET.npz``
contains arrays over all heads: ``names``; the true ``rotation``; by role, such as ``teacher_rotation``, the prediction,
its ``entropy``, ``confidence`` and errors; and by break-down, such as ``group_yaw``, the number of each head's group in
the JSON file's ``divisions``, -1 for none. If heads were also turned in plane, ``in_plane_deg`` is the angle of each,
and ``teacher_in_plane_error_deg`` its error after turning.

Evaluations of whole scenes have those of these parts that make sense; :mod:`semiuhpe.evaluation.scene_results`
describes their further parts.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiuhpe import files
from semiuhpe.data.stores import HeadStore
from semiuhpe.data.stores.base import SCENES
from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.errors import DataError
from semiuhpe.evaluation import bootstrap
from semiuhpe.evaluation.alignment import alignment
from semiuhpe.evaluation.breakdowns import breakdowns, group_rows
from semiuhpe.evaluation.calibration import calibration, confidences, credible_level
from semiuhpe.evaluation.conformal import coverage_of_radii
from semiuhpe.evaluation.metrics import QUANTILES, averaged_columns
from semiuhpe.evaluation.paper_protocol import paper_summary
from semiuhpe.evaluation.predict import Evaluation
from semiuhpe.evaluation.provenance import FORMAT_VERSION, provenance, store_facts
from semiuhpe.evaluation.transformed_store import TurnedStore
from semiuhpe.files import parse_json
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.reliability import Reliability

WORST_HEADS = 100
GROUP = "group_"
_ERRORS = ("geodesic_deg", "frobenius", "axis_deg")  # in every evaluation
_SCENE_SHAPES = {"rotation": (3, 3), "axis_deg": (3,), "euler_abs_deg": (3,)}
IN_PLANE, IN_PLANE_ERROR = "in_plane_deg", "in_plane_error_deg"
HEADS_PROTOCOL = "heads_protocol"
"""Of the settings of an evaluation: the name of the protocol that says which heads are evaluated."""
SCENE_ROLE = "student"
"""The role in a one-stage checkpoint that is evaluated."""
ALL = "all"
"""Key of the results of scenes over all heads to be found."""


@dataclass(frozen=True)
class Results:
    """The results of an evaluation on one store.

    Attributes:
        summary: contents of the JSON file.
        heads: (N, ...) arrays of the .npz file; may be empty for scenes.
    """

    summary: dict[str, Any]
    heads: dict[str, np.ndarray]

    @property
    def models(self) -> list[str]:
        return list(self.summary["results"])

    @property
    def of_scenes(self) -> bool:
        """Whether whole scenes were evaluated, and not head crops."""
        return self.summary.get("kind") == SCENES


@dataclass(frozen=True)
class InPlaneErrors:
    """Errors of the same heads, each turned in plane by a different angle.

    Attributes:
        angle_deg: (N,) angles in degrees.
        geodesic_deg: (N,) geodesic errors in degrees, by role.
    """

    angle_deg: np.ndarray
    geodesic_deg: dict[str, np.ndarray]

    @classmethod
    def of(cls, store: TurnedStore, evaluations: Mapping[str, Evaluation]) -> "InPlaneErrors":
        errors = {name: found.errors["geodesic_deg"].numpy() for name, found in evaluations.items()}
        return cls(store.motion.angle_deg.numpy(), errors)


def collect(
    evaluations: Mapping[str, Evaluation],
    store: HeadStore,
    description: Description,
    checkpoint: Path,
    settings: Mapping[str, Any],
    in_plane: InPlaneErrors | None = None,
    reliability: Mapping[str, Reliability | None] | None = None,
) -> Results:
    """Return all results of an evaluation.

    Args:
        evaluations: evaluations of the models on the store, by role.
        store: the labeled store.
        description: the description of the models.
        checkpoint: the file of the models.
        settings: settings of the evaluation as plain values, including ``test_set``.
        in_plane: errors of turned heads, if requested.
        reliability: of the models that are calibrated, by role.
    """
    divisions = breakdowns(store)
    truth = torch.from_numpy(store.truth)
    euler = None if store.euler_deg is None else torch.from_numpy(store.euler_deg)
    full_range = store.meta["full_range"]
    facts = {"path": str(store.path), "heads": len(store), **store_facts(store)}
    resampling = {"bootstrap": {"resamples": bootstrap.RESAMPLES, "seed": bootstrap.SEED}}
    summary = provenance(checkpoint, description, store.path, facts, {**settings, **resampling})
    summary["divisions"] = {key: {"title": found.title, "labels": found.labels} for key, found in divisions.items()}
    parts = ("results", "intervals", "alignment", "paper", "calibration", "reliability", "breakdowns", "worst")
    summary |= {part: {} for part in parts}
    heads: dict[str, np.ndarray] = {"names": store.names, "rotation": store.truth}
    heads |= {f"{GROUP}{key}": division.group for key, division in divisions.items()}
    for name, found in evaluations.items():
        geodesic = found.errors["geodesic_deg"].numpy()
        level = credible_level(description.distribution, found.parameter, truth)
        arrays = head_arrays(found, description.distribution, None if level is None else level.numpy())
        if known := (reliability or {}).get(name):
            within = known.within_90_deg(found.rotation, torch.from_numpy(arrays["entropy"])).numpy()
            arrays["within_90_deg"] = within
            held = coverage_of_radii(within, geodesic, store.truth, known.reliable_deg)
            summary["reliability"][name] = held
        heads |= {f"{name}_{key}": values for key, values in arrays.items()}
        columns = {key: column.numpy() for key, column in averaged_columns(found.errors).items()}
        summary["results"][name] = found.summary
        summary["intervals"][name] = bootstrap.intervals(columns, geodesic, QUANTILES)
        summary["alignment"][name] = alignment(found.rotation, truth)
        summary["paper"][name] = paper_summary(found.rotation, truth, euler, full_range)
        summary["calibration"][name] = calibration(
            arrays["entropy"], arrays["confidence"], geodesic, arrays.get("credible_level")
        )
        summary["breakdowns"][name] = {
            key: {
                "title": division.title,
                "groups": group_rows(division, geodesic, arrays["frobenius"], arrays.get("euler_abs_deg")),
            }
            for key, division in divisions.items()
        }
        summary["worst"][name] = worst_heads(store, found, arrays["entropy"])
    if in_plane:
        heads[IN_PLANE] = in_plane.angle_deg
        heads |= {f"{name}_{IN_PLANE_ERROR}": errors for name, errors in in_plane.geodesic_deg.items()}
    return Results(summary, heads)


def head_arrays(found: Evaluation, distribution: str, level: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return prediction and errors of each head, as (N, ...) arrays; entropy and confidence may be NaN."""
    confidence = confidences(distribution, found.parameter).numpy()
    entropy = found.entropy.numpy().astype(np.float64)
    if distribution in POINT_ESTIMATES:
        entropy = np.full_like(entropy, np.nan)
    arrays = {"rotation": found.rotation.numpy(), "entropy": entropy, "confidence": confidence}
    arrays |= {name: error.numpy() for name, error in found.errors.items()}
    return arrays if level is None else arrays | {"credible_level": level}


def worst_heads(store: HeadStore, found: Evaluation, entropy: np.ndarray) -> list[dict[str, Any]]:
    """Return the heads with the largest geodesic errors, worst first, with their names, errors and entropies."""
    geodesic = found.errors["geodesic_deg"]
    chosen = torch.argsort(geodesic, descending=True, stable=True)[:WORST_HEADS].tolist()
    rows = []
    for position in chosen:
        row = {
            "index": int(store.indices[position]),
            "name": str(store.names[position]),
            "geodesic_deg": float(geodesic[position]),
            "frobenius": float(found.errors["frobenius"][position]),
            "entropy": None if np.isnan(entropy[position]) else float(entropy[position]),
        }
        if "euler_abs_deg" in found.errors:
            row["euler_abs_deg"] = found.errors["euler_abs_deg"][position].tolist()
        rows.append(row)
    return rows


def write_results(results: Results, path: Path) -> None:
    """Write the JSON file and, with the same stem, the .npz file, each atomically.

    Raises:
        DataError: a file can't be written.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, **results.heads)  # type: ignore[arg-type]  # none is named allow_pickle
    write_result(path.with_suffix(".npz"), packed.getvalue())
    write_result(path, (json.dumps(results.summary, indent=1, allow_nan=False) + "\n").encode())


def write_result(path: Path, content: bytes) -> None:
    """Write a file as :func:`semiuhpe.files.atomic_write` does; raise DataError if it can't be written."""
    try:
        files.atomic_write(path, content)
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror})") from error


def read_summary(path: Path) -> dict[str, Any]:
    """Read the JSON file of an evaluation.

    Raises:
        DataError: the file is missing, broken, or of another format version.
    """
    try:
        summary = parse_json(path.read_text(encoding="utf-8"))
        version = summary["format_version"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; eval.py writes it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a result of eval.py; run eval.py again") from error
    if version != FORMAT_VERSION:
        raise DataError(f"{path}: has format {version}, this program reads {FORMAT_VERSION}; run eval.py again")
    if fault := _fault(summary):
        raise DataError(f"{path}: is damaged ({fault}); run eval.py again")
    return summary


def _fault(summary: Mapping[str, Any]) -> str:
    """Return what is wrong with the parts of a summary that tables read, such as a missing part; empty if nothing."""
    of_scenes = summary.get("kind") == SCENES
    means_of = ("results",) if of_scenes else ("results", "paper")
    for part in ("store", "settings", *means_of):
        if not isinstance(summary.get(part), dict):
            return f"it has no {part}"
    store, run = summary["store"], summary.get("run")
    if not (
        isinstance(store.get("dataset"), str) and isinstance(store.get("split"), str) and _is_number(store, "heads")
    ):
        return "its store has no dataset, split or number of heads"
    if run is not None and not isinstance(run, dict):
        return "its run is not a mapping of settings"
    for part in means_of:
        for name, means in summary[part].items():
            known = isinstance(means, dict) and all(
                _is_number(means, key) or (of_scenes and means[key] is None) for key in means
            )
            if not known:
                return f"{part} of the {name} are not numbers"
    return ""


def _is_number(values: Mapping[str, Any], name: str) -> bool:
    return isinstance(values.get(name), int | float) and -1e30 < values[name] < 1e30


def _comparable_fault(results: Results) -> str:
    """Return what is missing for a comparison of heads, in addition to :func:`_fault`; empty if nothing."""
    summary, heads = results.summary, results.heads
    path, divisions = summary.get("checkpoint"), summary.get("divisions")
    if not (
        isinstance(path, dict) and isinstance(path.get("path"), str) and isinstance(summary["store"].get("path"), str)
    ):
        return "it names no checkpoint or store"
    if results.of_scenes:
        return _scene_fault(results)
    if not (
        isinstance(divisions, dict) and all(isinstance(d, dict) and _texts(d.get("labels")) for d in divisions.values())
    ):
        return "it has no divisions"
    wanted = {"names": "U", "rotation": "f", **dict.fromkeys((f"{GROUP}{key}" for key in divisions), "iu")}
    for role in results.models:
        wanted |= {f"{role}_{error}": "f" for error in _ERRORS}
        wanted |= {name: "f" for name in heads if name == f"{role}_euler_abs_deg"}
    for name, kinds in wanted.items():
        if name not in heads or heads[name].dtype.kind not in kinds:
            return f"its heads have no {name}"
    if not _of_one_number(heads):
        return "its heads are not of one number"
    if not all(np.isfinite(heads[name]).all() for name, kinds in wanted.items() if kinds == "f"):
        return "its heads have numbers that are not finite"
    return ""


def _scene_fault(results: Results) -> str:
    """Return what is missing for a comparison of scenes; empty if nothing. All arrays may be missing."""
    summary, heads = results.summary, results.heads
    if not isinstance(summary["results"].get(ALL), dict) or not _is_number(summary["store"], "scenes"):
        return "it has no results of all heads, or no number of scenes"
    wanted = {"names": "U", "scene": "iu", "rotation": "f", "wanted": "b"}
    wanted |= {f"{SCENE_ROLE}_{error}": "f" for error in (*_ERRORS, "euler_abs_deg")}
    for name, kinds in wanted.items() if heads else ():
        if name not in heads or heads[name].dtype.kind not in kinds:
            return f"its heads have no {name}"
        if heads[name].shape[1:] != _SCENE_SHAPES.get(name.removeprefix(f"{SCENE_ROLE}_"), ()):
            return f"its heads have a {name} of the wrong shape"
    return "" if not heads or _of_one_number(heads) else "its heads are not of one number"


def _of_one_number(heads: Mapping[str, np.ndarray]) -> bool:
    """Return whether all arrays have the same number of heads, at least one."""
    count = len(np.atleast_1d(heads["names"]))
    return count > 0 and all(values.shape[:1] == (count,) for values in heads.values())


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def read_results(path: Path) -> Results:
    """Read the JSON and .npz file of an evaluation. Without the latter, results of scenes have no ``heads``.

    Raises:
        DataError: as for :func:`read_summary`, for either file, or something that a comparison needs is missing.
    """
    summary = read_summary(path)
    arrays = path.with_suffix(".npz")
    try:
        with np.load(arrays, allow_pickle=False) as heads:
            results = Results(summary, {name: heads[name] for name in heads.files})
    except FileNotFoundError as error:
        results = Results(summary, {})
        if not results.of_scenes:
            raise DataError(f"{arrays}: is missing; eval.py writes it beside {path.name}") from error
    except Exception as error:  # numpy and zipfile raise many types on broken files
        raise DataError(f"{arrays}: is broken ({error}); run eval.py again") from error
    if fault := _comparable_fault(results):
        raise DataError(f"{path}: can't be compared ({fault}); run eval.py again")
    return results
