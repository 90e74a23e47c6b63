"""Commands that make a patient: phantom and demo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

import click

from keyhole.cli.render import Progress, progress
from keyhole.errors import WrongCase

PATHOLOGIES = ("herniation", "central-stenosis", "foraminal-stenosis", "spondylolisthesis", "degeneration", "none")
_MARK = "keyhole-demo.json"


@click.command("phantom")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same patient.")
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    type=click.Choice(PATHOLOGIES),
    help="What is wrong; may be given more than once.  [default: herniation]",
)
@click.option("--level", default="L4/L5", show_default=True, metavar="L4/L5", help="Level of the pathology.")
@click.option(
    "--side", default="left", show_default=True, type=click.Choice(["left", "right"]), help="The patient's side."
)
@click.option("--severity", default=0.6, show_default=True, type=click.FloatRange(0, 1), help="0 none to 1 worst.")
@click.option("--spacing", default=1.0, show_default=True, type=click.FloatRange(0.4, 3), help="Voxel size, mm.")
@click.option(
    "--format", "form", default="nifti", show_default=True, type=click.Choice(["nifti", "dicom"]), help="Files."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def phantom_command(
    out: Path,
    seed: int,
    pathologies: tuple[str, ...],
    level: str,
    side: str,
    severity: float,
    spacing: float,
    form: Literal["nifti", "dicom"],
    as_json: bool,
) -> None:
    """Write a parametric spine into the new folder OUT: CT, T2, labels and truth.json."""
    from keyhole.anatomy.phantom import write_phantom

    chosen = pathologies or ("herniation",)
    with progress("phantom") as show:
        folder = write_phantom(
            out, seed=seed, pathology=chosen, level=level, side=side, severity=severity, spacing=spacing, format=form,
            progress=show,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": sorted(p.name for p in folder.iterdir())}))
    else:
        click.echo(f"phantom: {folder}")
        image = folder / ("ct.nii.gz" if form == "nifti" else "ct")
        click.echo(f"next:    keyhole import CASE --image {image} --labels {folder}/labels.nii.gz")


@click.command("demo")
@click.argument("out", default=Path("keyhole-demo"), type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same patient.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo_command(out: Path, seed: int, as_json: bool) -> None:
    """Make a phantom patient with a herniation and stenosis in OUT, run every stage, print where the report is."""
    _clear(out)
    with progress("demo") as show:
        report = _demo(out, seed, show)
    page = report.resolve()
    if as_json:
        click.echo(
            json.dumps({"case": str(out / "case"), "report": str(page), "pdf": str(page.with_name("report.pdf"))})
        )
    else:
        click.echo("Research use only. The patient is a phantom: no real person.")
        click.echo(f"case:   {out / 'case'}")
        click.echo(f"report: {page}")
        click.echo(f"pdf:    {page.with_name('report.pdf')}")


def _clear(out: Path) -> None:
    """Remove an earlier demo in `out`; any other folder with something in it is refused."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / _MARK).is_file():
        raise WrongCase(f"{out} holds something other than an earlier demo; name a new or empty folder")
    for part in ("phantom", "case"):
        if (out / part).exists():
            shutil.rmtree(out / part)


def _demo(out: Path, seed: int, show: Progress) -> Path:
    from keyhole.anatomy.intake import confirm, import_case
    from keyhole.anatomy.phantom import write_phantom
    from keyhole.anatomy.reading import load
    from keyhole.assessment import assess_case
    from keyhole.casefile import Patient, write_bytes
    from keyhole.forecast import forecast_case
    from keyhole.plan import plan_case
    from keyhole.recovery.rehab import rehab_case
    from keyhole.report import write_report

    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / _MARK, (json.dumps({"seed": seed}) + "\n").encode())
    wrong = ("herniation", "central-stenosis")
    phantom = write_phantom(
        out / "phantom",
        seed=seed,
        pathology=wrong,
        level="L4/L5",
        side="left",
        severity=0.6,
        progress=part(show, 0.0, 0.3),
    )
    case = import_case(
        out / "case", [phantom / "ct.nii.gz"], labels=phantom / "labels.nii.gz", patient=Patient(age=54, sex="F"),
        complaint="left leg pain (phantom)", progress=part(show, 0.3, 0.5),
    )  # fmt: skip
    confirm(case, "L5", "the phantom's own truth")
    anatomy = load(case)
    assess_case(case, progress=part(show, 0.5, 0.6), held=anatomy)
    plan_case(case, "L4/L5", "left", "decompress", progress=part(show, 0.6, 0.8), held=anatomy)
    forecast_case(case)
    rehab_case(case)
    return write_report(case, progress=part(show, 0.8, 1.0), held=anatomy)


def part(show: Progress, start: float, stop: float) -> Progress:
    """`show` for a stage that takes the share from `start` to `stop` of the whole."""
    return lambda sentence, share: show(sentence, start + share * (stop - start))
