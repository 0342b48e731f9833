"""Several labeled stores as one, for training: ``--train_labeled A:3 B:1`` with weights of sampling and offsets.

Sets disagree about which pose is frontal. An offset is a constant rotation w of the head's own frame, right-multiplied
on all labels of a set: R' = R exp([w]), where w is a rotation vector in degrees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy.spatial.transform import Rotation

from semiuhpe.data.identities import IDENTITY, identity_names
from semiuhpe.data.stores import HeadStore, SceneStore
from semiuhpe.data.stores.scenes import SceneHeads
from semiuhpe.errors import ConfigError, StoreError, require

NO_OFFSET = "none"
"""What ``--label_offset`` says of a set whose labels stay as they are."""


@dataclass(frozen=True)
class LabeledSet:
    """One set of ``--train_labeled``.

    Attributes:
        name: a dataset's name, or the path of a store.
        weight: of sampling, positive; None if heads are drawn as if all sets were one.
        offset_deg: rotation vector in degrees, in the head's frame; None if labels stay as they are.
    """

    name: str
    weight: float | None = None
    offset_deg: tuple[float, float, float] | None = None

    @property
    def offset(self) -> np.ndarray | None:
        """(3, 3) float64 rotation that is right-multiplied on the labels."""
        if self.offset_deg is None:
            return None
        return np.asarray(Rotation.from_rotvec(self.offset_deg, degrees=True).as_matrix())


def labeled_sets(words: Sequence[str], offsets: Sequence[str] = ()) -> list[LabeledSet]:
    """Return the sets that the words of ``--train_labeled`` and ``--label_offset`` describe.

    A word that is the path of something is that path, even with a colon and a number at its end.

    Raises:
        ConfigError: a weight is not positive, only some sets have one, or offsets don't fit the sets.
    """
    named = [_name_and_weight(word) for word in words]
    names = [name for name, _ in named]
    require(len(set(names)) == len(names), f"--train_labeled {' '.join(words)}: names a set twice; name each once")
    require(
        len({weight is None for _, weight in named}) <= 1,
        f"--train_labeled {' '.join(words)}: only some sets have a weight; give all of them one, or none",
    )
    turned = _offsets(offsets, len(named)) if offsets else [None] * len(named)
    return [LabeledSet(name, weight, offset) for (name, weight), offset in zip(named, turned, strict=True)]


def _name_and_weight(word: str) -> tuple[str, float | None]:
    name, colon, text = word.rpartition(":")
    if not (colon and name):
        return word, None
    try:
        weight = float(text)
    except ValueError:
        return word, None  # the colon is a part of the path
    if Path(word).exists():
        require(
            not Path(name).exists(),
            f"--train_labeled {word}: is a path, and so is {name}; name the weight too, as in {word}:1, or rename one",
        )
        return word, None
    require(
        math.isfinite(weight) and weight > 0.0, f"--train_labeled {word}: the weight {text} has to be a positive number"
    )
    return name, weight


def _offsets(words: Sequence[str], count: int) -> list[tuple[float, float, float] | None]:
    said = f"--label_offset {' '.join(words)}"
    form = f"give `{NO_OFFSET}`, or three numbers in degrees, for each of the {count} sets of --train_labeled"
    found: list[tuple[float, float, float] | None] = []
    left = list(words)
    while left:
        if left[0] == NO_OFFSET:
            found.append(None)
            del left[0]
            continue
        try:
            x, y, z = map(float, left[:3])
        except ValueError:
            raise ConfigError(f"{said}: {' '.join(left[:3])} is no rotation vector; {form}") from None
        require(math.isfinite(x + y + z), f"{said}: has a number that is not finite; {form}")
        found.append((x, y, z))
        del left[:3]
    require(len(found) == count, f"{said}: has {len(found)} offsets; {form}")
    return found


class _Joined:
    """What joined stores of heads and of scenes share: the sets, and where each item of a view lies in them.

    Attributes:
        sets: what the options say of each.
        parts: the store of each.
        part: (N,) the number of the set of each item.
        row: (N,) its position in the store of its set.
    """

    agreeing: ClassVar[tuple[str, ...]]
    """The keys of the stores' meta that have to be the same in all."""
    sets: Sequence[LabeledSet]
    part: np.ndarray
    row: np.ndarray

    def _agree(self, stores: Sequence[HeadStore] | Sequence[SceneStore]) -> None:
        first = stores[0]
        for store in stores[1:]:
            for key in self.agreeing:
                if store.meta[key] != first.meta[key]:
                    raise StoreError(
                        f"--train_labeled: {first.path} and {store.path} differ in {key} ({first.meta[key]!r} and "
                        f"{store.meta[key]!r}), so they can't be trained on together; make one of them again"
                    )

    def _locate(self, stores: Sequence[HeadStore] | Sequence[SceneStore]) -> tuple[np.ndarray, np.ndarray]:
        sizes = [len(store) for store in stores]
        return np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])

    @property
    def members(self) -> list[np.ndarray]:
        """The positions of each set's items in this view."""
        return [np.flatnonzero(self.part == number) for number in range(len(self.sets))]

    @property
    def shares(self) -> np.ndarray | None:
        """(K,) share of each set in a batch, in expectation; None if items are drawn as if all sets were one."""
        weights = [each.weight for each in self.sets if each.weight is not None]
        return np.array(weights) / sum(weights) if len(weights) == len(self.sets) > 1 else None

    def check_filled(self) -> None:
        """Raise StoreError if nothing is left of a set in this view."""
        for each, members in zip(self.sets, self.members, strict=True):
            if not len(members):
                raise StoreError(f"--train_labeled {each.name}: nothing of this set is left to train on; leave it out")

    def _lines(self, heads: Sequence[int]) -> list[str]:
        """Return a line for the log about each set, of so many heads."""
        members = np.array([len(each) for each in self.members])
        shares = members / members.sum() if self.shares is None else self.shares
        lines = []
        for each, count, share in zip(self.sets, heads, shares, strict=True):
            weight = "no weight" if each.weight is None else f"weight {each.weight:g}"
            line = f"Labeled set {each.name}: {count} heads, {weight}, {share:.1%} of what is drawn"
            if each.offset_deg is not None:
                line += f"; labels turned by ({', '.join(f'{angle:g}' for angle in each.offset_deg)}) degrees"
            lines.append(f"{line}.")
        return lines


def _path(stores: Sequence[HeadStore] | Sequence[SceneStore]) -> Path:
    return Path(" + ".join(str(store.path) for store in stores))


def _meta(stores: Sequence[HeadStore] | Sequence[SceneStore]) -> dict:
    return stores[0].meta | {
        "dataset": " + ".join(dict.fromkeys(store.meta["dataset"] for store in stores)),
        "count": sum(len(store) for store in stores),
        "size": max(store.size for store in stores),
    }


class JoinedHeads(_Joined, HeadStore):
    """Several labeled head stores as one.

    Its attributes are those of :class:`HeadStore`, with labels turned by the offsets. Euler angles are known if all
    stores have them and no labels are turned; of further attributes, those that all stores have, and ``identity``.

    Raises:
        StoreError: a store has no labels, or the stores differ in what training needs to be the same.
    """

    agreeing = ("full_range", "protocol", "loose")

    def __init__(self, sets: Sequence[LabeledSet], parts: Sequence[HeadStore]):
        self._agree(parts)
        self.sets, self.parts = sets, parts
        self.path, self.meta = _path(parts), _meta(parts)
        self.part, self.row = self._locate(parts)
        self.indices = np.arange(len(self.part))
        self.names = np.concatenate([store.names for store in parts])
        self.box, self.bounds, self.scale = (
            np.concatenate([getattr(store, name) for store in parts]) for name in ("box", "bounds", "scale")
        )
        self.rotation = np.concatenate(
            [turned(store.truth, each.offset) for each, store in zip(sets, parts, strict=True)]
        )
        eulers = [store.euler_deg for store in parts if store.euler_deg is not None]
        known = len(eulers) == len(parts) and not any(each.offset_deg for each in sets)
        self.euler_deg = np.concatenate(eulers) if known else None
        self.landmarks68 = self.landmark_extent = None
        common = set.intersection(*(set(store.attributes) for store in parts))
        self.attributes = {key: np.concatenate([store.attributes[key] for store in parts]) for key in sorted(common)}
        self.attributes[IDENTITY] = np.concatenate([identity_names(store) for store in parts])

    def encoded(self, index: int) -> bytes:
        return self.parts[self.part[index]].encoded(int(self.row[index]))

    def encoded_bytes(self) -> np.ndarray:
        sizes = [store.encoded_bytes() for store in self.parts]
        return np.array([sizes[part][row] for part, row in zip(self.part, self.row, strict=True)], np.int64)

    def view(self, indices: Sequence[int] | np.ndarray) -> Self:
        chosen = np.asarray(indices, dtype=np.int64)
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        for name in ("part", "row", "indices", "names", "box", "bounds", "scale", "rotation", "euler_deg"):
            values = getattr(self, name)
            setattr(view, name, None if values is None else values[chosen])
        view.attributes = {key: values[chosen] for key, values in self.attributes.items()}
        return view

    @property
    def set_lines(self) -> list[str]:
        """A line for the log about each set."""
        return self._lines([len(members) for members in self.members])


class JoinedScenes(_Joined, SceneStore):
    """Several scene stores as one, with labels turned by the offsets.

    Raises:
        StoreError: the stores differ in what training needs to be the same.
    """

    agreeing = ("full_range",)

    def __init__(self, sets: Sequence[LabeledSet], parts: Sequence[SceneStore]):
        self._agree(parts)
        self.sets, self.parts = sets, parts
        self.path = _path(parts)
        self.meta = _meta(parts) | {"heads": sum(store.meta["heads"] for store in parts)}
        self.part, self.row = self._locate(parts)
        self.indices = np.arange(len(self.part))
        self.names, self.extent, self.turn_deg = (
            np.concatenate([getattr(store, name) for store in parts]) for name in ("names", "extent", "turn_deg")
        )

    def heads(self, index: int) -> SceneHeads:
        part = self.part[index]
        heads = self.parts[part].heads(int(self.row[index]))
        return SceneHeads(**(vars(heads) | {"rotation": turned(heads.rotation, self.sets[part].offset)}))

    def encoded(self, index: int) -> bytes:
        return self.parts[self.part[index]].encoded(int(self.row[index]))

    def encoded_bytes(self) -> np.ndarray:
        sizes = [store.encoded_bytes() for store in self.parts]
        return np.array([sizes[part][row] for part, row in zip(self.part, self.row, strict=True)], np.int64)

    def view(self, indices: Sequence[int] | np.ndarray) -> Self:
        chosen = np.asarray(indices, dtype=np.int64)
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        for name in ("part", "row", "indices", "names", "extent", "turn_deg"):
            setattr(view, name, getattr(self, name)[chosen])
        return view

    @property
    def most_heads(self) -> int:
        return max(store.most_heads for store in self.parts)

    @property
    def set_lines(self) -> list[str]:
        """A line for the log about each set."""
        return self._lines([
            sum(len(self.heads(position)) for position in members) for members in self.members
        ])  # fmt: skip


def turned(rotation: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return (N, 3, 3) rotations, each right-multiplied by a (3, 3) offset, in their own type."""
    return rotation if offset is None else (rotation.astype(np.float64) @ offset).astype(rotation.dtype)


def joined_heads(sets: Sequence[LabeledSet], stores: Sequence[HeadStore]) -> HeadStore:
    """Return the stores of all sets as one; a single store whose labels stay as they are is returned itself."""
    return stores[0] if len(stores) == 1 and not sets[0].offset_deg else JoinedHeads(sets, stores)


def joined_scenes(sets: Sequence[LabeledSet], stores: Sequence[SceneStore]) -> SceneStore:
    """Return what :func:`joined_heads` does, of scenes."""
    return stores[0] if len(stores) == 1 and not sets[0].offset_deg else JoinedScenes(sets, stores)


def set_lines(store: HeadStore | SceneStore) -> list[str]:
    """Return lines for the log about the sets of a store; none if it is a single one as it lies on disk."""
    return store.set_lines if isinstance(store, JoinedHeads | JoinedScenes) else []


def check_filled(store: HeadStore | SceneStore) -> None:
    """Raise StoreError if nothing is left of one of the sets of a view."""
    if isinstance(store, JoinedHeads | JoinedScenes):
        store.check_filled()
