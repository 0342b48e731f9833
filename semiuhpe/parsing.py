"""JSON, YAML and CSV from files that somebody else wrote: whatever is wrong with a text comes out as one ValueError."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from semiuhpe.errors import first_line


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError if it is none, one nested too deeply for Python's parser included."""
    try:
        return json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
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


_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and stripped fields of a CSV file in UTF-8, with or without a byte order mark; no empty rows.

    Fields are separated by what the header has most of: commas, semicolons or tabs. Where these are not commas, numbers
    may have decimal commas, as spreadsheets of many countries write them. Empty columns behind the last name are cut.

    Raises:
        ValueError: it is not CSV in UTF-8, or can't be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = next((line for line in file if line.strip()), "")
            delimiter = max(_DELIMITERS, key=header.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            width = 0
            for row in reader:
                fields = [field.strip() for field in row]
                while len(fields) > width and not fields[-1]:
                    fields.pop()
                width = width or len(fields)
                if delimiter != ",":
                    fields = [field.replace(",", ".") if _DECIMAL_COMMA.fullmatch(field) else field for field in fields]
                if any(fields):
                    yield reader.line_num, fields
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"is not readable CSV in UTF-8 ({error})") from error
