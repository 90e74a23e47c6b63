"""The report as a whole: what it says, that it is self-contained, and that it is written whole or not at all."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from report_case import STILL, Pose, anatomy, case, plan

from keyhole.casefile import RESEARCH_USE, PlanRecord
from keyhole.errors import StorageFailure, WrongCase
from keyhole.report import write as writing
from keyhole.report.content import Drawn, content
from keyhole.report.page import page as html
from keyhole.report.scene import scene
from keyhole.report.slices import pictures
from keyhole.report.wording import number
from keyhole.report.write import read, write_with


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A made-up case with its report: the case, the page's text."""
    made, found = case(tmp_path_factory.mktemp("case") / "made-up")
    page = write_with(made, read(made), found)
    return made, page.read_text()


class Tags(HTMLParser):
    """Every tag with its attributes, and the visible text."""

    def __init__(self):
        super().__init__()
        self.tags, self.words, self.hidden, self.open = [], [], 0, []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.hidden += 1
        if tag not in ("meta", "link", "br", "input", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.hidden -= 1
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def parsed(page):
    reader = Tags()
    reader.feed(page)
    return reader, re.sub(r"\s+", " ", " ".join(reader.words))


def test_the_page_is_well_formed_and_loads_nothing(written):
    reader, _ = parsed(written[1])
    assert reader.open == []
    loaded = [
        value
        for tag, attributes in reader.tags
        for name, value in attributes.items()
        if name in ("src", "srcset", "data") or (name in ("href", "xlink:href") and tag != "a")
    ]
    assert loaded
    assert all(value.startswith("data:") for value in loaded)
    assert not any(tag in ("link", "iframe", "object", "embed") for tag, _ in reader.tags)
    assert not re.search(r"@import|url\((?!data:)", written[1].partition("</style>")[0])
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy


def test_research_use_and_unconfirmed_levels_are_prominent(written):
    page = written[1]
    head = page[page.index("<header") : page.index("</header>")]
    assert RESEARCH_USE in head
    assert "Levels not confirmed" in head
    assert RESEARCH_USE in page[page.index("<footer") :]


def page_of(made, found, pictures=None):
    """The page alone, without surfaces, paper and files."""
    records = read(made)
    said = content(records, found, Drawn(pictures or {}), {})
    return html(said, scene([], found, records.plan)).decode()


def test_confirmed_levels_carry_no_warning(tmp_path):
    made, found = case(tmp_path / "c", confirmed=True)
    object.__setattr__(found, "levels_confirmed", True)
    page = page_of(made, found)
    assert "Levels not confirmed" not in page
    assert "by A. Reader; lowest lumbar vertebra L5" in page


def test_every_caveat_of_every_file_is_on_the_page(written):
    made, page = written
    _, words = parsed(page)
    for name in ("case.json", "labels.json", "findings.json", "plan.json"):
        for caveat in caveats(json.loads((made.path / name).read_text())):
            assert caveat in words, (name, caveat)


def caveats(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "caveats":
                yield from inner
            else:
                yield from caveats(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from caveats(inner)


def table(page, name):
    body = page[page.index(f'id="table-{name}"') :]
    rows = re.findall(r"<tr.*?</tr>", body[: body.index("</table>")], re.S)
    clean = [
        [
            re.sub(r"<sup.*?</sup>|<[^>]+>", "", c, flags=re.S).strip()
            for c in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)
        ]
        for row in rows
    ]
    return {unescape(row[0]).replace("\xa0", " "): [unescape(words) for words in row[1:]] for row in clean}


def test_the_numbers_are_those_of_the_plan(written):
    made, page = written
    plan = made.read(PlanRecord)
    rows = table(page, "comparison")
    first = {c.approach: c for c in reversed(plan.candidates)}
    shown = [
        *(first[name] for name in ("transforaminal-endoscopic", "interlaminar-endoscopic", "tubular-paramedian")),
        plan.open,
    ]
    assert rows["Muscle, mL (displaced volume, not injury)"] == [number(c.burden["muscle"].value, "mL") for c in shown]
    assert rows["Incision, mm"] == [number(c.incision.value, "mm") for c in shown]
    gaps = [f"{number(c.clearance['root/L4/left'].value, 'mm')} ± 0.9" for c in shown]
    assert rows["Tube: clearance to it, mm"] == gaps
    assert rows["Tube: closest structure"] == ["L4 root, left"] * 4
    shares = [c.facet_removed["L4/L5/left"].value for c in shown]
    said = [f"{number(share, '%')} ± {'3.0' if share < 10 else '3'}" for share in shares]
    assert rows["Facet removed, L4/L5 left, %"] == said


def test_what_is_missing_is_never_zero(written):
    page = written[1]
    assert table(page, "clearances")["aorta"][1:] == ["not known / –"] * 4
    assert table(page, "board-level")["Canal area, mm²"][2].startswith("not known")
    assert table(page, "comparison")["Tube's outer diameter, mm"][-1] == "no tube"


def test_the_asked_level_comes_first_and_the_rest_follows(written):
    page = written[1]
    assert table(page, "findings-asked")["Canal area"][:3] == ["121 ± 11", "mm²", "narrow (82 %; normal 18 %)"]
    assert table(page, "board-level")["Disc height, mm"][0].startswith("8.4 7.4 to 9.4")


def test_rejections_feasibility_and_pareto_are_told(written):
    _, words = parsed(written[1])
    assert "The iliac crest stands in every path to L4/L5." in words
    assert table(written[1], "feasibility")["Transforaminal endoscopic"] == ["905,000", "4,999", "800", "111", "0"]
    assert list(table(written[1], "pareto"))[1:] == ["1", "2"]
    assert words.count("displaced volume, not injury") >= 4


def test_sources_are_cited_with_their_address(written):
    reader, words = parsed(written[1])
    assert "Keyhole's own geometry" in words
    assert any(a.get("href", "").startswith("https://doi.org/") for t, a in reader.tags if t == "a")


def test_tables_have_heads_pictures_have_words(written):
    reader, _ = parsed(written[1])
    drawings = [a for t, a in reader.tags if t == "svg"]
    assert len(drawings) >= 18
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)
    assert all(a.get("scope") in ("col", "row", "colgroup", "rowgroup") for t, a in reader.tags if t == "th")


def test_the_scene_holds_the_tube_and_the_surfaces_in_mm(written):
    made, page = written
    text = re.search(r'<script type="application/json" id="scene">(.*?)</script>', page, re.S).group(1)
    scene = json.loads(text)
    tube = next(c for c in scene["corridors"] if c["name"] == "transforaminal-endoscopic")
    chosen = made.read(PlanRecord).candidates[0]
    length = np.linalg.norm(np.subtract(chosen.entry, chosen.dock))
    assert np.linalg.norm(np.subtract(tube["entry"], tube["dock"])) == pytest.approx(length, abs=0.01)
    assert tube["entry"][0] > 80  # the patient's left is +x
    assert tube["entry"][2] < 0  # the skin of the back is behind
    assert scene["directions"] == {"left": [1, 0, 0], "posterior": [0, 0, -1], "up": [0, 1, 0]}
    root = next(m for m in scene["meshes"] if m["key"] == "root/L4/left")
    assert root["origin"][0] > 0
    assert {"root/L4/left", "vertebra/L4", "skin"} <= {m["key"] for m in scene["meshes"]}


def test_the_folder_holds_page_paper_pictures_and_surfaces(written):
    made, page = written
    names = {file.name for file in (made.path / "report").iterdir()}
    pictures_of = {"transforaminal-endoscopic.png", "chart-comparison.png"}
    assert {"index.html", "report.pdf", "findings.csv"} | pictures_of <= names
    assert (made.path / "report" / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert (made.path / "meshes" / "root.L4.left.glb").is_file()
    assert len(page) < 12_000_000
    assert not list(made.path.glob(".keyhole-*"))


@pytest.mark.slow
def test_the_same_case_gives_the_same_bytes(written):
    made, _ = written
    before = {f: f.read_bytes() for folder in ("report", "meshes") for f in sorted((made.path / folder).iterdir())}
    _, found = case(made.path)
    write_with(made, read(made), found)
    after = {f: f.read_bytes() for folder in ("report", "meshes") for f in sorted((made.path / folder).iterdir())}
    assert before.keys() == after.keys()
    assert [f.name for f in before if before[f] != after[f]] == []


def test_a_plan_made_from_other_labels_is_refused(tmp_path):
    made, _ = case(tmp_path / "c")
    (made.path / "labels.nii.gz").write_bytes(b"other labels")
    with pytest.raises(WrongCase, match="run `keyhole assess` again"):
        read(made)
    (made.path / "findings.json").unlink()
    with pytest.raises(
        WrongCase, match=r"plan\.json was made from another labels\.nii\.gz .* run `keyhole plan` again"
    ):
        read(made)


def test_without_a_plan_the_findings_are_reported_and_it_says_so(tmp_path):
    made, found = case(tmp_path / "c", with_plan=False)
    _, words = parsed(page_of(made, found))
    assert "No plan has been made yet" in words
    assert "103 to 139" in words
    assert "What was asked" not in words


def test_a_failure_leaves_the_old_report_and_others_files_are_kept(tmp_path, monkeypatch):
    made, found = case(tmp_path / "c", with_plan=False)
    write_with(made, read(made), found)
    (made.path / "report" / "rehab.html").write_text("another stage's page")
    before = (made.path / "report" / "index.html").read_bytes()

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writing, "_write", full)
        with pytest.raises(StorageFailure, match="No space left on device"):
            write_with(made, read(made), found)
    assert (made.path / "report" / "index.html").read_bytes() == before
    assert not list(made.path.glob(".keyhole-*"))
    write_with(made, read(made), found)
    assert (made.path / "report" / "rehab.html").read_text() == "another stage's page"


def test_a_patient_who_lies_turned_gets_the_same_captions():
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    captions = []
    for pose in (STILL, Pose(turn, np.array([15.0, 40, -200]))):
        drawn = pictures(anatomy(pose), plan({}, pose).candidates[0], "L4/L5")
        captions.append(
            [(p.title, p.caption.partition(" mm from the skin")[0].rstrip("0123456789"), p.alt) for p in drawn]
        )
    assert [c[:2] for c in captions[0]] == [c[:2] for c in captions[1]]
