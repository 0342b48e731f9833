"""Scenes: rendering, masks, turning, the store, whole pictures of raw datasets."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from support.errors import refused
from support.raw_datasets import write_300wlp
from torchvision.ops import box_convert, box_iou

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.scenes import plain_view, training_view
from semiuhpe.augment.views import denormalize
from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli import scenes as scenes_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.affine import turn_matrix
from semiuhpe.data.batches.scenes import SceneBatch, ordered_scenes
from semiuhpe.data.crop import encode
from semiuhpe.data.experiment import DataOptions, open_scenes
from semiuhpe.data.preparing import prepare_scenes
from semiuhpe.data.preparing.scenes import turned_scene
from semiuhpe.data.scene_labels import (
    MIRRORED_LANDMARKS,
    Labels,
    clip_and_filter,
    transform_labels,
)
from semiuhpe.data.stores import SceneHeads, SceneStore, StoredScene, StoreWriter, scene_meta
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.rotation import geodesic_deg, in_plane_rotation
from semiuhpe.synthetic.head import head_vertices, template
from semiuhpe.synthetic.mask_shapes import five_landmarks
from semiuhpe.synthetic.masks import draw_mask, fit_head
from semiuhpe.synthetic.render_scene import look_at, render_scene
from semiuhpe.synthetic.rotations import random_rotations
from semiuhpe.synthetic.scene_stores import SceneSet, mask_some, write_scenes

META = scene_meta(dataset="made", split="test", size=64, full_range=True, source="a test", settings={})


def scene(seed, turn_deg=0.0, domain="clean", size=160, range_="full"):
    rotations = random_rotations(5, np.random.default_rng(seed), range_)
    return render_scene(rotations, np.random.default_rng([seed, 1]), domain, size, turn_deg), rotations


def labels(heads):
    tensors = (torch.from_numpy(values)[None] for values in (heads.box, heads.landmarks, heads.rotation))
    box, landmarks, rotation = tensors
    return Labels(box_convert(box, "xywh", "xyxy"), landmarks, rotation)


def test_a_scene_is_a_function_of_its_arguments():
    (first, rotations), (again, _) = scene(0, domain="wild"), scene(0, domain="wild")
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.heads.box, again.heads.box)
    np.testing.assert_allclose(first.heads.rotation, rotations[: len(first.heads)], atol=1e-6)


def test_a_nearer_head_hides_a_farther_one():
    shares = np.concatenate([scene(seed)[0].heads.visible for seed in range(12)])
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (shares < 0.9).any() and (shares == 1).sum() > len(shares) / 3


@pytest.mark.parametrize("direction", [(0, 0, 1), (0.4, -0.3, 1), (-1, 0.2, 0.7)])
def test_the_camera_is_turned_the_shortest_way(direction):
    rotation = look_at(np.array(direction, float))
    np.testing.assert_allclose(rotation @ [0, 0, 1], direction / np.linalg.norm(direction), atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    angle = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
    assert angle == pytest.approx(np.degrees(np.arccos(direction[2] / np.linalg.norm(direction))), abs=1e-5)


@pytest.mark.parametrize("angle", [45.0, -20.0])
def test_labels_of_a_turned_picture_are_those_of_the_turned_rendering(angle):
    """The camera is turned before the same heads: nothing of it uses the arithmetic of labels."""
    overlaps = []
    for seed in range(4):
        (plain, _), (turned, _) = scene(seed), scene(seed, angle)
        if not len(plain.heads):
            continue
        image, heads = turned_scene(plain.image, plain.heads, angle)
        np.testing.assert_allclose(heads.landmarks, turned.heads.landmarks, atol=0.02)
        np.testing.assert_allclose(heads.rotation, turned.heads.rotation, atol=1e-5)
        overlap = box_iou(
            *(box_convert(torch.from_numpy(h.box), "xywh", "xyxy") for h in (heads, turned.heads))
        ).diagonal()
        overlaps += overlap.tolist()
        side = len(image)
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        middle = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (0.45 * side) ** 2  # not cut off in either
        other, _ = turned_scene(plain.image, plain.heads, -angle)
        difference, otherwise = (np.abs(a[middle].astype(float) - turned.image[middle]).mean() for a in (image, other))
        assert difference < 4 and otherwise > 2 * difference
    assert np.mean(overlaps) > 0.78 and min(overlaps) > 0.6  # the boxes about turned corners: 0.5 on average at 45


def test_a_turned_box_is_closer_than_that_about_the_corners():
    box = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]])
    still = Labels(box, torch.zeros(1, 1, 5, 2), torch.eye(3)[None, None])
    angle, size = torch.tensor([45.0]), torch.tensor([10.0])
    turned = transform_labels(still, turn_matrix(angle, size, size), angle, torch.tensor([False]))
    torch.testing.assert_close(turned.box, box)  # a circle, whereas the corners would need 14.1 px
    torch.testing.assert_close(turned.rotation[0, 0], in_plane_rotation(angle)[0])


@pytest.mark.parametrize("turned", [0.0, 1.0])
def test_labels_of_a_training_view_lie_where_the_picture_shows_them(turned):
    """Each landmark of the stored picture is a dot of a color of its own."""
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]], np.uint8)
    points = np.array([[60, 50], [90, 52], [76, 70], [64, 90], [88, 88]], np.float32)
    image = np.full((160, 150, 3), 20, np.uint8)
    for (x, y), color in zip(points, colors, strict=True):
        cv2.circle(image, (round(float(x) - 0.5), round(float(y) - 0.5)), 4, color.tolist(), -1)
    canvas = np.zeros((160, 160, 3), np.uint8)
    canvas[:, :150] = image
    count = 24
    batch = SceneBatch(
        image=torch.from_numpy(np.stack([canvas] * count)).permute(0, 3, 1, 2),
        extent=torch.tensor([[150.0, 160.0]] * count),
        box=torch.tensor([[[45.0, 30.0, 60.0, 75.0]]] * count),
        landmarks=torch.from_numpy(np.stack([points[None]] * count)),
        rotation=torch.eye(3).expand(count, 1, 3, 3),
        visible=torch.ones(count, 1),
    )
    view = training_view(batch, 128, turned, BatchRandom(torch.Generator().manual_seed(0)))
    seen, mirrored = 0, 0
    for picture, places in zip(view.image, view.landmarks[:, 0], strict=True):
        for number, (x, y) in enumerate(places.tolist()):
            if not (4 < x < 124 and 4 < y < 124):
                continue
            shown = picture[:, int(y), int(x)]
            own, other = colors[number], colors[MIRRORED_LANDMARKS[number]]
            bright = (shown > picture.mean((1, 2)) + 1.0).numpy()
            assert (bright == (own > 0)).all() or (bright == (other > 0)).all()
            mirrored += int((own != other).any() and (bright == (other > 0)).all())
            seen += 1
    assert seen > 60 and mirrored > 15


def test_a_plain_view_keeps_everything_in_place():
    heads = SceneHeads(
        np.array([[10.0, 20, 30, 40]], np.float32), np.full((1, 5, 2), np.nan, np.float32), np.eye(3)[None],
        np.ones(1, np.float32), np.zeros(1, bool),
    )  # fmt: skip
    image = np.zeros((100, 50, 3), np.uint8)
    image[20:60, 10:40] = 255
    canvas = np.zeros((1, 3, 100, 100), np.uint8)
    canvas[0, :, :, :50] = image.transpose(2, 0, 1)
    parts = {"box": heads.box, "landmarks": heads.landmarks, "rotation": heads.rotation, "visible": heads.visible}
    batch = SceneBatch(
        torch.from_numpy(canvas), torch.tensor([[50.0, 100.0]]),
        **{name: torch.from_numpy(np.asarray(value, np.float32))[None] for name, value in parts.items()},
    )  # fmt: skip
    view = plain_view(batch, 64)
    torch.testing.assert_close(view.box[0, 0], torch.tensor([6.4, 12.8, 25.6, 38.4]))
    bright = np.argwhere(denormalize(view.image)[0, 0].numpy() > 0.5)
    np.testing.assert_allclose([*bright.min(0)[::-1], *(bright.max(0)[::-1] + 1)], view.box[0, 0], atol=1)
    assert view.wanted.all() and not view.ignored.any()


def test_which_heads_are_to_be_found():
    box = torch.tensor([[
        [-500.0, -400, 700, 800],  # larger than the picture: all that is seen of it is the head
        [10, 10, 40, 50],
        [-90, 10, 10, 60],  # a tenth is left
        [20, 20, 26, 40],  # 6 px wide
        [10, 10, 40, 50],  # covered
        [120, 0, 150, 30],  # outside
        [0, 0, 1, 1],  # padding
    ]])  # fmt: skip
    visible = torch.tensor([[1.0, 1, 1, 1, 0.2, 1, 0]])
    limited, wanted, ignored = clip_and_filter(box, visible, torch.tensor([[100.0, 80.0]]))
    assert wanted.tolist() == [[True, True, False, False, False, False, False]]
    assert ignored.tolist() == [[False, False, True, True, True, False, False]]
    assert limited[0, 0].tolist() == [0, 0, 100, 80]


# ---- masks


def mean_head(rotation, scale=60.0, size=240):
    """Vertices and landmarks of the mean head in the middle of a picture, without perspective, and its box."""
    v = template().vertices @ rotation.T * scale + size / 2
    points = five_landmarks(v)[:, :2]
    skin = v[head_vertices(), :2]
    return points, np.concatenate([skin.min(0), np.ptp(skin, axis=0)])


def test_a_mask_lies_on_the_lower_face_for_any_rotation():
    skin = template().vertices[head_vertices()]
    lower = skin[(skin[:, 1] < 0.12) & (skin[:, 2] > -0.35)] * 1.1
    shown = hidden = 0
    for number, rotation in enumerate(random_rotations(60, np.random.default_rng(3))):
        points, box = mean_head(rotation)
        image = np.full((240, 240, 3), 128, np.uint8)
        drawn = draw_mask(image, rotation, points, box, np.random.default_rng(number))
        there = np.argwhere((image != 128).any(-1))[:, ::-1]
        looks_away = rotation[2, 2]  # of the face's normal, into the scene
        if not drawn:
            assert looks_away > 0.1
            assert len(there) < 0.03 * box[2] * box[3]
            hidden += 1
            continue
        hull = cv2.convexHull((lower @ rotation.T * 60 + 120)[:, :2].astype(np.float32))
        outside = [cv2.pointPolygonTest(hull, (float(x), float(y)), True) < -9 for x, y in there]
        assert np.mean(outside) < 0.02, number
        if looks_away < -0.85:  # the mouth is covered, the eyes are not
            mouth, eyes = points[3:].mean(0), points[:2]
            assert np.abs(there - mouth).max(-1).min() < 2
            assert all(np.abs(there - eye).max(-1).min() >= 2 for eye in eyes)
        shown += 1
    assert shown > 25 and hidden >= 5


@pytest.mark.parametrize("with_landmarks", [True, False])
def test_the_mean_head_is_fitted_to_heads_of_scenes(with_landmarks):
    errors = []
    for seed in range(6):
        heads = scene(seed)[0].heads
        for box, landmarks, rotation in zip(heads.box, heads.landmarks, heads.rotation, strict=True):
            given = landmarks if with_landmarks else np.full((5, 2), np.nan)
            scale, shift = fit_head(rotation, given, box)
            mean = five_landmarks(template().vertices)
            camera = mean @ rotation.T
            placed = camera[:, :2] * (12 / (12 + camera[:, 2:])) * scale + shift
            errors.append(np.linalg.norm(placed - landmarks, axis=1).mean() / box[2:].mean())
    assert np.median(errors) < (0.04 if with_landmarks else 0.1) and max(errors) < (0.12 if with_landmarks else 0.4)


def test_masks_change_a_share_of_the_heads_and_say_which():
    plain, _ = scene(2, range_="front")
    image, heads = mask_some(plain.image, plain.heads, np.random.default_rng(0), share=1.0)
    assert heads.masked.any() and not plain.heads.masked.any()
    assert (image != plain.image).any()
    same, heads = mask_some(plain.image, plain.heads, np.random.default_rng(0), share=0.0)
    np.testing.assert_array_equal(same, plain.image)
    assert not heads.masked.any()


# ---- stores


def write_store(path, scenes):
    with StoreWriter(path, META) as writer:
        for number, (image, heads) in enumerate(scenes):
            writer.add(StoredScene(f"{number}", encode(image), image.shape[1::-1], heads))
    return SceneStore(path)


def test_a_store_gives_back_scenes_of_any_number_of_heads(tmp_path):
    (first, _), (second, _) = scene(1, size=64), scene(3, size=64)
    empty = np.zeros((48, 64, 3), np.uint8)
    store = write_store(tmp_path / "a.lmdb", [
        (first.image, first.heads), (empty, SceneHeads.none()), (second.image, second.heads),
    ])  # fmt: skip
    assert len(store) == 3 and store.meta["heads"] == len(first.heads) + len(second.heads)
    np.testing.assert_array_equal(store.image(0), first.image)
    np.testing.assert_array_equal(store.heads(2).rotation, second.heads.rotation)
    assert len(store.heads(1)) == 0 and store.extent.tolist() == [[64, 64], [64, 48], [64, 64]]
    view = store.view([2, 1])
    np.testing.assert_array_equal(view.heads(0).box, second.heads.box)
    batches = list(ordered_scenes(store, 2))
    assert [len(batch) for batch in batches] == [2, 1]
    assert (batches[0].visible[1] == 0).all() and batches[0].rotation.isfinite().all()


def test_a_store_of_scenes_without_heads(tmp_path):
    store = write_store(tmp_path / "a.lmdb", [(np.zeros((64, 64, 3), np.uint8), SceneHeads.none())] * 3)
    (batch,) = ordered_scenes(store, 3)
    view = training_view(batch, 64, 1.0, BatchRandom(torch.Generator().manual_seed(0)))
    assert not view.wanted.any() and not view.ignored.any() and view.image.isfinite().all()


def test_labels_that_are_not_finite_are_refused_and_nothing_is_left(tmp_path):
    plain, _ = scene(1, size=64)
    plain.heads.rotation[0, 0, 0] = np.nan
    with pytest.raises(StoreError, match="rotation"):
        write_store(tmp_path / "a.lmdb", [(plain.image, plain.heads)])
    assert list(tmp_path.iterdir()) == []


def test_head_stores_and_scene_stores_are_not_mistaken_for_each_other(stores, tmp_path):
    with pytest.raises(StoreError, match="--scenes"):
        SceneStore(stores["test"])
    write_store(tmp_path / "a.lmdb", [(np.zeros((64, 64, 3), np.uint8), SceneHeads.none())])
    with pytest.raises(StoreError, match=r"a\.lmdb.*scenes"):
        HeadStore(tmp_path / "a.lmdb")


def test_turned_and_masked_stores_change_nothing_else(tmp_path):
    plain = SceneSet(6, 3, "clean", "front", 5, 96)
    write_scenes(plain, tmp_path / "plain.lmdb")
    write_scenes(SceneSet(6, 3, "clean", "front", 5, 96, masked=1.0, turned=1.0), tmp_path / "changed.lmdb", workers=2)
    first, second = SceneStore(tmp_path / "plain.lmdb"), SceneStore(tmp_path / "changed.lmdb")
    assert (first.turn_deg == 0).all() and (np.abs(second.turn_deg) > 0).all() and (np.abs(second.turn_deg) <= 45).all()
    masked = 0
    for i in range(6):
        turn = in_plane_rotation(torch.tensor(float(second.turn_deg[i])))
        rotation, other = (torch.from_numpy(store.heads(i).rotation) for store in (first, second))
        assert (geodesic_deg(turn @ rotation, other) < 0.05).all()
        masked += second.heads(i).masked.sum()
        assert not first.heads(i).masked.any()
    assert masked >= second.meta["heads"] / 3


def test_the_command_renders_a_store_and_a_sheet(tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    out = ["--out", str(tmp_path / "a.lmdb"), "--count", "3", "--size", "64", "--sheet", str(sheet)]
    assert run(scenes_cli.main, out) == 0
    assert "3 scenes" in capsys.readouterr().out and cv2.imread(str(sheet)) is not None
    for bad, word in (("--masked 1.5", "--masked"), ("--size 8", "--size"), ("--turned -1", "--turned")):
        assert word in refused(capsys, scenes_cli.main, [*out, "--overwrite", *bad.split()])


# ---- raw datasets


def test_whole_pictures_of_300wlp(tmp_path, capsys):
    source = write_300wlp(tmp_path / "raw", with_landmarks=False)
    out = tmp_path / "scenes.lmdb"
    command = ["300WLP", "--scenes", "--source", str(source), "--out", str(out), "--size", "60", "--workers", "0"]
    assert run(prepare_cli.main, command) == 0
    assert "6 pictures kept" in capsys.readouterr().out
    store = SceneStore(out)
    heads = store.heads(1)
    assert store.names[1] == "AFW/1" and store.extent[1].tolist() == [50, 60]  # 100 x 120 px, halved
    x, y, w, h = heads.box[0]
    assert (heads.landmarks[0] > [x, y]).all() and (heads.landmarks[0] < [x + w, y + h]).all()
    expected = prepare_scenes("300WLP", source, tmp_path / "large.lmdb")
    assert expected.kept == 6
    np.testing.assert_allclose(SceneStore(tmp_path / "large.lmdb").heads(1).box, heads.box * 2, rtol=1e-5)
    assert run(prepare_cli.main, [*command, "--overwrite", "--turned", "1", "--masked", "1"]) == 0
    turned = SceneStore(out)
    turn = in_plane_rotation(torch.tensor(float(turned.turn_deg[1])))
    np.testing.assert_allclose(turned.heads(1).rotation[0], turn.numpy() @ heads.rotation[0], atol=1e-5)


def test_a_masked_or_turned_copy_has_the_name_by_which_it_is_found(tmp_path, monkeypatch, capsys):
    source = write_300wlp(tmp_path / "raw", with_landmarks=False)
    monkeypatch.chdir(tmp_path)
    command = ["300WLP", "--scenes", "--source", str(source), "--limit", "1", "--size", "64", "--workers", "0"]
    for options, name in (
        ([], "300WLP_scenes"),
        (["--masked", "1"], "300WLP_scenes_masked"),
        (["--masked", "1", "--turned", "1"], "300WLP_scenes_masked_turned"),
    ):
        assert run(prepare_cli.main, [*command, *options]) == 0
        assert f"data/{name}.lmdb" in capsys.readouterr().out
    copy = DataOptions.from_values({"test_set": "300WLP_masked", "data_dir_300WLP": "data/300WLP_scenes.lmdb"})
    assert len(open_scenes(copy, "test_set")) == 1


def test_masks_of_a_kind(tmp_path, capsys):
    """A kind changes the masks alone, and is on record; the stores of any mask are what they were."""
    scenes = SceneSet(2, 2, "clean", "front", 3, 96, masked=1.0)
    for name, kind in (("any", None), ("gas", "gas"), ("N95", "N95")):
        write_scenes(replace(scenes, mask_kind=kind), tmp_path / name)
    stores = {name: SceneStore(tmp_path / name) for name in ("any", "gas", "N95")}
    assert "mask_kind" not in stores["any"].meta["settings"] and stores["gas"].meta["settings"]["mask_kind"] == "gas"
    assert stores["gas"].heads(0).masked.any()
    np.testing.assert_array_equal(stores["gas"].heads(0).box, stores["N95"].heads(0).box)
    assert (stores["gas"].image(0) != stores["N95"].image(0)).any()
    for command, more in ((scenes_cli.main, ()), (prepare_cli.main, ("300WLP", "--scenes", "--source", tmp_path))):
        assert "--mask_kind" in refused(capsys, command, [*more, "--out", tmp_path / "x.lmdb", "--mask_kind", "gas"])
    source = write_300wlp(tmp_path / "raw", with_landmarks=True)
    command = ["300WLP", "--scenes", "--source", source, "--out", tmp_path / "p.lmdb", "--workers", "0"]
    assert run(prepare_cli.main, [str(part) for part in (*command, "--masked", "1", "--mask_kind", "KN95")]) == 0


def test_datasets_without_rotations_have_no_scenes(tmp_path, capsys):
    with pytest.raises(ConfigError, match="WiderFace"):
        prepare_scenes("WiderFace", tmp_path, tmp_path / "a.lmdb")
    assert "--scenes" in refused(capsys, prepare_cli.main, ["300WLP", "--source", tmp_path, "--masked", "0.5"])
