"""Poses of the heads on a picture whose boxes are known, as numbers and drawn.

    python examples/head_poses.py heads-full picture.png --box 120 40 90 110 --drawn drawn.png

``--box`` may be given several times. For a detector instead of boxes see docs/inference.md.
"""

import argparse

from PIL import Image

from semiuhpe import HeadPoseEstimator
from semiuhpe.drawing.overlay import draw_heads
from semiuhpe.pictures import read_picture

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("checkpoint", help="a file, or a name as for eval.py")
parser.add_argument("picture")
parser.add_argument("--box", nargs=4, type=float, action="append", required=True, metavar=("X", "Y", "W", "H"))
parser.add_argument("--drawn", help="picture to write")
options = parser.parse_args()

image = read_picture(options.picture).image
estimator = HeadPoseEstimator.from_checkpoint(options.checkpoint)
poses = estimator.predict(image, boxes=options.box)

for (pitch, yaw, roll), entropy, confidence in zip(poses.euler_full_deg, poses.entropy, poses.confidence, strict=True):
    print(f"pitch {pitch:.1f} yaw {yaw:.1f} roll {roll:.1f} entropy {entropy:.2f} confidence {confidence:.2f}")
if options.drawn:
    Image.fromarray(draw_heads(image, poses.boxes, poses.rotations, "axes")).save(options.drawn)
