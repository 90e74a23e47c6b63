"""The report leads to the programme of its plan, and to no other."""

import pytest
from report_case import case

from keyhole.casefile import PlanRecord
from keyhole.recovery.rehab import rehab_case
from keyhole.report.rehab import write_rehab
from keyhole.report.write import read, write_with

NAMES = ("rehab-patient.html", "rehab-patient.pdf", "rehab-therapist.html", "rehab.ics")


@pytest.mark.slow
def test_the_report_leads_to_a_current_programme_and_leaves_out_one_of_an_earlier_plan(tmp_path):
    made, torso = case(tmp_path / "case")
    record = rehab_case(made, date="2026-12-01")
    paths = write_rehab(made, record)
    alone = {name: (made.path / "report" / name).read_bytes() for name in NAMES}
    assert {path.name for path in paths.values()} == {*NAMES, "rehab.json"}
    index = write_with(made, read(made), torso)
    assert b'href="rehab-patient.html"' in index.read_bytes()
    assert {name: (made.path / "report" / name).read_bytes() for name in NAMES} == alone
    plan = made.read(PlanRecord)
    made.write(plan.model_copy(update={"searched": plan.searched + 1}))
    index = write_with(made, read(made), torso)
    assert b"rehab-patient.html" not in index.read_bytes()
    assert not [name for name in NAMES if (made.path / "report" / name).exists()]
