"""FiftyOne: a ``FiftyOneImageDetectionDataset``, ``labels.json`` beside ``data/``.

https://docs.voxel51.com/user_guide/import_datasets.html#fiftyoneimagedetectiondataset: ``labels`` maps the name of each
picture without its ending to its objects, ``null`` if there are none; an object has a ``label``, which is an index of
``classes`` if there are some, a ``bounding_box`` x, y, w, h in fractions of the picture, and ``attributes``.

``samples.json`` of a whole exported dataset (``FiftyOneDataset``) is read too: of each sample all fields of the type
``Detections``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from semiuhpe.data.importers.folder import EULER, HEAD
from semiuhpe.data.labels.annotated import LABEL, AnnotatedPicture, annotated
from semiuhpe.files import parse_json

FILE, PICTURES = "labels.json", "data"
_DIGITS = 8


def write(pictures: Sequence[AnnotatedPicture]) -> dict[str, str]:
    """Return the texts of the files by their names."""
    labels: dict[str, list[dict[str, Any]] | None] = {}
    for picture in pictures:
        sides = (picture.width, picture.height) * 2
        objects = [
            {
                "label": 0,
                "bounding_box": [round(value / side, _DIGITS) for value, side in zip(head.box, sides, strict=True)],
                "attributes": head.attributes,
            }
            for head in picture.heads
        ]
        labels[PurePosixPath(picture.file).stem] = objects or None
    return {FILE: json.dumps({"classes": [LABEL], "labels": labels}) + "\n"}


def read(text: str) -> list[AnnotatedPicture]:
    """Return the pictures of a file, with boxes in fractions and a size of 0: the file doesn't say how large they are.

    Raises ValueError, KeyError or TypeError if it is not of this kind.
    """
    content = parse_json(text)
    if "samples" in content:
        named = [(str(sample["filepath"]), list(_detections(sample))) for sample in content["samples"]]
    else:
        classes = content.get("classes") or []
        named = [(name, [(_class(each["label"], classes), each) for each in objects or []])
                 for name, objects in content["labels"].items()]  # fmt: skip
    return [
        AnnotatedPicture(
            name, 0, 0,
            tuple(annotated(label, each["bounding_box"], _attributes(each)) for label, each in objects),
        )
        for name, objects in named
    ]  # fmt: skip


def _class(label: Any, classes: Sequence[Any]) -> str:
    return str(classes[label]) if isinstance(label, int) and 0 <= label < len(classes) else str(label)


def _detections(sample: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for field in sample.values():
        if isinstance(field, dict) and field.get("_cls") == "Detections":
            yield from ((str(each.get("label")), each) for each in field["detections"])


def _attributes(detection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an object: in ``attributes``, as values or in FiftyOne's classes, or beside its box."""
    own = {name: detection[name] for name in (*EULER, HEAD) if name in detection}
    given = detection.get("attributes") or {}
    return own | {name: value["value"] if isinstance(value, dict) else value for name, value in given.items()}
