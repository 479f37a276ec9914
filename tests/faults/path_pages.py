"""The report and the user study's page under texts that would like to be markup."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from refract.report.building import ReportInputs, write_report
from refract.user_study.page import ShownPair, StudyPage, render_study
from tests.faults.row import Row
from tests.tiny import outputs as tiny_outputs

STATIC = tuple(
    Path(__file__).parents[2] / "src" / "refract" / name / "static"
    for name in ("report", "user_study")
)
PLAIN = "plain text"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"><svg onload=alert(3)>",
    "' autofocus onfocus=alert(4) x='",
    "</style></title></textarea><iframe src=javascript:alert(5)>",
    "<!--<script>",
    "-->]]><base href=//x.example>",
    "javascript:alert(6)",
    "{{ 7 * 7 }}{% include 'x' %}${7*7}",
    "&lt;img src=x onerror=alert(8)&gt;&#60;script&#62;",
    "\u2028\u2029\u202e<\u0000script>alert(9)\u0000",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(10)>",
    "\ud800<b>\udfff",
    "=HYPERLINK(\"http://x.example\")",
)  # fmt: skip
_LINKS = {"src", "href", "action", "formaction", "poster", "data", "srcset", "xlink:href"}
_MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")

Skeleton = Counter[tuple[str, tuple[str, ...]]]


class _Reader(HTMLParser):
    """Counts elements by tag and names of attributes, and keeps what could run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.skeleton: Skeleton = Counter()
        self.suspicious: list[str] = []
        self.data = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skeleton[tag, tuple(sorted(name for name, _ in attrs))] += 1
        for name, value in attrs:
            outward = name in _LINKS and not (value or "").startswith(("#", "media/", "data:,"))
            if name.startswith("on") or outward:
                self.suspicious.append(f"{tag} {name}={value}")
        self._in_data = tag == "script" and ("type", "application/json") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def run_pages(long: bool) -> list[Row]:
    """A loss is a text for which a page has other elements or attributes than for a plain one."""
    texts = HOSTILE if long else HOSTILE[:2]
    report = _reports([PLAIN, *texts])
    study = [_study(text) for text in (PLAIN, *HOSTILE)]
    scripts = [path for folder in STATIC for path in sorted(folder.glob("*.js"))]
    writing = [path.name for path in scripts if any(w in path.read_text() for w in _MARKUP)]
    told = "no element, attribute or address came of them"
    return [
        Row("hostile text in every field of the report", len(texts), told, _losses(report)),
        Row("hostile text in every field of the study's page", len(HOSTILE), told, _losses(study)),
        Row(
            "scripts of the pages that write markup or run text",
            len(scripts), ", ".join(writing) or "none", len(writing),
        ),
    ]  # fmt: skip


def read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def _losses(pages: list[str]) -> int:
    """How many pages differ from the first in more than texts; each must still hold its data."""
    plain, *others = [read(page) for page in pages]
    return sum(
        page.skeleton != plain.skeleton or bool(page.suspicious) or not json.loads(page.data)
        for page in others
    ) + bool(plain.suspicious)


def _reports(texts: list[str]) -> list[str]:
    pages = []
    with TemporaryDirectory() as place:
        for number, text in enumerate(texts):
            root = Path(place, str(number))
            pages.append(_report(root, text))
    return pages


def _report(root: Path, text: str) -> str:
    """The page of a run in which every name and text is `text`, as far as files allow.

    Tables and YAML hold no null byte and no half of a surrogate pair; JSON holds both.
    """
    written = text.replace("\0", "").encode(errors="replace").decode()
    name = written.replace("/", "∕") or "x"
    names: dict[str, Any] = {
        "HOSTILE": name,
        "HOSTILE_TEXT": written,
        "CASES": (name, "plain-case"),
    }
    with patch.multiple(tiny_outputs, **names):
        places = tiny_outputs.write_outputs(root / "outputs")
    _more(places, name, written, text)
    write_report(root / "report", ReportInputs(**places))
    return (root / "report" / "index.html").read_text(encoding="utf-8")


def _more(places: dict[str, Path], name: str, written: str, text: str) -> None:
    """What the tiny outputs lack: file names, keys, values of settings, a user's own pictures."""
    own = places["infrared"] / "input"
    own.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(own / f"{name}.png")
    (places["plots"] / f"z {name}.csv").write_text(f'"{name.replace(chr(34), chr(34) * 2)}"\n1\n')
    tree = {"note": text, text: 1.0, "about": {text: text, "list": [text]}}
    (places["metrics"] / f"z {name}.json").write_text(json.dumps(tree))
    settings = {"seed": 3, "evaluate": {"bootstrap": 100}, "key": written, written: written}
    places["params"].write_text(json.dumps(settings))
    cases = json.loads(places["cases"].read_text())["cases"]
    for facts in cases.values():
        facts |= {"source_prompt": written, "overrides": {written: written}}
    places["cases"].write_text(json.dumps({"cases": cases}))
    info = {"model": text, text: text, "semantic_source": text}
    (places["triptychs"] / "info.json").write_text(json.dumps(info))


def _study(text: str) -> str:
    pairs = [ShownPair(text, (text, text), text, text)]
    return render_study(StudyPage(text, text, pairs, small=True))
