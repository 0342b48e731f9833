"""Which stores an experiment reads: datasets are named by options, and each name leads to one store.

A name stands for the split that its role needs: the training split in ``--train_labeled``, ``--train_unlabeled`` and
``--generator``; in ``--test_set`` and ``--val_set`` the validation split, as in the paper, or else the test split. A
dataset without such a split has one store for all roles.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semiuhpe.config import did_you_mean, require
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.splits import hold_out, split_store
from semiuhpe.data.stores import HeadStore, holds_scenes
from semiuhpe.errors import ConfigError, StoreError

logger = logging.getLogger(__name__)

_FOLDER = "folder"
_NO_DATASETS = (_FOLDER, "scenes")  # the importers of what a user has made
_ONE_SET = ("BIWI", "EG3D")  # datasets whose splits may be the same heads, cropped otherwise
EVALUATION_ROLES = ("test_set", "val_set")
_TRAIN = "train"
_LABEL_TOLERANCE = 1e-4
"""Of a rotation's entries, for a head to be the same one."""


def datasets() -> tuple[str, ...]:
    """What ``--train_labeled``, ``--train_unlabeled``, ``--test_set`` and ``--val_set`` know by name."""
    return tuple(name for name in IMPORTERS if name not in _NO_DATASETS)


def default_store(dataset: str, split: str | None = None) -> str:
    """Where the store of a dataset's split is, unless an option says otherwise; of its first split if None."""
    suffix = "" if split in (None, IMPORTERS[dataset].SPLITS[0]) else f"_{split}"
    return f"data/{dataset}{suffix}.lmdb"


@dataclass(frozen=True)
class ExperimentData:
    """The stores of a training run; ``unlabeled`` is None where no stage needs it.

    ``selection`` is what the best checkpoint is chosen on, and ``selected_on`` says what that is, in words.
    """

    labeled: HeadStore
    unlabeled: HeadStore | None
    selection: HeadStore
    selected_on: str

    @property
    def pool(self) -> HeadStore:
        """``unlabeled``, for a stage that needs it; ConfigError if it was not opened."""
        if self.unlabeled is None:
            raise ConfigError("--train_unlabeled: there are no unlabeled heads; name some")
        return self.unlabeled

    @property
    def log_lines(self) -> list[str]:
        """Lines for the log."""
        unlabeled = f", {len(self.unlabeled)} unlabeled" if self.unlabeled else ""
        counts = f"{len(self.labeled)} labeled heads{unlabeled}; selecting on {len(self.selection)} heads"
        return [counts, f"`best` is selected on {self.selected_on}."]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that name data."""
    group = parser.add_argument_group("data")
    for name in datasets():
        group.add_argument(f"--data_dir_{name}", metavar="STORE", default=default_store(name), help=f"store of {name}")
        for option in ("train_labeled", "test_set"):
            if split := _split(name, option):
                path = default_store(name, split)
                help_ = f"store of {name}'s split {split}, for --{option} {name}; {path} if not given"
                default = None if split == _TRAIN else path  # see store_path
                group.add_argument(f"--data_dir_{name}_{split}", metavar="STORE", default=default, help=help_)
    group.add_argument("--train_labeled", metavar="DATASET", help="labeled heads: a dataset's name, or a store")
    group.add_argument("--train_unlabeled", metavar="DATASET", help="unlabeled heads; if the same, it is split")
    group.add_argument("--test_set", metavar="DATASET", help="heads to evaluate on")
    group.add_argument("--val_set", metavar="DATASET", help="heads to select `best` on; the test set if not given")
    group.add_argument(
        "--val_split", type=float, metavar="SHARE", help="hold out this share of the labeled heads to select `best` on"
    )
    group.add_argument("--ss_ratio", type=float, default=1.0, help="share of labeled heads where one set is split")


def store_path(options: argparse.Namespace, option: str) -> Path:
    """Path of the store that an option names.

    Raises:
        ConfigError: the option is not given.
    """
    name = getattr(options, option)
    if not name:
        raise ConfigError(f"--{option} is not given: name a dataset ({', '.join(datasets())}) or the path of a store")
    if name not in datasets():
        return Path(name)
    first, split = Path(getattr(options, f"data_dir_{name}", default_store(name))), _split(name, option)
    if split is None:
        return first
    given = getattr(options, f"data_dir_{name}_{split}", None)
    if given is None and split == _TRAIN and (first / "data.mdb").is_file() and holds_scenes(first):
        return first  # whole scenes have no crops that would be too tight for training
    return Path(given or default_store(name, split))


def selection_option(options: argparse.Namespace) -> str:
    """The option that names the store which `best` is selected on, or on a part of it."""
    if getattr(options, "val_split", None) is not None:
        return "train_labeled"
    return "val_set" if getattr(options, "val_set", None) else "test_set"


def _split(name: str, option: str) -> str | None:
    """The split of a dataset that an option means, if that is not the dataset's first one."""
    splits = IMPORTERS[name].SPLITS
    wanted = ("val", "test") if option in EVALUATION_ROLES else (_TRAIN,)
    found = next((split for split in wanted if split in splits), splits[0])
    return None if found == splits[0] else found


def open_named(options: argparse.Namespace, option: str) -> HeadStore:
    """The store that an option names. A warning says if it is to be trained on, but was made for evaluation.

    Raises:
        StoreError: it is missing, a raw dataset, or broken; the message names the command that makes it.
    """
    path, name = store_path(options, option), getattr(options, option)
    if (path / "data.mdb").is_file():
        opened = HeadStore(path)
        if option not in EVALUATION_ROLES and not opened.meta["loose"]:
            logger.warning(
                "--%s %s: %s holds the crops of evaluation, which are too tight for the views of training; name a "
                "store of `semiuhpe prepare --split %s`, or of `semiuhpe synth` without --test.",
                option, name, path, _TRAIN,
            )  # fmt: skip
        return opened
    if name in datasets():
        split = _split(name, option)
        suffix = f" --split {split}" if split else ""
        if not path.exists():
            remedy = f"make it with `semiuhpe prepare {name} --source RAW --out {path}{suffix}`"
            raise StoreError(f"--{option} {name}: there is no head store at {path}; {remedy}")
        store = default_store(name, split)
        key = f"data_dir_{name}" + (f"_{split}" if split else "")
        raise StoreError(
            f"--{key} {path}: is not a head store; if it is the raw {name}, run "
            f"`semiuhpe prepare {name} --source {path} --out {store}{suffix}` and pass --{key} {store}"
        )
    if path.exists():
        out = Path("data") / f"{path.stem}.lmdb"
        raise StoreError(
            f"--{option} {path}: is not a head store; make one with `semiuhpe prepare {_FOLDER} --source {path} "
            f"--out {out}`, or with the dataset's name in place of `{_FOLDER}`: {', '.join(datasets())}"
        )
    hint = did_you_mean(name, datasets())
    raise StoreError(f"--{option} {name}: is neither a dataset ({', '.join(datasets())}) nor a path that exists{hint}")


def open_labeled(options: argparse.Namespace, option: str) -> HeadStore:
    """The store that an option names; StoreError if its heads have no rotation."""
    store = open_named(options, option)
    if store.rotation is None:
        raise StoreError(f"--{option} {getattr(options, option)}: {store.path} has no labels")
    return store


def _same_store(options: argparse.Namespace) -> bool:
    return store_path(options, "train_labeled").resolve() == store_path(options, "train_unlabeled").resolve()


def _check_apart(options: argparse.Namespace, labeled: HeadStore) -> None:
    """Raises ConfigError if the labeled heads are in the test set too, by its path or by what the two stores hold."""
    if not options.test_set:
        return
    test, named = store_path(options, "test_set"), f"--train_labeled {options.train_labeled}, --test_set"
    require(
        labeled.path.resolve() != test.resolve(),
        f"{named} {options.test_set}: both are the store {test}; name other heads to test on",
    )
    if (test / "data.mdb").is_file():
        common = _common_heads(labeled, HeadStore(test))
        require(
            common == 0,
            f"{named} {options.test_set}: {common} labeled heads of {labeled.path} are in {test} too; name other "
            "heads to test on",
        )


def _common_heads(one: HeadStore, other: HeadStore) -> int:
    """How many heads are in both of two stores of a dataset whose splits don't tell heads apart."""
    dataset = one.meta["dataset"]
    if dataset not in _ONE_SET or dataset != other.meta["dataset"] or other.rotation is None:
        return 0
    _, mine, others = np.intersect1d(one.names, other.names, return_indices=True)
    return int((np.abs(one.truth[mine] - other.rotation[others]) < _LABEL_TOLERANCE).all(axis=(1, 2)).sum())


def open_training_data(options: argparse.Namespace, needs_unlabeled: bool) -> ExperimentData:
    """All stores of a run.

    If labeled and unlabeled heads come from one dataset it is split by ``ss_ratio``, else all of it is labeled.

    Raises:
        ConfigError, StoreError: a store is missing, has no labels, shares heads with the test set, or there is nothing
            left to train on.
    """
    labeled = open_labeled(options, "train_labeled")
    _check_apart(options, labeled)
    unlabeled = None
    if options.train_unlabeled and _same_store(options):
        labeled, unlabeled = split_store(labeled, options.ss_ratio)
    elif needs_unlabeled:
        unlabeled = open_named(options, "train_unlabeled")
    require(
        len(labeled) > 0,
        f"--ss_ratio {options.ss_ratio}: leaves no labeled head of {options.train_labeled}",
    )
    if needs_unlabeled:
        require(
            unlabeled is not None and len(unlabeled) > 0,
            f"--ss_ratio {options.ss_ratio} leaves no unlabeled head of {options.train_unlabeled}, but stage 2 "
            f"(--max_iteration beyond --stage1_iteration) needs some",
        )
    if options.val_split is not None:
        require(not options.val_set, "--val_split and --val_set: name one of them")
        labeled, selection = hold_out(labeled, options.val_split, options.seed)
        selected_on = f"{options.val_split:g} of the labeled heads, held out"
    elif options.val_set:
        selection, selected_on = open_labeled(options, "val_set"), f"the validation set {options.val_set}"
    else:
        selection = open_labeled(options, "test_set")
        selected_on = f"the test set {options.test_set}, as in the paper; --val_set or --val_split name others"
    return ExperimentData(labeled, unlabeled if needs_unlabeled else None, selection, selected_on)
