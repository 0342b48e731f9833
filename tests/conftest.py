"""Small rendered stores, and the reference files where they lie beside the checkout."""

import itertools
import sys
from pathlib import Path

import pytest
import torch
from support.paths import EXTENDING, SHARED

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.methods import METHODS
from semiuhpe.models import registry
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of reference numbers; tests that need it are skipped where it is absent."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip("needs the reference files in ../shared/reference")
    return folder


@pytest.fixture
def registries():
    """Takes back what examples/extending registers, so that other tests don't see it."""
    before = [(table, dict(table)) for table in (IMPORTERS._entries, METHODS._entries, registry.NETWORKS._entries)]
    modules = set(sys.modules)
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)
    for name in set(sys.modules) - modules:
        if EXTENDING in Path(getattr(sys.modules[name], "__file__", None) or "").parents:
            del sys.modules[name]


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> dict[str, Path]:
    """Rendered stores: labeled (clean), unlabeled (wild), test (wild), front to profile."""
    folder = tmp_path_factory.mktemp("stores")
    sets = {
        "labeled": SyntheticSet(24, "clean", "front", 1, 40, test=False),
        "unlabeled": SyntheticSet(40, "wild", "front", 2, 40, test=False),
        "test": SyntheticSet(12, "wild", "front", 3, 32, test=True),
    }
    paths = {name: folder / f"{name}.lmdb" for name in sets}
    for name, heads in sets.items():
        write_store(heads, paths[name])
    return paths


@pytest.fixture
def common_settings(stores, tmp_path) -> list[str]:
    """The part of the command line of a training run that all methods of head crops have."""
    return [
        *("--exps_dir", str(tmp_path / "exps"), "--exp_name", "tiny", "--network", "plainnet", "--image_size", "32"),
        *("--train_labeled", str(stores["labeled"]), "--train_unlabeled", str(stores["unlabeled"])),
        *("--test_set", str(stores["test"]), "--batch_size", "4", "--num_workers", "0", "--lr", "1e-3"),
        *("--max_iteration", "6", "--val_frequency", "2", "--save_frequency", "2", "--log_frequency", "1"),
    ]


@pytest.fixture
def settings(common_settings) -> list[str]:
    """Command line of a training run that takes a second."""
    own = ("--stage1_iteration", "3", "--ulb_batch_ratio", "2")
    return [*common_settings, *own, "--dynamic_thres", "--cutout_aug", "--cutmix_aug", "--rotate_aug"]


@pytest.fixture
def folder(tmp_path):
    """Makes an empty folder each time it is called: for tests of many examples."""
    numbers = itertools.count()

    def make() -> Path:
        path = tmp_path / f"example{next(numbers)}"
        path.mkdir()
        return path

    return make
