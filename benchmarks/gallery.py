"""Pictures of every approach on a phantom and on a real CT, for docs/approaches.md.

Plans a phantom (a herniation at L4/L5; fused at L3/L4) and the real CT, draws each approach as the report does (along
its tube in two planes, and the flight down it; refused ones where they are blocked; cages, screws, open operations)
and writes one compact picture for each into docs/images/approaches, with the page that shows them.

    python benchmarks/gallery.py [--keep FOLDER] [--write]
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.phantom import write_phantom
from keyhole.anatomy.reading import load
from keyhole.casefile import Case, PlanRecord
from keyhole.plan import plan_case
from keyhole.report.compare import best, title
from keyhole.report.paper import page_png
from keyhole.report.planning.implants import cages, screws
from keyhole.report.planning.opened import open_pictures
from keyhole.report.planning.page import flights, refusals
from keyhole.report.slices import pictures
from keyhole.report.wording import number, structure

ROOT = Path(__file__).resolve().parents[1]
CT = ROOT.parent / "shared/data/ct_abdomen_3mm"
DOCUMENT, IMAGES = ROOT / "docs/approaches.md", ROOT / "docs/images/approaches"
MARKS = ("<!-- gallery begin -->", "<!-- gallery end -->")
SEED, SPACING = 11, 1.25
WIDTH, QUALITY, MOST = 900, 48, 60_000
"""Pictures' width, px, the quality at which they are first written, and the most bytes of each."""

PLANS = (
    ("phantom", "L4/L5", "left", "decompress", None),
    ("phantom", "L4/L5", "left", "decompress", "canal"),
    ("phantom", "L3/L4", "left", "fuse", None),
    ("real", "L4/L5", "left", "decompress", None),
    ("real", "L4/L5", "left", "fuse", None),
    ("real", "L5/S1", "right", "decompress", None),
)
"""Patient, level, side, goal and target of each plan; an approach is shown from the first that holds it."""


@dataclass(frozen=True)
class Shown:
    """One picture: its file's name, heading, what is seen, and its drawings in rows, each a list of SVG texts."""

    name: str
    heading: str
    said: str
    rows: tuple[tuple[str, ...], ...]


def patient(which: str, folder: Path) -> Case:
    """The case of the phantom or of the real CT, made in `folder` where it is not there yet."""
    at = folder / which
    if not at.exists() and which == "phantom":
        made = write_phantom(
            folder / "made", seed=SEED, pathology="herniation", level="L4/L5", side="left", spacing=SPACING
        )
        return import_case(at, [made / "ct.nii.gz"], labels=made / "labels.nii.gz")
    if not at.exists():
        return import_case(at, [CT / "ct.nii.gz"], labels=CT / "labels_totalsegmentator_total.nii.gz")
    return Case(at)


def drawn(which: str, plan: PlanRecord, anatomy: Anatomy) -> Iterator[Shown]:
    """The pictures of one plan."""
    where = f"{plan.level}, {plan.side}"
    films = flights(plan, anatomy)
    for one in best(plan):
        slices, film = pictures(anatomy, one, plan.level), films[one.approach]
        said = f"{where}: tube of {number(2 * one.radius, 'mm')} mm; below, the flight from the skin to the dock."
        film_row = tuple(frame.svg for frame in film.frames[1::2])
        yield Shown(f"{which}-{one.approach}", title(one.approach), said, ((slices[0].svg, slices[1].svg), film_row))
    for entry in plan.rejected:
        for refused in refusals(plan.model_copy(update={"rejected": (entry,)}), anatomy).get(entry.approach, ()):
            missing = number(entry.missing.value, "mm") if entry.missing and entry.missing.value is not None else "?"
            said = f"{where}: not feasible, {missing} mm missing beside {structure(entry.structure or '')}."
            row = tuple(p.svg for p in refused.pictures)
            yield Shown(f"{which}-refused-{entry.approach}", f"{title(entry.approach)}, refused", said, (row,))
    yield from _implants(which, plan, anatomy, where)


def _implants(which: str, plan: PlanRecord, anatomy: Anatomy, where: str) -> Iterator[Shown]:
    """Cages, screws and open operations, each kind on one picture."""
    laid_open = open_pictures(plan, anatomy) if which == "phantom" else ()
    kinds = (
        ("cages", "Cages", cages(plan, anatomy), "each from above and from the side, dashed the bones afterwards"),
        ("screws", "Percutaneous screws", screws(plan, anatomy)[:4], "in planes that hold their axes"),
        (f"open-{plan.goal}", "Open operations", laid_open, "what each lays open, filled"),
    )
    for name, heading, found, said in kinds:
        rows = [tuple(p.svg for p in found[n : n + 4]) for n in range(0, len(found), 4)]
        names = "; ".join(dict.fromkeys(p.title.partition(":")[0] for p in found))
        if rows:
            yield Shown(f"{which}-{name}", heading, f"{where}: {names}: {said}.", tuple(rows))


def written(shown: Shown, folder: Path) -> int:
    """Write the picture of `shown` as WebP into `folder`; its bytes."""
    drawings = {f"{n}-{k}": svg for n, row in enumerate(shown.rows) for k, svg in enumerate(row)}
    grids = (
        f"#grid(columns: {len(row)} * (1fr,), column-gutter: 6pt, "
        + ", ".join(f'image("{n}-{k}.svg", width: 100%)' for k in range(len(row)))
        + ")"
        for n, row in enumerate(shown.rows)
    )
    body = "\n".join(("#set block(spacing: 6pt)", *grids))
    image = Image.open(io.BytesIO(page_png(drawings, body, WIDTH, margin=0)))
    image = image.convert("RGB").resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    quality = QUALITY
    while True:
        data = io.BytesIO()
        image.save(data, "WEBP", quality=quality, method=6)
        if len(data.getvalue()) < MOST or quality <= 20:
            break
        quality -= 10
    (folder / f"{shown.name}.webp").write_bytes(data.getvalue())
    return len(data.getvalue())


def page(shown: Sequence[Shown]) -> str:
    """The table of contents and pictures between the marks."""
    lines = []
    for which, heading in (("phantom", "On a phantom"), ("real", "On a real CT")):
        lines.append(f"## {heading}\n")
        for one in shown:
            if one.name.startswith(which):
                lines.append(f"**{one.heading}.** {one.said}\n\n![{one.heading}, {which}]({_address(one)})\n")
    return "\n".join(lines)


def _address(one: Shown) -> str:
    return f"images/approaches/{one.name}.webp"


def main() -> None:
    """Plan, draw, and write the pictures and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder in which cases are kept between runs")
    parser.add_argument("--write", action="store_true", help="write docs/approaches.md and its pictures")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="keyhole-gallery-"))
    folder.mkdir(exist_ok=True)
    target = IMAGES if asked.write else folder / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    shown: list[Shown] = []
    for which, level, side, goal, aim in PLANS:
        if which == "real" and not CT.is_dir():
            print(f"the real CT is not at {CT}")
            continue
        case = patient(which, folder)
        plan = plan_case(case, level, side, goal, target=aim)
        done = {one.name for one in shown}
        shown += [one for one in drawn(which, plan, load(case)) if one.name not in done]
    sizes = {one.name: written(one, target) for one in shown}
    print(
        f"{len(sizes)} pictures, {sum(sizes.values()) / 1000:.0f} kB, the largest {max(sizes.values()) / 1000:.0f} kB"
    )
    if asked.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{page(shown)}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
