"""The quality of a phantom's CT, and of the same CT mirrored in the file."""

import numpy as np
import pytest

from keyhole.anatomy.coverage import label_quality
from keyhole.anatomy.level_evidence import evidence
from keyhole.anatomy.phantom.model import phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.anatomy.ribs import rib_in_image
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging.quality import quality

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen():
    body = phantom(PhantomParameters(seed=2))
    labels, ct, _ = body.render(body.grid(1.0))
    return labels, ct


def mirrored(what):
    """The array flipped from left to right in a file that keeps its matrix: what a bad converter does."""
    array = np.ascontiguousarray(what.array[::-1])
    if isinstance(what, LabelMap):
        return LabelMap(array, what.patient_from_index, what.structures)
    return Volume(array, what.patient_from_index)


def test_a_phantoms_ct_is_good(seen):
    assert [i for i in quality(seen[1], "CT") if i.verdict not in ("good", "unknown")] == []


def test_a_phantoms_labels_speak_for_its_names_and_sides(seen):
    labels, ct = seen
    assert rib_in_image(labels, ct) == "T12"
    assert {e.kind for e in evidence(labels, "T12") if e.supports is False} == set()
    assert {e.kind for e in evidence(labels, "T12") if e.supports} == {"sacrum", "ribs", "count"}
    verdicts = {i.name: i.verdict for i in label_quality(labels, ct, is_hu=True)}
    assert (verdicts["left and right"], verdicts["whole lumbar vertebrae"]) == ("good", "good")


def test_a_mirrored_file_is_reported_by_image_and_by_labels(seen):
    labels, ct = seen
    image = {i.name: i for i in quality(mirrored(ct), "CT")}["left and right"]
    assert image.verdict == "limited"
    assert "mirrored" in image.consequence
    told = {i.name: i for i in label_quality(mirrored(labels), mirrored(ct), is_hu=True)}["left and right"]
    assert told.verdict == "unusable"
    assert "mirrored" in told.consequence
