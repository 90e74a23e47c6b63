"""Tables of published results for tests: a header, and rows with what a test changes."""

import csv
import io

from keyhole.evidence import COLUMNS, parse

BASE = {
    "procedure": "MIS-TLIF",
    "comparator": "open TLIF",
    "outcome": "blood loss",
    "unit": "mL",
    "timepoint": "perioperative",
    "n_miss": "40",
    "mean_miss": "120",
    "sd_miss": "60",
    "n_open": "42",
    "mean_open": "310",
    "sd_open": "150",
    "source": "A study",
    "ids": "doi:10.1000/a",
    "status": "read",
    "design": "RCT",
}


def written(*rows, extra=(), delimiter=","):
    """The text of a table whose rows are `BASE` with changes; each row is another source unless it says so."""
    columns = [*COLUMNS, *extra]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", delimiter=delimiter)
    writer.writeheader()
    for n, changes in enumerate(rows):
        own = {"source": f"Study {n}", "ids": f"doi:10.1000/{n}"}
        writer.writerow({c: (BASE | own | changes).get(c, "") for c in columns})
    return text.getvalue()


def rows_of(*rows, extra=(), name="t.csv"):
    return parse(written(*rows, extra=extra), name)


def counted(x, n, x0, n0, **changes):
    """Changes that make a row of events."""
    none = dict.fromkeys(("mean_miss", "sd_miss", "mean_open", "sd_open"), "")
    events = {"events_miss": str(x), "n_miss": str(n), "events_open": str(x0), "n_open": str(n0)}
    return {"outcome": "infection", "unit": "events", **none, **events, **changes}
