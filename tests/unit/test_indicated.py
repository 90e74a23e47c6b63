"""Norms are read, what lies outside them is indicated, with the reasons."""

import pytest

from keyhole.assessment.norms.indicated import indicated, target
from keyhole.assessment.norms.norms import Norm, band, ideal_by_class, norms, outside
from keyhole.casefile import FindingEntry, Patient
from keyhole.errors import InvalidInput, NotInScan

LEVELS = ("L3/L4", "L4/L5", "L5/S1")


def found(name, value, level="L4/L5", side=None, sd=0.1, **more):
    unit = more.pop("unit", "mm")
    return FindingEntry(
        name=name, level=level, side=side, value=value, sd=sd, unit=unit, source="keyhole", method="test", **more
    )


def read(name, grade, level="L4/L5", side=None, **more):
    return FindingEntry(
        name=name, level=level, side=side, value=None, sd=None, unit="", grade=grade, source="rsna2024",
        method="graded by A, r.csv row 2", origin="reader", **more,
    )  # fmt: skip


def test_every_norm_names_its_source_and_a_side_for_its_limit():
    assert len(norms()) > 20
    for one in norms():
        assert one.limit is None or one.worse in ("low", "high"), one
        assert one.limit is not None or one.mean is not None, one
        assert one.text, one
    with pytest.raises(InvalidInput, match="which side"):
        Norm("slip", "keyhole-choice", "text", limit=3.0)


def test_a_value_on_the_limit_is_as_likely_beyond_as_not():
    at = outside("dural sac area", 111.09, 10.0, level="L4/L5")
    assert at.beyond == pytest.approx(0.0)
    assert at.probability == pytest.approx(0.5)
    assert at.deviation == pytest.approx((111.09 - 151.67) / 53.59)
    assert at.is_outside
    severe = outside("dural sac area", 70.0, 10.0)
    assert severe.beyond == pytest.approx(1.0)
    assert not outside("dural sac area", 150.0, 10.0).is_outside


def test_density_is_judged_for_the_patients_age_and_not_without_it():
    young, old = (outside("vertebral density", 130.0, 5.0, age, level="L1") for age in (25, 70))
    assert young.deviation == pytest.approx((130 - 226) / 44)
    assert old.deviation == pytest.approx((130 - (226 - 2.5 * 40)) / 44)
    assert outside("vertebral density", 130.0, 5.0, None, level="L1").deviation is None
    assert outside("vertebral density", 130.0, 5.0, 70, level="L4") is None


def test_thresholds_of_the_bony_canal_are_for_the_bony_canal():
    assert outside("canal area", 100.0, 5.0) is None
    assert outside("canal area", 100.0, 5.0, structure="bony").is_outside


def test_standing_norms_are_not_used_on_a_scan():
    assert outside("sacral slope", 20.0, 1.0) is None
    assert outside("pelvic tilt", 40.0, 1.0) is None


def test_a_norm_without_a_spread_says_nothing_is_outside():
    at = outside("disc height", 3.0, 0.3, level="L4/L5")
    assert at.deviation is None
    assert not at.is_outside


def test_the_healthy_band_is_open_on_the_good_side():
    assert band("dural sac area", "L4/L5", 60) == (111.09, None)
    assert band("herniation depth", "L4/L5", 60) == (None, 3.0)
    assert band("pelvic incidence", "S1", None) == pytest.approx((31.9, 71.9))
    assert band("no such measure", "L4/L5", None) == (None, None)


@pytest.mark.parametrize(("incidence", "lordosis"), [(30, 48), (38, 51), (52, 61), (60, 66), (75, 77), (80, 75)])
def test_the_table_of_incidence_classes_is_the_published_one(incidence, lordosis):
    assert ideal_by_class(incidence) == lordosis


def test_healthy_measures_point_at_nothing():
    healthy = [found("dural sac area", 150.0, unit="mm2"), found("slip", 1.0), found("slip", -6.0, "L5/S1")]
    assert indicated(healthy, LEVELS) == ()
    with pytest.raises(NotInScan, match="no level is indicated"):
        target((), "decompress")


def test_what_was_not_measured_points_at_nothing():
    missing = FindingEntry(
        name="dural sac area", level="L4/L5", side=None, value=None, sd=None, unit="mm2", source="keyhole",
        method="test", caveats=("cut",),
    )  # fmt: skip
    assert indicated([missing], LEVELS) == ()


def test_the_worst_level_comes_first_on_the_side_of_its_herniation():
    entries = indicated(
        [
            found("dural sac area", 105.0, "L3/L4", unit="mm2"),
            found("dural sac area", 75.0, unit="mm2"),
            found("herniation depth", 6.0),
            found("herniation offset", -5.0),
        ],
        LEVELS,
    )
    assert [(e.rank, e.level, e.side) for e in entries] == [(1, "L4/L5", "right"), (2, "L3/L4", None)]
    assert entries[0].goals == ("decompress",)
    assert any("herniation depth 6.0" in reason and "above 3 mm" in reason for reason in entries[0].reasons)
    assert any("complaint" in caveat for caveat in entries[0].caveats)


def test_a_central_herniation_has_no_side():
    entries = indicated([found("herniation depth", 6.0), found("herniation offset", 0.1)], LEVELS)
    assert [e.side for e in entries] == [None]


def test_both_sides_are_named_where_both_foramina_are_narrow_the_worse_one_first():
    entries = indicated(
        [found("foramen height", 11.0, side="left"), found("foramen height", 9.0, side="right")], LEVELS
    )
    assert [e.side for e in entries] == ["right", "left"]
    assert entries[0].score > entries[1].score


def test_findings_of_one_kind_count_once_and_kinds_are_added():
    one = indicated([found("dural sac area", 70.0, unit="mm2", sd=0.01)], LEVELS)[0]
    both = indicated(
        [found("dural sac area", 70.0, unit="mm2", sd=0.01), found("least dural sac area", 69.9, unit="mm2", sd=0.01)],
        LEVELS,
    )[0]
    other = indicated([found("dural sac area", 70.0, unit="mm2", sd=0.01), found("slip", 3.0, sd=0.01)], LEVELS)[0]
    assert one.score == pytest.approx(2.0, abs=0.01)
    assert both.score == one.score
    assert other.score == pytest.approx(2.5, abs=0.01)
    assert other.goals == ("decompress", "fuse")


def test_a_slip_alone_says_so_and_serves_a_fusion_only():
    entries = indicated([found("slip", 7.0)], LEVELS)
    assert entries[0].goals == ("fuse",)
    assert any("no narrowing was found" in caveat for caveat in entries[0].caveats)
    assert target(entries, "screws").level == "L4/L5"
    with pytest.raises(NotInScan, match=r"the findings point at L4/L5 \(fuse\)"):
        target(entries, "decompress")


def test_a_doubtful_finding_weighs_less_than_a_sure_one_and_proposes_nothing_alone():
    sure, less = (indicated([found("dural sac area", 100.0, unit="mm2", sd=sd)], LEVELS)[0] for sd in (1.0, 8.0))
    assert sure.score > less.score
    assert "92 % sure" in less.reasons[0]
    doubtful = found("dural sac area", 100.0, unit="mm2", sd=20.0)
    assert indicated([doubtful], LEVELS) == ()
    joined = indicated([doubtful, found("slip", 7.0)], LEVELS)[0]
    assert any("71 % sure" in reason for reason in joined.reasons)


def test_a_readers_grade_points_at_its_level_and_side():
    entries = indicated(
        [
            read("subarticular stenosis", "severe", "L5/S1", "left"),
            read("spinal canal stenosis", "moderate", "L3/L4"),
            read("spinal canal stenosis", "normal/mild"),
            read("Pfirrmann grade", "5"),
        ],
        LEVELS,
    )
    assert [(e.level, e.side) for e in entries] == [("L5/S1", "left"), ("L3/L4", None)]
    assert "graded by A" in entries[0].reasons[0]


def test_a_network_that_is_less_sure_weighs_less():
    sure = read(
        "spinal canal stenosis", "severe", grade_probability={"normal/mild": 0.0, "moderate": 0.0, "severe": 1.0}
    )
    less = read(
        "spinal canal stenosis", "severe", grade_probability={"normal/mild": 0.4, "moderate": 0.1, "severe": 0.5}
    )
    assert indicated([sure], LEVELS)[0].score == pytest.approx(2.0)
    assert indicated([less], LEVELS)[0].score == pytest.approx(0.5 * 2 + 0.1 * 1.5)


def test_a_reader_who_disagrees_is_quoted():
    entries = indicated(
        [found("dural sac area", 60.0, unit="mm2"), read("spinal canal stenosis", "normal/mild")], LEVELS
    )
    assert any(caveat.startswith("against it: spinal canal stenosis normal/mild") for caveat in entries[0].caveats)


def test_only_levels_in_view_are_proposed():
    assert indicated([read("spinal canal stenosis", "severe", "L1/L2")], LEVELS) == ()


def test_a_target_is_taken_at_the_level_and_side_that_are_asked_for():
    entries = indicated(
        [found("foramen height", 11.0, side="left"), found("foramen height", 9.0, "L5/S1", "right")], LEVELS, Patient()
    )
    assert target(entries, "decompress").level == "L5/S1"
    assert target(entries, "decompress", "L4/L5").side == "left"
    assert target(entries, "decompress", None, "left").level == "L4/L5"
    with pytest.raises(NotInScan, match="at L4/L5 right"):
        target(entries, "decompress", "L4/L5", "right")
