"""Pictures of every kind as 8-bit RGB. Expected values are computed by hand or from the definition of the kind."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from semiuhpe import pictures
from semiuhpe.errors import DataError
from semiuhpe.pictures import read_picture
from semiuhpe.pixels import to_rgb

SHORTS = [0, 128, 129, 257, 1000, 32896, 65535]
AS_BYTES = [0, 0, 1, 1, 4, 128, 255]  # value / 257, rounded
ORIENTATION = 0x0112


def gray(values):
    return [[value] * 3 for value in values]


def image_of(mode, *pixels):
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def palette(**info):
    image = image_of("P", 0, 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.info.update(info)
    return image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, depth, color, row, key=b""):
    """A PNG of one row, with a transparent color."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0))
    body = (chunk(b"tRNS", key) if key else b"") + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff(width, bits, planes, photometric=1, sample_format=1):
    """A TIFF of one row, its planes apart where there are several."""
    count = len(planes)
    tables = struct.pack("<3H", *[bits] * 3) + struct.pack("<3H", *[sample_format] * 3)
    begin = 8 + 2 + 11 * 12 + 4
    starts = [begin + 36 + sum(map(len, planes[:i])) for i in range(count)]
    unused, many = [0] * (3 - count), count > 1
    tables += struct.pack("<6I", *starts, *unused, *map(len, planes), *unused)
    values = [
        *((256, 4, 1, width), (257, 4, 1, 1), (258, 3, count, begin if many else bits), (259, 3, 1, 1)),
        *((262, 3, 1, photometric), (273, 4, count, begin + 12 if many else starts[0]), (277, 3, 1, count)),
        *((278, 4, 1, 1), (279, 4, count, begin + 24 if many else len(planes[0])), (284, 3, 1, 2 if many else 1)),
        (339, 3, count, begin + 6 if many else sample_format),
    ]
    entries = b"".join(struct.pack("<HHII", *value) for value in values)
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4) + tables + b"".join(planes)


MODES = {
    "1": (image_of("1", 0, 255), gray([0, 255])),
    "L": (image_of("L", 7, 200), gray([7, 200])),
    "P": (palette(), [[10, 20, 30], [40, 50, 60]]),
    "P, one transparent": (palette(transparency=1), [[10, 20, 30], [0, 0, 0]]),
    "P, alphas": (palette(transparency=b"\x80\xff"), [[5, 10, 15], [40, 50, 60]]),
    "PA": (palette(transparency=b"\x80\xff").convert("PA"), [[5, 10, 15], [40, 50, 60]]),
    "LA": (image_of("LA", (200, 255), (200, 128), (200, 0)), gray([200, 100, 0])),
    "La": (image_of("La", (200, 255), (100, 128)), gray([200, 100])),
    "RGB": (image_of("RGB", (1, 2, 3)), [[1, 2, 3]]),
    "RGBA": (image_of("RGBA", (200, 100, 50, 128), (9, 8, 7, 255), (9, 8, 7, 0)), [[100, 50, 25], [9, 8, 7], [0] * 3]),
    "RGBa": (image_of("RGBa", (100, 50, 25, 128)), [[100, 50, 25]]),
    "RGBX": (image_of("RGBX", (1, 2, 3, 4)), [[1, 2, 3]]),
    "CMYK": (image_of("CMYK", (255, 0, 0, 0), (0, 51, 102, 51)), [[0, 255, 255], [204, 163, 122]]),
    "YCbCr": (image_of("YCbCr", (76, 85, 255), (90, 128, 128)), [[254, 0, 0], [90, 90, 90]]),
    "HSV": (image_of("HSV", (85, 255, 255), (0, 0, 77)), [[0, 255, 0], [77, 77, 77]]),
    "I, 8 bits": (image_of("I", 0, 7, 255), gray([0, 7, 255])),
    "I, 16 bits": (image_of("I", *SHORTS), gray(AS_BYTES)),
    "F, to 1": (image_of("F", 0.0, 0.5, 1.0), gray([0, 128, 255])),
    "F, to 255": (image_of("F", 0.4, 99.6, 255.0), gray([0, 100, 255])),
    **{mode: (image_of(mode, *SHORTS), gray(AS_BYTES)) for mode in ("I;16", "I;16L", "I;16B", "I;16N")},
}


@pytest.mark.parametrize("kind", MODES)
def test_every_mode(kind):
    image, expected = MODES[kind]
    assert to_rgb(image).tolist() == [expected] and to_rgb(image).dtype == np.uint8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_per_color_are_read_by_their_upper_8(suffix, tmp_path):
    colors = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), colors[..., ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{suffix}").image, colors >> 8)


FILES = {
    "PNG, 16 bits, one transparent": (png(2, 16, 0, struct.pack(">2H", 257, 60000), struct.pack(">H", 60000)), [1, 0]),
    "PNG, 16 bits with alpha": (png(2, 16, 4, struct.pack(">4H", 65535, 32896, 2570, 65535)), [128, 10]),
    "PNG, 4 bits, one transparent": (png(2, 4, 0, b"\xf3", struct.pack(">H", 15)), [0, 51]),
    "PNG, 2 bits, one transparent": (png(2, 2, 0, b"\xe0", struct.pack(">H", 3)), [0, 170]),
    "PNG, 1 bit, one transparent": (png(2, 1, 0, b"\x80", struct.pack(">H", 1)), [0, 0]),
    "PNG, 16 bits per color, one transparent": (
        png(2, 16, 2, struct.pack(">6H", 65535, 65535, 65535, 2570, 2570, 2570), struct.pack(">3H", *[65535] * 3)),
        [0, 10],
    ),
    "PGM, up to 4095": (b"P5 2 1 4095\n\x0f\xff\x00\x80", [255, 8]),
    "PFM": (b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0.2, 1.0), [51, 255]),
    "TIFF, 12 bits": (tiff(2, 12, [b"\xff\xf8\x00"]), [255, 128]),
    "TIFF, white is 0": (tiff(2, 16, [struct.pack("<2H", 0, 257 * 55)], 0), [255, 200]),
    "TIFF, signed": (tiff(2, 16, [struct.pack("<2h", 0, 257)], 1, 2), [0, 1]),
    "TIFF, 32 bits": (tiff(2, 32, [struct.pack("<2I", 65535, 257 * 9)]), [255, 9]),
    "TIFF, floats, white is 0": (tiff(2, 32, [struct.pack("<2f", 1.0, 0.2)], 0, 3), [0, 204]),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_unusual_bits(kind, tmp_path):
    content, expected = FILES[kind]
    (tmp_path / "a.png").write_bytes(content)
    assert read_picture(tmp_path / "a.png").image.tolist() == [gray(expected)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(2, 32, [struct.pack("<2f", 1.0, float("nan"))], 1, 3), "NaN"),
        (tiff(2, 32, [struct.pack("<2f", 1.0, float("inf"))], 1, 3), "infinite"),
        (tiff(2, 32, [struct.pack("<2f", -0.1, 1.0)], 1, 3), "-0.1 to 1"),
        (tiff(2, 32, [struct.pack("<2f", 0.0, 1.25)], 1, 3), "0 to 1.25"),
        (tiff(2, 32, [struct.pack("<2f", 0.0, 4000.0)], 1, 3), "0 to 4000"),
        (tiff(2, 32, [struct.pack("<2i", -5, 100)], 1, 2), "-5 to 100"),
        (tiff(2, 32, [struct.pack("<2I", 5, 2**31 - 1)]), "5 to 2147483647"),
        (tiff(2, 16, [struct.pack("<2h", -2, 257)], 1, 2), "-2 to 257"),
        (tiff(2, 16, [struct.pack("<2H", 1, 2)] * 3, 2), "planes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PostScript"),
        (b"", "decoded"),
    ],
)
def test_what_has_no_sure_meaning_is_refused(content, words, tmp_path):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_picture(tmp_path / "a.tif")
    assert str(error.value).startswith(f"{tmp_path / 'a.tif'}: ") and "\n" not in str(error.value)


def test_planes_of_8_bits_are_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(2, 8, [b"\x01\x02", b"\x03\x04", b"\x05\x06"], 2))
    assert read_picture(tmp_path / "a.tif").image.tolist() == [[[1, 3, 5], [2, 4, 6]]]


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "F"])
def test_all_kinds_are_turned_upright(mode, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # shown turned by 90 degrees clockwise
    white = {"I;16": 65535, "RGBA": (255, 255, 255, 255), "F": 1.0}.get(mode, 255)
    image = Image.new(mode, (3, 2))
    image.putpixel((0, 0), white)
    path = tmp_path / ("a.png" if mode != "F" else "a.tif")
    if mode == "F":
        image.save(path, tiffinfo={ORIENTATION: 6})
    else:
        image.save(path, exif=exif)
    picture = read_picture(path)
    assert picture.image.shape == (3, 2, 3) and (picture.width, picture.height) == (2, 3)
    assert np.argwhere(picture.image[..., 0] == 255).tolist() == [[0, 1]]
    if mode != "F":  # Pillow turns all TIFFs
        assert read_picture(path, upright=False).image.shape == (2, 3, 3)


@pytest.mark.parametrize(("suffix", "shape"), [("jpg", (400, 250, 3)), ("png", (800, 500, 3))])
def test_pictures_are_decoded_as_large_as_is_enough(suffix, shape, tmp_path):
    """A JPEG at a half: at a quarter one side would be too short. The size in the file is that seen upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (800, 500), (10, 120, 230)).save(tmp_path / f"a.{suffix}", exif=exif)
    picture = read_picture(tmp_path / f"a.{suffix}", enough=200)
    assert picture.image.shape == shape and (picture.width, picture.height) == (500, 800)
    assert np.abs(picture.image.astype(int) - (10, 120, 230)).max() < 4
    assert read_picture(tmp_path / f"a.{suffix}", enough=600).image.shape == (800, 500, 3)


HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(12)


def test_heic_is_known_by_what_is_in_it(tmp_path, monkeypatch):
    """Phones and their programs give it other endings."""
    monkeypatch.setattr(pictures, "reads_heif", lambda: False)
    for name in ("a.heic", "really_heic.jpg"):
        (tmp_path / name).write_bytes(HEIC)
        with pytest.raises(DataError, match=rf"{name}: .*semiuhpe\[heif\]"):
            read_picture(tmp_path / name)
