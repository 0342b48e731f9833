"""JSON and YAML from files that somebody else wrote: whatever is wrong with a text comes out as one ValueError."""

import json
from typing import Any

import yaml

from semiuhpe.errors import first_line


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError if it is none, one nested too deeply for Python's parser included."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, plain values only; ValueError if it is none. Never runs code."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # a day 2001-99-99 or an `!!int x`: PyYAML lets out what its constructors raise
        raise ValueError(f"a value in it can't be read: {first_line(error)}") from error
