"""Files of other people: parts that may be of any kind, and rows of CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput, UnreadableFile


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects in the list `value`; nothing where it is none, and what is no object is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def rows(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names as they stand, and every row with its line; comma or semicolon, cells left out are empty."""
    first = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", restval=""
    )
    try:
        names = [name or "" for name in reader.fieldnames or ()]
        found = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UnreadableFile(f"{path.name}: is no CSV table ({error})") from error
    for line, row in found:
        if None in row:
            raise InvalidInput(f"{path.name}, line {line}: more cells than columns")
    return names, found
