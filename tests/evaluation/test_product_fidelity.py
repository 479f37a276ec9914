"""What of a product's edit the measures see: colours, shape, motion, and all at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from refract.evaluation.edits.product_fidelity import PARTS, fidelity
from refract.evaluation.measures.colour import (
    HISTOGRAM_BINS,
    HISTOGRAM_RANGE,
    histogram_bins,
    lab_pixels,
)
from refract.evaluation.measures.product import ProductPhoto, background_region
from refract.evaluation.measures.product_motion import MOTION_KEY, ProductMotion
from refract.evaluation.measures.product_shape import SHAPE_KEY, ProductFinder, shape_measures

T, PX, SIDE, STEP = 6, 64, 24, 2
RED, GREEN = (205, 38, 42), (46, 158, 66)


def _square(frame: int) -> np.ndarray:
    mask = np.zeros((PX, PX), bool)
    mask[20 : 20 + SIDE, 6 + STEP * frame : 6 + SIDE + STEP * frame] = True
    return mask


REGION = np.stack([_square(frame) for frame in range(T)])
BACKGROUND = background_region([REGION], 4)


def _ground() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (PX, PX))
    gray = (
        130 + 10 * gaussian_filter(noise, 2) / 0.14
    )  # soft, or it hides the product from the flow
    return np.repeat(gray.clip(60, 200).astype(np.uint8)[None, ..., None], 3, axis=-1)


def _clip(colour: tuple[int, int, int], region: np.ndarray = REGION) -> np.ndarray:
    return np.where(region[..., None], np.array(colour, np.uint8), _ground())


def _photo(colour: tuple[int, int, int] = GREEN) -> ProductPhoto:
    pixels = np.full((PX, PX, 3), 220, np.uint8)
    pixels[10:40, 10:40] = colour
    return ProductPhoto(pixels, (pixels != 220).any(-1))


FINDER = ProductFinder(_photo(), _clip(RED), BACKGROUND)


def _motion(source: np.ndarray, region: np.ndarray = REGION, step: int = STEP) -> ProductMotion:
    """With the true flow: the product's pixels move by `step`, and hide what they move over."""
    flows = np.where(region[:-1, ..., None], np.array((step, 0), np.float32), np.float32(0))
    return ProductMotion(source, flows, region[1:] & ~region[:-1], region)


# ------------------------------------------------------------------------------------- shape


@given(st.integers(0, 2**32 - 1))
def test_a_pixel_counts_in_the_bin_that_histogramdd_has_for_it(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (50, 3)).astype(np.uint8)
    lab = lab_pixels(pixels)
    counts, _ = np.histogramdd(lab, HISTOGRAM_BINS, HISTOGRAM_RANGE)
    ours = np.zeros(HISTOGRAM_BINS)
    np.add.at(ours, tuple(histogram_bins(lab).T), 1)
    inside = ((lab >= np.array(HISTOGRAM_RANGE)[:, 0]) & (lab <= 80)).all(1)
    if inside.all():  # beyond it histogramdd drops what colour_histogram clips
        np.testing.assert_array_equal(ours, counts)
    assert ours.sum() == len(pixels)


def test_a_right_edit_fills_the_region_and_the_source_has_nothing_of_it() -> None:
    right, source = (shape_measures(FINDER.find(_clip(c)), REGION) for c in (GREEN, RED))
    assert right.scores == {SHAPE_KEY: 1.0} and right.series == {SHAPE_KEY: [1.0] * T}
    assert source.scores == {SHAPE_KEY: 0.0}


@pytest.mark.parametrize(("dx", "overlap"), [(0, 1), (6, 18 / 30), (SIDE, 0)])
def test_a_product_in_the_wrong_place_overlaps_by_its_shift(dx: int, overlap: float) -> None:
    everywhere = ProductFinder(_photo(), _clip(RED), np.zeros_like(REGION))
    clip = _clip(GREEN, np.roll(REGION, dx, axis=2))
    found = shape_measures(everywhere.find(clip), REGION)
    assert found.scores[SHAPE_KEY] == pytest.approx(overlap)


def test_nothing_is_looked_for_in_the_background() -> None:
    assert not (FINDER.find(_clip(GREEN, np.ones_like(REGION))) & BACKGROUND).any()


def test_a_colour_that_the_source_has_more_of_is_not_the_products() -> None:
    source = _clip(GREEN, np.ones_like(REGION))
    assert not ProductFinder(_photo(), source, BACKGROUND).find(source).any()


def test_frames_without_product_and_region_are_left_out() -> None:
    region, found = REGION.copy(), REGION.copy()
    region[0] = found[0] = False
    found[1] = False
    result = shape_measures(found, region)
    assert np.isnan(result.series[SHAPE_KEY][0]) and result.series[SHAPE_KEY][1:3] == [0, 1]
    assert result.scores[SHAPE_KEY] == pytest.approx((T - 2) / (T - 1))


# ------------------------------------------------------------------------------------ motion


def test_who_moves_with_the_source_agrees_and_who_stands_still_does_not() -> None:
    motion, right = _motion(_clip(RED)), _clip(GREEN)
    moving = motion.measures(right, REGION)
    still = motion.measures(np.repeat(right[:1], T, axis=0), np.repeat(REGION[:1], T, axis=0))
    assert moving.scores[MOTION_KEY] > 0.9
    assert still.scores[MOTION_KEY] < 0.05
    assert len(moving.series[MOTION_KEY]) == T - 1
    assert min(moving.series[MOTION_KEY]) > max(still.series[MOTION_KEY])


def test_a_product_that_goes_the_other_way_does_not_agree() -> None:
    backwards = REGION[::-1]
    agreement = _motion(_clip(RED)).measures(_clip(GREEN, backwards), backwards)
    assert agreement.scores[MOTION_KEY] < 0.5


def test_what_shows_no_motion_cannot_be_told() -> None:
    """A plain clip fits the source's motion and standing still alike."""
    plain = np.full((T, PX, PX, 3), 128, np.uint8)
    assert _motion(_clip(RED)).measures(plain, REGION).scores[MOTION_KEY] == 0.5


def test_without_motion_or_product_there_is_no_agreement() -> None:
    still = np.repeat(_clip(RED)[:1], T, axis=0)
    at_rest = _motion(still, np.repeat(REGION[:1], T, axis=0), step=0)
    for result in (
        at_rest.measures(still, at_rest.region),
        _motion(_clip(RED)).measures(_clip(GREEN), REGION & False),
        _motion(_clip(RED), REGION & False).measures(_clip(GREEN), REGION),
    ):
        assert np.isnan(result.scores[MOTION_KEY])
        assert np.isnan(result.series[MOTION_KEY]).all()
        assert len(result.series[MOTION_KEY]) == T - 1


def test_a_single_frame_has_no_motion() -> None:
    one = _clip(RED)[:1]
    motion = ProductMotion(one, np.zeros((0, PX, PX, 2), np.float32), np.zeros((0, PX, PX), bool),
                           REGION[:1])  # fmt: skip
    assert np.isnan(motion.measures(one, REGION[:1]).scores[MOTION_KEY])


# ---------------------------------------------------------------------------------- together

SHARES = st.floats(0, 1, allow_subnormal=False)


@given(SHARES, SHARES, SHARES)
def test_fidelity_lies_between_the_parts_and_near_the_least(a: float, b: float, c: float) -> None:
    parts = dict(zip(PARTS, (a, b, c), strict=True))
    value, least = fidelity(parts), min(a, b, c)
    assert least - 1e-9 <= value <= min(3 * least, max(a, b, c)) + 1e-9


def test_a_part_that_fails_cannot_be_made_up_for() -> None:
    assert fidelity(dict(zip(PARTS, (1.0, 1.0, 0.0), strict=True))) == 0.0
    assert fidelity(dict(zip(PARTS, (1.0, 1.0, 1.0), strict=True))) == 1.0


def test_without_motion_it_is_of_the_other_two_and_without_those_nothing() -> None:
    still = dict(zip(PARTS, (0.5, 1.0, float("nan")), strict=True))
    assert fidelity(still) == pytest.approx(2 / 3)
    assert fidelity({key: still[key] for key in PARTS[:2]}) == pytest.approx(2 / 3)
    assert np.isnan(fidelity({**still, PARTS[0]: float("nan")}))
