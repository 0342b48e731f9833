"""COCO: ``annotations/instances_default.json`` beside ``images/``, as CVAT exports it.

``images`` have ``id``, ``file_name``, ``width`` and ``height``; ``annotations`` have ``image_id``, ``category_id``, a
``bbox`` x, y, w, h in pixels, and ``attributes``, an extension that CVAT, Datumaro and FiftyOne read and write
(https://cocodataset.org/#format-data).
"""

import json
from collections.abc import Sequence
from typing import Any

from semiuhpe.data.labels.annotated import LABEL, AnnotatedPicture, annotated, rounded
from semiuhpe.files import parse_json

FILE, PICTURES = "annotations/instances_default.json", "images"


def write(pictures: Sequence[AnnotatedPicture]) -> dict[str, str]:
    """Return the texts of the files by their names."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(pictures, 1):
        size = {"width": picture.width, "height": picture.height}
        images.append({"id": image_id, "file_name": picture.file, **size})
        for head in picture.heads:
            about = {"area": round(head.box[2] * head.box[3], 2), "iscrowd": 0, "segmentation": []}
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "bbox": rounded(head.box),
                    **about, "attributes": head.attributes,
                }
            )  # fmt: skip
    categories = [{"id": 1, "name": LABEL, "supercategory": ""}]
    content = {"info": {}, "licenses": [], "categories": categories, "images": images, "annotations": annotations}
    return {FILE: json.dumps(content) + "\n"}


def read(text: str) -> list[AnnotatedPicture]:
    """Return the pictures of a file; ValueError, KeyError or TypeError if it is not of this kind."""
    content = parse_json(text)
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    heads: dict[Any, list] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        image, label = heads.get(annotation["image_id"]), names.get(annotation["category_id"])
        if image is None or label is None:
            raise ValueError(f"annotation {annotation.get('id')} is of an image or a category that isn't there")
        image.append(annotated(label, annotation["bbox"], annotation.get("attributes") or {}))
    return [
        AnnotatedPicture(
            str(image["file_name"]), int(image.get("width", 0)), int(image.get("height", 0)), tuple(heads[image["id"]])
        )
        for image in content["images"]
    ]
