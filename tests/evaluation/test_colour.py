import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_cie76, rgb2lab

from refract.evaluation.measures.colour import (
    colour_histogram,
    delta_e,
    histogram_overlap,
    lab_pixels,
)


def _pixels(seed: int, count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = rng.integers(0, 256, 3)
    return np.clip(rng.normal(centre, 25, (count, 3)), 0, 255).astype(np.uint8)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_overlap_is_symmetric_in_0_to_1_and_1_for_itself(one: int, other: int) -> None:
    first, second = (colour_histogram(lab_pixels(_pixels(seed))) for seed in (one, other))
    overlap = histogram_overlap(first, second)
    assert 0 <= overlap <= 1
    assert overlap == histogram_overlap(second, first)
    assert histogram_overlap(first, first) == pytest.approx(1.0)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_neither_order_nor_number_of_pixels_matters(seed: int) -> None:
    pixels = _pixels(seed)
    shuffled = np.random.default_rng(seed).permutation(np.repeat(pixels, 3, axis=0))
    histograms = (colour_histogram(lab_pixels(x)) for x in (pixels, shuffled))
    assert histogram_overlap(*histograms) == pytest.approx(1.0)


def test_red_and_blue_share_nothing_and_the_nearer_colour_shares_more() -> None:
    red, orange, blue = (
        colour_histogram(lab_pixels(np.tile(np.array(c, np.uint8), (50, 1))))
        for c in ((205, 38, 42), (238, 130, 32), (45, 88, 212))
    )
    assert histogram_overlap(red, blue) < 1e-3  # what the blur lets through
    assert histogram_overlap(red, red) > histogram_overlap(red, orange)


def test_mixing_in_the_right_colour_raises_the_overlap_step_by_step() -> None:
    """The measure must tell half a product recoloured from none: that is what it is for."""
    goal = np.tile(np.array((46, 158, 66), np.uint8), (100, 1))
    wrong = np.tile(np.array((205, 38, 42), np.uint8), (100, 1))
    reference = colour_histogram(lab_pixels(goal))
    overlaps = [
        histogram_overlap(
            colour_histogram(lab_pixels(np.concatenate([goal[:n], wrong[n:]]))), reference
        )
        for n in (0, 25, 50, 75, 100)
    ]
    assert overlaps == sorted(overlaps)
    assert overlaps[2] == pytest.approx(0.5, abs=0.02)


def test_colours_beyond_the_range_are_counted() -> None:
    saturated = lab_pixels(np.tile(np.array((0, 0, 255), np.uint8), (10, 1)))  # b is -108
    assert colour_histogram(saturated).sum() == pytest.approx(1.0)


def test_delta_e_is_cie76() -> None:
    one, other = np.array([[200, 40, 40]], np.uint8), np.array([[40, 80, 210]], np.uint8)
    expected = deltaE_cie76(rgb2lab(one[None] / 255.0), rgb2lab(other[None] / 255.0))
    assert delta_e(lab_pixels(one), lab_pixels(other)) == pytest.approx(float(expected.item()))
    assert delta_e(lab_pixels(one), lab_pixels(one)) == 0
