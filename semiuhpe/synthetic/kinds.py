"""What kinds of rendered heads there are, so that errors can be broken down by them.

Stores of rendered heads have these as attributes: ``age``, ``on_head``, ``glasses``, ``face_mask``, ``before_it``,
``sharpness`` and ``brightness``.
"""

import cv2
import numpy as np

AGE_GROUPS = ((0, "child"), (14, "young"), (35, "middle-aged"), (60, "old"))
"""Names of ages, in years, from which on."""
BLURRED = 0.5
"""Pictures with less than this share of their detail are blurred."""
DARK, BRIGHT = 60, 170
"""Limits of the mean brightness of dark and of bright pictures, of 255."""
_DETAIL_PX = 1.0


def age_group(years: float) -> str:
    """Return the name of an age."""
    return [name for first, name in AGE_GROUPS if years >= first][-1]


def kinds_of_picture(image: np.ndarray, sharp: np.ndarray) -> dict[str, str]:
    """Return kinds of a picture.

    Args:
        image: the picture, RGB uint8 (H, W, 3).
        sharp: the same before the camera.
    """
    brightness = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    blurred = _detail(image) < BLURRED * _detail(sharp)
    return {
        "sharpness": "blurred" if blurred else "sharp",
        "brightness": "dark" if brightness < DARK else "bright" if brightness > BRIGHT else "normal",
    }


def _detail(image: np.ndarray) -> float:
    """Return how much a picture changes from pixel to pixel, in relation to its contrast, without its noise."""
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), _DETAIL_PX)
    return float(cv2.Laplacian(gray, cv2.CV_32F).std() / max(float(gray.std()), 1e-3))
