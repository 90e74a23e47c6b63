"""A page as a test reads it: its tags, its words by section, and what a screen reader would stumble over."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """Tags with attributes in order, headings, words by the id of their section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.words: dict[str, list[str]] = {"": []}
        self.open: list[str] = []
        self._sections: list[str] = [""]
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "section":
            self._sections.append(found.get("id") or "")
            self.words[self._sections[-1]] = []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self._sections.pop()
        if tag in {"p", "li", "h1", "h2", "h3", "th", "td", "label", "legend", "caption", "figcaption"}:
            self.words[self._sections[-1]].append("\n")

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open or "svg" in self.open:
            return
        self.words[self._sections[-1]].append(data)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            level, said = self.headings[-1]
            self.headings[-1] = (level, said + data)

    def text(self, *without: str) -> str:
        """Every word outside the sections named `without`."""
        parts = [part for name, found in self.words.items() if name not in without for part in found]
        return re.sub(r"[ \t]+", " ", "".join(parts))


def barriers(page: Page) -> list[str]:
    """What keeps a person with a screen reader or a keyboard out; empty where nothing does."""
    found = []
    html = next(a for t, a in page.tags if t == "html")
    if not html.get("lang"):
        found.append("no language")
    levels = [level for level, _ in page.headings]
    if levels.count(1) != 1:
        found.append(f"{levels.count(1)} first headings")
    found += [f"heading {b} after {a}" for a, b in itertools.pairwise(levels) if b > a + 1]
    found += ["empty heading" for _, said in page.headings if not said.strip()]
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    found += [f"id {name} twice" for name in {one for one in ids if ids.count(one) > 1}]
    labelled = {at.get("for") for tag, at in page.tags if tag == "label"}
    for tag, at in page.tags:
        found += _lacking(tag, at, labelled) + _loose(at, ids)
    if "main" not in {tag for tag, _ in page.tags}:
        found.append("no main part")
    return found


def _lacking(tag, at, labelled) -> list[str]:
    checks = {
        "a drawing without words": tag == "svg"
        and at.get("aria-hidden") != "true"
        and not (at.get("role") == "img" and at.get("aria-label")),
        "a picture without words": tag == "img" and at.get("alt") is None,
        "a field without a label": tag == "input" and at.get("id") not in labelled,
        "a head without a scope": tag == "th" and not at.get("scope"),
        "a forced order of the keyboard": int(at.get("tabindex") or 0) > 0,
    }
    return [said for said, is_so in checks.items() if is_so]


def _loose(at, ids) -> list[str]:
    names = [at[name] for name in ("aria-labelledby", "for") if at.get(name)]
    href = at.get("href") or ""
    return [
        f"{name} leads nowhere" for name in [*names, *([href[1:]] if href.startswith("#") else [])] if name not in ids
    ]


def syllables(word: str) -> int:
    """Groups of vowels, a silent e at the end left out; at least one."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    groups = len(re.findall(r"[aeiouy]+", plain))
    if plain.endswith("e") and not plain.endswith(("le", "ee", "ie", "ye")) and groups > 1:
        groups -= 1
    if plain.endswith("ed") and not plain.endswith(("ted", "ded")) and groups > 1:
        groups -= 1
    return max(groups, 1)


def sentences_of(text: str) -> list[list[str]]:
    """Sentences as lists of words; a line is one at least, lines of fewer than four words are none."""
    found = []
    for line in text.splitlines():
        for part in re.split(r"(?<=[.?!:])\s+", line.strip()):
            words = re.findall(r"[A-Za-z][A-Za-z'’-]*|\d[\d.]*", part)
            if len(words) >= 4:
                found.append(words)
    return found


def grade(text: str) -> float:
    """Flesch-Kincaid grade: 0.39 words a sentence + 11.8 syllables a word - 15.59 (school years of the US)."""
    said = sentences_of(text)
    words = [word for one in said for word in one]
    return 0.39 * len(words) / len(said) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2 has it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
