import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refract.media.regions import core, grow, shrink, square_box

MASKS = arrays(bool, (2, 9, 11))


def test_grow_reaches_exactly_the_city_block_distance() -> None:
    mask = np.zeros((15, 15), bool)
    mask[7, 7] = True
    rows, columns = np.mgrid[:15, :15]
    distance = np.abs(rows - 7) + np.abs(columns - 7)
    np.testing.assert_array_equal(grow(mask, 4), distance <= 4)


def test_frames_do_not_leak_into_each_other() -> None:
    masks = np.zeros((3, 9, 9), bool)
    masks[1, 4, 4] = True
    grown = grow(masks, 3)
    assert not grown[0].any()
    assert not grown[2].any()


@given(MASKS, st.integers(0, 4))
def test_growing_keeps_and_shrinking_removes(mask: np.ndarray, px: int) -> None:
    assert (grow(mask, px) >= mask).all()
    assert (shrink(mask, px) <= mask).all()
    np.testing.assert_array_equal(shrink(mask, px), ~grow(~mask, px))


def test_core_falls_back_for_a_thin_product() -> None:
    thin = np.zeros((40, 40), bool)
    thin[:, 20:22] = True
    np.testing.assert_array_equal(core(thin, 2), thin)
    thick = np.zeros((40, 40), bool)
    thick[10:30, 10:30] = True
    assert core(thick, 2).sum() == 16 * 16


@pytest.mark.parametrize("mask_rows", [(0, 4), (10, 20), (36, 40)])
def test_square_box_is_square_holds_the_mask_and_stays_inside(mask_rows: tuple[int, int]) -> None:
    mask = np.zeros((40, 60), bool)
    mask[slice(*mask_rows), 50:58] = True
    box = square_box(mask, 0.15)
    assert box is not None
    top, left, side = box
    assert min(top, left) >= 0
    assert top + side <= 40
    assert left + side <= 60
    inside = mask[top : top + side, left : left + side]
    assert inside.sum() == mask.sum()


def test_square_box_of_nothing() -> None:
    assert square_box(np.zeros((4, 4), bool), 0.1) is None
