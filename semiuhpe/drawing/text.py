"""Text on pictures, in a font with more than English letters."""

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu, which comes with matplotlib, in a size in pixels: file names are not all in English."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)  # older versions of Pillow take no Path


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """Return the coverage (H, W), uint8, of a line of text with a margin; all lines of a size are equally high.

    Args:
        text: one line; unprintable characters become question marks.
        size: font size in pixels.
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    ascent, descent = font(size).getmetrics()
    margin = max(1, size // 5)
    width = int(np.ceil(font(size).getlength(text))) + 2 * margin
    mask = Image.new("L", (width, ascent + descent + margin))
    ImageDraw.Draw(mask).text((margin, margin // 2), text, 255, font(size))
    return np.asarray(mask)
