"""Lists of pictures, ``files.txt``, as Hopenet, 6DRepNet and TokenHPE have them for 300W-LP and AFLW2000.

A line is a picture without ``.jpg``, relative to the folder of the list: ``AFW/AFW_134212_1_2`` or the same after
``./``. 6DRepNet's ``create_filename_list.py`` leaves out pictures with an angle beyond 99 degrees.
"""

from pathlib import Path, PurePosixPath

from semiuhpe.data.importers.boxes import label_lines
from semiuhpe.errors import DataError


def listed(source: Path, known: tuple[str, ...] = ()) -> list[Path]:
    """Return the pictures of a list in its order, each once.

    Args:
        source: the list.
        known: the folders that pictures may lie in; if empty, they lie beside the list.

    Raises:
        DataError: the list can't be read or is empty, or a line names no such picture.
    """
    files: dict[Path, None] = {}
    for number, line in label_lines(source):
        name = PurePosixPath(line)
        if str(name.parent) not in (known or (".",)):
            where = f"in one of the folders {', '.join(known)}" if known else "beside the list"
            raise DataError(
                f"--source {source}: line {number}, {line}: names no picture {where}; a line is a picture without .jpg"
            )
        files[source.parent / f"{name}.jpg"] = None
    if not files:
        raise DataError(f"--source {source}: names no picture")
    return list(files)
