"""AFLW (Köstinger et al., ICCVW 2011) with its own poses: ``aflw.sqlite`` and the pictures in ``flickr``.

A row of the table ``Faces`` is a face. ``FaceImages`` has its picture's ``filepath``, below ``flickr``; ``FaceRect``
its box ``x``, ``y``, ``w``, ``h`` about the middle between the eyes; and ``FacePose`` ``roll``, ``pitch`` and ``yaw``
in radians, computed by POSIT from its landmarks: see :func:`semiuhpe.conventions.from_aflw`.

Pictures that are in AFLW2000 too are left out. ``AFLW2000.txt`` beside the database lists their names, as for
:mod:`semiuhpe.data.importers.aflwface`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from semiuhpe.conventions import from_aflw
from semiuhpe.data.importers.aflwface import LEFT_OUT, read_left_out
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import numbers
from semiuhpe.errors import DataError

DATABASE, IMAGES = "aflw.sqlite", "flickr"
QUERY = """
    SELECT FaceImages.filepath, Faces.face_id, FaceRect.x, FaceRect.y, FaceRect.w, FaceRect.h,
        FacePose.roll, FacePose.pitch, FacePose.yaw
    FROM Faces JOIN FaceImages ON Faces.file_id = FaceImages.file_id
        LEFT JOIN FaceRect ON Faces.face_id = FaceRect.face_id
        LEFT JOIN FacePose ON Faces.face_id = FacePose.face_id
    ORDER BY FaceImages.filepath, Faces.face_id
"""


class Aflw(Importer):
    """AFLW with its poses."""

    name = "AFLW"

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        missing = [name for name in (DATABASE, IMAGES, LEFT_OUT) if not (source / name).exists()]
        if missing:
            raise DataError(
                f"--source {source}: has no {' and no '.join(missing)}; it should be the folder data of AFLW with "
                f"{DATABASE}, {IMAGES}, and {LEFT_OUT}, which lists the names of AFLW2000's pictures"
            )
        faces: dict[str, list[tuple[Any, ...]]] = {}
        for file, *face in _rows(source / DATABASE):
            faces.setdefault(str(file), []).append(tuple(face))
        names = {file: PurePosixPath(file).name for file in faces}
        left_out = read_left_out(source, names.values(), DATABASE)
        return [Picture(file, source / IMAGES / file, (rows, names[file] in left_out)) for file, rows in faces.items()]

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        rows, left_out = picture.labels
        for face, *values in rows:
            name = f"{picture.name}_{face}"
            box, angles = numbers(values[:4], 4), numbers(values[4:], 3)
            if left_out:
                yield Dropped(name, "its picture is in AFLW2000")
            elif None in values:
                yield Dropped(name, "no box or no pose")
            elif box is None or angles is None:
                yield Dropped(name, f"its box and its angles are not all numbers: {values}", broken=True)
            else:
                rotation = from_aflw(torch.tensor(angles, dtype=torch.float64)).numpy()
                yield RawHead(name, box=torch.tensor(box, dtype=torch.float64).numpy(), rotation=rotation)


def _rows(path: Path) -> list[tuple[Any, ...]]:
    """Return the rows of :data:`QUERY`; the file is opened for reading only."""
    connection = None
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection.execute(QUERY).fetchall()
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise DataError(f"{path}: is not AFLW's database, or damaged ({error})") from error
    finally:
        if connection is not None:
            connection.close()
