"""BIWI as FSA-Net (Yang et al., CVPR 2019) packs it: ``BIWI_train.npz``, ``BIWI_test.npz`` and ``BIWI_noTrack.npz``.

The first two have 16 and 8 of the 24 sequences, drawn at random, the last has the frames of all in which MTCNN found
the face, which models trained on 300W-LP are evaluated on.

``image`` (N, 64, 64, 3) uint8 BGR are face crops, which are kept whole; ``pose`` (N, 3) are yaw, pitch, roll in
degrees, in this order. Angles are limited to +-89.99 as in the paper's code. :mod:`semiuhpe.data.importers.biwi` reads
the original pictures.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from semiuhpe.data.importers.base import Importer, Picture, RawHead, limit_front, wrap
from semiuhpe.errors import DataError


class BiwiNpz(Importer):
    """Importer of one of the files, which are separate datasets.

    Args:
        name: name of the dataset.
        split: the only split of the dataset.
        file: beginning of the file's name.
    """

    def __init__(self, name: str, split: str, file: str):
        self.name, self.splits, self._file = name, (split,), file

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        path = _find(source, f"{self._file}*.npz") if source.is_dir() else source
        images, poses = _read(source, path)
        return [
            Picture(f"{index:05d}", image[..., ::-1], pose)
            for index, (image, pose) in enumerate(zip(images, poses, strict=True))
        ]

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        yaw, pitch, roll = wrap(picture.labels)
        euler, notes = limit_front(np.array([pitch, yaw, roll]))
        yield RawHead(picture.name, euler_deg=euler, notes=notes)


BIWI_TEST = BiwiNpz("BIWItest", "test", "BIWI_test")
BIWI_TRAIN = BiwiNpz("BIWItrain", "train", "BIWI_train")
BIWI_NO_TRACK = BiwiNpz("BIWInoTrack", "test", "BIWI_noTrack")


def _find(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise DataError(f"--source {folder}: should be FSA-Net's .npz file, or a folder with one {pattern}; it has {names}")


def _read(source: Path, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, H, W, 3) uint8 BGR pictures and (N, 3) float64 yaw, pitch, roll in degrees."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images, poses = arrays["image"], np.asarray(arrays["pose"], dtype=np.float64)
    except Exception as error:  # numpy and zipfile raise many types on broken files
        raise DataError(
            f"--source {source}: {path.name} is not FSA-Net's .npz file with `image` and `pose` ({error})"
        ) from error
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or poses.shape != (len(images), 3):
        raise DataError(
            f"--source {source}: `image` of {path.name} is {images.dtype} {images.shape} and `pose` {poses.shape}; "
            "they should be uint8 (N, 64, 64, 3) and (N, 3)"
        )
    return images, poses
