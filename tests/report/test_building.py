"""The report as files: what is in it, that nothing in it is markup by accident, equal bytes."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refract.base.errors import InputError
from refract.media.video_io import read_clip
from refract.report import media
from refract.report.building import ReportInputs, write_report
from tests.tiny.outputs import (
    CASES,
    FPS,
    FRAMES,
    HOSTILE,
    HOSTILE_TEXT,
    LEVEL,
    SCENES,
    write_outputs,
)

SVG_NAMESPACE = b"http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """Elements with their attributes, and the text of those asked for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data, self._in_data = "", False
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_data = dict(attrs).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_outputs(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def report(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "report"
    write_report(output, ReportInputs(**inputs))
    return output


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page((report / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(page: Page) -> Any:
    return json.loads(page.data)


def contents(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_equal_inputs_make_equal_bytes(
    report: Path, inputs: dict[str, Path], tmp_path: Path
) -> None:
    write_report(tmp_path / "again", ReportInputs(**inputs))
    assert contents(tmp_path / "again") == contents(report)


def test_no_part_of_the_page_names_an_address(report: Path) -> None:
    for name, content in contents(report).items():
        if not name.endswith((".png", ".webm")):
            found = re.findall(rb"(?:https?:)?//[\w.-]+\.\w[^\s\"'<]*", content)
            assert set(found) <= {SVG_NAMESPACE}, name


def test_media_names_are_digests_and_all_are_used(report: Path) -> None:
    html = (report / "index.html").read_text(encoding="utf-8")
    for name in contents(report):
        if name != "index.html":
            assert re.fullmatch(r"media/[0-9a-f]{20}\.(png|webm)", name)
            assert name in html


def test_equal_clips_are_stored_once(data: Any) -> None:
    first, second = data["cases"]
    assert first["clips"] == second["clips"]
    assert first["curve"][-1]["clip"] == first["clips"]["reference"]
    assert len({*first["clips"].values(), first["baselines"][0]["clip"]}) == 4


def test_hostile_names_are_text(page: Page, data: Any) -> None:
    assert HOSTILE in page.text
    assert all(attributes.get("src") != "x" for attributes in page.attributes("img"))
    assert len(page.attributes("script")) == 2
    handlers = {name for _, attributes in page.elements for name in attributes if name[:2] == "on"}
    assert not handlers
    assert [case["name"] for case in data["cases"]] == list(CASES)
    assert data["cases"][0]["target_prompt"] == HOSTILE_TEXT
    assert "<" not in page.data and "\u2028" not in page.data


def test_policy_names_the_inlined_style_and_script(page: Page) -> None:
    policy = next(a for a in page.attributes("meta") if "http-equiv" in a)["content"]
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not page.attributes("link")
    assert not [name for _, attributes in page.elements for name in attributes if name == "style"]


def test_scenes_and_cases_are_complete(data: Any) -> None:
    assert [(s["id"], s["daytime"]) for s in data["scenes"]] == list(SCENES)
    first = data["scenes"][0]
    assert set(first["images"]) == {
        "visible", "semantic", "truth", "adapter", "zero_map", "error"
    }  # fmt: skip
    assert [entry["head"] for entry in first["attention"]] == [0, 1]
    assert data["scenes"][1]["attention"] == []
    case = data["cases"][0]
    assert (case["count"], case["fps"], case["step"]) == (FRAMES, FPS, 1)
    assert [point["strength"] for point in case["curve"]] == [0.5, 1.0]
    assert [entry["variant"] for entry in case["baselines"]] == ["sdedit"]
    assert len(case["frameScores"]["background.psnr"]["plain"]) == FRAMES - 1
    assert case["photo"]


def test_the_deliverable_is_shown_smaller_and_described_as_it_is(data: Any, report: Path) -> None:
    hostile, plain = (case["final"] for case in data["cases"])
    assert hostile is None
    assert plain["about"] == "final.mp4: 1000 × 640 pixels, 0.38 s, without sound"
    shown = read_clip(report / plain["clip"])
    assert shown.frames.shape == (3, 480, 750, 3)
    levels = shown.frames.mean((1, 2, 3))
    assert np.abs(levels - [54, 63, 72]).max() < 3


def test_of_a_long_clip_as_many_frames_are_shown_and_their_scores(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any
) -> None:
    monkeypatch.setattr(media, "MOST_FRAMES", 10)
    write_report(tmp_path / "report", ReportInputs(**inputs))
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    case, whole = json.loads(page.data)["cases"][0], data["cases"][0]
    assert (case["count"], case["step"], case["fps"]) == (FRAMES // 3, 3, pytest.approx(FPS / 3))
    clip = read_clip(tmp_path / "report" / case["clips"]["source"])
    assert clip.fps == pytest.approx(FPS / 3, rel=1e-3)
    levels = clip.frames.mean((1, 2, 3))
    assert np.abs(levels - LEVEL * np.arange(0, FRAMES, 3)).max() < 2
    for variant, values in whole["frameScores"]["background.psnr"].items():
        assert case["frameScores"]["background.psnr"][variant] == values[::3]


ABSENT = ("plots", "metrics", "triptychs", "infrared", "edits", "banks", "params", "cases")


@pytest.mark.parametrize(
    "names",
    [("plots", "banks", "params"), ("triptychs", "metrics", "cases"), ("infrared", "edits")],
)
def test_parts_that_are_absent_are_left_out(
    names: tuple[str, ...], inputs: dict[str, Path], tmp_path: Path
) -> None:
    write_report(
        tmp_path / "report", ReportInputs(**inputs | dict.fromkeys(names, tmp_path / "no-such"))
    )
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    found = json.loads(page.data)
    assert bool(found["scenes"]) == ({"triptychs", "infrared"}.isdisjoint(names))
    assert bool(found["cases"]) == ("edits" not in names)


def test_with_nothing_at_all_the_page_says_so(tmp_path: Path) -> None:
    write_report(
        tmp_path / "report", ReportInputs(**{name: tmp_path / "no-such" for name in ABSENT})
    )
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    assert page.text.count("in this run.") == 6
    assert list(contents(tmp_path / "report")) == ["index.html"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("plots/infrared_items.csv", "item,variant\n", "infrared_items.csv: column metric"),
        ("plots/edit_cases.csv", "case,variant,metric,value\na,b,c,x\n", "value 'x'"),
        ("plots/edit_frames.csv", "case,variant,metric,frame,value\na,b,c,-1,2\n", "frame '-1'"),
        ("metrics/details/infrared.json", "[]", "must hold an object"),
        ("edits/info.json", "{", "not valid JSON"),
        ("params.yaml", "seed: x\n", "seed: must be a whole number"),
        ("cases.yaml", "cases: {a: 3}", "cases: must be a mapping"),
        ("edits/plain-case/plain.mkv", "no clip", "plain.mkv: cannot be decoded"),
    ],
)
def test_a_broken_input_is_named_and_the_old_report_stays(
    file: str, content: str, message: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "outputs"
    shutil.copytree(inputs["plots"].parent, root)
    (root / file).write_text(content)
    changed = {name: root / path.name for name, path in inputs.items()}
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("old")
    with pytest.raises(InputError, match=re.escape(message)):
        write_report(tmp_path / "report", ReportInputs(**changed))
    assert contents(tmp_path / "report") == {"index.html": b"old"}
