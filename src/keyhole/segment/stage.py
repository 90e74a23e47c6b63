"""Anatomy for a case that has images but no labels."""

from __future__ import annotations

from collections.abc import Callable

from keyhole.anatomy.intake import adopt
from keyhole.casefile import Case, CaseRecord, ImageEntry
from keyhole.errors import InvalidInput, NotInScan
from keyhole.geometry import Volume
from keyhole.imaging.nifti import read_nifti
from keyhole.segment.tools import TIMEOUT_S, TOOLS, run_tool

Progress = Callable[[str, float], None]

CLASSICAL = "ct-classical"
METHODS = (CLASSICAL, *TOOLS)

_READS = {CLASSICAL: ("CT",)} | {name: tuple(tool.steps) for name, tool in TOOLS.items()}


def segment_case(
    case: Case,
    method: str | None = None,
    progress: Progress | None = None,
    *,
    timeout: float = TIMEOUT_S,
    volumes: dict[str, Volume] | None = None,
) -> Case:
    """Give `case` the labels that `method` finds in its image; the case is as it was unless all of it succeeds.

    Without a `method` a CT is segmented by Keyhole's own, `CLASSICAL`; for MR there is none, and the refusal names
    the tools that can.

    Parameters
    ----------
    method : one of `METHODS`.
    timeout : how long a tool may run, s.
    volumes : receives the images that were read, by name, so that nobody need read them again.
    """
    tell = progress or (lambda _sentence, _share: None)
    record = case.read(CaseRecord)
    chosen, image = _chosen(case, record, method)
    path = case.path / image.file
    made_from = {image.source_file: image.sha256}
    volumes = {} if volumes is None else volumes
    if chosen == CLASSICAL:
        from keyhole.segment.classical import ct_classical  # noqa: PLC0415  (heavy import)

        volumes[image.name] = read_nifti(path).volume
        named = ct_classical(volumes[image.name], progress=lambda text, share: tell(text, 0.6 * share))
        parameters = {"method": CLASSICAL}
    else:
        made = run_tool(chosen, path, image.modality, progress=lambda t, s: tell(t, 0.6 * s), timeout=timeout)
        named = made.named
        parameters = {
            "method": chosen,
            "tool": made.tool,
            "tool_version": made.version,
            "tool_commands": "; ".join(made.commands),
        }
    return adopt(
        case,
        named,
        made_from,
        parameters=parameters,
        volumes=volumes,
        progress=lambda text, share: tell(text, 0.6 + 0.4 * share),
    )


def can_segment(record: CaseRecord) -> bool:
    """Whether Keyhole's own method can segment one of the case's images."""
    return any(image.modality == "CT" for image in record.images)


def _chosen(case: Case, record: CaseRecord, method: str | None) -> tuple[str, ImageEntry]:
    """The method, and the image that it reads."""
    if method is not None and method not in METHODS:
        raise InvalidInput(f"a method of segmentation is one of {', '.join(METHODS)}, got {method!r}")
    if not record.images:
        raise NotInScan(f"{case.path} has no image to segment; import one with `keyhole import {case.path} --image`")
    if method is None and not can_segment(record):
        raise NotInScan(
            f"{case.path} has MR only, which Keyhole does not segment itself; name an installed tool with --method "
            f"{' or --method '.join(TOOLS)}, or import its label map"
        )
    chosen = method or CLASSICAL
    for modality in _READS[chosen]:
        for image in record.images:
            if image.modality == modality:
                return chosen, image
    kinds = " and ".join(sorted({image.modality for image in record.images}))
    raise NotInScan(f"{case.path} has {kinds}; {chosen} reads {' or '.join(_READS[chosen])}")
