"""Picture files of all kinds become the same pixels, and are found in folders as users have them."""

import json
import os
import unicodedata
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from support.errors import refused, says

from semiuhpe.cli import image as image_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.importers.base import Picture as Listed
from semiuhpe.data.preparing.common import read_image
from semiuhpe.errors import ConfigError, DataError
from semiuhpe.evaluation.paper_tables import find_runs
from semiuhpe.files import parse_json, parse_yaml, read_csv
from semiuhpe.inference.detectors import Source, load_detector
from semiuhpe.pictures import files_below, find_pictures, read_picture, reads_heif
from semiuhpe.pixels import to_rgb
from semiuhpe.video.source import open_source

GRAY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def repeated(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def with_alpha(mode, colors, alpha):
    image = Image.fromarray(colors).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    return image


ALPHA = np.where(np.arange(48).reshape(6, 8) % 2, 255, 0).astype(np.uint8)
PALETTE = Image.fromarray(COLOR).quantize(48)


# --- modes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image, expected",
    [
        (Image.fromarray(GRAY > 100), repeated(np.where(GRAY > 100, 255, 0))),
        (Image.fromarray(GRAY), repeated(GRAY)),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), repeated(GRAY)),
        (Image.fromarray((GRAY.astype(np.uint16) * 257).astype(">u2")), repeated(GRAY)),
        (Image.fromarray(GRAY.astype(np.int32)), repeated(GRAY)),
        (Image.fromarray(GRAY.astype(np.int32) * 257), repeated(GRAY)),
        (Image.fromarray(GRAY.astype(np.float32)), repeated(GRAY)),
        (Image.fromarray(GRAY.astype(np.float32) / 255), repeated(GRAY)),
        (Image.fromarray(COLOR), COLOR),
        (Image.fromarray(COLOR).convert("RGBX"), COLOR),
        (PALETTE, np.asarray(PALETTE.convert("RGB"))),
        (with_alpha("LA", GRAY, ALPHA), repeated(GRAY) * (ALPHA[..., None] > 0)),
        (with_alpha("LA", GRAY, ALPHA).convert("La"), repeated(GRAY) * (ALPHA[..., None] > 0)),
        (with_alpha("RGBA", COLOR, ALPHA), COLOR * (ALPHA[..., None] > 0)),
        (with_alpha("RGBA", COLOR, ALPHA).convert("RGBa"), COLOR * (ALPHA[..., None] > 0)),
        (Image.fromarray(255 - COLOR).convert("CMYK"), 255 - COLOR),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_each_mode_has_exact_pixels(image, expected):
    pixels = to_rgb(image)
    assert pixels.dtype == np.uint8 and pixels.shape == (6, 8, 3)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("mode, tolerance", [("YCbCr", 2), ("HSV", 8), ("LAB", 12)])
def test_other_color_spaces_are_those_of_the_picture(mode, tolerance):
    plain = np.full((6, 8, 3), (180, 90, 60), np.uint8)
    lab = Image.new("LAB", (8, 6), (124, 164, 162))  # L 48.6, a 36, b 34 of these colors
    image = lab if mode == "LAB" else Image.fromarray(plain).convert(mode)
    assert np.abs(to_rgb(image).astype(int) - plain).max() <= tolerance


def test_half_transparent_colors_are_darkened():
    image = Image.new("RGBA", (2, 2), (200, 100, 50, 128))
    assert np.abs(to_rgb(image).astype(int) - (100, 50, 25)).max() <= 1
    image = Image.new("P", (2, 2), 0)
    image.putpalette([200, 100, 50])
    image.info["transparency"] = 0
    assert (to_rgb(image) == 0).all()


@pytest.mark.parametrize(
    "values, words",
    [
        (np.full((4, 4), 70_000, np.int32), "70000"),
        (np.full((4, 4), -1, np.int32), "-1"),
        (np.full((4, 4), 300.0, np.float32), "300"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4), np.inf, np.float32), "infinite"),
    ],
)
def test_numbers_of_no_picture_are_an_error(tmp_path, values, words):
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(DataError, match=rf"a\.tif: .*{words}"):
        read_picture(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_files_are_the_eight_bit_picture_everywhere(tmp_path, name):
    """In image.py, in `prepare` and in a video of pictures."""
    path = tmp_path / name
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(path)
    expected = repeated(GRAY)
    np.testing.assert_array_equal(read_picture(path).image, expected)
    np.testing.assert_array_equal(read_image(Listed("a", path, upright=True)), expected)
    (frame,) = open_source(str(tmp_path), Fraction(1)).frames
    np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bit_pictures_are_turned_upright_too(tmp_path, orientation):
    pictures = {}
    for name, image in (("8", Image.fromarray(GRAY)), ("16", Image.fromarray(GRAY.astype(np.uint16) * 257))):
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / f"{name}.png", exif=exif)
        pictures[name] = read_picture(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(pictures["16"].image, pictures["8"].image)
    assert pictures["16"].width == (6 if orientation >= 5 else 8)
    as_stored = read_picture(tmp_path / "16.png", upright=False)
    np.testing.assert_array_equal(as_stored.image, repeated(GRAY))


def test_an_inverted_cmyk_jpeg_has_its_colors(tmp_path):
    """Adobe's programs write them inverted, and Pillow does so too."""
    plain = np.full((16, 16, 3), (200, 120, 40), np.uint8)
    Image.fromarray(plain).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "CMYK" and "adobe" in image.info
    assert np.abs(read_picture(tmp_path / "a.jpg").image.astype(int) - plain).max() < 6


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("album/a.png", "album/b/c.png", "store/d.png", "store/e/f.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOR).save(name)
    return Path("album")


def test_links_to_folders_are_followed_and_loops_are_broken(album):
    Path("album/linked").symlink_to(Path("store").resolve())
    Path("store/e/loop").symlink_to(album.resolve())
    Path("album/again").symlink_to(Path("album/b").resolve())
    names = ["album/a.png", "album/b/c.png", "album/linked/d.png", "album/linked/e/f.png"]
    assert find_pictures(["album"], Path("out"))[0] == names
    assert find_pictures(["album/**/*.png"], Path("out"))[0] == sorted(names)
    assert {path.as_posix() for path in files_below(album)} == set(names)
    listed = IMPORTERS["folder"].pictures(album, "train")
    assert [picture.name for picture in listed] == ["a.png", "b/c.png", "linked/d.png", "linked/e/f.png"]


def test_links_in_circles_do_not_hold_up_globs(album):
    """Python's own ``**`` follows them 40 deep, each of several at every level."""
    for number in range(3):
        Path(f"album/loop{number}").symlink_to(".")
    Path("album/a_first").symlink_to("b")
    names = ["album/a.png", "album/b/c.png"]  # their own paths, and not that of a link before them
    for given in ("album", "album/**/*.png", "album/**", f"{Path.cwd()}/album/**/*.png"):
        found, _ = find_pictures([given], Path("out"))
        assert [os.path.relpath(name) for name in found] == names, given
    assert find_pictures(["**/c.png"], Path("out"))[0] == ["album/b/c.png"]


def test_a_folder_behind_a_link_keeps_its_own_path(album):
    Path("album/aa").mkdir()
    Path("album/aa/link").symlink_to("../b")
    assert find_pictures(["album"], Path("out"))[0] == ["album/a.png", "album/b/c.png"]


def test_what_cannot_be_looked_into_is_told_of(album, monkeypatch, caplog):
    Path("album/gone.png").symlink_to("nowhere.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert find_pictures(["album"], Path("out"))[0] == ["album/a.png", "album/gone.png"]
    assert says(caplog.text, "album/b: Permission denied")
    assert "gone.png" in [picture.name for picture in IMPORTERS["folder"].pictures(album, "train")]


def test_results_behind_links_are_found_for_the_tables(tmp_path):
    (tmp_path / "store/run").mkdir(parents=True)
    (tmp_path / "store/run/eval_test.json").write_text("{")
    (tmp_path / "exps").mkdir()
    (tmp_path / "exps/link").symlink_to("../store")
    runs, left_out = find_runs(tmp_path / "exps")
    assert not runs and len(left_out) == 1 and "link/run/eval_test.json" in left_out[0]
    assert find_runs(tmp_path / "nowhere") == ([], [])


def test_hidden_files_are_skipped(album):
    for name in ("album/.hidden.png", "album/.cache/e.png", "album/b/.d.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(COLOR).save(name)
    for given in ("album", "album/**/*.png"):
        assert find_pictures([given], Path("out"))[0] == ["album/a.png", "album/b/c.png"]
    assert len(IMPORTERS["folder"].pictures(album, "train")) == 2 and open_source("album/b").count == 1


def test_files_of_macos_that_only_look_like_pictures_are_skipped(album):
    Path("album/._a.png").write_bytes(b"\0\5\26\7\0\2")
    assert find_pictures(["album"], Path("out"))[0] == ["album/a.png", "album/b/c.png"]
    assert [picture.name for picture in IMPORTERS["folder"].pictures(album, "train")] == ["a.png", "b/c.png"]
    Image.fromarray(COLOR).save("album/b/d.png")
    Path("album/b/._d.png").write_bytes(b"\0\5\26\7\0\2")
    assert open_source("album/b").count == 2


@pytest.mark.parametrize("source", ["album", "album/*.png", "album/**/*.png"])
def test_a_runs_own_drawings_are_never_inputs(album, source, tmp_path, capsys):
    output = ["--output", "album", "--detector", "whole"]
    argv = ["heads-full", "--input", source, *output]
    count = 1 if source == "album/*.png" else 2
    assert run(image_cli.main, argv) == 0
    assert f"{count} pictures done with {count} heads" in capsys.readouterr().out
    assert (album / "pictures" / "album" / "a.png").is_file()
    assert run(image_cli.main, argv) == 0
    assert f"0 pictures done with 0 heads, {count} were done before" in capsys.readouterr().out


def test_drawings_do_not_go_among_a_users_pictures(album, capsys):
    Path("album/b").rename("album/pictures")
    argv = ["heads-full", "--input", "album", "--output", "album", "--detector", "whole"]
    assert "--output album" in refused(capsys, image_cli.main, argv)
    assert sorted(os.listdir("album")) == ["a.png", "pictures"]


def test_of_an_animation_the_first_frame_is_posed_and_that_is_said(album, caplog):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    for name in ("a.webp", "b.png"):
        frames[0].save(album / name, save_all=True, append_images=frames[1:], duration=100)
        assert np.abs(read_picture(album / name).image[30, 30].astype(int) - (255, 0, 0)).max() < 12
    with caplog.at_level("INFO"):
        argv = ["heads-full", "--input", "album", "--detector", "whole", "--draw", "none"]
        assert run(image_cli.main, argv) == 0
    assert sum("2 animations" in record.message and "video.py" in record.message for record in caplog.records) == 1


def test_heic_is_read_or_named(album, caplog, capsys):
    if reads_heif():
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save("album/x.heic")
        assert "album/x.heic" in find_pictures(["album"], Path("out"))[0]
        assert np.abs(read_picture("album/x.heic").image.astype(int) - 90).max() < 5
        return
    Path("album/x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    names, unread = find_pictures(["album"], Path("out"))
    assert names == ["album/a.png", "album/b/c.png"] and unread == 1
    with pytest.raises(DataError, match=r"x\.heic: .*semiuhpe\[heif\]"):
        read_picture("album/x.heic")
    IMPORTERS["folder"].pictures(album, "train")
    assert "1 HEIC" in caplog.text and "semiuhpe[heif]" in caplog.text
    for name in ("album/a.png", "album/b/c.png"):
        Path(name).unlink()
    with pytest.raises(ConfigError, match=r"--input album.*1 HEIC.*semiuhpe\[heif\]"):
        find_pictures(["album"], Path("out"))
    assert run(image_cli.main, ["heads-full", "--input", "album", "--detector", "whole"]) == 2


def test_a_video_is_for_the_other_script(album):
    for name in ("clip.mp4", "clip.MOV", "clip.mkv", "clip.webm"):
        Path(name).write_bytes(b"\0")
        with pytest.raises(ConfigError, match=rf"--input {name}: .*video\.py"):
            find_pictures([name], Path("out"))


def test_a_folder_of_nearly_that_name(album):
    with pytest.raises(ConfigError, match=r"--input albun: .*did you mean album"):
        find_pictures(["albun"], Path("out"))


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_spreadsheets(tmp_path, delimiter):
    rows = ["image,x,y,w,h", "a.png,1,2.5,30,40", ",,,,", "b.png,3,4,50,60", ",,,,,,"]
    text = "\r\n".join(rows).replace(",", delimiter)
    if delimiter != ",":
        text = text.replace("2.5", "2,5")
    (tmp_path / "a.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert list(read_csv(tmp_path / "a.csv")) == [
        (1, ["image", "x", "y", "w", "h"]),
        (2, ["a.png", "1", "2.5", "30", "40"]),
        (4, ["b.png", "3", "4", "50", "60"]),
    ]
    detector = load_detector(f"boxes:{tmp_path / 'a.csv'}")
    found = detector(np.zeros((90, 90, 3), np.uint8), Source("a.png"))
    np.testing.assert_allclose(found.boxes, [[1, 2.5, 30, 40]])
    for name in ("a.png", "b.png"):
        Image.fromarray(COLOR).save(tmp_path / name)
    listed = IMPORTERS["folder"].pictures(tmp_path / "a.csv", "train")
    assert [next(iter(IMPORTERS["folder"].heads(picture))).box.tolist() for picture in listed] == [
        [1, 2.5, 30, 40],
        [3, 4, 50, 60],
    ]


def test_a_byte_order_mark_is_no_content(tmp_path):
    assert parse_json("\ufeff[1]") == parse_json("\ufeff[1]".encode()) == [1]
    assert parse_yaml("\ufeffa: 1") == {"a": 1}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps({"a.png": [[1, 2, 30, 40]]}), encoding="utf-8")
    found = load_detector(f"boxes:{tmp_path / 'a.json'}")(np.zeros((90, 90, 3), np.uint8), Source("a.png"))
    assert len(found) == 1


@pytest.mark.parametrize("as_written", ["party\\Zoë.png", "party/" + unicodedata.normalize("NFD", "Zoë") + ".png"])
def test_names_of_other_systems_are_found(tmp_path, as_written):
    name = unicodedata.normalize("NFC", "Zoë") + ".png"
    (tmp_path / "party").mkdir()
    Image.fromarray(COLOR).save(tmp_path / "party" / name)
    table = tmp_path / "a.csv"
    table.write_text(f"image,x,y,w,h\n{as_written},1,2,3,4\n", encoding="utf-8")
    detector = load_detector(f"boxes:{table}")
    assert len(detector(COLOR, Source(str(tmp_path / "party" / name)))) == 1
    (picture,) = IMPORTERS["folder"].pictures(table, "train")
    np.testing.assert_array_equal(read_image(picture), COLOR)


def test_names_in_other_letters_are_suggested(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "IMG_1.png")
    table = tmp_path / "a.csv"
    table.write_text("image,x,y,w,h\nimg_1.PNG,1,2,3,4\n")
    with pytest.raises(DataError, match=r"did you mean img_1\.PNG"):
        load_detector(f"boxes:{table}")(COLOR, Source("IMG_1.png"))
    (picture,) = IMPORTERS["folder"].pictures(table, "train")
    with pytest.raises(DataError, match=r"did you mean IMG_1\.png"):
        read_image(picture)


def test_boxes_that_are_shares_of_the_picture_are_an_error(tmp_path):
    path = tmp_path / "yolo.csv"
    path.write_text("image,x,y,w,h\na.png,0.2,0.3,0.25,1\nb.png,0.5,0,0.1,0.2\nc.png,,,,\n")
    with pytest.raises(DataError, match=r"yolo\.csv: .*pixels"):
        load_detector(f"boxes:{path}")


def test_boxes_of_heads_to_store_are_pixels_too(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "a.png")
    table = tmp_path / "a.csv"
    table.write_text("image,x,y,w,h\na.png,0.2,0.3,0.25,1\n")
    with pytest.raises(DataError, match=r"--source .*a\.csv: .*pixels"):
        IMPORTERS["folder"].pictures(table, "train")
    table.write_text("image,x,y,w,h\na.png,0.2,0.3,0.25,1\na.png,1,1,3,4\n")
    (picture,) = IMPORTERS["folder"].pictures(table, "train")
    dropped, head = IMPORTERS["folder"].heads(picture)
    assert head.box.tolist() == [1, 1, 3, 4] and dropped.broken
    assert says(dropped.reason, "line 2: 0.25 pixels")


def test_empty_columns_of_spreadsheets_are_cut(tmp_path):
    (tmp_path / "a.csv").write_text("image,x,y,w,h,,\na.png,1,2,30,40,,\nb.png,,,,,,\n")
    detector = load_detector(f"boxes:{tmp_path / 'a.csv'}")
    found = [detector(np.zeros((90, 90, 3), np.uint8), Source(name)).boxes.tolist() for name in ("a.png", "b.png")]
    assert found == [[[1, 2, 30, 40]], []]


def test_boxes_too_small_for_a_head_are_counted(tmp_path, caplog):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x,y,w,h\na.png,20,30,25,1.5\na.png,5,5,30,30\nb.png,7,7,1,1\n")
    detector = load_detector(f"boxes:{path}")
    assert f"{path}: 2 boxes" in caplog.text
    assert len(detector(COLOR, Source("a.png"))) == 1 and len(detector(COLOR, Source("b.png"))) == 0


def test_avif_is_what_pillow_says(tmp_path):
    if not features.check("avif"):
        pytest.skip("this Pillow is without AVIF")
    Image.fromarray(np.full((32, 32, 3), 77, np.uint8)).save(tmp_path / "a.avif")
    assert np.abs(read_picture(tmp_path / "a.avif").image.astype(int) - 77).max() < 5
