"""Report pages: self-contained HTML that opens offline, light or dark, from the templates in ``templates/``."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from semiuhpe.evaluation.plots import PALETTE
from semiuhpe.evaluation.results import write_result

JPEG_QUALITY = 90

Table = tuple[list[str], list[list[str]]]
"""Columns and rows of a table, as text."""


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write the page that a template makes of values; DataError if it can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_result(path, render(template, **values).encode())


def render(template: str, **values: Any) -> Markup:
    """Return a template of ``templates/``, filled with values. Text is escaped, plots and other ``Markup`` are not."""
    return Markup(_ENVIRONMENT.get_template(template).render(values))


def enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """Return a (H, W, 3) picture resized to (size, size, 3)."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)


def png(image: np.ndarray) -> str:
    """Return a (H, W, 3) uint8 RGB picture as the address of an image element, without loss."""
    return _address(image, "png", [])


def jpeg(image: np.ndarray) -> str:
    """Return a (H, W, 3) uint8 RGB picture as the address of an image element, as JPEG."""
    return _address(image, "jpeg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _address(image: np.ndarray, kind: str, settings: list[int]) -> str:
    data = cv2.imencode(f".{kind}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("semiuhpe.evaluation"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["palette"] = PALETTE
_ENVIRONMENT.filters.update(png=png, jpeg=jpeg)
