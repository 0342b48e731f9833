"""Export of a model to ONNX and to TorchScript.

Both files compute poses from the network's input. The input is ``image`` (batch, 3, S, S), float32, RGB in [0, 1],
normalized with ImageNet's mean and standard deviation. The outputs are ``rotation`` (batch, 3, 3), head to camera,
``euler_deg`` (batch, 3), pitch, yaw and roll in degrees, and ``entropy`` (batch,). The batch can have any size.
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
    """Raise ConfigError if the model predicts no distribution, which the exported graph decodes."""
    if loaded.distribution in POINT_ESTIMATES:
        raise ConfigError(f"{loaded.path}: models of {loaded.distribution} can't be exported, only distributions can")


def check_onnx_packages() -> None:
    """Raise ConfigError if a package that writes or reads ONNX files is missing."""
    for package in ("onnx", "onnxruntime", "onnxscript"):  # torch's exporter needs the last
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigError(f"--onnx: needs {error.name}; run pip install onnx onnxruntime onnxscript") from error


def check_place(option: str, path: Path) -> None:
    """Raise ConfigError if the path is a folder, or its parent folder doesn't exist."""
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder, or its folder doesn't exist")


def pose_graph(loaded: LoadedModel) -> PoseGraph:
    """Return the module to export: the network, re-parametrized for inference, and the decoding of its output.

    Raises:
        ConfigError: the model predicts a rotation without a distribution.
    """
    check_distribution(loaded)
    return PoseGraph(reparametrize(loaded.model), loaded.description).eval()


def export_onnx(loaded: LoadedModel, path: str | os.PathLike) -> dict[str, float]:
    """Write an ONNX file and compare it with PyTorch.

    Args:
        loaded: the model.
        path: the file to write; it is created only after the comparison.

    Returns:
        Largest differences from PyTorch on random pictures, by output. For Euler angles it is the angle between the
        rotations in degrees.

    Raises:
        ConfigError: a package is missing, the file can't be written, the network can't be exported, or the file's
            outputs differ from PyTorch's.
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
    """Write a TorchScript file for ``torch.jit.load`` and compare it with PyTorch, like :func:`export_onnx`."""
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
    """Yield a temporary path to export to, and rename the file at the end if it agrees with PyTorch.

    Args:
        path: the file to write.
        option: the option that names the file.
        network: name of the network.
        differences: differences from PyTorch by output, filled by the block.
        tolerances: largest accepted differences.

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
    except Exception as error:  # exporters and onnxruntime have no common error class
        reason = first_line(error.__cause__ or error)
        raise ConfigError(f"{option} {path}: {network} can't be exported ({reason})") from error


def difference(name: str, first: Tensor, second: Tensor) -> Tensor:
    """Return the differences of two outputs of that name; for Euler angles the angles between rotations in degrees."""
    if name == "euler_deg":  # near gimbal lock, different angles describe the same rotation
        return geodesic_deg(euler_to_matrix(first.double()), euler_to_matrix(second.double()))
    return (first - second).abs()


def _random_pictures(loaded: LoadedModel, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, loaded.image_size, loaded.image_size, generator=generator)


def _properties(loaded: LoadedModel) -> dict[str, str]:
    """Return the metadata that the file stores."""
    described = {name: str(value) for name, value in asdict(loaded.description).items() if name != "convention"}
    return described | {"convention": "head_to_camera", "checkpoint": loaded.path.name}


def onnx_model(
    graph: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str], **options: Any
) -> Any:
    """Return a network as an ``onnx.ModelProto``.

    Args:
        graph: the network in eval mode.
        example: inputs to trace it with.
        inputs, outputs: names of its inputs and outputs.
        options: further arguments of ``torch.onnx.export``.
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
    """Silence the exporters' warnings and progress output."""
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
