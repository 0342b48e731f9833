"""Stores of both kinds lie on disk as they did when the files in ``tests/golden`` were written."""

import gzip
import io

import numpy as np
import pytest
from support.paths import GOLDEN

from semiuhpe.data.crop import StoredCrop
from semiuhpe.data.stores import HeadStore, SceneStore, StoredHead, StoredScene, StoreWriter, open_store
from semiuhpe.data.stores.base import stored_bytes
from semiuhpe.data.stores.inspect import verify
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

HEADS = SyntheticSet(8, "clean", "full", 3, 24, False)
SCENES = SceneSet(3, 3, "clean", "full", 19, 32, 0.5, 0.5)


@pytest.fixture(params=["heads", "scenes"])
def golden(request, tmp_path):
    path = tmp_path / f"{request.param}.lmdb"
    path.mkdir()
    (path / "data.mdb").write_bytes(gzip.decompress((GOLDEN / f"{request.param}.mdb.gz").read_bytes()))
    return path


def arrays(path):
    with np.load(io.BytesIO(stored_bytes(path, b"__labels__"))) as labels:
        return {name: labels[name] for name in labels.files}


def assert_same(path, golden, tolerance=None):
    """The same meta, byte for byte, and the same arrays in the same order: to the bit unless there is a tolerance."""
    assert stored_bytes(path, b"__meta__") == stored_bytes(golden, b"__meta__")
    found, expected = arrays(path), arrays(golden)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape, name
        if tolerance is None:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        elif values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, atol=tolerance, err_msg=name)


def test_a_store_of_before_is_read(golden):
    store = open_store(golden)
    assert verify(store) == [] and all(store.image(i).max() > 0 for i in range(len(store)))
    if isinstance(store, SceneStore):
        assert len(store) == 3 and [len(store.heads(i)) for i in range(3)] == [3, 3, 3]
        np.testing.assert_allclose(store.turn_deg, [-33.64812, -25.559864, -21.225653], atol=1e-5)
        assert store.heads(2).rotation.shape == (3, 3, 3) and store.extent.tolist() == [[32, 32]] * 3
    else:
        assert store.names.tolist() == [f"{i:06d}" for i in range(8)] and store.meta["loose"] and store.size == 24
        assert store.truth.shape == (8, 3, 3) and store.bounds[0].tolist() == [0, 0, 24, 24]


def test_the_same_heads_and_scenes_are_written_alike(golden, tmp_path):
    store, path = open_store(golden), tmp_path / "again.lmdb"
    added = ("format_version", "labelled", "heads", "count")  # by the writer
    with StoreWriter(path, {key: value for key, value in store.meta.items() if key not in added}) as writer:
        for i, name in enumerate(store.names):
            encoded = stored_bytes(golden, b"%09d" % i)
            if isinstance(store, HeadStore):
                crop = StoredCrop(encoded, store.box[i], store.bounds[i], store.scale[i])
                kinds = {key: str(values[i]) for key, values in store.attributes.items()}
                writer.add(StoredHead(str(name), crop, store.truth[i], store.euler_deg[i], kinds))
            else:
                extent = tuple(store.extent[i])
                writer.add(StoredScene(str(name), encoded, extent, store.heads(i), float(store.turn_deg[i])))
    assert_same(path, golden)
    for i in range(len(store)):
        assert stored_bytes(path, b"%09d" % i) == stored_bytes(golden, b"%09d" % i)


def test_the_same_sets_are_rendered_alike(golden, tmp_path):
    """But for the last bits, which depend on the processor, and for JPEG's bytes."""
    path = tmp_path / "again.lmdb"
    if golden.stem == "heads":
        write_store(HEADS, path)
    else:
        write_scenes(SCENES, path)
    assert_same(path, golden, tolerance=0.02)
