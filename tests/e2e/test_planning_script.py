"""The page of a plan in a real browser, opened from a file: marks tell, axes change, weights rank, flights play."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from report_case import case, plan  # noqa: E402

from keyhole.casefile import CaseRecord, LabelsRecord  # noqa: E402
from keyhole.report.content import Records  # noqa: E402
from keyhole.report.planning import plan_page  # noqa: E402

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
ACT = """
const said = {}, all = s => Array.from(document.querySelectorAll(s)), one = s => document.querySelector(s);
const places = () => all("#front-chart .mark").map(m => m.getAttribute("transform")).join();
all("#front-chart .mark")[1].focus();
said.told = one("#told").textContent;
const before = places();
one("#across").value = "depth";
one("#across").dispatchEvent(new Event("change"));
said.moved = before !== places();
said.axis = one("#front-grid").textContent;
const rank = () => all("#order td:last-child").map(c => Number(c.textContent));
const weigh = (i, w) => { i.value = w; i.dispatchEvent(new Event("input")); };
all(".weights input").forEach(i => weigh(i, i.dataset.aim === "incision" ? 4 : 0));
said.order = rank();
one("[data-film] input").value = 2;
one("[data-film] input").dispatchEvent(new Event("input"));
const frame = all("[data-film]")[0].querySelectorAll(".strip li")[2];  // its words, without the letters in its picture
said.film = one(".said").textContent === frame.textContent.replace(frame.querySelector("svg").textContent, "");
one("[data-film] button").click();
said.playing = one("[data-film] button").textContent;
const out = document.createElement("pre");
out.id = "said";
out.textContent = JSON.stringify(said);
document.body.appendChild(out);
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="no chromium is installed")]


def test_the_pages_script_does_what_it_says(tmp_path):
    made, torso = case(tmp_path / "case")
    drawn = plan({})
    records = Records(made.read(CaseRecord), made.read(LabelsRecord), None, None)
    page = plan_page(records, drawn, torso).decode()
    file = tmp_path / "plan.html"
    file.write_text(page.replace("</body>", f"<script>{ACT}</script></body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=3000", "--dump-dom", file.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    said = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', seen, re.DOTALL)[1]))
    second = drawn.candidates[1]
    assert said["told"].startswith(f"Rank {second.rank}: ")
    assert said["moved"]
    assert "Skin to dock, mm" in said["axis"]
    wanted = sorted(drawn.candidates, key=lambda c: (c.incision.value, c.rank))
    assert said["order"] == [c.rank for c in wanted]
    assert said["film"]
    assert said["playing"] == "Stop"
