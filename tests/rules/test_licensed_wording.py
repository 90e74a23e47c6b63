"""No wording of a licensed questionnaire is in the wheel.

The wording may not stand in this repository either, not even to compare with. So distinctive runs of four words of each
questionnaire were turned into digests once, and every run of four words in the package is looked up among them: cut,
wrapped, quoted or capitalised differently, a sentence of a form still holds such a run. An invented sentence stands in
for the real ones where the search itself is tested.
"""

import json
import re
import tomllib
from functools import cache
from hashlib import blake2b
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((Path(__file__).parent / "licensed_wording.json").read_text())
OWNER = {digest: name for name, digests in TABLE["digests"].items() for digest in digests}
FIRST = set(TABLE["first"])  # digests of the words that such a run can begin with: most runs need no look-up
INVENTED = "The lighthouse keeper counts eleven patient herons at dusk."
TEXT = {"css", "csv", "html", "js", "json", "md", "py", "toml", "txt", "typ", "ini", "mako", "svg", "yaml", ""}


def _digest(run):
    return blake2b(" ".join(run).encode(), digest_size=6, person=b"keyhole-wording").hexdigest()


@cache
def _may_begin(word):
    return _digest([word]) in FIRST


def licensed(text):
    """The questionnaires of which `text` holds a run of words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    size = TABLE["words"]
    runs = {tuple(words[n : n + size]) for n in range(len(words) - size + 1) if _may_begin(words[n])}
    return {name for run in runs if (name := OWNER.get(_digest(run)))}


def wheel_files():
    """What the wheel holds: everything below src/keyhole but compiled leftovers."""
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert target == {"packages": ["src/keyhole"]}, "the wheel holds more than this test looks at"
    left = {".nbc", ".nbi", ".pyc"}
    return [p for p in sorted((ROOT / "src/keyhole").rglob("*")) if p.is_file() and p.suffix not in left]


def test_no_licensed_wording_is_in_the_wheel():
    files = wheel_files()
    assert len(files) > 400
    unread = [p.name for p in files if p.suffix.lstrip(".") not in TEXT]
    assert not unread, "files that are not text cannot be searched"
    guilty = {str(p.relative_to(ROOT)): licensed(p.read_text(encoding="utf-8")) for p in files}
    assert not {name: of for name, of in guilty.items() if of}


@pytest.mark.parametrize(
    "planted",
    [
        f'question = "{INVENTED}"',
        INVENTED.upper(),
        '["The light", "house keeper", "keeper counts eleven\n   patient, herons"]',
        "text: >\n  lighthouse keeper\n  counts\n  eleven",
    ],
)
def test_a_planted_sentence_is_found_however_it_is_written(planted):
    assert licensed(f"[odi]\ntitle = 'ODI'\n{planted}\n") == {"canary"}
    assert licensed(planted.replace("eleven", "twelve").replace("ELEVEN", "twelve")) <= {"canary"}
    assert not licensed("the keeper of the lighthouse counts herons, eleven of them, at dusk")


def test_every_questionnaire_that_may_never_ship_is_searched_for():
    assert {"odi", "eq5d", "sf"} <= set(TABLE["digests"])
    assert min(len(TABLE["digests"][name]) for name in ("odi", "eq5d", "sf")) >= 50
    assert all(re.fullmatch("[0-9a-f]{12}", digest) for digest in OWNER), "digests only, no wording"


def test_an_instrument_without_free_items_has_no_question_and_no_answers_in_its_table():
    table = tomllib.loads((ROOT / "src/keyhole/recovery/instruments/instruments.toml").read_text())
    kept = {key: entry for key, entry in table.items() if not entry["ships_items"]}
    assert {"odi", "eq5d-5l", "eq5d-index", "eq-vas", "promis-pf", "rmdq-24"} <= set(kept)
    for key, entry in kept.items():
        assert not {"question", "grades", "items_text", "options"} & set(entry), key
