"""The pixels of a decoded picture of any kind as 8-bit RGB, by the table in docs/inference.md.

Scales are those of the kind and not of a picture's own brightest pixel, so a dark picture stays dark. Where neither the
kind nor the values tell the scale, the picture is refused.
"""

import numpy as np
from PIL import Image, ImageCms

from semiuhpe.errors import DataError

_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED = 0, 2, 1
_OF_16_BITS = {"PNG", "PPM"}  # formats whose mode I holds 16 bits, always up to 65535
_DARK = 16  # floats over 1 of which none comes up to it are no picture of 0 to 255
_KEY_SCALES = {"L;2": 85, "L;4": 17}  # from the bits of a PNG to Pillow's eight
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_REMEDY = "save it with 8 or 16 bit"


def check_readable(image: Image.Image) -> None:
    """Raises DataError for an opened picture that Pillow reads wrongly, or by running a program."""
    if image.format == "EPS":
        raise DataError("is PostScript, which is a program and no picture; save it as PNG")
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANAR) == _SEPARATE and max(tags.get(_BITS, (8,))) > 8:
        raise DataError("is a TIFF with over 8 bit in separate planes; save it with interleaved colors")


def scale_key(image: Image.Image) -> None:
    """Brings the transparent color of a PNG, opened but not loaded, to the 8 bit of the pixels it is compared with."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    if image.format != "PNG" or key is None or not tiles:
        return
    kind = tiles[0][3]
    if kind in _KEY_SCALES and isinstance(key, int):
        image.info["transparency"] = key * _KEY_SCALES[kind]
    elif kind == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def to_rgb(image: Image.Image) -> np.ndarray:
    """The (H, W, 3) uint8 RGB pixels of a picture in any of Pillow's modes; docs/inference.md has the table.

    Raises:
        DataError: its numbers are those of no picture.
    """
    mode = image.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _of_gray(image)
    if mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(*profiles, "LAB", "RGB")
        return np.asarray(ImageCms.applyTransform(image, transform))
    if mode in _TRANSPARENT or "transparency" in image.info:
        return _on_black(image)
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))


def _of_gray(image: Image.Image) -> np.ndarray:
    """Gray pixels of more than 8 bit."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if image.mode == "F":
        gray = _of_floats(values)
    elif image.mode == "I" and image.format not in _OF_16_BITS:
        gray = _of_integers(values.view(np.uint32) if tags.get(_SAMPLE_FORMAT, (0,))[0] == _UNSIGNED else values)
    else:
        gray = _of_bits(values, tags.get(_BITS, (16,))[0])
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns only pixels of up to 8 bit around
        gray = 255 - gray
    pixels = np.repeat(gray[..., None], 3, axis=2)
    if isinstance(key := image.info.get("transparency"), int):
        pixels[values == key] = 0
    return pixels


def _of_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Whole numbers of so many bits as uint8, rounded."""
    white = 2**bits - 1
    scaled = (np.arange(white + 1) * 255 + white // 2) // white
    return scaled.astype(np.uint8)[values]  # a table takes a fraction of the memory of computing with huge pictures


def _of_integers(values: np.ndarray) -> np.ndarray:
    """32-bit whole numbers as uint8; a picture of them has 8 or 16 bit."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"has values from {low} to {high}, not 0 to 255 or 65535; {_REMEDY}")
    return values.astype(np.uint8) if high <= 255 else _of_bits(values, 16)


def _of_floats(values: np.ndarray) -> np.ndarray:
    """Floats of 0 to 1 or 255 as uint8, rounded."""
    if not np.isfinite(values).all():
        raise DataError(f"has values that are infinite or no numbers; {_REMEDY}")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or 1 < high < _DARK:
        raise DataError(f"has values from {low:g} to {high:g}, not 0 to 1 or 255; {_REMEDY}")
    return np.rint(values * np.float32(255 if high <= 1 else 1)).astype(np.uint8)


def _on_black(image: Image.Image) -> np.ndarray:
    # Premultiplied colors become plain ones on the way, as Pillow goes from La to LA only
    straight = image.convert("LA") if image.mode == "La" else image
    colors = straight.convert("RGBA")
    canvas = Image.new("RGB", colors.size)
    canvas.paste(colors, mask=colors.getchannel("A"))
    return np.asarray(canvas)
