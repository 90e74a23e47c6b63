"""The report on paper, and its pictures as PNG: both set by Typst."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.report.palette import GROUPS, approach_colours

if TYPE_CHECKING:
    from keyhole.report.charts import Chart
    from keyhole.report.content import Content
    from keyhole.report.slices import Picture

PIXELS_PER_INCH = 108.0
"""One px of a drawing is set as 1 point and becomes 1.5 pixels."""


def paper(content: Content) -> bytes:
    """The report as an A4 PDF; the same bytes for the same content."""
    import typst  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="keyhole-paper-") as name:
        folder = Path(name)
        folder.joinpath("report.typ").write_bytes(_template())
        folder.joinpath("content.json").write_text(json.dumps(_plain(content), ensure_ascii=False), encoding="utf-8")
        for drawn in _drawings(content):
            folder.joinpath(f"{drawn[0]}.svg").write_text(drawn[1], encoding="utf-8")
        made: bytes = typst.compile(folder / "report.typ", root=folder, ignore_system_fonts=True, timestamp=0)
    return made


def _template() -> bytes:
    return files("keyhole.report").joinpath("templates", "report.typ").read_bytes()


def _drawings(content: Content) -> Iterable[tuple[str, str]]:
    yield from ((drawn.name, drawn.svg) for drawn in (*content.stills, *content.spine, *content.overview))
    some = [gallery for gallery in content.galleries if gallery.is_first] or content.galleries
    yield from ((picture.name, picture.svg) for gallery in some for picture in gallery.pictures)
    for corridor in content.corridors:
        for picture in corridor.pictures:
            yield f"{corridor.name}-{picture.name}", picture.svg
    for chart in (content.comparison_chart, content.feasibility_chart, content.pareto_chart):
        if chart is not None:
            yield f"chart-{chart.name}", chart.svg


def _plain(content: Content) -> dict[str, object]:
    """`content` for the template: drawings are files of their own."""
    plain = asdict(content)
    for picture in (
        *plain["stills"],
        *plain["spine"],
        *plain["overview"],
        *(p for gallery in plain["galleries"] for p in gallery["pictures"]),
        *(p for corridor in plain["corridors"] for p in corridor["pictures"]),
    ):
        del picture["svg"]
    for name in ("comparison_chart", "feasibility_chart", "pareto_chart"):
        if plain[name] is not None:
            del plain[name]["svg"]
    names = tuple(corridor.name for corridor in content.corridors)
    plain["colours"] = approach_colours(names)
    plain["groups"] = {group.name: {"title": group.title, "colour": group.colour} for group in GROUPS}
    return plain


def chart_png(chart: Chart) -> bytes:
    """`chart` as a PNG, 1.5 pixels per px of the drawing."""
    return page_png({"chart-" + chart.name: chart.svg}, f'#image("chart-{chart.name}.svg")', chart.width)


def sheet_png(title: str, summary: str, pictures: Sequence[Picture]) -> bytes:
    """The pictures of one corridor on one sheet, with their captions, as a PNG."""
    drawn = {picture.name: picture.svg for picture in pictures}
    cells = [
        f'[#image("{picture.name}.svg", width: 100%) #v(-6pt) *{picture.title}.* #{quoted(picture.caption)}]'
        for picture in pictures
    ]
    large, small = cells[:2], cells[2:]
    rows = [
        f"#grid(columns: {len(row)} * (1fr,), column-gutter: 8pt, {', '.join(row)})" for row in (large, small) if row
    ]
    head = f'#text(24pt, weight: "semibold", {quoted(title)}) #h(12pt) #{quoted(summary)}'
    return page_png(drawn, "\n\n".join([head, *rows]), 1300, margin=16)


def quoted(words: str) -> str:
    """`words` as a string of Typst."""
    return json.dumps(words, ensure_ascii=False)


def page_png(drawings: dict[str, str], body: str, width: int, margin: int = 0) -> bytes:
    """A page of Typst's `body`, `width` px wide, with SVG `drawings` by name, as a PNG."""
    import typst  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="keyhole-paper-") as name:
        folder = Path(name)
        for drawing, svg in drawings.items():
            folder.joinpath(f"{drawing}.svg").write_text(svg, encoding="utf-8")
        page = f"#set page(width: {width}pt, height: auto, margin: {margin}pt)\n"
        look = '#set text(font: "Libertinus Serif", size: 15pt)\n#set par(leading: 0.5em, spacing: 0.7em)\n'
        folder.joinpath("page.typ").write_text(page + look + body, encoding="utf-8")
        made: bytes = typst.compile(
            folder / "page.typ", root=folder, format="png", ppi=PIXELS_PER_INCH, ignore_system_fonts=True
        )
    return made
