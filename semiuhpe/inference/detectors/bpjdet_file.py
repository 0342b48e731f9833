"""Reading of the released body-head detectors without running code from their files.

Such a file is a zip archive of ``torch.save``: a pickle of a whole module tree, and the bytes of its tensors. Reading
it with torch would import and call whatever it names. The unpickler here knows only the names of this layout, makes an
inert record of each object, and refuses every other name. Tensors are read from the archive afterwards.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiuhpe.errors import CheckpointError

BATCH_NORM_EPS = 1e-3
"""Epsilon of every batch norm in YOLOv5."""

_CONTAINERS = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
}
_MODULES = {
    "models.yolo": ("Model", "Detect"),
    "models.common": ("Conv", "C3", "Bottleneck", "SPP", "SPPF", "Focus", "Concat"),
    "torch.nn.modules.container": ("Sequential", "ModuleList"),
    "torch.nn.modules.conv": ("Conv2d",),
    "torch.nn.modules.batchnorm": ("BatchNorm2d",),
    "torch.nn.modules.activation": ("SiLU",),
    "torch.nn.modules.pooling": ("MaxPool2d",),
    "torch.nn.modules.upsampling": ("Upsample",),
}
_TENSORS = {"torch._utils": ("_rebuild_tensor_v2", "_rebuild_parameter")}
# The best fitness in training is a NumPy number. It is recorded like the rest, but not used.
_NUMBERS = {
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "_codecs": ("encode",),
}
_DTYPES = {
    "HalfStorage": torch.float16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
}
_BUILDS_TENSOR = "torch._utils._rebuild_tensor_v2"
_BUILDS_PARAMETER = "torch._utils._rebuild_parameter"


@dataclass(frozen=True)
class DetectorFile:
    """The contents of a body-head detector's file.

    Attributes:
        architecture: YOLOv5's description of the layers, its attribute ``yaml``.
        weights: the state dict of the module tree; floating point tensors are float32.
        names: names of the classes.
        offsets: number of values per box after the class scores.
    """

    architecture: dict[str, Any]
    weights: dict[str, Tensor]
    names: list[str]
    offsets: int


class _Record:
    """An object of the pickle: the name of its class, its arguments and its state. Nothing is ever called."""

    name = ""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _record_class(name: str) -> type[_Record]:
    return type("_Record", (_Record,), {"name": name})


_KNOWN: dict[tuple[str, str], type] = dict(_CONTAINERS)
for _group in (_MODULES, _TENSORS, _NUMBERS, {"torch": tuple(_DTYPES)}):
    _KNOWN |= {(module, name): _record_class(f"{module}.{name}") for module, names in _group.items() for name in names}


class _Unpickler(pickle.Unpickler):
    """Unpickles known names as records; ``persistent_load`` returns the tuple that describes a storage."""

    def __init__(self, pickled: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(pickled))
        self.path = path

    def find_class(self, module: str, name: str) -> type:
        known = _KNOWN.get((module, name))
        if known is None:
            raise CheckpointError(
                f"{self.path}: refers to {module}.{name}, which is not part of a body-head detector; the file was not "
                "loaded and nothing in it was run"
            )
        return known

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_detector_file(path: Path) -> DetectorFile:
    """Read the architecture and weights of a body-head detector of the BPJDet project.

    Raises:
        CheckpointError: the file is truncated, is not such a detector, or names anything other than its layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Archive(archive), path)
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"{path}: is truncated, or not a zip archive of torch.save ({error})") from error
    except Exception as error:  # a manipulated pickle can raise any error
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{path}: is broken or not laid out as a body-head detector ({reason})") from error


class _Archive:
    """The entries of a ``torch.save`` file, which are all in one folder."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise zipfile.BadZipFile("it has no data.pkl")
        self._archive, self._folder = archive, pickles[0].removesuffix("data.pkl")
        if self._folder + "byteorder" in archive.namelist() and self.read("byteorder") != b"little":
            raise zipfile.BadZipFile("it was written on a big-endian machine")

    def read(self, name: str) -> bytes:
        entry = self._archive.getinfo(self._folder + name)
        if entry.compress_type != zipfile.ZIP_STORED:  # so a small file can't unpack to a huge one
            raise zipfile.BadZipFile(f"{name} is compressed, which torch.save never does")
        return self._archive.read(entry)


def _read(archive: _Archive, path: Path) -> DetectorFile:
    contents = _Unpickler(archive.read("data.pkl"), path).load()
    found = (contents.get("ema") or contents.get("model")) if isinstance(contents, dict) else None
    if not isinstance(found, _Record) or found.name != "models.yolo.Model":
        raise CheckpointError(f"{path}: holds no YOLOv5 model under 'model' or 'ema'; it is not a body-head detector")
    state = found.state
    detect = list(state["_modules"]["model"].state["_modules"].values())[-1].state
    if detect.get("num_states", 0):
        raise CheckpointError(f"{path}: detects states of hands as well; only body-head detectors can be used")
    names = state["names"]
    return DetectorFile(
        architecture=state["yaml"],
        weights=dict(_weights(found, "", archive, {})),
        names=[str(name) for name in (names.values() if isinstance(names, dict) else names)],
        offsets=int(detect.get("num_offsets", 0)),
    )


def _weights(
    module: _Record, prefix: str, archive: _Archive, storages: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers of a module tree by their keys in a state dict."""
    state = module.state
    if module.name.endswith("BatchNorm2d") and not math.isclose(state["eps"], BATCH_NORM_EPS):
        raise ValueError(f"{prefix}eps is {state['eps']}, not {BATCH_NORM_EPS}")
    for name, value in (state["_parameters"] | state["_buffers"]).items():
        if value is not None:
            tensor = _tensor(value, archive, storages)
            yield prefix + name, tensor.float() if tensor.is_floating_point() else tensor
    for name, child in state["_modules"].items():
        yield from _weights(child, f"{prefix}{name}.", archive, storages)


def _tensor(record: _Record, archive: _Archive, storages: dict[str, Tensor]) -> Tensor:
    """Return the tensor that a record describes."""
    if record.name == _BUILDS_PARAMETER:
        record = record.args[0]
    if record.name != _BUILDS_TENSOR:
        raise ValueError(f"{record.name} where a tensor should be")
    (_, storage_class, key, _, count), offset, size, stride = record.args[:4]
    if math.prod(size) > count:
        raise ValueError(f"a tensor of shape {size} from {count} numbers")
    if key not in storages:
        data = bytearray(archive.read(f"data/{key}"))
        storages[key] = torch.frombuffer(data, dtype=_DTYPES[storage_class.name.removeprefix("torch.")], count=count)
    return torch.as_strided(storages[key], size, stride, offset).clone()
