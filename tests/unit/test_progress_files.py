"""Observations and rules from files: what is wrong is refused in one sentence with its place."""

import re
from importlib.resources import files

import pytest
from progress_case import followed, ready, seen

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.progress import parse_rules, read_observations, read_rules, shipped_rules

RULES = files("keyhole.recovery.progress").joinpath("rules.toml").read_text(encoding="utf-8")


def table(tmp_path, text, name="seen.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_and_json_hold_the_same(tmp_path):
    rows = read_observations(
        table(tmp_path, "instrument,date,value,note\nODI,2026-02-01,24,sat\nnrs-leg,2026-02-01,2,\n")
    )
    other = read_observations(
        table(tmp_path, '[{"instrument":"odi","date":"2026-02-01","value":24},'
              '{"instrument":"nrs-leg","date":"2026-02-01","value":"2"}]', "seen.json")
    )  # fmt: skip
    assert [(one.instrument, one.date, one.value) for one in rows] == [(o.instrument, o.date, o.value) for o in other]


def test_an_empty_value_is_not_answered_and_unable_is_the_worst(tmp_path):
    text = "instrument,date,value\nodi,2026-02-01,\n\ntug,2026-02-01,unable\n6wt,2026-02-01,Unable\n"
    assert [(one.instrument, one.value) for one in read_observations(table(tmp_path, text))] == [
        ("tug", 600),
        ("6wt", 0),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("instrument,date\nodi,2026-02-01\n", "line 1: the columns must be"),
        ("instrument,date,value,colour\n", "line 1: the columns must be"),
        ("instrument,date,value,value\n", "line 1: the columns must be"),
        ("instrument,date,value\nodi,2026-02-01\n", "line 2: 3 cells"),
        ("instrument,date,value\nodi,1.2.2026,24\n", "line 2: date must be YYYY-MM-DD"),
        ("instrument,date,value\nodi,2026-02-30,24\n", "line 2: date must be"),
        ("instrument,date,value\n\nodi,2026-02-01,many\n", "line 3: value must be a number"),
        ("instrument,date,value\nodi,2026-02-01,nan\n", "line 2: value must be a number"),
        ("instrument,date,value\nodi,2026-02-01,1e999\n", "line 2: value must be a number"),
        ("instrument,date,value\nodi,2026-02-01,101\n", "line 2: ODI lies between 0 and 100"),
        ("instrument,date,value\nodi,2026-02-01,unable\n", "line 2: value must be a number"),
        ("instrument,date,value\nodd,2026-02-01,1\n", "line 2: no instrument is called 'odd'"),
        ("instrument,date,value\nredflag/fever,2026-02-01,1\n", "no instrument is called"),
        ("instrument,date,value\nred-flag/,2026-02-01,1\n", "no instrument is called"),
        ("instrument,date,value\nred-flag/fever,2026-02-01,2\n", "is 1 (yes) or 0 (no)"),
        ("instrument,date,value\nred-flags,2026-02-01,0.5\n", "whole number from 0"),
        ("instrument,date,value\nphase,2026-02-01,0\n", "whole number from 1"),
        ('instrument,date,value\n"odi,2026-02-01,1\n', "no table of comma separated"),
        (b"instrument,date,value\nodi,2026-02-01,\xff\n", "no text in UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(InvalidInput, match=re.escape(said)):
        read_observations(table(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    ["{", "3", "[3]", '[{"instrument":"odi"}]', '[{"instrument":"odi","date":"2026-02-01","value":true}]', "[" * 5000],
)
def test_json_that_cannot_be_is_refused(tmp_path, text):
    with pytest.raises(InvalidInput):
        read_observations(table(tmp_path, text, "seen.json"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="could not be read"):
        read_observations(tmp_path / "none.csv")
    with pytest.raises(UnreadableFile, match="could not be read"):
        read_rules(tmp_path / "none.toml")


def test_a_clinic_may_change_a_threshold_and_name_its_own_source(tmp_path):
    mine = RULES.replace('at = 5\nfrom_day = 0\nsays = "Pain is moderate."\nsource = "palos2006"',
                         'at = 2\nsays = "Pain."\nsource = "our guideline of 2026"')  # fmt: skip
    assert mine != RULES
    rules = read_rules(table(tmp_path, mine, "mine.toml"))
    found = followed([*ready(), seen("odi", 20, 30)], rules=rules)
    assert found.advice.word == "hold"
    assert found.advice.reasons[0].source == "our guideline of 2026"
    assert found.rules[2] == rules.digest != shipped_rules().digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "red-flag"', 'kind = "level"\ninstruments = ["odi"]\nat = 1', "exactly one rule of kind red-flag"),
        ('advice = "call"\nkind = "red-flag"', 'advice = "hold"\nkind = "red-flag"', "red-flag may advise call"),
        ('advice = "hold"\nkind = "unknown"', 'advice = "advance"\nkind = "unknown"', "may advise call or hold"),
        ('advice = "hold"\nkind = "band"', 'advice = "advance"\nkind = "band"', "may advise call or hold"),
        ('advice = "hold"\nkind = "conflict"', 'advice = "wait"\nkind = "conflict"', "not 'wait'"),
        ('kind = "conflict"', 'kind = "quarrel"', "no kind is called 'quarrel'"),
        ('kind = "conflict"', 'kind = "conflict"\nat = 3', "'at' is not known here"),
        ("at = 7\ndays = 2\nfrom_day = 3\n", "days = 2\n", "at is missing"),
        ("at = 7\ndays = 2\nfrom_day = 3\n", "at = 7\ndays = 0\n", "days must be a whole number"),
        ("at = 7\ndays = 2\nfrom_day = 3\n", 'at = "seven"\n', "at must be a number"),
        ("at = 7\ndays = 2\nfrom_day = 3\n", "at = nan\n", "at must be a number"),
        ('instruments = ["odi"]\nby = 18', 'instruments = ["oswestry"]\nby = 18', "no instrument is called 'oswestry'"),
        ('instruments = ["odi"]\nby = 18', "instruments = []\nby = 18", "instruments must be a list"),
        ('instruments = ["odi"]\nby = 18', 'instruments = ["odi"]', "needs either by or share"),
        ('instruments = ["odi"]\nby = 18', 'instruments = ["odi"]\nby = 0', "by must be more than 0"),
        ('source = "werner2017"', 'source = ""', "source must be a text"),
        ('name = "steps-behind"', 'name = "steps-fallen"', "two rules are called steps-fallen"),
        ("shares = [0.29, 0.63, 0.77]", "shares = [0.29, 0.63]", "lists of the same length"),
        ("days = [4, 11, 25]", "days = [4, 25, 11]", "days must ascend"),
        ("[fresh]\ndefault = 14", "[fresh]\ndefault = 0", "default must be a number from 1"),
        ("[matters]", "[mutters]", "'mutters' is not known here"),
        ("share = 0.5", "share = 1.5", "share must lie between 0 and 1"),
    ],
)
def test_rules_that_would_be_unsafe_or_cannot_be_are_refused(old, new, said):
    assert old in RULES
    with pytest.raises(InvalidInput, match=re.escape(said)):
        parse_rules(RULES.replace(old, new, 1).encode(), "mine.toml")


def test_the_order_of_the_rules_does_not_matter():
    head, *blocks = RULES.split("[[rule]]\n")
    *blocks, last = blocks
    rule, tail = last.split("\n# The published course", 1)
    mixed = "[[rule]]\n".join([head, *reversed([*blocks, rule])]) + "\n# The published course" + tail
    rows = [*ready(), seen("nrs-leg", 30, 9), seen("red-flag/fever", 30, 1)]
    found, other = followed(rows), followed(rows, rules=parse_rules(mixed.encode(), "mixed.toml"))
    assert found.advice.word == other.advice.word == "call"
    assert set(found.advice.reasons) == set(other.advice.reasons)
    assert followed(ready(), rules=parse_rules(mixed.encode(), "mixed.toml")).advice.word == "advance"


def test_a_guard_that_is_there_twice_is_refused():
    twice = RULES.replace("[steps]", '[[rule]]\nname = "again"\nadvice = "hold"\nkind = "conflict"\nsays = "x"\n'
                          'source = "y"\n\n[steps]')  # fmt: skip
    with pytest.raises(InvalidInput, match="exactly one rule of kind conflict is needed, found 2"):
        parse_rules(twice.encode(), "mine.toml")


def test_a_threshold_beside_may_name_its_own_source():
    rule = next(one for one in shipped_rules().rules if one.name == "leg-pain-back")
    assert (rule.source, rule.beside) == ("parai2020", ("gerbershagen2011",))
    with pytest.raises(InvalidInput, match="'shade_source' is not known here"):
        parse_rules(RULES.replace("\nat_source", "\nshade_source", 1).encode(), "mine.toml")


def test_rules_without_anything_that_must_be_known_are_refused():
    mine = RULES.replace('kind = "needed"', 'kind = "level"\nat = 99')
    with pytest.raises(InvalidInput, match="missing data must never advance"):
        parse_rules(mine.encode(), "mine.toml")


@pytest.mark.parametrize("content", [b"", b"\xff", b"rule = 3", b"[[rule]]\nname = 3"])
def test_what_is_no_file_of_rules_is_refused(content):
    with pytest.raises(InvalidInput, match="mine.toml"):
        parse_rules(content, "mine.toml")
