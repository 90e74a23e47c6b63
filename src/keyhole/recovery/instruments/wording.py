"""The clinic's own licensed text of a questionnaire, from a file of the clinic; Keyhole ships none of it."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.instruments.catalogue import instrument
from keyhole.recovery.instruments.model import Instrument
from keyhole.recovery.instruments.parts import dicts, rows

_ORDINAL = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
)
_CHOICES = {"choice", "open-choice", "coding", "integer", "boolean"}
_RESULTS = ("score", "category", "severity", "total", "index")


@dataclass(frozen=True, slots=True)
class Option:
    """One answer: the number it counts and its text."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its number, its text and the answers offered; no options where a number is written."""

    number: int
    text: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemSet:
    """The text of one instrument as the clinic holds it, with the licence it names and the file's digest."""

    instrument: str
    title: str
    licence: str
    items: tuple[Item, ...]
    sha256: str


def load_items(path: Path, key: str = "") -> ItemSet:
    """The clinic's own text in `path`: TOML, CSV, or a FHIR Questionnaire as JSON.

    Parameters
    ----------
    path : TOML with `instrument`, `title`, `licence` and a list `items` of {number, text, options = [{value, text}]};
        CSV with the columns item, text, and where answers are offered value and option, one row for each answer; or
        a FHIR Questionnaire, whose answers carry ordinalValue or itemWeight, or a number as their code.
    key : of the instrument; may be left out where a TOML names it.

    Returns
    -------
    Exactly the items that the instrument is scored with, in order; a file with one too many or too few, or with an
    answer outside the item's range, is refused.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: is not text in UTF-8") from error
    read = {".toml": _toml, ".csv": _csv, ".json": _fhir}.get(path.suffix.casefold())
    if read is None:
        raise InvalidInput(
            f"{path.name}: text of items comes as .toml, .csv or .json, got {path.suffix or 'no ending'}"
        )
    named, title, licence, items = read(path, text)
    if named and key and named != key:
        raise InvalidInput(f"{path.name}: is for {named}, asked for was {key}")
    if not (named or key):
        raise InvalidInput(f"{path.name}: does not say which instrument it is for; name it")
    this = instrument(named or key)
    _check(path, this, items)
    return ItemSet(this.key, title or this.title, licence, items, hashlib.sha256(data).hexdigest())


_Read = tuple[str, str, str, tuple[Item, ...]]


def _check(path: Path, this: Instrument, items: tuple[Item, ...]) -> None:
    if [item.number for item in items] != list(range(1, this.items + 1)):
        found = ", ".join(str(item.number) for item in items) or "none"
        raise InvalidInput(f"{path.name}: {this.short} has items 1 to {this.items}, found {found}")
    for item in items:
        if not item.text.strip():
            raise InvalidInput(f"{path.name}: item {item.number} has no text")
        for option in item.options:
            if not this.item_low <= option.value <= this.item_high:
                raise InvalidInput(
                    f"{path.name}, item {item.number}: the answer {option.value:g} is not between "
                    f"{this.item_low:g} and {this.item_high:g}"
                )
        values = [option.value for option in item.options]
        if len(set(values)) != len(values):
            raise InvalidInput(f"{path.name}, item {item.number}: two answers count the same")


def _toml(path: Path, text: str) -> _Read:
    try:
        entry = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"{path.name}: is not TOML ({error})") from error
    if not isinstance(entry.get("items"), list):
        raise InvalidInput(f"{path.name}: needs a list of items")
    items = tuple(
        Item(
            _whole(path, row.get("number")),
            str(row.get("text", "")),
            tuple(Option(_value(path, o), str(o.get("text", ""))) for o in dicts(row.get("options"))),
        )
        for row in dicts(entry["items"])
    )
    return str(entry.get("instrument", "")), str(entry.get("title", "")), str(entry.get("licence", "")), items


def _csv(path: Path, text: str) -> _Read:
    names, found = rows(path, text)
    columns = {name.strip().casefold(): name for name in names}
    if not {"item", "text"} <= set(columns):
        raise InvalidInput(f"{path.name}: needs the columns item and text, has {', '.join(names) or 'none'}")
    texts: dict[int, str] = {}
    options: dict[int, list[Option]] = {}
    for _, cells in found:
        row = {key: cells[name] for key, name in columns.items()}
        number = _whole(path, row["item"])
        texts[number] = texts.get(number) or row["text"]
        if row.get("option"):
            options.setdefault(number, []).append(Option(_value(path, row), row["option"]))
    return "", "", "", tuple(Item(n, texts[n], tuple(options.get(n, ()))) for n in sorted(texts))


def _fhir(path: Path, text: str) -> _Read:
    try:
        form = json.loads(text)
    except ValueError as error:
        raise UnreadableFile(f"{path.name}: is not JSON ({error})") from error
    if not isinstance(form, dict) or form.get("resourceType") != "Questionnaire":
        raise InvalidInput(f"{path.name}: is not a FHIR Questionnaire")
    asked = [item for item in _leaves(form) if str(item.get("type")) in _CHOICES and not _is_result(item)]
    items = tuple(
        Item(n, str(item.get("text", "")), tuple(_fhir_option(path, n, o) for o in dicts(item.get("answerOption"))))
        for n, item in enumerate(asked, 1)
    )
    return "", str(form.get("title", "")), str(form.get("copyright", "")), items


def _leaves(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every item without items of its own, in the form's order."""
    for child in dicts(item.get("item")):
        if child.get("item"):
            yield from _leaves(child)
        else:
            yield child


def _is_result(item: dict[str, Any]) -> bool:
    """Whether an item holds a result (a score, its category) that is not asked."""
    name = str(item.get("linkId", "")).casefold()
    return bool(item.get("readOnly")) or any(word in name for word in _RESULTS)


def _fhir_option(path: Path, n: int, option: dict[str, Any]) -> Option:
    coding = option.get("valueCoding")
    coding = coding if isinstance(coding, dict) else {}
    weights = [
        extension.get("valueDecimal", extension.get("valueInteger"))
        for holder in (coding, option)
        for extension in dicts(holder.get("extension"))
        if extension.get("url") in _ORDINAL
    ]
    value = weights[0] if weights else option.get("valueInteger", coding.get("code"))
    text = str(coding.get("display", option.get("valueString", value)))
    return Option(_float(f"{path.name}, item {n}", value), text)


def _whole(path: Path, value: object) -> int:
    number = _float(f"{path.name}: the item's number", value)
    if number != int(number):
        raise InvalidInput(f"{path.name}: the item's number {value!r} is not whole")
    return int(number)


def _value(path: Path, row: dict[str, Any]) -> float:
    return _float(f"{path.name}: the answer's value", row.get("value"))


def _float(where: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{where}: {str(value)[:40]!r} is not a number")
    return number
