"""People's heads: a mean, identities of all ages, sexes and ancestries, expressions, regions and landmarks.

The data are `heads.npz` beside this module, which `tools/bake_heads.py` makes of MakeHuman's (CC0; `heads_notice.md`,
docs/heads.md). A head is ``basis.shape(coefficients) + basis.express(actions)``:

>>> basis = HeadBasis.load()
>>> rng = np.random.default_rng(1)
>>> vertices = basis.shape(basis.random_shape(rng)) + basis.express({"jawOpen": 0.5, "mouthSmileLeft": 0.8})

Head axes: x to the subject's left, y up, z out of the face. They are those of 300W-LP's labels: each head is turned so
that its 68 landmarks lie along AFLW2000's. The origin lies between the ears at the height of the eyes; 1 unit is 10 cm.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semiuhpe.errors import ConfigError, DataError, did_you_mean

HEADS = Path(__file__).with_name("heads.npz")
VERSION = 1

B = TypeVar("B")
Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


@dataclass(frozen=True)
class Person:
    """A person that was drawn.

    Attributes:
        coefficients: (K,), for :meth:`HeadBasis.shape`.
        age: years, from 1 to 85.
        female: from 0, a man, to 1, a woman; few are in between.
        ancestry: (3,), shares of African, Asian and European ancestors, of the sum 1.
    """

    coefficients: Floats
    age: float
    female: float
    ancestry: Floats


@dataclass(frozen=True, eq=False)
class HeadBasis:
    """All heads, as a mean and what may be added to it. Arrays are read-only.

    Attributes:
        mean: (N, 3), the vertices of the mean person without expression.
        components: (K, N, 3), principal components of identity; coefficients of people have about unit variance.
        triangles: (M, 3), counter-clockwise seen from outside, so normals point outward.
        uv: (U, 2), texture coordinates from 0 to 1, origin at the lower left.
        uv_vertices: (U,), the vertex that each of them belongs to; vertices on a seam have several.
        uv_triangles: (M, 3), the triangles as indices of ``uv``. ``vertices[uv_vertices]`` with these is a textured
            mesh.
        regions: names of regions and their vertices. A vertex may be in several, or in none.
        landmarks: (68,), the vertices of the 68 landmarks in iBUG's order.
        mirror: (N,), the vertex on the other side of the head.
        action_names: the 52 facial actions, by ARKit's names.
        traits: (P, 5), of the sampled people: years, female, and the shares of African, Asian and European ancestors.
        figures: how many people the file was made of, and how near it comes to others.
    """

    mean: Floats
    components: Floats
    triangles: Indices
    uv: Floats
    uv_vertices: Indices
    uv_triangles: Indices
    regions: Mapping[str, Indices]
    landmarks: Indices
    mirror: Indices
    action_names: tuple[str, ...]
    traits: Floats
    figures: Mapping[str, float]
    _actions: Floats  # (52, N, 3)
    _people: Floats  # (P, K), coefficients without details
    _details: Floats  # (K, K), standard normal numbers to what makes people of the same traits differ

    @staticmethod
    def load(path: str | Path | None = None) -> "HeadBasis":
        """Read a file of heads.

        Args:
            path: the file; without it that of the package, which is read once per process.

        Raises:
            DataError: the file is missing, damaged, or of another version.
        """
        return _packaged() if path is None else _read(Path(path))

    def shape(self, coefficients: ArrayLike) -> Floats:
        """Return the vertices (N, 3) of the person with these ``coefficients`` (K,), without expression.

        Raises:
            ConfigError: the coefficients are not K finite numbers.
        """
        values = _finite(coefficients, len(self.components), "coefficients")
        return self.mean + np.tensordot(values, self.components, 1)

    def express(self, actions: Mapping[str, float] | ArrayLike) -> Floats:
        """Return what an expression adds to the vertices of any person, (N, 3).

        Args:
            actions: how much of each facial action, from 0 to 1: by name, or (52,) in the order of `action_names`.

        Raises:
            ConfigError: an action is unknown, or amounts are not finite numbers, 52 of them without names.
        """
        values = np.zeros(len(self.action_names), np.float32)
        if isinstance(actions, Mapping):
            amounts = _finite(list(actions.values()), len(actions), "actions")
            for name, amount in zip(actions, amounts, strict=True):
                if name not in self.action_names:
                    hint = did_you_mean(name, self.action_names) or "; HeadBasis.action_names lists them"
                    raise ConfigError(f"actions: there is no facial action {name!r}{hint}")
                values[self.action_names.index(name)] = amount
        else:
            values[:] = _finite(actions, len(values), "actions")
        used = np.flatnonzero(values)
        return np.tensordot(values[used], self._actions[used], 1)

    def random_person(self, rng: np.random.Generator, chances: Floats | None = None) -> Person:
        """Draw a person: the age, sex, ancestry and build of one of the sampled people, with a face of its own.

        Args:
            rng: the source of all random numbers.
            chances: (P,) of each of the sampled people, of the sum 1; all the same without it.
        """
        index = int(rng.choice(len(self._people), p=chances))
        details = rng.standard_normal(len(self._details)).astype(np.float32) @ self._details
        years, female, *ancestry = self.traits[index]
        return Person(self._people[index] + details, float(years), float(female), np.array(ancestry, np.float32))

    def random_shape(self, rng: np.random.Generator) -> Floats:
        """Draw the coefficients (K,) of a person."""
        return self.random_person(rng).coefficients

    def landmarks68(self, vertices: ArrayLike | None = None) -> Floats:
        """Return the 68 landmarks (68, 3) of a head's ``vertices`` (N, 3), or of the mean head."""
        return self.mean[self.landmarks] if vertices is None else np.asarray(vertices, np.float32)[self.landmarks]


def landmarks68() -> Floats:
    """Return the 68 landmarks (68, 3) of the mean head in iBUG's order, in head axes and units of 10 cm."""
    return HeadBasis.load().landmarks68()


@cache
def _packaged() -> HeadBasis:
    return _read(HEADS)


def _read(path: Path) -> HeadBasis:
    return read_basis(path, "heads", VERSION, _unpack)


def read_basis(path: Path, kind: str, reads: int, unpack: Callable[[Mapping[str, NDArray[Any]]], B]) -> B:
    """Read a file of ``"heads"`` or ``"bodies"`` of the version that the program ``reads``.

    Args:
        path: the file.
        kind: what it has.
        reads: the version.
        unpack: makes the result of the file's arrays.

    Raises:
        DataError: the file is missing, damaged, of another version, or lacks arrays.
    """
    arrays = _read_arrays(path, kind, reads)
    try:
        return unpack(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path}: lacks data of {kind}, or they don't agree ({error}); {_remedy(kind)}") from error


def _remedy(kind: str) -> str:
    return f"install the package anew, or make the file with tools/bake_{kind}.py"


def _read_arrays(path: Path, kind: str, reads: int) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file of {kind}; {_remedy(kind)}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        OSError,
        ValueError,
        EOFError,
        TypeError,
        AttributeError,
        NotImplementedError,
        BadZipFile,
        SyntaxError,
        TokenError,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: is damaged or no file of {kind}; {_remedy(kind)}") from error
    version = arrays.get("version")
    if version is None or version.shape or version != reads:
        found = "none" if version is None else version.tolist()
        raise DataError(f"{path}: its format version is {found}, and this program reads {reads}; {_remedy(kind)}")
    return arrays


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> HeadBasis:
    mean = arrays["mean"].astype(np.float32)
    count = len(mean)
    components = arrays["components"] * arrays["component_steps"][:, None, None].astype(np.float32)
    moved = _lists(arrays, "action", count)
    actions = np.zeros((len(moved), *mean.shape), np.float32)
    moves = _split(arrays["action_offsets"] * arrays["action_step"], arrays["action_lengths"])
    for action, vertices, move in zip(actions, moved.values(), moves, strict=True):
        action[vertices] = move
    uv = (arrays["uv"] / 65535).astype(np.float32)
    basis = HeadBasis(
        mean=mean,
        components=components.astype(np.float32),
        triangles=_indices(arrays["triangles"], count),
        uv=uv,
        uv_vertices=_indices(arrays["uv_vertices"], count),
        uv_triangles=_indices(arrays["uv_triangles"], len(uv)),
        regions=_lists(arrays, "region", count),
        landmarks=_indices(arrays["landmarks"], count),
        mirror=_indices(arrays["mirror"], count),
        action_names=tuple(moved),
        figures=json.loads(str(arrays["figures"])),
        _actions=actions,
        _people=arrays["people"].astype(np.float32),
        traits=arrays["traits"].astype(np.float32),
        _details=arrays["details"].astype(np.float32),
    )
    size = len(components)
    shapes = (
        basis.landmarks.shape,
        mean.shape[1:],
        components.shape[1:],
        basis._people.shape[1:],
        basis._details.shape,
    )
    if shapes != ((68,), (3,), mean.shape, (size,), (size, size)) or basis.traits.shape != (len(basis._people), 5):
        raise ValueError("shapes of arrays")
    for array in (basis.mean, basis.uv, basis.components, basis._actions, basis._people, basis.traits, basis._details):
        if not np.isfinite(array).all():
            raise ValueError("numbers that are not finite")
        array.flags.writeable = False
    return basis


def _lists(arrays: Mapping[str, NDArray[Any]], kind: str, count: int) -> dict[str, Indices]:
    vertices = _split(_indices(arrays[f"{kind}_vertices"], count), arrays[f"{kind}_lengths"])
    return dict(zip(arrays[f"{kind}_names"].tolist(), vertices, strict=True))


def _split(values: NDArray[Any], lengths: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the lists that ``values`` holds one after the other."""
    if lengths.sum() != len(values):
        raise ValueError("lengths of lists")
    return np.split(values, np.cumsum(lengths)[:-1])


def _indices(array: NDArray[Any], count: int) -> Indices:
    if array.size and not 0 <= array.min() <= array.max() < count:
        raise ValueError("an index that is out of range")
    indices = array.astype(np.int32)
    indices.flags.writeable = False
    return indices


def _finite(values: ArrayLike, count: int, name: str) -> Floats:
    """Return ``count`` finite numbers as float32."""
    try:
        numbers = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: must be {count} numbers") from None
    if numbers.shape != (count,):
        raise ConfigError(f"{name}: must be {count} numbers, got an array of shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ConfigError(f"{name}: must be finite, but {np.flatnonzero(~np.isfinite(numbers)).tolist()} are not")
    return numbers
