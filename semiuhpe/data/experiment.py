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

import numpy as np

from semiuhpe.data.importers import IMPORTERS
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
        return [counts, f"`best` is selected on {self.selected_on}."]


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
    train_labeled: str | None = option(None, "labeled heads: a dataset's name, or a store", metavar="DATASET")
    train_unlabeled: str | None = option(
        None, "unlabeled heads; the labeled set is split if named here", metavar="DATASET"
    )
    test_set: str | None = option(None, "heads to evaluate on", metavar="DATASET")
    val_set: str | None = option(None, "heads to select `best` on; the test set if not given", metavar="DATASET")
    val_split: float | None = option(
        None, "share of the labeled heads to hold out for selecting `best`", metavar="SHARE"
    )
    ss_ratio: float = option(1.0, "share of labeled heads if one dataset is split")

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
    name = name or getattr(data, role)
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
    path, name = store_path(data, role, name), name or getattr(data, role)
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


def open_scenes(data: DataOptions, role: str) -> SceneStore:
    """Open the scene store that an option names.

    Raises:
        ConfigError, StoreError: the option is not given, or the store is missing or not one of scenes.
    """
    path = store_path(data, role)
    _require_copy(role, getattr(data, role), path)
    return SceneStore(path)


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
        raise StoreError(f"--{role} {name or getattr(data, role)}: {store.path} has no labels")
    return store


def _same_store(data: DataOptions) -> bool:
    return store_path(data, "train_labeled").resolve() == store_path(data, "train_unlabeled").resolve()


def _check_apart(data: DataOptions, labeled: HeadStore) -> None:
    """Raise ConfigError if labeled heads are in the test set too, by the paths or the contents of the two stores."""
    if not data.test_set:
        return
    test, named = store_path(data, "test_set"), f"--train_labeled {data.train_labeled}, --test_set"
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
    labeled = open_labeled(data, "train_labeled")
    _check_apart(data, labeled)
    unlabeled = None
    if data.train_unlabeled and _same_store(data):
        labeled, unlabeled = split_store(labeled, data.ss_ratio)
    elif needs_unlabeled:
        unlabeled = open_named(data, "train_unlabeled")
    require(
        len(labeled) > 0,
        f"--ss_ratio {data.ss_ratio}: leaves no labeled head of {data.train_labeled}",
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
    return ExperimentData(labeled, unlabeled if needs_unlabeled else None, selection, selected_on)
