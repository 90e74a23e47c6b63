"""Write a case's report: read the folder, draw, and put everything in place in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.readers.table import findings_csv
from keyhole.casefile import (
    Case,
    CaseRecord,
    DrawingsRecord,
    FindingsRecord,
    LabelsRecord,
    PlanRecord,
    Provenance,
    QualityItem,
    read_record,
)
from keyhole.errors import NotInScan, StorageFailure, WrongCase
from keyhole.forecast import current_forecast
from keyhole.imaging import ImageRecord
from keyhole.recovery.rehab import current_rehab
from keyhole.report import levels
from keyhole.report.compare import best, title
from keyhole.report.content import Content, Drawn, Records, content, summary
from keyhole.report.expected import EXPECTED, expected_files
from keyhole.report.glb import glb
from keyhole.report.indicated import targets
from keyhole.report.meshes import Part, parts
from keyhole.report.overview import overview
from keyhole.report.page import page
from keyhole.report.painted import galleries
from keyhole.report.paper import chart_png, paper, sheet_png
from keyhole.report.planning import PLAN_PAGE, plan_page
from keyhole.report.rehab import PAGES, rehab_files
from keyhole.report.scene import scene
from keyhole.report.slices import Picture, pictures
from keyhole.report.still import stills
from keyhole.report.wording import Notes

Progress = Callable[[str, float], None]

THREADS = 2
"""Corridors that are drawn, and papers that Typst sets, at once."""

MADE_FROM = ("labels.nii.gz", "labels.json")
"""What findings and plan must have been made from, byte for byte, to be reported beside it."""

READ = ("case.json", *MADE_FROM, "findings.json", "drawings.json", "plan.json", "forecast.json")


def write_report(case: Case, progress: Progress | None = None, *, held: Anatomy | None = None) -> Path:
    """Write report/ and meshes/ of `case` and return the path of the page.

    Reads only the case folder. A plan or findings made from other labels are refused. Without a plan the report holds
    the findings and says so. Both folders are made beside the old ones and then swapped in. `held` as in
    `reading.load`.
    """
    from keyhole.anatomy.reading import load  # noqa: PLC0415

    tell = progress or _silent
    records = read(case)
    tell("reading the anatomy", 0.02)
    return write_with(case, records, load(case, held=held), tell)


def read(case: Case) -> Records:
    """The case's records; findings or a plan that were made from other labels are refused."""
    labels = case.read(LabelsRecord)
    findings = case.read(FindingsRecord) if case.has(FindingsRecord) else None
    drawings = case.read(DrawingsRecord) if findings is not None and case.has(DrawingsRecord) else None
    plan = case.read(PlanRecord) if case.has(PlanRecord) else None
    now = case.digest(*MADE_FROM)
    if findings is not None:
        _check_same_labels(case, "findings.json", "assess", findings.provenance, now)
    if drawings is not None:
        _check_same_labels(case, "drawings.json", "assess", drawings.provenance, now)
    if plan is not None:
        _check_same_labels(case, "plan.json", "plan", plan.provenance, now)
    return Records(case.read(CaseRecord), labels, findings, plan, _qualities(case, labels), drawings)


def _qualities(case: Case, labels: LabelsRecord) -> dict[str, tuple[QualityItem, ...]]:
    """The quality of each image by its name, and what the labels tell of it."""
    files = {e.name: case.path / "images" / f"{e.name}.json" for e in case.read(CaseRecord).images}
    found = {name: read_record(file, ImageRecord).quality for name, file in files.items() if file.is_file()}
    return found | ({"labels": labels.quality} if labels.quality else {})


def _spine(anatomy: Anatomy) -> tuple[Picture, ...]:
    """The numbered spine; nothing where the labels show no row that ends in a lumbar vertebra."""
    try:
        return levels.pictures(anatomy.labels, anatomy.image, anatomy.modality)
    except NotInScan:
        return ()


def _check_same_labels(case: Case, file: str, command: str, made: Provenance, now: dict[str, str]) -> None:
    for name in MADE_FROM:
        if name in made.inputs and made.inputs[name] != now.get(name):
            raise WrongCase(
                f"{case.path}: {file} was made from another {name} (SHA-256 {made.inputs[name][:12]}, now "
                f"{now.get(name, 'missing')[:12]}); run `keyhole {command}` again"
            )
    if "labels.nii.gz" not in made.inputs:
        raise WrongCase(
            f"{case.path}: {file} does not say which labels.nii.gz it was made from; run `keyhole {command}` again"
        )


def write_with(case: Case, records: Records, anatomy: Anatomy, progress: Progress | None = None) -> Path:
    """As `write_report`, from records and an anatomy already read.

    Typst leaves the interpreter free: what it sets is set beside the surfaces, the pictures and the pages.
    """
    tell = progress or _silent
    with _beside() as pool:
        slices = _slices(pool, records.plan, anatomy, tell)
        papers = _sheets(pool, records.plan, slices)
        tell("making surfaces", 0.3)
        surfaces = list(parts(anatomy.labels))
        others = pool.submit(_other_pages, case, records, anatomy, surfaces)
        tell("painting the measures", 0.5)
        drawn = _painted(records, anatomy, Drawn(slices, stills(surfaces, anatomy, records.plan), _spine(anatomy)))
        tell("writing the page", 0.6)
        said = content(records, anatomy, drawn, case.digest(*READ))
        papers |= {name: pool.submit(make) for name, make in _papers(said).items()}
        with _folder(case.path / "report") as report, _folder(case.path / "meshes") as meshes:
            _write_meshes(meshes, surfaces)
            files, links = others.result()
            files["index.html"] = page(said, scene(surfaces, anatomy, records.plan), links=links)
            for name, data in files.items():
                _write(report / name, data)
            tell("setting the paper", 0.8)
            for name, made in papers.items():
                _write(report / name, made.result())
    tell("report written", 1.0)
    return case.path / "report" / "index.html"


@contextmanager
def _beside() -> Iterator[ThreadPoolExecutor]:
    """Threads that work beside this one; what they have not begun is dropped on the way out."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _silent(sentence: str, share: float) -> None:
    """Tell nobody."""


def _slices(
    pool: ThreadPoolExecutor, plan: PlanRecord | None, anatomy: Anatomy, tell: Progress
) -> dict[str, tuple[Picture, ...]]:
    """The pictures of the best corridor of each approach, by approach."""
    if plan is None:
        return {}
    drawn = {}
    made = {one.approach: pool.submit(pictures, anatomy, one, plan.level) for one in best(plan)}
    for n, (name, one) in enumerate(made.items()):
        tell(f"drawing {name}", 0.1 + 0.2 * n / len(made))
        drawn[name] = tuple(one.result())
    return drawn


def _sheets(
    pool: ThreadPoolExecutor, plan: PlanRecord | None, slices: Mapping[str, tuple[Picture, ...]]
) -> dict[str, Future[bytes]]:
    """The sheet of each corridor, by file name."""
    return {
        f"{one.approach}.png": pool.submit(sheet_png, title(one.approach), summary(one), slices[one.approach])
        for one in (best(plan) if plan is not None else ())
    }


def _painted(records: Records, anatomy: Anatomy, drawn: Drawn) -> Drawn:
    """`drawn` with the pictures of the measures, where there are findings."""
    if records.findings is None:
        return drawn
    found = records.findings.findings
    wanted = targets(records.findings, Notes()) or ()
    shapes = records.drawings.drawings if records.drawings is not None else ()
    flagged = frozenset(target.level for target in wanted)
    return replace(
        drawn,
        overview=overview(anatomy, found, wanted),
        galleries=galleries(anatomy, shapes, found, flagged, records.plan.level if records.plan is not None else ""),
    )


def _papers(said: Content) -> dict[str, Callable[[], bytes]]:
    """The report on paper and its charts, by file name."""
    made: dict[str, Callable[[], bytes]] = {"report.pdf": partial(paper, said)}
    for chart in (said.comparison_chart, said.feasibility_chart, said.pareto_chart):
        if chart is not None:
            made[f"chart-{chart.name}.png"] = partial(chart_png, chart)
    return made


def _other_pages(
    case: Case, records: Records, anatomy: Anatomy, surfaces: list[Part]
) -> tuple[dict[str, bytes], tuple[tuple[str, str], ...]]:
    """What stands beside the page, by file name: other pages with their paper, findings as a table; and the links."""
    files: dict[str, bytes] = {}
    links: list[tuple[str, str]] = []
    if records.plan is not None:
        files[PLAN_PAGE[0]] = plan_page(records, records.plan, anatomy)
        links.append(PLAN_PAGE)
        expected = current_forecast(case)
        if expected is not None:
            files |= expected_files(records, expected, anatomy, surfaces)
            links.extend(EXPECTED)
    rehab = current_rehab(case)
    if rehab is not None:
        files |= rehab_files(records.case, rehab)
        links.extend(PAGES)
    if records.findings is not None:
        files["findings.csv"] = findings_csv(records.case, records.findings)
    return files, tuple(links)


def _write_meshes(folder: Path, surfaces: list[Part]) -> None:
    for part in surfaces:
        name = part.surface.key.replace("/", ".") + ".glb"
        _write(folder / name, glb(part.surface, part.group.colour, part.group.opacity))


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


OURS = ("index.html", "plan.html", "report.pdf", "patient.*", "forecast.*", "rehab-*.*", "rehab.ics", "*.png", "*.glb")
"""What a new report replaces; other files in the folders are carried over."""


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place when all went well; otherwise `path` stays as it was."""
    try:
        made = Path(tempfile.mkdtemp(prefix=f".keyhole-{path.name}-", dir=path.parent))
    except OSError as error:
        raise StorageFailure(f"{path} could not be made: {error.strerror}; the case is as it was") from error
    old = made.with_name(made.name + "-old")
    try:
        yield made
        _carry_over(path, made)
        made.chmod(0o755)
        if path.exists():
            path.rename(old)
        made.rename(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        reason = error.strerror or str(error)
        raise StorageFailure(f"{path} could not be written: {reason}; the report is as it was") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _carry_over(path: Path, made: Path) -> None:
    """Copy what other stages put in the old folder."""
    if not path.is_dir():
        return
    for entry in sorted(path.iterdir()):
        if entry.is_file() and not any(entry.match(pattern) for pattern in OURS):
            shutil.copy2(entry, made / entry.name)
