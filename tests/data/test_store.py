import io
import json
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap

import cv2
import lmdb
import numpy as np
import pytest

from semiuhpe.data import HeadStore, StoreWriter
from semiuhpe.data.crop import HEAD_BOX, Rectangle, StoredCrop, encode, store_crop, store_whole
from semiuhpe.data.stores import StoredHead, head_meta
from semiuhpe.errors import StoreError

META = head_meta(
    dataset="toy", split="test", size=16, crop_rule=HEAD_BOX, loose=False, full_range=True, source="here", settings={}
)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def crop_of(seed):
    return StoredCrop(encode(picture(seed)), np.array([seed, 2, 3, 4]), np.array([0, 0, 16, 16]))


def write(path, count=5, labels=True, overwrite=False, **meta):
    with StoreWriter(path, META | meta, overwrite) as writer:
        for i in range(count):
            extra = {"rotation": np.eye(3) * (i + 1), "euler_deg": np.full(3, i)} if labels else {}
            writer.add(StoredHead(f"kopf-ä{i}", crop_of(i), **extra))
    return path


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(tmp_path):
    store = HeadStore(write(tmp_path / "a.lmdb"))
    assert len(store) == 5
    image, labels = store[3]
    np.testing.assert_array_equal(image, picture(3))
    assert labels["name"] == "kopf-ä3"
    np.testing.assert_array_equal(labels["rotation"], np.eye(3) * 4)
    np.testing.assert_array_equal(labels["box"], [3, 2, 3, 4])
    assert store.rotation.dtype == store.euler_deg.dtype == store.box.dtype == np.float32
    assert store.meta["dataset"] == "toy" and store.meta["count"] == 5
    assert leftovers(tmp_path) == ["a.lmdb"]


def test_jpeg_keeps_the_picture_and_its_channels():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(encode(red, quality=92), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decoded.astype(int) - red).max() < 8


def test_unlabeled_store_has_no_rotation(tmp_path):
    store = HeadStore(write(tmp_path / "a.lmdb", labels=False))
    assert store.rotation is None and store.euler_deg is None
    assert set(store[0][1]) == {"name", "box"}
    with pytest.raises(StoreError, match=r"a\.lmdb: .*no labels"):
        store.truth  # noqa: B018


def test_views_are_parts_in_order(tmp_path):
    store = HeadStore(write(tmp_path / "a.lmdb"))
    view = store.view([4, 1, 2]).view([2, 0])
    assert [str(name) for name in view.names] == ["kopf-ä2", "kopf-ä4"]
    np.testing.assert_array_equal(view.image(1), picture(4))
    with pytest.raises(StoreError, match=r"a\.lmdb.*range"):
        HeadStore(tmp_path / "a.lmdb", [5])
    with pytest.raises(IndexError):
        store[5]


def _mean_in_child(store, queue):
    queue.put(store.image(1).mean())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_stores_travel_to_other_processes(tmp_path, method):
    store = HeadStore(write(tmp_path / "a.lmdb"))
    store.image(0)  # the parent's environment is open
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_mean_in_child, args=(store, queue))
    child.start()
    assert queue.get(timeout=60) == picture(1).mean()
    child.join()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).image(2), picture(2))


def test_existing_target_is_kept_unless_told(tmp_path):
    path = write(tmp_path / "a.lmdb")
    with pytest.raises(StoreError, match="--overwrite"):
        write(path, 2)
    assert len(HeadStore(path)) == 5
    write(path, 2, overwrite=True)
    assert len(HeadStore(path)) == 2


def test_a_folder_that_is_no_store_is_never_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").write_text("x")
    with pytest.raises(StoreError, match=r"photos.*store"):
        write(tmp_path / "photos", overwrite=True)
    assert leftovers(tmp_path / "photos") == ["dear.jpg"]


def test_an_error_in_the_middle_leaves_nothing_and_loses_nothing(tmp_path):
    path = write(tmp_path / "a.lmdb")
    with pytest.raises(RuntimeError), StoreWriter(path, META, overwrite=True) as writer:
        writer.add(StoredHead("x", crop_of(0)))
        raise RuntimeError("interrupted")
    assert len(HeadStore(path)) == 5
    assert leftovers(tmp_path) == ["a.lmdb"]


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"a\.lmdb"):
        write(tmp_path / "a.lmdb", 0)
    assert leftovers(tmp_path) == []


def test_kill_leaves_no_store_and_the_next_attempt_succeeds(tmp_path):
    script = f"""
        import os, signal, numpy as np
        from semiuhpe.data import StoreWriter
        from semiuhpe.data.crop import StoredCrop
        from semiuhpe.data.stores import StoredHead
        with StoreWriter({str(tmp_path / "a.lmdb")!r}, {META!r}) as writer:
            for i in range(2000):
                writer.add(StoredHead(str(i), StoredCrop(b"x" * 1000, np.zeros(4), np.zeros(4))))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ)
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.lmdb").exists()
    assert len(HeadStore(write(tmp_path / "a.lmdb"))) == 5
    assert leftovers(tmp_path) == ["a.lmdb"]


def test_two_writers_of_one_store(tmp_path):
    with (
        pytest.raises(StoreError, match=r"a\.lmdb.*another process"),
        StoreWriter(tmp_path / "a.lmdb", META),
        StoreWriter(tmp_path / "a.lmdb", META),
    ):
        pass


def test_heads_with_different_labels_are_refused(tmp_path):
    with (
        pytest.raises(StoreError, match="labels"),
        StoreWriter(tmp_path / "a.lmdb", META) as writer,
    ):
        writer.add(StoredHead("a", crop_of(0), rotation=np.eye(3)))
        writer.add(StoredHead("b", crop_of(1)))


def test_attributes_are_kept_per_head(tmp_path):
    with StoreWriter(tmp_path / "a.lmdb", META) as writer:
        for age in ("young", "älter"):
            writer.add(StoredHead(age, crop_of(0), attributes={"age": age, "pose": "front"}))
    store = HeadStore(tmp_path / "a.lmdb")
    assert store.attributes["age"].tolist() == ["young", "älter"]
    assert store[1][1]["attributes"] == {"age": "älter", "pose": "front"}
    assert store.view([1]).attributes["age"].tolist() == ["älter"]
    assert not store.meta["labelled"] and store.rotation is None


def test_stored_crop_knows_where_head_and_picture_are():
    image = np.zeros((60, 100, 3), np.uint8)
    image[20:30, 70:80] = 255
    rectangle = Rectangle(60, 5, 110, 55)
    crop = store_crop(image, rectangle, np.array([70, 20, 10, 10]), 100, quality=None)
    assert crop.box.tolist() == [20, 30, 20, 20]
    assert crop.bounds.tolist() == [-120, -10, 198, 118] and crop.scale == 2.0
    stored = cv2.imdecode(np.frombuffer(crop.encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert stored.shape == (100, 100, 3) and stored[32:48, 22:38].min() > 200 and stored[:, 78:].max() == 0


def test_a_whole_picture_keeps_its_shape():
    image = np.full((20, 40, 3), 255, np.uint8)
    crop = store_whole(image, 80, quality=None)
    assert crop.box.tolist() == crop.bounds.tolist() == [0, 20, 80, 40]
    stored = cv2.imdecode(np.frombuffer(crop.encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert stored[22:58].min() == 255 and stored[:18].max() == stored[62:].max() == 0


def test_a_full_disk_leaves_nothing(tmp_path):
    script = f"""
        import resource, signal, numpy as np
        from semiuhpe.data import StoreWriter
        from semiuhpe.data.crop import StoredCrop
        from semiuhpe.data.stores import StoredHead
        from semiuhpe.errors import StoreError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        try:
            with StoreWriter({str(tmp_path / "a.lmdb")!r}, {META!r}) as writer:
                for i in range(2000):
                    writer.add(StoredHead(str(i), StoredCrop(b"x" * 1000, np.zeros(4), np.zeros(4))))
        except StoreError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ, capture_output=True)
    assert b"disk full" in result.stdout
    assert leftovers(tmp_path) == []


def test_missing_store(tmp_path):
    with pytest.raises(StoreError, match="semiuhpe prepare"):
        HeadStore(tmp_path / "none.lmdb")


def test_folder_without_a_store(tmp_path):
    with pytest.raises(StoreError, match=f"--source {tmp_path} --out STORE"):
        HeadStore(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 5000, 8192, 12288, -4096])
def test_truncated_store_is_an_error_and_not_a_crash(tmp_path, keep):
    path = write(tmp_path / "a.lmdb", 60)
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data[:keep])
    with pytest.raises(StoreError):
        HeadStore(path).image(59)


def test_foreign_lmdb(tmp_path):
    with lmdb.open(str(tmp_path / "other")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"a", b"b")
    with pytest.raises(StoreError, match="__meta__"):
        HeadStore(tmp_path / "other")


@pytest.mark.parametrize("key", [b"__meta__", b"__labels__", b"000000001"])
def test_broken_contents(tmp_path, key):
    path = write(tmp_path / "a.lmdb")
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(key, b"not what it was")
    with pytest.raises(StoreError, match=r"a\.lmdb"):
        HeadStore(path).image(1)


def test_meta_without_all_that_is_known(tmp_path):
    path = write(tmp_path / "a.lmdb")
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"__meta__", b'{"format_version": 2, "count": 5, "size": 16}')
    with pytest.raises(StoreError, match=r"a\.lmdb.*dataset, split, full_range"):
        HeadStore(path)


@pytest.mark.parametrize(("key", "value"), [("count", "5"), ("size", [16]), ("size", -1), ("loose", 1), ("source", 3)])
def test_meta_of_another_kind(tmp_path, key, value):
    path = write(tmp_path / "a.lmdb")
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        meta = json.loads(transaction.get(b"__meta__"))
        transaction.put(b"__meta__", json.dumps(meta | {key: value}).encode())
    with pytest.raises(StoreError, match=re.escape(f"{key} is {value!r}")):
        HeadStore(path)


def test_an_unknown_protocol(tmp_path):
    with pytest.raises(StoreError, match=r"a\.lmdb.*'mine'"):
        HeadStore(write(tmp_path / "a.lmdb", protocol="mine"))


def test_labels_of_the_wrong_shape(tmp_path):
    path = write(tmp_path / "a.lmdb")
    packed = io.BytesIO()
    labels = {"box": np.zeros((5, 3)), "bounds": np.zeros((5, 4)), "scale": np.ones(5), "names": np.array(["a"] * 5)}
    np.savez(packed, **labels)
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"__labels__", packed.getvalue())
    with pytest.raises(StoreError, match=r"a\.lmdb.*box .*\(5, 3\).*\(5, 4\)"):
        HeadStore(path)


def test_store_of_another_format_version(tmp_path):
    with pytest.raises(StoreError, match=r"a\.lmdb.*version 7"):
        HeadStore(write(tmp_path / "a.lmdb", format_version=7))


def test_unwritable_target(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"a\.lmdb"):
        write(tmp_path / "file" / "a.lmdb")
