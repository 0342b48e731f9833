"""Which stores an experiment reads: datasets are named by options, and each name leads to one store.

A name stands for the split that its role needs: ``DAD3DHeads`` for the training split in ``--train_labeled``, and for
the validation split in ``--test_set`` and ``--val_set``, as in the paper.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.config import did_you_mean, require
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.splits import hold_out, split_store
from semiuhpe.data.store import HeadStore
from semiuhpe.errors import ConfigError, StoreError

_FOLDER = "folder"
_NO_DATASETS = (_FOLDER, "scenes")  # the importers of what a user has made
_EVALUATION_ROLES = ("test_set", "val_set")


def datasets() -> tuple[str, ...]:
    """What ``--train_labeled``, ``--train_unlabeled``, ``--test_set`` and ``--val_set`` know by name."""
    return tuple(name for name in IMPORTERS if name not in _NO_DATASETS)


def _evaluation_splits() -> dict[str, str]:
    """Datasets that are trained on one split and evaluated on another."""
    return {name: "val" for name in datasets() if "val" in IMPORTERS[name].SPLITS[1:]}


def default_store(dataset: str, split: str | None = None) -> str:
    """Where the store of a dataset's split is, unless an option says otherwise; of its first split if None."""
    suffix = "" if split in (None, IMPORTERS[dataset].SPLITS[0]) else f"_{split}"
    return f"data/{dataset}{suffix}.lmdb"


@dataclass(frozen=True)
class ExperimentData:
    """The stores of a training run; ``unlabelled`` is None where no stage needs it.

    ``selection`` is what the best checkpoint is chosen on, and ``selected_on`` says what that is, in words.
    """

    labelled: HeadStore
    unlabelled: HeadStore | None
    selection: HeadStore
    selected_on: str

    @property
    def pool(self) -> HeadStore:
        """``unlabelled``, for a stage that needs it; ConfigError if it was not opened."""
        if self.unlabelled is None:
            raise ConfigError("--train_unlabeled: there are no unlabelled heads; name some")
        return self.unlabelled

    @property
    def told(self) -> list[str]:
        """Lines for the log."""
        unlabelled = f", {len(self.unlabelled)} unlabelled" if self.unlabelled else ""
        counts = f"{len(self.labelled)} labelled heads{unlabelled}; selecting on {len(self.selection)} heads"
        return [counts, f"`best` is selected on {self.selected_on}."]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that name data."""
    group = parser.add_argument_group("data")
    for name in datasets():
        group.add_argument(f"--data_dir_{name}", metavar="STORE", default=default_store(name), help=f"store of {name}")
    for name, split in _evaluation_splits().items():
        group.add_argument(
            f"--data_dir_{name}_{split}",
            metavar="STORE",
            default=default_store(name, split),
            help=f"store of {name}'s split {split}, for --test_set {name}",
        )
    group.add_argument("--train_labeled", metavar="DATASET", help="labelled heads: a dataset's name, or a store")
    group.add_argument("--train_unlabeled", metavar="DATASET", help="unlabelled heads; if the same, it is split")
    group.add_argument("--test_set", metavar="DATASET", help="heads to evaluate on")
    group.add_argument("--val_set", metavar="DATASET", help="heads to select `best` on; the test set if not given")
    group.add_argument(
        "--val_split", type=float, metavar="SHARE", help="hold out this share of the labelled heads to select `best` on"
    )
    group.add_argument("--ss_ratio", type=float, default=1.0, help="share of labelled heads where one set is split")


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
    split = _split(name, option)
    return Path(getattr(options, f"data_dir_{name}" + (f"_{split}" if split else "")))


def _split(name: str, option: str) -> str | None:
    """The split of a dataset that an option means, if that is not the dataset's first one."""
    return _evaluation_splits().get(name) if option in _EVALUATION_ROLES else None


def open_named(options: argparse.Namespace, option: str) -> HeadStore:
    """The store that an option names.

    Raises:
        StoreError: it is missing, a raw dataset, or broken; the message names the command that makes it.
    """
    path, name = store_path(options, option), getattr(options, option)
    if (path / "data.mdb").is_file():
        return HeadStore(path)
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


def open_labelled(options: argparse.Namespace, option: str) -> HeadStore:
    """The store that an option names; StoreError if its heads have no rotation."""
    store = open_named(options, option)
    if store.rotation is None:
        raise StoreError(f"--{option} {getattr(options, option)}: {store.path} has no labels")
    return store


def _same_store(options: argparse.Namespace) -> bool:
    return store_path(options, "train_labeled").resolve() == store_path(options, "train_unlabeled").resolve()


def open_training_data(options: argparse.Namespace, needs_unlabelled: bool) -> ExperimentData:
    """All stores of a run.

    If labelled and unlabelled heads come from one dataset it is split by ``ss_ratio``, else all of it is labelled.

    Raises:
        ConfigError, StoreError: a store is missing, has no labels, or there is nothing left to train on.
    """
    labelled = open_labelled(options, "train_labeled")
    unlabelled = None
    if options.train_unlabeled and _same_store(options):
        labelled, unlabelled = split_store(labelled, options.ss_ratio)
    elif needs_unlabelled:
        unlabelled = open_named(options, "train_unlabeled")
    require(
        len(labelled) > 0,
        f"--ss_ratio {options.ss_ratio}: leaves no labelled head of {options.train_labeled}",
    )
    if needs_unlabelled:
        require(
            unlabelled is not None and len(unlabelled) > 0,
            f"--ss_ratio {options.ss_ratio} leaves no unlabelled head of {options.train_unlabeled}, but stage 2 "
            f"(--max_iteration beyond --stage1_iteration) needs some",
        )
    if options.val_split is not None:
        require(not options.val_set, "--val_split and --val_set: name one of them")
        labelled, selection = hold_out(labelled, options.val_split, options.seed)
        selected_on = f"{options.val_split:g} of the labelled heads, held out"
    elif options.val_set:
        selection, selected_on = open_labelled(options, "val_set"), f"the validation set {options.val_set}"
    else:
        selection = open_labelled(options, "test_set")
        selected_on = f"the test set {options.test_set}, as in the paper; --val_set or --val_split name others"
    return ExperimentData(labelled, unlabelled if needs_unlabelled else None, selection, selected_on)
