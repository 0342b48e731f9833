import hashlib
import json
import subprocess
import sys
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from semiuhpe.data import HeadStore, SceneStore, StoreWriter
from semiuhpe.data.batches.heads import (
    HeadBatch,
    ShuffledStream,
    loader_workers,
    ordered_batches,
    training_batches,
)
from semiuhpe.data.batches.scenes import ordered_scenes
from semiuhpe.data.crop import LANDMARKS, StoredCrop, encode
from semiuhpe.data.splits import hold_out, split_300wlp, split_store
from semiuhpe.data.stores import SceneHeads, StoredHead, StoredScene, head_meta, scene_meta
from semiuhpe.errors import ConfigError, StoreError


def take(stream, count):
    return list(islice(iter(stream), count))


@pytest.mark.parametrize(
    "n, ratio, sha256",
    [
        (100, 0.05, "0f224641c3d9c60c7b2d758979f7406fee8832666921436cf9cc2cb8c1870f20"),
        (1786, 0.2, "31cbe6a2eb7a6c716b13a0a3ba5f60396f4cbdc5ae3564baef93158d254880be"),
    ],
)
def test_split_is_the_papers(n, ratio, sha256):
    labeled, unlabeled = split_300wlp(n, ratio)
    assert hashlib.sha256(",".join(map(str, labeled)).encode()).hexdigest() == sha256
    assert sorted(labeled + unlabeled) == list(range(n))


def test_splits_agree_with_reference(reference):
    for case in json.loads((reference / "splits_300wlp.json").read_text())["cases"]:
        labeled, unlabeled = split_300wlp(case["n"], case["ss_ratio"])
        digest = hashlib.sha256(",".join(map(str, labeled)).encode()).hexdigest()
        assert (len(labeled), digest) == (case["n_labeled"], case["sha256_labeled"])
        assert unlabeled[: len(case["first_unlabeled"])] == case["first_unlabeled"]


def store_of(path, names, dataset="toy", identity=None):
    meta = head_meta(
        dataset=dataset,
        split="train",
        size=8,
        crop_rule=LANDMARKS,
        loose=True,
        full_range=False,
        source="",
        settings={},
    )
    crop = StoredCrop(encode(np.zeros((8, 8, 3), np.uint8)), np.ones(4), np.array([0, 0, 8, 8]))
    with StoreWriter(path, meta) as writer:
        for i, name in enumerate(names):
            attributes = {"identity": identity[i]} if identity else {}
            writer.add(StoredHead(name, crop, rotation=np.eye(3), attributes=attributes))
    return HeadStore(path)


def test_twins_stay_on_their_side_of_the_split(tmp_path):
    names = [f"{folder}{suffix}/{i:02d}" for folder in ("AFW", "IBUG") for suffix in ("", "_Flip") for i in range(10)]
    labeled, unlabeled = split_store(store_of(tmp_path / "a.lmdb", names), 0.2)
    expected = {f"{folder}{suffix}/{i:02d}" for folder in ("AFW", "IBUG") for suffix in ("", "_Flip") for i in (1, 3)}
    assert set(labeled.names) == expected
    assert set(labeled.names) | set(unlabeled.names) == set(names)
    assert len(labeled) + len(unlabeled) == len(names)


def test_heads_held_out_are_a_random_part_with_their_twins(tmp_path):
    names = [f"AFW{suffix}/{i:02d}" for suffix in ("", "_Flip") for i in range(20)]
    store = store_of(tmp_path / "a.lmdb", names)
    left, held = hold_out(store, 0.25, seed=0)
    assert sorted([*left.names, *held.names]) == sorted(names)
    assert len(held) == 10 and {name.replace("_Flip", "") for name in held.names} & set(left.names) == set()
    assert held.names.tolist() == hold_out(store, 0.25, seed=0)[1].names.tolist()
    assert held.names.tolist() != hold_out(store, 0.25, seed=1)[1].names.tolist()
    with pytest.raises(ConfigError, match="--val_split"):
        hold_out(store, 0.01, seed=0)


@pytest.mark.parametrize(
    "dataset, names, person",
    [
        (
            "300WLP",
            [f"AFW{s}/AFW_{i}_1_{view}" for s in ("", "_Flip") for i in range(100, 108) for view in range(17)],
            lambda name: name.partition("/")[2].rpartition("_")[0],
        ),
        (
            "BIWI",
            [f"{s:02d}/frame_{i:05d}" for s in range(1, 9) for i in range(5)],
            lambda name: name.partition("/")[0],
        ),
    ],
)
def test_nobody_is_on_both_sides_of_what_is_held_out(tmp_path, dataset, names, person):
    left, held = hold_out(store_of(tmp_path / "a.lmdb", names, dataset), 0.25, seed=0)
    sides = [{person(str(name)) for name in side.names} for side in (left, held)]
    assert [len(side) for side in sides] == [6, 2] and not sides[0] & sides[1]
    assert sorted([*left.names, *held.names]) == sorted(names)


def test_heads_of_one_identity_are_held_out_together(tmp_path):
    store = store_of(tmp_path / "a.lmdb", list("abcdefgh"), identity=list("11223344"))
    left, held = hold_out(store, 0.25, seed=0)
    assert len(held) == 2 and not set(left.attributes["identity"]) & set(held.attributes["identity"])


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.5])
def test_impossible_ratios(tmp_path, ratio):
    with pytest.raises(ConfigError, match="ss_ratio"):
        split_store(store_of(tmp_path / "a.lmdb", ["a", "b"]), ratio)


def test_each_epoch_shows_every_head_once_in_another_order():
    flat = [i for batch in take(ShuffledStream(10, 4, seed=3), 10) for i in batch]
    epochs = [flat[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_stream_is_a_function_of_seed_and_step():
    whole = take(ShuffledStream(7, 3, seed=5), 20)
    assert take(ShuffledStream(7, 3, seed=5, start=11), 9) == whole[11:]
    assert take(ShuffledStream(7, 3, seed=6), 20) != whole


def test_processes_share_each_batch_without_overlap():
    whole = take(ShuffledStream(23, 5, seed=1), 12)
    parts = [take(ShuffledStream(23, 5, seed=1, rank=rank, world_size=2), 12) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(first + second) == sorted(batch)


def test_batches_larger_than_the_store():
    assert sorted(take(ShuffledStream(2, 5, seed=0), 1)[0]) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_workers_survive_the_threads_of_opencv(stores):
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((1500, 1500, 3), np.uint8), (31, 31), 9)  # starts OpenCV's threads in this process
    store = HeadStore(stores["labeled"])
    batches = training_batches(store, ShuffledStream(len(store), 5, seed=2), 2)
    assert len(next(batches)) == 5
    assert cv2.getNumThreads() == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_do_not_change_what_is_loaded(stores, workers):
    store = HeadStore(stores["labeled"])
    batches = training_batches(store, ShuffledStream(len(store), 5, seed=2), workers)
    for positions in take(ShuffledStream(len(store), 5, seed=2), 4):
        batch = next(batches)
        np.testing.assert_array_equal(batch.image[1].permute(1, 2, 0).numpy(), store.image(positions[1]))
        np.testing.assert_array_equal(batch.rotation.numpy(), store.rotation[positions])
        np.testing.assert_array_equal(batch.box.numpy(), store.box[positions])


def test_ordered_batches_end_with_the_rest(stores):
    batches = list(ordered_batches(HeadStore(stores["test"]), 5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    np.testing.assert_array_equal(batches[2].rotation.numpy(), HeadStore(stores["test"]).rotation[10:])


def test_a_view_without_heads_is_refused(stores):
    empty = HeadStore(stores["test"]).view([])
    with pytest.raises(StoreError, match="no heads"):
        ordered_batches(empty, 4)
    with pytest.raises(StoreError, match="no heads"):
        training_batches(empty, ShuffledStream(1, 1, 0), 0)


def test_a_process_with_busy_workers_ends(stores):
    script = f"""
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.heads import ShuffledStream, training_batches
batches = training_batches(HeadStore({str(stores["labeled"])!r}), ShuffledStream(24, 4, 0), 2)
next(batches)
raise SystemExit(3)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 3


def test_pictures_are_decoded_beside_a_gpu_only():
    assert [loader_workers(3, torch.device(name)) for name in ("cpu", "cuda")] == [0, 3]


def test_pictures_larger_than_their_store_says_are_errors(tmp_path):
    """Of heads and of scenes; the message names the store and the picture."""
    large = np.zeros((20, 8, 3), np.uint8)
    common = {"dataset": "toy", "split": "train", "size": 16, "full_range": True, "source": "", "settings": {}}
    with StoreWriter(tmp_path / "heads.lmdb", head_meta(crop_rule=LANDMARKS, loose=True, **common)) as writer:
        writer.add(StoredHead("kopf", StoredCrop(encode(large), np.ones(4), np.ones(4))))
    with StoreWriter(tmp_path / "scenes.lmdb", scene_meta(**common)) as writer:
        writer.add(StoredScene("szene", encode(large), (8, 20), SceneHeads.none()))
    with pytest.raises(StoreError, match=r"heads\.lmdb: head kopf .*16 px"):
        next(ordered_batches(HeadStore(tmp_path / "heads.lmdb"), 1))
    with pytest.raises(StoreError, match=r"scenes\.lmdb: scene szene .*16 px"):
        next(ordered_scenes(SceneStore(tmp_path / "scenes.lmdb"), 1))


def test_batches_without_labels_are_moved_and_cut():
    batch = HeadBatch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.ones(4, 4), torch.ones(4, 4))
    assert len(batch.first(3).to(torch.device("cpu"))) == 3 and batch.first(3).rotation is None
    with pytest.raises(StoreError, match="no labels"):
        batch.truth  # noqa: B018
