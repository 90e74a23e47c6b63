"""Every label table: as its source has it, and back again by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from import_files import placed

from keyhole.anatomy.schemes import SCHEMES, read_labels, table, tables, written_as
from keyhole.anatomy.schemes.special import NEEDS
from keyhole.anatomy.schemes.tables import LEVEL, plain, vertebra_of
from keyhole.errors import UnknownScheme
from keyhole.geometry import LabelMap
from keyhole.imaging import write_nifti
from keyhole.terms import Tissue, sides_swapped, split, tissue

COMPILED = Path(__file__).resolve().parents[2] / "../shared/references/label_maps.json"
NAMES = [one.scheme for one in tables()]


def test_there_are_32_tables_each_with_origin_and_licence():
    assert len(NAMES) == 32
    assert set(SCHEMES) == {*NAMES, "keyhole"}
    for one in tables():
        assert one.origin, one.scheme
        assert one.licence, one.scheme
        assert one.kind in ("labels", "points"), one.scheme


@pytest.mark.skipif(not COMPILED.is_file(), reason="the compilation of the sources is not beside the repository")
@pytest.mark.parametrize("scheme", NAMES)
def test_labels_and_names_are_those_of_the_compiled_sources(scheme):
    compiled = json.loads(COMPILED.read_text())["maps"][scheme]["labels"]
    assert {str(n): row.name for n, row in table(scheme).rows.items()} == compiled


@pytest.mark.parametrize("scheme", NAMES)
def test_a_name_leads_to_its_label_and_back(scheme):
    one = table(scheme)
    assert len(one.by_name) == len(one.rows)
    for label, row in one.rows.items():
        assert one.by_name[plain(row.name)].label == label


@pytest.mark.parametrize("scheme", NAMES)
def test_every_key_is_one_structure_of_a_known_tissue(scheme):
    keys = [row.key for row in table(scheme).rows.values() if row.key]
    assert len(keys) == len(set(keys))
    for key in keys:
        assert tissue(key.replace(LEVEL, "L4")) in set(Tissue)
        if key.startswith("disc/") and LEVEL not in key and "25" not in key and "S" not in key and "below" not in key:
            split(key.split("/")[1])


@pytest.mark.parametrize("scheme", NAMES)
def test_sides_of_names_are_sides_of_keys(scheme):
    by_name = table(scheme).by_name
    for name, row in by_name.items():
        words = name.split("_")
        side = next((word for word in words if word in ("left", "right")), "")
        twin = by_name.get("_".join({"left": "right", "right": "left"}.get(word, word) for word in words))
        if side and row.key:
            assert side in row.key.split("/"), name
        if side and twin is not None and row.key and "middle" not in name:
            assert twin.key == sides_swapped(row.key), name


def _one_voxel_each(scheme):
    """Every label of a table that a patient with five lumbar vertebrae can have at once, one voxel each."""
    extra = ("vertebra/L6", "vertebra/T13")
    rows = {n: row for n, row in table(scheme).rows.items() if n and not row.key.startswith(extra)}
    array = np.zeros((len(rows) + 1, 3, 3), dtype=np.uint16)
    array[1:, 1, 1] = list(rows)
    return array, rows


def _has_whole(scheme):
    keys = [row.key for row in table(scheme).rows.values()]
    return table(scheme).kind == "labels" and scheme != "spider" and any(key and LEVEL not in key for key in keys)


@pytest.mark.parametrize("scheme", [n for n in NAMES if _has_whole(n)])
def test_a_file_of_every_label_is_read_and_written_back(tmp_path, scheme):
    array, rows = _one_voxel_each(scheme)
    whole = {n: row for n, row in rows.items() if row.key and LEVEL not in row.key}
    kept = np.isin(array, list(whole))
    write_nifti(LabelMap(np.where(kept, array, 0), placed((1, 1, 1))), tmp_path / "seg.nii.gz")
    found = read_labels(tmp_path / "seg.nii.gz", scheme)
    for n, row in whole.items():
        at = tuple(np.argwhere(array == n)[0])
        key = found.labels.structures[int(found.labels.array[at])]
        assert key == row.key or row.key.startswith(key + "/"), row.name
    again, names = written_as(found.labels, scheme)
    for n, row in whole.items():
        at = tuple(np.argwhere(array == n)[0])
        finer = row.key.endswith(("/endplate", "/border"))
        assert finer or names[int(again[at])] == row.name


@pytest.mark.parametrize("scheme", [n for n in NAMES if table(n).kind == "points"])
def test_points_are_no_labels(tmp_path, scheme):
    array, _ = _one_voxel_each(scheme)
    write_nifti(LabelMap(array, placed((1, 1, 1))), tmp_path / "seg.nii.gz")
    with pytest.raises(UnknownScheme, match="marks single points, not structures"):
        read_labels(tmp_path / "seg.nii.gz", scheme)


@pytest.mark.parametrize("scheme", NEEDS)
def test_a_scheme_whose_typical_labels_are_missing_is_refused(tmp_path, scheme):
    vertebrae = [n for n, row in table(scheme).rows.items() if vertebra_of(row.key) and n < 100]
    array = np.zeros((len(vertebrae) + 1, 3, 3), dtype=np.uint16)
    array[1:, 1, 1] = vertebrae
    write_nifti(LabelMap(array, placed((1, 1, 1))), tmp_path / "seg.nii.gz")
    with pytest.raises(UnknownScheme, match="holds none of them; its integers belong to another scheme"):
        read_labels(tmp_path / "seg.nii.gz", scheme)
