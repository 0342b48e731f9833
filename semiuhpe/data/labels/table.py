"""The table of heads that ``semiuhpe prepare folder`` reads: ``heads.csv`` beside ``pictures/``."""

from collections.abc import Sequence

from semiuhpe.data.importers.folder import BOX, EULER, HEAD
from semiuhpe.data.labels.annotated import DIGITS, AnnotatedHead, AnnotatedPicture
from semiuhpe.files import csv_text

FILE, PICTURES = "heads.csv", "pictures"


def write(pictures: Sequence[AnnotatedPicture]) -> dict[str, str]:
    """Return the texts of the files by their names."""
    beside = [AnnotatedPicture(f"{PICTURES}/{each.file}", each.width, each.height, each.heads) for each in pictures]
    return {FILE: table(beside)}


def table(pictures: Sequence[AnnotatedPicture]) -> str:
    """Return a CSV with a row for each head: picture, box, angles, position in a store.

    Angles and positions are left out unless all heads have them, because all rows of a table have the same columns.
    """
    heads = [(picture.file, head) for picture in pictures for head in picture.heads]
    labeled = all(head.euler_deg is not None for _, head in heads)
    stored = all(head.head is not None for _, head in heads)
    columns = ["image", *BOX, *(EULER if labeled else ()), *((HEAD,) if stored else ())]
    rows = ([file, *_numbers(head, labeled), *((head.head,) if stored else ())] for file, head in heads)
    return csv_text([columns, *rows])


def _numbers(head: AnnotatedHead, labeled: bool) -> list[str]:
    values = (*head.box, *(head.euler_deg or () if labeled else ()))
    return [f"{float(value):.{DIGITS}f}" for value in values]
