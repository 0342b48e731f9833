"""The stores that an experiment uses, and the options that name them.

A dataset's name means the split that the option needs: the training split for ``--train_labeled``,
``--train_unlabeled`` and ``--generator``; for ``--test_set`` and ``--val_set`` the validation split, as in the paper,
or else the test split. A dataset without such a split has one store for all options. ``BIWI_masked``, ``BIWI_turned``
and ``BIWI_masked_turned`` name copies of a dataset's scenes, whose stores lie beside its own.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.labeled_sets import LabeledSet, check_filled, joined_heads, joined_scenes, labeled_sets, set_lines
from semiuhpe.data.splits import hold_out, split_store
from semiuhpe.data.stores import HeadStore, SceneStore, holds_scenes, is_store
from semiuhpe.errors import ConfigError, StoreError, did_you_mean, require
from semiuhpe.options import OptionGroup, option, option_family

logger = logging.getLogger(__name__)

_FOLDER = "folder"
_NO_DATASETS = (_FOLDER, "scenes")  # importers without a default store
COPIES = ("masked_turned", "masked", "turned")
"""Endings of the names of sets, such as ``BIWI_masked``: all heads of its scenes have masks, or are turned."""
_ONE_SET = ("BIWI", "EG3D")  # datasets whose splits may be different crops of the same heads
EVALUATION_ROLES = ("test_set", "val_set", "on", "check")
_TRAIN = "train"
_LISTS = ("train_labeled", "label_offset")
_LABEL_TOLERANCE = 1e-4
"""Tolerance of the entries of rotations of the same head."""


def datasets() -> tuple[str, ...]:
    """Return the names of datasets for ``--train_labeled``, ``--train_unlabeled``, ``--test_set`` and ``--val_set``."""
    return tuple(name for name in IMPORTERS if name not in _NO_DATASETS)


def default_store(dataset: str, split: str | None = None) -> str:
    """Return the default path of the store of a dataset's split; of its first split if None."""
    suffix = "" if split in (None, IMPORTERS[dataset].splits[0]) else f"_{split}"
    return f"data/{dataset}{suffix}.lmdb"


def copy_suffix(masked: float, turned: float) -> str:
    """Return the ending of the default name of a scene store that is masked or turned in all, or else no ending."""
    done = [name for name, share in (("masked", masked), ("turned", turned)) if share == 1.0]
    return "".join(f"_{name}" for name in done) if all(share in (0.0, 1.0) for share in (masked, turned)) else ""


def set_and_copy(name: str) -> tuple[str, str]:
    """Return the dataset that a name means and which copy of it: ``BIWI_masked`` is (``BIWI``, ``masked``).

    The copy of a dataset itself is empty, as is that of the path of a store.
    """
    if name not in datasets():
        for copy in COPIES:
            if (dataset := name.removesuffix(f"_{copy}")) in datasets():
                return dataset, copy
    return name, ""


@dataclass(frozen=True)
class ExperimentData:
    """The stores of a training run.

    ``unlabeled`` is None if no phase needs it. ``best`` is selected on ``selection``, which ``selected_on`` describes
    in words.
    """

    labeled: HeadStore
    unlabeled: HeadStore | None
    selection: HeadStore
    selected_on: str

    @property
    def pool(self) -> HeadStore:
        """The unlabeled heads, for a phase that needs them; raises ConfigError if they were not opened."""
        if self.unlabeled is None:
            raise ConfigError("--train_unlabeled: there are no unlabeled heads; name some")
        return self.unlabeled

    @property
    def log_lines(self) -> list[str]:
        """Lines for the log."""
        unlabeled = f", {len(self.unlabeled)} unlabeled" if self.unlabeled else ""
        counts = f"{len(self.labeled)} labeled heads{unlabeled}; selecting on {len(self.selection)} heads"
        return [counts, *set_lines(self.labeled), f"`best` is selected on {self.selected_on}."]


def _data_dirs() -> dict[str, tuple[str | None, str]]:
    """Return default and help text of the stores of each dataset and its further splits, by option name."""
    found: dict[str, tuple[str | None, str]] = {}
    for name in datasets():
        found[name] = default_store(name), f"store of {name}"
        for role in ("train_labeled", "test_set"):
            if split := _split(name, role):
                path = default_store(name, split)
                default = None if split == _TRAIN else path  # see store_path
                found[f"{name}_{split}"] = (
                    default,
                    f"store of {name}'s split {split}, for --{role} {name}; {path} if not given",
                )
    return found


@dataclass(frozen=True)
class DataOptions(OptionGroup, title="data"):
    """The options that name stores."""

    data_dir: Mapping[str, str | None] = option_family(_data_dirs, metavar="STORE")
    train_labeled: tuple[str, ...] | None = option(
        None, "labeled heads: a dataset's name, or a store; several with weights as A:3 B:1", metavar="DATASET"
    )
    label_offset: tuple[str, ...] | None = option(
        None, "turns labels: for each labeled set x y z in degrees, or none", metavar="DEGREES"
    )
    train_unlabeled: str | None = option(
        None, "unlabeled heads; the labeled set is split if named here", metavar="DATASET"
    )
    test_set: str | None = option(None, "heads to evaluate on", metavar="DATASET")
    val_set: str | None = option(None, "heads to select `best` on; the test set if not given", metavar="DATASET")
    val_split: float | None = option(
        None, "share of the labeled heads to hold out for selecting `best`", metavar="SHARE"
    )
    ss_ratio: float = option(1.0, "share of labeled heads if one dataset is split")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`OptionGroup.from_values` does; a single text in place of a list of sets is one set."""
        single = {name: (values[name],) for name in _LISTS if isinstance(values.get(name), str | Path)}
        return super().from_values({**values, **single})

    def values(self) -> dict[str, Any]:
        """Return what :meth:`OptionGroup.values` does; a list of one set is its text, as runs always saved it."""
        values = super().values()
        return values | {name: values[name][0] for name in _LISTS if len(values[name] or ()) == 1}

    @property
    def labeled_sets(self) -> list[LabeledSet]:
        """The sets of ``--train_labeled``; raises ConfigError if their weights or offsets are faulty."""
        require(bool(self.train_labeled) or not self.label_offset, "--label_offset: is for the sets of --train_labeled")
        return labeled_sets(self.train_labeled or (), self.label_offset or ())

    def named(self, role: str) -> str | None:
        """Return the name that an option gives; raises ConfigError if it names several labeled sets."""
        if role != "train_labeled":
            return getattr(self, role)
        sets = self.labeled_sets
        require(len(sets) <= 1, f"--train_labeled {' '.join(self.train_labeled or ())}: only one set can be used here")
        return sets[0].name if sets else None

    @property
    def selection_role(self) -> str:
        """The option that names the store on which, or on a part of which, `best` is selected."""
        if self.val_split is not None:
            return "train_labeled"
        return "val_set" if self.val_set else "test_set"


def store_path(data: DataOptions, role: str, name: str | None = None) -> Path:
    """Return the path of a store.

    Args:
        data: the options that name stores.
        role: the option that names the store.
        name: value of the option, if it is an option of a method.

    Raises:
        ConfigError: the option is not given.
    """
    name = name or data.named(role)
    if not name:
        raise ConfigError(f"--{role} is not given: name a dataset ({', '.join(datasets())}) or the path of a store")
    name, copy = set_and_copy(name)
    if copy:
        path = store_path(data, role, name)
        return path.with_name(f"{path.stem}_{copy}{path.suffix}")
    if name not in datasets():
        return Path(name)
    first, split = Path(data.data_dir.get(name) or default_store(name)), _split(name, role)
    if split is None:
        return first
    given = data.data_dir.get(f"{name}_{split}")
    if given is None and split == _TRAIN and is_store(first) and holds_scenes(first):
        return first  # scene stores have no tight crops
    return Path(given or default_store(name, split))


def _split(name: str, option: str) -> str | None:
    """Return the split of a dataset that an option needs; None if it is the dataset's first."""
    splits = IMPORTERS[name].splits
    wanted = ("val", "test") if option in EVALUATION_ROLES else (_TRAIN,)
    found = next((split for split in wanted if split in splits), splits[0])
    return None if found == splits[0] else found


def open_named(data: DataOptions, role: str, name: str | None = None, whole: bool = False) -> HeadStore:
    """Open the store that an option names; warn if a store for training has the tight crops of evaluation.

    Args:
        data, role, name: see :func:`store_path`.
        whole: it may hold whole pictures.

    Raises:
        StoreError: the store is missing, a raw dataset, or broken, or holds whole pictures that are of no use; the
            message names the command that makes it.
    """
    path, name = store_path(data, role, name), name or data.named(role) or ""
    _require_copy(role, name, path)
    if is_store(path):
        opened = HeadStore(path)
        if opened.whole and not whole:
            raise StoreError(
                f"--{role} {name}: {path} holds whole pictures, which only eval.py and `semiuhpe tables networks` "
                "crop; make a store without --whole"
            )
        if role not in EVALUATION_ROLES and not opened.meta["loose"]:
            logger.warning(
                "--%s %s: %s has the tight crops of evaluation, from which views of training can't be cut; name a "
                "store of `semiuhpe prepare --split %s`, or of `semiuhpe synth` without --test.",
                role, name, path, _TRAIN,
            )  # fmt: skip
        return opened
    if name in datasets():
        split = _split(name, role)
        suffix = f" --split {split}" if split else ""
        if not path.exists():
            remedy = f"make it with `semiuhpe prepare {name} --source RAW --out {path}{suffix}`"
            raise StoreError(f"--{role} {name}: there is no head store at {path}; {remedy}")
        store = default_store(name, split)
        key = f"data_dir_{name}" + (f"_{split}" if split else "")
        raise StoreError(
            f"--{key} {path}: is not a head store; if it is the raw {name}, run "
            f"`semiuhpe prepare {name} --source {path} --out {store}{suffix}` and pass --{key} {store}"
        )
    if path.exists():
        out = Path("data") / f"{path.stem}.lmdb"
        raise StoreError(
            f"--{role} {path}: is not a head store; make one with `semiuhpe prepare {_FOLDER} --source {path} "
            f"--out {out}`, or with the dataset's name in place of `{_FOLDER}`: {', '.join(datasets())}"
        )
    hint = did_you_mean(name, datasets())
    raise StoreError(f"--{role} {name}: is neither a dataset ({', '.join(datasets())}) nor a path that exists{hint}")


def open_scenes(data: DataOptions, role: str, name: str | None = None) -> SceneStore:
    """Open the scene store that an option names; arguments as :func:`store_path`.

    Raises:
        ConfigError, StoreError: the option is not given, or the store is missing or not one of scenes.
    """
    path = store_path(data, role, name)
    _require_copy(role, name or data.named(role) or "", path)
    return SceneStore(path)


def open_labeled_scenes(data: DataOptions) -> SceneStore:
    """Open the scene stores of ``--train_labeled`` as one.

    Raises:
        ConfigError, StoreError: none is given, one is missing or not one of scenes, or they don't fit together.
    """
    _require_labeled(data)
    sets = data.labeled_sets
    store = joined_scenes(sets, [open_scenes(data, "train_labeled", each.name) for each in sets])
    check_filled(store)
    return store


def _require_labeled(data: DataOptions) -> None:
    """Raise ConfigError as :func:`store_path` if no labeled set is given."""
    if not data.labeled_sets:
        store_path(data, "train_labeled")


def _require_copy(role: str, name: str, path: Path) -> None:
    """Raise StoreError, which says how to make it, if a masked or turned copy of a dataset is named but not there."""
    dataset, copy = set_and_copy(name)
    if copy and not path.exists():
        how = " ".join(f"--{part} 1" for part in copy.split("_"))
        raise StoreError(
            f"--{role} {name}: there is no scene store at {path}; make it with `semiuhpe prepare {dataset} --scenes "
            f"{how} --source RAW --out {path}`"
        )


def open_labeled(data: DataOptions, role: str, name: str | None = None, whole: bool = False) -> HeadStore:
    """Open a store as :func:`open_named` does; raise StoreError if its heads have no rotation."""
    store = open_named(data, role, name, whole)
    if store.rotation is None:
        raise StoreError(f"--{role} {name or data.named(role)}: {store.path} has no labels")
    return store


def _same_store(data: DataOptions) -> bool:
    """Return whether the labeled set is the unlabeled one too; raise ConfigError if it is one of several sets."""
    unlabeled, sets = store_path(data, "train_unlabeled").resolve(), data.labeled_sets
    same = [each for each in sets if store_path(data, "train_labeled", each.name).resolve() == unlabeled]
    require(
        not same or len(sets) == 1,
        f"--train_unlabeled {data.train_unlabeled}: is one of several labeled sets; name another, or one labeled set",
    )
    return bool(same)


def _check_apart(data: DataOptions, name: str, labeled: HeadStore) -> None:
    """Raise ConfigError if heads of a labeled set are in the test set too, by the paths or contents of the stores."""
    if not data.test_set:
        return
    test, named = store_path(data, "test_set"), f"--train_labeled {name}, --test_set"
    require(
        labeled.path.resolve() != test.resolve(),
        f"{named} {data.test_set}: both are the store {test}; name other heads to test on",
    )
    if is_store(test):
        common = _common_heads(labeled, HeadStore(test))
        require(
            common == 0,
            f"{named} {data.test_set}: {common} labeled heads of {labeled.path} are in {test} too; name other "
            "heads to test on",
        )


def _common_heads(one: HeadStore, other: HeadStore) -> int:
    """Return the number of heads that two stores have in common, for datasets whose splits may share heads."""
    dataset = one.meta["dataset"]
    if dataset not in _ONE_SET or dataset != other.meta["dataset"] or other.rotation is None:
        return 0
    _, mine, others = np.intersect1d(one.names, other.names, return_indices=True)
    return int((np.abs(one.truth[mine] - other.rotation[others]) < _LABEL_TOLERANCE).all(axis=(1, 2)).sum())


def open_training_data(data: DataOptions, needs_unlabeled: bool, seed: int) -> ExperimentData:
    """Open all stores of a run; the seed decides which heads ``val_split`` holds out.

    If labeled and unlabeled heads come from the same dataset, it is split by ``ss_ratio``; otherwise all of it is
    labeled.

    Raises:
        ConfigError, StoreError: a store is missing, has no labels or shares heads with the test set, or no heads are
            left to train on.
    """
    _require_labeled(data)
    sets = data.labeled_sets
    stores = [open_labeled(data, "train_labeled", each.name) for each in sets]
    for each, store in zip(sets, stores, strict=True):
        _check_apart(data, each.name, store)
    labeled = joined_heads(sets, stores)
    unlabeled = None
    if data.train_unlabeled and _same_store(data):
        labeled, unlabeled = split_store(labeled, data.ss_ratio)
    elif needs_unlabeled:
        unlabeled = open_named(data, "train_unlabeled")
    require(
        len(labeled) > 0,
        f"--ss_ratio {data.ss_ratio}: leaves no labeled head of {' '.join(data.train_labeled or ())}",
    )
    if needs_unlabeled:
        require(
            unlabeled is not None and len(unlabeled) > 0,
            f"--ss_ratio {data.ss_ratio} leaves no unlabeled head of {data.train_unlabeled}, but stage 2 "
            f"(--max_iteration beyond --stage1_iteration) needs some",
        )
    if data.val_split is not None:
        require(not data.val_set, "--val_split and --val_set: name one of them")
        labeled, selection = hold_out(labeled, data.val_split, seed)
        selected_on = f"{data.val_split:g} of the labeled heads, held out"
    elif data.val_set:
        selection, selected_on = open_labeled(data, "val_set"), f"the validation set {data.val_set}"
    else:
        selection = open_labeled(data, "test_set")
        selected_on = f"the test set {data.test_set}, as in the paper; --val_set or --val_split name others"
    check_filled(labeled)
    return ExperimentData(labeled, unlabeled if needs_unlabeled else None, selection, selected_on)
