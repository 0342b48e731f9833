"""Networks of detectors in ONNX files, run by onnxruntime."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiuhpe.errors import CheckpointError, ConfigError, first_line
from semiuhpe.inference.detectors.base import Options, require_file

logger = logging.getLogger(__name__)


class OnnxSession:
    """A network of pictures in an ONNX file: one float input (B, 3, H, W), any outputs.

    Args:
        path: the file.
        device: a GPU is used where onnxruntime has CUDA.
        kind: the detector's, for messages.

    Attributes:
        path: the file.
        sides: height and width of the input; None if it takes any.
        takes_batches: whether several pictures can be given at once.
        metadata: the file's custom metadata.

    Raises:
        CheckpointError: the file is broken, is no ONNX file, or the input is another one.
        ConfigError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, device: torch.device, kind: str) -> None:
        self.path = path
        self._session = _open(path, device, kind)
        try:
            self._input = _the_input(self._session, path)
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path}: is damaged: a name in it is no text ({error})") from error
        self._dtype: type[np.floating] = np.float16 if "16" in self._input.type else np.float32
        sides = self._input.shape[2:]
        self.sides: tuple[int, int] | None = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self.takes_batches: bool = self._input.shape[0] != 1

    def __call__(self, pictures: np.ndarray) -> list[Tensor]:
        """Return the outputs as float32, for pictures (B, H, W, 3) that are normalized as the network needs them.

        Raises:
            CheckpointError: the network fails on them.
        """
        inputs = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(self._dtype)
        try:
            outputs = self._session.run(None, {self._input.name: inputs})
        except Exception as error:  # onnxruntime has no common error class
            raise CheckpointError(f"{self.path}: fails on input {inputs.shape} ({first_line(error)})") from error
        return [torch.from_numpy(np.asarray(output, np.float32)) for output in outputs]


def session_of(options: Options, kind: str) -> OnnxSession:
    """Return the network of a detector of a kind whose argument is its file."""
    return OnnxSession(require_file(Path(options.argument), kind), options.device, kind)


def _the_input(session: Any, path: Path) -> Any:
    inputs = session.get_inputs()
    shape: Sequence[Any] = ()
    if len(inputs) == 1 and inputs[0].type in ("tensor(float)", "tensor(float16)"):
        shape = inputs[0].shape
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs) or "none"
        raise CheckpointError(f"{path}: its inputs are {found}; a detector has one, float (B, 3, H, W)")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise CheckpointError(
            f"{path}: was exported for batches of {shape[0]}; export it for one image or a dynamic batch"
        )
    return inputs[0]


def _open(path: Path, device: torch.device, kind: str) -> Any:
    """Return an onnxruntime session for a file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"--detector {kind}:{path}: onnxruntime is not installed; install it with pip install 'semiuhpe[onnx]' or "
            "pip install onnxruntime (onnxruntime-gpu for CUDA)"
        ) from error
    providers: list[str | tuple[str, dict[str, int]]] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        else:
            logger.warning("%s: this onnxruntime has no CUDA; the detector runs on the CPU.", path)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # onnxruntime has no common error class
        raise CheckpointError(f"{path}: is broken or not an ONNX network ({first_line(error)})") from error
