"""A network in an ONNX file, as a module that computes with ONNX Runtime, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError, ConfigError, first_line


class OnnxNetwork(nn.Module):
    """The network of an ONNX file: (B, 3, S, S) float32 -> its outputs.

    Files whose input has a batch of one are run for one head after the other, those with channels last get them so.

    Args:
        path: the file.
        size: side of the pictures in pixels.

    Raises:
        CheckpointError: it is no ONNX file, or its input is not float pictures of that size, one or any number.
        ConfigError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, size: int):
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                f"{path}: onnxruntime is not installed; install it with pip install 'semiuhpe[onnx]' or pip install "
                "onnxruntime"
            ) from error
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file")
        try:
            settings = onnxruntime.SessionOptions()
            settings.log_severity_level = 3
            settings.intra_op_num_threads = torch.get_num_threads()
            self._session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises errors of its own, and of the operating system
            raise CheckpointError(f"{path}: is not a readable ONNX file ({first_line(error)})") from error
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        self._input = inputs[0].name if inputs else ""
        self._channels_last = shape[3:] == [3]
        self._one_by_one = shape[:1] == [1]
        expected = [size, size, 3] if self._channels_last else [3, size, size]
        fits = len(shape) == 4 and all(
            found == side or not isinstance(found, int) for found, side in zip(shape[1:], expected, strict=True)
        )
        fits = fits and inputs[0].type == "tensor(float)" and (shape[0] == 1 or not isinstance(shape[0], int))
        if len(inputs) != 1 or not fits:
            found = " and ".join(f"{tensor.type} {tensor.shape}" for tensor in inputs) or "nothing"
            raise CheckpointError(
                f"{path}: takes {found}, not float pictures of {size} px, one by one or any number: it is another "
                "network, or has to be exported otherwise"
            )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pixels = image.float().cpu().numpy()
        if self._channels_last:
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        parts = np.split(pixels, len(pixels)) if self._one_by_one else [pixels]
        found = [self._session.run(None, {self._input: part}) for part in parts]
        return tuple(torch.from_numpy(np.concatenate(rows)).to(image.device) for rows in zip(*found, strict=True))

    def __deepcopy__(self, _: Any) -> "OnnxNetwork":
        return self  # a session can't be copied, and has nothing that changes
