"""Conversion of decoded pictures of all kinds to 8-bit RGB, by the table in docs/inference.md.

The scale depends on the kind of picture and not on its brightest pixel, so a dark picture stays dark. If neither the
kind nor the values determine the scale, the picture is refused.
"""

import numpy as np
from PIL import Image, ImageCms

from semiuhpe.errors import DataError

_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED = 0, 2, 1
_OF_16_BITS = {"PNG", "PPM"}  # formats whose mode I holds 16 bits, always up to 65535
_DARK = 16  # if the maximum of floats is between 1 and this, their range is not 0 to 255
_KEY_SCALES = {"L;2": 85, "L;4": 17}  # from the bits of a PNG to Pillow's eight
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_REMEDY = "save it with 8 or 16 bit"


def check_readable(image: Image.Image) -> None:
    """Raise DataError for an opened picture that Pillow reads wrongly, or by running a program."""
    if image.format == "EPS":
        raise DataError("is PostScript, which is a program and no picture; save it as PNG")
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANAR) == _SEPARATE and max(tags.get(_BITS, (8,))) > 8:
        raise DataError("is a TIFF with over 8 bit in separate planes; save it with interleaved colors")


def scale_key(image: Image.Image) -> None:
    """Scale the transparent color of an opened PNG, before it is loaded, to the 8 bits of the decoded pixels."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    if image.format != "PNG" or key is None or not tiles:
        return
    kind = tiles[0][3]
    if kind in _KEY_SCALES and isinstance(key, int):
        image.info["transparency"] = key * _KEY_SCALES[kind]
    elif kind == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels of a picture in any of Pillow's modes, by the table in docs/inference.md.

    Raises:
        DataError: its values are not those of a picture.
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
    """Return the uint8 pixels of a gray picture with more than 8 bits."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if image.mode == "F":
        gray = _of_floats(values)
    elif image.mode == "I" and image.format not in _OF_16_BITS:
        gray = _of_integers(values.view(np.uint32) if tags.get(_SAMPLE_FORMAT, (0,))[0] == _UNSIGNED else values)
    else:
        gray = _of_bits(values, tags.get(_BITS, (16,))[0])
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts only pixels of up to 8 bits
        gray = 255 - gray
    pixels = np.repeat(gray[..., None], 3, axis=2)
    if isinstance(key := image.info.get("transparency"), int):
        pixels[values == key] = 0
    return pixels


def _of_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Return whole numbers with the given number of bits as uint8, rounded."""
    white = 2**bits - 1
    scaled = (np.arange(white + 1) * 255 + white // 2) // white
    return scaled.astype(np.uint8)[values]  # a lookup table needs little memory for huge pictures


def _of_integers(values: np.ndarray) -> np.ndarray:
    """Return 32-bit whole numbers as uint8; their values must have 8 or 16 bits."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"has values from {low} to {high}, not 0 to 255 or 65535; {_REMEDY}")
    return values.astype(np.uint8) if high <= 255 else _of_bits(values, 16)


def _of_floats(values: np.ndarray) -> np.ndarray:
    """Return floats from 0 to 1 or to 255 as uint8, rounded."""
    if not np.isfinite(values).all():
        raise DataError(f"has values that are infinite or NaN; {_REMEDY}")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or 1 < high < _DARK:
        raise DataError(f"has values from {low:g} to {high:g}, not 0 to 1 or 255; {_REMEDY}")
    return np.rint(values * np.float32(255 if high <= 1 else 1)).astype(np.uint8)


def _on_black(image: Image.Image) -> np.ndarray:
    # Pillow converts premultiplied colors only from La to LA
    straight = image.convert("LA") if image.mode == "La" else image
    colors = straight.convert("RGBA")
    canvas = Image.new("RGB", colors.size)
    canvas.paste(colors, mask=colors.getchannel("A"))
    return np.asarray(canvas)
