"""The pages beside the report in a real browser: axe-core finds nothing serious, on a phone and on a desk.

axe-core is not shipped. Put axe.min.js (4.x, from the package axe-core) at node_modules/axe-core/axe.min.js in the root
of the repository or name it in KEYHOLE_AXE, and have chromium; else these tests are skipped.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

import dashboard_registry  # noqa: E402
import progress_case  # noqa: E402
import rehab_case  # noqa: E402
from expected_case import case_record, record  # noqa: E402
from report_case import anatomy, case, plan  # noqa: E402

from keyhole.casefile import CaseRecord, LabelsRecord, Quantity, Rejected, TriedEntry  # noqa: E402
from keyhole.recovery.rehab import build  # noqa: E402
from keyhole.registry.database import create, open_registry  # noqa: E402
from keyhole.report.content import Records  # noqa: E402
from keyhole.report.dashboard import dashboard_page, from_registry, summary  # noqa: E402
from keyhole.report.decision import aid_page, outlook_page  # noqa: E402
from keyhole.report.opening import openings  # noqa: E402
from keyhole.report.outlook import outlook  # noqa: E402
from keyhole.report.patient import aid, described  # noqa: E402
from keyhole.report.planning import plan_page  # noqa: E402
from keyhole.report.progress import progress_page  # noqa: E402
from keyhole.report.rehab.pages import patient_page, therapist_page  # noqa: E402
from keyhole.report.sentences import sentences  # noqa: E402

AXE = Path(os.environ.get("KEYHOLE_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
RUN = """axe.run(document).then(found => {
  const said = document.createElement("pre");
  said.id = "axe";
  said.textContent = JSON.stringify(found.violations.map(v => [v.impact, v.id, v.nodes[0].target.join(" ")]));
  document.body.appendChild(said);
})"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here: put it at node_modules/axe-core/axe.min.js"),
    pytest.mark.skipif(not BROWSER, reason="no chromium is installed"),
]


def patient():
    words, shown = sentences(), (plan({}).candidates[0], plan({}).open)
    alts = described(record(), shown, words)
    drawn = openings(anatomy(), (), "L4/L5", shown, alts)
    return aid_page(aid(case_record(), record(), drawn, words, is_confirmed=False, alts=alts), words)


def surgeon():
    return outlook_page(outlook(case_record(), record(), is_confirmed=False))


def planning(asked=None):
    with tempfile.TemporaryDirectory() as name:
        made, torso = case(Path(name) / "case")
        records = Records(made.read(CaseRecord), made.read(LabelsRecord), None, None)
    return plan_page(records, asked or plan({}), torso)


def refused():
    """A plan with a way in that is blocked: drawn, hatched and named."""
    key = "organ/kidney/left"
    tried = TriedEntry(entry=(145, 10, 40), dock=(24, 0, 0), radius=9.0, instrument_radius=2.0, blocked="tube")
    entry = Rejected(
        approach="lateral-transpsoas", reason=f"{key} is in the way", side="left", structure=key,
        missing=Quantity(value=7.5, unit="mm", source="keyhole-plan"), tried=tried,
    )  # fmt: skip
    page = planning(plan({}).model_copy(update={"rejected": (entry,)}))
    assert b"NOT FEASIBLE" in page
    return page


def dashboard():
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{Path(name) / 'registry.db'}"
        with create(url):
            pass
        dashboard_registry.told(url)
        with open_registry(url) as registry:
            found = summary(from_registry(registry, dashboard_registry.TODAY), dashboard_registry.TODAY)
    return dashboard_page(found)


def recovery(write=patient_page):
    with tempfile.TemporaryDirectory() as name:
        return write("made-up", build(rehab_case.case(Path(name), age=None), date="2026-12-01"))


def therapist():
    return recovery(therapist_page)


def progress():
    rows = [*progress_case.ready(), progress_case.seen("odi", 91, 14), progress_case.seen("odi", 180, 60)]
    rows += [progress_case.seen("tug", 175, 10), *(progress_case.seen("steps", day, 5000) for day in range(170, 181))]
    found = progress_case.followed(rows, 182, forecast=record())
    return progress_page(case_record(), found, {"rehab.json": "0" * 64})


def violations(page: str, folder: Path, size: str) -> list[list[str]]:
    """What axe finds in `page` at a window's `size`: impact, rule, where."""
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    axe = AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    file = folder / "page.html"
    file.write_text(
        open_page.replace("</body>", f"<script>{axe}</script><script>{RUN}</script></body>"), encoding="utf-8"
    )
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=60000", f"--window-size={size}", "--dump-dom", file.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<pre id="axe">(.*?)</pre>', seen, re.DOTALL)
    assert found is not None, "axe did not finish"
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("size", ["390,844", "1280,900"], ids=["phone", "desk"])
@pytest.mark.parametrize("made", [patient, surgeon, planning, refused, recovery, therapist, progress, dashboard])
def test_axe_finds_nothing(made, size, tmp_path):
    assert violations(made().decode(), tmp_path, size) == []


def test_axe_would_find_a_picture_without_words(tmp_path):
    found = violations("<html><body><img src='data:,'></body></html>", tmp_path, "800,600")
    assert {"image-alt", "html-has-lang"} <= {rule for _, rule, _ in found}
