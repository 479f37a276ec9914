import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refract.base.errors import InputError
from refract.evaluation.votes.study_key import StudyKey, load_key
from refract.media.video_io import Clip, read_clip, write_clip
from refract.user_study.building import build_study, clip_path
from refract.user_study.page import ShownPair, StudyPage, render_study
from tests.tiny.study import COLOURS, HOSTILE, moving_square, request


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def page_data(page: str) -> dict[str, object]:
    found = re.search(r'<script id="study" type="application/json">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def test_nothing_the_raters_get_names_a_method_or_a_case(built: tuple[Path, StudyKey]) -> None:
    folder, key = built
    for name, content in contents(folder / "study").items():
        for method in (*COLOURS, "mkv", "edits", "case0", "check\x00"):
            assert method not in name
            assert method.encode() not in content.lower(), (name, method)
    assert {clip.method for clip in key.clips.values()} == {"reference", "plain"}


def test_nothing_the_raters_get_orders_the_methods(built: tuple[Path, StudyKey]) -> None:
    folder, key = built
    files = [path for path in (folder / "study").rglob("*") if path.is_file()]
    assert len({path.stat().st_mtime for path in files}) == 1
    pairs = page_data((folder / "study/index.html").read_text())["pairs"]
    assert isinstance(pairs, list)
    assert [pair["id"] for pair in pairs] == sorted(key.pairs)
    for pair in pairs:
        assert set(pair) == {"id", "clips", "photo", "prompt"}  # a check looks like the others
        assert pair["clips"] == sorted(key.pairs[pair["id"]].clips)


def test_key_lies_outside_and_joins_every_clip(built: tuple[Path, StudyKey]) -> None:
    folder, key = built
    assert load_key(folder / "study-key.json") == key
    media = {path.stem for path in (folder / "study/media").glob("*.webm")}
    assert media == set(key.clips)
    assert [pair.check for pair in key.pairs.values()].count(True) == 1
    for token, clip in key.clips.items():
        shown = read_clip(folder / f"study/media/{token}.webm").frames
        colour = np.median(shown[0, :16].reshape(-1, 3), axis=0)
        assert np.abs(colour - COLOURS[clip.method]).max() < 12, clip


def test_hostile_names_show_as_text(built: tuple[Path, StudyKey]) -> None:
    page = (built[0] / "study/index.html").read_text()
    assert "<img src=x" not in page
    assert "<title>Mugs &lt;img src=x onerror=alert(1)&gt;</title>" in page
    assert HOSTILE in json.dumps(page_data(page))


def test_a_prompt_cannot_leave_the_data() -> None:
    prompt = "</script><script>alert(1)</script><!--'\"&\u2028"
    page = StudyPage("s", "t", [ShownPair("p", ("a", "b"), "c", prompt)], False)
    text = render_study(page)
    assert text.count("<script") == 2 and "<!--'" not in text
    pairs = page_data(text)["pairs"]
    assert isinstance(pairs, list) and pairs[0]["prompt"] == prompt


def test_page_asks_for_nothing_outside(built: tuple[Path, StudyKey]) -> None:
    page = (built[0] / "study/index.html").read_text()
    policy = r"'sha256-[^']*'"  # base64 may hold two slashes
    page, found = re.subn(policy, "", page)
    assert found == 1
    assert not re.search(r"https?:|//[a-z]|@import|\burl\(|fetch\(|XMLHttp|sendBeacon", page)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,"}


def test_same_request_gives_the_same_bytes_and_another_seed_other_names(tmp_path: Path) -> None:
    asked = request(tmp_path, checks=1)
    build_study(asked, tmp_path / "one")
    one, key = contents(tmp_path / "one"), (tmp_path / "one-key.json").read_bytes()
    build_study(asked, tmp_path / "one")  # takes the older one's place
    assert one == contents(tmp_path / "one")
    assert key == (tmp_path / "one-key.json").read_bytes()
    with pytest.raises(InputError, match="is the key of another study"):
        build_study(replace(asked, seed=1), tmp_path / "one")
    build_study(replace(asked, seed=1), tmp_path / "two")
    assert not set(one) & set(contents(tmp_path / "two")) - {"index.html"}


def test_names_cannot_be_computed_without_the_clips(tmp_path: Path) -> None:
    """Seed, case and method are public; the salt hangs on the lossless clips as well."""
    asked = request(tmp_path)
    one = build_study(asked, tmp_path / "one")
    write_clip(
        tmp_path / "edits/mug/plain.mkv", Clip(moving_square((30, 60, 191), 0), 8.0), "lossless"
    )
    two = build_study(asked, tmp_path / "two")
    assert not set(one.clips) & set(two.clips)


def test_equal_clips_do_not_meet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = request(tmp_path, ("mug", "box"))
    for name in ("mug", "box"):
        folder = tmp_path / "edits" / name
        (folder / "plain.mkv").write_bytes((folder / "reference.mkv").read_bytes())
        if name == "mug":
            with caplog.at_level(logging.WARNING):
                key = build_study(asked, tmp_path / "study")
            assert "case mug: reference and plain are equal; not compared" in caplog.text
            assert {clip.case for clip in key.clips.values()} == {"box"}
    with pytest.raises(InputError, match="no two clips differ"):
        build_study(asked, tmp_path / "other")


def test_bad_requests_are_refused_in_one_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    bare = {"mug": asked.cases["mug"].model_copy(update={"target_image": None})}
    tall = Clip(np.zeros((8, 40, 48, 3), np.uint8), 8.0)
    write_clip(tmp_path / "edits/mug/curve/0.3.mkv", tall, "lossless")
    refused = [
        (replace(asked, methods=("plain",)), "study", "two or more different methods"),
        (replace(asked, methods=("plain", "plain")), "study", "two or more different methods"),
        (replace(asked, methods=("plain", "../x")), "study", "method '../x': must be reference"),
        (replace(asked, methods=("plain", "s070")), "study", "0.7.mkv: no such file"),
        (replace(asked, methods=("plain", "s030")), "study", "s030 is (8, 40, 48)"),
        (replace(asked, checks=3), "study", "3 checks; must be 0 to 2"),
        (replace(asked, cases=bare), "study", "no case has a product photo"),
        (asked, "full", "holds 'thesis.tex'"),
        (asked, "full/thesis.tex", "is a file"),
    ]
    for wrong, output, message in refused:
        with pytest.raises(InputError) as error:
            build_study(wrong, tmp_path / output)
        assert message in str(error.value)
    with pytest.raises(InputError, match="which raters get"):
        build_study(asked, tmp_path / "study", tmp_path / "study/media/key.json")
    assert (tmp_path / "full/thesis.tex").read_text() == "years of work"
    assert not (tmp_path / "study").exists() and not (tmp_path / "study-key.json").exists()


def test_strengths_lead_to_the_clips_of_the_curve() -> None:
    assert clip_path(Path("e"), "mug", "s030") == Path("e/mug/curve/0.3.mkv")
    assert clip_path(Path("e"), "mug", "s100") == Path("e/mug/curve/1.mkv")
