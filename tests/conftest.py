"""Small rendered stores, and the reference files where they lie beside the checkout."""

import itertools
import shutil
import sys
from pathlib import Path

import pytest
import torch
from support.paths import EXTENDING, SHARED
from support.training import crop_settings, exps_dir, short_settings, train_run

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.methods import METHODS
from semiuhpe.models import registry
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store


@pytest.fixture(scope="session", autouse=True)
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
    before = [(table, set(table)) for table in (IMPORTERS, METHODS, registry.NETWORKS)]
    modules = set(sys.modules)
    yield
    for table, names in before:
        for name in set(table) - names:
            table.unregister(name)
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
    return crop_settings(stores, tmp_path / "exps")


@pytest.fixture
def settings(stores, tmp_path) -> list[str]:
    """Command line of a training run that takes a second."""
    return short_settings(stores, tmp_path / "exps")


@pytest.fixture(scope="session")
def finished_run(stores, tmp_path_factory) -> Path:
    """The folder of a run of ``settings``, trained once for all tests: not to be changed."""
    return train_run(short_settings(stores, tmp_path_factory.mktemp("finished") / "exps")).folder


@pytest.fixture
def own_run(finished_run, settings) -> Path:
    """The folder of a run of ``settings`` that a test may change: a copy of the finished one, in its ``--exps_dir``."""
    folder = exps_dir(settings) / finished_run.relative_to(finished_run.parents[2])
    return shutil.copytree(finished_run, folder)


@pytest.fixture
def folder(tmp_path):
    """Makes an empty folder each time it is called: for tests of many examples."""
    numbers = itertools.count()

    def make() -> Path:
        path = tmp_path / f"example{next(numbers)}"
        path.mkdir()
        return path

    return make
