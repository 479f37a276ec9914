"""Which clips are measured again, with a scorer that only counts."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from refract.evaluation.edits.score_store import ScoreStore
from refract.evaluation.edits.scores import CaseScorer, EditCase
from refract.evaluation.measures.product import Measured, ProductPhoto

SHAPE = (3, 8, 8, 3)


class Counting:
    """Stands in for `CaseScorer`: a mean of the pixels, and who was asked for."""

    def __init__(self, case: EditCase) -> None:
        self.case = case
        self.asked: list[str] = []

    def measured(self, variant: str) -> Measured:
        self.asked.append(variant)
        value = float(self.case.clips[variant].mean())
        return Measured({"a": value, "b": math.nan}, {"a": [value, math.nan]})


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path))


def make_case() -> EditCase:
    clips = {name: np.full(SHAPE, level, np.uint8) for level, name in enumerate(("source", "edit"))}
    mask = np.zeros(SHAPE[:3], bool)
    mask[:, 2:5] = True
    photo = ProductPhoto(np.full(SHAPE[1:], 9, np.uint8), mask[0])
    return EditCase("mug", clips, photo, mask, ~mask, "a mug")


def measure(case: EditCase, variant: str = "edit", **judged_by: object) -> tuple[Measured, int]:
    """By a store of its own, as the next run has; and how often it had to be computed."""
    scorer = Counting(case)
    found = ScoreStore(judged_by).measure(cast(CaseScorer, scorer), variant)
    return found, len(scorer.asked)


def test_a_clip_is_measured_once_and_comes_back_as_it_was_nan_and_all() -> None:
    first, computed = measure(make_case())
    again, computed_again = measure(make_case())
    assert (computed, computed_again) == (1, 0)
    assert again.scores["a"] == first.scores["a"] == 1.0
    assert math.isnan(again.scores["b"]) and math.isnan(again.series["a"][1])


def test_the_same_pixels_under_another_name_or_in_another_case_are_not_measured_again() -> None:
    case = make_case()
    measure(case)
    same = replace(case, name="other", clips={**case.clips, "plain": case.clips["edit"].copy()})
    assert measure(same, "plain")[1] == 0


def changed(case: EditCase, what: str) -> EditCase:
    photo = case.photo
    assert photo is not None and case.region is not None and case.background is not None
    changes: dict[str, Any] = {
        "clip": {"clips": {**case.clips, "edit": case.clips["edit"] + 1}},
        "source": {"clips": {**case.clips, "source": case.clips["source"] + 1}},
        "region": {"region": ~case.region},
        "background": {"background": None},
        "photo": {"photo": replace(photo, pixels=photo.pixels + 1)},
        "foreground": {"photo": replace(photo, foreground=None)},
        "prompt": {"prompt": "a cup"},
    }
    return replace(case, **changes[what])


@pytest.mark.parametrize(
    "what", ["clip", "source", "region", "background", "photo", "foreground", "prompt"]
)
def test_whatever_a_measure_depends_on_makes_it_another_one(what: str) -> None:
    measure(make_case())
    assert measure(changed(make_case(), what))[1] == 1


def test_another_judge_measures_again() -> None:
    measure(make_case(), clip_model="one")
    assert measure(make_case(), clip_model="two")[1] == 1
    assert measure(make_case(), clip_model="one")[1] == 0
