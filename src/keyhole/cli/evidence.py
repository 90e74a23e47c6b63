"""Published evidence: list, show, check, pool, summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import table
from keyhole.cli.risk import risk_command

if TYPE_CHECKING:
    from keyhole.evidence import Row

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MEASURES = ("md", "smd", "or", "rr", "rd")
_MODELS = ("fixed", "dl", "pm", "reml", "ml", "sj", "he", "mh", "peto")
_TIMES = ("perioperative", "early", "middle", "late", "not said", "any")
_add = click.option(
    "--add", "added", type=_FILE, multiple=True, help="A table of your own, read together with it; repeatable."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("evidence")
def evidence_command() -> None:
    """Published results, MISS against open: what is known, from whom, and what it comes to.

    Every number has a source; rows marked unverified are shown but never pooled. docs/evidence.md has the columns
    of a table, how to add rows of your own, and the pools of the table that Keyhole ships.
    """


evidence_command.add_command(risk_command)


@evidence_command.command("list")
@_add
@click.option("--outcome", metavar="NAME", help="Only studies with this outcome, for example odi or 'blood loss'.")
@_json
def list_command(added: tuple[Path, ...], outcome: str | None, as_json: bool) -> None:
    """List the studies: name, design, status, outcomes and where each can be opened."""
    rows = [row for row in _rows(added) if outcome is None or _is_outcome(row, outcome)]
    if not rows and outcome is not None:
        _no_outcome(outcome)
    studies: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        studies.setdefault((row.name, row.status), []).append(row)
    if as_json:
        plain = [_study(group) for group in studies.values()]
        click.echo(json.dumps({"studies": plain}, ensure_ascii=False))
        return
    lines = [
        [name, str(len(group)), status, group[0].design[:34], group[0].address]
        for (name, status), group in studies.items()
    ]
    click.echo(table(["study", "rows", "status", "design", "address"], lines))
    click.echo(f"\n{len(studies)} studies, {len(rows)} rows; keyhole evidence show NAME for the rows of one")


def _study(group: Sequence[Row]) -> dict[str, object]:
    first = group[0]
    outcomes = list(dict.fromkeys(row.outcome for row in group))
    return {
        "name": first.name,
        "status": first.status,
        "design": first.design,
        "source": first.source,
        "address": first.address,
        "outcomes": outcomes,
        "rows": len(group),
    }


@evidence_command.command("show")
@click.argument("name")
@_add
@_json
def show_command(name: str, added: tuple[Path, ...], as_json: bool) -> None:
    """Show every row of the study NAME (or a part of its name, source or identifier)."""
    from dataclasses import asdict

    from keyhole.errors import InvalidInput

    words = name.casefold()
    found = [row for row in _rows(added) if words in f"{row.name} {row.source} {' '.join(row.ids)}".casefold()]
    if not found:
        raise InvalidInput(f"no study has {name!r} in its name, source or identifier; see keyhole evidence list")
    if as_json:
        click.echo(json.dumps({"rows": [asdict(row) for row in found]}, ensure_ascii=False))
        return
    for source in dict.fromkeys(row.source for row in found):
        group = [row for row in found if row.source == source]
        click.echo(f"{group[0].name}: {source}\n  {group[0].design}; {' '.join(group[0].ids) or group[0].url}")
        lines = [
            [r.place, r.outcome, r.timepoint, r.unit, _arm(r, "miss"), _arm(r, "open"), _told(r), r.status]
            for r in group
        ]
        click.echo(table(["row", "outcome", "time", "unit", "MISS", "open", "effect", "status"], lines))
        for note in dict.fromkeys(row.note for row in group if row.note):
            click.echo(f"  ! {note}")
        click.echo("")


def _arm(row: Row, side: str) -> str:
    arm = row.miss if side == "miss" else row.open
    if arm.events is not None:
        return f"{arm.events} of {arm.n}"
    if arm.pct is not None:
        return f"{arm.pct:g} %"
    if arm.median is not None:
        return f"median {arm.median:g} ({_or_dash(arm.q1)} to {_or_dash(arm.q3)})"
    if arm.mean is None:
        return f"n {arm.n}" if arm.n else "–"
    return f"{arm.mean:g}{'' if arm.sd is None else f' ± {arm.sd:g}'}{'' if arm.n is None else f', n {arm.n}'}"


def _told(row: Row) -> str:
    if row.finding:
        return f"{row.finding} (in words)"
    if row.effect is None and row.low is None:
        return "–"
    turned = " open minus MISS" if row.turned else ""
    return f"{_or_dash(row.effect)} [{_or_dash(row.low)}, {_or_dash(row.high)}]{turned}"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


@evidence_command.command("check")
@click.argument("tables", type=_FILE, nargs=-1)
@_json
def check_command(tables: tuple[Path, ...], as_json: bool) -> None:
    """Check TABLES row by row and together with Keyhole's own; name every row that cannot be."""
    from keyhole.errors import InvalidInput
    from keyhole.evidence import examined, joined, shipped, text_of

    rows = list(shipped())
    wrong: list[str] = []
    for path in tables:
        good, bad = examined(text_of(path), path.name)
        wrong.extend(bad)
        try:
            rows = list(joined(rows, good)) if not bad else rows
        except InvalidInput as repeated:
            wrong.append(str(repeated))
    counted = {status: sum(row.status == status for row in rows) for status in ("read", "measured", "unverified")}
    if as_json:
        click.echo(json.dumps({"rows": len(rows), "statuses": counted, "wrong": wrong}, ensure_ascii=False))
    else:
        for sentence in wrong:
            click.echo(f"  ! {sentence}")
        told = ", ".join(f"{n} {status}" for status, n in counted.items() if n)
        cannot = "1 row cannot be" if len(wrong) == 1 else f"{len(wrong)} rows cannot be"
        click.echo(cannot if wrong else f"{len(rows)} rows are sound: {told}")
    if wrong:
        raise SystemExit(1)


@evidence_command.command("pool")
@click.argument("path", metavar="[TABLE]", type=_FILE, required=False)
@_add
@click.option("--measure", type=click.Choice(_MEASURES), required=True, help="What to pool.")
@click.option("--model", type=click.Choice(_MODELS), default="reml", show_default=True, help="How to pool it.")
@click.option("--hk", is_flag=True, help="Take Hartung-Knapp's interval and p for the first ones.")
@click.option("--outcome", metavar="NAME", help="Only this outcome, for example odi or 'blood loss'.")
@click.option("--comparison", metavar="NAME", help="Only this comparison (fusion, discectomy, ...) or procedure.")
@click.option("--time", "when", type=click.Choice(_TIMES), help="Only this time after the operation.")
@click.option("--together", is_flag=True, help="One pool per outcome of all that is MISS against open.")
@click.option("--one-sd", is_flag=True, help="Mean differences with one SD pooled over both arms.")
@click.option("--better", type=click.Choice(["lower", "higher"]), help="Which direction is better, if not known.")
@click.option("--covariate", "covariates", metavar="NAME", multiple=True, help="Regress on the column x_NAME.")
@click.option("--sensitivity", is_flag=True, help="Also leave each study out in turn, and pool by design.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the forest plot here (.svg).")
@_json
def pool_command(
    path: Path | None,
    added: tuple[Path, ...],
    measure: str,
    model: str,
    as_json: bool,
    plot: Path | None,
    **options: object,
) -> None:
    """Pool the studies of TABLE (Keyhole's own without one), question by question.

    A table has the columns of docs/evidence.md; those of --add stand beside it. Rows of one outcome, one comparison
    and one time are one question; unverified rows, reviews of other studies and the same patients twice never enter,
    and each is named.
    """
    from keyhole.cli.pooling import Asked, pooled

    asked = Asked(path, measure, model, added, **options)  # type: ignore[arg-type]  # the options above, by their names
    click.echo(pooled(asked, as_json, plot))


@evidence_command.command("summary")
@_add
@click.option("--comparison", metavar="NAME", help="Only this comparison: fusion, discectomy, decompression, ...")
@click.option("--markdown", is_flag=True, help="Print the tables of docs/evidence.md.")
@_json
def summary_command(added: tuple[Path, ...], comparison: str | None, markdown: bool, as_json: bool) -> None:
    """Say what the table says: a pool, the published reviews and one word for each outcome."""
    from keyhole.cli.summary import summary_lines, summary_markdown
    from keyhole.errors import InvalidInput
    from keyhole.evidence import families
    from keyhole.forecast import answers
    from keyhole.forecast.record import plain_answer

    if comparison is not None and comparison not in families():
        raise InvalidInput(f"no comparison is called {comparison!r}; known: {', '.join(families())}")
    found = [a for a in answers(_rows(added)) if comparison in (None, a.question.family)]
    if as_json:
        click.echo(json.dumps({"answers": [plain_answer(answer) for answer in found]}, ensure_ascii=False))
        return
    click.echo(summary_markdown(found) if markdown else summary_lines(found))


def _rows(added: Sequence[Path]) -> tuple[Row, ...]:
    """Keyhole's rows and those of the tables `added`."""
    from keyhole.evidence import joined, read_table, shipped

    return joined(shipped(), *(read_table(path) for path in added))


def _is_outcome(row: Row, name: str) -> bool:
    from keyhole.evidence import question

    asked = question(row).outcome
    return name.casefold() in {asked.key, asked.title.casefold(), row.outcome.casefold()}


def _no_outcome(name: str) -> None:
    from keyhole.errors import InvalidInput
    from keyhole.evidence import outcomes

    raise InvalidInput(f"no row has the outcome {name!r}; Keyhole knows {', '.join(outcomes())}")
