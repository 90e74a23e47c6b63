"""Filled-in forms from files: CSV with a row each, JSON, or a FHIR QuestionnaireResponse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.instruments.answers import Answer
from keyhole.recovery.instruments.model import Instrument
from keyhole.recovery.instruments.parts import dicts, rows

_NUMBER = re.compile(r"^(?:.*\D)?0*([1-9]\d*)$")


@dataclass(frozen=True, slots=True)
class Form:
    """One filled-in form: its name (a column `id`, or its row), and the answers by item number."""

    name: str
    answers: dict[int, Answer]


def read_forms(path: Path, this: Instrument) -> tuple[Form, ...]:
    """Every form in `path`.

    Parameters
    ----------
    path : CSV with one row a form and one column an item, whose names end in the item's number (1, item_1, odi-1; of
        a single item any name), and a column `id` if you like; JSON as a list of answers, an object by item number, or
        a list of either; or a FHIR QuestionnaireResponse.
    this : the instrument.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: is not text in UTF-8") from error
    forms = tuple(_json(path, text, this) if path.suffix.casefold() == ".json" else _csv(path, text, this))
    if not forms:
        raise InvalidInput(f"{path.name}: holds no form")
    return forms


def _csv(path: Path, text: str, this: Instrument) -> Iterator[Form]:
    names, found = rows(path, text)
    columns = _columns(path, names, this)
    for line, row in found:
        yield Form(row.get("id") or f"line {line}", {number: row[column] for column, number in columns.items()})


def _columns(path: Path, names: list[str], this: Instrument) -> dict[str, int]:
    """Column -> item; every item of the form must have one."""
    others = [name for name in names if name.strip().casefold() != "id"]
    if this.items == 1 and len(others) == 1:
        return {others[0]: 1}
    found = {name: int(m.group(1)) for name in others if (m := _NUMBER.match(name.strip()))}
    if sorted(found.values()) != list(range(1, this.items + 1)):
        raise InvalidInput(
            f"{path.name}: {this.short} needs one column for each item, named 1 to {this.items} "
            f"(or ending so, and an id), found {', '.join(names) or 'none'}"
        )
    return found


def _json(path: Path, text: str, this: Instrument) -> Iterator[Form]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UnreadableFile(f"{path.name}: is not JSON ({error})") from error
    if isinstance(data, dict) and data.get("resourceType") == "QuestionnaireResponse":
        yield Form(str(data.get("id", path.stem)), _answers(path, _fhir(data), this))
        return
    many = isinstance(data, list) and data and all(isinstance(form, list | dict) for form in data)
    for n, form in enumerate(data if many else [data], 1):
        name = str(form.get("id", f"form {n}")) if isinstance(form, dict) else f"form {n}"
        kept = {k: v for k, v in form.items() if k != "id"} if isinstance(form, dict) else form
        yield Form(name, _answers(path, kept, this))


def _answers(path: Path, form: Any, this: Instrument) -> dict[int, Answer]:
    if isinstance(form, list):
        if len(form) != this.items:
            raise InvalidInput(f"{path.name}: {this.short} has {this.items} items, got {len(form)} answers")
        form = {str(n): answer for n, answer in enumerate(form, 1)}
    if not isinstance(form, dict) or any(isinstance(answer, list | dict) for answer in form.values()):
        raise InvalidInput(f"{path.name}: a form is a list of answers or an object by item number")
    columns = {name: _NUMBER.match(str(name)) for name in form}
    answers = {int(m.group(1)): form[name] for name, m in columns.items() if m}
    if not answers or max(answers) > this.items:
        raise InvalidInput(f"{path.name}: {this.short} has items 1 to {this.items}, found {', '.join(map(str, form))}")
    return answers


def _fhir(item: dict[str, Any]) -> dict[str, Any]:
    """Answers of a response by linkId, results left aside."""
    found: dict[str, Any] = {}
    for child in dicts(item.get("item")):
        found.update(_fhir(child))
        answer = next(iter(dicts(child.get("answer"))), None)
        name = str(child.get("linkId", ""))
        if answer is not None and _NUMBER.match(name):
            found[name] = _fhir_value(answer)
    return found


def _fhir_value(answer: dict[str, Any]) -> Answer:
    coding = answer.get("valueCoding")
    if isinstance(coding, dict):
        weight = [e.get("valueDecimal", e.get("valueInteger")) for e in dicts(coding.get("extension"))]
        return next((w for w in weight if w is not None), coding.get("code"))
    value = next((v for k, v in answer.items() if k in {"valueInteger", "valueDecimal", "valueString"}), None)
    if isinstance(answer.get("valueBoolean"), bool):
        return int(answer["valueBoolean"])
    return value
