"""Text on pictures, in a font that knows more than English."""

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu, which comes with matplotlib, in pixels: names of files are not all in English."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)  # older Pillows take no Path


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """Coverage of one line of text with a margin around it, (H, W) uint8; all lines of a size are equally high.

    Args:
        text: what doesn't print becomes a question mark.
        size: of the font in pixels.
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    ascent, descent = font(size).getmetrics()
    margin = max(1, size // 5)
    width = int(np.ceil(font(size).getlength(text))) + 2 * margin
    mask = Image.new("L", (width, ascent + descent + margin))
    ImageDraw.Draw(mask).text((margin, margin // 2), text, 255, font(size))
    return np.asarray(mask)
