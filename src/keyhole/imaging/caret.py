"""Label names inside a NIfTI extension, in the XML form that Caret and TotalSegmentator use."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CARET = 30
"""NIfTI extension code of Caret's XML; some tools write code 0, so reading goes by content, not by code."""


def names_xml(names: Mapping[int, str]) -> bytes:
    """`names` as a Caret label table, ordered by label."""
    rows = "".join(
        f'<Label Key="{label}" Red="0" Green="0" Blue="0" Alpha="1">{escape(name)}</Label>\n'
        for label, name in sorted(names.items())
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<CaretExtension><VolumeInformation Index="0"><LabelTable>\n'
        f"{rows}</LabelTable><VolumeType>Label</VolumeType></VolumeInformation></CaretExtension>\n"
    )
    return text.encode()


def names_of(content: bytes) -> dict[int, str]:
    """Label -> name from one extension's `content`; empty where it is no readable Caret label table."""
    if b"<LabelTable" not in content or b"<!ENTITY" in content:
        return {}
    try:
        rows = list(ElementTree.fromstring(content.strip(b"\0 \r\n\t").decode("utf-8")).iter("Label"))
        found = {int(row.attrib["Key"]): (row.text or "").strip() for row in rows}
    except (ElementTree.ParseError, UnicodeDecodeError, KeyError, ValueError):
        return {}
    return {label: name for label, name in found.items() if label > 0 and name}
