"""A study of three cases with clips of a few pixels, and votes on it."""

import csv
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from refract.evaluation.votes.study_key import QUESTIONS, KeyClip, KeyPair, StudyKey
from refract.evaluation.votes.votes import COLUMNS, Vote
from refract.media.video_io import Clip, Frames, write_clip
from refract.params.cases import Case
from refract.user_study.building import StudyRequest

HOSTILE = "<img src=x onerror=alert(1)>"
COLOURS = {"reference": (200, 40, 30), "plain": (30, 60, 190), "source": (20, 150, 40)}
START = datetime(2025, 1, 31, 12, tzinfo=UTC)


def moving_square(colour: tuple[int, int, int], offset: int) -> Frames:
    """Eight frames of 32 x 48 in one colour, a white square moving to the right."""
    frames = np.empty((8, 32, 48, 3), np.uint8)
    frames[:] = colour
    for t in range(8):
        frames[t, 20:28, offset + 4 * t : offset + 4 * t + 6] = 255
    return frames


def write_edits(folder: Path, names: Iterable[str]) -> dict[str, Case]:
    """Write `edits/<name>/<method>.mkv` and a photo for each case."""
    cases = {}
    for offset, name in enumerate(names):
        photo = folder / f"photo{offset}.png"
        Image.new("RGB", (16, 16), COLOURS["reference"]).save(photo)
        for method, colour in COLOURS.items():
            clip = Clip(moving_square(colour, offset), 8.0)
            write_clip(folder / "edits" / name / f"{method}.mkv", clip, "lossless")
        cases[name] = Case(
            video="unused.mp4",
            source_prompt="something",
            target_prompt=f"a mug called {name}",
            target_image=str(photo),
            overrides={},
        )
    return cases


def request(folder: Path, names: Iterable[str] = ("mug",), **changes: object) -> StudyRequest:
    cases = write_edits(folder, names)
    settings = {"methods": ("reference", "plain"), **changes}
    return StudyRequest(folder / "edits", cases, **settings)  # type: ignore[arg-type]


def make_key(
    cases: int = 4, methods: tuple[str, ...] = ("new", "old"), checks: int = 1
) -> StudyKey:
    """A key of the first two methods (and the others against the first), without any clips."""
    clips: dict[str, KeyClip] = {}
    pairs: dict[str, KeyPair] = {}
    for case in range(cases):
        for method in methods:
            clips[f"{method}{case}"] = KeyClip(case=f"case{case}", method=method)
        for other in methods[1:]:
            shown = (f"{methods[0]}{case}", f"{other}{case}")
            pairs[f"pair{case}{other}"] = KeyPair(clips=shown, check=False)
    for number in range(checks):
        twins = (f"twin{number}a", f"twin{number}b")
        clips |= {token: KeyClip(case="case0", method=methods[0]) for token in twins}
        pairs[f"check{number}"] = KeyPair(clips=twins, check=True)
    return StudyKey(study="s1", seed=0, methods=methods, clips=clips, pairs=pairs)


def vote(key: StudyKey, rater: str, pair: str, question: str, chosen: str | None) -> Vote:
    """A vote for a method, a token or neither; the pair's first clip is shown on the left."""
    left, right = key.pairs[pair].clips
    sides = {left: "left", right: "right", key.method_of(right): "right", None: "none"}
    sides[key.method_of(left)] = "left"
    time = START + timedelta(seconds=1)
    return Vote(rater, pair, question, sides[chosen], left, right, 1.5, time, "here")


def all_votes(
    key: StudyKey, raters: Iterable[str], choose: Callable[[str, str, str], str | None]
) -> list[Vote]:
    """Every rater's answer to every question; choose(rater, pair, question) -> method or None."""
    return [
        vote(key, rater, pair, question, choose(rater, pair, question))
        for rater in raters
        for pair in key.pairs
        for question in QUESTIONS
    ]


def write_votes(path: Path, study: str, votes: Iterable[Vote]) -> None:
    """Votes as the page exports them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in votes:
            time = one.time.isoformat().replace("+00:00", "Z")
            shown = (one.choice, one.left, one.right, one.seconds, time)
            writer.writerow((study, one.rater, one.pair, one.question, *shown))
