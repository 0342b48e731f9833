"""The rotation in the output of 3DDFA_V2: the first twelve of its 62 parameters are a scaled rotation and a shift.

Guo et al., "Towards Fast, Accurate and Stable 3D Dense Face Alignment", ECCV 2020. The network predicts parameters that
are standardized by the constants of ``param_mean_std_62d_120x120.pkl``, of which those of the pose are here.
"""

import torch
from torch import Tensor, nn

_MEAN = (
    3.4926363e-04, 2.5279013e-07, -6.8751979e-07, 60.167957,
    -6.2955132e-07, 5.7572004e-04, -5.0853912e-05, 74.278198,
    5.4009172e-07, 6.5741384e-05, 3.4420125e-04, -66.671577,
)  # fmt: skip
_STD = (
    1.76321526e-04, 6.73794348e-05, 4.47084894e-04, 26.5502319,
    1.23137695e-04, 4.49302170e-05, 7.92367064e-05, 6.98256302,
    4.35044407e-04, 1.23148900e-04, 1.74000015e-04, 20.8030396,
)  # fmt: skip


class TddfaPose(nn.Module):
    """From pictures to (B, 9) rotations in the convention of 300W-LP, row by row.

    Args:
        network: to (B, 62) parameters.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        parameters = self.network(image)[0]
        if parameters.shape[1:] != (62,):
            return (parameters,)  # whose shape says that it is another network
        mean, std = (torch.tensor(values, device=image.device) for values in (_MEAN, _STD))
        pose = (parameters[:, :12] * std + mean).unflatten(-1, (3, 4))
        first, second = (nn.functional.normalize(pose[:, row, :3], dim=-1) for row in (0, 1))
        rows = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)
        return (rows.mT.flatten(1),)
