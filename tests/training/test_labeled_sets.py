"""Several labeled sets: their weights, their offsets, and runs that train on them."""

from itertools import islice

import numpy as np
import pytest
import torch
import yaml
from scipy.spatial.transform import Rotation
from support.errors import refused
from support.training import experiment_of, killed_run, losses, resume, state
from support.training import train_run as train

from semiuhpe.cli import train as train_cli
from semiuhpe.data.batches.heads import ShuffledStream, training_batches
from semiuhpe.data.batches.weighted import WeightedStream, stream_of
from semiuhpe.data.experiment import open_training_data
from semiuhpe.data.labeled_sets import JoinedHeads, JoinedScenes, LabeledSet, joined_heads, labeled_sets
from semiuhpe.data.splits import hold_out
from semiuhpe.data.stores import HeadStore, SceneStore
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.methods import method_of
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.training.run_folder import VERSIONS

MEMBERS = [np.arange(7), np.arange(7, 30), np.arange(30, 32)]
SHARES = np.array([0.7, 0.27, 0.03])


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    path = tmp_path_factory.mktemp("second") / "second.lmdb"
    write_store(SyntheticSet(10, "clean", "front", 9, 48, test=False), path)
    return path


def several(settings, *words):
    """The command line with other labeled sets."""
    at = settings.index("--train_labeled")
    return [*settings[: at + 1], *map(str, words), *settings[at + 2 :]]


def stream(start=0, rank=0, world_size=1, seed=3):
    return WeightedStream(MEMBERS, SHARES, 8, seed, start, rank, world_size)


def test_weighted_batches_have_the_shares_of_their_sets():
    batches = np.array(list(islice(stream(), 2000)))
    counts = np.stack([np.isin(batches, members).sum(axis=1) for members in MEMBERS], axis=1)
    np.testing.assert_allclose(counts.mean(axis=0) / 8, SHARES, atol=0.004)
    assert (np.abs(counts - 8 * SHARES) < 2).all()
    firsts = np.isin(batches[:, 0], MEMBERS[0]).mean()
    assert firsts == pytest.approx(0.7, abs=0.04)  # each place of a batch, so that processes share alike


def test_each_epoch_of_a_set_shows_all_of_it_once():
    drawn = np.concatenate(list(islice(stream(), 200)))
    for members in MEMBERS:
        mine = drawn[np.isin(drawn, members)]
        for epoch in range(len(mine) // len(members) - 1):
            batchwise = np.sort(mine[epoch * len(members) : (epoch + 1) * len(members)])
            assert len(np.unique(batchwise)) >= len(members) - 8  # a batch is shuffled over the seam of two epochs
        counts = np.bincount(mine)[members]
        assert counts.max() - counts.min() <= 1


def test_a_weighted_stream_is_a_function_of_seed_and_step_shared_by_processes():
    whole = list(islice(stream(), 40))
    assert list(islice(stream(start=23), 17)) == whole[23:]
    assert list(islice(stream(seed=4), 40)) != whole
    halves = [list(islice(stream(rank=rank, world_size=2), 40)) for rank in range(2)]
    for batch, first, other in zip(whole, *halves, strict=True):
        assert first == batch[0::2] and other == batch[1::2]


def test_words_are_sets_with_weights_and_offsets(tmp_path):
    (colon := tmp_path / "run:3").mkdir()
    assert labeled_sets(["A:3", "b/c.lmdb:0.5"]) == [LabeledSet("A", 3.0), LabeledSet("b/c.lmdb", 0.5)]
    assert labeled_sets(["A", "C:/b.lmdb"], ["none", "0", "-5", "1.5"]) == [
        LabeledSet("A"),
        LabeledSet("C:/b.lmdb", offset_deg=(0.0, -5.0, 1.5)),
    ]
    assert labeled_sets([str(colon)]) == [LabeledSet(str(colon))]
    assert labeled_sets([f"{colon}:2"]) == [LabeledSet(str(colon), 2.0)]
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match="is a path, and so is"):
        labeled_sets([str(colon)])


@pytest.mark.parametrize(
    ("words", "offsets", "said"),
    [
        (["A:0"], [], "positive"),
        (["A:nan"], [], "positive"),
        (["A:1", "B"], [], "only some sets have a weight"),
        (["A", "A"], [], "twice"),
        (["A", "B"], ["none"], "has 1 offsets"),
        (["A"], ["1", "2"], "no rotation vector"),
        (["A"], ["1", "x", "2"], "no rotation vector"),
        (["A"], ["1", "inf", "2"], "not finite"),
    ],
)
def test_faulty_words_are_refused(words, offsets, said):
    with pytest.raises(ConfigError, match=said):
        labeled_sets(words, offsets)


def test_joined_heads_are_those_of_their_stores_with_labels_turned(stores, second):
    one, other = HeadStore(stores["labeled"]), HeadStore(second)
    vector = (10.0, -20.0, 5.0)
    joined = joined_heads([LabeledSet("A"), LabeledSet("B", offset_deg=vector)], [one, other])
    assert isinstance(joined, JoinedHeads) and len(joined) == len(one) + len(other) and joined.size == 48
    view = joined.view([30, 2, 25])
    np.testing.assert_array_equal(view.image(0), other.image(6))
    np.testing.assert_array_equal(view.image(1), one.image(2))
    np.testing.assert_array_equal(view.truth[1], one.truth[2])
    expected = other.truth[[6, 1]] @ Rotation.from_rotvec(vector, degrees=True).as_matrix()
    np.testing.assert_allclose(view.truth[[0, 2]], expected, atol=1e-6)
    assert view.names.tolist() == [other.names[6], one.names[2], other.names[1]]
    batch = next(training_batches(joined, ShuffledStream(len(joined), 34, seed=1), 0))
    assert batch.rotation is not None and batch.image.shape == (34, 3, 48, 48)
    train_part, held = hold_out(joined, 0.25, seed=0)
    assert len(train_part) + len(held) == 34 and joined_heads([LabeledSet("A:2", 2.0)], [one]) is one
    with pytest.raises(StoreError, match="nothing of this set is left"):
        joined.view([0, 1]).check_filled()
    tight = HeadStore(stores["test"])
    with pytest.raises(StoreError, match=r"differ in (protocol|loose)"):
        joined_heads([LabeledSet("A"), LabeledSet("T")], [one, tight])


@pytest.mark.parametrize("method", ["semiuhpe", "clerf"])
def test_a_run_says_what_its_sets_are(settings, common_settings, stores, second, method):
    options = settings if method == "semiuhpe" else [*common_settings, "--method", method, "--pretrain_iteration", "3"]
    options = several(options, f"{stores['labeled']}:3", f"{second}:1")
    data = method_of(experiment_of(*options, "--label_offset", "none", "0", "-5", "0")).open_data()
    lines = [line for line in data.log_lines if line.startswith("Labeled set")]
    assert "24 heads, weight 3, 75.0% of what is drawn." in lines[0]
    assert "10 heads, weight 1, 25.0% of what is drawn; labels turned by (0, -5, 0) degrees." in lines[1]
    assert isinstance(stream_of(data.labeled, 4, 0, 0, 0, 1), WeightedStream)


def test_sets_without_weights_are_one_set(settings, stores, second):
    data = open_training_data(experiment_of(*several(settings, stores["labeled"], second)).data, True, 0)
    assert type(stream_of(data.labeled, 4, 0, 0, 0, 1)) is ShuffledStream
    assert "10 heads, no weight, 29.4% of what is drawn." in data.log_lines[2]


def test_a_killed_run_on_several_sets_resumes_exactly(settings, stores, second, monkeypatch):
    settings = [*several(settings, f"{stores['labeled']}:3", f"{second}:1"), "--val_frequency", "1"]
    settings += ["--label_offset", "none", "0", "-5", "0"]
    whole = train(settings).folder
    saved = yaml.safe_load((whole / "config.yml").read_text())
    assert saved["train_labeled"] == [f"{stores['labeled']}:3", f"{second}:1"]
    assert saved["label_offset"] == ["none", "0", "-5", "0"]
    assert {"train_labeled", "train_labeled_2"} <= yaml.safe_load((whole / VERSIONS).read_text())["stores"].keys()
    folder = killed_run(monkeypatch, settings, 4)
    resume(settings, folder)
    torch.testing.assert_close(state(folder), state(whole), rtol=0, atol=0)


def test_settings_files_name_sets_as_a_list(stores, second, tmp_path):
    file = tmp_path / "sets.yml"
    file.write_text(f"train_labeled: ['{stores['labeled']}:3', '{second}:1']\nlabel_offset: [none, 0, -5.5, 0]\n")
    options = ("--test_set", str(stores["test"]), "--network", "plainnet", "--image_size", "32")
    sets = experiment_of("--config", str(file), *options, "--stage1_iteration", "150000").data.labeled_sets
    assert [(each.weight, each.offset_deg) for each in sets] == [(3.0, None), (1.0, (0.0, -5.5, 0.0))]


def test_sets_that_do_not_fit_are_refused_before_anything_is_written(settings, stores, second, tmp_path, capsys):
    for words, said in (
        ((stores["labeled"], f"{second}:1"), "only some sets have a weight"),
        ((second, stores["unlabeled"]), "is one of several labeled sets"),
        ((second, stores["test"]), "both are the store"),
        ((second, tmp_path / "none.lmdb"), "none.lmdb"),
    ):
        assert said in refused(capsys, train_cli.main, several(settings, *words))
    assert not (tmp_path / "exps").exists()


def test_scenes_of_several_sets(tmp_path):
    paths = [tmp_path / f"{name}.lmdb" for name in ("one", "other", "test")]
    for seed, path in enumerate(paths):
        write_scenes(SceneSet(4 + seed, 2, "clean", "front", seed, 80), path)
    one, other = map(SceneStore, paths[:2])
    settings = [
        *("--exps_dir", str(tmp_path / "exps"), "--method", "onestage", "--pretrained", "false", "--image_size", "64"),
        *("--network", "onestage:timm:lcnet_035", "--num_workers", "0", "--test_set", str(paths[2])),
        *("--train_labeled", f"{paths[0]}:1", f"{paths[1]}:3", "--label_offset", "none", "0", "30", "0"),
        *("--batch_size", "4", "--max_iteration", "2", "--val_frequency", "2", "--log_frequency", "1"),
    ]
    data = method_of(experiment_of(*settings)).open_data()
    assert isinstance(data.labeled, JoinedScenes)
    heads, before = data.labeled.view([5]).heads(0), other.heads(1)
    turn = Rotation.from_rotvec((0, 30, 0), degrees=True).as_matrix()
    np.testing.assert_allclose(heads.rotation, before.rotation @ turn, atol=1e-6)
    np.testing.assert_array_equal(heads.box, before.box)
    np.testing.assert_array_equal(data.labeled.image(5), other.image(1))
    assert f"{one.meta['heads']} heads, weight 1, 25.0%" in data.log_lines[1]
    assert len(losses(train(settings).folder)) == 2
