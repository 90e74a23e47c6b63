"""The self-contained page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from keyhole.report.content import Content
from keyhole.report.emblem import band_svg, chances_svg
from keyhole.report.palette import GROUPS, approach_colours
from keyhole.report.wording import runs

THREE = "three-0.187.0.bundle.min.js"


@cache
def environment() -> Environment:
    """The templates of the report."""
    return Environment(
        loader=PackageLoader("keyhole.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(folder: str, name: str) -> str:
    return files("keyhole.report").joinpath(folder, name).read_text(encoding="utf-8")


def _json_in_page(value: object) -> str:
    """`value` as JSON that cannot end the script element that holds it."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=True)
    return text.replace("<", "\\u003c")


def page(content: Content, scene: dict[str, object], links: Sequence[tuple[str, str]] = ()) -> bytes:
    """The report as one HTML file that needs nothing else, not even a network; `links` lead to pages beside it."""
    names = tuple(corridor.name for corridor in content.corridors)
    html = (
        environment()
        .get_template("page.html")
        .render(
            c=content,
            links=links,
            groups={group.name: group for group in GROUPS},
            colours=approach_colours(names),
            style=_text("templates", "style.css"),
            viewer=_text("templates", "viewer.js"),
            three=_text("vendor", THREE),
            band=band_svg,
            chances=chances_svg,
            runs=runs,
            scene=_json_in_page(scene),
            has_scene=bool(scene["meshes"]),
        )
    )
    return html.encode()
