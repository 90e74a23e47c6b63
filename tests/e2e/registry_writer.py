"""A program that records responses, and may be killed in the middle: REGISTRY NAME COUNT keep|hang."""

import sys
import time
from datetime import UTC, date, datetime

from keyhole.registry.audit import working
from keyhole.registry.database import open_registry
from keyhole.registry.record import record

TODAY = date(2026, 6, 1)


def main(url: str, name: str, count: int, end: str) -> None:
    """Record `count` responses, each in its own transaction (keep), or all in one that never ends (hang)."""
    with open_registry(url) as registry:
        _say("ready")
        sys.stdin.readline()
        if end == "keep":
            for n in range(count):
                with working(registry, name, datetime.now(UTC)) as work:
                    _one(work, name, n)
            return
        with working(registry, name, datetime.now(UTC)) as work:
            for n in range(count):
                _one(work, name, n)
            _say("within")
            time.sleep(600)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _one(work, name, n):
    instrument = "nrs-back" if name == "ann" else "nrs-leg"
    given = {"episode": f"E{n}", "instrument": instrument, "date": "2026-02-20", "value": 3}
    record(work, "response", given, today=TODAY)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
