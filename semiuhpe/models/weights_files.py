"""Read and write files of weights: those of ``torch.save``, and safetensors. Reading never runs code."""

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from semiuhpe.errors import CheckpointError, first_line
from semiuhpe.files import atomic_path

SAFETENSORS = ".safetensors"
_CHECKSUM = "sha256"

# The globals that numpy numbers, in metrics and clocks, need in a file: the function that makes one, under its names
# before and since numpy 2, and the types of their dtypes. None of these runs code from the file.
_NUMPY_SCALARS: list[Any] = [
    (np.dtype, "numpy.dtype"),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
]


def read_weights_file(path: str | os.PathLike) -> Any:
    """Read a file of ``torch.save``, onto the CPU: tensors, plain values and numpy numbers only. Never runs code.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or holds other objects.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        _check_archive(path)
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: is not a file of weights, or holds objects other than tensors and plain values, which are not "
            "loaded"
        ) from error
    except Exception as error:  # errors of torch and the unpickler on damaged bytes have no common base class
        raise CheckpointError(
            f"{path}: is truncated, damaged or not a file of weights ({first_line(error)})"
        ) from error


def _check_archive(path: str | os.PathLike) -> None:
    """Raise BadZipFile if a zip archive is damaged, by its checksums, which torch doesn't compare."""
    if not zipfile.is_zipfile(path):
        return  # written before torch 1.6; truncated archives are found by torch
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise zipfile.BadZipFile("it is compressed, which torch.save never does")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong: it was damaged after it was written")


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of safetensors, onto the CPU: its tensors, and the JSON values of its metadata.

    Where the metadata has a checksum, as in files of :func:`write_safetensors`, it is compared.

    Raises:
        CheckpointError: the file is missing, truncated, damaged or of another kind.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        facts = {name: _json_or_text(text) for name, text in texts.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is truncated, damaged or not a file of safetensors ({first_line(error)})"
        ) from error
    checksum = facts.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(weights, facts):
        raise CheckpointError(f"{path}: its checksum is wrong: it was damaged after it was written")
    return weights, facts


def write_safetensors(path: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors with a checksum, and JSON values as metadata; an earlier file is replaced once it is complete.

    Raises:
        CheckpointError: the file can't be written.
    """
    stored = {name: value.contiguous() for name, value in weights.items()}
    values = {**facts, _CHECKSUM: _checksum(stored, facts)}
    try:
        with atomic_path(path) as temporary:  # save_file would leave the file to its owner alone
            temporary.write_bytes(save(stored, {name: json.dumps(value) for name, value in values.items()}))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: can't be written ({error})") from error


def _checksum(weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # metadata of other programs
