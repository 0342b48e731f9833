"""Pose of a head by an exported model; needs numpy, opencv and onnxruntime, nothing else.

    semiuhpe export CKPT --onnx model.onnx
    python examples/onnx_inference.py model.onnx picture.jpg --box 120 40 90 110

Without --box the whole picture is taken as the head crop. Prints pitch, yaw and roll in degrees and the entropy (the
lower, the surer). OpenCV has no antialiased bicubic resizing, which the project uses: results may differ a little.
"""

import argparse
import sys

import cv2
import numpy as np
import onnxruntime

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
MARGIN = 0.15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="file written by semiuhpe export --onnx")
    parser.add_argument("picture")
    parser.add_argument("--box", nargs=4, type=float, metavar=("X", "Y", "W", "H"), help="of the head, in pixels")
    options = parser.parse_args()
    picture = cv2.imread(options.picture, cv2.IMREAD_COLOR)
    if picture is None:
        sys.exit(f"error: {options.picture}: is not a picture that can be read")
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    try:
        session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        sys.exit(f"error: {options.model}: is not a model that can be read ({error})")
    size = session.get_inputs()[0].shape[-1]
    crop = picture if options.box is None else crop_by_box(picture, options.box)
    _, euler_deg, entropy = session.run(None, {"image": network_input(crop, size)})
    pitch, yaw, roll = euler_deg[0]
    print(f"pitch {pitch:.2f} yaw {yaw:.2f} roll {roll:.2f} entropy {entropy[0]:.3f}")
    return 0


def crop_by_box(picture: np.ndarray, box: list[float]) -> np.ndarray:
    """A square about the box with a margin, black where the picture ends; as semiuhpe.data.crop.crop_by_box."""
    height, width = picture.shape[:2]
    x, y, w, h = box
    reach = (0.5 + MARGIN) * (w + h) / 2
    left, top = max(int(x + w / 2 - reach), 0), max(int(y + h / 2 - reach), 0)
    right, bottom = min(int(x + w / 2 + reach), width - 1), min(int(y + h / 2 + reach), height - 1)
    if w <= 0 or h <= 0 or right <= left or bottom <= top:
        sys.exit(f"error: --box {x:g} {y:g} {w:g} {h:g}: is empty or outside the picture of {width}x{height} pixels")
    extra = abs((bottom - top) - (right - left)) // 2
    if bottom - top > right - left:
        left, right = left - extra, right + extra
    else:
        top, bottom = top - extra, bottom + extra
    crop = np.zeros((bottom - top, right - left, 3), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width - 1), min(bottom, height - 1)
    crop[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return crop


def network_input(crop: np.ndarray, size: int) -> np.ndarray:
    """(1, 3, size, size), normalized with ImageNet's mean and deviation."""
    shrinks = min(crop.shape[:2]) > size
    resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return ((resized.astype(np.float32) / 255.0 - MEAN) / STD).transpose(2, 0, 1)[None]


if __name__ == "__main__":
    sys.exit(main())
