"""The programme as an iCalendar file (RFC 5545): phases, daily exercise, and the days to look at the criteria.

It holds no word of the patient, the operation or the level: calendars are shared, synchronised and read by others.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from keyhole.casefile import RESEARCH_USE, PhaseEntry, RehabRecord
from keyhole.errors import WrongCase

_FOLD = 75
"""Octets in a line, its end not counted (RFC 5545, 3.1)."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def calendar(record: RehabRecord) -> bytes:
    """The calendar of `record`; entries keep their UID when dates or the plan change, so that a new file replaces them.

    A programme without a day of the operation has none, and that is refused.
    """
    if record.start is None:
        raise WrongCase("the programme has no day of the operation, so it has no calendar; give --date YYYY-MM-DD")
    start = datetime.date.fromisoformat(record.start)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Keyhole//Recovery programme//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_text('Recovery programme')}",
    ]
    for n, phase in enumerate(record.phases):
        lines += _phase(record, phase, n, start)
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _phase(record: RehabRecord, phase: PhaseEntry, n: int, start: datetime.date) -> Iterator[str]:
    first, last = (start + datetime.timedelta(days=day) for day in (phase.from_day, phase.to_day))
    part = ORDINALS[n] if n < len(ORDINALS) else f"{n + 1}th"
    said = _said(part, is_first=n == 0)
    yield from _event(record, f"part{n + 1}-start", first, said["start"])
    yield from _event(record, f"part{n + 1}-daily", first, said["daily"], f"RRULE:FREQ=DAILY;UNTIL={last:%Y%m%d}")
    yield from _event(record, f"part{n + 1}-check", last, said["check"])


def _said(part: str, *, is_first: bool) -> dict[str, tuple[str, str]]:
    """Title and text of the entries of a part."""
    begins = (
        ("Recovery: the first part begins", "What to do is on your sheet.")
        if is_first
        else (f"Recovery: the {part} part may begin", "Only if the list that ends the part before is all true.")
    )
    return {
        "start": begins,
        "daily": (
            f"Recovery: exercises of the {part} part",
            "What to do is on your sheet. If a warning sign is there, stop and act as the sheet says.",
        ),
        "check": (
            f"Recovery: look at the list that ends the {part} part",
            "Not all true? Stay in this part and tell your team.",
        ),
    }


def _event(record: RehabRecord, key: str, day: datetime.date, said: tuple[str, str], *more: str) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{record.calendar}-{key}@keyhole.invalid"
    yield f"DTSTAMP:{(record.start or '').replace('-', '')}T000000Z"
    yield f"SEQUENCE:{record.revision}"
    yield f"DTSTART;VALUE=DATE:{day:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{day + datetime.timedelta(days=1):%Y%m%d}"
    yield from more
    yield f"SUMMARY:{_text(said[0])}"
    yield f"DESCRIPTION:{_text(f'{said[1]} {RESEARCH_USE}')}"
    yield "CLASS:PRIVATE"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _text(words: str) -> str:
    """`words` as a TEXT value (RFC 5545, 3.3.11)."""
    for plain, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        words = words.replace(plain, written)
    return words


def _folded(line: str) -> bytes:
    """`line` in pieces of at most 75 octets, never within a character, joined by line end and space."""
    pieces, piece, room = [], b"", _FOLD
    for character in line:
        octets = character.encode()
        if len(piece) + len(octets) > room:
            pieces.append(piece)
            piece, room = b"", _FOLD - 1
        piece += octets
    return b"\r\n ".join([*pieces, piece]) + b"\r\n"
