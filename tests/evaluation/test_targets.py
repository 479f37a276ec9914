"""Warm targets: what is one, which two are the same, and what is made of their counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.morphology import diameter_opening

from refract.evaluation.infrared.scenes import Gray
from refract.evaluation.infrared.targets import (
    COUNTS,
    _diameter_opening,
    find_targets,
    target_counts,
    target_intervals,
)
from refract.evaluation.measures.bootstrap import Resampling

SIDE = 96
Disc = tuple[int, int, int]  # y, x, radius
LEFT, MIDDLE, RIGHT = (60, 16, 8), (60, 48, 8), (60, 80, 8)


def _picture(*discs: Disc, warm: int = 220) -> Gray:
    """Sky of 40 above ground of 100, deviation 28, with discs of level `warm`."""
    picture = np.full((SIDE, SIDE), 100, np.uint8)
    picture[: SIDE // 3] = 40
    y, x = np.mgrid[:SIDE, :SIDE]
    for disc in discs:
        picture[np.hypot(y - disc[0], x - disc[1]) <= disc[2]] = warm
    return picture


def _counts(truth: Gray, made: Gray) -> tuple[float, ...]:
    """Matched, missed, hallucinated."""
    found = target_counts(find_targets(truth), find_targets(made))
    return tuple(found[name] for name in COUNTS)


def test_each_warm_disc_is_found_where_it_is() -> None:
    found = find_targets(_picture(LEFT, MIDDLE, RIGHT))
    assert found.clear.all()
    centres = sorted((found.boxes[:, :2] + found.boxes[:, 2:]).tolist(), key=lambda c: c[1])
    assert np.asarray(centres) / 2 == pytest.approx(np.array([[60, 16], [60, 48], [60, 80]]) + 0.5)
    assert found.boxes[:, 2:] - found.boxes[:, :2] == pytest.approx(17, abs=3)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (_picture(LEFT, MIDDLE, RIGHT), (3, 0, 0)),
        (_picture(LEFT, MIDDLE), (2, 1, 0)),
        (_picture(LEFT, MIDDLE, RIGHT, (84, 32, 6)), (3, 0, 1)),
        (_picture(LEFT, MIDDLE, (60, 82, 8)), (3, 0, 0)),  # shifted, most of it is still there
        (_picture(LEFT, MIDDLE, (76, 80, 8)), (2, 1, 1)),  # beside where it was
        (_picture(LEFT, MIDDLE, (60, 80, 3)), (2, 1, 1)),  # in its place, far too small
        (_picture(), (0, 3, 0)),
        (255 - _picture(LEFT, MIDDLE, RIGHT), (0, 3, 0)),  # cold ones are none
        (_picture(LEFT, MIDDLE, RIGHT, warm=160), (3, 0, 0)),  # half as warm
    ],
)  # fmt: skip
def test_missed_and_hallucinated_targets_are_counted(made: Gray, expected: tuple[int, ...]) -> None:
    assert _counts(_picture(LEFT, MIDDLE, RIGHT), made) == expected


def test_two_that_touch_are_one_and_a_split_or_merged_one_is_wrong() -> None:
    touching, apart = _picture((60, 40, 8), (60, 56, 8)), _picture((60, 32, 8), (60, 64, 8))
    assert _counts(touching, touching) == (1, 0, 0)
    assert _counts(touching, apart) == (0, 1, 2)
    assert _counts(apart, touching) == (0, 2, 1)


def test_what_is_as_large_as_half_the_picture_is_no_target() -> None:
    assert len(find_targets(_picture((50, 48, 26))).boxes) == 0
    assert len(find_targets(_picture((60, 48, 20))).boxes) == 1


def test_a_faint_target_counts_only_beside_a_clear_one() -> None:
    nothing, faint, clear = _picture(), _picture(MIDDLE, warm=123), _picture(MIDDLE, warm=150)
    assert find_targets(faint).clear.tolist() == [False]
    assert _counts(faint, faint) == _counts(faint, nothing) == _counts(nothing, faint) == (0, 0, 0)
    assert _counts(clear, faint) == _counts(faint, clear) == (1, 0, 0)
    assert (_counts(clear, nothing), _counts(nothing, clear)) == ((0, 1, 0), (0, 0, 1))


@settings(max_examples=15)
@given(st.integers(0, 9999), st.integers(1, 3), st.integers(0, 15))
def test_a_gain_and_an_offset_change_nothing(seed: int, gain: int, offset: int) -> None:
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(64, 64)), 4)
    picture = np.rint((rough - rough.min()) / np.ptp(rough) * 80).astype(np.uint8)
    plain, other = find_targets(picture), find_targets(gain * picture + np.uint8(offset))
    assert np.array_equal(plain.boxes, other.boxes) and np.array_equal(plain.clear, other.clear)
    itself = target_counts(plain, plain)
    assert list(itself.values()) == [plain.clear.sum(), 0, 0]


@settings(max_examples=8)
@given(st.integers(0, 9999))
def test_the_opening_is_scikit_images(seed: int) -> None:
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(20, 24)), 1.5)
    levels = np.floor((rough - rough.min()) / rough.std() * 4).astype(np.int64)
    theirs = diameter_opening(levels.astype(np.uint8), 10, connectivity=2)
    assert np.array_equal(_diameter_opening(levels, 10), theirs)


def test_a_flat_picture_has_none_though_its_deviation_is_small() -> None:
    noise = np.random.default_rng(0).integers(99, 102, (SIDE, SIDE), np.uint8)
    for flat in (np.full((SIDE, SIDE), 90, np.uint8), noise):
        assert len(find_targets(flat).boxes) == 0


def test_ratios_are_of_the_targets_of_all_scenes() -> None:
    counts = dict(zip(COUNTS, ([2.0, 0, 4, 0], [0.0, 1, 1, 0], [1.0, 3, 0, 0]), strict=True))
    found = target_intervals(counts, Resampling(200))
    means = {name: interval.mean for name, interval in found.items() if interval is not None}
    assert means == pytest.approx(
        {"target_precision": 6 / 10, "target_recall": 6 / 8, "target_f1": 2 / 3}
    )
    precision, recall = means["target_precision"], means["target_recall"]
    assert means["target_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    for interval in found.values():
        assert interval is not None and interval.low < interval.mean < interval.high
        assert interval.count == 3, "the scene without a target says nothing"


def test_without_targets_there_is_no_score_rather_than_a_perfect_one() -> None:
    def scores(*counts: float) -> list[float | None]:
        found = target_intervals(
            {n: [c] for n, c in zip(COUNTS, counts, strict=True)}, Resampling()
        )
        return [None if interval is None else interval.mean for interval in found.values()]

    assert scores(0, 0, 0) == [None, None, None]
    assert scores(0, 2, 0) == [None, 0, 0], "nothing was made, so nothing is hallucinated"
    assert scores(0, 0, 2) == [0, None, 0]
