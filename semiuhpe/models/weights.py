"""Find, fetch and read weights: ImageNet weights, and the checkpoints that the paper's authors released.

Files are in ``weights/`` of the current folder; ``weights/README.md`` lists them. A missing file is fetched if
possible; else the error says which file is needed, and where. The small model :data:`SHIPPED` comes with the package
and is found from any folder.
"""

import glob
import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import logging as hub_logging

from semiuhpe.errors import CheckpointError, ConfigError, first_line

logger = logging.getLogger(__name__)

WEIGHTS = Path("weights")
REPOSITORY = "HoyerChou/SemiUHPE"
RELEASED = (
    "DAD-COCOHead-ResNet50-best",
    "DAD-COCOHead-RepVGG-best",
    "DAD-COCOHead-EffNetV2-S-best",
    "DAD-WildHead-EffNetV2-S-best",
)
SHIPPED = "synthetic-heads-plainnet"
"""The small model that comes with the package; it was trained on rendered heads only."""

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


def no_imagenet_weights(network: str, error: Exception, source: str, place: Path) -> ConfigError:
    """Return the error for missing ImageNet weights; training never falls back to random weights silently."""
    return ConfigError(
        f"--network {network}: its ImageNet weights can't be loaded ({first_line(error)}). Either place the file "
        f"{source} at {place.absolute()}, or start from random weights with --pretrained false"
    )


def find_checkpoint(name: str | os.PathLike, exps_dir: str | os.PathLike = "exps") -> Path:
    """Return the path of a checkpoint.

    Args:
        name: a file, with or without the ending ``.pth``; the name of one in ``weights/``, such as :data:`SHIPPED`;
            ``<exp_detail>/<date>/<best|last>`` of a run below the experiments' folder; or one of :data:`RELEASED`,
            which is fetched into ``weights/`` if it isn't there.

    Raises:
        CheckpointError: no checkpoint, or more than one, has this name; or it can't be fetched.
    """
    direct, name = Path(name), str(name)
    for path in (direct, direct.with_name(f"{direct.name}.pth")) if direct.name else ():
        if path.is_file():
            return path
    stem = name.removesuffix(".pth")
    if stem and (WEIGHTS / f"{stem}.pth").is_file():
        return WEIGHTS / f"{stem}.pth"
    if stem == SHIPPED and (shipped := _shipped()):
        return shipped
    if stem in RELEASED:
        return _fetched(stem)
    found = sorted(Path(exps_dir).glob(f"*/{glob.escape(name)}.pth")) if name and not direct.is_absolute() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(f"{name}: is in several experiments; pass one of the files: {', '.join(map(str, found))}")
    raise CheckpointError(
        f"{name}: there is no such checkpoint; pass a file, the name of one in {WEIGHTS}/, EXP_DETAIL/DATE/best of a "
        f"run in {exps_dir}/, or one of the released {', '.join(RELEASED)}"
    )


def in_weights(checkpoint: Path) -> bool:
    """Whether a checkpoint is in ``weights/``, the current folder's or the package's, and not in a run folder."""
    shipped = _shipped()
    folders = [WEIGHTS, *([shipped.parent] if shipped else [])]
    return checkpoint.resolve().parent in [folder.resolve() for folder in folders]


def _shipped() -> Path | None:
    """Return the small model's file, in an installed package or at the top of the repository."""
    package = Path(__file__).parents[1]
    places = (folder / WEIGHTS.name / f"{SHIPPED}.pth" for folder in (package, package.parent))
    return next((path for path in places if path.is_file()), None)


def _fetched(name: str) -> Path:
    path = WEIGHTS / f"{name}.pth"
    logger.info("fetching %s of https://huggingface.co/%s into %s", path.name, REPOSITORY, WEIGHTS.absolute())
    url, answered = hf_hub_url(REPOSITORY, path.name), False
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(hub_logging.CRITICAL)  # it logs each attempt
    try:
        get_hf_file_metadata(url)  # asks once; the download itself would retry for half a minute
        answered = True
        return Path(hf_hub_download(REPOSITORY, path.name, local_dir=WEIGHTS))
    except Exception as error:  # errors of connections and of the client have no common base class
        answered = answered or isinstance(error, HfHubHTTPError)
        reason = "can't be fetched" if answered else f"there is no connection to {urlsplit(url).hostname}"
        raise CheckpointError(
            f"{name}: {reason} ({first_line(error)}). Put the file into {WEIGHTS.absolute()} by hand, from {url}; "
            "weights/README.md says more"
        ) from error
    finally:
        hub_logging.set_verbosity(verbosity)
