"""CVAT for images 1.1: ``annotations.xml`` beside ``images/`` (https://docs.cvat.ai/docs/other/xml_format).

A head is a ``box`` of the label ``head`` with its corners ``xtl, ytl, xbr, ybr`` in pixels; its angles are attributes.
The labels of a new task are made of ``labels.json``: its text goes into the Raw view of CVAT's constructor. There the
angles are text, because CVAT's numbers are whole ones between two limits.
"""

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from semiuhpe.data.importers.folder import EULER, HEAD
from semiuhpe.data.labels.annotated import LABEL, AnnotatedPicture, annotated, rounded, upright_box

FILE, PICTURES = "annotations.xml", "images"
CONSTRUCTOR = "labels.json"


def write(pictures: Sequence[AnnotatedPicture]) -> dict[str, str]:
    """Return the texts of the files by their names."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, value in (("name", "heads"), ("size", str(len(pictures))), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = value
    label = ElementTree.SubElement(ElementTree.SubElement(task, "labels"), "label")
    ElementTree.SubElement(label, "name").text = LABEL
    attributes = ElementTree.SubElement(label, "attributes")
    for name in (*EULER, HEAD):
        attribute = ElementTree.SubElement(attributes, "attribute")
        facts = (("name", name), ("mutable", "False"), ("input_type", "text"), ("default_value", ""), ("values", ""))
        for key, value in facts:
            ElementTree.SubElement(attribute, key).text = value
    for number, picture in enumerate(pictures):
        size = {"width": str(picture.width), "height": str(picture.height)}
        image = ElementTree.SubElement(root, "image", {"id": str(number), "name": picture.file, **size})
        for head in picture.heads:
            x, y, w, h = head.box
            corners = rounded((x, y, x + w, y + h))
            places = {key: str(value) for key, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)}
            about = {"label": LABEL, "source": "file", "occluded": "0", "z_order": "0"}
            box = ElementTree.SubElement(image, "box", {**about, **places})
            for name, number_ in head.attributes.items():
                ElementTree.SubElement(box, "attribute", {"name": name}).text = str(number_)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    declared = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in (*EULER, HEAD)
    ]
    constructor = [{"name": LABEL, "type": "rectangle", "attributes": declared}]
    return {
        FILE: f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n',
        CONSTRUCTOR: json.dumps(constructor, indent=1) + "\n",
    }


def read(text: str) -> list[AnnotatedPicture]:
    """Return the pictures of a file; ValueError or KeyError if it is not of this kind."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type, which CVAT's files don't")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error
    if root.tag != "annotations":
        raise ValueError(f"its first element is {root.tag}, not annotations")
    if root.find("track") is not None:
        raise ValueError("it holds tracks of a video; export the task as CVAT for images")
    pictures = []
    for image in root.findall("image"):
        heads = []
        for box in image.findall("box"):
            left, top, right, bottom = (float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            turned = float(box.get("rotation", 0.0))
            place = upright_box((left, top, right - left, bottom - top), turned, "center")
            attributes = {each.attrib["name"]: each.text for each in box.findall("attribute")}
            heads.append(annotated(box.attrib["label"], place, attributes))
        width, height = int(image.attrib["width"]), int(image.attrib["height"])
        pictures.append(AnnotatedPicture(image.attrib["name"], width, height, tuple(heads)))
    return pictures
