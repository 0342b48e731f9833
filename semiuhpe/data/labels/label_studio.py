"""Label Studio: ``tasks.json``, a list of tasks (https://labelstud.io/guide/task_format), beside ``pictures/``.

A head is a region of the type ``rectanglelabels``, with x, y, width and height in percent of the picture. Its angles
are numbers of the region: further entries of the result with its ``id``, of the type ``number``. ``config.xml`` is the
labeling interface that these belong to. Pictures are named as Label Studio's storage of local files names them; its
``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` has to be the folder of ``tasks.json``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from semiuhpe.data.importers.folder import EULER, HEAD
from semiuhpe.data.labels.annotated import LABEL, AnnotatedHead, AnnotatedPicture, annotated, upright_box
from semiuhpe.files import parse_json

FILE, PICTURES = "tasks.json", "pictures"
CONFIG = "config.xml"
_LOCAL = "/data/local-files/"
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""
_IMAGE, _BOX = "image", "box"
_PERCENT_DIGITS = 6


def write(pictures: Sequence[AnnotatedPicture]) -> dict[str, str]:
    """Return the texts of the files by their names."""
    tasks = []
    for number, picture in enumerate(pictures, 1):
        result = [entry for i, head in enumerate(picture.heads) for entry in _region(f"{number}_{i}", head, picture)]
        data = {_IMAGE: f"{_LOCAL}?d={quote(f'{PICTURES}/{picture.file}')}"}
        tasks.append({"id": number, "data": data, "annotations": [{"result": result}]})
    numbers = "".join(
        f'  <Number name="{name}" toName="{_IMAGE}" perRegion="true" step="0.1"/>\n' for name in (*EULER, HEAD)
    )
    config = (
        f'<View>\n  <Image name="{_IMAGE}" value="${_IMAGE}"/>\n  <RectangleLabels name="{_BOX}" toName="{_IMAGE}">\n'
        f'    <Label value="{LABEL}"/>\n  </RectangleLabels>\n{numbers}</View>\n'
    )
    return {FILE: json.dumps(tasks) + "\n", CONFIG: config}


def _region(identifier: str, head: AnnotatedHead, picture: AnnotatedPicture) -> list[dict[str, Any]]:
    x, y, w, h = head.box
    width, height = picture.width, picture.height
    places = (("x", x / width), ("y", y / height), ("width", w / width), ("height", h / height))
    percent = {key: round(100 * value, _PERCENT_DIGITS) for key, value in places}
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    shared = {"id": identifier, "to_name": _IMAGE, **size}
    box = {**percent, "rotation": 0}
    rectangle = {"from_name": _BOX, "type": "rectanglelabels", "value": {**box, "rectanglelabels": [LABEL]}}
    numbers = [
        {"from_name": name, "type": "number", "value": {**box, "number": value}}
        for name, value in head.attributes.items()
    ]
    return [{**shared, **entry} for entry in (rectangle, *numbers)]


def read(text: str) -> list[AnnotatedPicture]:
    """Return the pictures of a file; ValueError, KeyError or TypeError if it is not of this kind.

    Of a task that was annotated several times the last annotation counts that was not cancelled; of one without any,
    the last prediction.
    """
    tasks = parse_json(text)
    if not isinstance(tasks, list):
        raise ValueError("it is not a list of tasks; export it as JSON, not as JSON-MIN")
    pictures = []
    for task in tasks:
        done = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
        results = done or task.get("predictions") or [{"result": []}]
        heads, width, height = _heads(results[-1]["result"])
        pictures.append(AnnotatedPicture(_file_name(str(task["data"][_IMAGE])), width, height, heads))
    return pictures


def _heads(result: Sequence[Mapping[str, Any]]) -> tuple[tuple[AnnotatedHead, ...], int, int]:
    """Return the heads of a result, and the width and height of its picture; 0 if there are none."""
    numbers: dict[str, dict[str, Any]] = {}
    for entry in result:
        if entry.get("type") == "number":
            numbers.setdefault(entry["id"], {})[entry["from_name"]] = entry["value"]["number"]
    heads, width, height = [], 0, 0
    for entry in result:
        if entry.get("type") != "rectanglelabels":
            continue
        value, width, height = entry["value"], int(entry["original_width"]), int(entry["original_height"])
        sides = (("x", width), ("y", height), ("width", width), ("height", height))
        box = [float(value[key]) * side / 100 for key, side in sides]
        place = upright_box(box, float(value.get("rotation") or 0.0), "corner")
        labels = value.get("rectanglelabels") or [""]
        heads.append(annotated(labels[0], place, numbers.get(entry["id"], {})))
    return tuple(heads), width, height


def _file_name(address: str) -> str:
    """Return the name of a picture's file by the address in its task."""
    parts = urlsplit(address)
    if parts.path.endswith(_LOCAL) or parts.path.endswith(_LOCAL.rstrip("/")):
        return parse_qs(parts.query).get("d", [""])[0].removeprefix(f"{PICTURES}/")
    name = unquote(parts.path).rpartition("/")[2]
    return _UPLOAD.sub("", name) if "/upload/" in parts.path else name
