"""Crop rules of other networks, with the repositories and files that state them."""

from dataclasses import replace

from semiuhpe.data.fitted_crop import FittedCrop, Resampling

_ANTIALIASED: Resampling = "antialiased bilinear"
_HALF_OF_SQRT2 = (2**0.5 - 1) / 2
_RULES = {
    # natanielruiz/deep-head-pose, code/datasets.py, AFLW2000: k = 0.2 in four steps, each after those before
    "hopenet": FittedCrop(
        "landmark_extent", 0.4, 0.4, 0.56, 0.168, outside="black", fit="center", resampling=_ANTIALIASED
    ),
    # The same, of pictures that are first resized to 256: thohemp/6DRepNet, sixdrepnet/test.py, and 6DRepNet360
    "6drepnet": FittedCrop(
        "landmark_extent", 0.4, 0.4, 0.56, 0.168, outside="black", fit="center", zoom=256 / 224, resampling=_ANTIALIASED
    ),
    # Hopenet's margins about all 68 landmarks: AFLW2000's 21 have missing ones, which are at -1
    "hopenet68": FittedCrop(
        "landmarks68", 0.4, 0.4, 0.56, 0.168, outside="black", fit="center", resampling=_ANTIALIASED
    ),
    # With these margins the ONNX files of omasaht/headpose-fsanet-pytorch have the error of its README on AFLW2000
    "fsanet": FittedCrop("landmarks68", 0.21, 0.7, 0.21, 0.21),
    # shamangary/FSA-Net, data/type1: its authors' margins
    "fsanet_0.6": FittedCrop("landmarks68", 0.6, 0.6, 0.6, 0.6),
    # cleardusk/3DDFA_V2, utils/functions.py: a square of sqrt(2) times the longer side
    "3ddfa": FittedCrop(
        "landmarks68",
        _HALF_OF_SQRT2,
        _HALF_OF_SQRT2,
        _HALF_OF_SQRT2,
        _HALF_OF_SQRT2,
        square="longer",
        outside="black",
        rounding="round",
    ),
    # The same file, of a detector's box: 1.58 times the mean side, moved down by 0.14 of it
    "3ddfa_box": FittedCrop("box", 0.29, 0.15, 0.29, 0.43, square="mean", outside="black", rounding="round"),
    # natanielruiz/deep-head-pose, code/test_on_video_dlib.py
    "dlib": FittedCrop("box", 0.5, 0.75, 0.5, 0.25, fit="center", resampling=_ANTIALIASED),
    # shamangary/FSA-Net, demo: MTCNN's box with 0.6 of its sides
    "mtcnn_0.6": FittedCrop("box", 0.6, 0.6, 0.6, 0.6),
    # Shaw-git/Lightweight-Head-Pose-Estimation, test_network_mtcnn.py: a square of 1.2 times the longer side
    "mtcnn_1.2": FittedCrop("box", 0.1, 0.1, 0.1, 0.1, square="longer"),
    # thohemp/6DRepNet, sixdrepnet/demo.py: a fifth of RetinaFace's box
    "retinaface_0.2": FittedCrop("box", 0.2, 0.2, 0.2, 0.2, fit="center", resampling=_ANTIALIASED),
    # yakhyo/head-pose-estimation, onnx_inference.py: the same, squeezed
    "scrfd_0.2": FittedCrop("box", 0.2, 0.2, 0.2, 0.2),
    # Ascend-Research/HeadPoseEstimation-WHENet, demo_video.py: a fifth and a tenth, each on what is before it
    "whenet_box": FittedCrop("box", 0.2, 0.1, 0.24, 0.11),
    # PinataFarms/DAD-3DHeads: the middle of the margins of its training
    "dad3dnet_box": FittedCrop("box", 0.1, 0.1, 0.1, 0.1, fit="pad"),
    # PINTO_model_zoo 423: a head box of 1.2 times its sides, squeezed to 256, and the center of it
    "head_1.2": FittedCrop("box", 0.1, 0.1, 0.1, 0.1, zoom=256 / 224),
}
CROPS = {name: replace(rule, name=name) for name, rule in _RULES.items()}
"""By name; a YAML of facts may name them too."""
