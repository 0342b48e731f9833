"""Export of a model to ONNX and to TorchScript.

Both files hold the whole way from the network's input to a pose: input ``image`` (batch, 3, S, S), float32, RGB in
[0, 1], normalized with ImageNet's mean and deviation; outputs ``rotation`` (batch, 3, 3), head to camera, ``euler_deg``
(batch, 3), pitch, yaw and roll in degrees, and ``entropy`` (batch,). The batch is of any size.
"""

import contextlib
import importlib
import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.distributions.registry import POINT_ESTIMATES
from semiuhpe.errors import ConfigError, SemiUHPEError, first_line
from semiuhpe.files import atomic_path
from semiuhpe.inference.pose_graph import PoseGraph
from semiuhpe.models import LoadedModel, reparametrize
from semiuhpe.rotation import euler_to_matrix, geodesic_deg

OUTPUTS = ("rotation", "euler_deg", "entropy")
TOLERANCES = {"rotation": 1e-4, "euler_deg": math.degrees(1e-4), "entropy": 1e-4}
OPSET = 18


def check_distribution(loaded: LoadedModel) -> None:
    """Raises ConfigError if the model predicts a rotation without a distribution: the graph reads distributions."""
    if loaded.distribution in POINT_ESTIMATES:
        raise ConfigError(f"{loaded.path}: models of {loaded.distribution} can't be exported, only distributions can")


def check_onnx_packages() -> None:
    """Raises ConfigError if a package that writes or reads ONNX files is missing."""
    for package in ("onnx", "onnxruntime", "onnxscript"):  # the last is what torch's exporter needs
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigError(f"--onnx: needs {error.name}; run pip install onnx onnxruntime onnxscript") from error


def check_place(option: str, path: Path) -> None:
    """Raises ConfigError unless the path is that of a file in a folder that exists."""
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder, or its folder doesn't exist")


def pose_graph(loaded: LoadedModel) -> PoseGraph:
    """The module that is exported: the network, re-parametrized for inference, and the reading of its output.

    Raises:
        ConfigError: the model predicts a rotation without a distribution.
    """
    check_distribution(loaded)
    return PoseGraph(reparametrize(loaded.model), loaded.description).eval()


def export_onnx(loaded: LoadedModel, path: str | os.PathLike) -> dict[str, float]:
    """Writes an ONNX file, and compares it with PyTorch.

    Args:
        loaded: the model.
        path: the file to write; there only when complete and compared.

    Returns:
        Largest differences from PyTorch on random pictures, by output; that of the Euler angles is the angle between
        the rotations that they stand for, in degrees.

    Raises:
        ConfigError: packages are missing, the file can't be written, the network can't be exported, or the file doesn't
            give what PyTorch gives.
    """
    check_onnx_packages()
    import onnx
    import onnxruntime

    graph = pose_graph(loaded)

    def write(temporary: Path) -> None:
        batch = {"image": {0: torch.export.Dim("batch")}}
        model = onnx_model(graph, (_random_pictures(loaded, 2),), ["image"], OUTPUTS, dynamic_shapes=batch)
        onnx.helper.set_model_props(model, _properties(loaded))
        onnx.save(model, str(temporary))

    def run(temporary: Path, image: Tensor) -> list[np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(temporary), options, providers=["CPUExecutionProvider"])
        return session.run(list(OUTPUTS), {"image": image.numpy()})

    return _export(loaded, graph, Path(path), "--onnx", write, run)


def export_torchscript(loaded: LoadedModel, path: str | os.PathLike) -> dict[str, float]:
    """Writes a TorchScript file for ``torch.jit.load``, and compares it with PyTorch; as :func:`export_onnx`."""
    graph = pose_graph(loaded)

    def write(temporary: Path) -> None:
        with quiet(), torch.no_grad():
            traced = torch.jit.trace(graph, _random_pictures(loaded, 2), check_trace=False)
            torch.jit.save(traced, str(temporary), _extra_files={"semiuhpe.json": json.dumps(_properties(loaded))})

    def run(temporary: Path, image: Tensor) -> list[np.ndarray]:
        with quiet(), torch.no_grad():
            return [output.numpy() for output in torch.jit.load(str(temporary))(image)]

    return _export(loaded, graph, Path(path), "--torchscript", write, run)


def _export(
    loaded: LoadedModel,
    graph: PoseGraph,
    path: Path,
    option: str,
    write: Callable[[Path], None],
    run: Callable[[Path, Tensor], list[np.ndarray]],
) -> dict[str, float]:
    differences = dict.fromkeys(OUTPUTS, 0.0)
    with exporting(path, option, loaded.network, differences, TOLERANCES) as temporary:
        write(temporary)
        for batch in (1, 3):
            image = _random_pictures(loaded, batch)
            with torch.no_grad():
                expected = graph(image)
            for name, value, given in zip(OUTPUTS, expected, run(temporary, image), strict=True):
                worst = float(difference(name, value, torch.from_numpy(given)).max())
                differences[name] = worst if math.isnan(worst) else max(differences[name], worst)
    return differences


@contextlib.contextmanager
def exporting(
    path: Path, option: str, network: str, differences: dict[str, float], tolerances: dict[str, float]
) -> Iterator[Path]:
    """Gives the temporary name to export to, and renames it at the end if the file does what PyTorch does.

    Args:
        path, option: the file, and the option that names it.
        network: its name.
        differences: from PyTorch by output, which the block fills.
        tolerances: of the differences.

    Raises:
        ConfigError: the file can't be written, the network can't be exported, or a difference is too large.
    """
    check_place(option, path)
    try:
        with atomic_path(path) as temporary:
            yield temporary
            if not all(differences[name] <= tolerance for name, tolerance in tolerances.items()):
                raise ConfigError(f"{option} {path}: not written, because it differs from PyTorch: {differences}")
    except SemiUHPEError:
        raise
    except OSError as error:
        raise ConfigError(f"{option} {path}: can't be written ({error})") from error
    except Exception as error:  # exporters and onnxruntime fail in ways without a common base
        reason = first_line(error.__cause__ or error)
        raise ConfigError(f"{option} {path}: {network} can't be exported ({reason})") from error


def difference(name: str, first: Tensor, second: Tensor) -> Tensor:
    """Between two outputs of that name; of Euler angles the angle between the rotations, in degrees."""
    if name == "euler_deg":  # beside gimbal lock, different angles stand for the same rotation
        return geodesic_deg(euler_to_matrix(first.double()), euler_to_matrix(second.double()))
    return (first - second).abs()


def _random_pictures(loaded: LoadedModel, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, loaded.image_size, loaded.image_size, generator=generator)


def _properties(loaded: LoadedModel) -> dict[str, str]:
    """What the file says about itself."""
    described = {name: str(value) for name, value in asdict(loaded.description).items() if name != "convention"}
    return described | {"convention": "head_to_camera", "checkpoint": loaded.path.name}


def onnx_model(
    graph: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str], **options: Any
) -> Any:
    """A network as an ``onnx.ModelProto``.

    Args:
        graph: in eval mode.
        example: what to trace it with.
        inputs, outputs: their names.
        options: further ones of ``torch.onnx.export``.
    """
    with quiet():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            **options,
        )
    assert program is not None, "only the exporter without dynamo returns none"
    return program.model_proto


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings and progress, which are of no use to who exports."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "onnx_ir")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
