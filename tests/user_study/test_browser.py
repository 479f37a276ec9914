"""The page in a real browser, opened from disk and without a network."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from refract.evaluation.votes.preference import failed_raters, preference_metrics
from refract.evaluation.votes.study_key import QUESTIONS, StudyKey
from refract.evaluation.votes.votes import Vote, read_votes
from tests.tiny.study import COLOURS, HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium; set CHROMIUM to its path")

RATER = "=Zoë <b>1+1</b>"
KEYS = {"left": "ArrowLeft", "right": "2", "none": "0"}
CLIPS = "[...document.querySelectorAll('video')]"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox"]
        yield started.chromium.launch(executable_path=CHROMIUM, args=arguments)


class Visit:
    """One page of the study and whatever went wrong on it."""

    def __init__(self, browser: "Browser", folder: Path, **settings: Any) -> None:
        self.context = browser.new_context(offline=True, **settings)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.dismiss())
        self.page.on("request", self._see)
        self.page.goto((folder / "study/index.html").as_uri())

    def _see(self, request: "Request") -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.troubles.append(request.url)

    def start(self, rater: str) -> None:
        self.page.fill("#rater", rater)
        self.page.keyboard.press("Enter")

    def shown(self) -> list[str]:
        """Tokens of the clips on the left and on the right."""
        sources = self.page.evaluate(f"{CLIPS}.map(clip => clip.getAttribute('src'))")
        return [Path(source).stem for source in sources]

    def wait_for(self, expression: str) -> None:
        """`wait_for_function` would need eval, which the page's policy forbids."""
        end = time.monotonic() + 30
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"waited in vain for {expression}"
            self.page.wait_for_timeout(20)

    def vote(self, key: StudyKey, choose: Callable[[str, str | None], str | None]) -> None:
        """Answer the pair on the screen by keyboard; choose(question, case) -> method."""
        clips = self.shown()
        methods = [key.method_of(token) for token in clips]
        for question in QUESTIONS:
            wanted = choose(question, key.clips[clips[0]].case)
            equal = methods[0] == methods[1] or wanted is None
            side = "none" if equal else ("left", "right")[methods.index(wanted or "")]
            self.page.keyboard.press(KEYS[side])

    def votes(self, key: StudyKey, folder: Path, button: str) -> list[Vote]:
        """What the page hands out for download, read back."""
        with self.page.expect_download() as download:
            self.page.click(f"{button} [data-download]")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == ".csv"
        return read_votes(path, key)


Opener = Callable[..., Visit]


@pytest.fixture
def key(built: tuple[Path, StudyKey]) -> StudyKey:
    return built[1]


@pytest.fixture
def open_study(browser: "Browser", built: tuple[Path, StudyKey]) -> Iterator[Opener]:
    """Opens the page in a browser of its own; nothing may have gone wrong by the end."""
    visits: list[Visit] = []

    def open_page(**settings: Any) -> Visit:
        visits.append(Visit(browser, built[0], **settings))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.context.close()
        assert visit.troubles == []


def choose(question: str, case: str | None) -> str | None:
    if question == "product":
        return "reference"
    return "plain" if case == "mug" else None


def test_votes_by_keyboard_come_back_as_rates(
    open_study: Opener, key: StudyKey, tmp_path: Path
) -> None:
    visit = open_study()
    visit.start(RATER)
    assert visit.page.inner_text("#pair-title") == "Pair 1 of 3"
    first = visit.shown()
    visit.vote(key, choose)
    assert len(visit.votes(key, tmp_path, "#vote")) == 2  # at any time
    second = visit.shown()
    visit.page.reload()
    assert visit.shown() == second  # resumed, with the sides as they were
    visit.page.keyboard.press("Backspace")
    assert visit.shown() == first
    assert visit.page.locator(".question [aria-pressed=true]").count() == 2
    visit.page.keyboard.press("n")
    for _ in range(2):
        visit.vote(key, choose)
    assert visit.page.is_visible("#end")
    votes = visit.votes(key, tmp_path, "#end")
    (file,) = tmp_path.iterdir()
    assert f'"\'{RATER}"' in file.read_text(encoding="utf-8-sig")  # no formula
    assert {vote.rater for vote in votes} == {RATER}
    assert RATER in visit.page.inner_text("#end-title")
    assert failed_raters(votes, key) == []
    tree = preference_metrics(votes, key)
    assert (tree["product"]["rate"], tree["product"]["count"]) == (1, 2)
    assert (tree["motion"]["rate"], tree["motion"]["ties"]) == (0.25, 1)


def test_going_back_changes_an_answer_by_mouse_and_by_keyboard(
    open_study: Opener, key: StudyKey, tmp_path: Path
) -> None:
    visit = open_study()
    visit.start("Ann")
    shown = visit.shown()
    visit.page.keyboard.press("1")
    visit.page.keyboard.press("1")
    visit.page.click("#back")
    visit.page.click("[data-question=motion] [data-choice=right]")
    assert visit.shown() == shown  # the mouse stays
    visit.page.click("[data-question=product] [data-choice=none]")
    motion, product = visit.votes(key, tmp_path, "#vote")
    assert (product.choice, motion.choice) == ("none", "right")
    assert [motion.left, motion.right] == shown
    visit.page.click("#next")
    visit.page.keyboard.press("Backspace")
    for key_name in ("2", "0"):
        visit.page.keyboard.press(key_name)
    assert visit.shown() != shown  # the keys go on
    motion, product = visit.votes(key, tmp_path, "#vote")
    assert (product.choice, motion.choice) == ("right", "none")


def test_order_and_sides_hang_on_the_rater(open_study: Opener) -> None:
    visit = open_study()
    starts = {}
    for rater in [*"abcdefghijklmnop", "  a "]:
        visit.start(rater)
        starts[rater] = tuple(visit.shown())
        visit.page.click("#vote [data-leave]")
    assert starts["  a "] == starts["a"]
    assert len(set(starts.values())) > 2  # of six: three pairs, two sides
    assert any(tuple(reversed(shown)) in starts.values() for shown in starts.values())


def test_clips_play_in_step_in_their_colours_and_stop_on_demand(
    open_study: Opener, key: StudyKey
) -> None:
    visit = open_study()
    visit.start("Ann")
    visit.wait_for(f"{CLIPS}.every(clip => clip.currentTime > 0.3)")
    visit.wait_for(f"{CLIPS}.every(clip => clip.currentTime < 0.3)")  # begun anew
    visit.wait_for(f"{CLIPS}.every(clip => clip.currentTime > 0.3 && !clip.ended)")
    visit.page.keyboard.press("p")
    assert visit.page.evaluate(f"{CLIPS}.every(clip => clip.paused)")
    left, right = visit.page.evaluate(f"{CLIPS}.map(clip => clip.currentTime)")
    assert abs(left - right) < 0.15
    for token, clip in zip(visit.shown(), visit.page.locator("video").all(), strict=True):
        with Image.open(BytesIO(clip.screenshot())) as image:
            shown = np.asarray(image.convert("RGB"))[image.height // 4, image.width // 2]
        assert np.abs(shown.astype(int) - COLOURS[key.method_of(token)]).max() < 12


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_stands_still_for_who_asked(open_study: Opener, scheme: str) -> None:
    visit = open_study(
        viewport={"width": 390, "height": 844},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    assert visit.page.inner_text("#start-title") == f"Mugs {HOSTILE}"
    visit.start("x" * 60)
    for section in ("start", "vote", "end"):
        visit.page.evaluate(
            "shown => ['start', 'vote', 'end'].forEach("
            "id => { document.getElementById(id).hidden = id !== shown; })",
            section,
        )
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390, section
    assert visit.page.evaluate(f"{CLIPS}.every(clip => clip.paused)")


def test_works_without_storage_and_says_so(
    open_study: Opener, key: StudyKey, tmp_path: Path
) -> None:
    visit = open_study()
    visit.context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });"
    )
    visit.page.reload()
    assert visit.page.is_visible("#start [data-volatile]")
    visit.start("Ann")
    for _ in range(3):
        visit.vote(key, choose)
    assert len(visit.votes(key, tmp_path, "#end")) == 6
