"""Turning pictures in their plane, with OpenCV: for workers, which are forked and do without torch."""

import cv2
import numpy as np

MAX_SCENE_TURN_DEG = 45.0
"""Scenes are turned by up to this: in prepared and rendered stores, and in training views."""


def turn_picture(image: np.ndarray, angle_deg: float, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """Turn a picture clockwise about its center.

    Args:
        image: (H, W, 3) uint8, contiguous.
        angle_deg: 0 gives a picture of the same values.
        border: what comes from outside: OpenCV's name of it; black if not given.

    Returns:
        A picture of the same size, resampled bilinearly.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -float(angle_deg), 1.0)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
