"""The command that fills a case: import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import caveats, progress

if TYPE_CHECKING:
    from keyhole.casefile import Case


@click.command("import")
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="NIfTI file, DICOM folder, zip or multi-frame file; repeatable.",
)
@click.option(
    "--labels",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Label map, folder of masks, DICOM SEG or RTSTRUCT; repeatable, where they disagree the first one wins.",
)
@click.option(
    "--scheme",
    multiple=True,
    help="How each label map's integers are named, e.g. verse or totalsegmentator_total; auto: the file says.",
)
@click.option("--series", help="Which DICOM series: its number as `keyhole inspect` lists it (3 or 3.1), or its UID.")
@click.option(
    "--weighting",
    type=click.Choice(["T1", "T2"]),
    help="How the MR images given here are weighted, where header or file name (t2, T2w, T1) does not say.",
)
@click.option("--age", type=click.FloatRange(0, 120), help="Years.")
@click.option("--sex", type=click.Choice(["F", "M"]))
@click.option("--height-cm", type=click.FloatRange(30, 260, min_open=True, max_open=True), help="Centimetres.")
@click.option("--weight-kg", type=click.FloatRange(2, 400, min_open=True, max_open=True), help="Kilograms.")
@click.option("--asa", type=click.IntRange(1, 5), help="ASA physical status.")
@click.option("--complaint", help="In a few words.")
@click.option(
    "--keep-identity", is_flag=True, help="Keep name, numbers, dates and UIDs of DICOM headers in images/NAME.json."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_command(
    case: Path,
    images: tuple[Path, ...],
    labels: tuple[Path, ...],
    scheme: tuple[str, ...],
    series: str | None,
    weighting: str | None,
    complaint: str | None,
    keep_identity: bool,
    as_json: bool,
    **patient: float | str | None,
) -> None:
    """Bring images and labels into the folder CASE and build the anatomy from them."""
    from keyhole.anatomy.gate import state
    from keyhole.anatomy.intake import import_case
    from keyhole.casefile import CaseRecord, LabelsRecord, Patient
    from keyhole.cli.levels import draw, gate_lines, poor, qualities

    known = Patient.model_validate(patient)
    with progress("import") as show:
        made = import_case(
            case,
            list(images),
            labels=labels or None,
            scheme=(scheme if len(scheme) > 1 else scheme[0]) if scheme else None,
            series=series,
            weighting=weighting,
            patient=known,
            complaint=complaint,
            keep_identity=keep_identity,
            progress=show,
        )
        picture = draw(made) if made.has(LabelsRecord) else None
    record = made.read(CaseRecord)
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        return
    click.echo(f"case:   {case}")
    for image in record.images:
        kind = f"{image.modality} {image.weighting}" if image.weighting else image.modality
        click.echo(f"image:  {image.name} ({kind}) from {image.source_file}")
    for line in poor(made):
        click.echo(f"  ! {line}")
    if not made.has(LabelsRecord):
        click.echo(f"levels: {record.numbering}")
    else:
        click.echo("\n".join(gate_lines(state(record, made.read(LabelsRecord)))))
        structures = made.read(LabelsRecord).structures.values()
        counts = [
            f"{sum(s.origin == o for s in structures)} {o}" for o in ("labelled", "derived", "modelled", "classed")
        ]
        click.echo(f"anatomy: {', '.join(counts)}")
    said = {f"{item.name}: {item.consequence}" for items in qualities(made).values() for item in items}
    caveats([caveat for caveat in record.caveats if caveat not in said])
    if picture:
        click.echo(f"look at: {picture}")
    for line in _next(case, made):
        click.echo(f"next:   {line}")


def _next(case: Path, made: Case) -> list[str]:
    """The commands that may follow an import."""
    from keyhole.anatomy.gate import lowest_lumbar
    from keyhole.casefile import CaseRecord, LabelsRecord

    if not made.has(LabelsRecord):
        has_ct = any(image.modality == "CT" for image in made.read(CaseRecord).images)
        finds = [f"keyhole segment {case}   (finds the anatomy in the CT)"] if has_ct else []
        return [*finds, f"keyhole import {case} --labels FILE   (a label map of this image)"]
    known = made.read(LabelsRecord)
    if not any(entry.key.startswith("vertebra/L") for entry in known.structures.values()):
        return [f"keyhole assess {case}"]
    lowest = lowest_lumbar(known)
    return [f"keyhole confirm {case} --lowest-lumbar {lowest} --by YOUR-NAME   (after checking the names)"]
