from functools import partial

import pytest

from refract.evaluation.edits.evaluation import (
    EditEvaluation,
    curve_rows,
    edit_metrics,
    strength_key,
)
from refract.evaluation.measures.bootstrap import Resampling, mean_interval

INTERVAL = partial(mean_interval, how=Resampling(100, 0))
OVERLAP, BACKGROUND = "product.histogram_overlap", "background.psnr"


def _result() -> EditEvaluation:
    cases = {
        name: {
            "source": {OVERLAP: 0.1, BACKGROUND: 100.0},
            "plain": {OVERLAP: 0.2 + shift, BACKGROUND: 33.0},
            "s050": {OVERLAP: 0.3 + shift, BACKGROUND: 32.5},
            "reference": {OVERLAP: 0.4 + shift, BACKGROUND: 32.0},
        }
        for name, shift in (("a", 0.0), ("b", 0.1), ("c", 0.2))
    }
    # one case without masks
    cases["bare"] = {
        v: {"product.clip_micro_i": 0.5} for v in ("source", "plain", "s050", "reference")
    }
    return EditEvaluation(cases, [0.5])


def test_strength_keys_hold_no_dot() -> None:
    assert [strength_key(s) for s in (0, 0.3, 0.5, 1.0, 1.5)] == [
        "s000", "s030", "s050", "s100", "s150",
    ]  # fmt: skip


def test_tree_holds_edit_plain_source_gain_and_curve() -> None:
    tree = edit_metrics(_result(), INTERVAL)
    assert tree["count"] == 4
    assert tree["product"]["histogram_overlap"] == pytest.approx(0.5)
    assert tree["plain"]["product"]["histogram_overlap"] == pytest.approx(0.3)
    assert tree["source"]["product"]["histogram_overlap"] == pytest.approx(0.1)
    assert "background" not in tree["source"]
    gain = tree["gain"]["product"]
    assert gain["histogram_overlap"] == pytest.approx(0.2)
    assert gain["histogram_overlap_low"] == pytest.approx(0.2)  # paired: the shift cancels
    assert tree["gain"]["background"]["psnr"] == pytest.approx(-1.0)
    curve = tree["curve"]
    assert list(curve) == ["s000", "s050"]
    assert curve["s000"]["product"]["histogram_overlap"] == pytest.approx(0.3)
    assert curve["s050"]["background"]["psnr"] == pytest.approx(32.5)


def test_cases_without_masks_are_left_out_of_means_and_counted() -> None:
    tree = edit_metrics(_result(), INTERVAL)
    assert tree["background"]["count"] == 3
    assert tree["product"]["count"] == 3
    assert tree["product"]["clip_micro_i"] == 0.5  # needs no mask


def test_no_masks_at_all_leaves_the_keys_out() -> None:
    scores = {"temporal.relative_consistency": 1.0}
    result = EditEvaluation({"a": {v: scores for v in ("source", "plain", "reference")}}, [])
    tree = edit_metrics(result, INTERVAL)
    assert tree["product"] == {"count": 0}
    assert tree["temporal"]["relative_consistency"] == 1.0


def test_a_case_without_a_reference_is_no_part_of_the_curve() -> None:
    full = _result()
    extra = {"source": {OVERLAP: 0.9}, "plain": {OVERLAP: 0.9}, "reference": {OVERLAP: 0.9}}
    result = EditEvaluation({**full.cases, "no-photo": extra}, full.strengths)
    assert edit_metrics(result, INTERVAL)["curve"] == edit_metrics(full, INTERVAL)["curve"]
    assert list(curve_rows(result, INTERVAL)) == list(curve_rows(full, INTERVAL))
    assert result.partial_counts() == {"curve": 4} and not full.partial_counts()


def test_curve_rows_rise_and_start_at_plain() -> None:
    rows = [row for row in curve_rows(_result(), INTERVAL) if row[0] == OVERLAP]
    assert [row[1] for row in rows] == [0.0, 0.5]
    assert rows[0][2] == pytest.approx(0.3)
    assert rows[0][5] == 3
