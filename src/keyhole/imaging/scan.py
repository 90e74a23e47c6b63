"""Any image that a user can point at."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.casefile.store import sha256
from keyhole.errors import UnreadableFile
from keyhole.geometry import Volume
from keyhole.imaging.deidentify import file_name
from keyhole.imaging.model import MODALITIES, ScanImage, check_values
from keyhole.imaging.nifti import read_nifti

AIR_HU = -200
"""Air and fat make a CT go below this; MR does not, phase images aside."""

BODY_HU = (-200, 250)
"""Most of a CT is air below this range or soft tissue inside it."""

LEAST_SHARE = 0.6


def read_image(path: Path, series: str | None = None, *, keep_identity: bool = False) -> ScanImage:
    """The image at `path`: a NIfTI file, or one DICOM series in a folder, zip or multi-frame file, in LPS mm.

    A NIfTI file does not say what kind of image it is: the modality is taken from a JSON file beside it (as
    dcm2niix and Keyhole write), else inferred from the values with a caveat.
    """
    if not path.exists():
        raise UnreadableFile(f"{path} could not be read: there is no such file or folder")
    if path.is_dir() or zipfile.is_zipfile(path) or is_dicom(path):
        from keyhole.imaging.dicom import read_dicom  # noqa: PLC0415  (heavy import)

        found = read_dicom(path, series, keep_identity=keep_identity)
    else:
        found = _read_nifti(path)
    more = check_values(found.volume, str(path))
    told = any("unseen" in caveat for caveat in found.caveats)  # a sentence that gives the reason says it better
    return replace(found, volume=_compact(found.volume), caveats=found.caveats if told else (*found.caveats, *more))


def _compact(volume: Volume) -> Volume:
    """Whole numbers in 16 bits where they fit."""
    array = volume.array
    if not np.issubdtype(array.dtype, np.integer) or array.dtype.itemsize <= 2:
        return volume
    low, high = int(array.min()), int(array.max())
    if low < np.iinfo(np.int16).min or high > np.iinfo(np.int16).max:
        return volume
    return Volume(array.astype(np.int16), volume.patient_from_index)


def is_dicom(path: Path) -> bool:
    """Whether the file at `path` begins as a DICOM file does."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read_nifti(path: Path) -> ScanImage:
    found = read_nifti(path)
    name = file_name(path.name, _beside(path), "image.nii.gz")
    modality, caveats = stated_modality(path), found.caveats
    if modality is None:
        modality, caveat = inferred_modality(found.volume)
        caveats = (*caveats, caveat)
    weighting = named_weighting(path.name) if modality == "MR" else ""
    if weighting:
        caveats = (*caveats, f"taken as {weighting}-weighted by the name of its file")
    plain = name.split(".nii")[0]
    return ScanImage(found.volume, modality, plain, name, {}, caveats, sha256=sha256(path), weighting=weighting)


def named_weighting(name: str) -> str:
    """T1 or T2 where the file `name` says so as a word of its own (t2, T2w, T1-FFE); empty where it does not.

    >>> named_weighting("sub-01_T2w.nii.gz"), named_weighting("knee_t2_map.nii.gz"), named_weighting("t1_t2.nii")
    ('T2', '', '')
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    if {"map", "mapping", "star"} & set(words):
        return ""
    found = {word[:2].upper() for word in words if re.fullmatch(r"t[12](w|wi|tse|fse)?", word)}
    return found.pop() if len(found) == 1 else ""


def stated_modality(path: Path) -> str | None:
    """CT or MR as the JSON file beside the NIfTI file at `path` says; None where there is none or it does not say."""
    stated = _beside(path)
    value = str(stated.get("Modality", stated.get("modality", ""))).upper()
    return value if value in MODALITIES else None


def _beside(path: Path) -> dict[str, Any]:
    """What the JSON file beside a NIfTI file says; nothing where there is none."""
    try:
        stated = json.loads(path.with_name(path.name.split(".nii")[0] + ".json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return stated if isinstance(stated, dict) else {}


def inferred_modality(volume: Volume) -> tuple[str, str]:
    """CT or MR by the values alone, and the caveat that says so.

    CT: something below -200 and most voxels air or soft tissue in Hounsfield units. Everything else counts as MR,
    whose values then mean nothing in themselves.
    """
    array = volume.array
    low = float(np.nanmin(array))
    share = float(np.count_nonzero(array <= BODY_HU[1])) / array.size if low <= AIR_HU else 0.0
    if share >= LEAST_SHARE and float(np.nanmax(array)) > BODY_HU[1]:
        return (
            "CT",
            f"the file does not state its modality; taken as CT, since its values (from {low:.0f}) look like HU",
        )
    return "MR", (
        f"the file does not state its modality; taken as MR, since its values (from {low:.0f}) are not Hounsfield units"
    )
