"""Crop rules of other networks, as data: which box they start from, its margins, and how the rest becomes a square.

Each network was trained on crops of one rule, and its error on others is another one, by degrees. The rules of
:mod:`semiuhpe.data.crop` are this project's; those here belong to networks that others have published
(:mod:`semiuhpe.foreign`), with their sources beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

import cv2
import numpy as np
from PIL import Image

from semiuhpe.data.crop import Rectangle, checked_box, padded_to_square, pixels_of
from semiuhpe.errors import ConfigError, DataError, require

Start = Literal["landmarks68", "landmark_extent", "box"]
Square = Literal["no", "longer", "mean"]
Outside = Literal["clip", "black"]
Fit = Literal["squeeze", "center", "pad"]
Rounding = Literal["truncate", "round"]
Resampling = Literal["bilinear", "bicubic", "area", "antialiased bilinear", "antialiased bicubic"]

_OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
_PILLOW = {
    "antialiased bilinear": Image.Resampling.BILINEAR,
    "antialiased bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class FittedCrop:
    """A crop rule of another network.

    Attributes:
        start: what it starts from: the bounding box of the 68 landmarks of 300W-LP, the extent of all landmarks that
            the dataset has (of AFLW2000 21, missing ones at -1), or a box of a head or face.
        left, above, right, below: margins, as shares of the width (left, right) and height (above, below) of the box
            that it starts from, or of the side if that is made a square first.
        square: what the box becomes before its margins: nothing else, or the square about its center with its longer
            or its mean side.
        outside: a crop that reaches beyond the picture is clipped, or black there.
        rounding: of its bounds to whole pixels.
        fit: how it becomes the network's square: by squeezing it, by resizing its shorter side and keeping the center,
            or by resizing its longer side and padding the other with black on both ends.
        zoom: with ``squeeze`` and ``center``, 1 or more: it is resized to as many times the network's side, of which
            the center is kept.
        resampling: OpenCV's filters, or Pillow's, which look at all pixels where they shrink (antialiased).
        name: that stands in results.
    """

    start: Start
    left: float = 0.0
    above: float = 0.0
    right: float = 0.0
    below: float = 0.0
    square: Square = "no"
    outside: Outside = "clip"
    rounding: Rounding = "truncate"
    fit: Fit = "squeeze"
    zoom: float = 1.0
    resampling: Resampling = "bilinear"
    name: str = ""

    def rectangle(self, box: np.ndarray) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the crop about a (4,) box x, y, w, h, in pixels, not yet limited."""
        x, y, w, h = (float(value) for value in box)
        if self.square != "no":
            side = max(w, h) if self.square == "longer" else (w + h) / 2
            x, y, w, h = x + (w - side) / 2, y + (h - side) / 2, side, side
        return x - self.left * w, y - self.above * h, x + (1 + self.right) * w, y + (1 + self.below) * h

    def crop(self, image: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
        """Crop a head.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) x, y, w, h in pixels of what the rule starts from.
            size: side of the result in pixels.

        Returns:
            (size, size, 3) uint8.

        Raises:
            DataError: the box is empty or outside the image.
        """
        height, width = image.shape[:2]
        whole = round if self.rounding == "round" else int
        bounds = self.rectangle(np.array(checked_box(box, width, height)))
        left, top, right, bottom = (whole(value) for value in bounds)
        if self.outside == "clip":
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if right <= left or bottom <= top:
            raise DataError(f"the crop has no pixel inside the image of {width}x{height} pixels")
        pixels = pixels_of(image, Rectangle(left, top, right, bottom), width, height)
        if self.fit == "pad":
            return self.resize(pixels, size)
        height, width = pixels.shape[:2]
        target = round(self.zoom * size)
        if self.fit == "squeeze":
            pixels = self._resized(pixels, target, target)
        else:  # as torchvision's Resize does it, the longer side is truncated
            shorter = min(height, width)
            pixels = self._resized(pixels, width * target // shorter, height * target // shorter)
        y, x = (round((side - size) / 2) for side in pixels.shape[:2])
        return pixels[y : y + size, x : x + size]

    def resize(self, crop: np.ndarray, size: int) -> np.ndarray:
        """Return a picture that is a head crop already as (size, size, 3), with black where it is no square."""
        return self._resized(padded_to_square(crop)[0], size, size)

    def _resized(self, image: np.ndarray, width: int, height: int) -> np.ndarray:
        if image.shape[:2] == (height, width):
            return np.ascontiguousarray(image)
        if self.resampling in _OPENCV:
            return cv2.resize(image, (width, height), interpolation=_OPENCV[self.resampling])
        return np.asarray(Image.fromarray(image).resize((width, height), _PILLOW[self.resampling]))

    @classmethod
    def from_values(cls, values: Mapping[str, Any], source: str) -> "FittedCrop":
        """Return the rule of a mapping of its attributes, of which ``start`` has to be given.

        Args:
            values: the mapping.
            source: where it is written, for errors.

        Raises:
            ConfigError: an attribute is unknown, missing, or has an impossible value.
        """
        known = {field.name: field.type for field in fields(cls)}
        if unknown := sorted(str(name) for name in values if name not in known):
            raise ConfigError(f"{source}: crop has no {', '.join(unknown)}; it has {', '.join(known)}")
        require("start" in values, f"{source}: crop lacks start, one of {', '.join(get_args(Start))}")
        for name, value in values.items():
            if name == "name":
                continue
            choices = get_args(known[name]) if get_origin(known[name]) is Literal else ()
            if choices and value not in choices:
                raise ConfigError(f"{source}: crop: {name} is {value!r}; it has to be one of {', '.join(choices)}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 100
            if not choices and not is_number:
                raise ConfigError(f"{source}: crop: {name} is {value!r}; it has to be a share of the box, such as 0.2")
        require(values.get("zoom", 1) >= 1, f"{source}: crop: zoom is {values.get('zoom')}; it has to be 1 or more")
        return cls(**values)
