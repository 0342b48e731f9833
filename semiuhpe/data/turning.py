"""Turning of pictures in plane with OpenCV, for forked workers, which don't use torch."""

import cv2
import numpy as np

MAX_SCENE_TURN_DEG = 45.0
"""Maximum angle by which scenes are turned in prepared and rendered stores and in training views, in degrees."""


def turn_picture(image: np.ndarray, angle_deg: float, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """Turn a picture clockwise about its center.

    Args:
        image: (H, W, 3) uint8, contiguous.
        angle_deg: angle in degrees; with 0, pixels don't change.
        border: OpenCV's border mode for pixels from outside; black by default.

    Returns:
        A picture of the same size, resampled bilinearly.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -float(angle_deg), 1.0)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
