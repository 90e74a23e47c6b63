"""ct-classical on painted scans: the must-shows on a few cases; benchmarks/bare_ct.py has them all."""

import pytest
from cases import painted, phantom_cases, verse_cases
from score import CaseScore, score

from keyhole.segment.classical import ct_classical

CASES = {case.name: case for case in (*phantom_cases(50), *verse_cases())}


def judged(name: str) -> CaseScore:
    made = painted(CASES[name])
    if made is None:
        pytest.skip("the label maps are not in ../shared/data")
    return score(name, made.image, made.truth, made.whole, ct_classical)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mean"), [("phantom 10", 0.90), ("verse 004 6", 0.82)])
def test_levels_are_named_right_and_overlap_the_truth(name, mean):
    found = judged(name)
    assert not found.refusal
    assert not found.wrong
    assert len(found.lumbar) == 5
    assert sum(v.dice for v in found.lumbar) / 5 >= mean
    for v in found.lumbar:
        assert v.dice >= 0.7 or v.warnings, v
    assert not any(share < 0.85 for share in found.vessels.values())  # nan is unknown, which is allowed


@pytest.mark.slow
def test_what_cannot_be_found_is_refused_in_a_sentence():
    found = judged("phantom 11")
    assert not found.wrong
    if found.refusal:
        assert len(found.refusal) > 30
