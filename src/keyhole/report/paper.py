"""The report on paper, and its pictures as PNG: both set by Typst."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from keyhole.report.charts import Chart
from keyhole.report.content import Content
from keyhole.report.palette import GROUPS, approach_colours
from keyhole.report.slices import Picture

PIXELS_PER_INCH = 144.0
"""A picture of one SVG px becomes 2 pixels: 1 px is set as 1 point."""


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
    for corridor in content.corridors:
        for picture in corridor.pictures:
            yield f"{corridor.name}-{picture.name}", picture.svg
    for chart in (content.comparison_chart, content.feasibility_chart, content.pareto_chart):
        if chart is not None:
            yield f"chart-{chart.name}", chart.svg


def _plain(content: Content) -> dict[str, object]:
    """`content` for the template: drawings are files of their own."""
    plain = asdict(content)
    for corridor in plain["corridors"]:
        for picture in corridor["pictures"]:
            del picture["svg"]
    for name in ("comparison_chart", "feasibility_chart", "pareto_chart"):
        if plain[name] is not None:
            del plain[name]["svg"]
    names = tuple(corridor.name for corridor in content.corridors)
    plain["colours"] = approach_colours(names)
    plain["groups"] = {group.name: {"title": group.title, "colour": group.colour} for group in GROUPS}
    return plain


def png(drawn: Picture | Chart) -> bytes:
    """`drawn` as a PNG, two pixels per px of the drawing."""
    import typst  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="keyhole-paper-") as name:
        folder = Path(name)
        folder.joinpath("drawing.svg").write_text(drawn.svg, encoding="utf-8")
        page = f'#set page(width: {drawn.width}pt, height: {drawn.height}pt, margin: 0pt)\n#image("drawing.svg")\n'
        folder.joinpath("page.typ").write_text(page, encoding="utf-8")
        made: bytes = typst.compile(
            folder / "page.typ", root=folder, format="png", ppi=PIXELS_PER_INCH, ignore_system_fonts=True
        )
    return made
