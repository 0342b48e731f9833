"""VGGHeads (Kupyn et al., 2024): a million generated pictures, with heads and poses that networks found, full range.

``large/split_NNNNN/images/NAME.jpg`` with ``large/split_NNNNN/annotations/NAME.npz``, which has for each of N heads
``bbox`` (N, 4) x, y, w, h in pixels, and ``3dmm_params`` (N, 1, 413) of DAD-3DNet. Pictures on which no head was found
have no annotation. As in its training configuration, ``split_00000`` and ``split_00001`` are the validation split.

**Rotation.** Of the 413 numbers, 300 are of the shape, 100 of the expression, 3 of the jaw, and the next 6 of the
rotation (``yolo_head/flame.py``: ``FlameParams.from_3dmm``). They are the first two columns of a matrix, made
orthonormal by ``rot_mat_from_6dof``, that turns FLAME's mesh (x to the subject's left, y up, z out of the face) into
the picture (y down): R head to camera. Its ``calculate_rpy`` reads 300W-LP's angles from it.

The labels are DAD-3DNet's predictions on crops of the heads, not measurements.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import roma
import torch

from semiuhpe.data.importers.base import Importer, Picture, RawHead
from semiuhpe.errors import DataError

FOLDER = "large"
SPLIT = re.compile(r"split_\d{5}")
VALIDATION = ("split_00000", "split_00001")
PARAMETERS = 413
ROTATION = slice(403, 409)


class VggHeads(Importer):
    """VGGHeads."""

    name = "VGGHeads"
    splits = ("train", "val")
    full_range = True

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        root = source / FOLDER if (source / FOLDER).is_dir() else source
        folders = sorted(folder for folder in root.iterdir() if SPLIT.fullmatch(folder.name)) if root.is_dir() else []
        chosen = [folder for folder in folders if (folder.name in VALIDATION) == (split == "val")]
        found = [
            Picture(f"{folder.name}/{path.stem}", folder / "images" / f"{path.stem}.jpg", path)
            for folder in chosen
            for path in sorted((folder / "annotations").glob("*.npz"))
        ]
        if not found:
            wanted = " and ".join(VALIDATION) if split == "val" else "split_00002 and more"
            raise DataError(
                f"--source {source}: has no split_NNNNN/annotations/NAME.npz of {wanted}; it should be the folder "
                f"{FOLDER} of VGGHeads, or the one that contains it"
            )
        return found

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        boxes, parameters = _read(picture.labels)
        columns = torch.from_numpy(parameters[:, ROTATION]).reshape(-1, 2, 3).mT
        rotations = roma.special_gramschmidt(columns).numpy()
        for row, (box, rotation) in enumerate(zip(boxes, rotations, strict=True)):
            yield RawHead(f"{picture.name}_{row}", box=box, rotation=rotation)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (N, 4) and the parameters (N, 413) of a picture's heads, float64."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            boxes, parameters = (np.asarray(arrays[key], dtype=np.float64) for key in ("bbox", "3dmm_params"))
    except Exception as error:  # numpy and zipfile raise many types on broken files
        raise DataError(f"{path}: is not a readable annotation with bbox and 3dmm_params ({error})") from error
    if boxes.shape != (len(boxes), 4) or parameters.size != len(boxes) * PARAMETERS:
        raise DataError(
            f"{path}: bbox has the shape {boxes.shape} and 3dmm_params {parameters.shape}; they should have (N, 4) and "
            f"(N, 1, {PARAMETERS})"
        )
    return boxes, parameters.reshape(-1, PARAMETERS)
