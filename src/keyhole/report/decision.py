"""The decision aid and the surgeon's page of what to expect: each as one page and on paper."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from keyhole.report.icons import legend_icon
from keyhole.report.outlook import Outlook
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
    plain = asdict(aid)
    drawings = {arm["name"]: arm.pop("svg") for risk in plain["risks"] for arm in risk["arms"]}
    drawings |= {f"course-{one['key']}": one.pop("svg") for one in plain["courses"]}
    for n, way in enumerate(plain["ways"]):
        if way["opening"] is not None:
            drawings |= {f"{name}-{n}": way["opening"].pop(name) for name in ("slice", "skin")}
    drawings |= {f"legend-{kind}": legend_icon(kind) for kind in ("sure", "maybe", "free")}
    return set_paper("patient.typ", {"a": plain, "t": words.table}, drawings)


def outlook_page(outlook: Outlook) -> bytes:
    """The surgeon's page as one HTML file that needs nothing else."""
    style = files("keyhole.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    return environment().get_template("forecast.html").render(o=outlook, style=style).lstrip().encode()


def outlook_paper(outlook: Outlook) -> bytes:
    """The surgeon's page as an A4 PDF; the same bytes for the same content."""
    plain = asdict(outlook)
    drawings = {}
    for part in plain["parts"]:
        drawings[f"curve-{part['key']}"], part["curve"] = part["curve"]
        for one in part["answers"]:
            drawings |= {f"plot-{one['name']}-{n}": plot.pop("svg") for n, plot in enumerate(one["plots"])}
    drawings |= {one["name"]: one.pop("svg") for one in plain["calibrations"]}
    return set_paper("forecast.typ", plain, drawings)


def set_paper(template: str, content: object, drawings: Mapping[str, str]) -> bytes:
    """Paper of a template, its content and its drawings by name."""
    import typst  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="keyhole-paper-") as name:
        folder = Path(name)
        folder.joinpath(template).write_bytes(files("keyhole.report").joinpath("templates", template).read_bytes())
        folder.joinpath("content.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        for drawing, svg in drawings.items():
            if svg:
                folder.joinpath(f"{drawing}.svg").write_text(svg, encoding="utf-8")
        made: bytes = typst.compile(folder / template, root=folder, ignore_system_fonts=True, timestamp=0)
    return made
