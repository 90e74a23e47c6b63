"""`keyhole score`: a questionnaire or test from its answers, and what is known about a change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyhole.cli.render import caveats, table

if TYPE_CHECKING:
    from keyhole.recovery.instruments import Change, Instrument, Score, Threshold

_KINDS = {
    "mcid": "smallest change that matters",
    "success": "much better or recovered",
    "failure": "more than a failure",
    "error": "more than noise",
    "pass": "a state people accept",
    "target": "target",
    "norm": "upper limit of healthy people",
    "band": "band",
}
_EXAMPLES = """\b
keyhole score odi 2 2 2 2 2 2 2 - 1 1
keyhole score 5r-sts unable
keyhole score nrs-leg 3 --before 7

Research use only. Not a medical device. Not for clinical decisions."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("score", epilog=_EXAMPLES)
@click.argument("instrument", required=False)
@click.argument("answers", nargs=-1)
@click.option("--file", "file", type=_FILE, help="Forms to score: CSV (a row each), JSON, or a FHIR response.")
@click.option("--ticked", metavar="NUMBERS", help="Statements ticked, for example '1 4 7'; all others count as no.")
@click.option("--score", "value", type=float, metavar="SCORE", help="A finished score in place of ANSWERS.")
@click.option("--before", type=float, metavar="SCORE", help="An earlier score: say what is known about the change.")
@click.option("--value-set", "value_set", type=_FILE, help="EQ-5D value set of your country: CSV or TOML.")
@click.option("--t-table", "t_table", type=_FILE, help="Table from raw sums to T scores: CSV with raw and t.")
@click.option("--items", "items", type=_FILE, help="Your own licensed text (TOML, CSV, FHIR): check and show it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def score_command(
    instrument: str | None,
    answers: tuple[str, ...],
    file: Path | None,
    ticked: str | None,
    value: float | None,
    before: float | None,
    value_set: Path | None,
    t_table: Path | None,
    items: Path | None,
    as_json: bool,
) -> None:
    """Score ANSWERS of INSTRUMENT, one for each item in the form's order; a dash where one was left out.

    Without INSTRUMENT: list what can be scored. Without ANSWERS: show the instrument, its rule, licence and thresholds.
    """
    if instrument is None:
        _list(as_json)
        return
    if items is not None:
        _show_items(instrument, items, as_json)
        return
    tables = _tables(value_set, t_table)
    if file is not None:
        _score_file(instrument, file, tables, as_json)
    elif value is not None:
        _tell(_finished(instrument, value), before, as_json)
    elif answers or ticked is not None:
        from keyhole.recovery.instruments import score

        _tell(score(instrument, _given(instrument, answers, ticked), **tables), before, as_json)
    else:
        _show(instrument, as_json)


def _tables(value_set: Path | None, t_table: Path | None) -> dict[str, Any]:
    from keyhole.recovery.instruments import t_scores
    from keyhole.recovery.instruments import value_set as read_values

    return {
        "values": None if value_set is None else read_values(value_set),
        "table": None if t_table is None else t_scores(t_table),
    }


def _given(key: str, answers: tuple[str, ...], ticked: str | None) -> Any:
    from keyhole.errors import InvalidInput
    from keyhole.recovery.instruments import instrument

    this = instrument(key)
    if ticked is not None:
        if answers or this.method != "ticks":
            raise InvalidInput(f"--ticked is for a form of statements and without ANSWERS; {this.short} takes answers")
        return dict.fromkeys(range(1, this.items + 1), 0) | dict.fromkeys(ticked.replace(",", " ").split(), 1)
    return answers[0] if len(answers) == 1 else list(answers)


def _finished(key: str, value: float) -> Score:
    """A score that was counted elsewhere."""
    from keyhole.errors import InvalidInput
    from keyhole.recovery.instruments import Score, band, check, instrument

    if wrong := check(key, value):
        raise InvalidInput(wrong)
    profile = f"{value:g}" if instrument(key).method == "profile" else ""
    return Score(key, value, instrument(key).items, (), ("counted elsewhere",), band(key, value), profile)


def _tell(found: Score, before: float | None, as_json: bool) -> None:
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.errors import InvalidInput
    from keyhole.recovery.instruments import change, instrument

    key = found.instrument
    if before is not None and found.value is None:
        raise InvalidInput(f"{instrument(key).short}: there is no score to compare with {before:g}")
    moved = None if before is None or found.value is None else change(key, before, found.value)
    if as_json:
        plain: dict[str, Any] = {"research_use": RESEARCH_USE, **score_json(found)}
        if moved is not None:
            plain["change"] = change_json(moved)
        click.echo(json.dumps(plain, ensure_ascii=False))
        return
    this = instrument(key)
    click.echo(f"{this.title}: {_shown(this, found)}")
    click.echo(f"  {found.answered} of {this.items} answered" if this.items > 1 else f"  {this.rule}")
    caveats(found.caveats)
    if moved is not None:
        _print_change(this, moved)
    click.echo(RESEARCH_USE)


def _shown(this: Instrument, found: Score) -> str:
    if found.unable:
        return "unable"
    if found.profile and this.method == "profile":
        return found.profile
    if found.value is None:
        return "no score"
    grade = next((f" ({g.name}: {g.words})" for g in this.grades if g.value == found.value), "")
    digits = f"{found.value:.3f}" if this.method == "index" else f"{found.value:.1f}".removesuffix(".0")
    return f"{digits}{_unit(this)}{grade}{f', {found.band}' if found.band else ''}"


def _unit(this: Instrument) -> str:
    return "" if this.unit.startswith("{") or this.unit == "1" else f" {this.unit}"


def _print_change(this: Instrument, moved: Change) -> None:
    percent = "" if moved.percent is None or not moved.improved else f", {moved.percent:.0f} % better"
    unit = " points" if _unit(this) in {"", " %"} else _unit(this)
    digits = 3 if this.method == "index" else 1
    told = [f"{x:.{digits}f}" for x in (moved.before, moved.after)]
    click.echo(f"\nfrom {told[0]} to {told[1]}: {moved.points:+.{digits}f}{unit}{percent}")
    click.echo(f"  {moved.verdict}")
    if moved.reached:
        rows = [["yes" if is_reached else "no", *_threshold(t)] for t, is_reached in moved.reached]
        click.echo(table(["reached", "what", "value", "found in", "source"], rows))
    caveats(moved.caveats)


def _threshold(t: Threshold) -> list[str]:
    amount = f"{t.value:g} %" if t.per == "percent" else f"at {t.value:g}" if t.per == "value" else f"by {t.value:g}"
    return [_KINDS[t.kind], amount, f"{t.words}: {t.at}" if t.words else t.at, t.source]


def _list(as_json: bool) -> None:
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.recovery.instruments import instruments

    if as_json:
        plain = [instrument_json(this) for this in instruments().values()]
        click.echo(json.dumps({"research_use": RESEARCH_USE, "instruments": plain}, ensure_ascii=False))
        return
    rows = [
        [
            key,
            this.title,
            str(this.items),
            f"{this.low:g}-{this.high:g}",
            this.better,
            "yes" if this.ships_items else "no",
        ]
        for key, this in instruments().items()
    ]
    click.echo(table(["key", "instrument", "items", "range", "better", "text here"], rows))
    click.echo("\nkeyhole score KEY shows the rule, licence and thresholds of one; docs/instruments.md says more")


def _show(key: str, as_json: bool) -> None:
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.recovery.instruments import instrument

    this = instrument(key)
    if as_json:
        click.echo(json.dumps({"research_use": RESEARCH_USE, **instrument_json(this)}, ensure_ascii=False))
        return
    click.echo(f"{this.title} ({this.key}): {this.about}")
    count = "one number" if this.items == 1 else f"{this.items} items"
    click.echo(f"  {count} from {this.item_low:g} to {this.item_high:g}{_unit(this)}; {this.better} is better")
    click.echo(f"  rule: {this.rule}")
    click.echo(f"  missing: {this.missing}")
    click.echo(f"  licence: {this.licence}")
    if this.loinc:
        click.echo(f"  LOINC {this.loinc}; {this.loinc_note}")
    for grade in this.grades:
        click.echo(f"  {grade.value} {grade.name}: {grade.words}")
    if this.thresholds:
        click.echo(table(["what", "value", "found in", "source"], [_threshold(t) for t in this.thresholds]))
    if not this.of_kind("mcid"):
        click.echo("  no smallest change that matters was read: a change is never called important")


def _show_items(key: str, path: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from keyhole.recovery.instruments import load_items

    found = load_items(path, key)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    click.echo(f"{found.title}: {len(found.items)} items from {path.name}; licence: {found.licence or 'not named'}")
    for item in found.items:
        click.echo(f"{item.number:>3}  {item.text}")
        for option in item.options:
            click.echo(f"       {option.value:g}  {option.text}")


def _score_file(key: str, path: Path, tables: dict[str, Any], as_json: bool) -> None:
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.recovery.instruments import instrument, score
    from keyhole.recovery.instruments.forms import read_forms

    this = instrument(key)
    scored = [(form.name, score(key, form.answers, **tables)) for form in read_forms(path, this)]
    if as_json:
        plain = [{"form": name, **score_json(found)} for name, found in scored]
        click.echo(json.dumps({"research_use": RESEARCH_USE, "scores": plain}, ensure_ascii=False))
        return
    rows = [
        [name, _shown(this, found), f"{found.answered} of {this.items}", "; ".join(found.caveats)[:90]]
        for name, found in scored
    ]
    click.echo(table(["form", this.short, "answered", "note"], rows))
    click.echo(f"\n{sum(found.value is not None for _, found in scored)} of {len(scored)} forms have a score")
    click.echo(RESEARCH_USE)


def score_json(found: Score) -> dict[str, Any]:
    """A score as plain JSON."""
    from keyhole.recovery.instruments import instrument

    this = instrument(found.instrument)
    return {
        "instrument": found.instrument,
        "value": found.value,
        "unit": this.unit,
        "better": this.better,
        "band": found.band,
        "profile": found.profile,
        "unable": found.unable,
        "answered": found.answered,
        "items": this.items,
        "missing": list(found.missing),
        "loinc": this.loinc,
        "source": this.source,
        "caveats": list(found.caveats),
    }


def change_json(moved: Change) -> dict[str, Any]:
    """A change as plain JSON."""
    from dataclasses import asdict

    return {
        "before": moved.before,
        "after": moved.after,
        "points": moved.points,
        "percent_better": moved.percent,
        "improved": moved.improved,
        "verdict": moved.verdict,
        "reached": [{**asdict(t), "reached": is_reached} for t, is_reached in moved.reached],
        "caveats": list(moved.caveats),
    }


def instrument_json(this: Instrument) -> dict[str, Any]:
    """An instrument as plain JSON."""
    from dataclasses import asdict

    return asdict(this)
