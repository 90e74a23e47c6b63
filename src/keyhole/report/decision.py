"""The decision aid as one page and on paper."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from keyhole.report.icons import legend_icon
from keyhole.report.page import environment
from keyhole.report.patient import Aid
from keyhole.report.sentences import Sentences


def aid_page(aid: Aid, words: Sentences) -> bytes:
    """The decision aid as one HTML file that needs nothing else."""
    style = files("keyhole.report").joinpath("templates", "patient.css").read_text(encoding="utf-8")
    html = environment().get_template("patient.html").render(a=aid, t=words.table, style=style, legend=legend_icon)
    return html.lstrip().encode()


def aid_paper(aid: Aid, words: Sentences) -> bytes:
    """The decision aid as a tagged A4 PDF; the same bytes for the same content."""
    import typst  # noqa: PLC0415

    plain = asdict(aid)
    drawings = {arm["name"]: arm.pop("svg") for risk in plain["risks"] for arm in risk["arms"]}
    drawings |= {f"course-{one['key']}": one.pop("svg") for one in plain["courses"]}
    for n, way in enumerate(plain["ways"]):
        if way["opening"] is not None:
            drawings |= {f"{name}-{n}": way["opening"].pop(name) for name in ("slice", "skin")}
    drawings |= {f"legend-{kind}": legend_icon(kind) for kind in ("sure", "maybe", "free")}
    with tempfile.TemporaryDirectory(prefix="keyhole-paper-") as name:
        folder = Path(name)
        template = files("keyhole.report").joinpath("templates", "patient.typ").read_bytes()
        folder.joinpath("patient.typ").write_bytes(template)
        written = json.dumps({"a": plain, "t": words.table}, ensure_ascii=False)
        folder.joinpath("content.json").write_text(written, encoding="utf-8")
        for drawing, svg in drawings.items():
            if svg:
                folder.joinpath(f"{drawing}.svg").write_text(svg, encoding="utf-8")
        made: bytes = typst.compile(folder / "patient.typ", root=folder, ignore_system_fonts=True, timestamp=0)
    return made
