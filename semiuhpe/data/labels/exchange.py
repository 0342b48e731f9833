"""Heads of stores as files of programs for labeling, and back as a table that ``semiuhpe prepare folder`` reads."""

import hashlib
import io
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from semiuhpe.data.labels import coco, cvat, fiftyone, label_studio, table
from semiuhpe.data.labels.annotated import AnnotatedHead, AnnotatedPicture
from semiuhpe.data.labels.decisions import Relabeled
from semiuhpe.data.stores import HeadStore, SceneStore
from semiuhpe.errors import DataError, StoreError
from semiuhpe.pictures import named_file, picture_size
from semiuhpe.rotation import matrix_to_euler

logger = logging.getLogger(__name__)


class Format(NamedTuple):
    """A kind of files of labels.

    Attributes:
        title: the program that reads it.
        file: name of the file with the labels.
        pictures: folder of the pictures, beside the labels.
        write: from pictures to the texts of the files, by their names.
        read: from the text of the file with the labels to pictures; None for what other commands read.
    """

    title: str
    file: str
    pictures: str
    write: Callable[[Sequence[AnnotatedPicture]], dict[str, str]]
    read: Callable[[str], list[AnnotatedPicture]] | None


FORMATS = {
    "coco": Format("COCO", coco.FILE, coco.PICTURES, coco.write, coco.read),
    "cvat": Format("CVAT", cvat.FILE, cvat.PICTURES, cvat.write, cvat.read),
    "labelstudio": Format(
        "Label Studio", label_studio.FILE, label_studio.PICTURES, label_studio.write, label_studio.read
    ),
    "fiftyone": Format("FiftyOne", fiftyone.FILE, fiftyone.PICTURES, fiftyone.write, fiftyone.read),
    "folder": Format("`semiuhpe prepare folder`", table.FILE, table.PICTURES, table.write, None),
}
READABLE = tuple(name for name, kind in FORMATS.items() if kind.read)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST_NAME = 60
Stems = dict[Path, dict[str, Path]]
"""Files of folders by their names without endings, as far as they were asked for."""
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png"}


def export_heads(heads: Relabeled, kind: Format, out: Path) -> list[AnnotatedPicture]:
    """Write heads of a store and their pictures in the format of a program; return what was written.

    The pictures are those of the store, byte by byte; heads on the same picture share it.

    Raises:
        DataError: the folder exists or can't be written.
        StoreError: a picture is missing or damaged.
    """
    store, euler = heads.store, heads.euler_deg
    numbers: dict[bytes, int] = {}
    found: list[tuple[int, list[AnnotatedHead]]] = []
    for row in tqdm(range(len(store)), desc="exporting", unit="head", disable=None):
        digest = hashlib.sha1(store.encoded(row), usedforsecurity=False).digest()
        if digest not in numbers:
            numbers[digest] = len(found)
            found.append((row, []))
        angles = None if euler is None else _three(euler[row])
        found[numbers[digest]][1].append(AnnotatedHead(_four(store.box[row]), angles, int(heads.head[row])))
    return _write(store, found, kind, out)


def export_scenes(store: SceneStore, kind: Format, out: Path) -> list[AnnotatedPicture]:
    """Write scenes of a store as :func:`export_heads` does heads."""
    found = []
    for row in range(len(store)):
        on_it = store.heads(row)
        rotation = torch.from_numpy(on_it.rotation).double()
        euler = matrix_to_euler(rotation, store.meta["full_range"]).numpy()
        known = np.isfinite(euler).all(axis=1)
        found.append((row, [AnnotatedHead(_four(box), _three(angles) if labeled else None)
                            for box, angles, labeled in zip(on_it.box, euler, known, strict=True)]))  # fmt: skip
    return _write(store, found, kind, out)


def _write(
    store: HeadStore | SceneStore, found: Sequence[tuple[int, list[AnnotatedHead]]], kind: Format, out: Path
) -> list[AnnotatedPicture]:
    if out.exists():
        raise DataError(f"--out {out}: exists already; name a new folder")
    partial = out.with_name(f"{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what an earlier, killed process left
        (partial / kind.pictures).mkdir(parents=True)
        pictures = []
        for row, heads in found:
            encoded = store.encoded(row)
            name, width, height = _picture(store, row, encoded)
            (partial / kind.pictures / name).write_bytes(encoded)
            pictures.append(AnnotatedPicture(name, width, height, tuple(heads)))
        for name, text in kind.write(pictures).items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(text, encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise DataError(f"--out {out}: can't be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return pictures


def _picture(store: HeadStore | SceneStore, row: int, encoded: bytes) -> tuple[str, int, int]:
    """Return a file name that is unique in the store, and the width and height of a picture."""
    number = int(store.indices[row])
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            ending, (width, height) = _ENDINGS[opened.format or ""], opened.size
    except (OSError, KeyError) as error:
        raise StoreError(f"{store.path}: picture {number} can't be decoded; make the store again") from error
    name = _NOT_IN_NAMES.sub("_", str(store.names[row]))
    return f"{number:06d}_{PurePosixPath(name).stem[-_LONGEST_NAME:]}{ending}", width, height


def import_labels(source: Path, kind: Format, folder: Path | None, label: str | None) -> list[AnnotatedPicture]:
    """Read a file of labels, and find its pictures.

    Args:
        source: the file.
        kind: its format.
        folder: where the pictures are; without it they are looked for beside the file.
        label: what heads are called in it; None for whatever it is, if all are called the same.

    Returns:
        Pictures with heads, and with the paths of their files. If some heads have angles, those without are left out,
        with a warning.

    Raises:
        DataError: the file is missing or of another kind, has no heads, or a picture is missing.
    """
    if not source.is_file():
        raise DataError(f"{source}: there is no such file")
    if kind.read is None:
        raise DataError(f"{source}: a table needs no import; pass it to `semiuhpe prepare folder --source`")
    try:
        pictures = kind.read(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{source}: is no file of labels of {kind.title} that can be used ({what})") from error
    pictures = [_only_heads(picture, _label_of(pictures, label, source)) for picture in pictures]
    pictures = _all_or_none_labeled([picture for picture in pictures if picture.heads], source)
    stems: Stems = {}
    return [_located(picture, source, kind, folder, stems) for picture in pictures]


def write_table(pictures: Sequence[AnnotatedPicture], out: Path) -> str:
    """Return the table of imported pictures; paths are those seen from the table ``out``."""
    beside = out.parent.resolve()
    return table.table(
        [replace(picture, file=Path(os.path.relpath(Path(picture.file).resolve(), beside)).as_posix())
         for picture in pictures]
    )  # fmt: skip


def _label_of(pictures: Sequence[AnnotatedPicture], label: str | None, source: Path) -> str:
    """Return what heads are called in a file; DataError if that isn't known."""
    counts = Counter(head.label for picture in pictures for head in picture.heads)
    if not counts:
        raise DataError(f"{source}: has no boxes")
    if label is None and len(counts) == 1:
        return next(iter(counts))
    if label is None or label not in counts:
        named = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
        which = f"no boxes are called {label}" if label else "which of them are heads"
        raise DataError(f"{source}: {which}? Pass --label with one of {named}")
    return label


def _only_heads(picture: AnnotatedPicture, label: str) -> AnnotatedPicture:
    return replace(picture, heads=tuple(head for head in picture.heads if head.label == label))


def _all_or_none_labeled(pictures: list[AnnotatedPicture], source: Path) -> list[AnnotatedPicture]:
    heads = [head for picture in pictures for head in picture.heads]
    without = sum(head.euler_deg is None for head in heads)
    if without in (0, len(heads)):
        return pictures
    logger.warning("%s: %d of %d heads have no pitch, yaw, roll and are left out.", source, without, len(heads))
    kept = [
        replace(picture, heads=tuple(head for head in picture.heads if head.euler_deg is not None))
        for picture in pictures
    ]
    return [picture for picture in kept if picture.heads]


def _located(
    picture: AnnotatedPicture, source: Path, kind: Format, folder: Path | None, stems: Stems
) -> AnnotatedPicture:
    """Return a picture with the path of its file, and its boxes in pixels."""
    above = source.parent
    folders = [folder] if folder else [above / kind.pictures, above, above.parent / kind.pictures, above.parent]
    names = dict.fromkeys((picture.file, PurePosixPath(picture.file.replace("\\", "/")).name))
    found = next((path for place in folders for name in names if (path := _file(place, name, stems))), None)
    if found is None:
        tried = ", ".join(map(str, folders))
        raise DataError(f"{source}: there is no picture {picture.file} in {tried}; pass its folder with --pictures")
    if picture.width and picture.height:
        return replace(picture, file=str(found))
    width, height = picture_size(found)
    sides = np.array([width, height, width, height])
    heads = tuple(replace(head, box=_four(np.array(head.box) * sides)) for head in picture.heads)
    return AnnotatedPicture(str(found), width, height, heads)


def _file(folder: Path, name: str, stems: Stems) -> Path | None:
    """Return the file of a name in a folder, which may lack its ending, or None."""
    path = named_file(folder, name)
    if path.is_file():
        return path
    if path.parent not in stems:
        there = sorted(path.parent.iterdir(), reverse=True) if path.parent.is_dir() else []
        stems[path.parent] = {other.stem: other for other in there if other.is_file()}
    return stems[path.parent].get(path.name)


def _four(values: np.ndarray) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value) for value in values)
    return x, y, w, h


def _three(values: np.ndarray) -> tuple[float, float, float]:
    pitch, yaw, roll = (float(value) for value in values)
    return pitch, yaw, roll
