"""The page in a real browser, from the disk: quiet, offline, in step, by keyboard, on a phone."""

import io
import os
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refract.report.building import ReportInputs, write_report
from tests.tiny.outputs import CASES, FPS, FRAMES, HOSTILE, LEVEL, write_outputs

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium: name its executable in $CHROMIUM"
)

VIDEOS = "const videos = [...document.querySelectorAll('.screen video')];"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("browser")
    write_report(root / "report", ReportInputs(**write_outputs(root / "outputs")))
    return (root / "report" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """One open page and everything it complained of or asked for."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(offline=True, **settings)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self._failed(request))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", self._dismiss)
        self.page.goto(address)
        self.until("videos.length === 3 && videos.every((video) => video.readyState >= 3)")

    def until(self, condition: str) -> None:
        """Wait for a condition over `videos`, the clips on the page.

        Asked again and again from outside: the page's policy lets no string become code in it.
        """
        for _ in range(400):
            if self.page.evaluate(f"(() => {{ {VIDEOS} return {condition}; }})()"):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"still not so after 10 s: {condition}")

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a clip that is no longer wanted
            self.complaints.append(f"{request.url}: {request.failure}")

    def frames(self) -> list[float]:
        """The time of each clip, in frames; all read at one moment."""
        times = f"(() => {{ {VIDEOS} return videos.map((video) => video.currentTime); }})()"
        return [time * FPS for time in self.page.evaluate(times)]

    def levels(self) -> list[float]:
        """The gray level that each clip shows."""
        found = []
        for video in self.page.query_selector_all(".screen video"):
            shot = Image.open(io.BytesIO(video.screenshot())).convert("L")
            found.append(float(np.median(np.asarray(shot)[20:-20, 20:-20])))
        return found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    made = Visit(browser, address, viewport=WIDE)
    yield made
    made.context.close()
    assert made.complaints == []
    assert made.dialogs == []
    assert made.requests and all(url.startswith(("file:", "data:")) for url in made.requests)


def test_the_policy_stops_what_escaping_would_miss(browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=WIDE)
    visit.page.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hit = 1'>");
          const script = document.createElement("script");
          script.textContent = "window.hit = 2";
          document.body.append(script);
        }"""
    )
    visit.page.wait_for_timeout(200)
    assert visit.page.evaluate("window.hit") is None
    visit.context.close()
    assert sum("Content Security Policy" in text for text in visit.complaints) == 2


def test_hostile_names_show_as_text(visit: Visit) -> None:
    assert visit.page.inner_text("#video h3") == HOSTILE
    assert visit.page.locator("#cases tbody a").first.inner_text() == HOSTILE
    assert visit.page.locator('img[src="x"]').count() == 0


def test_clips_play_in_step(visit: Visit) -> None:
    visit.page.click("#video [data-part=play]")
    visit.until("videos[0].currentTime > 1")
    for _ in range(10):
        frames = visit.frames()
        assert max(frames) - min(frames) < 1
        visit.page.wait_for_timeout(40)
    visit.page.click("#video [data-part=play]")
    frames = visit.frames()
    assert frames[0] > 0 and np.ptp(np.floor(frames)) == 0


def test_a_clip_that_fell_behind_catches_up(visit: Visit) -> None:
    visit.page.click("#video [data-part=play]")
    visit.until("videos[0].currentTime > 0.5")
    visit.page.evaluate("document.querySelectorAll('.screen video')[2].currentTime = 0.05")
    visit.until(f"Math.abs(videos[2].currentTime - videos[0].currentTime) * {FPS} < 1")


def test_a_step_shows_exactly_the_next_frame_everywhere(visit: Visit) -> None:
    for frame in (1, 2, 3):
        visit.page.click("#video [data-part=forward]")
        visit.until("videos.every((video) => !video.seeking)")
        assert visit.page.input_value("#video [data-part=time]") == str(frame)
        expected = pytest.approx([LEVEL * frame + place for place in range(3)], abs=3)
        for _ in range(50):  # a decoded frame is shown at a later refresh, on a busy machine late
            if visit.levels() == expected:
                break
            visit.page.wait_for_timeout(60)
        assert visit.levels() == expected


def test_keys_play_step_and_seek(visit: Visit) -> None:
    visit.page.focus("#video [data-part=player]")
    visit.page.keyboard.press(".")
    assert "frame 2 of" in visit.page.inner_text("#video [data-part=clock]")
    visit.page.keyboard.press(",")
    visit.page.focus("#video [data-part=time]")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    assert f"frame 3 of {FRAMES}" in visit.page.inner_text("#video [data-part=clock]")
    visit.page.keyboard.press(" ")
    assert visit.page.inner_text("#video [data-part=play]") == "Pause"
    visit.page.keyboard.press(" ")
    assert visit.page.inner_text("#video [data-part=play]") == "Play"


def test_strength_by_keyboard_swaps_the_clip_and_keeps_the_time(visit: Visit) -> None:
    visit.page.focus("#video [data-part=time]")
    for _ in range(4):
        visit.page.keyboard.press("ArrowRight")
    assert visit.page.inner_text("[data-part=strength-text]") == "1 · the result"
    visit.page.focus("[data-part=strength]")
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.inner_text("[data-part=strength-text]") == "0.5"
    data = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    wanted = data["cases"][0]["curve"][0]["clip"]
    visit.page.wait_for_selector(f'.screen video[src="{wanted}"]', state="attached")
    assert visit.frames()[2] == pytest.approx(4.5, abs=0.1)
    assert "Strength 0.5" in visit.page.inner_text("[data-part=legend]")


def test_a_baseline_takes_the_second_screen(visit: Visit) -> None:
    visit.page.select_option(".screen-head select", "sdedit")
    data = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    wanted = data["cases"][0]["baselines"][0]["clip"]
    visit.page.wait_for_selector(f'.screen video[src="{wanted}"]', state="attached")
    assert "SDEdit" in visit.page.inner_text("#video [data-part=scores]")


def test_before_and_after_edge_moves_by_keyboard(visit: Visit) -> None:
    visit.page.focus(".compare input")
    for _ in range(5):
        visit.page.keyboard.press("ArrowRight")
    cut = "getComputedStyle(document.querySelector('.compare')).getPropertyValue('--cut')"
    assert visit.page.evaluate(cut) == "55%"


def test_scenes_filter_sort_and_move_by_keyboard(visit: Visit) -> None:
    thumbs = visit.page.locator("#infrared [data-part=thumbs] button")
    thumbs.first.focus()
    visit.page.keyboard.press("ArrowRight")
    assert "00002N" in visit.page.inner_text("#infrared h3[data-part=title]")
    visit.page.locator("#infrared input[value=day]").press("Space")  # as by keyboard
    assert thumbs.count() == 1
    assert "00001D" in visit.page.inner_text("#infrared h3[data-part=title]")
    visit.page.locator('#infrared input[value=""]').press("Space")
    visit.page.select_option("[data-part=sort]", "psnr best")
    shown = [float(text.split()[0]) for text in thumbs.all_inner_texts()]
    assert shown == sorted(shown, reverse=True) and len(shown) == 2


def test_the_table_sorts_and_a_case_opens(visit: Visit) -> None:
    heading = visit.page.locator("#cases thead th").nth(1)
    for direction in ("ascending", "descending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == direction
        cells = visit.page.locator("#cases tbody td:nth-child(2)")
        shown = [float(text.split()[0]) for text in cells.all_inner_texts()]
        assert shown == sorted(shown, reverse=direction == "descending")
    visit.page.click(f'#cases a:text("{CASES[1]}")')
    assert visit.page.inner_text("#video h3") == CASES[1]


def test_the_theme_button_overrides_the_system(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(paper)
    visit.page.click("#theme")
    assert visit.page.evaluate(paper) == light
    visit.page.click("#theme")
    assert visit.page.evaluate(paper) != light


def test_nothing_is_wider_than_a_phone(browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport=PHONE, color_scheme="dark", reduced_motion="reduce")
    visit.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    widths = visit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    visit.context.close()
    assert widths[0] <= widths[1]
    assert visit.complaints == []


def test_every_control_has_a_name(visit: Visit) -> None:
    nameless = visit.page.evaluate(
        """[...document.querySelectorAll("button, select, input")].filter((node) =>
        !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
        .map((node) => node.outerHTML)"""
    )
    assert nameless == []
