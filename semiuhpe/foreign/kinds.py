"""The kinds of other networks that are known here; :func:`register_kind` adds one from outside the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from semiuhpe.augment.views import IMAGENET_MEAN, IMAGENET_STD
from semiuhpe.errors import CheckpointError
from semiuhpe.foreign import architectures
from semiuhpe.foreign.crops import CROPS
from semiuhpe.foreign.facts import Angles, Bins, Facts, Rotations
from semiuhpe.foreign.onnx_network import OnnxNetwork
from semiuhpe.foreign.tddfa import TddfaPose
from semiuhpe.registry import Registry


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        name: its name before the colon.
        files: what its files are, in words.
        facts: what is known of it.
        open: loads the network of a file, which maps pictures that are normalized as the facts say to its outputs.
    """

    name: str
    files: str
    facts: Facts
    open: Callable[[Path], nn.Module]


KINDS: Registry[Kind] = Registry("kind of network", "KIND:FILE")


def register_kind(kind: Kind) -> Kind:
    """Register a kind of network under its name; ConfigError if another has it."""
    return KINDS.register(kind.name, kind)


_OF_IMAGENET = {
    "colors": "rgb",
    "mean": tuple(255 * value for value in IMAGENET_MEAN),
    "std": tuple(255 * value for value in IMAGENET_STD),
}
_BINS = Bins(3.0, -99.0)
_SIX_NUMBERS = Rotations("rotation_6d", "300wlp")


def _onnx(size: int) -> Callable[[Path], nn.Module]:
    return lambda path: OnnxNetwork(path, size)


def _open_tddfa(path: Path) -> nn.Module:
    return TddfaPose(OnnxNetwork(path, 120) if path.suffix == ".onnx" else architectures.open_tddfa(path))


class _RotationOfDad3dNet(nn.Module):
    """The numbers of the rotation among the 413 parameters of DAD-3DNet."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        parameters = [output for output in outputs if output.shape[1:] == (413,)]
        return (parameters[0][:, 403:409],) if parameters else outputs  # whose shapes say that it is another network


def _open_dad3dnet(path: Path) -> nn.Module:
    if path.suffix != ".onnx":
        raise CheckpointError(
            f"{path}: is not an ONNX file. The published dad_3dheads.trcd is a program of TorchScript, which is not "
            "run here; export it with torch.onnx.export where you trust it"
        )
    return _RotationOfDad3dNet(OnnxNetwork(path, 256))


def _facts(size: int, crop: str, box_crop: str, output: Angles | Rotations, **others: Any) -> Facts:
    values = {"size": size, "crop": CROPS[crop], "box_crop": CROPS[box_crop], "output": output}
    return Facts(**{**_OF_IMAGENET, **values, **others})


_STANDARDIZED = {"colors": "bgr", "mean": (127.5,) * 3, "std": (128.0,) * 3}
for kind in (
    Kind(
        "fsanet",
        "FSA-Net (Yang et al., CVPR 2019): ONNX files of omasaht/headpose-fsanet-pytorch, whose angles are averaged",
        _facts(64, "fsanet", "mtcnn_0.6", Angles(("yaw", "pitch", "roll")), **_STANDARDIZED),
        _onnx(64),
    ),
    Kind(
        "hopenet",
        "Hopenet (Ruiz et al., CVPRW 2018): hopenet_*.pkl",
        _facts(224, "hopenet", "dlib", Angles(("yaw", "pitch", "roll"), bins=(_BINS,) * 3)),
        architectures.open_hopenet,
    ),
    Kind(
        "lightweight",
        "Shaw-git/Lightweight-Head-Pose-Estimation: model-b66.pkl",
        _facts(224, "hopenet68", "mtcnn_1.2", Angles(("roll", "yaw", "pitch"), bins=(Bins(3.0, -97.5),) * 3)),
        architectures.open_lightweight,
    ),
    Kind(
        "6drepnet",
        "6DRepNet (Hempel et al., ICIP 2022): 6DRepNet_*.pth",
        _facts(224, "6drepnet", "retinaface_0.2", _SIX_NUMBERS),
        architectures.open_6drepnet,
    ),
    Kind(
        "6drepnet360",
        "6DRepNet360 (Hempel et al., arXiv 2309.07654): 6DRepNet360_*.pth",
        _facts(224, "6drepnet", "head_1.2", _SIX_NUMBERS, full_range=True, box_of="head"),
        architectures.open_6drepnet360,
    ),
    Kind(
        "whenet",
        "WHENet (Zhou and Gregson, BMVC 2020): WHENet.h5; needs h5py",
        _facts(
            224,
            "hopenet68",
            "whenet_box",
            Angles(("yaw", "pitch", "roll"), bins=(Bins(3.0, -180.0), _BINS, _BINS)),
            full_range=True,
            box_of="head",
        ),
        architectures.open_whenet,
    ),
    Kind(
        "3ddfa_v2",
        "3DDFA_V2 (Guo et al., ECCV 2020): mb1_120x120.pth or mb05_120x120.pth, or their ONNX files",
        _facts(120, "3ddfa", "3ddfa_box", Rotations("matrix", "300wlp"), **_STANDARDIZED),
        _open_tddfa,
    ),
    Kind(
        "yakhyo",
        "yakhyo/head-pose-estimation: ONNX files",
        _facts(224, "6drepnet", "scrfd_0.2", Rotations("matrix", "300wlp")),
        _onnx(224),
    ),
    Kind(
        "dad3dnet",
        "DAD-3DNet (Martyniuk et al., CVPR 2022): its network as an ONNX file",
        _facts(
            256,
            "dad3dnet_box",
            "dad3dnet_box",
            Rotations("rotation_6d", "head_to_camera"),
            full_range=True,
            box_of="head",
        ),
        _open_dad3dnet,
    ),
):
    register_kind(kind)
