"""What is behind rendered heads: drawn places, and a user's own photographs."""

import shutil

import cv2
import numpy as np
import pytest
from support.errors import refused, says

from semiuhpe.cli import scenes, synth
from semiuhpe.data.stores import HeadStore, SceneStore
from semiuhpe.errors import DataError
from semiuhpe.rotation import FRONTAL
from semiuhpe.synthetic import backgrounds, clutter, scenery
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.photographs import find_photographs
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.render_scene import render_scene

RED = np.array([200, 30, 30], np.uint8)
BOTH = pytest.mark.parametrize("command", [synth.main, scenes.main], ids=["synth", "scenes"])


@pytest.fixture
def folder(tmp_path):
    """Pictures that are red all over, of several kinds and sizes, one in a folder below."""
    folder = tmp_path / "holidays"
    (folder / "day 2").mkdir(parents=True)
    for name, size in (("a.jpg", (300, 500)), ("b.png", (90, 60)), ("day 2/c.jpg", (1700, 1900))):
        assert cv2.imwrite(str(folder / name), np.broadcast_to(RED[::-1], (*size, 3)))
    return folder


def rendered(command, *options):
    assert command([str(option) for option in options]) == 0


def is_red(image: np.ndarray) -> bool:
    """Whether the upper corners are redder than anything but red paper."""
    corners = np.concatenate([image[:6, :6].reshape(-1, 3), image[:6, -6:].reshape(-1, 3)]).astype(float)
    red, green, blue = np.median(corners, axis=0)
    return red > 1.6 * max(green, blue)


# ---- drawn ----


@pytest.mark.parametrize("place", scenery.PLACES, ids=lambda place: place.__name__)
def test_places_are_pictures_that_differ(place):
    first, again, other = (place(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (scenery.SIDE, scenery.SIDE, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 3


@pytest.mark.parametrize("draw", [backgrounds.clean_background, backgrounds.wild_background])
def test_drawn_backgrounds(draw):
    for size in (24, 96, 225):
        first = draw(size, np.random.default_rng(5))
        draw(50, np.random.default_rng(6))
        again = draw(size, np.random.default_rng(5))
        assert first.shape == (size, size, 3) and first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)


def test_backgrounds_are_light_and_dark_and_mostly_dull():
    """As on photographs of the web; bright colors all over would be learned as what a background is."""
    means = np.array([backgrounds.wild_background(48, np.random.default_rng(i)).mean((0, 1)) for i in range(300)])
    level, saturation = means.mean(1), np.ptp(means, axis=1)
    assert (level < 50).mean() > 0.1 and (level > 205).mean() > 0.1 and np.median(saturation) < 40


def test_things_in_focus_are_mostly_small_and_their_own():
    changed = []
    for seed in range(60):
        first, again = np.full((2, 160, 160, 3), 90, np.uint8)
        clutter.draw_things(first, np.random.default_rng(seed))
        clutter.draw_things(again, np.random.default_rng(seed))
        np.testing.assert_array_equal(first, again)
        changed.append((first != 90).any(-1).mean())
    assert 5 < np.sum(np.array(changed) == 0) < 30 and 0.05 < np.mean(changed) < 0.5


@pytest.mark.parametrize("number", range(12))
def test_a_thing_fills_its_square_and_nothing_beyond(number):
    color, opaque = clutter._thing(number)
    assert color.shape == (clutter.SIDE, clutter.SIDE, 3) and color.min() >= 0 and color.max() <= 255
    edge = np.concatenate([opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1]])
    assert opaque.min() >= 0 and opaque.max() == 1 and edge.max() < 0.5 and (opaque > 0.5).mean() > 0.02


# ---- photographs ----


def test_photographs_are_behind_heads_and_scenes(folder):
    photographs = find_photographs(folder)
    red = 0
    for seed in range(20):
        head = render_head(FRONTAL.numpy(), np.random.default_rng(seed), "wild", 64, photographs=photographs)
        red += is_red(head.image)
        again = render_head(FRONTAL.numpy(), np.random.default_rng(seed), "wild", 64, photographs=photographs)
        np.testing.assert_array_equal(head.image, again.image)
    assert red >= 10  # the others are black and white, or hidden by hands and hair
    scene = [render_scene(np.eye(3)[None], np.random.default_rng(i), "wild", 96, 30.0, photographs) for i in range(8)]
    assert sum(is_red(picture.image) for picture in scene) >= 4


@BOTH
def test_a_store_says_which_photographs_it_shows(command, folder, tmp_path):
    kind = HeadStore if command is synth.main else SceneStore
    found = []
    copy = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copy)
    for name, place, workers in (("one", folder, 1), ("two", copy, 2)):
        out = tmp_path / f"{name}.lmdb"
        rendered(command, "--out", out, "--count", 4, "--size", 64, "--backgrounds", place, "--workers", workers)
        found.append(kind(out))
    settings = found[0].meta["settings"]["backgrounds"]
    assert settings["folder"] == "holidays" and settings["count"] == 3 and len(settings["sha256"]) == 64
    assert found[1].meta["settings"]["backgrounds"] == settings  # they are the same, wherever they lie
    for i in range(4):
        np.testing.assert_array_equal(found[0].image(i), found[1].image(i))
    drawn = tmp_path / "drawn.lmdb"
    rendered(command, "--out", drawn, "--count", 1, "--size", 64)
    assert "backgrounds" not in kind(drawn).meta["settings"]


def test_other_photographs_have_another_hash(folder):
    before = find_photographs(folder)
    (folder / "notes.txt").write_text("not a picture")
    assert find_photographs(folder) == before
    cv2.imwrite(str(folder / "b.png"), np.zeros((91, 60, 3), np.uint8))
    assert find_photographs(folder).sha256 != before.sha256


def test_a_folder_that_changes_meanwhile_is_not_used(folder, tmp_path):
    photographs = find_photographs(folder)
    (folder / "b.png").unlink()
    with pytest.raises(DataError, match=r"--backgrounds .*holidays"):
        write_store(SyntheticSet(3, "wild", "front", 0, 48, False, photographs), tmp_path / "heads.lmdb")
    assert not (tmp_path / "heads.lmdb").exists()


def missing(folder):
    return folder.with_name("holiday"), "holiday did you mean holidays"


def a_file(folder):
    return folder / "a.jpg", "a.jpg folder"


def empty(folder):
    (folder.with_name("empty")).mkdir()
    return folder.with_name("empty"), "empty .jpg"


def not_a_picture(folder):
    (folder / "broken.jpg").write_text("no picture")
    return folder, "broken.jpg remove"


def cut_short(folder):
    """Its header is in order, so that only decoding it shows what is wrong."""
    for name in ("a.jpg", "b.png", "day 2/c.jpg"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    return folder, "holidays remove"


@BOTH
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", [missing, a_file, empty, not_a_picture, cut_short])
def test_photographs_that_cannot_be_used(command, fault, workers, folder, tmp_path, capsys):
    place, words = fault(folder)
    there = set(tmp_path.iterdir())
    arguments = ["--out", tmp_path / "new.lmdb", "--backgrounds", place, "--count", 6, "--size", 64]
    error = refused(capsys, command, [*arguments, "--workers", workers])
    assert says(error, f"--backgrounds {words}")
    assert {path for path in tmp_path.iterdir() if not path.name.endswith(".lock")} == there


@BOTH
def test_clean_heads_have_no_photographs(command, folder, tmp_path, capsys):
    arguments = ["--out", tmp_path / "new.lmdb", "--backgrounds", folder, "--domain", "clean"]
    assert says(refused(capsys, command, arguments), "--backgrounds clean wild")


def test_the_store_is_not_the_folder(folder, capsys):
    error = refused(capsys, synth.main, ["--out", folder, "--backgrounds", folder, "--overwrite"])
    assert says(error, f"--out {folder}")
    assert (folder / "a.jpg").exists()
